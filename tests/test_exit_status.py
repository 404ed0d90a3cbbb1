"""The exit status of the program, and what it prints when something is wrong with its streams or with itself.

The statuses of signals are what POSIX shells report (128 and the signal's number: XCU 2.8.2).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from iptsim.cli import main
from iptsim.commands import explain

CAPTURE = Path(__file__).parents[1] / "fixtures/captures/docker-28.5/icc-off"
QUESTION = ["explain", str(CAPTURE), "--from", "client", "--to", "web:80"]
#: Ctrl-C comes when the first module behind the entry point is looked for.
EARLY_INTERRUPT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "iptsim.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
import iptsim.__main__
iptsim.__main__.run()
"""


def shell(text: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which `iptsim` is the program."""
    define = f'iptsim() {{ "{sys.executable}" -m iptsim "$@"; }}; S="{CAPTURE}"; '
    # faketime(1) opens a file of its own where a stream is closed
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    return subprocess.run(
        ["sh", "-c", define + text], capture_output=True, text=True, check=False, timeout=120, env=environment
    )


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("iptsim explain $S --from client --to web:80 -q --expect accept", 1, "expected ACCEPT"),
        ("iptsim explain nowhere --from client --to web:80", 2, "nowhere: No such file"),
        ("iptsim --frobnicate", 2, "usage"),
    ],
)
def test_usual_ends(command: str, status: int, said: str) -> None:
    done = shell(command)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (
            "iptsim explain $S --from client --to web:80 -q >&-",
            2,
            "cannot write the output: Bad file descriptor",
        ),
        ("iptsim explain $S --from client --to web:80 >/dev/full", 2, "No space left on device"),
        ("iptsim --help >/dev/full", 2, "No space left on device"),
        ("iptsim explain - --from client --to web:80 <&-", 2, "<stdin>: Bad file descriptor"),
        ("iptsim explain nowhere --from client --to web:80 2>&-", 2, ""),
        pytest.param(
            "iptsim explain nowhere --from client --to web:80 2>/dev/full", 2, "", marks=pytest.mark.thorough
        ),
        pytest.param(
            "iptsim explain $S --from client --to web:80 -q <&- 2>&-", 0, "", marks=pytest.mark.thorough
        ),
    ],
)
def test_standard_streams_that_are_closed_or_full(command: str, status: int, said: str) -> None:
    done = shell(command)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("sources", "status"),
    [
        (["docker-28.5/icc-on", "docker-28.5/listening"], 0),
        (["docker-28.5/icc-on", "docker-28.5/forward-off"], 1),
        (["docker-28.5/forward-off", "nowhere", "docker-28.5/icc-on"], 2),
    ],
)
def test_several_sources(sources: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """One that cannot be read does not stop the others, and weighs most."""
    names = [str(CAPTURE.parents[1] / source) for source in sources]
    assert main(["lint", *names]) == status
    out, err = capsys.readouterr()
    readable = [name for name in names if Path(name).exists()]
    assert [line for line in out.splitlines() if line.startswith("==")] == [f"== {name}" for name in readable]
    assert ("nowhere" in err) == (status == 2)


def test_several_sources_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(CAPTURE.parent / source) for source in ("forward-off", "nowhere", "icc-on")]
    assert main(["lint", "--json", *names]) == 2
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["source"] for one in found] == names
    assert ["findings" in one for one in found] == [True, False, True]


def test_a_script_of_an_earlier_installation() -> None:
    """An editable installation keeps its script when the checkout moves on: it enters by `iptsim.cli.run`."""
    words = ["-c", "import sys; from iptsim.cli import run; sys.exit(run())", "--version"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("iptsim ")


def test_a_reader_that_went_away() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "iptsim", "rules", str(CAPTURE)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        assert (program.wait(timeout=60), program.stderr.read()) == (141, b"")


def test_an_interrupt_in_the_first_instant() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EARLY_INTERRUPT], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (130, b"")


def test_an_interrupt_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "question_fields", _raises(KeyboardInterrupt()))
    assert main(QUESTION) == 130


@pytest.mark.parametrize("error", [ZeroDivisionError("x\x1b[31m"), RecursionError(), MemoryError()])
def test_a_defect(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(explain, "question_fields", _raises(error))
    monkeypatch.delenv("IPTSIM_DEBUG", raising=False)
    assert main(QUESTION) == 3
    said = capsys.readouterr().err
    assert said.startswith(f"iptsim: internal error ({type(error).__name__}")
    assert "please report it" in said
    assert said.count("\n") == 1
    assert "\x1b" not in said


def test_where_a_defect_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(explain, "question_fields", _raises(ZeroDivisionError()))
    monkeypatch.setenv("IPTSIM_DEBUG", "1")
    assert main(QUESTION) == 3
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def _raises(error: BaseException) -> object:
    def function(*_: object) -> object:
        raise error

    return function
