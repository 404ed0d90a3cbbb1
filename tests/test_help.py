"""Help texts are of one kind, and fit a terminal of 80 columns."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import shlex
import unicodedata

import pytest

from iptsim.cli import _COMMANDS as NAMES
from iptsim.cli import _arguments, main
from iptsim.commands.parsing import ARGPARSE


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


#: Texts of argparse about mistakes in a program, or about what iptsim's options do not use.
PROGRAMMERS = re.compile(
    r"not callable|conflicting|\(\) not defined|invalid argument for positionals|must be optional|cannot merge"
    r"|invalid option string|dest= is|conflict_resolution|multiple subparser|argument \"-\"|can't open|unknown parser"
    r"|invalid choice|ambiguous option|unexpected option string|deprecated|: warning: |^subcommands$"
    r"|show program's version|\(default: "
)
ENGLISH_SENTENCE = re.compile(r"[a-z]+(?: [a-z]+){3,}")


@pytest.mark.parametrize("command", ["", *NAMES])
def test_help_is_translated(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LC_ALL", "zh_TW.UTF-8")
    with pytest.raises(SystemExit):
        main([*filter(None, [command]), "--help"])
    text = capsys.readouterr().out
    for line in text.splitlines():
        assert sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in line) <= 80, line
        # a list of words that are the same in all languages, or a command
        assert not ENGLISH_SENTENCE.search(line), line
    assert text.startswith("用法：iptsim")
    # every option is described in Chinese
    described = re.split(r"\n  (?=-)", text)[1:]
    assert all(re.search(r"[\u4e00-\u9fff]", one) for one in described)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["explain"], "缺少必要的引數：SOURCE"),
        (["explain", "x", "-q", "-v"], "不能和引數"),
        (["explain", "x", "--to"], "需要一個值"),
        (["explain", "x", "y", "z"], "多餘的引數 'y'"),
        (["nonsense"], "沒有 'nonsense' 這個指令"),
    ],
)
def test_bad_usage_is_told_in_chinese(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--lang", "zh-TW"])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_texts_of_argparse_are_known() -> None:
    """Those of this Python (tried with 3.11 and 3.13); other versions may have further ones."""
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(argparse))) if isinstance(node, ast.Call)]
    texts = {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "_" and isinstance(call.args[0], ast.Constant)
    }
    shown = {text for text in texts if not PROGRAMMERS.search(str(text))}
    assert shown <= {*ARGPARSE, "%(heading)s:"}


@pytest.mark.parametrize("command", NAMES)
def test_examples_are_valid(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out.partition("\nExamples:\n")[2].splitlines()
    assert shown or command == "completion"
    for line in shown:
        words = shlex.split(line.partition(" > ")[0])
        assert words[:2] == ["iptsim", command]
        _arguments(words[1:])
