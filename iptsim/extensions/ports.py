"""Port conditions that tcp, udp, sctp, dccp and multiport share."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from iptsim.extensions.base import Extension, Match, Predicate, constrained
from iptsim.extensions.constraints import Constraint, Field, Ranges, look
from iptsim.extensions.listing import WHOLE_PORTS
from iptsim.extensions.values import not_if, range_words
from iptsim.languages import joined, later, say, say_if
from iptsim.packet import Context, Truth, Unknown


def _port(context: Context, field: str) -> int | Unknown | None:
    """Return a port of the packet, None for a later fragment, which carries none."""
    if context.packet.fragment in ("middle", "last"):
        return None
    value: int | None = look(context, field)
    return _PICKED[field] if value is None else value


def _native_port(context: Context, field: str) -> int | Unknown | None:
    """Return a port as iptables-nft makes the kernel read it.

    It is tested natively: what stands where the ports of a whole packet would, so that a later fragment's data counts.
    The legacy backend knows better.
    """
    if context.packet.fragment not in ("middle", "last") or context.backend != "nf_tables":
        return _port(context, field)
    data = transport_data(context, 4)
    if isinstance(data, Unknown) or data is None:
        return data
    return int.from_bytes(data[:2] if field == "sport" else data[2:], "big")


def _got_port(context: Context, field: str) -> str:
    packet = context.packet
    if packet.fragment in ("middle", "last"):
        return say("a later fragment carries no ports")
    return say_if(
        field == "sport",
        "its source port is {port}",
        "its destination port is {port}",
        port=getattr(packet, field),
    )


#: What is not known of a port that the kernel picks.
_PICKED = {
    "sport": Unknown(later("the source port, which is picked at random"), "--set sport=N", ("sport",)),
    "dport": Unknown(later("the destination port, which is picked at random"), "--set dport=N", ("dport",)),
}
#: The ports of the packet, and as the nf_tables backend reads them for `-m tcp`, `udp` and `sctp`.
PORTS, NATIVE_PORTS = (
    {
        name: Field(name, partial(read, field=name), partial(_got_port, field=name))
        for name in ("sport", "dport")
    }
    for read in (_port, _native_port)
)


def ports_predicate(text: str, fields: tuple[str, ...], allowed: Ranges, negated: bool) -> Predicate:
    """Make a condition on one or either of the packet's ports ("sport", "dport").

    A later fragment carries no ports: no condition on them holds, negated or not.
    """
    if len(fields) == 1:
        return constrained(text, Constraint(PORTS[fields[0]], allowed, negated))
    sides = [Constraint(PORTS[field], allowed).tester() for field in fields]

    def test(context: Context) -> Truth:
        if context.packet.fragment in ("middle", "last"):
            return False
        found = [side(context) for side in sides]
        if True in found:
            return not negated
        return next((truth for truth in reversed(found) if isinstance(truth, Unknown)), negated)

    def got(context: Context) -> str:
        if context.packet.fragment in ("middle", "last"):
            return _got_port(context, "sport")
        return joined(" and ", (_got_port(context, field) for field in fields))

    return Predicate(text, test, got, negated=negated)


def port_predicate(text: str, option_field: str, allowed: tuple[int, int], negated: bool) -> Predicate:
    """Make a condition on the port that an option field ("source_port", "destination_port") names."""
    field = NATIVE_PORTS["sport" if option_field == "source_port" else "dport"]
    constraint = Constraint(field, (allowed,), negated)
    return _negated_full_range(text) if negated and allowed == WHOLE_PORTS else constrained(text, constraint)


def port_predicates(match: Match) -> list[Predicate]:
    """Make the conditions on source and destination port of `-m tcp` or `-m udp`, in the kernel's order."""
    found, negated_ports = [], []
    for option in match.options:
        value = getattr(match, option.field)
        if option.field in ("source_port", "destination_port") and value is not None:
            text, negated = match.clause(option, value), option.field in match.negated
            found.append(port_predicate(text, option.field, value, negated))
            negated_ports += [value[0]] if negated and value[0] == value[1] else []
    return _maybe_merged(*found) if len(negated_ports) == 2 and all(negated_ports) else found


#: Releases of iptables-nft that load `! --sport A ! --dport B` as one comparison of both ports, so that only
#: packets with both of them are left out (add_nft_tcpudp; mended in 1.8.11).
_MERGING = frozenset({"1.8.8", "1.8.9", "1.8.10"})


def _maybe_merged(source: Predicate, destination: Predicate) -> list[Predicate]:
    """Make the conditions on two negated ports, of which some releases make one."""

    def merged(context: Context) -> bool:
        return context.backend == "nf_tables" and context.version in _MERGING

    def test_source(context: Context) -> Truth:
        first = source.test(context)
        if first is True or not merged(context):
            return first
        second = destination.test(context)
        return second if isinstance(second, Unknown) or second else first

    def test_destination(context: Context) -> Truth:
        return merged(context) or destination.test(context)

    def got(context: Context) -> str:
        if not merged(context):
            return source.got(context)
        return say(
            "it has both ports, and iptables-nft {version} leaves out such packets only",
            version=context.version,
        )

    return [
        replace(source, test=test_source, got=got, constraint=None),
        replace(destination, test=test_destination, constraint=None),
    ]


def transport_data(context: Context, length: int) -> bytes | Unknown | None:
    """Return the first octets that nf_tables takes for a later fragment's transport header.

    IPv6 finds no transport header there and reads the packet's own start. None: the fragment is shorter.
    """
    packet = context.packet
    if packet.family == 6:
        label = int(packet.extra.get("flow_label", 0)) & 0xFFFFF
        start = (6 << 28 | packet.tos << 20 | label).to_bytes(4, "big")
        head = start + (packet.length - 40).to_bytes(2, "big") + bytes((_FRAGMENT, packet.ttl))
        head += packet.src.to_bytes(16, "big") + packet.dst.to_bytes(16, "big")
        return head[:length] if length <= len(head) else None
    if "payload" in packet.defaults:
        return Unknown(later("the data of the fragment"), "--set payload_hex=...", ("fragment",))
    return packet.payload[:length] if len(packet.payload) >= length else None


#: What the IPv6 header of a fragment says that follows.
_FRAGMENT = 44


def _negated_full_range(text: str) -> Predicate:
    """Make `! --dport 0:65535`: iptables-nft drops such a test, legacy never matches it."""
    return Predicate(
        text,
        lambda context: context.backend == "nf_tables",
        lambda context: say_if(
            context.backend == "nf_tables",
            "the {backend} backend makes this true",
            "the {backend} backend makes this false",
            backend=context.backend,
        ),
        negated=True,
    )


def port_says(extension: Extension, field: str) -> str:
    """Return "to port 80", "not from ports 1000 to 2000" or nothing."""
    value = getattr(extension, field)
    if value is None:
        return ""
    ports = range_words(value)
    if field == "source_port":
        phrase = say_if(value[0] == value[1], "from port {ports}", "from ports {ports}", ports=ports)
    else:
        phrase = say_if(value[0] == value[1], "to port {ports}", "to ports {ports}", ports=ports)
    return not_if(field in extension.negated, phrase)
