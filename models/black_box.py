"""The black-box twin: the same trunk, trained for as long on the same, but every answer is regressed or classified.

It exists to be compared with: what the geometric model computes, this one has to learn from examples.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from geom.camera import PinholeCamera
from geom.se3 import SE3
from models.claims import claimed_boxes, claimed_motions
from models.features import Features
from models.head import pose_of
from models.losses import box_loss, cell_losses, decision_loss, gone_loss, match_losses, regressed_pose_loss, weighted
from models.model import Boxes, Guess, Logits, Model, camera_of, shares
from models.pairs import Pairs
from models.trunk import Known, Look, Trunk, net


class BlackBox(Model):
    """See the module."""

    def __init__(self, features: Features, trunk: Trunk, width: int) -> None:
        super().__init__()
        self.features, self.trunk = features, trunk
        self.pose = net(trunk.summary_size, 2 * width, 9)
        self.claim = net(trunk.summary_size + 9, width, 1)
        self.moved = net(4 * width + 4 + 9, width, 5)
        self.same = net(8 * width + 8 + 9, width, 1)

    def look(
        self, image: UInt8[Tensor, "b 3 h w"], features: Float[Tensor, "b c gh gw"], camera: PinholeCamera
    ) -> Look:
        return self.trunk.look(image, features, camera)

    def motion(self, a: Look, b: Look, known: Known = "nothing") -> Guess:
        """The regressed pose without what cannot be; how sure it is, it does not say."""
        told = self.pose(self.trunk.compare(a, b).summary()).float()
        T_a_b = without(pose_of(told), known)
        unsaid = told.new_full(told.shape[:1], torch.nan)
        return Guess(T_a_b, unsaid, unsaid, unsaid)

    def is_motion(self, a: Look, b: Look, T_a_b: SE3) -> Float[Tensor, " b"]:
        return self._claim(self.trunk.compare(a, b).summary(), T_a_b)

    def box_after(self, a: Look, box: Boxes, camera: PinholeCamera, T_a_b: SE3) -> Boxes:
        return self._moved(a, box, camera, T_a_b)[0]

    def is_visible(self, a: Look, box: Boxes, camera: PinholeCamera, T_a_b: SE3) -> Logits:
        return self._moved(a, box, camera, T_a_b)[1]

    def is_same(self, a: Look, b: Look, box_a: Boxes, box_b: Boxes, camera: PinholeCamera, T_a_b: SE3) -> Logits:
        before, after = shares(box_a, camera), shares(box_b, camera)
        shown = [self.trunk.boxed(look, box)[0] for look, box in ((a, before), (b, after))]
        return self.same(torch.cat([*shown, before, after, _each(T_a_b, box_a)], -1)).float()[..., 0]

    def losses(self, pairs: Pairs, rng: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        """What is regressed and classified, and of each cell the same as the geometric model learns."""
        camera = camera_of(pairs)
        a, b = self.views(pairs.image, camera)
        compared = self.trunk.compare(a, b)
        both = compared.summary()
        box_a = pairs.box[:, :, 0].nan_to_num(0.0)
        there, visible = self._moved(a, box_a, camera, pairs.T_a_b)
        T_claimed, is_true = claimed_motions(pairs, rng)
        box_claimed, is_same = claimed_boxes(pairs, rng)
        same = self.is_same(a, b, box_a, box_claimed.nan_to_num(0.0), camera, pairs.T_a_b)
        return weighted(
            {"rotation": regressed_pose_loss(pose_of(self.pose(both).float()), pairs)}
            | cell_losses(a, b, pairs)
            | match_losses(compared, a.places, pairs)
            | {
                "box": box_loss(there, pairs),
                "gone": gone_loss(visible, pairs),
                "claim": decision_loss(self._claim(both, T_claimed), is_true),
                "same": decision_loss(same, is_same, box_claimed),
            }
        )

    def _claim(self, both: Tensor, T_a_b: SE3) -> Float[Tensor, " b"]:
        return self.claim(torch.cat([both, _numbers(T_a_b)], -1)).float()[..., 0]

    def _moved(self, a: Look, box: Tensor, camera: PinholeCamera, T_a_b: SE3) -> tuple[Boxes, Float[Tensor, "b n"]]:
        """The box after, and the logit of being seen."""
        before = shares(box, camera)
        shown, _ = self.trunk.boxed(a, before)
        told = self.moved(torch.cat([shown, before, _each(T_a_b, box)], -1)).float()
        middle = (before[..., :2] + before[..., 2:]) / 2 + told[..., :2]
        size = (before[..., 2:] - before[..., :2]) * told[..., 2:4].exp()
        there = torch.cat([middle - size / 2, middle + size / 2], -1).clamp(0, 1)
        return there * box.new_tensor([camera.width, camera.height]).repeat(2), told[..., 4]


def without(T_a_b: SE3, known: Known) -> SE3:
    """A pose less what is known not to be."""
    if known == "nothing":
        return T_a_b
    R, level = T_a_b.R, T_a_b.t * T_a_b.t.new_tensor([1.0, 0.0, 1.0])
    yaw = SE3.yaw_right(torch.atan2(R[:, 0, 2], R[:, 2, 2])).R
    R = torch.eye(3).expand_as(R).to(R) if known == "move" else yaw
    return SE3(R, torch.zeros_like(level) if known == "turn" else level)


def _numbers(T_a_b: SE3) -> Float[Tensor, "b 9"]:
    """A pose as a network reads it."""
    return torch.cat([T_a_b.R[..., :2].flatten(1), T_a_b.t], -1)


def _each(T_a_b: SE3, box: Boxes) -> Float[Tensor, "b n 9"]:
    return _numbers(T_a_b)[:, None].expand(-1, box.shape[1], -1)
