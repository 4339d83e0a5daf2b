"""Both models: right by construction where they say so, gradients everywhere, exact where told exact things."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from head_cases import TINY, room, some

from geom import so3
from geom.se3 import SE3
from models.config import MAX_HEAD, ModelConfig, count_head
from models.geometric import GeometricModel
from models.losses import at_cells, match_losses
from models.model import Model, camera_of

KINDS = ("geometric", "black_box")


def built(kind: str = "geometric", seed: int = 0) -> Model:
    torch.manual_seed(seed)
    return replace(TINY, kind=kind).build()


def looks(model: Model, pairs):
    return model.views(pairs.image, camera_of(pairs))


def test_the_other_way_round_is_the_inverse_by_construction() -> None:
    model = built()
    with torch.no_grad():
        there, back = (model.motion(*looks(model, pairs)).T_a_b for pairs in (room(), room().reversed_()))
    assert torch.allclose((there @ back).matrix(), torch.eye(4).expand(len(room()), 4, 4), atol=2e-5)
    assert float(so3.angle(there.R).max()) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(kind: str) -> None:
    model = built(kind)
    sum(model.losses(room(), torch.Generator().manual_seed(0)).values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_is_told_the_same_alone_and_among_others(kind: str) -> None:
    model = built(kind)
    alone, among = (model.motion(*looks(model, pairs)).T_a_b.matrix() for pairs in (some(room(), slice(2, 3)), room()))
    assert torch.allclose(alone[0], among[2], atol=1e-5)


def test_the_default_head_is_small_and_its_twin_as_large() -> None:
    counts = [count_head(ModelConfig(kind=kind).build()) for kind in KINDS]
    assert max(counts) <= MAX_HEAD and abs(math.log(counts[0] / counts[1])) < 0.2


def test_matches_told_exactly_lose_nothing_and_others_do() -> None:
    """Against the rays of the true correspondences, computed by hand from depth and pose."""
    pairs, gh, gw = room(), 6, 8
    cells = camera_of(pairs).resize(gw, gh)
    z = at_cells(pairs.z_depth[:, 0], gh, gw)
    points = cells[:, None, None].unproject(cells.pixel_centers(), z).flatten(1, 2)
    p_b = pairs.T_a_b.inverse()[:, None].act(points)
    ray_b = p_b[..., :2] / p_b[..., 2:]
    sure = torch.full(ray_b.shape[:2], 20.0)
    exact, off = (match_losses(ray_b + by, sure, cells, pairs)["match"] for by in (0.0, 0.03))
    assert float(exact) < 1e-4 and float(off) == pytest.approx(0.03 * math.sqrt(2), rel=1e-2)


def test_claims_are_judged_by_how_far_they_put_the_picture() -> None:
    model = built()
    assert isinstance(model, GeometricModel)
    a, b = looks(model, room())
    found = model.motion(a, b).T_a_b
    near, far = (found @ SE3.yaw_right(torch.full((len(room()),), angle)) for angle in (0.01, 0.5))
    assert bool((model.is_motion(a, b, near) > model.is_motion(a, b, far)).all())
    assert bool((model.is_motion(a, b, found) > 0).all())


def test_config_is_read_back_and_refused_where_it_is_not_one() -> None:
    assert ModelConfig.from_dict(TINY.to_dict()) == TINY
    with pytest.raises(ValueError, match="differs in heads"):
        ModelConfig.from_dict({k: v for k, v in TINY.to_dict().items() if k != "heads"})
    with pytest.raises(ValueError, match="width in a model's config must be like 192, got 'wide'"):
        ModelConfig.from_dict(TINY.to_dict() | {"width": "wide"})
    with pytest.raises(ValueError, match="multiple of heads"):
        ModelConfig(width=100, heads=6)
    with pytest.raises(ValueError, match="at most 5,000,000 parameters"):
        ModelConfig(width=960, heads=8, blocks=8, channels=16, encoder_width=8).build()
