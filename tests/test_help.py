"""Help texts are of one kind, and fit a terminal of 80 columns."""

from __future__ import annotations

import pytest

from iptsim.cli import _COMMANDS, main

NAMES = [command.__name__.rpartition(".")[2].replace("_", "-") for command in _COMMANDS]


@pytest.mark.parametrize("command", ["", *NAMES])
def test_help_fits_eighty_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*filter(None, [command]), "--help"])
    lines = capsys.readouterr().out.splitlines()

    assert max(map(len, lines)) <= 80
    assert lines[0].startswith(f"usage: iptsim {command}".strip())
    # the usage takes one line, then comes a sentence
    assert lines[1] == ""
    assert lines[2][0].isupper()


def test_usage_names_what_must_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["rules", "--help"])
    assert capsys.readouterr().out.startswith("usage: iptsim rules SOURCE [CHAIN] [OPTION]...\n")


def test_help_may_keep_lines_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["completion", "--help"])
    assert (
        '\n  zsh   ~/.zshrc, after compinit      eval "$(iptsim completion zsh)"\n' in capsys.readouterr().out
    )
