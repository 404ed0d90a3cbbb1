"""Findings about two rulesets: of both backends, or of both address families."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iptsim.addresses import Family
from iptsim.dump.header import printed_backend, warns_of_legacy
from iptsim.dump.ruleset import Chain, Ruleset
from iptsim.explanation import Explanation
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.finding import SHOWN, Evidence, Finding, of_line, of_policy
from iptsim.findings.native_chains import has_only_nftables
from iptsim.findings.published import ask_unpublished
from iptsim.findings.scene import SOME_PORT, Publication, Scene, called, place
from iptsim.host.containers import Container, PublishedPort
from iptsim.languages import Message, message, message_joined, message_many, message_sentences
from iptsim.passages import RESTART_DOCKER, shell
from iptsim.protocols import protocol_name

#: How a port is published on all IPv4 addresses.
_EVERY_ADDRESS = (None, "0.0.0.0")  # noqa: S104 - only compared
#: The checked ports of the host: services that a firewall often protects, and an unused port.
_PORTS = (SOME_PORT, 22, 80, 443, 3306)


def mixed(scene: Scene) -> Iterator[Finding]:
    """Find a host with rules of both backends, or a dump that warns about the other backend."""
    for family, main in scene.host.rulesets.items():
        other = scene.host.extra_rulesets.get(family)
        if other is not None and _acts(other) and _acts(main):
            evidence = tuple(Evidence(one.source, _summary(one)) for one in (main, other))
            yield Finding(
                "mixed-backends",
                message(
                    "Rules of both iptables-{one} and iptables-{other} are active.",
                    one=_backend(main),
                    other=_backend(other),
                ),
                evidence,
                message(
                    "Every packet passes both. An ACCEPT in one is not final, because the other may still "
                    "drop the packet; but iptables lists only one of them."
                ),
                _MIXED_REMEDY,
                _parting(scene, family),
                family,
            )
        elif other is None and (warning := _warning(main)):
            yield Finding(
                "mixed-backends",
                message(
                    "Besides these rules of iptables-{backend}, the host has rules of iptables-{other}, which the"
                    " source does not show.",
                    backend=_backend(main),
                    other="nft" if main.backend == "legacy" else "legacy",
                ),
                (Evidence(main.source, warning),),
                message(
                    "Every packet passes both. A packet accepted here may still be dropped there, so answers "
                    "from this source alone may be wrong."
                ),
                message_sentences(
                    message(
                        "Save the other rules too, next to iptables-save.txt: {command}.",
                        command=shell("iptables-legacy-save -c > iptables-legacy-save.txt"),
                    ),
                    _MIXED_REMEDY,
                ),
                None,
                family,
            )


def two_variants(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, versions of iptables of both variants, as in a host and its container."""
    by_variant = {printed_backend(text): (line, text) for line, text in scene.pasted.versions}
    if len(by_variant) < 2 or scene.host.extra_rulesets:
        return
    yield Finding(
        "two-variants",
        message("The text shows iptables in both variants, legacy and nf_tables."),
        tuple(of_line(line, text) for line, text in by_variant.values()),
        message(
            "Each lists and changes only rules of its own, but the kernel runs both: rules that a program, or a"
            " container in the host's network, writes with the other variant do not show in the list."
        ),
        message(
            "List the rules of both: {commands}. In containers that write rules for the host, use the variant of the"
            " host.",
            commands=shell("iptables-legacy-save", "iptables-nft-save"),
        ),
    )


_MIXED_REMEDY = message(
    "Use only one backend, and flush the other: {commands}. Then restart the programs that wrote rules there. To keep"
    " iptables-legacy instead, swap legacy and nft in these commands.",
    commands=shell(
        "update-alternatives --set iptables /usr/sbin/iptables-nft",
        "iptables-legacy -F",
        "iptables-legacy -t nat -F",
    ),
)


def _acts(ruleset: Ruleset) -> bool:
    policies = (chain.policy for table in ruleset.tables.values() for chain in table.chains.values())
    return any(ruleset.rules()) or "DROP" in policies


def _summary(ruleset: Ruleset) -> Message:
    count = sum(1 for _ in ruleset.rules())
    return message(
        "{backend}: {count} rules in {tables}",
        backend=_backend(ruleset),
        count=count,
        tables=message_joined(", ", ruleset.tables),
    )


def _backend(ruleset: Ruleset) -> str:
    return "legacy" if ruleset.backend == "legacy" else "nft"


def _warning(ruleset: Ruleset) -> str | None:
    comments = [line for table in ruleset.tables.values() for line in table.comments]
    # in a pasted listing, the comment is among the warnings, after "line 1: "
    odd = [str(warning).partition(": ")[2] for warning in ruleset.warnings]
    return next((line for line in (*comments, *ruleset.trailer, *odd) if warns_of_legacy(line)), None)


def _parting(scene: Scene, family: Family) -> Explanation | None:
    """Return a packet whose verdict depends on the other backend."""
    alone = scene.suppose("one backend", other_backend=False)
    pairs = [(scene.ask_port(one), scene.ask_port(one, alone)) for one in scene.publications(family)]
    asked = [("internet", "host", port) for port in _PORTS]
    for network in scene.docker_networks():
        members = scene.members(network, family)
        asked += [(one.name, "internet", 443) for one in members[:1]]
        asked += [(members[0].name, place(one, network), SOME_PORT) for one in members[1:2]]
    for sender, to, dport in asked:
        fields: dict[str, Any] = {"proto": "tcp", "dport": dport}
        pairs.append(
            (scene.ask(sender, to, family, **fields), scene.ask(sender, to, family, world=alone, **fields))
        )
    return next((both for both, one in pairs if both and one and both.verdict != one.verdict), None)


def ipv6_open(scene: Scene) -> Iterator[Finding]:
    """Find hosts and containers that are protected in IPv4 but reachable over IPv6."""
    if not {4, 6} <= set(scene.families) or scene.host.inferred:
        return
    yield from _host_open(scene)
    yield from _containers_open(scene)


def _host_open(scene: Scene) -> Iterator[Finding]:
    if has_only_nftables(scene, 4):
        return
    chain = scene.table(6, "filter").chains.get("INPUT")
    if chain is not None and (chain.rules or chain.policy == "DROP"):
        return
    for port in _PORTS:
        by4 = scene.ask("internet", "host", 4, proto="tcp", dport=port)
        by6 = scene.ask("internet", "host", 6, proto="tcp", dport=port)
        if by4 is None or by6 is None or by6.verdict != "ACCEPT" or by4.verdict not in BLOCKING:
            continue
        step = by4.trace.legs[0].deciding
        if step is None or step.hook != "INPUT" or step.table is None:
            continue
        yield Finding(
            "ipv6-open",
            message("The IPv4 rules protect the host, but there are no IPv6 rules in INPUT."),
            (_policy(scene, chain),),
            message(
                "The packet that {table} {chain} blocks over IPv4 is accepted over IPv6.",
                table=step.table,
                chain=step.chain or "",
            ),
            message("Add the same rules with ip6tables; for ufw, set IPV6=yes in /etc/default/ufw."),
            by6,
            6,
        )
        return


def _policy(scene: Scene, chain: Chain | None) -> Evidence:
    """Return evidence that a chain of the IPv6 rules, or its absence, blocks nothing."""
    if chain is not None:
        return of_policy(chain)
    return Evidence(scene.host.rulesets[6].source, message("no rules, so nothing is blocked"))


def _containers_open(scene: Scene) -> Iterator[Finding]:
    neighbours = scene.neighbour(4), scene.neighbour(6)
    if neighbours[0] is None or neighbours[1] is None:
        return
    for network in scene.docker_networks():
        if network.gateway_mode.get(6, "nat") not in ("nat", "isolated"):
            continue
        for container in scene.members(network, 6)[:1]:
            by4 = ask_unpublished(scene, 4, neighbours[0], container, network)
            by6 = ask_unpublished(scene, 6, neighbours[1], container, network)
            if by6 is None or by6.verdict != "ACCEPT":
                continue
            if by4 is not None and by4.verdict not in BLOCKING:
                continue
            yield Finding(
                "ipv6-open",
                message(
                    "Containers on {network} have IPv6 addresses, and no rule filters the traffic to them.",
                    network=called(network),
                ),
                (_policy(scene, scene.table(6, "filter").chains.get("FORWARD")),),
                message(
                    "Unpublished ports are closed over IPv4, but open over IPv6 to any host that has a route."
                ),
                message(
                    'Set "ip6tables": true in daemon.json (the default since 27), and restart Docker: {command}',
                    command=RESTART_DOCKER,
                ),
                by6,
                6,
            )


def ipv4_only(scene: Scene) -> Iterator[Finding]:
    """Find ports that are published only for IPv4, although the host has an external IPv6 address."""
    outside = scene.outside_interface(6) if {4, 6} <= set(scene.families) else None
    if not scene.knows_containers or outside is None:
        return
    if not any(address.family == 6 and address.scope == "global" for address in outside.addresses):
        return
    found: list[tuple[Publication, Explanation]] = []
    for publication in scene.publications(4):
        port = publication.port
        if port.host_address not in _EVERY_ADDRESS or _is_published(publication.container, port):
            continue
        shown = scene.ask("internet", "host", 6, proto=protocol_name(port.proto), dport=port.host_port)
        leg = shown.trace.legs[0] if shown is not None else None
        if shown is not None and leg is not None and (leg.verdict != "ACCEPT" or not leg.listening):
            found.append((publication, shown))
    if found:
        yield _not_on_ipv6(scene, found)


def _is_published(container: Container, port: PublishedPort) -> bool:
    """Return whether a port of the host is published over IPv6, too."""
    wanted = (6, port.proto, port.host_port)
    return any((one.family, one.proto, one.host_port) == wanted for one in container.published)


def _not_on_ipv6(scene: Scene, found: list[tuple[Publication, Explanation]]) -> Finding:
    ports = list(dict.fromkeys(f"{one.outside} ({one.container.name})" for one, _ in found))
    return Finding(
        "not-published-ipv6",
        message_many(
            "{ports} is published for IPv4 only, although the host has an IPv6 address.",
            "{ports} are published for IPv4 only, although the host has an IPv6 address.",
            len(ports),
            ports=message_joined(", ", ports[:SHOWN]),
        ),
        tuple(scene.publishes(one) for one, _ in found[:SHOWN]),
        message(
            "Clients that find the host's IPv6 address by its name get no reply there, or only after a delay."
        ),
        _publishing_on_ipv6(scene, found[0][0]),
        found[0][1],
        6,
    )


def _publishing_on_ipv6(scene: Scene, publication: Publication) -> Message:
    daemon = scene.host.daemon
    if daemon is not None and daemon.userland_proxy is False:
        return message(
            "Give the container's network IPv6 (docker network create --ipv6), or leave userland-proxy on:"
            " docker-proxy passes IPv6 connections to containers that have only IPv4."
        )
    return message(
        "Publish them without the address 0.0.0.0, or for [::] as well: {option}",
        option=f"-p [::]:{publication.port.host_port}:{publication.port.container_port}",
    )
