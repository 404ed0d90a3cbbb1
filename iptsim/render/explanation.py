"""An explanation as text on a terminal: the verdict, why, the deciding rule, then the packet path, hook by hook.

Text from a dump is put only into :class:`rich.text.Text`, never through markup, with control characters made visible.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from io import StringIO
from typing import Literal

from rich.console import Console
from rich.text import Text

from iptsim.addresses import address_text
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.errors import printable
from iptsim.explanation import Explanation
from iptsim.explanation.branches import differ_in_source, hinge_texts
from iptsim.explanation.classes import addresses_text
from iptsim.explanation.delivery import delivered_text
from iptsim.explanation.outcome_words import outcome_list, when_text
from iptsim.explanation.outcomes import Outcome
from iptsim.explanation.places import decision_of, short_place_of
from iptsim.explanation.reason import Reason
from iptsim.explanation.story import LegVisit, NamespaceVisit
from iptsim.extensions.hidden import is_gap
from iptsim.languages import joined, language, say
from iptsim.netfilter.steps import Step
from iptsim.passages import passages
from iptsim.question.options import explain_options, line_of
from iptsim.render.console import assumed_lines, print_line
from iptsim.render.visits_text import COLOURS, INDENT, backend_of, spec, visit_lines

Level = Literal["quiet", "normal", "verbose"]

#: How many undecided matches, and how many branches of one outcome, are shown; JSON has all of them.
_SHOWN = 8
BRANCHES_SHOWN = 3
#: How many rules that decide one outcome are printed.
_WHYS_SHOWN = 2


def print_explanation(explanation: Explanation, console: Console, *, level: Level = "normal") -> None:
    """Print an explanation.

    Args:
        level: "quiet" for only the verdict, "verbose" to include the rules that did not match.
    """
    with language(explanation.language):
        _print(explanation, console, level)


def _print(explanation: Explanation, console: Console, level: Level) -> None:
    if level == "quiet":
        console.print(Text(explanation.verdict, COLOURS[explanation.verdict]), highlight=False)
        return
    for line in _lines(explanation, level == "verbose"):
        print_line(console, line)


def as_text(explanation: Explanation, width: int = 120, *, level: Level = "normal") -> str:
    """Return an explanation as plain text."""
    console = Console(file=StringIO(), width=width, color_system=None, force_jupyter=False)
    print_explanation(explanation, console, level=level)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def _lines(explanation: Explanation, verbose: bool) -> Iterator[Text]:
    yield _headline(explanation)
    yield Text("")
    reason = explanation.reason
    if explanation.verdict == "DEPENDS":
        yield from _depends(explanation)
    else:
        yield Text(printable(reason.text))
        if reason.step is not None and reason.step.table is not None:
            yield from _decided_by(reason.step)
    yield from _advice(reason)
    if before := str(explanation.before_text()):
        yield Text(before)
        if verbose and explanation.before is not None:
            yield Text.assemble((say("Before"), "bold"), "   ", printable(explanation.before.reason.text))
    yield Text("")
    if explanation.classes:
        yield from _classes(explanation)
    if explanation.branches and explanation.verdict == "DEPENDS":
        yield from _ways(explanation, verbose)
    else:
        yield from _legs(explanation, verbose)
        if explanation.branches:
            yield from _other_ways(explanation)
    yield from _remarks(explanation)
    yield from assumed_lines(explanation.assumptions)


def _remarks(explanation: Explanation) -> Iterator[Text]:
    """Yield what the logged lines of a pasted text say, one line each."""
    found = explanation.remarks()
    if not found:
        return
    width = min(max(len(one.shown) for one in found), 28)
    number = len(str(max(one.line for one in found)))
    yield Text("")
    yield Text(say("What the log shows, by line:"))
    before = 0
    for one in found:
        where = f"{one.line:>{number}}" if one.line != before else " " * number
        before = one.line
        yield Text.assemble((f"  {where}  ", "dim"), printable(f"{one.shown:<{width}}  {one.says}"))


def asked_text(explanation: Explanation) -> str:
    """Return the kind of packet that the answer is about: "tcp/80, new connection"."""
    question = explanation.question
    state = question.state or "new"
    what = explanation.what
    if question.after is not None or question.conntrack is not None:
        # the fields of the connection imply its state
        return what
    if state == "new":
        return say("{what}, new connection", what=what)
    if state == "established":
        return say("{what}, established connection", what=what)
    if state == "related":
        return say("{what}, related connection", what=what)
    return say("{what}, state {state}", what=what, state=state)


def _headline(explanation: Explanation) -> Text:
    return Text.assemble(
        (explanation.verdict, COLOURS[explanation.verdict]),
        "   ",
        (printable(explanation.sender), "bold"),
        " → ",
        (printable(explanation.target), "bold"),
        "   ",
        asked_text(explanation),
    )


def _depends(explanation: Explanation) -> Iterator[Text]:
    """Show what is undecided: in a sentence, or one line each."""
    lines, step = list(map(str, hinge_texts(explanation.trace.hinges))), explanation.reason.step
    if len(lines) <= 1 or explanation.classes:
        yield Text(printable(explanation.reason.text))
        if step is not None and step.table is not None and not (step.rule and is_gap(step.rule.target)):
            yield from _decided_by(step, say("Depends on"))
        return
    yield Text(say("It depends on:"))
    for line in lines[:_SHOWN]:
        yield Text(f"  {printable(line)}")
    if len(lines) > _SHOWN:
        yield Text("  " + say("... and {count} more", count=len(lines) - _SHOWN), "dim")


def _decided_by(step: Step, label: str = "") -> Iterator[Text]:
    rule = step.rule
    line = Text.assemble(
        (label or say("Decided by")) + "   ", (printable(decision_of(step)), "bold"), backend_of(step)
    )
    if rule is not None:
        line.append(say(" (line {line}):  ", line=rule.line) if rule.line else ":  ")
        line.append(printable(spec(rule)), "cyan")
    yield line


def _advice(reason: Reason, indent: str = "") -> Iterator[Text]:
    """Show how the verdict is usually changed: each command in a line of its own."""
    with language(reason.language):
        for passage in passages(reason.remedy):
            yield Text(f"{indent}{printable(passage.words)}")
            yield from (Text(f"{indent}  {printable(one)}", "cyan", no_wrap=True) for one in passage.commands)


# -- classes ---------------------------------------------------------------------------------------


def _classes(explanation: Explanation) -> Iterator[Text]:
    """Show how each class of addresses is treated, then whose path follows."""
    for one in explanation.classes:
        answer = one.explanation
        addresses = printable(str(addresses_text(one)))
        yield Text.assemble((f"{answer.verdict:<8}", COLOURS[answer.verdict]), (addresses, "bold"))
        yield Text(f"        {printable(answer.reason.text)}")
        if one.is_rest:
            yield from _advice(answer.reason, " " * 8)
        words = ["iptsim", "explain", explanation.host.source, *explain_options(line_of(answer.question))]
        yield Text(f"        $ {printable(shlex.join(words))}", "dim", no_wrap=True)
    yield Text("")
    rest = str(addresses_text(explanation.classes[-1]))
    yield Text(say("The path for {addresses}:", addresses=printable(rest)), "bold")


# -- ways ------------------------------------------------------------------------------------------


def _ways(explanation: Explanation, verbose: bool) -> Iterator[Text]:
    """Show when which verdict applies; the first condition that holds is right."""
    outcomes = outcome_list(explanation.branches)
    if outcomes.in_order:
        yield Text(say("The first condition that holds decides:"), "dim")
    for number, (outcome, when) in enumerate(outcomes.rows):
        if verbose and number:
            yield Text("")
        yield Text.assemble((f"{outcome.verdict:<8}", COLOURS[outcome.verdict]), printable(str(when)))
        if not verbose:
            yield from (Text(" " * 8) + line for line in _whys(outcome))
            continue
        for place, way in enumerate(outcome.branches[:BRANCHES_SHOWN]):
            if place:
                yield Text("")
            yield Text.assemble(" " * 8, (printable(str(when_text(way.trace.decisions))), "dim"))
            yield from (Text(" " * 8) + line for line in _why(way))
            yield from _legs(way, verbose)
        if (left := len(outcome.branches) - BRANCHES_SHOWN) > 0:
            yield Text(" " * 8 + say("... and {count} more", count=left), "dim")
    if outcomes.is_cut:
        yield Text(say("There are too many conditions to list them; --json has all branches."), "dim")


def _whys(outcome: Outcome) -> Iterator[Text]:
    """Show what decides on the branches of an outcome, unless its condition says so, or they differ too much."""
    named = {id(one.rule) for one in outcome.conditions if one.rule is not None}
    lines = {
        line.plain: line
        for way in outcome.branches
        if (step := way.reason.step) is None
        or step.rule is None
        or not (id(step.rule) in named or is_gap(step.rule.target))
        for line in _why(way)
    }
    if len(lines) <= _WHYS_SHOWN:
        yield from lines.values()


def _why(way: Explanation) -> Iterator[Text]:
    step = way.reason.step
    # say that it is the reply that is lost: the same rule may block a request
    if step is not None and step.table is not None and way.reason.leg is way.trace.legs[0]:
        yield from _decided_by(step)
    else:
        yield Text(printable(way.reason.text))


def _other_ways(explanation: Explanation) -> Iterator[Text]:
    by_source = differ_in_source([way.trace for way in explanation.branches])
    ends = [_end_of(way, by_source=by_source) for way in explanation.branches]
    if len(set(ends)) < 2:
        return  # they differ only in what happens to the reply
    yield Text("")
    yield Text(say("All branches have the same verdict, but not the same outcome:"), "dim")
    lines = (
        f"  {printable(end)}  {printable(str(when_text(way.trace.decisions)))}"
        for way, end in zip(explanation.branches, ends, strict=True)
    )
    for line in list(dict.fromkeys(lines))[:_SHOWN]:
        yield Text(line, "dim")


def _end_of(way: Explanation, *, by_source: bool) -> str:
    """Return where a branch ends, with the source address of the packet there if wanted."""
    request = way.trace.legs[0]
    if request.delivered is not None:
        end, packet = delivered_text(request.delivered), request.delivered.packet
        source = address_text(packet.family, packet.src)
        return say("{end} from {source}", end=end, source=source) if by_source else end
    if request.verdict == "REJECT" and (ends := request.ends) and ends[-1].rule is not None:
        return say("rejected with {answer}", answer=str(ends[-1].note))
    return say("not delivered")


# -- legs ------------------------------------------------------------------------------------------


def _legs(explanation: Explanation, verbose: bool) -> Iterator[Text]:
    legs = explanation.story.legs
    for leg in legs:
        if len(legs) > 1:
            yield Text.assemble(
                (f"{leg.number} {leg.title}", "bold"), "   ", (leg.leg.verdict, COLOURS[leg.leg.verdict])
            )
        yield from _inside(leg.own, leg, verbose)
        if leg.stays_inside:
            stays = say(
                "stays inside {sender}: no rule of the host sees it", sender=printable(leg.leg.sender)
            )
            yield Text(f"{' ' * INDENT}{stays}", "dim")
        elif not leg.host.steps and not leg.leg.inside:
            yield Text(" " * INDENT + say("no rule sees it"), "dim")
        yield from _brief(leg) if leg.is_later and not verbose else visit_lines(leg.host, leg, verbose)
        yield from _inside(leg.arrival, leg, verbose)
        delivered = leg.leg.delivered
        if delivered is not None and leg.number == 1 and not explanation.branches:
            yield Text.assemble(
                " " * INDENT, (say("arrives at") + " ", "dim"), printable(delivered_text(delivered)),
                f" ({printable(leg.leg.program)})" if leg.leg.program else "",
            )  # fmt: skip


def _inside(place: NamespaceVisit, leg: LegVisit, verbose: bool) -> Iterator[Text]:
    """Show what a container's own rules did, if they did anything."""
    if place.steps and (verbose or place.matters):
        inside = say("inside {name}", name=printable(place.name) or say("the receiver"))
        yield Text(f"{' ' * INDENT}{inside}", "dim")
        yield from visit_lines(place, leg, verbose)


def brief(leg: LegVisit) -> Iterator[str]:
    """Yield which rules and policies accepted a leg, in one sentence, then the notes of the kernel."""
    steps = leg.host.steps
    accepting = [step for step in steps if step.verdict == "ACCEPT" and step.table is not None]
    shown = [
        short_place_of(step)
        for step in accepting
        if step.table == "filter" or (step.rule is not None and step.table not in BUILTIN_CHAINS)
    ]
    notes = [str(step.note) for step in steps if step.table is None]
    if shown or (steps and not notes):
        yield say("accepted by {places}", places=joined(", ", shown) or say("every policy"))
    yield from notes


def _brief(leg: LegVisit) -> Iterator[Text]:
    for sentence in brief(leg):
        yield Text(f"{' ' * INDENT}{printable(sentence)}", "dim")
