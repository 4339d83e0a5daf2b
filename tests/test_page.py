"""The page shell and the view page, on a hand-made dataset of the layout that every dataset has."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synth.drawings import boxes_svg, motion_path, motion_svg, shares_html
from synth.page import Html, page, tag
from synth.samples import evenly, pick_samples, picture_uri, shared_out
from synth.view import pretty, view_page, write_view

HOSTILE = "<script>alert('x')</script>"
WIDTH, HEIGHT = 320, 240
VOID = {"meta", "img", "input"}


class Reader(HTMLParser):
    """Collects elements and text, and holds every start tag against its end tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def all(self, name: str, **attributes: str) -> list[dict[str, str | None]]:
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
        return [a for n, a in self.elements if n == name and wanted.items() <= a.items()]

    @property
    def text(self) -> str:
        return " ".join(self.words)


def sight(visible: float | None, **shares: Any) -> dict[str, Any]:
    box = [60.0, 80.0, 140.0, 200.0] if visible else None
    full = {"visible": visible, "hidden": 0.0, "hidden_by": {}, "outside": 0.0, "behind": 0.0}
    return {"amodal_box": box, "visible_box": box, **full, **shares}


def pose(x: float = 0.0, z: float = 0.0, right_deg: float = 0.0) -> list[list[float]]:
    c, s = math.cos(math.radians(right_deg)), math.sin(math.radians(right_deg))
    return [[c, 0, s, x], [0, 1, 0, 0], [-s, 0, c, z], [0, 0, 0, 1]]


def make_rows(number: int, task: str, scene: str, question: str, answer: str) -> tuple[dict, dict]:
    folder = f"scenes/{scene}/traj_t{number % 2}/samples-rgb"
    name = f"{scene}-t{number % 2}-{task}-{number}"
    row = {
        "id": name,
        "task_type": task,
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
        "images": [f"{folder}/{i:03d}.png" for i in ((0,) if task == "D2" else (0, 1))],
    }
    half_hidden = {"hidden": 0.4, "hidden_by": {"sofa_1": 0.3, "room": 0.1}, "outside": 0.15, "behind": 0.05}
    item = {"item_id": "chair_0", "kind": "chair", "role": "target"}
    proof = {
        "id": name,
        "task_type": task,
        "variant": "open",
        "answer": {"type": "motion", "actions": answer},
        "transition": {
            "scene_id": scene,
            "traj_id": f"t{number % 2}",
            "frames": [0, 1],
            "image_size": [WIDTH, HEIGHT],
            "K": [[200.0, 0.0, 160.0], [0.0, 200.0, 120.0], [0.0, 0.0, 1.0]],
            "T_world_cam": [pose(), pose(0.0, 0.5, -30.0)],
            "actions": "move forward 0.5 meters; turn left 30 degrees",
        },
        "items": [item | {"before": sight(1.0), "after": sight(0.4, **half_hidden)}] if task[0] == "D" else [],
        "boxes": [{"image": 0, "role": "question", "box_px": [60, 80, 140, 200]}] if task[0] == "D" else [],
        "margins": {"displacement": 0.04321, "reason": "mirrored"},
        "scale": {"status": "metric", "source": "simulated"},
        "versions": {"theodolite": "0.1.0"},
    }
    if task == "D1":
        proof["boxes"].append({"image": 1, "role": "answer", "box_px": [100, 5, 300, 239]})
    return row, proof


def write_subset(subset: Path, rows: list[tuple[dict, dict]], tasks_file: str = "tasks.jsonl") -> None:
    subset.mkdir(parents=True)
    for name, part in ((tasks_file, 0), ("proofs.jsonl", 1)):
        (subset / name).write_text("".join(json.dumps(row[part]) + "\n" for row in rows))
    for frame in sorted({image for task, _ in rows for image in (*task["images"],)}):
        path = subset / frame
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = np.linspace(0, 255, WIDTH * HEIGHT * 3).astype(np.uint8).reshape(HEIGHT, WIDTH, 3)
        Image.fromarray(shade).save(path)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "data <1>"
    rooms = [
        make_rows(i, task, "room_0", f"<image>\n<image>\nWhat about {HOSTILE} & co?", f"answer {i} {HOSTILE}")
        for i, task in enumerate(["A1", "A1", "A1", "A1", "A3", "D1", "D2", "D2"])
    ]
    write_subset(root / "Render-SimulatedScene-demo", rooms, "tasks_demo.jsonl")
    write_subset(root / "DepthWarp-RealScene", [make_rows(0, "D4", "photo", "<image>\nSame?", "yes")])
    (root / "README.md").write_text("card")
    return root


def read_view(root: Path, **options: Any) -> tuple[str, Reader]:
    out = root / "view.html"
    write_view(root, out, **options)
    text = out.read_text()
    return text, Reader(text)


def data_of(text: str) -> Mapping[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found
    return json.loads(found[1])


def test_page_is_well_formed_and_asks_nobody_for_anything(dataset: Path) -> None:
    text, reader = read_view(dataset)
    assert reader.open == []
    assert not re.search(r"""(src|href|url\(|@import)\s*=?\s*["']?(https?:|//)""", text)
    assert reader.all("meta", http_equiv="Content-Security-Policy")[0]["content"].startswith("default-src 'none'")
    assert all("src" not in attributes for attributes in reader.all("img"))


def test_text_of_a_dataset_cannot_become_markup(dataset: Path) -> None:
    text, reader = read_view(dataset)
    assert HOSTILE not in text
    assert f"What about {HOSTILE} & co?" in reader.text
    assert len(reader.all("script")) == 2


def test_data_cannot_end_its_script_element() -> None:
    text = page("t", "", {"a": "</script><b>", "images": {}})
    assert data_of(text)["a"] == "</script><b>"
    assert Reader(text).all("b") == []


def test_plain_body_is_escaped_and_markup_is_kept() -> None:
    assert "&lt;i&gt;" in page("t", "<i>")
    assert "<i>x</i>" in page("t", tag("i", "x"))


def test_tag_escapes_children_and_attributes() -> None:
    assert tag("a", '"<', Html("<b>"), title='"<', class_="k", data_x=True, none=None) == (
        '<a title="&quot;&lt;" class="k" data-x>&quot;&lt;<b></a>'
    )


def test_page_refuses_numbers_that_json_has_not() -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        page("t", "", {"x": math.nan})


def test_each_picture_is_embedded_once_and_named_by_every_figure(dataset: Path) -> None:
    text, reader = read_view(dataset)
    images = data_of(text)["images"]
    used = [attributes["data-image"] for attributes in reader.all("img")]
    assert set(used) == set(images)
    assert len(used) > len(images)
    assert all(uri.startswith("data:image/webp;base64,") for uri in images.values())


def test_missing_picture_is_said_and_boxes_are_still_drawn(dataset: Path) -> None:
    for path in (dataset / "DepthWarp-RealScene").rglob("*.png"):
        path.unlink()
    _, reader = read_view(dataset)
    assert reader.text.count("no picture on disk") == 2


def test_view_of_a_question_on_one_picture_says_that_the_second_is_not_part_of_it(dataset: Path) -> None:
    _, reader = read_view(dataset)
    assert reader.text.count("after (not part of the question)") == 2


def test_cards_carry_task_subset_and_scene_for_the_filters(dataset: Path) -> None:
    _, reader = read_view(dataset)
    cards = [a for a in reader.all("article") if "data-card" in a]
    assert len(cards) == 9
    assert [c["data-task"] for c in cards] == sorted(c["data-task"] or "" for c in cards)
    options = {a.get("value") for a in reader.all("option")}
    assert {"Render-SimulatedScene-demo", "DepthWarp-RealScene", "room_0", "photo", ""} == options
    chips = [a["value"] for a in reader.all("button", data_filter="task")]
    assert chips == ["", "A1", "A3", "D1", "D2", "D4"]


def test_limit_is_shared_evenly_over_tasks_and_the_rest_is_counted(dataset: Path) -> None:
    samples, total = pick_samples(dataset, 5)
    assert total == 9
    assert [s.task["task_type"] for s in samples] == ["A1", "A3", "D1", "D2", "D4"]
    _, reader = read_view(dataset, limit=5)
    assert "5 of 9 samples" in reader.text and "4 more are left out" in reader.text


def test_nothing_is_left_out_where_all_fits(dataset: Path) -> None:
    _, reader = read_view(dataset)
    assert "9 of 9 samples" in reader.text and "left out" not in reader.text


@pytest.mark.parametrize(
    ("limit", "sizes", "shares"),
    [(10, [2, 100, 100], [2, 4, 4]), (3, [5, 5, 5, 5], [0, 1, 1, 1]), (99, [1, 2], [1, 2]), (1, [], [])],
)
def test_shared_out_is_even_and_never_more_than_there_is(limit: int, sizes: list[int], shares: list[int]) -> None:
    assert shared_out(limit, sizes) == shares


def test_evenly_spreads_over_the_whole_list() -> None:
    assert evenly(range(10), 4) == [0, 2, 5, 7]
    assert evenly(range(3), 3) == [0, 1, 2]


def test_proof_of_another_question_is_refused(dataset: Path) -> None:
    proofs = dataset / "Render-SimulatedScene-demo" / "proofs.jsonl"
    first, second, *rest = proofs.read_text().splitlines()
    proofs.write_text("\n".join([second, first, *rest]) + "\n")
    with pytest.raises(ValueError, match="demo/proofs.jsonl line 1: the proof is of room_0-t1-A1-1"):
        pick_samples(dataset, 9)


def test_missing_proofs_are_refused(dataset: Path) -> None:
    (dataset / "DepthWarp-RealScene" / "proofs.jsonl").unlink()
    with pytest.raises(ValueError, match="proofs.jsonl is missing"):
        pick_samples(dataset, 9)


def test_fewer_proofs_than_questions_are_refused(dataset: Path) -> None:
    proofs = dataset / "Render-SimulatedScene-demo" / "proofs.jsonl"
    proofs.write_text("".join(proofs.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match="every question needs its proof on the same line"):
        pick_samples(dataset, 9)


@pytest.mark.parametrize(
    ("line", "match"), [("{", "is no JSON"), ("[1]", "must be a JSON object"), ("{}", "must have id, task_type")]
)
def test_broken_row_is_named(dataset: Path, line: str, match: str) -> None:
    (dataset / "DepthWarp-RealScene" / "tasks.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=f"tasks.jsonl line 1:? .*{match}"):
        pick_samples(dataset, 9)


def test_folder_without_questions_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no dataset"):
        pick_samples(tmp_path, 9)


def test_path_that_leaves_the_dataset_is_refused(dataset: Path) -> None:
    with pytest.raises(ValueError, match="leads out of"):
        picture_uri(dataset / "DepthWarp-RealScene", "../../secret.png", 64)


def test_truncated_picture_is_refused(dataset: Path) -> None:
    picture = next((dataset / "DepthWarp-RealScene").rglob("*.png"))
    picture.write_bytes(picture.read_bytes()[:400])
    with pytest.raises(ValueError, match="is no whole picture"):
        write_view(dataset, dataset / "view.html")
    assert not (dataset / "view.html").exists()


def test_picture_is_made_smaller_and_never_larger(dataset: Path) -> None:
    import base64
    import io

    def size(side: int) -> tuple[int, int]:
        frame = next((dataset / "DepthWarp-RealScene").rglob("*.png"))
        uri = picture_uri(frame.parent, frame.name, side)
        assert uri
        return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).size

    assert size(160) == (160, 120)
    assert size(999) == (WIDTH, HEIGHT)


def test_boxes_are_drawn_where_they_are() -> None:
    reader = Reader(boxes_svg([("question", "asked", (10.0, 20.0, 40.0, 60.5))], 100, 80))
    assert reader.all("svg")[0]["viewbox"] == "0 0 100 80"
    for rect in reader.all("rect"):
        assert [rect[k] for k in ("x", "y", "width", "height")] == ["10", "20", "30", "40.5"]
    assert reader.all("g", class_="box question") and reader.text == "asked"


def test_question_and_answer_box_land_in_their_own_picture(dataset: Path) -> None:
    samples = [s for s in pick_samples(dataset, 99)[0] if s.task["task_type"] == "D1"]
    before, after = view_page("x", samples, 1).split("<figure>")[1:]
    assert 'class="box question"' in before and 'class="box answer"' not in before
    assert 'class="box answer"' in after and 'class="box question"' not in after


def test_shares_are_drawn_to_scale_and_said_in_words() -> None:
    text = shares_html("after", sight(0.4, hidden=0.4, hidden_by={"room": 0.1, "sofa_1": 0.3}, behind=0.2))
    reader = Reader(text)
    widths = {bar["class"]: bar["style"] for bar in reader.all("i")}
    assert widths == {"seen": "width:40%", "hidden": "width:40%", "behind": "width:20%"}
    assert "visible 40 %, hidden 40 % (by sofa_1 30 %, room 10 %), behind 20 %" in reader.text


def test_undefined_shares_are_said() -> None:
    assert "undefined: the camera is inside it" in shares_html("after", sight(None))


def test_path_turns_its_corners_where_the_text_leads_to_the_pose() -> None:
    end = np.array(pose(1.0, 0.5))
    corners = motion_path(end, "move forward 0.5 meters; move right 1 meters")
    assert np.allclose(corners, [[0, 0], [0, 0.5], [1, 0.5]])


@pytest.mark.parametrize("actions", ["move forward 0.5 meters", "no action at all", ""])
def test_path_is_straight_where_the_text_does_not_lead_to_the_pose(actions: str) -> None:
    assert motion_path(np.array(pose(1.0, 0.5)), actions).tolist() == [[0, 0], [1.0, 0.5]]


def motion_points(x: float, z: float, right_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Apex and middle direction of the wedge after a motion, as drawn (x right, y down the page)."""
    poses = np.array([pose(3.0, -2.0, 90.0), np.array(pose(3.0, -2.0, 90.0)) @ pose(x, z, right_deg)])
    K = np.array([[100.0, 0, 100], [0, 100, 100], [0, 0, 1]])
    reader = Reader(motion_svg(poses, K, 200, "", "m"))
    numbers = re.findall(r"-?[\d.]+", reader.all("path", class_="end")[0]["d"] or "")
    apex, left, right = (np.array(numbers[i : i + 2], dtype=float) for i in (0, 2, 9))
    return apex, (left + right) / 2 - apex


def test_forward_is_up_and_right_is_right_on_the_drawing() -> None:
    start, ahead = motion_points(0, 0, 0)
    assert ahead[1] < 0 and abs(ahead[0]) < 1e-6
    assert motion_points(0, 0, 30)[1][0] > 0 > motion_points(0, 0, -30)[1][0]
    assert start.tolist() == [50, 50]
    assert motion_points(0, 1, 0)[0][1] < 50 and motion_points(1, 0, 0)[0][0] > 50


def test_scale_bar_has_a_length_and_the_unit_of_the_scale() -> None:
    poses, K = np.array([pose(), pose(0, 6.0)]), np.eye(3) * 100
    assert re.search(r">\d+ unit<", motion_svg(poses, K, 200, "", "unit"))


def test_pretty_breaks_only_what_does_not_fit() -> None:
    value = {"short": [1, 2], "matrix": [[float(i + 10 * j) for i in range(4)] for j in range(6)]}
    lines = pretty(value).splitlines()
    assert '  "short": [1, 2],' in lines
    assert "    [10.0, 11.0, 12.0, 13.0]," in lines
    assert json.loads(pretty(value)) == value
