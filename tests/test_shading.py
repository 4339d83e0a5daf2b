"""Pictures of rooms: textures that repeat without a seam, shadows that are soft and on the right side."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from geom import raycast
from geom.camera import PinholeCamera
from geom.embree import TriangleScene
from geom.raycast import Hit
from geom.se3 import SE3
from synth.scene import Light, Material, ObjectInstance, Part, Scene
from synth.shading import Shader, shade
from synth.surfaces import faces, surface_table
from synth.textures import PATTERNS, PICTURES, SIZE, TEXTURE_NAMES, gain, texture

GREY = Material((0.5, 0.5, 0.5))
CAMERA = PinholeCamera.from_hfov(math.radians(60), 128, 128)
# Looks straight down from 4 m: image right is world +x, image down is world -y.
T_WORLD_DOWN = SE3(torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]]).double(), torch.tensor([2.0, 2.0, 4.0]).double())


def floor_with(*parts: Part, light: Light, material: Material = GREY, room=(4.0, 4.0, 5.0)) -> Scene:
    floor = Part("box", (2, 2, -0.1), (4, 4, 0.1), material=material)
    items = (ObjectInstance("a_0", "a", (2, 2, 0), 0.0, parts),) if parts else ()
    return Scene("s", 0, room, items, (floor,), light)


def cast(caster, T_world_cam: SE3, camera: PinholeCamera = CAMERA) -> Hit:
    direction = T_world_cam.rotate(camera.rays(camera.pixel_centers()))
    return caster.cast(T_world_cam.t.expand_as(direction), direction)


def picture(scene: Scene, T_world_cam: SE3 = T_WORLD_DOWN) -> np.ndarray:
    caster = TriangleScene(scene.primitives(), nthreads=1)
    return shade(scene, caster, CAMERA, T_world_cam, cast(caster, T_world_cam))


@pytest.mark.parametrize("name", sorted(TEXTURE_NAMES))
def test_textures_are_complete_and_their_mean_is_one(name):
    texels = texture(name)
    assert texels.shape == (SIZE, SIZE, 3)
    assert texels.dtype == np.uint8
    assert texels.std() > 2, "a plain texture gives nothing to match"
    mean = np.square(texels / 255.0).mean() * gain(name)
    assert (name in PICTURES and gain(name) == 1) or mean == pytest.approx(1)


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_have_no_seam(name):
    texels = texture(name).astype(float)
    for axis in (0, 1):
        steps = np.abs(np.diff(texels, axis=axis)).mean(tuple({0, 1, 2} - {axis}))
        seam = np.abs(np.take(texels, 0, axis) - np.take(texels, -1, axis)).mean()
        assert seam <= steps.max() + 1.0


def test_textures_are_drawn_the_same_every_time():
    first = texture("terrazzo").copy()
    texture.cache_clear()
    assert (texture("terrazzo") == first).all()


def test_an_unknown_texture_is_refused():
    with pytest.raises(ValueError, match=r"texture must be one of .*, got 'velvet'"):
        texture("velvet")


def test_pictures_hang_upright_and_unmirrored():
    poster = Part("box", (0, 0, 0), (0.5, 0.01, 0.5), material=Material((1, 1, 1), "astronaut", glow=1.0))
    scene = Scene("s", 0, (4, 4, 4), (ObjectInstance("a", "a", (2, 2, 2), 0.0, (poster,)),), (), Light((2, 3, 3.9)))
    # From the front (+y) looking along -y: image right is world -x, image down is world -z.
    R_world_cam = torch.tensor([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]]).double()
    T_world_cam = SE3(R_world_cam, torch.tensor([2.0, 3.0, 2.0]).double())
    seen = picture(scene, T_world_cam)
    inside = (seen > 0).any(-1)
    rows, cols = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    seen = seen[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].astype(float).mean(-1)
    true = texture("astronaut").astype(float).mean(-1)
    at = (np.arange(32) + 0.5) / 32
    small, want = (a[np.ix_((at * a.shape[0]).astype(int), (at * a.shape[1]).astype(int))] for a in (seen, true))

    def likeness(image):
        return np.corrcoef(image.ravel(), want.ravel())[0, 1]

    assert likeness(small) > 0.9
    assert max(likeness(small[:, ::-1]), likeness(small[::-1])) < 0.6


def test_equal_inputs_give_equal_bytes_on_any_number_of_threads():
    scene = floor_with(Part("ellipsoid", (0, 0, 0.5), (0.4, 0.4, 0.5)), light=Light((1, 2, 4)))
    images = []
    for threads in (1, 2, 1):
        caster = TriangleScene(scene.primitives(), nthreads=threads)
        images.append(Shader.of(scene, caster).shade(CAMERA, T_WORLD_DOWN, cast(caster, T_WORLD_DOWN)))
    assert (images[0] == images[1]).all()
    assert (images[0] == images[2]).all()
    assert images[0].dtype == np.uint8
    assert images[0].shape == (128, 128, 3)


@pytest.mark.parametrize("side", [-1, 1])
def test_light_from_one_side_throws_the_shadow_to_the_other(side):
    pillar = Part("box", (0, 0, 0.4), (0.1, 0.1, 0.4))
    image = picture(floor_with(pillar, light=Light((2 + side * 1.9, 2, 2.5), 0.1, 6, 0.2))).astype(float).mean(-1)
    # The floor is 4.6 m wide in the picture; 0.35 m from the middle is 9.7 px.
    left, right = image[60:68, 52:56].mean(), image[60:68, 72:76].mean()
    bright, dark = (left, right) if side == -1 else (right, left)
    assert dark < 0.8 * bright


def test_light_from_the_north_throws_the_shadow_to_the_south():
    pillar = Part("box", (0, 0, 0.4), (0.1, 0.1, 0.4))
    image = picture(floor_with(pillar, light=Light((2, 3.9, 2.5), 0.1, 6, 0.2))).astype(float).mean(-1)
    assert image[72:76, 60:68].mean() < 0.8 * image[52:56, 60:68].mean()


def shadow_edge_px(radius: float) -> int:
    """Width of the half-shadow of a hovering plate, pixels between 20 % and 80 % of the step."""
    plate = Part("box", (-1, 0, 1.0), (1.0, 2.0, 0.02))
    scene = floor_with(plate, light=Light((2, 2, 4.5), radius, 8, 0.1))
    T_world_cam = SE3(
        torch.eye(3).double()[[0, 2, 1]] * torch.tensor([1.0, 1, -1]).double()[:, None],
        torch.tensor([2.6, -1.0, 0.5]).double(),
    )
    row = picture(scene, T_world_cam).astype(float).mean(-1)[100]
    level = (row - row.min()) / (row.max() - row.min())
    return int(((level > 0.2) & (level < 0.8)).sum())


def test_a_larger_lamp_makes_softer_shadows():
    assert shadow_edge_px(0.02) < shadow_edge_px(0.4)
    assert shadow_edge_px(0.4) >= 4


def test_a_shadow_ray_does_not_meet_its_own_surface():
    ball = Part("ellipsoid", (0, 0, 0.5), (0.5, 0.5, 0.5), material=Material((0.5, 0.5, 0.5), gloss=0))
    image = picture(floor_with(ball, light=Light((2, 2, 4.9), 0.1, 6, 0.1)))
    patch = image[58:70, 58:70].astype(float)
    assert patch.std() < 3


def test_normals_are_smooth_and_equal_those_of_the_analytic_caster():
    shapes = [
        ("box", (0.3, 0.2, 0.1)),
        ("cylinder", (0.3, 0.2, 0.4)),
        ("ellipsoid", (0.2, 0.3, 0.4)),
        ("disc", (0.3, 0.3, 1)),
    ]
    for shape, half in shapes:
        scene = floor_with(Part(shape, (0, 0, 0.6), half, (2.6, 0.3, -0.4)), light=Light((2, 2, 4)))
        prims = scene.primitives()
        direction = T_WORLD_DOWN.rotate(CAMERA.rays(CAMERA.pixel_centers())).reshape(-1, 3)
        hit = raycast.cast(prims, T_WORLD_DOWN.t.expand_as(direction), direction)
        p_world = T_WORLD_DOWN.t + hit.t[:, None] * direction
        want = raycast.normals(prims, hit.prim_idx, p_world)
        planes = [np.ascontiguousarray(p, np.float32) for p in p_world.numpy().T]
        eye = T_WORLD_DOWN.t.numpy().astype(np.float32)
        found = faces(surface_table(scene), hit.prim_idx.numpy(), planes, eye)
        cosine = (np.stack(found.normal, 1) * want.numpy()).sum(1)
        if shape == "disc":
            assert (np.stack(found.normal, 1) * -direction.numpy()).sum(1).min() > 0
            cosine = np.abs(cosine)
        assert (hit.prim_idx == 0).sum() > 200
        assert np.mean(cosine > 1 - 1e-4) > 0.995, shape


def test_a_pattern_sticks_to_the_floor_when_the_camera_moves():
    scene = floor_with(light=Light((2, 2, 4.9), 0.3, 0, 1), material=Material((0.6, 0.6, 0.6), "gravel", 2.0))
    moved = SE3(T_WORLD_DOWN.R, T_WORLD_DOWN.t + torch.tensor([0.36084392, 0.0, 0.0]).double())
    first, second = (picture(scene, T).astype(float).mean(-1) for T in (T_WORLD_DOWN, moved))
    # 0.3608 m at 4 m with f = 110.85 px is exactly 10 px.
    middle, same_floor, same_pixels = first[40:88, 40:88], second[40:88, 30:78], second[40:88, 40:88]
    assert np.corrcoef(middle.ravel(), same_floor.ravel())[0, 1] > 0.97
    assert np.corrcoef(middle.ravel(), same_pixels.ravel())[0, 1] < 0.3


def test_what_glows_is_bright_without_a_lamp():
    lamp = Light((2, 2, 4), 0.1, 0, 0)
    dark = picture(floor_with(light=lamp))
    glowing = picture(floor_with(light=lamp, material=Material((0.5, 0.5, 0.5), glow=1.0)))
    assert dark.max() == 0
    assert glowing.min() > 60


def test_pixels_that_meet_nothing_are_black():
    scene = floor_with(Part("box", (0, 0, 0.5), (0.2, 0.2, 0.2)), light=Light((2, 2, 4)))
    image = picture(Scene("s", 0, scene.room_size, scene.items, (), scene.light))
    assert image[0, 0].tolist() == [0, 0, 0]
    assert image[64, 64].min() > 20


def test_a_hit_of_another_size_is_refused():
    scene = floor_with(light=Light((2, 2, 4)))
    caster = TriangleScene(scene.primitives(), nthreads=1)
    hit = cast(caster, T_WORLD_DOWN, CAMERA.resize(64, 64))
    with pytest.raises(ValueError, match=r"hit must have one ray per pixel, \(128, 128\), got \(64, 64\)"):
        shade(scene, caster, CAMERA, T_WORLD_DOWN, hit)
