"""Rigid transforms: `T_a_b` takes b-coordinates to a-coordinates, so in a product equal neighbours cancel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geom import so3


@dataclass(frozen=True, eq=False)
class SE3:
    """A batch of rigid transforms, R p + t.

    The tangent is xi = (translation, rotation), 6 numbers in metres and radians, and perturbs on the right:
    `T @ SE3.exp(xi)`. The batch shapes of R and t broadcast against each other, and T's against a point's.
    That R is a rotation is trusted here and checked in `from_matrix`.

    Raises:
        ValueError: if R is not (..., 3, 3), t not (..., 3), or their dtypes or devices differ.

    >>> T_world_cam = SE3.from_translation(torch.tensor([1.0, 0.0, 0.0]))
    >>> (T_world_cam @ T_world_cam).act(torch.tensor([0.0, 0.0, 2.0])).tolist()
    [2.0, 0.0, 2.0]
    """

    R: Float[Tensor, "*#batch 3 3"]
    """Rotation; columns are b's axes in a."""
    t: Float[Tensor, "*#batch 3"]
    """Origin of b in a, metres."""

    def __post_init__(self) -> None:
        if self.R.shape[-2:] != (3, 3):
            raise ValueError(f"R must have shape (..., 3, 3), got {tuple(self.R.shape)}")
        if self.t.shape[-1:] != (3,):
            raise ValueError(f"t must have shape (..., 3), got {tuple(self.t.shape)}; is it homogeneous?")
        if (self.R.dtype, self.R.device) != (self.t.dtype, self.t.device):
            kinds = f"{self.R.dtype} on {self.R.device} and {self.t.dtype} on {self.t.device}"
            raise ValueError(f"R and t must share dtype and device, got {kinds}; use .to() on one of them")
        if self.R.shape[:-2] != self.t.shape[:-1]:
            self._broadcast()

    def _broadcast(self) -> None:
        # Not torch.broadcast_shapes: its first call takes most of a second, to load sympy.
        rows, _ = torch.broadcast_tensors(self.R[..., 0], self.t)
        object.__setattr__(self, "R", self.R.expand(*rows.shape, 3))
        object.__setattr__(self, "t", self.t.expand(*rows.shape))

    @staticmethod
    def identity(*batch: int, dtype: torch.dtype = torch.float64, device: Any = None) -> SE3:
        """Return identities of the given batch shape."""
        return SE3(torch.eye(3, dtype=dtype, device=device), torch.zeros(*batch, 3, dtype=dtype, device=device))

    @staticmethod
    def from_translation(t: Float[Tensor, "*batch 3"]) -> SE3:
        """Return the transform that only shifts by t metres."""
        return SE3(torch.eye(3, dtype=t.dtype, device=t.device), t)

    @staticmethod
    def yaw_right(angle: float | int | Float[Tensor, "*batch"]) -> SE3:
        """Return the turn about camera +y (down) by `angle` radians; positive turns to the right."""
        R = so3.yaw_right(angle)
        return SE3(R, R.new_zeros(3))

    @staticmethod
    def from_matrix(matrix: Float[Tensor, "*batch 4 4"], *, tolerance: float | None = None) -> SE3:
        """Return the transform of a homogeneous matrix, or refuse it with the reason.

        Args:
            matrix: (..., 4, 4), translation in metres in the last column.
            tolerance: as in `so3.check_rotation`; 1e-6 in float64 and 1e-4 in float32 unless given.

        Raises:
            ValueError: if the shape is wrong, an entry is NaN or infinite, the last row is not (0, 0, 0, 1),
                or the rotation is not orthonormal or is reflected.
        """
        if matrix.shape[-2:] != (4, 4):
            raise ValueError(f"matrix must have shape (..., 4, 4), got {tuple(matrix.shape)}")
        if not bool(matrix.isfinite().all()):
            raise ValueError("matrix must be finite, got NaN or inf; was a pose that failed left in?")
        last_row = matrix.new_tensor([0, 0, 0, 1])
        is_wrong = (matrix[..., 3, :] != last_row).any(-1)
        if bool(is_wrong.any()):
            row = matrix[..., 3, :][is_wrong][0].tolist()
            raise ValueError(f"last row must be (0, 0, 0, 1), got {row}; was the matrix passed transposed?")
        so3.check_rotation(matrix[..., :3, :3], tolerance=tolerance)
        return SE3(matrix[..., :3, :3], matrix[..., :3, 3])

    @staticmethod
    def exp(xi: Float[Tensor, "*batch 6"]) -> SE3:
        """Return the transform of a tangent (translation, rotation): a screw motion for unit time."""
        translation, rotvec = xi[..., :3], xi[..., 3:]
        return SE3(so3.exp(rotvec), _rotate(so3.left_jacobian(rotvec), translation))

    @staticmethod
    def stack(transforms: Sequence[SE3], dim: int = 0) -> SE3:
        """Stack transforms of one batch shape along a new batch dimension `dim` >= 0."""
        return SE3(torch.stack([T.R for T in transforms], dim), torch.stack([T.t for T in transforms], dim))

    def log(self) -> Float[Tensor, "*batch 6"]:
        """Return the tangent (translation, rotation) of smallest angle; the inverse of `exp` below pi."""
        rotvec = so3.log(self.R)
        return torch.cat([_rotate(so3.left_jacobian_inverse(rotvec), self.t), rotvec], -1)

    def __matmul__(self, other: SE3) -> SE3:
        """Compose: T_a_b @ T_b_c is T_a_c."""
        return SE3(self.R @ other.R, self.act(other.t))

    def inverse(self) -> SE3:
        """Return T_b_a of T_a_b."""
        return SE3(self.R.mT, -_rotate(self.R.mT, self.t))

    def act(self, p_b: Float[Tensor, "*points 3"]) -> Float[Tensor, "*out 3"]:
        """Take points from b to a; `T[:, None].act(p)` where each of n has its own points (n, m, 3).

        Raises:
            ValueError: if the points do not have 3 coordinates.
        """
        return self.rotate(p_b) + self.t

    def rotate(self, d_b: Float[Tensor, "*directions 3"]) -> Float[Tensor, "*out 3"]:
        """Take directions from b to a; the translation does not matter to them.

        Raises:
            ValueError: if the directions do not have 3 coordinates.
        """
        if d_b.shape[-1:] != (3,):
            raise ValueError(f"points must have shape (..., 3), got {tuple(d_b.shape)}; are they homogeneous?")
        return _rotate(self.R, d_b)

    def interpolate(self, other: SE3, alpha: float | int | Float[Tensor, "*alpha"]) -> SE3:
        """Return the transform a share `alpha` along the geodesic (screw) from self, 0, to other, 1."""
        share = torch.as_tensor(alpha, dtype=self.dtype, device=self.device)
        return self @ SE3.exp((self.inverse() @ other).log() * share[..., None])

    def distance(self, other: SE3) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*out"]]:
        """Return the angle (radians, 0 to pi) and the length (metres) between two transforms."""
        return so3.angle(self.R.mT @ other.R), torch.linalg.vector_norm(self.t - other.t, dim=-1)

    def matrix(self) -> Float[Tensor, "*batch 4 4"]:
        """Return the homogeneous matrix."""
        last_row = self.t.new_tensor([0, 0, 0, 1]).expand(*self.shape, 1, 4)
        return torch.cat([torch.cat([self.R, self.t[..., None]], -1), last_row], -2)

    def to(self, *args: Any, **kwargs: Any) -> SE3:
        """Return the transforms on another device or in another dtype, as `Tensor.to`."""
        return SE3(self.R.to(*args, **kwargs), self.t.to(*args, **kwargs))

    def __getitem__(self, index: Any) -> SE3:
        """Index the batch dimensions as a tensor's: `T[0]`, `T[mask]`, `T[..., None]`."""
        index = index if isinstance(index, tuple) else (index,)
        return SE3(self.R[(*index, slice(None), slice(None))], self.t[(*index, slice(None))])

    @property
    def shape(self) -> torch.Size:
        """Batch shape."""
        return self.t.shape[:-1]

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of both fields."""
        return self.t.dtype

    @property
    def device(self) -> torch.device:
        """Device of both fields."""
        return self.t.device


def _rotate(matrix: Tensor, vector: Tensor) -> Tensor:
    return torch.einsum("...ij,...j->...i", matrix, vector)
