"""What a motion says about matched pixels of two views: lines where the camera moves, points where it only turns.

Which of the two distances applies is the caller's to say, as only the caller knows how far the scene is:

- `epipolar_distance` where the camera moves. It needs no depth, and sees only what lies across the epipolar line: not
  how far the camera went, and of a motion straight ahead not even whether it went forward or back.
- `transfer_distance` with the infinite homography (`geom.homography` without a plane) where it only turns. There is no
  epipolar geometry then: E = F = 0. It also fits a translation too short to be seen, whose parallax (focal length
  times translation over z-depth) is less than the noise of the matches.

Pixels are counted as everywhere in geom, the first centre at (0.5, 0.5).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from geom import so3
from geom.camera import PinholeCamera
from geom.homography import homography
from geom.se3 import SE3

_ROUNDINGS = 8
"""Machine epsilons of its terms below which the coefficient of a line is taken for rounding."""


def essential(T_b_a: SE3) -> Float[Tensor, "*b 3 3"]:
    """Return E = [t]x R with d_b . E d_a = 0 for the directions in which two cameras see one point.

    Hartley and Zisserman, Multiple View Geometry (2004), eq. 9.12. E is as long as t, and 0 where the camera only
    turns.

    Args:
        T_b_a: takes a-coordinates to b-coordinates, metres.

    >>> essential(SE3.from_translation(torch.tensor([0.0, 0.0, 2.0]))).tolist()
    [[0.0, -2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return so3.hat(T_b_a.t) @ T_b_a.R


def fundamental(camera_a: PinholeCamera, T_b_a: SE3, camera_b: PinholeCamera) -> Float[Tensor, "*b 3 3"]:
    """Return F with x_b . F x_a = 0 for the homogeneous pixels x = (u, v, 1) of one point in two cameras.

    F = K_b^-T E K_a^-1: Hartley and Zisserman, Multiple View Geometry (2004), eq. 9.2 and 9.12. With the roles swapped
    F is transposed. Worked out in the finest dtype of the three.

    Args:
        camera_a, camera_b: batch shape broadcastable to *b.
        T_b_a: takes a-coordinates to b-coordinates, metres.
    """
    finest = torch.promote_types(torch.promote_types(camera_a.K.dtype, camera_b.K.dtype), T_b_a.dtype)
    from_a, from_b = (torch.linalg.inv(camera.K.to(finest)) for camera in (camera_a, camera_b))
    return from_b.mT @ essential(T_b_a.to(finest)) @ from_a


def epipolar_lines(uv_a: Float[Tensor, "*#b n 2"], F: Float[Tensor, "*#b 3 3"]) -> Float[Tensor, "*out n 3"]:
    """Return the lines of picture b, (l1, l2, l3), on which the points lie that camera a sees at these pixels.

    l1 u + l2 v + l3 is the signed distance of the pixel (u, v) from the line, pixels. At the epipole of a, the image
    of centre b, there is no line: (0, 0, 0). Where the line lies at infinity, it is (0, 0, inf). NaN where the pixel
    is unknown (NaN or infinite). Gradients are finite everywhere.

    `epipolar_lines(uv_b, F.mT)` are the lines of picture a.

    Args:
        uv_a: pixels of a; their batch broadcasts against that of F.
        F: as `fundamental` gives it, of any scale.

    Raises:
        ValueError: if an F is 0 (the camera only turned) or not finite, or the pixels are homogeneous.

    >>> F = essential(SE3.from_translation(torch.tensor([1.0, 0.0, 0.0])))
    >>> epipolar_lines(torch.tensor([[3.0, 2.0]]), F).abs().tolist()
    [[0.0, 1.0, 2.0]]
    """
    _check_finite(F, "F")
    if bool((F == 0).all(-1).all(-1).any()):
        raise ValueError("F must not be 0, got a pair without translation; compare it by transfer_distance")
    (uv_a,), known = _known(uv_a)
    x_a, F = _homogeneous(uv_a, F)
    line = x_a @ F.mT
    is_rounding = line.abs() <= _ROUNDINGS * torch.finfo(F.dtype).eps * (x_a.abs() @ F.mT.abs())
    is_epipole = is_rounding.all(-1, keepdim=True)
    is_far = is_rounding[..., :2].all(-1, keepdim=True) & ~is_epipole
    # Masked before dividing: 0/0 would reach the gradients.
    line = line.where(~(is_epipole | is_far), line.new_tensor([1, 0, 0]))
    line = line / torch.linalg.vector_norm(line[..., :2], dim=-1, keepdim=True)
    line = line.where(~is_epipole, 0).where(~is_far, line.new_tensor([0, 0, math.inf]))
    return line.where(known[..., None], math.nan)


def epipolar_distance(
    uv_a: Float[Tensor, "*#b n 2"], uv_b: Float[Tensor, "*#b n 2"], F: Float[Tensor, "*#b 3 3"]
) -> Float[Tensor, "*out n"]:
    """Return the symmetric epipolar distance of matched pixels: the mean of each one's distance from its line, pixels.

    The mean, not the sum, and not squared, as in the code of TSED (Yu et al., Long-Term Photometric Consistent Novel
    View Synthesis with Diffusion Models, ICCV 2023; YorkUCVIL/Photoconsistent-NVS, src/scripts/compute_sed.py). TSED
    calls two pictures consistent where the median over at least 10 matches is below 2 pixels.

    A pixel at its epipole contradicts no line, so that its half is 0; a line at infinity gives inf. NaN where a pixel
    is unknown (NaN or infinite). Gradients are finite.

    Args:
        uv_a, uv_b: matched pixels; their batches broadcast against that of F.
        F: as `fundamental` gives it, of any scale.

    Raises:
        ValueError: if an F is 0 (the camera only turned: `transfer_distance` applies then) or not finite, or the
            pixels are homogeneous.

    >>> F = essential(SE3.from_translation(torch.tensor([1.0, 0.0, 0.0])))
    >>> epipolar_distance(torch.tensor([[3.0, 2.0]]), torch.tensor([[9.0, 2.5]]), F).tolist()
    [0.5]
    """
    (uv_a, uv_b), known = _known(uv_a, uv_b)
    in_b = _dot(epipolar_lines(uv_a, F), uv_b)
    in_a = _dot(epipolar_lines(uv_b, F.mT), uv_a)
    return ((in_a.abs() + in_b.abs()) / 2).where(known, math.nan)


def transfer_distance(
    uv_a: Float[Tensor, "*#b n 2"], uv_b: Float[Tensor, "*#b n 2"], H: Float[Tensor, "*#b 3 3"]
) -> Float[Tensor, "*out n"]:
    """Return the symmetric transfer distance of matched pixels: the mean of both distances to where H takes the other.

    The two distances of the symmetric transfer error (Hartley and Zisserman, Multiple View Geometry, 2004, eq. 4.7),
    which sums their squares; here their mean, pixels, to be held beside `epipolar_distance`. NaN where a pixel is
    unknown (NaN or infinite) or has no image in the other camera, being behind it. Gradients are finite.

    Args:
        uv_a, uv_b: matched pixels; their batches broadcast against that of H.
        H: takes pixels of a to b, unscaled as `homography` gives it: its third row is positive in front.

    Raises:
        ValueError: if an H is not finite or has no inverse, or the pixels are homogeneous.

    >>> H = torch.tensor([[1.0, 0, 5], [0, 1, 0], [0, 0, 1]])
    >>> transfer_distance(torch.tensor([[3.0, 2.0]]), torch.tensor([[8.0, 4.0]]), H).tolist()
    [2.0]
    """
    _check_finite(H, "H")
    back, singular = torch.linalg.inv_ex(H)
    if bool(singular.any()):
        raise ValueError("H must have an inverse, got a singular matrix; was a fundamental matrix passed?")
    (uv_a, uv_b), known = _known(uv_a, uv_b)
    return ((_apart(uv_a, uv_b, H) + _apart(uv_b, uv_a, back)) / 2).where(known, math.nan)


def motion_distance(
    uv_a: Float[Tensor, "n 2"], uv_b: Float[Tensor, "n 2"], camera_a: PinholeCamera, T_b_a: SE3, camera_b: PinholeCamera
) -> Float[Tensor, " n"]:
    """Return how far matched pixels are from where a motion allows them to be, pixels; infinite where it does not.

    `epipolar_distance`, or `transfer_distance` where the translation is exactly 0 and each pixel has one place.

    Args:
        T_b_a: takes a-coordinates to b-coordinates, without batch, as the cameras.
    """
    if bool((T_b_a.t == 0).all()):
        off = transfer_distance(uv_a, uv_b, homography(camera_a, T_b_a, camera_b))
    else:
        off = epipolar_distance(uv_a, uv_b, fundamental(camera_a, T_b_a, camera_b))
    return off.nan_to_num(math.inf)


def _apart(uv: Tensor, uv_other: Tensor, H: Tensor) -> Tensor:
    """Return the distance from where H takes a pixel to the other one; NaN where it takes it nowhere."""
    x, H = _homogeneous(uv, H)
    there = x @ H.mT
    w = there[..., 2:]
    has_image = w > 0
    off = there[..., :2] / w.where(has_image, 1) - uv_other
    return torch.linalg.vector_norm(off, dim=-1).where(has_image[..., 0], math.nan)


def _dot(line: Tensor, uv: Tensor) -> Tensor:
    return (line[..., :2] * uv).sum(-1) + line[..., 2]


def _known(*uvs: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return the pixels with what is unknown in any of them masked, for the gradients of the others; and what is not.

    Raises:
        ValueError: if pixels do not have 2 coordinates.
    """
    for uv in uvs:
        if uv.shape[-1:] != (2,):
            raise ValueError(f"pixels must have shape (..., n, 2), got {tuple(uv.shape)}; are they homogeneous?")
    known = torch.stack(torch.broadcast_tensors(*(uv.isfinite().all(-1) for uv in uvs))).all(0)
    return [uv.where(known[..., None], 0) for uv in uvs], known


def _homogeneous(uv: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return (u, v, 1) and the matrix in the finer of their dtypes."""
    kind = torch.promote_types(uv.dtype, matrix.dtype)
    return torch.cat([uv, torch.ones_like(uv[..., :1])], -1).to(kind), matrix.to(kind)


def _check_finite(matrix: Tensor, name: str) -> None:
    if not bool(matrix.isfinite().all()):
        raise ValueError(f"{name} must be finite, got NaN or inf; was a pose that failed left in?")
