"""A photograph that a user gave, with its depth and the objects that a file tells, as the warp reads it."""

from __future__ import annotations

from collections import Counter

import numpy as np

from geom.scale import Scale
from synth.estimate_depth import DepthModel
from synth.objects import NO_OBJECT, Instances, Objects, found_in
from synth.photo import MIN_PIXELS, MaskedObject, Photo, is_whole
from synth.read_depth import read_z_depth
from synth.safe_read import read_picture
from synth.source import Clip
from synth.transition import ROOM, UNKNOWN


def user_photo(
    clip: Clip,
    objects: Objects | None,
    scale: Scale | None,
    depth_model: DepthModel | None,
    left_out: Counter[str],
) -> Photo:
    """Read the one frame of a clip with its objects.

    Args:
        scale: replaces what is known of it otherwise, where the user declares it.
        depth_model: guesses the depth of a photograph that has none.
        left_out: counts objects that cannot be read, or that own fewer than MIN_PIXELS with depth.

    Raises:
        ValueError: if there is no depth, or a file cannot be read.
    """
    frame = clip.frames[0]
    image, z_depth, known = read_picture(frame.picture), read_z_depth(frame), clip.scale
    if frame.z_depth is None and depth_model is not None:
        z_depth, known = depth_model.estimate(image), depth_model.scale
    if not np.isfinite(z_depth).any():
        raise ValueError(f"{frame.picture} needs depth to be seen from elsewhere: {frame.z_depth or 'there is none'}")
    nothing = Instances(np.full(z_depth.shape, NO_OBJECT, np.int16), ())
    found = found_in(objects, frame, z_depth, left_out) or nothing
    owner = np.where(np.isfinite(z_depth), ROOM, UNKNOWN).astype(np.int16)
    items: list[MaskedObject] = []
    numbers: Counter[str] = Counter()
    for n, instance in enumerate(found.found):
        own = (found.index == n) & np.isfinite(z_depth)
        if own.sum() < MIN_PIXELS:
            left_out[f"objects: fewer than {MIN_PIXELS} pixels with depth"] += 1
            continue
        numbers[instance.kind] += 1
        item_id = instance.name or f"{instance.kind.replace(' ', '_')}_{numbers[instance.kind]}"
        owner[own] = len(items)
        items.append(MaskedObject(item_id, instance.kind, is_whole(own, z_depth)))
    return Photo(clip.clip_id, image, z_depth, owner, frame.camera, tuple(items), scale or known)
