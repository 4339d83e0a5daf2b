"""Rays cast in bundles meet what rays cast one by one meet, however wide the bundles are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from geom import bundles
from geom.bundles import cast_bundles
from geom.primitives import BOX, CYLINDER, DISC, ELLIPSOID, PLANE, Primitives
from geom.raycast import cast
from geom.se3 import SE3

ALL = [BOX, CYLINDER, ELLIPSOID, DISC, PLANE]


def shapes(g: torch.Generator, codes: list[int]) -> Primitives:
    n = len(codes)
    pose = SE3.exp(torch.randn(n, 6, generator=g).double() * 2)
    return Primitives.build(codes, pose, torch.rand(n, 3, generator=g) * 1.5 + 0.02)


def rays(g: torch.Generator, num: int, spread: float) -> tuple[Tensor, Tensor]:
    """Bundles of 5 rays from around the shapes and amid them, that leave a common direction by `spread`."""
    origin = torch.randn(num, 3, generator=g).double() * 3
    middle = torch.nn.functional.normalize(torch.randn(num, 1, 3, generator=g).double() - origin[:, None], dim=-1)
    length = torch.rand(num, 5, 1, generator=g).double() + 0.5
    return origin, (middle + spread * torch.randn(num, 5, 3, generator=g).double()) * length


@given(
    st.integers(0, 2**31 - 1),
    st.sampled_from([0.0, 0.01, 0.1, 0.5, 3.0]),
    st.sampled_from([2.0, torch.inf]),
    st.sampled_from([1, 600, 10**6]),
)
def test_bundles_meet_what_single_rays_meet(seed: int, spread: float, t_max: float, pairs: int) -> None:
    """Also where each is a block of its own, so that none tries a shape because its neighbour does."""
    g = torch.Generator().manual_seed(seed)
    primitives = shapes(g, ALL * 4 if seed % 2 else ALL[:4] * 5)
    origin, direction = rays(g, 20, spread)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "pairs_at_once", lambda device: pairs)
        found = cast_bundles(primitives, origin, direction, t_max=t_max)
    want = cast(primitives, origin[:, None], direction, t_max=t_max)
    assert torch.equal(found.prim_idx, want.prim_idx)
    assert torch.allclose(found.t, want.t, rtol=1e-9, atol=0)


def test_shapes_that_are_not_there_for_a_bundle_are_not_met() -> None:
    g = torch.Generator().manual_seed(9)
    primitives = shapes(g, ALL[:4] * 5)
    origin, direction = rays(g, 30, 0.1)
    among = torch.rand(30, 20, generator=g) < 0.4
    found = cast_bundles(primitives, origin, direction, among=among)
    for i in range(30):
        there = among[i].nonzero()[:, 0]
        want = cast(primitives.select(there), origin[i], direction[i])
        assert torch.equal(found.prim_idx[i], torch.cat([there, torch.tensor([-1])])[want.prim_idx])
        assert torch.allclose(found.t[i], want.t, rtol=1e-9, atol=0)
    whole = cast_bundles(primitives, origin, direction)
    assert 0.1 < float((found.prim_idx == whole.prim_idx)[whole.prim_idx >= 0].double().mean()) < 0.9


def interpreted() -> None:
    """Kernels that run step by step on a CPU."""
    knobs = pytest.importorskip("triton", reason="Triton comes for Linux alone").knobs
    if not knobs.runtime.interpret:
        pytest.skip("kernels are compiled where there is CUDA, and tested there by the device's own tests")


@pytest.mark.parametrize(("seed", "spread"), [(0, 0.0), (1, 0.05), (2, 0.5), (3, 3.0)])
@pytest.mark.parametrize("chooses", [False, True])
def test_the_kernels_meet_what_torch_meets(seed: int, spread: float, chooses: bool) -> None:
    """With more shapes than are held against a bundle at once; a bundle for each, near it or along its axis."""
    interpreted()
    g = torch.Generator().manual_seed(seed)
    exact = shapes(g, ALL * 16 if seed % 2 else ALL[:4] * 20)
    origin, direction = rays(g, 16, spread)
    T = exact.T_world_prim
    origin = T.t[:16] + 0.9 * torch.randn(16, 3, generator=g)
    direction[8:] += (T.t[8:16] - origin[8:])[:, None] * 3
    origin[:8], direction[:8, :2] = T.t[:8] - 3 * T.R[:8, :, 2], T.R[:8, None, :, 2]
    among = torch.rand(16, 80, generator=g) < 0.5 if chooses else None
    want = cast_bundles(exact, origin.float().double(), direction.float().double(), among=among)
    t, prim_idx = bundles._by_kernels(exact.to(dtype=torch.float32), origin.float(), direction.float(), among)
    same = prim_idx == want.prim_idx
    assert float(same.double().mean()) >= 0.97
    met = same & (prim_idx >= 0)
    assert torch.allclose(t[met].double(), want.t[met], rtol=1e-3) and bool((t[prim_idx < 0] == torch.inf).all())
    assert len(exact.shape_code[prim_idx[met]].unique()) >= 4 - chooses


def test_the_kernels_meet_what_torch_meets_along_the_axes() -> None:
    """From outside and inside, in the middle and aside, where formulas divide by nothing."""
    interpreted()
    place = [-3.0, 0.0, 0.4, 1.5]
    origin = torch.tensor([[x, y, z] for x in place for y in place for z in place])
    direction = torch.cat([torch.eye(3), -torch.eye(3)]).expand(len(origin), 6, 3)
    for code in ALL:
        one = Primitives.build([code], SE3.identity(1, dtype=torch.float32), torch.ones(1, 3))
        t, prim_idx = bundles._by_kernels(one, origin, direction, None)
        want = cast(one, origin[:, None], direction)
        assert torch.equal(prim_idx, want.prim_idx) and torch.allclose(t, want.t)
        assert int((prim_idx == 0).sum()) > 10


def test_float32_meets_what_float64_meets_on_any_device(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "pairs_at_once", lambda device: 1)
    g = torch.Generator().manual_seed(4)
    primitives = shapes(g, ALL[:4] * 10)
    origin, direction = rays(g, 200, 0.02)
    want = cast_bundles(primitives, origin, direction)
    found = cast_bundles(
        primitives.to(dtype=torch.float32, device=device), origin.float().to(device), direction.float().to(device)
    )
    same = found.prim_idx.cpu() == want.prim_idx
    assert float(same.double().mean()) > 0.995
    met = same & (want.prim_idx >= 0)
    assert torch.allclose(found.t.cpu().double()[met], want.t[met], rtol=1e-3)


def test_narrow_bundles_leave_most_shapes_out() -> None:
    g = torch.Generator().manual_seed(5)
    pose = SE3.exp(torch.randn(500, 6, generator=g).double() * 3)
    small = Primitives.build([BOX] * 500, pose, torch.full((500, 3), 0.05))
    origin, direction = rays(g, 40, 0.02)
    may_meet = bundles._may_meet(small, origin, direction)
    assert float(may_meet.double().mean()) < 0.05
    wide = torch.cat([direction, -direction], 1)
    assert bool(bundles._may_meet(small, origin, wide).all())


def test_nothing_to_meet_and_nothing_to_cast() -> None:
    g = torch.Generator().manual_seed(6)
    origin, direction = rays(g, 3, 0.1)
    none = cast_bundles(shapes(g, [BOX]).select(torch.tensor([False])), origin, direction)
    assert bool((none.prim_idx == -1).all()) and bool((none.t == torch.inf).all())
    assert cast_bundles(shapes(g, ALL), origin[:0], direction[:0]).t.shape == (0, 5)


def test_what_cannot_be_cast_is_refused() -> None:
    g = torch.Generator().manual_seed(7)
    primitives, (origin, direction) = shapes(g, ALL), rays(g, 3, 0.1)
    with pytest.raises(ValueError, match="directions must be finite and not zero"):
        cast_bundles(primitives, origin, direction * 0)
    with pytest.raises(ValueError, match="origins must be finite"):
        cast_bundles(primitives, origin * torch.nan, direction)
    with pytest.raises(ValueError, match="origin must be .* torch.float64"):
        cast_bundles(primitives, origin.float(), direction)
