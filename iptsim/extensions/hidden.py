"""Parts of rules that a source does not show: what could not be read, what was cut or redacted, what is never listed.

What was not read never makes an answer more certain: such conditions and effects are unknown.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from iptsim.extensions.base import Match, Status, Target
from iptsim.extensions.constraints import Constraint, Masked, Several, undecided
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.parameters import DESTINATION, SOURCE
from iptsim.extensions.predicates import Predicate, combined, constrained
from iptsim.extensions.unknown import UnknownTarget
from iptsim.extensions.verdicts import Verdict
from iptsim.languages import Message, Text, message
from iptsim.truth import Unknown

#: The name of a target that represents rules that are not shown.
GAP = "..."
#: What shows all rules, and what shows those of nftables as well, as phrases that follow "with"; the same for IPv6.
SHOW = message("the output of {command}", command="iptables-save -c")
SHOW_BOTH = message(
    "the output of {command} and of {other}", command="nft list ruleset", other="iptables-save -c"
)
SHOW_IPV6 = {
    SHOW: message("the output of {command}", command="ip6tables-save -c"),
    SHOW_BOTH: message(
        "the output of {command} and of {other}", command="nft list ruleset", other="ip6tables-save -c"
    ),
}
#: An Ethernet address with redacted bytes.
_BYTE = r"(?:[0-9A-Fa-f]{1,2}|[xX*?#_]{1,2})"
_REDACTED = re.compile(rf"(?=.*[xX*?#_])(?:{_BYTE}:){{5}}{_BYTE}")
_OPTION = "--mac-source"
#: The least number of words before an address: `-m mac --mac-source`.
_BEFORE = 3
_NOT_SHOWN = message("the source does not show it")


class Hidden(Match):
    """A condition that the source does not show, or not in full.

    Attributes:
        words: its text in the rule.
        reason: what is not known, as a phrase that follows "depends on".
        settle: what would show it, as a phrase that follows "with".
        place: hidden conditions with equal places have the same result.
        told: what is not known, as words that complete "packets ..."; "" for its text in the rule.
    """

    #: no `-m` loads it
    name: ClassVar[str] = ""
    status: ClassVar[Status] = "unknown"

    words: str
    reason: Message
    settle: Message | str = ""
    place: tuple[Any, ...] = ()
    told: Message | str = ""

    @property
    def is_interfaces(self) -> bool:
        """Whether it is the interfaces of the rule."""
        return self.place[:1] == ("interfaces",)

    def save(self) -> str:
        """Return its text in the rule."""
        return self.words

    def predicates(self) -> tuple[Predicate, ...]:
        """Return one condition that is unknown."""
        return (constrained(self.words, self._undecided()),)

    def _undecided(self) -> Constraint:
        unknown = Unknown(self.reason, self.settle, self.place)
        return undecided(f"hidden {self.words}", unknown, _NOT_SHOWN)

    def lists(self, form: ListingForm) -> str:
        """Return its text in the rule."""
        return f" {self.words}"

    @property
    def unread(self) -> Text:
        """Its text in the rule, unless there are words for it."""
        return "" if self.told else self.words

    def says(self) -> Text:
        """Return what is not known of the packets."""
        return self.told or message("that match {condition}", condition=self.words)


def redacted_parts(words: Sequence[str], line: int) -> list[tuple[slice, Hidden]]:
    """Return the conditions of a rule on Ethernet addresses that are redacted, and where each of them stands.

    Conditions of different lines are never the same, even if equally redacted.

    Args:
        words: of the rule; the conditions are there as iptables-save writes them.
        line: the number of its line.
    """
    found = list[tuple[slice, Hidden]]()
    if _OPTION not in words:
        return found
    for at in range(_BEFORE, len(words)):
        start = at - _BEFORE - (words[at - 2] == "!")
        opening = [word for word in words[max(start, 0) : at] if word != "!"]
        if opening != ["-m", "mac", _OPTION] or not _REDACTED.fullmatch(words[at]):
            continue
        text = " ".join(words[start : at + 1])
        reason = message("the redacted address in {words}", words=text)
        hidden = Hidden(words=text, reason=reason, settle=SHOW, place=("unread", line, text))
        found.append((slice(start, at + 1), hidden))
    return found


class HiddenAddress(Hidden):
    """A partly redacted address: packets with other visible bytes do not match; for all others it is unknown."""

    side: Literal["src", "dst"]
    address: int
    mask: int

    def predicates(self) -> tuple[Predicate, ...]:
        """Return one condition: that the visible bytes and the redacted ones are those of the packet's address."""
        negated = bool(self.negated)
        field = {"src": SOURCE, "dst": DESTINATION}[self.side]
        visible = Constraint(field, Masked(self.address, self.mask), negated)
        others = replace(self._undecided(), negated=negated)
        whole = Several((visible, others), every=not negated)
        return (combined(self.words, whole, lambda context: _NOT_SHOWN, negated=negated),)


def hides_interfaces(match: Match) -> bool:
    """Return whether a match represents the interfaces that a listing does not show."""
    return isinstance(match, Hidden) and match.is_interfaces


def hides_chain(match: Match) -> bool:
    """Return whether a match represents that the rule may be in another chain, which a source does not show."""
    return isinstance(match, Hidden) and match.place[:1] == ("chain",)


class HiddenTarget(Target):
    """A target that the source does not show in full: what it does is unknown.

    Attributes:
        name: as in the rule; each has a name of its own.
        words: the text of its options in the rule.
        reason: what is not known.
        settle: what would show it, as a phrase that follows "with".
        scope: the tables of which no rule is shown, if it represents all of them: "tables raw and mangle"; such targets
            have the same effect.
        is_named: the reason names the place of the rule.
        in_nat: it is in a chain of nftables of type nat.
        rewrites: it changes the packet, or where it goes, in a way that is not evaluated.
    """

    status: ClassVar[Status] = "unknown"

    name: str  # type: ignore[misc]
    words: str = ""
    reason: Message
    settle: Message | str = ""
    scope: Message | str = ""
    is_named: bool = False
    in_nat: bool = False
    rewrites: bool = False

    def save(self) -> str:
        """Return the text of its options."""
        return self.words

    def apply(self, context: Context) -> Verdict | Unknown:
        """Return that the effect is unknown."""
        return Unknown(self.reason, self.settle, ("scope", str(self.scope)) if self.scope else ())

    def lists(self, form: ListingForm) -> str:
        """Return the text of its options."""
        return f" {self.words}" if self.words else ""

    def says(self) -> Text:
        """Return its name."""
        if self.name == GAP:
            return message("rules that are not shown")
        if self.rewrites:
            return message("apply {statement}", statement=self.name)
        return message("apply target {name}", name=self.name)


def rules_not_shown(table: str, chain: str, *, policy: bool = False, all_rules: bool = False) -> Message:
    """Return what is not shown of a chain, as a phrase that follows "depends on": also its policy, or all its rules."""
    if all_rules:
        return message("the rules of {table} {chain}, which are not shown", table=table, chain=chain)
    if policy:
        return message(
            "the rest of {table} {chain} and its policy, which are not shown", table=table, chain=chain
        )
    return message("the rules of {table} {chain} that are not shown", table=table, chain=chain)


def is_homeless(matches: Sequence[Match]) -> bool:
    """Return whether the conditions of a rule say that its chain is not shown."""
    return any(isinstance(match, Hidden) and match.place[:1] == ("chain",) for match in matches)


def may_translate(table: str, target: object) -> bool:
    """Return whether a target of which it is not known what it does may translate connections, or rewrite packets.

    In table nat it does nothing else: iptables accepts no DROP there. In a chain of nftables it is assumed not to.
    """
    if isinstance(target, HiddenTarget) and (target.in_nat or target.rewrites):
        return True
    return table == "nat" and isinstance(target, HiddenTarget | UnknownTarget)


def rewrites(target: object) -> bool:
    """Return whether a target changes packets, or where they go, in a way that is not evaluated."""
    return isinstance(target, HiddenTarget) and target.rewrites


def is_gap(target: object) -> bool:
    """Return whether a rule's target marks a place where rules are not shown."""
    return isinstance(target, HiddenTarget) and target.name == GAP


class HiddenEnd(HiddenTarget):
    """The rest of a built-in chain and its policy, which are not shown: the packet passes the chain, or it does not."""

    status: ClassVar[Status] = "given"
    terminal: ClassVar[bool] = True
