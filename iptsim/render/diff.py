"""The differences between two hosts as text, as JSON and as a table."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from iptsim.address_sets import AddressSet
from iptsim.addresses import Family
from iptsim.alternatives.comparison import change_text
from iptsim.diff.comparing import Comparison, Difference
from iptsim.diff.texts import ChainChange, Kind
from iptsim.docker.sources.flag_changes import Change
from iptsim.dump.rule import Rule
from iptsim.errors import printable
from iptsim.explanation.places import decision_of, place_of
from iptsim.host.address_regions import public_addresses
from iptsim.languages import Message, joined, message, say, say_many, sentences
from iptsim.render.internet import internet_texts
from iptsim.render.policy import names_of, witness_options
from iptsim.render.sheets import Sheet
from iptsim.render.visits_text import COLOURS
from iptsim.sets.fates import Fate
from iptsim.sets.lines import WIDENED, PacketLine, packet_lines

SCHEMA = "iptsim.diff/1"
_INDENT = "  "
#: Lines of packets of a class, classes and rules that a text shows.
_LINES, _CLASSES, _RULES = 6, 20, 10
_KINDS: dict[Kind, Message] = {
    "counters": message("counters"),
    "comments": message("comments"),
    "order": message("the order of rules"),
    "rules": message("rules"),
    "policies": message("policies"),
    "chains": message("chains"),
    "host": message("the host (interfaces, routes, containers, settings)"),
}


class Diff:
    """The comparison of two sources.

    Attributes:
        names: the names of both, as the user gave them; the same name twice for a source and a change to it.
        changes: the changes of `--whatif`.
    """

    def __init__(
        self, comparison: Comparison, names: tuple[str, str], changes: Sequence[Change] = ()
    ) -> None:
        self.comparison, self.names, self.changes = comparison, names, changes

    # -- text ----------------------------------------------------------------------------------------

    def lines(self) -> Iterator[Text]:
        """Yield the lines of the text."""
        found = [one for one in self.comparison.differences if one.is_usual]
        odd = len(self.comparison.differences) - len(found)
        for difference in found[:_CLASSES]:
            yield from self._difference(difference)
        more = len(found) - _CLASSES + self.comparison.left_out
        if more > 0:
            text = say_many("{count} more class of packets", "{count} more classes of packets", more)
            yield Text(text, "dim")
        if odd:
            text = say_many(
                "{count} more class is about broadcast, multicast, link-local or reserved addresses (see --json)",
                "{count} more classes are about broadcast, multicast, link-local or reserved addresses (see --json)",
                odd,
            )
            yield Text(text, "dim")
        yield from self._by_chain()
        yield Text(self.summary(), "bold")
        yield from self._without_effect()

    def summary(self) -> str:
        """Return the differences in one sentence."""
        kinds = self.comparison.texts.kinds
        if not kinds:
            return say("Nothing differs: no packet is treated differently.")
        what = joined(", ", (_KINDS[kind] for kind in kinds))
        if not self.comparison.is_same:
            widened = any(one.packets.layout.widened for one in self.comparison.differences)
            remark = f" {WIDENED}" if widened else ""
            count = len(self.comparison.differences) + self.comparison.left_out
            if not count:
                return say(
                    "Packets through interfaces whose networks the sources do not show are treated differently. "
                    "What differs in the sources: {what}.",
                    what=what,
                )
            return say_many(
                "{count} class of packets is treated differently. What differs in the sources: {what}.",
                "{count} classes of packets are treated differently. What differs in the sources: {what}.",
                count, what=what,
            ) + remark  # fmt: skip
        if set(kinds) <= {"counters", "comments", "order"}:
            return say("Only these differ: {what}. No packet is treated differently.", what=what)
        return say("What differs: {what}. Still, no packet is treated differently.", what=what)

    def _difference(self, difference: Difference) -> Iterator[Text]:
        lines, sender = self._packets(difference)
        for line in lines[:_LINES]:
            yield Text(printable(self._shown(line, sender)), "bold")
        if len(lines) > _LINES:
            yield Text(say("and {count} more lines", count=len(lines) - _LINES), "dim")
        both = _both(difference)
        width = max(cell_len(label) for label, _ in both)
        verdict_width = max(len(fate.verdict) for _, fate in both)
        for label, fate in both:
            verdict = fate.verdict
            yield Text.assemble(
                _INDENT,
                (f"{set_cell_size(label, width)}  ", "dim"),
                (f"{verdict:<{verdict_width}}", COLOURS[verdict]),
                f"  {printable(_why(fate))}",
            )
        for command in self.commands(difference):
            yield Text(f"{_INDENT}$ {printable(command)}", "dim", no_wrap=True)
        yield Text("")

    def _packets(self, difference: Difference) -> tuple[list[PacketLine], str]:
        """Return the lines of a class, and the name of its sender."""
        fate = difference.before
        packets = difference.packets
        if fate.iif:
            return packet_lines(packets, difference.family), ""
        # a container or the host: its name implies its address
        return packet_lines(packets.without("src"), difference.family), fate.sender or ""

    def _shown(self, line: PacketLine, sender: str) -> str:
        return line.text(sender, self._names, internet_texts(line, self._public(line.family)))

    def _public(self, family: Family) -> AddressSet:
        """Return the addresses that are the internet's on both hosts."""
        before, after = self.comparison.before, self.comparison.after
        return public_addresses(before, family) & public_addresses(after, family)

    @cached_property
    def _names(self) -> dict[str, str]:
        return {**names_of(self.comparison.before), **names_of(self.comparison.after)}

    def _by_chain(self) -> Iterator[Text]:
        found = self.comparison.by_chain
        if found:
            text = say(
                "Where the sources do not show which networks are behind an interface, single chains are compared:"
            )
            yield Text(text)
        for one in found[:_CLASSES]:
            lines = packet_lines(one.packets, one.family)
            for line in lines[:_LINES]:
                yield Text(printable(self._shown(line, "")), "bold")
            if len(lines) > _LINES:
                yield Text(say("and {count} more lines", count=len(lines) - _LINES), "dim")
            how = say("(marked, tracked or translated otherwise)") if one.before == one.after else ""
            yield Text(f"{_INDENT}{one.table} {one.chain}: {one.before} → {one.after} {how}".rstrip())
            yield Text("")

    def _without_effect(self) -> Iterator[Text]:
        rules = self.comparison.without_effect
        if rules:
            yield Text(
                say("Rules that no packet reaches or matches after the change, though some did before:")
            )
        for rule in rules[:_RULES]:
            yield Text(f"{_INDENT}{printable(place_of(rule))}: {printable(rule.shown)}")
        if len(rules) > _RULES:
            yield Text(_INDENT + say("and {count} more", count=len(rules) - _RULES))

    def commands(self, difference: Difference) -> list[str]:
        """Return the commands that explain what happens to one of the packets, before and after."""
        found = []
        for number, (fate, source) in enumerate(
            zip((difference.before, difference.after), self.names, strict=True)
        ):
            words = witness_options(fate, difference.family)
            if self.changes:
                if number:
                    options = " ".join(map(change_text, self.changes))
                    found.append(f"{shlex.join(['iptsim', 'whatif', source, *words])} {options}")
            else:
                found.append(shlex.join(["iptsim", "explain", source, *words]))
        return found

    # -- other formats -------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON, schema `iptsim.diff/1`."""
        comparison = self.comparison
        # only these show whether addresses are widened, which the summary mentions
        classes = [self._class_json(one) for one in comparison.differences]
        return {
            "schema": SCHEMA,
            "before": self.names[0],
            "after": self.names[1],
            "changes": [list(change) for change in self.changes],
            "same": comparison.is_same,
            "summary": self.summary(),
            "kinds": list(comparison.texts.kinds),
            "classes": classes,
            "left_out": comparison.left_out,
            "chains": [_chain_json(one) for one in comparison.texts.chains],
            "without_effect": [_rule_json(rule) for rule in comparison.without_effect],
            "by_chain": [
                {
                    "family": one.family,
                    "table": one.table,
                    "chain": one.chain,
                    "packets": [line.as_json() for line in packet_lines(one.packets, one.family)],
                    "before": one.before,
                    "after": one.after,
                }
                for one in comparison.by_chain
            ],
        }

    def _class_json(self, difference: Difference) -> dict[str, Any]:
        before, after = (_fate_json(fate) for _, fate in _both(difference))
        return {
            "family": difference.family,
            "state": difference.state,
            "sender": difference.before.sender or difference.after.sender,
            "packets": [line.as_json() for line in packet_lines(difference.packets, difference.family)],
            "before": before,
            "after": after,
            "witness": dict(difference.before.witness),
            "commands": self.commands(difference),
        }

    def sheet(self) -> Sheet:
        """Return it as a table."""
        rows = []
        for difference in self.comparison.differences:
            lines, sender = self._packets(difference)
            cells = [f"{fate.verdict}: {_why(fate)}" for _, fate in _both(difference)]
            rows.append(("\n".join(line.text(sender, self._names) for line in lines), *cells))
        for part in self.comparison.by_chain:
            place = f"{part.table} {part.chain}"
            shown = "\n".join(line.text("", self._names) for line in packet_lines(part.packets, part.family))
            rows.append((shown, f"{place}: {part.before}", f"{place}: {part.after}"))
        columns = [say("Packets"), say("Before"), say("After")]
        return Sheet(f"{self.names[0]} → {self.names[1]}", columns, rows, (self.summary(),))


def _both(difference: Difference) -> tuple[tuple[str, Fate], tuple[str, Fate]]:
    return (say("before"), difference.before), (say("after"), difference.after)


def _why(fate: Fate) -> str:
    """Return what decides, unless the reason begins with it, and why."""
    step, text = fate.reason.step, str(fate.reason.text)
    place = str(decision_of(step)) if step is not None and step.table is not None else ""
    place = "" if text.startswith(place) else f"{place}: "
    refused = say("Nothing listens there, so the connection is refused.") if fate.listening is False else ""
    return f"{place}{sentences(text, refused)}"


def _fate_json(fate: Fate) -> dict[str, Any]:
    delivered = fate.delivered
    return {
        "verdict": fate.verdict,
        "certain": fate.certain,
        "hinges": list(map(str, fate.hinges)),
        "reason": fate.reason.as_json(),
        "delivered": None if delivered is None else {"kind": delivered[0], "name": delivered[1]},
    }


def _chain_json(change: ChainChange) -> dict[str, Any]:
    return {
        "family": change.family,
        "table": change.table,
        "chain": change.chain,
        "only_in": change.only_in or None,
        "policies": list(change.policies) if change.policies else None,
        "removed": [_rule_json(rule) for rule in change.removed],
        "added": [_rule_json(rule) for rule in change.added],
        "moved": [_rule_json(rule) for rule in change.moved],
    }


def _rule_json(rule: Rule) -> dict[str, Any]:
    return {
        "table": rule.table, "chain": rule.chain, "rule": rule.position, "line": rule.line, "text": rule.shown
    }  # fmt: skip
