"""The page to look at a dataset: each question with its pictures, boxes, motion, shares and proof."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from synth.drawings import PARTS, boxes_svg, motion_svg, shares_html
from synth.files import write_whole
from synth.page import Html, join, page, tag, void
from synth.samples import Said, Sample, pick_samples, picture_uri

LAYERS = {
    "question": "box in the question",
    "answer": "box that is the answer",
    "amodal": "whole object",
    "visible": "its visible pixels",
}
SAID = {"said": "box that the model says"}
KEYS = {"j": "next", "k": "previous", "p": "proof", "/": "search", "t": "light or dark"}
_MAX_SIDE = 448
_LINE = 96


def write_view(root: Path, out: Path, *, limit: int = 200, said: Mapping[str, Said] | None = None) -> tuple[int, int]:
    """Write the page of a dataset to one file; returns how many samples it shows, and of how many.

    Args:
        said: what a model said, by the ids of questions (`synth.predictions.read_said`): the page then shows these
            questions alone, each with answer and score.

    Raises:
        ValueError: if `root` holds no dataset, or a row or a picture of it cannot be read.
    """
    samples, total = pick_samples(root, limit, said)
    if said is not None:
        samples = [replace(sample, said=said[sample.task["id"]]) for sample in samples]
    write_whole(out, view_page(root.resolve().name, samples, total).encode())
    return len(samples), total


def view_page(name: str, samples: Sequence[Sample], total: int) -> str:
    """The page as text; it says how many of the dataset's `total` samples it does not show."""
    images = _images(samples)
    cards = [_card(sample, images) for sample in samples]
    none_left = tag("p", "No sample matches.", class_="none-left", data_none_left=True, hidden=True)
    body = join(_head(name, samples, total), _toolbar(samples), tag("main", *cards, none_left))
    return page(f"{name} · Theodolite", body, {"images": images})


def _images(samples: Sequence[Sample]) -> dict[str, str]:
    """Every picture once, however many questions share it."""
    names = {_image_name(s, frame): (s.subset, frame) for s in samples for frame in s.frames}
    uris = ((name, picture_uri(subset, frame, _MAX_SIDE)) for name, (subset, frame) in names.items())
    return {name: uri for name, uri in uris if uri}


def _image_name(sample: Sample, frame: str) -> str:
    return f"{sample.subset.name}/{frame}"


def _head(name: str, samples: Sequence[Sample], total: int) -> Html:
    counts = Counter(sample.task["task_type"] for sample in samples)
    by_task = ", ".join(f"{task} {count}" for task, count in sorted(counts.items()))
    left_out = total - len(samples)
    rest = f" {left_out} more are left out of this page, evenly over the tasks." if left_out else ""
    return tag(
        "header",
        tag("h1", name),
        tag("p", f"{len(samples)} of {total} samples ({by_task}).{rest}"),
        tag("p", *_keys_help(), class_="dim small"),
    )


def _keys_help() -> Iterator[Html]:
    for key, what in KEYS.items():
        yield join(tag("kbd", key), f" {what}  ")


def _toolbar(samples: Sequence[Sample]) -> Html:
    tasks = sorted({sample.task["task_type"] for sample in samples})
    chips = [_chip("all", ""), *(_chip(task, task) for task in tasks)]
    return tag(
        "nav",
        void("input", type="search", placeholder="search text, objects, ids", aria_label="search"),
        tag("span", *chips, class_="chips", role="group", aria_label="task"),
        _select("subset", "all subsets", sorted({s.subset.name for s in samples})),
        _select("scene", "all scenes", sorted({s.proof["transition"]["scene_id"] for s in samples})),
        tag(
            "button",
            "◐",
            type="button",
            title="light or dark",
            aria_label="light or dark",
            data_theme_switch=True,
        ),
        tag("span", data_count=True, class_="count dim small", aria_live="polite"),
        _legend(samples),
        class_="toolbar",
        aria_label="filter",
    )


def _chip(text: str, value: str) -> Html:
    return tag("button", text, type="button", data_filter="task", value=value, aria_pressed="false")


def _select(field: str, title: str, values: Sequence[str]) -> Html:
    options = [tag("option", title, value=""), *(tag("option", value, value=value) for value in values)]
    return tag("select", *options, data_filter=field, aria_label=field)


def _legend(samples: Sequence[Sample]) -> Html:
    layers = LAYERS | (SAID if any(sample.said for sample in samples) else {})
    labels = [
        tag(
            "label",
            void("input", type="checkbox", data_layer=layer, checked=True),
            tag("span", class_=f"swatch {layer}"),
            text,
        )
        for layer, text in layers.items()
    ]
    parts = [tag("label", tag("span", class_=f"swatch {PARTS[part]}", style="border:0"), part) for part in PARTS]
    return tag("span", *labels, *parts, class_="legend")


def _card(sample: Sample, images: Mapping[str, str]) -> Html:
    where = sample.proof["transition"]
    return tag(
        "article",
        _card_head(sample),
        tag("div", _look(sample, images), _talk(sample), class_="columns"),
        _proof(sample),
        class_="card",
        tabindex="0",
        data_card=True,
        data_task=sample.task["task_type"],
        data_subset=sample.subset.name,
        data_scene=where["scene_id"],
    )


def _card_head(sample: Sample) -> Html:
    variant = sample.proof.get("variant", "")
    return tag(
        "header",
        tag("span", sample.task["task_type"], class_="badge"),
        tag("h2", sample.task["id"], class_="mono"),
        tag("span", f"{sample.subset.name} · {variant}", class_="dim small"),
    )


def _look(sample: Sample, images: Mapping[str, str]) -> Html:
    pair = tag("div", _figure(sample, images, 0), _figure(sample, images, 1), class_="pair")
    return tag("div", pair, tag("div", _motion(sample), _shares(sample), class_="under"))


def _figure(sample: Sample, images: Mapping[str, str], index: int) -> Html:
    width, height = sample.proof["transition"]["image_size"]
    frame = sample.frames[index]
    name = _image_name(sample, frame)
    title = ("before", "after")[index]
    given = frame in sample.task["images"]
    if name in images:
        shot = void("img", data_image=name, width=width, height=height, alt=title)
    else:
        shot = tag("span", "no picture on disk", class_="nothing")
    box = {"style": f"aspect-ratio:{width}/{height}", "class_": "shot"}
    caption = title if given else f"{title} (not part of the question)"
    drawn = boxes_svg(list(_boxes(sample, index)), width, height)
    return tag("figure", tag("div", shot, drawn, **box), tag("figcaption", caption))


def _boxes(sample: Sample, index: int) -> Iterator[tuple[str, str, Sequence[float]]]:
    """Boxes in one view: first those of the items, then those of question and answer on top."""
    view = ("before", "after")[index]
    for item in sample.proof.get("items", ()):
        for layer, key in (("amodal", "amodal_box"), ("visible", "visible_box")):
            if item[view].get(key):
                yield layer, "", item[view][key]
    for box in sample.proof.get("boxes", ()):
        if box["image"] == index:
            yield ("answer" if box["role"] == "answer" else "question"), box["role"], box["box_px"]
    if index == 1 and sample.said is not None and sample.said.box_px is not None:
        yield "said", "model", sample.said.box_px


def _shares(sample: Sample) -> Html | None:
    rows = [
        join(tag("span", tag("b", item["item_id"]), f" {item['role']}", class_="who"), *_item_shares(item))
        for item in sample.proof.get("items", ())
    ]
    if not rows:
        return None
    return tag("section", tag("h3", "Where the object is"), tag("div", *rows, class_="shares"))


def _item_shares(item: Mapping[str, Any]) -> list[Html]:
    return [shares_html(view, item[view]) for view in ("before", "after")]


def _talk(sample: Sample) -> Html:
    question, answer = (message["content"] for message in sample.task["messages"][:2])
    return tag(
        "div",
        tag("section", tag("h3", "Question"), tag("div", _with_slots(question), class_="question")),
        tag("section", tag("h3", "Answer"), tag("div", answer, class_="reply")),
        None if sample.said is None else _said(sample.said),
        _margins(sample),
        class_="stack",
    )


def _said(said: Said) -> Html:
    verdict = f"score {said.score:.2f}" + (f": {said.unread}" if said.unread else "")
    reply = tag("div", said.response or "(nothing)", class_="reply said")
    return tag("section", tag("h3", "What the model says"), reply, tag("p", verdict, class_="dim small"))


def _with_slots(question: str) -> Html:
    """The question's text, each `<image>` as a numbered mark."""
    texts = re.split(r"<image>\n?", question)
    marks = (tag("span", f"image {i}", class_="slot") for i in range(1, len(texts)))
    return join(texts[0], *(join(mark, " ", text) for mark, text in zip(marks, texts[1:], strict=True)))


def _motion(sample: Sample) -> Html:
    where = sample.proof["transition"]
    metric = sample.proof.get("scale", {}).get("status") == "metric"
    drawing = motion_svg(
        np.asarray(where["T_world_cam"], dtype=np.float64),
        np.asarray(where["K"], dtype=np.float64),
        where["image_size"][0],
        where["actions"],
        "m" if metric else "unit",
    )
    words = tag("span", where["actions"] or "no motion")
    return tag("section", tag("h3", "Motion from above"), tag("div", drawing, words, class_="motion"))


def _margins(sample: Sample) -> Html | None:
    margins = sample.proof.get("margins") or {}
    if not margins:
        return None
    rows = [join(tag("dt", key.replace("_", " ")), tag("dd", _short(part))) for key, part in margins.items()]
    return tag("section", tag("h3", "What decides it"), tag("dl", *rows, class_="facts"))


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value)


def _proof(sample: Sample) -> Html:
    scale = sample.proof.get("scale", {})
    about = f"Proof · scale {scale.get('status', 'not stated')} ({scale.get('source', 'no source')})"
    return tag("details", tag("summary", about), tag("pre", pretty(sample.proof)))


def pretty(value: Any, indent: int = 0) -> str:
    """JSON for the eye: what fits stays on one line, so that a matrix is a few lines and not sixteen.

    >>> print(pretty({"K": [[1, 0], [0, 1]]}))
    {"K": [[1, 0], [0, 1]]}
    """
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent <= _LINE or not isinstance(value, dict | list) or not value:
        return flat
    pad, inner = " " * indent, " " * (indent + 2)
    if isinstance(value, dict):
        keyed = ((f"{json.dumps(key, ensure_ascii=False)}: ", part) for key, part in value.items())
        lines = [f"{inner}{key}{pretty(part, indent + 2)}" for key, part in keyed]
        return "{\n" + ",\n".join(lines) + f"\n{pad}}}"
    lines = [f"{inner}{pretty(part, indent + 2)}" for part in value]
    return "[\n" + ",\n".join(lines) + f"\n{pad}]"
