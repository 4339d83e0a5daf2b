"""Objects from files: the three forms, what each means, and what is refused with a line that says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth.objects import NO_OBJECT, Masks, Outlines, Solids, read_objects
from synth.source import Frame

SIZE = (40, 30)
CAMERA = PinholeCamera.from_hfov(1.0, *SIZE)
Z = np.full(SIZE[::-1], 3.0, np.float32)


def frame(folder: Path, name: str = "a.color.png") -> Frame:
    return Frame(folder / name, CAMERA, SE3.identity())


def written(folder: Path, value: Any) -> Path:
    path = folder / "objects.json"
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize("key", ["kind", "label", "class"])
def test_solid_boxes_are_read_by_scene_and_through_a_version(key: str, tmp_path: Path) -> None:
    row = {key: "potted_plant", "id": 7, "min": [0, 0, 1], "max": [1, 2, 3]}
    for value in ({"room": [row]}, {"version": {"room": [row]}}):
        objects = read_objects(written(tmp_path, value))
        assert isinstance(objects, Solids)
        (box,) = objects.solids("room")
        assert (box.item_id, box.kind, box.low, box.high) == ("potted_plant_7", "potted plant", (0, 0, 1), (1, 2, 3))
        assert objects.solids("hall") == ()
        assert objects.instances(frame(tmp_path), Z) is None


def test_a_numbered_class_stays_a_number(tmp_path: Path) -> None:
    objects = read_objects(written(tmp_path, {"room": [{"class": 3, "min": [0, 0, 0], "max": [1, 1, 1]}]}))
    assert objects.solids("room")[0].kind == "class 3"


def mask(folder: Path, values: np.ndarray) -> None:
    Image.fromarray(values).save(folder / "a.segm.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_masks_are_named_by_their_legend(dtype: Any, tmp_path: Path) -> None:
    values = np.zeros(SIZE[::-1], dtype)
    values[5:10, 5:20], values[20:25, 3:9] = 48, 7
    mask(tmp_path, values)
    legend = {"0": None, "48": "book", "7": "cup"}
    objects = read_objects(written(tmp_path, {"masks": "{frame}.segm.png", "legend": legend}))
    assert isinstance(objects, Masks)
    found = objects.instances(frame(tmp_path), Z)
    assert [(i.kind, i.name) for i in found.found] == [("cup", "cup_7"), ("book", "book_48")]
    assert (found.index[5:10, 5:20] == 1).all() and (found.index == NO_OBJECT).sum() == 1200 - 75 - 30


def test_masks_that_are_not_shared_have_no_names(tmp_path: Path) -> None:
    mask(tmp_path, np.ones(SIZE[::-1], np.uint8))
    value = {"masks": "{frame}.segm.png", "legend": {"1": "book"}, "shared": False}
    found = read_objects(written(tmp_path, value)).instances(frame(tmp_path), Z)
    assert found is not None and found.found[0].name is None


def test_a_box_holds_what_stands_in_front_and_a_polygon_all_that_it_surrounds(tmp_path: Path) -> None:
    z = np.full(SIZE[::-1], 5.0, np.float32)
    z[10:20, 10:20] = 2.0
    rows = [
        {"kind": "cup", "box": [8, 8, 22, 22]},
        {"kind": "rug", "item_id": "r", "polygon": [[0, 25], [9, 25], [9, 30], [0, 30]]},
    ]
    objects = read_objects(written(tmp_path, {"outlines": {"a": rows}}))
    assert isinstance(objects, Outlines)
    found = objects.instances(frame(tmp_path), z)
    assert found is not None
    assert np.array_equal(found.index == 0, z == 2.0)
    assert np.array_equal(np.argwhere(found.index == 1)[[0, -1]], [[25, 0], [29, 8]])
    assert [i.name for i in found.found] == [None, "r"]
    assert objects.instances(frame(tmp_path, "b.color.png"), z) is None


def test_of_overlapping_outlines_the_smaller_owns_what_both_hold(tmp_path: Path) -> None:
    big, small = [[0, 0], [40, 0], [40, 30], [0, 30]], [[5, 5], [9, 5], [9, 9], [5, 9]]
    for rows in ([big, small], [small, big]):
        value = {"outlines": {"a": [{"kind": f"k{len(p)}{n}", "polygon": p} for n, p in enumerate(rows)]}}
        found = read_objects(written(tmp_path, value)).instances(frame(tmp_path), Z)
        assert found is not None and (found.index == rows.index(small)).sum() == 16


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "must hold masks, outlines, or lists"),
        ([], "must be an object"),
        ({"room": [{"kind": "cup", "min": [0, 0, 0]}]}, "max missing"),
        ({"room": [{"kind": "cup", "min": [0, 0, 0], "max": [1, 1]}]}, "3 numbers"),
        ({"room": [{"kind": "cup", "min": [0, 0, 2], "max": [1, 1, 1]}]}, "min below max"),
        ({"room": [{"kind": "", "min": [0, 0, 0], "max": [1, 1, 1]}]}, "must name its kind"),
        ({"room": [{"kind": "a", "id": 1, "min": [0] * 3, "max": [1] * 3}] * 2}, "must occur once"),
        ({"masks": "a.png", "legend": {}}, r"with \{frame\} in it"),
        ({"masks": "{frame}.png"}, "legend missing"),
        ({"masks": "{frame}.png", "legend": {"x": "cup"}}, "values of pixels as keys"),
        ({"masks": "{frame}.png", "legend": {}, "shared": 1}, "shared must be true or false"),
        ({"outlines": {"a": [{"kind": "cup"}]}}, "a polygon or a box"),
        ({"outlines": {"a": [{"kind": "cup", "polygon": [[0, 0], [1, 1]]}]}}, "at least 3 corners"),
        ({"outlines": {"a": [{"kind": "cup", "box": [3, 0, 1, 1]}]}}, "x1 < x2"),
        ({"outlines": {"a": [{"kind": "cup", "item_id": 3, "box": [0, 0, 1, 1]}]}}, "item_id must be text"),
        ({"outlines": {"a": [{"kind": "c", "item_id": "x", "box": [0, 0, 1, 1]}] * 2}}, "must occur once"),
    ],
)
def test_what_a_file_may_not_say_is_refused(value: Any, text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=text):
        read_objects(written(tmp_path, value))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("../{frame}.segm.png", "leads out"), ("/etc/{frame}", "leads out"), ("{frame}.none.png", "missing")],
)
def test_masks_lie_in_the_folder(pattern: str, text: str, tmp_path: Path) -> None:
    objects = read_objects(written(tmp_path, {"masks": pattern, "legend": {}}))
    with pytest.raises(ValueError, match=text):
        objects.instances(frame(tmp_path), Z)


def test_masks_of_another_size_value_or_form_are_refused(tmp_path: Path) -> None:
    objects = read_objects(written(tmp_path, {"masks": "{frame}.segm.png", "legend": {"0": None}}))
    mask(tmp_path, np.zeros((10, 10), np.uint8))
    with pytest.raises(ValueError, match="as large as its picture"):
        objects.instances(frame(tmp_path), Z)
    mask(tmp_path, np.full(SIZE[::-1], 9, np.uint8))
    with pytest.raises(ValueError, match="value 9, which the legend does not name"):
        objects.instances(frame(tmp_path), Z)
    mask(tmp_path, np.zeros((*SIZE[::-1], 3), np.uint8))
    with pytest.raises(ValueError, match="one channel"):
        objects.instances(frame(tmp_path), Z)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["masks", "legend", "outlines", "a", "kind", "box", "polygon", "min", "max"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(value=_JSON)
def test_any_json_is_read_or_refused(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = written(folder, value)
    try:
        objects = read_objects(path)
    except ValueError as error:
        assert str(path) in str(error)
        return
    forms = {"masks": Masks, "outlines": Outlines}
    assert isinstance(objects, next((form for key, form in forms.items() if key in value), Solids))


def test_dots_in_the_name_of_a_picture_are_its_own(tmp_path: Path) -> None:
    """Recordings are often called by time stamps: all of one second are not one frame."""
    square = [{"kind": "cup", "polygon": [[5, 5], [20, 5], [20, 20]]}]
    objects = read_objects(written(tmp_path, {"outlines": {"1305031102.175304": square}}))
    assert objects.instances(frame(tmp_path, "1305031102.175304.png"), Z) is not None
    assert objects.instances(frame(tmp_path, "1305031102.211214.png"), Z) is None
