"""Presets: the published distributions, and false claims that text alone cannot tell from true ones."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from geom.actions import Action, ActionKind, ActionSequence, parse_actions, same_motion
from synth.presets import PRESETS, Family, Preset, Sizes, quantise_hy, sample_magnitude

GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "actions_text.jsonl"
needs_golden = pytest.mark.skipif(not GOLDEN.exists(), reason="the golden data is not beside the repository")


def golden(kind: str) -> list[dict]:
    return [row for row in map(json.loads, GOLDEN.read_text().splitlines()) if row["kind"] == kind]


@needs_golden
def test_sizes_are_drawn_as_the_public_sampler_draws_them():
    rows = golden("sample_magnitude")
    assert rows
    for row in rows:
        rng = np.random.default_rng(row["seed"])
        assert [sample_magnitude(rng, *map(float, call)) for call in row["calls"]] == row["output"]


@needs_golden
def test_hy_sizes_round_half_up():
    rows = golden("hy_quantise")
    assert rows
    for row in rows:
        assert quantise_hy(ActionKind(row["name"]), float(row["value"])) == row["quantised"], row


def test_sizes_know_their_place():
    sizes = Sizes(0.2, 2.0, 0.1)
    assert sizes.count == 19 and sizes[0] == 0.2 and sizes[18] == 2.0
    assert [sizes.index(v) for v in (0.2, 0.3, 2.0, 0.1, 2.1, 0.25)] == [0, 1, 18, None, None, None]


@pytest.mark.parametrize(
    ("preset", "names", "inside", "outside"),
    [
        (
            "svc",
            ["forward_then_turn_left", "turn_right_then_forward", "shift_left_then_forward_then_turn_right"],
            ["FWD_0.3", "RIGHT_2", "TL_90", "FWD_1.5; TL_60", "TR_20; FWD_0.3", "LEFT_1; FWD_0.5; TR_60"],
            ["FWD_0.2", "TL_100", "FWD_0.5; TR_20", "TR_20; FWD_1.1", "LEFT_1.1; FWD_0.5; TR_60", "FWD_0.35"],
        ),
        (
            "svc_teacher",
            ["forward_then_turn_left", "turn_right_then_forward", "shift_left_then_forward_then_turn_right"],
            ["FWD_0.1", "LEFT_6", "TR_100", "FWD_3.5; TL_80", "TR_80; FWD_3", "LEFT_3; FWD_3.5; TR_60"],
            ["FWD_6.1", "TL_105", "FWD_3.6; TL_20", "LEFT_3; FWD_3.5; TR_70"],
        ),
        (
            "hy",
            [
                "forward_then_turn_left",
                "forward_then_turn_right",
                "shift_left_then_forward",
                "shift_right_then_forward",
                "forward_then_turn_left_then_forward",
                "forward_then_turn_right_then_forward",
            ],
            ["FWD_0.2", "BACK_1", "TL_40", "LEFT_0.8", "RIGHT_0.6; FWD_0.4", "FWD_0.8; TR_40; FWD_0.4"],
            ["FWD_1.1", "LEFT_0.9", "TL_50", "FWD_0.3; TL_20", "LEFT_0.7; FWD_0.4"],
        ),
    ],
)
def test_published_presets_have_the_published_support(preset, names, inside, outside):
    chosen = PRESETS[preset]
    assert [f.name for f in chosen.single] == [k.value for k in ActionKind]
    assert [f.name for f in chosen.multi] == names
    assert all(chosen.contains(parse_actions(t)) for t in inside)
    assert not any(chosen.contains(parse_actions(t)) for t in outside)


@pytest.mark.parametrize(("preset", "num_clips"), [("svc", 9), ("svc_teacher", 9), ("hy", 12)])
def test_a_scene_has_one_clip_of_each_family(preset, num_clips):
    clips = PRESETS[preset].clips(np.random.default_rng(0))
    assert len(clips) == num_clips
    assert [name for name, _ in clips[:6]] == [k.value for k in ActionKind]
    assert all(PRESETS[preset].contains(actions) for _, actions in clips)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", ["single", "multi"])
def test_what_is_drawn_is_in_the_support_and_every_family_comes_up(preset, kind):
    rng = np.random.default_rng(1)
    draws = [PRESETS[preset].sample(rng, kind) for _ in range(1500)]
    assert all(PRESETS[preset].contains(actions) for _, actions in draws)
    assert {name for name, _ in draws} == {f.name for f in PRESETS[preset].families(kind)}
    assert all("_then_".join(a.kind.value for a in actions) == name for name, actions in draws)


def test_our_multi_motions_have_two_and_three_actions_equally_often():
    rng = np.random.default_rng(2)
    lengths = Counter(len(PRESETS["theodolite"].sample(rng, "multi")[1]) for _ in range(2000))
    assert set(lengths) == {2, 3} and abs(lengths[2] - 1000) < 4 * np.sqrt(500)  # four sigma


def test_ends_of_the_ranges_come_up_as_often_as_the_middle():
    rng = np.random.default_rng(3)
    family = next(f for f in PRESETS["theodolite"].single if f.kinds == (ActionKind.TURN_LEFT,))
    counts = Counter(family.sample(rng)[0].amount for _ in range(9000))
    assert set(counts) == {10.0 * k for k in range(1, 10)}
    assert all(abs(n - 1000) < 5 * np.sqrt(1000 * 8 / 9) for n in counts.values())


@pytest.mark.parametrize(
    "change", [ActionSequence.mirrored, ActionSequence.reversed_, lambda s: ActionSequence(s.actions[::-1])]
)
def test_our_preset_is_closed_under_mirror_undoing_and_order(change):
    ours = PRESETS["theodolite"]
    for family in ours.single + ours.multi:
        actions = family.sample(np.random.default_rng(4))
        image = change(actions)
        twin = next(f for f in ours.single + ours.multi if f.contains(image))
        assert (twin.weight, sorted(s.count for s in twin.sizes)) == (
            family.weight,
            sorted(s.count for s in family.sizes),
        )


def tiny() -> Preset:
    """Our families with two or three sizes each, so that everything can be enumerated."""
    ours = PRESETS["theodolite"]

    def shrink(family: Family) -> Family:
        grids = tuple(Sizes(30.0, 60.0, 30.0) if k.is_turn else Sizes(0.5, 1.5, 0.5) for k in family.kinds)
        return Family(family.kinds, grids, family.weight)

    return Preset("tiny", tuple(map(shrink, ours.single)), tuple(map(shrink, ours.multi)))


class AllDraws(np.random.Generator):
    """A Generator whose `integers` are given beforehand (then 0), and which remembers what was asked."""

    def __init__(self, fixed: list[int]) -> None:
        super().__init__(np.random.PCG64(0))
        self.fixed, self.sizes = fixed, []

    def integers(self, count: int) -> int:  # type: ignore[override]
        self.sizes.append(count)
        return self.fixed[len(self.sizes) - 1] if len(self.sizes) <= len(self.fixed) else 0


def proposals(preset: Preset, actions: ActionSequence) -> dict[ActionSequence | None, Fraction]:
    """The exact distribution of `propose`: a depth-first walk over all random choices."""
    found: dict[ActionSequence | None, Fraction] = {}
    fixed: list[int] | None = []
    while fixed is not None:
        draws = AllDraws(fixed)
        proposal = preset.propose(actions, draws)
        path = fixed + [0] * (len(draws.sizes) - len(fixed))
        claim = None if proposal is None else proposal[1]
        found[claim] = found.get(claim, Fraction(0)) + Fraction(1, int(np.prod(draws.sizes)))
        while path and path[-1] == draws.sizes[len(path) - 1] - 1:
            path.pop()
        fixed = [*path[:-1], path[-1] + 1] if path else None
    return found


def every_motion(family: Family) -> list[ActionSequence]:
    rests = [()]
    for kind, sizes in zip(family.kinds, family.sizes, strict=True):
        rests = [(*r, Action(kind, sizes[i])) for r in rests for i in range(sizes.count)]
    return [ActionSequence(r) for r in rests]


@pytest.fixture(scope="module")
def matrix() -> dict[ActionSequence, dict[ActionSequence | None, Fraction]]:
    preset = tiny()
    motions = [m for f in preset.single + preset.multi for m in every_motion(f)]
    # Three actions: some motions as starts, and some of their ends.
    starts = [m for m in motions if len(m) < 3] + [m for m in motions if len(m) == 3][::47]
    table = {m: proposals(preset, m) for m in starts}
    for ends in list(table.values()):
        for end in list(ends)[::4]:
            if end is not None and end not in table:
                table[end] = proposals(preset, end)
    return table


def test_a_proposal_is_as_likely_as_its_way_back(matrix):
    pairs = [(a, b) for a, row in matrix.items() for b in row if b in matrix]
    assert len(pairs) > 1500 and {len(a) for a, _ in pairs} == {1, 2, 3}
    assert all(matrix[a][b] == matrix[b].get(a, 0) for a, b in pairs)


def test_no_proposal_leaves_our_support_or_ends_where_the_truth_ends(matrix):
    for truth, row in matrix.items():
        assert sum(row.values()) == 1 and None not in row
        assert not any(same_motion(truth, claim, tol_m=1e-3, tol_deg=1e-3) for claim in row)


def test_claims_of_one_and_two_actions_are_as_uniform_as_truths(matrix):
    for length in (1, 2):
        truths = [m for m in matrix if len(m) == length]
        weight = {m: Fraction(1) for m in truths}
        reached = {m: sum((matrix[a].get(m, Fraction(0)) * weight[a] for a in truths), Fraction(0)) for m in truths}
        assert reached == weight


def test_every_reason_is_given_and_does_what_it_says():
    rng = np.random.default_rng(5)
    truth = parse_actions("FWD_1; TL_30; RIGHT_0.5")
    claims: dict[str, set[str]] = {}
    for reason, claim in PRESETS["theodolite"].neighbours(truth, rng, max_draws=3000):
        claims.setdefault(reason, set()).add(claim.text())
    assert claims["direction"] == {
        t.text()
        for t in map(parse_actions, ("BACK_1; TL_30; RIGHT_0.5", "FWD_1; TR_30; RIGHT_0.5", "FWD_1; TL_30; LEFT_0.5"))
    }
    assert claims["order"] == {parse_actions("RIGHT_0.5; TL_30; FWD_1").text()}
    assert claims["axis"] == {
        parse_actions(t).text()
        for t in (
            "LEFT_1; TL_30; RIGHT_0.5",
            "RIGHT_1; TL_30; RIGHT_0.5",
            "FWD_1; TL_30; FWD_0.5",
            "FWD_1; TL_30; BACK_0.5",
        )
    }
    assert len(claims["size"]) == 18 + 8 + 18  # every other size of each of the three


def test_sizes_grow_and_shrink():
    rng = np.random.default_rng(6)
    claims = [c[0].amount for r, c in PRESETS["theodolite"].neighbours(parse_actions("FWD_1.1"), rng) if r == "size"]
    assert 0.4 < np.mean(np.array(claims) > 1.1) < 0.6  # 1.1 is the middle of 0.2 .. 2.0


def test_a_published_preset_only_claims_what_it_could_do():
    rng = np.random.default_rng(7)
    truth = parse_actions("FWD_1; TL_40")
    assert any(PRESETS["svc"].propose(truth, rng) is None for _ in range(50))
    claims = list(PRESETS["svc"].neighbours(truth, rng, max_draws=200))
    assert claims and all(PRESETS["svc"].contains(c) for _, c in claims)


def test_one_size_leaves_no_other():
    only = Preset("only", (Family((ActionKind.FORWARD,), (Sizes(0.5, 0.5, 0.1),)),), ())
    assert list(only.neighbours(parse_actions("FWD_0.5"), np.random.default_rng(8), max_draws=50)) == []


def test_bad_requests_are_refused():
    rng = np.random.default_rng(9)
    with pytest.raises(ValueError, match="'single' or 'multi', got 'double'"):
        PRESETS["hy"].sample(rng, "double")
    with pytest.raises(ValueError, match="must be in preset 'hy', got 'move forward 5 meters'"):
        PRESETS["hy"].propose(parse_actions("FWD_5"), rng)
