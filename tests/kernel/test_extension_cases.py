"""Every option of every match, alone, on packets that the kernel says it holds for and does not hold for."""

from __future__ import annotations

import json
from random import Random

import pytest

from iptsim.extensions.base import Match
from iptsim.extensions.registry import all_extensions
from tests.kernel.extension_cases import NEVER_FALSE, NEVER_TRUE, UNTRIED, UNTRIED_TARGETS, makers, verify
from tests.kernel.laboratory import missing
from tests.kernel.remembering import CASES, SCENES, Memory, run
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


@pytest.mark.kernel
@pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text)
def test_a_match_that_remembers(case: Memory, scene: str) -> None:
    assert not run(case, scene).wrong


def test_matches_that_remember_were_verified() -> None:
    memories = json.loads(COUNTS.read_text("utf-8"))["memories"]
    assert {(module, words) for module, cases in memories.items() for words in cases} == {
        (case.module, case.words) for case in CASES
    }
    for module, cases in memories.items():
        assert not any(seen["differs"] for seen in cases.values())
        assert all(sum(seen[truth] for seen in cases.values()) for truth in ("true", "false")), module


def test_a_target_was_met_by_random_rules_or_is_said_not_to_be() -> None:
    met = {name.removeprefix("-j ") for name in json.loads(COUNTS.read_text("utf-8"))["fuzz"]}
    targets = {one.name for one in all_extensions() if not issubclass(one, Match)}
    assert targets - met == set(UNTRIED_TARGETS)


def test_every_option_is_tried_or_said_not_to_be() -> None:
    written = {(case.module, word) for case in CASES for word in case.words.split()}
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
    # a packet can't be without a comment; a pinned program and fields that the kernel does not read have no cases
    assert not NEVER_TRUE
    assert set(NEVER_FALSE) == {("comment", "--comment")}
    options = {what for what in UNTRIED if isinstance(what, tuple) and what[0] in exact}
    assert options == {("bpf", "--object-pinned"), ("frag", "--fraglen"), ("ipcomp", "--compres")}
