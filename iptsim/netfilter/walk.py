"""Walks through a host: one packet, or one connection.

The public entry point is :func:`walk`; :class:`Simulator` keeps what is prepared between questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any

from iptsim.addresses import FAMILIES, Family
from iptsim.dump.ruleset import Ruleset
from iptsim.dump.tool import tool_of
from iptsim.host.model import Host
from iptsim.languages import Text, message, message_many
from iptsim.netfilter.assumptions import check_assumption
from iptsim.netfilter.branches import Branches
from iptsim.netfilter.excerpts import unseen_note
from iptsim.netfilter.kernel import Observer
from iptsim.netfilter.listeners import unsaved
from iptsim.netfilter.merge import merge
from iptsim.netfilter.namespaces import Namespaces
from iptsim.netfilter.own_destination import Doubt, doubt_about
from iptsim.netfilter.trace import Trace
from iptsim.netfilter.watch import Side, Watch
from iptsim.netfilter.way_back import address_of_bridge, with_way_back
from iptsim.question.endpoints import Internet
from iptsim.question.model import Question
from iptsim.question.places import Outside
from iptsim.question.start import Start, first_packet

#: At most this many of the rules that the kernel would reject are listed in an answer.
_REFUSED_SHOWN = 5
#: At most this many senders behind an interface are kept with a host that routes to them.
_KEPT = 100


def walk(host: Host, question: Question) -> Trace:
    """Follow the packet of a question, its reply and what else it causes.

    Raises:
        UsageError: the question is not valid.
        RulesetError: the rules loop or jump to a chain that is not there.
        WalkLimitError: the rules branch or jump so often that the walk was stopped.
    """
    return simulator_of(host).walk(question)


def simulator_of(host: Host) -> Simulator:
    """Return the simulator of a host. It is cached with the host, and made again if the host's rules were replaced."""
    kept: Simulator | None = host.prepared
    if kept is None or not kept.is_current():
        kept = host.prepared = Simulator(host)
    return kept


class Simulator:
    """A host prepared for many questions; between them, the host must not change.

    Args:
        host: the host.
        like: a simulator of a host with the same containers, and with the same rules but for a few; what it has
            prepared is used again.

    Attributes:
        host: the host.
        namespaces: its hooks and those of its containers.
        kept: a cache of other data derived from the host, by name.
    """

    def __init__(self, host: Host, like: Simulator | None = None) -> None:
        self.host = host
        self.namespaces: Namespaces = Namespaces(host, like.namespaces if like is not None else None)
        self._missing: dict[tuple[Family, bool], list[Text]] = {}
        self._refused: dict[int, list[Text]] = {}
        #: assumption -> why it has no effect; "" where it could have had one
        self._idle: dict[str, Text] = {}
        self._made_from = _parts(host)
        self.kept: dict[str, Any] = {}
        self._behind: dict[tuple[str, Family, int, bool], Simulator | None] = {}

    def is_current(self) -> bool:
        """Return whether the host still has the rules from which this was made."""
        return all(map(is_, self._made_from, _parts(self.host)))

    def walk(self, question: Question, observer: Observer | None = None) -> Trace:
        """Follow the packet of a question; see :func:`walk`.

        If an endpoint has many addresses, the packet of one is followed; the trace notes which rules treat others
        differently.

        Args:
            observer: follows the evaluation of the rules.
        """
        trace, watches = self.walk_watched(question, _outside(question), observer)
        trace.assumptions += filter(None, (watch.note() for watch in watches))
        return trace

    def walk_watched(
        self, question: Question, sides: Sequence[Side], observer: Observer | None = None
    ) -> tuple[Trace, tuple[Watch, ...]]:
        """Follow the packet of a question, and return what the rules check about its addresses as well.

        Args:
            sides: the ends of the packet whose addresses are watched.
            observer: follows the evaluation of the rules.
        """
        start = first_packet(self.host, question)
        if (other := self._with_way_back(start)) is not None:
            return other.walk_watched(question, sides, observer)
        trace, watches = self._walk_from(start, question, sides, observer)
        if (doubt := doubt_about(self.host, question, start)) is not None:
            another, others = Simulator(doubt.other, like=self).walk_watched(question, sides, observer)
            return _either(doubt, trace, another), others if doubt.owns else watches
        return trace, watches

    def _walk_from(
        self, start: Start, question: Question, sides: Sequence[Side], observer: Observer | None
    ) -> tuple[Trace, tuple[Watch, ...]]:
        family = start.packet.family
        watches = tuple(Watch(self.host, side, family, getattr(start.packet, side)) for side in sides)
        ways = self._ways(question, start, watches, observer)
        trace = ways.explore(())
        trace.id = None if question.id is None else str(question.id)
        trace.evaluated = ways.budget.spent
        depends = trace.verdict == "DEPENDS" and any(one.match == "unseen" for one in trace.hinges)
        missing = [
            *self._missing_rules(family, depends=depends),
            *self._refused_rules(family),
            *self._idle_assumptions(question.assume, ways.assumptions_used),
            *self._idle_assumptions(question.after.assume if question.after else (), ways.assumptions_used),
        ]
        missing += unsaved(self.host, trace)
        trace.assumptions = list(dict.fromkeys([*self.host.assumptions, *missing, *start.notes, *ways.notes]))
        return trace, watches

    def follow(self, question: Question) -> Trace:
        """Follow the packet of a question, for its verdict: the trace lacks the assumptions that :meth:`walk` notes."""
        start = first_packet(self.host, question)
        if (other := self._with_way_back(start)) is not None:
            return other.follow(question)
        trace = self._ways(question, start).explore(())
        if (doubt := doubt_about(self.host, question, start)) is not None:
            return _either(doubt, trace, Simulator(doubt.other, like=self).follow(question))
        return trace

    def _ways(
        self,
        question: Question,
        start: Start,
        watches: tuple[Watch, ...] = (),
        observer: Observer | None = None,
    ) -> Branches:
        if observer is not None:
            observer.begins(start.packet)
        before = first_packet(self.host, question.after) if question.after is not None else None
        return Branches(self.namespaces, question, start, before, watches, observer)

    def _with_way_back(self, start: Start) -> Simulator | None:
        """Return a simulator of the host with a route to the sender; None if it needs none."""
        if not self.host.inferred or not isinstance(start.origin, Outside):
            return None
        interface, packet = start.origin.interface, start.packet
        key = (interface, packet.family, packet.src, address_of_bridge(interface, packet) is not None)
        if key not in self._behind:
            other = with_way_back(self.host, start)
            if len(self._behind) >= _KEPT:
                self._behind.clear()
            self._behind[key] = Simulator(other, like=self) if other is not None else None
        return self._behind[key]

    def rulesets(self) -> list[Ruleset]:
        """Return the rules of the host and of its containers, with those of nftables that are evaluated."""
        return [*self.namespaces.rulesets(), *self.namespaces.nft_rulesets()]

    def _idle_assumptions(self, assume: Iterable[str], used: set[str]) -> list[Text]:
        """Return why the unused assumptions of a question have no effect.

        Raises:
            UsageError: one of them can never have an effect.
        """
        unused = [what for what in assume if what not in used]
        for what in unused:
            if what not in self._idle:
                self._idle[what] = check_assumption(
                    what, self.namespaces.rulesets(), self.namespaces.nft_chains()
                )
        return [self._idle[what] for what in unused if self._idle[what]]

    def _missing_rules(self, family: Family, *, depends: bool) -> list[Text]:
        """Return what is assumed if the source has no rules of a family, or not all of them.

        Args:
            family: the family.
            depends: the answer depends on rules of tables that are not shown.
        """
        if (family, depends) not in self._missing:
            self._missing[family, depends] = self._find_missing(family, depends=depends)
        return self._missing[family, depends]

    def _find_missing(self, family: Family, *, depends: bool) -> list[Text]:
        both = (self.host.rulesets.get(family), self.host.extra_rulesets.get(family))
        rulesets = [ruleset for ruleset in both if ruleset is not None]
        if not rulesets:
            return [
                message(
                    "The source has no IPv{family} rules ({name}); the host is assumed to have none.",
                    family=family,
                    name=f"{tool_of(family)}-save.txt",
                )
            ]
        shown = any(found.tables for found in rulesets)
        daemon = self.host.daemon
        if not shown and (daemon is None or daemon.iptables is not False):
            if self.host.pasted is not None and self.host.namespace.nftables is not None:
                return [message("No rule of iptables is shown; the host is assumed to have none.")]
            return [
                message(
                    "The dump of the IPv{family} rules is empty; the host is assumed to have none.",
                    family=family,
                )
            ]
        note = unseen_note(rulesets, depends=depends)
        return [note] if note else []

    def _refused_rules(self, family: Family) -> list[Text]:
        """Return which rules are ignored because the kernel would reject them."""
        if family not in self._refused:
            self._refused[family] = [
                message(
                    "{table} {chain} rule {position} (line {line}) is ignored: the kernel would reject it "
                    "({refused}).",
                    table=rule.table,
                    chain=rule.chain,
                    position=rule.position,
                    line=rule.line,
                    refused=rule.refused,
                )
                for program in self.namespaces.hooks_of(self.host.namespace).programs(family)
                for rule in program.ruleset.rules()
                if rule.refused
            ]
        refused = self._refused[family]
        if len(refused) <= _REFUSED_SHOWN:
            return refused
        more = message_many(
            "{count} more rule is ignored as well.",
            "{count} more rules are ignored as well.",
            len(refused) - _REFUSED_SHOWN,
        )
        return [*refused[:_REFUSED_SHOWN], more]


def _either(doubt: Doubt, trace: Trace, other: Trace) -> Trace:
    """Return the answer about a host of which it is in doubt whether an address is its own."""
    yes, no = (other, trace) if doubt.owns else (trace, other)
    trace = merge(yes, no, doubt.decision, 0)
    trace.id, trace.evaluated = yes.id, yes.evaluated + no.evaluated
    trace.assumptions = yes.assumptions
    return trace


def _parts(host: Host) -> tuple[object, ...]:
    return (
        *map(host.rulesets.get, FAMILIES),
        *map(host.extra_rulesets.get, FAMILIES),
        host.namespace,
        host.namespace.nftables,
        host.conntrack,
        bool(host.conntrack),
    )


def _outside(question: Question) -> tuple[Side, ...]:
    """Return the ends of a question's packet that represent many outside addresses."""
    source = isinstance(question.sender, Internet) and question.src is None
    destination = isinstance(question.to, Internet) and question.dst is None
    return (*(("src",) if source else ()), *(("dst",) if destination else ()))
