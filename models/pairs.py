"""Pairs of views and what is exactly known about them: what a head is trained on, wherever it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from geom.se3 import SE3

_FIELDS = ("image", "K", "z_depth", "box", "visible", "decoy")


@dataclass(frozen=True, eq=False)
class Pairs:
    """A batch of transitions. Numbers are float32; what is not known is NaN.

    Args:
        image: sRGB of view a (before) and view b (after).
        K: intrinsics of both views, pixels of these pictures.
        T_a_b: pose of b's camera in a's; (b,).
        z_depth: metres along the optical axis.
        box: amodal boxes of up to n items, pixels (x1, y1, x2, y2), clipped at the picture; NaN out of view.
        visible: share of each item's silhouette that is seen, 0 to 1, also of items out of view.
        decoy: where b would show the items if the motion had gone to the other side; what D4 takes for a false box.

    Raises:
        ValueError: if shapes do not go together.
    """

    image: UInt8[Tensor, "b 2 3 h w"]
    K: Float[Tensor, "bk 3 3"]
    T_a_b: SE3
    z_depth: Float[Tensor, "bz 2 hz wz"]
    box: Float[Tensor, "bb n 2 4"]
    visible: Float[Tensor, "bv m 2"]
    decoy: Float[Tensor, "bd k 4"]

    def __post_init__(self) -> None:
        b, _, _, h, w = self.image.shape
        expected = {
            "K": (b, 3, 3),
            "z_depth": (b, 2, h, w),
            "box": (b, self.box.shape[1], 2, 4),
            "visible": (b, self.box.shape[1], 2),
            "decoy": (b, self.box.shape[1], 4),
        }
        for name, shape in expected.items():
            if tuple(getattr(self, name).shape) != shape:
                raise ValueError(f"{name} must have shape {shape}, got {tuple(getattr(self, name).shape)}")
        if tuple(self.T_a_b.t.shape) != (b, 3):
            raise ValueError(f"T_a_b must have one pose for each of {b} pairs, got {tuple(self.T_a_b.t.shape[:-1])}")

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, which: Any) -> Pairs:
        """Some of the pairs, as a tensor is indexed; they stay a batch."""
        return Pairs(T_a_b=self.T_a_b[which], **{name: getattr(self, name)[which] for name in _FIELDS})

    def to(self, device: Any) -> Pairs:
        """The same on another device."""
        T_a_b = SE3(self.T_a_b.R.to(device), self.T_a_b.t.to(device))
        others = (getattr(self, name).to(device) for name in ("z_depth", "box", "visible", "decoy"))
        return Pairs(self.image.to(device), self.K.to(device), T_a_b, *others)

    def reversed_(self) -> Pairs:
        """Each pair the other way round: what was after is before. Where decoys would be then, nobody knows."""
        rows = self.box.flip(2), self.visible.flip(2), torch.full_like(self.decoy, torch.nan)
        return Pairs(self.image.flip(1), self.K, self.T_a_b.inverse(), self.z_depth.flip(1), *rows)

    def mirrored(self) -> Pairs:
        """Each pair as seen in a mirror: left and right swapped."""
        w = self.image.shape[-1]
        K, mirror = self.K.clone(), self.K.new_tensor([-1.0, 1.0, 1.0])
        K[:, 0, 2] = w - K[:, 0, 2]
        T_a_b = SE3(mirror[:, None] * self.T_a_b.R * mirror, mirror * self.T_a_b.t)
        box, decoy = (
            torch.stack([w - b[..., 2], b[..., 1], w - b[..., 0], b[..., 3]], -1) for b in (self.box, self.decoy)
        )
        return Pairs(self.image.flip(-1), K, T_a_b, self.z_depth.flip(-1), box, self.visible, decoy)

    def save(self) -> bytes:
        """As a safetensors file."""
        rest = {name: getattr(self, name).contiguous() for name in _FIELDS}
        return save(rest | {"R": self.T_a_b.R.contiguous(), "t": self.T_a_b.t.contiguous()})

    @staticmethod
    def load(file: bytes) -> Pairs | None:
        """What `save` wrote; None if it is truncated or another file."""
        try:
            found = load(file)
            return Pairs(T_a_b=SE3(found["R"], found["t"]), **{name: found[name] for name in _FIELDS})
        except (SafetensorError, KeyError, ValueError):
            return None

    @staticmethod
    def collate(parts: Sequence[Pairs]) -> Pairs:
        """One batch of several, of pictures of one size; those with fewer items get rows of NaN.

        Raises:
            ValueError: if there is none, or sizes differ.
        """
        if not parts:
            raise ValueError("there must be at least one pair to collate, got none")
        if len(sizes := {tuple(part.image.shape[-2:]) for part in parts}) > 1:
            raise ValueError(f"pictures of a batch must have one size, got {sorted(sizes)} (height, width)")
        n = max(part.box.shape[1] for part in parts)
        return Pairs(
            torch.cat([part.image for part in parts]),
            torch.cat([part.K for part in parts]),
            SE3(torch.cat([part.T_a_b.R for part in parts]), torch.cat([part.T_a_b.t for part in parts])),
            torch.cat([part.z_depth for part in parts]),
            torch.cat([_padded(part.box, n) for part in parts]),
            torch.cat([_padded(part.visible, n) for part in parts]),
            torch.cat([_padded(part.decoy, n) for part in parts]),
        )


def _padded(rows: Tensor, n: int) -> Tensor:
    more = rows.new_full((rows.shape[0], n - rows.shape[1], *rows.shape[2:]), torch.nan)
    return torch.cat([rows, more], 1)
