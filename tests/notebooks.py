"""Runs the notebooks from top to bottom: `python -m tests.notebooks` regenerates their outputs.

What a run leaves to chance (the kernel's version, ids) is left out, so that a second run writes the same file: menus,
too, which are not alive in a file. `NAME.zh-TW.ipynb` is NAME in Traditional Chinese.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
_MENUS = "application/vnd.jupyter.widget-view+json"
_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def paths() -> list[Path]:
    """Return the notebooks."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def environment() -> dict[str, str]:
    """Return the environment in which they run: one that is not activated, so none of its commands is found."""
    return {
        **os.environ,
        "IPTSIM_PROGRESS": "never",
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "LC_ALL": "C.UTF-8",
    }


def executed(path: Path) -> str:
    """Return a notebook's text with fresh outputs.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number}"
        cell.metadata = {}
    notebook.metadata = nbformat.from_dict(_METADATA)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOKS)}},
        record_timing=False,
        coalesce_streams=True,
    )
    client.execute(env=environment())
    notebook.metadata = nbformat.from_dict(_METADATA)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(_MENUS, None)
    written: str = nbformat.writes(notebook, version=4)  # type: ignore[no-untyped-call]
    return written.rstrip("\n") + "\n"


if __name__ == "__main__":
    for path in [Path(name).absolute() for name in sys.argv[1:]] or paths():
        path.write_text(executed(path), "utf-8")
