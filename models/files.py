"""Pairs from a dataset on disk: what its proofs and pictures know of each transition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch.utils.data import Dataset, Subset

from geom.camera import PinholeCamera
from geom.se3 import SE3
from models.answering import resized
from models.losses import at_cells
from models.pairs import Pairs
from synth.dataset import find_subsets, read_rows
from synth.files import read_raster
from synth.safe_read import inside, read_picture
from synth.splits import assign_splits, scene_key

_UNKNOWN = float("nan")


@dataclass(frozen=True, eq=False)
class _Recorded:
    """A transition: its folder, what a proof says of it, and its items as all of its proofs say."""

    folder: Path
    transition: dict[str, Any]
    items: dict[str, dict[str, Any]]
    is_metric: bool


class DatasetPairs(Dataset[Pairs]):
    """The transitions of a dataset, one pair each, pictures in one size.

    Args:
        root: folder of the dataset, or of one subset.
        image_size: width and height, pixels; pictures are resized.

    Raises:
        ValueError: if there is no dataset, none of its transitions is in metres, or it has no pictures.
    """

    def __init__(self, root: Path, image_size: tuple[int, int]) -> None:
        self.image_size = image_size
        found: dict[tuple[Path, str, str], _Recorded] = {}
        for subset in find_subsets(root):
            for _, proof in read_rows(subset):
                key = subset, proof["transition"]["scene_id"], proof["transition"]["traj_id"]
                one = found.setdefault(key, _recorded(subset, proof))
                one.items.update({item["item_id"]: item for item in proof["items"]})
        self._all = [one for one in found.values() if one.is_metric]
        self.not_metric = len(found) - len(self._all)
        """Transitions left out, because nobody knows how long their moves are."""
        if not self._all:
            raise ValueError(f"a head learns lengths from transitions in metres, but {root} has none")

    def __len__(self) -> int:
        return len(self._all)

    def split(self) -> tuple[Subset[Pairs], Subset[Pairs]]:
        """Those to train on, and a tenth of the scenes to look at; one photograph's scenes stay together.

        Raises:
            ValueError: if there are fewer than two scenes.
        """
        keys = {folder: scene_key(folder) for folder in {one.folder.parent for one in self._all}}
        part_of = assign_splits(keys.values(), {"train": 0.9, "held_out": 0.1})
        parts = [part_of[keys[one.folder.parent]] for one in self._all]
        train, held_out = ([i for i, part in enumerate(parts) if part == name] for name in ("train", "held_out"))
        return Subset(self, train), Subset(self, held_out)

    def __getitem__(self, index: int) -> Pairs:
        """One pair.

        Raises:
            ValueError: if a picture is missing or cannot be read.
        """
        one = self._all[index]
        names = [f"{frame:03d}.png" for frame in one.transition["frames"]]
        pictures = [read_picture(_file(one.folder / "samples-rgb", name)) for name in names]
        height, width = pictures[0].shape[:2]
        camera = PinholeCamera(torch.tensor(one.transition["K"], dtype=torch.float64), width, height)
        a, b = (torch.tensor(T, dtype=torch.float64) for T in one.transition["T_world_cam"])
        T_a_b = SE3.from_matrix(a).inverse() @ SE3.from_matrix(b)
        scale = np.tile([self.image_size[0] / width, self.image_size[1] / height], 2)
        boxes, visible = _items(list(one.items.values()), scale)
        return Pairs(
            torch.stack([torch.from_numpy(resized(p, self.image_size)).permute(2, 0, 1) for p in pictures])[None],
            camera.resize(*self.image_size).K.float()[None],
            SE3(T_a_b.R.float()[None], T_a_b.t.float()[None]),
            torch.stack([torch.from_numpy(self._z_depth(one.folder / "depth" / name)) for name in names])[None],
            torch.from_numpy(boxes)[None],
            torch.from_numpy(visible)[None],
            torch.full((1, len(boxes), 4), _UNKNOWN),
        )

    def _z_depth(self, path: Path) -> Float32[NDArray, "h w"]:
        """In the size of the pictures: of each cell the pixel in its middle, no mean of what is near and far."""
        width, height = self.image_size
        if not path.is_file():
            return np.full((height, width), _UNKNOWN, np.float32)
        mm = at_cells(torch.from_numpy(read_raster(path).astype(np.float32)), height, width).numpy()
        return np.where(mm > 0, mm / np.float32(1000), np.float32(_UNKNOWN))


def _recorded(subset: Path, proof: dict[str, Any]) -> _Recorded:
    where = proof["transition"]
    folder = inside(subset, f"scenes/{where['scene_id']}/traj_{where['traj_id']}")
    return _Recorded(folder, where, {}, proof["scale"]["status"] == "metric")


def _file(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise ValueError(f"{folder / name} is missing: a head learns from pictures; were only labels made?")
    return folder / name


def _items(items: Sequence[dict[str, Any]], scale: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    """Amodal boxes, (n, 2, 4) pixels of the resized pictures, and visible shares, (n, 2)."""
    views = [[item[view] for view in ("before", "after")] for item in items]
    boxes = [[np.multiply(v["amodal_box"] or [_UNKNOWN] * 4, scale) for v in pair] for pair in views]
    shares = [[_UNKNOWN if v["visible"] is None else v["visible"] for v in pair] for pair in views]
    return np.array(boxes, np.float32).reshape(-1, 2, 4), np.array(shares, np.float32).reshape(-1, 2)
