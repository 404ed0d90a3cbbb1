"""What is open to the internet: ports, allowed sources, receivers, and the deciding rules."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from iptsim.errors import printable
from iptsim.languages import Text, joined, message, message_many, message_sentences, say
from iptsim.protocols import PORT_PROTOCOLS
from iptsim.reaching import ReachClass, Reaching
from iptsim.reaching.exposure import Opening, exposed
from iptsim.reaching.traffic import Traffic
from iptsim.render.reach import name_text, sources_text, traffic_text
from iptsim.report.anchors import Anchors
from iptsim.report.markup import Content, Markup, code, element, isolated, table, together
from iptsim.report.outcomes import Outcome, badge, is_open_question, named, outcome_of, reason_words

#: Open to all, which is worth a warning.
_OPEN = Outcome("REJECT", "●", message("open"))
#: Up to this many translations of one row are shown.
_TRANSLATIONS = 4


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the internet can reach on a host.

    Attributes:
        found: what gets in, most serious first.
        is_known: whether the source shows how packets from the internet arrive.
        left_out: why it was not computed, as a sentence; None if it was.
    """

    found: tuple[Opening, ...]
    is_known: bool
    left_out: Text | None = None

    @property
    def ports(self) -> int:
        """The number of open ports that rules or containers name, each counted once per receiver."""
        return _count(opening for opening in self.found if opening.one.is_open and opening.names_ports)

    @property
    def few(self) -> int:
        """How many of them are open only to few sources."""
        return _count(
            opening
            for opening in self.found
            if opening.one.is_open and opening.names_ports and opening.is_for_few
        )

    @property
    def by_source_port(self) -> bool:
        """Whether more is open to packets from source ports that clients do not usually use."""
        return any(
            opening.one.is_open and not opening.has_ports for opening in self.found if _has_ports(opening.one)
        )

    @property
    def depends(self) -> bool:
        """Whether anything depends on something unknown."""
        return any(opening.one.verdict == "DEPENDS" for opening in self.found)

    @property
    def whole_host(self) -> bool:
        """Whether no rule protects the ports of the host that nothing names."""
        return any(
            opening.one.receiver == "host"
            and opening.one.verdict == "ACCEPT"
            and opening.has_ports
            and not opening.names_ports
            and not opening.is_for_few
            for opening in self.found
        )

    def summary(self) -> str:
        """Return in a sentence or two what is open."""
        texts: list[Text] = [self.left_out] if self.left_out is not None else []
        if self.ports:
            texts.append(
                message_many(
                    "{count} port is open to the internet.",
                    "{count} ports are open to the internet.",
                    self.ports,
                )
            )
        if self.few:
            texts.append(
                message_many(
                    "{count} of them only to certain addresses.",
                    "{count} of them only to certain addresses.",
                    self.few,
                )
            )
        if self.by_source_port:
            texts.append(message("More is open to packets from certain source ports."))
        if self.depends:
            texts.append(message("Some packets depend on what the source does not say."))
        if self.whole_host:
            texts.append(
                message(
                    "No rule protects the other ports of the host: each is open once a program listens on it."
                )
            )
        if not texts:
            texts.append(
                message("Nothing is open to the internet.")
                if self.is_known
                else message("The source does not show how the internet could reach this host.")
            )
        return str(message_sentences(*texts))


def exposure_of(answers: Sequence[Reaching], left_out: Text | None = None) -> Exposure:
    """Return what the internet can reach in all address families.

    Args:
        answers: who can reach what.
        left_out: why that was not computed for an address family, as a sentence; None if it was for all.
    """
    is_known = any(one.sender == "internet" for answer in answers for one in answer.classes)
    return Exposure(tuple(exposed(*answers)), is_known, left_out)


def exposure_section(exposure: Exposure, source: str, anchors: Anchors) -> Markup:
    """Return the section: a sentence, a table of what is open, and the command that shows the same."""
    summary = element("p", exposure.summary())
    if not exposure.found:
        return summary
    both = len({one.answer.family for one in exposure.found}) > 1
    heads = [say("Ports"), say("Open to"), say("Leads to"), say("State"), say("Why")]
    rows = (_row(line, families if both else ()) for line, families in _lines(exposure, anchors).items())
    return together(
        summary,
        table(heads, rows, say("Open to the internet"), stacks=True),
        element(
            "p.hint",
            say("All sources and ports were checked. The same in a terminal:"),
            " ",
            code(f"iptsim reach {shlex.quote(printable(source))} --open"),
        ),
    )


class _Line(NamedTuple):
    """A row of the table: the contents of its cells, and the names of the receivers."""

    ports: Markup
    sources: Markup
    is_direct: bool
    translated: Markup
    state: Markup
    why: Markup
    receivers: tuple[str, ...] = ()


def _lines(exposure: Exposure, anchors: Anchors) -> dict[_Line, list[int]]:
    """Return the rows with their address families; what is alike for some receivers, or families, is one row."""
    receivers: dict[tuple[int, _Line], list[str]] = {}
    for opening in exposure.found:
        line = _line(opening, anchors)
        receivers.setdefault((opening.answer.family, line), []).append(_where(opening.one))
    found: dict[_Line, list[int]] = {}
    for (family, line), names in receivers.items():
        found.setdefault(line._replace(receivers=tuple(names)), []).append(family)
    return found


def _line(opening: Opening, anchors: Anchors) -> _Line:
    answer, one = opening.answer, opening.one
    return _Line(
        isolated(traffic_text(answer, one)),
        isolated(sources_text(answer, one) or say("everyone")),
        opening.needs_route and not one.is_forwarded and one.receiver != "",
        together(element("span.list.soft", text) for text in _translated(one)),
        badge(_OPEN if one.is_open else outcome_of(one), _state(one)),
        together(reason_words(one), element("span.list.soft", _decision(one, anchors))),
    )


def _row(line: _Line, families: Sequence[int]) -> Markup:
    tags = [element("span.tag", f"IPv{family}") for family in families]
    names = named(line.receivers)
    if line.is_direct:
        one, more = (
            say("{name}, at its own address", name=names),
            say("{names}, at their own addresses", names=names),
        )
        names = one if len(line.receivers) == 1 else more
    return element(
        "tr",
        element("th", line.ports, " ", tags, scope="row"),
        # on a narrow screen, where the columns have no titles, these two need theirs
        element("td", line.sources, data_head=say("Open to")),
        element("td", isolated(names), line.translated, data_head=say("Leads to")),
        element("td", line.state),
        element("td", line.why),
    )


def _decision(one: ReachClass, anchors: Anchors) -> Content:
    """Return what decides, as a link to it; or what an undecided match is about."""
    if is_open_question(one):
        return joined("; ", one.fate.hinges)
    address = anchors.decision(one.explanation)
    place = isolated(one.decides) if one.decides else None
    return element("a", place, href=f"#{address}") if address else place


def _where(one: ReachClass) -> str:
    """Return where packets end: "sshd on this host", "web", "other machines"."""
    if one.receiver != "host":
        return name_text(one.receiver)
    if one.fate.passes_through:
        return name_text("")
    program = one.explanation.trace.opening.program
    if program and one.traffic.size == 1:
        return say("{program} on this host", program=printable(program))
    return say("this host")


def _translated(one: ReachClass) -> Iterator[Text]:
    """Yield what NAT makes of the packets: "→ 172.17.0.2:80"."""
    made = dict.fromkeys(_address(part) for part in one.fate.translated)
    made.pop("", None)
    for number, text in enumerate(made):
        if number == _TRANSLATIONS:
            yield message("and {count} more", count=len(made) - number)
            return
        yield f"→ {text}" if text[0] != ":" else message("→ port {port}", port=text[1:])
    sources = dict.fromkeys(part["src"] for part in one.fate.translated if "src" in part)
    if sources:
        yield message("with the source {addresses}", addresses=", ".join(sources))


def _address(part: Mapping[str, str]) -> str:
    """Return the destination that NAT writes; "" if it leaves it as it is."""
    port = f":{part['dport']}" if "dport" in part else ""
    address = part.get("dst", "")
    return f"[{address}]{port}" if port and ":" in address else f"{address}{port}"


def _state(one: ReachClass) -> Text:
    if one.is_refused:
        return message("refused: nothing listens")
    if one.verdict == "DEPENDS":
        return message("depends")
    return (
        message("open, if a program listens") if _has_ports(one) and one.listens is None else message("open")
    )


def _has_ports(one: ReachClass) -> bool:
    return any(number in PORT_PROTOCOLS for number in one.traffic.ports)


def _count(openings: Iterable[Opening]) -> int:
    """Return how many ports there are, those of one receiver in several families once."""
    found: dict[str, Traffic] = {}
    for opening in openings:
        usual, receiver = opening.one.usual.ports, opening.one.receiver
        ports = {number: spans for number, spans in usual.items() if number in PORT_PROTOCOLS}
        found[receiver] = found.get(receiver, Traffic({})) | Traffic(ports)
    return sum(traffic.size for traffic in found.values())
