"""The effect of changes as text: both answers side by side, or the table of connections whose verdict changes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from itertools import zip_longest

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from iptsim.alternatives import Proposal, WhatIf
from iptsim.alternatives.comparison import change_text, signature
from iptsim.alternatives.shifts import Outcome, outcome_of
from iptsim.errors import printable
from iptsim.explanation import Explanation
from iptsim.explanation.delivery import delivered_text
from iptsim.explanation.story import LegVisit
from iptsim.languages import joined, language, message, say, say_as
from iptsim.netfilter.listeners import united
from iptsim.netfilter.steps import Step
from iptsim.render.console import assumed_lines, is_plain, print_line, print_table
from iptsim.render.visits_text import COLOURS, changes_of, result_text, spec

#: Width of a comparison that does not go to a terminal.
_PIPED = 110
#: What a change does to a connection, by its kind in JSON.
EFFECTS = {"opens": message("opens"), "closes": message("closes"), "alters": message("changes")}
#: How many side effects of a proposal are named; JSON has them all.
_ALSO_SHOWN = 6


def print_what_if(answer: WhatIf, console: Console) -> None:
    """Print the effect of changes."""
    with language(answer.language):
        _print(answer, console)


def _print(answer: WhatIf, console: Console) -> None:
    changes = " ".join(map(change_text, answer.changes))
    print_line(console, Text.assemble(say("What if") + "  ", (printable(changes), "bold")))
    print_line(console, Text(printable(answer.why)))
    console.print()
    if answer.before is None and answer.after is None:
        _print_shifts(answer, console)
    else:
        _print_both(answer, console)
    explanations = [side for side in (answer.before, answer.after) if side is not None]
    assumed = [explanation.assumed for explanation in explanations] or [answer.host.assumptions]
    for line in assumed_lines(united(sentence for sentences in assumed for sentence in sentences)):
        print_line(console, line)


def as_text(answer: WhatIf, width: int = 120) -> str:
    """Return the effect of changes as plain text."""
    console = Console(file=StringIO(), width=width, color_system=None, force_jupyter=False)
    print_what_if(answer, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def proposals_lines(proposals: Sequence[Proposal], explanation: Explanation) -> Iterator[Text]:
    """Yield the lines that show what would change the verdict of an answer.

    Args:
        proposals: the proposals.
        explanation: the answer.
    """
    lets = explanation.verdict != "ACCEPT"
    yield Text(say("What would allow it") if lets else say("What would block it"), "bold")
    if not proposals:
        yield Text("  " + say("none of the changes tried does"))
    for proposal in proposals:
        title = proposal.command or proposal.options
        yield Text.assemble(
            "  ", (printable(title), "cyan") if title else "", "" if title else say("(nothing to change)")
        )
        yield Text(f"    {printable(proposal.text if lets else _with_end(proposal))}")
        yield from (Text(f"    {line}", "dim") for line in side_effects(proposal))


def _with_end(proposal: Proposal) -> str:
    """Return a proposal, and where the packet ends if it is still delivered."""
    outcome = outcome_of(proposal.after.host, proposal.after.trace)
    if not outcome.reached:
        return str(proposal.text)
    return say("{proposal}; the packet then ends at {place}", proposal=proposal.text, place=outcome.at)


def side_effects(proposal: Proposal) -> Iterator[str]:
    """Yield the side effects of a proposal, one line for each kind."""
    opened = [
        shift.row for shift in proposal.also if shift.kind == "opens" and shift.row.sender == "internet"
    ]
    if opened:
        listed = joined(", ", (f"{row.to} {row.says}" for row in opened))
        yield printable(say("opens to the internet: {ways}", ways=listed))
    for kind in ("opens", "closes", "alters"):
        rows = [shift.row for shift in proposal.also if shift.kind == kind and shift.row not in opened]
        if rows:
            listed = joined(", ", (f"{row.sender} → {row.to} {row.says}" for row in rows[:_ALSO_SHOWN]))
            if len(rows) > _ALSO_SHOWN:
                listed = say("{ways} and {count} more", ways=listed, count=len(rows) - _ALSO_SHOWN)
            yield printable(_effect(kind, listed))
    if not proposal.also:
        yield say("no other checked connection changes")
    if proposal.left_out:
        yield say("({count} more connections were not checked)", count=proposal.left_out)


def _effect(kind: str, ways: str) -> str:
    if kind == "opens":
        return say("also opens {ways}", ways=ways)
    if kind == "closes":
        return say("also closes {ways}", ways=ways)
    return say("also changes {ways}", ways=ways)


# -- without a question ----------------------------------------------------------------------------


def _print_shifts(answer: WhatIf, console: Console) -> None:
    if answer.shifts:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in (
            say_as("column", "from"), say_as("column", "to"), say_as("column", "what"),
            say_as("column", "before"), say_as("column", "after"),
        ):  # fmt: skip
            table.add_column(name)
        for shift in answer.shifts:
            row = shift.row
            table.add_row(
                Text(printable(row.sender)), Text(printable(row.to)), str(row.says),
                _outcome(shift.before), _outcome(shift.after),
            )  # fmt: skip
        print_table(console, table)
    if answer.left_out:
        console.print(Text(say("({count} more connections were not checked)", count=answer.left_out), "dim"))


def _outcome(outcome: Outcome) -> Text:
    if not outcome.verdict:
        return Text(say("cannot be checked"), "dim")
    return Text.assemble(
        (outcome.verdict, COLOURS[outcome.verdict]),
        say(" at {place}", place=printable(outcome.at)) if outcome.at else "",
        say(", no reply") if outcome.unanswered else "",
    )


# -- side by side ----------------------------------------------------------------------------------


def _print_both(answer: WhatIf, console: Console) -> None:
    before, after = answer.before, answer.after
    if not console.is_terminal and not is_plain(console):
        console.width = max(console.width, _PIPED)
    known = after or before
    assert known is not None
    console.print(
        Text.assemble(
            (printable(known.sender), "bold"), " → ", (printable(known.target), "bold"),
            f"   {printable(known.what)}",
        )
    )  # fmt: skip
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(say_as("column", "before"), ratio=1, overflow="fold")
    table.add_column("", width=1)
    table.add_column(say_as("column", "after"), ratio=1, overflow="fold")
    table.add_row(_headline(before, answer, "before"), "", _headline(after, answer, "after"))
    for was, now in legs_of_both(answer):
        table.add_row("", "", "")
        table.add_row(_leg(was), "", _leg(now))
        hooks = ["", ""]
        for left, mark, right in aligned(was, now):
            steps = (left, right)
            new = [
                step.hook if step and step.hook != hook else ""
                for step, hook in zip(steps, hooks, strict=True)
            ]
            if any(new):
                table.add_row(_hook(new[0]), "", _hook(new[1]))
            hooks = [step.hook if step else hook for step, hook in zip(steps, hooks, strict=True)]
            table.add_row(_step(left), mark, _step(right))
        table.add_row(_end(was), "", _end(now))
    print_table(console, table)


def _hook(name: str) -> Text:
    return Text(f"  {name}" if name else "", "dim")


def _headline(explanation: Explanation | None, answer: WhatIf, when: str) -> Text:
    if explanation is None:
        return Text(printable(answer.cannot[when]), "dim")
    return Text.assemble(
        (explanation.verdict, COLOURS[explanation.verdict]), "  ", printable(explanation.reason.text)
    )


def _leg(leg: LegVisit | None) -> Text:
    if leg is None:
        return Text("")
    verdict = leg.leg.verdict
    return Text.assemble((f"{leg.number} {leg.title}", "bold"), "  ", (verdict, COLOURS[verdict]))


def legs_of_both(answer: WhatIf) -> Iterable[tuple[LegVisit | None, LegVisit | None]]:
    """Return the legs of both answers side by side, with None for missing legs."""
    before, after = (one.story.legs if one is not None else [] for one in (answer.before, answer.after))
    return zip_longest(before, after)


def aligned(was: LegVisit | None, now: LegVisit | None) -> Iterator[tuple[Step | None, str, Step | None]]:
    """Yield the steps of two legs side by side, with a mark where they differ."""
    left, right = (
        [step for step in leg.leg.all_steps if not (step.policy and step.verdict == "ACCEPT")] if leg else []
        for leg in (was, now)
    )
    matcher = difflib.SequenceMatcher(
        None, [signature(step) for step in left], [signature(step) for step in right], autojunk=False
    )
    for tag, a, b, c, d in matcher.get_opcodes():
        for offset in range(max(b - a, d - c)):
            yield (
                left[a + offset] if a + offset < b else None,
                "" if tag == "equal" or was is None or now is None else "≠",
                right[c + offset] if c + offset < d else None,
            )


def _step(step: Step | None) -> Padding | Text:
    if step is None:
        return Text("")
    text = result_text(step)
    if step.table is None:
        return _hanging(text)
    number = f" {step.rule.position}" if step.rule is not None else ""
    text = Text(f"{step.table} {printable(str(step.chain))}{number}  ") + text
    for change in changes_of(step):
        text.append(f"  {change}", "magenta")
    if step.rule is not None and not step.called and step.verdict != "RETURN":
        text.append(f"  {printable(spec(step.rule))}", "dim")
    return _hanging(text)


def _hanging(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 4))


def _end(leg: LegVisit | None) -> Text:
    delivered = leg.leg.delivered if leg is not None else None
    if delivered is None:
        return Text("")
    return Text.assemble("  ", (say("arrives at") + " ", "dim"), printable(delivered_text(delivered)))
