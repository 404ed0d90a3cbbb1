"""The rules that log and TRACE lines prove to exist, for texts without rules; nothing beyond the proof is assumed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.host.logged_lines import LoggedLine, Visit
from iptsim.owners.log_prefixes import logged_by
from iptsim.paste.pieces import ACCEPT_REPLIES, ChainItem, CommandItem, GapItem, RuleItem, Rules, made_words

#: Placeholder for an unknown target of a rule.
UNKNOWN = "?"
_SHOWN = ("INPUT", "FORWARD", "OUTPUT")
_FLUSHES = (["-F"], ["--flush"])


def rules_of(logged: Sequence[LoggedLine], shown: set[tuple[int, str]]) -> list[Rules]:
    """Return the rules that logged lines prove, unless the text shows the table (for TRACE) or the family.

    Args:
        logged: the lines.
        shown: the tables with rules in the text, by family and name.
    """
    found: list[Rules] = []
    for family in dict.fromkeys(one.family for one in logged):
        own = [one for one in logged if one.family == family]
        traced = [one for one in own if one.visit is not None]
        if traced:
            found += [rules for rules in _of_trace(traced) if (family, rules.table) not in shown]
        elif not any(known == family for known, _ in shown):
            found.append(_of_log(own))
    return found


def add_logged(parts: Sequence[Rules], logged: Sequence[LoggedLine]) -> None:
    """Add the rules that log lines prove to parts of table filter, in built-in chains of which they show nothing.

    Commands that flush the whole table remove them, too.
    """
    items = [item for part in parts for item in part.items]
    if not parts or any(isinstance(item, CommandItem) and item.texts in _FLUSHES for item in items):
        return
    shown = {item.name if isinstance(item, ChainItem) else item.chain for item in items}
    for hook in _SHOWN:
        own = [one for one in logged if one.hook == hook and one.visit is None and one.verdict is not None]
        if own and hook not in shown:
            parts[0].items += [
                *(rule for one in _each_once(own) for rule in _logging(one)),
                GapItem(hook, 0, ""),
            ]


def changed_by(commands: Sequence[Rules], logged: Sequence[LoggedLine]) -> list[Rules]:
    """Return the rules of well-known programs that log lines prove, in the built-in chains that commands change.

    All these programs accept replies first. Commands that flush the table remove them.
    """
    items = [item for part in commands for item in part.items if isinstance(item, CommandItem)]
    if any(item.texts in _FLUSHES for item in items):
        return []
    chains = {item.chain for item in items}
    own = [
        one
        for one in logged
        if one.hook in chains and one.visit is None and one.verdict is not None and logged_by(one.prefix)
    ]
    hooks = dict.fromkeys(one.hook for one in own)
    replies = [
        RuleItem(hook, made_words(ACCEPT_REPLIES), own[0].line, " ".join(ACCEPT_REPLIES)) for hook in hooks
    ]
    proved = [*replies, *(rule for one in _each_once(own) for rule in _logging(one))]
    gaps = [GapItem(hook, 0, "") for hook in hooks]
    return [Rules("filter", commands[0].family, [*proved, *gaps], fragment=True)] if own else []


def _each_once(logged: Iterable[LoggedLine]) -> Iterable[LoggedLine]:
    """Return one of the lines that prove the same rules."""
    return {(one.hook, one.prefix, one.conditions): one for one in logged}.values()


def nothing_shown(family: int = 4) -> Rules:
    """Return an empty filter table in which everything is unknown."""
    rules = Rules("filter", 6 if family == 6 else 4, fragment=True)
    for chain in _SHOWN:
        rules.items.append(GapItem(chain, 0, ""))
    return rules


def _of_log(logged: Sequence[LoggedLine]) -> Rules:
    """Return the LOG rules that wrote lines, each followed by the rule that its prefix suggests."""
    rules = nothing_shown(logged[0].family)
    for one in logged:
        rules.items[0:0] = _logging(one)
    return rules


def _logging(one: LoggedLine) -> list[RuleItem]:
    """Return the LOG rule that wrote a line, and the rule that its prefix suggests."""
    prefix = ["--log-prefix", one.prefix[:29]] if one.prefix else []
    made = [_rule(one, one.hook, ("-j", "LOG", *prefix), 0)]
    if one.verdict is not None:
        made.append(_rule(one, one.hook, ("-j", one.verdict, *_reply(one)), 0))
    return made


#: What firewalld logs before it rejects (log-denied), and its errors (firewalld, core/ipXtables.py).
_FIREWALLD = re.compile(r"FINAL_REJECT|(?:filter_)?(?:IN|FWD|FWDI|FWDO|OUT)_[\w-]+_REJECT")
_ERRORS = {4: "icmp-host-prohibited", 6: "icmp6-adm-prohibited"}


def _reply(one: LoggedLine) -> tuple[str, ...]:
    """Return the options of a REJECT whose error is known from the prefix."""
    known = one.verdict == "REJECT" and one.prefix and _FIREWALLD.search(one.prefix)
    return ("--reject-with", _ERRORS[one.family]) if known else ()


def _rule(one: LoggedLine, chain: str, target: Sequence[str], position: int) -> RuleItem:
    words = made_words((*one.conditions, *target))
    return RuleItem(chain, words, one.line, " ".join(word.raw for word in words), position=position)


def _of_trace(traced: Sequence[LoggedLine]) -> list[Rules]:
    """Return the rules that packets matched, with TRACE's numbers; of each flow, the first packet counts."""
    tables: dict[str, Rules] = {}
    for lines in _packets(traced):
        for one, later in zip(lines, [*lines[1:], None], strict=True):
            visit = one.visit
            assert visit is not None
            rules = tables.setdefault(visit.table, Rules(visit.table, one.family, fragment=True, traced=True))
            if visit.kind == "policy":
                policy = visit.verdict or ("ACCEPT" if later else None)
                rules.items.append(ChainItem(visit.chain, policy, None, one.line))
            elif visit.kind == "rule":
                rule = _traced_rule(one, visit, later)
                if not any(isinstance(item, RuleItem) and item[:2] == rule[:2] for item in rules.items):
                    rules.items.append(rule)
    return list(tables.values())


def _packets(traced: Sequence[LoggedLine]) -> list[list[LoggedLine]]:
    """Return the lines of the first packet of each flow."""
    packets: dict[tuple[str, ...], list[LoggedLine]] = {}
    for one in traced:
        packets.setdefault(one.packet, []).append(one)
    flows = {lines[0].conditions: lines for lines in reversed(packets.values())}
    return [lines for lines in packets.values() if flows[lines[0].conditions] is lines]


def _traced_rule(one: LoggedLine, visit: Visit, later: LoggedLine | None) -> RuleItem:
    if not visit.words:
        return _rule(one, visit.chain, _target(one, visit, later), visit.number)
    words = made_words(visit.words)
    return RuleItem(visit.chain, words, one.line, " ".join(visit.words), position=visit.number)


def _target(one: LoggedLine, visit: Visit, later: LoggedLine | None) -> tuple[str, ...]:
    """Return the action of a rule, inferred from the next visit: the packet continued, or a chain followed."""
    if later is None or later.visit is None:
        return ("-j", UNKNOWN)
    chain, table = later.visit.chain, later.visit.table
    if table == visit.table and one.hook == later.hook:
        leads = chain not in (visit.chain, *BUILTIN_CHAINS[table])
        return ("-j", chain) if leads else ()
    if visit.table == "nat":
        for key, port, target in (("to", "dport", "DNAT"), ("from", "sport", "SNAT")):
            new = later.fields.get(key, "")
            if new != one.fields.get(key) and re.fullmatch(r"[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*", new):
                number = later.fields.get(port)
                bracketed = f"[{new}]" if ":" in new else new
                option = "--to-destination" if target == "DNAT" else "--to-source"
                return ("-j", target, option, f"{bracketed}:{number}" if number else new)
    return ("-j", "ACCEPT")
