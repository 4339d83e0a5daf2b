"""Reward functions in the signatures of trainers, so that what trains a model is what scores it.

EasyR1 loads `compute_score` from this file, verl `compute_score_verl`; trl takes `exact_reward` or `world2vlm_reward`.
The published reward alone, loadable by file too, is `synth.reward_world2vlm.compute_score`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synth import exact, reward_world2vlm

REWARD_NAME = "theodolite"
REWARD_TYPE = "batch"
"""Read by newer EasyR1; older ones are told in their configuration."""


def compute_score(reward_inputs: Sequence[dict[str, Any]], metric: str = "exact", **_: Any) -> list[dict[str, float]]:
    """Score a batch for EasyR1.

    Args:
        reward_inputs: rows with `response` and `ground_truth` (JSON text of task_type and answer).
        metric: `exact` or `world2vlm`, from reward_function_kwargs.

    Returns:
        a row each of numbers alone, since EasyR1 logs their means: `overall`, `format` and the metric's parts.
    """
    return [_score(row.get("response"), row.get("ground_truth"), metric) for row in reward_inputs]


def compute_score_verl(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any] | None = None,
    metric: str = "exact",
    **_: Any,
) -> dict[str, float]:
    """Score one response for verl, which reads `score`."""
    row = _score(solution_str, ground_truth, metric)
    return {"score": row["overall"], **row}


def exact_reward(completions: Sequence[Any], ground_truth: Sequence[str], **_: Any) -> list[float]:
    """The `exact` metric for trl.

    Args:
        completions: texts, or exchanges whose last message is the answer.
        ground_truth: column of the dataset: JSON text of task_type and answer.
    """
    return _trl(completions, ground_truth, "exact")


def world2vlm_reward(completions: Sequence[Any], ground_truth: Sequence[str], **_: Any) -> list[float]:
    """The published reward for trl; arguments as in `exact_reward`."""
    return _trl(completions, ground_truth, "world2vlm")


def _trl(completions: Sequence[Any], ground_truth: Sequence[str], metric: str) -> list[float]:
    pairs = zip(completions, ground_truth, strict=True)
    return [_score(completion_text(completion), truth, metric)["overall"] for completion, truth in pairs]


def completion_text(completion: Any) -> Any:
    """The text of a completion: itself, or the content of its last message, joined where it comes in blocks."""
    if isinstance(completion, list) and completion and isinstance(completion[-1], dict):
        content = completion[-1].get("content")
        if isinstance(content, list):
            return "".join(str(block.get("text", "")) for block in content if isinstance(block, dict))
        return content
    return completion


def _score(response: Any, ground_truth: Any, metric: str) -> dict[str, float]:
    if metric == "exact":
        if not isinstance(ground_truth, str):
            raise ValueError(f"a ground truth must be JSON text, got {type(ground_truth).__name__}")
        row = exact.score(exact.read_truth(ground_truth), response)
        row["format"] = float("reason" not in row)
    elif metric == "world2vlm":
        row = reward_world2vlm.score(response, ground_truth)
    else:
        raise ValueError(f"metric must be exact or world2vlm, got {metric!r}")
    return {key: value for key, value in row.items() if isinstance(value, float)}
