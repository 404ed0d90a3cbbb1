"""Output of `iptables -S` that breaks off: where rules may follow, or precede those that are shown.

It prints the policies of the built-in chains, then all other chains, then the rules, chain by chain in the same order
(iptables.c, do_list_rules).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from iptsim.dump.builtin_chains import BUILTIN_CHAINS, usual_chains
from iptsim.dump.commands import POLICIES
from iptsim.paste.lines import Line
from iptsim.paste.listed_again import shows_policies_only
from iptsim.paste.pieces import ChainItem, CommandItem, GapItem, Item, Listed, Piece, Rules, Segment, Settings
from iptsim.paste.reloads import FLUSHES

#: Targets without options, after which a rule is whole.
WHOLE = frozenset({"ACCEPT", "DROP", "RETURN", "MASQUERADE", "NOTRACK"})
#: Targets whose names a cut may shorten.
_TARGETS = frozenset({*WHOLE, "REJECT", "LOG", "DNAT", "SNAT", "REDIRECT", "MARK"})
#: So many user-defined chains that are called are not all empty.
_CHAINS = 3
#: Chains that their program creates with a rule: dockerd's for its bridges, the RETURN of fail2ban's iptables actions,
#: ufw's before.rules, after.rules and user.rules, kube-proxy's and firewalld's that only call others.
_NEVER_EMPTY = re.compile(
    r"DOCKER-(?:FORWARD|ISOLATION(?:-STAGE-[12])?)|(?:f2b|fail2ban)-.+|KUBE-FORWARD|(?:INPUT|FORWARD(?:_IN|_OUT)?)_ZONES"
    r"|ufw6?-(?:before-(?:input|forward|output)|after-input|not-local|skip-to-policy-\w+|user-limit(?:-accept)?)"
)
#: Chains of Docker and ufw, by table.
_OF_PROGRAMS = {
    "filter": re.compile(r"(?<![\w-])(?:DOCKER-[A-Z]\S*|ufw6?-(?:before|after|user|track)-\w+)"),
    "nat": re.compile(r"(?<![\w-])DOCKER-INGRESS\b"),
}


def mark_cut(items: list[Item], *, is_whole_line: bool, is_followed: bool) -> None:
    """Mark where a listing breaks off.

    Args:
        items: the chains and rules, which change.
        is_whole_line: the last line has an end.
        is_followed: the next line is a prompt, so that the listing is printed to its end.
    """
    last = items[-1] if items else None
    is_cut = isinstance(last, ChainItem) and last.policy not in (None, *POLICIES)
    if isinstance(last, ChainItem) and is_cut:
        items[-1:] = last._replace(policy=""), GapItem(last.name, last.line, "", later=True)
    if isinstance(last, ChainItem) and (
        is_cut or not is_whole_line or (not is_followed and _ends_at_chains(items))
    ):
        items.append(GapItem(None, last.line, "", later=True))
    if isinstance(last, CommandItem) and last.texts[:1] == ["-P"]:
        items[-1] = GapItem(None, last.line, "", later=True)
    if not isinstance(last, CommandItem) or last.texts[:1] != ["-A"]:
        return
    words, chain = last.texts, last.chain
    chains = {item.name for item in items if isinstance(item, ChainItem)}
    if len(words) < 3 and chain not in chains:  # its name is cut, too
        before = items[-2] if items[1:] else None
        chain = before.chain if isinstance(before, CommandItem) else None
    if _lacks_chains(items) or (not is_followed and chain is not None and _lacks_rules(items, chain)):
        items.append(GapItem(chain, last.line, "", later=True))
        return
    # with -N, which declares every chain
    is_complete = any(isinstance(item, ChainItem) and item.policy is None for item in items)
    known = {*chains, *_TARGETS} if is_complete or not is_whole_line else chains
    cut = words[-2:-1] == ["-j"] and words[-1] not in {*chains, *_TARGETS}
    lacks_target = not is_followed and not {"-j", "-g", "--jump", "--goto"} & set(words[:-1])
    if lacks_target or (cut and any(name.startswith(words[-1]) for name in known)):
        items.pop()
        items.append(GapItem(chain, last.line, "", later=True))


def mark_beginning(items: list[Item]) -> None:
    """Mark the beginning of a listing that lacks the policies, which precede all rules."""
    first = items[0] if items else None
    if isinstance(first, CommandItem) and first.chain is not None and first.texts[0] == "-A":
        items.insert(0, GapItem(first.chain, first.line, ""))


def _ends_at_chains(items: Sequence[Item]) -> bool:
    """Return whether a listing has user-defined chains, but no rule, or lacks the last policies."""
    chains = [item for item in items if isinstance(item, ChainItem)]
    if len(chains) < len(items):
        return False
    shown = [one.name for one in chains if one.policy is not None]
    tables = [[*names] for names in (*BUILTIN_CHAINS.values(), usual_chains("nat"))]
    lacks_policy = (
        len(shown) > 1 and shown not in tables and any(one[: len(shown)] == shown for one in tables)
    )
    return len(shown) < len(items) or lacks_policy


def _lacks_chains(items: Sequence[Item]) -> bool:
    """Return whether a listing ends before the user-defined chains: rules lead there, and all are empty."""
    own = {item.name for item in items if isinstance(item, ChainItem) and item.policy is None}
    rules = [item.texts for item in items if isinstance(item, CommandItem)]
    filled = {name for words in rules for name in words[1:2]}
    called = {following for words in rules for word, following in pairwise(words) if word in ("-j", "-g")}
    return len(own) >= _CHAINS and not own & filled and bool(own & called)


def _lacks_rules(items: Sequence[Item], last: str) -> bool:
    """Return whether chains behind the one of the last rule have no rule, but always get one from their program."""
    names = [item.name for item in items if isinstance(item, ChainItem)]
    behind = names[names.index(last) + 1 :] if last in names else []
    return any(map(_NEVER_EMPTY.fullmatch, behind))


def open_empty_listings(rules: Sequence[Rules], segments: Sequence[Segment], lines: Sequence[Line]) -> None:
    """Mark that rules may follow the policies of a listing.

    Args:
        rules: the rules of a text, of which such listings change.
        segments: the segments of the text.
        lines: its lines.
    """
    pieces = [piece for segment in segments for piece in segment.pieces]
    for number, piece in enumerate(rules):
        if not shows_policies_only(piece) or any(_removes(one, piece) for one in rules[:number]):
            continue
        last = piece.items[-1].line
        chains = _OF_PROGRAMS.get(piece.table)
        mentioned = chains is not None and any(
            line.number > last and chains.search(line.text) is not None for line in lines
        )
        if mentioned or _has_docker(piece, rules, pieces) or _has_ufw(piece, segments):
            piece.items.append(GapItem(None, last, "", later=True))


def _removes(piece: Rules, listed: Rules) -> bool:
    """Return whether commands flush a table before it is listed."""
    return (piece.family or 4, piece.table) == (listed.family or 4, listed.table) and any(
        isinstance(item, CommandItem) and item.texts[0] in FLUSHES for item in piece.items
    )


def _has_docker(listed: Rules, rules: Sequence[Rules], pieces: Sequence[Piece]) -> bool:
    """Return whether Docker has rules in a table: it runs, and is not told to leave iptables alone."""
    if listed.table not in _OF_PROGRAMS or listed.family == 6:
        return False
    settings = [piece for piece in pieces if isinstance(piece, Settings)]
    if any(one.daemon.get("iptables") is False for one in settings):
        return False
    return (
        any(one.services for one in settings)
        or any(isinstance(piece, Listed) and not piece.stopped for piece in pieces)
        or any(
            isinstance(item, ChainItem) and item.name == "DOCKER"
            for piece in rules
            if piece.table != listed.table and piece.family != 6
            for item in piece.items
        )
    )


def _has_ufw(listed: Rules, segments: Sequence[Segment]) -> bool:
    """Return whether ufw has rules in a table: its status is shown, and not inactive."""
    return listed.table == "filter" and any(segment.title == "ufw status" for segment in segments)
