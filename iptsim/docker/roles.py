"""Why dockerd wrote a rule: the setting, network, port or link behind it.

A rule's role is told from its chain and its shape, for the three generations of Docker's layout:
rules in FORWARD (to 27), DOCKER-FORWARD and friends (28 on), raw PREROUTING drops (28 on). Source:
moby/libnetwork drivers/bridge/setup_ip_tables.go and dumps of real engines.
"""

from __future__ import annotations

from dataclasses import dataclass

from iptsim.dump.ruleset import Jump, Rule
from iptsim.extensions.targets.dnat import Dnat
from iptsim.extensions.values import Network as Prefix
from iptsim.host.model import Host
from iptsim.packet import Family, address_text, protocol_name

#: Chains that dockerd makes.
DOCKER_CHAINS = frozenset({
    "DOCKER", "DOCKER-USER", "DOCKER-FORWARD", "DOCKER-BRIDGE", "DOCKER-CT", "DOCKER-INTERNAL",
    "DOCKER-ISOLATION", "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2", "DOCKER-INGRESS",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Role:
    """What a rule of Docker's is for.

    Attributes:
        code: a stable word: "icc-off", "icc-on", "link", "link-answer", "published-port", "port-forward",
            "outgoing", "answers", "isolation", "internal", "direct-routing", "loopback-port",
            "unpublished", "masquerade", "hairpin-masquerade", "own-bridge", "plumbing".
        text: one sentence.
        network / container / port: what it belongs to, where known; port as "80/tcp".
    """

    code: str
    text: str
    network: str = ""
    container: str = ""
    port: str = ""


def is_dockers(rule: Rule) -> bool:
    """Tell whether dockerd wrote a rule; what stands in DOCKER-USER is the user's, but for its RETURN."""
    if rule.chain == "DOCKER-USER":
        return rule.target_name == "RETURN" and not rule.matches and rule.parameters.source is None
    if rule.chain in DOCKER_CHAINS:
        return True
    return role_of(rule) is not None


def role_of(rule: Rule, host: Host | None = None) -> Role | None:
    """Return why a rule of Docker's is there, None for a rule of somebody else's."""
    jump = rule.target.chain if isinstance(rule.target, Jump) else ""
    if jump in DOCKER_CHAINS:
        return _plumbing(rule, jump)
    finder = {"filter": _filter_role, "nat": _nat_role, "raw": _raw_role}.get(rule.table)
    return finder(rule, host) if finder else None


def _plumbing(rule: Rule, chain: str) -> Role:
    texts = {
        "DOCKER-USER": "lets the user's own rules in DOCKER-USER look first",
        "DOCKER-FORWARD": "leads to Docker's rules for forwarded packets",
        "DOCKER-CT": "leads to the rule that lets answers through",
        "DOCKER-BRIDGE": "leads to the rules of the bridge that the packet leaves by",
        "DOCKER-ISOLATION-STAGE-1": "keeps Docker's networks apart: is it leaving a bridge?",
        "DOCKER-ISOLATION-STAGE-2": "keeps Docker's networks apart: is it entering another bridge?",
        "DOCKER-INTERNAL": "leads to the rules of internal networks",
        "DOCKER-INGRESS": "leads to the rules of swarm's published ports",
        "DOCKER": "leads to published ports and links"
        if rule.table == "filter"
        else "leads to port forwarding",
    }
    return Role("plumbing", texts.get(chain, f"leads to {chain}"))


def network_name(host: Host | None, bridge: str) -> str:
    """Return how to call the network of a bridge: its name where known, else the bridge's."""
    found = host.network_of_bridge(bridge) if host else None
    return found.name if found is not None and not found.is_default_bridge else bridge


def _filter_role(rule: Rule, host: Host | None) -> Role | None:
    parameters, negated = rule.parameters, rule.parameters.negated
    in_, out = parameters.in_interface, parameters.out_interface
    target = rule.target_name
    if rule.chain in ("FORWARD", "DOCKER-FORWARD", "DOCKER-CT"):
        return _forward_role(rule, host, in_, out, negated, target)
    if rule.chain == "DOCKER":
        return _docker_chain_role(rule, host)
    if rule.chain.startswith("DOCKER-ISOLATION") or rule.chain == "DOCKER-INTERNAL":
        if target == "DROP" and (parameters.source is not None or parameters.destination is not None):
            bridge = out or in_ or ""
            name = network_name(host, bridge)
            return Role("internal", f"{name} is an internal network: nothing goes in or out", name)
        if target == "DROP" and out is not None:
            name = network_name(host, out)
            return Role("isolation", f"keeps other networks of Docker out of {name}", name)
        if target == "RETURN":
            return Role("plumbing", "nothing keeps the packet apart: go on")
    if rule.chain == "DOCKER-USER" and target == "RETURN" and not rule.matches:
        return Role("plumbing", "the end of the user's own rules: go on with Docker's")
    return None


def _is_bridge(host: Host | None, name: str | None) -> bool:
    """Tell whether an interface is a bridge of Docker's, by what is known of the host or by its name."""
    if name is None:
        return False
    if host is not None and host.networks:
        return host.network_of_bridge(name) is not None
    return name == "docker0" or name.startswith("br-") or name == "docker_gwbridge"


def _forward_role(
    rule: Rule, host: Host | None, in_: str | None, out: str | None, negated: frozenset[str], target: str
) -> Role | None:
    own = rule.chain != "FORWARD"
    bridge = in_ or out or ""
    if not own and not _is_bridge(host, bridge):
        return None
    if rule.parameters.source is not None or rule.parameters.destination is not None:
        return None
    name = network_name(host, bridge)
    if rule.matches:
        states = getattr(rule.matches[0], "ctstate", None)
        if target == "ACCEPT" and out is not None and in_ is None and states and "ESTABLISHED" in states:
            return Role("answers", f"lets answers into {name}", name)
        return None
    if in_ is not None and out == in_ and not negated:
        if target == "DROP":
            return Role("icc-off", f"containers on {name} may not talk to each other: icc is off", name)
        if target == "ACCEPT":
            return Role("icc-on", f"containers on {name} may talk to each other: icc is on", name)
    if (
        in_ is not None
        and target == "ACCEPT"
        and (out is None or (out == in_ and negated == {"out_interface"}))
    ):
        if out is None:
            return Role("outgoing", f"lets containers on {name} talk to each other and to the outside", name)
        return Role("outgoing", f"lets containers on {name} talk to the outside", name)
    if out is not None and in_ is None and target == "ACCEPT" and own:
        return Role(
            "routed", f"lets packets into {name}: its gateway mode is routed or nat-unprotected", name
        )
    return None


def _docker_chain_role(rule: Rule, host: Host | None) -> Role | None:
    parameters, negated = rule.parameters, rule.parameters.negated
    bridge = parameters.out_interface or parameters.in_interface or ""
    name = network_name(host, bridge)
    target = rule.target_name
    port = _port(rule, "destination_port")
    if target == "DROP" and negated == {"in_interface"} and parameters.destination is None:
        return Role("unpublished", f"ports on {name} that are not published stay closed to the outside", name)
    if target != "ACCEPT" or parameters.destination is None:
        return None
    container = _name(host, parameters.destination)
    if parameters.source is not None and parameters.in_interface == parameters.out_interface:
        other = _name(host, parameters.source)
        if port:
            text = f"lets {other} reach {container} on {port}: --link {container}"
            return Role("link", text, name, container, port)
        port = _port(rule, "source_port")
        text = f"lets {other} answer {container} from {port}: the way back of --link {other}"
        return Role("link-answer", text, name, other, port)
    if port:
        return Role(
            "published-port",
            f"lets packets from outside to {container} on {port}: a published port",
            name,
            container,
            port,
        )
    return None


def _nat_role(rule: Rule, host: Host | None) -> Role | None:
    parameters, negated = rule.parameters, rule.parameters.negated
    target = rule.target_name
    if rule.chain == "DOCKER":
        if (
            isinstance(rule.target, Dnat)
            and rule.target.to_destination
            and rule.target.to_destination.addresses
        ):
            address = rule.target.to_destination.addresses[0]
            family: Family = 6 if rule.target.to_destination.family == 6 else 4
            container = _owner(host, family, address)
            ports = rule.target.to_destination.ports
            inside = f"{ports[0]}/{protocol_name(parameters.protocol or 6)}" if ports else ""
            outside = _port(rule, "destination_port")
            text = f"forwards {outside} of the host to {container} on {inside}: a published port"
            return Role("port-forward", text, "", container, outside)
        if target == "RETURN" and parameters.in_interface:
            name = network_name(host, parameters.in_interface)
            return Role("own-bridge", f"leaves packets from {name} to docker-proxy", name)
        return None
    if target != "MASQUERADE" or rule.chain not in ("POSTROUTING", "DOCKER-POSTROUTING"):
        return None
    source, out = parameters.source, parameters.out_interface
    if source is not None and out is not None and negated == {"out_interface"} and not rule.matches:
        if not _is_bridge(host, out):
            return None
        name = network_name(host, out)
        return Role("masquerade", f"gives packets that leave {name} the host's address", name)
    if source is not None and source == parameters.destination:
        container = _name(host, source)
        return Role(
            "hairpin-masquerade", f"lets {container} reach itself through its published port", "", container
        )
    if source is None and out is not None and _is_bridge(host, out):
        name = network_name(host, out)
        return Role("host-masquerade", f"gives the host's own packets into {name} the bridge's address", name)
    return None


def _raw_role(rule: Rule, host: Host | None) -> Role | None:
    parameters = rule.parameters
    if rule.chain != "PREROUTING" or rule.target_name != "DROP" or parameters.destination is None:
        return None
    if parameters.negated != {"in_interface"}:
        return None
    if parameters.in_interface == "lo":
        port = _port(rule, "destination_port")
        return Role(
            "loopback-port", f"{port} is published on the loopback address: not for other hosts", port=port
        )
    if _is_bridge(host, parameters.in_interface):
        container = _name(host, parameters.destination)
        name = network_name(host, parameters.in_interface or "")
        text = (
            f"only {name} itself may send to {container}'s own address; from elsewhere use a published port"
        )
        return Role("direct-routing", text, name, container)
    return None


def _port(rule: Rule, field: str) -> str:
    for match in rule.matches:
        ports: tuple[int, int] | None = getattr(match, field, None)
        if ports is not None:
            shown = str(ports[0]) if ports[0] == ports[1] else f"{ports[0]}-{ports[1]}"
            return f"{shown}/{match.name}"
    return ""


def _name(host: Host | None, prefix: Prefix) -> str:
    return _owner(host, 6 if prefix.family == 6 else 4, prefix.address)


def _owner(host: Host | None, family: Family, address: int) -> str:
    owner = host.owner_of(family, address) if host else None
    return owner[0].name if isinstance(owner, tuple) else address_text(family, address)
