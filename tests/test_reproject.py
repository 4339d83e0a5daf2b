"""A view moved into another: what is explained, what may be hidden, and how exact the rest is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synth.reproject import Shot, compare

K = np.array([[60.0, 0, 40], [0, 60, 30], [0, 0, 1]])


def wall(z: float, x: float = 0.0) -> Shot:
    """A camera at (x, 0, 0) that looks straight at a wall z metres off."""
    T = np.eye(4)
    T[0, 3] = x
    return Shot(K, T, np.full((60, 80), float(z)))


def test_a_view_explains_itself_wholly() -> None:
    found = compare(wall(2), wall(2))
    assert found.explained == pytest.approx(1)
    assert found.residual == pytest.approx(0, abs=1e-12)


def test_behind_a_surface_says_nothing_of_exactness_and_in_front_of_it_is_a_residual() -> None:
    behind, before = compare(wall(2), wall(1)), compare(wall(2), wall(4))
    assert behind.explained < 1e-6 and before.explained < 1e-6
    assert np.isnan(behind.residual) and before.residual == pytest.approx(0.5)


def test_the_residual_is_relative_to_what_was_measured() -> None:
    found = compare(wall(2.04), wall(2))
    assert found.residual == pytest.approx(0.02)
    assert found.explained == pytest.approx(np.exp(-0.02 / 0.03))


def test_what_the_motion_leaves_in_the_picture_is_explained() -> None:
    assert compare(wall(2), wall(2, x=2 * 40 / 60)).explained == pytest.approx(0.5, abs=0.03)
    assert compare(wall(2), wall(2, x=50)).explained == 0


def test_behind_the_camera_and_without_depth_nothing_is_compared() -> None:
    turned = replace(wall(2), T_world_cam=np.diag([-1.0, 1, -1, 1]))
    unknown = replace(wall(2), z_depth=np.full((60, 80), np.nan))
    for a, b in [(wall(2), turned), (unknown, wall(2)), (wall(2), unknown)]:
        found = compare(a, b)
        assert found.explained == 0 and np.isnan(found.residual)
