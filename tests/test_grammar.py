"""The parsers: their tables are ready, and a parser from tables reads the same as one that is built."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark.exceptions import UnexpectedInput

from iptsim import grammar
from iptsim.dump import loads
from iptsim.errors import DumpSyntaxError
from iptsim.extensions.matches.comment import Comment
from iptsim.extensions.matches.conntrack import STATES
from iptsim.extensions.matches.multiport import PORT_LIST
from iptsim.extensions.nat import NAT_PORTS, NAT_RANGE, NAT_SOURCE
from iptsim.extensions.options import Value
from iptsim.extensions.parameters import INTERFACE
from iptsim.extensions.rates import RATE
from iptsim.extensions.values import MARK, NETWORK, PORT_RANGE, choices
from tests.strategies import POOL


@pytest.fixture
def fresh() -> Iterator[None]:
    grammar.parser.cache_clear()
    yield
    grammar.parser.cache_clear()


@pytest.mark.parametrize("name", grammar.STARTS)
def test_tables_are_ready_for_the_locked_lark(name: str) -> None:
    """`python -m tests.tables` writes them."""
    assert grammar.ready_file(name).exists()


@pytest.mark.parametrize("name", grammar.STORED)
def test_stored_patterns_are_those_of_the_grammar(name: str) -> None:
    """`python -m tests.tables` writes them."""
    stored = json.loads(grammar.patterns_file(name).read_text("utf-8"))
    assert stored == {symbol: grammar.expression(name, symbol) for symbol in grammar.STORED[name]}


def test_a_usual_dump_is_read_without_lark() -> None:
    text = "*filter\n:INPUT DROP [0:0]\n[1:2] -A INPUT -s 10.0.0.0/8 -p tcp --dport 80 -j ACCEPT\nCOMMIT\n"
    code = f"import sys; from iptsim.dump import loads; loads({text!r}); sys.exit('lark' in sys.modules)"
    assert not subprocess.run([sys.executable, "-c", code], check=False).returncode


def test_without_tables_the_parser_is_built(
    monkeypatch: pytest.MonkeyPatch, fresh: object, tmp_path: Path
) -> None:
    monkeypatch.setattr(grammar, "ready_file", lambda name: tmp_path / "none")
    assert len(list(loads("*filter\n-A INPUT -j DROP\nCOMMIT\n").rules())) == 1


def test_tables_and_built_parsers_read_alike() -> None:
    line = '[1:2] -A INPUT ! -i lo -m comment --comment "a b" -j DROP'
    assert grammar.parser("dump").parse(line, start="line") == grammar.build("dump").parse(line, start="line")


VALUES = st.text("0123456789abfxABFX+,:/-.[] httpSYN", max_size=24)
VALUES_WITH_FORM = (
    NETWORK,
    PORT_RANGE,
    PORT_LIST,
    NAT_RANGE,
    NAT_SOURCE,
    NAT_PORTS,
    INTERFACE,
    MARK,
    RATE,
    choices("states", STATES),
)


@pytest.mark.parametrize("start", grammar.STARTS["values"])
@given(text=VALUES)
def test_the_pattern_of_a_language_accepts_what_its_parser_does(start: str, text: str) -> None:
    try:
        grammar.parser("values").parse(text, start=start)
        parsed = True
    except UnexpectedInput:
        parsed = False
    assert (grammar.pattern("values", start).fullmatch(text) is not None) is parsed


@pytest.mark.parametrize("family", [4, 6])
@given(text=st.one_of(VALUES, st.sampled_from(POOL)))
def test_what_an_option_reads_is_of_its_language(family: int, text: str) -> None:
    for value in VALUES_WITH_FORM:
        try:
            value.read((text,), family)
        except ValueError:
            continue
        grammar.check_form(value.form.format(family=family), text)


PLAIN = [
    (value, family, value.plain.format(family=family))
    for value in (
        NETWORK,
        NAT_RANGE,
        NAT_SOURCE,
        *(option.value for option in Comment.options if option.value),
    )
    for family in (4, 6)
]


@pytest.mark.parametrize(("value", "family", "start"), PLAIN)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_plain_value_is_right_whatever_it_says(
    value: Value, family: int, start: str, data: st.DataObject
) -> None:
    check_plain(value, family, start, data)


@pytest.mark.thorough
@pytest.mark.parametrize(("value", "family", "start"), PLAIN)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_many_plain_values_are_right(value: Value, family: int, start: str, data: st.DataObject) -> None:
    check_plain(value, family, start, data)


def check_plain(value: Value, family: int, start: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(grammar.pattern("values", start), fullmatch=True))
    value.read((text,), family)  # refuses none


@pytest.mark.parametrize(
    ("start", "text"),
    [
        ("plain_network_4", "10.0.0.256"),
        ("plain_network_4", "10.0.0.0/33"),
        ("plain_network_4", "010.0.0.1"),
        ("plain_network_6", "1:2:3:4:5::6:7:8"),
        ("plain_network_6", "::1/129"),
        ("plain_nat_range_4", "10.0.0.1:65536"),
        ("plain_nat_range_4", "10.0.0.1:080"),
        ("plain_nat_range_4", "10.0.0.1:http"),
    ],
)
def test_other_values_are_read(start: str, text: str) -> None:
    assert not grammar.pattern("values", start).fullmatch(text)


@pytest.mark.parametrize(
    ("start", "text", "at", "message"),
    [
        ("port_range", "80:90:100", 5, "unexpected ':100'"),
        ("mark", "0x1/0xfg", 7, "unexpected 'g'"),
        ("mark", "1/", 2, "the value is incomplete"),
        ("rate", "10/5", 3, "unexpected '5'"),
        ("words", "NEW,,RELATED", 4, "unexpected ',RELATED'"),
        ("network", "10.0.0.0/8/8", 10, "unexpected '/8'"),
        ("port_list", "80,443,,8080", 7, "unexpected ',8080'"),
        ("port_list", "80,1:2:3", 6, "unexpected ':3'"),
        ("nat_range_4", "10.0.0.1:80:90", 11, "unexpected ':90'"),
        ("nat_range_4", "10.0.0.1-", 9, "the value is incomplete"),
        ("nat_range_6", "[2001:db8::1]80", 13, "unexpected '80'"),
        ("nat_range_6", "[2001:db8::1", 12, "the value is incomplete"),
        ("nat_ports", "80-90-100", 5, "unexpected '-100'"),
        ("interface", "br-0123456789abcdef", 15, "unexpected 'cdef'"),
    ],
)
def test_errors_tell_where_a_value_goes_wrong(start: str, text: str, at: int, message: str) -> None:
    with pytest.raises(grammar.Malformed) as caught:
        grammar.check_form(start, text)
    assert (caught.value.at, str(caught.value)) == (at, message)


def test_the_caret_stands_where_a_value_goes_wrong() -> None:
    with pytest.raises(DumpSyntaxError) as caught:
        loads("*filter\n-A INPUT -p tcp --dport 80:90:100 -j DROP\nCOMMIT\n", source="x")
    assert str(caught.value).split("\n")[:3] == [
        "x:2:30: unexpected ':100'",
        "    -A INPUT -p tcp --dport 80:90:100 -j DROP",
        "                                 ^~~~",
    ]
