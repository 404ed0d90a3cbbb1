"""`-m ipvs`: packets of a connection that IPVS balances (net/netfilter/xt_ipvs.c).

No file of a capture holds IPVS's connections, so that this depends, unless the fact `ipvs` says "no":
then the host balances nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Given, Match, Option, Predicate, Status, Value
from iptsim.extensions.facts import stated
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.parameters import parse_protocol
from iptsim.extensions.values import Network, not_if, parse_host_mask, port
from iptsim.languages import joined, later, say, told
from iptsim.packet import Context, Truth, Unknown


def _word(choices: tuple[str, ...]) -> Value:
    def parse(text: str) -> str:
        if text.upper() not in choices:
            raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
        return text.upper()

    return Value(" or ".join(choices), parse)


_PORT = Value("a port number or service name", port)
_ADDRESS = Value("an address, with or without /mask", parse_host_mask, attrgetter("short"), needs_family=True)


class Ipvs(Match):
    """Properties of the packet's IPVS connection: its virtual service, direction and forwarding method."""

    name: ClassVar[str] = "ipvs"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--ipvs", "ipvs", None, True),
        Option("--vproto", "vproto", Value("a protocol name or number", parse_protocol), True),
        Option("--vaddr", "vaddr", _ADDRESS, True),
        Option("--vport", "vport", _PORT, True),
        Option("--vdir", "vdir", _word(("ORIGINAL", "REPLY"))),
        Option("--vmethod", "vmethod", _word(("GATE", "IPIP", "MASQ")), True),
        Option("--vportctl", "vportctl", _PORT, True),
    )
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
        """Return the model's fields; `--ipvs` says nothing beside another option."""
        fields = super().gather(given)
        if (
            "ipvs" in fields
            and "ipvs" not in fields.get("negated", ())
            and len(fields.keys() - {"negated"}) > 1
        ):
            del fields["ipvs"]
        return fields

    @model_validator(mode="after")
    def _complete(self) -> Ipvs:
        if not self.clauses():
            raise ValueError("ipvs needs an option, such as --ipvs")
        if "ipvs" in self.negated and len(self.clauses()) > 1:
            raise ValueError("! --ipvs stands alone: the other options ask for an IPVS connection")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition, which nobody can decide from a dump."""
        return (Predicate(self.save(), self._test, _got, negated="ipvs" in self.negated),)

    def _test(self, context: Context) -> Truth:
        if stated(context, "ipvs") is False:
            return "ipvs" in self.negated
        return Unknown(
            later("whether IPVS balances the connection"),
            "--set ipvs=no, or --assume ipvs=yes",
            ("ipvs", "--ipvs" if "ipvs" in self.negated else self.save()),
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        if self.ipvs:
            return f"{self.bang('ipvs', ' !')} ipvs"
        text = ""
        for field in ("vproto", "vaddr", "vport", "vdir", "vmethod", "vportctl"):
            value = getattr(self, field)
            if value is not None:
                name = field if field != "vproto" or form.since(1, 8, 3) else "proto"
                text += (
                    f"{self.bang(field, ' !')} {name} {value.short if isinstance(value, Network) else value}"
                )
        return text

    def says(self) -> str:
        """Return the conditions in words."""
        if "ipvs" in self.negated:
            return say("that IPVS does not balance")
        phrases = []
        for option in self.options[1:]:
            value = getattr(self, option.field)
            if value is not None and option.value is not None:
                shown = not_if(option.field in self.negated, option.value.format(value))
                phrases.append(say("{name} {value}", name=told(_WORDS[option.field]), value=shown))
        return joined(", ", [say("that IPVS balances"), *phrases])


_WORDS = {
    "vproto": later("virtual protocol"), "vaddr": later("virtual address"), "vport": later("virtual port"),
    "vdir": later("direction"),
    "vmethod": later("forwarding method"), "vportctl": later("virtual port of the controlling connection"),
}  # fmt: skip


def _got(context: Context) -> str:
    if stated(context, "ipvs") is False:
        return say("IPVS is not in use")
    return say("its IPVS connection is not known")


EXTENSIONS = (Ipvs,)
