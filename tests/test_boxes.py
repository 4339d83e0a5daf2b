"""Amodal boxes against dense samples of the surface; pixel boxes and answer boxes against hand-worked values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from geom.boxes import (
    amodal_box,
    amodal_boxes,
    box_area,
    box_iou,
    clip_box,
    denormalise_box,
    format_box,
    normalise_box,
    parse_box,
    visible_box,
)
from geom.camera import PinholeCamera
from geom.primitives import BOX, CYLINDER, DISC, ELLIPSOID, PLANE, Primitives
from geom.se3 import SE3

CAMERA = PinholeCamera.from_hfov(1.2, 320, 240)
STILL = SE3.identity()
SOLIDS = [BOX, CYLINDER, ELLIPSOID, DISC]
SHAPES = st.sampled_from(SOLIDS)
SEEDS = st.integers(0, 2**31 - 1)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_pose(g: torch.Generator, n: int, center: Tensor) -> SE3:
    rotation = SE3.exp(torch.cat([torch.zeros(n, 3), torch.randn(n, 3, generator=g) * 2], -1).double())
    return SE3(rotation.R, center.double())


def random_shapes(seed: int, codes: list[int], center_scale: tuple[float, float, float]) -> Primitives:
    """Shapes about the point 2.5 m ahead, spread by `center_scale` metres."""
    g, n = generator(seed), len(codes)
    spread = (torch.rand(n, 3, generator=g) * 2 - 1) * torch.tensor(center_scale)
    pose = random_pose(g, n, torch.tensor([0.0, 0.0, 2.5]) + spread)
    return Primitives.build(codes, pose, torch.rand(n, 3, generator=g) * 0.7 + 0.05, list(range(n)))


def unit_surface(code: int, steps: int) -> Tensor:
    """Lattice of the unit shape's surface, as (rows, cols, 3) so that neighbours in a row can be joined."""
    angle = torch.linspace(0, 2 * math.pi, 2 * steps + 1, dtype=torch.float64)[None]
    height = torch.linspace(-1, 1, steps + 1, dtype=torch.float64)[:, None]
    one = torch.ones_like(height * angle)
    if code == BOX:
        corners = [[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)]
        edges = [(i, i + s) for s in (1, 2, 4) for i in range(8) if not i & s]
        ends = torch.tensor(corners, dtype=torch.float64)[torch.tensor(edges)]
        share = torch.linspace(0, 1, 2 * steps + 1, dtype=torch.float64)[None, :, None]
        return ends[:, :1] * (1 - share) + ends[:, 1:] * share
    if code == ELLIPSOID:
        polar = (height + 1) * math.pi / 2
        return torch.stack([polar.sin() * angle.cos(), polar.sin() * angle.sin(), polar.cos() * one], -1)
    rise = height if code == CYLINDER else height[:1] * 0
    return torch.stack([one * angle.cos(), one * angle.sin(), one * rise], -1)[: len(rise)]


def sampled_box(shapes: Primitives, index: int, z_near: float, steps: int) -> tuple[Tensor, int]:
    """Brute force: project a lattice of the surface, and the points where its lines cross the near plane."""
    unit = unit_surface(int(shapes.shape_code[index]), steps)
    pose, size = shapes.T_world_prim[index], shapes.half_size[index]
    lattice = pose.act(unit * size)
    points = [lattice.reshape(-1, 3)]
    for p, q in ((lattice[:, :-1], lattice[:, 1:]), (lattice[:-1], lattice[1:])):
        share = (z_near - p[..., 2:]) / (q[..., 2:] - p[..., 2:])
        cut = (p + share * (q - p))[((share >= 0) & (share <= 1))[..., 0]]
        points.append(torch.cat([cut[:, :2], torch.full_like(cut[:, 2:], z_near)], -1))
    cloud = torch.cat(points)
    cloud = cloud[cloud[:, 2] >= z_near]
    uv = cloud[:, :2] / cloud[:, 2:] * CAMERA.focal + CAMERA.principal_point
    return torch.cat([uv.amin(0), uv.amax(0)]) if len(uv) else torch.full((4,), math.nan), len(uv)


@settings(max_examples=40)
@given(SEEDS, SHAPES, st.sampled_from([1e-3, 0.4, 2.5]))
def test_an_amodal_box_is_the_box_of_dense_surface_samples(seed: int, code: int, z_near: float) -> None:
    shapes = random_shapes(seed, [code], (2.0, 2.0, 3.0))
    box, valid = amodal_box(shapes, STILL, CAMERA, z_near=z_near, clip=False)
    sampled, count = sampled_box(shapes, 0, z_near, 400 if code == ELLIPSOID else 200)
    assert bool(valid) == (count > 0)
    if count:
        # Samples lie inside the exact box; at z -> z_near pixels are huge, so the error counts relative to them.
        outside = (sampled - box) * torch.tensor([1, 1, -1, -1]) / sampled.abs().max().clamp_min(320) * 320
        assert float(outside.min()) > -1e-9 and float(outside.max()) < 0.02


@pytest.mark.parametrize("code", SOLIDS)
def test_a_shape_in_front_of_the_near_plane_has_its_box_to_a_hundredth_of_a_pixel(code: int) -> None:
    shapes = random_shapes(7, [code] * 8, (1.0, 1.0, 0.5))
    boxes, _ = amodal_boxes(shapes, STILL, CAMERA, 8, clip=False)
    for i in range(8):
        sampled, _ = sampled_box(shapes, i, 1e-3, 300)
        assert (sampled - boxes[i]).abs().max() < 0.01


@pytest.mark.parametrize("code", SOLIDS)
def test_random_shapes_across_the_near_plane_are_among_the_cases(code: int) -> None:
    shapes = random_shapes(3, [code] * 50, (2.0, 2.0, 3.0))
    offset = shapes.T_world_prim.act(unit_surface(code, 8).reshape(-1, 1, 3) * shapes.half_size)[..., 2]
    crossing = (offset.amin(0) < 0.4) & (offset.amax(0) > 0.4)
    assert int(crossing.sum()) >= 4
    for i in crossing.nonzero()[:, 0].tolist():
        box, _ = amodal_box(shapes.select(torch.tensor([i])), STILL, CAMERA, z_near=0.4, clip=False)
        sampled, _ = sampled_box(shapes, i, 0.4, 300)
        assert torch.allclose(box, sampled, rtol=1e-4, atol=0.02)


def test_a_wall_beside_the_camera_covers_its_whole_half_of_the_image() -> None:
    # The wall x in [1, 1.2], z in [-5, 5]: at z_near its near face is at u -> infinity, at z = 5 at x / z = 0.2.
    wall = Primitives.build([BOX], SE3.from_translation(torch.tensor([[1.1, 0.0, 0.0]]).double()), [[0.1, 9.0, 5.0]])
    box, valid = amodal_box(wall, STILL, CAMERA)
    left = 160 + 0.2 * float(CAMERA.focal[0])
    assert bool(valid) and torch.allclose(box, torch.tensor([left, 0.0, 320.0, 240.0]).double())


def test_an_object_around_the_camera_covers_the_image() -> None:
    ball = Primitives.build([ELLIPSOID], SE3.identity(1), [[2.0, 2.0, 2.0]])
    box, valid = amodal_box(ball, STILL, CAMERA)
    assert bool(valid) and box.tolist() == [0.0, 0.0, 320.0, 240.0]


def test_an_upright_drum_has_the_box_of_its_near_rim_and_its_flank() -> None:
    # Radius 1, half height 1, axis along camera y, centre 3 ahead: flank x / z = tan asin(1/3) = 1 / sqrt 8;
    # the rims' nearest point is (0, 1, 2), so |y / z| <= 1 / 2.
    turn = SE3.exp(torch.tensor([0.0, 0, 0, math.pi / 2, 0, 0]).double())
    pose = SE3(turn.R[None], torch.tensor([[0.0, 0.0, 3.0]]).double())
    f = float(CAMERA.focal[0])
    box, _ = amodal_box(Primitives.build([CYLINDER], pose, [[1.0, 1.0, 1.0]]), STILL, CAMERA, clip=False)
    expected = [160 - f / math.sqrt(8), 120 - f / 2, 160 + f / math.sqrt(8), 120 + f / 2]
    assert torch.allclose(box, torch.tensor(expected).double())


def test_a_disc_seen_edge_on_is_a_line_without_area() -> None:
    # In the plane x = 0 that holds the camera centre; radius 1 at distance 2: |y / z| = tan asin(1/2) = 1 / sqrt 3.
    turn = torch.tensor([[[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]]).double()
    disc = Primitives.build([DISC], SE3(turn, torch.tensor([[0.0, 0.0, 2.0]]).double()), [[1.0, 1.0, 1.0]])
    box, valid = amodal_box(disc, STILL, CAMERA, clip=False)
    reach = float(CAMERA.focal[1]) / math.sqrt(3)
    assert torch.allclose(box, torch.tensor([160.0, 120 - reach, 160.0, 120 + reach]).double())
    assert not bool(valid)


def test_behind_the_camera_there_is_no_box_and_beside_the_image_only_an_unclipped_one() -> None:
    at = torch.tensor([[0.0, 0.0, -3.0], [9.0, 0.0, 3.0]]).double()
    shapes = Primitives.build([BOX, BOX], SE3.from_translation(at), torch.full((2, 3), 0.5), [0, 1])
    box, valid = amodal_boxes(shapes, STILL, CAMERA, 2)
    whole, exists = amodal_boxes(shapes, STILL, CAMERA, 2, clip=False)
    assert valid.tolist() == [False, False] and exists.tolist() == [False, True]
    assert bool(box[0].isnan().all()) and float(box_area(box[1])) == 0 and float(whole[1, 0]) > 320


def test_an_object_that_ends_at_the_near_plane_or_before_it_has_no_area() -> None:
    at = torch.tensor([[0.0, 0.0, 0.5]]).double()
    slab = Primitives.build([BOX], SE3.from_translation(at), [[0.5, 0.5, 0.25]])
    assert amodal_box(slab, STILL, CAMERA, z_near=0.7499)[1]
    assert not amodal_box(slab, STILL, CAMERA, z_near=0.7501)[1]


def test_an_object_of_many_shapes_has_the_union_of_their_boxes_and_the_room_counts_for_nothing() -> None:
    shapes = random_shapes(5, [BOX, CYLINDER, ELLIPSOID, DISC, PLANE], (1.0, 1.0, 0.5))
    alone, _ = amodal_boxes(shapes.select(shapes.shape_code != PLANE), STILL, CAMERA, 4, clip=False)
    item = torch.tensor([1, 0, 1, 2, -1])
    mixed = Primitives(shapes.shape_code, shapes.T_world_prim, shapes.half_size, item)
    boxes, valid = amodal_boxes(mixed, STILL, CAMERA, 4, clip=False)
    pair = torch.cat([torch.minimum(alone[0], alone[2])[:2], torch.maximum(alone[0], alone[2])[2:]])
    assert torch.equal(boxes[1], pair) and torch.equal(boxes[0], alone[1]) and torch.equal(boxes[2], alone[3])
    assert valid.tolist() == [True, True, True, False] and bool(boxes[3].isnan().all())
    union, _ = amodal_box(mixed.select(mixed.item_idx >= 0), STILL, CAMERA, clip=False)
    assert torch.equal(union, torch.cat([boxes[:3, :2].amin(0), boxes[:3, 2:].amax(0)]))


def test_a_batch_of_cameras_equals_a_loop() -> None:
    g = generator(11)
    shapes = random_shapes(9, SOLIDS * 3, (1.0, 1.0, 1.0))
    poses = random_pose(g, 6, torch.randn(6, 3, generator=g) * 0.3)
    cameras = PinholeCamera.from_hfov(torch.linspace(0.6, 1.8, 6, dtype=torch.float64), 320, 240)
    boxes, valid = amodal_boxes(shapes, poses, cameras, 12)
    assert boxes.shape == (6, 12, 4) and 0 < int(valid.sum()) < valid.numel()
    for i in range(6):
        one, is_valid = amodal_boxes(shapes, poses[i], cameras[i], 12)
        assert torch.allclose(boxes[i], one, equal_nan=True) and torch.equal(valid[i], is_valid)


@given(SEEDS)
def test_moving_the_whole_world_changes_no_box(seed: int) -> None:
    g = generator(seed)
    shapes = random_shapes(seed, SOLIDS, (1.0, 1.0, 1.0))
    T_moved_world = random_pose(g, 1, torch.randn(1, 3, generator=g))[0]
    before, valid_before = amodal_boxes(shapes, STILL, CAMERA, 4)
    after, valid_after = amodal_boxes(shapes.moved(T_moved_world), STILL @ T_moved_world.inverse(), CAMERA, 4)
    assert torch.equal(valid_before, valid_after)
    assert torch.allclose(before, after, atol=1e-6, equal_nan=True)


def test_float32_agrees_with_float64() -> None:
    shapes = random_shapes(2, SOLIDS * 10, (1.0, 1.0, 0.5))
    exact, _ = amodal_boxes(shapes, STILL, CAMERA, 40, clip=False)
    single = amodal_boxes(
        shapes.to(dtype=torch.float32), STILL.to(torch.float32), CAMERA.to(torch.float32), 40, clip=False
    )
    assert single[0].dtype == torch.float32 and torch.allclose(single[0].double(), exact, rtol=1e-4, atol=0.01)


@pytest.mark.parametrize("code", SOLIDS)
@pytest.mark.parametrize("z_near", [1e-3, 2.4], ids=["whole", "cut"])
def test_boxes_pass_gradcheck_in_pose_and_size(code: int, z_near: float) -> None:
    shapes = random_shapes(4, [code], (0.2, 0.2, 0.0))

    def corners(xi: Tensor, size: Tensor) -> Tensor:
        pose = shapes.T_world_prim @ SE3.exp(xi)
        moved = Primitives(shapes.shape_code, pose, size, shapes.item_idx)
        return amodal_box(moved, STILL, CAMERA, z_near=z_near, clip=False)[0]

    inputs = torch.zeros(1, 6).double().requires_grad_(), shapes.half_size.clone().requires_grad_()
    assert torch.autograd.gradcheck(corners, inputs, atol=1e-3)


def test_an_object_without_a_box_does_not_poison_the_gradients_of_others() -> None:
    at = torch.tensor([[0.0, 0.0, -3.0]] * 4 + [[0.0, 0.0, 3.0]] * 4).double().requires_grad_()
    pose = SE3(torch.eye(3).double().expand(8, 3, 3), at)
    shapes = Primitives.build(SOLIDS * 2, pose, torch.full((8, 3), 0.5), list(range(8)))
    boxes, valid = amodal_boxes(shapes, STILL, CAMERA, 8)
    boxes[valid].sum().backward()
    assert valid.tolist() == [False] * 4 + [True] * 4
    assert at.grad is not None and bool(at.grad.isfinite().all()) and bool((at.grad[:4] == 0).all())
    assert bool((at.grad[4:, :2] != 0).all())


def test_a_visible_box_holds_whole_pixels_and_nothing_when_the_object_owns_none() -> None:
    raster = torch.full((2, 5, 7), -1, dtype=torch.int16)
    raster[0, 1:3, 2:6] = 3
    raster[0, 4, 0] = 2
    box, valid = visible_box(raster, 3)
    assert box[0].tolist() == [2.0, 1.0, 6.0, 3.0] and valid.tolist() == [True, False]
    assert bool(box[1].isnan().all())
    assert visible_box(raster[0].numpy(), 2)[0].tolist() == [0.0, 4.0, 1.0, 5.0]


def test_clipping_keeps_the_part_in_the_image() -> None:
    boxes = torch.tensor([[-5.0, 10, 50, 300], [320, 0, 400, 10], [5, 5, 6, 6], [math.nan] * 4])
    cut, valid = clip_box(boxes, 320, 240)
    assert cut[:3].tolist() == [[0, 10, 50, 240], [320, 0, 320, 10], [5, 5, 6, 6]]
    assert valid.tolist() == [True, False, True, False]


def test_area_and_iou_by_hand() -> None:
    a, b = torch.tensor([0.0, 0, 4, 2]), torch.tensor([2.0, 1, 6, 3])
    # Shared 2 x 1 = 2; union 8 + 8 - 2 = 14.
    assert float(box_area(a)) == 8 and float(box_iou(a, b)) == pytest.approx(1 / 7)
    apart, empty = torch.tensor([5.0, 5, 6, 6]), torch.tensor([1.0, 1, 1, 1])
    assert box_iou(torch.stack([a, apart, empty]), torch.stack([a, a, empty])).tolist() == [1.0, 0.0, 0.0]
    assert float(box_area(torch.tensor([2.0, 0, 1, 5]))) == 0
    assert math.isnan(float(box_iou(a, a * math.nan)))


# Rows of the public pipeline: pixels, image size, its normalised box.
NORMALISED = [
    ([295.658, 93.719, 537.884, 345.424], (576, 576), (513, 163, 934, 600)),
    ([494.782, 182.705, 743.338, 209.28], (576, 576), (859, 317, 1000, 363)),
    ([375.942, 297.09, 463.771, 468.021], (832, 480), (452, 619, 557, 975)),
    ([-0.738, 252.176, 225.522, 476.832], (576, 576), (0, 438, 392, 828)),
    ([944.504, 686.495, 1214.507, 860.004], (1024, 768), (922, 894, 1000, 1000)),
    ([0.5, 1.5, 2.5, 3.5], (1000, 1000), (0, 2, 2, 4)),
    ([0, 0, 576, 576], (576, 576), (0, 0, 1000, 1000)),
    ([5.75, 10, 500, 500], (576, 576), (10, 17, 868, 868)),
]


@pytest.mark.parametrize(("box", "size", "expected"), NORMALISED)
def test_normalised_boxes_equal_the_public_ones(box: list, size: tuple, expected: tuple) -> None:
    assert normalise_box(box, *size) == expected
    assert normalise_box(torch.tensor(box, dtype=torch.float64), *size) == expected
    assert parse_box(format_box(expected)) == expected


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=4))
def test_normalised_boxes_survive_the_way_to_pixels_and_to_text(numbers: list[int]) -> None:
    box = (*np.minimum(numbers[:2], numbers[2:]).tolist(), *np.maximum(numbers[:2], numbers[2:]).tolist())
    assert normalise_box(denormalise_box(box, 832, 480), 832, 480) == box
    assert parse_box(format_box(box)) == box


def test_boxes_are_read_with_spaces_and_nothing_else() -> None:
    assert parse_box(" [1,2 , 30,  400] ") == (1, 2, 30, 400)
    for text in ("[1, 2, 3]", "1, 2, 3, 4", "[1, 2, 3, 4] m", "[1.0, 2, 3, 4]", "[-1, 2, 3, 4]"):
        with pytest.raises(ValueError, match="a box reads"):
            parse_box(text)


def test_bad_boxes_are_refused() -> None:
    for wrong in ([0, 0, 1], [3, 0, 1, 1], [0, 3, 1, 1], [0, 0, 1, math.nan]):
        with pytest.raises(ValueError, match="4 finite numbers"):
            normalise_box(wrong, 10, 10)
    with pytest.raises(ValueError, match="4 finite numbers"):
        denormalise_box([5, 0, 1, 1], 10, 10)
    with pytest.raises(ValueError, match="must be > 0 pixels"):
        normalise_box([0, 0, 1, 1], 0, 10)
    with pytest.raises(ValueError, match="whole numbers 0..1000"):
        format_box([0, 0, 1001, 1])
    with pytest.raises(ValueError, match="whole numbers 0..1000"):
        parse_box("[0, 0, 1, 1001]")


def test_bad_input_to_amodal_boxes_is_refused() -> None:
    shapes = random_shapes(1, [BOX, PLANE], (1.0, 1.0, 0.5))
    box = shapes.select(torch.tensor([0]))
    with pytest.raises(ValueError, match="infinite PLANE has no box"):
        amodal_box(shapes, STILL, CAMERA)
    with pytest.raises(ValueError, match="item_idx must be < num_items = 0"):
        amodal_boxes(box, STILL, CAMERA, 0)
    with pytest.raises(ValueError, match="z_near must be > 0"):
        amodal_box(box, STILL, CAMERA, z_near=0.0)
    with pytest.raises(ValueError, match="share dtype and device"):
        amodal_box(box, STILL.to(torch.float32), CAMERA)
