"""What the documents show is what the program does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import iptsim
from iptsim.explanation import REASONS
from tests.pages import PAGES, counts, readme
from tests.readme import DOCUMENTS, ROOT, rendered, unasked


@pytest.mark.thorough
@pytest.mark.parametrize("name", DOCUMENTS)
def test_sessions_are_real(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert list(unasked(text)) == [], "a session begins with a command"
    assert rendered(text, name) == text, "regenerate them with: python -m tests.readme"


def test_sessions_are_run() -> None:
    """Outputs that are not so are found, in the shell, in the program and in Python."""
    document = """
```console
$ iptsim --version
iptsim 0
$ echo one | tr o O
$ iptsim explain nowhere
$ echo $?
0
```

```python
>>> one = 1
>>> one + 1
3
>>> 1 / 0
Traceback (most recent call last):
    ...
ZeroDivisionError: other words
```
"""
    assert (
        rendered(document)
        == f"""
```console
$ iptsim --version
iptsim {iptsim.__version__}
$ echo one | tr o O
One
$ iptsim explain nowhere
iptsim: nowhere: No such file or directory
$ echo $?
2
```

```python
>>> one = 1
>>> one + 1
2
>>> 1 / 0
Traceback (most recent call last):
    ...
ZeroDivisionError: division by zero
```
"""
    )
    with pytest.raises(NameError):
        rendered("```python\n>>> nobody\n```\n")
    assert list(unasked("```console\nout\n```\n```python\nprint(1)\n```\n")) == ["out", "print(1)"]


def _prose(path: Path) -> str:
    """Return the text of a document without its code blocks."""
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def _anchors(path: Path) -> set[str]:
    """Return the anchors of the headings of a document, as GitHub and mkdocs make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+)$", _prose(path), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading).strip().lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        again = sum(one == name or re.fullmatch(rf"{re.escape(name)}-\d+", one) is not None for one in found)
        found.add(f"{name}-{again}" if again else name)
    return found


LINKED = sorted(
    path.relative_to(ROOT)
    for folder, pattern in (
        (".", "*.md"),
        ("docs", "**/*.md"),
        ("fixtures", "*.md"),
        ("notebooks", "**/*.ipynb"),
    )
    for path in (ROOT / folder).glob(pattern)
)


@pytest.mark.parametrize("document", LINKED, ids=str)
def test_links_lead_to_files_and_headings(document: Path) -> None:
    """In a checkout: the site has more pages, and its build looks after its links."""
    dead = []
    text = re.sub(r"`[^`\n]*`", "", _prose(ROOT / document))
    for link in re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text):
        target = "".join(link)
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (ROOT / document).parent / name if name else ROOT / document
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in _anchors(file)):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("name", PAGES)
def test_pages_made_from_the_code_are_true(name: str) -> None:
    assert (ROOT / "docs" / name).read_text("utf-8") == PAGES[name](), "regenerate it with: make pages"


def test_the_table_of_the_readme_is_true() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert "`conntrack` " in text
    assert text == readme(text), "regenerate it with: make pages"


def test_every_reason_that_is_given_is_in_the_table() -> None:
    """Codes are written where they are decided: in the walk, or where sentences are made."""
    sources = [*(ROOT / "iptsim/netfilter").glob("*.py"), *(ROOT / "iptsim/explanation").glob("*.py")]
    text = "".join(source.read_text("utf-8") for source in sources)
    given = set(re.findall(r'(?:_kernel_drop|drop|Reason)\(\s*"([a-z-]+)"', text))
    given |= set(re.findall(r'code="([a-z-]+)"', text)) - {"defragmented"}
    assert given <= set(REASONS)
    assert len(given) > 15


def test_the_readme_counts_extensions_right() -> None:
    matches, targets = counts()
    assert f"{matches} matches and {targets} targets" in (ROOT / "README.md").read_text("utf-8")


def test_the_changelog_names_the_version() -> None:
    assert f"## [{iptsim.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_every_capture_is_listed() -> None:
    listed = (ROOT / "fixtures/README.md").read_text("utf-8")
    names = {path.parent.name for path in (ROOT / "fixtures/captures").rglob("iptables-save.txt")}
    assert [name for name in sorted(names) if f"| `{name}` |" not in listed] == []
