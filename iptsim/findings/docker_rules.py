"""Docker's own rules, missing although containers run or a command has removed them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from iptsim.addresses import Family
from iptsim.docker.dockerd.recognition import DOCKER_CHAINS
from iptsim.docker.dockerd.rulesets import rules_for
from iptsim.docker.sources.host import docker_host
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain
from iptsim.errors import IptsimError
from iptsim.explanation import Explanation
from iptsim.extensions.verdicts import BLOCKING, TRANSLATING, TRANSLATING_SOURCE
from iptsim.findings.failed_commands import LINES_SHOWN
from iptsim.findings.finding import Evidence, Finding, of_line, of_policy, of_rule
from iptsim.findings.scene import Scene, called
from iptsim.host.containers import Network
from iptsim.languages import Message, message, message_sentences
from iptsim.owners.docker import docker_role, is_dockers
from iptsim.passages import RESTART_DOCKER
from iptsim.paste.docker_interfaces import link_pairs

#: The form of lines that show all rules of a table.
_LISTING = re.compile(r"(?!.*commands)(?:iptables|nft|rules)\b")

_WRITE_AGAIN = message(
    "To write them again: {command}. Load other rules with iptables-restore --noflush, and before Docker starts.",
    command=RESTART_DOCKER,
)


def flushed(scene: Scene) -> Iterator[Finding]:
    """Find Docker's chains, jumps and MASQUERADE rules that are missing although its containers run."""
    for family in scene.families:
        if scene.has_only_commands or not _expects_rules(scene, family):
            if family == 4:
                yield from _without_any(scene)
            continue
        missing = list(_missing(scene, family))
        if not missing:
            continue
        shown = _hit(scene, family)
        effect = (
            message(
                "For example, {sender} can no longer reach {target}.",
                sender=shown.sender,
                target=shown.target,
            )
            if shown is not None and shown.verdict != "ACCEPT"
            else ""
        )
        yield Finding(
            "docker-rules-flushed",
            message("Rules that Docker needs are missing: the tables were flushed or overwritten."),
            tuple(missing),
            message_sentences(
                message("dockerd does not notice. The rules have no effect until it writes them again."),
                effect,
            ),
            message(
                "systemctl restart docker writes them again. Load other rules with iptables-restore "
                "--noflush, and before Docker starts."
            ),
            shown,
            family,
        )


def _without_any(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text that shows that Docker runs, FORWARD or table nat without any of its rules."""
    daemon = scene.host.daemon
    if not any(one.form.startswith("docker ") for one in scene.pasted.segments):
        return
    if daemon is not None and (daemon.iptables is False or daemon.firewall_backend == "nftables"):
        return
    if _forward_has_none(scene, 4):
        forward = scene.table(4, "filter").chains["FORWARD"]
        blocking = [rule for rule in forward.rules if rule.target_name in BLOCKING]
        yield _none_left(
            message(
                "FORWARD has none of Docker's rules, although Docker runs: the tables were flushed or overwritten."
            ),
            (
                Evidence("filter FORWARD", message("none of Docker's rules")),
                of_rule(blocking[-1]) if blocking else of_policy(forward),
            ),
            message(
                "Without them, the other rules and the policy of FORWARD decide about packets from containers and to"
                " published ports."
            ),
        )
    elif _nat_has_none(scene):
        yield _none_left(
            message(
                "Table nat has none of Docker's rules, although containers publish ports: the table was flushed or"
                " overwritten."
            ),
            (Evidence("nat PREROUTING", message("none of Docker's rules")),),
            message(
                "Without them, nothing forwards published ports to containers, and nothing masquerades what containers"
                " send."
            ),
        )


def _none_left(title: Message, evidence: tuple[Evidence, ...], effect: Message) -> Finding:
    return Finding(
        "docker-rules-flushed",
        title,
        evidence,
        message_sentences(
            effect,
            message(
                "dockerd does not notice until it starts again. A reload of firewalld, or a script with iptables -F or"
                " iptables-restore, removes them. With iptables=false, or in rootless mode, Docker writes none."
            ),
        ),
        _WRITE_AGAIN,
        None,
        4,
    )


def _forward_has_none(scene: Scene, family: Family) -> bool:
    if "FORWARD" not in scene.table(family, "filter").chains or not scene.shows(family, "filter", "FORWARD"):
        return False
    if not _lists(scene, "filter"):
        return False
    rules = scene.rules(family, "filter", "FORWARD")
    return not (
        any(is_dockers(rule) or rule.target_name in DOCKER_CHAINS for rule in rules)
        or _links_in_forward(scene, family)
    )


def _nat_has_none(scene: Scene) -> bool:
    """Return whether PREROUTING is shown, and forwards nothing, although containers that run publish ports."""
    chains = scene.table(4, "nat").chains
    if "PREROUTING" not in chains or "DOCKER" in chains or not _lists(scene, "nat"):
        return False
    if not scene.pasted.published or not all(scene.shows(4, "nat", name) for name in chains):
        return False
    return not any(rule.target_name in TRANSLATING for rule in scene.table(4, "nat").rules())


def _links_in_forward(scene: Scene, family: Family) -> bool:
    """Return whether FORWARD has rules of links, as before Docker 1.6, which had no chain in table filter."""
    if "DOCKER" in scene.table(family, "filter").chains:
        return False
    rules = scene.rules(family, "filter", "FORWARD")
    roles = (docker_role(rule, scene.host) for rule in rules)
    return bool(link_pairs(rules)) or any(role is not None and role.code == "link" for role in roles)


def _lists(scene: Scene, table: str) -> bool:
    """Return whether a source lists a table: commands alone do not show what else there is."""
    forms = (one.form for one in scene.pasted.segments if _LISTING.match(one.form))
    return not scene.is_pasted or any(re.search(rf"\b{table}\b", form) for form in forms)


def reloaded(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text about containers without rules of Docker, commands that replaced or removed all rules."""
    pasted = scene.pasted
    if not pasted.reloads or _shows_dockers(scene) or any(flushed(scene)):
        return
    named = (pasted.with_rules or pasted.patched) and "docker" in pasted.engines
    if not scene.docker_networks() and not named:
        return
    first, *_ = shown = pasted.reloads[:LINES_SHOWN]
    flushes = re.search(r"\s(?:-F|--flush)(?:\s|$)", first.command) is not None
    yield Finding(
        "flushes-docker" if flushes else "docker-rules-flushed",
        message(
            "{command} removes all rules of the table, also those that Docker needs.", command=first.command
        )
        if flushes
        else message("{command} replaced all rules, also those that Docker needs.", command=first.command),
        tuple(of_line(one.line, one.command) for one in shown),
        message(
            "If it runs after Docker has started: dockerd does not notice. Until it writes its rules again, containers"
            " do not reach other networks, and published ports are not forwarded."
        )
        if flushes
        else message(
            "dockerd does not notice. Until it writes its rules again, containers do not reach other networks, and"
            " published ports are not forwarded."
        ),
        message(
            "To write them again: {command}. In a script, flush only chains of your own, such as INPUT and"
            " DOCKER-USER.",
            command=RESTART_DOCKER,
        )
        if flushes
        else _WRITE_AGAIN,
        None,
        scene.families[0],
    )


def _shows_dockers(scene: Scene) -> bool:
    """Return whether a source with rules shows some that Docker wrote."""
    return (not scene.is_pasted or scene.pasted.with_rules) and any(
        is_dockers(rule) or rule.target_name in DOCKER_CHAINS
        for ruleset in scene.host.rulesets.values()
        for rule in ruleset.rules()
    )


def _expects_rules(scene: Scene, family: Family) -> bool:
    """Return whether Docker's rules are expected: its settings enable them, or some of its chains exist."""
    daemon = scene.host.daemon
    if daemon is not None and (daemon.iptables is False or daemon.firewall_backend == "nftables"):
        return False
    chains = scene.table(family, "filter").chains
    if "DOCKER-FORWARD" in chains or any(scene.rules(family, table, "DOCKER") for table in ("filter", "nat")):
        return True
    if family == 4 and "DOCKER-ISOLATION-STAGE-1" in chains:
        return True  # the same chain in IPv6 stays empty until there is a network with IPv6
    if (_chain_not_found(scene) and chains) or _is_flushed(scene, family):
        return True
    running = any(scene.first_members(family))
    return scene.knows_containers and running and scene.docker_writes(family)


def _is_flushed(scene: Scene, family: Family) -> bool:
    """Return whether a source without containers shows nat's DOCKER, empty, and nothing that jumps there.

    `iptables -t nat -F` leaves it so: it removes rules, but no chains. Or other rules for published ports are left.
    """
    if scene.knows_containers or not (
        "DOCKER" in scene.table(family, "nat").chains or _hairpins(scene, family)
    ):
        return False
    shown = all(scene.shows(family, "nat", one) for one in ("PREROUTING", "OUTPUT"))
    return shown and not scene.jumps(family, "nat", "DOCKER")


def _hairpins(scene: Scene, family: Family) -> bool:
    roles = map(docker_role, scene.rules(family, "nat", "POSTROUTING"))
    return any(role is not None and role.code == "hairpin-masquerade" for role in roles)


def _chain_not_found(scene: Scene) -> bool:
    """Return whether a search for Docker's chains, in all tables, found others of them, but not DOCKER."""
    if "docker" not in {word.lower() for word in scene.pasted.searched}:
        return False
    tables = [table for one in scene.families for table in scene.host.rulesets[one].tables.values()]
    chains = {name for table in tables for name in table.chains}
    return "DOCKER" not in chains and bool(chains & DOCKER_CHAINS)


def _missing(scene: Scene, family: Family) -> Iterator[Evidence]:
    """Yield descriptions of rules that Docker needs but the dump lacks."""
    networks = _active(scene, family)
    nat, chains = scene.table(family, "nat").chains, scene.table(family, "filter").chains
    if _chain_not_found(scene):
        yield Evidence("nat, filter", message("no chain {chain}", chain="DOCKER"))
        return
    if networks or "DOCKER" in nat or _hairpins(scene, family):
        leading = scene.hooks(family, "nat").get("DOCKER", ())
        for hook in ("PREROUTING", "OUTPUT"):
            if scene.shows(family, "nat", hook) and hook not in leading:
                yield _no_jump("nat", hook, "DOCKER", nat)
    engine = scene.host.daemon.engine if scene.host.daemon is not None else None
    if "DOCKER-FORWARD" in chains or (engine is not None and engine.jumps_to_docker_forward):
        entries = ["DOCKER-FORWARD"]
    else:
        entries = ["DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION", "DOCKER"]
    led_to = [hook for name in entries for hook in scene.hooks(family, "filter").get(name, ())]
    shown = scene.rules(family, "filter", "FORWARD") or _lists(scene, "filter") or scene.knows_containers
    if (
        shown
        and not _links_in_forward(scene, family)
        and scene.shows(family, "filter", "FORWARD")
        and "FORWARD" not in led_to
    ):
        known = next((name for name in entries if name in chains), entries[0])
        yield _no_jump("filter", "FORWARD", known, chains)
    for network in networks:
        if not network.masquerade or network.internal or not _translates(scene, network, family):
            continue
        if not scene.shows(family, "nat", "POSTROUTING"):
            continue
        if not any(_masquerades(rule, network.bridge) for rule in scene.table(family, "nat").rules()):
            subnet = next(str(one) for one in network.subnets if one.family == family)
            yield Evidence(
                "nat POSTROUTING",
                message(
                    "no MASQUERADE rule for {subnet} of {network}", subnet=subnet, network=called(network)
                ),
            )
    if scene.knows_containers:
        yield from _missing_drops(scene, family)


def _no_jump(table: str, chain: str, to: str, chains: Mapping[str, Chain]) -> Evidence:
    if to in chains:
        return Evidence(f"{table} {chain}", message("no rule jumps to {chain}", chain=to))
    return Evidence(f"{table} {chain}", message("no rule jumps to {chain}, which does not exist", chain=to))


def _missing_drops(scene: Scene, family: Family) -> Iterator[Evidence]:
    """Yield descriptions of missing DROP rules that dockerd writes for these settings."""
    if scene.host.daemon is None or scene.host.daemon.generation is None:
        return
    try:
        docker = docker_host(scene.host)
    except IptsimError:
        return  # with invalid settings, dockerd's rules are unknown
    there = {(rule.table, rule.chain, rule.text) for rule in scene.host.rulesets[family].rules()}
    for rule in rules_for(docker, family).rules():
        if rule.target_name == "DROP" and (rule.table, rule.chain, rule.text) not in there:
            words = rule.specification
            role = docker_role(rule, scene.host)
            if role is not None:
                lacks = message("no rule {words} ({why})", words=words, why=role.why)
            else:
                lacks = message("no rule {words}", words=words)
            yield Evidence(f"{rule.table} {rule.chain}", lacks)


def _active(scene: Scene, family: Family) -> list[Network]:
    """Return the networks for which dockerd has written rules of the family."""
    networks = [
        network
        for network in scene.docker_networks()
        if any(subnet.family == family for subnet in network.subnets)
    ]
    return networks if scene.docker_writes(family) and scene.knows_containers else []


def _translates(scene: Scene, network: Network, family: Family) -> bool:
    daemon = scene.host.daemon
    off = daemon is not None and daemon.ip_masq is False and network.is_default_bridge
    return not off and network.gateway_mode.get(family, "nat") in ("nat", "nat-unprotected")


def _masquerades(rule: Rule, bridge: str | None) -> bool:
    outgoing = rule.parameters.out_interface == bridge and "out_interface" in rule.parameters.negated
    return outgoing and rule.target_name in TRANSLATING_SOURCE


def _hit(scene: Scene, family: Family) -> Explanation | None:
    """Return a packet affected by the missing rules: to a published port, else from a container to the outside."""
    asked = [scene.ask_port(publication) for publication in scene.publications(family)]
    asked += [
        scene.ask(container.name, "internet", family, proto="tcp", dport=443)
        for container in scene.first_members(family)
    ]
    found = [one for one in asked if one is not None]
    return next((one for one in found if one.verdict in BLOCKING), found[0] if found else None)
