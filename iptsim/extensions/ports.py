"""Port conditions that tcp, udp, sctp, dccp and multiport share."""

from __future__ import annotations

from dataclasses import replace

from iptsim.extensions.base import Extension, Match, Predicate, Ranges
from iptsim.extensions.values import not_if, range_words
from iptsim.languages import joined, later, say, say_if
from iptsim.packet import Context, Truth, Unknown


def ports_predicate(text: str, fields: tuple[str, ...], allowed: Ranges, negated: bool) -> Predicate:
    """Make a condition on one or either of the packet's ports ("sport", "dport").

    A later fragment carries no ports: no condition on them holds, negated or not.
    """

    def test(context: Context) -> Truth:
        packet = context.packet
        if packet.fragment in ("middle", "last"):
            return False
        unknown: Truth = False
        for field in fields:
            if field in packet.defaults:
                context.consulted.add(field)
            value = getattr(packet, field)
            if value is None:
                unknown = Unknown(
                    say_if(
                        field == "sport",
                        "the source port, which is picked at random",
                        "the destination port, which is picked at random",
                    ),
                    f"--set {field}=N",
                    (field,),
                )
            elif any(low <= value <= high for low, high in allowed):
                return not negated
        return unknown or negated

    def got(context: Context) -> str:
        packet = context.packet
        if packet.fragment in ("middle", "last"):
            return say("a later fragment carries no ports")
        return joined(
            " and ",
            (
                say_if(
                    field == "sport",
                    "its source port is {port}",
                    "its destination port is {port}",
                    port=getattr(packet, field),
                )
                for field in fields
            ),
        )

    single = fields[0] if len(fields) == 1 else None
    return Predicate(text, test, got, single, allowed if single else None, negated)


def port_predicate(text: str, option_field: str, allowed: tuple[int, int], negated: bool) -> Predicate:
    """Make a condition on the port that an option field ("source_port", "destination_port") names.

    The nf_tables backend tests it natively and reads what stands where the ports of a whole packet would;
    so a later fragment's data counts there. The legacy backend knows better.
    """
    field = "sport" if option_field == "source_port" else "dport"
    if negated and allowed == (0, 65535):
        return _negated_full_range(text, field)
    whole = ports_predicate(text, (field,), (allowed,), negated)

    def test(context: Context) -> Truth:
        if context.packet.fragment in ("middle", "last") and context.backend == "nf_tables":
            data = transport_data(context, 4)
            if isinstance(data, Unknown) or data is None:
                return data or False
            number = int.from_bytes(data[:2] if field == "sport" else data[2:], "big")
            return (allowed[0] <= number <= allowed[1]) is not negated
        return whole.test(context)

    return replace(whole, test=test)


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
        replace(source, test=test_source, got=got, field=None, allowed=None),
        replace(destination, test=test_destination, field=None, allowed=None),
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


def _negated_full_range(text: str, field: str) -> Predicate:
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
        field,
        ((0, 65535),),
        True,
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
