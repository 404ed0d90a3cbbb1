"""`-j REJECT`: drop the packet and answer with an error (net/ipv4/netfilter/ipt_REJECT.c, ip6t_REJECT.c)."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from iptsim.extensions.base import Option, Target, Value, Verdict
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import NoSuchWord
from iptsim.languages import later, say, told
from iptsim.packet import TCP, Context, Family

TCP_RESET = "tcp-reset"


class Answer(NamedTuple):
    """What one `--reject-with` sends back.

    Attributes:
        alias: its other name.
        icmp: type and code of the ICMP or ICMPv6 error; None for a TCP reset.
        words: that an answer of this kind claims, behind "answer that".
    """

    alias: str
    icmp: tuple[int, int] | None
    words: str


#: The answers by name, in the order in which iptables looks for an abbreviation.
ANSWERS: dict[Family, dict[str, Answer]] = {
    4: {
        "icmp-net-unreachable": Answer("net-unreach", (3, 0), later("the network is unreachable")),
        "icmp-host-unreachable": Answer("host-unreach", (3, 1), later("the host is unreachable")),
        "icmp-proto-unreachable": Answer("proto-unreach", (3, 2), later("the protocol is unreachable")),
        "icmp-port-unreachable": Answer("port-unreach", (3, 3), later("the port is unreachable")),
        "icmp-net-prohibited": Answer("net-prohib", (3, 9), later("the network is prohibited")),
        "icmp-host-prohibited": Answer("host-prohib", (3, 10), later("the host is prohibited")),
        TCP_RESET: Answer("tcp-rst", None, ""),
        "icmp-admin-prohibited": Answer("admin-prohib", (3, 13), later("it is administratively prohibited")),
    },
    6: {
        "icmp6-no-route": Answer("no-route", (1, 0), later("there is no route")),
        "icmp6-adm-prohibited": Answer("adm-prohibited", (1, 1), later("it is administratively prohibited")),
        "icmp6-addr-unreachable": Answer("addr-unreach", (1, 3), later("the address is unreachable")),
        "icmp6-port-unreachable": Answer("port-unreach", (1, 4), later("the port is unreachable")),
        TCP_RESET: Answer(TCP_RESET, None, ""),
        "icmp6-policy-fail": Answer("policy-fail", (1, 5), later("the policy refuses the source address")),
        "icmp6-reject-route": Answer("reject-route", (1, 6), later("the route is one that rejects")),
    },
}


def parse_answer(text: str, family: Family) -> str:
    """Read the name of an answer, in full, by its alias or abbreviated, in any case.

    Raises:
        ValueError: no answer of this family.
    """
    wanted = text.lower()
    for name, answer in ANSWERS[family].items():
        if name.startswith(wanted) or answer.alias.startswith(wanted):
            return name
    raise NoSuchWord(f"{text!r} is not one of {', '.join(ANSWERS[family])}", text, ANSWERS[family])


class Reject(Target):
    """Drop the packet and send an error to its sender. The IPv4 form; :class:`Reject6` is the other."""

    name: ClassVar[str] = "REJECT"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--reject-with", "reject_with", Value("a kind of answer", parse_answer, needs_family=True)),
    )
    family: ClassVar[int | None] = 4
    tables: ClassVar[frozenset[str] | None] = frozenset({"filter"})
    hooks: ClassVar[frozenset[str] | None] = frozenset({"INPUT", "FORWARD", "OUTPUT"})
    changes: ClassVar[bool] = False
    terminal: ClassVar[bool] = True
    #: the answer when none is named, and the family of :data:`ANSWERS`
    default: ClassVar[str] = "icmp-port-unreachable"
    answers: ClassVar[dict[str, Answer]] = ANSWERS[4]

    reject_with: str | None = None

    @property
    def kind(self) -> str:
        """The name of the answer, a key of :data:`ANSWERS`."""
        return self.reject_with or self.default

    def allowed_protocols(self) -> frozenset[int] | None:
        """Return TCP for a reset."""
        return frozenset({TCP}) if self.kind == TCP_RESET else None

    def save(self) -> str:
        """Return the answer as iptables-save prints it, always."""
        return f"--reject-with {self.kind}"

    def apply(self, context: Context) -> Verdict:
        """Reject; `detail` is the key of :data:`ANSWERS` that says with what."""
        return Verdict("REJECT", detail=self.kind)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" reject-with {self.kind}"

    def says(self) -> str:
        """Return the order in words."""
        if self.kind == TCP_RESET:
            return say("answer with a TCP reset, and drop")
        return say("answer that {words}, and drop", words=told(self.answers[self.kind].words))


class Reject6(Reject):
    """The IPv6 form of :class:`Reject`."""

    family: ClassVar[int | None] = 6
    default: ClassVar[str] = "icmp6-port-unreachable"
    answers: ClassVar[dict[str, Answer]] = ANSWERS[6]


EXTENSIONS = (Reject, Reject6)
