"""Boxes in the units of models, and the resizing that some of them count in."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geom.boxes import normalise_box
from synth.box_units import FAMILIES, Resize, box_text, box_unit

QWEN25 = FAMILIES["qwen2.5-vl"]


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        # Made with transformers 5.24.0: smart_resize(height, width, 28, 3136, 12845056) of its Qwen2-VL processor.
        ((512, 512), (504, 504)),
        ((741, 500), (728, 504)),
        ((640, 480), (644, 476)),
        ((1920, 1080), (1932, 1092)),
        ((42, 42), (56, 56)),
        ((14, 30), (56, 84)),
        ((5000, 4000), (4004, 3192)),
        ((40, 5600), (28, 5600)),
    ],
)
def test_pictures_are_resized_as_the_processor_does(size, resized) -> None:
    assert QWEN25.resize is not None and QWEN25.resize.size(*size) == resized


@given(st.integers(20, 3000), st.integers(20, 3000))
def test_a_resized_picture_is_a_whole_number_of_patches_within_bounds(width: int, height: int) -> None:
    resize = Resize(28, 3136, 1_003_520)
    if max(width, height) > 200 * min(width, height):
        return
    new_width, new_height = resize.size(width, height)
    assert new_width % 28 == new_height % 28 == 0 and min(new_width, new_height) >= 28
    assert new_width * new_height >= 3136
    # Only a side of one patch, which cannot shrink, may leave more pixels than asked.
    assert new_width * new_height <= 1_003_520 or 28 in (new_width, new_height)


@given(st.lists(st.floats(0, 512), min_size=4, max_size=4))
def test_thousandths_are_those_of_the_engine(values: list[float]) -> None:
    x1, x2 = sorted(values[:2])
    y1, y2 = sorted(values[2:])
    assert FAMILIES["generic"].write((x1, y1, x2, y2), 512, 512) == normalise_box((x1, y1, x2, y2), 512, 512)


def test_a_box_is_written_in_pixels_of_the_resized_picture_and_stays_inside() -> None:
    # 741 x 500 becomes 728 x 504: 370.5 is the middle of 741 and 364 that of 728.
    assert QWEN25.write((370.5, 250, 741, 500), 741, 500) == (364, 252, 728, 504)
    assert QWEN25.write((-5, 0, 900, 500.4), 741, 500) == (0, 0, 728, 504)
    assert box_text((1, 2, 3, 4)) == "[1, 2, 3, 4]"


def test_bounds_of_the_processor_can_be_told() -> None:
    unit = box_unit("qwen2.5-vl", max_pixels=100_000)
    width, height = unit.scale(1000, 1000)
    assert width * height <= 100_000 and width == height == 28 * math.floor(math.sqrt(100_000) / 28)
    assert box_unit("qwen2-vl") is box_unit("qwen3-vl") is FAMILIES["generic"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": "llava"}, "model family must be one of generic, qwen2-vl"),
        ({"family": "qwen3-vl", "max_pixels": 5000}, "thousandths whatever the picture's size"),
        ({"family": "qwen2.5-vl", "min_pixels": 700}, "784 <= min <= max"),
        ({"family": "qwen2.5-vl", "min_pixels": 5000, "max_pixels": 4000}, "got 5000 and 4000"),
    ],
)
def test_units_that_make_no_sense_are_refused(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        box_unit(**arguments)


def test_a_ribbon_is_refused_as_the_processor_does() -> None:
    with pytest.raises(ValueError, match="at most 200 times"):
        Resize(28, 3136, 10**6).size(10, 2001)
