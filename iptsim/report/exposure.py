"""What is open to the internet: every known port that an outside address reaches, and what answers there."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from iptsim.errors import printable
from iptsim.explanation.delivery import delivered_text
from iptsim.explanation.places import decision_of
from iptsim.languages import Text, message, message_sentences, say, say_many
from iptsim.reach import OTHER_PORT, Reach
from iptsim.report.grid import Grid, Line, port_words
from iptsim.report.markup import Markup, code, element, isolated, table, together
from iptsim.report.places import Places
from iptsim.report.words import Outcome, badge, outcome_of, reason_words

_SENDER = "internet"
#: Open to all, which is worth a warning.
_OPEN = Outcome("REJECT", "●", message("open"))
_ORDER = {"open": 0, "depends": 1, "refused": 2}


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the internet reaches on a host.

    Attributes:
        found: connections that are not blocked, those that are open first.
        checked: how many connections were checked.
    """

    found: tuple[Reach, ...]
    checked: int

    @property
    def ports(self) -> int:
        """How many known ports are open."""
        known = {
            (one.receiver, one.row.what) for one in self.found if one.outcome == "open" and _is_known(one)
        }
        return len(known)

    @property
    def depends(self) -> int:
        """How many connections depend on something unknown."""
        return sum(1 for one in self.found if one.outcome == "depends")

    @property
    def whole_host(self) -> Reach | None:
        """The connection to an unnamed port of the host, if it is open: then so are all others."""
        return next((one for one in self.found if one.receiver == "host" and one.port == OTHER_PORT), None)

    def summary(self) -> str:
        """Return in a sentence or two what is open."""
        host = self.whole_host
        texts: list[Text] = []
        if self.ports:
            texts.append(
                say_many(
                    "{count} known port is open to the internet.",
                    "{count} known ports are open to the internet.",
                    self.ports,
                )
            )
        if self.depends:
            texts.append(
                say_many(
                    "{count} connection depends on something that the source does not say.",
                    "{count} connections depend on something that the source does not say.",
                    self.depends,
                )
            )
        if host is not None and host.outcome != "depends":
            texts.append(
                message(
                    "No rule protects the other ports of the host: each is open once a program listens on it."
                )
            )
        if not texts:
            texts.append(
                message("Nothing is open to the internet: no checked connection from outside is allowed.")
                if self.checked
                else message("The source does not show how the internet could reach this host.")
            )
        return str(message_sentences(*texts))


def exposure_of(grids: Sequence[Grid]) -> Exposure:
    """Return what the internet reaches, by the connections that were checked."""
    asked = [reach for grid in grids for reach in grid.table if reach.sender == _SENDER and reach.verdict]
    found = [reach for reach in asked if reach.outcome in _ORDER]
    found.sort(key=lambda one: (_ORDER[one.outcome], not _is_known(one), one.port or 0))
    return Exposure(tuple(found), len(asked))


def exposure_section(exposure: Exposure, source: str, places: Places) -> Markup:
    """Return the section: a sentence, a table of what is open, and the command that names the sources of each."""
    summary = element("p", exposure.summary())
    if not exposure.found:
        return summary
    both = len({_family(one) for one in exposure.found}) > 1
    heads = [say("Port"), say("Leads to"), say("From the internet"), say("Why")]
    alike: dict[tuple[str, ...], list[Reach]] = {}
    for one in exposure.found:
        key = one.receiver, one.row.what, str(_where(one)), str(_state(one)), one.reason, one.place
        alike.setdefault(key, []).append(one)
    rows = (element("tr", _cells(reaches, places, both)) for reaches in alike.values())
    return together(
        summary,
        table(heads, rows, say("Open to the internet"), stacks=True),
        element(
            "p.hint",
            say(
                "Checked from one outside address that arrives by the default route. Rules may treat certain "
                "addresses differently; this command tells for all addresses and ports:"
            ),
            " ",
            code(f"iptsim reach {shlex.quote(printable(source))} --open"),
        ),
    )


def _cells(reaches: Sequence[Reach], places: Places, both: bool) -> Iterator[Markup]:
    """Yield the cells for connections that are alike in all families."""
    reach = reaches[0]
    line = Line(reach.receiver, reach.row.what, reach.proto, reach.port)
    families = [element("span.tag", f"IPv{_family(one)}") for one in reaches] if both else None
    yield element("th", isolated(port_words(line)), " ", families, scope="row")
    yield element("td", isolated(_where(reach)))
    outcome = _OPEN if reach.outcome == "open" else outcome_of(reach)
    yield element("td", badge(outcome, _state(reach)))
    address = places.decision(reach)
    step = reach.explanation.reason.step if reach.explanation is not None else None
    place = isolated(decision_of(step)) if step is not None and step.table is not None else None
    decides = element("a", place, href=f"#{address}") if address else place
    yield element("td", reason_words(reach), element("span.list.soft", decides) if place else None)


def _where(reach: Reach) -> Text:
    """Return where a connection ends: "web 172.17.0.2:80", "sshd on this host"."""
    explanation = reach.explanation
    opening = explanation.trace.opening if explanation is not None else None
    if opening is None or opening.delivered is None:
        if reach.receiver == "host":
            return message("this host")
        return message("{name}, at its own address", name=printable(reach.receiver))
    delivered = opening.delivered
    if delivered.kind == "host":
        if opening.program:
            return message("{program} on this host", program=printable(opening.program))
        return message("this host")
    text = printable(delivered_text(delivered))
    if reach.receiver == delivered.name:
        return message("{place}, at its own address", place=text)
    return text


def _state(reach: Reach) -> Text:
    if reach.outcome == "refused":
        return message("refused: nothing listens")
    if reach.outcome == "depends":
        return message("depends")
    listening = reach.explanation.trace.opening.listening if reach.explanation is not None else None
    return message("open") if listening or reach.port is None else message("open, if a program listens")


def _is_known(reach: Reach) -> bool:
    return reach.port not in (None, OTHER_PORT)


def _family(reach: Reach) -> int:
    return reach.explanation.trace.legs[0].packet.family if reach.explanation is not None else 4
