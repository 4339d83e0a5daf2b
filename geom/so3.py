"""Rotations as 3x3 matrices: exp and log are exact and differentiable, also at 0 and near pi."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

# Below this squared angle the closed forms lose digits by cancellation and their gradient divides by zero.
_SMALL_SQUARED_ANGLE = 0.25
_NUM_TERMS = 8
# |B_2k| / (2k)! for k = 1..8, the Taylor series of (1 - (a/2) cot(a/2)) / a^2 in a^2.
_COT_SERIES = (
    1 / 12,
    1 / 720,
    1 / 30240,
    1 / 1209600,
    1 / 47900160,
    691 / 1307674368000,
    1 / 74724249600,
    3617 / 10670622842880000,
)
_ORTHONORMAL_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}


def hat(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the skew matrix of a vector: `hat(v) @ p` is the cross product of v and p."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def exp(rotvec: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation about `rotvec` by its length in radians (Rodrigues' formula).

    >>> exp(torch.tensor([0.0, math.pi / 2, 0.0])).round().abs().tolist()
    [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    sin_over, versine_over, _ = _coefficients(rotvec)
    return _second_order(rotvec, sin_over, versine_over)


def left_jacobian(rotvec: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return V with SE3 exp's translation = V @ tangent translation (Barfoot, State Estimation, eq. 7.37)."""
    _, versine_over, remainder_over = _coefficients(rotvec)
    return _second_order(rotvec, versine_over, remainder_over)


def left_jacobian_inverse(rotvec: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the inverse of `left_jacobian` for angles below 2 pi (Barfoot, State Estimation, eq. 7.38)."""
    squared = (rotvec * rotvec).sum(-1)
    is_small = squared < _SMALL_SQUARED_ANGLE
    half = squared.where(~is_small, torch.ones_like(squared)).sqrt() / 2
    series = _horner(squared.where(is_small, torch.zeros_like(squared)), _COT_SERIES)
    cot_over = series.where(is_small, (1 - half / half.tan()) / (4 * half * half))
    return _second_order(rotvec, torch.full_like(cot_over, -0.5), cot_over)


def log(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Return the rotation vector of R, of length 0 to pi in radians.

    At pi both signs of the axis are right; one of them is returned. Gradients are finite everywhere.
    """
    q_wxyz = to_quaternion_wxyz(R)
    w, vector = q_wxyz[..., 0], q_wxyz[..., 1:]
    squared_sine = (vector * vector).sum(-1)
    # atan(r) / r in r^2 = tan^2 of the half angle; sqrt has no finite gradient at 0.
    is_small = squared_sine < 0.01
    sine = squared_sine.where(~is_small, torch.ones_like(w)).sqrt()
    w_safe = w.where(is_small, torch.ones_like(w))
    tan_squared = (squared_sine / (w_safe * w_safe)).where(is_small, torch.zeros_like(w))
    series = _horner(tan_squared, tuple((-1) ** k / (2 * k + 1) for k in range(_NUM_TERMS))) / w_safe
    half_angle_over_sine = series.where(is_small, torch.atan2(sine, w) / sine)
    return 2 * half_angle_over_sine[..., None] * vector


def angle(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Return the rotation angle of R, 0 to pi radians, with gradient 0 at the identity."""
    return torch.linalg.vector_norm(log(R), dim=-1)


def yaw_right(angle: float | int | Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation about +y (down) by `angle` radians; positive swings the view to the right (+x).

    >>> yaw_right(math.pi / 6)[:, 2].round(decimals=3).tolist()
    [0.5, 0.0, 0.866]
    """
    angle = torch.as_tensor(angle, dtype=None if isinstance(angle, Tensor) else torch.float64)
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], -1).unflatten(-1, (3, 3))


def heading(R: Float[Tensor, "3 3"]) -> float:
    """Return by how much the forward axis is turned to the right, radians, -pi to pi: the inverse of `yaw_right`.

    >>> round(heading(yaw_right(0.5)), 12)
    0.5
    """
    return math.atan2(float(R[0, 2]), float(R[2, 2]))


def to_quaternion_wxyz(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Return the unit quaternion (w, x, y, z), w >= 0, of R.

    The largest component is divided by, so no digit is lost near pi (Shepperd, 1978).
    """
    outer = _quaternion_outer(R)
    largest = outer.diagonal(dim1=-2, dim2=-1).detach().argmax(-1)
    row = outer.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4))[..., 0, :]
    q_wxyz = row / torch.linalg.vector_norm(row, dim=-1, keepdim=True)
    return q_wxyz.where(q_wxyz[..., :1] >= 0, -q_wxyz)


def from_quaternion_wxyz(q_wxyz: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation of a quaternion (w, x, y, z), which is normalised first; it must not be zero."""
    unit = q_wxyz / torch.linalg.vector_norm(q_wxyz, dim=-1, keepdim=True)
    w, x, y, z = unit.unbind(-1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def check_rotation(R: Float[Tensor, "*batch 3 3"], *, tolerance: float | None = None) -> None:
    """Refuse what is not a rotation.

    Args:
        R: finite 3x3 matrices.
        tolerance: largest allowed entry of R^T R - I; 1e-6 in float64 (enough for text written from float32),
            1e-4 in float32 unless given.

    Raises:
        ValueError: if an entry is NaN or infinite, R is not orthonormal, or R is a reflection.
    """
    if not bool(R.isfinite().all()):
        raise ValueError("rotation must be finite, got NaN or inf; was a pose that failed left in?")
    limit = _ORTHONORMAL_TOLERANCE.get(R.dtype, 1e-2) if tolerance is None else tolerance
    identity = torch.eye(3, dtype=R.dtype, device=R.device)
    error = (R.mT @ R - identity).abs().amax().item() if R.numel() else 0.0
    if error > limit:
        raise ValueError(f"rotation must be orthonormal within {limit:g}, got error {error:.3g}; does it hold a scale?")
    if bool((torch.linalg.det(R) < 0).any()):
        raise ValueError("rotation must have determinant +1, got a reflected one (-1); was one axis flipped?")


def nearest(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation nearest to a matrix (orthogonal Procrustes), for one that was written with few digits.

    >>> float((nearest(torch.eye(3) * 1.001) - torch.eye(3)).abs().max()) < 1e-6
    True
    """
    U, _, Vh = torch.linalg.svd(matrix)
    flip = torch.ones_like(matrix[..., 0])
    flip[..., 2] = torch.linalg.det(U @ Vh).sign()
    return (U * flip[..., None, :]) @ Vh


def from_six(six: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation whose first two columns are nearest to two vectors, the first one exactly in its direction.

    Continuous, and so a form in which rotations can be learned (Zhou et al., "On the continuity of rotation
    representations in neural networks", CVPR 2019): Gram and Schmidt's columns. Where the second vector is parallel to
    the first, or either is 0, the result is a rotation no more.

    >>> from_six(torch.tensor([2.0, 0.0, 0.0, 5.0, 3.0, 0.0])).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    first, second = six[..., :3], six[..., 3:]
    x = torch.nn.functional.normalize(first, dim=-1)
    y = torch.nn.functional.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


def midpoint(R_a: Float[Tensor, "*#batch 3 3"], R_b: Float[Tensor, "*#batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation halfway between two: their mean, of which the inverse is that of the inverses.

    >>> float(heading(midpoint(yaw_right(0.1), yaw_right(0.3)))).__round__(9)
    0.2
    """
    return R_a @ exp(log(R_a.mT @ R_b) / 2)


def _coefficients(rotvec: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return sin(a)/a, (1 - cos(a))/a^2 and (a - sin(a))/a^3 for a = |rotvec|."""
    squared = (rotvec * rotvec).sum(-1)
    is_small = squared < _SMALL_SQUARED_ANGLE
    angle = squared.where(~is_small, torch.ones_like(squared)).sqrt()
    closed = angle.sin() / angle, (1 - angle.cos()) / angle**2, (angle - angle.sin()) / angle**3
    small = squared.where(is_small, torch.zeros_like(squared))
    first, second, third = (_sine_series(small, k).where(is_small, c) for k, c in enumerate(closed, start=1))
    return first, second, third


def _sine_series(squared: Tensor, first: int) -> Tensor:
    """Return the sum of (-squared)^k / (2k + first)!."""
    return _horner(squared, tuple((-1) ** k / math.factorial(2 * k + first) for k in range(_NUM_TERMS)))


def _horner(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    result = torch.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = coefficient + x * result
    return result


def _second_order(rotvec: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return I + first * hat + second * hat^2."""
    skew = hat(rotvec)
    identity = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
    return identity + first[..., None, None] * skew + second[..., None, None] * (skew @ skew)


def _quaternion_outer(R: Tensor) -> Tensor:
    """Return 4 q q^T, q = (w, x, y, z): its row with the largest diagonal is q up to scale."""
    (r00, r01, r02), (r10, r11, r12), (r20, r21, r22) = (row.unbind(-1) for row in R.unbind(-2))
    rows = [
        *(1 + r00 + r11 + r22, r21 - r12, r02 - r20, r10 - r01),
        *(r21 - r12, 1 + r00 - r11 - r22, r01 + r10, r02 + r20),
        *(r02 - r20, r01 + r10, 1 - r00 + r11 - r22, r12 + r21),
        *(r10 - r01, r02 + r20, r12 + r21, 1 - r00 - r11 + r22),
    ]
    return torch.stack(rows, -1).unflatten(-1, (4, 4))
