"""Convex shapes as affine images of a unit shape: p_world = T_world_prim.act(half_size * s), unit s."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geom import so3
from geom.se3 import SE3

BOX, CYLINDER, ELLIPSOID, DISC, PLANE = range(5)
SHAPE_NAMES = ("box", "cylinder", "ellipsoid", "disc", "plane")
_FLAT = (DISC, PLANE)
_SIGNS = list(product((-1.0, 1.0), repeat=3))


@dataclass(frozen=True, eq=False)
class Primitives:
    """n convex shapes in the world, each belonging to one object.

    Unit shapes: BOX [-1, 1]^3; CYLINDER x^2 + y^2 <= 1, |z| <= 1; ELLIPSOID the unit ball;
    DISC x^2 + y^2 <= 1, z = 0; PLANE z = 0, infinite. `build` checks its input; the constructor trusts it.

    Args:
        shape_code: one of BOX, CYLINDER, ELLIPSOID, DISC, PLANE.
        T_world_prim: pose of each shape.
        half_size: half extents along the shape's own axes, metres; the third of a DISC or PLANE is 1.
        item_idx: the object that the shape is part of; -1 is the room itself.

    >>> ball = Primitives.build([ELLIPSOID], SE3.identity(1), [[0.5, 0.5, 0.5]])
    >>> len(ball), ball.item_idx.tolist()
    (1, [0])
    """

    shape_code: Int[Tensor, " n"]
    T_world_prim: SE3
    half_size: Float[Tensor, "n 3"]
    item_idx: Int[Tensor, " n"]

    @staticmethod
    def build(shape_code, T_world_prim: SE3, half_size, item_idx=None) -> Primitives:
        """Check and convert: codes, sizes and ids may be lists or arrays; the pose sets dtype and device.

        Without `item_idx` all shapes belong to object 0.

        Raises:
            ValueError: if counts differ, a code is unknown, a size is not finite and > 0, an id is < -1, or a pose is
                not finite or not rigid.
        """
        t = T_world_prim.t
        code = torch.as_tensor(shape_code, dtype=torch.int64, device=t.device)
        size = torch.as_tensor(half_size, dtype=t.dtype, device=t.device)
        item = torch.zeros_like(code) if item_idx is None else item_idx
        item = torch.as_tensor(item, dtype=torch.int64, device=t.device)
        _check_counts(code, t, size, item)
        if not bool(t.isfinite().all()):
            raise ValueError("shape positions must be finite, got NaN or inf; was a pose that failed left in?")
        so3.check_rotation(T_world_prim.R)
        flat = torch.isin(code, torch.tensor(_FLAT, device=code.device))
        size = torch.cat([size[:, :2], size[:, 2:].masked_fill(flat[:, None], 1.0)], dim=1)
        _check_values(code, size, item)
        return Primitives(code, T_world_prim, size, item)

    def __len__(self) -> int:
        return self.shape_code.shape[0]

    @property
    def dtype(self) -> torch.dtype:
        return self.half_size.dtype

    @property
    def device(self) -> torch.device:
        return self.half_size.device

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Primitives:
        """Convert the floating-point fields to `dtype`, and move everything to `device`."""
        size = self.half_size.to(dtype=dtype, device=device)
        code, item = self.shape_code.to(size.device), self.item_idx.to(size.device)
        return Primitives(code, self.T_world_prim.to(size), size, item)

    def select(self, which: Bool[Tensor, " n"] | Int[Tensor, " k"]) -> Primitives:
        """Keep the shapes of a boolean mask, or those at the given positions in that order.

        >>> two = Primitives.build([BOX, DISC], SE3.identity(2), torch.ones(2, 3), [0, 1])
        >>> two.select(two.item_idx == 1).shape_code.tolist() == [DISC]
        True
        """
        T_world_prim = self.T_world_prim[which]
        return Primitives(self.shape_code[which], T_world_prim, self.half_size[which], self.item_idx[which])

    def moved(self, T_moved_world: SE3) -> Primitives:
        """Move the whole world rigidly: a point p becomes T_moved_world.act(p)."""
        return Primitives(self.shape_code, T_moved_world @ self.T_world_prim, self.half_size, self.item_idx)

    def contains(self, p_world: Float[Tensor, 3]) -> Bool[Tensor, " n"]:
        """Return which solids a point lies strictly inside of; discs and planes have no inside.

        >>> Primitives.build([BOX, DISC], SE3.identity(2), torch.ones(2, 3)).contains(torch.zeros(3).double()).tolist()
        [True, False]
        """
        unit = self.T_world_prim.inverse().act(p_world) / self.half_size
        round_, across = unit.norm(dim=-1), unit[:, :2].norm(dim=-1)
        flat = torch.full_like(round_, torch.inf)
        size = torch.stack(
            [unit.abs().amax(-1), torch.maximum(across, unit[:, 2].abs()), round_, flat, flat]
        )  # in the order of the shape codes
        return size.gather(0, self.shape_code[None])[0] < 1

    def axes(self) -> Float[Tensor, "n 3 3"]:
        """Half axes in the world as columns, metres: p_world = t + axes @ s."""
        return self.T_world_prim.R * self.half_size[:, None, :]

    def corners(self) -> Float[Tensor, "n 8 3"]:
        """Corners of the box around each shape, along its own axes, world; a DISC's or PLANE's third axis counts as 1.

        >>> Primitives.build([BOX], SE3.identity(1), [[2.0, 3.0, 6.0]]).corners().amax(1).tolist()
        [[2.0, 3.0, 6.0]]
        """
        signs = self.half_size.new_tensor(_SIGNS)
        return self.T_world_prim[:, None].act(self.half_size[:, None] * signs)

    def bounding_spheres(self) -> tuple[Float[Tensor, "n 3"], Float[Tensor, " n"]]:
        """Centre (world) and radius of a sphere that holds each shape, metres; a PLANE's radius is infinite.

        >>> box = Primitives.build([BOX], SE3.identity(1), [[2.0, 3.0, 6.0]])
        >>> box.bounding_spheres()[1].tolist()
        [7.0]
        """
        hx, hy, hz = self.half_size.unbind(-1)
        disc = torch.maximum(hx, hy)
        box, cylinder = self.half_size.norm(dim=-1), torch.hypot(disc, hz)
        by_shape = torch.stack([box, cylinder, torch.maximum(disc, hz), disc, torch.full_like(hx, torch.inf)])
        return self.T_world_prim.t, by_shape.gather(0, self.shape_code[None])[0]


def _check_counts(code: Tensor, t: Tensor, size: Tensor, item: Tensor) -> None:
    n = code.shape[0] if code.dim() == 1 else -1
    if n < 0 or t.shape != (n, 3) or size.shape != (n, 3) or item.shape != (n,):
        raise ValueError(
            f"n shapes need shape_code (n,), T_world_prim (n,), half_size (n, 3), item_idx (n,); got "
            f"{tuple(code.shape)}, {tuple(t.shape[:-1])}, {tuple(size.shape)}, {tuple(item.shape)}"
        )


def _check_values(code: Tensor, size: Tensor, item: Tensor) -> None:
    if bool(((code < BOX) | (code > PLANE)).any()):
        raise ValueError(f"shape_code must be {BOX}..{PLANE} {SHAPE_NAMES}, got {sorted(set(code.tolist()))}")
    if not bool((torch.isfinite(size) & (size > 0)).all()):
        row = int((~(torch.isfinite(size) & (size > 0))).any(-1).nonzero()[0])
        raise ValueError(f"half_size must be finite and > 0 m, got {size[row].tolist()} for shape {row}")
    if bool((item < -1).any()):
        raise ValueError(f"item_idx must be -1 (the room) or >= 0, got {int(item.min())}")
