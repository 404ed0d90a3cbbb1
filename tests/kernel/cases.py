"""A case: a host, a packet, and what the kernel did with it; kept in `fixtures/kernel` when iptsim differed.

The fuzzer leaves what it finds in `build/finds`; `python -m tests.kernel.cases FILE...` sends the packets of such
files again and makes cases of them (`-` reads one from standard input, as a failed test shows it).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import sys
import traceback
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from iptsim.errors import IptsimError
from iptsim.netfilter.trace import Trace
from iptsim.protocols import ICMP, ICMPV6
from tests.kernel.asking import Iptsim, probe_of
from tests.kernel.compare import OPEN, Doubt, differences, leaves
from tests.kernel.conversation import reply
from tests.kernel.description import Interface, Probe, World
from tests.kernel.laboratory import Laboratory
from tests.kernel.observation import Observation

_ROOT = Path(__file__).resolve().parents[2]
FOLDER = _ROOT / "fixtures" / "kernel"
#: Where the fuzzer leaves what it finds.
FINDS = _ROOT / "build" / "finds"

Told = Literal["after", "table", "line"]


class Case(BaseModel):
    """What the kernel said.

    Attributes:
        note: what was wrong when it was found.
        capture: the files of a capture of the host, from which iptsim reads it.
        answer: of the kernel, to the packet.
        reply: of the kernel, to the answer that the other side sent, if it sent one.
        told: how iptsim learns of the earlier packets: of the one "after" which it comes, of the "table" that
            conntrack then has, or of its "line".
        connections: that table, as `conntrack -L` prints it.
        asked: the question, where it is one as people ask; the packet is then the one that iptsim made of it.

    """

    model_config = ConfigDict(frozen=True)

    note: str = ""
    world: World
    probe: Probe
    capture: dict[str, str] = Field(default_factory=dict)
    answer: Observation
    reply: Observation | None = None
    told: Told = "after"
    connections: str = ""
    asked: dict[str, Any] = Field(default_factory=dict)

    @property
    def digest(self) -> str:
        """A short name for the host and the packet."""
        return hashlib.sha256(f"{self.world}{self.probe}{self.told}".encode()).hexdigest()[:10]

    def differences(self, iptsim: Iptsim | None = None) -> list[str]:
        """Ask iptsim, and return where it parts from the kernel's stored answer.

        Args:
            iptsim: what read the capture before; it is read here by default.
        """
        trace = self.ask(iptsim)
        return self.compare(trace) if isinstance(trace, Trace) else [trace]

    def ask(self, iptsim: Iptsim | None = None) -> Trace | str:
        """Return what iptsim says, or why it says nothing."""
        try:
            if self.asked:
                return (iptsim or Iptsim(self.capture)).answer(self.asked, self.answer)
            if self.told == "after":
                return (iptsim or Iptsim(self.capture)).ask(self.world, self.probe, self.answer)
            probe = self.probe.model_copy(update={"before": ()})
            if self.told == "table":
                told = Iptsim({**self.capture, "conntrack.txt": self.connections})
                return told.ask(self.world, probe, self.answer)
            line = self.connections.strip()
            return (iptsim or Iptsim(self.capture)).ask(self.world, probe, self.answer, conntrack=line)
        except IptsimError as error:
            return f"iptsim refuses: {error}"
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            return f"iptsim crashes: {error!r} in {Path(place.filename).name}, {place.name}"

    def compare(self, trace: Trace) -> list[str]:
        """Return where what iptsim says parts from the kernel's stored answer."""
        if _is_unanswered(self.world, self.answer):
            return []
        if self.asked and (probe := probe_of(trace, self.probe.source)) != self.probe:
            return [f"asks about another packet: {probe}"]
        reply = self.reply
        if reply is not None and (_is_unanswered(self.world, reply) or stays_on_link(self.world, reply)):
            reply = None
        if turns_back(self.world, self.probe.source, self.answer) and _goes_past(trace):
            reply = None
        return differences(
            trace,
            self.answer,
            reply=reply,
            answerable=_is_answerable(self.world, self.probe),
            doubt="any" if self.asked else _doubt(self.world, self.probe),
            picks=self.world.picks_next_hops,
        )


def _is_unanswered(world: World, observation: Observation) -> bool:
    """Return whether a packet waited for a neighbour that no capture could say is not there."""
    last = observation.sightings[-1] if observation.sightings else None
    if observation.verdict != "LOST" or last is None or last.hook != "PREROUTING":
        return False
    open_bridges = {world.interface(guest.port).master for guest in world.guests if not guest.saved}
    return any(_is_nobody(world, world.interface(name or ""), last.header.dst) for name in open_bridges)


def turns_back(world: World, source: str, observation: Observation) -> bool:
    """Return whether a packet left by the link on which it came, so that its reply may go past the host.

    Args:
        world: the host.
        source: where the packet came from; of a bridge, each port is a link of its own.
        observation: of the packet.

    """
    ways = [(one.in_interface, one.out_interface) for one in observation.sightings if one.hook == "FORWARD"]
    ports = [arrival.interface for arrival in observation.arrivals]
    return any(
        came is not None and came == left and (world.interface(came).kind != "bridge" or source in ports)
        for came, left in ways
    )


def _goes_past(trace: Trace) -> bool:
    """Return whether no rule of the host sees the reply, of iptsim's legs on one of the ways that it leaves open."""
    replies = [
        leg for way in leaves(trace) for leg in way.legs[1:] if leg.direction == "reply" and not leg.proxy
    ]
    return any(all(step.table is None for step in leg.steps) for leg in replies)


def stays_on_link(world: World, reply: Observation) -> bool:
    """Return whether the laboratory sent a reply through the host that a machine would send directly."""
    first = reply.sightings[0] if reply.sightings else None
    entrance = world.interface(first.in_interface) if first is not None and first.in_interface else None
    if first is None or entrance is None or entrance.kind == "bridge":
        return False
    ends = ipaddress.ip_address(first.header.src), ipaddress.ip_address(first.header.dst)
    networks = [ipaddress.ip_interface(own).network for own in entrance.addresses]
    own = {own.split("/")[0] for interface in world.interfaces for own in interface.addresses}
    return first.header.dst not in own and any(all(end in network for end in ends) for network in networks)


#: Options that look at what changes with each packet or second.
_COUNTED = ("--ctexpire", "--packets-", "--bytes-")


#: A source port that the kernel picks from a range: iptsim leaves it open, even to rules that no port of it matches.
_PORT_RANGE = re.compile(r"--to-ports \d+-\d+|--to-source \S*:\d+-\d+|--random")


def _doubt(world: World, probe: Probe) -> Doubt:
    """Return what iptsim may leave open: chance, memory, an entry's rest of life, ports that the kernel picks.

    And what conntrack knows about DCCP: its ports only before Linux 6.16. And rules of nftables that iptsim does not
    evaluate, and what is in the reply before a later packet.
    """
    dump = world.dump + world.other_dump
    counted = any(word in dump for word in _COUNTED)
    hashed = probe.proto == _DCCP and "HMARK" in dump
    if probe.fragment or world.other_dump or world.nft or counted or hashed or _PORT_RANGE.search(dump):
        return "any"
    replied = "-m string " in dump and any(one.replies for one in probe.before)
    some = replied or world.picks_next_hops or any(f"-m {name} " in dump for name in OPEN)
    return "some" if some else "none"


def _is_answerable(world: World, probe: Probe) -> bool:
    """Return whether what REJECT sends back can be compared.

    Not with the legacy backend when it has no receiver: its trace shows only the laboratory's own packets.
    Not for a packet from a broadcast address: the way of an answer to it is a matter of its own. And not for
    protocols whose checksum REJECT verifies and the laboratory does not make (DCCP's since Linux 6.16).
    """
    seen = world.backend == "nft" or not any(
        _is_nobody(world, bridge, probe.src) for bridge in world.interfaces if bridge.kind == "bridge"
    )
    return seen and not world.is_group(probe.src) and probe.proto in _ANSWERED


_DCCP = 33
#: TCP, UDP, ICMP, GRE, ESP, AH, SCTP, UDP-Lite.
_ANSWERED = frozenset({1, 6, 17, 47, 50, 51, 58, 132, 136})


def observe(laboratory: Laboratory, probe: Probe) -> tuple[Observation, Observation | None]:
    """Send a packet, and what the other side would answer; return both observations."""
    first = laboratory.send(probe)
    if probe.connection or probe.fragment or probe.extension_headers:
        return first, None
    answer = reply(laboratory.world, probe, first)
    if probe.proto in (ICMP, ICMPV6) and "--random" in laboratory.world.dump + laboratory.world.other_dump:
        # nat picks another identifier, which is not seen
        return first, None
    if answer is None or _pretends(laboratory.world, probe) or not can_be_sent(laboratory.world, answer):
        return first, None
    found = laboratory.discovers(answer)
    back = laboratory.send(answer, fresh=False)
    return first, back._replace(discovered=found)


def _pretends(world: World, probe: Probe) -> bool:
    """Return whether a packet comes with an address whose reply has no one place.

    That is the address of a guest behind another port, or, of a packet of the host, one of a bridge's subnet that it
    does not have. Where the router is behind a bridge's port, or nat translates the reply on a bridge, the kernel asks
    for the address, so it is any that the sender does not have.
    """
    if probe.source != "host":
        behind = [guest for guest in world.guests if guest.port == probe.source]
        known = probe.src in [guest.address for guest in behind] or any(guest.router for guest in behind)
        asks_for_it = any(guest.router for guest in world.guests) or "*nat" in world.dump + world.other_dump
        if behind and not known and asks_for_it:
            return True
        return any(
            one.address == probe.src and one.port != probe.source and not one.saved for one in world.guests
        )
    own = [
        ipaddress.ip_interface(text)
        for interface in world.interfaces
        if interface.kind == "bridge"
        for text in interface.addresses
    ]
    source = ipaddress.ip_address(probe.src)
    if source in [one.ip for one in own]:
        return False
    switched = any(guest.router for guest in world.guests) and probe.src not in world.own_addresses
    return switched or any(source in one.network for one in own)


def can_be_sent(world: World, probe: Probe) -> bool:
    """Return whether an answer can be sent as a program would.

    A guest can't send to an address of its own subnet that no one has. The raw sockets of the host have no
    protocol and no ports that `ip rule` could look at.
    """
    if probe.local and world.routes_by_ports:
        return False
    if probe.local and probe.length > min(one.mtu for one in world.interfaces):
        # a program would send fragments, a raw socket sends nothing
        return False
    if not probe.local and probe.src in world.own_addresses:
        # a router to which a frame was sent with the host's address as its destination
        return False
    master = None if probe.local else world.interface(probe.source).master
    if any(guest.port == probe.source and guest.gateway and not guest.saved for guest in world.guests):
        # the gateway of such a guest is unknown
        return any(
            one.address == probe.dst and world.interface(one.port).master == master for one in world.guests
        )
    return master is None or not _is_nobody(world, world.interface(master), probe.dst)


def _is_nobody(world: World, bridge: Interface, address: str) -> bool:
    """Return whether an address is in a bridge's subnet, but neither a guest's nor the bridge's own."""
    target = ipaddress.ip_address(address)
    near = any(target in ipaddress.ip_interface(own).network for own in bridge.addresses)
    known = [guest.address for guest in world.guests] + [own.split("/")[0] for own in bridge.addresses]
    return near and address not in known


def run_case(world: World, probe: Probe, note: str = "", *, told: Told = "after") -> Case:
    """Run a host and a packet in the kernel.

    Raises:
        CommandError: the kernel or its tools refuse the host or its rules.

    """
    with Laboratory(world) as laboratory:
        capture = laboratory.capture()
        connections = ""
        if told != "after":
            for earlier in probe.before:
                laboratory.send(earlier, fresh=earlier is probe.before[0])
            connections = laboratory.connections()
        answer, back = observe(laboratory, probe)
        return Case(
            note=note, world=world, probe=probe, capture=capture, answer=answer, reply=back,
            told=told, connections=connections,
        )  # fmt: skip


def run_again(case: Case) -> Case:
    """Run the same host and packets in the kernel again."""
    again = run_case(case.world, case.probe, case.note, told=case.told)
    return again.model_copy(update={"asked": case.asked})


def stored_cases() -> list[Path]:
    """Return the files of the cases that were kept."""
    return sorted(FOLDER.glob("*.json"))


def load_case(path: Path) -> Case:
    """Read a case."""
    return Case.model_validate_json(path.read_text())


def store_case(case: Case, name: str, folder: Path = FOLDER) -> Path:
    """Write a case, without what says nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(case.model_dump_json(indent=1, exclude_defaults=True) + "\n")
    return path


def same_answers(one: Case, other: Case) -> bool:
    """Return whether two runs of a case agree in all that does not change from run to run.

    A run may go without the reply that the other one sent.
    """
    replies = [(case.reply.steps, case.reply.verdict) for case in (one, other) if case.reply is not None]
    return _lasting(one.answer) == _lasting(other.answer) and (len(replies) < 2 or replies[0] == replies[1])


def _lasting(observation: Observation) -> tuple[Any, ...]:
    return (
        observation.steps,
        observation.verdict,
        [(arrival.interface, arrival.header._replace(cookie=0)) for arrival in observation.arrivals],
        [
            (arrival.interface, arrival.header.proto, arrival.header.icmp_type)
            for arrival in observation.answers
        ],
    )


def main(files: list[str]) -> int:
    """Run from the command line."""
    for name in files:
        found = Case.model_validate_json(sys.stdin.read() if name == "-" else Path(name).read_text())
        case = run_again(found)
        print(
            f"{store_case(case, f'found-{case.digest}')}: {'; '.join(case.differences()) or 'no difference'}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
