"""A report as one self-contained HTML file.

It is complete without its script, which adds only interaction: a search, the steps of a packet's path, the zoom of the
map.

The file contains one style sheet and one script, and its Content-Security-Policy allows only these, by their hashes:
    nothing else runs, nothing is fetched, and no text becomes markup (`require-trusted-types-for`). The data of the
    source is JSON in an element that browsers do not execute; the script puts it into text nodes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from string import Template
from typing import Any

from iptsim.languages import json_default
from iptsim.pictures.style import SCOPE, style_sheet
from iptsim.report.contents import Report

#: Characters that could end the element that holds the data, or start another one.
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def page(report: Report) -> str:
    """Return a report as an HTML file."""
    style, script = _file("page.css") + _picture_style(), _file("page.js")
    texts = {name: html.escape(text) for name, text in report.data["texts"].items()}
    return Template(_file("page.html")).substitute(
        texts,
        **{f"s_{name}": section for name, section in report.sections.items()},
        lang=html.escape(report.lang),
        policy=html.escape(_policy(style, script)),
        name=html.escape(report.title),
        style=style,
        script=script,
        picture=report.picture,
        data=_json(report.data),
    )


def _policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy of a page with just this style and this script."""
    return "; ".join((
        "default-src 'none'",
        f"script-src {_hash(script)}",
        f"style-src {_hash(style)}",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ))  # fmt: skip


def _picture_style() -> str:
    """Return the style of the picture: light, and dark on a screen if the reader prefers or chooses that."""
    preferred = style_sheet(f":root:not([data-theme]) {SCOPE}", dark=True)
    chosen = style_sheet(f':root[data-theme="dark"] {SCOPE}', dark=True)
    return (
        f"{style_sheet(dark=False)}@media screen {{\n{chosen}}}\n"
        f"@media screen and (prefers-color-scheme: dark) {{\n{preferred}}}\n"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(data: dict[str, Any]) -> str:
    """Return data as JSON that can't leave its element; everything but ASCII is escaped."""
    return json.dumps(data, separators=(",", ":"), default=json_default).translate(_ESCAPES)


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
