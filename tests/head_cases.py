"""Small pairs for the tests of models: drawn at random with exact depth, or of a real simulated room."""

from __future__ import annotations

from functools import cache

from models.config import ModelConfig
from models.pairs import Pairs
from models.room_plan import RoomConfig
from models.rooms import room_pairs

TINY = ModelConfig(
    image_size=(64, 48),
    encoder_width=16,
    encoder_blocks=(1, 1),
    channels=16,
    width=24,
    heads=2,
    blocks=1,
    cross_blocks=1,
)


@cache
def room(index: int = 0) -> Pairs:
    """The pairs of one simulated room, 64 x 48 pixels."""
    found = room_pairs(RoomConfig(5, TINY.image_size), index)
    assert found is not None
    return found
