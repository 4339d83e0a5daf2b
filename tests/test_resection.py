"""Relative pose from matches with distances: exact where these are, the optimum where they are not, and reversible."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from geom import so3
from geom.resection import Sightings, align, energy, resect
from geom.se3 import SE3

B, N = 4, 40
NONE = torch.zeros(B, 6, dtype=torch.float64)
PLAIN = {"robust": torch.full((B, 1), 1e6, dtype=torch.float64), "robust_log_z": 1e6}
"""Least squares, every sighting as it is."""


def seen(T: SE3, rng: torch.Generator, noise: float = 0.0) -> Sightings:
    """Points before both cameras, as the second one sees them."""
    like = {"generator": rng, "dtype": torch.float64}
    there = (torch.rand(B, N, 3, **like) - 0.5) * torch.tensor([3.0, 2.0, 2.0]) + torch.tensor([0, 0, 4.0])
    ray = there[..., :2] / there[..., 2:] + noise * torch.randn(B, N, 2, **like)
    log_z = there[..., 2].log() + noise * torch.randn(B, N, **like)
    point = T.inverse()[:, None].act(there)
    weight = 0.5 + torch.rand(B, N, **like)
    return Sightings(point, ray, log_z, weight, weight / 4)


def both(seed: int, noise: float = 0.0) -> tuple[SE3, Sightings, Sightings]:
    """T_b_a, points of a seen by b, and points of b seen by a."""
    rng = torch.Generator().manual_seed(seed)
    T = SE3.exp(torch.randn(B, 6, generator=rng, dtype=torch.float64) * 0.3)
    return T, seen(T, rng, noise), seen(T.inverse(), rng, noise)


def near(T: SE3, seed: int = 0) -> SE3:
    return SE3.exp(torch.randn(B, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 0.05) @ T


def matrix(T: SE3) -> np.ndarray:
    return T.matrix().numpy()


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_exact_sightings_give_the_exact_pose(seed: int) -> None:
    T, in_a, in_b = both(seed)
    start = near(T, seed)
    found = resect(start, start, NONE, in_a, in_b, **PLAIN, steps=8).T_b_a
    np.testing.assert_allclose(matrix(found), matrix(T), atol=1e-6)
    np.testing.assert_allclose(matrix(align(in_a, in_b)), matrix(T), atol=1e-4)


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_with_the_views_swapped_it_is_the_inverse(seed: int) -> None:
    T, in_a, in_b = both(seed, noise=0.02)
    np.testing.assert_allclose(matrix(align(in_b, in_a)), matrix(align(in_a, in_b).inverse()), atol=1e-9)
    start = near(T, seed)
    there = resect(start, start, NONE, in_a, in_b, **PLAIN).T_b_a
    back = resect(start.inverse(), start.inverse(), NONE, in_b, in_a, **PLAIN).T_b_a
    np.testing.assert_allclose(matrix(back), matrix(there.inverse()), atol=1e-4)


def test_a_third_of_wrong_matches_does_not_move_it() -> None:
    T, in_a, in_b = both(3)
    wrong = torch.arange(N) % 3 == 0
    off = replace(in_a, ray=torch.where(wrong[:, None], in_a.ray.flip(1) + 0.4, in_a.ray))
    start = align(off, in_b)
    turned, moved = start.distance(T)
    assert float(turned.max()) < 0.02 and float(moved.max()) < 0.05
    found = resect(start, start, NONE, off, in_b, robust=torch.full((B, 1), 0.02, dtype=torch.float64), steps=8).T_b_a
    blind = resect(start, start, NONE, off, in_b, **PLAIN, steps=8).T_b_a
    assert float(found.distance(T)[0].max()) < 0.002 < 0.01 < float(blind.distance(T)[0].min())


def test_it_is_the_optimum_that_scipy_finds() -> None:
    T, in_a, in_b = both(5, noise=0.02)
    found = resect(near(T, 9), T, NONE, in_a, in_b, **PLAIN, steps=10).T_b_a

    def residuals(xi: np.ndarray, n: int) -> np.ndarray:
        pose = SE3.exp(torch.from_numpy(xi)) @ T[n]
        rows = []
        for way, one in ((pose, in_a), (pose.inverse(), in_b)):
            p = way.act(one.point[n])
            off = p[:, :2] / p[:, 2:] - one.ray[n]
            rows += [
                (off * one.weight[n, :, None].sqrt()).ravel(),
                (p[:, 2].log() - one.log_z[n]) * one.weight_z[n].sqrt(),
            ]
        return torch.cat(rows).numpy()

    for n in range(B):
        best = least_squares(residuals, np.zeros(6), args=(n,), xtol=1e-12, ftol=1e-12)
        np.testing.assert_allclose(matrix(found[n]), matrix(SE3.exp(torch.from_numpy(best.x)) @ T[n]), atol=1e-5)


def test_the_prior_pulls_along_its_own_axes() -> None:
    T, in_a, in_b = both(5)
    for axis in range(6):
        push = torch.zeros(B, 6, dtype=torch.float64)
        push[:, axis] = 0.02
        prior = SE3.exp(push) @ T
        free, held = (
            (resect(T, prior, NONE + w * (push > 0), in_a, in_b, **PLAIN, steps=8).T_b_a @ T.inverse()).log()
            for w in (1e-3, 1e6)
        )
        assert float(free.abs().max()) < 1e-3 and float((held[:, axis] - 0.02).abs().max()) < 1e-3


def test_the_information_is_that_of_the_residuals() -> None:
    """The spread of poses from noisy sightings is the inverse of the information."""
    sd, T = 0.01, SE3.exp(torch.tensor([[0.3, -0.1, 0.5, 0.1, 0.4, -0.2]], dtype=torch.float64).expand(B, 6))
    rng = torch.Generator().manual_seed(0)
    exact = seen(T, rng)
    off, told = [], None
    for _ in range(150):
        noise = torch.randn(B, N, 3, generator=rng, dtype=torch.float64) * sd
        shown = replace(exact, ray=exact.ray + noise[..., :2], log_z=exact.log_z + noise[..., 2])
        shown = replace(shown, weight=torch.full((B, N), sd**-2).double(), weight_z=torch.full((B, N), sd**-2).double())
        none = replace(shown, weight=torch.zeros(B, N).double(), weight_z=torch.zeros(B, N).double())
        told = resect(T, T, NONE, shown, none, **PLAIN)
        off.append((told.T_b_a @ T.inverse()).log())
    assert told is not None
    measured = torch.stack(off).std(0)
    expected = torch.linalg.inv(told.information).diagonal(dim1=-2, dim2=-1).sqrt()
    np.testing.assert_allclose(measured.numpy(), expected.numpy(), rtol=0.25)


def test_where_nothing_is_seen_it_is_the_prior() -> None:
    T, in_a, in_b = both(1)
    nothing = [replace(one, weight=0 * one.weight, weight_z=0 * one.weight_z) for one in (in_a, in_b)]
    found = resect(align(*nothing), T, NONE + 1, *nothing, **PLAIN, steps=8).T_b_a
    np.testing.assert_allclose(matrix(found), matrix(T), atol=1e-5)
    np.testing.assert_allclose(align(*nothing).R.numpy(), np.tile(np.eye(3), (B, 1, 1)), atol=1e-9)


@pytest.mark.parametrize("part", range(6))
def test_what_is_held_stays_nothing_and_the_rest_is_found(part: int) -> None:
    """A motion that lacks a part is found though its sightings are noisy; one that has it is not."""
    names = ("x", "y", "z", "pitch", "yaw", "roll")
    level = SE3(
        so3.yaw_right(torch.full((B,), 0.9, dtype=torch.float64)), torch.tensor([[0.4, 0.0, -0.6]] * B).double()
    )
    moved = SE3.from_translation(torch.tensor([[0.4, -0.2, 0.6]] * B).double())
    turned = SE3(moved.R @ SE3.exp(torch.tensor([[0, 0, 0, 0.2, 0.5, -0.1]] * B).double()).R, 0 * moved.t)
    for T, lacks in ((level, ("y", "pitch", "roll")), (moved, ("pitch", "yaw", "roll")), (turned, ("x", "y", "z"))):
        rng = torch.Generator().manual_seed(part)
        in_a, in_b = seen(T, rng, 0.02), seen(T.inverse(), rng, 0.02)
        held = torch.tensor([1e7 if name in lacks else 0.0 for name in names], dtype=torch.float64)
        start = near(T, part)
        found = resect(start, start, NONE, in_a, in_b, **PLAIN, held=held, steps=10).T_b_a
        free = resect(start, start, NONE, in_a, in_b, **PLAIN, steps=10).T_b_a
        off, loose = ((one @ T.inverse()).log().abs().amax(0) for one in (found, free))
        assert float(off.max()) < 0.15
        if names[part] in lacks and T is not level:
            assert float(off[part]) < 1e-3 < float(loose[part])


def test_the_optimum_has_the_least_energy_and_the_further_another_is_the_more() -> None:
    T, in_a, in_b = both(4, noise=0.01)
    rest = (near(T), NONE + 2, in_a, in_b)
    robust = torch.full((B, 1), 0.1, dtype=torch.float64)
    best = resect(T, *rest, robust=robust, steps=10).T_b_a
    costs = [
        energy(SE3.exp(torch.full((B, 6), size, dtype=torch.float64)) @ best, *rest, robust=robust)
        for size in (0.0, 0.02, 0.08, 0.4)
    ]
    assert all(bool((less < more).all()) for less, more in pairwise(costs))
    most = sum(0.01 * one.weight.sum(1) for one in (in_a, in_b))
    assert bool((costs[-1] < most + 12 * 0.5**2).all()), "each sighting is bounded"


def test_gradients_are_those_of_finite_differences() -> None:
    T, in_a, in_b = both(2, noise=0.02)
    start = near(T)

    def heading(ray: torch.Tensor, log_z: torch.Tensor) -> torch.Tensor:
        shown = replace(in_a, ray=ray, log_z=log_z)
        found = resect(start, start, NONE + 1, shown, in_b, **PLAIN, steps=10)
        return so3.log(found.T_b_a.R) + found.T_b_a.t

    inputs = (in_a.ray.clone().requires_grad_(), in_a.log_z.clone().requires_grad_())
    assert torch.autograd.gradcheck(heading, inputs, eps=1e-6, atol=1e-4, fast_mode=True)


def test_float32_is_enough() -> None:
    T, in_a, in_b = both(7)
    low = [Sightings(*(getattr(one, name).float() for name in one.__dataclass_fields__)) for one in (in_a, in_b)]
    start = align(*low)
    found = resect(start, start, NONE.float(), *low, robust=PLAIN["robust"].float(), steps=6).T_b_a
    assert float((found.matrix() - T.matrix().float()).abs().max()) == pytest.approx(0, abs=1e-4)
