"""The loops of the warps, compiled by numba: over rows, each step a loop that the compiler can vectorise.

Before a part of the source is read here and there, it is read once from end to end: the rows of a turned picture are
walked through aslant, which no prefetcher foresees, and waiting for memory would take most of the time.

Without annotations: numba infers all types.
"""

from typing import Any

import numba
import numpy as np

from geom.transfer import EMPTY_KEY, KEY_INDEX, MAX_RELATIVE_STEP, REACH, ROUNDING_PX, UNKNOWN_INVERSE, Z_NEAR

_LINE_BYTES = 64
_PEEK = 16


def _compiled(function: Any) -> Any:
    how: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(function, cache=True, **how)
    except RuntimeError:  # no folder to keep the compiled code in may be written to
        return numba.njit(function, **how)


@_compiled
def gather_rows(image, z, hiding, H, e, first_row, limit, out, is_seen, is_inside):
    """Fill a band of rows of the destination.

    Args:
        image: (c, hs, ws); z: (rows, w) of the destination; hiding: z-depth (hs, ws), or (0, 0) if nothing hides.
        limit: 1 + the relative tolerance.
        out: (c, rows, w); is_seen, is_inside: (rows, w).

    Returns:
        Whether no depth that was looked at is <= 0; and a sum that keeps reading ahead from being optimised away.
    """
    _, height, width = image.shape
    size = z.shape[1]
    # One by one: of rows of one array the compiler cannot know that they do not overlap, and takes three times as long.
    u, v, there = np.empty(size, H.dtype), np.empty(size, H.dtype), np.empty(size, H.dtype)
    at, nearest = np.empty(size, np.int32), np.empty(size, np.int32)
    right, below = np.empty(size, np.int32), np.empty(size, np.int32)
    planes, depths, bad = image.reshape(len(image), height * width), hiding.reshape(1, hiding.size), 0
    low, high, low_z, high_z, read = 0, 0, 0, 0, 0.0
    for r in range(len(z)):
        bad += _land_row(H, e, first_row + r, z[r], u, v, there)
        _place_row(u, v, there, height, width, at, right, below, nearest, is_inside[r])
        first, last = _range(at, is_inside[r], width, height * width)
        low, high, more = _read_ahead(planes, first, last, low, high)
        low_z, high_z, again = _read_ahead(depths, first, last, low_z, high_z)
        read += more + again
        is_seen[r] = is_inside[r]
        if hiding.size:
            bad += _hide_row(depths[0], u, v, there, at, right, below, nearest, limit, is_seen[r])
        for k in range(len(planes)):
            _sample_row(planes[k], u, v, at, right, below, is_seen[r], out[k, r])
    return bad == 0, read


@_compiled
def _land_row(H, e, row, z, u, v, there):
    """Fill where a row lands, and its z-depth there, 0 if unknown or not in front; count depths <= 0."""
    kind = H.dtype.type
    one, half, nothing, near, infinite = kind(1), kind(0.5), kind(0), kind(Z_NEAR), kind(np.inf)
    middle, bad = kind(row) + half, 0
    x, y, w = H[0, 1] * middle + H[0, 2], H[1, 1] * middle + H[1, 2], H[2, 1] * middle + H[2, 2]
    for q in range(len(z)):
        across, per_z = kind(q) + half, one / z[q]
        ahead = H[2, 0] * across + w + e[2] * per_z
        share, z_there = one / ahead, z[q] * ahead
        u[q] = (H[0, 0] * across + x + e[0] * per_z) * share
        v[q] = (H[1, 0] * across + y + e[1] * per_z) * share
        there[q] = z_there if (z_there > near) & (z_there < infinite) else nothing
        bad += z[q] <= nothing
    return bad


@_compiled
def _place_row(u, v, there, height, width, at, right, below, nearest, is_inside):
    """Find the four pixels around each landing, row * width + col; u and v become how far it lies between them."""
    kind = u.dtype.type
    half, nothing = kind(0.5), kind(0)
    w, h, last_col, last_row = kind(width), kind(height), kind(width - 1), kind(height - 1)
    wide = np.int32(width)
    for q in range(len(u)):
        inside = (there[q] > nothing) & (u[q] >= nothing) & (u[q] <= w) & (v[q] >= nothing) & (v[q] <= h)
        is_inside[q] = inside
        x, y = u[q] if inside else half, v[q] if inside else half
        nearest[q] = np.int32(min(y, last_row)) * wide + np.int32(min(x, last_col))
        x, y = min(max(x - half, nothing), last_col), min(max(y - half, nothing), last_row)
        col, row = np.int32(x), np.int32(y)
        u[q], v[q] = x - kind(col), y - kind(row)
        at[q] = row * wide + col
        right[q] = np.int32(1) if x < last_col else np.int32(0)
        below[q] = wide if y < last_row else np.int32(0)


@_compiled
def _range(at, is_inside, width, end):
    """Return about what part of a plane a row looks at, by some of its pixels."""
    first, last = end, 0
    for q in range(0, len(at), _PEEK):
        if is_inside[q]:
            first, last = min(first, at[q]), max(last, at[q] + width + _PEEK)
    return first, min(last, end)


@_compiled
def _read_ahead(planes, first, last, low, high):
    """Read what lies in first to last but not yet in low to high, a number from each line of the cache."""
    total = 0.0
    if first >= last:
        return low, high, total
    if low == high:
        low = high = first
    step = _LINE_BYTES // planes.itemsize
    for k in range(len(planes)):
        for i in range(first, low, step):
            total += planes[k, np.uintp(i)]
        for i in range(high, last, step):
            total += planes[k, np.uintp(i)]
    return min(first, low), max(last, high), total


@_compiled
def _hide_row(z, u, v, there, at, right, below, nearest, limit, is_seen):
    """Take away what is hidden: see `geom.gather.backward_warp`; count depths <= 0 that were looked at."""
    kind, bad = z.dtype.type, 0
    for q in range(len(u)):
        z_near = z[np.uintp(nearest[q])]
        bad += z_near <= 0
        # What lies between is only looked at where the nearest pixel hides: seldom.
        if is_seen[q] and not z_near * limit >= there[q]:
            a, b = np.uintp(at[q]), np.uintp(at[q] + below[q])
            side = np.uintp(right[q])
            top = _inverse(z[a], kind) + (_inverse(z[a + side], kind) - _inverse(z[a], kind)) * u[q]
            bottom = _inverse(z[b], kind) + (_inverse(z[b + side], kind) - _inverse(z[b], kind)) * u[q]
            is_seen[q] = (top + (bottom - top) * v[q]) * there[q] <= limit
    return bad


@_compiled
def _inverse(z, kind):
    return kind(1) / z if z == z else kind(UNKNOWN_INVERSE)


@_compiled
def _sample_row(plane, u, v, at, right, below, is_seen, out):
    nothing = u.dtype.type(0)
    for q in range(len(u)):
        a, b, side = np.uintp(at[q]), np.uintp(at[q] + below[q]), np.uintp(right[q])
        top = plane[a] + (plane[a + side] - plane[a]) * u[q]
        bottom = plane[b] + (plane[b + side] - plane[b]) * u[q]
        out[q] = top + (bottom - top) * v[q] if is_seen[q] else nothing


@_compiled
def splat_frame(z, H, e, zoom, front, z_moved):
    """Fill `front`, (hd, wd), with the least key that falls on each pixel: bits of z as float32, then source pixel.

    Args:
        z: (h, w), z-depth of the source.
        z_moved: (h, w), filled with z-depth in the second camera, 0 where unknown or not in front.

    Returns:
        Whether no depth is <= 0.
    """
    height, width = z.shape
    # Pairs are (across, down), and steps are those to the row before, within the row, and to the row after.
    here, below = _pair(width, H), _pair(width, H)
    before, within, after, half = _pair(width, H), _pair(width, H), _pair(width, H), _pair(width, H)
    single = np.empty(width, np.float32)
    before[0][:], before[1][:], front[:] = -1, -1, EMPTY_KEY
    bad = _land_row(H, e, 0, z[0], here[0], here[1], z_moved[0])
    for r in range(height):
        after[0][:], after[1][:] = -1, -1
        if r + 1 < height:
            bad += _land_row(H, e, r + 1, z[r + 1], below[0], below[1], z_moved[r + 1])
            _step(here, z[r], z_moved[r], below, z[r + 1], z_moved[r + 1], after)
        left, right = (here[0][:-1], here[1][:-1]), (here[0][1:], here[1][1:])
        _step(left, z[r, :-1], z_moved[r, :-1], right, z[r, 1:], z_moved[r, 1:], within)
        for i in range(2):
            _half_extent(z[r], z_moved[r], zoom[i], before[i], within[i], after[i], half[i])
        single[:] = z_moved[r]
        _splat_row(here[0], here[1], single.view(np.int32), half[0], half[1], r * width, front)
        before, after, here, below = after, before, below, here
    return bad == 0


@_compiled
def _pair(width, like):
    return np.empty(width, like.dtype), np.empty(width, like.dtype)


@_compiled
def _step(uv, z, there, uv_next, z_next, there_next, step):
    """Fill how far each pixel lands from a neighbour, (|du|, |dv|); -1 if they are not on one surface in front."""
    kind = z.dtype.type
    most, nothing, missing = kind(MAX_RELATIVE_STEP), kind(0), kind(-1)
    for i in range(2):
        a, b, out = uv[i], uv_next[i], step[i]
        for q in range(len(z)):
            same = abs(z_next[q] - z[q]) < most * min(z[q], z_next[q])
            same &= (there[q] > nothing) & (there_next[q] > nothing)
            out[q] = abs(b[q] - a[q]) if same else missing


@_compiled
def _half_extent(z, there, zoom, before, within, after, half):
    """Fill half the width, or height, of each footprint; within[q] lies between columns q and q + 1."""
    kind = z.dtype.type
    nothing, two, margin = kind(0), kind(2), kind(ROUNDING_PX)
    within[-1] = -1
    for q in range(len(z)):
        along_row, along_col = max(within[max(q - 1, 0)], within[q]), max(before[q], after[q])
        closed = (along_row >= nothing) & (along_col >= nothing)
        half[q] = (along_row + along_col if closed else zoom * (z[q] / there[q])) / two + margin


@_compiled
def _splat_row(u, v, bits, half_u, half_v, first, front):
    kind = u.dtype.type
    middle, reach = kind(0.5), kind(REACH)
    height, width = front.shape
    for q in range(len(u)):
        near_it = (u[q] >= -reach) & (u[q] < kind(width) + reach) & (v[q] >= -reach) & (v[q] < kind(height) + reach)
        if bits[q] == 0 or not near_it:
            continue
        key = (np.int64(bits[q]) << 32) | (first + q)
        col, row = np.int64(np.floor(u[q])), np.int64(np.floor(v[q]))
        if 0 <= col < width and 0 <= row < height:
            front[row, col] = min(front[row, col], key)
        off_u, off_v = abs(u[q] - kind(col) - middle), abs(v[q] - kind(row) - middle)
        if half_u[q] + off_u < 1 and half_v[q] + off_v < 1:
            continue
        for r in range(max(row - REACH, 0), min(row + REACH + 1, height)):
            for c in range(max(col - REACH, 0), min(col + REACH + 1, width)):
                covers = (abs(kind(c) + middle - u[q]) <= half_u[q]) & (abs(kind(r) + middle - v[q]) <= half_v[q])
                if covers:
                    front[r, c] = min(front[r, c], key)


@_compiled
def read_front(front, z_moved, z, is_hole, source_idx):
    """Fill what each pixel of the second picture shows; NaN and -1 in a hole."""
    keys, flat, unknown = front.reshape(front.size), z_moved.reshape(z_moved.size), z_moved.dtype.type(np.nan)
    out, holes, index = z.reshape(z.size), is_hole.reshape(z.size), source_idx.reshape(z.size)
    for i in range(len(keys)):
        hole = keys[i] == EMPTY_KEY
        holes[i] = hole
        index[i] = -1 if hole else keys[i] & KEY_INDEX
        out[i] = unknown if hole else flat[np.uintp(keys[i] & KEY_INDEX)]


@_compiled
def carry(layer, source_idx, fill, out):
    """Copy a layer (c, h, w) to out (c, hd, wd); return a sum that keeps reading ahead from being optimised away."""
    planes, nothing = layer.reshape(len(layer), layer[0].size), out.dtype.type(fill)
    low, high, read = 0, 0, 0.0
    for r in range(len(source_idx)):
        row = source_idx[r]
        first, last = np.int64(planes.shape[1]), np.int64(0)
        for q in range(len(row)):
            first = min(first, row[q] if row[q] >= 0 else first)
            last = max(last, row[q] + 1)
        low, high, more = _read_ahead(planes, first, last, low, high)
        read += more
        for k in range(len(planes)):
            for q in range(len(row)):
                out[k, r, q] = planes[k, np.uintp(max(row[q], 0))] if row[q] >= 0 else nothing
    return read
