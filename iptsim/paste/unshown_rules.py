"""Completes a table with placeholders for the chains and rules that a text does not show."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain
from iptsim.extensions.hidden import SHOW, Hidden, is_gap
from iptsim.extensions.registry import find_target
from iptsim.languages import message
from iptsim.paste.callers import callers, conditions_of_jump
from iptsim.paste.gap_rules import gap, open_ends
from iptsim.paste.jumps import jumps, make_unknown, open_beginnings, unknown_chains, without_offloading
from iptsim.paste.pieces import ACCEPT_REPLIES, GapItem, RuleItem, plain_words
from iptsim.paste.shown_table import ShownTable
from iptsim.paste.table_inference import may_stand_in

#: Chains to which a rule without a chain may belong.
_ANY_CHAIN = {"filter": ("INPUT", "FORWARD", "OUTPUT"), "nat": ("PREROUTING", "POSTROUTING")}
#: The only packets that rules of a program's chain match. Tailscale: util/linuxfw, iptables_runner.go; its port varies.
_CONCERNED = {
    (4, "filter", "ts-input"): ("-i tailscale+", "-s 100.64.0.0/10", "-p udp"),
    (6, "filter", "ts-input"): ("-i tailscale+", "-s fd7a:115c:a1e0::/48", "-p udp"),
    (4, "filter", "ts-forward"): ("-i tailscale+", "-o tailscale+"),
    (6, "filter", "ts-forward"): ("-i tailscale+", "-o tailscale+"),
    (4, "nat", "ts-postrouting"): ("-m mark --mark 0x40000/0xff0000",),
    (6, "nat", "ts-postrouting"): ("-m mark --mark 0x40000/0xff0000",),
}


def open_chains(shown: ShownTable) -> None:
    """Complete the chains that the text shows in part."""
    _place_homeless(shown)
    if (piece := shown.piece) is not None:
        open_ends(shown.table, piece.filtered, shown.policies, headless=piece.headless)


def complete(shown: ShownTable, of_other_family: Collection[str] = ()) -> None:
    """Add what the chains of a table call, what calls them, and the built-in chains that are not shown.

    Args:
        shown: the table.
        of_other_family: the chains of the same table of the other address family: commands that name only others
            are not all that sets up this family.
    """
    table, piece = shown.table, shown.piece
    for chain in table.chains.values():
        item = shown.perhaps.get(chain.name)
        if item is not None:
            reason = item.hidden[0].reason
            chain.rules.append(gap(table.name, chain.name, item.line, policy=True, reason=reason))
    if shown.is_listed and table.lacks_rules:
        last = next(chain for chain in reversed(table.chains.values()) if chain.rules)
        shown.add_gap(GapItem(last.name, last.rules[-1].line, "", later=True))
    _add_callers(shown)
    _add_replies(shown)
    if shown.is_printed:
        _hide_chains(shown, unknown_chains(table, dumped=shown.is_dump))
    elif table.name == "filter" and "" not in shown.known:
        missing = unknown_chains(table, dumped=False)
        _hide_chains(shown, [name for name in missing if name in of_other_family])
    without_offloading(table)
    for name in [name for name in jumps(table) if name not in table.chains]:
        if find_target(name, 4) or find_target(name, 6):
            make_unknown(table, name)
        else:
            chain = table.chains[name] = Chain(table.name, name, declared=False)
            if piece is None or not piece.traced:
                chain.rules += _hidden_rules(shown, chain)


def _hidden_rules(shown: ShownTable, chain: Chain) -> Iterator[Rule]:
    """Yield a placeholder for the rules of a chain that is not shown, or one for each kind of packet they match."""
    hidden = gap(chain.table, chain.name, 0, hidden_chain=True)
    kinds = _CONCERNED.get((shown.family, chain.table, chain.name))
    if kinds is None:
        yield hidden
    for options in kinds or ():
        item = RuleItem(chain.name, plain_words(options.split()), 0, "")
        yield from (replace(rule, target=hidden.target) for rule in shown.made(item, chain))


def _place_homeless(shown: ShownTable) -> None:
    """Put rules without a chain where they may belong: into each of the built-in chains."""
    table, items = shown.table, shown.homeless
    if not items:
        return
    built_in = _ANY_CHAIN.get(table.name, BUILTIN_CHAINS[table.name])
    free = [name for name in built_in if name not in table.chains]
    for name in free:
        fitting = [item for item in items if may_stand_in(name, item, shown.family)]
        if not fitting:
            continue
        chain = shown.home(name, items[0].line)
        chain.rules.append(gap(table.name, name, items[0].line))
        unknown = Hidden(
            words="in ?",
            reason=message("the chain of the rule, which is not shown"),
            settle=SHOW,
            place=("chain", name),
            told=message("if the rule is in this chain"),
        )
        for item in fitting:
            hidden = item.hidden if free == [name] else (*item.hidden, unknown)
            placed = item._replace(chain=name, hidden=hidden, position=item.position or 0)
            shown.add_rule(placed)
        chain.rules.append(gap(table.name, name, items[-1].line, policy=True))


def _add_callers(shown: ShownTable) -> None:
    """Make chains of well-known programs reachable if the rules that call them are not shown."""
    if shown.is_file:
        return  # a file for iptables-restore is complete
    table = shown.table
    called, added = set(jumps(table)), set[str]()
    for name, places in list(callers(table)):
        chain = table.chains[name]
        if name in called or chain.references == 0:
            continue
        options, hidden = conditions_of_jump(table.name, name)
        words = plain_words((*options, "-j", name))
        for place in places:
            jump = RuleItem(place, words, chain.line, f"-j {name}", position=0, hidden=hidden)
            _add_caller(shown, jump)
            added.add(place)
    open_beginnings(table, added)


def _add_replies(shown: ShownTable) -> None:
    """Put Docker's rule for replies to a bridge before the one for what leaves it, if FORWARD is shown in part.

    Until Docker 28 it writes both for each network (:mod:`iptsim.docker.dockerd.generation_20_10`).
    """
    chain = shown.table.chains.get("FORWARD")
    if shown.table.name != "filter" or chain is None or not (chain.rules and is_gap(chain.rules[-1].target)):
        return
    answered = {rule.parameters.out_interface for rule in chain.rules if not rule.parameters.in_interface}
    for rule in list(chain.rules):
        bridge = rule.parameters.in_interface
        if (
            bridge is None
            or bridge in answered
            or rule.text != f"-A FORWARD -i {bridge} ! -o {bridge} -j ACCEPT"
        ):
            continue
        words = plain_words(["-o", bridge, *ACCEPT_REPLIES])
        item = RuleItem("FORWARD", words, rule.line, "")
        place = next(at for at, one in enumerate(chain.rules) if one is rule)
        chain.rules[place:place] = shown.made(item, chain)


def _add_caller(shown: ShownTable, jump: RuleItem) -> None:
    """Add a rule that calls a chain, unless the chain where it should be is shown as a whole."""
    assert jump.chain is not None
    table = shown.table
    known = table.chains.get(jump.chain)
    if known is None:
        shown.add_rule(jump)
        if table.name != "nat":
            table.chains[jump.chain].rules.append(gap(table.name, jump.chain, jump.line, policy=True))
    elif known.rules and is_gap(known.rules[-1].target):
        rest = known.rules.pop()
        shown.add_rule(jump)
        known.rules.append(rest)
        if known.rules and not is_gap(known.rules[0].target):
            known.rules.insert(0, gap(table.name, known.name, jump.line))
    elif not known.declared and known.name not in BUILTIN_CHAINS[table.name]:
        shown.add_rule(jump)  # only a part of a dump shows the chain


def _hide_chains(shown: ShownTable, names: Iterable[str]) -> None:
    table = shown.table
    for name in names:
        chain = table.chains[name] = Chain(table.name, name, "ACCEPT", declared=False)
        chain.rules.append(shown.hidden(chain, 0, hidden_chain=True))
