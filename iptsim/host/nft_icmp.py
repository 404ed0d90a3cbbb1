"""Types and codes of ICMP, as nft names them (icmp_type_tbl, icmp_code_tbl and their like in its src/proto.c)."""

from __future__ import annotations

from typing import Any

_TYPES = {
    "icmp": {
        "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
        "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
        "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
        "address-mask-request": 17, "address-mask-reply": 18,
    },
    "icmpv6": {
        "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
        "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
        "mld-listener-done": 132, "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
        "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "mld2-listener-report": 143,
    },
}  # fmt: skip
_CODES = {
    "icmp": {
        "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
        "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
    },
    "icmpv6": {
        "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
        "reject-route": 6,
    },
}  # fmt: skip
#: The type of ICMP that iptables takes for any.
_ANY = 255


def icmp_match(protocol: str, kind: Any, code: Any = None) -> tuple[str, str, str] | None:
    """Return the match of iptables for a type of ICMP, its option and its value; None if a name is unknown.

    Args:
        protocol: "icmp" or "icmpv6".
        kind: the type, as nft prints it.
        code: the code; None for any.
    """
    number = kind if isinstance(kind, int) else _TYPES[protocol].get(str(kind))
    if number is None or number == _ANY:
        return None
    value = str(number)
    if code is not None:
        code = code if isinstance(code, int) else _CODES[protocol].get(str(code))
        if code is None:
            return None
        value = f"{number}/{code}"
    return ("icmp", "--icmp-type", value) if protocol == "icmp" else ("icmp6", "--icmpv6-type", value)


def with_code(protocol: str, options: list[str], code: Any) -> list[str] | None:
    """Return options for types of ICMP with a code; None if they are for something else, or the code is unknown.

    >>> with_code("icmp", ["-m icmp --icmp-type 3"], "frag-needed")
    ['-m icmp --icmp-type 3/4']
    """
    number = code if isinstance(code, int) else _CODES[protocol].get(str(code))
    before = "-m icmp --icmp-type " if protocol == "icmp" else "-m icmp6 --icmpv6-type "
    types = [one.removeprefix(before) for one in options if one.startswith(before)]
    if number is None or len(types) < len(options) or not all(map(str.isdigit, types)):
        return None
    return [f"{before}{one}/{number}" for one in types]
