"""KUBE-MARK-DROP of a text that does not show it: what it marks, table filter drops.

kubelet writes both parts (pkg/kubelet/kubelet_network_linux.go, up to 1.26): nat KUBE-MARK-DROP sets the mark
0x8000/0x8000, and filter KUBE-FIREWALL, which INPUT and OUTPUT call, drops packets with this mark.
"""

from __future__ import annotations

import re

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.extensions.hidden import Hidden, is_gap
from iptsim.languages import message
from iptsim.paste.gap_rules import condition_not_shown, gap
from iptsim.paste.jumps import jumps
from iptsim.paste.pieces import RuleItem, plain_words

MARK_DROP, FIREWALL = "KUBE-MARK-DROP", "KUBE-FIREWALL"
_SETS = ("-j", "MARK", "--set-xmark", "0x8000/0x8000")
_DROPS = ("-m", "mark", "--mark", "0x8000/0x8000", "-j", "DROP")
_PERHAPS = condition_not_shown(
    message(
        "the rules of chain {chain}, not shown here, which drop what {marking} marks",
        chain=FIREWALL,
        marking=MARK_DROP,
    ),
    message("that {chain} drops for their mark", chain=FIREWALL),
    FIREWALL,
)


#: kube-proxy's chains for connections from outside, which end with KUBE-MARK-DROP in some cases.
_MAY_MARK = re.compile(r"KUBE-(?:XLB|FW)-[A-Z2-7]{16}")


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

    A chain INPUT that is shown, without these rules, stays as it is. A chain that is called but not shown, and that may
    mark packets, becomes a chain of unknown rules.
    """
    nat = ruleset.tables.get("nat")
    if nat is None or MARK_DROP in nat.chains:
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
    if not cut and MARK_DROP not in jumps(nat):
        return []
    made = [(nat, RuleItem(MARK_DROP, plain_words(_SETS), 0, " ".join(_SETS), position=0))]
    jump = ("-j", MARK_DROP)
    made += [
        (nat, RuleItem(name, plain_words(jump), 0, " ".join(jump), position=0, hidden=(_rest(name),)))
        for name in cut
    ]
    table = ruleset.tables.get("filter")
    if table is not None and any(
        table.chains[name].rules for name in BUILTIN_CHAINS["filter"] if name in table.chains
    ):
        return made
    table = table or ruleset.tables.setdefault("filter", Table("filter"))
    for name in ("INPUT", "OUTPUT"):
        made.append(
            (table, RuleItem(name, plain_words(_DROPS), 0, " ".join(_DROPS), position=0, hidden=(_PERHAPS,)))
        )
    return made
