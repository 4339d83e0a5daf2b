"""Plans of rooms: drawn by torch they give the pairs that Embree gives, wherever and by however many they are made."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from head_cases import TINY
from torch import Tensor
from torch.utils.data import Subset

from models.data import PairData
from models.fit import FitConfig, fit
from models.module import HeadModule
from models.pairs import Pairs
from models.room_plan import MIN_SEEN, RoomConfig, RoomPlan, room_plan
from models.room_views import draw
from models.rooms import room_pairs
from models.stream import HELD_OUT, RoomPlans
from models.weights import load_model
from theodolite.cli import main

ROOMS = range(3)
FINE = RoomConfig(5, TINY.image_size, samples=3)
PLAIN = RoomConfig(5, TINY.image_size)


@cache
def plan(config: RoomConfig, index: int) -> RoomPlan:
    found = room_plan(config, index)
    assert found is not None
    return found


@cache
def twin(config: RoomConfig, index: int) -> Pairs:
    found = room_pairs(config, index)
    assert found is not None
    return found


def both_tell(found: Pairs, want: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs, and items of either that have the same box before: an item at the edge of a rule may be told by one."""
    off = (found.box[:, :, None, 0] - want.box[:, None, :, 0]).abs().amax(-1)
    pair, i, k = (off < 0.3).nonzero(as_tuple=True)
    assert len(pair) >= 0.9 * int(want.box[:, :, 0].isfinite().all(-1).sum()) > 0
    return pair, i, k


@pytest.mark.parametrize("config", [PLAIN, FINE], ids=["plain", "fine"])
def test_torch_draws_what_embree_draws(config: RoomConfig, device: torch.device) -> None:
    """On the CPU, and on cuda where it is there."""
    found = draw([plan(config, i) for i in ROOMS], device)
    assert found.image.device.type == device.type
    found, want = found.to("cpu"), Pairs.collate([twin(config, i) for i in ROOMS])
    assert torch.equal(found.T_a_b.R, want.T_a_b.R) and torch.equal(found.T_a_b.t, want.T_a_b.t)
    assert torch.equal(found.K, want.K)
    assert float(((found.z_depth / want.z_depth - 1).abs() < 1e-3).double().mean()) > 0.98
    assert float((found.image.int() - want.image.int()).abs().double().mean()) < (3 if config == FINE else 8)
    pair, i, k = both_tell(found, want)
    for name, most in {"box": 0.3, "decoy": 0.3, "visible": 0.08}.items():
        told = getattr(found, name)[pair, i], getattr(want, name)[pair, k]
        torch.testing.assert_close(*told, atol=most, rtol=0, equal_nan=True, msg=name)
    off = (found.visible[pair, i] - want.visible[pair, k]).abs()
    assert float(off.median()) < 0.01 and float(want.visible[pair, k, 1].std()) > 0.1
    assert float(found.visible[..., 0].nan_to_num(1).min()) >= MIN_SEEN


def test_pairs_of_a_room_are_the_same_whatever_is_drawn_beside_it() -> None:
    both, alone = draw([plan(PLAIN, 1), plan(PLAIN, 0)], "cpu"), draw([plan(PLAIN, 0)], "cpu")
    n = alone.box.shape[1]
    assert torch.equal(both.image[-len(alone) :], alone.image)
    assert torch.equal(both.box[-len(alone) :, :n].nan_to_num(-1), alone.box.nan_to_num(-1))
    assert not torch.equal(both.image[: len(alone)], alone.image)
    with pytest.raises(ValueError, match="at least one pair"):
        draw([], "cpu")


def test_a_plan_is_the_same_after_a_trip_between_processes() -> None:
    again = pickle.loads(pickle.dumps(plan(PLAIN, 2)))
    assert again.scene == plan(PLAIN, 2).scene and again.order == plan(PLAIN, 2).order
    assert torch.equal(draw([again], "cpu").image, draw([plan(PLAIN, 2)], "cpu").image)


def data(loader_workers: int) -> PairData:
    rooms = RoomPlans(PLAIN)
    held_out = Subset(rooms, [HELD_OUT])
    return PairData(rooms, held_out, None, per_batch=1, batches_per_epoch=2, loader_workers=loader_workers)


def test_plans_do_not_depend_on_loader_workers() -> None:
    alone, spawned = (list(data(workers).train_dataloader()) for workers in (0, 2))
    assert [[one.scene for one in batch] for batch in alone] == [[one.scene for one in batch] for batch in spawned]
    (held_out,) = data(0).val_dataloader()
    assert len({one.scene.scene_id for batch in (*alone, held_out) for one in batch}) == 3
    drawn = [data(0).transfer_batch_to_device(batches[1], torch.device("cpu"), 0) for batches in (alone, spawned)]
    assert torch.equal(drawn[0].image, drawn[1].image) and torch.equal(drawn[0].T_a_b.t, drawn[1].T_a_b.t)


def test_a_head_learns_from_what_torch_draws_in_mixed_precision(tmp_path: Path) -> None:
    how = FitConfig(epochs=1, batches_per_epoch=12, rooms_per_batch=1, held_out=1, samples=1, drawn_by="torch", rooms=1)
    how = replace(how, accelerator="cpu", devices=1, precision="bf16-mixed", learning_rate=3e-3)
    metrics = fit(tmp_path / "m", TINY, how, show=False)
    assert 0 < metrics["val/rotation_deg"] < 180
    pairs = draw([RoomPlans(RoomConfig(0, TINY.image_size))[0]], "cpu")
    models = HeadModule(TINY, seed=0).model, load_model(tmp_path / "m")[1]
    with torch.no_grad():
        fresh, trained = (sum(m.losses(pairs, torch.Generator().manual_seed(0)).values()) for m in models)
    assert trained < fresh - 1


def test_what_torch_cannot_draw_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for field in ("data", "kept_in"):
        with pytest.raises(ValueError, match="drawn_by torch must come without data and kept_in, got"):
            FitConfig(drawn_by="torch", **{field: str(tmp_path)})
    call = ["train", "head", "--out", str(tmp_path / "m"), "--drawn-by", "torch", "--kept-in", str(tmp_path)]
    assert main(call) == 2
    assert f"got data None and kept_in {tmp_path}" in capsys.readouterr().err


def test_open3d_is_not_needed(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["open3d"] = None
from pathlib import Path
from models.config import ModelConfig
from models.fit import FitConfig, fit
from models.room_plan import RoomConfig, room_plan
from models.room_views import draw
assert len(draw([room_plan(RoomConfig(5, (32, 32)), 0)], "cpu")) > 3
sizes = {{"encoder_width": 16, "encoder_blocks": (1, 1), "channels": 16, "width": 24, "heads": 2}}
how = FitConfig(epochs=1, batches_per_epoch=1, rooms_per_batch=1, held_out=1, samples=1, drawn_by="torch",
                accelerator="cpu", devices=1)
assert fit(Path({str(tmp_path / "m")!r}), ModelConfig(image_size=(32, 32), **sizes), how, show=False)["loss"] > 0
"""
    root = Path(__file__).parents[1]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
