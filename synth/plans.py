"""Camera poses for an action sequence, as each teacher reads them: its frames, its intrinsics, its scale.

All poses are T_cam0_cam (camera to first camera; x right, y down, z forward; the first is the identity).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geom.actions import Action, ActionKind, ActionSequence, check_step_count, micro_steps, parse_actions
from geom.camera import PinholeCamera
from geom.se3 import SE3

DEFAULT_IMAGE_SIZE = (640, 480)
DEFAULT_HFOV = math.radians(60.0)

SVC_FRAME_SIZE = 576
"""SVC scales an anchor's short side to this and crops the centre, pixels."""
SVC_LONG_SIDE_FOV = math.radians(54.0)
"""What SVC assumes along the longer side when nothing is known about the camera."""

_SVC_AT_CENTRE = 1e-5
"""Within this of its centre SVC takes the first camera to be at it."""

HY_STEP_M, HY_STEP_DEG = 0.08, 3.0
"""One latent of HY-WorldPlay."""
HY_LATENT_MULTIPLE = 4
HY_IMAGE_SIZE = (1920, 1080)
HY_K = ((969.6969696969696, 0.0, 960.0), (0.0, 969.6969696969696, 540.0), (0.0, 0.0, 1.0))
"""The one K that HY-WorldPlay uses for every image."""

_HY_KEYS = {
    "w": ActionKind.FORWARD,
    "s": ActionKind.BACKWARD,
    "a": ActionKind.LEFT,
    "d": ActionKind.RIGHT,
    "left": ActionKind.TURN_LEFT,
    "right": ActionKind.TURN_RIGHT,
}
_HY_KEY_OF = {kind: key for key, kind in _HY_KEYS.items()}


def plan(
    actions: ActionSequence | str,
    convention: str = "theodolite",
    *,
    per_frame: bool = False,
    image_size: tuple[int, int] | None = None,
    hfov: float | None = None,
) -> dict[str, Any]:
    """Return the poses, K and scale of an action sequence in a teacher's convention, ready for JSON.

    Always there: `convention`, `actions` (text), `T_cam0_cam` (list of 4 x 4), `K` (3 x 3, pixels),
    `image_size` (what K belongs to), `key_frame_indices` (the pose before the first and after each action),
    `scale` (`metric`, or the teacher's unit) and `scale_note`. A teacher adds what it alone reads.

    Args:
        actions: a sequence, or its text.
        convention: `theodolite`; `svc` (a pose per video frame; adds the K of its 576 x 576 frames and the
            camera_scale that keeps metres); `hy_worldplay` (a pose per latent, padded; adds frame count,
            pose string, and pose JSON).
        per_frame: theodolite only: a pose for every step of at most 0.2 m or 5 degrees, not one per action.
        image_size: (width, height), pixels; of the anchor image for svc.
        hfov: horizontal field of view, radians. For svc 54 degrees along the longer side unless given.

    Raises:
        ValueError: if there is no action, the text or the camera is not valid, the convention is unknown, the steps are
            more than geom.actions.MOST_STEPS, or a camera is given to hy_worldplay, whose K is fixed.

    >>> [T[2][3] for T in plan("move forward 0.5 meters; turn left 30 degrees")["T_cam0_cam"]]
    [0.0, 0.5, 0.5]
    """
    actions = parse_actions(actions) if isinstance(actions, str) else actions
    if not actions:
        raise ValueError("a plan needs at least one action, got none; was the sequence cancelled out?")
    if convention not in _PLANNERS:
        raise ValueError(f"convention must be one of {', '.join(_PLANNERS)}, got {convention!r}")
    if image_size is not None and min(image_size) < 1:
        raise ValueError(f"image_size must be (width, height) in pixels, above zero, got {image_size}")
    start = {"convention": convention, "actions": actions.text()}
    return start | _PLANNERS[convention](actions, per_frame, image_size, hfov)


def _plan_theodolite(
    actions: ActionSequence, per_frame: bool, image_size: tuple[int, int] | None, hfov: float | None
) -> dict[str, Any]:
    groups = micro_steps(actions) if per_frame else tuple(ActionSequence((a,)) for a in actions)
    camera = PinholeCamera.from_hfov(DEFAULT_HFOV if hfov is None else hfov, *(image_size or DEFAULT_IMAGE_SIZE))
    note = "metres and degrees as commanded"
    return _common(_poses(groups), camera, _key_frames(groups), "metric", note)


def _plan_svc(
    actions: ActionSequence, per_frame: bool, image_size: tuple[int, int] | None, hfov: float | None
) -> dict[str, Any]:
    groups = micro_steps(actions)
    T_cam0_cam = _poses(groups)
    width, height = image_size or (SVC_FRAME_SIZE, SVC_FRAME_SIZE)
    long_side = math.tan(SVC_LONG_SIDE_FOV / 2) * width / max(width, height)
    camera = PinholeCamera.from_hfov(2 * math.atan(long_side) if hfov is None else hfov, width, height)
    camera_scale = svc_camera_scale(T_cam0_cam.t)
    return _common(T_cam0_cam, camera, _key_frames(groups), "camera_scale", _svc_note(camera_scale)) | {
        "num_frames": len(T_cam0_cam.t),
        "camera_scale": camera_scale,
        "frame_size": [SVC_FRAME_SIZE, SVC_FRAME_SIZE],
        "K_frame": svc_frame_intrinsics(camera).K.tolist(),
    }


def _svc_note(camera_scale: float | None) -> str:
    if camera_scale is None:
        return "not applicable: the camera only turns, so no length reaches SVC"
    return (
        "SVC recentres on the mean camera and rescales the first camera's distance from it to camera_scale;"
        " this value keeps metres if all frames go through one forward pass"
    )


def _plan_hy(
    actions: ActionSequence, per_frame: bool, image_size: tuple[int, int] | None, hfov: float | None
) -> dict[str, Any]:
    if image_size is not None or hfov is not None:
        raise ValueError("hy_worldplay has one fixed K for 1920 x 1080, got an image size or field of view; omit it")
    check_step_count(a.amount / _hy_step(a) for a in actions)
    groups = tuple(hy_latents(a) for a in actions)
    T_cam0_cam = _pad(_poses(groups), HY_LATENT_MULTIPLE)
    camera = PinholeCamera(torch.tensor(HY_K, dtype=torch.float64), *HY_IMAGE_SIZE)
    note = "the teacher's own unit: 0.08 per latent, read as metres"
    common = _common(T_cam0_cam, camera, _key_frames(groups), "hy_unit", note)
    poses = {str(i): {"K": common["K"], "extrinsic": T} for i, T in enumerate(common["T_cam0_cam"])}
    return common | {
        "num_padding_poses": len(poses) - 1 - sum(map(len, groups)),
        "video_length": 4 * len(poses) - 3,
        "pose_string": hy_pose_string(actions),
        "pose_json": poses,
    }


_PLANNERS: dict[str, Callable[..., dict[str, Any]]] = {
    "theodolite": _plan_theodolite,
    "svc": _plan_svc,
    "hy_worldplay": _plan_hy,
}


def _common(T_cam0_cam: SE3, camera: PinholeCamera, key_frames: list[int], scale: str, note: str) -> dict[str, Any]:
    # Adding 0.0 turns -0.0 into 0.0.
    return {
        "T_cam0_cam": (T_cam0_cam.matrix() + 0.0).tolist(),
        "K": camera.K.tolist(),
        "image_size": [camera.width, camera.height],
        "key_frame_indices": key_frames,
        "scale": scale,
        "scale_note": note,
    }


def _poses(groups: Iterable[ActionSequence]) -> SE3:
    return sum(groups, ActionSequence()).poses()


def _key_frames(groups: Iterable[ActionSequence]) -> list[int]:
    return list(accumulate(map(len, groups), initial=0))


def svc_frame_intrinsics(
    camera: PinholeCamera, size: tuple[int, int] = (SVC_FRAME_SIZE, SVC_FRAME_SIZE)
) -> PinholeCamera:
    """Return the camera of SVC's frames from that of the anchor image: scaled to cover them, cropped at the centre.

    SVC keeps K in anchor pixels beside the frame's width and height; the two must not be used together.

    >>> hfov = svc_frame_intrinsics(PinholeCamera.from_hfov(math.pi / 2, 1024, 768)).hfov
    >>> round(math.degrees(hfov), 1)
    73.7
    """
    whole, frame = camera.K.new_tensor([camera.width, camera.height]), camera.K.new_tensor(size)
    K = camera.K.clone()
    cover = (frame / whole).max()
    K[..., :2, :] *= cover
    K[..., :2, 2] -= (cover * whole - frame) / 2
    return PinholeCamera(K, *size)


def svc_camera_scale(t_cam0_cam: Float[Tensor, "n 3"]) -> float | None:
    """Return the camera_scale at which SVC sees a path in its own metres; None if the camera stays in place.

    SVC subtracts its centre (`svc_centre`), then scales the first camera to the distance camera_scale from it; where
    the first camera is at the centre, to 1e-5, it multiplies by camera_scale instead (`get_value_dict` in seva/eval.py
    of Stability-AI/stable-virtual-camera, 3629451).

    >>> svc_camera_scale(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 1.0]]))
    0.5
    """
    if float((t_cam0_cam - t_cam0_cam[0]).abs().max()) < 1e-6:
        return None
    distance = float(torch.linalg.vector_norm(t_cam0_cam[0] - svc_centre(t_cam0_cam)))
    return round(distance, 9) if distance > _SVC_AT_CENTRE else 1.0


def svc_units_per_m(t_cam0_cam: Float[Tensor, "n 3"], camera_scale: float) -> float | None:
    """Return how many of its units SVC sees for each metre of a path; None if the camera stays in place."""
    exact = svc_camera_scale(t_cam0_cam)
    return None if exact is None else camera_scale / exact


def svc_centre(t_cam0_cam: Float[Tensor, "n 3"]) -> Float[Tensor, " 3"]:
    """Return what SVC subtracts: the mean position, without those ten times as far from the median as 97 % are.

    It matters where nearly all frames share one position: a short move after a long turn is left out of the mean.
    """
    distance = torch.linalg.vector_norm(t_cam0_cam - t_cam0_cam.median(0).values, dim=-1)
    return t_cam0_cam[distance <= (10 * torch.quantile(distance, 0.97)).clamp(max=1e6)].mean(0)


def hy_latents(action: Action) -> ActionSequence:
    """Split an action into HY-WorldPlay's latents: whole steps of 0.08 m or 3 degrees, then the rest.

    Raises:
        ValueError: if there are more than geom.actions.MOST_STEPS.

    >>> hy_latents(parse_actions("TL_10")[0]).tokens()
    ('TL_3', 'TL_3', 'TL_3', 'TL_1')
    """
    step = _hy_step(action)
    check_step_count([action.amount / step])
    count = math.floor(action.amount / step + 1e-9)
    rest = round(action.amount - count * step, 6)
    return ActionSequence((Action(action.kind, step),) * count + ((Action(action.kind, rest),) if rest > 1e-6 else ()))


def _hy_step(action: Action) -> float:
    return HY_STEP_DEG if action.kind.is_turn else HY_STEP_M


def hy_pose_string(actions: ActionSequence) -> str | None:
    """Write HY-WorldPlay's pose string (`w-3, left-10`); None unless every action is whole latents.

    Its `left` turns left, as ours does: the published data generator's turn words are mirrored, not this.

    >>> hy_pose_string(parse_actions("FWD_0.24; TL_30; LEFT_0.08")), hy_pose_string(parse_actions("FWD_0.1"))
    ('w-3, left-10, a-1', None)
    """
    groups = [hy_latents(a) for a in actions]
    if any(group[-1].amount != _hy_step(group[0]) for group in groups):
        return None
    return ", ".join(f"{_HY_KEY_OF[group[0].kind]}-{len(group)}" for group in groups)


def parse_pose_string(text: str) -> ActionSequence:
    """Read HY-WorldPlay's pose string, one action per entry.

    Raises:
        ValueError: if an entry is not `w|s|a|d|left|right-<count above 0>`; `up` and `down` pitch the camera, for
            which there is no action.

    >>> parse_pose_string("w-3, right-1").text()
    'move forward 0.24 meters; turn right 3 degrees'
    """
    return ActionSequence(tuple(map(_pose_string_entry, text.split(","))))


def _pose_string_entry(entry: str) -> Action:
    key, _, count = entry.strip().partition("-")
    if key in ("up", "down"):
        raise ValueError(f"a pose string must stay level here, got {entry.strip()!r}; there is no pitch action")
    if key not in _HY_KEYS or not (count.isascii() and count.isdigit() and int(count) > 0):
        raise ValueError(
            f"an entry must be w, s, a, d, left or right, a hyphen, a count above 0, got {entry.strip()!r}"
        )
    kind = _HY_KEYS[key]
    return Action(kind, round(int(count) * (HY_STEP_DEG if kind.is_turn else HY_STEP_M), 9))


def _pad(T_cam0_cam: SE3, multiple: int) -> SE3:
    """Repeat the last pose until the number of poses is a multiple."""
    count = T_cam0_cam.shape[0]
    wanted = multiple * math.ceil(count / multiple)
    return T_cam0_cam[torch.arange(wanted).clamp(max=count - 1)]
