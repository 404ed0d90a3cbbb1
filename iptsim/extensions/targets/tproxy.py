"""`-j TPROXY`: hand the packet to a local proxy without changing it (net/netfilter/xt_TPROXY.c).

nftables' `tproxy` does so too (nft_tproxy_eval, net/netfilter/nft_tproxy.c), but neither accepts nor drops: without a
proxy, the rest of its rule does not apply.
"""

from __future__ import annotations

from typing import Any, ClassVar

from iptsim.extensions.base import Match, Status, Target
from iptsim.extensions.constraints import Constraint, Field, named
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.marks import change_text, clear_and_flip
from iptsim.extensions.options import Option, Value
from iptsim.extensions.predicates import Predicate, constrained
from iptsim.extensions.stated import stated
from iptsim.extensions.values import ADDRESS, MARK, Address, MaskedNumber, port
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.languages import Message, Text, message
from iptsim.protocols import TCP, UDP
from iptsim.truth import Truth, Unknown


def parse_port(text: str) -> int:
    """Read a port: a decimal number or a service name.

    Raises:
        ValueError: neither.
    """
    if text[:1].isdigit() and not (text.isascii() and text.isdigit()):
        raise ValueError(message("{text!r} is neither a decimal number nor a service name", text=text))
    return port(text)


class Tproxy(Target):
    """Give the packet to the transparent socket that serves it, and mark it; drop it if there is none."""

    name: ClassVar[str] = "TPROXY"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--on-port", "on_port", Value("a port; 0 for the packet's own", parse_port)),
        Option("--on-ip", "on_ip", ADDRESS),
        Option("--tproxy-mark", "tproxy_mark", MARK),
    )
    tables: ClassVar[frozenset[str] | None] = frozenset({"mangle"})
    hooks: ClassVar[frozenset[str] | None] = frozenset({"PREROUTING"})
    protocols: ClassVar[frozenset[int] | None] = frozenset({TCP, UDP})
    status: ClassVar[Status] = "given"
    terminal: ClassVar[bool] = True
    #: the address that iptables prints for none
    nowhere: ClassVar[Address] = Address(4, 0)
    family: ClassVar[int | None] = 4

    on_port: int
    on_ip: Address | None = None
    tproxy_mark: MaskedNumber | None = None

    @property
    def _mark(self) -> MaskedNumber:
        return self.tproxy_mark or MaskedNumber(0, 0)

    def save(self) -> str:
        """Return the options as iptables-save prints them, always all three."""
        address = self.on_ip or self.nowhere
        return f"--on-port {self.on_port} --on-ip {address} --tproxy-mark {change_text(self._mark)}"

    def apply(self, context: Context) -> Verdict | Unknown:
        served = stated(context, "tproxy_listener")
        if served is False:
            return Verdict("DROP", detail=_nobody(self._where))
        # what happens to a packet that will be accepted; if that is not known, it counts on the branch that accepts
        context.packet.proxied = True
        context.packet.mark = clear_and_flip(context.packet.mark, self._mark.mask, self._mark.value)
        if served is None:
            return _unknown(self._where)
        return Verdict("ACCEPT", detail=message("to the transparent proxy {where}", where=self._where))

    @property
    def _where(self) -> Message:
        return _where(self.on_port, "" if self.on_ip in (None, self.nowhere) else str(self.on_ip))

    def lists(self, form: ListingForm) -> str:
        address = self.on_ip or self.nowhere
        return f" TPROXY redirect {address}:{self.on_port} mark {change_text(self._mark)}"

    def says(self) -> Text:
        text = message("hand to the transparent proxy {where}", where=self._where)
        if self.tproxy_mark is None:
            return text
        return message("{text}, marked {mark}", text=text, mark=str(self.tproxy_mark))


class Tproxy6(Tproxy):
    """Give an IPv6 packet to the transparent socket that serves it, and mark it; drop it if there is none."""

    nowhere: ClassVar[Address] = Address(6, 0)
    family: ClassVar[int | None] = 6


class ProxyListener(Match):
    """Whether a transparent proxy serves the packet: the condition for the rest of a rule after `tproxy` of nftables.

    Attributes:
        where: its address and port, as a phrase that follows "listens".
    """

    #: no `-m` loads it
    name: ClassVar[str] = ""
    status: ClassVar[Status] = "given"

    where: Message

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition, which is unknown unless the question states it."""
        key = f"tproxy {self.where}"
        return (constrained(key, Constraint(Field(key, self._listens, self._got), named(True))),)

    def _listens(self, context: Context) -> Truth:
        served = stated(context, "tproxy_listener")
        if served is not None:
            return served
        return _unknown(self.where, "tproxy", str(self.where), context.packet.flow)

    def _got(self, context: Context) -> Text:
        return _nobody(self.where)

    def lists(self, form: ListingForm) -> str:
        return f" tproxy {self.where}"

    def says(self) -> Text:
        return message("that a transparent proxy {where} serves", where=self.where)


class ToProxy(Target):
    """Give the packet to the transparent proxy that serves it: what `tproxy` of nftables does."""

    name: ClassVar[str] = "tproxy"

    to: str
    where: Message

    def save(self) -> str:
        """Return what follows `tproxy` in nftables."""
        return f"to {self.to}"

    def apply(self, context: Context) -> Verdict:
        context.packet.proxied = True
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        return f" to {self.to}"

    def says(self) -> Text:
        return message("hand to the transparent proxy {where}", where=self.where)


def to_proxy(address: str, port: int) -> tuple[ProxyListener, ToProxy]:
    """Return the condition and the target of `tproxy` with an address ("" for any) and a port (0 for the packet's)."""
    where = _where(port, address)
    to = f"[{address}]" if ":" in address else address
    return ProxyListener(where=where), ToProxy(to=f"{to}:{port}" if port else to, where=where)


def _where(port: int, address: str) -> Message:
    where = message("on port {port}", port=port) if port else message("on the packet's own port")
    return message("{where} of {address}", where=where, address=address) if address else where


def _nobody(where: Message) -> Message:
    return message("no transparent proxy listens {where}", where=where)


def _unknown(where: Message, *key: Any) -> Unknown:
    """Return that a listener is not known; with a key, equal ones are decided alike."""
    reason = message("whether a transparent proxy listens {where}", where=where)
    return Unknown(reason, "--set tproxy_listener=yes", key)


EXTENSIONS = (Tproxy, Tproxy6)
