"""The second implementation agrees with the engine where both can answer, on seeded rooms and on cases done by hand."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geom.actions import Action, ActionKind, ActionSequence, parse_actions
from geom.boxes import amodal_boxes
from geom.camera import PinholeCamera
from geom.inversion import shortest_sequences
from geom.raycast import cast
from geom.scale import Scale
from geom.se3 import SE3
from synth.case import LATTICE, MIN_OVERLAP, Case
from synth.evidence import RoomEvidence, Sight
from synth.free_space import sample_anchor
from synth.rooms import make_room
from synth.scene import Light, ObjectInstance, Part, Scene
from synth.transition import ROOM, Trajectory, Transition, View
from synth.twin import TwinCamera, TwinRoom, displacement
from synth.twin_motion import equal_motions, motion_matrix, read_steps

SEEDS = range(3)
NUM_RAYS = 400
KEYS = ("visible", "hidden", "outside", "behind")
CAMERA = PinholeCamera.from_hfov(math.radians(75), 96, 72)
MOTIONS = ("move forward 0.5 meters", "turn right 140 degrees", "move left 0.4 meters; turn left 25 degrees")


class Place(NamedTuple):
    evidence: RoomEvidence
    twin: TwinRoom
    T_world_anchor: SE3


@cache
def place(seed: int) -> Place:
    scene = make_room(seed)
    twin = TwinRoom(json.loads(scene.to_json()))
    return Place(RoomEvidence(scene), twin, sample_anchor(scene, np.random.default_rng(seed)))


def poses(seed: int) -> list[SE3]:
    anchor = place(seed).T_world_anchor
    return [anchor, *(anchor @ parse_actions(text).pose() for text in MOTIONS)]


def twin_camera(T_world_cam: SE3, camera: PinholeCamera = CAMERA) -> TwinCamera:
    return TwinCamera(camera.K.numpy(), camera.width, camera.height, T_world_cam.matrix().numpy())


def rendered(evidence: RoomEvidence, T_world_cam: SE3) -> View:
    """Every pixel by Embree."""
    hit = evidence.caster.cast(T_world_cam.t, T_world_cam.rotate(CAMERA.rays(CAMERA.pixel_centers())))
    owner = torch.where(hit.prim_idx >= 0, evidence.primitives.item_idx[hit.prim_idx], ROOM)
    return View(hit.t.float().numpy(), owner.numpy().astype(np.int16))


@pytest.mark.parametrize("text", [*MOTIONS, "turn right 350 degrees", "move backward 0.3 meters; move right 1 meters"])
def test_a_motion_ends_where_the_engine_says(text: str) -> None:
    expected = parse_actions(text).pose().matrix().numpy()
    np.testing.assert_allclose(motion_matrix(read_steps(text)), expected, atol=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "move forward 0.5 meters",
        "turn left 180 degrees",
        "move left 0.3 meters; move forward 0.5 meters",
        "turn right 60 degrees; move forward 1 meters",
        "move forward 6.4 meters; turn right 180 degrees",
        "move left 0.3 meters; move forward 0.5 meters; turn right 20 degrees",
        "turn left 90 degrees; move forward 0.4 meters; turn left 90 degrees",
        "move forward 0.4 meters; turn right 45 degrees; move left 0.4 meters",
        "move forward 0.2 meters; move left 0.1 meters; move backward 0.1 meters",
    ],
)
def test_every_spelling_of_a_motion_is_found_by_solving_and_by_walking_through_all(text: str) -> None:
    solved = shortest_sequences(parse_actions(text).pose(), num_actions=len(parse_actions(text)))
    walked = equal_motions(read_steps(text), 0.1, 5.0)
    assert text in walked
    assert list(walked) == sorted(sequence.text() for sequence in solved)


@settings(max_examples=40)
@given(data=st.data())
def test_spellings_agree_on_motions_drawn_at_random(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(list(ActionKind)), min_size=1, max_size=3))
    sizes = [data.draw(st.integers(1, 36 if kind.is_turn else 30)) for kind in kinds]
    actions = ActionSequence(
        tuple(Action(k, n * 5 if k.is_turn else round(n * 0.1, 9)) for k, n in zip(kinds, sizes, strict=True))
    )
    solved = shortest_sequences(actions.pose(), num_actions=len(actions))
    assert list(equal_motions(read_steps(actions.text()), 0.1, 5.0)) == sorted(s.text() for s in solved)


@pytest.mark.parametrize("seed", SEEDS)
def test_rays_meet_what_the_analytic_caster_meets(seed: int) -> None:
    evidence, twin, _ = place(seed)
    rng, met = np.random.default_rng(seed), set()
    for T_world_cam in poses(seed):
        uv = rng.uniform(0, (CAMERA.width, CAMERA.height), (NUM_RAYS, 2))
        hit = cast(evidence.primitives, T_world_cam.t, T_world_cam.rotate(CAMERA.rays(torch.from_numpy(uv))))
        z, owner = twin.surface(twin_camera(T_world_cam), *uv.T)
        np.testing.assert_allclose(z, hit.t.numpy(), rtol=1e-9)
        assert owner.tolist() == evidence.primitives.item_idx[hit.prim_idx].tolist()
        met |= set(owner.tolist())
    assert len(met) > 4


@pytest.mark.parametrize("seed", SEEDS)
def test_amodal_boxes_are_the_engines(seed: int) -> None:
    evidence, twin, _ = place(seed)
    found = 0
    for T_world_cam in poses(seed):
        exact, in_view = amodal_boxes(evidence._solid, T_world_cam.inverse(), CAMERA, len(evidence.kinds))
        for item, (box, is_in_view) in enumerate(zip(exact.numpy(), in_view.tolist(), strict=True)):
            twins = twin.amodal_box(item, twin_camera(T_world_cam))
            if is_in_view and (box[2:] - box[:2]).min() > 0.1:
                np.testing.assert_allclose(twins, box, atol=0.02)
                found += 1
            else:
                assert np.isnan(twins).any() or (twins[2:] - twins[:2]).min() < 0.2
    assert found > 25


@pytest.mark.parametrize("seed", SEEDS)
def test_visible_boxes_bound_the_pixels_that_an_item_owns(seed: int) -> None:
    evidence, twin, anchor = place(seed)
    sight = Sight(evidence, anchor, CAMERA, rendered(evidence, anchor))
    for item in np.flatnonzero(np.isfinite(sight.visible[:, 0])):
        amodal = twin.amodal_box(int(item), twin_camera(anchor))
        assert twin.visible_box(int(item), twin_camera(anchor), amodal).tolist() == sight.visible[item].tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_of_every_item_are_those_of_the_evidence(seed: int) -> None:
    """Both sample, each in its own way, so that they agree to about 1 / sqrt(2000) of what is near a border."""
    evidence, twin, anchor = place(seed)
    errors = []
    for item in range(len(evidence.kinds)):
        exact, twins = evidence.partition(item, anchor, CAMERA), twin.partition(item, twin_camera(anchor))
        assert exact is not None and twins is not None
        assert sum(twins[key] for key in KEYS) == pytest.approx(1)
        by, by_twin = dict(exact.hidden_by), twins["hidden_by"]
        errors += [abs(twins[key] - getattr(exact, key)) for key in KEYS]
        errors += [abs(by_twin.get(j, 0) - by.get(j, 0)) for j in by.keys() | by_twin.keys()]
    assert max(errors) < 0.015
    assert np.mean(errors) < 0.001


@pytest.mark.parametrize("seed", SEEDS)
def test_displacement_is_that_of_the_case(seed: int) -> None:
    evidence, twin, anchor = place(seed)
    actions, *claims = map(parse_actions, (*MOTIONS, "turn left 5 degrees", "move forward 0.6 meters"))
    case = make_case(evidence, anchor, actions)
    true = twin_camera(case.after.T_world_cam)
    for claim in claims:
        claimed = twin_camera(anchor @ claim.pose())
        shift = displacement(twin, true, claimed, lattice=LATTICE, min_overlap=MIN_OVERLAP)
        assert shift == pytest.approx(case.displacement(claim.pose()), rel=0.01)
    assert displacement(twin, true, true, lattice=LATTICE, min_overlap=MIN_OVERLAP) == pytest.approx(0, abs=1e-9)


def make_case(evidence: RoomEvidence, anchor: SE3, actions: ActionSequence) -> Case:
    T_world_cam = SE3.stack([anchor, anchor @ actions.pose()])
    traj = Trajectory("t", CAMERA, T_world_cam, actions, actions, Scale("metric", "test"))
    before, after = (Sight(evidence, T, CAMERA, rendered(evidence, T)) for T in (T_world_cam[0], T_world_cam[1]))
    order = tuple(range(len(evidence.kinds)))
    return Case(Transition("s", traj, before.view, after.view), before, after, lambda rng: None, order)


# A camera of f = 100 px at the origin looks along world +y; the picture is 200 x 100, its centre at (100, 50).
AHEAD = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
BY_HAND = TwinCamera(np.array([[100.0, 0, 100], [0, 100, 50], [0, 0, 1]]), 200, 100, AHEAD)


def twin_of(*parts: Part) -> TwinRoom:
    items = tuple(ObjectInstance(f"a_{n}", "a", (0, 0, 0), 0.0, (part,)) for n, part in enumerate(parts))
    return TwinRoom(json.loads(Scene("s", 0, (4, 4, 2.5), items, (), Light((1, 1, 2))).to_json()))


def test_boxes_by_hand() -> None:
    """A cube of side 1 from y = 2: its near face is 50 px wide. A ball of radius 1 at 2 m: tan 30 deg is 57.7 px."""
    twin = twin_of(Part("box", (0, 2.5, 0), (0.5, 0.5, 0.5)), Part("ellipsoid", (0, 2, 0), (1, 1, 1)))
    assert twin.amodal_box(0, BY_HAND).tolist() == pytest.approx([75, 25, 125, 75])
    half = 100 / math.sqrt(3)
    assert twin.amodal_box(1, BY_HAND).tolist() == pytest.approx([100 - half, 0, 100 + half, 100])


def test_an_item_half_behind_the_camera_reaches_the_border_of_the_image() -> None:
    """A beam from y = -1 to y = 1, right of the axis: its far end is at x / y = 0.5 and 0.7, the rest further right."""
    twin = twin_of(Part("box", (0.6, 0, 0), (0.1, 1, 0.05)), Part("box", (0, -3, 0), (1, 1, 1)))
    assert twin.amodal_box(0, BY_HAND).tolist() == pytest.approx([150, 0, 200, 100])
    assert np.isnan(twin.amodal_box(1, BY_HAND)).all()


def test_shares_by_hand() -> None:
    """A plate whose left half is behind another, nearer one; and a plate of which the right half is out of the image.

    From 2 m the half angle of the image is 45 degrees: x = 2.
    """
    plate = Part("box", (0, 2, 0), (0.5, 0.001, 0.5))
    screen = Part("box", (-0.5, 1, 0), (0.5, 0.001, 0.5))
    cut = Part("box", (2, 2, 0), (0.2, 0.001, 0.2))
    twin = twin_of(plate, screen, cut)
    half = twin.partition(0, BY_HAND)
    assert half is not None
    assert half["visible"] == pytest.approx(0.5, abs=0.005) and half["hidden_by"] == {1: pytest.approx(0.5, abs=0.005)}
    outside = twin.partition(2, BY_HAND)
    assert outside is not None and outside["behind"] == 0
    # Nearer to the camera, the left half spans a little more than half of the solid angle.
    assert 0.45 < outside["outside"] < 0.5 and outside["visible"] == pytest.approx(1 - outside["outside"])


def test_what_is_behind_the_camera_is_neither_hidden_nor_outside() -> None:
    shares = twin_of(Part("ellipsoid", (0, -3, 0), (1, 1, 1))).partition(0, BY_HAND)
    assert shares is not None
    assert shares["behind"] == pytest.approx(1) and shares["visible"] == shares["hidden"] == shares["outside"] == 0


def test_two_views_with_nothing_in_common_are_displaced_by_the_whole_width() -> None:
    wall = twin_of(Part("box", (0, 3, 0), (3, 0.1, 3)))
    behind = TwinCamera(BY_HAND.K, 200, 100, AHEAD @ motion_matrix((("turn_right", 180.0),)))
    assert displacement(wall, BY_HAND, behind, lattice=LATTICE, min_overlap=MIN_OVERLAP) == 1.0


@pytest.mark.parametrize("text", ["move up 1 meters", "turn left 30 meters", "move left 1 degrees", "go left 1 meters"])
def test_steps_that_are_not_in_the_canonical_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="an action must read"):
        read_steps(text)
