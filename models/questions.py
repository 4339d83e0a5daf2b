"""The questions of a dataset on disk for those who answer them: what a question says, apart from what is true."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from numpy.typing import NDArray

from geom.actions import ActionSequence, parse_actions
from geom.boxes import denormalise_box
from geom.camera import PinholeCamera
from synth.answers import Answer, BoxAnswer, ClaimAnswer, IdentityAnswer, MotionAnswer, VisibilityAnswer
from synth.dataset import find_subsets, read_rows
from synth.exact import Truth, ground_truth, read_truth
from synth.files import json_bytes, read_raster, write_whole
from synth.prompts import answer_text
from synth.record import messages
from synth.safe_read import inside, read_picture

UNDECIDED = "undecided"
"""The response of who cannot tell; it reads as no answer and scores 0."""

Box = tuple[float, float, float, float]

_SAID = {
    "A1": (),
    "A2": (),
    "A3": ("num_actions",),
    "A4": ("claim",),
    "D1": ("label", "box", "actions"),
    "D2": ("label", "box", "actions"),
    "D3": ("label", "box", "box_after", "num_actions"),
    "D4": ("label", "box", "box_after", "actions"),
}
"""What the words of each task say."""

_ANSWERS = {kind.type: kind for kind in (MotionAnswer, BoxAnswer, ClaimAnswer, VisibilityAnswer, IdentityAnswer)}


@dataclass(frozen=True, eq=False)
class Public:
    """What an answerer may know of a question: what its words and pictures say, and K. No id, and no path: in a
    dataset these tell the kind of motion.

    Args:
        asked: what the words name, by `synth.prompts`' names: label, num_actions, actions and claim (text), box and
            box_after (thousandths of the picture).
        pictures: sRGB, one or two, before and after the motion.
        K: intrinsics of both views, pixels.
        image_size: width and height, pixels.
    """

    task_type: str
    variant: str
    asked: Mapping[str, Any]
    pictures: tuple[UInt8[NDArray, "h w 3"], ...]
    K: Float[NDArray, "3 3"]
    image_size: tuple[int, int]

    @property
    def camera(self) -> PinholeCamera:
        """The camera of both views, float64."""
        return PinholeCamera(torch.from_numpy(self.K), *self.image_size)

    @property
    def num_actions(self) -> int | None:
        """How many actions the camera carried out, where the words say it: one line, one turn, or a number."""
        return 1 if self.task_type in ("A1", "A2") else self.asked.get("num_actions")

    @property
    def actions(self) -> ActionSequence | None:
        """The motion that the words tell: what the camera does (D1, D2, D4), or is claimed to have done (A4)."""
        text = self.asked.get("actions", self.asked.get("claim"))
        return None if text is None else parse_actions(text)

    @property
    def box_px(self) -> Box | None:
        """The box in the first picture, pixels, as exactly as the words say it."""
        return self._pixels("box")

    @property
    def box_after_px(self) -> Box | None:
        """The box in the second picture that the words give (D3, D4), pixels."""
        return self._pixels("box_after")

    def _pixels(self, name: str) -> Box | None:
        if name not in self.asked:
            return None
        x1, y1, x2, y2 = denormalise_box(self.asked[name], *self.image_size).tolist()
        return x1, y1, x2, y2


@dataclass(frozen=True, eq=False)
class Asked:
    """A question of a dataset: where its pictures lie, what it says, and, for training and grading, what is true.

    Answerers get `public()` alone.

    Args:
        group: subset and scene; what is split and resampled together.
        paths: of the pictures that the question shows, absolute.
        truth: the proof, as it stands in the dataset.
    """

    id: str
    task_type: str
    variant: str
    scene_id: str
    group: str
    paths: tuple[Path, ...]
    image_size: tuple[int, int]
    K: Float[NDArray, "3 3"]
    asked: Mapping[str, Any]
    truth: Mapping[str, Any]

    def public(self) -> Public:
        """What an answerer may know; reads the pictures.

        Raises:
            ValueError: if a picture cannot be read, or is not of the size that the proof says.
        """
        pictures = tuple(read_picture(path) for path in self.paths)
        for path, picture in zip(self.paths, pictures, strict=True):
            _check_size(path, picture, self.image_size)
        return Public(self.task_type, self.variant, self.asked, pictures, self.K, self.image_size)

    def response(self, answer: Answer | None) -> str:
        """The answer in the words that the question asks for; UNDECIDED for None."""
        return UNDECIDED if answer is None else answer_text(self.task_type, self.variant, answer, dict(self.asked))


def read_questions(root: Path, *, scenes: Container[str] | None = None) -> list[Asked]:
    """The questions of a dataset, in its order.

    Args:
        root: folder of the dataset, or of one subset of it.
        scenes: scene_ids to read; None for all.

    Raises:
        ValueError: if there is no dataset, it has labels without pictures, a path leads out of it, or the words of a
            question are not those that its proof gives.
    """
    return [one for subset in find_subsets(root) for one in _read_subset(subset, scenes)]


def _read_subset(subset: Path, scenes: Container[str] | None) -> Iterator[Asked]:
    for task, proof in read_rows(subset):
        try:
            if scenes is None or proof["transition"]["scene_id"] in scenes:
                yield _asked(subset, task, proof)
        except KeyError as error:
            raise ValueError(
                f"question {task.get('id')!r} of {subset} lacks {error}, or it is no known value; `theodolite verify`"
                " says what else does not hold"
            ) from None


def _asked(subset: Path, task: dict[str, Any], proof: dict[str, Any]) -> Asked:
    where = proof["transition"]
    width, height = where["image_size"]
    one = Asked(
        task["id"],
        task["task_type"],
        proof["variant"],
        where["scene_id"],
        f"{subset.name}/{where['scene_id']}",
        tuple(_picture(subset, name) for name in task["images"]),
        (width, height),
        np.array(where["K"], np.float64),
        {name: proof["asked"][name] for name in _SAID[task["task_type"]]},
        proof,
    )
    if task["messages"] != _messages(one):
        raise ValueError(
            f"the words of question {one.id} in {subset} must be those of its proof, but they differ; was the dataset"
            " edited, or made by another version? `theodolite verify` says more"
        )
    return one


def _picture(subset: Path, name: Any) -> Path:
    path = inside(subset, name).absolute()
    if not path.is_file():
        raise ValueError(
            f"questions are answered from their pictures, but {path} is missing; was the dataset made with"
            " --labels-only? make it again without"
        )
    return path


def _check_size(path: Path, picture: NDArray[np.uint8], size: tuple[int, int]) -> None:
    if picture.shape[1::-1] != size:
        raise ValueError(
            f"{path} must have the {size[0]} x {size[1]} pixels that K is for, got {picture.shape[1]} x"
            f" {picture.shape[0]}; was it resized?"
        )


def _messages(one: Asked) -> list[dict[str, str]]:
    return messages(one.task_type, one.variant, dict(one.asked), true_answer(one))


def true_answer(one: Asked) -> Answer:
    """The right answer: for training and grading alone."""
    answer = one.truth["answer"]
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in answer.items() if k != "type"}
    return _ANSWERS[answer["type"]](**fields)


def exact_truth(one: Asked) -> Truth:
    """What `synth.exact` grades answers by: for training and grading alone."""
    task = {"task_type": one.task_type, "messages": _messages(one)}
    return read_truth(ground_truth(task, one.truth))


def true_z_depth(one: Asked) -> Float32[NDArray, "h w"]:
    """z-depth of the first view, metres, NaN where unknown: for training, and for who is given it and says so.

    Raises:
        ValueError: if the dataset has none.
    """
    path = one.paths[0].parent.parent / "depth" / one.paths[0].name
    if not path.is_file():
        raise ValueError(f"{path} is missing: the first view of {one.id} has no depth picture")
    mm = read_raster(path)
    return np.where(mm > 0, mm.astype(np.float32) / np.float32(1000), np.float32(np.nan))


def write_answers(path: Path, answers: Iterable[tuple[Asked, Answer | None]]) -> None:
    """Write answers as `theodolite score` reads them: lines of id and response; None is UNDECIDED."""
    write_whole(path, (json_bytes({"id": one.id, "response": one.response(answer)}) for one, answer in answers))
