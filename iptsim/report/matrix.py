"""Reachability as tables: rows send, columns receive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from iptsim.explanation import REASONS, ReasonCode
from iptsim.languages import say, say_many
from iptsim.report.grid import Entry, Grid
from iptsim.report.markup import Content, Markup, element, isolated, together
from iptsim.report.places import Places
from iptsim.report.words import REASON_WORDS, outcome_of, reason_words

#: Up to so many names are written out; of more, the first two and the number of the others.
_NAMES = 3


def matrices(grids: Sequence[Grid], places: Places) -> Markup:
    """Return the tables of all address families, with the reasons that occur in them."""
    if not grids:
        return element("p", say("There are no endpoints."))
    return together(
        element(
            "p.hint",
            say(
                "Rows send, columns receive. A cell shows what happens to new connections and their replies, "
                "and why."
            ),
        ),
        (_family(grid, places, several=len(grids) > 1) for grid in grids),
        _reasons(grids),
    )


def _family(grid: Grid, places: Places, *, several: bool) -> Iterator[Markup]:
    family = grid.table.family
    title = say("Reachability over IPv{family}", family=family)
    if several:
        yield element("h3", f"IPv{family}")
    senders, receivers = grid.folded()
    yield _table(grid, places, senders, receivers, title, f"grid-{family}")
    if grid.table.left_out:
        yield element(
            "p",
            say_many(
                "{count} more connection was not checked, because there are too many.",
                "{count} more connections were not checked, because there are too many.",
                grid.table.left_out,
            ),
        )
    if len(senders) < len(grid.senders) or len(receivers) < len(grid.receivers):
        whole = _table(
            grid, places, [[number] for number in range(len(grid.senders))],
            [[name] for name in grid.receivers], title, f"grid-all-{family}",
        )  # fmt: skip
        yield element("details.more", element("summary", say("Each container separately")), whole)


def _table(
    grid: Grid,
    places: Places,
    senders: Sequence[Sequence[int]],
    receivers: Sequence[Sequence[str]],
    title: str,
    name: str,
) -> Markup:
    corner = element("th", say("from ↓ to →"), scope="col")
    heads = (element("th", _names(names), scope="col") for names in receivers)
    rows = (
        element(
            "tr",
            element("th", _names([grid.senders[one] for one in group]), scope="row"),
            (_cell(grid, places, grid.entries(group, names)) for names in receivers),
        )
        for group in senders
    )
    body = element("table", element("thead", element("tr", corner, heads)), element("tbody", rows))
    return element(
        "div.scroll.grid", body, id=name, tabindex=0, role="group", aria_label=title,
        data_family=grid.table.family,
    )  # fmt: skip


def _names(names: Sequence[str]) -> Content:
    """Return the names of a group, those of a large one in a fold."""
    if len(names) <= _NAMES:
        return isolated(", ".join(names))
    first = say("{names} and {count} more", names=", ".join(names[:2]), count=len(names) - 2)
    return element("details", element("summary", isolated(first)), isolated(", ".join(names[2:])))


def _cell(grid: Grid, places: Places, entries: Sequence[Entry]) -> Markup:
    if not entries:
        return element(
            "td.self", element("span", "–", aria_hidden="true"), element("span.hidden", say("itself"))
        )
    last = outcome_of(entries[-1].reach).tone
    return element(f"td.v-{last}", (_entry(grid, places, entry) for entry in entries))


def _entry(grid: Grid, places: Places, entry: Entry) -> Markup:
    outcome = outcome_of(entry.reach)
    address = places.decision(entry.reach)
    return element(
        f"a.v-{outcome.tone}",
        element("b", outcome.word),
        " ",
        grid.ports(entry.lines) if entry.reach.verdict else None,
        element("small", reason_words(entry.reach)),
        href=f"#{address}" if address else None,
        data_c=f"{entry.lines[0]} {entry.sender}",
    )


def _reasons(grids: Sequence[Grid]) -> Markup:
    """Return the reasons with what they mean, the most frequent first."""
    reached = [reach for grid in grids for reach in grid.table if reach.explanation is not None]
    counts = Counter(reach.reason for reach in reached)
    rows = (
        element(
            "li",
            element("b", REASON_WORDS[reason]),
            element(
                "span",
                *(REASONS[ReasonCode(reason)], " "),
                element("span.soft", say_many("{count} connection", "{count} connections", count)),
            ),
            data_r=reason,
        )
        for reason, count in counts.most_common()
    )
    return element(
        "details.more", element("summary", say("What the reasons mean")), element("ul.codes", rows)
    )
