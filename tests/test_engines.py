"""The engines of the warps against each other: torch, numba, and Triton's kernels, interpreted here and on a device."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geom import SE3, PinholeCamera, backward_warp, engine_numba, engine_torch, forward_warp
from geom.engine import engine_for
from geom.transfer import Transfer, parts

HERE, THERE = PinholeCamera.from_hfov(1.2, 70, 50), PinholeCamera.from_hfov(1.1, 61, 43)


def scene(num: int, camera: PinholeCamera, seed: int, kind: torch.dtype = torch.float64) -> torch.Tensor:
    """Depths of a rough wall with a board before it, a few unknown, a few infinite."""
    gen = torch.Generator().manual_seed(seed)
    rough = torch.rand(num, 1, 5, 6, generator=gen, dtype=torch.float64)
    z = 2 + torch.nn.functional.interpolate(rough, size=(camera.height, camera.width), mode="bicubic")[:, 0]
    z[:, 10:25, 20:40] *= 0.6
    strange = torch.rand(z.shape, generator=gen)
    return z.where(strange > 0.01, math.nan).where(strange < 0.995, math.inf).to(kind)


def pictures(num: int, channels: int, kind: torch.dtype = torch.float64) -> torch.Tensor:
    gen = torch.Generator().manual_seed(9)
    return torch.rand(num, channels, HERE.height, HERE.width, generator=gen, dtype=torch.float64).to(kind)


def motions(num: int) -> SE3:
    return SE3.exp(torch.linspace(-0.1, 0.15, 6 * num, dtype=torch.float64).reshape(num, 6))


@pytest.fixture(scope="module")
def interpreted() -> ModuleType:
    """Triton's engine with kernels that run step by step on a CPU."""
    knobs = pytest.importorskip("triton", reason="Triton comes for Linux alone").knobs
    if not knobs.runtime.interpret:
        pytest.skip("the kernels run on the device, see test_the_device_agrees_with_the_cpu")
    from geom import engine_triton

    return engine_triton


@pytest.mark.parametrize("hides", [True, False])
def test_numba_gathers_what_torch_does(hides: bool, dtype: torch.dtype) -> None:
    image, z_dst = pictures(3, 3, dtype), scene(3, THERE, 1, dtype)
    z_src = scene(3, HERE, 2, dtype) if hides else None
    transfer = Transfer.between(THERE, motions(3), HERE, z_dst)
    same_gathered(
        engine_torch.gather(image, z_dst, z_src, transfer, 0.01),
        engine_numba.gather(image, z_dst, z_src, transfer, 0.01),
        dtype,
    )


def same_gathered(a: tuple, b: tuple, kind: torch.dtype) -> None:
    """Colours within the rounding of `grid_sample`; masks alike, but for pixels on their edge in single precision."""
    off = 0 if kind == torch.float64 else 2
    for mask_a, mask_b in zip(a[1:3], b[1:3], strict=True):
        assert 0.3 < mask_a.float().mean() < 1 and int((mask_a != mask_b).sum()) <= off
    both = a[1] & b[1]
    error = (a[0].double() - b[0].double()).abs().amax(1)[both].max()
    assert error < {torch.float64: 1e-12, torch.float32: 2e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}[kind]
    assert not b[0].movedim(1, -1)[~b[1]].any() and a[3] and b[3]


def same_splat(a: tuple, b: tuple, off: int) -> None:
    """The same source in all but a few pixels, and there the same to the bit, depth to its last."""
    same = a[3] == b[3]
    assert int((~same).sum()) <= off and int((a[2] != b[2]).sum()) <= off and 0.02 < a[2].float().mean() < 0.5
    for x, y in zip(a[0], b[0], strict=True):
        assert torch.equal(x.movedim(1, -1)[same], y.movedim(1, -1)[same]) and x.dtype == y.dtype
    assert torch.allclose(a[1][same], b[1][same], rtol=1e-6, equal_nan=True)


def layers(kind: torch.dtype) -> list[tuple[torch.Tensor, float]]:
    """A picture, and ids."""
    return [(pictures(3, 3, kind), 0), ((pictures(3, 1) * 9).to(torch.int16), -1)]


def test_numba_splats_what_torch_does(dtype: torch.dtype) -> None:
    z = scene(3, HERE, 3, dtype)
    transfer, size = Transfer.between(HERE, motions(3), THERE, z), (THERE.height, THERE.width)
    twins = [engine.splat(layers(dtype), z, transfer, size) for engine in (engine_torch, engine_numba)]
    same_splat(*twins, off=0 if dtype == torch.float64 else 2)


KINDS = [torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize(
    ("kind", "channels", "hides"), [*((kind, 3, True) for kind in KINDS), (KINDS[0], 5, False), (KINDS[0], 8, True)]
)
def test_the_kernels_gather_what_numba_does(
    kind: torch.dtype, channels: int, hides: bool, interpreted: ModuleType
) -> None:
    """Five channels are read one by one, eight in two groups of four."""
    image, z_dst = pictures(2, channels, kind), scene(2, THERE, 1, torch.float32)
    z_src = scene(2, HERE, 2, torch.float32) if hides else None
    transfer = Transfer.between(THERE, motions(2), HERE, z_dst)
    twins = [engine.gather(image, z_dst, z_src, transfer, 0.01) for engine in (engine_numba, interpreted)]
    same_gathered(*twins, kind)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize(("kind", "held"), [*((kind, 2**20) for kind in KINDS), (KINDS[0], THERE.width * THERE.height)])
def test_the_kernels_splat_what_numba_does(
    kind: torch.dtype, held: int, interpreted: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All frames at once, and frame by frame through one z-buffer."""
    monkeypatch.setattr(interpreted, "_SPLAT_PIXELS", held)
    z = scene(3, HERE, 3, torch.float32)
    transfer, size = Transfer.between(HERE, motions(3), THERE, z), (THERE.height, THERE.width)
    same_splat(*(engine.splat(layers(kind), z, transfer, size) for engine in (engine_numba, interpreted)), off=2)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_the_kernels_leave_a_picture_as_it_is_where_nothing_moves(interpreted: ModuleType) -> None:
    image, z = pictures(1, 3, torch.float32), scene(1, HERE, 4, torch.float32).nan_to_num(2.5, 2.5)
    transfer = Transfer.between(HERE, SE3.identity(1), HERE, z)
    colour, is_seen, *_ = interpreted.gather(image, z, z, transfer, 0.01)
    assert is_seen.all() and torch.equal(colour, image)
    (splat,), z_there, is_hole, *_ = interpreted.splat([(image, 0)], z, transfer, (HERE.height, HERE.width))
    assert not is_hole.any() and torch.equal(splat, image) and torch.equal(z_there, z)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize(("width", "height"), [(6, 1), (1, 6), (1, 1)])
def test_the_kernels_read_nothing_beside_a_picture_of_one_row_or_column(
    width: int, height: int, interpreted: ModuleType
) -> None:
    """What lies behind the first picture in memory is infinite, and would show even times 0."""
    camera = PinholeCamera.from_hfov(1.0, width, height)
    image = torch.ones(2, 1, height, width)
    image[1] = math.inf
    transfer = Transfer.between(camera, SE3.identity(1), camera, torch.full((1, height, width), 2.0))
    found = interpreted.gather(image[:1], torch.full((1, height, width), 2.0), None, transfer, 0.01)
    assert torch.equal(found[0], image[:1])


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_a_surface_that_runs_through_the_camera_has_no_step_across_it(interpreted: ModuleType) -> None:
    """The wall x = 0.6 (z - 2 m) + 1 mm from 2 m ahead: right of the middle it is in front, left of it behind."""
    camera = HERE.resize(140, 100)
    along = (camera.pixel_centers()[..., 0] - camera.principal_point[0]) / camera.focal[0]
    z = (1.199 / (0.6 - along)).where(along < 0.6, math.nan)[None]
    T_dst_src = SE3.from_translation(torch.tensor([[0.0, 0.0, -2.0]], dtype=torch.float64))
    image, size = torch.rand(1, 1, 100, 140, generator=torch.Generator().manual_seed(0)), (camera.height, camera.width)
    for kind, engines in ((torch.float64, [engine_torch, engine_numba]), (torch.float32, [engine_numba, interpreted])):
        transfer = Transfer.between(camera, T_dst_src, camera, z.to(kind))
        a, b = (engine.splat([(image, 0)], z.to(kind), transfer, size) for engine in engines)
        assert torch.equal(a[3], b[3]) and torch.equal(a[2], b[2]) and 0 < int((~a[2]).sum()) < a[2].numel() / 4


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(SIZES, SIZES, st.integers(0, 999), st.sampled_from([0.05, 0.5, 3.0]), st.sampled_from([math.nan, math.inf]))
def test_numba_and_torch_agree_on_any_view(
    size_src: tuple[int, int], size_dst: tuple[int, int], seed: int, far: float, strange: float
) -> None:
    """Down to one pixel, with any motion."""
    gen = torch.Generator().manual_seed(seed)
    src, dst = (PinholeCamera.from_hfov(1.2, *size) for size in (size_src, size_dst))
    motion = SE3.exp(far * (torch.rand(2, 6, generator=gen, dtype=torch.float64) - 0.5))
    depths = (1 + 2 * torch.rand(2, c.height, c.width, generator=gen, dtype=torch.float64) for c in (src, dst))
    z_src, z_dst = (z.where(torch.rand(z.shape, generator=gen) > 0.1, strange) for z in depths)
    image = torch.rand(2, 2, src.height, src.width, generator=gen, dtype=torch.float64)
    back = Transfer.between(dst, motion, src, z_dst)
    a, b = (engine.gather(image, z_dst, z_src, back, 0.01) for engine in (engine_torch, engine_numba))
    assert torch.equal(a[1], b[1]) and torch.equal(a[2], b[2]) and torch.allclose(a[0], b[0], atol=1e-9)
    forth, size = Transfer.between(src, motion.inverse(), dst, z_src), (dst.height, dst.width)
    a, b = (engine.splat([(image, 0)], z_src, forth, size) for engine in (engine_torch, engine_numba))
    assert torch.equal(a[3], b[3]) and torch.equal(a[2], b[2]) and torch.equal(a[0][0], b[0][0])
    assert torch.allclose(a[1], b[1], equal_nan=True)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_and_bands_do_not_change_a_bit(threads: int) -> None:
    image, z, z_src, poses = pictures(5, 3), scene(5, THERE, 1), scene(5, HERE, 2), motions(5)

    def both() -> list[Any]:
        forth = forward_warp(image, z_src, HERE, poses, THERE)
        return [backward_warp(image, HERE, poses, z, THERE, z_depth_src=z_src), forth]

    before, want = torch.get_num_threads(), both()
    torch.set_num_threads(threads)
    try:
        got = both()
    finally:
        torch.set_num_threads(before)
    for a, b in zip(want, got, strict=True):
        assert all(x is None or torch.equal(x.nan_to_num(-1), y.nan_to_num(-1)) for x, y in zip(a, b, strict=True))


def test_torch_works_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    image, z, poses = pictures(5, 2), scene(5, HERE, 2), motions(5)
    transfer, size = Transfer.between(HERE, poses, HERE, z), (HERE.height, HERE.width)
    whole = engine_torch.gather(image, z, z, transfer, 0.01), engine_torch.splat([(image, 0)], z, transfer, size)
    monkeypatch.setattr("geom.transfer._PIXELS_ON_CPU", 2 * size[0] * size[1])
    assert [len(z[part]) for part in parts(z)] == [2, 2, 1]
    cut = engine_torch.gather(image, z, z, transfer, 0.01), engine_torch.splat([(image, 0)], z, transfer, size)
    assert all(torch.equal(a, b) for a, b in zip(whole[0][:3], cut[0][:3], strict=True))
    assert torch.equal(whole[1][3], cut[1][3]) and torch.equal(whole[1][0][0], cut[1][0][0])


def test_each_device_and_dtype_has_its_engine(device: torch.device) -> None:
    if device.type == "cpu":
        assert engine_for(torch.zeros(1)) is engine_numba
    else:
        assert engine_for(torch.zeros(1, device=device)).__name__ == "geom.engine_triton"
        assert engine_for(torch.zeros(1, device=device, dtype=torch.float64)) is engine_torch
    assert engine_for(torch.zeros(1, device="meta")) is engine_torch


@pytest.mark.parametrize("kind", [torch.float64, *KINDS])
def test_the_device_agrees_with_the_cpu(kind: torch.dtype, device: torch.device) -> None:
    geometry = torch.float64 if kind == torch.float64 else torch.float32
    image, z_dst, z_src = pictures(3, 3, kind), scene(3, THERE, 1, geometry), scene(3, HERE, 2, geometry)
    there = [x.to(device) for x in (image, z_dst, z_src)]
    here = backward_warp(image, HERE, motions(3), z_dst, THERE, z_depth_src=z_src)
    got = backward_warp(there[0], HERE, motions(3), there[1], THERE, z_depth_src=there[2])
    same_gathered((*here, True), (*(x.cpu() for x in got), True), kind)
    splats = []
    for picture, z in ((image, z_src), (there[0], there[2])):
        found = forward_warp(picture, z, HERE, motions(3), THERE, extra=(picture[:, 0] * 9).to(torch.int16))
        assert found.extra is not None
        maps = (x.cpu() for x in (found.z_depth, found.is_hole, found.source_idx))
        splats.append(([found.image.cpu(), found.extra.cpu()[:, None]], *maps))
    same_splat(*splats, off=2)


def test_zero_depth_is_refused_where_asking_costs_nothing_and_unknown_elsewhere(device: torch.device) -> None:
    image, z = pictures(1, 3, torch.float32).to(device), torch.full((1, HERE.height, HERE.width), 2.0, device=device)
    z[0, 3, 4] = 0
    calls = [
        lambda: backward_warp(image, HERE, SE3.identity(), z, HERE).is_seen,
        lambda: backward_warp(image, HERE, SE3.identity(), z.where(z > 0, 2), HERE, z_depth_src=z).is_seen,
        lambda: ~forward_warp(image, z, HERE, SE3.identity(), HERE).is_hole,
    ]
    for call in calls:
        if device.type == "cpu":
            with pytest.raises(ValueError, match="is 0 used for unknown"):
                call()
        else:
            assert torch.equal(call()[0].cpu(), (z[0] > 0).cpu())
