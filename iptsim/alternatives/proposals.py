"""Small changes that would allow a packet, or block it, each tried before it is proposed.

Candidates follow from source, destination and the deciding rule; a candidate is proposed if it changes the
packet's verdict. Two changes are tried together only if one alone does nothing (a link to a container that
exposes no port).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from iptsim.addresses import BITS, address_text
from iptsim.alternatives.changes import ChangedHost, has_docker
from iptsim.alternatives.proposal import Proposal, Proposals
from iptsim.alternatives.shifts import SideEffects, outcome_of
from iptsim.asking import ask
from iptsim.docker.model.settings import DockerContainer, DockerHost, DockerNetwork
from iptsim.docker.sources.flag_changes import Change
from iptsim.docker.sources.host import docker_host
from iptsim.errors import UsageError
from iptsim.explanation import Explanation
from iptsim.host.model import Host
from iptsim.languages import Message, message
from iptsim.netfilter.trace import Leg
from iptsim.netfilter.walk import simulator_of
from iptsim.owners.docker import is_dockers
from iptsim.owners.rule_owners import authorship
from iptsim.packet import Packet
from iptsim.progress import tracked
from iptsim.protocols import PORT_PROTOCOLS, usual_protocol_name
from iptsim.question.endpoints import Internet, Machine, parse_endpoint
from iptsim.question.model import Question
from iptsim.reach import Row

#: The number of proposals shown, and of connections checked for side effects of each.
MOST, MOST_ASKED = 8, 600


@dataclass(frozen=True, slots=True)
class _Candidate:
    changes: tuple[Change, ...]
    text: Message
    #: the host port at which the target is then reached
    host_port: int | None = None


def proposals(
    host: Host, explanation: Explanation, *, opens: bool | None = None, most_asked: int = MOST_ASKED
) -> Proposals:
    """Return small changes that reverse a verdict, those with the fewest side effects first.

    Args:
        host: the host of the answer.
        explanation: the answer.
        opens: whether the proposals allow the packet and its reply, or block it; None to block what is accepted, and
            to allow everything else.
        most_asked: the number of connections that are checked for side effects of each; those of the packet's
            endpoints, the internet and the host itself are checked in any case.
    """
    docker = docker_host(host) if has_docker(host) else DockerHost()
    lets_through = explanation.verdict != "ACCEPT" if opens is None else opens
    trials = _Trials(host, docker, _Scene(host, docker, explanation), lets_through, most_asked)
    scene = trials.scene
    found = trials.of(scene.opening() if lets_through else scene.closing())
    if lets_through and not any(proposal.command for proposal in found):
        # if no single rule helps, one for the packet and one for its reply may
        found += trials.of(scene.both_ways())
    if len(found) > 1:
        found.sort(key=lambda proposal: (len(proposal.also), len(proposal.changes)))
    return Proposals(found[:MOST], explanation)


class _Trials:
    """Tries each candidate on a copy of the host."""

    def __init__(
        self, host: Host, docker: DockerHost, scene: _Scene, lets_through: bool, most_asked: int
    ) -> None:
        self.host, self.docker, self.scene, self.lets_through = host, docker, scene, lets_through
        self.most_asked = most_asked
        self.aim = outcome_of(host, scene.explanation.trace)
        self.family = scene.packet.family
        self.tried: set[tuple[Change, ...]] = set()

    def of(self, candidates: Iterable[_Candidate]) -> list[Proposal]:
        """Return the candidates that change the packet's verdict, as proposals."""
        found: list[Proposal] = []
        for candidate in tracked([*candidates], "trying changes"):
            if candidate.changes in self.tried or len(found) == MOST:
                continue
            self.tried.add(candidate.changes)
            if (proposal := self._try(candidate)) is not None:
                found.append(proposal)
        return found

    def _try(self, candidate: _Candidate) -> Proposal | None:
        host, scene, family = self.host, self.scene, self.family
        changing = ChangedHost(host, self.docker)
        try:
            changing.change(candidate.changes, family)
            question = scene.question_of(candidate)
            simulator = simulator_of(changing.host)
            outcome = outcome_of(changing.host, simulator.walk(question))
        except UsageError:
            return None
        blocks = outcome.end != self.aim.end and (self.aim.verdict == "ACCEPT" or not outcome.reached)
        helps = outcome.reached if self.lets_through else blocks
        if outcome.verdict == "DEPENDS" or not helps:
            return None
        effects = SideEffects(host, changing.host, family, self.most_asked, scene.names, scene.is_asked)
        return Proposal(candidate.changes, candidate.text, ask(simulator, question), question, effects)


class _Scene:
    """Source and destination of a packet, and the possible changes."""

    def __init__(self, host: Host, docker: DockerHost, explanation: Explanation) -> None:
        self.host = host
        self.docker = docker
        self.explanation = explanation
        self.request: Leg = explanation.trace.legs[0]
        self.packet: Packet = self.request.packet
        self.port = self.packet.dport if self.packet.proto in PORT_PROTOCOLS else None
        self.proto = usual_protocol_name(self.packet.proto)
        self.sender = docker.container(self.request.sender) or self._container(self.packet.src)
        self.target = self._container(self.packet.dst) or self._behind()
        self.to_host = host.owner_of(self.packet.family, self.packet.dst) == "host" or (
            self.packet.family == 4 and self.packet.dst >> 24 == 127
        )

        self.names = {one.name for one in (self.sender, self.target) if one is not None}

    def _container(self, address: int) -> DockerContainer | None:
        owner = self.host.owner_of(self.packet.family, address)
        return self.docker.container(owner[0].name) if isinstance(owner, tuple) else None

    def _behind(self) -> DockerContainer | None:
        """Return the container that publishes the port in question."""
        for container in self.docker.containers:
            if any(
                (one.proto, one.host_port) == (self.packet.proto, self.port) for one in container.published
            ):
                return container
        return None

    def is_asked(self, row: Row) -> bool:
        """Return whether a row of the table is the connection in question."""
        question = self.explanation.question
        ends = parse_endpoint(row.sender), parse_endpoint(row.to)
        return (*ends, row.proto, row.port) == (question.sender, question.to, self.proto, self.port)

    def question_of(self, candidate: _Candidate) -> Question:
        """Return the question to ask when trying a candidate."""
        question = self.explanation.question
        if candidate.host_port is None:
            return question
        return replace(question, to=Machine(), dst=None, dport=candidate.host_port)

    # -- candidates --------------------------------------------------------------------------------

    def opening(self) -> Iterator[_Candidate]:
        """Yield changes that may allow the packet, the most common first."""
        code = self.explanation.reason.code
        if code == "ip-forward-off":
            yield _Candidate((("ip-forward", "true"),), message("enable forwarding on the host"))
        if self.sender is not None and self.target is not None:
            yield from self._links(self.sender, self.target)
            yield from self._common_networks(self.sender, self.target)
            yield from self._icc(self.sender, self.target)
        if self.target is not None and not self.to_host:
            yield from self._publishing(self.target)
        if self.target is not None and self.to_host:
            yield from self._republishing(self.target, "")
        for name in ("userland-proxy",) if code in ("hairpin-off", "martian") else ():
            for value in ("false", "true"):
                yield _Candidate(
                    ((name, value),), message("run dockerd with --{name}={value}", name=name, value=value)
                )
        for network in self._networks():
            if network.internal:
                yield _Candidate(
                    (("internal", f"{network.name}=false"),),
                    message("make {network} a network with external access", network=network.name),
                )
        if code == "direct-route-drop":
            yield _Candidate(
                (("allow-direct-routing", "true"),),
                message("allow other hosts to reach containers by their own addresses"),
            )
        yield from self._user_rules("ACCEPT")

    def closing(self) -> Iterator[_Candidate]:
        """Yield changes that may block the packet, the most common first."""
        sender, target = self.sender, self.target
        if sender is not None and target is not None and not self.to_host:
            for link in sender.links:
                if link.target == target.name:
                    yield _Candidate(
                        (("unlink", f"{sender.name}:{target.name}"),), message("remove the link")
                    )
            for network in self._shared():
                change = ("icc", "false") if network.default else ("network-icc", f"{network.name}=false")
                yield _Candidate(
                    (change,),
                    message(
                        "turn icc off for {network}: its containers can no longer reach each other",
                        network=network.name,
                    ),
                )
                for one in (sender, target):
                    if len(one.endpoints) > 1:
                        yield _Candidate(
                            (("disconnect", f"{one.name}:{network.name}"),),
                            message(
                                "disconnect {container} from {network}",
                                container=one.name,
                                network=network.name,
                            ),
                        )
        if target is not None and self.to_host:
            for port in target.published:
                if (port.proto, port.host_port) == (self.packet.proto, self.port):
                    what = f"{target.name}:{port.container_port}/{self.proto}"
                    yield _Candidate((("unpublish", what),), message("no longer publish {what}", what=what))
            yield from self._republishing(target, "127.0.0.1")
        if sender is not None and target is None and not self.to_host:
            for network in self._networks():
                if not network.internal and not network.default:
                    yield _Candidate(
                        (("internal", f"{network.name}=true"),),
                        message(
                            "make {network} internal: its containers lose external access",
                            network=network.name,
                        ),
                    )
        yield from self._user_rules("DROP")

    def _networks(self) -> list[DockerNetwork]:
        """Return the networks of source and destination."""
        ends = [one for one in (self.sender, self.target) if one is not None]
        names = {endpoint.network for one in ends for endpoint in one.endpoints}
        return [network for network in self.docker.networks if network.name in names]

    def _shared(self) -> list[DockerNetwork]:
        """Return the networks that source and destination share."""
        if self.sender is None or self.target is None:
            return []
        one, other = self.sender, self.target
        return [
            network
            for network in self.docker.networks
            if one.endpoint(network.name) is not None and other.endpoint(network.name) is not None
        ]

    def _links(self, sender: DockerContainer, target: DockerContainer) -> Iterator[_Candidate]:
        if not any(network.default for network in self._shared()) or self.port is None:
            return
        link = ("link", f"{sender.name}:{target.name}")
        if any(one.target == target.name for one in sender.links):
            expose = ("expose", f"{target.name}:{self.port}/{self.proto}")
            yield _Candidate(
                (expose,),
                message("let {target} expose {port}", target=target.name, port=f"{self.port}/{self.proto}"),
            )
            return
        yield _Candidate(
            (link,), message("link {sender} to {target}", sender=sender.name, target=target.name)
        )
        expose = ("expose", f"{target.name}:{self.port}/{self.proto}")
        known = {(port.proto, port.port) for port in target.exposed}
        known |= {(port.proto, port.container_port) for port in target.published}
        if (self.packet.proto, self.port) not in known:
            yield _Candidate(
                (expose, link),
                message(
                    "let {target} expose {port}, and link {sender} to it",
                    target=target.name,
                    port=f"{self.port}/{self.proto}",
                    sender=sender.name,
                ),
            )

    def _common_networks(self, sender: DockerContainer, target: DockerContainer) -> Iterator[_Candidate]:
        def icc(network: DockerNetwork) -> bool:
            return network.icc and network.subnet(self.packet.family) is not None

        for joining, other in ((sender, target), (target, sender)):
            for endpoint in other.endpoints:
                network = self.docker.network(endpoint.network)
                if network is not None and icc(network) and joining.endpoint(network.name) is None:
                    yield _Candidate(
                        (("connect", f"{joining.name}:{network.name}"),),
                        message(
                            "connect {container} to {network}, the network of {other}",
                            container=joining.name,
                            network=network.name,
                            other=other.name,
                        ),
                    )
        for network in self.docker.networks:
            outside = sender.endpoint(network.name) is None and target.endpoint(network.name) is None
            if outside and icc(network):
                both = tuple(("connect", f"{one.name}:{network.name}") for one in (sender, target))
                yield _Candidate(both, message("connect both to {network}", network=network.name))

    def _icc(self, sender: DockerContainer, target: DockerContainer) -> Iterator[_Candidate]:
        for network in self._shared():
            if not network.icc:
                change = ("icc", "true") if network.default else ("network-icc", f"{network.name}=true")
                yield _Candidate(
                    (change,),
                    message(
                        "turn icc on for {network}: all its containers can reach each other",
                        network=network.name,
                    ),
                )

    def _publishing(self, target: DockerContainer) -> Iterator[_Candidate]:
        if self.port is None or self.proto not in ("tcp", "udp", "sctp"):
            return
        taken = {one.host_port for other in self.docker.containers for one in other.published}
        for port in target.published:
            if (port.proto, port.container_port) == (self.packet.proto, self.port) and port.host_port:
                text = message(
                    "use port {port} of the host: the port is already published there",
                    port=port.host_port,
                )
                yield _Candidate((), text, port.host_port)
                return
        free = next((port for port in (self.port, self.port + 8000) if port not in taken), None)
        if free is not None and free < 1 << 16:
            what = f"{target.name}:{free}:{self.port}/{self.proto}"
            text = message("publish the port, and use port {port} of the host", port=free)
            yield _Candidate((("publish", what),), text, free)

    def _republishing(self, target: DockerContainer, address: str) -> Iterator[_Candidate]:
        for port in target.published:
            if (port.proto, port.host_port) == (self.packet.proto, self.port) and port.address != address:
                inside = f"{target.name}:{port.container_port}/{self.proto}"
                prefix = f"{address}:" if address else ""
                new = f"{target.name}:{prefix}{port.host_port}:{port.container_port}/{self.proto}"
                if address:
                    text = message("publish the port for the host itself only")
                else:
                    text = message("publish the port on every address of the host")
                yield _Candidate((("unpublish", inside), ("publish", new)), text)

    # -- the user's own rules ----------------------------------------------------------------------

    def _user_rules(self, target: str) -> Iterator[_Candidate]:
        """Yield one rule to insert, or the deletion of the user's own rule that decided."""
        step = self.explanation.reason.step
        decides = step is not None and step.rule is not None and step.verdict != target
        if step is not None and step.rule is not None and decides and not is_dockers(step.rule, self.host):
            place = f"{step.rule.chain} {step.rule.position}"
            yield _Candidate(
                (("delete", step.rule.table_option + place),),
                message("delete rule {place} of table {table}", place=place, table=step.rule.table),
            )
        where = self._filter_chain()
        if where is not None:
            yield _Candidate(
                (("insert", f"{where} 1 {self._conditions(where)} -j {target}"),),
                self._insertion(where),
            )
        if (
            target == "ACCEPT"
            and where
            and self.explanation.reason.code in ("reply-dropped", "proxy-cut-off")
        ):
            yield _Candidate(
                (self._for_replies(where),), message("accept replies at the top of {where}", where=where)
            )

    def both_ways(self) -> Iterator[_Candidate]:
        """Yield rules for the packet and for its reply together."""
        where = self._filter_chain()
        if where is not None:
            reply = {"INPUT": "OUTPUT", "OUTPUT": "INPUT"}.get(where, where)
            request = ("insert", f"{where} 1 {self._conditions(where)} -j ACCEPT")
            text = message(
                "accept {packets} in {where}, and replies in {reply}",
                packets=self._matched(),
                where=where,
                reply=reply,
            )
            yield _Candidate((request, self._for_replies(reply)), text)

    def _for_replies(self, where: str) -> Change:
        """Return the rule that accepts packets of known connections."""
        return "insert", f"{where} 1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"

    def _insertion(self, where: str) -> Message:
        """Describe an inserted rule, and name the program that manages the chain without knowing the rule."""
        ruleset = self.host.rulesets.get(self.packet.family)
        chain = ruleset.chain("filter", where) if ruleset is not None else None
        owners = {authorship(rule, self.host)[0] for rule in chain.rules} if chain is not None else set()
        keeper = next((one for one in ("ufw", "firewalld") if one in owners), None)
        if keeper is None:
            return message("add a rule for {packets} to {where}", packets=self._matched(), where=where)
        return message(
            "add a rule for {packets} to {where}; to keep it, also add it to {keeper}, which manages the rules",
            packets=self._matched(),
            where=where,
            keeper=keeper,
        )

    def _filter_chain(self) -> str | None:
        """Return the user's chain that a forwarded packet, or one to the host, traverses."""
        hooks = [step.hook for leg in self.explanation.trace.legs for step in leg.steps]
        if "FORWARD" in hooks:
            ruleset = self.host.rulesets.get(self.packet.family)
            asked = ruleset is not None and ruleset.chain("filter", "DOCKER-USER") is not None
            return "DOCKER-USER" if asked else "FORWARD"
        return "INPUT" if "INPUT" in hooks or self.to_host else "OUTPUT" if "OUTPUT" in hooks else None

    def _way_out(self) -> str | None:
        """Return the interface by which the packet leaves, if it got that far."""
        return next((step.interfaces[1] for step in self.request.steps if step.interfaces[1]), None)

    def _matched(self) -> Message:
        """Describe the packets that a rule with :meth:`_conditions` matches."""
        interface = self._arrives_on()
        if interface is None:
            return message("exactly this connection")
        return message("such packets from all sources on {interface}", interface=interface)

    def _is_from_outside(self) -> bool:
        return self.sender is None and self.host.owner_of(self.packet.family, self.packet.src) is None

    def _arrives_on(self) -> str | None:
        """Return the interface on which a packet from outside arrives; rules match it instead of the sender."""
        if not self._is_from_outside():
            return None
        return next((step.interfaces[0] for step in self.request.steps if step.interfaces[0]), None)

    def _conditions(self, where: str) -> str:
        """Return conditions that match this packet; in DOCKER-USER, published ports by their original port."""
        packet, family = self.packet, self.packet.family
        translated = any("dst" in step.changes for step in self.request.steps)
        length = BITS[family]
        parts = []
        interface = self._arrives_on()
        if interface is not None:
            parts.append(f"-i {interface}")
        elif not self._is_from_outside():
            parts.append(f"-s {address_text(family, packet.src)}/{length}")
        if isinstance(self.explanation.question.to, Internet) and self.explanation.question.dst is None:
            if (way_out := self._way_out()) is not None and where != "INPUT":
                parts.append(f"-o {way_out}")
        elif not translated:
            parts.append(f"-d {address_text(family, packet.dst)}/{length}")
        parts.append(f"-p {self.proto}")
        if translated and self.port is not None:
            original = address_text(family, packet.dst)
            parts.append(f"-m conntrack --ctorigdst {original} --ctorigdstport {self.port} --ctdir ORIGINAL")
        elif self.port is not None:
            parts.append(f"--dport {self.port}")
        return " ".join(parts)
