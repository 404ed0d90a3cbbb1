"""The documentation's site builds without a warning, loads nothing from elsewhere, and says what the code says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import iptsim
from iptsim.host.files import FILES
from tests.readme import ROOT

pytestmark = pytest.mark.documents

#: Attributes by which a page loads something, other than a link to follow.
_LOADS = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("object", "data")}


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if (tag, name) in _LOADS]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="pip install '.[docs]'")
    place = tmp_path_factory.mktemp("site")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(place)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return place


def test_every_page_is_there(site: Path) -> None:
    pages = {
        str(path.relative_to(ROOT / "docs").with_suffix(".html")) for path in (ROOT / "docs").rglob("*.md")
    }
    assert len(pages) > 5
    assert [page for page in sorted(pages) if not (site / page).exists()] == []


def test_it_loads_nothing_from_elsewhere(site: Path) -> None:
    loads = []
    for page in site.rglob("*.html"):
        parser = _Loads()
        parser.feed(page.read_text("utf-8"))
        assert parser.found
        loads += [(page.name, place) for place in parser.found if re.match(r"(\w+:)?//", place)]
    assert loads == []
    styles = [text for path in site.rglob("*.css") if "//" in (text := path.read_text("utf-8"))]
    assert [
        found for text in styles for found in re.findall(r"(?:url\(|@import)\s*['\"]?(?:\w+:)?//\S*", text)
    ] == []


def test_what_an_option_means_is_told(site: Path) -> None:
    """The page of the command line is the parser's own: spot checks of forms that argparse knows."""
    text = re.sub(r"<[^>]*>", "", (site / "reference/commands.html").read_text("utf-8"))
    for words in (
        "--from ENDPOINT",
        "exit with status 1 unless the answer is WORD: accept",
        "--icc [true|false]",
        "--policy",
    ):
        assert words in text


def test_every_capture_file_is_told() -> None:
    rows = re.findall(
        r"^\| `(\S+)` \| `(.*?)` \|", (ROOT / "docs/reference/capture.md").read_text("utf-8"), re.M
    )
    assert dict(rows) == {name: made.replace("\\\\", "\\") for name, made in FILES.items()}
    assert next(iter(FILES)) == rows[0][0], "the first one is the one that is needed"


def test_every_public_name_is_on_the_page_of_the_python_api(site: Path) -> None:
    text = (site / "reference/python.html").read_text("utf-8")
    names = [name for name in iptsim.__all__ if name != "__version__"]
    assert len(names) > 15
    assert [name for name in names if not re.search(rf'id="iptsim\.[\w.]*\.{name}"', text)] == []
