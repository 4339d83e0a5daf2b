"""What a model is made of, in numbers that are kept beside its weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from models.black_box import BlackBox
from models.features import COMPACT, features_of
from models.geometric import GeometricModel
from models.head import GeometryHead
from models.model import Model
from models.trunk import Trunk

MAX_HEAD = 5_000_000
"""Parameters of a head, without its encoder."""


@dataclass(frozen=True)
class ModelConfig:
    """A model of two views.

    Args:
        kind: `geometric` computes the answers, `black_box` is its twin, which regresses them.
        features: `compact`, trained with the head, or the folder of a transformers model, whose frozen vision tower
            is used.
        image_size: width and height of the pictures that it looks at, pixels; others are resized.
        encoder_width, encoder_blocks, channels: of the compact encoder.
        width, heads, blocks, cross_blocks: of the head.
        match_stride: pixels along each side of a place that can be matched, 4 or 8.

    Raises:
        ValueError: if a number is not positive, or the width no multiple of the heads.
    """

    kind: Literal["geometric", "black_box"] = "geometric"
    features: str = COMPACT
    image_size: tuple[int, int] = (128, 128)
    encoder_width: int = 112
    encoder_blocks: tuple[int, int] = (2, 4)
    channels: int = 128
    width: int = 192
    heads: int = 6
    blocks: int = 2
    cross_blocks: int = 2
    match_stride: int = 4

    def __post_init__(self) -> None:
        numbers = (*self.image_size, self.encoder_width, *self.encoder_blocks, self.channels, self.width, self.heads)
        if min(*numbers, self.blocks, self.cross_blocks) < 1 or self.width % self.heads:
            raise ValueError(f"sizes of a model must be positive and width a multiple of heads, got {self}")
        if self.match_stride not in (4, 8) or any(side % self.match_stride for side in self.image_size):
            raise ValueError(f"match_stride must be 4 or 8 and divide the image_size, got {self}")

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(fields: dict[str, Any]) -> ModelConfig:
        """From JSON.

        Raises:
            ValueError: if a field is missing, unknown or of another type.
        """
        known = ModelConfig().to_dict()
        if fields.keys() != known.keys():
            odd = ", ".join(sorted(fields.keys() ^ known.keys()))
            raise ValueError(f"a model's config must have the fields of this version, but differs in {odd}")
        for name, value in known.items():
            got = tuple(fields[name]) if isinstance(value, tuple) else fields[name]
            if type(got) is not type(value) or (isinstance(got, tuple) and not all(type(x) is int for x in got)):
                raise ValueError(f"{name} in a model's config must be like {value!r}, got {fields[name]!r}")
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in fields.items()}
        return ModelConfig(**values)

    def build(self) -> Model:
        """A model with fresh weights, drawn by torch's own random numbers.

        Raises:
            ValueError: if the features cannot be had, or the head would have more than MAX_HEAD parameters.
        """
        own = {"channels": self.channels, "width": self.encoder_width, "blocks": self.encoder_blocks}
        features = features_of(self.features, **(own if self.features == COMPACT else {}))
        sizes = (features.channels, self.width, self.heads, self.blocks, self.cross_blocks, self.match_stride)
        if self.kind == "geometric":
            model: Model = GeometricModel(features, GeometryHead(*sizes))
        else:
            model = BlackBox(features, Trunk(*sizes), self.width)
        if (count := count_head(model)) > MAX_HEAD:
            raise ValueError(
                f"a head has at most {MAX_HEAD:,} parameters, this one would have {count:,}: make it narrower"
            )
        return model


SIZES = {
    "base": ModelConfig(),
    "small": ModelConfig(
        image_size=(64, 64),
        encoder_width=48,
        encoder_blocks=(1, 2),
        channels=64,
        width=64,
        heads=4,
        cross_blocks=1,
    ),
}
"""Models by name: one for a GPU, and one that two cores train in minutes."""


def count_head(model: Model) -> int:
    """Parameters without those of the encoder."""
    return sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in model.features.parameters())
