"""Rules of one shape, of which only the first is parsed with the grammar, against the grammar for each."""

from itertools import product

import pytest
from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from iptsim.grammar import parser
from iptsim.paste import nft_shapes
from iptsim.paste.nft_shapes import Shapes

_RULES = (
    "ip saddr {0} tcp dport {0} accept",
    "ip frag-off & {1} != 0 drop",
    "tcp flags & (fin | syn) == {1} drop",
    "ip6 daddr {0} counter packets {1} bytes {1} drop",
    "numgen random mod {1} vmap {{ 0 : goto {0}, 1 : goto web }}",
    "queue num {1}",
    'iifname "a {1} b" ip saddr {{ {0}, 10.0.0.1 }} log prefix "{0}" comment "{1}"',
    "meta mark {1} jump {0}",
    "meta nftrace set {1}",
)
_TEXTS = ("192.0.2.1", "10.1.0.0/16", "2001:db8::1", "web", "9")
_NUMBERS = ("0", "1", "80", "8191", "99999", "1234567", "12345678901", "0x00001fff", "0x00000000")


@pytest.mark.parametrize("rule", _RULES)
def test_the_tree_is_that_of_the_grammar(rule: str) -> None:
    shapes = Shapes()
    for text, number in product(_TEXTS, _NUMBERS):
        line = rule.format(text, number)
        try:
            expected = parser("nft").parse(line)
        except UnexpectedInput:
            with pytest.raises(UnexpectedInput):
                shapes.parse(line)
            continue
        found = shapes.parse(line)
        assert found == expected, line
        assert _types(found) == _types(expected), line


def test_the_grammar_parses_one_rule_of_a_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    real = parser("nft")

    class Counting:
        def parse(self, text: str) -> object:
            parsed.append(text)
            return real.parse(text)

    monkeypatch.setattr(nft_shapes, "parser", lambda _: Counting())
    shapes = Shapes()
    for number in range(1, 30):
        shapes.parse(f'ip saddr 10.0.0.{number} tcp dport {number} jump web-{number} comment "rule {number}"')
    assert len(parsed) == 1


def _types(tree: Tree[Token]) -> list[str]:
    return [token.type for token in tree.scan_values(lambda one: isinstance(one, Token))]
