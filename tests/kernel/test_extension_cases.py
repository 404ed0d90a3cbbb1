"""Every option of every match, alone, on packets that the kernel says it holds for and does not hold for."""

from __future__ import annotations

import pytest

from iptsim.extensions.base import Match
from iptsim.extensions.registry import all_extensions
from tests.kernel.clauses import MAKERS
from tests.kernel.extension_cases import NEVER_FALSE, NEVER_TRUE, UNTRIED, makers, verify
from tests.kernel.laboratory import missing

WITHOUT = missing()
TRIED = [
    pytest.param(module, option, negated, id=f"{module or 'parameters'} {'! ' if negated else ''}{option}".strip())
    for (module, option), known in sorted(makers().items())
    for negated in ((False, True) if known[0].negatable else (False,))
]


@pytest.mark.kernel
@pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)
@pytest.mark.parametrize(("module", "option", "negated"), TRIED)
def test_an_option_alone(module: str, option: str, negated: bool) -> None:
    tally = verify(module, option, negated)
    assert not tally.refused
    assert not tally.differs, tally.differs[0]
    place = (module, f"! {option}" if negated else option)
    assert (tally.true > 0, tally.false > 0) == (place not in NEVER_TRUE, place not in NEVER_FALSE)


def test_every_option_is_tried_or_said_not_to_be() -> None:
    tried = {(maker.module, maker.option) for maker in MAKERS}
    words = {(maker.module, word) for maker in MAKERS for word in (*maker.before.split(), *maker.mentions)}
    known = {
        (extension.name, option.flag)
        for extension in all_extensions()
        if issubclass(extension, Match)
        for option in extension.options
    }
    assert sorted(known - tried - words - {place for place in known if place in UNTRIED or place[0] in UNTRIED}) == []
