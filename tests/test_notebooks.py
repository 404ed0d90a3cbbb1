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
