"""The relative pose of two views from matches whose distances are known in both: closed form, then Gauss-Newton.

Two views with distances give two resections of one pose, a's points seen in b and b's points seen in a; both are
solved together. Batches throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geom import so3
from geom.se3 import SE3

_NEAR_M = 0.1
_STEPS = 4
_ALIGN_STEPS = 8
_WIDE, _NARROW = 0.5, 0.05
"""Misses at which a match counts for a quarter, as a share of its distance: at the first step of `align` and at the
last ones."""
ROBUST_LOG_Z = 0.3
_DAMPING = 1e-6
"""Share of the information's trace that is added to its diagonal, so that float32 can solve it."""


@dataclass(frozen=True, eq=False)
class Sightings:
    """Points in the frame of one camera, and where and how far another camera sees them.

    Args:
        point: metres, camera frame.
        ray: x and y at z = 1 in the other camera.
        log_z: natural logarithm of metres in the other camera.
        weight: 1 / variance of `ray` along each axis; 0 for what the other one does not see.
        weight_z: 1 / variance of `log_z`.
    """

    point: Float[Tensor, "b n 3"]
    ray: Float[Tensor, "b n 2"]
    log_z: Float[Tensor, "b n"]
    weight: Float[Tensor, "b n"]
    weight_z: Float[Tensor, "b n"]

    def there(self) -> Float[Tensor, "b n 3"]:
        """The points in the other camera's frame, as it sees them."""
        return torch.cat([self.ray, torch.ones_like(self.ray[..., :1])], -1) * self.log_z.exp()[..., None]


@torch.no_grad()
def align(in_a: Sightings, in_b: Sightings) -> SE3:
    """The rigid motion that takes points to where they are seen, in closed form, with outliers counted less and less.

    Kabsch's method with weights (Umeyama, PAMI 1991, without scale), repeated with the weights of Geman and McClure.
    With the views swapped it is the inverse.

    Args:
        in_a: points of a, seen by b. in_b: points of b, seen by a.

    Returns:
        T_b_a, (b,).
    """
    p_a, p_b = (torch.cat(both, 1) for both in ((in_a.point, in_b.there()), (in_a.there(), in_b.point)))
    square_dist = (p_a[..., 2] * p_b[..., 2]).clamp_min(_NEAR_M**2)
    sure = torch.cat([in_a.weight, in_b.weight], 1) / square_dist
    weight, robust = sure, _WIDE
    for _ in range(_ALIGN_STEPS):
        T = _rigid(p_a, p_b, weight)
        miss = (T[:, None].act(p_a) - p_b).square().sum(-1) / square_dist
        weight = sure / (1 + miss / robust**2).square()
        robust = max(0.7 * robust, _NARROW)
    return T


def _rigid(p_a: Tensor, p_b: Tensor, weight: Float[Tensor, "b n"]) -> SE3:
    share = (weight / weight.sum(1, keepdim=True).clamp_min(1e-12))[..., None]
    mean_a, mean_b = (share * p_a).sum(1), (share * p_b).sum(1)
    spread = ((p_b - mean_b[:, None]) * share).mT @ (p_a - mean_a[:, None])
    # Where nothing is known, there is no turn; what is no number must come out at the end and not stop the SVD.
    R = so3.nearest(spread.nan_to_num() + 1e-6 * torch.eye(3).to(spread))
    return SE3(R, mean_b - (R @ mean_a[..., None])[..., 0])


@dataclass(frozen=True, eq=False)
class Resection:
    """A pose that was solved for.

    Args:
        T_b_a: pose, (b,).
        information: inverse covariance of a small motion (translation, rotation) on its left, so in b's frame.
    """

    T_b_a: SE3
    information: Float[Tensor, "b 6 6"]


def resect(
    start: SE3,
    prior: SE3,
    prior_weight: Float[Tensor, "b 6"],
    in_a: Sightings,
    in_b: Sightings,
    *,
    robust: Float[Tensor, "b 1"],
    robust_log_z: float = ROBUST_LOG_Z,
    held: Float[Tensor, " 6"] | None = None,
    steps: int = _STEPS,
) -> Resection:
    """Refine the relative pose of two cameras, differentiably; `start` gets no gradient.

    Minimises the weighted squares of the distances between where points are seen and where the pose puts them, each
    counted less the larger it is (Geman and McClure's weight), and of the departure from a prior pose, which must be
    small or of little weight.

    Args:
        start: T_b_a to begin with, (b,).
        prior: T_b_a as it is expected.
        prior_weight: 1 / variance of the departure from it, of translation (1 / m^2) and rotation (1 / rad^2), along
            b's axes.
        in_a: points of a, seen by b. in_b: points of b, seen by a.
        robust, robust_log_z: miss, at z = 1 and of the log distance, at which a sighting counts for a quarter.
        held: 1 / variance of x, y and z of the translation and of pitch, yaw and roll about nothing, for motions of
            which it is known that they have no such part.
    """
    held = torch.zeros(6).to(prior_weight) if held is None else held.to(prior_weight)

    def stepped(T: SE3) -> Resection:
        """One step of Gauss and Newton."""
        H, g = _normal(T, in_a, robust, robust_log_z)
        H_back, g_back = _normal(T.inverse(), in_b, robust, robust_log_z)
        # exp(xi) on the left of T is exp(-Ad xi) on the left of its inverse, Ad being the inverse's adjoint.
        Ad = _adjoint(T.inverse())
        H = H + Ad.mT @ H_back @ Ad + torch.diag_embed(prior_weight + held)
        g = g - (Ad.mT @ g_back[..., None])[..., 0] + prior_weight * (T @ prior.inverse()).log() + held * _parts(T)
        trace = H.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
        H = H + torch.diag_embed((_DAMPING * trace).expand(-1, 6))
        return Resection(SE3.exp(-torch.linalg.solve(H, g)) @ T, H)

    # The pose solved for does not hang on where it began, so gradients of the last step are those of the solution:
    # Bolte, Pauwels and Vaiter, "One-step differentiation of iterative algorithms" (NeurIPS 2023).
    T = start
    with torch.no_grad():
        for _ in range(steps - 1):
            T = stepped(T).T_b_a
    return stepped(T)


@torch.no_grad()
def energy(
    T_b_a: SE3,
    prior: SE3,
    prior_weight: Float[Tensor, "b 6"],
    in_a: Sightings,
    in_b: Sightings,
    *,
    robust: Float[Tensor, "b 1"],
) -> Float[Tensor, " b"]:
    """What `resect` minimises, of a pose: to choose where to start, or between claims. Arguments as there.

    The miss of `log_z` counts by the weight of its ray.
    """
    departure = (prior_weight * (T_b_a @ prior.inverse()).log().square()).sum(-1)
    costs = _costs(T_b_a, in_a, in_b, robust)
    weights = (in_a.weight, in_b.weight)
    return departure + sum((w * cost).sum(1) * robust[:, 0] ** 2 for w, cost in zip(weights, costs, strict=True))


def _parts(T: SE3) -> Float[Tensor, "b 6"]:
    """Translation, and how far the y axis tips (pitch), all turns about it (yaw), and it leans (roll), radians."""
    turn = torch.stack([T.R[..., 2, 1], so3.log(T.R)[..., 1], -T.R[..., 0, 1]], -1)
    return torch.cat([T.t, turn], -1)


def _costs(T_b_a: SE3, in_a: Sightings, in_b: Sightings, robust: Tensor) -> list[Float[Tensor, "b n"]]:
    """Of each sighting, from 0 to 1 (Geman and McClure)."""
    ways = (T_b_a, in_a), (T_b_a.inverse(), in_b)
    all_ = [_unlikely(_misses(T[:, None].act(seen.point), seen), robust, ROBUST_LOG_Z) for T, seen in ways]
    return [unlikely / (1 + unlikely) for unlikely in all_]


def _misses(p: Float[Tensor, "b n 3"], seen: Sightings) -> Float[Tensor, "b n 3"]:
    """In x and y at z = 1, and in log z."""
    z = p[..., 2:].clamp_min(_NEAR_M)
    return torch.cat([p[..., :2] / z - seen.ray, z.log() - seen.log_z[..., None]], -1)


def _unlikely(miss: Float[Tensor, "b n 3"], robust: Float[Tensor, "b 1"], robust_log_z: float) -> Float[Tensor, "b n"]:
    square = miss.square()
    return square[..., :2].sum(-1) / robust**2 + square[..., 2] / robust_log_z**2


def _normal(
    T: SE3, seen: Sightings, robust: Tensor, robust_log_z: float
) -> tuple[Float[Tensor, "b 6 6"], Float[Tensor, "b 6"]]:
    """The normal equations of a motion (translation, rotation) that is put on the left of T."""
    p = T[:, None].act(seen.point)
    z = p[..., 2].clamp_min(_NEAR_M)
    x, y, o = p[..., 0] / z, p[..., 1] / z, torch.zeros_like(z)
    miss = _misses(p, seen)
    trust = (p[..., 2] > _NEAR_M) / (1 + _unlikely(miss.detach(), robust, robust_log_z)).square()
    weight = torch.stack([seen.weight, seen.weight, seen.weight_z], -1) * trust[..., None]
    rows = [
        [1 / z, o, -x / z, -x * y, 1 + x * x, -y],
        [o, 1 / z, -y / z, -1 - y * y, x * y, x],
        [o, o, 1 / z, y, -x, o],
    ]
    J = torch.stack([torch.stack(row, -1) for row in rows], -2).flatten(1, 2)
    weighted = J * weight.flatten(1)[..., None]
    return weighted.mT @ J, (weighted.mT @ miss.flatten(1)[..., None])[..., 0]


def _adjoint(T: SE3) -> Float[Tensor, "b 6 6"]:
    """Takes motions (translation, rotation) that stand right of T to its left."""
    return torch.cat([torch.cat([T.R, so3.hat(T.t) @ T.R], -1), torch.cat([torch.zeros_like(T.R), T.R], -1)], -2)
