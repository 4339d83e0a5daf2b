"""Rooms drawn by torch: as Embree and numpy draw them, whatever is drawn beside them, and without Open3D."""

from __future__ import annotations

import math
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from geom import so3
from geom.camera import PinholeCamera
from geom.embree import TriangleScene
from geom.primitives import DISC, Primitives
from geom.se3 import SE3
from synth import surfaces, torch_shading, torch_view
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.scene import SHAPES, Light, Material, ObjectInstance, Part, Scene
from synth.shading import shade
from synth.stages import Stages
from synth.textures import TEXTURE_NAMES
from synth.torch_view import TorchRoom, Views
from synth.transition import ROOM, View

CAMERA = PinholeCamera.from_hfov(math.radians(70), 64, 48)
# Looks straight down from 4 m: image right is world +x, image down is world -y.
T_WORLD_DOWN = SE3(torch.tensor([[[1.0, 0, 0], [0, -1, 0], [0, 0, -1]]]), torch.tensor([[2.0, 2.0, 4.0]]))


@cache
def world(index: int) -> RoomWorld:
    return RoomWorld(GenerateConfig(num_scenes=8, seed=5, image_size=(96, 96)), index, Stages())


@cache
def pose(index: int) -> SE3:
    """The anchor, and the same place seen to the right."""
    T_world_cam = world(index).T_world_anchor
    return SE3.stack([T_world_cam, T_world_cam @ SE3.yaw_right(0.6)])


@cache
def twin(index: int) -> View:
    return world(index).view(world(index).T_world_anchor)


@cache
def views(index: int) -> Views:
    return TorchRoom.of(world(index).scene).views(world(index).camera, pose(index)[:1])


def grey_levels(index: int) -> np.ndarray:
    """By how much colours are brighter than those of the twin."""
    seen = views(index).image[0].permute(1, 2, 0).numpy().astype(int)
    return seen - np.asarray(twin(index).image).astype(int)


def floor_with(*parts: Part, light: Light) -> Scene:
    floor = Part("box", (2, 2, -0.1), (4, 4, 0.1), material=Material((0.5, 0.5, 0.5)))
    return Scene("s", 0, (4.0, 4.0, 5.0), (ObjectInstance("a_0", "a", (2, 2, 0), 0.0, parts),), (floor,), light)


@pytest.mark.parametrize("index", range(4))
def test_z_depth_and_items_are_those_of_the_twin(index: int) -> None:
    relative = np.abs(views(index).z_depth[0].numpy() / twin(index).z_depth - 1)
    assert np.mean(relative < 1e-3) >= 0.998
    assert np.mean(views(index).item_idx[0].numpy() == twin(index).item_idx) >= 0.998
    assert len(np.unique(twin(index).item_idx)) > 3


@pytest.mark.parametrize("index", range(4))
def test_colours_are_those_of_the_twin_but_for_edges_and_half_shadows(index: int) -> None:
    brighter = grey_levels(index)
    assert np.median(np.abs(brighter)) <= 1
    assert np.abs(brighter).mean() <= 8
    assert abs(brighter.mean()) <= 1.5
    assert np.asarray(twin(index).image).std() > 20


@pytest.mark.parametrize("index", range(3))
def test_away_from_edges_and_shadows_colours_are_equal(index: int) -> None:
    lit = TorchRoom.of(world(index).scene).views(world(index).camera, pose(index)[:1], shadows=False)
    difference = np.abs(lit.image[0].permute(1, 2, 0).numpy().astype(int) - np.asarray(twin(index).image).astype(int))
    assert np.mean(difference.max(-1) <= 1) > 0.6


def test_a_texture_far_away_is_as_fine_as_the_twin_draws_it() -> None:
    floor = Part("box", (2, 2, -0.1), (40, 40, 0.1), material=Material((0.6, 0.6, 0.6), "gravel", 8.0))
    scene = Scene("s", 0, (4.0, 4.0, 5.0), (), (floor,), Light((2, 2, 4.9), 0.3, 0, 1))
    slanted = SE3(T_WORLD_DOWN.R[0].double() @ so3.exp(torch.tensor([0.9, 0, 0]).double()), T_WORLD_DOWN.t[0].double())
    direction = slanted.rotate(CAMERA.rays(CAMERA.pixel_centers()))
    caster = TriangleScene(scene.primitives(), nthreads=1)
    want = shade(scene, caster, CAMERA, slanted, caster.cast(slanted.t, direction)).astype(int)
    seen = TorchRoom.of(scene).views(CAMERA, SE3.stack([slanted])).image[0].permute(1, 2, 0).numpy()
    assert np.mean(np.abs(seen - want) <= 1) > 0.98
    assert want.std() > 4


def every_look() -> Scene:
    """Each texture on each shape, turned anyhow."""
    rng = np.random.default_rng(0)
    parts = [
        Part(shape, (0, 0, 1), tuple(rng.uniform(0.1, 0.8, 3)), tuple(rng.normal(size=3)), Material(color, name, scale))
        for shape in SHAPES
        for name in sorted(TEXTURE_NAMES)
        for color, scale in [(tuple(rng.uniform(0.2, 1, 3)), rng.uniform(0.3, 1.5))]
    ]
    return floor_with(*parts, light=Light((2, 2, 4.9)))


def on_surfaces(primitives: Primitives, num: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points on each shape, world, and the shapes that they are on."""
    prim_idx = torch.arange(len(primitives)).repeat_interleave(num)
    s = torch.randn(len(prim_idx), 3, generator=torch.Generator().manual_seed(0)).double()
    size = torch.stack([s.abs().amax(-1), torch.maximum(s[:, :2].norm(dim=-1), s[:, 2].abs()), s.norm(dim=-1)])
    code = primitives.shape_code[prim_idx]
    s = s / torch.where(code == DISC, size[1], size.gather(0, code.clamp_max(2)[None])[0])[:, None]
    s[:, 2] = s[:, 2].masked_fill(code == DISC, 0)
    return primitives.T_world_prim[prim_idx].act(s * primitives.half_size[prim_idx]), prim_idx


def test_faces_and_textures_are_those_of_the_twin_on_every_shape() -> None:
    scene, eye, width = every_look(), torch.tensor([9.0, 8.0, 7.0]), 64
    p_world, prim_idx = on_surfaces(scene.primitives(), width)
    pixel_m = torch.rand(len(prim_idx), generator=torch.Generator().manual_seed(1)) ** 3 * 0.02 + 1e-4
    planes, table = p_world.T.float().contiguous(), surfaces.surface_table(scene)
    want = surfaces.faces(table, prim_idx.numpy(), list(planes.numpy()), eye.numpy())
    color = np.empty((3, len(prim_idx)), np.float32)
    surfaces.albedo(table, want, pixel_m.numpy(), width, color)
    ours = torch_shading.Surfaces.of(scene, torch.device("cpu"))
    found = torch_shading.faces(ours, prim_idx, planes, eye[:, None] - planes)
    assert np.mean(found.axis.numpy() == want.axis) > 0.999
    assert np.quantile(np.abs(found.normal.numpy() - np.stack(want.normal)), 0.999) < 1e-4
    difference = np.abs(torch_shading.albedo(ours, found, pixel_m).numpy() - color).max(0)
    # OpenCV looks texels up to a 32nd of their width.
    assert np.median(difference) < 0.002
    assert np.mean(difference < 0.05) > 0.99
    assert color.std() > 0.1


def test_more_samples_come_closer_to_the_mean_over_a_pixel() -> None:
    room, camera = TorchRoom.of(world(3).scene), world(3).camera.resize(32, 32)
    one, two = (room.views(camera, pose(3)[:1], samples=n) for n in (1, 2))
    many = room.views(camera.resize(256, 256), pose(3)[:1]).image.double()
    mean = torch.nn.functional.avg_pool2d(many, 8)
    rough, fine = ((seen.image - mean).square().mean() for seen in (one, two))
    assert fine < 0.5 * rough
    assert torch.equal(one.z_depth, two.z_depth)
    assert torch.equal(one.item_idx, two.item_idx)


def test_how_many_samples_are_worked_on_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    room, camera, found = TorchRoom.of(world(3).scene), world(3).camera.resize(32, 32), []
    for rays_at_once in (1, 5 * 32 * 32, 10**9):
        monkeypatch.setattr(torch_view, "pairs_at_once", lambda device, num=rays_at_once: num)
        found.append(room.views(camera, pose(3), samples=3).image.int())
    for image in found[1:]:
        assert ((image - found[0]).abs() <= 1).double().mean() > 0.999
    assert (room.views(camera, pose(3)).image.int() - found[0]).abs().double().mean() > 1


def test_items_alone_are_those_of_the_views() -> None:
    room, camera = TorchRoom.of(world(2).scene), world(2).camera
    assert torch.equal(room.item_idx(camera, pose(2)), room.views(camera, pose(2)).item_idx)
    assert len(room.item_idx(camera, pose(2)).unique()) > 3


def test_the_lamp_throws_no_shadow_of_itself() -> None:
    scene = world(0).scene
    below = torch.tensor([scene.light.position]).double() - torch.tensor([0.0, 0.0, 0.5])
    looks_up, room = SE3.from_translation(below), TorchRoom.of(scene)
    lit, bare = (room.views(CAMERA, looks_up, shadows=on).image for on in (True, False))
    assert (lit == bare).double().mean() > 0.99


def test_equal_inputs_give_equal_bytes() -> None:
    again = TorchRoom.of(world(0).scene).views(world(0).camera, pose(0)[:1])
    for name in ("image", "z_depth", "item_idx"):
        assert torch.equal(getattr(again, name), getattr(views(0), name))


def test_views_of_a_batch_are_those_of_each_alone() -> None:
    room, wide = TorchRoom.of(world(1).scene), PinholeCamera.from_hfov(math.radians(90), 96, 96)
    cameras = PinholeCamera(torch.stack([world(1).camera.K, wide.K]), 96, 96)
    both = room.views(cameras, pose(1))
    assert not torch.equal(both.image[0], both.image[1])
    for i, camera in enumerate((world(1).camera, wide)):
        alone = room.views(camera, pose(1)[i : i + 1])
        # The order of sums in a product of matrices depends on its size, so a pixel on an edge may fall on either side.
        assert (alone.z_depth[0] / both.z_depth[i] - 1).abs().median() < 1e-6
        assert (alone.item_idx[0] == both.item_idx[i]).double().mean() > 0.999
        assert ((alone.image[0].int() - both.image[i].int()).abs() <= 1).double().mean() > 0.998


def test_a_room_moved_with_its_camera_looks_the_same() -> None:
    """Turned by a quarter about the lamp: nothing prefers an axis of the world."""
    seen = []
    for yaw in (0.0, math.pi / 2):
        pillar = Part("box", (0.6, 0, 0.4), (0.3, 0.5, 0.4), material=Material((0.8, 0.3, 0.1)))
        place = ObjectInstance("a_0", "a", (2, 2, 0), yaw, (pillar,))
        scene = floor_with(pillar, light=Light((2, 2, 4.9)))
        scene = Scene("s", 0, scene.room_size, (place,), scene.shell, scene.light)
        turn = torch.tensor([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]])
        T_world_cam = SE3(turn.float() @ T_WORLD_DOWN.R, T_WORLD_DOWN.t)
        seen.append(TorchRoom.of(scene).views(CAMERA, T_world_cam))
    first, second = seen
    assert (first.item_idx == 0).sum() > 50
    assert (first.item_idx == second.item_idx).double().mean() > 0.99
    assert (first.image.int() - second.image.int()).abs().double().mean() < 1


@pytest.mark.parametrize("side", [-1, 1])
def test_light_from_one_side_throws_the_shadow_to_the_other(side: int) -> None:
    pillar = Part("box", (0, 0, 0.4), (0.1, 0.1, 0.4))
    scene = floor_with(pillar, light=Light((2 + side * 1.9, 2, 2.5), 0.1, 6, 0.2))
    image = TorchRoom.of(scene).views(CAMERA, T_WORLD_DOWN).image[0].double().mean(0)
    # The floor is 5.6 m wide in the picture; 0.35 m from the middle is 4 px.
    left, right = image[23:25, 26:29].mean(), image[23:25, 35:38].mean()
    bright, dark = (left, right) if side == -1 else (right, left)
    assert dark < 0.8 * bright
    bare = TorchRoom.of(scene).views(CAMERA, T_WORLD_DOWN, shadows=False).image[0].double().mean(0)
    assert (bare >= image).all()
    assert (bare[23:25, 26:29] if side == 1 else bare[23:25, 35:38]).mean() > 1.2 * dark


def test_where_nothing_is_met_there_is_no_depth_no_item_and_no_light() -> None:
    scene = floor_with(Part("disc", (0, 0, 0.5), (0.5, 0.5, 1)), light=Light((2, 2, 4)))
    seen = TorchRoom.of(Scene("s", 0, scene.room_size, scene.items, (), scene.light)).views(CAMERA, T_WORLD_DOWN)
    missed = seen.item_idx == ROOM
    assert torch.equal(seen.z_depth.isnan(), missed)
    assert seen.image.amax(1)[missed].max() == 0
    assert seen.image.amin(1)[~missed].min() > 20
    assert seen.z_depth[~missed].sub(3.5).abs().max() < 1e-5
    assert 0 < int((~missed).sum()) < missed.numel()


def test_the_precision_of_the_training_around_it_changes_nothing() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16):
            seen = TorchRoom.of(world(0).scene).views(world(0).camera, pose(0)[:1])
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(seen.z_depth, views(0).z_depth)
    assert torch.equal(seen.image, views(0).image)


def test_the_device_changes_nothing_that_matters(device: torch.device) -> None:
    seen = TorchRoom.of(world(0).scene, device).views(world(0).camera, pose(0)[:1])
    assert seen.image.device.type == device.type
    assert (seen.item_idx.cpu() == views(0).item_idx).double().mean() > 0.998
    assert ((seen.image.cpu().int() - views(0).image.int()).abs() <= 1).double().mean() > 0.99


def test_poses_without_a_batch_and_no_samples_are_refused() -> None:
    room = TorchRoom.of(floor_with(Part("box", (0, 0, 1), (0.2, 0.2, 0.2)), light=Light((2, 2, 4))))
    with pytest.raises(ValueError, match=r"poses of shape \(n,\) and samples >= 1, got \(\) and 1"):
        room.views(CAMERA, T_WORLD_DOWN[0])
    with pytest.raises(ValueError, match=r"samples >= 1, got \(1,\) and 0"):
        room.views(CAMERA, T_WORLD_DOWN, samples=0)


def test_open3d_is_not_needed() -> None:
    code = """
import sys, torch
sys.modules["open3d"] = None
from geom import PinholeCamera, SE3
from synth.rooms import make_room
from synth.textures import TEXTURE_NAMES
from synth.torch_view import TorchRoom
T_world_cam = SE3(torch.tensor([[[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]]), torch.tensor([[2.0, 1.0, 1.4]]))
seen = TorchRoom.of(make_room(3)).views(PinholeCamera.from_hfov(1.2, 16, 16), T_world_cam)
assert seen.z_depth.isfinite().all() and seen.image.float().std() > 1
"""
    root = Path(__file__).parents[1]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
