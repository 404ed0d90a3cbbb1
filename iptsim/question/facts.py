"""What a question may say beyond a packet's usual header fields, and how such values are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from iptsim.errors import UsageError

#: What a question may say about the world around the packet, beyond the packet itself.
FACTS: dict[str, str] = {
    "cgroup": "path of the sending process' control group",
    "classid": "net_cls class of the sending process",
    "clusterip_node": "whether this node answers for the CLUSTERIP address",
    "connlabels": "names of connection labels, as {name: number}",
    "cpu": "number of the CPU that handles the packet",
    "first_backend": "of two backends with rules at one hook, whose come first: nf_tables or legacy",
    "interface_groups": "groups of interfaces, as {interface: number}",
    "ipvs": "whether the packet belongs to a virtual service",
    "kernel_timezone": "minutes by which the kernel's time zone is ahead of UTC",
    "nfqueue_reader": "whether a program reads the queue",
    "next_hop": "the next hop of a multipath route that the kernel picks: its device or gateway",
    "nth": "how many packets the statistic rule has counted",
    "path_mtu": "MTU of the way to the destination",
    "realm": "routing realm",
    "socket": "whether a program here has a socket open for the packet: yes, no, bound, any, transparent",
    "socket_mark": "mark of that socket",
    "synproxy_cookie": "whether the packet carries a cookie of SYNPROXY",
    "tproxy_listener": "whether a program listens where TPROXY leads",
}
#: Header fields that only a few matches look at.
EXTRAS: dict[str, str] = {
    "ah_length": "length of the AH header in octets",
    "ah_reserved": "reserved field of the AH header",
    "ah_spi": "security parameter index of the AH header",
    "dccp_options": "DCCP options that are present, by number",
    "dccp_type": "DCCP packet type",
    "esp_spi": "security parameter index of the ESP header",
    "flow_label": "flow label of the IPv6 header",
    "fragment_id": "identification of the IPv6 fragment header",
    "fragment_offset": "offset of a fragment in octets",
    "icmp_id": "identifier of an ICMP echo",
    "icmp_seq": "sequence number of an ICMP echo",
    "ip_df": "don't-fragment bit, 0 or 1",
    "ip_id": "identification of the IPv4 header",
    "ipsec": "whether IPsec protects it: in, out, or in,out",
    "ipcomp_cpi": "parameter index of the IPComp header",
    "mh_type": "type of the Mobile IPv6 header",
    "sctp_chunks": "SCTP chunks that it carries: INIT,DATA",
    "tcp_ack": "TCP acknowledgement number",
    "tcp_seq": "TCP sequence number",
    "tcp_window": "TCP window",
}
#: Words for yes and no.
TRUTHS = {
    "yes": True, "true": True, "1": True, "on": True,
    "no": False, "false": False, "0": False, "off": False,
}  # fmt: skip


def read_number(value: str) -> int | str:
    """Read a text as a number, decimal or 0x10; the question complains about anything else."""
    try:
        return int(value, 0)
    except ValueError:
        return value


def read_stated(name: str, value: Any) -> Any:
    """Return a fact or a rare header field as the extensions look at it.

    Raises:
        UsageError: the value makes no sense; the text names the field and what is expected.
    """
    read = _READERS.get(name)
    try:
        return value if read is None else read(value)
    except ValueError as error:
        shown = repr(value)
        raise UsageError(f"{name}: {shown[:40]} is not {error}") from None


# Each reader returns the value as the extensions look at it, or raises a ValueError that says what is expected.


def _whole(high: int, low: int = 0) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        number = read_number(value) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
            raise ValueError(f"a number from {low} to {high}")
        return number

    return read


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    truth = TRUTHS.get(str(value).lower())
    if truth is None:
        raise ValueError("yes or no")
    return truth


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def _numbers_by_name(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(number, int | str) for number in value.values()):
        raise ValueError('an object such as {"eth0": 3}')
    return value


def _words(value: Any) -> tuple[str, ...]:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise ValueError("words with commas between")
    return tuple(word for word in words if word)


def _chunks(value: Any) -> tuple[str, ...]:
    """Read names of SCTP chunks; the letters for flags behind a colon keep their case."""
    parts = (word.partition(":") for word in _words(value))
    return tuple(f"{name.upper()}{colon}{flags}" for name, colon, flags in parts)


def _option_numbers(value: Any) -> tuple[int, ...]:
    words = value.split(",") if isinstance(value, str) else value
    read = _whole(0xFF)
    return tuple(read(word) for word in (words if isinstance(words, list | tuple) else [words]) if word != "")


def _dccp_type(value: Any) -> int | str:
    from iptsim.extensions.wire import DCCP_TYPES

    if isinstance(value, str) and value.upper() in DCCP_TYPES:
        return value
    return _whole(15)(value)


def _ipsec(value: Any) -> str:
    words = _words(value)
    if not set(words) <= {"in", "out"}:
        raise ValueError("in, out, or in,out")
    return ",".join(words)


def _socket(value: Any) -> bool | str:
    if isinstance(value, str) and value.lower() in ("bound", "any", "transparent"):
        return value.lower()
    try:
        return _truth(value)
    except ValueError:
        raise ValueError("yes, no, bound, any or transparent") from None


def _backend(value: Any) -> str:
    if value not in ("nf_tables", "legacy"):
        raise ValueError("nf_tables or legacy")
    return str(value)


_BITS16, _BITS32 = 0xFFFF, 0xFFFFFFFF
_READERS: dict[str, Callable[[Any], Any]] = {
    "ah_length": _whole(_BITS16), "ah_reserved": _whole(_BITS16), "ah_spi": _whole(_BITS32), "cgroup": _text,
    "classid": _whole(_BITS32), "clusterip_node": _truth, "connlabels": _numbers_by_name,
    "cpu": _whole(_BITS32), "dccp_options": _option_numbers, "dccp_type": _dccp_type,
    "esp_spi": _whole(_BITS32), "flow_label": _whole(0xFFFFF), "fragment_id": _whole(_BITS32),
    "first_backend": _backend,
    "fragment_offset": _whole(_BITS16), "icmp_id": _whole(_BITS16), "icmp_seq": _whole(_BITS16),
    "interface_groups": _numbers_by_name, "ip_df": lambda value: int(_truth(value)), "ip_id": _whole(_BITS16),
    "ipcomp_cpi": _whole(_BITS16),
    "ipsec": _ipsec, "ipvs": _truth, "kernel_timezone": _whole(24 * 60, -24 * 60), "mh_type": _whole(0xFF),
    "nfqueue_reader": _truth, "nth": _whole(_BITS32), "path_mtu": _whole(_BITS16), "realm": _whole(_BITS32),
    "sctp_chunks": _chunks, "socket": _socket, "socket_mark": _whole(_BITS32), "synproxy_cookie": _truth,
    "tcp_ack": _whole(_BITS32),
    "tcp_seq": _whole(_BITS32), "tcp_window": _whole(_BITS16), "tproxy_listener": _truth,
}  # fmt: skip
