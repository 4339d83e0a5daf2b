"""synth.depthwarp on the Motorcycle photograph and on small made-up photographs whose answers are worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from geom.actions import parse_actions
from geom.camera import PinholeCamera
from geom.scale import Scale
from geom.se3 import SE3
from synth.depthwarp import (
    HOLE_COLOUR,
    MAX_HOLES,
    PHOTO_PRESET,
    FreeSpace,
    PhotoEvidence,
    hole_share,
    lift_objects,
    parallax,
    photo_box,
    photo_transitions,
    warp_photo,
)
from synth.photo import Photo, PhotoObject, label_pixels, motorcycle
from synth.transition import UNKNOWN, View

# f = 100 px; the wall is at 4 m, the object 20 x 20 px at 2 m: 0.4 m wide.
CAMERA = PinholeCamera(torch.tensor([[100.0, 0, 60], [0, 100, 40], [0, 0, 1]], dtype=torch.float64), 120, 80)


def small_photo(complete: bool = True) -> Photo:
    """A square "a_0" (columns 50-69, rows 30-49) at 2 m, "b_0" (columns 75-89, rows 30-49) at 4 m, on a wall at 4 m."""
    z_depth = np.full((80, 120), 4.0, np.float32)
    z_depth[30:50, 50:70] = 2.0
    z_depth[:2] = np.nan
    square = ((50.0, 30.0), (70.0, 30.0), (70.0, 50.0), (50.0, 50.0))
    a = PhotoObject("a_0", "a", complete, (1.9, 2.1), square)
    b = PhotoObject("b_0", "b", True, (3.9, 4.1), ((75.0, 30.0), (90.0, 30.0), (90.0, 50.0), (75.0, 50.0)))
    image = np.random.default_rng(0).integers(0, 250, (80, 120, 3)).astype(np.uint8)
    return Photo("small", image, z_depth, label_pixels(z_depth, (a, b)), CAMERA, (a, b), Scale("metric", "made up"))


def pose(text: str) -> SE3:
    return parse_actions(text).pose()


def test_standing_still_shows_the_photograph_itself() -> None:
    photo = motorcycle()
    view = warp_photo(photo, SE3.identity())
    assert view.image is not None and (view.image == photo.image).all() and hole_share(view) == 0
    assert np.array_equal(view.z_depth, photo.z_depth, equal_nan=True)
    assert (view.item_idx == photo.item_idx).all()


def test_holes_are_marked_in_all_three_layers() -> None:
    """0.4 m to the right moves 2 m by 20 px, 4 m by 10: the object uncovers columns 50 to 60, the frame 110 to 120."""
    view = warp_photo(small_photo(), pose("move right 0.4 meters"))
    row = np.array([False] * 50 + [True] * 10 + [False] * 50 + [True] * 10)
    assert view.image is not None
    assert ((view.image[40] == HOLE_COLOUR).all(-1) == row).all()
    assert (np.isnan(view.z_depth[40]) == row).all() and ((view.item_idx[40] == UNKNOWN) == row).all()
    # 20 rows of 20 holes, 58 rows of 10, and the 2 rows of unknown depth.
    assert hole_share(view) == pytest.approx((20 * 20 + 58 * 10 + 2 * 120) / (80 * 120))
    with pytest.raises(ValueError, match="needs its picture"):
        hole_share(View(view.z_depth, view.item_idx))


def test_turning_needs_no_depth_for_the_picture() -> None:
    """The right border at atan(60 / 100) = 31.0 degrees comes to 26.0 degrees: 60 + 100 tan(26.0) = column 108.7."""
    view = warp_photo(small_photo(), pose("turn right 5 degrees"))
    assert view.image is not None
    is_hole = (view.image == HOLE_COLOUR).all(-1)
    assert is_hole[:, -11:].all() and not is_hole[5:75, :-12].any()
    assert np.isnan(view.z_depth[2, 60]) or np.isnan(view.z_depth[1, 60])
    assert not is_hole[2, :100].any()


def test_the_photograph_has_no_pixel_of_the_hole_colour_and_small_motions_leave_few_holes() -> None:
    photo = motorcycle()
    assert not (photo.image == HOLE_COLOUR).all(-1).any()
    for text in ("turn right 10 degrees", "move forward 0.6 meters", "move left 0.3 meters"):
        assert 0.05 < hole_share(warp_photo(photo, pose(text))) < MAX_HOLES


def test_lifted_objects_lie_where_the_garage_is() -> None:
    photo = motorcycle()
    for i, lifted in enumerate(lift_objects(photo)):
        assert bool(((lifted.points[:, 2] > 2.0) & (lifted.points[:, 2] < 5.0)).all())
        assert len(lifted.points) == (photo.item_idx == i).sum()
        assert lifted.item_id == photo.objects[i].item_id
    # From the tail light (column 92, 2.55 m) to the front tyre (684, 2.24 m): 0.374 * 2.24 + 0.221 * 2.55 = 1.40 m.
    bike = torch.cat([o.points for o in lift_objects(photo) if o.kind in ("motorcycle", "front wheel")])
    # One point in a thousand at either end is left out: depths between the tyre's and the floor's.
    ends = bike[:, 0].quantile(torch.tensor([0.001, 0.999], dtype=torch.float64))
    assert (ends[1] - ends[0]).item() == pytest.approx(1.40, abs=0.06)


def test_solid_angles_are_those_of_the_pixels() -> None:
    """The central square: 0.2 m half side at 2 m is 4 asin(sin^2) = 4 asin(t^2 / (1 + t^2)) with t = 0.1."""
    a = lift_objects(small_photo())[0]
    assert a.solid_angle.sum().item() == pytest.approx(4 * math.asin(0.01 / 1.01), rel=1e-4)
    # From half as far, four times as much for the pixels ahead.
    near = a.solid_angle_from(torch.tensor([0.0, 0, 1], dtype=torch.float64))
    assert (near / a.solid_angle).max().item() == pytest.approx(4, rel=1e-2)
    assert len(a.thinned(100).points) == 100


def test_boxes_move_as_geometry_says() -> None:
    """The square is 0.4 m at 2 m. Ahead 0.4 m: 100 * 0.2 / 1.6 = 12.5 px about (60, 40). Right 0.1 m: 5 px left."""
    a = lift_objects(small_photo())[0]
    for text, want in (
        ("move forward 0.4 meters", [47.5, 27.5, 72.5, 52.5]),
        ("move right 0.1 meters", [45.0, 30.0, 65.0, 50.0]),
        ("move left 1.1 meters", [105.0, 30.0, 120.0, 50.0]),
    ):
        box, valid = photo_box(a, pose(text).inverse(), CAMERA)
        assert bool(valid) and box.tolist() == pytest.approx(want, abs=1e-6)
    box, valid = photo_box(a, pose("move forward 3 meters").inverse(), CAMERA)
    assert not bool(valid) and bool(box.isnan().all())
    assert not bool(photo_box(a, pose("move left 3 meters").inverse(), CAMERA)[1])


def test_parallax_is_the_turn_of_the_line_of_sight() -> None:
    """0.2 m to the right, the middle of the square turns by atan(0.2 / 2) = 0.0997; no pixel by 5 % more."""
    a = lift_objects(small_photo())[0]
    assert parallax(a, torch.tensor([0.2, 0, 0], dtype=torch.float64)) == pytest.approx(math.atan(0.1), rel=0.05)
    assert parallax(a, torch.zeros(3, dtype=torch.float64)) < 1e-7


def test_boxes_are_given_only_where_the_geometry_is_known() -> None:
    evidence = PhotoEvidence(small_photo())
    given = lambda text: np.isfinite(evidence.boxes(pose(text), CAMERA)[:, 0]).tolist()  # noqa: E731
    assert given("turn right 10 degrees") == [True, True]
    assert given("move forward 0.4 meters") == [True, True]
    # Parallax 0.2 > 0.1 at 2 m, 0.1 at 4 m (less to the side).
    assert given("move left 0.39 meters") == [False, True]
    assert np.isnan(PhotoEvidence(small_photo(complete=False)).boxes(SE3.identity(), CAMERA)[0]).all()


def test_shares_say_what_became_of_an_object() -> None:
    """0.8 m to the left: a moves 40 px right to columns 90-110, b 20 px to 95-110: b is hidden by a."""
    evidence = PhotoEvidence(small_photo())
    hidden = evidence.partition(1, pose("move left 0.8 meters"), CAMERA)
    assert hidden is not None and hidden.hidden_by == ((0, pytest.approx(1.0)),)
    # 0.65 m to the left: a to 82.5-102.5, b to 91.25-106.25: 11.25 of 15 columns; a pixel is all or nothing.
    partly = evidence.partition(1, pose("move left 0.65 meters"), CAMERA)
    assert partly is not None and partly.hidden == pytest.approx(0.75, abs=0.07)
    gone = evidence.partition(0, pose("turn right 60 degrees"), CAMERA)
    assert gone is not None and gone.outside == 1 and gone.visible == 0
    behind = evidence.partition(0, pose("turn right 180 degrees"), CAMERA)
    assert behind is not None and behind.behind == 1
    still = evidence.partition(0, SE3.identity(), CAMERA)
    assert still is not None and still.visible == 1


def test_a_line_of_sight_through_what_was_never_seen_is_no_answer() -> None:
    """From 0.5 m to the right, b's near edge (0.6 m right, 4 m) is seen past the shadow that a throws."""
    photo = small_photo()
    space = FreeSpace(photo)
    points = torch.tensor(
        [[0, 0, 1.9], [0, 0, 3], [0.9, 0, 3], [0, 0, 4.05], [0, 0, 1.0], [3.0, 0, 1.7], [3.0, 0, 2.0]],
        dtype=torch.float64,
    )
    # Before the square; in its shadow; beside it; behind the wall; near; near and outside the picture; outside it.
    assert space.is_free(points).tolist() == [True, False, True, False, True, True, False]
    assert space.z_always == pytest.approx(1.8)
    wall = torch.tensor([[0.0, 0, 3.9], [0.5, 0, 3.9]], dtype=torch.float64)
    assert space.sees(wall, torch.tensor([1.0, 0, 0], dtype=torch.float64)).tolist() == [False, True]
    evidence = PhotoEvidence(photo)
    # From 2 m to the right, half of a's own sight line beyond 1.8 m runs inside the picture; b's runs outside it.
    assert evidence.partition(1, pose("move right 2 meters; turn left 30 degrees"), CAMERA) is None
    assert evidence.is_seen(wall, SE3.identity()).tolist() == [False, True]


def test_motions_are_symmetric_small_and_reproducible() -> None:
    motions = photo_transitions(np.random.default_rng(5), 400)
    assert [m.text() for m in motions] == [m.text() for m in photo_transitions(np.random.default_rng(5), 400)]
    assert all(PHOTO_PRESET.contains(m) and PHOTO_PRESET.contains(m.mirrored()) for m in motions)
    assert {len(m) for m in motions} == {1, 2}
    right = sum(a.signed_amount > 0 for m in motions for a in m if a.kind.axis != "z")
    both = sum(a.kind.axis != "z" for m in motions for a in m)
    # A fair coin over ~ 400 throws: 5 standard deviations are 0.125.
    assert abs(right / both - 0.5) < 0.125
    assert all(a.amount <= (15 if a.kind.is_turn else 0.6) for m in motions for a in m)


def test_the_mirrors_of_presets_families_are_families() -> None:
    kinds = {f.kinds for f in PHOTO_PRESET.single + PHOTO_PRESET.multi}
    assert len(PHOTO_PRESET.single) == 6 and len(PHOTO_PRESET.multi) == 24
    assert {tuple(k if k.axis == "z" else k.opposite for k in ks) for ks in kinds} == kinds
