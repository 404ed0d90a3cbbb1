"""Every option of every match, alone, on packets that the kernel says it holds for and does not hold for."""

from __future__ import annotations

import json
from random import Random

import pytest

from iptsim.extensions.base import Match
from iptsim.extensions.registry import all_extensions
from tests.kernel.extension_cases import NEVER_FALSE, NEVER_TRUE, UNTRIED, makers, verify
from tests.kernel.laboratory import missing
from tests.kernel.scenes import make_scene
from tests.kernel.verification import COUNTS

WITHOUT = missing()
TRIED = [
    pytest.param(
        module, option, negated, id=f"{module or 'parameters'} {'! ' if negated else ''}{option}".strip()
    )
    for (module, option), known in sorted(makers().items())
    for negated in ((False, True) if known[0].negatable else (False,))
]


@pytest.mark.kernel
@pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)
@pytest.mark.parametrize(("module", "option", "negated"), TRIED)
def test_an_option_alone(module: str, option: str, negated: bool) -> None:
    tally = verify(module, option, negated, brief=True)
    assert not tally.refused
    assert not tally.differs, tally.differs[0]
    place = (module, f"! {option}" if negated else option)
    assert (tally.true > 0, tally.false > 0) == (place not in NEVER_TRUE, place not in NEVER_FALSE)


@pytest.mark.parametrize(("module", "option", "negated"), TRIED)
def test_an_option_was_verified_at_length(module: str, option: str, negated: bool) -> None:
    place = (module, f"! {option}".strip() if negated else option)
    seen = json.loads(COUNTS.read_text("utf-8"))["options"][module or "parameters"][place[1]]
    assert seen["differs"] == 0
    assert (seen["true"] > 0, seen["false"] > 0) == (place not in NEVER_TRUE, place not in NEVER_FALSE)


def test_every_option_is_tried_or_said_not_to_be() -> None:
    written: set[tuple[str, str]] = set()
    for known in makers().values():
        for maker in known:
            scene = make_scene("router6" if maker.family == 6 else "router4")
            for seed in range(40):
                text = maker.clause(Random(seed), scene, False).text
                written |= {(maker.module, word) for word in text.split()}
    for extension in all_extensions():
        if not issubclass(extension, Match) or extension.name in UNTRIED:
            continue
        for option in extension.options:
            place = (extension.name, option.flag)
            assert place in written or place in UNTRIED, place


def test_every_exact_match_has_its_cases() -> None:
    exact = {one.name for one in all_extensions() if issubclass(one, Match) and one.status == "exact"}
    assert exact <= {module for module, _ in makers()}
    # a packet can't be without a comment; a pinned program and a length that nobody reads have no cases
    assert not NEVER_TRUE
    assert set(NEVER_FALSE) == {("comment", "--comment")}
    options = {what for what in UNTRIED if isinstance(what, tuple) and what[0] in exact}
    assert options == {("bpf", "--object-pinned"), ("frag", "--fraglen")}
