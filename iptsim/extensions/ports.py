"""Port conditions that tcp, udp, sctp, dccp and multiport share."""

from functools import partial
from typing import Any

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Constraint, Field, all_of, between, look, named, one_of
from iptsim.extensions.context import Context
from iptsim.extensions.listing import WHOLE_PORTS, listed_range
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import not_if
from iptsim.extensions.predicates import Predicate, combined
from iptsim.extensions.values import range_words
from iptsim.languages import Text, message, message_if
from iptsim.truth import Unknown


def _port(context: Context, field: str) -> int | Unknown | None:
    """Return a port of the packet, None for a later fragment, which carries none."""
    if context.packet.is_later_fragment:
        return None
    value: int | None = look(context, field)
    return PICKED[field] if value is None else value


def _native_port(context: Context, field: str) -> int | Unknown | None:
    """Return a port as iptables-nft makes the kernel read it.

    The test is native: it reads the bytes where a whole packet has its ports, which are data in a later fragment.
    The legacy backend checks for fragments.
    """
    if not context.packet.is_later_fragment or context.backend != "nf_tables":
        return _port(context, field)
    data = transport_data(context, 4)
    if isinstance(data, Unknown) or data is None:
        return data
    return int.from_bytes(data[:2] if field == "sport" else data[2:], "big")


def got_port(context: Context, field: str) -> Text:
    """Return a port of the packet ("sport" or "dport") in words."""
    if context.packet.is_later_fragment:
        return message("a later fragment carries no ports")
    return message_if(
        field == "sport",
        "its source port is {port}",
        "its destination port is {port}",
        port=str(getattr(context.packet, field)),
    )


#: What is unknown about a port that the kernel picks.
PICKED = {
    "sport": Unknown(message("the source port, which is picked at random"), "--set sport=N", ("sport",)),
    "dport": Unknown(message("the destination port, which is picked at random"), "--set dport=N", ("dport",)),
}
#: The ports of the packet, and as the nf_tables backend reads them for `-m tcp`, `udp` and `sctp`.
PORTS, NATIVE_PORTS = (
    {
        name: Field(name, partial(read, field=name), partial(got_port, field=name))
        for name in ("sport", "dport")
    }
    for read in (_port, _native_port)
)


# -- the options --sport and --dport -------------------------------------------------------------------


def _from_port(ports: tuple[int, int], negated: bool) -> Text:
    single = ports[0] == ports[1]
    return not_if(
        negated, message_if(single, "from port {ports}", "from ports {ports}", ports=range_words(ports))
    )


def _to_port(ports: tuple[int, int], negated: bool) -> Text:
    single = ports[0] == ports[1]
    return not_if(
        negated, message_if(single, "to port {ports}", "to ports {ports}", ports=range_words(ports))
    )


def _listed_ports(ports: tuple[int, int], negated: bool, name: str) -> str:
    if ports == WHOLE_PORTS and not negated:
        return ""
    return f" {listed_range(name, ports, '!' if negated else '')}"


def port_options(
    value: Value, *, fields: dict[str, Field], idle: tuple[int, int] | None = None
) -> tuple[Option, Option]:
    """Make the options `--sport` and `--dport`, for model fields `source_port` and `destination_port`.

    Args:
        value: how the ports are read.
        fields: the ports of the packet that they test.
        idle: the range that restricts nothing.
    """
    return (
        Option(
            "--sport", "source_port", value, True, ("--source-port",), idle=idle, reads=fields["sport"],
            relation=between, phrase=_from_port, listed=partial(_listed_ports, name="spt"),
        ),
        Option(
            "--dport", "destination_port", value, True, ("--destination-port",), idle=idle, reads=fields["dport"],
            relation=between, phrase=_to_port, listed=partial(_listed_ports, name="dpt"),
        ),
    )  # fmt: skip


class NativePorts(Match):
    """A match whose port conditions iptables-nft translates into native tests of nf_tables."""

    source_port: tuple[int, int] | None = None
    destination_port: tuple[int, int] | None = None

    def constraint(self, field: Field, option: Option, value: Any) -> Constraint:
        """Return the condition of an option; iptables-nft drops `! --dport 0:65535`, legacy never matches it."""
        plain = super().constraint(field, option, value)
        whole = plain.negated and value == WHOLE_PORTS and field.key in NATIVE_PORTS
        return Constraint(_BACKEND, named("nf_tables")) if whole else plain


def _got_backend(context: Context) -> Text:
    return message_if(
        context.backend == "nf_tables",
        "the {backend} backend makes this true",
        "the {backend} backend makes this false",
        backend=context.backend,
    )


_BACKEND = Field("backend", lambda context: context.backend, _got_backend)


# -- two negated ports ----------------------------------------------------------------------------------

#: Releases of iptables-nft that load `! --sport A ! --dport B` as one comparison of both ports, so that only packets
#: with both of them are excluded (add_nft_tcpudp; fixed in 1.8.11).
_MERGING = frozenset({"1.8.8", "1.8.9", "1.8.10"})


def merges_ports(backend: str | None, version: str | None) -> bool:
    """Return whether iptables loads two negated ports as one comparison."""
    return backend == "nf_tables" and version in _MERGING


def _is_merging(context: Context) -> bool:
    return merges_ports(context.backend, context.version)


def _got_merged(context: Context) -> Text:
    if not _is_merging(context):
        return got_port(context, "sport")
    return message(
        "it has both ports, and iptables-nft {version} excludes only such packets",
        version=context.version or "",
    )


_MERGES = Constraint(Field("merges_ports", _is_merging, lambda context: ""), named(True))


def with_merged_ports(match: NativePorts, found: tuple[Predicate, ...]) -> tuple[Predicate, ...]:
    """Return the conditions of `-m tcp` or `-m udp`; some releases merge two negated ports into one condition."""
    ports = match.source_port, match.destination_port
    negated = {"source_port", "destination_port"} <= match.negated
    if not negated or not all(pair and pair[0] == pair[1] != 0 for pair in ports):
        return found
    source, destination = found[0].constraint, found[1].constraint
    assert source is not None
    assert destination is not None
    first, second = one_of(source, all_of(_MERGES, destination)), one_of(_MERGES, destination)
    return (
        combined(found[0].text, first, _got_merged, negated=True),
        combined(found[1].text, second, found[1].got, negated=True),
        *found[2:],
    )


# -- the data of a later fragment, read as ports --------------------------------------------------------


def transport_data(context: Context, length: int) -> bytes | Unknown | None:
    """Return the first bytes that nf_tables takes for a later fragment's transport header.

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
        return Unknown(message("the data of the fragment"), "--set payload_hex=...", ("fragment",))
    return packet.payload[:length] if len(packet.payload) >= length else None


#: The next header that the IPv6 header of a fragment names.
_FRAGMENT = 44
