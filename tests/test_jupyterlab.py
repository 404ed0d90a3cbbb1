"""The notebooks in JupyterLab, in a real browser and without an activated environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("jupyterlab", reason="pip install '.[notebook]'")
playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need Playwright")

from tests.notebooks import ROOT, environment, paths  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.documents,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"the browser tests need {CHROMIUM}"),
]
JUPYTER = Path(sys.executable).parent / "jupyter"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder like a checkout, with notebooks that may be changed."""
    place = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", place / "notebooks")
    (place / "fixtures").symlink_to(ROOT / "fixtures")
    return place


@pytest.fixture(scope="module")
def lab(copy: Path) -> Iterator[str]:
    """Yield the address of a server of JupyterLab."""
    options = ["--no-browser", "--allow-root", "--port=0", "--ServerApp.token=", "--ServerApp.password="]
    # the kernel that the notebook names is started without a question
    settings = copy / ".settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"autoStartDefaultKernel": true}')
    folders = {f"JUPYTER_{name}_DIR": str(copy / f".{name}") for name in ("CONFIG", "DATA", "RUNTIME")}
    log = copy / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [
                JUPYTER,
                "lab",
                *options,
                f"--ServerApp.root_dir={copy}",
                f"--LabApp.workspaces_dir={copy}/.lab",
            ],
            env={
                **environment(),
                **folders,
                "HOME": str(copy),
                "JUPYTERLAB_SETTINGS_DIR": str(copy / ".settings"),
            },
            stderr=out,
        )
    try:
        for _ in range(600):
            if found := re.search(r"http://(?:localhost|127\.0\.0\.1):[0-9]+", log.read_text("utf-8")):
                break
            time.sleep(0.2)
        else:
            pytest.fail(f"JupyterLab did not start:\n{log.read_text('utf-8')}")
        yield found[0]
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


def _cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


def _run_all(page: Page, lab: str, path: Path) -> None:
    """Run all cells of a notebook from the menu, and save it."""
    page.goto(f"{lab}/lab/tree/notebooks/{path.name}?reset")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=120_000)
    page.get_by_text("Run", exact=True).first.click()
    page.get_by_text("Run All Cells", exact=True).click()
    for _ in range(240):
        page.keyboard.press("Control+s")
        page.wait_for_timeout(1000)
        try:
            cells = _cells(path)
        except ValueError:
            continue  # it is being saved
        if all(cell["execution_count"] for cell in cells) and cells[-1]["execution_count"] >= len(cells):
            return
    pytest.fail("the cells did not run")


@pytest.mark.parametrize("name", [path.name for path in paths()])
def test_all_cells_run_in_the_browser(name: str, lab: str, browser: Browser, copy: Path) -> None:
    path = copy / "notebooks" / name
    notebook = json.loads(path.read_text("utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    path.write_text(json.dumps(notebook), "utf-8")
    page = browser.new_page()
    try:
        _run_all(page, lab, path)
    finally:
        page.close()
    kinds = {output["output_type"] for cell in _cells(path) for output in cell["outputs"]}
    assert kinds <= {"stream", "execute_result", "display_data"}


def test_the_menus_choose_the_packet(lab: str, browser: Browser, copy: Path) -> None:
    """An answer follows a choice in the page, and a fold opens by a click."""
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    _run_all(page, lab, copy / "notebooks/5-ask-it-yourself.ipynb")
    menus = page.locator(".widget-dropdown select")
    menus.first.wait_for(timeout=60_000)
    menus.nth(1).select_option("internet")
    answer = page.locator(".widget-html .verdict").first
    page.locator(".widget-html", has_text="Docker lets containers on docker0 reach the outside").wait_for()
    assert answer.inner_text() == "ACCEPT"
    fold = page.locator(".jp-OutputArea details", has_text="Answer").first
    assert not fold.locator("table").first.is_visible()
    fold.locator("summary").first.click()
    assert fold.locator("table").first.is_visible()
    page.close()


def test_nbconvert_runs_them_from_outside(copy: Path) -> None:
    """`.venv/bin/jupyter nbconvert --execute`, in an environment that is not activated."""
    name = "5-ask-it-yourself.zh-TW.ipynb"
    run = subprocess.run(
        [JUPYTER, "nbconvert", "--to", "html", "--execute", "--stdout", str(copy / "notebooks" / name)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "<summary>答案</summary>" in run.stdout
    assert os.environ["PATH"] != environment()["PATH"]
