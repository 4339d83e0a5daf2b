"""What must not change a label, and what must change it in one way only: move, mirror, reverse, shuffle the world."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch

from geom.actions import ActionSequence, parse_actions
from geom.camera import PinholeCamera
from geom.scale import Scale
from geom.se3 import SE3
from synth.answers import BoxAnswer, MotionAnswer
from synth.case import Case, DoesNotApply, LeftOut
from synth.dataset import read_rows
from synth.evidence import RoomEvidence, Sight
from synth.free_space import sample_anchor
from synth.pipeline import GenerateConfig, generate
from synth.presets import PRESETS
from synth.prompts import variants
from synth.rooms import make_room
from synth.scene import Part, Scene
from synth.tasks import TASKS
from synth.transition import Trajectory, Transition, View

CAMERA = PinholeCamera.from_hfov(math.radians(80), 96, 96)
SEEDS = range(4)
OBJECT_TASKS = ("D1", "D2", "D3", "D4")


def view(evidence: RoomEvidence, T_world_cam: SE3) -> View:
    hit = evidence.caster.cast(T_world_cam.t, T_world_cam.rotate(CAMERA.rays(CAMERA.pixel_centers())))
    owner = torch.where(hit.prim_idx >= 0, evidence.primitives.item_idx[hit.prim_idx], -1)
    return View(hit.t.float().numpy(), owner.numpy().astype(np.int16))


def make_case(scene: Scene, T_world_anchor: SE3, actions: ActionSequence, claim: ActionSequence) -> Case:
    evidence = RoomEvidence(scene)
    T_world_cam = SE3.stack([T_world_anchor, T_world_anchor @ actions.pose()])
    before, after = (Sight(evidence, T, CAMERA, view(evidence, T)) for T in (T_world_cam[0], T_world_cam[1]))
    traj = Trajectory("t", CAMERA, T_world_cam, actions, actions, Scale("metric", "test"))
    transition = Transition("s", traj, before.view, after.view)
    return Case(transition, before, after, lambda rng: ("size", claim), tuple(range(len(scene.items))))


def draw(seed: int) -> tuple[Scene, SE3, ActionSequence, ActionSequence]:
    rng = np.random.default_rng(seed)
    scene = make_room(seed)
    anchor = sample_anchor(scene, rng)
    kind = "single" if seed % 2 else "multi"
    actions = PRESETS["theodolite"].sample(rng, kind)[1]
    _, claim = next(PRESETS["theodolite"].neighbours(actions, rng))
    return scene, anchor, actions, claim


def answers(case: Case) -> dict[tuple[str, str], object]:
    found = {}
    for task, ask in TASKS.items():
        for variant in variants(task, only_open=False):
            try:
                found[task, variant] = ask(case, np.random.default_rng(3), variant).answer
            except (LeftOut, DoesNotApply) as cause:
                found[task, variant] = str(cause)
    return found


def turned(scene: Scene, angle: float, shift: tuple[float, float]) -> tuple[Scene, SE3]:
    """The same room, turned about the vertical and moved, and the motion that did it."""
    c, s = math.cos(angle), math.sin(angle)
    R = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    motion = SE3(R, torch.tensor([*shift, 0.0], dtype=torch.float64))

    def moved(xyz):
        return tuple(motion.act(torch.tensor(xyz, dtype=torch.float64)).tolist())

    items = tuple(replace(i, position=moved(i.position), yaw=i.yaw + angle) for i in scene.items)
    shell = tuple(replace(p, center=moved(p.center), rotvec=_turned_rotvec(p, angle)) for p in scene.shell)
    return replace(scene, items=items, shell=shell), motion


def _turned_rotvec(part: Part, angle: float):
    from scipy.spatial.transform import Rotation

    return tuple((Rotation.from_rotvec([0, 0, angle]) * Rotation.from_rotvec(part.rotvec)).as_rotvec().tolist())


def mirrored(scene: Scene) -> Scene:
    """The room seen in a mirror that stands at x = 0: every unit shape is its own mirror image."""

    def part(p: Part) -> Part:
        (x, y, z), (rx, ry, rz) = p.center, p.rotvec
        return replace(p, center=(-x, y, z), rotvec=(rx, -ry, -rz))

    items = tuple(
        replace(i, position=(-i.position[0], *i.position[1:]), yaw=-i.yaw, parts=tuple(part(p) for p in i.parts))
        for i in scene.items
    )
    return replace(scene, items=items, shell=tuple(part(p) for p in scene.shell))


def mirrored_pose(T_world_cam: SE3) -> SE3:
    flip = torch.diag(torch.tensor([-1.0, 1, 1], dtype=torch.float64))
    return SE3(flip @ T_world_cam.R @ flip, flip @ T_world_cam.t)


def same(a: object, b: object) -> bool:
    if isinstance(a, BoxAnswer) and isinstance(b, BoxAnswer):
        return bool(np.abs(np.array(a.box_px) - b.box_px).max() < 1e-3)
    return a == b


@pytest.mark.parametrize("seed", SEEDS)
def test_moving_the_whole_world_changes_no_label(seed):
    scene, anchor, actions, claim = draw(seed)
    here = answers(make_case(scene, anchor, actions, claim))
    moved, motion = turned(scene, 0.7, (3.0, -1.5))
    there = answers(make_case(moved, motion @ anchor, actions, claim))
    assert all(same(here[key], there[key]) for key in here), (here, there)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mirror_swaps_left_and_right_and_nothing_else(seed):
    scene, anchor, actions, claim = draw(seed)
    here = answers(make_case(scene, anchor, actions, claim))
    there = answers(make_case(mirrored(scene), mirrored_pose(anchor), actions.mirrored(), claim.mirrored()))
    for key, answer in here.items():
        assert same(_reflected(answer), there[key]), (key, answer, there[key])


def _reflected(answer: object) -> object:
    if isinstance(answer, MotionAnswer):
        mirrored_texts = tuple(sorted(parse_actions(t).mirrored().text() for t in answer.equivalents))
        return MotionAnswer(parse_actions(answer.actions).mirrored().text(), mirrored_texts)
    if isinstance(answer, BoxAnswer):
        x1, y1, x2, y2 = answer.box_px
        a, b, c, d = answer.box_1000
        return BoxAnswer((1000 - c, b, 1000 - a, d), (CAMERA.width - x2, y1, CAMERA.width - x1, y2))
    return answer


@pytest.mark.parametrize("seed", SEEDS)
def test_reversing_a_trajectory_inverts_the_motion(seed):
    scene, anchor, actions, claim = draw(seed)
    end = anchor @ actions.pose()
    forth = answers(make_case(scene, anchor, actions, claim))
    back = answers(make_case(scene, end, actions.reversed_(), claim.reversed_()))
    for task in ("A1", "A2", "A3"):
        there = forth[task, "open"]
        if isinstance(there, MotionAnswer):
            undone = tuple(sorted(parse_actions(t).reversed_().text() for t in there.equivalents))
            assert back[task, "open"] == MotionAnswer(actions.reversed_().text(), undone)


def test_shuffling_the_objects_changes_no_box_and_no_share():
    scene, anchor, _, _ = draw(2)
    order = np.random.default_rng(0).permutation(len(scene.items))
    shuffled = replace(scene, items=tuple(scene.items[i] for i in order))
    a, b = RoomEvidence(scene), RoomEvidence(shuffled)
    sight_a, sight_b = (Sight(e, anchor, CAMERA, view(e, anchor)) for e in (a, b))
    for new, old in enumerate(order):
        np.testing.assert_array_equal(sight_a.amodal[old], sight_b.amodal[new])
        np.testing.assert_array_equal(sight_a.visible[old], sight_b.visible[new])
        shares_a, shares_b = sight_a.partition(int(old)), sight_b.partition(new)
        named_a = {a.item_ids[i] if i >= 0 else "room": s for i, s in shares_a.hidden_by}
        named_b = {b.item_ids[i] if i >= 0 else "room": s for i, s in shares_b.hidden_by}
        assert replace(shares_a, hidden_by=()) == replace(shares_b, hidden_by=())
        assert named_a == named_b


def test_every_task_is_asked_and_every_class_of_answer_occurs(tmp_path):
    generate(tmp_path, GenerateConfig(num_scenes=6, seed=1, image_size=(96, 96), labels_only=True))
    classes = defaultdict(set)
    for _, proof in read_rows(tmp_path / "Render-SimulatedScene"):
        answer = {k: v for k, v in proof["answer"].items() if k != "type"}
        if "actions" in answer:
            classes[proof["task_type"]] |= {action.kind.value for action in parse_actions(answer["actions"])}
        else:
            classes[proof["task_type"]].add(next(iter(answer.values())) if len(answer) == 1 else "box")
    moves, turns = {"forward", "backward", "shift_left", "shift_right"}, {"turn_left", "turn_right"}
    assert classes["A1"] == moves
    assert classes["A2"] == turns
    assert classes["A3"] == moves | turns
    assert classes["D3"] >= {"forward", "turn_left", "turn_right"}
    assert classes["D1"] == {"box"}
    assert classes["A4"] == classes["D2"] == classes["D4"] == {True, False}
