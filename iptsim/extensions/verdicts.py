"""What a target decides: a verdict or a translation; and the targets by what they do to a packet."""

from __future__ import annotations

from typing import Literal, NamedTuple

from iptsim.languages import Text

#: Targets that decide whether a packet passes.
DECIDING = frozenset({"ACCEPT", "DROP", "REJECT"})
#: Targets that translate the destination of a packet, and those that translate its source.
TRANSLATING_DESTINATION = frozenset({"DNAT", "REDIRECT"})
TRANSLATING_SOURCE = frozenset({"SNAT", "MASQUERADE"})
TRANSLATING = TRANSLATING_DESTINATION | TRANSLATING_SOURCE
#: The targets after which a packet goes no further, and those that end a chain for it.
BLOCKING = frozenset({"DROP", "REJECT"})
ENDING = DECIDING | TRANSLATING | {"RETURN"}


VerdictKind = Literal["CONTINUE", "ACCEPT", "DROP", "REJECT", "RETURN", "JUMP", "GOTO", "QUEUE", "STOLEN"]


class Verdict(NamedTuple):
    """What a target decides.

    Attributes:
        kind: what the walk does next. QUEUE: handed to user space; STOLEN: the target keeps the packet
            and replies itself.
        chain: where to, for JUMP and GOTO.
        detail: a few words for the trace on what the target did ("icmp-port-unreachable").
    """

    kind: VerdictKind
    chain: str | None = None
    detail: Text = ""


class Translation(NamedTuple):
    """A network address translation that a nat target requests; the walk carries it out.

    Attributes:
        target: DNAT, SNAT, MASQUERADE, REDIRECT, NETMAP.
        side: "dst" or "src": the address and port that are rewritten.
        addresses: first and last address, or None to keep (MASQUERADE and REDIRECT: the host's own).
        ports: first and last port, or None to keep.
        base_port: the port that the range is shifted from (`5000-5010/4000`).
        netmap: prefix mask, where the host part is kept.
        random: the kernel picks the port at random.
        persistent: the address choice depends on the source alone.
    """

    target: str
    side: Literal["dst", "src"]
    addresses: tuple[int, int] | None = None
    ports: tuple[int, int] | None = None
    base_port: int | None = None
    netmap: int | None = None
    random: bool = False
    persistent: bool = False


CONTINUE = Verdict("CONTINUE")
