"""`-j SYNPROXY`: do the TCP handshake in the server's place (net/ipv4/netfilter/ipt_SYNPROXY.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Status, Target
from iptsim.extensions.constraints import look
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option
from iptsim.extensions.stated import stated
from iptsim.extensions.values import integer_value
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.languages import Text, message
from iptsim.protocols import ACK, FIN, RST, SYN, TCP


class Synproxy(Target):
    """Answer a SYN with a cookie; open the connection to the server when the cookie comes back."""

    name: ClassVar[str] = "SYNPROXY"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--sack-perm", "sack_perm", listed="sack-perm "),
        Option("--timestamp", "timestamp", listed="timestamp "),
        Option("--wscale", "wscale", integer_value("a window scale", 0, 255), listed="wscale {value} "),
        Option("--mss", "mss", integer_value("a segment size", 0, 0xFFFF), listed="mss {value} "),
        Option("--ecn", "ecn", listed="ecn "),
    )
    listed: ClassVar[str] = " SYNPROXY "
    alone: ClassVar[Text] = message("complete the TCP handshake in place of the server")
    hooks: ClassVar[frozenset[str] | None] = frozenset({"INPUT", "FORWARD"})
    protocols: ClassVar[frozenset[int] | None] = frozenset({TCP})
    status: ClassVar[Status] = "given"

    sack_perm: bool = False
    timestamp: bool = False
    wscale: int | None = None
    mss: int | None = None
    ecn: bool = False

    def apply(self, context: Context) -> Verdict:
        """Intercept the packets of a handshake, which end here; others continue.

        The fact `synproxy_cookie` says whether an ACK brings back a cookie of this host. With a wrong cookie it is
        dropped; with a correct one the host opens the connection to the server.
        """
        flags = look(context, "tcp_flags") & (FIN | SYN | RST | ACK)
        if flags == SYN:
            return Verdict("STOLEN", detail=message("replied with a SYN cookie"))
        if flags != ACK:
            return CONTINUE
        if stated(context, "synproxy_cookie") is False:
            return Verdict("DROP", detail=message("invalid SYN cookie"))
        return Verdict("STOLEN", detail=message("a valid SYN cookie opens the connection to the server"))


EXTENSIONS = (Synproxy,)
