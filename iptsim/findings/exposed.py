"""What is open to the internet: services that are not meant for it, and with `--audit` everything.

All packets are checked at once (`iptsim/sets/fates.py`), but only ports with evidence of such a service count: a
published port, a rule that names it, a listening program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise, product
from typing import NamedTuple

from iptsim.address_sets import AddressSet
from iptsim.addresses import Family, address_text, is_loopback, parse_address
from iptsim.dump.rule import Rule
from iptsim.explanation import Explanation
from iptsim.explanation.classes import shortened
from iptsim.findings.finding import SHOWN, Evidence, Finding, of_policy, of_rule, port_ranges
from iptsim.findings.scene import MOST_WAYS, Scene
from iptsim.host.address_regions import every_public_address, public_addresses
from iptsim.host.routing_tables import routes_of
from iptsim.languages import Message, message, message_sentences
from iptsim.netfilter.steps import Step
from iptsim.protocols import TCP, UDP, protocol_name
from iptsim.ranges import united
from iptsim.reaching import ReachClass, Reaching, reach
from iptsim.reaching.traffic import Traffic
from iptsim.sets.fates import Fate, Fates, fates
from iptsim.sets.rule_boxes import Box

#: Services that are not meant for the internet: databases, caches, remote administration, file sharing in a network;
#: those of AWS Trusted Advisor ("Security Groups - Specific Ports Unrestricted", red) and of the reports on accessible
#: services of Shadowserver, without what is public on many hosts (SSH, FTP, mail, DNS, NTP).
SERVICES: dict[tuple[int, int], str] = {
    (TCP, 23): "Telnet",
    (TCP, 111): "rpcbind",
    (UDP, 111): "rpcbind",
    (TCP, 139): "NetBIOS",
    (UDP, 161): "SNMP",
    (TCP, 445): "SMB",
    (UDP, 623): "IPMI",
    (TCP, 873): "rsync",
    (TCP, 1433): "SQL Server",
    (TCP, 1521): "Oracle Database",
    (TCP, 2049): "NFS",
    (UDP, 2049): "NFS",
    (TCP, 2375): "the Docker API",
    (TCP, 2379): "etcd",
    (TCP, 3306): "MySQL",
    (TCP, 3389): "Remote Desktop",
    (TCP, 5432): "PostgreSQL",
    (TCP, 5601): "Kibana",
    (TCP, 5900): "VNC",
    (TCP, 5984): "CouchDB",
    (TCP, 6379): "Redis",
    (TCP, 8086): "InfluxDB",
    (TCP, 9042): "Cassandra",
    (TCP, 9200): "Elasticsearch",
    (TCP, 9300): "Elasticsearch",
    (TCP, 10250): "the Kubernetes kubelet",
    (TCP, 11211): "memcached",
    (UDP, 11211): "memcached",
    (TCP, 15672): "RabbitMQ's administration",
    (TCP, 27017): "MongoDB",
}
_PORTS = frozenset(port for _, port in SERVICES)
#: A rule that names more ports than this does not show what is on each of them.
_FEW = 16


class _Open(NamedTuple):
    """A port that is open to the internet.

    Attributes:
        receiver: where its packets arrive: "host", a container, or "".
        proto / port: on arrival.
        inner: the port after NAT.
        shown: one of the packets, walked.
    """

    receiver: str
    proto: int
    port: int
    inner: int
    shown: Explanation

    @property
    def service(self) -> str | None:
        """The service that has such a port."""
        return SERVICES.get((self.proto, self.inner))

    @property
    def outside(self) -> str:
        """The port on arrival: "15432/tcp"."""
        return f"{self.port}/{protocol_name(self.proto)}"


def services(scene: Scene) -> Iterator[Finding]:
    """Find databases and administrative services that every address of the internet can reach."""
    for family in scene.families:
        ports = _candidates(scene, family)
        if not ports:
            continue
        found = _from_internet(scene, family, ports)
        known: dict[tuple[str, int, int, int], _Open] = {}
        if found is None:
            continue
        for fate in _open(found):
            for one in _open_ports(scene, found, fate, ports):
                known.setdefault((one.receiver, one.proto, one.port, one.inner), one)
        refused = _refused_ports(scene)
        for one in known.values():
            if one.service is not None and one.port not in refused:
                yield _finding(scene, family, one)


def _refused_ports(scene: Scene) -> set[int]:
    """Return the ports that Docker failed to publish, according to a log: their containers did not start."""
    failed = scene.pasted.failed
    return {
        int(after)
        for one in failed
        if "DNAT" in one.words
        for word, after in pairwise(one.words)
        if word == "--dport" and after.isdecimal()
    }


def _candidates(scene: Scene, family: Family) -> set[int]:
    """Return the ports, on arrival, at which such a service may be open, as the rules of filter let them in."""
    found = {
        port for proto, port in _named(scene, family) if _may_be_open(scene, family, proto, port, nat=False)
    }
    for proto, port, inner in _forwarded(scene, family):
        if port not in found and _may_be_open(scene, family, proto, inner, nat=True):
            found.add(port)
    return found


def _named(scene: Scene, family: Family) -> set[tuple[int, int]]:
    """Return the protocols and ports of services that rules name, or on which programs of the host listen."""
    found = {(one.proto, one.port) for one in scene.host.namespace.listeners}
    # the reader makes equal matches one object
    rules = scene.table(family, "filter").rules()
    different = {(rule.parameters.protocol, *map(id, rule.matches)): rule for rule in rules}
    for rule in different.values():
        found |= {(proto, port) for port in _named_ports(rule) for proto in _protocols(rule)}
    return found & SERVICES.keys()


def _forwarded(scene: Scene, family: Family) -> Iterator[tuple[int, int, int]]:
    """Yield the protocols and ports, on arrival and after, that nat forwards to services from other machines."""
    for container in scene.host.containers.values():
        for one in container.published:
            loopback = one.host_address is not None and is_loopback(*parse_address(one.host_address))
            if (one.proto, one.container_port) in SERVICES and one.family == family and not loopback:
                yield one.proto, one.host_port, one.container_port
    for rule in scene.table(family, "nat").rules():
        to = getattr(rule.target, "to_destination", None)
        if to is None or to.ports is None or _PORTS.isdisjoint(to.ports):
            continue
        target = rule.parameters.destination
        if target is None or not is_loopback(family, target.address):
            ports = list(_ports_to(scene, family, rule, set()))
            yield from product(_protocols(rule), ports, _PORTS.intersection(to.ports))


def _protocols(rule: Rule) -> tuple[int, ...]:
    return (rule.parameters.protocol,) if rule.parameters.protocol else (TCP, UDP)


def _may_be_open(scene: Scene, family: Family, proto: int, port: int, *, nat: bool) -> bool:
    """Return whether INPUT or FORWARD may accept a port from most of the internet.

    Args:
        nat: the destination may have been changed by nat; otherwise, only public addresses count in FORWARD.
    """
    outside = scene.outside_interface(family)
    if outside is None or "filter" not in scene.host.rulesets[family].tables:
        return True
    internet = public_addresses(scene.host, family)
    if _is_certainly_closed(scene, family, outside.name, proto, port, internet, nat=nat):
        return False
    filter_ = scene.traffic(family, "filter")
    if filter_ is None:
        return True
    space = filter_.space
    asked = space.point({"in_interface": outside.name, "proto": proto, "dport": port})
    for hook, base in filter_.bases.items():
        here = asked
        if hook == "FORWARD" and not nat:
            here &= space.where("dst", every_public_address(family).spans)
        if hook == "OUTPUT" or not here.meets(base.packets("ACCEPT")):
            continue
        accepted = (base.packets("ACCEPT") & here).having({"ct.state": "NEW"})
        if not nat and "ct.state=DNAT" in space.layout.places:
            accepted = accepted.having({"ct.state=DNAT": 0})
        if _is_most(accepted.addresses("src"), internet):
            return True
    return len(filter_.bases) < 3


def _is_certainly_closed(
    scene: Scene, family: Family, outside: str, proto: int, port: int, internet: AddressSet, *, nat: bool
) -> bool:
    """Return whether boxes show that INPUT and FORWARD accept a port from less than half of the internet."""
    boxes = scene.boxes(family, "filter")
    if len(boxes.bases) < 3:
        return False
    asked: Box = {
        "in_interface": boxes.fields.interface(outside),
        "proto": ((proto, proto),),
        "dport": ((port, port),),
        "ct.state": boxes.fields.state("NEW"),
    }
    for hook in ("INPUT", "FORWARD"):
        public = {} if nat or hook == "INPUT" else {"dst": every_public_address(family).spans}
        sources = boxes.accepted_sources(hook, asked | public)
        if sources is None or _is_most(AddressSet(family, sources), internet):
            return False
    return True


def _is_most(sources: AddressSet, internet: AddressSet) -> bool:
    return (sources & internet).size * 2 >= internet.size


def _named_ports(rule: Rule) -> list[int]:
    """Return the destination ports that a rule names, if they are few."""
    spans = port_ranges(rule)
    if sum(last - first + 1 for first, last in spans) > _FEW:
        return []
    return [port for first, last in spans for port in range(first, last + 1)]


def _ports_to(scene: Scene, family: Family, rule: Rule, seen: set[str]) -> Iterator[int]:
    """Yield the ports that a rule names, or else the rules that lead to it."""
    named = _named_ports(rule)
    yield from named
    if named or rule.chain in seen:
        return
    seen.add(rule.chain)
    for caller in scene.jumps(family, rule.table, rule.chain):
        yield from _ports_to(scene, family, caller, seen)


def _from_internet(scene: Scene, family: Family, ports: Iterable[int]) -> Fates | None:
    """Return what happens to packets from the internet to public addresses of the host and of what is behind it."""
    host, outside = scene.host, scene.outside_interface(family)
    if outside is None:
        return None
    targets = [
        address_text(family, one.address)
        for one in outside.addresses
        if one.family == family and one.scope == "global"
    ]
    public = every_public_address(family)
    for route in routes_of(host.namespace, family):
        prefix = AddressSet.prefix(family, route.destination, route.prefix_length)
        if route.prefix_length and route.device not in (outside.name, "lo", None) and prefix <= public:
            targets.append(f"{address_text(family, route.destination)}/{route.prefix_length}")
    return fates(
        host,
        family,
        senders=["internet"],
        targets=dict.fromkeys(targets),
        dport=united((port, port) for port in ports),
        most_ways=MOST_WAYS,
    )


def _open(fates_: Fates) -> Iterator[Fate]:
    """Yield the packets that certainly get in and are not refused by the machine where they arrive."""
    for fate in fates_:
        outside = fate.oif == fate.iif and fate.passes_through
        if fate.verdict == "ACCEPT" and fate.listening is not False and not outside:
            yield fate


def _receiver(fate: Fate) -> str:
    kind, name = fate.delivered or next(iter(fate.reaches), ("", ""))
    return name if kind == "container" else "host" if kind == "host" else ""


def _open_ports(scene: Scene, found: Fates, fate: Fate, ports: Iterable[int]) -> Iterator[_Open]:
    """Yield the ports of services that are open to most of the internet, where something shows that they are used."""
    internet = public_addresses(scene.host, found.family)
    for packets, made in fate.parts:
        for proto, spans in Traffic.of(packets).ports.items():
            for port in ports if proto in (TCP, UDP) else ():
                if not any(first <= port <= last for first, last in spans):
                    continue
                inner = int(made["dport"]) if made.get("dport", "*") != "*" else port
                here = packets & found.space.point({"proto": proto, "dport": port})
                part = fate.within(here) if (proto, inner) in SERVICES else None
                if part is None or not _is_most(part.packets.addresses("src"), internet):
                    continue
                shown = part.explanation
                if made or fate.listening or _is_named(shown, port):
                    yield _Open(_receiver(fate), proto, port, inner, shown)


def _is_named(shown: Explanation, port: int) -> bool:
    """Return whether a rule that accepts a packet, or leads there, names its port."""
    return any(port in _named_ports(step.rule) for step in shown.trace.legs[0].steps if step.rule is not None)


# -- words -----------------------------------------------------------------------------------------


def _finding(scene: Scene, family: Family, one: _Open) -> Finding:
    service = one.service or ""
    where = _place(one)
    return Finding(
        "service-open",
        message("{service}, {where}, is open to the whole internet.", service=service, where=where)
        if one.inner == one.port
        else message(
            "{service}, {where}, is open to the whole internet as {outside}.",
            service=service,
            where=where,
            outside=one.outside,
        ),
        _evidence(scene, family, one.shown),
        message(
            "Any address can connect, so only the login of the service, if it has one, protects it; such ports are "
            "scanned for constantly."
        ),
        _remedy(scene, one),
        one.shown,
        family,
    )


def _place(one: _Open) -> Message:
    port = f"{one.inner}/{protocol_name(one.proto)}"
    if not one.receiver:
        return message("port {port} of a machine behind this host", port=port)
    if one.receiver == "host":
        return message("port {port} of the host", port=port)
    return message("port {port} of {name}", port=port, name=one.receiver)


def _evidence(scene: Scene, family: Family, shown: Explanation) -> tuple[Evidence, ...]:
    """Return the rules and policies that let a packet in, and the program that listens."""
    leg = shown.trace.legs[0]
    steps = [step for step in leg.steps if step.verdict in ("ACCEPT", "DNAT", "REDIRECT") and step.table]
    rules = [of_rule(step.rule) for step in steps if step.rule is not None]
    deciding = [step for step in steps if step.table == "filter"] or steps
    found = rules or [one for step in deciding[-1:] if (one := _policy(scene, family, step)) is not None]
    if leg.listening and leg.delivered is not None:
        port = f"{leg.delivered.packet.dport}/{protocol_name(leg.delivered.packet.proto)}"
        text = message("{program} listens on {port}", program=leg.program or message("a program"), port=port)
        found.append(Evidence("ss.txt", text))
    return tuple(found[:SHOWN]) or (
        Evidence(scene.host.rulesets[family].source, message("no rules, so nothing is blocked")),
    )


def _policy(scene: Scene, family: Family, step: Step) -> Evidence | None:
    chain = scene.table(family, step.table or "").chains.get(step.chain or "")
    return of_policy(chain) if chain is not None and chain.policy else None


def _remedy(scene: Scene, one: _Open) -> Message:
    if one.receiver in scene.host.containers:
        return message(
            "Publish it on one address only, such as -p 127.0.0.1:{port}:{inner}, or not at all: containers of one "
            "network reach each other anyway; or allow only some networks, with a rule in DOCKER-USER.",
            port=one.port,
            inner=one.inner,
        )
    return message(
        "Let the service listen on 127.0.0.1 or an internal address only, or accept only some networks, with -s in the "
        "rule that accepts it."
    )


# -- with --audit ----------------------------------------------------------------------------------


def inventory(scene: Scene) -> Iterator[Finding]:
    """List what is open to the internet, by where it arrives."""
    for family in scene.families:
        facing = _facing(scene, family)
        answer = reach(scene.host, "internet", family=family, most_ways=MOST_WAYS).opened
        groups: dict[str, list[ReachClass]] = {}
        for one in answer.classes:
            gets_in = one.receiver != "internet" and one.fate.oif != one.fate.iif
            if one.is_open and gets_in and one.destinations & facing:
                groups.setdefault(one.receiver, []).append(one)
        for receiver, group in groups.items():
            yield _listed(scene, answer, receiver, group)


def _facing(scene: Scene, family: Family) -> AddressSet:
    """Return the addresses to which the internet can send: public ones, and those of the outside interface."""
    outside = scene.outside_interface(family)
    own = [
        (one.address, one.address) for one in (outside.addresses if outside else ()) if one.family == family
    ]
    return every_public_address(family) | AddressSet.of(family, own)


def _listed(scene: Scene, answer: Reaching, receiver: str, group: list[ReachClass]) -> Finding:
    family = answer.family
    internet = public_addresses(scene.host, family)
    traffic: dict[str, tuple[Message, Traffic]] = {}
    evidence: dict[tuple[str, str], Evidence] = {}
    group = sorted(group, key=lambda one: -(one.sources & internet).size)
    for one in group:
        sources = _from(one.sources & internet, internet)
        known = traffic.get(str(sources), (sources, Traffic()))[1]
        traffic[str(sources)] = sources, known | one.traffic
        for item in _evidence(scene, family, one.explanation):
            evidence.setdefault((str(item.place), str(item.text)), item)
    every = Traffic()
    for one in group:
        every = every | one.traffic
    return Finding(
        "open-to-internet",
        message(
            "{name} is open to the internet: {ports}.",
            name=receiver or message("A machine behind this host"),
            ports=every.says(answer.asked),
        ),
        tuple(evidence.values())[:SHOWN],
        message_sentences(
            *(
                message("{sources}: {ports}.", sources=sources, ports=ports.says(answer.asked))
                for sources, ports in traffic.values()
            )
        ),
        message("Nothing to do if all of this is intended; for details: iptsim reach SOURCE --open."),
        group[0].explanation,
        family,
    )


def _from(sources: AddressSet, internet: AddressSet) -> Message:
    left = internet - sources
    if not left:
        return message("From every address")
    if sources.size > left.size:
        return message("From all but {addresses}", addresses=shortened(left, SHOWN))
    return message("Only from {addresses}", addresses=shortened(sources, SHOWN))
