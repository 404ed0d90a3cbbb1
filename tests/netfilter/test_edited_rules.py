"""A host after a few commands is walked as if its rules had been read as a whole."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from iptsim.dump import dumps, loads
from iptsim.dump.ruleset import Chain
from iptsim.errors import IptsimError, RulesetError
from iptsim.netfilter import chain_rules
from iptsim.netfilter.walk import Simulator
from iptsim.question.model import Question
from tests.netfilter.random_rules import random_fields, random_host
from tests.netfilter.test_chain_index import told
from tests.thoroughness import first_ones


def command(random: Random, chain: Chain, others: list[Chain]) -> str:
    """Return a command that edits a chain, with rules that exist somewhere in its table."""
    rules = [rule.specification for one in others for rule in one.rules]
    kind, place = random.choice("IIARDDP"), random.randint(1, max(len(chain.rules), 1))
    if kind == "P" and chain.builtin and chain.table != "nat":
        return f"-P {chain.name} {random.choice(('ACCEPT', 'DROP'))}"
    if kind == "D" and chain.rules:
        words = random.choice(chain.rules).specification
        return f"-D {chain.name} {random.choice((place, words))}"
    if kind == "R" and chain.rules:
        return f"-R {chain.name} {place} {random.choice(rules)}"
    return (
        f"-A {chain.name} {random.choice(rules)}"
        if kind == "A"
        else f"-I {chain.name} {place} {random.choice(rules)}"
    )


@pytest.mark.parametrize("seed", first_ones(range(60), 12))
def test_edits_and_whole_rules_agree(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_rules, "_INDEX_FROM", 1)
    monkeypatch.setattr(chain_rules, "_INDEX_AFTER", 0)
    random = Random(seed)
    host = random_host(random)
    before = Simulator(host)
    questions = [random_fields(random) for _ in range(12)]
    answers = 0
    for _ in range(6):
        ruleset = host.rulesets[4]
        for _ in range(random.randint(1, 3)):
            table = random.choice([one for one in ruleset.tables.values() if any(one.rules())])
            chains = list(table.chains.values())
            line = command(random, random.choice(chains), chains)
            try:
                ruleset = loads(f"*{table.name}\n{line}\nCOMMIT\n", onto=ruleset)
            except IptsimError:
                continue
        whole = loads(dumps(ruleset))
        if [rule.refused != "" for rule in whole.rules()] != [rule.refused != "" for rule in ruleset.rules()]:
            continue  # a rule that the kernel rejected once stays so
        hosts = [replace(host, rulesets={**host.rulesets, 4: rules}) for rules in (ruleset, whole)]
        try:
            fresh = Simulator(hosts[1])
        except RulesetError:  # a loop
            with pytest.raises(RulesetError):
                Simulator(hosts[0], like=before)
            continue
        edited = Simulator(hosts[0], like=before)
        for fields in questions:
            result, expected = answer(edited, fields), answer(fresh, fields)
            assert result == expected
            answers += not isinstance(result, str)
    assert answers


def answer(simulator: Simulator, fields: dict[str, Any]) -> Any:
    """Return what a walk shows, without the notes, which name lines of the dump."""
    try:
        trace = simulator.walk(Question(**fields))
    except IptsimError as error:
        return re.sub(r"line \d+|[^ ]+:\d+:", "", str(error))
    shown = told(trace)
    return [*shown[:5], *shown[6:]] if not trace.branches else (trace.verdict, shown[1])
