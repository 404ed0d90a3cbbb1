"""The reachability of a host as a table in HTML, for notebooks."""

from __future__ import annotations

from operator import itemgetter

from iptsim.languages import Text, message, message_as
from iptsim.reach import Reach, Reachability
from iptsim.render.html import Html, Piece, badge, element, row, table
from iptsim.render.plain import left_out_text, outcome_text

#: Up to this many senders, the cells have the reasons.
_SENDERS_WIDE = 8


def reachability_table(reachability: Reachability) -> Piece:
    """Return the table of a reachability, with a legend if its cells are signs."""
    senders = list(dict.fromkeys(reach.sender for reach in reachability))
    lines: dict[tuple[str, Text], dict[str, Reach]] = {}
    for one in sorted(reachability, key=lambda one: one.receiver):
        lines.setdefault((one.receiver, one.row.says), {})[one.sender] = one
    cell = _reach if len(senders) <= _SENDERS_WIDE else _reach_in_short
    rows = [
        row(to, what, *(cell(found.get(sender)) for sender in senders), head=2)
        for (to, what), found in lines.items()
    ]
    heads = [message_as("column", "to"), message_as("column", "what"), *_senders(senders)]
    left = reachability.left_out
    return [
        element("div", table(message("Reachability"), heads, rows), class_="wide"),
        _legend(reachability) if cell is _reach_in_short else None,
        element("p", left_out_text(left), class_="dim") if left else None,
    ]


def _senders(senders: list[str]) -> list[Text]:
    first = [message("from {sender}", sender=sender) for sender in senders[:1]]
    return [*first, *senders[1:]]


def _reach(reach: Reach | None) -> Piece:
    if reach is None:
        return None
    if not reach.verdict:
        return element("span", message("cannot be checked"), title=str(reach.note), class_="dim")
    elsewhere = reach.at not in ("", "outside", reach.receiver)
    return [
        badge(reach.verdict),
        message(", refused") if reach.outcome == "refused" else None,
        message(" at {place}", place=reach.at) if elsewhere else None,
        element("div", reach.reason, class_="dim"),
    ]


def _reach_in_short(reach: Reach | None) -> Piece:
    if reach is None or not reach.verdict:
        return None
    return _sign(reach, f"{outcome_text(reach)}: {reach.reason}")


def _sign(reach: Reach, title: str | None = None) -> Html:
    """Return one sign for a verdict, another for a connection that is allowed but refused."""
    sign = "∅" if reach.outcome == "refused" else "?" if reach.verdict == "DEPENDS" else reach.verdict[0]
    return element("span", sign, class_=f"verdict {reach.verdict}", title=title)


def _legend(reachability: Reachability) -> Html:
    found = {(reach.verdict, reach.outcome == "refused"): reach for reach in reachability if reach.verdict}
    return element(
        "p", [[_sign(one), f" {outcome_text(one)}  "] for _, one in sorted(found.items(), key=itemgetter(0))]
    )
