"""Traces as compact data: shared values are stored once and referred to by number."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Jump, Rule
from iptsim.errors import printable
from iptsim.explanation import Explanation
from iptsim.explanation.delivery import delivered_text
from iptsim.explanation.expectation import is_refused
from iptsim.explanation.outcome_words import outcome_list, when_text
from iptsim.explanation.story import LegVisit
from iptsim.host import Host
from iptsim.languages import Text
from iptsim.netfilter.steps import Skipped, Step
from iptsim.netfilter.trace import Leg, packet_json
from iptsim.owners.rule_owners import authorship
from iptsim.pictures.packet_path import packet_paths
from iptsim.pictures.wiring import wiring_of
from iptsim.render.rules import rule_words
from iptsim.render.visits_text import changed_text, spec

#: How many branches with the same verdict are shown.
_SHOWN = 8


class Pool:
    """Values that are stored once. A value's number is its index in `values`."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Hashable, int] = {}

    def number(self, key: Hashable) -> int | None:
        """Return the number of the value that was added under a key, or None."""
        return self._numbers.get(key)

    def add(self, key: Hashable, value: Any) -> int:
        """Store a value under a key and return its number."""
        number = self._numbers[key] = len(self.values)
        self.values.append(value)
        return number

    def once(self, key: Hashable, value: Any) -> int:
        """Store a value unless its key is known, and return its number."""
        number = self._numbers.get(key)
        return self.add(key, value) if number is None else number

    def text(self, text: Text) -> int:
        """Store a text, made inert, and return its number."""
        rendered = str(text)
        number = self._numbers.get(rendered)
        return self.add(rendered, printable(rendered)) if number is None else number


class Traces:
    """The traces of a report, and the rules, steps and texts that they refer to.

    Attributes:
        texts / rules / skips / steps / legs / ways / traces: what was collected, in the page's short form.
    """

    def __init__(self, host: Host, map_family: Family) -> None:
        """Begin; the page has a map of one address family, with the paths of its packets."""
        self.host, self.map_family = host, map_family
        self._wiring = wiring_of(host, map_family)
        self.texts, self.rules, self.skips = Pool(), Pool(), Pool()
        self.steps, self.legs, self.ways, self.traces = Pool(), Pool(), Pool(), Pool()
        self._kept: list[Rule] = []
        self._known = set(host.assumptions)

    # -- rules -------------------------------------------------------------------------------------

    def rule(self, rule: Rule) -> int:
        """Return a rule's number."""
        number = self.rules.number(id(rule))
        if number is not None:
            return number
        self._kept.append(rule)  # keep the rule, or its id could be reused
        owner, role = authorship(rule, self.host)
        out: dict[str, Any] = {
            "t": rule.table,
            "c": printable(rule.chain),
            "n": rule.position,
            "s": printable(spec(rule)),
            "w": printable(rule_words(rule)),
            "o": owner,
        }
        if rule.line:
            out["l"] = rule.line
        if rule.counters is not None:
            out["k"] = [rule.counters.packets, rule.counters.bytes]
        if isinstance(rule.target, Jump):
            out["j"] = printable(rule.target.chain)
        if role is not None:
            out["y"] = printable(str(role.why))
            if role.setting:
                out["e"] = printable(role.setting)
        return self.rules.add(id(rule), out)

    # -- traces ------------------------------------------------------------------------------------

    def trace(self, explanation: Explanation) -> int:
        """Return the number of an answer."""
        number = self.traces.number(id(explanation))
        return self.traces.add(id(explanation), self._trace(explanation)) if number is None else number

    def _trace(self, explanation: Explanation) -> dict[str, Any]:
        reason, trace = explanation.reason, explanation.trace
        out: dict[str, Any] = {
            "v": explanation.verdict,
            "r": reason.code.value,
            "x": self.texts.text(reason.text),
            "f": self.texts.text(explanation.sender),
            "t": self.texts.text(explanation.target),
            "g": list(map(self._leg, explanation.story.legs)),
        }
        if is_refused(explanation):
            out["q"] = 1
        if reason.advice:
            out["a"] = self.texts.text(reason.advice)
        if reason.step is not None and (place := _place(trace.legs, reason.step)):
            out["d"] = place
        if reason.step is not None and reason.step.rule is not None:
            out["u"] = self.rule(reason.step.rule)
        own = [sentence for sentence in explanation.assumed if sentence not in self._known]
        if own:
            out["m"] = [self.texts.text(sentence) for sentence in own]
        if trace.legs[0].packet.family == self.map_family:
            out["w"] = self._ways(explanation)
        if explanation.branches:
            self._add_branches(out, explanation)
        return out

    def _add_branches(self, out: dict[str, Any], explanation: Explanation) -> None:
        """Add a branch for each outcome, with its condition; of branches with the same verdict, the first ones."""
        if explanation.verdict != "DEPENDS":
            shown = explanation.branches[:_SHOWN]
            out["b"] = [
                {**self._trace(one), "i": self.texts.text(when_text(one.trace.decisions))} for one in shown
            ]
            return
        outcomes = outcome_list(explanation.branches)
        if outcomes.in_order:
            out["o"] = 1
        out["b"] = [
            {**self._trace(one.branches[0]), "i": self.texts.text(when), "z": len(one.branches)}
            for one, when in outcomes.rows
        ]

    def _ways(self, explanation: Explanation) -> int:
        """Keep which places of the map the packets pass, and how each path ends."""
        paths = tuple(
            (
                path.kind,
                path.end,
                tuple(
                    (self.texts.text(place), self.texts.text(change)) for place, change in path.translations
                ),
                *map(self.texts.text, path.places),
            )
            for path in packet_paths(self.host, self._wiring, explanation)
        )
        return self.ways.once(paths, paths)

    def _leg(self, visited: LegVisit) -> int:
        leg = visited.leg
        steps = [self._step(step) for step in leg.all_steps]
        visits = (visit for place in visited.namespaces for visit in place.visits)
        idle = [place for place, visit in enumerate(visits) if not visit.matters]
        value: dict[str, Any] = {
            "n": str(visited.title),
            "v": leg.verdict,
            "f": printable(leg.sender),
            "p": self._packet(leg),
            "s": steps,
        }
        if idle:
            value["i"] = idle
        if leg.own_steps or leg.arrival_steps:
            value["o"] = [len(leg.own_steps), len(leg.own_steps) + len(leg.steps)]
            value["w"] = [printable(leg.sender), printable(visited.arrival.name)]
        if leg.inside:
            value["h"] = printable(leg.sender)
        if leg.delivered is not None:
            value["d"] = printable(delivered_text(leg.delivered))
        if leg.skipped:
            value["k"] = [self._skip(skip) for skip in leg.skipped]
        return self.legs.once(repr(value), value)

    def _packet(self, leg: Leg) -> int:
        """Keep the packet as it was sent, with the field names that changes use."""
        packet = leg.packet
        value = {name: value for name, value in packet_json(packet).items() if value is not None}
        if packet.src == 0 and packet.family == 4:
            value["src"] = address_text(4, 0)
        return self.texts.once(("packet", *value.items()), value)

    def _step(self, step: Step) -> int:
        skips = tuple(self._skip(skip) for skip in step.skipped)
        rule = self.rule(step.rule) if step.rule is not None else None
        changes = tuple((name, str(pair[0]), str(pair[1])) for name, pair in step.changes.items())
        key = (
            step.hook, step.table, step.chain, rule, step.verdict, step.policy, step.maybe, changes, step.note,
            step.code, skips, step.depth, step.interfaces, step.backend,
        )  # fmt: skip
        number = self.steps.number(key)
        if number is not None:
            return number
        value: dict[str, Any] = {"h": step.hook, "v": printable(step.verdict)}
        if rule is not None:
            value["r"] = rule
        elif step.table is not None:
            value["t"], value["c"] = step.table, printable(step.chain or "")
        for name, flag in (("p", step.policy), ("m", step.maybe), ("d", step.depth)):
            if flag:
                value[name] = int(flag)
        if step.changes:
            value["x"] = {
                name: [printable(changed_text(name, one)) for one in pair]
                for name, pair in step.changes.items()
            }
        if step.note:
            value["n"] = self.texts.text(step.note)
        if step.code:
            value["e"] = step.code
        if skips:
            value["k"] = list(skips)
        if any(step.interfaces):
            value["i"] = [printable(name or "") for name in step.interfaces]
        if step.backend:
            value["b"] = step.backend
        return self.steps.add(key, value)

    def _skip(self, skip: Skipped) -> int:
        key = id(skip.rule), skip.condition, skip.got
        number = self.skips.number(key)
        if number is not None:
            return number
        rule = self.rule(skip.rule)
        return self.skips.add(key, [rule, self.texts.text(skip.condition), self.texts.text(skip.got)])


def _place(legs: list[Leg], wanted: Step) -> list[int]:
    """Return the numbers of the leg and the step, both from 0; empty if no leg has the step."""
    for number, leg in enumerate(legs):
        for place, step in enumerate(leg.all_steps):
            if step is wanted:
                return [number, place]
    return []
