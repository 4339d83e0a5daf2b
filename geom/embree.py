"""Triangle ray casting by Open3D (Embree, float32, CPU): the fast twin of geom.raycast, on a mesh."""

from __future__ import annotations

import ctypes
import importlib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geom.primitives import Primitives
from geom.raycast import Hit
from geom.tessellate import Mesh, tessellate


class TriangleScene:
    """One search tree over triangles: those of a mesh, or of all primitives.

    Embree works in float32: keep scenes within about 100 m of the origin, where t is good to 1e-5 relative.
    The mesh of `tessellate` lies inside curved surfaces by at most its `surface_gap`.

    Args:
        shapes: a mesh; or primitives on any device and in any precision, copied, without gradients.
        nthreads: threads for building and casting; 0 leaves the choice to Embree.
        segments, subdivisions, plane_extent_m: as in `tessellate`, for primitives.

    Raises:
        ImportError: if Open3D is missing or cannot be loaded; the message says what to install.
    """

    def __init__(
        self,
        shapes: Primitives | Mesh,
        *,
        nthreads: int = 0,
        segments: int = 64,
        subdivisions: int = 3,
        plane_extent_m: float = 100.0,
    ) -> None:
        open3d = _load_open3d()
        mesh = shapes
        if isinstance(mesh, Primitives):
            mesh = tessellate(mesh, segments=segments, subdivisions=subdivisions, plane_extent_m=plane_extent_m)
        self._nthreads = nthreads
        self._as_open3d = open3d.core.Tensor.from_numpy
        self._scene: Any = open3d.t.geometry.RaycastingScene(nthreads=nthreads)
        # One entry more than there are triangles: Embree's id for a miss is clipped to it.
        self._prim_of_triangle = np.append(mesh.prim_idx, -1).astype(np.int32)
        if len(mesh.triangles) > 0:
            vertices, triangles = mesh.vertices.astype(np.float32), mesh.triangles.astype(np.uint32)
            self._scene.add_triangles(self._as_open3d(vertices), self._as_open3d(triangles))

    def cast_np(self, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the first triangle that each ray meets, in and out as numpy arrays, without checks.

        Args:
            rays: (..., 6) float32, contiguous: origin (world, metres) and direction of any length > 0.

        Returns:
            t: (...) float32, multiple of the direction; +inf where nothing is met.
            prim_idx: (...) int32; -1 where nothing is met.
        """
        answer = self._scene.cast_rays(self._as_open3d(rays), nthreads=self._nthreads)
        return answer["t_hit"].numpy(), self._prim_of_triangle.take(answer["primitive_ids"].numpy(), mode="clip")

    def distance_np(self, points: np.ndarray) -> np.ndarray:
        """Distance from points, (..., 3) float32, world, metres, to the nearest triangle; (...), without checks."""
        return self._scene.compute_distance(self._as_open3d(points), nthreads=self._nthreads).numpy()

    def occluded_np(self, rays: np.ndarray, t_max: float) -> np.ndarray:
        """Say which rays, laid out as for `cast_np`, meet anything before t_max; (...) bool, without checks."""
        return self._scene.test_occlusions(self._as_open3d(rays), tfar=t_max, nthreads=self._nthreads).numpy()

    def cast(
        self,
        origin: Float[Tensor, "*#batch 3"],
        direction: Float[Tensor, "*#batch 3"],
        *,
        t_max: float = torch.inf,
    ) -> Hit:
        """Find the first surface that each ray meets, as `geom.raycast.cast` does, to float32 precision.

        Args:
            origin: world, metres; leading dims broadcast against those of direction.
            direction: world, any length > 0. The answer takes its dtype and device.
            t_max: surfaces beyond it are not met.

        Raises:
            ValueError: if a ray is not finite or a direction is zero.
        """
        t, prim_idx = self.cast_np(_packed(origin, direction))
        beyond = t > t_max
        t, prim_idx = np.where(beyond, np.float32(np.inf), t), np.where(beyond, -1, prim_idx)
        return Hit(torch.from_numpy(t).to(direction), torch.from_numpy(prim_idx).to(direction.device, torch.int64))

    def occluded(
        self,
        origin: Float[Tensor, "*#batch 3"],
        direction: Float[Tensor, "*#batch 3"],
        t_max: float = torch.inf,
        *,
        t_min: float = 0.0,
    ) -> Bool[Tensor, "*batch"]:
        """Say which rays meet anything with t_min < t < t_max; cheaper than `cast`, for shadows.

        A ray to a light at p has direction p - origin and t_max = 1. Rays that start on a surface need a
        t_min that clears the surface's gap.

        Raises:
            ValueError: if a ray is not finite or a direction is zero.
        """
        rays = self._as_open3d(_packed(origin, direction))
        met = self._scene.test_occlusions(rays, tnear=t_min, tfar=t_max, nthreads=self._nthreads)
        return torch.from_numpy(met.numpy()).to(direction.device)


def _packed(origin: Tensor, direction: Tensor) -> np.ndarray:
    origin, direction = torch.broadcast_tensors(origin.detach(), direction.detach())
    rays = torch.cat([origin, direction], dim=-1).to("cpu", torch.float32).contiguous()
    length2 = rays[..., 3:].square().sum(-1)
    if not bool((torch.isfinite(rays).all(-1) & (length2 > 0)).all()):
        raise ValueError("rays must be finite with directions that are not zero; mask invalid pixels first")
    return rays.numpy()


@cache
def _load_open3d() -> ModuleType:
    try:
        return importlib.import_module("open3d")
    except ImportError as first:
        # The wheel links to the system's libusb-1.0, for depth cameras; bare containers lack it.
        if "libusb" not in str(first):
            raise ImportError(f"{_ADVICE}: {first}") from first
    try:
        _preload_libusb()
        return importlib.import_module("open3d")
    except (ImportError, OSError) as second:
        raise ImportError(f"{_ADVICE}: {second}") from second


def _preload_libusb() -> None:
    folder = Path(str(importlib.import_module("libusb_package").__file__)).parent
    for library in sorted(folder.glob("libusb-1.0*.so*")):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


_ADVICE = (
    "triangle ray casting needs Open3D: install open3d-cpu (Linux x86-64) or open3d, and the system package "
    "libusb-1.0-0 or the Python package libusb-package"
)
