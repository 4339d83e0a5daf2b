"""The geometric model: a head tells pose, distances and extents, and geometry computes every answer from these."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from geom.boxes import box_iou
from geom.camera import PinholeCamera
from geom.se3 import SE3
from models.claims import claimed_boxes, claimed_motions
from models.features import Features
from models.head import GeometryHead, Motion
from models.losses import (
    box_loss,
    cell_losses,
    decision_loss,
    gone_loss,
    match_losses,
    pose_losses,
    regressed_pose_loss,
    weighted,
)
from models.model import Boxes, Guess, Logits, Model, camera_of, shares
from models.objects import box_after, visible_after
from models.pairs import Pairs
from models.trunk import Known, Look


class Threshold(nn.Module):
    """A logit from one number: from where on, and how sharply, it means yes; both are learned."""

    def __init__(self, at: float, sharpness: float) -> None:
        super().__init__()
        self.at, self.log_sharpness = nn.Parameter(torch.tensor(at)), nn.Parameter(torch.tensor(sharpness).log())

    def forward(self, value: Tensor) -> Tensor:
        """Positive where the value is above."""
        return (value - self.at) * self.log_sharpness.exp()


class GeometricModel(Model):
    """See the module."""

    def __init__(self, features: Features, head: GeometryHead) -> None:
        super().__init__()
        self.features, self.head = features, head
        self.fits, self.seen, self.same = Threshold(-1.4, 2.0), Threshold(0.15, 20.0), Threshold(0.4, 10.0)

    def look(
        self, image: UInt8[Tensor, "b 3 h w"], features: Float[Tensor, "b c gh gw"], camera: PinholeCamera
    ) -> Look:
        return self.head.look(image, features, camera)

    def motion(self, a: Look, b: Look, known: Known = "nothing") -> Guess:
        found = self.head.relate(a, b, known)
        return Guess(found.T_a_b, found.rotation_sd, found.direction_sd, found.log_length_sd)

    def is_motion(self, a: Look, b: Look, T_a_b: SE3) -> Float[Tensor, " b"]:
        return self._fits(self.head.relate(a, b, "level"), T_a_b)

    def _fits(self, found: Motion, T_claimed: SE3) -> Tensor:
        """By how much less likely the claim is than the motion found."""
        return self.fits(-found.odds(T_claimed).clamp_min(0).log1p())

    def box_after(self, a: Look, box: Boxes, camera: PinholeCamera, T_a_b: SE3) -> Boxes:
        return box_after(self.head.extents(a, shares(box, camera)), box, camera, T_a_b)

    def is_visible(self, a: Look, box: Boxes, camera: PinholeCamera, T_a_b: SE3) -> Logits:
        return self.seen(visible_after(self.head.extents(a, shares(box, camera)), box, a, camera, T_a_b))

    def is_same(self, a: Look, b: Look, box_a: Boxes, box_b: Boxes, camera: PinholeCamera, T_a_b: SE3) -> Logits:
        return self.same(box_iou(self.box_after(a, box_a, camera, T_a_b), box_b))

    def losses(self, pairs: Pairs, rng: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        """What the head tells, and what is computed from it; objects go by the true motion, which questions say."""
        camera = camera_of(pairs)
        a, b = self.views(pairs.image, camera)
        motion = self.head.relate(a, b)
        box = pairs.box[:, :, 0].nan_to_num(0.0)
        extent = self.head.extents(a, shares(box, camera))
        there = box_after(extent, box, camera, pairs.T_a_b)
        T_claimed, is_true = claimed_motions(pairs, rng)
        box_claimed, is_same = claimed_boxes(pairs, rng)
        return weighted(
            pose_losses(motion, pairs)
            | cell_losses(a, b, pairs)
            | match_losses(motion.compared, a.places, pairs)
            | {
                "expected": regressed_pose_loss(motion.expected, pairs),
                "box": box_loss(there, pairs),
                "gone": gone_loss(self.seen(visible_after(extent, box, a, camera, pairs.T_a_b)), pairs),
                "claim": decision_loss(self._fits(motion, T_claimed), is_true),
                "same": decision_loss(self.same(box_iou(there, box_claimed.nan_to_num(0.0))), is_same, box_claimed),
            }
        )
