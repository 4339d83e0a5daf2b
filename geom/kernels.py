"""The kernels of the warps, compiled by Triton: each input is read once, each output written once, but the z-buffer.

The annotations are Triton's own, and so is what the language allows.
"""
# pyright: reportGeneralTypeIssues=false

import triton
import triton.language as tl
from triton import knobs

from geom.transfer import EMPTY_KEY, KEY_INDEX, MAX_RELATIVE_STEP, ROUNDING_PX, Z_NEAR

_INTERPRETED = tl.constexpr(knobs.runtime.interpret)
"""Whether the kernels run on a CPU, step by step, to be tested."""

ROWS, COLS = tl.constexpr(4), tl.constexpr(64)
"""A tile of the backward warp: two pixels for each thread. Some rows, because neighbours below read the same pixels."""
SPLAT_ROWS, SPLAT_COLS = tl.constexpr(4), tl.constexpr(32)
"""One pixel for each thread, which has more to compute."""
BLOCK = tl.constexpr(512)
_NEAR = tl.constexpr(Z_NEAR)
_MOST, _MARGIN = tl.constexpr(MAX_RELATIVE_STEP), tl.constexpr(ROUNDING_PX)
_FAR = tl.constexpr(1e6)
"""Metres that count as infinite, so that a product of four is still finite."""
EMPTY, _INDEX = tl.constexpr(EMPTY_KEY), tl.constexpr(KEY_INDEX)


@triton.jit
def _rough_reciprocal(x):
    if _INTERPRETED:
        return 1.0 / x
    return tl.inline_asm_elementwise("rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=True, pack=1)


@triton.jit
def _reciprocal(x):
    """Return 1 / x to about its last bit, NaN for 0 and infinity; exactly 1 for 1."""
    rough = _rough_reciprocal(x)
    return rough * (2.0 - x * rough)


@triton.jit
def _land(motion, u, v, z):
    """Return where pixels land, and z-depth there, 0 if unknown or not in front."""
    per_z = _reciprocal(z)
    ahead = tl.load(motion + 6) * u + (tl.load(motion + 7) * v + tl.load(motion + 8)) + tl.load(motion + 11) * per_z
    x = tl.load(motion) * u + (tl.load(motion + 1) * v + tl.load(motion + 2)) + tl.load(motion + 9) * per_z
    y = tl.load(motion + 3) * u + (tl.load(motion + 4) * v + tl.load(motion + 5)) + tl.load(motion + 10) * per_z
    share, there = _reciprocal(ahead), z * ahead
    return x * share, y * share, tl.where((there > _NEAR) & (there < float("inf")), there, 0.0)


@triton.jit
def _tile(height, width, rows: tl.constexpr, cols: tl.constexpr):
    """Return rows, columns and which of them there are in a tile of a picture."""
    across, i = tl.cdiv(width, cols), tl.arange(0, rows * cols)
    row, col = tl.program_id(0) // across * rows + i // cols, tl.program_id(0) % across * cols + i % cols
    return row, col, (row < height) & (col < width)


@triton.jit
def gather(
    image, z_dst, z_src, motion, out, is_seen, is_inside, image_stride, dst_stride, src_stride,
    channels, hs, ws, height, width, limit, CHANNELS: tl.constexpr, TESTS: tl.constexpr, RIGHT: tl.constexpr,
):  # fmt: skip
    """As `geom.engine_torch.gather`, a tile of a frame; CHANNELS of all are read by each program.

    RIGHT is the step to the next column: 0 in a picture of one. Strides are those from frame to frame.
    """
    frame, first = tl.program_id(1).to(tl.int64), tl.program_id(2) * CHANNELS
    row, col, exists = _tile(height, width, ROWS, COLS)
    at_dst = row * width + col
    z = tl.load(z_dst + frame * dst_stride + at_dst, mask=exists, other=float("nan")).to(tl.float32)
    x, y, there = _land(motion + frame * 14, col.to(tl.float32) + 0.5, row.to(tl.float32) + 0.5, z)
    inside = exists & (there > 0) & (x >= 0) & (x <= ws) & (y >= 0) & (y <= hs)
    x, y = tl.where(inside, x, 0.5), tl.where(inside, y, 0.5)
    nearest = tl.minimum(y.to(tl.int32), hs - 1) * ws + tl.minimum(x.to(tl.int32), ws - 1)
    x = tl.minimum(tl.maximum(x - 0.5, 0.0), (ws - 1).to(tl.float32))
    y = tl.minimum(tl.maximum(y - 0.5, 0.0), (hs - 1).to(tl.float32))
    # The pair of columns and of rows that the point lies between, also where it lies on the last of all.
    left = tl.minimum(x.to(tl.int32), tl.maximum(ws - 2, 0))
    up = tl.minimum(y.to(tl.int32), tl.maximum(hs - 2, 0))
    across, down = x - left.to(tl.float32), y - up.to(tl.float32)
    w0, w1, w2, w3 = (1 - across) * (1 - down), across * (1 - down), (1 - across) * down, across * down
    at, below = up * ws + left, tl.where(hs > 1, ws, 0)
    seen = inside
    if TESTS:
        plane = z_src + frame * src_stride
        z_near = tl.load(plane + nearest, mask=inside, other=float("inf")).to(tl.float32)
        # What lies between is only looked at where the nearest pixel hides: seldom.
        clear = z_near * limit >= there
        doubt = inside & (clear == 0)
        z0, z1 = _depth(plane + at, doubt), _depth(plane + at + RIGHT, doubt)
        z2, z3 = _depth(plane + below + at, doubt), _depth(plane + below + at + RIGHT, doubt)
        # The sum of weight / z, times the product of all z: no division.
        top, bottom = w0 * z1 + w1 * z0, w2 * z3 + w3 * z2
        between = (top * z2 * z3 + bottom * z0 * z1) * there <= limit * (z0 * z1 * z2 * z3)
        seen = inside & (clear | between)
    base = frame * (height * width)
    if first == 0:
        tl.store(is_inside + base + at_dst, inside.to(tl.uint8), mask=exists)
        tl.store(is_seen + base + at_dst, seen.to(tl.uint8), mask=exists)
    for k in tl.static_range(CHANNELS):
        # Read also where the point is hidden, so that no load has to wait for the depth test.
        layer = image + frame * image_stride + (first + k) * hs * ws
        a, b = _colour(layer + at, inside), _colour(layer + at + RIGHT, inside)
        c, d = _colour(layer + below + at, inside), _colour(layer + below + at + RIGHT, inside)
        plane = out + base * channels + (first + k) * height * width
        tl.store(plane + at_dst, tl.where(seen, a * w0 + b * w1 + c * w2 + d * w3, 0.0), mask=exists)


@triton.jit
def _colour(pointer, mask):
    return tl.load(pointer, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _depth(pointer, mask):
    z = tl.load(pointer, mask=mask, other=1.0).to(tl.float32)
    return tl.where(z > _FAR, _FAR, z)


@triton.jit
def _farthest(x, y, z, ray_x, ray_y, ray_w, e_x, e_y, e_w, z_next, step_x, step_y):
    """Return the larger of given steps and that to a neighbour, with its ray H (u, v, 1), if on the same surface."""
    ahead = z_next * ray_w + e_w
    share = _rough_reciprocal(ahead)
    same = (tl.abs(z_next - z) < _MOST * tl.minimum(z, z_next)) & (ahead > _NEAR)
    farther_x = tl.maximum(step_x, tl.abs((z_next * ray_x + e_x) * share - x))
    farther_y = tl.maximum(step_y, tl.abs((z_next * ray_y + e_y) * share - y))
    return tl.where(same, farther_x, step_x), tl.where(same, farther_y, step_y)


@triton.jit
def splat(z_src, motion, front, z_stride, height, width, hd, wd):
    """Let the key of each source pixel fall into the z-buffer: bits of z as float32, then the pixel; the least wins."""
    frame = tl.program_id(1).to(tl.int64)
    row, col, exists = _tile(height, width, SPLAT_ROWS, SPLAT_COLS)
    motion, front = motion + frame * 14, front + frame * hd * wd
    u, v, nowhere = col.to(tl.float32) + 0.5, row.to(tl.float32) + 0.5, float("nan")
    a_x, a_y, a_w = tl.load(motion), tl.load(motion + 3), tl.load(motion + 6)
    b_x, b_y, b_w = tl.load(motion + 1), tl.load(motion + 4), tl.load(motion + 7)
    e_x, e_y, e_w = tl.load(motion + 9), tl.load(motion + 10), tl.load(motion + 11)
    x = a_x * u + (b_x * v + tl.load(motion + 2))
    y = a_y * u + (b_y * v + tl.load(motion + 5))
    w = a_w * u + (b_w * v + tl.load(motion + 8))
    here = z_src + frame * z_stride + (row * width + col)
    z = tl.load(here, mask=exists, other=nowhere).to(tl.float32)
    there = z * w + e_w
    share = _reciprocal(there)
    to_x, to_y = (z * x + e_x) * share, (z * y + e_y) * share
    is_front = (there > _NEAR) & (there < float("inf"))
    # The rays of neighbours differ by a column of H.
    none = tl.full(z.shape, -1.0, tl.float32)
    z_next = tl.load(here - 1, mask=exists & (col > 0), other=nowhere).to(tl.float32)
    row_x, row_y = _farthest(to_x, to_y, z, x - a_x, y - a_y, w - a_w, e_x, e_y, e_w, z_next, none, none)
    z_next = tl.load(here + 1, mask=exists & (col + 1 < width), other=nowhere).to(tl.float32)
    row_x, row_y = _farthest(to_x, to_y, z, x + a_x, y + a_y, w + a_w, e_x, e_y, e_w, z_next, row_x, row_y)
    z_next = tl.load(here - width, mask=exists & (row > 0), other=nowhere).to(tl.float32)
    col_x, col_y = _farthest(to_x, to_y, z, x - b_x, y - b_y, w - b_w, e_x, e_y, e_w, z_next, none, none)
    z_next = tl.load(here + width, mask=exists & (row + 1 < height), other=nowhere).to(tl.float32)
    col_x, col_y = _farthest(to_x, to_y, z, x + b_x, y + b_y, w + b_w, e_x, e_y, e_w, z_next, col_x, col_y)
    closed, grown = (row_x >= 0) & (col_x >= 0), z * share
    half_x = tl.where(closed, row_x + col_x, tl.load(motion + 12) * grown) * 0.5 + _MARGIN
    half_y = tl.where(closed, row_y + col_y, tl.load(motion + 13) * grown) * 0.5 + _MARGIN
    key = (there.to(tl.int32, bitcast=True).to(tl.int64) << 32) | (row * width + col).to(tl.int64)
    _scatter(front, key, is_front, to_x, to_y, half_x, half_y, hd, wd)


@triton.jit
def _scatter(front, key, is_front, x, y, half_x, half_y, hd, wd):
    """Let each key fall on the pixel it lands in, and on those around whose centres the footprint covers."""
    near_it = is_front & (x >= -1) & (x < wd + 1) & (y >= -1) & (y < hd + 1)
    left, top = tl.floor(tl.where(near_it, x, 0.0)), tl.floor(tl.where(near_it, y, 0.0))
    off_x, off_y = left + 0.5 - x, top + 0.5 - y
    left, top = left.to(tl.int32), top.to(tl.int32)
    place = front + (top * wd + left)
    for down in tl.static_range(-1, 2):
        for right in tl.static_range(-1, 2):
            # As unsigned numbers, what is below 0 is too large.
            covers = near_it & ((left + right).to(tl.uint32) < wd.to(tl.uint32))
            covers = covers & ((top + down).to(tl.uint32) < hd.to(tl.uint32))
            if down != 0 or right != 0:
                covers = covers & (tl.abs(off_x + right) <= half_x) & (tl.abs(off_y + down) <= half_y)
            tl.atomic_min(place + (down * wd + right), key, mask=covers, sem="relaxed")


@triton.jit
def show(front, z_dst, is_hole, source_idx, layer, out, fill, layer_stride, channels, src_pixels, pixels):
    """Write what each pixel shows with the first layer, and leave the z-buffer empty for the next frames."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists, frame = at < pixels, tl.program_id(1).to(tl.int64)
    base = frame * pixels
    key = tl.load(front + base + at, mask=exists, other=EMPTY)
    hole = key == EMPTY
    source = tl.where(hole, -1, key & _INDEX)
    z = (key >> 32).to(tl.int32).to(tl.float32, bitcast=True)
    tl.store(z_dst + base + at, tl.where(hole, float("nan"), z), mask=exists)
    tl.store(is_hole + base + at, hole.to(tl.uint8), mask=exists)
    tl.store(source_idx + base + at, source, mask=exists)
    tl.store(front + base + at, tl.full(key.shape, EMPTY, tl.int64), mask=exists)
    _copy(layer + frame * layer_stride, out + base * channels, source, at, exists, fill, channels, src_pixels, pixels)


@triton.jit
def carry(source_idx, layer, out, fill, layer_stride, channels, src_pixels, pixels):
    """Copy another layer to what each pixel shows."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists, frame = at < pixels, tl.program_id(1).to(tl.int64)
    base = frame * pixels
    source = tl.load(source_idx + base + at, mask=exists, other=-1)
    _copy(layer + frame * layer_stride, out + base * channels, source, at, exists, fill, channels, src_pixels, pixels)


@triton.jit
def _copy(layer, out, source, at, exists, fill, channels, src_pixels, pixels):
    k = 0
    while k < channels:
        bits = tl.load(layer + k * src_pixels + source, mask=source >= 0, other=fill)
        tl.store(out + k * pixels + at, bits, mask=exists)
        k += 1
