"""synth.photo: calibration proved on the second photograph of the pair, outlines checked as polygons and in depth."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from geom.camera import PinholeCamera
from geom.se3 import SE3
from geom.splat import forward_warp
from synth.photo import (
    BASELINE_M,
    CITATION,
    PhotoObject,
    is_whole,
    label_pixels,
    load_objects,
    motorcycle,
    motorcycle_right,
    z_from_disparity,
)
from synth.transition import ROOM, UNKNOWN

OBJECTS = load_objects()
Segment = tuple[tuple[float, float], tuple[float, float]]


def photometric_error(shift_m: float, camera: PinholeCamera) -> float:
    """Mean absolute difference (of 255) to the right photograph, after moving the camera `shift_m` to the right.

    Occlusion-aware: only the pixels of the left photograph that win the z-buffer are compared, each where its centre
    really lands (bilinear), and only where that is inside the image.
    """
    photo, (right, _) = motorcycle(), motorcycle_right()
    T_right_left = SE3.from_translation(torch.tensor([-shift_m, 0, 0], dtype=torch.float64))
    image, z_depth = torch.from_numpy(photo.image).movedim(-1, 0), torch.from_numpy(photo.z_depth)
    warped = forward_warp(image, z_depth, photo.camera, T_right_left, camera)
    seen = warped.source_idx[~warped.is_hole].unique()
    p_left = photo.camera.unproject(photo.camera.pixel_centers(), z_depth).reshape(-1, 3)[seen]
    uv, _ = camera.project(T_right_left.act(p_left))
    inside = camera.contains(uv).numpy()
    col, row = (uv - 0.5).numpy()[inside].T
    there = np.stack(
        [map_coordinates(right[..., c].astype(float), [row, col], order=1, mode="nearest") for c in range(3)]
    )
    here = image.reshape(3, -1)[:, seen].numpy()[:, inside]
    return float(np.abs(there - here).mean())


def test_moving_by_the_baseline_lands_on_the_second_photograph() -> None:
    """Mean absolute error (of 255, three colours): 4.8 with the baseline to the right and the right camera's K.

    With the baseline to the left 59.1; with the left camera's K, whose principal point lies 31.086 px short, 39.5;
    with a baseline 2 % too long, which is off by 0.8 to 1.8 px, 10.4.
    """
    left, (_, right) = motorcycle().camera, motorcycle_right()
    true = photometric_error(BASELINE_M, right)
    assert true < 5.0
    assert photometric_error(-BASELINE_M, right) > 5 * true
    assert photometric_error(BASELINE_M, left) > 5 * true
    assert photometric_error(1.02 * BASELINE_M, right) > 2 * true


def test_depth_follows_from_disparity_by_hand() -> None:
    """f b = 994.978 * 0.193001 = 192.0318; at 31.086 px disparity, twice doffs lies below: 192.0318 / 62.172."""
    z_depth = z_from_disparity(np.array([[31.086, 0.0, np.inf, np.nan]], np.float32))
    assert z_depth[0, 0] == pytest.approx(3.088718, abs=1e-5)
    assert np.isnan(z_depth[0, 1:]).all()


def test_the_photograph_is_metric_and_a_garage_deep() -> None:
    photo = motorcycle()
    assert photo.scale.is_metric and "stereo" in photo.scale.source
    assert photo.image.shape == (500, 741, 3) and photo.image.dtype == np.uint8
    assert 0.92 < np.isfinite(photo.z_depth).mean() < 0.93
    assert 2.0 < np.nanmin(photo.z_depth) < np.nanmax(photo.z_depth) < 5.1
    assert (photo.item_idx == UNKNOWN).sum() == np.isnan(photo.z_depth).sum()
    assert photo.camera.K[0].tolist() == pytest.approx([994.978, 0, 311.693])
    assert motorcycle_right()[1].K[0].tolist() == pytest.approx([994.978, 0, 342.779])
    assert "GCPR 2014" in CITATION and "Middlebury" in CITATION


def test_the_wheel_of_the_bike_is_as_large_as_such_wheels_are() -> None:
    """The cast rear wheel's rim (columns 147 to 252 at row 320) is a 16 inch one: 16 x 25.4 = 406 mm and its flange."""
    photo = motorcycle()
    z_depth = float(np.nanmedian(photo.z_depth[300:340, 123:145]))
    assert 100 * z_depth / 994.978 == pytest.approx(0.26, abs=0.02)


def test_objects_are_enough_and_some_share_a_kind() -> None:
    complete = [o for o in OBJECTS if o.complete]
    assert len(complete) >= 6
    assert len({o.kind for o in complete}) < len(complete)
    assert "motorcycle" in {o.kind for o in OBJECTS}


@pytest.mark.parametrize("item", OBJECTS, ids=lambda o: o.item_id)
def test_outlines_are_simple_polygons_inside_the_picture(item: PhotoObject) -> None:
    corners = np.array(item.polygon)
    assert (corners >= 0).all() and (corners <= [741, 500]).all()
    sides = list(zip(item.polygon, item.polygon[1:] + item.polygon[:1], strict=True))
    apart = [(a, b) for a, b in combinations(sides, 2) if not set(a) & set(b)]
    assert len(set(item.polygon)) == len(item.polygon)
    assert not any(crosses(a, b) for a, b in apart)
    x, y = corners.T
    assert abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2 >= 150


def crosses(a: Segment, b: Segment) -> bool:
    """Whether each segment has the other's ends on both its sides."""
    return side(*a, b[0]) * side(*a, b[1]) < 0 and side(*b, a[0]) * side(*b, a[1]) < 0


def side(p: tuple[float, float], q: tuple[float, float], r: tuple[float, float]) -> float:
    return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])


@pytest.mark.parametrize("index", range(len(OBJECTS)), ids=[o.item_id for o in OBJECTS])
def test_an_object_owns_what_its_outline_holds(index: int) -> None:
    """Its pixels' box is the outline's to 3 px (unknown depth eats an edge), and its depth hangs together."""
    photo, item = motorcycle(), OBJECTS[index]
    rows, cols = np.nonzero(photo.item_idx == index)
    assert item.mask(500, 741)[rows, cols].all()
    assert item.z_range[0] <= photo.z_depth[rows, cols].min() and photo.z_depth[rows, cols].max() <= item.z_range[1]
    if item.complete:
        own = [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
        outline = [*np.min(item.polygon, axis=0), *np.max(item.polygon, axis=0)]
        assert np.abs(np.array(own) - outline).max() < 3
        assert (photo.item_idx[item.mask(500, 741)] == index).mean() > 0.8


def test_where_outlines_overlap_the_earlier_object_owns_the_pixel() -> None:
    z_depth = np.full((40, 40), 3.0, np.float32)
    z_depth[0:2] = np.nan
    z_depth[2:4] = 5.0
    small = PhotoObject("a_0", "a", True, (2.0, 4.0), ((0.0, 0.0), (20.0, 0.0), (20.0, 40.0), (0.0, 40.0)))
    large = replace(small, item_id="b_0", polygon=((0.0, 0.0), (30.0, 0.0), (30.0, 40.0), (0.0, 40.0)))
    owner = label_pixels(z_depth, (small, large))
    # polygon2mask leaves nothing open here: 20 columns to a, the next 10 to b, the rest to the room.
    assert owner[10].tolist() == [0] * 20 + [1] * 10 + [ROOM] * 10
    assert (owner[:2] == UNKNOWN).all() and (owner[2:4] == ROOM).all()
    with pytest.raises(ValueError, match="b_0 must own 100 pixels, got 0"):
        label_pixels(z_depth, (replace(large, item_id="a_0"), replace(small, item_id="b_0")))


def test_bad_outlines_are_refused() -> None:
    fields = {"item_id": "a_0", "kind": "a", "complete": True, "z_range": [1, 2], "polygon": [[0, 0], [9, 0], [9, 9]]}
    assert load_objects(json.dumps({"objects": [fields]}))[0].polygon[1] == (9.0, 0.0)
    with pytest.raises(ValueError, match="unique in a photograph, got twice: a_0"):
        load_objects(json.dumps({"objects": [fields, fields]}))
    with pytest.raises(ValueError, match="at least 3 corners, got 2"):
        load_objects(json.dumps({"objects": [{**fields, "polygon": [[0, 0], [9, 0]]}]}))
    with pytest.raises(ValueError, match="0 < near < far"):
        load_objects(json.dumps({"objects": [{**fields, "z_range": [2, 1]}]}))


@pytest.mark.parametrize(
    ("beside", "left", "whole"), [(3.0, 5, True), (1.5, 5, False), (np.nan, 5, True), (3.0, 0, False)]
)
def test_a_masked_object_is_whole_where_nothing_nearer_borders_it(beside: float, left: int, whole: bool) -> None:
    """At 2 m, with what is at its right side farther, nearer or unknown, or cut by the picture's border."""
    own, z_depth = np.zeros((20, 30), bool), np.full((20, 30), 3.0, np.float32)
    own[5:15, left:15] = True
    z_depth[:, 15:] = beside
    z_depth[own] = 2.0
    assert is_whole(own, z_depth) == whole
