"""Findings about Docker's own rules: missing although containers run, or left over from removed containers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from iptsim.docker.dockerd.recognition import DOCKER_CHAINS
from iptsim.docker.dockerd.rulesets import rules_for
from iptsim.docker.sources.host import docker_host
from iptsim.dump.ruleset import Chain, Rule, tool_of
from iptsim.errors import IptsimError
from iptsim.explanation import Explanation
from iptsim.extensions.base import quote
from iptsim.findings.examples import packet_for
from iptsim.findings.finding import Evidence, Finding, of_policy, of_rule
from iptsim.findings.scene import Scene, called
from iptsim.host.containers import Network
from iptsim.host.pasted import FailedCommand
from iptsim.languages import message, message_many, message_sentences
from iptsim.owners.docker import docker_role, is_dockers
from iptsim.packet import Family, address_text


def flushed(scene: Scene) -> Iterator[Finding]:
    """Find Docker's chains, jumps and MASQUERADE rules that are missing although its containers run."""
    for family in scene.families:
        if scene.adds_to_docker or not _expects_rules(scene, family):
            if _has_none(scene, family):
                yield _without_any(scene, family)
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


def _has_none(scene: Scene, family: Family) -> bool:
    """Return whether a pasted text shows that Docker runs, and a FORWARD without any of its rules."""
    pasted, daemon = scene.host.pasted, scene.host.daemon
    if family == 6 or pasted is None or not any(one.form.startswith("docker ") for one in pasted.segments):
        return False
    if daemon is not None and (daemon.iptables is False or daemon.firewall_backend == "nftables"):
        return False
    if "FORWARD" not in scene.table(family, "filter").chains or not scene.shows(family, "filter", "FORWARD"):
        return False
    rules = scene.rules(family, "filter", "FORWARD")
    return not any(is_dockers(rule) or rule.target_name in DOCKER_CHAINS for rule in rules)


def _without_any(scene: Scene, family: Family) -> Finding:
    forward = scene.table(family, "filter").chains["FORWARD"]
    blocking = [rule for rule in forward.rules if rule.target_name in ("DROP", "REJECT")]
    evidence = of_rule(blocking[-1]) if blocking else of_policy(forward)
    return Finding(
        "docker-rules-flushed",
        message(
            "FORWARD has no rule of Docker, although Docker runs: the tables were flushed or overwritten since."
        ),
        (Evidence("filter FORWARD", message("no rule of Docker")), evidence),
        message(
            "Without them, the other rules and the policy of FORWARD decide about packets of containers and to"
            " published ports. dockerd does not notice until it starts again. A reload of firewalld, or a script with"
            " iptables -F or iptables-restore, removes them. With iptables=false, Docker writes none."
        ),
        message(
            "systemctl restart docker writes them again. Load other rules with iptables-restore "
            "--noflush, and before Docker starts."
        ),
        None,
        family,
    )


#: What iptables prints if a chain that a rule is for, or jumps to, does not exist.
_NO_CHAIN = re.compile(r"No chain/target/match by that name|(?<!Table )does not exist|Couldn't load target")
#: At most this many lines of a log are named.
_LINES = 3


def failed(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted log, commands of dockerd that failed because a chain of Docker does not exist."""
    pasted = scene.host.pasted
    found = [(one, name) for one in (pasted.failed if pasted else ()) if (name := _lacks(one)) is not None]
    if not found:
        return
    first, chain = found[0]
    evidence = tuple(
        Evidence(
            message("line {line}", line=one.line),
            f"{one.program} {' '.join(map(quote, one.words))}: {one.why}",
        )
        for one, _ in found[:_LINES]
    )
    family: Family = 6 if first.program == "ip6tables" else 4
    if first.caller:
        yield _other_program_failed(first.caller, chain, evidence, family)
    else:
        daemon = scene.host.daemon
        off = daemon is not None and daemon.iptables is False
        yield _docker_failed(chain, evidence, family, off=off)


#: Chains of Podman's networks: of its CNI plugins, and of netavark.
_PODMANS = re.compile(r"(?:CNI|NETAVARK)[-_][\w-]+")


def podmans_failed(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted log, commands of Podman that failed because a chain of its networks does not exist."""
    pasted = scene.host.pasted
    found = [
        (one, name)
        for one in (pasted.failed if pasted else ())
        if _NO_CHAIN.search(one.why) and (name := next(filter(_PODMANS.fullmatch, one.words), None))
    ]
    if not found or pasted is None:
        return
    first, chain = found[0]
    yield Finding(
        "podman-rules-flushed",
        message("Podman's chain {chain} does not exist any more.", chain=chain),
        (
            *(
                Evidence(message("line {line}", line=one.line), one.command)
                for one in pasted.firewalld_reloads[:_LINES]
            ),
            *(
                Evidence(
                    message("line {line}", line=one.line),
                    f"{one.program} {' '.join(map(quote, one.words))}: {one.why}",
                )
                for one, _ in found[:_LINES]
            ),
        ),
        message(
            "Podman writes the rules of a container only when it starts. A reload of firewalld, or a script that"
            " flushes the tables, removes them; then published ports are not forwarded, and containers do not reach"
            " other networks."
        ),
        message(
            "podman network reload --all writes them again. netavark-firewalld-reload.service does that after each"
            " reload of firewalld."
        ),
        None,
        6 if first.program == "ip6tables" else 4,
    )


def reloaded(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text about containers without rules of Docker, commands that replaced or removed all rules."""
    pasted = scene.host.pasted
    if pasted is None or not pasted.reloads or _shows_dockers(scene) or any(flushed(scene)):
        return
    named = (pasted.with_rules or pasted.patched) and "docker" in pasted.engines
    if not scene.docker_networks() and not named:
        return
    first, *_ = shown = pasted.reloads[:_LINES]
    flushes = re.search(r"\s(?:-F|--flush)(?:\s|$)", first.command) is not None
    yield Finding(
        "flushes-docker" if flushes else "docker-rules-flushed",
        message(
            "{command} removes all rules of the table, also those that Docker needs.", command=first.command
        )
        if flushes
        else message("{command} replaced all rules, also those that Docker needs.", command=first.command),
        tuple(Evidence(message("line {line}", line=one.line), one.command) for one in shown),
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
            "systemctl restart docker writes them again. In a script, flush only chains of your own, such as INPUT and"
            " DOCKER-USER."
        )
        if flushes
        else message(
            "systemctl restart docker writes them again. Load other rules with iptables-restore "
            "--noflush, and before Docker starts."
        ),
        None,
        scene.families[0],
    )


def _shows_dockers(scene: Scene) -> bool:
    """Return whether a source with rules shows some that Docker wrote."""
    pasted = scene.host.pasted
    return (pasted is None or pasted.with_rules) and any(
        is_dockers(rule) or rule.target_name in DOCKER_CHAINS
        for ruleset in scene.host.rulesets.values()
        for rule in ruleset.rules()
    )


def _docker_failed(chain: str, evidence: tuple[Evidence, ...], family: Family, *, off: bool) -> Finding:
    """Return the finding about a command of dockerd: another program has removed the chain.

    Args:
        chain: the chain that does not exist.
        evidence: the commands.
        family: the address family.
        off: dockerd runs with iptables=false.
    """
    return Finding(
        "docker-rules-flushed",
        message("Docker could not write a rule, because its chain {chain} does not exist.", chain=chain),
        evidence,
        message(
            "dockerd runs with iptables=false, so it creates no chains; but some versions add rules to them."
        )
        if off
        else message(
            "dockerd creates its chains when it starts. Another program, such as firewalld, iptables-restore or a"
            " script that flushes the tables, has removed them since."
        ),
        message(
            "Remove iptables=false and restart Docker, or create the chain: {command}",
            command="iptables -t {} -N {}".format(*chain.split()),
        )
        if off
        else message(
            "systemctl restart docker creates them again. To keep them, start or reload the other firewall before"
            " Docker."
        ),
        None,
        family,
    )


def _other_program_failed(caller: str, chain: str, evidence: tuple[Evidence, ...], family: Family) -> Finding:
    """Return the finding about a command of another program: it sees other rules than Docker, or came first."""
    return Finding(
        "docker-rules-flushed",
        message(
            "{caller} could not add its rule, because Docker's chain {chain} does not exist where it looks.",
            caller=caller,
            chain=chain,
        ),
        evidence,
        message(
            "dockerd creates its chains when it starts, with the iptables of the host. An iptables in a container may"
            " use the other backend (legacy or nf_tables), which has no such chain; or Docker had not started yet."
        ),
        message(
            "Compare iptables --version on the host and where {caller} runs, and use the same backend; start {caller}"
            " after Docker.",
            caller=caller,
        ),
        None,
        family,
    )


def chain_missing(one: FailedCommand) -> bool:
    """Return whether a command failed because something that it names does not exist."""
    return _NO_CHAIN.search(one.why) is not None


def _lacks(one: FailedCommand) -> str | None:
    """Return the chain of Docker, with its table, whose absence made a command fail; None for other failures."""
    words = one.words
    if not _NO_CHAIN.search(one.why):
        return None
    table = next((after for word, after in pairwise(words) if word in ("-t", "--table")), "filter")
    adds = next((after for word, after in pairwise(words) if word in ("-A", "-I")), None)
    jumps = next((after for word, after in pairwise(words) if word == "-j"), "")
    name = next((name for name in (jumps, adds) if name in DOCKER_CHAINS), None)
    return f"{table} {name}" if adds is not None and name is not None else None


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
    running = any(scene.members(network, family) for network in scene.docker_networks())
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
    pasted = scene.host.pasted
    if pasted is None or "docker" not in {word.lower() for word in pasted.searched}:
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
        for hook in ("PREROUTING", "OUTPUT"):
            if scene.shows(family, "nat", hook) and not any(
                rule.chain == hook for rule in scene.jumps(family, "nat", "DOCKER")
            ):
                yield _no_jump("nat", hook, "DOCKER", nat)
    engine = scene.host.daemon.engine if scene.host.daemon is not None else None
    if "DOCKER-FORWARD" in chains or (engine is not None and engine.jumps_to_docker_forward):
        entries = ["DOCKER-FORWARD"]
    else:
        entries = ["DOCKER-ISOLATION-STAGE-1", "DOCKER"]
    jumps = [rule for name in entries for rule in scene.jumps(family, "filter", name)]
    if scene.shows(family, "filter", "FORWARD") and not any(rule.chain == "FORWARD" for rule in jumps):
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
    return outgoing and rule.target_name in ("MASQUERADE", "SNAT")


def _hit(scene: Scene, family: Family) -> Explanation | None:
    """Return a packet affected by the missing rules: to a published port, else from a container to the outside."""
    asked = [scene.ask_port(publication) for publication in scene.publications(family)]
    asked += [
        scene.ask(container.name, "internet", family, proto="tcp", dport=443)
        for network in scene.docker_networks()
        for container in scene.members(network, family)[:1]
    ]
    found = [one for one in asked if one is not None]
    return next((one for one in found if one.verdict in ("DROP", "REJECT")), found[0] if found else None)


def stale(scene: Scene) -> Iterator[Finding]:
    """Find Docker's rules for addresses that no running container has."""
    if not scene.knows_containers:
        return
    for family in scene.families:
        gone: dict[int, list[Rule]] = {}
        for table in ("raw", "nat", "filter"):
            for rule in scene.table(family, table).rules():
                for address in _container_addresses(rule):
                    inside = any(one.id and one.covers(family, address) for one in scene.docker_networks())
                    if inside and scene.host.owner_of(family, address) is None:
                        gone.setdefault(address, []).append(rule)
        for address, rules in gone.items():
            yield _stale(scene, family, address_text(family, address), rules)


def _container_addresses(rule: Rule) -> Iterator[int]:
    """Yield the container addresses in a Docker rule for a single container."""
    role = docker_role(rule)
    if role is None or role.code not in (
        "port-forward", "published-port", "link", "link-answer", "direct-routing", "hairpin-masquerade",
    ):  # fmt: skip
        return
    found = {}
    if (to := getattr(rule.target, "to_destination", None)) is not None and to.addresses:
        found[to.addresses[0]] = True
    if role.code != "port-forward":
        for prefix in (rule.parameters.source, rule.parameters.destination):
            if prefix is not None and prefix.mask in (0xFFFFFFFF, (1 << 128) - 1):
                found[prefix.address] = True
    yield from found


def _stale(scene: Scene, family: Family, address: str, rules: list[Rule]) -> Finding:
    tool = tool_of(family)
    dnat = next((rule for rule in rules if rule.target_name == "DNAT"), None)
    shown = packet_for(scene, family, dnat, "INPUT") if dnat is not None else None
    return Finding(
        "stale-rule",
        message_many(
            "A Docker rule is for {address}, which no running container has.",
            "{count} Docker rules are for {address}, which no running container has.",
            len(rules),
            address=address,
        ),
        tuple(map(of_rule, rules)),
        message(
            "The packet is sent to an unused address; a later container that gets the address "
            "inherits the open port."
        )
        if dnat is not None
        else message("A later container that gets the address inherits the rule."),
        "; ".join(f"{tool} -t {rule.table} -D {rule.text.removeprefix('-A ')}" for rule in rules[:3])
        + ("; ..." if len(rules) > 3 else ""),
        shown,
        family,
    )
