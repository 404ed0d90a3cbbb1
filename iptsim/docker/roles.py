"""Why dockerd wrote a rule: the setting, network, container, port or link behind it, in one sentence.

A rule is told by its chain and its form, for all generations of Docker's layout; see
:mod:`iptsim.docker.dockerd.recognition`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from iptsim.docker.dockerd.recognition import is_dockers as has_form
from iptsim.docker.dockerd.recognition import template_of
from iptsim.docker.dockerd.templates import RuleTemplate
from iptsim.docker.model.settings import DEFAULT_BRIDGE
from iptsim.dump.ruleset import Jump, Rule
from iptsim.extensions.targets.dnat import Dnat
from iptsim.extensions.values import Network as Prefix
from iptsim.host.containers import Container
from iptsim.host.model import Host
from iptsim.languages import later, say, told
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
            "outgoing", "answers", "isolation", "internal", "direct-routing", "trusted", "loopback-port",
            "unpublished", "routed", "masquerade", "host-masquerade", "hairpin-masquerade", "own-bridge",
            "wsl2", "checksum", "plumbing".
        text: one sentence.
        network / container / port: what it belongs to, where known: names, the container's port as "80/tcp".
        shown: how sentences call the network: the default one by its bridge.
        host_port: the port on the host, where the rule forwards it: "8080/tcp".
        setting: the setting that makes dockerd write it, as one would give it; "" where it always does.
        link: "CLIENT:SERVER:ALIAS", where the rule is a link's.
    """

    code: str
    text: str
    network: str = ""
    container: str = ""
    port: str = ""
    setting: str = ""
    link: str = ""
    shown: str = ""
    host_port: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return why the rule is there; what does not apply is null."""
        return {
            "role": self.code or None,
            "why": self.text or None,
            "setting": self.setting or None,
            "network": self.network or None,
            "container": self.container or None,
            "port": self.port or None,
            "host_port": self.host_port or None,
            "link": self.link or None,
        }


def is_dockers(rule: Rule, host: Host | None = None) -> bool:
    """Tell whether dockerd wrote a rule, also in a chain into which the user put rules of his own."""
    return has_form(rule, _bridges(host))


def role_of(rule: Rule, host: Host | None = None) -> Role | None:
    """Return why a rule of Docker's is there, None for a rule of somebody else's."""
    daemon = host.daemon if host is not None else None
    found = template_of(rule, daemon.generation if daemon is not None else None)
    if found is None or not is_dockers(rule, host):
        return None
    template, words = found
    teller = _Teller(rule, template, words, host)
    return _SENTENCES[template.role](teller)


def network_name(host: Host | None, bridge: str) -> str:
    """Return how to call the network of a bridge: its name where known, else the bridge's."""
    found = host.network_of_bridge(bridge) if host else None
    return found.name if found is not None and not found.is_default_bridge else bridge


def _bridges(host: Host | None) -> set[str]:
    networks = host.networks.values() if host is not None else ()
    return {network.bridge for network in networks if network.bridge is not None}


_LEADS = {
    "DOCKER-USER": later("lets the user's own rules in DOCKER-USER look first"),
    "DOCKER-FORWARD": later("leads to Docker's rules for forwarded packets"),
    "DOCKER-CT": later("leads to the rule that lets answers through"),
    "DOCKER-BRIDGE": later("leads to the rules of the bridge that the packet leaves by"),
    "DOCKER-ISOLATION": later("keeps Docker's networks apart"),
    "DOCKER-ISOLATION-STAGE-1": later("keeps Docker's networks apart: is it leaving a bridge?"),
    "DOCKER-ISOLATION-STAGE-2": later("keeps Docker's networks apart: is it entering another bridge?"),
    "DOCKER-INTERNAL": later("leads to the rules of internal networks"),
    "DOCKER-INGRESS": later("leads to the rules of swarm's published ports"),
}


class _Teller:
    """Puts one rule's role into words."""

    def __init__(self, rule: Rule, template: RuleTemplate, words: dict[str, str], host: Host | None) -> None:
        self.rule = rule
        self.template = template
        self.host = host
        self.bridge = words.get("bridge", "")
        self.network = network_name(host, self.bridge) if self.bridge else ""

    def role(
        self,
        text: str,
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
            text,
            network=found.name if found is not None else self.bridge or network,
            container=container,
            port=port,
            setting=self.template.setting_on(default=default),
            link=link,
            shown=self.network,
            host_port=host_port,
        )

    def plumbing(self) -> Role:
        """Tell of jumps between Docker's chains, and of their ends."""
        if isinstance(self.rule.target, Jump):
            chain = self.rule.target.chain
            if chain == "DOCKER" and self.rule.table == "filter":
                return self.role(say("leads to published ports and links"))
            if chain == "DOCKER":
                return self.role(say("leads to port forwarding"))
            return self.role(told(_LEADS[chain]) if chain in _LEADS else say("leads to {chain}", chain=chain))
        if self.rule.chain == "DOCKER-USER":
            return self.role(say("the end of the user's own rules: go on with Docker's"))
        if self.rule.chain == "DOCKER-INGRESS":
            return self.role(say("the end of swarm's published ports: go on"))
        return self.role(say("nothing keeps the packet apart: go on"))

    def icc_off(self) -> Role:
        """Tell of `--icc=false`."""
        return self.role(
            say("containers on {network} may not talk to each other: icc is off", network=self.network)
        )

    def icc_on(self) -> Role:
        """Tell of `--icc=true`."""
        return self.role(
            say("containers on {network} may talk to each other: icc is on", network=self.network)
        )

    def outgoing(self) -> Role:
        """Tell of packets from a network."""
        if self.rule.parameters.out_interface is None:
            return self.role(
                say(
                    "lets containers on {network} talk to each other and to the outside", network=self.network
                )
            )
        return self.role(say("lets containers on {network} talk to the outside", network=self.network))

    def answers(self) -> Role:
        """Tell of packets of known connections."""
        if self.rule.parameters.out_interface is None and self.network:
            return self.role(
                say("lets answers out of {network}: its gateway mode is routed", network=self.network)
            )
        if self.network:
            return self.role(say("lets answers into {network}", network=self.network))
        return self.role(say("lets answers into Docker networks"))

    def isolation(self) -> Role:
        """Tell of networks that are kept apart."""
        return self.role(say("keeps other networks of Docker out of {network}", network=self.network))

    def internal(self) -> Role:
        """Tell of `--internal`."""
        return self.role(
            say("{network} is an internal network: nothing goes in or out", network=self.network)
        )

    def unpublished(self) -> Role:
        """Tell of ports that are not published."""
        return self.role(
            say("ports on {network} that are not published stay closed to the outside", network=self.network)
        )

    def routed(self) -> Role:
        """Tell of gateway modes other than nat."""
        if self.rule.parameters.protocol is not None:
            return self.role(
                say(
                    "lets pings and ICMP errors into {network}: its gateway mode is routed",
                    network=self.network,
                )
            )
        if self.rule.target_name == "RETURN":
            return self.role(
                say(
                    "lets other networks into {network}'s open ports: its gateway mode is routed",
                    network=self.network,
                )
            )
        return self.role(
            say(
                "lets packets into {network}: its gateway mode is routed or nat-unprotected",
                network=self.network,
            )
        )

    def published_port(self) -> Role:
        """Tell of a published port that is let through."""
        container, port = (
            self._container(self.rule.parameters.destination),
            _port(self.rule, "destination_port"),
        )
        return self.role(
            say(
                "lets packets from outside to {container} on {port}: a published port",
                container=container,
                port=port,
            ),
            container=container,
            port=port,
        )

    def port_forward(self) -> Role:
        """Tell of a published port that is translated."""
        outside = _port(self.rule, "destination_port")
        target = self.rule.target.to_destination if isinstance(self.rule.target, Dnat) else None
        if target is None or not target.addresses:
            return self.role(
                say("forwards {outside} of the host: a published port", outside=outside), host_port=outside
            )
        container, network = self._place(6 if target.family == 6 else 4, target.addresses[0])
        inside = (
            f"{target.ports[0]}/{protocol_name(self.rule.parameters.protocol or 6)}" if target.ports else ""
        )
        text = say(
            "forwards {outside} of the host to {container} on {inside}: a published port",
            outside=outside,
            container=container,
            inside=inside,
        )
        return self.role(text, network=network, container=container, port=inside, host_port=outside)

    def own_bridge(self) -> Role:
        """Tell of docker-proxy, which serves Docker's own networks."""
        return self.role(say("leaves packets from {network} to docker-proxy", network=self.network))

    def masquerade(self) -> Role:
        """Tell of `--ip-masq`."""
        return self.role(say("gives packets that leave {network} the host's address", network=self.network))

    def host_masquerade(self) -> Role:
        """Tell of the host's own packets where docker-proxy does not run."""
        return self.role(
            say("gives the host's own packets into {network} the bridge's address", network=self.network)
        )

    def hairpin_masquerade(self) -> Role:
        """Tell of a container that asks for its own published port."""
        source = self.rule.parameters.source
        container, network = self._place(_family(source), source.address) if source is not None else ("", "")
        return self.role(
            say("lets {container} reach itself through its published port", container=container),
            network=network,
            container=container,
            port=_port(self.rule, "destination_port"),
        )

    def direct_routing(self) -> Role:
        """Tell of containers' own addresses, which are not for other hosts."""
        container = self._container(self.rule.parameters.destination)
        text = say(
            "only {network} itself may send to {container}'s own address; from elsewhere use a "
            "published port",
            network=self.network,
            container=container,
        )
        return self.role(text, container=container)

    def trusted(self) -> Role:
        """Tell of `trusted_host_interfaces`."""
        container = self._container(self.rule.parameters.destination)
        name = self.rule.parameters.in_interface
        text = say(
            "{name} is a trusted interface: from there one may send to {container}'s own address",
            name=name,
            container=container,
        )
        return self.role(text, container=container)

    def loopback_port(self) -> Role:
        """Tell of a port that is published on a loopback address."""
        outside = _port(self.rule, "destination_port")
        text = say("{outside} is published on the loopback address: not for other hosts", outside=outside)
        return self._on_host(text, outside)

    def wsl2(self) -> Role:
        """Tell of the mirrored networking of WSL2."""
        outside = _port(self.rule, "destination_port")
        text = say("lets Windows reach published ports of its Linux guest on the loopback address")
        return self._on_host(text, outside)

    def _on_host(self, text: str, outside: str) -> Role:
        """Tell of a port of the host; its container is the one that publishes it there."""
        prefix = self.rule.parameters.destination
        for container in self.host.containers.values() if self.host and prefix is not None else ():
            for port in container.published:
                proto = protocol_name(port.proto)
                if prefix is None or f"{port.host_port}/{proto}" != outside:
                    continue
                if port.host_address != address_text(_family(prefix), prefix.address):
                    continue
                return self.role(
                    text,
                    network=next(iter(container.endpoints), "") if len(container.endpoints) == 1 else "",
                    container=container.name,
                    port=f"{port.container_port}/{proto}",
                    host_port=outside,
                )
        return self.role(text, host_port=outside)

    def checksum(self) -> Role:
        """Tell of SCTP on old kernels."""
        port = _port(self.rule, "source_port")
        return self.role(
            say("fills in the checksums of SCTP answers from {port}: a published port", port=port), port=port
        )

    def link(self) -> Role:
        """Tell of `--link`, towards the linked container."""
        parameters = self.rule.parameters
        client, server = self._container(parameters.source), self._container(parameters.destination)
        port = _port(self.rule, "destination_port")
        name = self._link(client, server)
        text = say(
            "lets {client} reach {server} on {port}: --link {name} of {client}, because icc is off",
            client=client,
            server=server,
            port=port,
            name=name,
        )
        return self.role(text, container=server, port=port, link=f"{client}:{name}")

    def link_answer(self) -> Role:
        """Tell of `--link`, back from the linked container."""
        parameters = self.rule.parameters
        client, server = self._container(parameters.destination), self._container(parameters.source)
        port = _port(self.rule, "source_port")
        name = self._link(client, server)
        text = say(
            "lets {server} answer {client} from {port}: the way back of --link {name} of {client}",
            server=server,
            client=client,
            port=port,
            name=name,
        )
        return self.role(text, container=server, port=port, link=f"{client}:{name}")

    def _link(self, client: str, server: str) -> str:
        """Return what `--link` of the client said, as far as it is known."""
        container: Container | None = self.host.containers.get(client) if self.host else None
        links = container.links if container is not None else ()
        alias = next((link.alias for link in links if link.target == server), "")
        return f"{server}:{alias}" if alias and alias != server else server

    def _container(self, prefix: Prefix | None) -> str:
        return "" if prefix is None else self._place(_family(prefix), prefix.address)[0]

    def _place(self, family: Family, address: int) -> tuple[str, str]:
        """Return the container that has an address, or the address, and its network, where known."""
        owner = self.host.owner_of(family, address) if self.host else None
        if not isinstance(owner, tuple):
            return address_text(family, address), ""
        container, endpoint = owner
        return container.name, endpoint.network if endpoint is not None else ""


_SENTENCES: dict[str, Callable[[_Teller], Role]] = {
    "plumbing": _Teller.plumbing,
    "icc-off": _Teller.icc_off,
    "icc-on": _Teller.icc_on,
    "outgoing": _Teller.outgoing,
    "answers": _Teller.answers,
    "isolation": _Teller.isolation,
    "internal": _Teller.internal,
    "unpublished": _Teller.unpublished,
    "routed": _Teller.routed,
    "published-port": _Teller.published_port,
    "port-forward": _Teller.port_forward,
    "own-bridge": _Teller.own_bridge,
    "masquerade": _Teller.masquerade,
    "host-masquerade": _Teller.host_masquerade,
    "hairpin-masquerade": _Teller.hairpin_masquerade,
    "direct-routing": _Teller.direct_routing,
    "trusted": _Teller.trusted,
    "loopback-port": _Teller.loopback_port,
    "wsl2": _Teller.wsl2,
    "checksum": _Teller.checksum,
    "link": _Teller.link,
    "link-answer": _Teller.link_answer,
}


def _family(prefix: Prefix) -> Family:
    return 6 if prefix.family == 6 else 4


def _port(rule: Rule, field: str) -> str:
    for match in rule.matches:
        ports: tuple[int, int] | None = getattr(match, field, None)
        if ports is not None:
            shown = str(ports[0]) if ports[0] == ports[1] else f"{ports[0]}-{ports[1]}"
            return f"{shown}/{match.name}"
    return ""
