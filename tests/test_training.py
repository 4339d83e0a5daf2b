"""Training: the loss falls, a few pairs are learned by heart, an interrupted run ends like an unbroken one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lightning
import pytest
import torch
from head_cases import TINY, room
from torch.utils.data import DataLoader, Subset

from geom import so3
from geom.se3 import SE3
from models.claims import mirrored
from models.data import PairData
from models.fit import FitConfig
from models.model import camera_of
from models.module import HeadModule, augmented, errors
from models.pairs import Pairs
from models.room_plan import RoomConfig
from models.stream import HELD_OUT, Onward, Parts, Rooms
from models.weights import CONFIG, WEIGHTS, load_model, save_model


def trainer(folder: Path, epochs: int, **more) -> lightning.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    quiet |= {"enable_checkpointing": False}
    return lightning.Trainer(default_root_dir=folder, max_epochs=epochs, accelerator="cpu", **quiet, **more)


def test_a_head_learns_eight_pairs_by_heart() -> None:
    torch.manual_seed(0)
    model, pairs = TINY.build(), room()[0:8]
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    first = errors(model, pairs)
    losses = []
    for step in range(250):
        loss = sum(model.losses(pairs, torch.Generator().manual_seed(step)).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    last = errors(model, pairs)
    assert losses[-1] < losses[0] / 3
    for name, most in {"rotation_deg": 8.0, "translation_share": 0.3, "box": 0.1}.items():
        assert sum(last[name]) / len(last[name]) < most < sum(first[name]) / len(first[name])
    with torch.no_grad():
        a, b = model.views(pairs.image, camera_of(pairs))
        true, mirrored_ = (model.is_motion(a, b, T) > 0 for T in (pairs.T_a_b, mirrored(pairs.T_a_b)))
    assert int(true.sum()) >= 7 and int(mirrored_.sum()) <= 2


ROOMS = RoomConfig(3, TINY.image_size)


def data() -> PairData:
    rooms = Rooms(ROOMS)
    return PairData(rooms, Subset(rooms, [HELD_OUT]), None, per_batch=1, batches_per_epoch=2)


def test_an_interrupted_run_ends_like_an_unbroken_one(tmp_path: Path) -> None:
    def run(epochs: int, resume: Path | None = None) -> tuple[HeadModule, lightning.Trainer]:
        module, loop = HeadModule(TINY, seed=1), trainer(tmp_path, 4, num_sanity_val_steps=0)
        if epochs < 4:
            loop.should_stop = False
            loop.callbacks.append(StopAfter(epochs))
        loop.fit(module, data(), ckpt_path=None if resume is None else str(resume), weights_only=True)
        return module, loop

    whole, _ = run(4)
    _, part = run(2)
    part.save_checkpoint(tmp_path / "half.ckpt")
    resumed, _ = run(4, tmp_path / "half.ckpt")
    for (name, a), (_, b) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
        assert torch.equal(a, b), name


class StopAfter(lightning.Callback):
    """Ends a run early, as a lost machine would."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


def test_rooms_do_not_depend_on_loader_workers_and_never_repeat() -> None:
    rooms = Rooms(ROOMS)
    assert torch.equal(rooms[1].image, Rooms(ROOMS)[1].image)
    assert not torch.equal(rooms[0].image[0], rooms[1].image[0])
    spawned = DataLoader(
        rooms, 1, sampler=[0, 1], collate_fn=Pairs.collate, num_workers=1, multiprocessing_context="spawn"
    )
    assert [torch.equal(got.image, rooms[n].image) for n, got in enumerate(spawned)] == [True, True]


def test_rooms_are_kept_once_made_and_made_again_where_the_file_is_damaged(tmp_path: Path) -> None:
    made, kept = Rooms(ROOMS)[1], Rooms(ROOMS, tmp_path)
    assert torch.equal(kept[1].image, made.image)
    (file,) = tmp_path.rglob("1.safetensors")
    changed = made[0:2]
    file.write_bytes(changed.save())
    assert len(kept[1]) == 2 and len(Rooms(replace(ROOMS, seed=4), tmp_path)[1]) > 2
    file.write_bytes(changed.save()[:-5])
    assert torch.equal(kept[1].decoy.nan_to_num(-1), made.decoy.nan_to_num(-1))
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_parts_of_rooms_are_all_of_them_once() -> None:
    whole, parts = Rooms(ROOMS), Parts(Rooms(ROOMS), 5)
    found = Pairs.collate([parts[n] for n in range(5, 10)])
    assert len(found) == len(whole[1])
    assert torch.equal(found.T_a_b.t.sort(0).values, whole[1].T_a_b.t.sort(0).values)
    with pytest.raises(ValueError, match="must be limited"):
        FitConfig(parts=3, rooms=5)


def test_numbers_go_on_and_each_process_has_its_own() -> None:
    samplers = [Onward(6, None, 0, rank, 2) for rank in (0, 1)]
    seen = []
    for epoch in range(3):
        for sampler in samplers:
            sampler.set_epoch(epoch)
            seen += list(sampler)
    assert sorted(seen) == list(range(18)) and [len(sampler) for sampler in samplers] == [3, 3]
    round_ = Onward(4, 4, 0)
    turns = []
    for epoch in range(2):
        round_.set_epoch(epoch)
        turns.append(list(round_))
    assert sorted(turns[0]) == sorted(turns[1]) == [0, 1, 2, 3] and turns[0] != turns[1]
    with pytest.raises(ValueError, match="limit of at least 1"):
        Onward(4, 0, 0)


def test_held_out_rooms_are_others() -> None:
    (batch,) = data().val_dataloader()
    assert torch.equal(batch.image, Rooms(ROOMS)[HELD_OUT].image)


def test_what_is_drawn_in_a_step_depends_on_its_number_alone() -> None:
    turned = [augmented(room(), torch.Generator().manual_seed(n)).T_a_b.t for n in range(8)]
    assert len({tuple(t.flatten().tolist()) for t in turned}) > 1
    assert torch.equal(turned[3], augmented(room(), torch.Generator().manual_seed(3)).T_a_b.t)


def test_the_answer_in_a_mirror_is_the_mirrored_one() -> None:
    """Learned from mirrored batches: of pairs known by heart, the mirrored ones have the mirrored pose."""
    torch.manual_seed(0)
    model, pairs = TINY.build(), room()[:6]
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(120):
        rng = torch.Generator().manual_seed(step)
        optimizer.zero_grad()
        sum(model.losses(augmented(pairs, rng), rng).values()).backward()
        optimizer.step()
    with torch.no_grad():
        here, there = (model.motion(*model.views(p.image, camera_of(p))).T_a_b for p in (pairs, pairs.mirrored()))
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    off = SE3(mirror[:, None] * there.R * mirror, mirror * there.t).distance(here)
    turned = so3.angle(here.R)
    assert float(torch.rad2deg(off[0]).median()) < 5 and float(turned.max()) > 0.02
    assert float((off[1] / here.t.norm(dim=-1).clamp_min(0.3)).median()) < 0.4


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    module = HeadModule(TINY)
    with torch.no_grad():
        next(iter(module.model.parameters())).fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="must be finite, but in step 0"):
        trainer(Path("."), 1, limit_train_batches=1, num_sanity_val_steps=0).fit(module, data())


def test_weights_are_read_back_and_nothing_else_is(tmp_path: Path) -> None:
    model = TINY.build()
    save_model(tmp_path / "m", TINY, model)
    config, again = load_model(tmp_path / "m")
    assert config == TINY
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    with pytest.raises(ValueError, match="holds no trained model"):
        load_model(tmp_path)
    (tmp_path / "m" / WEIGHTS).write_bytes(b"\x80\x04pickle")
    with pytest.raises(ValueError, match="m: "):
        load_model(tmp_path / "m")
    save_model(tmp_path / "m", TINY, model)
    text = (tmp_path / "m" / CONFIG).read_text()
    (tmp_path / "m" / CONFIG).write_text(text.replace('"width": 24', '"width": 48'))
    with pytest.raises(ValueError, match="must hold the numbers that config.json asks for"):
        load_model(tmp_path / "m")
