"""Triangles against the analytic caster: two implementations, one truth up to the mesh's own bound."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from geom import embree
from geom.camera import PinholeCamera
from geom.embree import TriangleScene
from geom.primitives import BOX, CYLINDER, DISC, ELLIPSOID, PLANE, Primitives
from geom.raycast import Hit, cast, normals, unit_coords
from geom.se3 import SE3
from geom.tessellate import surface_gap, tessellate

ALL = [BOX, CYLINDER, ELLIPSOID, DISC, PLANE]
CAMERA = PinholeCamera.from_hfov(1.3, 160, 120)


def random_room(seed: int, codes: list[int]) -> Primitives:
    """Shapes 2 to 6 m ahead of the camera, before a far wall."""
    g, n = torch.Generator().manual_seed(seed), len(codes)
    rotvec = torch.cat([torch.zeros(n, 3), torch.randn(n, 3, generator=g) * 2], -1).double()
    center = (torch.rand(n, 3, generator=g) * torch.tensor([4.0, 3, 4]) + torch.tensor([-2.0, -1.5, 2])).double()
    size = torch.rand(n, 3, generator=g).double() * 0.4 + 0.1
    wall = torch.tensor([[0.0, 0, 8]]).double()
    pose = SE3(torch.cat([SE3.exp(rotvec).R, torch.eye(3).double()[None]]), torch.cat([center, wall]))
    return Primitives.build([*codes, PLANE], pose, torch.cat([size, torch.ones(1, 3).double()]))


def both(shapes: Primitives) -> tuple[Tensor, Hit, Hit]:
    direction = CAMERA.rays(CAMERA.pixel_centers())
    origin = torch.zeros(3, dtype=torch.float64)
    return direction, cast(shapes, origin, direction), TriangleScene(shapes, nthreads=1).cast(origin, direction)


def beside_an_edge(prim_idx: Tensor) -> Tensor:
    """Pixels with a neighbour, of the eight, that shows another primitive."""
    padded = torch.nn.functional.pad(prim_idx[None].double(), (1, 1, 1, 1), mode="replicate")[0]
    blocks = padded.unfold(0, 3, 1).unfold(1, 3, 1).flatten(-2)
    return blocks.amin(-1) != blocks.amax(-1)


@pytest.mark.parametrize("seed", range(4))
def test_the_two_casters_differ_only_within_one_pixel_of_a_silhouette(seed: int) -> None:
    _, exact, meshed = both(random_room(seed, ALL[:4] * 8))
    differ = exact.prim_idx != meshed.prim_idx
    assert not bool((differ & ~beside_an_edge(exact.prim_idx)).any())
    assert float(differ.double().mean()) < 0.002 and len(exact.prim_idx.unique()) > 15


@pytest.mark.parametrize("seed", range(4))
def test_z_agrees_to_float32_on_flat_faces_and_within_the_gap_on_curved_ones(seed: int) -> None:
    shapes = random_room(seed, ALL[:4] * 8)
    direction, exact, meshed = both(shapes)
    same = exact.prim_idx == meshed.prim_idx
    code = shapes.shape_code[exact.prim_idx]
    flat = same & ((code == BOX) | (code == DISC) | (code == PLANE))
    assert torch.allclose(meshed.t[flat], exact.t[flat], rtol=1e-5, atol=0)
    curved = same & ~flat
    point = meshed.t[..., None] * direction
    # The mesh's point lies inside the true surface, by no more than the gap of its own primitive.
    s = unit_coords(shapes, exact.prim_idx, point)[curved]
    radial = torch.where(code[curved] == CYLINDER, s[:, :2].norm(dim=-1), s.norm(dim=-1))
    reach = torch.where(code[curved] == CYLINDER, torch.maximum(radial, s[:, 2].abs()), radial)
    gap = torch.from_numpy(surface_gap(shapes))[exact.prim_idx][curved]
    inner = shapes.half_size.amin(-1)[exact.prim_idx][curved]
    assert bool((reach < 1 + 1e-4).all()) and bool(((1 - reach) * inner <= gap + 1e-5).all())
    n = normals(shapes, exact.prim_idx, exact.t[..., None] * direction)
    facing = (n * direction).sum(-1).abs() / direction.norm(dim=-1)
    steep = curved & (facing > 0.5)
    bound = torch.from_numpy(surface_gap(shapes))[exact.prim_idx] * 2.2 + 1e-5
    assert int(steep.sum()) > 100 and bool(((meshed.t - exact.t).abs() <= bound)[steep].all())


def test_a_finer_mesh_is_closer() -> None:
    shapes = random_room(1, [CYLINDER, ELLIPSOID, DISC])
    coarse = surface_gap(shapes, segments=16, subdivisions=1)
    fine = surface_gap(shapes, segments=64, subdivisions=3)
    assert (fine[:3] * 10 < coarse[:3]).all() and (fine[:3] > 0).all() and fine[3] == 0


@pytest.mark.parametrize("code", ALL)
def test_vertices_lie_on_the_surface_and_triangles_face_outward(code: int) -> None:
    shapes = Primitives.build([code], SE3.identity(1), [[1.0, 1.0, 1.0]])
    mesh = tessellate(shapes, plane_extent_m=7.0)
    s = torch.from_numpy(mesh.vertices)
    if code in (DISC, PLANE):
        assert float(s[:, 2].abs().max()) == 0 and float(s.abs().max()) == (7.0 if code == PLANE else 1.0)
    else:
        reach = {BOX: s.abs().amax(-1), ELLIPSOID: s.norm(dim=-1)}.get(
            code, torch.maximum(s[:, :2].norm(dim=-1), s[:, 2].abs())
        )
        assert torch.allclose(reach, torch.ones(1).double())
    a, b, c = (mesh.vertices[mesh.triangles[:, k]] for k in range(3))
    turned = np.cross(b - a, c - a)
    outward = np.array([0, 0, 1.0]) if code in (DISC, PLANE) else (a + b + c) / 3
    assert ((turned * outward).sum(1) > 0).all()


@pytest.mark.parametrize(
    ("code", "volume", "triangles"), [(BOX, 8.0, 12), (CYLINDER, 2 * math.pi, 256), (ELLIPSOID, 4 / 3 * math.pi, 1280)]
)
def test_meshes_of_solids_are_closed_and_fill_their_volume(code: int, volume: float, triangles: int) -> None:
    mesh = tessellate(Primitives.build([code], SE3.identity(1), [[1.0, 1.0, 1.0]]))
    corners = mesh.vertices[mesh.triangles]
    assert len(mesh.triangles) == triangles
    assert np.linalg.det(corners).sum() / 6 == pytest.approx(volume, rel=0.01)
    edges = np.concatenate([mesh.triangles[:, [i, (i + 1) % 3]] for i in range(3)])
    assert {tuple(e) for e in edges.tolist()} == {tuple(e) for e in edges[:, ::-1].tolist()}


def test_every_triangle_knows_its_primitive() -> None:
    shapes = random_room(2, ALL[:4] * 3)
    mesh = tessellate(shapes)
    center = mesh.vertices[mesh.triangles].mean(axis=1)
    index = torch.from_numpy(mesh.prim_idx)
    s = unit_coords(shapes, index, torch.from_numpy(center))[index < 12]
    assert float(s.abs().max()) < 1 + 1e-9 and sorted(set(mesh.prim_idx.tolist())) == list(range(13))


def test_numpy_and_torch_answers_are_the_same_and_misses_are_marked() -> None:
    box = Primitives.build([BOX], SE3.from_translation(torch.tensor([[0.0, 0, 3]]).double()), [[1.0, 1.0, 1.0]])
    scene = TriangleScene(box, nthreads=1)
    rays = np.array([[[0, 0, 0, 0, 0, 2], [0, 0, 0, 0, 0, -1], [0, 0, 3, 0, 1, 0]]], dtype=np.float32)
    t, prim_idx = scene.cast_np(rays)
    assert t[0].tolist() == pytest.approx([1.0, math.inf, 1.0]) and prim_idx.tolist() == [[0, -1, 0]]
    assert t.dtype == np.float32 and prim_idx.dtype == np.int32
    hit = scene.cast(*torch.from_numpy(rays).double().split(3, -1))
    assert hit.t.dtype == torch.float64 and hit.prim_idx.dtype == torch.int64
    assert hit.t.tolist() == t.tolist() and hit.prim_idx.tolist() == prim_idx.tolist()


def test_t_max_bounds_casts_and_shadow_rays_per_length_of_the_direction() -> None:
    box = Primitives.build([BOX], SE3.from_translation(torch.tensor([[0.0, 0, 3]]).double()), [[1.0, 1.0, 1.0]])
    scene, origin = TriangleScene(box, nthreads=1), torch.zeros(3)
    ahead = torch.tensor([[0.0, 0, 2], [0, 0, -2]])
    assert scene.cast(origin, ahead, t_max=0.9).prim_idx.tolist() == [-1, -1]
    assert scene.cast(origin, ahead, t_max=0.9).t.tolist() == [math.inf, math.inf]
    assert scene.cast(origin, ahead, t_max=1.1).prim_idx.tolist() == [0, -1]
    assert scene.occluded(origin, ahead).tolist() == [True, False]
    assert scene.occluded(origin, ahead, 0.9).tolist() == [False, False]
    assert scene.occluded(origin, ahead, 1.1).tolist() == [True, False]
    assert scene.occluded(origin, ahead, 1.9, t_min=1.1).tolist() == [False, False]


def test_shadow_rays_agree_with_the_analytic_caster() -> None:
    shapes = random_room(3, ALL[:4] * 5)
    g = torch.Generator().manual_seed(3)
    origin = torch.rand(2000, 3, generator=g).double() * torch.tensor([4.0, 3, 0.5]) - torch.tensor([2.0, 1.5, 0])
    target = torch.rand(2000, 3, generator=g).double() * torch.tensor([4.0, 3, 0.1]) - torch.tensor([2.0, 1.5, -6])
    to_light = target - origin
    shadow = TriangleScene(shapes, nthreads=1).occluded(origin, to_light, 1.0)
    expected = cast(shapes, origin, to_light, t_max=1.0).prim_idx >= 0
    assert float((shadow != expected).double().mean()) < 0.005 and 0.05 < float(expected.double().mean()) < 0.95


def test_an_empty_scene_is_met_by_nothing() -> None:
    none = random_room(0, [BOX]).select(torch.zeros(2, dtype=torch.bool))
    hit = TriangleScene(none, nthreads=1).cast(torch.zeros(3), torch.tensor([[0.0, 0, 1]]))
    assert hit.t.tolist() == [math.inf] and hit.prim_idx.tolist() == [-1]


def test_bad_rays_and_meshes_are_refused() -> None:
    box = Primitives.build([BOX], SE3.identity(1), [[1.0, 1.0, 1.0]])
    scene = TriangleScene(box, nthreads=1)
    for wrong in ([0.0, 0, 0], [0, math.nan, 1], [math.inf, 0, 1]):
        with pytest.raises(ValueError, match="rays must be finite with directions that are not zero"):
            scene.cast(torch.zeros(3), torch.tensor(wrong))
        with pytest.raises(ValueError, match="rays must be finite"):
            scene.occluded(torch.zeros(3), torch.tensor(wrong))
    for wrong in ({"segments": 2}, {"subdivisions": -1}, {"plane_extent_m": 0.0}):
        with pytest.raises(ValueError, match="need segments >= 3"):
            tessellate(box, **wrong)


@pytest.fixture
def unloaded():
    """Open3D looks as if nobody had loaded it, during one test."""
    embree._load_open3d.cache_clear()
    yield
    embree._load_open3d.cache_clear()


def test_a_missing_open3d_says_what_to_install(monkeypatch: pytest.MonkeyPatch, unloaded: None) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    box = Primitives.build([BOX], SE3.identity(1), [[1.0, 1.0, 1.0]])
    with pytest.raises(ImportError, match="needs Open3D: install open3d-cpu .*libusb-1.0-0"):
        TriangleScene(box)


def test_a_missing_libusb_is_loaded_first_and_named_when_it_is_not_there(
    monkeypatch: pytest.MonkeyPatch, unloaded: None
) -> None:
    asked = []

    def without_libusb(name: str) -> object:
        asked.append(name)
        if name == "open3d":
            raise ImportError("libusb-1.0.so.0: cannot open shared object file")
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(embree.importlib, "import_module", without_libusb)
    with pytest.raises(ImportError, match="the Python package libusb-package: No module named 'libusb_package'"):
        embree._load_open3d()
    assert asked == ["open3d", "libusb_package"]


def test_importing_the_engine_does_not_import_open3d() -> None:
    code = "import sys, geom, geom.embree; sys.exit('open3d' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
