"""The door: every foreign camera convention becomes `T_world_cam` here, and goes back here; nowhere else.

Foreign names (c2w, w2c, qvec, transform_matrix) are identifiers in this module only. Poses come out as
camera-to-world with x right, y down, z forward; the world frame and the unit of length stay the source's.
COLMAP and nerfstudio count pixels as we do (first centre 0.5, 0.5); OpenCV and kornia do not.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from geom import so3
from geom.se3 import SE3

CameraAxes = Literal["opencv", "opengl"]
_UNIT_TOLERANCE = 1e-3
_WHOLE_PIXEL_SHIFT = 0.5


def from_c2w(
    c2w: Float[Tensor, "*batch rows 4"], *, axes: CameraAxes = "opencv", tolerance: float | None = None
) -> SE3:
    """Return T_world_cam of a camera-to-world matrix.

    Args:
        c2w: (..., 4, 4) or (..., 3, 4).
        axes: `opencv` (x right, y down, z forward) or `opengl` (x right, y up, z backward).
        tolerance: as in `SE3.from_matrix`.

    Raises:
        ValueError: if the axes are unknown, the shape is wrong, or the matrix is not rigid.

    >>> blender = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    >>> from_c2w(blender, axes="opengl").act(torch.tensor([0.0, 0.0, 1.0])).tolist()
    [0.0, 0.0, 1.0]
    """
    return SE3.from_matrix(_with_last_row(c2w), tolerance=tolerance) @ _opencv_from(axes, c2w)


def to_c2w(T_world_cam: SE3, *, axes: CameraAxes = "opencv") -> Float[Tensor, "*batch 4 4"]:
    """Return the camera-to-world matrix.

    Raises:
        ValueError: if the axes are unknown.
    """
    return (T_world_cam @ _opencv_from(axes, T_world_cam.t)).matrix()


def from_w2c(
    w2c: Float[Tensor, "*batch rows 4"], *, axes: CameraAxes = "opencv", tolerance: float | None = None
) -> SE3:
    """Return T_world_cam of a world-to-camera (extrinsic, view) matrix; otherwise as `from_c2w`."""
    return SE3.from_matrix(_with_last_row(w2c), tolerance=tolerance).inverse() @ _opencv_from(axes, w2c)


def to_w2c(T_world_cam: SE3, *, axes: CameraAxes = "opencv") -> Float[Tensor, "*batch 4 4"]:
    """Return the world-to-camera (extrinsic, view) matrix.

    Raises:
        ValueError: if the axes are unknown.
    """
    return (T_world_cam @ _opencv_from(axes, T_world_cam.t)).inverse().matrix()


def rotation_from_quaternion_wxyz(q_wxyz: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation of a quaternion (w, x, y, z) whose norm is 1 within 1e-3; it is normalised.

    Raises:
        ValueError: if there are not 4 numbers, or they are not finite, all zero, or not of unit norm.
    """
    if q_wxyz.shape[-1:] != (4,):
        raise ValueError(f"quaternion must have shape (..., 4), got {tuple(q_wxyz.shape)}")
    if not bool(q_wxyz.isfinite().all()):
        raise ValueError("quaternion must be finite, got NaN or inf; was a pose that failed left in?")
    norm = torch.linalg.vector_norm(q_wxyz, dim=-1)
    if bool((norm == 0).any()):
        raise ValueError("quaternion must not be zero, got (0, 0, 0, 0); is the pose missing?")
    if bool(((norm - 1).abs() > _UNIT_TOLERANCE).any()):
        worst = norm.flatten()[(norm - 1).abs().argmax()].item()
        raise ValueError(f"quaternion must have norm 1 within 1e-3, got {worst:.6g}; were columns misread?")
    return so3.from_quaternion_wxyz(q_wxyz)


def rotation_from_quaternion_xyzw(q_xyzw: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation of a quaternion (x, y, z, w); errors as in `rotation_from_quaternion_wxyz`."""
    return rotation_from_quaternion_wxyz(q_xyzw.roll(1, -1))


def rotation_to_quaternion_wxyz(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Return the unit quaternion (w, x, y, z) with w >= 0."""
    return so3.to_quaternion_wxyz(R)


def rotation_to_quaternion_xyzw(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Return the unit quaternion (x, y, z, w) with w >= 0."""
    return so3.to_quaternion_wxyz(R).roll(-1, -1)


def from_colmap(qvec: Float[Tensor, "*batch 4"], tvec: Float[Tensor, "*batch 3"]) -> SE3:
    """Return T_world_cam of a line of COLMAP's images.txt: QW QX QY QZ and TX TY TZ, both world-to-camera.

    Raises:
        ValueError: if the quaternion is refused, or the translation is not 3 finite numbers.
    """
    _check_translation(tvec)
    return SE3(rotation_from_quaternion_wxyz(qvec), tvec).inverse()


def to_colmap(T_world_cam: SE3) -> tuple[Float[Tensor, "*batch 4"], Float[Tensor, "*batch 3"]]:
    """Return COLMAP's qvec (w, x, y, z) and tvec, both world-to-camera."""
    T_cam_world = T_world_cam.inverse()
    return rotation_to_quaternion_wxyz(T_cam_world.R), T_cam_world.t


def from_nerfstudio(transform_matrix: Float[Tensor, "*batch rows 4"], *, tolerance: float | None = None) -> SE3:
    """Return T_world_cam of a `transform_matrix` of nerfstudio's transforms.json: OpenGL camera-to-world."""
    return from_c2w(transform_matrix, axes="opengl", tolerance=tolerance)


def to_nerfstudio(T_world_cam: SE3) -> Float[Tensor, "*batch 4 4"]:
    """Return nerfstudio's `transform_matrix`: OpenGL camera-to-world."""
    return to_c2w(T_world_cam, axes="opengl")


def from_tum(pose: Float[Tensor, "*batch 7"]) -> SE3:
    """Return T_world_cam of a TUM trajectory line without its time stamp: tx ty tz qx qy qz qw.

    Raises:
        ValueError: if there are not 7 numbers, the translation is not finite, or the quaternion is refused.
    """
    if pose.shape[-1:] != (7,):
        raise ValueError(f"TUM pose must have shape (..., 7), got {tuple(pose.shape)}; drop the time stamp")
    _check_translation(pose[..., :3])
    return SE3(rotation_from_quaternion_xyzw(pose[..., 3:]), pose[..., :3])


def to_tum(T_world_cam: SE3) -> Float[Tensor, "*batch 7"]:
    """Return tx ty tz qx qy qz qw, without a time stamp."""
    return torch.cat([T_world_cam.t, rotation_to_quaternion_xyzw(T_world_cam.R)], -1)


def intrinsics_from_whole_pixel_centers(K: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return our K of one whose first pixel centre is (0, 0), as in OpenCV and kornia: cx, cy + 0.5."""
    return K + _principal_point_shift(K)


def intrinsics_to_whole_pixel_centers(K: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return K for OpenCV and kornia, whose first pixel centre is (0, 0): cx and cy shrink by 0.5."""
    return K - _principal_point_shift(K)


def _principal_point_shift(K: Tensor) -> Tensor:
    shift = K.new_zeros(3, 3)
    shift[:2, 2] = _WHOLE_PIXEL_SHIFT
    return shift


def _opencv_from(axes: str, like: Tensor) -> SE3:
    """Return the turn between the camera axes given and ours; it is its own inverse."""
    if axes not in ("opencv", "opengl"):
        raise ValueError(f"camera axes must be opencv or opengl, got {axes!r}")
    flip = [1, -1, -1] if axes == "opengl" else [1, 1, 1]
    return SE3(torch.diag(like.new_tensor(flip)), like.new_zeros(3))


def _with_last_row(matrix: Tensor) -> Tensor:
    if matrix.shape[-2:] not in ((3, 4), (4, 4)):
        raise ValueError(f"pose must have shape (..., 4, 4) or (..., 3, 4), got {tuple(matrix.shape)}")
    if matrix.shape[-2] == 4:
        return matrix
    last_row = matrix.new_tensor([0, 0, 0, 1]).expand(*matrix.shape[:-2], 1, 4)
    return torch.cat([matrix, last_row], -2)


def _check_translation(translation: Tensor) -> None:
    if translation.shape[-1:] != (3,):
        raise ValueError(f"translation must have shape (..., 3), got {tuple(translation.shape)}")
    if not bool(translation.isfinite().all()):
        raise ValueError("translation must be finite, got NaN or inf; was a pose that failed left in?")
