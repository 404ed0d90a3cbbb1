"""All labels of the page; its script fills in the placeholders."""

from __future__ import annotations

from collections.abc import Sequence

import iptsim
from iptsim.errors import printable
from iptsim.findings import Finding
from iptsim.host import Host
from iptsim.languages import say
from iptsim.report.markup import Markup, isolated, together

#: The placeholders.
_FILLED_IN = (
    "chain",
    "count",
    "family",
    "flow",
    "got",
    "name",
    "number",
    "own",
    "owner",
    "packets",
    "policy",
    "shown",
    "size",
    "table",
    "what",
    "where",
)


def texts() -> dict[str, str]:
    """Return the page's labels by name, in the current language."""
    kept = {name: f"{{{name}}}" for name in _FILLED_IN}
    return {
        # the frame
        "skip": say("Skip to the report"),
        "search": say("Search rules, chains, containers"),
        "contents": say("Sections of the report"),
        "results": say("Search results"),
        "theme": say("Dark or light"),
        "noscript": say(
            "Without scripts, this page lacks the search, the step-by-step packet paths and the zoom of the map. "
            "Everything else is here."
        ),
        "open": say("Open to the internet"),
        "policies": say("Policies and IPv6"),
        "host": say("Host"),
        "findings": say("Findings"),
        "map": say("Map"),
        "reach": say("Reachability"),
        "trace": say("Packet path"),
        "rules": say("Rules"),
        "map_hint": say("Select a connection in one of the sections above to mark its packet path here."),
        "map_other": say("The map shows the other address family."),
        "trace_hint": say(
            "Select a source, a destination and a kind of packet, then follow one of them step by step."
        ),
        "rules_hint": say("Every rule in words: who wrote it, why, and how many packets it has matched."),
        "zoom": say("Zoom"),
        "zoom_in": say("Zoom in"),
        "zoom_out": say("Zoom out"),
        "zoom_fit": say("Fit"),
        "zoom_hint": say("Drag to move, pinch or use Ctrl and the wheel to zoom; keys: arrows, + and −, 0."),
        "refused": say("refused: nothing listens"),
        "assumed": say("Assumed"),
        "see_trace": say("Show the packet path"),
        # reachability
        "family": say("Address family"),
        "from": say("From"),
        "to": say("To"),
        "packets_of": say("Packets"),
        "code": say("Reason"),
        "keys_grid": say("Select an entry to follow its packet path. Arrow keys move between entries."),
        "no_endpoints": say("There are no endpoints."),
        # the trace
        "nothing_chosen": say("Nothing is selected yet."),
        "decided_by": say("Decided by"),
        "hinges_on": say("Depends on"),
        "advice": say("Advice"),
        "alike": say("Shown: {shown}. {own} is treated alike; only names and addresses differ.", **kept),
        "path": say("Path"),
        "on_map": say("See it on the map"),
        "ways": say("It depends. Possible outcomes:"),
        "ways_in_order": say("It depends. The first condition that holds decides:"),
        "one_of": say("The path below is that of one of the {count} branches with this outcome.", **kept),
        "ways_alike": say("All branches have the same verdict, but not the same outcome:"),
        "steps": say("Steps"),
        "previous": say("Previous"),
        "next": say("Next"),
        "to_deciding": say("Deciding step"),
        "only_telling": say("Only steps that matter"),
        "keys_steps": say(
            "Keys: ← and → for the previous and next step, Home and End for the first and last."
        ),
        "step_of": say("Step {number} of {count}", **kept),
        "sends": say("{name} sends {flow}", **kept),
        "sends_packet": say("{name} sends the packet", **kept),
        "arrives": say("arrives at {where}", **kept),
        "lost": say("The packet does not arrive."),
        "stays_inside": say("stays inside {name}: no rule of the host sees it", **kept),
        "inside": say("inside {name}", **kept),
        "deciding": say("decides"),
        "maybe": say("undecided; the verdict is the same either way"),
        "policy": say("policy {policy}", **kept),
        "policy_words": say("No rule in {chain} decided, so its policy applies.", **kept),
        "rule_place": say("{table} {chain} rule {number}", **kept),
        "policy_place": say("{table} {chain}, policy", **kept),
        "kernel": say("the kernel, outside iptables"),
        "changes": say("Changes"),
        "packet": say("Packet here"),
        "packet_from": say("from"),
        "packet_to": say("to"),
        "packet_proto": say("protocol"),
        "packet_in": say("input interface"),
        "packet_out": say("output interface"),
        "passed_over": say("Rules that did not match before: {count}", **kept),
        "passed_over_end": say("Rules that did not match after the last step: {count}", **kept),
        "but": say("but {got}", **kept),
        "why": say("Purpose"),
        "matched": say("Counters"),
        "current": say("Step {number} of {count}: {what}", **kept),
        # rules
        "by": say("by {owner}", **kept),
        "by_hand": say("by hand or by an unknown program"),
        "packets": say("{packets} packets", **kept),
        "one_packet": say("1 packet"),
        "and_bytes": say("{packets}, {size} bytes", **kept),
        "of_family": say("IPv{family}", **kept),
        "open_all": say("Open all chains"),
        "close_all": say("Close all chains"),
        # search
        "found": say("{count} found", **kept),
        "found_more": say("{count} found, the first {shown} are shown", **kept),
        "found_none": say("Nothing found"),
        "kind_rule": say("rule"),
        "kind_chain": say("chain"),
        "kind_container": say("container"),
        "kind_finding": say("finding"),
    }


def lead(findings: Sequence[Finding], host: Host) -> Markup:
    """Return the sentence at the top: how much was found."""
    rulesets = [*host.rulesets.values(), *host.extra_rulesets.values()]
    chains = [chain for one in rulesets for table in one.tables.values() for chain in table.chains.values()]
    rules = sum(bool(rule.position) for chain in chains for rule in chain.rules)
    summary = say(
        "Findings: {findings}. Rules: {rules}, in {chains} chains. Every port and every source was checked.",
        findings=f"{len(findings):,}",
        rules=f"{rules:,}",
        chains=f"{len(chains):,}",
    )
    return together(summary)


def foot(host: Host) -> Markup:
    """Return the footer: what the page was made from."""
    return isolated(
        say(
            (
                "Generated by iptsim {version} from {source}. The verdicts come from a simulation of the "
                "rules; no packet was sent."
            ),
            version=iptsim.__version__,
            source=printable(host.source),
        )
    )
