"""Homographies against flow, OpenCV and kornia."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from kornia.geometry.transform import warp_perspective

from geom import SE3, PinholeCamera, backward_warp, flow, homography, with_whole_centers

SRC = PinholeCamera.from_hfov(math.radians(70), 48, 36)
DST = PinholeCamera.from_hfov(math.radians(60), 40, 40)


def moved(H: torch.Tensor, camera: PinholeCamera) -> torch.Tensor:
    uv1 = torch.cat([camera.pixel_centers(), torch.ones(camera.height, camera.width, 1, dtype=torch.float64)], -1)
    out = uv1 @ H.mT
    return out[..., :2] / out[..., 2:] - camera.pixel_centers()


def test_a_turn_moves_pixels_the_same_whatever_the_depth() -> None:
    turn = SE3.exp(torch.tensor([0, 0, 0, 0.1, -0.2, 0.05], dtype=torch.float64))
    z = 1 + torch.rand(36, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(moved(homography(SRC, turn, DST), SRC), flow(z, SRC, turn, DST), atol=1e-9)


def test_a_plane_moves_as_its_depth_says() -> None:
    motion = SE3.exp(torch.tensor([0.3, -0.1, 0.2, 0.1, -0.2, 0.05], dtype=torch.float64))
    q = torch.tensor([0.05, 0.1, 0.3], dtype=torch.float64)
    z = 1 / (SRC.rays(SRC.pixel_centers()) @ q)
    assert (z > 0).all()
    assert torch.allclose(moved(homography(SRC, motion, DST, q), SRC), flow(z, SRC, motion, DST), atol=1e-9)


def test_opencv_and_kornia_warp_by_it_as_we_do() -> None:
    turn = SE3.exp(torch.tensor([0, 0, 0, 0.02, -0.1, 0.05], dtype=torch.float64))
    image = torch.rand(3, 36, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = backward_warp(image, SRC, turn.inverse(), torch.ones(40, 40, dtype=torch.float64), DST)
    H = with_whole_centers(homography(SRC, turn, DST))
    by_kornia = warp_perspective(image[None], H[None], (40, 40))[0]
    by_opencv = cv2.warpPerspective(image.movedim(0, -1).numpy(), H.numpy(), (40, 40))
    uv = DST.pixel_centers() + flow(torch.ones(40, 40, dtype=torch.float64), DST, turn.inverse(), SRC)
    inner = ((uv >= 0.5) & (uv <= torch.tensor([47.5, 35.5]))).all(-1)
    assert inner.float().mean() > 0.5
    assert float((ours.image - by_kornia).abs().amax(0)[inner].max()) < 1e-9
    # OpenCV rounds where it samples to a 32nd of a pixel here.
    assert np.abs(ours.image.movedim(0, -1)[inner].numpy() - by_opencv[inner.numpy()]).max() < 1 / 32


def test_batches_broadcast() -> None:
    motions = SE3.exp(torch.linspace(-0.1, 0.1, 12, dtype=torch.float64).reshape(2, 6))
    q = torch.tensor([0.05, 0.1, 0.3], dtype=torch.float64)
    both = homography(SRC, motions, DST, q)
    for n in range(2):
        assert torch.allclose(both[n], homography(SRC, motions[n], DST, q), atol=1e-12)
