"""The notebooks run from top to bottom, and what they show is what iptsim says."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def run(notebook: Path) -> list[Any]:
    """Run the code cells as a notebook does; return the values of the cells that end in an expression."""
    shown: list[Any] = []
    names: dict[str, Any] = {}
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, str(notebook), "exec"), names)
        if isinstance(last, ast.Expr):
            shown.append(eval(compile(ast.Expression(last.value), str(notebook), "eval"), names))
    return shown


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_runs_from_top_to_bottom(notebook: Path) -> None:
    assert run(notebook)


def test_ask_a_saved_host() -> None:
    """The link opens the exposed port to the linked container, and only that."""
    containers, linked, closed, other = run(NOTEBOOKS[0])
    assert containers == ["client", "other", "web"]
    assert (linked.verdict, linked.reason.code) == ("ACCEPT", "link")
    assert (closed.verdict, closed.reason.code) == ("DROP", "icc-disabled")
    assert other == "DROP"
    bundle = linked._repr_mimebundle_()
    assert bundle["text/plain"].startswith("ACCEPT   client 172.17.0.3 → web 172.17.0.2")
    assert "<script" not in bundle["text/html"]
