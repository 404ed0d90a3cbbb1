"""The steps of a leg as lines, hook by hook: what matters in full, what was visited in vain folded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from rich.text import Text

from iptsim.dump.ruleset import Rule
from iptsim.errors import printable
from iptsim.languages import say
from iptsim.netfilter.trace import Leg, Skipped, Step

COLOURS = {"ACCEPT": "bold green", "DROP": "bold red", "REJECT": "bold red", "DEPENDS": "bold yellow"}
INDENT = 2
_HOOK_WIDTH = 13
#: So many jumps in a row that led nowhere stand on lines of their own; more are folded into one.
_SINGLE = 3


def spec(rule: Rule) -> str:
    """Return a rule's text without `-A CHAIN`."""
    return rule.text.removeprefix(f"-A {rule.chain}").strip() or say("(every packet)")


def backend_of(step: Step) -> str:
    """Return whose rules a step belongs to, on a host with rules of both backends."""
    if not step.backend:
        return ""
    return say(" of iptables-{backend}", backend="nft" if step.backend == "nf_tables" else step.backend)


@dataclass(slots=True)
class Visit:
    """A step, and the steps of the chain that it jumped to."""

    step: Step
    inside: list[Visit] = field(default_factory=list)

    @property
    def in_vain(self) -> bool:
        """Whether the packet's way would be the same without it."""
        step = self.step
        if step.table is None or step.changes:
            return False
        if step.policy:
            return step.verdict == "ACCEPT"
        if step.verdict.startswith("JUMP:"):
            return all(visit.in_vain for visit in self.inside)
        if step.verdict.startswith("GOTO:"):
            return True
        return step.verdict == "RETURN" and step.rule is not None and _is_for_all(step.rule)


def _is_for_all(rule: Rule) -> bool:
    return not rule.parameters.predicates() and not any(match.predicates() for match in rule.matches)


def visits(steps: list[Step]) -> list[Visit]:
    """Return the steps as a tree: below each jump what happened in the chain that it led to."""
    roots: list[Visit] = []
    path: list[Visit] = []
    for step in steps:
        visit = Visit(step)
        while path and path[-1].step.depth >= step.depth:
            path.pop()
        (path[-1].inside if path else roots).append(visit)
        if step.verdict.startswith("JUMP:"):
            path.append(visit)
    return roots


def step_lines(steps: list[Step], leg: Leg, verbose: bool) -> Iterator[Text]:
    """Yield the lines of a leg's steps.

    Args:
        verbose: show every step, and each rule that did not match with the condition that failed.
    """
    deciding = leg.deciding if leg.verdict in ("DROP", "REJECT") else None
    margin = " " * (INDENT + _HOOK_WIDTH)
    for hook, group in groupby(steps, key=lambda step: step.hook):
        found = list(group)
        lines = [*(_all(found, margin, deciding) if verbose else _worthy(found, margin, deciding))]
        title = f"{' ' * INDENT}{hook:<{_HOOK_WIDTH}}"
        if not lines:
            yield Text.assemble(title, (say("nothing applies"), "dim"))
            continue
        yield Text(title) + lines[0][len(margin) :]
        yield from lines[1:]
    if verbose:
        for skip in leg.skipped:
            yield _skipped_line(margin, skip)


def has_worth(steps: list[Step]) -> bool:
    """Tell whether any step made a difference."""
    return not all(visit.in_vain for visit in visits(steps))


def _all(steps: list[Step], margin: str, deciding: Step | None) -> Iterator[Text]:
    for step in steps:
        yield from (_skipped_line(margin, skip) for skip in step.skipped)
        yield _line(margin, step, step is deciding)


def _worthy(steps: list[Step], margin: str, deciding: Step | None) -> Iterator[Text]:
    for _, group in groupby(steps, key=lambda step: (step.table, step.backend)):
        found = visits(list(group))
        if not all(visit.in_vain for visit in found):
            yield from _level(found, margin, deciding)


def _level(found: list[Visit], margin: str, deciding: Step | None) -> Iterator[Text]:
    """Yield the lines of one chain's visits, and of the chains below."""
    for idle, group in groupby(found, key=lambda visit: visit.in_vain and visit.step.verdict[:5] == "JUMP:"):
        together = list(group)
        if not idle:
            for visit in together:
                if not visit.in_vain or _jumped(visit.step):
                    yield _line(margin, visit.step, visit.step is deciding)
                    yield from _level(visit.inside, margin, deciding)
        elif len(together) > _SINGLE:
            yield _folded(together, margin)
        else:
            for visit in together:
                line = _line(margin, visit.step, False)
                line.append("   " + say("nothing applies"), "dim")
                yield line


def _folded(together: list[Visit], margin: str) -> Text:
    """Make one line of several jumps in a row that led nowhere."""
    first, last = together[0].step, together[-1].step
    line = _place(margin, first)
    line.right_crop(2)
    chains = say("{count} chains", count=len(together))
    line.append(f"–{last.rule.position if last.rule else ''}  → {chains}")
    line.append("   " + say("nothing applies"), "dim")
    return line


def _jumped(step: Step) -> str:
    """Return the chain that a step led to, empty for any other step."""
    jump, _, chain = step.verdict.partition(":")
    return chain if jump in ("JUMP", "GOTO") else ""


def _place(margin: str, step: Step) -> Text:
    place = f"{step.table} {step.chain}" if step.depth == 0 else str(step.chain)
    if step.rule is not None:
        place += f" {step.rule.position}"
    return Text(f"{margin}{'  ' * step.depth}{printable(place)}  ")


def _line(margin: str, step: Step, deciding: bool) -> Text:
    if step.table is None:
        line = Text(margin)
        line.append(printable(step.note), "red" if step.verdict == "DROP" else "")
        return line
    line = _place(margin, step)
    if step.maybe:
        line.append(say("(maybe)") + " ", "yellow")
    if chain := _jumped(step):
        line.append(f"→ {printable(chain)}")
        return line
    if step.policy:
        line.append(say("policy {verdict}", verdict=step.verdict), COLOURS.get(step.verdict, ""))
        line.append(backend_of(step))
    else:
        line.append(step.verdict, COLOURS.get(step.verdict, "magenta" if step.changes else ""))
    if step.verdict in ("DROP", "REJECT") and deciding:
        line.append(" ✗", "bold red")
    for name, (before, after) in step.changes.items():
        line.append(f"   {name} {changed_text(name, before)} → {changed_text(name, after)}", "magenta")
    if step.rule is not None:
        line.append(f"   {printable(spec(step.rule))}", "dim")
    return line


def changed_text(name: str, value: Any) -> str:
    """Return a header field's value before or after a change, marks as rules write them."""
    if value is None:
        return say("any")
    return f"{value:#x}" if name in ("mark", "ctmark", "tos") and isinstance(value, int) else str(value)


def _skipped_line(lead: str, skip: Skipped) -> Text:
    return Text.assemble(
        lead,
        (printable(f"{skip.table} {skip.chain} {skip.rule.position}  ") + say("no:") + " ", "dim"),
        (printable(skip.condition), "dim cyan"),
        (say(", but {got}", got=printable(skip.got)), "dim"),
    )
