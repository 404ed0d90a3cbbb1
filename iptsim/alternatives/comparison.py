"""One packet before and after some changes: both answers, the first difference, and the reason."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iptsim.addresses import Family
from iptsim.alternatives.changes import change_host
from iptsim.alternatives.shifts import Shift, shifts
from iptsim.asking import ask
from iptsim.docker.sources.flag_changes import Change
from iptsim.errors import UsageError, printable
from iptsim.explanation import Explanation
from iptsim.explanation.delivery import delivered_text
from iptsim.explanation.places import place_of
from iptsim.glossary import Term, terms_in
from iptsim.host.model import Host
from iptsim.languages import (
    Message,
    Text,
    current_language,
    language,
    message,
    message_joined,
    message_list,
    message_sentences,
)
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Leg
from iptsim.owners.docker import docker_role
from iptsim.question.model import Question
from iptsim.shown import Framed
from iptsim.sources import load_host

SCHEMA = "iptsim.whatif/1"
_SWITCHES = frozenset({"true", "false", "0", "1"})


@dataclass(frozen=True, slots=True)
class Parting:
    """The first step at which two walks differ.

    Attributes:
        leg: number of the leg, from 0.
        before / after: the steps; None if that walk has already ended.
        before_leg / after_leg: the legs of the steps; None if that walk has no such leg.
    """

    leg: int
    before: Step | None
    after: Step | None
    before_leg: Leg | None = None
    after_leg: Leg | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "leg": self.leg,
            "before": self.before.as_json() if self.before is not None else None,
            "after": self.after.as_json() if self.after is not None else None,
        }


@dataclass(slots=True)
class WhatIf(Framed):
    """The effect of changes on a packet, or without a question, on all checked connections.

    Attributes:
        changes: the changes as given.
        host: the host after the changes.
        before / after: both answers; None without a question, or if the question is not valid on that host.
        cannot: why the question is not valid, by "before" and "after".
        parting: the first difference; None if there is none, or without both answers.
        why: one sentence.
        shifts: without a question, the connections whose outcome changes.
        left_out: the number of connections left unchecked.
        language: its language, even if it is shown later.
    """

    changes: tuple[Change, ...]
    host: Host = field(repr=False)
    before: Explanation | None = None
    after: Explanation | None = None
    cannot: dict[str, str] = field(default_factory=dict)
    parting: Parting | None = None
    why: Text = ""
    shifts: list[Shift] = field(default_factory=list)
    left_out: int = 0
    language: str = field(default_factory=current_language)

    def __repr__(self) -> str:
        return printable(f"<WhatIf {' '.join(map(change_text, self.changes))}: {self.why}>")

    def words(self) -> list[Term]:
        """Return the glossary terms that occur in the answer, with their meanings."""
        return terms_in(str(self).split("\n"))

    def as_json(self, verbose: bool = False, *, teach: bool = False) -> dict[str, Any]:
        """Return the answer as JSON, schema `iptsim.whatif/1`.

        Args:
            verbose: as for :meth:`Explanation.as_json`.
            teach: add the glossary terms that occur in the answer, with their meanings.
        """
        with language(self.language):
            out = self._as_json(verbose)
            if teach:
                out["teach"] = [term.as_json() for term in self.words()]
            return out

    def _as_json(self, verbose: bool) -> dict[str, Any]:
        out: dict[str, Any] = {
            "schema": SCHEMA,
            "changes": [list(change) for change in self.changes],
            "why": str(self.why),
        }
        if self.before is None and self.after is None:
            out["shifts"] = [shift.as_json() for shift in self.shifts]
            out["left_out"] = self.left_out
            out["assumptions"] = list(map(str, self.host.assumptions))
            return out
        for name, explanation in (("before", self.before), ("after", self.after)):
            out[name] = explanation.as_json(verbose) if explanation is not None else None
        out["cannot"] = self.cannot
        out["parting"] = self.parting.as_json() if self.parting is not None else None
        return out


def what_if(
    source: str | Path | Host,
    changes: Sequence[Change],
    question: Question | None = None,
    *,
    family: Family = 4,
) -> WhatIf:
    """Compare what happens to a packet before and after some changes to a host.

    Args:
        source: a capture, a dump, or a host.
        changes: names and texts, applied in the order given: ("icc", "false"),
            ("publish", "web:8080:80"), ("insert", "DOCKER-USER 1 -s 172.17.0.3 -j DROP"); see
            :func:`iptsim.alternatives.changes.change_host`.
        question: the packet; None to compare all connections.
        family: the family of the rules to change, if there is no question.

    Raises:
        UsageError: a change cannot be applied, or the question is valid neither before nor after.
    """
    host = source if isinstance(source, Host) else load_host(source)
    given = tuple(changes)
    if not given:
        raise UsageError(message("no change given; for example --icc=false"))
    if question is None:
        after = change_host(host, given, family)
        found, left_out = shifts(host, after, family)
        return WhatIf(given, after, why=_table_why(found), shifts=found, left_out=left_out)
    cannot: dict[str, str] = {}
    was = _asked(host, question, cannot, "before")
    if was is not None:
        family = was.trace.legs[0].packet.family
    after = change_host(host, given, question.family or family)
    now = _asked(after, question, cannot, "after")
    if was is None and now is None:
        raise UsageError(cannot["before"])
    answer = WhatIf(given, after, was, now, cannot)
    if was is not None and now is not None:
        answer.parting = parting(was, now)
    answer.why = _why(answer)
    return answer


def _asked(host: Host, question: Question, cannot: dict[str, str], when: str) -> Explanation | None:
    try:
        return ask(host, question)
    except UsageError as error:
        cannot[when] = str(error)
        return None


# -- difference ------------------------------------------------------------------------------------


def signature(step: Step) -> tuple[Any, ...]:
    """Return a key that is equal for the same step in walks over different rules.

    Rules are identified by their text, as their numbers may have changed.
    """
    return (
        step.hook,
        step.table,
        step.chain,
        step.rule.text if step.rule is not None else None,
        step.verdict,
        step.note if step.table is None else "",
        tuple(sorted((name, str(pair)) for name, pair in step.changes.items())),
    )


def parting(before: Explanation, after: Explanation) -> Parting | None:
    """Return the first step at which two answers differ."""
    left, right = before.trace.legs, after.trace.legs
    for number in range(max(len(left), len(right))):
        was, now = (legs[number] if number < len(legs) else None for legs in (left, right))
        olds, news = (leg.all_steps if leg is not None else [] for leg in (was, now))
        for place in range(max(len(olds), len(news))):
            old = olds[place] if place < len(olds) else None
            new = news[place] if place < len(news) else None
            if old is None or new is None or signature(old) != signature(new):
                return Parting(number, old, new, was, now)
        if was is None or now is None:
            return Parting(number, None, None, was, now)
    return None


# -- words -----------------------------------------------------------------------------------------


def change_text(change: Change) -> str:
    """Return a change as an option of the command line."""
    name, value = change
    return f"--{name}={value}" if value in _SWITCHES else f"--{name} {shlex.quote(value)}"


def _table_why(found: Sequence[Shift]) -> Message:
    if not found:
        return message("No checked connection changes its outcome.")
    kinds = Counter(shift.kind for shift in found)
    effects = [
        message("opens {count}", count=kinds["opens"]) if kinds["opens"] else "",
        message("closes {count}", count=kinds["closes"]) if kinds["closes"] else "",
        message("alters {count}", count=kinds["alters"]) if kinds["alters"] else "",
    ]
    summary = message(
        "It {effects} of the checked connections.", effects=message_joined(", ", filter(None, effects))
    )
    return message_sentences(summary, _unanswered_text(found))


def _unanswered_text(found: Sequence[Shift]) -> Text:
    """Return which endpoints lose the internet, as nothing masquerades their packets any more; "" if none does."""
    senders = dict.fromkeys(
        shift.row.sender for shift in found if shift.after.unanswered and not shift.before.unanswered
    )
    if not senders:
        return ""
    return message(
        "The internet can no longer reply to {senders}: no rule masquerades their packets.",
        senders=message_list([*senders]),
    )


def _why(answer: WhatIf) -> Message:
    was, now, place = answer.before, answer.after, answer.parting
    if was is None:
        assert now is not None
        return message("Before the change, the question is not valid: {why}.", why=answer.cannot["before"])
    if now is None:
        return message(
            "After the change, the question is no longer valid: {why}.", why=answer.cannot["after"]
        )
    changes = " ".join(map(change_text, answer.changes))
    if place is None and was.target != now.target:
        return message(
            "With {changes}, the packet goes to {new} instead of {old}, on the same path: {verdict}.",
            changes=changes, new=now.target, old=was.target, verdict=was.verdict,
        )  # fmt: skip
    if place is None:
        return message(
            "With {changes}, the packet takes the same path as before: {verdict}.",
            changes=changes, verdict=was.verdict,
        )  # fmt: skip
    new = _doing(answer.host, now, place.after, place.after_leg)
    old = _doing(was.host, was, place.before, place.before_leg)
    if place.leg == 0:
        return message("With {changes}, {new}; without the change, {old}.", changes=changes, new=new, old=old)
    return message(
        "With {changes}, the request takes the same path, but then {new}; without the change, {old}.",
        changes=changes, new=new, old=old,
    )  # fmt: skip


def _doing(host: Host, explanation: Explanation, step: Step | None, leg: Leg | None) -> Text:
    """Describe what happens at a step."""
    if step is None:
        if leg is None:
            return message("nothing more follows")
        if leg.delivered is not None:
            return message("the packet arrives at {place}", place=delivered_text(leg.delivered))
        return message("the packet's path ends ({verdict})", verdict=leg.verdict)
    if step.policy and step.verdict == "ACCEPT" and leg is not None:
        # the chain let it continue: the final decision says more
        decided = explanation.reason.step
        step = next((one for one in leg.all_steps if one is decided), step)
    if step.table is None:
        return step.note or message(
            "the verdict at {hook} is {verdict}", hook=step.hook, verdict=step.verdict
        )
    place = f"{step.table} {step.chain}"
    if step.policy:
        return message("the policy of {place} decides: {verdict}", place=place, verdict=step.verdict)
    rule = place_of(step.rule) if step.rule is not None else place
    jump, _, chain = step.verdict.partition(":")
    if jump in ("JUMP", "GOTO"):
        return message("{rule} jumps to {chain}", rule=rule, chain=chain)
    does: Message = _does(rule, step.verdict)
    if step.changes:
        changes = (f"{name} {old} → {new}" for name, (old, new) in step.changes.items())
        does = message("{does} ({why})", does=does, why=message_joined(", ", changes))
    role = docker_role(step.rule, host) if step.rule is not None else None
    return message("{does} ({why})", does=does, why=role.why) if role is not None else does


def _does(rule: Text, verdict: str) -> Message:
    """Describe what a rule that is not a jump does to the packet."""
    if verdict == "ACCEPT":
        return message("{rule} accepts the packet", rule=rule)
    if verdict == "DROP":
        return message("{rule} drops the packet", rule=rule)
    if verdict == "REJECT":
        return message("{rule} rejects the packet", rule=rule)
    if verdict == "RETURN":
        return message("{rule} returns from the chain", rule=rule)
    return message("{rule} applies {verdict}", rule=rule, verdict=verdict)
