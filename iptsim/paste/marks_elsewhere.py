"""Marks that the rules of a text test, but that only tables can set which the text does not show.

Rules set marks in table mangle, mostly: a listing of table filter alone does not tell which packets carry them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.extensions.base import Match
from iptsim.extensions.hidden import SHOW, Hidden, is_gap
from iptsim.extensions.marks import MarkChange, change_text
from iptsim.extensions.matches.connmark import Connmark
from iptsim.extensions.matches.mark import Mark
from iptsim.extensions.values import MaskedNumber
from iptsim.languages import message
from iptsim.owners.chain_owners import chain_owners
from iptsim.paste.gap_rules import condition_not_shown, gap
from iptsim.paste.jumps import jumps
from iptsim.paste.pieces import RuleItem, plain_words

#: Each mark that a rule sets doubles the ways of a packet; of more of them, only the tests are unknown.
_MOST = 3
_MARK_DROP, _FIREWALL = "KUBE-MARK-DROP", "KUBE-FIREWALL"
_SETS = ("-j", "MARK", "--set-xmark", "0x8000/0x8000")
_DROPS = ("-m", "mark", "--mark", "0x8000/0x8000", "-j", "DROP")
_PERHAPS_DROPPED = condition_not_shown(
    message(
        "the rules of chain {chain}, not shown here, which drop what {marking} marks",
        chain=_FIREWALL,
        marking=_MARK_DROP,
    ),
    message("that {chain} drops for their mark", chain=_FIREWALL),
    _FIREWALL,
)
#: kube-proxy's chains for connections from outside, which end with KUBE-MARK-DROP in some cases.
_MAY_MARK = re.compile(r"KUBE-(?:XLB|FW)-[A-Z2-7]{16}")


class _Tested(NamedTuple):
    """A mark that a rule tests: of the packet, or of its connection."""

    target: str
    mark: MaskedNumber


def rules_of_hidden_marks(ruleset: Ruleset) -> list[tuple[Table, RuleItem]]:
    """Return rules of table mangle that perhaps set the marks that rules of the user's test.

    Known programs set the marks that their own chains test, for packets of their own.
    """
    if "mangle" in ruleset.tables:
        return []
    written = [rule.target for rule in ruleset.rules() if isinstance(rule.target, MarkChange)]
    tested = [
        one
        for one in dict.fromkeys(_tested(ruleset))
        if not any(_may_set(target, one.mark) for target in written)
    ]
    if len(tested) > _MOST:
        _hide_tests(ruleset, tested)
        return []
    if not tested:
        return []
    mangle = ruleset.tables["mangle"] = Table("mangle")
    return [(mangle, _perhaps(one, place)) for one in tested for place in ("PREROUTING", "OUTPUT")]


def _tested(ruleset: Ruleset) -> Iterator[_Tested]:
    owners = chain_owners(ruleset)
    for rule in ruleset.rules():
        for match in rule.matches:
            if (mark := _mark(match)) is not None and owners.rule(rule) == "user":
                yield mark


def _hide_tests(ruleset: Ruleset, tested: Collection[_Tested]) -> None:
    """Make the result of each test of a mark unknown."""
    owners = chain_owners(ruleset)
    for table in ruleset.tables.values():
        for chain in table.chains.values():
            for place, rule in enumerate(chain.rules):
                if owners.rule(rule) == "user" and any(_mark(match) in tested for match in rule.matches):
                    matches = tuple(
                        _unknown(match) if _mark(match) in tested else match for match in rule.matches
                    )
                    chain.rules[place] = replace(rule, matches=matches)


def _mark(match: Match) -> _Tested | None:
    """Return the mark that a match tests, if any."""
    if not isinstance(match, Mark | Connmark) or not match.mark.value:
        return None
    return _Tested("MARK" if isinstance(match, Mark) else "CONNMARK", match.mark)


def _unknown(match: Match) -> Hidden:
    """Return the test of a mark as one whose result is unknown."""
    assert isinstance(match, Mark | Connmark)
    return Hidden(
        words=f"-m {match.name} {match.save()}",
        reason=message(
            "whether table mangle, which is not shown, sets the mark {mark}", mark=str(match.mark)
        ),
        settle=SHOW,
        place=("mark", match.name, match.save()),
        told=match.says(),
    )


def _may_set(target: MarkChange, mark: MaskedNumber) -> bool:
    """Return whether a target writes bits of a mark: of the packet or of the connection, which are copied often."""
    change = target.change
    return change is None or bool((change.mask | change.value) & mark.mask)


def _perhaps(tested: _Tested, chain: str) -> RuleItem:
    """Return the rule that sets a mark if the packet has it."""
    words = ("-j", tested.target, "--set-xmark", change_text(tested.mark))
    unknown: Hidden = condition_not_shown(
        message("whether table mangle, which is not shown, sets the mark {mark}", mark=str(tested.mark)),
        message("that table mangle, not shown, gives the mark {mark}", mark=str(tested.mark)),
        "mark",
        tested.target,
        str(tested.mark),
    )
    return _made(chain, words, unknown)


def _made(chain: str, words: Sequence[str], *hidden: Hidden) -> RuleItem:
    """Return a rule that the text does not show."""
    return RuleItem(chain, plain_words(words), 0, " ".join(words), position=0, hidden=hidden)


def _rest(chain: str) -> Hidden:
    """Return what is not known of a chain that is cut off."""
    return condition_not_shown(
        message("the rules of chain {chain} that are not shown", chain=chain),
        message("that {chain} drops for their mark", chain=chain),
        "rest",
        chain,
    )


def rules_of_marks(ruleset: Ruleset) -> list[tuple[Table, RuleItem]]:
    """Return the rules that mark packets and drop them, where other rules that are shown need them.

    kubelet writes both parts (pkg/kubelet/kubelet_network_linux.go, up to 1.26): nat KUBE-MARK-DROP sets the mark
    0x8000/0x8000, and filter KUBE-FIREWALL, which INPUT and OUTPUT call, drops packets with this mark.

    A chain INPUT that is shown, without these rules, stays as it is. A chain that is called but not shown, and that may
    mark packets, becomes a chain of unknown rules.
    """
    nat = ruleset.tables.get("nat")
    if nat is None or _MARK_DROP in nat.chains:
        return []
    for name in jumps(nat):
        if _MAY_MARK.fullmatch(name) and name not in nat.chains:
            hidden = nat.chains[name] = Chain(nat.name, name, declared=False)
            hidden.rules.append(gap(nat.name, name, 0, hidden_chain=True))
    cut = [
        name
        for name, chain in nat.chains.items()
        if _MAY_MARK.fullmatch(name) and any(is_gap(rule.target) for rule in chain.rules)
    ]
    if not cut and _MARK_DROP not in jumps(nat):
        return []
    made = [(nat, _made(_MARK_DROP, _SETS))]
    made += [(nat, _made(name, ("-j", _MARK_DROP), _rest(name))) for name in cut]
    table = ruleset.tables.get("filter")
    if table is not None and any(
        table.chains[name].rules for name in BUILTIN_CHAINS["filter"] if name in table.chains
    ):
        return made
    table = table or ruleset.tables.setdefault("filter", Table("filter"))
    return made + [(table, _made(name, _DROPS, _PERHAPS_DROPPED)) for name in ("INPUT", "OUTPUT")]
