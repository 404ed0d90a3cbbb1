"""Who can reach what, as text and as tables."""

from __future__ import annotations

import shlex
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby

from rich.cells import cell_len
from rich.text import Text

from iptsim.errors import printable
from iptsim.explanation import ReasonCode
from iptsim.explanation.classes import among, shortened
from iptsim.extensions.constraints import Ranges
from iptsim.languages import Message, joined, message_as, say
from iptsim.protocols import PORT_PROTOCOLS
from iptsim.question.options import explain_options
from iptsim.reaching import Cell, ReachClass, Reaching
from iptsim.reaching.exposure import exposed
from iptsim.reaching.matrix import matrix_of
from iptsim.reaching.traffic import Traffic
from iptsim.render.console import assumed_lines, padded
from iptsim.render.sheets import Sheet
from iptsim.render.visits_text import COLOURS

#: How wide a matrix may be; wider ones are lists.
_WIDEST = 110
#: From this many classes on that differ only in their ports, they are shown as one.
_MANY = 12
#: From this many receivers on, the ports that the host forwards are shown once, before a list.
_FORWARDED = 3
#: Up to this many names of a group are shown.
_NAMES = 4
#: Up to this many ranges of source ports are shown for such ports.
_SOURCE_PORTS = 3
_INDENT = "        "
#: The columns of tables.
HEADS: tuple[Message, ...] = (
    message_as("column", "from"), message_as("column", "to"), message_as("column", "ports"),
    message_as("column", "verdict"), message_as("column", "decided by"), message_as("column", "why"),
    message_as("column", "example"),
)  # fmt: skip


def reach_lines(answer: Reaching) -> Iterator[Text]:
    """Yield the lines that show an answer."""
    shown: list[ReachClass] = []
    if answer.source is None and answer.target is None:
        yield from _overview(answer, shown)
    else:
        yield from _ends_lines(answer, shown)
    yield from assumed_lines(answer.assumed(shown))


def _ends_lines(answer: Reaching, printed: list[ReachClass]) -> Iterator[Text]:
    """Yield the lines about the packets between two ends, and keep which classes they show."""
    yield Text.assemble((title_text(answer), "bold"), "   ", kind_text(answer))
    shown = [one for one in answer.classes if _is_of_interest(answer, one)] or list(answer.classes)
    if not shown:
        yield Text(say("Nothing gets in.") if answer.only_open else say("No packet takes this path."))
    for (sender, receiver), group in groupby(shown, key=lambda one: (one.sender, one.receiver)):
        yield Text("")
        yield Text(f"{name_text(sender)} → {name_text(receiver)}", "bold")
        classes = answer.summed_up(list(group))
        for one in classes:
            printed.append(one)
            yield from _class_lines(answer, one, is_rest=answer.is_rest(one, classes))


def _is_of_interest(answer: Reaching, one: ReachClass) -> bool:
    """Return whether a class is shown beside others: not to the sender itself, nor to addresses that no machine has."""
    target = answer.target
    alone = target is not None and target.by_address and target.addresses.size == 1
    if one.sender == one.receiver != "" and not alone:
        return False
    asked = answer.target is not None and not answer.target.names
    return asked or one.receiver != "" or one.verdict == "ACCEPT" or one.fate.code != ReasonCode.NO_NEIGHBOUR


def title_text(answer: Reaching) -> str:
    """Return which ends an answer is about."""
    if answer.source is None and answer.target is None:
        return say("Who can reach what")
    source, target = answer.source, answer.target
    if source is None and target is not None:
        return say("To {target}", target=printable(target.text))
    if target is None and source is not None:
        return say("From {source}", source=printable(source.text))
    assert source is not None
    assert target is not None
    return say("From {source} to {target}", source=printable(source.text), target=printable(target.text))


def kind_text(answer: Reaching) -> str:
    """Return which packets an answer is about."""
    if answer.state == "new":
        return say("IPv{family}, new connections", family=answer.family)
    return say("IPv{family}, packets of state {state}", family=answer.family, state=answer.state)


def name_text(name: str) -> str:
    """Return the name of an endpoint."""
    return printable(name) or say("other machines")


# -- classes ---------------------------------------------------------------------------------------


def _class_lines(
    answer: Reaching, one: ReachClass, receiver: str = "", *, is_rest: bool = False
) -> Iterator[Text]:
    """Yield the lines of a class: verdict and packets, the reason, a command that shows it."""
    yield Text.assemble(
        (f"{one.verdict:<8}", COLOURS[one.verdict]),
        (f"{receiver}   " if receiver else "", "bold"),
        rest_text() if is_rest else packets_text(answer, one),
        ("   " + say("nothing listens") if one.is_refused else "", "dim"),
    )
    yield Text(f"{_INDENT}{why_text(one)}")
    yield Text(f"{_INDENT}$ {command_text(answer, one)}", "dim", no_wrap=True)


def _alike(answer: Reaching, classes: Sequence[ReachClass]) -> Iterator[list[ReachClass]]:
    """Yield classes that differ only in their ports, if they are many; else each on its own."""
    groups: dict[Hashable, list[ReachClass]] = {}
    for one in classes:
        usual = one.packets.ranges("sport") == ((0, 0xFFFF),) and one.fate.confirmed and not one.is_refused
        what = (_via(answer, one), _targets(answer, one), sources_text(answer, one)) if usual else id(one)
        groups.setdefault((one.receiver, one.verdict, what), []).append(one)
    many = {id(one): group for group in groups.values() if len(group) >= _MANY for one in group}
    for one in classes:
        group = many.get(id(one), [one])
        if group[0] is one:
            yield group


def _told_together(answer: Reaching, groups: Iterable[list[ReachClass]]) -> Iterator[list[ReachClass]]:
    """Yield groups of classes, where single ones for other receivers of which the same is said are one group."""
    found: dict[Hashable, list[ReachClass]] = {}
    for group in groups:
        one = group[0]
        said = id(one) if len(group) > 1 else (one.verdict, packets_text(answer, one), why_text(one))
        found.setdefault(said, []).extend(group)
    yield from found.values()


def _many_lines(answer: Reaching, classes: Sequence[ReachClass]) -> Iterator[Text]:
    """Yield the lines of classes that differ only in their ports: all of these, and the first class as an example."""
    first = classes[0]
    ports = Traffic()
    for one in classes:
        ports = ports | one.traffic
    said = [" ".join(filter(None, [str(ports.says(answer.asked, in_full=True)), _via(answer, first)]))]
    said += filter(None, [_targets(answer, first)])
    if sources := sources_text(answer, first):
        said.append(say("from {sources}", sources=sources))
    yield Text.assemble(
        (f"{first.verdict:<8}", COLOURS[first.verdict]),
        (f"{name_text(first.receiver)}   ", "bold"),
        joined(", ", said),
    )
    yield Text(
        _INDENT
        + say(
            "Decided in {count} places; for {ports}: {why}",
            count=len(classes),
            ports=str(first.traffic.says(answer.asked)),
            why=why_text(first),
        )
    )
    yield Text(f"{_INDENT}$ {command_text(answer, first)}", "dim", no_wrap=True)


def rest_text() -> str:
    """Return the name for packets that are in no other class between their ends."""
    return say("everything else")


def packets_text(answer: Reaching, one: ReachClass) -> str:
    """Return which packets a class has: their ports, and what else distinguishes them."""
    sources = sources_text(answer, one)
    sent = say("from {sources}", sources=sources) if sources else ""
    return joined(", ", filter(None, [traffic_text(answer, one), sent]))


def traffic_text(answer: Reaching, one: ReachClass) -> str:
    """Return the ports of a class, and the destinations if they are not all of the receiver's."""
    some = one.traffic - one.usual if one.is_open and one.usual else Traffic()
    plain = (one.traffic - some).says(answer.asked)
    parts = [" ".join(filter(None, [str(plain), _via(answer, one)]))]
    if targets := _targets(answer, one):
        parts.append(targets)
    sports = one.packets.ranges("sport")
    if some:
        parts.append(_from_some_ports(answer, one, some))
    elif sports != ((0, 0xFFFF),):
        parts.append(say("from source port {ports}", ports=_ports_text(sports)))
    return joined(", ", parts)


def _from_some_ports(answer: Reaching, one: ReachClass, some: Traffic) -> str:
    """Return ports that are not open to the usual source ports of clients, with the source ports if they are few."""
    parts = [one.within(proto, ports if proto in PORT_PROTOCOLS else ()) for proto, ports in some.items]
    sports = {part.packets.ranges("sport") for part in parts}
    ports = str(some.says(answer.asked))
    if len(sports) == 1 and len(only := sports.pop()) <= _SOURCE_PORTS:
        return say("{ports} from source port {sports}", ports=ports, sports=_ports_text(only))
    return say("{ports} only from certain source ports", ports=ports)


def _ports_text(ports: Ranges) -> str:
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ports)


def _targets(answer: Reaching, one: ReachClass) -> str:
    """Return the destinations of a class, where they are not all of its receiver's addresses."""
    targets = answer.part_of(one) if one.receiver or answer.target is not None else one.destinations
    if not targets:
        return ""
    container = answer.host.containers.get(one.receiver)
    if container is not None and answer.target is None:
        networks = {name: end.address(answer.family) for name, end in container.endpoints.items()}
        names = [name for name, address in networks.items() if address is not None and address in targets]
        return say("in network {networks}", networks=printable(", ".join(names)))
    asked = answer.target.addresses if answer.target is not None and answer.target.by_address else targets
    every = answer.addresses.get(one.receiver, asked)
    return say("to {targets}", targets=printable(str(among(targets, every))))


def _via(answer: Reaching, one: ReachClass) -> str:
    """Return the address that packets were sent to, where it is not the receiver's own."""
    sent = answer.forwarded_at(one)
    if not sent:
        return ""
    if sent <= answer.addresses["host"]:
        return say("of the host")
    return say("sent to {address}", address=printable(str(shortened(sent))))


def sources_text(answer: Reaching, one: ReachClass) -> str:
    """Return the sources of a class; "" if they are all of its sender's addresses."""
    if one.sender not in ("", "internet"):
        return ""
    rest = answer.other_sources(one)
    are_all = one.sender or (answer.source is not None and answer.source.by_address)
    if are_all and not rest:
        return ""
    return str(among(one.sources, one.sources | rest))


def why_text(one: ReachClass) -> str:
    """Return why a class is treated as it is."""
    if not one.fate.confirmed:
        return say("Not exact: the example packet gets {verdict}.", verdict=one.explanation.verdict)
    if one.verdict == "DEPENDS" and one.explanation.verdict != "DEPENDS":
        return say("It depends on {what}.", what=printable(joined("; on ", one.fate.hinges)))
    why = printable(one.explanation.reason.text)
    return say("Example: {why}", why=why) if one.is_of_several_ports else why


def command_text(answer: Reaching, one: ReachClass) -> str:
    """Return the command that explains a packet of a class."""
    words = ["iptsim", "explain", answer.host.source, *explain_options(answer.shortened(one.witness))]
    return printable(shlex.join(words))


# -- the whole host --------------------------------------------------------------------------------


def _overview(answer: Reaching, printed: list[ReachClass]) -> Iterator[Text]:
    """Yield what is open from the internet, then the matrix of endpoints; and keep which classes are shown."""
    yield Text.assemble((say("Open from the internet"), "bold"), "   ", kind_text(answer))
    outside = [one for _, one in exposed(answer)]
    printed += outside
    for classes in _told_together(answer, _alike(answer, outside)):
        yield Text("")
        if len(classes) < _MANY or classes[0].receiver != classes[-1].receiver:
            receivers = dict.fromkeys(name_text(one.receiver) for one in classes)
            yield from _class_lines(answer, classes[0], _group_text(tuple(receivers)))
        else:
            yield from _many_lines(answer, classes)
    if not outside:
        yield Text(say("Nothing."))
    yield Text("")
    yield Text.assemble((say("Who can reach what"), "bold"), "   ", say("rows send, columns receive"))
    yield from matrix_lines(answer)
    if any(one.is_refused for one in answer.classes):
        yield Text(say("Ports on which nothing listens are left out."), "dim")
    if any(one.verdict == "DEPENDS" for one in answer.classes):
        yield Text(say("?: it depends on something undecided."), "dim")


def matrix_lines(answer: Reaching) -> Iterator[Text]:
    """Yield the matrix of endpoints as a grid, or as a list if it is too wide."""
    matrix = matrix_of(answer)
    names = [", ".join(map(printable, group)) for group in matrix.groups]

    @cache
    def text(cell: Cell | None, forwarded: Traffic | None = None) -> str:
        return "" if cell is None else cell_text(answer, cell, forwarded)

    places = range(len(names))
    cells = [[text(matrix.cells[row, column]) for column in places] for row in places]
    widths = [
        max(cell_len(names[column]), *(cell_len(row[column]) for row in cells))
        for column in range(len(names))
    ]
    lead = max(map(cell_len, names), default=0)
    if sum(widths) + 2 * len(widths) + lead + 2 > _WIDEST:
        forwarded = matrix.forwarded if len(matrix.forwarded) >= _FORWARDED else {}
        short = [_short_text(group) for group in matrix.groups]
        if forwarded:
            yield Text(f"  {_forwarded_text(answer, short, forwarded)}")
        cells = [
            [text(matrix.cells[row, column], forwarded.get(column)) for column in places] for row in places
        ]
        yield from _matrix_list(names, short, cells)
        return
    yield Text(
        "  "
        + " " * lead
        + "".join(f"  {padded(name, width)}" for name, width in zip(names, widths, strict=True)),
        "dim",
    )
    for name, row in zip(names, cells, strict=True):
        line = Text(f"  {padded(name, lead)}", "bold")
        for cell, width in zip(row, widths, strict=True):
            line.append(f"  {padded(cell, width)}", "not bold")
        line.rstrip()
        yield line


def _forwarded_text(answer: Reaching, names: list[str], forwarded: Mapping[int, Traffic]) -> str:
    """Return which ports the host forwards to which endpoints."""
    found = (
        say("{ports} to {name}", ports=str(ports.says(answer.asked)), name=names[column])
        for column, ports in forwarded.items()
    )
    return say("Ports that the host forwards: {ports}", ports=joined(", ", found))


def _matrix_list(senders: list[str], receivers: list[str], cells: list[list[str]]) -> Iterator[Text]:
    for sender, row in zip(senders, cells, strict=True):
        yield Text(f"  {sender}", "bold")
        by_ports: dict[str, list[str]] = {}
        for receiver, cell in zip(receivers, row, strict=True):
            by_ports.setdefault(cell, []).append(receiver)
        for ports, names in by_ports.items():
            if ports not in ("", "-"):
                yield Text(f"    → {', '.join(names)}   {ports}")


def _short_text(group: tuple[str, ...]) -> str:
    """Return a group of which all names are shown elsewhere, as "c03 (+5)" if it is large."""
    left = len(group) - 1
    return ", ".join(map(printable, group)) if left < _NAMES else f"{printable(group[0])} (+{left})"


def _group_text(group: tuple[str, ...]) -> str:
    """Return the first names of a group, and how many more there are."""
    left = len(group) - _NAMES
    if left < 2:
        return ", ".join(map(printable, group))
    return say("{names} and {count} more", names=", ".join(map(printable, group[:_NAMES])), count=left)


def cell_text(answer: Reaching, cell: Cell, forwarded: Traffic | None = None) -> str:
    """Return what one endpoint can send to another: ports, "-" for nothing, a question mark after what is unsure.

    Args:
        answer: the answer.
        cell: the cell of its matrix.
        forwarded: the ports that the host forwards to the receiver, if they have been told.
    """
    parts = [str(cell.open.says(answer.asked))] if cell.open else []
    if cell.published and cell.published == forwarded:
        parts.append(say("forwarded ports"))
    elif cell.published:
        parts.append(say("{ports} of the host", ports=str(cell.published.says(answer.asked))))
    if cell.unsure:
        parts.append(f"{cell.unsure.says(answer.asked)}?")
    return ", ".join(parts) or "-"


# -- tables ----------------------------------------------------------------------------------------


def reach_sheet(answer: Reaching, title: str) -> Sheet:
    """Return an answer as a table, a row for each class."""
    rows = [
        (
            name_text(one.sender),
            name_text(one.receiver),
            packets_text(answer, one),
            one.verdict,
            str(one.decides),
            why_text(one),
            command_text(answer, one),
        )
        for one in answer.classes
    ]
    return Sheet(title, [str(head) for head in HEADS], rows)
