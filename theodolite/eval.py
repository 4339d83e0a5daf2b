"""`theodolite eval`: a trained model answers the questions of a dataset, and is scored like any other."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from theodolite.console import Outcome, check_dataset_folder
from theodolite.options import CommonOptions, in_words_of
from theodolite.score import report_lines

EXAMPLE = "theodolite eval head --data data --out predictions.jsonl"


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite eval`."""

    model: Path = field(metadata={"positional": True})
    """folder of the model, as `train head` writes it"""
    data: Path
    """folder of the dataset"""
    out: Path
    """file of its answers, JSON lines with "id" and "response", as `score` reads them"""
    metric: Literal["exact", "world2vlm"] = "exact"
    """exact or world2vlm, as for score"""
    undecided_below: float = 0.0
    """chance of being right, 0 to 1, below which an answer is undecided (boxes are always answered)"""
    preset: Literal["theodolite", "svc", "svc_teacher", "hy", "any"] = "theodolite"
    """motions that questions are of, as for generate; any = whatever ends nearest to the measured pose"""
    device: str = "cpu"
    """torch's: cpu, cuda"""


def run(options: Options) -> Outcome:
    """Answer and score; exit status 0 whatever the answers are worth."""
    check_dataset_folder(options.data)
    from models.answering import answers, sure_of
    from models.questions import read_questions, write_answers
    from models.weights import load_model
    from synth.predictions import score_file

    config, model = load_model(options.model)
    questions = read_questions(options.data)
    with in_words_of(Options):
        sure = sure_of(options.model, options.undecided_below)
    said = answers(model.to(options.device), questions, config.image_size, sure=sure, preset=options.preset)
    write_answers(options.out, zip(questions, said, strict=True))
    report = score_file(options.out, options.data, options.metric, seed=options.seed)
    return Outcome("\n".join(report_lines(report)), report)
