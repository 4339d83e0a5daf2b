"""What every model answers: six questions of geometry about views, boxes and motions, and its own losses."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from geom.camera import PinholeCamera
from geom.se3 import SE3
from models.features import Features
from models.pairs import Pairs
from models.trunk import Known, Look

Boxes = Float[Tensor, "b n 4"]
"""x1, y1, x2, y2."""
Logits = Float[Tensor, "b n"]


@dataclass(frozen=True, eq=False)
class Guess:
    """A relative pose with how sure it is.

    Args:
        T_a_b: pose of b in a, metres; (b,).
        rotation_sd: radians. direction_sd: radians. log_length_sd: of the logarithm of the length. All are NaN where
            a model does not say.
    """

    T_a_b: SE3
    rotation_sd: Float[Tensor, " b"]
    direction_sd: Float[Tensor, " b"]
    log_length_sd: Float[Tensor, " b"]


class Model(nn.Module):
    """A model of two views. Boxes are pixels of the pictures that were looked at; batches (b,), of n boxes each."""

    features: Features

    def views(self, image: UInt8[Tensor, "b v 3 h w"], camera: PinholeCamera) -> list[Look]:
        """Look at v views of each of b cameras, each view by itself."""
        b, v = image.shape[:2]
        found = self.features(image.transpose(0, 1).flatten(0, 1))
        return [self.look(image[:, n], part, camera) for n, part in enumerate(found.chunk(v))]

    @abstractmethod
    def look(
        self, image: UInt8[Tensor, "b 3 h w"], features: Float[Tensor, "b c gh gw"], camera: PinholeCamera
    ) -> Look:
        """Look at one view."""

    @abstractmethod
    def motion(self, a: Look, b: Look, known: Known = "nothing") -> Guess:
        """The relative pose of two views, of which something may be known."""

    @abstractmethod
    def is_motion(self, a: Look, b: Look, T_a_b: SE3) -> Float[Tensor, " b"]:
        """Logit of whether a claimed motion is the true one."""

    @abstractmethod
    def box_after(self, a: Look, box: Boxes, camera: PinholeCamera, T_a_b: SE3) -> Boxes:
        """Where whole objects are after a known motion, clipped at the picture."""

    @abstractmethod
    def is_visible(self, a: Look, box: Boxes, camera: PinholeCamera, T_a_b: SE3) -> Logits:
        """Logit of whether objects are still seen after a known motion."""

    @abstractmethod
    def is_same(self, a: Look, b: Look, box_a: Boxes, box_b: Boxes, camera: PinholeCamera, T_a_b: SE3) -> Logits:
        """Logit of whether boxes before and after a known motion show one object."""

    @abstractmethod
    def losses(self, pairs: Pairs, rng: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        """Parts of the loss, weighted, by name; rng draws the claims."""


def camera_of(pairs: Pairs) -> PinholeCamera:
    """The camera of both views."""
    height, width = pairs.image.shape[-2:]
    return PinholeCamera(pairs.K, width, height)


def shares(box: Boxes, camera: PinholeCamera) -> Boxes:
    """Boxes as shares of the picture's width and height."""
    return box / box.new_tensor([camera.width, camera.height]).repeat(2)
