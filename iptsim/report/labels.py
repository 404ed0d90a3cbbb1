"""Every text of the page itself, in one place; what stands in braces its script fills in."""

from __future__ import annotations

from iptsim.languages import say

#: What the page's script fills in.
_FILLED_IN = (
    "accepted",
    "asked",
    "backend",
    "chain",
    "chains",
    "count",
    "family",
    "findings",
    "flow",
    "from",
    "got",
    "name",
    "names",
    "number",
    "octets",
    "owner",
    "packets",
    "policy",
    "reason",
    "refused",
    "rules",
    "shown",
    "source",
    "table",
    "to",
    "verdict",
    "version",
    "what",
    "where",
)


def texts() -> dict[str, str]:
    """Return the page's texts by name, in the language in force."""
    kept = {name: f"{{{name}}}" for name in _FILLED_IN}
    return {
        # the frame
        "skip": say("Skip to the report"),
        "search": say("Search rules, chains, containers"),
        "contents": say("Parts of the report"),
        "results": say("Search results"),
        "theme": say("Dark or light"),
        "noscript": say(
            "This report shows its contents with a script of its own. Allow scripts for "
            "this file to read it. It sends nothing anywhere."
        ),
        "host": say("Host"),
        "findings": say("Findings"),
        "map": say("Map"),
        "reach": say("Who reaches whom"),
        "trace": say("Trace"),
        "rules": say("Rules"),
        "reach_hint": say(
            "From the party above a column to the party beside a row: what becomes of a new "
            "connection, with its answer. Choose a cell to see the packet's way."
        ),
        "map_hint": say("Choose a question in one of the parts below: its packet's way is marked here."),
        "map_other": say("The map shows the other address family."),
        "trace_hint": say("Choose who sends what to whom, then go through the packet's way step by step."),
        "rules_hint": say(
            "Every rule in words, with who wrote it and why, and how many packets it has matched."
        ),
        "foot": say(
            "Made by iptsim {version} from {source}. The verdicts come from a simulation of "
            "the rules; no packet was sent.",
            **kept,
        ),
        # the host
        "lead": say(
            "{accepted} of {asked} questions on who reaches whom get through. Findings: "
            "{findings}. Rules: {rules}, in {chains} chains.",
            **kept,
        ),
        "lead_refused": say(
            "{refused} more pass all rules, but nothing listens: connection refused.", **kept
        ),
        "refused": say("refused: nothing listens"),
        "engine": say("Engine"),
        "no_engine": say("no Docker"),
        "addresses": say("Addresses"),
        "settings": say("Settings"),
        "setting": say("Setting"),
        "value": say("Value"),
        "origin": say("Known from"),
        "origin_default": say("Docker's default"),
        "origin_assumed": say("taken for granted"),
        "networks": say("Networks"),
        "containers": say("Containers"),
        "name": say("Name"),
        "bridge": say("Bridge"),
        "subnets": say("Subnets"),
        "options": say("Options"),
        "published": say("Published ports"),
        "stopped": say("not running"),
        "inferred": say(
            "There is only a dump of the rules. The host and its containers are inferred from them:"
        ),
        "assumed": say("Taken for granted"),
        # findings
        "no_findings": say("Nothing was found that looks wrong."),
        "evidence": say("Shown by"),
        "example": say("For example"),
        "remedy": say("Remedy"),
        "see_trace": say("See the packet's way"),
        # who reaches whom
        "family": say("Address family"),
        "show_alike": say("Show each container by itself"),
        "from": say("From"),
        "to": say("To"),
        "port": say("Port"),
        "to_port": say("To, port"),
        "and_more": say("{names} and {count} more", **kept),
        "cell": say("{from} to {to}, {what}: {verdict}, {reason}", **kept),
        "cell_unasked": say("{from} to {to}, {what}: can't be asked", **kept),
        "itself": say("itself"),
        "unasked": say("can't be asked"),
        "codes": say("Reasons"),
        "codes_hint": say("Choose a reason to see its cells only."),
        "code": say("Reason"),
        "left_out": say("{count} more questions are left out, because there are too many.", **kept),
        "rules_left_out": say(
            "{count} more rules are left out, because there are too many; iptsim rules lists them.", **kept
        ),
        "keys_grid": say("Arrow keys move between cells, Enter opens one."),
        "nobody": say("There is nobody to ask about."),
        "other_ports": say("other ports"),
        # the trace
        "nothing_chosen": say("Nothing is chosen yet."),
        "decided_by": say("Decided by"),
        "hinges_on": say("Hinges on"),
        "advice": say("Advice"),
        "way": say("Way"),
        "on_map": say("See it on the map"),
        "ways": say("It depends. The ways it can go:"),
        "ways_alike": say("All ways end alike, but not at the same place:"),
        "steps": say("Steps"),
        "previous": say("Previous"),
        "next": say("Next"),
        "to_deciding": say("Deciding step"),
        "only_telling": say("Only steps that matter"),
        "keys_steps": say(
            "Keys: ← and → for the step before and after, Home and End for the first and last."
        ),
        "step_of": say("Step {number} of {count}", **kept),
        "sends": say("{name} sends {flow}", **kept),
        "sends_packet": say("{name} sends the packet", **kept),
        "arrives": say("arrives at {where}", **kept),
        "lost": say("The packet does not arrive."),
        "stays_inside": say("stays inside {name}: no rule of the host sees it", **kept),
        "inside": say("inside {name}", **kept),
        "deciding": say("decides"),
        "maybe": say("undecided; makes no difference"),
        "policy": say("policy {policy}", **kept),
        "policy_words": say("No rule of {chain} decided, so its policy decides.", **kept),
        "rule_place": say("{table} {chain} rule {number}", **kept),
        "policy_place": say("{table} {chain}, policy", **kept),
        "kernel": say("the kernel, outside iptables"),
        "changes": say("Changes"),
        "packet": say("Packet here"),
        "packet_from": say("from"),
        "packet_to": say("to"),
        "packet_proto": say("protocol"),
        "packet_in": say("comes in by"),
        "packet_out": say("goes out by"),
        "passed_over": say("Looked at before, in vain: {count}", **kept),
        "passed_over_end": say("Looked at in vain after the last step: {count}", **kept),
        "but": say("but {got}", **kept),
        "rule": say("Rule"),
        "why": say("Why it is there"),
        "matched": say("Counted"),
        "current": say("Step {number} of {count}: {what}", **kept),
        # rules
        "built_in": say("built in, policy {policy}", **kept),
        "made_by": say("made by {owner}", **kept),
        "made_by_hand": say("made by hand, or by an unknown program"),
        "by": say("by {owner}", **kept),
        "by_hand": say("by hand, or by an unknown program"),
        "packets": say("{packets} packets", **kept),
        "one_packet": say("1 packet"),
        "and_octets": say("{packets}, {octets} octets", **kept),
        "rule_count": say("{count} rules", **kept),
        "one_rule": say("1 rule"),
        "no_rules": say("no rules"),
        "led_from": say("Led here from"),
        "led_from_nowhere": say("No rule leads here."),
        "of_family": say("IPv{family}", **kept),
        "of_backend": say("IPv{family}, iptables-{backend}", **kept),
        "open_all": say("Open all chains"),
        "close_all": say("Close all chains"),
        "no_rulesets": say("The source holds no rules."),
        "number": say("No."),
        # search
        "found": say("{count} found", **kept),
        "found_more": say("{count} found, the first {shown} are shown", **kept),
        "found_none": say("Nothing found"),
        "kind_rule": say("rule"),
        "kind_chain": say("chain"),
        "kind_container": say("container"),
        "kind_finding": say("finding"),
    }
