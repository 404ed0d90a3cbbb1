"""The cut at blanks, which finds a line's shape, and the reading of usual lines agree with the grammar."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lark.exceptions import UnexpectedInput

from iptsim.dump import syntax
from iptsim.dump.words import split, unquote
from iptsim.grammar import folder, parser
from tests.strategies import line_text


def by_grammar(line: str) -> list[str] | None:
    """Return the words of a rule line by the grammar, None where it refuses the line."""
    try:
        rule = parser("dump").parse(line, start="line").children[0]
    except UnexpectedInput:
        return None
    return [unquote(str(word)) for word in rule.children]  # type: ignore[union-attr]


@settings(deadline=None)
@given(line_text)
@example('-m comment --comment "a \\"b\\" c" -j x')
@example('-m comment --comment "" -j x')
@example('a"b c"d')
@example('"open')
@example('"a\\"')
@example("a\\ b")
@example("\xa0 \x0b \r")
@example('a "b"c "d" "e"')
def test_same_words_as_the_grammar(text: str) -> None:
    line = f"-A {text}"
    fast, slow = split(line), by_grammar(line)

    assert fast == slow or fast is None


LINES = st.builds(
    "{}{}".format,
    st.sampled_from(["-A ", "[1:2] -A ", "[1:2]", "*", ":", ":A ", ":A B ", ":A - [0:0]", "COMMIT", "-", ""]),
    line_text | st.text('-:[]"\\ \t\r!*#aA12', max_size=12),
)


@settings(deadline=None)
@given(LINES)
@example('[5:300] -A FORWARD -i docker0 -m comment --comment "to the \\"world\\"" ! -s x -j ACCEPT')
@example(":FORWARD DROP [12:720]")
@example("*nat")
@example("COMMIT")
@example("-A x [1:2] y")
@example('-"a" b')
@example('-A "a""b"')
@example("- a")
def test_usual_lines_are_read_as_by_the_grammar(line: str) -> None:
    usual = syntax._usual(line)
    if usual is not None:
        assert usual == syntax._by_grammar(line, "x", 1)


@pytest.mark.parametrize(
    "line",
    [
        '[5:300] -A X -m comment --comment "a b" -j Y',
        "-A X -j Y",
        "*nat",
        "COMMIT",
        ":X - [0:0]",
        ":X DROP [1:2]",
    ],
)
def test_what_iptables_save_prints_is_usual(line: str) -> None:
    assert syntax._usual(line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        # read by iptables-restore 1.8.9, which printed the arguments in its errors
        ('-A INPUT --comment a"b c" -j ACCEPT', ["-A", "INPUT", "--comment", "ab c", "-j", "ACCEPT"]),
        ('-A INPUT a"b c"d', ["-A", "INPUT", "ab c", "d"]),
        ("-A INPUT 'a b'", ["-A", "INPUT", "'a", "b'"]),
        ('-A INPUT "a\\\\b\\"c"', ["-A", "INPUT", 'a\\b"c']),
        ("-A INPUT a\\ b", ["-A", "INPUT", "a\\", "b"]),
        ('-A INPUT ""', ["-A", "INPUT", ""]),
        ("-A \t INPUT  ", ["-A", "INPUT"]),
        ("-A INPUT a\xa0b", ["-A", "INPUT", "a\xa0b"]),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    assert split(line) == words
    assert by_grammar(line) == words


def test_grammar_is_strict() -> None:
    """No two rules or terminals of the grammar compete (Lark checks it with interegular)."""
    from lark import Lark

    Lark((folder() / "dump.lark").read_text(), parser="lalr", start=["dump", "line"], strict=True)


def test_grammar_reads_whole_dumps() -> None:
    text = (
        '# c\n*filter\n:INPUT ACCEPT [1:2]\n[3:4] -A INPUT -m comment --comment "a # b" -j ACCEPT\nCOMMIT\n'
    )
    tree = parser("dump").parse(text, start="dump")

    assert [line.children[0].data for line in tree.find_data("line")] == [  # type: ignore[union-attr]
        "comment",
        "table",
        "chain",
        "rule",
        "commit",
    ]


def test_option_is_no_prefix_of_another() -> None:
    """`--dports` is not `--dport` and an `s`; `--dport=80` is one word."""
    rule = parser("dump").parse("-A X --dports 80 --dport=80 -", start="line").children[0]

    assert [str(word) for word in rule.children] == ["-A", "X", "--dports", "80", "--dport=80", "-"]  # type: ignore[union-attr]
