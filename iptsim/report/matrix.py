"""Reachability as tables: rows send, columns receive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from iptsim.explanation import REASONS
from iptsim.languages import Text, say
from iptsim.report.anchors import Anchors
from iptsim.report.grid import Entry, Grid
from iptsim.report.markup import Content, Markup, element, isolated, together
from iptsim.report.outcomes import NAMES, REASON_WORDS, named, outcome_of, reason_words


def matrices(grids: Sequence[Grid], anchors: Anchors, left_out: Text | None = None) -> Markup:
    """Return the tables of all address families, with the reasons that occur in them.

    Args:
        grids: the tables.
        anchors: of the rules.
        left_out: why there is no table of some address family, as a sentence.
    """
    if not grids:
        return element("p", str(left_out) if left_out is not None else say("There are no endpoints."))
    return together(
        element(
            "p.hint",
            say(
                "Rows send, columns receive. A cell shows what happens to new connections and their replies on all "
                "ports, and why."
            ),
        ),
        (_family(grid, anchors, several=len(grids) > 1) for grid in grids),
        _reasons(grids),
    )


def _family(grid: Grid, anchors: Anchors, *, several: bool) -> Iterator[Markup]:
    family = grid.answer.family
    title = say("Reachability over IPv{family}", family=family)
    if several:
        yield element("h3", f"IPv{family}")
    senders, receivers = grid.folded()
    yield _table(grid, anchors, senders, receivers, title, f"grid-{family}")
    if len(senders) < len(grid.senders) or len(receivers) < len(grid.receivers):
        whole = _table(
            grid, anchors, [[name] for name in grid.senders], [[name] for name in grid.receivers], title,
            f"grid-all-{family}",
        )  # fmt: skip
        yield element("details.more", element("summary", say("Each container separately")), whole)


def _table(
    grid: Grid,
    anchors: Anchors,
    senders: Sequence[Sequence[str]],
    receivers: Sequence[Sequence[str]],
    title: str,
    name: str,
) -> Markup:
    corner = element("th", say("from ↓ to →"), scope="col")
    heads = (element("th", _names(names), scope="col") for names in receivers)
    rows = (
        element(
            "tr",
            element("th", _names(group), scope="row"),
            (_cell(anchors, grid.cell(group, names)) for names in receivers),
        )
        for group in senders
    )
    body = element("table", element("thead", element("tr", corner, heads)), element("tbody", rows))
    return element(
        "div.scroll.grid", body, id=name, tabindex=0, role="group", aria_label=title,
        data_family=grid.answer.family,
    )  # fmt: skip


def _names(names: Sequence[str]) -> Content:
    """Return the names of a group, those of a large one in a fold."""
    if len(names) <= NAMES:
        return isolated(named(names))
    return element("details", element("summary", isolated(named(names))), isolated(", ".join(names[2:])))


def _cell(anchors: Anchors, entries: Sequence[Entry]) -> Markup:
    if not entries:
        return element(
            "td.self", element("span", "–", aria_hidden="true"), element("span.hidden", say("itself"))
        )
    last = outcome_of(entries[-1].one).tone
    return element(f"td.v-{last}", (_entry(anchors, entry) for entry in entries))


def _entry(anchors: Anchors, entry: Entry) -> Markup:
    outcome = outcome_of(entry.one)
    address = anchors.decision(entry.shown_by.explanation)
    return element(
        f"a.v-{outcome.tone}",
        element("b", outcome.word),
        " ",
        isolated(entry.packets),
        element("small", reason_words(entry.shown_by)),
        href=f"#{address}" if address else None,
        data_c=entry.number,
    )


def _reasons(grids: Sequence[Grid]) -> Markup:
    """Return the reasons with what they mean, the most frequent first."""
    found = (entry.shown_by for grid in grids for entries in grid.entries.values() for entry in entries)
    counts = Counter(one.explanation.reason.code for one in found)
    rows = (
        element("li", element("b", REASON_WORDS[code]), element("span", REASONS[code]), data_r=code.value)
        for code, _ in counts.most_common()
    )
    return element(
        "details.more", element("summary", say("What the reasons mean")), element("ul.codes", rows)
    )
