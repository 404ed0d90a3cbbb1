"""The pattern of all frequent shapes: it reads most lines of a large dump, and changes nothing."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from random import Random

import pytest

from iptsim.dump import dumps, loads, rule_lines
from iptsim.dump.rule_lines import RuleLines
from iptsim.dump.ruleset import Ruleset
from iptsim.dump.shapes import Shapes
from iptsim.errors import IptsimError
from iptsim.extensions.base import Extension
from iptsim.extensions.options import Option
from iptsim.extensions.parameters import Parameters
from iptsim.extensions.registry import all_extensions
from iptsim.grammar import pattern
from tests.thoroughness import every_nth

FIXTURES = Path(__file__).parents[2] / "fixtures"
SMALL = [
    file for file in sorted(FIXTURES.glob("captures/**/ip*tables-save.txt")) if file.stat().st_size < 9000
][::4]
#: What may stand in place of a number or a word.
NUMBERS = ("0", "1", "7", "32", "33", "255", "256", "65535", "65536")
PIECES = (
    "!",
    '"',
    "\t",
    "  ",
    "\\",
    "-j",
    "ACCEPT",
    '"a b"',
    "10.0.0.1,10.0.0.2",
    "tcp",
    "INPUT",
    "é",
    "\xa0",
    "LOG",
)


def grown(text: str, random: Random, damage: float) -> str:
    """Return a dump with each rule many times, with other numbers, some with damage."""
    lines = []
    for line in text.splitlines():
        lines.append(line)
        for _ in range(40 if line.startswith(("-A", "[")) else 0):
            numbers = list(re.finditer(r"(?<=[ .])[0-9]+(?=[ .:/]|$)", line))
            other = line
            if numbers:
                at = random.choice(numbers)
                number = random.choice(NUMBERS) if random.random() < damage else str(random.randrange(1, 30))
                other = other[: at.start()] + number + other[at.end() :]
            if random.random() < damage:
                words = other.split(" ")
                words[random.randrange(len(words))] = random.choice(PIECES)
                other = " ".join(words)
            lines.append(other)
    return "\n".join(lines) + "\n"


def read(text: str) -> list[object]:
    """Return all that the reader makes of a text, or its errors."""
    try:
        ruleset = loads(text)
    except IptsimError as error:
        return [str(error)]
    return [
        ruleset.warnings,
        [list(table.chains.values()) for table in ruleset.tables.values()],
        *places(ruleset),
    ]


def places(ruleset: Ruleset) -> list[object]:
    return [(rule.line, rule.refused, rule.text) for rule in ruleset.rules()]


@pytest.mark.parametrize("damage", [0, 0.002, 0.05])
@pytest.mark.parametrize("file", every_nth(SMALL, 3), ids=lambda file: str(file.relative_to(FIXTURES).parent))
def test_the_pattern_changes_nothing(file: Path, damage: float, monkeypatch: pytest.MonkeyPatch) -> None:
    text = grown(file.read_text(), Random(1), damage)
    monkeypatch.setattr(rule_lines, "_KNOWN", {})
    by_pattern = read(text)
    again = read(text)
    monkeypatch.setattr(rule_lines, "_KNOWN", {})
    monkeypatch.setattr(Shapes, "count", lambda self, kind: None)
    by_words = read(text)
    assert by_pattern == by_words
    assert again == by_words


def kube(services: int) -> str:
    """Return rules like those of kube-proxy, some with counters."""
    chains = [f"KUBE-SVC-{number}" for number in range(services)]
    addresses = [f"10.{number // 250}.{number % 250}.1" for number in range(services)]
    lines = ["*nat", ":PREROUTING ACCEPT [0:0]", *(f":{chain} - [0:0]" for chain in chains)]
    for number, (chain, address) in enumerate(zip(chains, addresses, strict=True)):
        note = f'-m comment --comment "service {number}"'
        lines.append(f"-A PREROUTING -d {address}/32 -p tcp {note} -m tcp --dport 80 -j {chain}")
    for number, (chain, address) in enumerate(zip(chains, addresses, strict=True)):
        lines.append(f"[{number}:7] -A {chain} -p tcp -m tcp -j DNAT --to-destination {address}:8080")
    return "\n".join([*lines, "COMMIT", ""])


def test_the_pattern_reads_most_lines_of_a_large_dump(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    by_words = RuleLines.read_alike

    def counted(self: RuleLines, line: str, number: int) -> bool:
        lines.append(line)
        return by_words(self, line, number)

    monkeypatch.setattr(RuleLines, "read_alike", counted)
    monkeypatch.setattr(rule_lines, "_KNOWN", {})
    text = kube(2000)
    assert dumps(loads(text)) == text
    assert len(lines) < 1000


def test_a_bad_value_far_down_is_found_in_its_line() -> None:
    lines = kube(1000).replace("10.3.3.1/32", "10.3.333.1/32").splitlines()
    with pytest.raises(IptsimError) as caught:
        loads("\n".join(lines) + "\n")
    number = next(number for number, line in enumerate(lines, 1) if "10.3.333" in line)
    assert f":{number}:" in str(caught.value)


def test_a_chain_named_like_a_target_is_not_jumped_to() -> None:
    text = kube(300).replace("COMMIT", ":LOG - [0:0]\n" + "-A PREROUTING -j LOG\n" * 200 + "COMMIT")
    assert all(rule.jump is None for rule in loads(text).rules() if rule.target_name == "LOG")


EXTENSIONS: list[type[Extension]] = [Parameters, *all_extensions()]
OPTIONS = [
    (option, family)
    for extension in EXTENSIONS
    for option in extension.options
    for family in (4, 6)
    if option.value is not None and option.value.plain
]


@pytest.mark.parametrize(("option", "family"), OPTIONS, ids=lambda one: getattr(one, "flag", one))
def test_a_language_of_valid_values_fits_into_the_pattern(option: Option, family: int) -> None:
    """It has no groups of its own, and no blanks or quotes."""
    assert option.value is not None
    name = option.value.plain.format(family=family)
    language = pattern("values", name)
    if name != "any_text":
        assert language.groups == 0
        assert not any(language.search(blank) for blank in (" ", "\t", "\n", '"'))


def test_rules_of_a_known_shape_know_the_chain_that_they_call() -> None:
    """As those that the grammar has read, and as their copies."""
    chains = "".join(f":C{number} - [0:0]\n" for number in range(300))
    rules = "".join(f"-A INPUT -s 10.0.0.1/32 -{'jg'[number % 2]} C{number}\n" for number in range(300))
    text = f"*filter\n:INPUT ACCEPT [0:0]\n{chains}{rules}-A INPUT -j DROP\nCOMMIT\n"
    chain = loads(text).tables["filter"].chains["INPUT"]
    assert [rule.callee for rule in chain.rules] == [*(f"C{number}" for number in range(300)), ""]
    again = loads(text).tables["filter"].chains["INPUT"].rules
    for read, copied in zip(chain.rules, pickle.loads(pickle.dumps(again)), strict=True):
        assert (read.callee, read.jump, read.target) == (copied.callee, copied.jump, copied.target)
        assert (read.jump is not None and read.jump.chain == read.callee) or read.target_name == "DROP"
    assert [rule.jump.goto for rule in chain.rules if rule.jump is not None] == [False, True] * 150
