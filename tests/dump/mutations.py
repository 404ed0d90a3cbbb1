"""Dumps with damage: the same for the same seed.

    python -m tests.dump.mutations --count 10000 --seed 1

Each must be read, or refused with an error of our own; what is read must lose no rule without a word, come out
again as it was read, and answer a question.
"""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

from iptsim.dump import dumps, loads
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import IptsimError
from iptsim.explanation import explain_trace
from iptsim.host import Host, load_host
from iptsim.netfilter.walk import walk
from iptsim.question.model import Question

FIXTURES = Path(__file__).parents[2] / "fixtures"
#: Longer dumps are only slower to read.
_LONGEST = 9000
_PIECES = (
    '"', "!", "-j", "-g", "-m", "-p", "\\", "\n", "\r\n", "\t", " ", "-A", "*nat", "COMMIT", ":", "[0:0]", "--", "-",
    "=", "\0", "\x1b[31m", "[red]", "<b>", "é", "٣", "\u202e", "\ufeff", "0/0", "/", "-A INPUT", "::1", "9" * 21, "0x",
    "-1", "*filter\n", "-I INPUT 1 ", "-D INPUT 1", "-R INPUT 1", "-F", "-X", "-E", "#", ",", "%s", "{}", "-4", "-6",
)  # fmt: skip
#: What may take rules away again without a warning.
_TAKES_AWAY = re.compile(
    r"(?:^|[ \t\]])(?:-[DRFXE46]|--(?:delete|replace|flush|rename|ipv)[a-z46-]*)(?:[ \t\w=]|$)", re.MULTILINE
)
_APPENDS = re.compile(r"(?:\[[0-9]+:[0-9]+\] )?-A [!-~]")


def originals() -> list[str]:
    """Return the dumps that are damaged: small ones of the fixtures."""
    files = sorted(FIXTURES.glob("**/ip*tables-save.txt"))
    return [text for file in files if 0 < len(text := file.read_text("utf-8")) < _LONGEST]


def damaged(text: str, random: Random, others: list[str]) -> str:
    """Return a text with one to six kinds of damage."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        text = random.choice(_DAMAGES)(text, random, others)
    return text


def _insert(text: str, random: Random, _: list[str]) -> str:
    at = random.randrange(len(text) + 1)
    return text[:at] + random.choice(_PIECES) + text[at:]


def _cut(text: str, random: Random, _: list[str]) -> str:
    at = random.randrange(len(text) + 1)
    return text[:at] + text[at + random.choice((1, 1, 2, 5, 30, 300)) :]


def _swap_words(text: str, random: Random, _: list[str]) -> str:
    words = text.split(" ")
    words[random.randrange(len(words))] = random.choice(words)
    return " ".join(words)


def _move_line(text: str, random: Random, _: list[str]) -> str:
    lines = text.split("\n")
    lines.insert(random.randrange(len(lines)), random.choice(lines))
    return "\n".join(lines)


def _drop_line(text: str, random: Random, _: list[str]) -> str:
    lines = text.split("\n")
    del lines[random.randrange(len(lines))]
    return "\n".join(lines)


def _change_character(text: str, random: Random, _: list[str]) -> str:
    at = random.randrange(len(text) + 1)
    return text[:at] + chr(random.choice((random.randrange(0x80), random.randrange(0xD800)))) + text[at + 1 :]


def _join(text: str, random: Random, others: list[str]) -> str:
    other = random.choice(others)
    return text[: random.randrange(len(text) + 1)] + other[random.randrange(len(other)) :]


_DAMAGES = (_insert, _insert, _cut, _swap_words, _move_line, _drop_line, _change_character, _join)


def check(text: str) -> bool:
    """Read a damaged dump in both ways, and ask it something; return whether it could be read.

    Raises:
        AssertionError: a rule got lost without a word, or what is printed reads differently.
        Exception: any other that is not iptsim's own: a defect.
    """
    _read(text, lenient=True)
    ruleset = _read(text)
    if ruleset is None:
        return False
    lost = _lost(text, ruleset)
    assert not lost or ruleset.warnings or _TAKES_AWAY.search(text), f"line {lost[0]} got lost without a word"
    printed = dumps(ruleset)
    assert dumps(loads(printed, family=ruleset.family)) == printed
    _ask(ruleset)
    return True


def _read(text: str, lenient: bool = False) -> Ruleset | None:
    try:
        return loads(text, lenient=lenient)
    except IptsimError as error:
        message = str(error)
    assert "\x1b" not in message
    return None


def _lost(text: str, ruleset: Ruleset) -> list[int]:
    """Return the lines that append a rule which is not in the ruleset."""
    read = {rule.line for rule in ruleset.rules()}
    lines = enumerate(text.split("\n"), 1)
    return [number for number, line in lines if number not in read and _APPENDS.match(line)]


@cache
def _host() -> Host:
    return load_host(FIXTURES / "captures/docker-28.5/published")


def _ask(ruleset: Ruleset) -> None:
    family = ruleset.family
    host = replace(_host(), rulesets={family: ruleset})
    target = "192.0.2.10:8080" if family == 4 else "[2001:db8:2::10]:8080"
    for sender, whom in (("client", "web:80"), ("internet", target)):
        try:
            question = Question(**{"from": sender, "to": whom, "family": family})
            answer = explain_trace(host, question, walk(host, question))
        except IptsimError:
            continue
        assert "\x1b" not in str(answer)


def main() -> None:
    """Check many damaged dumps and say how it went."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random, texts = Random(arguments.seed), originals()
    read, longest = 0, 0.0
    for _ in range(arguments.count):
        text = damaged(random.choice(texts), random, texts)
        begun = time.perf_counter()
        read += check(text)
        longest = max(longest, time.perf_counter() - begun)
    print(
        f"{arguments.count} damaged dumps: {read} could be read, the others were refused; slowest {longest:.1f} s"
    )


if __name__ == "__main__":
    main()
