"""Text -> Ruleset -> text, and Ruleset -> text -> Ruleset, lose nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iptsim.dump import dumps, load, loads
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import IptsimError
from tests.strategies import rulesets
from tests.thoroughness import property_tests

FIXTURES = Path(__file__).parents[2] / "fixtures" / "captures"
DUMPS = sorted(FIXTURES.glob("**/ip*tables-save.txt"))


@pytest.mark.parametrize(
    "file", DUMPS, ids=lambda file: f"{file.parent.parent.name}-{file.parent.name}-{file.name}"
)
def test_real_dumps_come_back_word_for_word(file: Path) -> None:
    assert DUMPS
    ruleset = load(file)

    assert dumps(ruleset) == file.read_text()
    assert ruleset.warnings == []


def check_made(ruleset: Ruleset) -> None:
    """What is printed reads as what prints so; iptables fills in defaults, so the first reading may differ."""
    text = dumps(ruleset)
    read = loads(text, family=ruleset.family)

    assert dumps(read) == text
    assert loads(text, family=ruleset.family) == read


test_made_rulesets_come_back, test_many_made_rulesets_come_back = property_tests(
    check_made, given(rulesets()), 30, 200
)


def check_shapes(ruleset: Ruleset) -> None:
    """A rule reads the same whether its shape was seen before or not."""
    lines = dumps(ruleset, counters=False).splitlines()
    doubled = [copy for line in lines for copy in ([line, line] if line.startswith("-A") else [line])]
    read = loads("\n".join(doubled) + "\n", family=ruleset.family)

    for table in read.tables.values():
        first, second = table.chains["made"].rules
        assert (first.parameters, first.matches, first.target) == (
            second.parameters,
            second.matches,
            second.target,
        )
        assert (first.position, second.position) == (1, 2)


test_known_shapes_read_as_unknown_ones_do, test_many_known_shapes_read_as_unknown_ones_do = property_tests(
    check_shapes, given(rulesets()), 25, 200
)


def check_damage(data: st.DataObject) -> None:
    """Nothing that is done to a dump gives another exception than an IptsimError."""
    text = data.draw(st.sampled_from(SMALL))
    words = sorted({word for dump in SMALL for word in dump.split()})
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 20))
        new = data.draw(
            st.sampled_from(words) | st.text(max_size=3) | st.sampled_from(['"', "\\", "\n", " ", "!", "-"])
        )
        text = text[:at] + new + text[at + cut :]
    try:
        ruleset = loads(text, lenient=data.draw(st.booleans()))
    except IptsimError:
        return
    assert dumps(loads(dumps(ruleset), family=ruleset.family)) == dumps(ruleset)


test_damaged_dumps_give_errors_that_are_meant, test_many_damaged_dumps_give_errors = property_tests(
    check_damage, given(st.data()), 60, 600
)

SMALL = [text for text in (file.read_text() for file in DUMPS) if len(text) < 4000]
