"""Outlines lifted by depth, against a room's own solids; and which outlines of different frames are one object."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recordings import poses, simulated_room

from geom.camera import PinholeCamera
from geom.se3 import SE3
from geom.visibility import Partition
from synth.identity import Labelled, same_objects
from synth.objects import Instance, Instances
from synth.pixels import MIN_POINTS, PixelFrame, PixelsEvidence, first_item, nearest_in_bins, smooth_pixels
from synth.transition import UNKNOWN, View
from synth.twin import TwinCamera
from synth.twin_recorded import TwinPixels


@pytest.fixture(scope="module")
def room():
    return simulated_room()


@pytest.fixture(scope="module")
def frames(room) -> tuple[PixelFrame, ...]:
    views = [(T, room.view(T)) for T in poses(room)]
    z = [np.rint(view.z_depth * 1000).astype(np.float32) / np.float32(1000) for _, view in views]
    return tuple(
        PixelFrame(room.camera, T, View(depth, view.item_idx, view.image))
        for (T, view), depth in zip(views, z, strict=True)
    )


@pytest.fixture(scope="module")
def evidence(room, frames) -> PixelsEvidence:
    return PixelsEvidence(room.evidence.item_ids, room.evidence.kinds, frames)


def test_shares_are_those_of_the_solids(room, frames, evidence: PixelsEvidence) -> None:
    """Of an object that some frame shows whole; the pixels of the frame that is looked at take no part."""
    misses = []
    for i in range(len(evidence.kinds)):
        whole = [
            f for f in frames if (p := room.evidence.partition(i, f.T_world_cam, room.camera)) and p.visible > 0.95
        ]
        for frame in frames if len(whole) >= 2 else ():
            ours, true = (e.partition(i, frame.T_world_cam, room.camera) for e in (evidence, room.evidence))
            if isinstance(ours, Partition) and isinstance(true, Partition):
                misses.append(abs(ours.visible - true.visible))
    assert len(misses) >= 40
    assert np.median(misses) < 0.02 and np.quantile(misses, 0.9) < 0.1


def test_an_object_that_no_other_frame_shows_has_no_box(room, frames) -> None:
    first = frames[0]
    blank = [
        PixelFrame(f.camera, f.T_world_cam, View(f.view.z_depth, np.full_like(f.view.item_idx, -1))) for f in frames[1:]
    ]
    alone = PixelsEvidence(room.evidence.item_ids, room.evidence.kinds, (first, *blank))
    assert np.isnan(alone.boxes(first.T_world_cam, room.camera)).all()
    assert alone.partition(0, first.T_world_cam, room.camera) is None


def test_the_witness_of_right_outlines_agrees_and_of_shifted_ones_does_not(frames, evidence: PixelsEvidence) -> None:
    items = range(len(evidence.kinds))
    right = [w for i in items for f in range(1, len(frames)) if (w := evidence.witness(i, 0, f)) is not None]
    assert len(right) > 10 and min(right) > 0.8
    moved = [
        PixelFrame(f.camera, f.T_world_cam, View(f.view.z_depth, np.roll(f.view.item_idx, 40, 1))) for f in frames[1:]
    ]
    wrong = PixelsEvidence(evidence.item_ids, evidence.kinds, (frames[0], *moved))
    shares = [w for i in items for f in range(1, len(frames)) if (w := wrong.witness(i, 0, f)) is not None]
    assert np.median(shares) < 0.5


def test_nothing_is_said_where_too_little_depth_is_measured(room, frames) -> None:
    hole = np.full_like(frames[0].view.z_depth, np.nan)
    nobody = np.full_like(frames[0].view.item_idx, UNKNOWN)
    blind = PixelFrame(room.camera, frames[0].T_world_cam, View(hole, nobody))
    evidence = PixelsEvidence(room.evidence.item_ids, room.evidence.kinds, (blind, *frames[1:]))
    assert all(evidence.partition(i, blind.T_world_cam, room.camera) is None for i in range(len(evidence.kinds)))


def test_an_object_does_not_hide_its_own_far_side() -> None:
    """A point behind a surface is hidden by what owns it, unless that is the object itself."""
    camera, owner = PinholeCamera.from_hfov(1.0, 40, 30), np.zeros((30, 40), np.int16)
    owner[:, 20:] = 1
    frame = PixelFrame(camera, SE3.identity(), View(np.full((30, 40), 2.0, np.float32), owner))
    points = torch.tensor([[-0.5, 0.0, 3.0], [0.5, 0.0, 3.0], [0.5, 0.0, 2.0], [9.0, 0.0, 3.0]]).double()
    assert first_item(frame, points, 0).tolist() == [0, 1, 0, 0]


def test_smooth_pixels_leave_out_what_flies_at_an_edge() -> None:
    z = np.full((20, 20), 2.0, np.float32)
    z[10, 10], z[5, 5] = 2.5, np.nan
    kept = smooth_pixels(z, np.ones((20, 20), bool))
    assert len(kept) == 398
    assert not (kept == [10, 10]).all(1).any() and not (kept == [5, 5]).all(1).any()


@given(seed=st.integers(0, 1000), size=st.floats(0.01, 0.2))
def test_the_nearest_of_each_bin_is_kept_wherever_the_camera_stands(seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(200, 3))
    center = torch.from_numpy(rng.normal(size=3))
    near = torch.from_numpy(direction) + center
    both = torch.cat([center + 3 * torch.from_numpy(direction), near])
    kept = nearest_in_bins(both, center, size)
    assert len(kept) == len(nearest_in_bins(near, center, size))
    assert all(float((near - p).norm(dim=-1).min()) < 1e-9 for p in kept)


def test_bins_have_equal_solid_angles() -> None:
    """Points all over a sphere, so many that every bin is met: as many are kept as bins of that size fit."""
    points = np.random.default_rng(0).normal(size=(60_000, 3))
    size = 0.1
    kept = nearest_in_bins(torch.from_numpy(points), torch.zeros(3).double(), size)
    assert len(kept) == pytest.approx(4 * math.pi / size**2, rel=0.05)


def nameless(frames: tuple[PixelFrame, ...], kinds: tuple[str, ...]) -> list[Labelled]:
    """The frames as if each had been outlined by itself, in another order every time."""
    labelled = []
    for n, frame in enumerate(frames):
        items = np.random.default_rng(n).permutation([i for i in np.unique(frame.view.item_idx) if i >= 0]).tolist()
        index = np.full(frame.view.item_idx.shape, -1, np.int16)
        for place, item in enumerate(items):
            index[frame.view.item_idx == item] = place
        found = Instances(index, tuple(Instance(kinds[item], None) for item in items))
        labelled.append(Labelled(frame.camera, frame.T_world_cam, frame.view.z_depth, found))
    return labelled


def test_nameless_outlines_are_joined_as_the_objects_are(room, frames) -> None:
    ids, kinds, owners = same_objects(nameless(frames, room.evidence.kinds))
    assert len(set(ids)) == len(ids) == len(kinds)
    split = joined = pairs = 0
    true_of: dict[int, set[int]] = {}
    for frame, owner in zip(frames, owners, strict=True):
        for item in np.unique(owner[owner >= 0]).tolist():
            true_of.setdefault(item, set()).update(np.unique(frame.view.item_idx[owner == item]).tolist())
    joined = sum(len(true) > 1 for true in true_of.values())
    big = {
        i
        for f in frames
        for i in np.unique(f.view.item_idx)
        if i >= 0 and (f.view.item_idx == i).sum() > 4 * MIN_POINTS
    }
    for item in big:
        pairs += 1
        split += sum(item in true for true in true_of.values()) > 1
    assert joined == 0, "two objects were taken for one"
    assert pairs > 5 and split <= pairs // 3, "one object was taken for several"


def test_an_outline_around_two_objects_joins_them_not() -> None:
    """Each lands on it whole, but most of it lands on neither: both ways must hold."""
    camera, z_depth = PinholeCamera.from_hfov(1.0, 40, 30), np.full((30, 40), 3.0, np.float32)
    around, two = np.full((2, 30, 40), -1, np.int16)
    around[5:25, 5:35], two[5:25, 5:17], two[5:25, 23:35] = 0, 0, 1
    found = (Instances(around, (Instance("book", None),)), Instances(two, (Instance("book", None),) * 2))
    ids, _, owners = same_objects([Labelled(camera, SE3.identity(), z_depth, each) for each in found])
    assert len(ids) == 3
    assert owners[1][10, 10] != owners[1][10, 30]


def test_named_outlines_are_one_object_wherever_they_are() -> None:
    camera = PinholeCamera.from_hfov(1.0, 20, 15)
    index = np.zeros((15, 20), np.int16)
    unknown = np.full((15, 20), np.nan, np.float32)
    labelled = [Labelled(camera, SE3.identity(), unknown, Instances(index, (Instance("cup", name),))) for name in "aba"]
    ids, kinds, owners = same_objects(labelled)
    assert (ids, kinds) == (("a", "b"), ("cup", "cup"))
    assert [int(owner[0, 0]) for owner in owners] == [0, 1, 0]


def test_the_second_implementation_agrees_at_poses_that_nobody_recorded(labelled_room: Path, tmp_path: Path) -> None:
    folder = next((labelled_room / "Recorded-RealScene" / "scenes").iterdir())
    scene = json.loads((folder / "scene.json").read_bytes())
    twin = TwinPixels(folder, scene)
    frames = tuple(
        PixelFrame(
            PinholeCamera(torch.tensor(f["K"]).double(), f["width"], f["height"]),
            SE3.from_matrix(torch.tensor(f["T_world_cam"]).double()),
            View(*(layer.astype(kind) for layer, kind in zip(twin.rasters[n], (np.float32, np.int16), strict=True))),
        )
        for n, f in enumerate(scene["frames"])
    )
    evidence = PixelsEvidence(tuple(twin.item_ids), tuple(twin.kinds), frames)
    compared = 0
    for seed in range(6):
        T = frames[0].T_world_cam @ SE3.exp(torch.from_numpy(np.random.default_rng(seed).normal(size=6) * 0.1))
        cam = TwinCamera(
            frames[0].camera.K.numpy(), *(scene["frames"][0][k] for k in ("width", "height")), T.matrix().numpy()
        )
        for i, box in enumerate(evidence.boxes(T, frames[0].camera)):
            assert np.allclose(box, twin.amodal_box(i, cam), atol=1e-6, equal_nan=True)
            compared += bool(np.isfinite(box).all())
    assert compared > 30
    shutil.rmtree(tmp_path)
