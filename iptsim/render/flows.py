"""The results for records of logs, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from iptsim.errors import printable
from iptsim.languages import say, say_many
from iptsim.render.visits_text import COLOURS

#: How many rules, and rules that nothing matched, are listed.
_RULES, _UNMATCHED = 30, 10


def summary_lines(summary: dict[str, Any]) -> Iterator[Text]:
    """Yield the lines of a summary, in the form of its JSON."""
    yield _total(summary)
    yield from _errors(summary)
    if summary["alone"]:
        yield Text(
            say_many(
                "{count:,} record was followed on its own: rules count, remember or pick addresses, or conntrack "
                "knows its connection",
                "{count:,} records were followed one by one: rules count, remember or pick addresses, or conntrack "
                "knows their connections",
                summary["alone"],
            ),
            "dim",
        )
    if summary["deciders"]:
        yield Text("")
    for one in summary["deciders"][:_RULES]:
        yield from _decider(one)
    _more = len(summary["deciders"]) - _RULES
    if _more > 0:
        yield Text(say_many("  and {count} more", "  and {count} more", _more), "dim")
    yield from _blocked(summary["blocked"])
    if summary["records"]:
        yield from _unmatched(summary["unmatched"])


def _total(summary: dict[str, Any]) -> Text:
    line = Text(say_many("{count:,} record", "{count:,} records", summary["records"]), "bold")
    for verdict, count in summary["verdicts"].items():
        line.append("   ").append(verdict, COLOURS.get(verdict, "")).append(f" {count:,}")
    if summary["errors"]:
        line.append("   ").append(say("not valid"), "bold red").append(f" {summary['errors']:,}")
    return line


def _errors(summary: dict[str, Any]) -> Iterator[Text]:
    if summary["errors"]:
        yield Text(say("-o FILE contains the error of each record that is not valid"), "dim")


def _place(one: dict[str, Any]) -> str:
    if one["table"] is None:
        return str(one["code"])
    if one["rule"] is None:
        return say("{table} {chain} policy", table=one["table"], chain=one["chain"])
    return say("{table} {chain} rule {rule}", table=one["table"], chain=one["chain"], rule=one["rule"])


def _decider(one: dict[str, Any]) -> Iterator[Text]:
    line = Text(f"{one['records']:>12,}  ")
    line.append(f"{one['verdict']:<8}", COLOURS.get(one["verdict"], "")).append(f"{printable(_place(one))}")
    if one["table"] is not None:
        line.append(f"  {one['code']}", "dim")
    if one["counters"] is not None:
        packets = say_many(
            "counter: {count:,} packet", "counter: {count:,} packets", one["counters"]["packets"]
        )
        line.append(f"  {packets}", "dim")
    yield line
    if one["text"]:
        yield Text(f"{'':>22}{printable(one['text'])}", "cyan", no_wrap=True)


def _blocked(blocked: dict[str, Any]) -> Iterator[Text]:
    if not blocked["sources"]:
        return
    yield Text("")
    if blocked["approximate"]:
        yield Text(say("Most often blocked (approximate)"), "bold")
    else:
        yield Text(say("Most often blocked"), "bold")
    for one in blocked["sources"]:
        least, most = one["at_least"], one["at_most"]
        count = f"{least:,}" if least == most else f"{least:,} - {most:,}"
        yield Text(f"{count:>12}  {printable(one['src'])}")


def _unmatched(rules: list[dict[str, Any]]) -> Iterator[Text]:
    if not rules:
        return
    yield Text("")
    yield Text(
        say_many("{count:,} rule matched no record", "{count:,} rules matched no record", len(rules)), "bold"
    )
    for one in rules[:_UNMATCHED]:
        yield Text(f"  {printable(_place(one))}  {printable(one['text'])}", no_wrap=True)
    if len(rules) > _UNMATCHED:
        yield Text(say_many("  and {count} more", "  and {count} more", len(rules) - _UNMATCHED), "dim")


def difference_lines(summary: dict[str, Any]) -> Iterator[Text]:
    """Yield the lines that show which records two rulesets treat differently, in the form of the JSON."""
    groups = summary["differences"]
    different = sum(group["records"] for group in groups)
    yield Text(
        say_many(
            "{different:,} of {count:,} record differs", "{different:,} of {count:,} records differ",
            summary["records"], different=different,
        ),
        "bold",
    )  # fmt: skip
    if summary["errors"]:
        yield Text(
            say_many(
                "{count:,} record is not valid",
                "{count:,} records are not valid",
                summary["errors"],
            ),
            "bold red",
        )
    for group in groups[:_RULES]:
        yield Text("")
        before, after = group["before"], group["after"]
        line = Text(f"{group['records']:>12,}  ")
        line.append(before["verdict"], COLOURS.get(before["verdict"], "")).append(" → ")
        line.append(after["verdict"], COLOURS.get(after["verdict"], ""))
        yield line
        for label, one in ((say("before"), before), (say("after"), after)):
            text = f"  {one['text']}" if one["text"] else ""
            yield Text(f"{'':>14}{label}: {printable(_place(one))}{printable(text)}{_nat(one)}", no_wrap=True)
        for sample in group["samples"]:
            fields = " ".join(f"{name}={value}" for name, value in sample.items() if name != "record")
            yield Text(f"{'':>14}{printable(fields)}", "dim", no_wrap=True)
    if len(groups) > _RULES:
        yield Text(say_many("  and {count} more", "  and {count} more", len(groups) - _RULES), "dim")


def _nat(fate: dict[str, Any]) -> str:
    parts = [
        f"{name}={fate[name]}"
        for name in ("nat_src", "nat_sport", "nat_dst", "nat_dport")
        if fate[name] is not None
    ]
    return f"  ({' '.join(parts)})" if parts else ""
