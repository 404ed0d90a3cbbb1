"""Many hosts: how many have which findings, the outliers, the errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from iptsim.diff.comparing import Comparison
from iptsim.errors import printable
from iptsim.languages import say, say_many
from iptsim.reaching import Reaching
from iptsim.reaching.traffic import Traffic
from iptsim.render.sheets import Sheet
from iptsim.sets.fates import Fate

#: How many outliers, warnings and errors, and rules of each outlier, are listed as text.
_LISTED, _RULES = 20, 5
#: Up to this many ranges of ports of a host are counted one by one.
_APART = 40


def hosts_lines(summary: dict[str, Any], rows: list[dict[str, Any]]) -> Iterator[Text]:
    """Yield the lines of a summary, in the form of its JSON; `rows` are its hosts."""
    yield Text(say_many("{count:,} host", "{count:,} hosts", summary["hosts"]), "bold")
    for one in summary["findings"]:
        hosts = say_many("{count:,} host", "{count:,} hosts", one["hosts"])
        yield Text.assemble(f"{hosts:>14}  ", (printable(one["code"]), "bold yellow"))
    if not summary["findings"]:
        yield Text(say("Nothing found."))
    yield from _outliers(summary["outliers"])
    cut_off, errors = summary["cut_off"], summary["errors"]
    warned = [(row["source"], one) for row in rows for one in row["warnings"]]
    yield from _listed(
        say_many(
            "{count:,} dump is cut off, so rules are missing",
            "{count:,} dumps are cut off, so rules are missing",
            len(cut_off),
        ),
        cut_off,
        "bold red",
    )
    yield from _listed(
        say_many("{count:,} warning", "{count:,} warnings", len(warned)),
        [f"{source}: {one}" for source, one in warned],
        "bold",
    )
    yield from _listed(
        say_many("{count:,} source cannot be read", "{count:,} sources cannot be read", len(errors)),
        [_error(one["source"], one["error"].splitlines()[0]) for one in errors],
        "bold red",
    )


def _listed(heading: str, entries: list[str], style: str) -> Iterator[Text]:
    """Yield the first of some entries below a heading; nothing if there are none."""
    if entries:
        yield Text("")
        yield Text(heading, style)
        yield from (Text(f"  {printable(one)}") for one in entries[:_LISTED])
        yield from _more(len(entries) - _LISTED)


def _error(source: str, error: str) -> str:
    # most errors name the file themselves
    return error if error.startswith(source) else f"{source}: {error}"


def _outliers(outliers: list[dict[str, Any]]) -> Iterator[Text]:
    if not outliers:
        return
    yield Text("")
    count = len(outliers)
    yield Text(
        say_many("{count:,} host differs from its group", "{count:,} hosts differ from their groups", count),
        "bold",
    )
    for one in outliers[:_LISTED]:
        yield Text.assemble("  ", (printable(one["source"]), "bold"), f"  ({printable(one['group'])})")
        for label, rules in ((say("lacks"), one["missing"]), (say("has in addition"), one["further"])):
            for rule in rules[:_RULES]:
                yield Text(f"    {label}: {printable(rule or '…')}", no_wrap=True)
            yield from (Text("  ") + line for line in _more(len(rules) - _RULES))
    yield from _more(count - _LISTED)


def _more(count: int) -> Iterator[Text]:
    if count > 0:
        yield Text(say_many("  and {count} more", "  and {count} more", count), "dim")


def hosts_sheets(summary: dict[str, Any], rows: list[dict[str, Any]]) -> list[Sheet]:
    """Return the tables of a summary, and a row for each host."""

    def rules(found: list[str | None]) -> str:
        return "\n".join(rule or "…" for rule in found)

    return [
        Sheet(
            say("Findings"),
            (say("finding"), say("hosts")),
            [(one["code"], str(one["hosts"])) for one in summary["findings"]],
        ),
        Sheet(
            say("Outliers"),
            (say("host"), say("group"), say("lacks"), say("has in addition")),
            [
                (one["source"], one["group"], rules(one["missing"]), rules(one["further"]))
                for one in summary["outliers"]
            ],
        ),
        Sheet(
            say("Hosts"),
            (say("host"), say("rules"), say("findings"), say("error"), say("warnings")),
            [
                (
                    row["source"],
                    str(row["rules"]),
                    ", ".join(row["findings"]),
                    row["error"] or (say("the dump is cut off") if row["cut_off"] else ""),
                    "\n".join(row["warnings"]),
                )
                for row in rows
            ],
        ),
    ]


# -- what one host has, as labels that can be counted ----------------------------------------------


def opened_labels(answer: Reaching) -> Iterator[str]:
    """Yield what may get in, by its ends: "internet → web: tcp/8080"."""
    groups: dict[tuple[str, str, str], Traffic] = {}
    for one in answer.opened.classes:
        if not one.is_refused and one.sender != one.receiver:
            key = _name(one.sender), _name(one.receiver), one.verdict
            groups[key] = groups.get(key, Traffic()) | one.traffic
    for (sender, receiver, verdict), traffic in groups.items():
        for ports in _ports(traffic, answer.asked):
            yield f"{sender} → {receiver}: {ports}{'' if verdict == 'ACCEPT' else f' ({verdict})'}"


def _ports(traffic: Traffic, asked: Traffic) -> Iterator[str]:
    """Yield each range of ports, or if they are many, all of them in words."""
    parts = [(number, span) for number, spans in traffic.ports.items() for span in spans]
    if len(parts) > _APART:
        yield str(traffic.says(asked))
        return
    for number, span in parts:
        yield str(Traffic({number: (span,)}).says(asked))


def difference_labels(comparison: Comparison) -> list[str]:
    """Return how packets are treated differently, by their ends: "internet → web: ACCEPT → DROP"."""
    found: dict[str, None] = {}
    for one in comparison.differences:
        if one.is_usual:
            sender = one.before.sender or one.before.iif
            receiver = _arrival(one.before) or _arrival(one.after)
            verdicts = f"{one.before.verdict} → {one.after.verdict}"
            found[f"{_name(sender)} → {_name(receiver)}: {verdicts}"] = None
    if comparison.differences and not found:
        found[say("only broadcast, multicast, link-local or reserved addresses")] = None
    for part in comparison.by_chain:
        found[f"{part.table} {part.chain}: {part.before} → {part.after}"] = None
    return list(found)


def _arrival(fate: Fate) -> str:
    kind, name = fate.delivered or ("", "")
    return "internet" if kind == "outside" else name


def _name(name: str) -> str:
    return name or say("other machines")
