"""`-j REJECT`: drop the packet and send an error back (net/ipv4/netfilter/ipt_REJECT.c, ip6t_REJECT.c)."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from iptsim.addresses import Family
from iptsim.extensions.base import Target
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.values import NoSuchWord
from iptsim.extensions.verdicts import Verdict
from iptsim.languages import Text, message
from iptsim.protocols import TCP

TCP_RESET = "tcp-reset"


class Answer(NamedTuple):
    """What one `--reject-with` sends back.

    Attributes:
        alias: its other name.
        icmp: type and code of the ICMP or ICMPv6 error; None for a TCP reset.
        words: what such a reply says, after "answer that".
    """

    alias: str
    icmp: tuple[int, int] | None
    words: Text


#: The replies by name, in the order in which iptables compares an abbreviation.
ANSWERS: dict[Family, dict[str, Answer]] = {
    4: {
        "icmp-net-unreachable": Answer("net-unreach", (3, 0), message("the network is unreachable")),
        "icmp-host-unreachable": Answer("host-unreach", (3, 1), message("the host is unreachable")),
        "icmp-proto-unreachable": Answer("proto-unreach", (3, 2), message("the protocol is unreachable")),
        "icmp-port-unreachable": Answer("port-unreach", (3, 3), message("the port is unreachable")),
        "icmp-net-prohibited": Answer("net-prohib", (3, 9), message("the network is prohibited")),
        "icmp-host-prohibited": Answer("host-prohib", (3, 10), message("the host is prohibited")),
        TCP_RESET: Answer("tcp-rst", None, ""),
        "icmp-admin-prohibited": Answer(
            "admin-prohib", (3, 13), message("it is administratively prohibited")
        ),
    },
    6: {
        "icmp6-no-route": Answer("no-route", (1, 0), message("there is no route")),
        "icmp6-adm-prohibited": Answer(
            "adm-prohibited", (1, 1), message("it is administratively prohibited")
        ),
        "icmp6-addr-unreachable": Answer("addr-unreach", (1, 3), message("the address is unreachable")),
        "icmp6-port-unreachable": Answer("port-unreach", (1, 4), message("the port is unreachable")),
        TCP_RESET: Answer(TCP_RESET, None, ""),
        "icmp6-policy-fail": Answer("policy-fail", (1, 5), message("the policy rejects the source address")),
        "icmp6-reject-route": Answer("reject-route", (1, 6), message("the route rejects it")),
    },
}


def parse_answer(text: str, family: Family) -> str:
    """Read the name of a reply, in full, by its alias or abbreviated, in any case.

    Raises:
        ValueError: unknown in this family.
    """
    wanted = text.lower()
    for name, answer in ANSWERS[family].items():
        if name.startswith(wanted) or answer.alias.startswith(wanted):
            return name
    raise NoSuchWord(
        message(
            "unknown reply {text!r}; choose from: {choices}", text=text, choices=", ".join(ANSWERS[family])
        ),
        text,
        ANSWERS[family],
    )


class Reject(Target):
    """Drop the packet and send an error to its sender."""

    name: ClassVar[str] = "REJECT"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--reject-with", "reject_with", Value("a kind of reply", parse_answer, needs_family=True)),
    )
    family: ClassVar[int | None] = 4
    tables: ClassVar[frozenset[str] | None] = frozenset({"filter"})
    hooks: ClassVar[frozenset[str] | None] = frozenset({"INPUT", "FORWARD", "OUTPUT"})
    changes: ClassVar[bool] = False
    terminal: ClassVar[bool] = True
    #: the reply if the rule names none, and the replies of the family
    default: ClassVar[str] = "icmp-port-unreachable"
    answers: ClassVar[dict[str, Answer]] = ANSWERS[4]

    reject_with: str | None = None

    @property
    def kind(self) -> str:
        """The name of the reply, a key of :data:`ANSWERS`."""
        return self.reject_with or self.default

    def allowed_protocols(self) -> frozenset[int] | None:
        """Return only TCP where the reply is a TCP reset; None for any protocol."""
        return frozenset({TCP}) if self.kind == TCP_RESET else None

    def save(self) -> str:
        """Return the reply as iptables-save prints it, always."""
        return f"--reject-with {self.kind}"

    def apply(self, context: Context) -> Verdict:
        # the detail is a key of ANSWERS
        return Verdict("REJECT", detail=self.kind)

    def lists(self, form: ListingForm) -> str:
        return f" reject-with {self.kind}"

    def says(self) -> Text:
        if self.kind == TCP_RESET:
            return message("reply with a TCP reset, and drop")
        return message("reply that {words}, and drop", words=self.answers[self.kind].words)


class Reject6(Reject):
    """Drop an IPv6 packet and send an error to its sender."""

    family: ClassVar[int | None] = 6
    default: ClassVar[str] = "icmp6-port-unreachable"
    answers: ClassVar[dict[str, Answer]] = ANSWERS[6]


EXTENSIONS = (Reject, Reject6)
