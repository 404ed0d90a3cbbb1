"""Settings of Docker and of its networks that keep containers from other hosts, or Docker from starting them."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import address_text
from iptsim.docker.dockerd.recognition import DOCKER_CHAINS
from iptsim.explanation import Explanation
from iptsim.extensions.verdicts import TRANSLATING_SOURCE
from iptsim.findings.finding import Evidence, Finding, of_rule
from iptsim.findings.scene import Scene, called, some_address
from iptsim.host.containers import Network
from iptsim.host.docker_defaults import DOCKER0
from iptsim.host.namespace import prefix_mask
from iptsim.languages import Message, message, message_joined, message_many
from iptsim.owners.docker import docker_role
from iptsim.passages import shell

#: The option of a bridge network that Docker sets (moby, daemon/libnetwork/drivers/bridge/labels.go).
_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
#: At most this many networks are named, and rules of each.
_SHOWN = 3


def internal(scene: Scene) -> Iterator[Finding]:
    """Find internal networks, if a text is about no others: what their containers can reach surprises.

    Source: docker network create(1); moby, daemon/libnetwork/drivers/bridge: no default route since 25, and the gateway
    mode isolated since 28.
    """
    if not scene.is_pasted:
        return
    chosen = [one for one in scene.docker_networks() if not one.is_default_bridge and one.bridge]
    if not chosen or not all(one.internal and one.gateway_mode.get(4) != "isolated" for one in chosen):
        return
    first, family = chosen[0], scene.families[0]
    yield Finding(
        "internal-network",
        message_many(
            "{names} is an internal network: its containers cannot reach other hosts; only INPUT keeps them from this"
            " one.",
            "{names} are internal networks: their containers cannot reach other hosts; only INPUT keeps them from this"
            " one.",
            len(chosen),
            names=message_joined(", ", [called(one) for one in chosen[:_SHOWN]]),
        ),
        tuple(_evidence(scene, first)) or (Evidence(called(first), "--internal"),),
        message(
            "It was created with --internal (internal: true in Compose): Docker drops what enters or leaves its bridge."
            " Packets to an address of the host are not forwarded, so INPUT decides about them. Before Docker 25 its"
            " containers reach all addresses of the host, since then that of the bridge only, as they have no default"
            " route."
        ),
        message(
            "To reach other hosts, connect the container to a second network, or create the network without --internal."
            " To keep its containers from the host: {command}; since 28 also -o"
            " com.docker.network.bridge.gateway_mode_ipv4=isolated",
            command=shell(f"iptables -I INPUT -i {first.bridge} -j DROP"),
        ),
        _to_host(scene, first),
        family,
    )


def _evidence(scene: Scene, network: Network) -> Iterator[Evidence]:
    """Yield Docker's rules that isolate a network."""
    rules = [
        rule
        for family in scene.families
        for rule in scene.table(family, "filter").rules()
        if rule.target_name == "DROP"
        and network.bridge in (rule.parameters.in_interface, rule.parameters.out_interface)
    ]
    for rule in rules:
        role = docker_role(rule, scene.host)
        if role is not None and role.code == "internal":
            yield of_rule(rule)


def _to_host(scene: Scene, network: Network) -> Explanation | None:
    """Return a connection of a container to the address of the bridge."""
    gateway = network.gateways.get(4)
    sender = next((one.name for one in scene.members(network)), None) or some_address(network, 4)
    if gateway is None or sender is None or 4 not in scene.families:
        return None
    return scene.ask(sender, address_text(4, gateway), 4, proto="tcp", dport=80)


def not_masquerading(scene: Scene) -> Iterator[Finding]:
    """Find networks whose settings switch masquerading off, if no rule that is shown translates what they send."""
    if not scene.is_pasted:
        return
    for family in scene.families:
        for network in scene.docker_networks():
            off = _switched_off(scene, network)
            if off is None or network.internal or network.gateway_mode.get(family, "nat") != "nat":
                continue
            sender = some_address(network, family)
            if sender is None or network.bridge is None:
                continue
            shown = scene.ask(sender, "internet", family, proto="tcp", dport=443, **{"in": network.bridge})
            delivered = shown.trace.legs[0].delivered if shown is not None else None
            if delivered is None or address_text(family, delivered.packet.src) != sender:
                continue
            yield Finding(
                "masquerade-off",
                message(
                    "{network} does not masquerade: what its containers send leaves with their private addresses.",
                    network=called(network),
                ),
                (off,),
                message(
                    "Docker writes no MASQUERADE rule for the network. Other hosts answer to {sender}, and unless their"
                    " routers have a route to that subnet through this host, no reply comes back.",
                    sender=sender,
                ),
                _switch_on(network),
                shown,
                family,
            )


def writing_no_rules(scene: Scene) -> Iterator[Finding]:
    """Tell, of a pasted text, that dockerd's settings make it write no rules, if none of its rules are left."""
    daemon = scene.host.daemon
    if not scene.is_pasted or daemon is None or daemon.iptables is not False or 4 not in scene.families:
        return
    if daemon.refusal is not None or _translates(scene):
        return
    if any(not DOCKER_CHAINS.isdisjoint(scene.table(4, table).chains) for table in ("filter", "nat")):
        return
    yield Finding(
        "docker-writes-no-rules",
        message("dockerd runs with iptables=false, so it writes no rules for its containers."),
        (Evidence(daemon.sources.get("iptables", "dockerd"), "iptables=false"),),
        message(
            "It does not masquerade what they send: unless another rule does, other networks see private addresses,"
            " and no reply comes back. Only docker-proxy takes connections to published ports, so INPUT decides about"
            " them."
        ),
        message(
            "Remove iptables=false and restart Docker, or masquerade for each network: {command}",
            command=shell("iptables -t nat -A POSTROUTING -s SUBNET ! -o BRIDGE -j MASQUERADE"),
        ),
    )


def _translates(scene: Scene) -> bool:
    """Return whether a rule may change the source of IPv4 packets of containers on Docker's bridges."""
    known = [one for network in scene.docker_networks() for one in network.subnets if one.family == 4]
    subnets = [(one.address, one.prefix_length) for one in known] or [(DOCKER0.address, DOCKER0.length)]
    sources = [
        None if "source" in rule.parameters.negated else rule.parameters.source
        for rule in scene.table(4, "nat").rules()
        if rule.target_name in TRANSLATING_SOURCE
    ]
    return any(
        source is None or not (source.address ^ address) & source.mask & prefix_mask(4, length)
        for source in sources
        for address, length in subnets
    )


def refused_settings(scene: Scene) -> Iterator[Finding]:
    """Find settings with which dockerd does not start."""
    daemon = scene.host.daemon
    if daemon is None or daemon.refusal is None:
        return
    options = ("icc", "iptables", "ipv6", "ip6tables") if daemon.icc is False else ("bridge", "bip", "bip6")
    yield Finding(
        "dockerd-refuses-settings",
        daemon.refusal,
        tuple(
            Evidence(daemon.sources.get(name, "dockerd"), f"{name.replace('_', '-')}={_as_option(value)}")
            for name in options
            if (value := getattr(daemon, name)) is not None
        ),
        message(
            "Without dockerd, no container starts. If dockerd was running before the change, it keeps its old settings"
            " until it is restarted. journalctl -u docker shows the error."
        ),
        message("Remove iptables=false: icc=false and links need Docker's rules.")
        if daemon.icc is False and daemon.iptables is False
        else message("Remove one of the settings."),
        None,
        scene.families[0],
    )


def _as_option(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _switched_off(scene: Scene, network: Network) -> Evidence | None:
    """Return the setting that switches masquerading off for a network."""
    if network.options.get(_MASQUERADE, "").lower() == "false":
        return Evidence(called(network), f'"{_MASQUERADE}": "false"')
    daemon = scene.host.daemon
    if network.is_default_bridge and daemon is not None and daemon.ip_masq is False:
        return Evidence(daemon.sources.get("ip_masq", "dockerd"), "ip-masq=false")
    return None


def _switch_on(network: Network) -> Message:
    if network.is_default_bridge:
        return message(
            "Remove ip-masq=false and iptables=false from dockerd's settings, and restart Docker; or: {command}",
            command=shell(_command(network)),
        )
    return message(
        "Create the network again without {option}=false; or: {command}",
        option=_MASQUERADE,
        command=shell(_command(network)),
    )


def _command(network: Network) -> str:
    subnet = network.subnets[0]
    prefix = f"{address_text(subnet.family, subnet.address)}/{subnet.prefix_length}"
    tool = "iptables" if subnet.family == 4 else "ip6tables"
    return f"{tool} -t nat -A POSTROUTING -s {prefix} ! -o {network.bridge} -j MASQUERADE"


def gateway_outside(scene: Scene) -> Iterator[Finding]:
    """Find, in settings of Docker, a network whose gateway is in none of its subnets.

    Source: dockerd 20.10.24; the command says "no matching subnet for gateway", the API "failed to allocate gateway".
    """
    for network in scene.host.networks.values():
        for subnet in network.subnets:
            gateway = subnet.gateway
            if gateway is None or network.covers(subnet.family, gateway):
                continue
            shown = address_text(subnet.family, gateway)
            yield Finding(
                "gateway-outside-subnet",
                message(
                    "Docker does not create {network}: its gateway {gateway} is outside its subnet {subnet}.",
                    network=network.name,
                    gateway=shown,
                    subnet=str(subnet),
                ),
                (Evidence(network.name, f"subnet: {subnet}, gateway: {shown}"),),
                message(
                    "The gateway is the router to which the containers send what is for other networks; they reach"
                    " only addresses of their own subnet directly."
                ),
                message(
                    "Give the subnet in which the router is (for macvlan and ipvlan, that of the LAN), with the"
                    " router's address in it as the gateway. Without a gateway, Docker takes the subnet's first"
                    " address."
                ),
                None,
                subnet.family,
            )
            return
