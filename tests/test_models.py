"""Both models: right by construction where they say so, gradients everywhere, exact where told exact things."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from head_cases import TINY, room

from geom import so3
from geom.se3 import SE3
from geom.warp import overlap
from models.config import MAX_HEAD, ModelConfig, count_head
from models.geometric import GeometricModel
from models.losses import at_cells, match_losses
from models.matching import Matching
from models.model import Model, camera_of, shares
from models.objects import box_after
from models.trunk import Compared

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


def test_geometry_is_exact_where_networks_are_not() -> None:
    """In half precision the other way round is still the inverse, and boxes move as they do."""
    model, pairs = built(), room()
    turned_round = pairs.reversed_()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        (a, b), (c, d) = looks(model, pairs), looks(model, turned_round)
        there, back = model.motion(a, b).T_a_b, model.motion(c, d).T_a_b
        box, camera = pairs.box[:, :, 0].nan_to_num(0.0), camera_of(pairs)
        low = box_after(model.head.extents(a, shares(box, camera)), box, camera, there)
    assert torch.allclose((there @ back).matrix(), torch.eye(4).expand(len(room()), 4, 4), atol=2e-5)
    assert low.dtype == torch.float32 and float(so3.angle(there.R).max()) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(kind: str) -> None:
    model = built(kind)
    sum(model.losses(room(), torch.Generator().manual_seed(0)).values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_is_told_the_same_alone_and_among_others(kind: str) -> None:
    model = built(kind)
    alone, among = (model.motion(*looks(model, pairs)).T_a_b.matrix() for pairs in (room()[2:3], room()))
    assert torch.allclose(alone[0], among[2], atol=1e-5)


def test_the_default_head_is_small_and_its_twin_as_large() -> None:
    counts = [count_head(ModelConfig(kind=kind).build()) for kind in KINDS]
    assert max(counts) <= MAX_HEAD and abs(math.log(counts[0] / counts[1])) < 0.2


def told(log_share: torch.Tensor) -> Matching:
    b, n, _ = log_share.shape
    ray, seen, moments = torch.zeros(b, n, 2), torch.zeros(b, n), torch.zeros(b, 36)
    return Matching(log_share[..., :-1], log_share[..., -1], ray, seen, moments)


def test_matches_told_exactly_lose_least() -> None:
    """Against shares between the four nearest places, by hand from depth and pose, one place at a time."""
    pairs = room()[4:6]
    places = camera_of(pairs).resize(16, 12)
    shares = []
    for one in (pairs, pairs.reversed_()):
        z_a, z_b = at_cells(one.z_depth, 12, 16).unbind(1)
        p_b = one.T_a_b.inverse()[:, None, None].act(places[:, None, None].unproject(places.pixel_centers(), z_a))
        (x, y), is_seen = flowed(p_b, places), overlap(z_a, places, one.T_a_b.inverse(), z_b, places)
        true = torch.zeros(2, 12 * 16, 12 * 16 + 1)
        for b, i, j in torch.cartesian_prod(torch.arange(2), torch.arange(12), torch.arange(16)).tolist():
            row = true[b, i * 16 + j]
            if not is_seen[b, i, j]:
                row[-1] = 1
                continue
            u, v = (min(max(float(c[b, i, j]) - 0.5, 0.0), n - 1.0) for c, n in ((x, 16), (y, 12)))
            for col, row_ in ((int(u) + dx, int(v) + dy) for dx in (0, 1) for dy in (0, 1)):
                part = max(0.0, 1 - abs(u - col)) * max(0.0, 1 - abs(v - row_))
                if part:
                    row[row_ * 16 + col] += part
        shares.append(true)
    right, off = (
        float(match_losses(compared([told((s + e).log_softmax(-1)) for s in logs]), places, pairs)["match"])
        for logs in ([s.clamp_min(1e-9).log() for s in shares],)
        for e in (0.0, torch.randn(12 * 16 + 1, generator=torch.Generator().manual_seed(0)))
    )
    entropy = -torch.stack([(s * s.clamp_min(1e-9).log()).sum(-1).mean() for s in shares]).mean()
    assert right == pytest.approx(float(entropy), abs=0.01) and off > right + 0.05


def flowed(p_b: torch.Tensor, places):
    focal, center = places.focal[:, None, None], places.principal_point[:, None, None]
    return (p_b[..., :2] / p_b[..., 2:] * focal + center).unbind(-1)


def compared(ways: list[Matching]) -> Compared:
    cells = torch.zeros(2, 1, 1)
    return Compared(cells, cells, *ways)


@torch.no_grad()
def test_what_is_known_of_a_motion_is_not_looked_for() -> None:
    for kind in KINDS:
        model = built(kind)
        a, b = looks(model, room())
        move, turn, level = (model.motion(a, b, known).T_a_b for known in ("move", "turn", "level"))
        assert float(so3.angle(move.R).max()) < 0.01 and float(turn.t.norm(dim=-1).max()) < 0.01
        assert float(move.t.norm(dim=-1).max()) > 0.01 and float(so3.angle(turn.R).max()) > 0.001
        for one in (move, turn, level):
            assert float(one.t[:, 1].abs().max()) < 0.05 and float((1 - one.R[:, 1, 1]).max()) < 0.01


def test_claims_are_judged_by_how_likely_they_are_beside_the_motion_found() -> None:
    model = built()
    assert isinstance(model, GeometricModel)
    a, b = looks(model, room())
    found = model.head.relate(a, b, "level")
    claims = [found.T_a_b @ SE3.yaw_right(torch.full((len(room()),), angle)) for angle in (0.0, 0.1, 1.5)]
    odds, logits = ([one(claim) for claim in claims] for one in (found.odds, lambda T: model.is_motion(a, b, T)))
    assert float(odds[0].abs().max()) < 1e-3 and bool((logits[0] > 0).all())
    for likely, logit in zip(odds, logits, strict=True):
        expected = model.fits(-likely.clamp_min(0).log1p())
        assert torch.allclose(logit, expected, atol=1e-3)
    assert float((odds[2] - odds[0]).max()) > 1


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
