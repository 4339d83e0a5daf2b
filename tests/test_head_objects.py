"""Where objects go, by distance and thickness: against exact boxes of cylinders, and with boards in the way."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geom.boxes import amodal_boxes, box_iou
from geom.camera import PinholeCamera
from geom.primitives import CYLINDER, Primitives
from geom.se3 import SE3
from geom.so3 import exp
from models.head import Extent
from models.objects import box_after, visible_after
from models.trunk import Look

CAMERA = PinholeCamera.from_hfov(torch.tensor([math.radians(75)]), 128, 96)
UPRIGHT = exp(torch.tensor([math.pi / 2, 0.0, 0.0], dtype=torch.float64))
"""A cylinder's own z axis along the camera's y."""


def cylinder(x: float, y: float, z: float, radius: float, half_height: float) -> Primitives:
    T_cam_prim = SE3(UPRIGHT[None], torch.tensor([[x, y, z]], dtype=torch.float64))
    return Primitives.build([CYLINDER], T_cam_prim, torch.tensor([[radius, radius, half_height]], dtype=torch.float64))


def exact_box(shape: Primitives, T_a_b: SE3) -> torch.Tensor:
    box, valid = amodal_boxes(shape, T_a_b[0].inverse(), CAMERA[0], 1)
    return box.where(valid[:, None], 0.0)[None]


def extent(z: float, half_depth: float) -> Extent:
    number = torch.tensor([[1.0]], dtype=torch.float64)
    return Extent(z * number, half_depth * number, torch.zeros(1, 1, 4, dtype=torch.float64))


@settings(max_examples=40)
@given(
    place=st.tuples(st.floats(-0.7, 0.7), st.floats(-0.2, 0.5), st.floats(1.8, 4.0)),
    size=st.tuples(st.floats(0.1, 0.4), st.floats(0.1, 0.4)),
    turn=st.floats(-0.35, 0.35),
    move=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.6)),
)
def test_a_cylinder_goes_where_its_exact_box_goes(place, size, turn, move) -> None:
    shape = cylinder(*place, *size)
    T_a_b = SE3(SE3.yaw_right(turn).R[None], torch.tensor([[move[0], 0.0, move[1]]], dtype=torch.float64))
    before, after = exact_box(shape, SE3.identity(1)), exact_box(shape, T_a_b)
    width, height = 128, 96
    inside = bool((before[..., :2] > 0).all() and before[0, 0, 2] < width and before[0, 0, 3] < height)
    if inside and float((after[..., 2:] - after[..., :2]).min()) > 4:
        found = box_after(extent(place[2], size[0]), before, CAMERA, T_a_b)
        assert float(box_iou(found, after)) > 0.9


def test_what_a_box_hides_beyond_its_border_comes_out() -> None:
    box = torch.tensor([[[100.0, 30.0, 128.0, 60.0]]], dtype=torch.float64)
    T_a_b = SE3.yaw_right(torch.tensor([0.3], dtype=torch.float64))
    plain = box_after(extent(3.0, 0.1), box, CAMERA, T_a_b)
    beyond = Extent(*(torch.tensor([[x]], dtype=torch.float64) for x in (3.0, 0.1)), torch.zeros(1, 1, 4).double())
    beyond.beyond[..., 2] = 0.5
    assert float(box_after(beyond, box, CAMERA, T_a_b)[0, 0, 2]) > float(plain[0, 0, 2]) + 8


def look(z: torch.Tensor) -> Look:
    gh, gw = z.shape
    cells, places = CAMERA.resize(gw, gh), torch.zeros(1, 12, 1)
    return Look(torch.zeros(1, gh * gw, 1), cells, z.log()[None], torch.ones(1, gh, gw), CAMERA.resize(4, 3), places)


BOX = torch.tensor([[[54.0, 38.0, 74.0, 58.0]]], dtype=torch.float64)


def test_what_stays_in_view_is_seen_and_what_is_turned_away_from_is_not() -> None:
    empty = look(torch.full((12, 16), 6.0, dtype=torch.float64))
    turns = [SE3.yaw_right(torch.tensor([angle], dtype=torch.float64)) for angle in (0.0, 0.2, 1.2, math.pi)]
    seen = [float(visible_after(extent(3.0, 0.2), BOX, empty, CAMERA, T)) for T in turns]
    assert seen[0] > 0.95 and seen[1] > 0.9 and seen[2] < 0.05 and seen[3] < 0.05


def test_a_board_that_comes_between_hides_what_is_behind_it() -> None:
    z = torch.full((12, 16), 6.0, dtype=torch.float64)
    z[:, 9:] = 1.5
    T_a_b = SE3.from_translation(torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64))
    box = torch.tensor([[[20.0, 38.0, 40.0, 58.0]]], dtype=torch.float64)
    open_, shut = (float(visible_after(extent(5.5, 0.1), box, look(each), CAMERA, T_a_b)) for each in (z * 0 + 6, z))
    assert open_ > 0.9 and shut < open_
    z[:, 4:] = 1.5
    assert float(visible_after(extent(5.5, 0.1), box, look(z), CAMERA, T_a_b)) < 0.3
