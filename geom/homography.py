"""Homographies between two views: of a plane, or of any scene where the camera only turns."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from geom.camera import PinholeCamera
from geom.se3 import SE3


def homography(
    camera_src: PinholeCamera,
    T_dst_src: SE3,
    camera_dst: PinholeCamera,
    plane_src: Float[Tensor, "*planes 3"] | None = None,
) -> Float[Tensor, "*b 3 3"]:
    """Return H with (u', v', 1) ~ H (u, v, 1), which takes pixels of the source to the destination.

    H = K_dst (R + t q^T) K_src^-1 for the plane q . p = 1, where q is its normal over its distance: Hartley and
    Zisserman, Multiple View Geometry (2004), eq. 13.2 (their plane has the opposite sign). q = 0 is the plane at
    infinity, exact for any scene where t = 0. H is not scaled: its third row gives the ratio of z-depths, so a pixel
    for which it is not positive has no image.

    Pixels are counted as everywhere here, the first centre at (0.5, 0.5); `with_whole_centers` for other libraries.

    Args:
        camera_src, camera_dst: batch shape broadcastable to *b.
        T_dst_src: takes source-camera to destination-camera coordinates, metres.
        plane_src: q in source-camera coordinates, 1/metres; the plane at infinity unless given.

    >>> import math
    >>> camera = PinholeCamera.from_hfov(math.pi / 2, 4, 4)
    >>> homography(camera, SE3.identity(), camera).round().tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    motion = T_dst_src.R
    if plane_src is not None:
        motion = motion + T_dst_src.t[..., :, None] * plane_src[..., None, :].to(motion)
    return camera_dst.K @ motion @ torch.linalg.inv(camera_src.K)


def with_whole_centers(H: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3 3"]:
    """Return a homography for pixels whose first centre is (0, 0): what OpenCV's and kornia's warps take.

    >>> shift = torch.tensor([[2.0, 0, 0], [0, 2.0, 0], [0, 0, 1]])
    >>> with_whole_centers(shift)[0].tolist()
    [2.0, 0.0, 0.5]
    """
    half = H.new_tensor([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return torch.linalg.inv(half) @ H @ half
