"""The kernels of `geom.bundles`, compiled by Triton: which shapes a bundle may meet, and which each of its rays meets.

The formulas are those of `geom.raycast`, in float32. Annotations are Triton's own, and so is what the language allows.
"""
# pyright: reportGeneralTypeIssues=false

import triton
import triton.language as tl

from geom.primitives import BOX, CYLINDER, ELLIPSOID, PLANE
from geom.raycast import ALONG, TINY

SHAPES = tl.constexpr(64)
"""Shapes that are held against a bundle at once."""
_BOX, _CYLINDER, _ELLIPSOID, _PLANE = (tl.constexpr(code) for code in (BOX, CYLINDER, ELLIPSOID, PLANE))
_TINY, _ALONG = tl.constexpr(TINY), tl.constexpr(ALONG)


@triton.jit
def cull(origin, sides, center, axes, code, among, kept, count, num, AMONG: tl.constexpr):
    """List the shapes whose oriented boxes reach into all four sides of a bundle's pyramid, a bundle each program.

    Of n = num shapes, center is (3, n), axes (9, n) by coordinate and then by axis, kept (bundles, n).
    """
    bundle = tl.program_id(0).to(tl.int64)
    origin, sides = origin + bundle * 3, sides + bundle * 12
    first, total = tl.full([], 0, tl.int32), tl.full([], 0, tl.int32)
    while first < num:
        prim = first + tl.arange(0, SHAPES)
        exists = prim < num
        x = tl.load(center + prim, mask=exists, other=0.0) - tl.load(origin)
        y = tl.load(center + num + prim, mask=exists, other=0.0) - tl.load(origin + 1)
        z = tl.load(center + 2 * num + prim, mask=exists, other=0.0) - tl.load(origin + 2)
        inside = exists
        for side in tl.static_range(4):
            nx, ny, nz = tl.load(sides + 3 * side), tl.load(sides + 3 * side + 1), tl.load(sides + 3 * side + 2)
            reach = nx * x + ny * y + nz * z
            for axis in tl.static_range(3):
                ax = tl.load(axes + axis * num + prim, mask=exists, other=0.0)
                ay = tl.load(axes + (3 + axis) * num + prim, mask=exists, other=0.0)
                az = tl.load(axes + (6 + axis) * num + prim, mask=exists, other=0.0)
                reach += tl.abs(nx * ax + ny * ay + nz * az)
            inside = inside & (reach >= 0)
        inside = inside | (exists & (tl.load(code + prim, mask=exists, other=0) == _PLANE))
        if AMONG:
            inside = inside & (tl.load(among + bundle * num + prim, mask=exists, other=0) != 0)
        one = inside.to(tl.int32)
        tl.store(kept + bundle * num + total + tl.cumsum(one, 0) - 1, prim, mask=inside)
        total += tl.sum(one, 0)
        first += SHAPES
    tl.store(count + bundle, total)


@triton.jit
def meet(
    origin, direction, unit_from_world, code, kept, count, t_met, prim_met, num, rays, RAYS: tl.constexpr
):  # fmt: skip
    """Find what each ray of a bundle meets first among the shapes that were kept for it, a bundle each program.

    unit_from_world is (n, 12), rows of the affine map of each shape. RAYS is a power of 2, at least rays.
    """
    bundle = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, RAYS)
    exists, at = i < rays, bundle * rays + i
    x, y, z = tl.load(origin + bundle * 3), tl.load(origin + bundle * 3 + 1), tl.load(origin + bundle * 3 + 2)
    dx = tl.load(direction + at * 3, mask=exists, other=1.0)
    dy = tl.load(direction + at * 3 + 1, mask=exists, other=1.0)
    dz = tl.load(direction + at * 3 + 2, mask=exists, other=1.0)
    best, best_prim = tl.full((RAYS,), float("inf"), tl.float32), tl.full((RAYS,), -1, tl.int32)
    k, last = tl.full([], 0, tl.int32), tl.load(count + bundle)
    while k < last:
        prim = tl.load(kept + bundle * num + k)
        row = unit_from_world + prim.to(tl.int64) * 12
        a, b, c, shift = tl.load(row), tl.load(row + 1), tl.load(row + 2), tl.load(row + 3)
        ox, ux = a * x + b * y + c * z + shift, a * dx + b * dy + c * dz
        a, b, c, shift = tl.load(row + 4), tl.load(row + 5), tl.load(row + 6), tl.load(row + 7)
        oy, uy = a * x + b * y + c * z + shift, a * dx + b * dy + c * dz
        a, b, c, shift = tl.load(row + 8), tl.load(row + 9), tl.load(row + 10), tl.load(row + 11)
        oz, uz = a * x + b * y + c * z + shift, a * dx + b * dy + c * dz
        t = _first(tl.load(code + prim), ox, oy, oz, ux, uy, uz)
        closer = t < best
        best, best_prim = tl.where(closer, t, best), tl.where(closer, prim, best_prim)
        k += 1
    tl.store(t_met + at, best, mask=exists)
    tl.store(prim_met + at, best_prim.to(tl.int64), mask=exists)


@triton.jit
def _first(code, ox, oy, oz, ux, uy, uz):
    """Return where rays in the unit frame of a shape first meet it, inf where they do not."""
    if code == _BOX:
        t = _box(ox, oy, oz, ux, uy, uz)
    elif code == _CYLINDER:
        t = _cylinder(ox, oy, oz, ux, uy, uz)
    elif code == _ELLIPSOID:
        t = _ellipsoid(ox, oy, oz, ux, uy, uz)
    else:
        t = _flat(code, ox, oy, oz, ux, uy, uz)
    return t


@triton.jit
def _first_after(t_in, t_out):
    t = tl.where(t_in > 0, t_in, t_out)
    return tl.where((t_in <= t_out) & (t > 0), t, float("inf"))


@triton.jit
def _slab(o, u):
    inverse = 1.0 / (u + _TINY)
    return -o * inverse - tl.abs(inverse), tl.abs(inverse) - o * inverse


@triton.jit
def _box(ox, oy, oz, ux, uy, uz):
    x_in, x_out = _slab(ox, ux)
    y_in, y_out = _slab(oy, uy)
    z_in, z_out = _slab(oz, uz)
    return _first_after(tl.maximum(tl.maximum(x_in, y_in), z_in), tl.minimum(tl.minimum(x_out, y_out), z_out))


@triton.jit
def _half_chord(room, length2):
    """Return NaN where the ray passes by: every later comparison is then false, which means a miss."""
    return tl.where(room > 0, tl.sqrt(tl.where(room > 0, room, 1.0) / length2), float("nan"))


@triton.jit
def _cylinder(ox, oy, oz, ux, uy, uz):
    length2 = ux * ux + uy * uy
    along = length2 <= _ALONG * uz * uz
    length2 = tl.where(along, 1.0, length2)
    t_near = tl.where(along, 0.0, -(ox * ux + oy * uy) / length2)
    qx, qy = ox + t_near * ux, oy + t_near * uy
    room = 1.0 - qx * qx - qy * qy
    half = _half_chord(room, length2)
    half = tl.where(along & (room > 0), float("inf"), half)
    z_in, z_out = _slab(oz, uz)
    t_in, t_out = t_near - half, t_near + half
    # Written out, because what the minimum of a number and NaN is depends on the device.
    met = half == half
    t_in = tl.where(met, tl.maximum(tl.where(met, t_in, 0.0), z_in), float("inf"))
    t_out = tl.where(met, tl.minimum(tl.where(met, t_out, 0.0), z_out), -float("inf"))
    return _first_after(t_in, t_out)


@triton.jit
def _ellipsoid(ox, oy, oz, ux, uy, uz):
    length2 = ux * ux + uy * uy + uz * uz
    t_near = -(ox * ux + oy * uy + oz * uz) / length2
    qx, qy, qz = ox + t_near * ux, oy + t_near * uy, oz + t_near * uz
    half = _half_chord(1.0 - qx * qx - qy * qy - qz * qz, length2)
    return _first_after(t_near - half, t_near + half)


@triton.jit
def _flat(code, ox, oy, oz, ux, uy, uz):
    t = -oz / (uz + _TINY)
    x, y = ox + t * ux, oy + t * uy
    met = (t > 0) & (uz != 0) & ((code == _PLANE) | (x * x + y * y <= 1.0))
    return tl.where(met, t, float("inf"))
