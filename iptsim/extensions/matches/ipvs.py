"""`-m ipvs`: packets of a connection that IPVS balances (net/netfilter/xt_ipvs.c).

No file of a capture contains IPVS's connections, so the match cannot be decided, unless the fact `ipvs` is "no": then
IPVS is not used.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, ClassVar

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import Constraint, Field, named
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Given, Option, Value
from iptsim.extensions.parameters import parse_protocol
from iptsim.extensions.phrases import Phrase, join_phrases
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.stated import stated
from iptsim.extensions.values import Network, parse_host_mask, port
from iptsim.languages import Message, Text, message, message_joined
from iptsim.truth import Unknown


def _word(choices: tuple[str, ...]) -> Value:
    def parse(text: str) -> str:
        if text.upper() not in choices:
            raise ValueError(
                message(
                    "unknown value {text!r}; choose from: {choices}", text=text, choices=", ".join(choices)
                )
            )
        return text.upper()

    return Value(message_joined(" or ", choices), parse)


_PORT = Value("a port number or service name", port)
_ADDRESS = Value("an address, with or without /mask", parse_host_mask, attrgetter("short"), needs_family=True)


def _option(name: str, value: Value, called: Message, *, negatable: bool = True) -> Option:
    return Option(
        f"--{name}", name, value, negatable, listed=f"[ !] {name} {{value}}",
        phrase=Phrase("{name} {value}", "{name} not {value}", value.format, called),
    )  # fmt: skip


def _read(context: Context) -> bool | Unknown:
    return False if stated(context, "ipvs") is False else _NOT_KNOWN


def _got(context: Context) -> Text:
    if stated(context, "ipvs") is False:
        return message("IPVS is not in use")
    return message("its IPVS connection is not known")


_NOT_KNOWN = Unknown(message("whether IPVS balances the connection"), "--set ipvs=no, or --assume ipvs=yes")


class Ipvs(Match):
    """Properties of the packet's IPVS connection: its virtual service, direction and forwarding method."""

    name: ClassVar[str] = "ipvs"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--ipvs", "ipvs", None, True, listed="[ !] ipvs"),
        _option("vproto", Value("a protocol name or number", parse_protocol), message("virtual protocol")),
        _option("vaddr", _ADDRESS, message("virtual address")),
        _option("vport", _PORT, message("virtual port")),
        _option("vdir", _word(("ORIGINAL", "REPLY")), message("direction"), negatable=False),
        _option("vmethod", _word(("GATE", "IPIP", "MASQ")), message("forwarding method")),
        _option("vportctl", _PORT, message("virtual port of the controlling connection")),
    )
    joint: ClassVar[str] = ", "
    status: ClassVar[Status] = "unknown"

    ipvs: bool = False
    vproto: int | None = None
    vaddr: Network | None = None
    vport: int | None = None
    vdir: str | None = None
    vmethod: str | None = None
    vportctl: int | None = None

    @classmethod
    def gather(cls, given: Iterable[Given]) -> dict[str, Any]:
        """Return the model's fields; `--ipvs` has no effect together with another option."""
        fields = super().gather(given)
        if (
            "ipvs" in fields
            and "ipvs" not in fields.get("negated", ())
            and len(fields.keys() - {"negated"}) > 1
        ):
            del fields["ipvs"]
        return fields

    def check(self) -> None:
        if not self.clauses():
            raise ValueError(message("ipvs needs an option, such as --ipvs"))
        if "ipvs" in self.negated and len(self.clauses()) > 1:
            raise ValueError(
                message("! --ipvs can't be combined with the other options, which need an IPVS connection")
            )

    def predicates(self) -> tuple[Predicate, ...]:
        negated = "ipvs" in self.negated
        key = "ipvs" if self.ipvs else f"ipvs {self.save()}"
        return self.one(Constraint(Field(key, _read, _got), named(True), negated))

    def lists(self, form: ListingForm) -> str:
        text = super().lists(form)
        return text if form.since(1, 8, 3) else text.replace(" vproto ", " proto ")

    def says(self) -> Text:
        if "ipvs" in self.negated:
            return message("that IPVS does not balance")
        return join_phrases(self.joint, message("that IPVS balances"), super().says())


EXTENSIONS = (Ipvs,)
