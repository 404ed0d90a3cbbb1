"""The steps of a leg as lines, hook by hook: those that mattered in full, the others folded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from rich.text import Text

from iptsim.dump.rule import Rule
from iptsim.errors import printable
from iptsim.explanation.story import HookVisit, LegVisit, NamespaceVisit, Visit
from iptsim.extensions.verdicts import BLOCKING
from iptsim.languages import say
from iptsim.netfilter.steps import Skipped, Step

COLOURS = {"ACCEPT": "bold green", "DROP": "bold red", "REJECT": "bold red", "DEPENDS": "bold yellow"}
INDENT = 2
_HOOK_WIDTH = 13
#: Up to this many jumps in a row without effect have lines of their own; more are folded into one.
_SINGLE = 3


def spec(rule: Rule) -> str:
    """Return a rule's specification, or words for an empty one."""
    return rule.shown_specification or say("(every packet)")


def backend_of(step: Step) -> str:
    """Return the backend of a step, on a host with rules of both backends."""
    if not step.backend:
        return ""
    return say(" of iptables-{backend}", backend="nft" if step.backend == "nf_tables" else step.backend)


def visit_lines(place: NamespaceVisit, leg: LegVisit, verbose: bool) -> Iterator[Text]:
    """Yield the lines of what happened in a namespace.

    Args:
        place: one of the leg's namespaces.
        leg: the leg.
        verbose: show every step, and each rule that did not match with the condition that failed.
    """
    margin = " " * (INDENT + _HOOK_WIDTH)
    depths: dict[tuple[str, str], int] = {}
    for hook in place.hooks:
        lines = [*(_all(hook, margin, leg, depths) if verbose else _mattering(hook, margin, leg))]
        title = f"{' ' * INDENT}{hook.hook:<{_HOOK_WIDTH}}"
        if not lines:
            yield Text.assemble(title, (nothing_text(hook.roots), "dim"))
            continue
        yield Text(title) + lines[0][len(margin) :]
        yield from lines[1:]
    if verbose and place is leg.host:
        for skip in leg.leg.skipped:
            yield _skipped_line(margin, skip, depths)


def _all(hook: HookVisit, margin: str, leg: LegVisit, depths: dict[tuple[str, str], int]) -> Iterator[Text]:
    """Yield the lines of all visits of a hook; `depths` receives how many calls deep each chain is."""
    for visit in hook.visits:
        step = visit.step
        yield from (_skipped_line(margin, skip, depths) for skip in step.skipped)
        if step.called and step.table is not None:
            depths[step.table, step.called] = step.depth + (not step.verdict.startswith("GOTO"))
        yield _line(margin, visit, leg)


def _mattering(hook: HookVisit, margin: str, leg: LegVisit) -> Iterator[Text]:
    for chain in hook.chains:
        if chain.matters:
            yield from _level(chain.visits, margin, leg)


def _level(visits: list[Visit], margin: str, leg: LegVisit) -> Iterator[Text]:
    """Yield the lines of one chain's visits, and of the chains below."""
    for idle, group in groupby(visits, key=lambda visit: visit.is_call and not visit.matters):
        together = list(group)
        if not idle:
            for visit in together:
                if visit.matters or visit.chain:
                    yield _line(margin, visit, leg)
                    yield from _level(visit.inside, margin, leg)
        elif len(together) > _SINGLE:
            yield _folded(together, margin)
        else:
            for visit in together:
                line = _line(margin, visit, leg)
                line.append("   " + nothing_text(visit.inside), "dim")
                yield line


def nothing_text(visits: Iterable[Visit]) -> str:
    """Return why visits had no effect: no rule matched, or the matching ones changed nothing."""
    return say("no effect") if any(not visit.step.policy for visit in visits) else say("no rule matched")


def _folded(together: list[Visit], margin: str) -> Text:
    """Return one line for several jumps in a row without effect."""
    first, last = together[0].step, together[-1].step
    line = _place(margin, first)
    line.right_crop(2)
    chains = say("{count} chains", count=len(together))
    line.append(f"–{last.rule.position if last.rule else ''}  → {chains}")
    line.append("   " + nothing_text(below for visit in together for below in visit.inside), "dim")
    return line


def _place(margin: str, step: Step) -> Text:
    place = f"{step.table} {step.chain}" if step.depth == 0 else str(step.chain)
    if step.rule is not None and step.rule.position:
        place += f" {step.rule.position}"
    return Text(f"{margin}{'  ' * step.depth}{printable(place)}  ")


def _line(margin: str, visit: Visit, leg: LegVisit) -> Text:
    step = visit.step
    if step.table is None:
        return Text(margin) + result_text(step)
    line = _place(margin, step) + result_text(step)
    if step.called:
        return line
    if step is leg.blocked_by and step.verdict in BLOCKING:
        line.append(" ✗", "bold red")
    for change in changes_of(step):
        line.append(f"   {change}", "magenta")
    if step.rule is not None:
        line.append(f"   {printable(spec(step.rule))}", "dim")
    return line


def result_text(step: Step) -> Text:
    """Return what a step did: the chain that it called, its verdict, or what the kernel did outside iptables."""
    if step.table is None:
        return Text(printable(step.note), "red" if step.verdict == "DROP" else "")
    text = Text()
    if step.maybe:
        text.append(say("(maybe)") + " ", "yellow")
    if step.called:
        return text.append(f"→ {printable(step.called)}")
    verdict = say("policy {verdict}", verdict=step.verdict) if step.policy else step.verdict
    text.append(verdict, COLOURS.get(step.verdict, "magenta" if step.changes else ""))
    return text.append(backend_of(step) if step.policy else "")


def changes_of(step: Step) -> Iterator[str]:
    """Yield what a step changed in the packet: "dst 192.0.2.10 → 172.17.0.2"."""
    for name, (before, after) in step.changes.items():
        yield f"{name} {changed_text(name, before)} → {changed_text(name, after)}"


def changed_text(name: str, value: Any) -> str:
    """Return a header field's value before or after a change, marks as rules write them."""
    if value is None:
        return say("any")
    return f"{value:#x}" if name in ("mark", "ctmark", "tos") and isinstance(value, int) else str(value)


def _skipped_line(margin: str, skip: Skipped, depths: Mapping[tuple[str, str], int]) -> Text:
    depth = depths.get((skip.table, skip.chain), 0)
    place = (
        f"{skip.chain} {skip.rule.position}" if depth else f"{skip.table} {skip.chain} {skip.rule.position}"
    )
    return Text.assemble(
        margin + "  " * depth,
        (printable(f"{place}  ") + say("no:") + " ", "dim"),
        (printable(skip.condition), "dim cyan"),
        (say(", but {got}", got=printable(skip.got)), "dim"),
    )
