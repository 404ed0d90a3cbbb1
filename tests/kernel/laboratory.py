"""A host under test in a network namespace of its own, packets sent at it, and what its kernel did.

    with Laboratory(world) as laboratory:
        observation = laboratory.send(probe)

The far ends of all interfaces lie in a second namespace that has no addresses, so nothing there answers.
Needs root, the iptables, nftables, iproute2, ipset and conntrack tools.
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import json
import os
import select
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from iptsim.protocols import ICMPV6, TCP
from tests.kernel import netlink
from tests.kernel.building import build
from tests.kernel.capture import capture_host, read_nft
from tests.kernel.description import Entry, Guest, Interface, Probe, World
from tests.kernel.frames import Header, packet, read_header
from tests.kernel.namespaces import CommandError, Namespace
from tests.kernel.observation import Arrival, Caused, Observation
from tests.kernel.rules import Chains, read_chains
from tests.kernel.tracing import Tracer, Tracked, own_rules

TOOLS = ("iptables-nft-restore", "iptables-legacy-restore", "nft", "ip", "ipset", "conntrack", "bridge")
_SYS_SETFSUID, _SYS_SETFSGID = 122, 123
_SO_MARK, _IPV6_HDRINCL, _IP_FREEBIND, _IPV6_FREEBIND = 36, 36, 15, 78
_TOS = {4: (socket.IPPROTO_IP, socket.IP_TOS), 6: (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)}
_TRANSPARENT = {4: (socket.IPPROTO_IP, 19), 6: (socket.IPPROTO_IPV6, 75)}
_SOLICITED_NODES = ipaddress.IPv6Address("ff02::1:ff00:0")
#: Mark of the sockets that the host has for packets.
SOCKET_MARK = 0x21
_ETHERTYPE = {4: 0x0800, 6: 0x86DD}
#: Hardware address of whoever sends from beyond an interface that is no bridge port.
NEIGHBOUR_MAC = "02:00:00:00:01:01"
#: Lists of `-m recent`; of the namespace that the calling thread is in.
_RECENT = Path("/proc/thread-self/net/xt_recent")
#: How long to wait for what a packet may still cause, in seconds, on an idle machine and on a busy one, where the
#: kernel leaves packets to a thread that has to wait for its turn.
_PATIENCE, _MOST_PATIENCE = 0.005, 0.05
_libc = ctypes.CDLL(None, use_errno=True)


def missing() -> str:
    """Return why the laboratory can't work here, in one line; empty if it can."""
    if os.geteuid() != 0:
        return "the kernel laboratory needs root"
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"the kernel laboratory needs {', '.join(absent)}"
    try:
        Namespace().close()
    except OSError as error:
        return f"the kernel laboratory can't make a network namespace: {error.strerror}"
    return ""


class Laboratory:
    """A running host under test; a context manager."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._exit = ExitStack()
        self._chains = {world.backend: read_chains(world.dump)}
        if world.other_dump:
            self._chains[world.other_backend] = read_chains(world.other_dump)
        self._cookie = 0
        self._senders: dict[tuple[int, int, int, str, int], socket.socket] = {}

    def __enter__(self) -> Laboratory:
        with self._exit:
            self._host = self._exit.enter_context(Namespace())
            self._far = self._exit.enter_context(Namespace())
            self._exit.enter_context(_one_processor())
            build(self.world, self._host, self._far)
            self._load()
            self._open()
            self._exit = self._exit.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    # -- set-up ---------------------------------------------------------------------------------------

    def _load(self) -> None:
        world, host = self.world, self._host
        if world.ipsets:
            host.run(["ipset", "restore"], world.ipsets)
        # before the dump: of equal priorities the hook that comes later runs first
        host.run(["nft", "-f", "-"], own_rules(world.family))
        rulesets = [(world.backend, world.dump), (world.other_backend, world.other_dump)]
        for backend, dump in reversed(rulesets) if world.other_first else rulesets:
            if dump:
                host.run([f"{'ip' if world.family == 4 else 'ip6'}tables-{backend}-restore"], dump)
        if world.nft:
            host.run(["nft", "-f", "-"], world.nft)

    def _open(self) -> None:
        world = self.world
        family = socket.AF_INET if world.family == 4 else socket.AF_INET6
        self._sources: list[netlink.NetlinkSocket] = []
        with self._host.entered():
            self._control = self._closing(netlink.NetlinkSocket())
            self._sources.append(self._closing(netlink.trace_socket()))
            if "legacy" in self._chains:
                Path(f"/proc/sys/net/netfilter/nf_log/{int(family)}").write_text("nfnetlink_log")
                self._sources.insert(0, self._closing(netlink.nflog_socket(family)))
            self._count = os.open("/proc/sys/net/netfilter/nf_conntrack_count", os.O_RDONLY | os.O_CLOEXEC)
            self._exit.callback(os.close, self._count)
            names = dict(socket.if_nameindex())
        positions = netlink.rule_positions(self._control)
        legacy = self._chains.get("legacy", Chains({}, {}))
        own = {table for chains in self._chains.values() for table, _ in chains.targets}
        self._rejecting = _rejecting_rules(positions, read_nft(self._host)) if world.nft else frozenset()
        self._tracer = Tracer(positions, names, legacy, own, mark_legacy=len(self._chains) == 2)
        with self._far.entered():
            # one socket for all interfaces: closing one costs the kernel milliseconds
            kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            self._wire = socket.socket(socket.AF_PACKET, kind, socket.htons(_ETHERTYPE[world.family]))
            self._exit.callback(self._wire.close)

    def _closing(self, opened: netlink.NetlinkSocket) -> netlink.NetlinkSocket:
        self._exit.callback(opened.close)
        return opened

    def capture(self) -> dict[str, str]:
        """Return the files of a capture of the host, by name."""
        self._renew_sets()
        return capture_host(self._host, self.world)

    def connections(self) -> str:
        """Return what conntrack knows, as a capture has it."""
        family = "ipv4" if self.world.family == 4 else "ipv6"
        return self._host.run(["conntrack", "-L", "-f", family])

    def interface_towards(self, address: str, source: str) -> str:
        """Return the interface, or the bridge port, behind which an address is by the host's routes.

        Args:
            address: of who is looked for.
            source: of what would be sent there; only one of the host's own counts.

        """
        command = ["ip", "-j", "route", "get", address]
        command += ["from", source] if source in self.world.own_addresses else []
        (route, *_) = json.loads(self._host.run(command))
        device: str = route["dev"]
        hop = route.get("gateway", address)
        ports = [one.port for one in self.world.guests if one.address == hop]
        return ports[0] if self.world.interface(device).kind == "bridge" and ports else device

    def list_address(self, name: str, address: str) -> None:
        """Enter an address in a list of `-m recent`; a rule of the dump has made the list."""
        with self._host.entered():
            (_RECENT / name).write_text(f"+{address}\n")

    def recent_lists(self) -> str:
        """Return the lists of `-m recent` as a capture has them."""
        with self._host.entered():
            return "".join(f"== {path.name}\n{path.read_text()}" for path in sorted(_RECENT.iterdir()))

    # -- packets --------------------------------------------------------------------------------------

    def send(self, probe: Probe, *, fresh: bool = True) -> Observation:
        """Send one packet and return what happened to it.

        Args:
            probe: the packet.
            fresh: forget first all tracked connections, and what rules put into sets; False for a packet
                that goes on with what the ones before it began.

        """
        if fresh:
            self.forget_connections()
            self._renew_sets()
        for earlier in probe.before:
            self.send(earlier, fresh=False)
        if probe.connection:
            self.insert(probe.connection, probe.proto)
        elif probe.expected_by:
            flow = probe.proto, probe.src, probe.dst, probe.dport
            netlink.expect_connection(self._control, probe.expected_by, *flow)
        if probe.socket:
            with self._receiver(probe):
                return self._send_until_traced(probe)
        return self._send_until_traced(probe)

    def discovers(self, probe: Probe) -> bool | None:
        """Let a guest look for its neighbour on an IPv6 bridge, as it does before it sends.

        Returns:
            Whether both messages of neighbour discovery arrive; None where there is nothing to discover.

        """
        world = self.world
        master = None if probe.local else world.interface(probe.source).master
        if world.family == 4 or master is None:
            return None
        port = world.interface(probe.source)
        guest = next((one for one in _neighbours(world, port) if one.address == probe.dst), None)
        known = any(one.port == probe.source and one.saved for one in world.guests)
        if guest is None or guest.port == probe.source or not known:
            # iptsim takes it that a sender of which nothing tells has found its neighbour
            return None
        target = ipaddress.IPv6Address(guest.address).packed
        group = str(ipaddress.IPv6Address(_SOLICITED_NODES.packed[:13] + target[13:]))
        fields = {"proto": ICMPV6, "ttl": 255, "payload": target.hex() + "0101" + "00" * 6}
        question = Probe(source=port.name, src=probe.src, dst=group, icmp_type=135, **fields)
        answer = Probe(
            source=guest.port, src=guest.address, dst=probe.src, icmp_type=136, body="60000000", **fields
        )
        return all(
            any(arrival.interface == end for arrival in self.send(message, fresh=False).arrivals)
            for message, end in ((question, guest.port), (answer, port.name))
        )

    def _send_until_traced(self, probe: Probe) -> Observation:
        for _ in range(3):
            try:
                return self._send(probe)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
        raise RuntimeError("trace events were lost three times in a row")

    def _renew_sets(self) -> None:
        """Forget what rules put into sets, for a packet of the host's own too, such as an IGMP report."""
        if "-j SET" in self.world.dump + self.world.other_dump:
            self._host.run(["ipset", "restore"], _anew(self.world.ipsets))

    def forget_connections(self) -> None:
        """Empty the conntrack table."""
        if os.pread(self._count, 16, 0).strip() != b"0":
            netlink.empty_conntrack(self._control)

    def insert(self, entry: Entry, proto: int) -> None:
        """Make a connection known to conntrack, as if its packets had passed."""
        original, reply = entry.original, entry.reply
        command = ["conntrack", "-I", "-t", "600", "-p", str(proto)]
        command += ["-s", original.src, "-d", original.dst, "-r", reply.src, "-q", reply.dst]
        # says that the entry's packets have been through the nat chains; the other side is then settled too
        command += ["--src-nat", reply.dst] if reply.dst != original.src else ["--dst-nat", reply.src]
        if proto in (1, 58):
            kind = "icmp" if proto == 1 else "icmpv6"
            command += [f"--{kind}-type", "8" if proto == 1 else "128", f"--{kind}-code", "0"]
            command += [f"--{kind}-id", str(original.sport)]
        else:
            command += ["--sport", str(original.sport), "--dport", str(original.dport)]
            command += ["--reply-port-src", str(reply.sport), "--reply-port-dst", str(reply.dport)]
        if proto == 6:
            command += ["--state", "ESTABLISHED"]
        status = [
            name for name, held in (("SEEN_REPLY", entry.seen_reply), ("ASSURED", entry.assured)) if held
        ]
        if status:
            command += ["-u", ",".join(status)]
        if entry.mark:
            command += ["--mark", str(entry.mark)]
        if entry.zone:
            command += ["--zone", str(entry.zone)]
        self._host.run(command)

    def _send(self, probe: Probe) -> Observation:
        self._cookie = self._cookie % 60000 + 1
        cookie = self._cookie
        self._drain()
        tracer = self._tracer
        tracer.expect(cookie, local=probe.local)
        data = packet(probe, cookie)
        error = ""
        try:
            if probe.local:
                self._sender(probe).sendto(data, (probe.dst, 0))
            else:
                self._wire.sendto(self._frame(probe, data), (probe.source, _ETHERTYPE[self.world.family]))
        except OSError as problem:
            if problem.errno not in _SENDING_ERRORS:
                raise
            error = errno.errorcode[problem.errno or 0]
        arrived = self._collect(cookie, hurry=bool(error))
        tracked = self._completed(tracer.packets.get(cookie, Tracked()))
        answers = [
            arrival for arrival in arrived if arrival.header.cookie != cookie and _speaks(arrival.header)
        ]
        caused = []
        for other in {id(other): other for other in tracer.others.values()}.values():
            if other.sightings and _speaks(other.sightings[0].header) and "legacy" not in self._chains:
                caused.append(Caused(other.sightings[0].header, tuple(other.steps), other.ended))
            last = other.last
            if last and last.hook == "INPUT" and last.place == "tail" and _speaks(last.header):
                answers.append(Arrival("lo", last.header))
        return Observation(
            tuple(tracked.steps),
            tuple(tracked.sightings),
            tuple(arrival for arrival in arrived if arrival.header.cookie == cookie),
            tuple(answers),
            tuple(caused),
            error,
            self._rejects(tracked),
            datetime.now(UTC),
            min(os.sched_getaffinity(0)),
        )

    def _completed(self, tracked: Tracked) -> Tracked:
        """Name the verdict of a last rule that dropped the packet because its address can't be translated.

        The legacy trace names no verdicts.
        """
        two = len(self._chains) == 2
        # of two backends the steps have no common order
        number = next(
            (one for one in range(len(tracked.steps) - 1, -1, -1) if not two or tracked.steps[one].legacy),
            None,
        )
        if number is None or "legacy" not in self._chains:
            return tracked
        last, place = tracked.steps[number], tracked.last
        if last.rule is None or any(step.verdict == "DROP" for step in tracked.steps):
            return tracked
        target = self._chains["legacy"].targets[last.table, last.chain][last.rule - 1]
        if (
            target in ("SNPT", "DNPT", "REDIRECT", "MASQUERADE")
            and place is not None
            and (place.hook, place.place) == (last.hook, "head")
        ):
            tracked.steps[number] = last._replace(verdict="DROP")
        return tracked

    def _rejects(self, tracked: Tracked) -> bool:
        """Return whether what dropped the packet, or the last copy of it, is a REJECT."""
        drops = [step for step in tracked.steps if step.verdict == "DROP"]
        if tracked.dropped is not None:
            return (tracked.dropped.table, tracked.dropped.chain, tracked.dropped.rule) in self._rejecting
        if not drops or drops[-1].rule is None:
            return False
        step, backend = drops[-1], self.world.backend
        if len(self._chains) == 2:
            backend = "legacy" if step.legacy else "nft"
        return self._chains[backend].targets[step.table, step.chain][(step.rule or 0) - 1] == "REJECT"

    def _frame(self, probe: Probe, data: bytes) -> bytes:
        """Put the hardware addresses before a packet."""
        to, own = hardware_addresses(self.world, probe)
        addresses = bytes.fromhex((to + own).replace(":", ""))
        return addresses + _ETHERTYPE[self.world.family].to_bytes(2, "big") + data

    def _sender(self, probe: Probe) -> socket.socket:
        """Return a raw socket of the host that has the packet's source, user and mark.

        It is bound to the source, because routing goes by the socket's address and TOS, not by the header's.
        """
        key = (probe.uid, probe.gid, probe.mark, probe.src, probe.tos)
        if key not in self._senders:
            family = socket.AF_INET if self.world.family == 4 else socket.AF_INET6
            with self._host.entered(), _acting_as(probe.uid, probe.gid):
                opened = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW)
            self._exit.callback(opened.close)
            if family == socket.AF_INET:
                opened.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
                opened.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            else:
                opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
                opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            opened.setsockopt(*_TOS[self.world.family], probe.tos)
            opened.setsockopt(socket.SOL_SOCKET, _SO_MARK, probe.mark)
            opened.bind((probe.src, 0))
            self._senders[key] = opened
        return self._senders[key]

    @contextmanager
    def _receiver(self, probe: Probe) -> Iterator[None]:
        """Open a socket of the host for a TCP or UDP packet."""
        family = socket.AF_INET if self.world.family == 4 else socket.AF_INET6
        kind = socket.SOCK_STREAM if probe.proto == TCP else socket.SOCK_DGRAM
        with self._host.entered():
            opened = socket.socket(family, kind | socket.SOCK_CLOEXEC)
        with opened:
            opened.setsockopt(socket.SOL_SOCKET, _SO_MARK, SOCKET_MARK)
            opened.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            if probe.socket == "transparent":
                opened.setsockopt(*_TRANSPARENT[self.world.family], 1)
            opened.bind(("" if probe.socket == "any" else probe.dst, probe.dport))
            if probe.proto == TCP:
                opened.listen()
            yield

    # -- events ---------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Throw away what is left of earlier packets."""
        for source in self._sources:
            for _ in source.waiting():
                pass
        for _ in _frames(self._wire):
            pass

    def _collect(self, cookie: int, *, hurry: bool) -> list[Arrival]:
        """Read events and far ends until the packet has come to its end, or nothing more comes."""
        arrived: list[Arrival] = []
        busy = os.getloadavg()[0] / (os.cpu_count() or 1)
        deadline = time.monotonic() + min(_PATIENCE * max(busy, 1), _MOST_PATIENCE)
        waiting = [*(source.fileno() for source in self._sources), self._wire.fileno()]
        while True:
            for source in self._sources:
                self._tracer.read(source.waiting())
            arrived += _frames(self._wire)
            tracked = self._tracer.packets.get(cookie)
            if hurry or (tracked and tracked.ended and _has_come_out(tracked, arrived, cookie)):
                return arrived
            left = deadline - time.monotonic()
            if left <= 0 or not select.select(waiting, [], [], left)[0]:
                return arrived


def _has_come_out(tracked: Tracked, arrived: list[Arrival], cookie: int) -> bool:
    last = tracked.last
    if last is None or last.hook != "POSTROUTING" or last.place != "tail":
        return True
    return any(arrival.header.cookie == cookie for arrival in arrived)


def _frames(wire: socket.socket) -> Iterator[Arrival]:
    while True:
        try:
            data, (interface, *_) = wire.recvfrom(1 << 16)
        except BlockingIOError:
            return
        header = read_header(data[14:])
        if header is not None:
            yield Arrival(interface, header)


def _speaks(header: Header) -> bool:
    """Return whether a packet is more than neighbour discovery or a multicast report."""
    report = header.proto == 2 or header.dst == "ff02::16"
    return not report and not (header.proto == 58 and 130 <= header.icmp_type <= 143)


def group_mac(address: str, link: Interface) -> str | None:
    """Return the hardware address to which machines on a link send for a broadcast or multicast address, else None."""
    if ":" in address:
        packed = ipaddress.ip_address(address).packed
        return "33:33:" + packed[12:].hex(":") if packed[0] == 0xFF else None
    numbers = [int(part) for part in address.split(".")]
    if 224 <= numbers[0] <= 239:
        return f"01:00:5e:{numbers[1] & 127:02x}:{numbers[2]:02x}:{numbers[3]:02x}"
    ends = {str(one.broadcast_address) for one in link.networks() if one.num_addresses > 2}
    return "ff:ff:ff:ff:ff:ff" if address in {"255.255.255.255", *ends} else None


def _rejecting_rules(
    positions: Mapping[tuple[str, str, int], int], listing: list[dict[str, Any]]
) -> frozenset[tuple[str, str, int | None]]:
    """Return the rules of nftables with a `reject`, by table, chain and place."""
    rules = (entry["rule"] for entry in listing if "rule" in entry)
    return frozenset(
        (rule["table"], rule["chain"], positions[rule["table"], rule["chain"], rule["handle"]])
        for rule in rules
        if any("reject" in statement for statement in rule["expr"])
    )


def _anew(ipsets: str) -> str:
    """Return the text for `ipset restore` that brings sets back to what they were made with."""
    lines = []
    for line in ipsets.splitlines():
        words = line.split()
        lines.append(f"flush {words[1]}" if words[0] == "create" else line)
    return "".join(f"{line}\n" for line in lines)


def hardware_addresses(world: World, probe: Probe) -> tuple[str, str]:
    """Return destination and source of the frame in which a packet comes from outside."""
    interface = world.interface(probe.source)
    link = world.interface(interface.master) if interface.master else interface
    to = probe.dst_mac or group_mac(probe.dst, link)
    senders = [guest for guest in world.guests if guest.port == probe.source]
    sender = next((guest for guest in senders if guest.address == probe.src), senders[0] if senders else None)
    if to is None and interface.master:
        near = any(ipaddress.ip_address(probe.dst) in network for network in link.networks())
        hop = sender.gateway if sender is not None and sender.gateway and not near else probe.dst
        to = next((guest.mac for guest in _neighbours(world, interface) if guest.address == hop), None)
    own = sender.mac if sender is not None else NEIGHBOUR_MAC
    return to or world.mac(interface.master or interface.name), probe.src_mac or own


def _neighbours(world: World, port: Interface) -> Iterator[Guest]:
    """Yield the guests on the same bridge as a port."""
    for guest in world.guests:
        if world.interface(guest.port).master == port.master:
            yield guest


@contextmanager
def _one_processor() -> Iterator[None]:
    """Keep this thread on one processor: what a packet causes has then happened when sending returns."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[os.getpid() % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _acting_as(uid: int, gid: int) -> Iterator[None]:
    """Open files as another user; only the calling thread changes."""
    _libc.syscall(_SYS_SETFSGID, gid)
    _libc.syscall(_SYS_SETFSUID, uid)
    try:
        yield
    finally:
        _libc.syscall(_SYS_SETFSUID, 0)
        _libc.syscall(_SYS_SETFSGID, 0)


#: Sending errors that are answers of the rules or of routing.
_SENDING_ERRORS = frozenset(
    {errno.EPERM, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EINVAL, errno.EACCES, errno.EMSGSIZE, errno.ECONNREFUSED}
)  # fmt: skip
__all__ = ["CommandError", "Laboratory", "missing"]
