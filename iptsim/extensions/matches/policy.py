"""`-m policy`: the IPsec policy that handled, or will handle, the packet (net/netfilter/xt_policy.c).

Key of :attr:`Packet.extra`: `ipsec`, the directions in which IPsec handles the packet, as "in", "out" or
"in,out". Without it, the packet is an ordinary one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import Constraint, Field, named
from iptsim.extensions.context import ARRIVING, LEAVING, Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Given, Option, Value
from iptsim.extensions.phrases import not_if
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.values import Network, choice, integer, integer_value, parse_host_mask
from iptsim.languages import Text, message, message_if, message_joined
from iptsim.truth import Unknown

_PROTOCOLS = {"esp": 50, "ah": 51, "ipcomp": 108}
_PROTOCOL_NAMES = {number: name for name, number in _PROTOCOLS.items()}
_MOST_ELEMENTS = 4


def _protocol(text: str) -> int:
    number = integer(text, 0, 255) if text[:1].isdigit() else _PROTOCOLS.get(text.lower(), 0)
    if number not in _PROTOCOL_NAMES:
        raise ValueError(message("unknown protocol {text!r}; choose from: ah, esp, ipcomp", text=text))
    return number


_ENDPOINT = Value(
    "an address of a tunnel's end, with or without /length",
    parse_host_mask,
    attrgetter("short"),
    needs_family=True,
)
_ELEMENT = (
    Option("--reqid", "reqid", integer_value("a number"), True),
    Option("--spi", "spi", Value("a number", integer, hex), True),
    Option("--proto", "proto", Value("ah, esp or ipcomp", _protocol, _PROTOCOL_NAMES.__getitem__), True),
    Option("--mode", "mode", choice("tunnel or transport", ("tunnel", "transport")), True),
    Option("--tunnel-dst", "tunnel_dst", _ENDPOINT, True),
    Option("--tunnel-src", "tunnel_src", _ENDPOINT, True),
)


class Element(NamedTuple):
    """A further element of the policy: fields and `negated` as in :class:`Policy`."""

    reqid: int | None = None
    spi: int | None = None
    proto: int | None = None
    mode: str | None = None
    tunnel_dst: Network | None = None
    tunnel_src: Network | None = None
    negated: frozenset[str] = frozenset()


class Policy(Match):
    """The IPsec policy of the packet; `next` contains the elements after the first one."""

    name: ClassVar[str] = "policy"
    status: ClassVar[Status] = "given"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--dir", "dir", choice("in or out", ("in", "out"))),
        Option("--pol", "pol", choice("none or ipsec", ("none", "ipsec"))),
        Option("--strict", "strict"),
        *_ELEMENT,
        Option("--next", "next", constant=()),
    )

    dir: str
    pol: str = "ipsec"
    strict: bool = False
    reqid: int | None = None
    spi: int | None = None
    proto: int | None = None
    mode: str | None = None
    tunnel_dst: Network | None = None
    tunnel_src: Network | None = None
    next: tuple[Element, ...] = ()

    @classmethod
    def gather(cls, given: Iterable[Given]) -> dict[str, Any]:
        """Return the fields; each `--next` begins another element.

        Raises:
            ValueError: an option is given twice, in the whole or in an element.
        """
        parts: list[list[Given]] = [[]]
        common: list[Given] = []
        for one in given:
            if one.option.field == "next":
                parts.append([])
            elif one.option in _ELEMENT:
                parts[-1].append(one)
            else:
                common.append(one)
        fields = super().gather([*common, *parts[0]])
        further = [super(Policy, cls).gather([*common, *part]) for part in parts[1:]]
        fields["next"] = tuple(
            Element(**{name: part[name] for name in Element._fields if name in part}) for part in further
        )
        return fields

    def check(self) -> None:
        if self.next and not self.strict:
            raise ValueError(message("--next needs --strict"))
        if self.pol == "none" and self.strict:
            raise ValueError(message("--pol none can't be combined with --strict"))
        if len(self.next) >= _MOST_ELEMENTS:
            raise ValueError(
                message("a policy has at most {most_elements} elements", most_elements=_MOST_ELEMENTS)
            )
        for element in self._elements():
            given = [option.field for option in _ELEMENT if getattr(element, option.field) is not None]
            if self.strict and not given:
                raise ValueError(
                    message(
                        "with --strict each element needs one of {choices}",
                        choices=", ".join(o.flag for o in _ELEMENT),
                    )
                )
            tunnel = element.mode is None or (element.mode == "tunnel") is not ("mode" in element.negated)
            if {"tunnel_src", "tunnel_dst"} & set(given) and (element.mode is None or not tunnel):
                raise ValueError(message("--tunnel-src and --tunnel-dst need --mode tunnel"))

    def _elements(self) -> tuple[Element, ...]:
        """Return all elements, the first included."""
        first = {option.field: getattr(self, option.field) for option in _ELEMENT}
        return (Element(**first, negated=self.negated), *self.next)

    def allowed_hooks(self) -> frozenset[str] | None:
        """Return the hooks at which a policy of this direction is known."""
        if self.dir == "in":
            return ARRIVING
        return LEAVING

    def clauses(self) -> list[str]:
        """Return the options, element by element; `--pol none` has no element."""
        common = [f"--dir {self.dir}", f"--pol {self.pol}", *(["--strict"] if self.strict else [])]
        if self.pol == "none":
            return common
        shown = [" ".join(self._element_clauses(element)) for element in self._elements()]
        return [*common, *filter(None, [shown[0], *(f"--next {text}" for text in shown[1:])])]

    def _element_clauses(self, element: Element) -> list[str]:
        found = []
        for option in _ELEMENT:
            value = getattr(element, option.field)
            if value is not None and option.value is not None:
                not_ = "! " if option.field in element.negated else ""
                found.append(f"{not_}{option.flag} {option.value.format(value)}")
        return found

    def predicates(self) -> tuple[Predicate, ...]:
        got = partial(_got, side=self.dir)
        if self.pol == "none" or self._elements() == (Element(),):
            # a policy without further demands fits any
            field = Field(f"ipsec.{self.dir}", partial(_is_secured, side=self.dir), got)
            return self.one(Constraint(field, named(self.pol == "ipsec")))
        unknown = Unknown(message("the IPsec policy of the packet"), "--assume policy=yes")

        def read(context: Context) -> Unknown | None:
            return unknown if _is_secured(context, self.dir) else None

        return self.one(Constraint(Field("ipsec.policy", read, got), named(self.save())))

    def lists(self, form: ListingForm) -> str:
        text = f" policy match dir {self.dir} pol {self.pol}{' strict' if self.strict else ''}"
        elements = self._elements() if self.pol == "ipsec" else ()
        for place, element in enumerate(elements):
            text += f" [{place}]" if len(elements) > 1 else ""
            for option in _ELEMENT:
                value = getattr(element, option.field)
                if value is not None:
                    shown = (
                        value.short
                        if isinstance(value, Network)
                        else f"{value:#x}"
                        if option.field == "spi"
                        else value
                    )
                    not_ = " !" if option.field in element.negated else ""
                    text += f"{not_} {option.flag.removeprefix('--')} {shown}"
        return text

    def says(self) -> Text:
        if self.pol == "none":
            return message_if(self.dir == "in", "that came in without IPsec", "that go out without IPsec")
        way = message_if(self.dir == "in", "that came in by IPsec", "that go out by IPsec")
        details = message_joined(", then ", map(_says_element, self._elements()))
        return message("{way} ({details})", way=way, details=details) if details else way


def _says_element(element: Element) -> Text:
    phrases = []
    for option in _ELEMENT:
        value = getattr(element, option.field)
        if value is not None:
            shown = not_if(option.field in element.negated, option.text(value))
            phrases.append(message("{name} {value}", name=option.field.replace("_", " "), value=shown))
    return message_joined(", ", phrases)


def _is_secured(context: Context, side: str) -> bool:
    return side in str(context.packet.extra.get("ipsec", "")).split(",")


def _got(context: Context, side: str) -> Text:
    secured = _is_secured(context, side)
    if side == "in":
        return message_if(secured, "it came in by IPsec", "it came in without IPsec")
    return message_if(secured, "it goes out by IPsec", "it goes out without IPsec")


EXTENSIONS = (Policy,)
