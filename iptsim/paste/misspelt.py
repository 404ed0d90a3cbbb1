"""Misspelt variables of scripts, used but never set beside a similar one, and misplaced quotation marks in Compose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from iptsim.host.pasted import MisspeltVariable, QuotedCommand
from iptsim.paste.lines import Line
from iptsim.suggestions import nearest, slip_of

_SET = re.compile(
    r"(?:^|[;\s])(?:export\s+|local\s+|readonly\s+|declare\s+)?([A-Za-z_]\w*)=|\bfor\s+([A-Za-z_]\w*)\s+in\b"
    r"|\bread\s+(?:-\w+\s+)*([A-Za-z_]\w*)"
)
#: Whatever else may set a variable: commands that take names of variables, up to the end of the line, and arithmetic.
_TAKES_NAMES = re.compile(
    r"\b(?:read|mapfile|readarray|getopts|for|select|local|export|readonly|declare|typeset|let|printf\s+-v)\s.*|\(\(.*"
)
_NAME = re.compile(r"(?<![\w$])[A-Za-z_]\w*")
#: An element of an array, an assignment within other words, or a value for a variable that is not set.
_MAY_SET = re.compile(r"(?<![\w$-])([A-Za-z_]\w*)(?:\[[^\]]*\])?\+?=|\$\{([A-Za-z_]\w*):?[-=?+]")
#: Commands that run what the text does not show: another file, or a text that is made first.
_RUNS_OTHER = re.compile(r"(?:^|[;&|{($>]|\b(?:then|else|do))\s*(?:(?:\.|source|eval)\s+\S)")
_USED = re.compile(r"\$\{?([A-Za-z_]\w*)")
_COMMAND = re.compile(r"ip6?tables|\$\{?IP6?T", re.IGNORECASE)
#: How similar the names must be, from 0 to 1 for equal ones.
_LIKENESS = 0.85


#: An item of a list in which a quoted command follows the equals sign.
_ITEM = re.compile(r"\s*- +(?P<name>[A-Za-z_]\w*)=([\"'])(?P<value>(?:sudo )?ip6?tables [^\"']+)\2\s*")
#: At most this many are kept.
_MOST = 10


def misspelt_variables(lines: Sequence[Line]) -> Iterator[MisspeltVariable]:
    """Yield the variables that commands of iptables use and that nothing sets, with the one that was probably meant.

    A script that runs another file may have its variables from there.
    """
    code = [line for line in lines if not line.text.lstrip().startswith("#")]
    used = {name for line in code for name in _USED.findall(line.text)}
    if not used or any(_RUNS_OTHER.search(line.text) for line in code):
        return
    known = {name for line in code for found in _SET.finditer(line.text) for name in found.groups() if name}
    unused = sorted(known - used)
    for name in sorted(used - known - set(_perhaps_set(code))) if unused else ():
        meant = slip_of(name, unused) or nearest(name, unused, _LIKENESS)
        line = next(
            (one for one in code if name in _USED.findall(one.text) and _COMMAND.search(one.text)), None
        )
        if meant and line is not None:
            yield MisspeltVariable(line.number, line.text.strip(), name, meant)


def _perhaps_set(code: Sequence[Line]) -> Iterator[str]:
    for line in code:
        yield from (name for found in _MAY_SET.finditer(line.text) for name in found.groups() if name)
        for command in _TAKES_NAMES.findall(line.text):
            yield from _NAME.findall(command)


def quoted_commands(lines: Iterable[Line]) -> Iterator[QuotedCommand]:
    """Yield the items whose value is a command of iptables in quotation marks.

    Not those in which a colon or a hash with a blank would end the plain scalar of YAML.
    """
    found = 0
    for line in lines:
        item = _ITEM.fullmatch(line.text) if "tables" in line.text else None
        if item is None or found == _MOST or ": " in item["value"] or " #" in item["value"]:
            continue
        found += 1
        mended = f"- {item['name']}={item['value']}"
        yield QuotedCommand(line.number, item["name"], line.text.strip(), mended)
