"""`-j TCPMSS`: lower the segment size that a TCP SYN announces (net/netfilter/xt_TCPMSS.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Status, Target
from iptsim.extensions.checks import given
from iptsim.extensions.constraints import look
from iptsim.extensions.context import LEAVING, Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option
from iptsim.extensions.values import integer_value
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.languages import Message, Text, message
from iptsim.protocols import TCP

#: The option's number and its length in bytes; bytes that all options may take.
_MSS, _MSS_LENGTH, _LONGEST_OPTIONS = 2, 4, 40
#: Bytes of the IP and TCP headers, which a path MTU includes.
_HEADERS = {4: 40, 6: 60}
#: The segment size that TCP assumes for a peer that announces none.
_UNANNOUNCED = {4: 536, 6: 1220}


class Tcpmss(Target):
    """Lower the maximum segment size, or announce one where the packet has none. It is never raised.

    The kernel does that to every TCP packet that matches; the legacy backend requires a match on SYN.
    """

    name: ClassVar[str] = "TCPMSS"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--set-mss", "set_mss", integer_value("a segment size", 0, 0xFFFF)),
        Option("--clamp-mss-to-pmtu", "clamp_mss_to_pmtu"),
    )
    protocols: ClassVar[frozenset[int] | None] = frozenset({TCP})
    status: ClassVar[Status] = "given"

    set_mss: int | None = None
    clamp_mss_to_pmtu: bool = False

    def check(self) -> None:
        if not given(self, "set_mss", "clamp_mss_to_pmtu"):
            raise ValueError(message("TCPMSS needs --set-mss or --clamp-mss-to-pmtu"))

    def allowed_hooks(self) -> frozenset[str] | None:
        """Return the hooks after the routing decision if the size depends on the path."""
        return LEAVING if self.set_mss is None else None

    def save(self) -> str:
        """Return the option as iptables-save prints it; a size overrides the path's."""
        return "--clamp-mss-to-pmtu" if self.set_mss is None else f"--set-mss {self.set_mss}"

    def apply(self, context: Context) -> Verdict:
        packet = context.packet
        if packet.is_later_fragment:
            return CONTINUE
        wanted = self.set_mss
        if wanted is None:
            mtu = context.surroundings.path_mtu(context)
            if mtu is None:
                return Verdict(
                    "CONTINUE", detail=message("the path's MTU is not known; the segment size is unchanged")
                )
            wanted = mtu - _HEADERS[packet.family]
            if wanted <= 0:
                return Verdict("DROP", detail=message("the path's MTU is too small for TCP"))
        options = look(context, "tcp_options")
        if _MSS in options:
            wanted = min(wanted, int.from_bytes(options[_MSS], "big"))
            packet.tcp_options = {**options, _MSS: wanted.to_bytes(2, "big")}
        elif not packet.payload and _length(options) + _MSS_LENGTH <= _LONGEST_OPTIONS:
            wanted = min(wanted, _UNANNOUNCED[packet.family])
            packet.tcp_options = {_MSS: wanted.to_bytes(2, "big"), **options}
            packet.length += _MSS_LENGTH
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        return " TCPMSS clamp to PMTU" if self.set_mss is None else f" TCPMSS set {self.set_mss}"

    def says(self) -> Text:
        size: Message | int = message("what the path's MTU allows") if self.set_mss is None else self.set_mss
        return message("lower the segment size that TCP announces to {size}", size=size)


def _length(options: dict[int, bytes]) -> int:
    """Return how many bytes TCP options take, padding included; the first two kinds have no length byte."""
    used = sum(1 if kind < _MSS else 2 + len(data) for kind, data in options.items())
    return -(-used // 4) * 4


EXTENSIONS = (Tcpmss,)
