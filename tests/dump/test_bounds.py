"""What a stranger's dump may cost: bounded time and memory, and nothing that others in the process notice."""

from __future__ import annotations

import gc
import threading

import pytest

from iptsim.dump import dumps, loads, rule_lines
from iptsim.dump.complaints import MAX_UNKNOWN
from iptsim.dump.plan import MAX_LISTED
from iptsim.errors import DumpErrors, DumpSyntaxError

HEAD = "*filter\n:INPUT ACCEPT [0:0]\n"


def filter_of(*lines: str) -> str:
    return HEAD + "".join(f"{line}\n" for line in lines) + "COMMIT\n"


@pytest.mark.parametrize(
    "text", ['"' + '\\"' * 4900, "x" * 9900 + '"', '"' + "x " * 4900, "-" * 9900 + '"', '"' + "x" * 9900]
)
def test_open_quotes_take_one_pass(text: str) -> None:
    """A second for each line, as once, would be minutes here."""
    with pytest.raises(DumpErrors) as caught:
        loads(filter_of(*[f"-A INPUT -m comment --comment {text}"] * 100))
    assert "the quote is never closed" in str(caught.value.errors[0])


def test_unknown_extensions_are_named_up_to_a_limit() -> None:
    ruleset = loads(filter_of(*(f"-A INPUT -m foo{number} -j ACCEPT" for number in range(3000))))

    assert len(ruleset.warnings) == MAX_UNKNOWN + 1
    assert str(ruleset.warnings[-1]) == "... and 2990 more unknown extensions"
    assert len({type(rule.matches[0]) for rule in ruleset.rules()}) == 1


def test_lists_of_addresses_stand_for_a_limited_number_of_rules() -> None:
    """iptables-restore loads 261,121 rules from one such line of 2 KB (measured with 1.8.9)."""
    many = ",".join(["1"] * 511)
    with pytest.raises(DumpSyntaxError, match="expand to 261,121 rules"):
        loads(filter_of(f"-A INPUT -s {many} -d {many}"))


def test_lists_of_addresses_are_counted_together() -> None:
    hundred = ",".join(f"10.0.0.{number}" for number in range(100))
    line = f"-A INPUT -s {hundred} -d {hundred} -j DROP"
    assert sum(1 for _ in loads(filter_of(line)).rules()) == MAX_LISTED == 10_000
    with pytest.raises(DumpSyntaxError, match="up to here expand to 20,000 rules"):
        loads(filter_of(line, line))


def test_commands_that_search_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_lines, "MAX_SEARCHED", 10_000)
    rules = [f"-A INPUT -m mark --mark {number}" for number in range(100)]
    with pytest.raises(DumpErrors) as caught:
        loads(filter_of(*rules, *["-C INPUT -m mark --mark 99"] * 200))
    assert "search more than" in str(caught.value.errors[0])


def test_reading_leaves_the_collector_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden() -> None:
        raise AssertionError("the collector is the program's")

    for name in ("disable", "enable", "freeze", "unfreeze", "collect"):
        monkeypatch.setattr(gc, name, forbidden)
    loads(filter_of("-A INPUT -j DROP"))
    with pytest.raises(DumpSyntaxError):
        loads(filter_of("-A INPUT --foo"))


def test_refused_dumps_leave_nothing_behind() -> None:
    """Names that no extension has, each another one, are not kept for ever."""

    def refuse(number: int) -> None:
        with pytest.raises(DumpSyntaxError):
            loads(filter_of(f"-A INPUT -m foo{number} -j ACCEPT", "-A INPUT --bar"))

    for number in range(50):
        refuse(number)
    gc.collect()
    before = len(gc.get_objects())
    for number in range(50, 250):
        refuse(number)
    gc.collect()
    assert len(gc.get_objects()) - before < 200


def test_two_threads_read_at_once() -> None:
    text = filter_of(*(f"-A INPUT -s 10.0.0.{number} -j DROP" for number in range(200)))
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(dumps(loads(text)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 4


@pytest.mark.parametrize(
    "line",
    [
        '-A INPUT -m devgroup --src-group "x -s 10.0.0.0/8" -j DROP',
        '-A INPUT -m connlabel --label "a\\"b" -j DROP',
        '-A INPUT -m "x y" -j DROP',
        '-A INPUT -m "x y" --z "u v" -j DROP',
        '-A INPUT -i "eth0 -j" -j DROP',
        '-A INPUT -m set --match-set "a -s 1.2.3.4" src -j DROP',
        '-A "a\\"b" -j DROP',
        '-A INPUT -j "a\\"b"',
    ],
)
def test_quotes_are_printed_where_they_are_needed(line: str) -> None:
    text = HEAD + f':a"b - [0:0]\n{line}\nCOMMIT\n'
    assert dumps(loads(text)) == text
