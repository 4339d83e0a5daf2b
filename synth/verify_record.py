"""One question against the second implementation: its words, its answer, and everything its proof says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from geom.actions import parse_actions
from synth import prompts
from synth.answers import Answer, BoxAnswer, ClaimAnswer, IdentityAnswer, MotionAnswer, VisibilityAnswer
from synth.case import FINE_GRID_DEG, FINE_GRID_M, GRID_DEG, GRID_M, LATTICE, MIN_OVERLAP
from synth.dataset import Mismatch
from synth.evidence import MIN_BOX_IOU
from synth.record import image_paths, messages
from synth.tasks_motion import MAX_EQUIVALENTS, MIN_DISPLACEMENT
from synth.tasks_object import GONE, MAX_OTHER_IOU, STILL_THERE
from synth.twin import Array, TwinCamera, displacement
from synth.twin_motion import Steps, equal_motions, motion_matrix, read_steps
from synth.twin_recorded import TwinPixels
from synth.verify_form import MIRRORED, Fault, form_faults
from synth.verify_scene import POSE_TOLERANCE, SceneFiles, actions_of
from synth.worlds import ANOTHER_MOTION, MIN_WITNESS

SHARE_TOLERANCE = 0.01
BOX_TOLERANCE = 1e-3
"""Of the image's width and height."""
VISIBLE_BOX_PX = 1.0 + 1e-6
"""A pixel on a silhouette may fall to either side."""


def check_record(files: SceneFiles, task: dict[str, Any], proof: dict[str, Any]) -> list[Mismatch]:
    """Compare one question and its proof with what the second implementation finds."""
    traj_id = proof["transition"]["traj_id"]
    traj = files.trajectories[traj_id]
    checks = (
        _identity_faults,
        form_faults,
        _transition_faults,
        _word_faults,
        _item_faults,
        _box_faults,
        _answer_faults,
    )
    return [Mismatch(str(proof["id"]), *fault) for check in checks for fault in check(files, traj, task, proof)]


def _identity_faults(files: SceneFiles, traj: Any, task: Any, proof: Any) -> Iterator[Fault]:
    expected = f"{files.scene['scene_id']}-{traj['traj_id']}-{proof['task_type']}-{proof['variant']}"
    if proof["id"] != expected:
        yield "id", proof["id"], expected
    if task["task_type"] != proof["task_type"]:
        yield "task_type", task["task_type"], proof["task_type"]


def _transition_faults(files: SceneFiles, traj: Any, task: Any, proof: Any) -> Iterator[Fault]:
    said = proof["transition"]
    expected = {
        "scene_id": files.scene["scene_id"],
        "traj_id": traj["traj_id"],
        "teacher": traj["teacher"],
        "frames": [0, 1],
        "image_size": [traj["width"], traj["height"]],
        "actions": actions_of(traj),
    }
    for key, value in expected.items():
        if said[key] != value:
            yield f"transition.{key}", said[key], value
    for key in ("K", "T_world_cam"):
        if not np.abs(np.array(said[key]) - np.array(traj[key])).max() <= POSE_TOLERANCE:
            yield f"transition.{key}", said[key], traj[key]
    for key in ("scale", "motion"):
        if proof[key] != traj[key]:
            yield key, proof[key], traj[key]


def _word_faults(files: SceneFiles, traj: Any, task: Any, proof: Any) -> Iterator[Fault]:
    kind, variant = proof["task_type"], proof["variant"]
    expected = messages(kind, variant, proof["asked"], _typed(proof["answer"]))
    if task["messages"] != expected:
        yield "messages", task["messages"], expected
    images = image_paths(files.scene["scene_id"], traj["traj_id"])[: prompts.PHRASINGS[kind, variant].num_images]
    if task["images"] != images:
        yield "images", task["images"], images
    asked = proof["asked"]
    if asked.get("actions", actions_of(traj)) != actions_of(traj):
        yield "asked.actions", asked["actions"], actions_of(traj)
    if asked.get("num_actions", steps := len(read_steps(actions_of(traj)))) != steps:
        yield "asked.num_actions", asked["num_actions"], steps
    if proof["items"] and asked["label"] != (label := files.twin.kinds[_item(files, proof["items"][0])]):
        yield "asked.label", asked["label"], label


_TYPES = {cls.type: cls for cls in (MotionAnswer, BoxAnswer, ClaimAnswer, VisibilityAnswer, IdentityAnswer)}


def _typed(answer: dict[str, Any]) -> Answer:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in answer.items() if k != "type"}
    return _TYPES[answer["type"]](**fields)


def _item(files: SceneFiles, item: dict[str, Any]) -> int:
    return files.twin.item_ids.index(item["item_id"])


def _item_faults(files: SceneFiles, traj: Any, task: Any, proof: Any) -> Iterator[Fault]:
    for n, item in enumerate(proof["items"]):
        index = _item(files, item)
        if item["kind"] != files.twin.kinds[index]:
            yield f"items[{n}].kind", item["kind"], files.twin.kinds[index]
        for frame, when in enumerate(("before", "after")):
            for key, said, value in _sight_faults(files, traj["traj_id"], frame, index, item[when]):
                yield f"items[{n}].{when}.{key}", said, value
        yield from _witness_faults(files, traj, n, index, item)


def _witness_faults(files: SceneFiles, traj: Any, n: int, index: int, item: Any) -> Iterator[Fault]:
    """What another outline than geometry says of an item, and that it agrees."""
    twin = files.twin
    expected = twin.witness(index, *traj["scene_frames"]) if isinstance(twin, TwinPixels) else None
    said = item.get("witness")
    if (said is None) != (expected is None) or (said is not None and not abs(said - expected) <= SHARE_TOLERANCE):
        yield f"items[{n}].witness", said, expected
    if said is not None and said < MIN_WITNESS:
        yield f"items[{n}].witness", said, f"at least {MIN_WITNESS}"


def twin_sight(files: SceneFiles, traj_id: str, frame: int, item: int) -> dict[str, Any]:
    """Boxes and shares of an item by the second implementation, found once per pose."""
    cam = files.camera(traj_id, frame)
    key = (item, cam.T_world_cam.tobytes(), cam.K.tobytes())
    if key not in files.cache:
        amodal = files.twin.amodal_box(item, cam)
        visible = files.twin.visible_box(item, cam, amodal)
        shares = _twin_shares(files, item, cam, fine=False)
        files.cache[key] = {"amodal_box": amodal, "visible_box": visible, "shares": shares}
    return files.cache[key]


def _twin_shares(files: SceneFiles, item: int, cam: TwinCamera, *, fine: bool) -> dict[str, Any] | None:
    shares = files.twin.partition(item, cam, fine=fine)
    if shares:
        ids = [*files.twin.item_ids, "room"]  # -1 is the room
        shares["hidden_by"] = {ids[i]: share for i, share in shares["hidden_by"].items()}
    return shares


def _sight_faults(files: SceneFiles, traj_id: str, frame: int, item: int, said: Any) -> Iterator[Fault]:
    expected, cam = twin_sight(files, traj_id, frame, item), files.camera(traj_id, frame)
    size = np.array([cam.width, cam.height] * 2)
    for key, tolerance in (("amodal_box", BOX_TOLERANCE * size), ("visible_box", np.full(4, VISIBLE_BOX_PX))):
        if not _same_box(said[key], expected[key], tolerance):
            yield key, said[key], expected[key].tolist()
    faults = list(_share_faults(said, expected["shares"]))
    if faults:
        # Too few rays, or a real difference: look again with many more.
        faults = list(_share_faults(said, _twin_shares(files, item, cam, fine=True)))
    yield from faults


def _share_faults(said: Any, shares: dict[str, Any] | None) -> Iterator[Fault]:
    if shares is None or said["visible"] is None:
        if shares is not None or said["visible"] is not None:
            yield "visible", said["visible"], shares and shares["visible"]
        return
    for key in ("visible", "hidden", "outside", "behind"):
        if not abs(said[key] - shares[key]) <= SHARE_TOLERANCE:
            yield key, said[key], shares[key]
    yield from _hidden_by_faults(said["hidden_by"], shares["hidden_by"])


def _hidden_by_faults(said: dict[str, float], expected: dict[str, float]) -> Iterator[Fault]:
    for item_id in sorted(said.keys() | expected.keys()):
        if not abs(said.get(item_id, 0.0) - expected.get(item_id, 0.0)) <= SHARE_TOLERANCE:
            yield f"hidden_by[{item_id}]", said.get(item_id), expected.get(item_id)


def _same_box(said: list[float] | None, expected: Array, tolerance: Array) -> bool:
    if said is None or np.isnan(expected).any():
        # Only a sliver at the border of the image may be there for one and not for the other.
        box = expected if said is None else np.array(said)
        return bool(np.isnan(box).any() or (box[2:] - box[:2] <= tolerance[:2]).any())
    return bool((np.abs(np.array(said) - expected) <= tolerance).all())


def _box_faults(files: SceneFiles, traj: Any, task: Any, proof: Any) -> Iterator[Fault]:
    """Boxes that the question gives are those of the items, or where a mirrored motion would put one."""
    for n, box in enumerate(proof["boxes"]):
        cam = files.camera(traj["traj_id"], box["image"])
        expected = _box_meant(files, traj, proof, box)
        if not _same_box(box["box_px"], expected, BOX_TOLERANCE * np.array([cam.width, cam.height] * 2)):
            yield f"boxes[{n}].box_px", box["box_px"], expected.tolist()
        words = {(0, "question"): proof["asked"].get("box"), (1, "question"): proof["asked"].get("box_after")}
        in_words = words.get((box["image"], box["role"]), proof["answer"].get("box_1000"))
        if in_words != (rounded := thousandths(box["box_px"], cam)):
            yield f"boxes[{n}] in words", in_words, rounded


def thousandths(box: list[float], cam: TwinCamera) -> list[int]:
    """A pixel box in whole thousandths of the image, half to even."""
    size = (cam.width, cam.height) * 2
    return [int(min(max(round(v / s * 1000), 0), 1000)) for v, s in zip(box, size, strict=True)]


def _box_meant(files: SceneFiles, traj: Any, proof: Any, box: Any) -> Array:
    if box["image"] == 1 and proof["margins"].get("reason") == MIRRORED:
        return files.twin.amodal_box(_item(files, proof["items"][0]), mirrored_camera(files, traj))
    which = proof["items"][-1] if box["image"] == 1 else proof["items"][0]
    return twin_sight(files, traj["traj_id"], box["image"], _item(files, which))["amodal_box"]


def mirrored_camera(files: SceneFiles, traj: Any) -> TwinCamera:
    """Where the mirrored motion would have taken the camera."""
    before = files.camera(traj["traj_id"], 0)
    swap = {"left": "right", "right": "left", "turn_left": "turn_right", "turn_right": "turn_left"}
    steps = tuple((swap.get(word, word), amount) for word, amount in read_steps(actions_of(traj)))
    return TwinCamera(before.K, before.width, before.height, before.T_world_cam @ motion_matrix(steps))


def _answer_faults(files: SceneFiles, traj: Any, task: Any, proof: Any) -> Iterator[Fault]:
    yield from _ANSWER_CHECKS[proof["task_type"]](files, traj, proof)


def _motion_faults(files: SceneFiles, traj: Any, proof: Any) -> Iterator[Fault]:
    answer, done = proof["answer"], actions_of(traj)
    if answer["actions"] != done:
        yield "answer.actions", answer["actions"], done
    steps = read_steps(done)
    texts = list(equal_motions(steps, *_grid(steps)))
    if sorted(answer["equivalents"]) != texts:
        yield "answer.equivalents", answer["equivalents"], texts
    if done not in texts or len(texts) > MAX_EQUIVALENTS:
        yield "answer", done, f"a motion on the grid that has at most {MAX_EQUIVALENTS} spellings"
    if len(steps) != proof["asked"]["num_actions"]:
        yield "asked.num_actions", proof["asked"]["num_actions"], len(steps)


def _grid(steps: Steps) -> tuple[float, float]:
    """The coarse grid if all sizes are on it, else the fine one."""
    units = [GRID_DEG if word.startswith("turn") else GRID_M for word, _ in steps]
    off = [abs(amount / unit - round(amount / unit)) for (_, amount), unit in zip(steps, units, strict=True)]
    return (GRID_M, GRID_DEG) if max(off) <= 1e-6 else (FINE_GRID_M, FINE_GRID_DEG)


def _claim_faults(files: SceneFiles, traj: Any, proof: Any) -> Iterator[Fault]:
    margins, claim = proof["margins"], proof["margins"]["claim"]
    if proof["asked"]["claim"] != (words := parse_actions(claim).claim()):
        yield "asked.claim", proof["asked"]["claim"], words
    before = files.camera(traj["traj_id"], 0)
    T = before.T_world_cam @ motion_matrix(read_steps(claim))
    after = files.camera(traj["traj_id"], 1)
    done = before.T_world_cam @ motion_matrix(read_steps(actions_of(traj)))
    is_true = bool(np.abs(T - done).max() <= POSE_TOLERANCE)
    others = {actions_of(other) for other in files.trajectories.values()}
    if margins["reason"] == ANOTHER_MOTION and claim not in others:
        yield "margins.claim", claim, f"a motion of this scene, such as {min(others)}"
    if proof["answer"]["is_true"] != is_true or (margins["reason"] == "true") != is_true:
        yield "answer.is_true", proof["answer"]["is_true"], is_true
    claimed = TwinCamera(after.K, after.width, after.height, T)
    shift = displacement(files.twin, after, claimed, lattice=LATTICE, min_overlap=MIN_OVERLAP)
    if not abs(margins["displacement"] - (0 if is_true else shift)) <= 0.002 + 0.02 * shift:
        yield "margins.displacement", margins["displacement"], shift
    if not is_true and not shift >= 0.9 * MIN_DISPLACEMENT:
        yield "margins.displacement", shift, f"at least {MIN_DISPLACEMENT}"


def _box_answer_faults(files: SceneFiles, traj: Any, proof: Any) -> Iterator[Fault]:
    boxes = [box["box_px"] for box in proof["boxes"] if box["role"] == "answer"]
    if boxes != [proof["answer"]["box_px"]]:
        yield "answer.box_px", proof["answer"]["box_px"], boxes
    yield from _clean_faults(files, traj, proof, (0, 1))


def _visibility_faults(files: SceneFiles, traj: Any, proof: Any) -> Iterator[Fault]:
    if proof["margins"] != {"gone_at_most": GONE, "still_there_at_least": STILL_THERE}:
        yield "margins", proof["margins"], {"gone_at_most": GONE, "still_there_at_least": STILL_THERE}
    shares = twin_sight(files, traj["traj_id"], 1, _item(files, proof["items"][0]))["shares"]
    visible = shares["visible"]
    if not (visible <= GONE + SHARE_TOLERANCE or visible >= STILL_THERE - SHARE_TOLERANCE):
        yield "items[0].after.visible", visible, "a share outside the margin"
    if proof["answer"]["is_gone"] != (is_gone := bool(visible < (GONE + STILL_THERE) / 2)):
        yield "answer.is_gone", proof["answer"]["is_gone"], is_gone
    yield from _clean_faults(files, traj, proof, (0,))


def _cause_faults(files: SceneFiles, traj: Any, proof: Any) -> Iterator[Fault]:
    yield from _motion_faults(files, traj, proof)
    yield from _clean_faults(files, traj, proof, (0, 1))


def _identity_answer_faults(files: SceneFiles, traj: Any, proof: Any) -> Iterator[Fault]:
    own = twin_sight(files, traj["traj_id"], 1, _item(files, proof["items"][0]))["amodal_box"]
    box = np.array(proof["boxes"][1]["box_px"])
    is_same = bool(iou(own, box) >= 0.5)
    if proof["answer"]["is_same"] != is_same or (proof["margins"]["reason"] == "same object") != is_same:
        yield "answer.is_same", proof["answer"]["is_same"], is_same
    if not is_same and not iou(own, box) <= MAX_OTHER_IOU + 0.01:
        yield "boxes[1]", iou(own, box), f"an overlap of at most {MAX_OTHER_IOU} with the object's own box"
    if len(kinds := {item["kind"] for item in proof["items"]}) > 1:
        yield "items", sorted(kinds), "one kind"
    yield from _clean_faults(files, traj, proof, (0, 1))


def _clean_faults(files: SceneFiles, traj: Any, proof: Any, frames: tuple[int, ...]) -> Iterator[Fault]:
    """A box is given or asked only where amodal and visible box nearly coincide."""
    for frame in frames:
        sight = twin_sight(files, traj["traj_id"], frame, _item(files, proof["items"][0]))
        overlap = iou(sight["amodal_box"], sight["visible_box"])
        # A pixel either way on a small box.
        if not overlap >= MIN_BOX_IOU - 0.1:
            yield f"items[0] in image {frame}", overlap, f"boxes that coincide by {MIN_BOX_IOU}"


def iou(a: Array, b: Array) -> float:
    """Intersection over union of two boxes; 0 with a box that is NaN."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.prod(np.maximum(high - low, 0))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common
    return float(common / union) if union > 0 else 0.0


_ANSWER_CHECKS = {
    "A1": _motion_faults,
    "A2": _motion_faults,
    "A3": _motion_faults,
    "A4": _claim_faults,
    "D1": _box_answer_faults,
    "D2": _visibility_faults,
    "D3": _cause_faults,
    "D4": _identity_answer_faults,
}
