"""INPUT that blocks nothing: its rules only accept, and so does its policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import is_gap
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.examples import arriving, header
from iptsim.findings.finding import SHOWN, Finding, of_policy, of_rule, takes_port
from iptsim.findings.remedy import accept_replies, outcome
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.findings.shadow import is_chosen
from iptsim.findings.ssh import USUAL, name_port, ssh_ports
from iptsim.languages import Message, message
from iptsim.passages import shell

#: At least this many rules for single ports show that somebody meant to block all others.
_RULES = 3
_HARMLESS = ("ACCEPT", "LOG", "NFLOG", "")


def _open_inputs(scene: Scene) -> Iterator[tuple[Family, Chain]]:
    """Yield the chains INPUT of a pasted text with the policy ACCEPT whose rules are all shown."""
    for family in scene.families if scene.is_pasted else ():
        chain = scene.table(family, "filter").chains.get("INPUT")
        if chain is not None and chain.policy == "ACCEPT" and scene.shows(family, "filter", "INPUT"):
            yield family, chain


def blocks_nothing(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, a chain INPUT that accepts some ports, and all others by its policy."""
    for family, chain in _open_inputs(scene):
        opening = [rule for rule in chain.rules if _opens_port(rule) and is_chosen(rule, scene)]
        unheard = _complained_of(scene, family, opening)
        if (len(opening) < _RULES and unheard is None) or not all(map(_is_harmless, chain.rules)):
            continue
        shown = scene.ask("internet", "host", family, proto="tcp", dport=SOME_PORT)
        if shown is None or shown.verdict != "ACCEPT":
            continue
        yield Finding(
            "input-blocks-nothing",
            message("INPUT blocks nothing: its rules only accept, and so does its policy."),
            (of_policy(chain), *map(of_rule, opening[:SHOWN])),
            message(
                "What no rule matches meets the policy ACCEPT. So rules that accept single ports change nothing, and a"
                " port that does not answer is not blocked by this chain."
            ),
            _listening(unheard) if unheard is not None else _remedy(scene, family, chain.rules),
            shown,
            family,
        )


def _complained_of(scene: Scene, family: Family, opening: Sequence[Rule]) -> int | None:
    """Return a port that a rule opens, but that does not answer, as a text says; None without such a complaint.

    Not one that another chain blocks or forwards, in the direction to the host or from it.
    """
    complaint = scene.pasted.complaint
    for port in sorted(complaint.ports) if complaint.fails and not complaint.allowed else ():
        if any(takes_port(rule, port) for rule in opening):
            to_host, from_host = (
                scene.ask(*ends, family, proto="tcp", dport=port)
                for ends in (("internet", "host"), ("host", "internet"))
            )
            arrived = to_host.trace.legs[0].delivered if to_host is not None else None
            is_sent = from_host is not None and from_host.verdict == "ACCEPT"
            if is_sent and arrived is not None and arrived.kind == "host":
                return port
    return None


def _listening(port: int) -> Message:
    """Return where else to look for what keeps a port closed."""
    return message(
        "Check whether a program listens on port {port}, and on which address: {command}. If one does, something"
        " before this host may block the port: the provider's firewall, or a router.",
        port=port,
        command=shell(f"ss -lntup 'sport = :{port}'"),
    )


def for_anybody(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, rules that accept a port from some sources only, though INPUT accepts it from all."""
    for family, chain in _open_inputs(scene):
        for rule in chain.rules:
            source = rule.parameters.source
            if source is None or not source.mask or "source" in rule.parameters.negated:
                continue
            fields = header(rule)
            if not _opens_port(rule) or not is_chosen(rule, scene) or "dport" not in fields:
                continue
            shown = scene.ask(
                "internet", "host", family, proto=fields["proto"], dport=fields["dport"], **arriving(rule)
            )
            if shown is None or shown.verdict != "ACCEPT" or not _by_policy(shown):
                continue
            port = f"{fields['proto']}/{fields['dport']}"
            command = (
                f"{tool_of(family)} -A INPUT ! -i lo -p {fields['proto']} --dport {fields['dport']} -j DROP"
            )
            yield Finding(
                "open-despite-source",
                message(
                    "INPUT accepts {port} from all, not only from {source}.", port=port, source=source.short
                ),
                (of_rule(rule), of_policy(chain)),
                message(
                    "Rule {position} accepts it from {source}, but no rule blocks it from others: they meet the policy"
                    " ACCEPT.",
                    position=rule.position,
                    source=source.short,
                ),
                message("To block it from others: {command}", command=shell(command)),
                shown,
                family,
                (command,),
            )
            break


def _by_policy(shown: Explanation) -> bool:
    step = shown.trace.legs[0].deciding
    return step is None or step.rule is None


def _remedy(scene: Scene, family: Family, rules: Sequence[Rule]) -> Message:
    """Return the commands that block all else; with them, whoever is logged in by SSH still gets in."""
    tool = tool_of(family)
    accepting = [
        f"{tool} -I INPUT -i lo -j ACCEPT",
        accept_replies(family, "INPUT"),
    ]
    closing = f"{tool} -P INPUT DROP"
    shut = []
    for port in ssh_ports(scene) or [USUAL]:
        shown = scene.ask("internet", "host", family, proto="tcp", dport=port)
        after = outcome(scene, family, (*accepting, closing), shown) if shown is not None else None
        if after is not None and after.verdict in BLOCKING and not name_port(rules, port):
            shut.append(port)
    accepting += [f"{tool} -I INPUT -p tcp --dport {port} -j ACCEPT" for port in shut]
    commands = shell(*accepting, closing)
    if not shut:
        return message("To block all else, accept replies and lo first: {commands}", commands=commands)
    return message(
        "To block all else, accept replies, lo and SSH ({ports}), which no rule accepts, first: {commands}",
        ports=f"tcp/{','.join(map(str, shut))}",
        commands=commands,
    )


def _opens_port(rule: Rule) -> bool:
    return rule.target_name == "ACCEPT" and bool(rule.conditions_on("dport"))


def _is_harmless(rule: Rule) -> bool:
    return rule.target_name in _HARMLESS and not is_gap(rule.target)
