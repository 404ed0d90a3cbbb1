"""Every rule in words: chain by chain, who wrote it, why, and how many packets it has matched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from iptsim.dump.rule import Counters, Jump, Rule
from iptsim.dump.ruleset import Chain, Ruleset
from iptsim.errors import printable
from iptsim.explanation.places import place_of
from iptsim.languages import say, say_many
from iptsim.owners.chain_owners import ChainOwners, chain_owners
from iptsim.report.anchors import Anchors, is_shown
from iptsim.report.compact import Traces
from iptsim.report.markup import Content, Markup, element, isolated, together

#: With more rules, chains are folded at first.
OPEN_AT_FIRST = 400
_CALLERS = 12


@dataclass(frozen=True, slots=True)
class ListedChain:
    """A chain of the page.

    Attributes:
        rules: those of its rules that the page lists.
        callers: the rules that jump to it.
    """

    chain: Chain
    rules: Sequence[Rule]
    callers: Sequence[Rule]

    @property
    def left_out(self) -> int:
        """How many rules the page does not list."""
        return len(self.chain.rules) - len(self.rules)


@dataclass(frozen=True, slots=True)
class ListedRuleset:
    """A ruleset of the page.

    Attributes:
        kind: its name in addresses.
        title: its heading.
    """

    kind: str
    title: str
    ruleset: Ruleset
    chains: Sequence[ListedChain]

    def as_json(self, traces: Traces) -> dict[str, Any]:
        """Return the rules of each chain, for the page's script."""
        owners = chain_owners(self.ruleset)
        return {
            "kind": self.kind,
            "family": self.ruleset.family,
            "chains": [
                {
                    "t": one.chain.table,
                    "c": printable(one.chain.name),
                    "o": owners.chain(one.chain.name),
                    "r": [traces.rule(rule) for rule in one.rules],
                }
                for one in self.chains
            ],
        }


def listed(anchors: Anchors, room: int) -> list[ListedRuleset]:
    """Return the rulesets that a page lists, limited to a number of rules, and record their addresses."""
    found = []
    both = len(anchors.rulesets) > len({ruleset.family for ruleset in anchors.rulesets.values()})
    for kind, ruleset in anchors.rulesets.items():
        title = say("IPv{family}", family=ruleset.family)
        if both:
            backend = "nft" if ruleset.backend == "nf_tables" else ruleset.backend
            title = say("IPv{family}, iptables-{backend}", family=ruleset.family, backend=backend)
        callers: dict[tuple[str, str], list[Rule]] = {}
        for rule in ruleset.rules():
            if isinstance(rule.target, Jump):
                callers.setdefault((rule.table, rule.target.chain), []).append(rule)
        chains = []
        for table in ruleset.tables.values():
            for chain in table.chains.values():
                rules = chain.rules[:room]
                room -= len(rules)
                anchors.list_rules(kind, rules)
                chains.append(ListedChain(chain, rules, callers.get((table.name, chain.name), ())))
        found.append(ListedRuleset(kind, title, ruleset, chains))
    return found


def rules_section(rulesets: Sequence[ListedRuleset], traces: Traces, anchors: Anchors) -> Markup:
    """Return the section."""
    if not rulesets:
        return element("p", say("The source contains no rules."))
    count = sum(len(one.rules) for ruleset in rulesets for one in ruleset.chains)
    return together(_ruleset(one, traces, anchors, count <= OPEN_AT_FIRST) for one in rulesets)


def _ruleset(listed_: ListedRuleset, traces: Traces, anchors: Anchors, is_open: bool) -> Iterator[Markup]:
    ruleset = listed_.ruleset
    yield element("h3", listed_.title)
    if ruleset.warnings:
        yield element("ul.bullets", (element("li", isolated(str(one))) for one in ruleset.warnings))
    owners = chain_owners(ruleset)
    table = ""
    for one in listed_.chains:
        if one.chain.table != table:
            table = one.chain.table
            yield element("h4", table)
        yield _chain(one, ruleset, owners, traces, anchors, is_open)


def _chain(
    one: ListedChain, ruleset: Ruleset, owners: ChainOwners, traces: Traces, anchors: Anchors, is_open: bool
) -> Markup:
    chain = one.chain
    count = len(chain.rules)
    summary = element(
        "summary",
        element("h5", isolated(printable(chain.name))),
        element(
            "span.soft", _about(chain, owners) if is_shown(ruleset, chain) else say("not shown, assumed")
        ),
        element("span.soft", say_many("{count} rule", "{count} rules", count) if count else say("no rules")),
        element("span.soft", _counters(chain.counters)) if chain.builtin and chain.counters else None,
        # here, since what is within an element that Tab skips is skipped as well: `details` takes no tabindex
        id=anchors.chain(ruleset, chain.table, chain.name),
    )
    return element(
        f"details.chain{'' if count else '.empty'}",
        summary,
        _callers(one, anchors),
        element("p.soft", _left_out(one.left_out)) if one.left_out else None,
        _rules(one, traces, anchors) if one.rules else None,
        open=is_open and count > 0,
    )


def _about(chain: Chain, owners: ChainOwners) -> str:
    if chain.builtin:
        return say("built in, policy {policy}", policy=chain.policy or "ACCEPT")
    owner = owners.chain(chain.name)
    if owner == "user":
        return say("created by hand or by an unknown program")
    return say("created by {owner}", owner=owner)


def _callers(one: ListedChain, anchors: Anchors) -> Markup | None:
    if not one.callers:
        return None if one.chain.builtin else element("p.soft", say("No rule jumps here."))
    links: list[Content] = []
    for rule in one.callers[:_CALLERS]:
        links += [", " if links else " ", rule_link(rule, anchors)]
    return element("p.soft", say("Called from"), links, ", …" if len(one.callers) > _CALLERS else None)


def rule_link(rule: Rule, anchors: Anchors) -> Markup:
    """Return the place of a rule as a link to it."""
    text = printable(place_of(rule))
    address = anchors.rule(rule)
    return element("a", isolated(text), href=f"#{address}") if address else isolated(text)


def _left_out(count: int) -> str:
    return say(
        "{count} more rules are not shown, because there are too many; iptsim rules lists them.",
        count=f"{count:,}",
    )


def _rules(one: ListedChain, traces: Traces, anchors: Anchors) -> Markup:
    counted = any(rule.counters is not None for rule in one.rules)
    heads = [say("No."), say("Rule"), say("Purpose"), *([say("Counters")] if counted else [])]
    return element(
        "table",
        element(
            "colgroup", element("col.no"), element("col"), element("col.by"),
            element("col.count") if counted else None,
        ),
        element("thead", element("tr", (element("th", head, scope="col") for head in heads))),
        element("tbody", (_rule(rule, traces, anchors, counted) for rule in one.rules)),
    )  # fmt: skip


def _rule(rule: Rule, traces: Traces, anchors: Anchors, counted: bool) -> Markup:
    entry = traces.rules.values[traces.rule(rule)]
    address = anchors.rule(rule) if rule.position else None
    return element(
        "tr",
        element("th.no", element("a", rule.position, href=f"#{address}") if address else "–", scope="row"),
        element("td", element("span.words", isolated(entry["w"])), element("code.spec", entry["s"])),
        element(
            "td",
            isolated(_why(entry) if rule.position else say("assumed: not in the source")),
            " ",
            element("span.tag", entry["e"]) if "e" in entry else None,
        ),
        element("td.count", _counters(rule.counters)) if counted else None,
        id=address,
        tabindex=-1,
    )


def _why(entry: dict[str, Any]) -> str:
    owner = entry["o"]
    by = say("by hand or by an unknown program") if owner == "user" else say("by {owner}", owner=owner)
    return f"{by}: {entry['y']}" if "y" in entry else by


def _counters(counters: Counters | None) -> str:
    if counters is None:
        return ""
    packets = say_many("{count} packet", "{count} packets", counters.packets)
    if not counters.bytes:
        return packets
    return say("{packets}, {size} bytes", packets=packets, size=f"{counters.bytes:,}")
