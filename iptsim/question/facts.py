"""What a question can state beyond the usual header fields of a packet, and how such values are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from iptsim.errors import UsageError
from iptsim.languages import message, text_of
from iptsim.question.values import BITS8, BITS16, BITS32, one_of, quoted, text, truth, whole

#: Facts about the surroundings of the packet.
FACTS: dict[str, str] = {
    "cgroup": "path of the sending process's control group",
    "classid": "net_cls class of the sending process",
    "clusterip_node": "whether this node is responsible for the CLUSTERIP address",
    "connlabels": "names of connection labels, as {name: number}",
    "cpu": "number of the CPU that handles the packet",
    "first_backend": "which backend's rules come first at a hook where both have some: nf_tables or legacy",
    "interface_groups": "groups of interfaces, as {interface: number}",
    "ipvs": "whether the packet belongs to an IPVS virtual service",
    "kernel_timezone": "offset of the kernel's time zone from UTC, in minutes",
    "nfqueue_reader": "whether a program reads the NFQUEUE queue",
    "next_hop": "next hop that the kernel picks from a multipath route: its device or gateway",
    "nth": "how many packets the statistic rule has counted so far",
    "path_mtu": "MTU of the path to the destination",
    "realm": "routing realm",
    "socket": "whether a local program has a socket for the packet: yes, no, bound, any, transparent",
    "socket_mark": "mark of that socket",
    "synproxy_cookie": "whether the packet carries a SYNPROXY cookie",
    "tproxy_listener": "whether a program listens on TPROXY's address and port",
}
#: Header fields that only a few matches check.
RARE_FIELDS: dict[str, str] = {
    "ah_length": "length of the AH header in bytes",
    "ah_reserved": "reserved field of the AH header",
    "ah_spi": "security parameter index of the AH header",
    "dccp_options": "DCCP options that are present, by number",
    "dccp_type": "DCCP packet type",
    "esp_spi": "security parameter index of the ESP header",
    "flow_label": "flow label of the IPv6 header",
    "fragment_id": "identification of the IPv6 fragment header",
    "fragment_offset": "offset of a fragment in bytes",
    "icmp_id": "identifier of an ICMP echo",
    "icmp_seq": "sequence number of an ICMP echo",
    "ip_df": "don't-fragment bit, 0 or 1",
    "ip_id": "identification of the IPv4 header",
    "ipsec": "whether IPsec protects the packet: in, out, or in,out",
    "ipcomp_cpi": "parameter index of the IPComp header",
    "mh_type": "type of the Mobile IPv6 header",
    "sctp_chunks": "SCTP chunks in the packet: INIT,DATA",
    "tcp_ack": "TCP acknowledgement number",
    "tcp_seq": "TCP sequence number",
    "tcp_window": "TCP window",
}


def read_fact(name: str, value: Any) -> Any:
    """Return a fact or a rare header field as the extensions expect it.

    Raises:
        UsageError: the value is not valid; the text names the field and says what is expected.
    """
    try:
        return _READERS[name](value) if name in _READERS else value
    except UsageError as error:
        raise UsageError(message("{field}: {error}", field=name, error=text_of(error))) from None


def _numbers_by_name(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(number, int | str) for number in value.values()):
        raise UsageError(message('{value} is not an object such as {{"eth0": 3}}', value=quoted(value)))
    return value


def _words(value: Any) -> tuple[str, ...]:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise UsageError(message("{value} is not a list of words, separated by commas", value=quoted(value)))
    return tuple(word for word in words if word)


def _chunks(value: Any) -> tuple[str, ...]:
    """Read names of SCTP chunks; the letters for flags after a colon keep their case."""
    parts = (word.partition(":") for word in _words(value))
    return tuple(f"{name.upper()}{colon}{flags}" for name, colon, flags in parts)


def _option_numbers(value: Any) -> tuple[int, ...]:
    words = value.split(",") if isinstance(value, str) else value
    read = whole(BITS8)
    return tuple(read(word) for word in (words if isinstance(words, list | tuple) else [words]) if word != "")


def _dccp_type(value: Any) -> int | str:
    from iptsim.extensions.wire import DCCP_TYPES

    return value if isinstance(value, str) and value.upper() in DCCP_TYPES else whole(15)(value)


def _ipsec(value: Any) -> str:
    words = _words(value)
    if not set(words) <= {"in", "out"}:
        raise UsageError(message("{value} is not in, out, or in,out", value=quoted(value)))
    return ",".join(words)


def _socket(value: Any) -> bool | str:
    if isinstance(value, str) and value.lower() in ("bound", "any", "transparent"):
        return value.lower()
    try:
        return truth(value)
    except UsageError:
        raise UsageError(
            message("{value} is not yes, no, bound, any or transparent", value=quoted(value))
        ) from None


_READERS: dict[str, Callable[[Any], Any]] = {
    "ah_length": whole(BITS16), "ah_reserved": whole(BITS16), "ah_spi": whole(BITS32), "cgroup": text,
    "classid": whole(BITS32), "clusterip_node": truth, "connlabels": _numbers_by_name,
    "cpu": whole(BITS32), "dccp_options": _option_numbers, "dccp_type": _dccp_type,
    "esp_spi": whole(BITS32), "flow_label": whole(0xFFFFF), "fragment_id": whole(BITS32),
    "first_backend": one_of("nf_tables", "legacy"),
    "fragment_offset": whole(BITS16), "icmp_id": whole(BITS16), "icmp_seq": whole(BITS16),
    "interface_groups": _numbers_by_name, "ip_df": lambda value: int(truth(value)), "ip_id": whole(BITS16),
    "ipcomp_cpi": whole(BITS16),
    "ipsec": _ipsec, "ipvs": truth, "kernel_timezone": whole(24 * 60, -24 * 60), "mh_type": whole(BITS8),
    "nfqueue_reader": truth, "nth": whole(BITS32), "path_mtu": whole(BITS16), "realm": whole(BITS32),
    "sctp_chunks": _chunks, "socket": _socket, "socket_mark": whole(BITS32), "synproxy_cookie": truth,
    "tcp_ack": whole(BITS32),
    "tcp_seq": whole(BITS32), "tcp_window": whole(BITS16), "tproxy_listener": truth,
}  # fmt: skip
