"""Address classes of a chain: groups of addresses that are treated alike, and which of them reach which."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from iptsim.languages import message_as, say
from iptsim.render.sheets import Sheet

if TYPE_CHECKING:
    from iptsim.sets.classes import AddressClasses, Unsure

#: How many ranges of a class a text shows, and up to how many classes it has a matrix.
_RANGES, _MATRIX = 6, 40
_HEADS = (
    message_as("column", "class"),
    message_as("column", "addresses"),
    message_as("column", "may connect to"),
)


def classes_lines(found: AddressClasses, what: str, unknown: Unsure) -> Iterator[Text]:
    """Yield the lines that show address classes.

    Args:
        found: the classes.
        what: the chain and the packets: "filter FORWARD, tcp/22".
        unknown: how undecided matches were treated.
    """
    yield from _listed(found, what)
    yield Text("")
    yield Text(
        say("Interfaces are left open: a connection counts if the chain accepts it on any of them."), "dim"
    )
    if unknown == "accept":
        yield Text(say("Undecided matches count as accepting (--unknown deny: as denying)."), "dim")
    else:
        yield Text(say("Undecided matches count as denying (--unknown accept: as accepting)."), "dim")


def _listed(found: AddressClasses, what: str) -> Iterator[Text]:
    """Yield the lines of the classes, and of which may connect to which."""
    yield Text.assemble((say("Address classes"), "bold"), f"   {what}")
    width = len(str(len(found.classes)))
    for number, one in enumerate(found.classes, 1):
        texts = list(one.texts())
        shown = ", ".join(texts[:_RANGES])
        left = len(texts) - _RANGES
        text = say("{addresses} and {count} more", addresses=shown, count=left) if left > 0 else shown
        yield Text.assemble(f"  {number:>{width}}  ", text)
    yield Text("")
    yield Text.assemble((say("Which may connect to which"), "bold"), "   ", say("rows send, columns receive"))
    edges = set(found.edges)
    places = range(len(found.classes))
    if len(found.classes) > _MATRIX:
        for place in places:
            yield Text(f"  {place + 1:>{width}}  {_targets(edges, place, len(found.classes)) or '-'}")
        return
    yield Text("  " + " " * width + "".join(f"  {place + 1:>{width}}" for place in places), "dim")
    for place in places:
        marks = "".join(f"  {'x' if (place, other) in edges else '.':>{width}}" for other in places)
        yield Text(f"  {place + 1:>{width}}{marks}")


def classes_sheet(found: AddressClasses, title: str) -> Sheet:
    """Return address classes as a table."""
    edges = set(found.edges)
    rows = [
        (str(place + 1), ", ".join(one.texts()), _targets(edges, place, len(found.classes)))
        for place, one in enumerate(found.classes)
    ]
    return Sheet(title, list(map(str, _HEADS)), rows)


def _targets(edges: set[tuple[int, int]], place: int, count: int) -> str:
    return ", ".join(str(other + 1) for other in range(count) if (place, other) in edges)
