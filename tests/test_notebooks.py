"""The notebooks run from top to bottom, and their outputs are those of a fresh run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("nbclient")
pytest.importorskip("pandas")

from tests.notebooks import executed, paths

pytestmark = pytest.mark.documents


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.stem)
def test_a_run_gives_the_outputs_that_are_there(path: Path) -> None:
    assert executed(path) == path.read_text("utf-8"), "regenerate them with: python -m tests.notebooks"


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.stem)
def test_outputs_tell_nothing_of_the_machine(path: Path) -> None:
    outputs = [
        output for cell in json.loads(path.read_text("utf-8"))["cells"] for output in cell.get("outputs", [])
    ]
    assert outputs
    assert {output["output_type"] for output in outputs} <= {"stream", "execute_result", "display_data"}
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
    text = json.dumps(outputs)
    assert re.search(r"0x[0-9a-f]{6,}|/home/|/root/|/usr/|/tmp/|site-packages", text) is None
    assert str(Path(__file__).parent.parent) not in text


def test_there_are_texts_between_the_cells() -> None:
    """At most two code cells follow each other without a word."""
    for path in paths():
        kinds = "".join(cell["cell_type"][0] for cell in json.loads(path.read_text("utf-8"))["cells"])
        assert "ccc" not in kinds, path


def test_every_notebook_is_there_in_both_languages() -> None:
    """With the same cells; the code differs in the language that it sets, and in what folds are called."""

    def cells(path: Path) -> list[tuple[str, str]]:
        found = []
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            source = "".join(cell["source"]) if cell["cell_type"] == "code" else ""
            source = "\n".join(line for line in source.splitlines() if line and "use_language" not in line)
            found.append((cell["cell_type"], re.sub(r'folded\("\w+"\)', "folded()", source)))
        return found

    english = [path for path in paths() if ".zh-TW" not in path.name]
    assert len(english) >= 5
    for path in english:
        assert cells(path) == cells(path.with_name(path.stem + ".zh-TW.ipynb")), path


def test_each_notebook_asks_before_it_shows() -> None:
    """There are exercises, and answers in folds."""
    for path in paths():
        text = path.read_text("utf-8")
        assert re.search(r"\*\*(Exercise|練習) 1", text), path
        assert "<details><summary>" in text, path
