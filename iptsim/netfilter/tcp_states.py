"""The state of a TCP connection in conntrack, and the packets that do not fit it.

Source: tcp_conntracks, get_conntrack_index and tcp_valid_flags in net/netfilter/nf_conntrack_proto_tcp.c. Sequence
numbers are assumed to be in the window.
"""

from __future__ import annotations

from iptsim.connection import Direction
from iptsim.protocols import ACK, FIN, RST, SYN, URG

#: Before the first packet of a connection.
NONE = "NONE"
_SHORT = {
    "NO": NONE, "SS": "SYN_SENT", "SR": "SYN_RECV", "ES": "ESTABLISHED", "FW": "FIN_WAIT", "CW": "CLOSE_WAIT",
    "LA": "LAST_ACK", "TW": "TIME_WAIT", "CL": "CLOSE", "S2": "SYN_SENT2",
}  # fmt: skip
#: By direction and kind of packet: the next state for each state; IV: the packet is invalid, IG: it is ignored.
_ROWS: dict[Direction, dict[str, str]] = {
    "original": {
        "syn":     "SS SS IG IG IG IG IG SS SS S2",
        "syn-ack": "IV IV SR IV IV IV IV IV IV SR",
        "fin":     "IV IV FW FW LA LA LA TW CL IV",
        "ack":     "ES IV ES ES CW CW TW TW CL IV",
        "rst":     "IV CL CL CL CL CL CL CL CL CL",
    },
    "reply": {
        "syn":     "IV S2 IV IV IV IV IV SS IV S2",
        "syn-ack": "IV SR IG IG IG IG IG IG IG SR",
        "fin":     "IV IV FW FW LA LA LA TW CL IV",
        "ack":     "IV IG SR ES CW CW TW TW CL IG",
        "rst":     "IV CL CL CL CL CL CL CL CL CL",
    },
}  # fmt: skip
_NEXT = {
    (direction, kind): dict(zip(_SHORT.values(), row.split(), strict=True))
    for direction, rows in _ROWS.items()
    for kind, row in rows.items()
}
#: The only combinations of flags that conntrack accepts; PSH, ECE and CWR do not count.
_VALID = frozenset(
    {SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG}
)  # fmt: skip
_COUNT = SYN | ACK | FIN | RST | URG


def is_valid(flags: int) -> bool:
    """Return whether conntrack accepts a combination of TCP flags."""
    return flags & _COUNT in _VALID


def may_open(flags: int, *, loose: bool) -> bool:
    """Return whether a packet without an entry may begin one (tcp_new); `loose`: also in the middle of a connection."""
    begun = next_state(NONE, "original", flags) if is_valid(flags) else None
    return begun == "SYN_SENT" or (loose and begun is not None)


def next_state(state: str, direction: Direction, flags: int) -> str | None:
    """Return the state of a connection after a packet; None if the packet is invalid in this state.

    An unknown state stays unknown.
    """
    short = _NEXT[direction, _kind(flags)].get(state)
    return None if short == "IV" else _SHORT.get(short or "", state)


def _kind(flags: int) -> str:
    if flags & RST:
        return "rst"
    if flags & SYN:
        return "syn-ack" if flags & ACK else "syn"
    return "fin" if flags & FIN else "ack"
