"""The one page shell: style, script and layout of every HTML page; a page needs nothing but itself."""

from __future__ import annotations

import html
import json
from importlib.resources import files
from typing import Any

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class Html(str):
    """Text that is markup already. Any other text is escaped wherever it enters a page."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: Any) -> Html:
    """An HTML or SVG element; children that are no `Html`, and all attribute values, are escaped.

    A trailing underscore of an attribute name is dropped (`class_`), any other becomes a hyphen. None leaves
    a child or an attribute out; True gives an attribute without a value.

    >>> tag("p", "1 < 2", tag("b", "x"), class_="note", data_id=7, hidden=None)
    '<p class="note" data-id="7">1 &lt; 2<b>x</b></p>'
    """
    inner = "".join(markup(child) for child in children if child is not None)
    return Html(f"<{name}{_attributes(attributes)}>{inner}</{name}>")


def void(name: str, /, **attributes: Any) -> Html:
    """An HTML element that has no end tag, such as `img`.

    >>> void("input", type="search", disabled=True)
    '<input type="search" disabled>'
    """
    return Html(f"<{name}{_attributes(attributes)}>")


def markup(text: str) -> Html:
    """The text as markup: escaped, unless it is markup already.

    >>> markup("a & b"), markup(Html("<i>a</i>"))
    ('a &amp; b', '<i>a</i>')
    """
    return text if isinstance(text, Html) else Html(html.escape(text))


def join(*parts: str | None) -> Html:
    """Parts of a page one after the other, escaped unless they are markup; None leaves one out."""
    return Html("".join(markup(part) for part in parts if part is not None))


def page(title: str, body: str, data: Any = None) -> str:
    """A self-contained page that opens from disk and asks nobody for anything.

    What the shell's script does for the body: `img[data-image]` shows `data["images"][name]`, elements with
    `data-card` can be searched, filtered (`select[data-filter]`, `button[data-filter]`; a field may hold several
    values, as a|b) and walked through with the keyboard, rows that name a card by `data-row` are filtered along with
    it, and `input[data-layer]` shows or hides what is drawn of that class.

    Args:
        title: title of the window; the body brings its own headings.
        body: content of the page; escaped unless it is `Html`.
        data: anything JSON can hold, for the script.
    """
    head = join(
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=POLICY),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(_resource("page.css"))),
    )
    scripts = join(
        tag("script", Html(_json(data)), type="application/json", id="data"),
        tag("script", Html(_resource("page.js"))),
    )
    document = tag("html", tag("head", head), tag("body", body, scripts), lang="en")
    return f"<!doctype html>\n{document}\n"


def _attributes(attributes: dict[str, Any]) -> str:
    return "".join(_attribute(name, value) for name, value in attributes.items() if value is not None)


def _attribute(name: str, value: Any) -> str:
    key = name.rstrip("_").replace("_", "-")
    return f" {key}" if value is True else f' {key}="{html.escape(str(value))}"'


def _json(data: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _resource(name: str) -> str:
    return files("synth").joinpath(name).read_text(encoding="utf-8")
