"""An explanation as text on a terminal: the verdict, why, the deciding rule, then the way, hook by hook.

What comes from a dump is only ever put into :class:`rich.text.Text`, never through markup, with
control characters made visible.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from itertools import groupby
from typing import Literal

from rich.console import Console
from rich.text import Text

from iptsim.dump.ruleset import Rule
from iptsim.errors import printable
from iptsim.explanation import Explanation
from iptsim.explanation.explanation import delivered_text
from iptsim.netfilter.trace import Decision, Leg, Skipped, Step

Level = Literal["quiet", "normal", "verbose"]

_COLOURS = {"ACCEPT": "bold green", "DROP": "bold red", "REJECT": "bold red", "DEPENDS": "bold yellow"}
#: Ways of a DEPENDS answer that are printed; JSON has them all.
_WAYS_SHOWN = 8
_INDENT = 2
_HOOK_WIDTH = 13


def print_explanation(explanation: Explanation, console: Console, *, level: Level = "normal") -> None:
    """Print an explanation.

    Args:
        level: "quiet" for the verdict alone, "verbose" for the rules that did not match as well.
    """
    if level == "quiet":
        console.print(Text(explanation.verdict, _COLOURS[explanation.verdict]), highlight=False)
        return
    for line in _lines(explanation, level == "verbose"):
        console.print(line, highlight=False, soft_wrap=not console.is_terminal)


def as_text(explanation: Explanation, width: int = 120) -> str:
    """Return an explanation as plain text."""
    console = Console(file=StringIO(), width=width, color_system=None)
    print_explanation(explanation, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def as_html(explanation: Explanation) -> str:
    """Return an explanation as a piece of HTML with inline styles, for notebooks."""
    console = Console(file=StringIO(), width=120, record=True, force_terminal=True)
    print_explanation(explanation, console)
    template = '<pre style="line-height:normal;white-space:pre-wrap">{code}</pre>'
    return console.export_html(inline_styles=True, code_format=template)


def _lines(explanation: Explanation, verbose: bool) -> Iterator[Text]:
    yield _headline(explanation)
    yield Text("")
    reason = explanation.reason
    yield Text(printable(reason.text))
    if reason.step is not None and reason.step.table is not None:
        yield from _decided_by(reason.step)
    if reason.advice:
        yield Text(printable(reason.advice))
    yield Text("")
    if explanation.branches and explanation.verdict == "DEPENDS":
        yield from _ways(explanation, verbose)
    else:
        yield from _legs(explanation, verbose)
        if explanation.branches:
            yield from _other_ways(explanation)
    for sentence in explanation.assumptions:
        yield Text.assemble(("Assumed   ", "dim"), printable(sentence))


def _headline(explanation: Explanation) -> Text:
    question = explanation.question
    state = question.state or "new"
    packet = explanation.trace.legs[0].packet
    what = question.what()
    if packet.dport is not None and question.dport is None:
        what = f"{what}/{packet.dport}"
    kind = (
        f"{what}, {state} connection"
        if state in ("new", "established", "related")
        else f"{what}, state {state}"
    )
    return Text.assemble(
        (explanation.verdict, _COLOURS[explanation.verdict]),
        "   ",
        (printable(explanation.sender), "bold"),
        " → ",
        (printable(explanation.target), "bold"),
        "   ",
        kind,
    )


def _decided_by(step: Step) -> Iterator[Text]:
    if step.rule is None:
        policy = f"{step.table} {step.chain}, policy {step.verdict}"
        yield Text.assemble("Decided by   ", (policy, "bold"), _backend(step))
        return
    rule = step.rule
    yield Text.assemble(
        "Decided by   ",
        (f"{rule.table} {rule.chain} rule {rule.position}", "bold"),
        _backend(step),
        f" (line {rule.line}):  " if rule.line else ":  ",
        (printable(_spec(rule)), "cyan"),
    )


def _backend(step: Step) -> str:
    """Return whose rules a step belongs to, on a host with rules of both backends."""
    return f" of iptables-{'nft' if step.backend == 'nf_tables' else step.backend}" if step.backend else ""


def _spec(rule: Rule) -> str:
    """Return a rule's text without `-A CHAIN`."""
    return rule.text.removeprefix(f"-A {rule.chain}").strip() or "(every packet)"


# -- ways ------------------------------------------------------------------------------------------


def _ways(explanation: Explanation, verbose: bool) -> Iterator[Text]:
    for way in explanation.branches[:_WAYS_SHOWN]:
        yield Text.assemble((way.verdict, _COLOURS[way.verdict]), "  ", _when(way.trace.decisions))
        if way.reason.step is not None and way.reason.step.table is not None:
            yield from (Text("        ") + line for line in _decided_by(way.reason.step))
        if verbose:
            yield from _legs(way, verbose)
    left = len(explanation.branches) - _WAYS_SHOWN
    if left > 0:
        yield Text(f"... and {left} more ways (--json has them all)", "dim")
    yield Text("")


def _when(decisions: list[Decision]) -> str:
    phrases = [
        f"{'if' if decision.value else 'unless'} {decision.rule.table} {decision.rule.chain} rule "
        f"{decision.rule.position} ({printable(decision.match or 'rule')}) matches"
        for decision in decisions
    ]
    return " and ".join(phrases)


def _other_ways(explanation: Explanation) -> Iterator[Text]:
    yield Text("The ways end alike, but not at the same place:", "dim")
    for way in explanation.branches[:_WAYS_SHOWN]:
        delivered = way.trace.legs[0].delivered
        place = delivered_text(delivered) if delivered else "nowhere"
        yield Text(f"  {printable(place)}  {_when(way.trace.decisions)}", "dim")


# -- legs ------------------------------------------------------------------------------------------


def _legs(explanation: Explanation, verbose: bool) -> Iterator[Text]:
    legs = explanation.trace.legs
    for number, leg in enumerate(legs, 1):
        if len(legs) > 1:
            yield _leg_title(explanation, leg, number)
        steps = leg.steps
        yield from _inside(leg.sender, leg.own_steps, leg, verbose)
        if leg.inside and leg.verdict == "ACCEPT":
            stays = f"{' ' * _INDENT}stays inside {printable(leg.sender)}: no rule of the host sees it"
            yield Text(stays, "dim")
        elif not steps and not leg.inside:
            yield Text(f"{' ' * _INDENT}no rule sees it", "dim")
        brief = number > 1 and leg.verdict == "ACCEPT" and not verbose
        yield from _brief(steps) if brief else _steps(steps, leg, verbose)
        yield from _inside(leg.delivered.name if leg.delivered else "", leg.arrival_steps, leg, verbose)
        if leg.delivered is not None and number == 1:
            yield Text.assemble(
                " " * _INDENT, ("arrives at ", "dim"), printable(delivered_text(leg.delivered))
            )
    yield Text("")


def _inside(name: str, steps: list[Step], leg: Leg, verbose: bool) -> Iterator[Text]:
    """Show what a container's own rules did, when they did anything."""
    if any(verbose or _is_worth(step, False) for step in steps):
        yield Text(f"{' ' * _INDENT}inside {printable(name or 'the receiver')}", "dim")
        yield from _steps(steps, leg, verbose)


def _leg_title(explanation: Explanation, leg: Leg, number: int) -> Text:
    name = "request" if number == 1 else ("reply" if leg.direction == "reply" else "second connection")
    if leg.proxy:
        name = "docker-proxy → container" if leg.direction == "original" else "container → docker-proxy"
    elif explanation.trace.legs[0].verdict == "REJECT" and number == 2:
        name = "answer of the REJECT rule"
    return Text.assemble((f"{number} {name}", "bold"), "   ", (leg.verdict, _COLOURS[leg.verdict]))


def _brief(steps: list[Step]) -> Iterator[Text]:
    """Show a leg that got through in one line: the rules and policies that accepted it."""
    shown = [
        f"{step.table} {step.chain} " + (f"rule {step.rule.position}" if step.rule else "policy")
        for step in steps
        if step.table == "filter" and step.verdict == "ACCEPT"
    ]
    notes = [printable(step.note) for step in steps if step.table is None]
    if shown or (steps and not notes):
        yield Text(f"{' ' * _INDENT}accepted by {', '.join(shown) or 'every policy'}", "dim")
    for note in notes:
        yield Text(f"{' ' * _INDENT}{note}", "dim")


def _steps(steps: list[Step], leg: Leg, verbose: bool) -> Iterator[Text]:
    deciding = leg.deciding if leg.verdict in ("DROP", "REJECT") else None
    for hook, group in groupby(steps, key=lambda step: step.hook):
        found = list(group)
        worth = found if verbose else [step for step in found if _is_worth(step, step is deciding)]
        title = f"{' ' * _INDENT}{hook:<{_HOOK_WIDTH}}"
        if not worth:
            yield Text.assemble(title, ("nothing applies", "dim"))
            continue
        margin = " " * len(title)
        lines: list[Text] = []
        for number, step in enumerate(worth):
            if verbose:
                lines.extend(_skipped_line(margin, skip) for skip in step.skipped)
            follower = worth[number + 1] if number + 1 < len(worth) else None
            lines.append(_step_line(margin, step, follower, step is deciding, verbose))
        yield Text(title) + lines[0][len(margin) :]
        yield from lines[1:]
    if verbose:
        for skip in leg.skipped:
            yield _skipped_line(" " * (_INDENT + _HOOK_WIDTH), skip)


def _is_worth(step: Step, deciding: bool) -> bool:
    """Tell whether a step is worth a line: not a policy that merely lets through, nor a mere return."""
    if deciding or step.table is None:
        return True
    return not (step.policy and step.verdict == "ACCEPT")


def _step_line(lead: str, step: Step, follower: Step | None, deciding: bool, verbose: bool) -> Text:
    line = Text(lead)
    line.append("  " * step.depth)
    if step.table is None:
        line.append(printable(step.note), "red" if step.verdict == "DROP" else "")
        return line
    place = f"{step.table} {step.chain}" if step.depth == 0 else str(step.chain)
    if step.rule is not None:
        place += f" {step.rule.position}"
    line.append(place + "  ")
    if step.maybe:
        line.append("(maybe) ", "yellow")
    jump, _, chain = step.verdict.partition(":")
    if jump in ("JUMP", "GOTO"):
        line.append(f"→ {printable(chain)}")
        entered = follower is not None and follower.chain == chain
        if not entered and not verbose:
            line.append("   nothing applies", "dim")
        return line
    if step.policy:
        line.append(f"policy {step.verdict}", _COLOURS.get(step.verdict, ""))
        line.append(_backend(step))
    else:
        line.append(step.verdict, _COLOURS.get(step.verdict, "magenta" if step.changes else ""))
    if step.verdict in ("DROP", "REJECT") and deciding:
        line.append(" ✗", "bold red")
    for name, (before, after) in step.changes.items():
        line.append(f"   {name} {before} → {after}", "magenta")
    if step.rule is not None and step.verdict not in ("RETURN",):
        line.append(f"   {printable(_spec(step.rule))}", "dim")
    return line


def _skipped_line(lead: str, skip: Skipped) -> Text:
    return Text.assemble(
        lead,
        (f"{skip.table} {skip.chain} {skip.rule.position}  no: ", "dim"),
        (printable(skip.condition), "dim cyan"),
        (f", but {printable(skip.got)}", "dim"),
    )
