"""The parts keep their order, and what is not needed is not loaded."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("lark", "networkx", "pydantic", "rich")
CAPTURE = ROOT / "fixtures/captures/docker-28.5/icc-off"


def loaded_by(code: str) -> set[str]:
    """Return which heavy packages a fresh interpreter has loaded after running some code."""
    tail = f"\nimport sys\nprint('loaded:', *(name for name in {HEAVY!r} if name in sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(run.stdout.rpartition("loaded:")[2].split())


def command(*words: str) -> str:
    return f"from iptsim.cli import main\ntry:\n  main({list(words)!r})\nexcept SystemExit:\n  pass"


def test_imports_go_one_way() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run([linter, "--no-cache"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_import_is_left_out_of_the_contracts() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert "ignore_imports" not in text
    assert "exhaustive = true" in text


@pytest.mark.parametrize(
    "code",
    ["import iptsim", command("--help"), command("explain", "--help"), command("--version")],
    ids=["import", "help", "explain-help", "version"],
)
def test_a_start_loads_nothing_heavy(code: str) -> None:
    assert loaded_by(code) == set()


def test_the_package_imports_only_what_registers_the_display() -> None:
    """Ctrl-C between the start of the program and its entry point must find next to nothing going on."""
    code = "import iptsim, sys; print(*sorted(n for n in sys.modules if n.startswith('iptsim')))"
    run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["iptsim", "iptsim.display", "iptsim.shown"]


def test_what_is_loaded_alone_shows_itself() -> None:
    """The forms are registered with the package, not with what a program happens to load."""
    code = f"from iptsim.dump import load; print(load({str(CAPTURE / 'iptables-save.txt')!r}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.startswith("IPv4 rules")


#: What turns messages into text, and what is above it.
RENDERING = {"render", "pictures", "report", "display", "commands", "cli", "languages"}
#: The calls that make text of messages.
TELLING = {
    "say", "say_as", "say_many", "joined", "sentence", "sentences",
}  # fmt: skip


def test_only_the_rendering_makes_text_of_messages() -> None:
    """Below it, a text is a message or a code: data that can be told in any language, and that no code can parse."""
    telling = set()
    called = re.compile(rf"\b(?:{'|'.join(TELLING)})\(")
    for path in (ROOT / "iptsim").rglob("*.py"):
        package = path.relative_to(ROOT / "iptsim").parts[0].removesuffix(".py")
        if package in RENDERING or not called.search(path.read_text("utf-8")):
            continue
        calls = (node.func for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call))
        if any(isinstance(one, ast.Name) and one.id in TELLING for one in calls):
            telling.add(package)
    assert telling == set()


def test_json_needs_no_rendering() -> None:
    loaded = loaded_by(command("explain", str(CAPTURE), "--from", "client", "--to", "web:80", "--json"))
    assert "pydantic" in loaded
    assert "rich" not in loaded


def test_every_module_says_what_it_is() -> None:
    modules = [path for path in (ROOT / "iptsim").rglob("*.py") if path.read_text("utf-8").strip()]
    assert [path for path in modules if not path.read_text("utf-8").startswith(('"""', 'r"""'))] == []


def test_no_module_has_more_than_500_lines() -> None:
    lines = {path: path.read_text("utf-8").count("\n") for path in (ROOT / "iptsim").rglob("*.py")}
    assert [path.name for path, count in lines.items() if count > 500] == []


def test_every_part_is_in_the_table_of_contents() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    parts = [path for path in (ROOT / "iptsim").iterdir() if not path.name.startswith(("__", "py.typed"))]
    assert [path.name for path in parts if f"`iptsim/{path.name}{'/' * path.is_dir()}`" not in table] == []


def test_settings_cover_what_extensions_ask_for() -> None:
    """`--set` takes every fact and every rare header field that an extension or the walk looks up."""
    from iptsim.question.facts import FACTS, RARE_FIELDS

    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "iptsim/extensions").rglob("*.py"))
    facts = set(re.findall(r'(?:\bfact\(|\bstated\(context, )\s*"(\w+)"', source)) - {"time"}
    extras = set(re.findall(r'\bextra\.get\(\s*"(\w+)"', source))
    assert facts - FACTS.keys() == set()
    assert extras - RARE_FIELDS.keys() == set()
    walked = "\n".join(
        path.read_text("utf-8")
        for place in ("netfilter", "question")
        for path in (ROOT / "iptsim" / place).glob("*.py")
        if path.name != "facts.py"
    )
    assert {name for name in FACTS.keys() | RARE_FIELDS.keys() if f'"{name}"' not in source + walked} == set()
