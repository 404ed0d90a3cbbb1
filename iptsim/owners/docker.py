"""Docker: the setting, network, container, port or link for which dockerd wrote a rule.

Rules are recognised by the templates of all generations, see :mod:`iptsim.docker.dockerd.recognition`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache

from iptsim.addresses import Family, address_text
from iptsim.docker.dockerd import nft_templates
from iptsim.docker.dockerd.recognition import is_dockers as is_written_by_dockerd
from iptsim.docker.dockerd.recognition import link_template, template_of
from iptsim.docker.dockerd.templates import RuleTemplate
from iptsim.dump.rule import Jump, Rule
from iptsim.extensions.targets.dnat import Dnat
from iptsim.extensions.values import Network as Prefix
from iptsim.host.containers import Container
from iptsim.host.docker_defaults import DEFAULT_BRIDGE, GATEWAY_BRIDGE, MESH
from iptsim.host.model import Host
from iptsim.languages import Message, message
from iptsim.owners.maker import Identity, Maker, Role, Scope
from iptsim.protocols import protocol_name


def is_dockers(rule: Rule, host: Host | None = None) -> bool:
    """Return whether dockerd wrote a rule, even in chains that also contain the user's rules."""
    networks = host.networks.values() if host is not None else ()
    own = {one.bridge for one in networks if one.bridge is not None and one.daemon == "docker"}
    return is_written_by_dockerd(rule, own) or _early_link(rule, host) is not None


def forwards_port(rule: Rule, host: Host) -> bool:
    """Return whether a rule of nat is Docker's forwarding of a published port."""
    found = _template(rule, host) if isinstance(rule.target, Dnat) else None
    return found is not None and found[0].role == "port-forward"


_Template = tuple[RuleTemplate, dict[str, str]]
#: Of at most this many rules of a host the templates are kept.
_KEPT = 20_000


@lru_cache(maxsize=4)
def _templates(
    host: Identity, networks: Identity, daemon: Identity
) -> dict[int, tuple[Rule, _Template | None]]:
    """Return the templates found so far, by the identity of rules; they depend on the networks and the daemon."""
    return {}


def _template(rule: Rule, host: Host | None) -> _Template | None:
    """Return the template of a rule of dockerd and the values in its placeholders; None for any other rule."""
    if host is None:
        return _found_template(rule, None)
    known = _templates(Identity(host), Identity(host.networks), Identity(host.daemon))
    kept = known.get(id(rule))
    if kept is not None and kept[0] is rule:
        return kept[1]
    if len(known) >= _KEPT:
        known.clear()
    found = _found_template(rule, host)
    known[id(rule)] = rule, found
    return found


def _found_template(rule: Rule, host: Host | None) -> _Template | None:
    daemon = host.daemon if host is not None else None
    found = template_of(rule, daemon.generation if daemon is not None else None)
    return found if found is not None and is_dockers(rule, host) else _early_link(rule, host)


def _early_link(rule: Rule, host: Host | None) -> _Template | None:
    """Return the template of a link's rule in FORWARD, on a host of a Docker that had no chain for it yet."""
    found = link_template(rule) if host is not None else None
    if host is None or found is None or host.network_of_bridge(found[1]["bridge"]) is None:
        return None
    ruleset = host.rulesets.get(4)
    return found if ruleset is not None and ruleset.chain("filter", "DOCKER") is None else None


def docker_role(rule: Rule, host: Host | None = None) -> Role | None:
    """Return why dockerd wrote a rule, None for a rule that it did not write."""
    found = _template(rule, host)
    if found is None:
        return None
    reader = _Reader(rule, *found, host)
    simple = _ABOUT_NETWORK.get(reader.template.role)
    return reader.role(simple(reader.network)) if simple else _READERS[reader.template.role](reader)


def network_name(host: Host | None, bridge: str) -> str:
    """Return the name of a bridge's network in sentences: for the default network, that of its bridge."""
    found = host.network_of_bridge(bridge) if host else None
    return found.name if found is not None and not found.is_default_bridge else bridge


#: The chain with the published ports of swarm services.
INGRESS = "DOCKER-INGRESS"
_JUMPS = {
    "DOCKER-USER": message("evaluates the user's own rules in DOCKER-USER first"),
    "DOCKER-FORWARD": message("leads to Docker's rules for forwarded packets"),
    "DOCKER-CT": message("leads to the rules that accept replies"),
    "DOCKER-BRIDGE": message("leads to the rules of the bridge that the packet leaves by"),
    "DOCKER-ISOLATION": message("isolates Docker networks from each other"),
    "DOCKER-ISOLATION-STAGE-1": message("isolates Docker networks: does the packet leave a bridge?"),
    "DOCKER-ISOLATION-STAGE-2": message("isolates Docker networks: does the packet enter another bridge?"),
    "DOCKER-INTERNAL": message("leads to the rules of internal networks"),
    "DOCKER-INGRESS": message("leads to the published ports of swarm services"),
    "nat-prerouting-and-output": message("leads to port forwarding"),
}

#: By the kind of chain that nftables has for each network.
_LEADS: dict[str, Callable[[str], Message]] = {
    "filter-forward-in": lambda network: message(
        "leads to the rules for packets into {network}", network=network
    ),
    "filter-forward-out": lambda network: message(
        "leads to the rules for packets from {network}", network=network
    ),
    "nat-postrouting-in": lambda network: message(
        "leads to the source addresses of packets into {network}", network=network
    ),
    "nat-postrouting-out": lambda network: message(
        "leads to the source addresses of packets from {network}", network=network
    ),
}
#: By role: the phrases that name only the network.
_ABOUT_NETWORK: dict[str, Callable[[str], Message]] = {
    "icc-off": lambda network: message(
        "containers on {network} may not connect to each other: icc is off", network=network
    ),
    "icc-on": lambda network: message(
        "containers on {network} may connect to each other: icc is on", network=network
    ),
    "isolation": lambda network: message(
        "isolates {network} from the other Docker networks", network=network
    ),
    "internal": lambda network: message(
        "{network} is an internal network: nothing goes in or out", network=network
    ),
    "unpublished": lambda network: message(
        "unpublished ports on {network} are closed to the outside", network=network
    ),
    "own-bridge": lambda network: message("leaves packets from {network} to docker-proxy", network=network),
    "masquerade": lambda network: message("masquerades traffic leaving {network}", network=network),
    "host-masquerade": lambda network: message(
        "gives the host's own packets into {network} the bridge's address", network=network
    ),
}


class _Reader:
    """Reads the role of one rule from its parameters and the host."""

    def __init__(self, rule: Rule, template: RuleTemplate, values: dict[str, str], host: Host | None) -> None:
        self.rule = rule
        self.template = template
        self.host = host
        self.bridge = values.get("bridge", "")
        self.network = network_name(host, self.bridge) if self.bridge else ""

    def role(
        self,
        why: Message,
        *,
        network: str = "",
        container: str = "",
        port: str = "",
        host_port: str = "",
        link: str = "",
    ) -> Role:
        """Make the role. The network is that of the rule's bridge, where it names one."""
        found = self.host.network_of_bridge(self.bridge) if self.host and self.bridge else None
        default = found.is_default_bridge if found is not None else self.bridge in ("", DEFAULT_BRIDGE)
        return Role(
            self.template.role,
            why,
            network=found.name if found is not None else self.bridge or network,
            container=container,
            port=port,
            setting="" if self._is_of_mesh() else self.template.setting_on(default=default),
            link=link,
            shown=self.network,
            host_port=host_port,
        )

    def _mesh(self) -> dict[str, str]:
        """Return the network and the name of swarm's routing mesh, if the host shows it."""
        known = self.host is not None and MESH in self.host.containers
        return {"network": GATEWAY_BRIDGE, "container": MESH} if known else {}

    def _is_of_mesh(self) -> bool:
        """Return whether a rule that Docker else writes for userland-proxy=false is one for the mesh of swarm."""
        daemon = self.host.daemon if self.host is not None else None
        own = self.bridge == GATEWAY_BRIDGE and self.template.role == "host-masquerade"
        return own and daemon is not None and daemon.userland_proxy is not False

    def plumbing(self) -> Role:
        """Read a jump between Docker's chains, or the end of one."""
        if isinstance(self.rule.target, Jump):
            chain = self.rule.target.chain
            kind = nft_templates.chain_of(chain)[0]
            if kind in _LEADS:
                return self.role(_LEADS[kind](self.network))
            if chain == "DOCKER" and self.rule.table == "filter":
                return self.role(message("leads to published ports and links"))
            if chain == "DOCKER":
                return self.role(message("leads to port forwarding"))
            return self.role(_JUMPS.get(chain) or message("leads to {chain}", chain=chain))
        if self.rule.chain == "DOCKER-USER":
            return self.role(message("the end of the user's own rules; Docker's rules follow"))
        if self.rule.chain == INGRESS:
            return self.role(message("the end of swarm's published ports"))
        return self.role(message("no isolation rule matched"))

    def outgoing(self) -> Role:
        """Read the ACCEPT of packets from a network."""
        if self.rule.parameters.out_interface is None and self.rule.table == "filter":
            return self.role(
                message(
                    "allows containers on {network} to reach each other and the outside", network=self.network
                )
            )
        return self.role(message("allows containers on {network} to reach the outside", network=self.network))

    def replies(self) -> Role:
        """Read the ACCEPT of established connections."""
        if self.rule.chain == INGRESS:
            port = _port(self.rule, "source_port")
            why = message("allows replies of the swarm service on {port}", port=port)
            return self.role(why, **self._mesh(), port=port)
        if nft_templates.chain_of(self.rule.chain)[0] == "filter-forward-out":
            return self.role(message("allows replies from {network}", network=self.network))
        if self.rule.parameters.out_interface is None and self.network and self.rule.table == "filter":
            return self.role(
                message("allows replies from {network}: its gateway mode is routed", network=self.network)
            )
        if self.network:
            return self.role(message("allows replies into {network}", network=self.network))
        return self.role(message("allows replies into Docker networks"))

    def routed(self) -> Role:
        """Read a rule of the gateway modes other than nat."""
        if self.rule.parameters.protocol is not None:
            why = message(
                "allows pings and ICMP errors into {network}: its gateway mode is routed",
                network=self.network,
            )
        elif self.rule.target_name == "RETURN":
            why = message(
                "allows other networks to reach open ports on {network}: its gateway mode is routed",
                network=self.network,
            )
        else:
            why = message(
                "allows packets into {network}: its gateway mode is routed or nat-unprotected",
                network=self.network,
            )
        return self.role(why)

    def published_port(self) -> Role:
        """Read the ACCEPT of a published port."""
        container = self._container(self.rule.parameters.destination)
        port = _port(self.rule, "destination_port")
        if self.rule.chain == INGRESS:
            why = message("allows packets to {port}: a swarm service publishes it", port=port)
            return self.role(why, **self._mesh(), port=port)
        why = message(
            "allows external packets to {container} on {port}: a published port",
            container=container,
            port=port,
        )
        return self.role(why, container=container, port=port)

    def port_forward(self) -> Role:
        """Read the DNAT of a published port."""
        outside = _port(self.rule, "destination_port")
        target = self.rule.target.to_destination if isinstance(self.rule.target, Dnat) else None
        if target is None or not target.addresses:
            why = message("forwards {outside} of the host: a published port", outside=outside)
            return self.role(why, host_port=outside)
        container, network = self._place(6 if target.family == 6 else 4, target.addresses[0])
        if self.rule.chain == INGRESS:
            why = message(
                "forwards {outside} of the host to swarm's routing mesh: a service publishes it",
                outside=outside,
            )
            return self.role(why, **self._mesh(), port=outside, host_port=outside)
        inside = (
            f"{target.ports[0]}/{protocol_name(self.rule.parameters.protocol or 6)}" if target.ports else ""
        )
        why = message(
            "forwards {outside} of the host to {container} on {inside}: a published port",
            outside=outside,
            container=container,
            inside=inside,
        )
        return self.role(why, network=network, container=container, port=inside, host_port=outside)

    def hairpin_masquerade(self) -> Role:
        """Read the MASQUERADE of a container's connections to its own published port."""
        source = self.rule.parameters.source
        container, network = self._place_of(source)
        return self.role(
            message("lets {container} reach itself through its published port", container=container),
            network=network,
            container=container,
            port=_port(self.rule, "destination_port"),
        )

    def direct_routing(self) -> Role:
        """Read the DROP of packets from other hosts to a container's own address."""
        container, network = self._place_of(self.rule.parameters.destination)
        if self.network:
            why = message(
                "only {network} itself may send to {container}'s own address; from elsewhere, use a published port",
                network=self.network,
                container=container,
            )
        else:  # nftables: one rule for the bridge and the trusted interfaces
            why = message(
                "only the container's network and trusted interfaces may send to {container}'s own address; from "
                "elsewhere, use a published port",
                container=container,
            )
        return self.role(why, network=network, container=container)

    def trusted(self) -> Role:
        """Read `trusted_host_interfaces`."""
        container, network = self._place_of(self.rule.parameters.destination)
        why = message(
            "{name} is a trusted interface: packets from it may go to {container}'s own address",
            name=self.rule.parameters.in_interface or "",
            container=container,
        )
        return self.role(why, network=network, container=container)

    def loopback_port(self) -> Role:
        """Read the DROP of packets from other hosts to a port that is published on a loopback address."""
        outside = _port(self.rule, "destination_port")
        why = message("{outside} is published on the loopback address: not for other hosts", outside=outside)
        return self._on_host(why, outside)

    def wsl2(self) -> Role:
        """Read a rule for the mirrored networking of WSL2."""
        why = message("lets Windows reach published ports of its Linux guest on the loopback address")
        return self._on_host(why, _port(self.rule, "destination_port"))

    def _on_host(self, why: Message, outside: str) -> Role:
        """Make the role of a rule for a port of the host, with the container that publishes it there."""
        prefix = self.rule.parameters.destination
        for container in self.host.containers.values() if self.host and prefix is not None else ():
            for port in container.published:
                proto = protocol_name(port.proto)
                if prefix is None or f"{port.host_port}/{proto}" != outside:
                    continue
                if port.host_address != address_text(_family(prefix), prefix.address):
                    continue
                return self.role(
                    why,
                    network=next(iter(container.endpoints), "") if len(container.endpoints) == 1 else "",
                    container=container.name,
                    port=f"{port.container_port}/{proto}",
                    host_port=outside,
                )
        return self.role(why, host_port=outside)

    def checksum(self) -> Role:
        """Read the CHECKSUM rule for SCTP on old kernels."""
        port = _port(self.rule, "source_port")
        why = message("fills in the checksums of SCTP replies from {port}: a published port", port=port)
        return self.role(why, port=port)

    def link(self) -> Role:
        """Read a rule of `--link`, to the linked container or back from it."""
        ends = self.rule.parameters.source, self.rule.parameters.destination
        back = self.template.role == "link-answer"
        client, server = map(self._container, reversed(ends) if back else ends)
        port = _port(self.rule, "source_port" if back else "destination_port")
        name = self._link_name(client, server)
        if back:
            why = message(
                "allows replies of {server} on {port} to {client}: --link {name} of {client}, because icc is off",
                server=server, client=client, port=port, name=name,
            )  # fmt: skip
        else:
            why = message(
                "lets {client} reach {server} on {port}: --link {name} of {client}, because icc is off",
                client=client, server=server, port=port, name=name,
            )  # fmt: skip
        return self.role(why, container=server, port=port, link=f"{client}:{name}")

    def _link_name(self, client: str, server: str) -> str:
        """Return the value of the client's `--link`, as far as it is known."""
        container: Container | None = self.host.containers.get(client) if self.host else None
        links = container.links if container is not None else ()
        alias = next((link.alias for link in links if link.target == server), "")
        return f"{server}:{alias}" if alias and alias != server else server

    def _container(self, prefix: Prefix | None) -> str:
        return self._place_of(prefix)[0]

    def _place_of(self, prefix: Prefix | None) -> tuple[str, str]:
        return ("", "") if prefix is None else self._place(_family(prefix), prefix.address)

    def _place(self, family: Family, address: int) -> tuple[str, str]:
        """Return the container that has an address, or the address, and its network, where known."""
        owner = self.host.owner_of(family, address) if self.host else None
        if not isinstance(owner, tuple):
            return address_text(family, address), ""
        container, endpoint = owner
        return container.name, endpoint.network if endpoint is not None else ""


_READERS: dict[str, Callable[[_Reader], Role]] = {
    "plumbing": _Reader.plumbing,
    "outgoing": _Reader.outgoing,
    "answers": _Reader.replies,
    "routed": _Reader.routed,
    "published-port": _Reader.published_port,
    "port-forward": _Reader.port_forward,
    "hairpin-masquerade": _Reader.hairpin_masquerade,
    "direct-routing": _Reader.direct_routing,
    "trusted": _Reader.trusted,
    "loopback-port": _Reader.loopback_port,
    "wsl2": _Reader.wsl2,
    "checksum": _Reader.checksum,
    "link": _Reader.link,
    "link-answer": _Reader.link,
}


def _family(prefix: Prefix) -> Family:
    return 6 if prefix.family == 6 else 4


def _port(rule: Rule, field: str) -> str:
    for match in rule.matches:
        ports: tuple[int, int] | None = getattr(match, field, None)
        if ports is None and match.name == "multiport":  # as rules of nftables are read
            ports = next(iter(getattr(match, f"{field}s") or ()), None)
        if ports is not None:
            shown = str(ports[0]) if ports[0] == ports[1] else f"{ports[0]}-{ports[1]}"
            return f"{shown}/{protocol_name(rule.parameters.protocol or 6)}"
    return ""


def _role(rule: Rule, scope: Scope) -> Role | None:
    return docker_role(rule, scope.host)


def _claims(name: str, chains: Collection[str]) -> bool:
    """Return whether a chain is one of dockerd's table of nftables."""
    return name in nft_templates.CHAINS or nft_templates.chain_of(name)[1] != ""


MAKER = Maker("docker", r"DOCKER(-.+)?", claims=_claims, role=_role)
