"""Shell completion: the completions that a shell gets for a command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from iptsim.cli import main

ROOT = Path(__file__).parent.parent
ICC_OFF = "fixtures/captures/docker-28.5/icc-off"


def offered(tmp_path: Path, line: str) -> list[str]:
    """Return what is offered at the end of a line, as the scripts of argcomplete ask for it."""
    answer = tmp_path / "answer"
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_SHELL": "bash",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    subprocess.run([sys.executable, "-m", "iptsim"], cwd=ROOT, env={**os.environ, **asked}, check=False)
    return [word.strip() for word in answer.read_text().split("\013")]


def test_commands(tmp_path: Path) -> None:
    assert set(offered(tmp_path, "iptsim ")) >= {"explain", "rules", "lint", "completion"}
    assert offered(tmp_path, "iptsim exp") == ["explain"]


def test_options(tmp_path: Path) -> None:
    assert offered(tmp_path, f"iptsim rules {ICC_OFF} --like") == ["--like-iptables"]


def test_files(tmp_path: Path) -> None:
    assert offered(tmp_path, "iptsim explain fixtures/captures/docker-28.5/icc-off-l") == [
        "fixtures/captures/docker-28.5/icc-off-link/"
    ]


def test_names_of_containers_come_from_the_source(tmp_path: Path) -> None:
    assert set(offered(tmp_path, f"iptsim explain {ICC_OFF} --from ")) == {
        "client", "web", "host", "localhost", "internet",
    }  # fmt: skip
    assert offered(tmp_path, f"iptsim explain {ICC_OFF} --from client --to w") == ["web"]
    assert offered(tmp_path, f"iptsim whatif {ICC_OFF} --to d") == ["dns"]


def test_names_of_an_archive(tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "capture"), "gztar", ROOT / ICC_OFF)
    assert offered(tmp_path, f"iptsim explain {archive} --from cl") == ["client"]


def test_tables(tmp_path: Path) -> None:
    assert offered(tmp_path, f"iptsim rules {ICC_OFF} -t n") == ["nat"]


def test_names_that_docker_can_not_have_given_reach_no_shell(tmp_path: Path) -> None:
    names = ["/web", "/$(reboot)", "/a b", "/x;y", "/`id`", "/\x1b[2J"]
    (tmp_path / "docker-inspect.json").write_text(json.dumps([{"Name": name} for name in names]))
    assert set(offered(tmp_path, f"iptsim explain {tmp_path} --from ")) == {
        "web", "host", "localhost", "internet",
    }  # fmt: skip


def test_a_damaged_source_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "docker-inspect.json").write_text("{")
    assert "host" in offered(tmp_path, f"iptsim explain {tmp_path} --from ")


def test_a_pipe_in_a_source_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "docker-inspect.json")
    assert "host" in offered(tmp_path, f"iptsim explain {tmp_path} --from ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_ARGCOMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_without_the_extra_there_is_a_hint(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    monkeypatch.setitem(sys.modules, "argcomplete.shell_integration", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'iptsim[completion]'" in capsys.readouterr().err
