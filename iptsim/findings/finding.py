"""What a finding is: a stable code, the evidence, the consequence shown on a packet, the remedy."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain
from iptsim.errors import printable
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.extensions.constraints import membership
from iptsim.extensions.hidden import is_gap
from iptsim.extensions.verdicts import BLOCKING, TRANSLATING_DESTINATION
from iptsim.findings.codes import CODES, Kind, Severity
from iptsim.host.model import Before
from iptsim.languages import (
    Message,
    Text,
    message,
    message_if,
    message_joined,
    message_list,
    message_many,
    message_sentences,
)
from iptsim.netfilter.steps import Skipped, Step
from iptsim.question.options import explain_options, line_of
from iptsim.shown import Framed, Shown

#: Up to this many things of one kind (rules, ports, lines) are shown as evidence, or named in a sentence.
SHOWN = 5


class Evidence(NamedTuple):
    """Something that shows a finding.

    Attributes:
        place: its place: "filter FORWARD rule 3 (iptables-save.txt:31)", "sysctl.txt".
        text: the text found there.
        rule: the rule, if it is one.
        chain: the chain whose policy it is, if it is one.
    """

    place: Text
    text: Text
    rule: Rule | None = None
    chain: Chain | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        out: dict[str, Any] = {"place": str(self.place), "text": str(self.text)}
        if (rule := self.rule) is not None:
            out.update(table=rule.table, chain=rule.chain, rule=rule.position, line=rule.line)
        return out


@dataclass(frozen=True, slots=True)
class Finding(Shown):
    """A likely problem of a host.

    Attributes:
        code: a key of :data:`CODES`.
        title: one sentence.
        evidence: rules, settings and files that show it.
        consequence: one or two sentences about its effect on packets.
        remedy: a command or a setting, and when to use it.
        shown: the walk of an affected packet; None if no packet shows it.
        family: of the rules.
    """

    code: str
    title: Message
    evidence: tuple[Evidence, ...]
    consequence: Message
    remedy: Message
    shown: Explanation | None = None
    family: Family = 4
    #: the shell commands of the remedy, which must reverse what happens to the packet
    commands: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return printable(f"<Finding {self.code}: {self.title}>")

    @property
    def severity(self) -> Severity:
        """How serious it is; see :class:`Kind`."""
        return self.kind.severity

    @property
    def kind(self) -> Kind:
        """What it has in common with all findings of its code."""
        return CODES[self.code]

    def command(self, source: str) -> str:
        """Return the command that reproduces the walk; empty without a packet."""
        return f"iptsim explain {shlex.join([source, *self._options()])}" if self.shown else ""

    def _options(self) -> list[str]:
        return explain_options(line_of(self.shown.question)) if self.shown else []

    def as_json(self) -> dict[str, Any]:
        """Return the finding as plain data; `shown` is a trace, schema `iptsim.trace/1`."""
        return {
            "code": self.code,
            "severity": self.severity,
            "family": self.family,
            "title": str(self.title),
            "evidence": [item.as_json() for item in self.evidence],
            "consequence": str(self.consequence),
            "remedy": str(self.remedy),
            "shown": self.shown.as_json() if self.shown else None,
        }


class Cause(NamedTuple):
    """The likeliest cause of what a text describes: what happens to a packet, or a problem that concerns no packet.

    Attributes:
        shown: the packet, walked; None if no rule of the host sees it.
        near: rules that accept such packets, but from or to other addresses.
        guess: the condition that must hold, as a clause, if the source does not show it.
        meaning: what the text means although the rules do not certainly block the packet; without a packet, the whole
            cause.
        alone: say only that, because the source shows no rules.
        logger: which program logged the packet, and why, if its prefix tells.
        counted: how many packets the rule or policy that decides has counted.
        first: what else went wrong, to be said before the packet.
        changed: the sentence that says which commands of the source change that.
        remedy: what to do, if the rules are not the cause.
    """

    shown: Explanation | None
    near: tuple[Skipped, ...] = ()
    guess: Text = ""
    meaning: Text = ""
    alone: bool = False
    logger: Text = ""
    counted: Text = ""
    first: Text = ""
    changed: Text = ""
    remedy: Text = ""

    @property
    def text(self) -> Message:
        """The cause in sentences."""
        if self.alone or self.shown is None:
            return message_sentences(self.meaning, self.logger, self.changed)
        guess = message("That is so if {guess}.", guess=self.guess) if self.guess else ""
        # what is known comes before what may be
        reasons = self.shown.reason.message, self.meaning
        return message_sentences(
            self.first,
            packet_and_verdict(self.shown),
            *(reasons if self.shown.verdict == "DEPENDS" else reasons[::-1]),
            self.counted,
            self.logger,
            *map(_comes_near, self.near),
            guess,
            self.changed,
            self.remedy,
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data; `shown` is a trace, schema `iptsim.trace/1`."""
        return {"text": str(self.text), "shown": self.shown.as_json() if self.shown else None}


def packet_and_verdict(shown: Explanation) -> Message:
    """Return an example packet in one line: its endpoints, and its verdict."""
    return message(
        "{sender} → {target}, {what}: {verdict}.",
        sender=shown.sender,
        target=shown.target,
        what=shown.what,
        verdict=shown.verdict,
    )


def _comes_near(skipped: Skipped) -> Message:
    return message(
        "{place} accepts such packets, but only with {condition}: {got}.",
        place=place_of(skipped.rule),
        condition=skipped.condition,
        got=skipped.got,
    )


class Mended(NamedTuple):
    """What was wrong with a host before the commands that its source gives below the rules.

    Attributes:
        before: the host before them.
        findings: the findings there that the commands mend, most important first.
    """

    before: Before
    findings: tuple[Finding, ...]

    @property
    def text(self) -> Message:
        """What the findings have in common, as a heading."""
        return message_if(
            self.before.first == self.before.last,
            "Before the command in line {lines}, which mends it:",
            "Before the commands in lines {lines}, which mend it:",
            lines=self.before.lines,
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        lines = [self.before.first, self.before.last]
        return {"lines": lines, "findings": [finding.as_json() for finding in self.findings]}


class Findings(Framed, list[Finding]):
    """The findings, most important first.

    Attributes:
        source: the source to name in commands.
        cause: what happens to the packet in a pasted text, or None without one.
        unseen: the tables and chains that the source does not show, such as "nat" and "filter OUTPUT".
        mended: what was wrong before the commands that a pasted text gives behind its rules, or None.
    """

    def __init__(
        self,
        found: Iterable[Finding],
        source: str,
        cause: Cause | None = None,
        unseen: tuple[str, ...] = (),
        mended: Mended | None = None,
    ) -> None:
        super().__init__(found)
        self.source = source
        self.cause = cause
        self.unseen = unseen
        self.mended = mended

    @property
    def unseen_text(self) -> Text:
        """What the source does not show, in a sentence; "" if it shows all rules."""
        if not self.unseen:
            return ""
        return message(
            "Problems in {places} are not found, as the source does not show them. {command} prints all rules "
            "({other} for IPv6).",
            places=message_list(self.unseen),
            command="iptables-save -c",
            other="ip6tables-save -c",
        )


def of_rule(rule: Rule) -> Evidence:
    """Return a rule as evidence."""
    place = place_of(rule)
    if rule.line:
        place = message("{place} (line {line})", place=place, line=rule.line)
    return Evidence(place, rule.shown, rule)


def of_line(line: int, text: Text) -> Evidence:
    """Return a line of the source as evidence."""
    return Evidence(message("line {line}", line=line), text)


def numbers_of(rules: Sequence[Rule]) -> Text:
    """Return the positions of rules: "4, 5 and 7", shortened if there are many."""
    shown = [str(rule.position) for rule in rules[:SHOWN]]
    if len(rules) > SHOWN:
        return message(
            "{numbers} and {count} more", numbers=message_joined(", ", shown), count=len(rules) - SHOWN
        )
    return message_list(shown)


def blocked_at(shown: Explanation, hook: str) -> Step | None:
    """Return the step of a hook at which a packet is blocked; None if nothing blocks it there."""
    request = shown.trace.legs[0]
    step = request.deciding
    if step is None or step.hook != hook or request.verdict not in BLOCKING:
        return None
    return step


def filtered_at(shown: Explanation, hook: str) -> Step | None:
    """Return the step of a hook's table filter at which iptables blocks a packet; None if nothing does there."""
    step = blocked_at(shown, hook)
    return step if step is not None and step.table == "filter" and not step.backend else None


def are_unshown(rules: Sequence[Rule]) -> bool:
    """Return whether all that a source shows of a chain is that it exists."""
    return bool(rules) and all(is_gap(rule.target) for rule in rules)


def port_ranges(rule: Rule) -> list[tuple[int, int]]:
    """Return the ranges of destination ports that a rule names, without those that it excludes."""
    return [
        span
        for one in rule.conditions_on("dport")
        if isinstance(one.allowed, tuple) and not one.negated
        for span in one.allowed
    ]


def takes_port(rule: Rule, port: int | None) -> bool:
    """Return whether a rule is for a destination port, or names none."""
    conditions = rule.conditions_on("dport")
    return all(membership(one.allowed)(port) is not one.negated for one in conditions if one.allowed)


def uses(shown: Explanation, rule: Rule) -> bool:
    """Return whether a rule matched a packet."""
    return any(step.rule is rule for step in shown.trace.legs[0].all_steps)


def branch_with(shown: Explanation, rule: Rule, code: str) -> Explanation | None:
    """Return the branch of a walk, or its only path, that a rule matched and that ends for a reason, by its code."""
    for one in shown.branches or [shown]:
        if one.reason.code == code and uses(one, rule):
            return one
    return None


def is_readdressed(shown: Explanation) -> bool:
    """Return whether a rule changed the destination of a packet."""
    return any(step.verdict in TRANSLATING_DESTINATION for step in shown.trace.legs[0].all_steps)


def of_policy(chain: Chain) -> Evidence:
    """Return the policy of a built-in chain as evidence."""
    policy, counters = chain.policy or "ACCEPT", chain.counters
    text = (
        message("policy {policy}", policy=policy)
        if counters is None or not counters.packets
        else message_many(
            "policy {policy}; it has counted {count} packet",
            "policy {policy}; it has counted {count} packets",
            counters.packets,
            policy=policy,
        )
    )
    return Evidence(place_of_chain(chain), text, chain=chain)


def place_of_chain(chain: Chain) -> Text:
    """Return the place of a chain: "filter FORWARD (line 12)"."""
    place = f"{chain.table} {chain.name}"
    return message("{place} (line {line})", place=place, line=chain.line) if chain.line else place
