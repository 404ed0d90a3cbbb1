"""The input of the analyses: a host with its rules, its published ports, and packets to walk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial, reduce
from itertools import product
from typing import Any, NamedTuple

from iptsim.addresses import BITS, FAMILIES, Family, address_text, is_loopback, parse_address
from iptsim.asking import ask
from iptsim.docker.dockerd.recognition import DOCKER_CHAINS
from iptsim.dump.chain_graph import ChainGraph, Node
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset, Table
from iptsim.errors import IptsimError, UsageError
from iptsim.explanation import Explanation
from iptsim.extensions.constraints import Names
from iptsim.extensions.hidden import Hidden, is_gap
from iptsim.findings.finding import Evidence, of_policy, of_rule
from iptsim.findings.variants import after_command, with_open_output, without_unseen_nat
from iptsim.host import fib
from iptsim.host.containers import Container, Network, PublishedPort
from iptsim.host.model import Host
from iptsim.host.namespace import Interface
from iptsim.host.nft_chains import NftChain
from iptsim.host.pasted import Pasted
from iptsim.host.port_runs import PortRuns
from iptsim.languages import Text, message
from iptsim.netfilter.program import Program
from iptsim.netfilter.steps import Step
from iptsim.netfilter.walk import Simulator, simulator_of
from iptsim.owners.docker import is_dockers
from iptsim.protocols import protocol_name
from iptsim.question.internet import outside_address
from iptsim.question.model import Question
from iptsim.sets.boxes import Boxes
from iptsim.sets.chains import Chains
from iptsim.sets.engines import MOST_NODES
from iptsim.sets.limits import TooManyWaysError
from iptsim.sets.space import Space, TooManyNodesError
from iptsim.sets.traffic import Traffic

#: A port that is rarely used.
SOME_PORT = 9999
#: The limit on ways of packets that depend on something undecided: random rules may have any number of them.
MOST_WAYS = 500
#: Rulesets with fewer rules than this are small for sets of packets.
_FEW = 1000


class Publication(NamedTuple):
    """A container's published port, or a range of ports that nothing distinguishes.

    Attributes:
        port: the first port, which is checked.
        size: the number of ports.
    """

    container: Container
    port: PublishedPort
    size: int = 1

    @property
    def outside(self) -> str:
        """The port on the host: "8080/tcp", "20000-24999/udp"."""
        return self._text(self.port.host_port)

    @property
    def inside(self) -> str:
        """The port of the container: "80/tcp"."""
        return self._text(self.port.container_port)

    def _text(self, first: int) -> str:
        ports = str(first) if self.size == 1 else f"{first}-{first + self.size - 1}"
        return f"{ports}/{protocol_name(self.port.proto)}"

    @property
    def on_loopback(self) -> bool:
        """Whether it is published for the host itself only."""
        if self.port.host_address is None:
            return False
        return is_loopback(*parse_address(self.port.host_address))


def as_shown(rule: Rule) -> Rule:
    """Return a rule without the parts that its source does not show, such as the interfaces of a listing."""
    shown = tuple(match for match in rule.matches if not isinstance(match, Hidden))
    return rule if len(shown) == len(rule.matches) else replace(rule, matches=shown)


def place(container: Container, network: Network) -> str:
    """Return the endpoint for a container's address in a network."""
    return container.name if len(container.endpoints) == 1 else f"{container.name}@{network.name}"


def some_address(network: Network, family: Family, number: int = 2) -> str | None:
    """Return an address that a container of a network may have, by its number in the subnet."""
    for subnet in network.subnets:
        if subnet.family == family and BITS[family] - subnet.prefix_length >= 2:
            return address_text(family, subnet.address + number)
    return None


def called(network: Network) -> str:
    """Return the usual name of a network: for the default network, that of its bridge."""
    return (network.bridge if network.is_default_bridge else None) or network.name


class Scene:
    """A host, prepared for the analyses.

    Attributes:
        host: the host.
        is_pasted: its source is a pasted text.
        pasted: what that says besides; nothing for other sources.
        families: the address families whose rules are known.
        left_out: what could not be checked, because sets of packets grew too large, or divided too often.
    """

    def __init__(self, host: Host) -> None:
        self.host = host = without_unseen_nat(host)
        self.is_pasted = host.pasted is not None
        self.pasted = host.pasted or Pasted()
        self.families: tuple[Family, ...] = tuple(host.rulesets)
        self._graphs: dict[Family, ChainGraph] = {}
        self._simulators = {"": simulator_of(host)}
        self._asked: dict[tuple[str, str, str, Family, str], Explanation | None] = {}
        self._chains: dict[Family, Chains] = {}
        self._traffic: dict[tuple[Family, str], Traffic | None] = {}
        self._boxes: dict[tuple[Family, str], Boxes] = {}
        self._programs: dict[Family, Program] = {}
        self.left_out: list[TooManyNodesError | TooManyWaysError] = []

    # -- rules -------------------------------------------------------------------------------------

    def table(self, family: Family, name: str) -> Table:
        """Return a table, or an empty one if the dump lacks it."""
        ruleset = self.host.rulesets.get(family)
        return (ruleset.tables.get(name) if ruleset else None) or Table(name)

    def shows(self, family: Family, table: str, chain: str = "") -> bool:
        """Return whether the source shows a table, or all rules of a chain; a capture shows all that there are."""
        if not self.host.inferred and not self.is_pasted:
            return True
        ruleset = self.host.rulesets[family]
        found = ruleset.tables.get(table)
        # a listing may show some chains only
        if found is None or (chain and ruleset.listed and chain not in found.chains):
            return False
        return not any(is_gap(rule.target) for rule in self.rules(family, table, chain))

    def rules(self, family: Family, table: str, chain: str) -> Sequence[Rule]:
        """Return the rules of a chain, or none if there is no such chain."""
        found = self.table(family, table).chains.get(chain)
        return found.rules if found else []

    def traffic(self, family: Family, table: str) -> Traffic | None:
        """Return the traffic through a table; None without the table, or if its sets of packets grow too large.

        Later fragments are ignored: nf_tables compares their data with ports, which no administrator intends.
        """
        key = (family, table)
        if key not in self._traffic:
            self._traffic[key] = None
            if table in self.host.rulesets[family].tables:
                try:
                    chains = self._chains_of(family)
                    whole = ~chains.space.where("fragment", Names(frozenset({"middle", "last"})))
                    self._traffic[key] = Traffic(chains, table, whole)
                except TooManyNodesError as error:
                    self.left_out.append(error)
        return self._traffic[key]

    def _chains_of(self, family: Family) -> Chains:
        found = self._chains.get(family)
        if found is None:
            few = sum(1 for _ in self.host.rulesets[family].rules()) < _FEW
            space = Space(family, most_nodes=MOST_NODES, small=few)
            found = self._chains[family] = Chains(space, self._program(family))
        return found

    def boxes(self, family: Family, table: str) -> Boxes:
        """Return the rules of a table as boxes, which decide most questions about :meth:`traffic` in less time."""
        key = (family, table)
        if key not in self._boxes:
            outside = self.outside_interface(family)
            names = [outside.name] if outside is not None else []
            self._boxes[key] = Boxes(self._program(family), table, names)
        return self._boxes[key]

    def _program(self, family: Family) -> Program:
        if family not in self._programs:
            self._programs[family] = Program(self.host.rulesets[family])
        return self._programs[family]

    def accepts_all(self, family: Family, table: str, chain: str) -> bool:
        """Return whether a base chain accepts every packet: its rules only accept, count and log."""
        programs = self._simulators[""].namespaces.hooks_of(self.host.namespace).programs(family)
        return all(program.is_idle(table, chain) for program in programs)

    def shown_words(self, rule: Rule) -> str:
        """Return a rule's text after its chain, without the parts that the source does not show."""
        return as_shown(rule).specification

    def jumps(self, family: Family, table: str, chain: str) -> list[Rule]:
        """Return the rules that jump to a chain."""
        return self._calls(family).callers(Node(table, chain))

    def below(self, family: Family, table: str, chain: str) -> list[str]:
        """Return a chain and the chains that packets can reach from it."""
        return self._calls(family).reached(table, chain) or [chain]

    def hooks(self, family: Family, table: str) -> dict[str, tuple[str, ...]]:
        """Return the built-in chains from which packets reach each chain of a table."""
        return self._calls(family).reaching_hooks(table)

    def _calls(self, family: Family) -> ChainGraph:
        """Return which chain leads where."""
        if family not in self._graphs:
            ruleset = self.host.rulesets.get(family)
            self._graphs[family] = ChainGraph(ruleset.tables.values() if ruleset else ())
        return self._graphs[family]

    def rules_below(self, family: Family, table: str, chain: str) -> list[Rule]:
        """Return the rules of a chain and of the chains that packets can reach from it."""
        return [rule for name in self.below(family, table, chain) for rule in self.rules(family, table, name)]

    def of_step(self, family: Family, step: Step) -> Evidence:
        """Return the rule or the policy that decides at a step, as evidence."""
        if step.rule is not None:
            return of_rule(step.rule)
        chain = self.table(family, step.table or "").chains.get(step.chain or "")
        if chain is not None and chain.policy == step.verdict:
            return of_policy(chain)
        return Evidence(f"{step.table} {step.chain}", message("policy {policy}", policy=step.verdict))

    @property
    def base_chains(self) -> tuple[NftChain, ...]:
        """The base chains of nftables; none if they are unknown."""
        nftables = self.host.namespace.nftables
        return nftables.chains if nftables is not None else ()

    # -- Docker ------------------------------------------------------------------------------------

    @cached_property
    def has_docker(self) -> bool:
        """Whether a Docker daemon has run on this host."""
        chains = (
            name for family in self.families for table in ("filter", "nat")
            for name in self.table(family, table).chains
        )  # fmt: skip
        if self.host.daemon is not None or any(name in DOCKER_CHAINS for name in chains):
            return True
        if any(network.daemon == "docker" for network in self.host.networks.values()):
            return True
        # a listing may show the jump alone, or the rules of FORWARD
        return any(
            rule.target_name in DOCKER_CHAINS
            for family in self.families for table, hook in (("nat", "PREROUTING"), ("filter", "FORWARD"))
            for rule in self.rules(family, table, hook)
        ) or any(
            is_dockers(rule)
            for family in (self.families if self.is_pasted else ())
            for rule in self.rules(family, "filter", "FORWARD")
        )  # fmt: skip

    @cached_property
    def concerns_containers(self) -> bool:
        """Whether the host runs containers, or a pasted text mentions an engine that does."""
        return self.has_docker or bool(self.host.networks) or bool(self.pasted.engines)

    @cached_property
    def adds_to_docker(self) -> bool:
        """Whether a pasted text has only commands for chains of Docker that exist: it shows no rules of Docker."""
        if not self.has_only_commands:
            return False
        named = [
            chain
            for family in self.families
            for table in ("filter", "nat")
            for name, chain in self.table(family, table).chains.items()
            if name in DOCKER_CHAINS
        ]
        return bool(named) and not any(chain.declared for chain in named)

    @cached_property
    def has_only_commands(self) -> bool:
        """Whether a pasted text has only commands: it does not show what else the host has, or when they run."""
        return self.is_pasted and all("tables commands" in one.form for one in self.pasted.segments)

    @cached_property
    def has_no_rules(self) -> bool:
        """Whether the host is made from settings of Docker that make it write no rules."""
        daemon = self.host.daemon
        return self.host.inferred and daemon is not None and daemon.iptables is False

    @cached_property
    def knows_containers(self) -> bool:
        """Whether the engine listed its containers; otherwise they were inferred from the rules."""
        return not self.host.inferred and any(container.id for container in self.host.containers.values())

    def docker_writes(self, family: Family) -> bool:
        """Return whether dockerd's settings make it write rules for a family."""
        daemon = self.host.daemon
        if daemon is None or daemon.firewall_backend == "nftables" or daemon.iptables is False:
            return False
        if family == 4 or daemon.ip6tables is not None:
            return family == 4 or bool(daemon.ip6tables)
        return daemon.engine is not None and daemon.engine.ip6tables_by_default

    def docker_networks(self) -> list[Network]:
        """Return the bridge networks of Docker."""
        if not self.has_docker:
            return []
        return [
            network
            for network in self.host.networks.values()
            if network.driver == "bridge" and network.bridge and self._is_dockers(network)
        ]

    def _is_dockers(self, network: Network) -> bool:
        """Return whether Docker created a network: its engine or settings say so, or Docker's rules name the bridge."""
        if network.id:
            return all(
                container.daemon != "podman"
                for container in self.host.containers.values()
                if network.name in container.endpoints
            )
        return network.daemon == "docker"

    def members(self, network: Network, family: Family = 4) -> list[Container]:
        """Return the running containers that have an address in a network."""
        return self._members.get((network.name, family), [])

    @cached_property
    def _members(self) -> dict[tuple[str, Family], list[Container]]:
        found: dict[tuple[str, Family], list[Container]] = {}
        for container in self.host.containers.values():
            if container.running and container.daemon in ("docker", ""):
                for name, family in product(container.endpoints, FAMILIES):
                    if container.address(family, name) is not None:
                        found.setdefault((name, family), []).append(container)
        return found

    def first_members(self, family: Family) -> Iterator[Container]:
        """Yield a running container of each network of Docker that has one."""
        for network in self.docker_networks():
            yield from self.members(network, family)[:1]

    def publications(self, family: Family) -> Iterator[Publication]:
        """Yield the published ports of the running Docker containers that have an address of the family."""
        for container in self.host.containers.values():
            if container.running and container.daemon == "docker" and container.address(family) is not None:
                own = [port for port in container.published if port.family == family]
                for run in self._runs.of(container, own):
                    yield Publication(container, run[0], len(run))

    @cached_property
    def _runs(self) -> PortRuns:
        return PortRuns(self.host)

    def publishes(self, publication: Publication) -> Evidence:
        """Return a published port as evidence."""
        port = publication.port
        where = f"{port.host_address}:" if port.host_address else ""
        source: Text = "docker-inspect.json" if self.knows_containers else message("the rules of Docker")
        if not self.shows(port.family, "nat"):
            source = "Docker"  # a list or a command that a pasted text shows
        text = message(
            "{name} publishes {outside} -> {inside}",
            name=publication.container.name,
            outside=f"{where}{publication.outside}",
            inside=publication.inside,
        )
        return Evidence(source, text)

    # -- addresses ---------------------------------------------------------------------------------

    def outside_interface(self, family: Family) -> Interface | None:
        """Return the interface of the default route."""
        device = fib.lookup(self.host.namespace, family, outside_address(self.host, family)).device
        return self.host.namespace.interfaces.get(device or "")

    def neighbour(self, family: Family) -> str | None:
        """Return the address of another machine on the external link."""
        interface = self.outside_interface(family)
        gateways = {route.gateway for route in self.host.namespace.routes}
        for address in interface.addresses if interface else ():
            if address.family == family and address.scope == "global":
                for candidate in range(address.network + 20, address.network + 30):
                    if address.covers(candidate) and candidate not in (address.address, *gateways):
                        return address_text(family, candidate)
        return None

    # -- packets -----------------------------------------------------------------------------------

    def suppose(
        self, world: str, change: Callable[[Ruleset], Ruleset] | None = None, *, other_backend: bool = True
    ) -> str:
        """Create a variant of the host with different rules.

        Args:
            world: the name of the variant.
            change: makes the rules of the variant from the rules of the host.
            other_backend: keep the rules of the other backend.

        Returns:
            The name, for :meth:`ask`.
        """
        if world not in self._simulators:
            host = self.host
            rulesets = {
                family: change(ruleset) if change else ruleset for family, ruleset in host.rulesets.items()
            }
            extra = host.extra_rulesets if other_backend else {}
            variant = replace(host, rulesets=rulesets, extra_rulesets=extra)
            self._simulators[world] = Simulator(variant, like=self._simulators[""])
        return world

    def after(self, family: Family, commands: Iterable[str]) -> Simulator | None:
        """Return the host after iptables and sysctl commands; None if they fail.

        There may be as many variants as findings, so they are not kept; they share what this host has prepared.
        """
        try:
            changed = reduce(partial(after_command, family), commands, self.host)
            return Simulator(changed, like=self._simulators[""])
        except IptsimError:
            return None

    def again(self, shown: Explanation, world: str) -> Explanation | None:
        """Walk a packet again in a variant of the host; None if the question is not valid there."""
        try:
            return ask(self._simulators[world], shown.question)
        except IptsimError:
            return None

    def ask(
        self, sender: str, to: str, family: Family = 4, *, world: str = "", **fields: Any
    ) -> Explanation | None:
        """Walk a packet; None if the question is not valid on this host.

        Several analyses ask the same questions, so their answers are kept.

        Args:
            world: the result of :meth:`suppose`; by default the host as it is.
        """
        key = (world, sender, to, family, repr(sorted(fields.items())))
        if key not in self._asked:
            try:
                question = Question(sender=sender, to=to, family=family, **fields)
                self._asked[key] = ask(self._simulators[world], question)
            except UsageError:
                self._asked[key] = None
        return self._asked[key]

    def address_on(self, interface: str, family: Family) -> str:
        """Return the host's first address on an interface, or "host" if the source shows none."""
        found = self.host.namespace.interfaces.get(interface)
        own = [one.address for one in found.addresses if one.family == family] if found is not None else []
        return address_text(family, own[0]) if own else "host"

    def ask_past_output(self, sender: str, to: str, family: Family, **fields: Any) -> Explanation | None:
        """Walk a packet of the host, as if OUTPUT accepted it if the source does not show OUTPUT.

        None if the source does not show all rules of INPUT either.
        """
        if not self.shows(family, "filter", "INPUT"):
            return None
        open_there = "" if self.shows(family, "filter", "OUTPUT") else "OUTPUT accepts"
        world = self.suppose(open_there, with_open_output)
        return self.ask(sender, to, family, world=world, **fields)

    def ask_fields(self, fields: dict[str, Any]) -> Explanation:
        """Walk a packet given by the fields of a batch line.

        Raises:
            IptsimError: the question is not valid on this host.
        """
        return ask(self._simulators[""], Question(**fields))

    def ask_port(
        self, publication: Publication, world: str = "", sender: str = "internet"
    ) -> Explanation | None:
        """Walk a packet from outside to a published port; None for a port published for the host itself only."""
        if publication.on_loopback:
            return None
        port = publication.port
        proto, to = protocol_name(port.proto), port.host_address or "host"
        return self.ask(sender, to, port.family, world=world, proto=proto, dport=port.host_port)
