"""`-j CT`: tell connection tracking how to treat the packet (net/netfilter/xt_CT.c)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from iptsim.extensions.base import CONTINUE, Given, Option, Target, Value, Verdict
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.texts import text_value
from iptsim.extensions.values import bare, integer
from iptsim.languages import joined, say
from iptsim.packet import Connection, Context, Flow, Zone

EVENTS = (
    "new", "related", "destroy", "reply", "assured", "protoinfo", "helper", "mark", "natseqinfo", "secmark",
)  # fmt: skip
ZoneNumber = int | Literal["mark"]


def parse_zone(text: str) -> ZoneNumber:
    """Read a zone's number, or `mark` for the packet's mark.

    Raises:
        ValueError: neither.
    """
    return "mark" if text.lower() == "mark" else integer(text, 0, 0xFFFF)


def _events(*known: str) -> Value:
    def parse(text: str) -> tuple[str, ...]:
        words = text.split(",")
        for word in words:
            if word not in known:
                raise ValueError(f"{word!r} is not an event: one of {', '.join(known)}")
        return tuple(event for event in known if event in words)

    return Value(f"events among {', '.join(known)}", parse, ",".join)


_ZONE = Value("a zone's number, or mark", parse_zone)
_ZONES = ("zone", "zone_orig", "zone_reply")
_NO_ZONE = ("--zone 0", "--zone-orig 0", "--zone-reply 0")


class Ct(Target):
    """Give the packet a template from which conntrack makes, or looks up, its connection."""

    name: ClassVar[str] = "CT"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--notrack", "notrack"),
        Option("--helper", "helper", text_value("the name of a helper", 15, bare)),
        Option("--timeout", "timeout", text_value("the name of a timeout policy", 31, bare)),
        Option("--ctevents", "ctevents", _events(*EVENTS)),
        Option("--expevents", "expevents", _events("new")),
        Option("--zone-orig", "zone_orig", _ZONE),
        Option("--zone-reply", "zone_reply", _ZONE),
        Option("--zone", "zone", _ZONE),
    )
    tables: ClassVar[frozenset[str] | None] = frozenset({"raw"})

    notrack: bool = False
    helper: str | None = None
    timeout: str | None = None
    ctevents: tuple[str, ...] | None = None
    expevents: tuple[str, ...] | None = None
    zone_orig: ZoneNumber | None = None
    zone_reply: ZoneNumber | None = None
    zone: ZoneNumber | None = None

    @classmethod
    def gather(cls, given: Iterable[Given]) -> dict[str, Any]:
        """Return the fields; of several zone options, iptables keeps one zone for all their directions."""
        fields = super().gather(given)
        zones = [field for field in fields if field in _ZONES]
        if len(zones) > 1:
            last = next((fields[field] for field in zones if fields[field] == "mark"), fields[zones[-1]])
            directions = set(zones) - {"zone"}
            for field in zones:
                del fields[field]
            fields[directions.pop() if len(directions) == 1 else "zone"] = last
        return fields

    def allowed_protocols(self) -> frozenset[int] | None:
        """Return all protocols but 0: with a helper or a timeout policy, a rule must name one."""
        if self.notrack or (self.helper is None and self.timeout is None):
            return None
        return frozenset(range(1, 256))

    def save(self) -> str:
        """Return the options as iptables-save prints them: zone 0 is no zone."""
        return " ".join(clause for clause in self.clauses() if clause not in _NO_ZONE)

    def apply(self, context: Context) -> Verdict:
        """Note what conntrack shall do, unless the packet has a connection or template already."""
        if context.connection is not None or context.template:
            return CONTINUE
        context.template = True
        if self.notrack:
            context.notrack = True
            return CONTINUE
        # in the raw table, matches see the template: a confirmed connection from nowhere to nowhere
        nowhere = Flow(0, 0, 0, 0, 0)
        context.connection = Connection(
            context.packet.family, nowhere, nowhere, status=frozenset({"CONFIRMED"})
        )
        if self.helper is not None:
            context.helper = self.helper
        zone = next((value for value in (self.zone, self.zone_orig, self.zone_reply) if value is not None), 0)
        number = context.packet.mark & 0xFFFF if zone == "mark" else zone
        context.zone = Zone(
            0 if self.zone_reply is not None else number, 0 if self.zone_orig is not None else number
        )
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = " CT" + (" notrack" if self.notrack else "")
        for field in ("helper", "timeout"):
            value = getattr(self, field)
            text += "" if value is None else f" {field} {value}"
        for field in ("ctevents", "expevents"):
            events = getattr(self, field)
            text += "" if events is None else f" {field} {','.join(events)}"
        for field in _ZONES:
            zone = getattr(self, field)
            text += f" {field.replace('_', '-')} {zone}" if zone else ""
        return text

    def says(self) -> str:
        """Return the order in words."""
        if self.notrack:
            return say("do not track the connection")
        phrases = []
        if self.helper is not None:
            phrases.append(say("let the helper {helper} watch the connection", helper=self.helper))
        if self.zone is not None:
            phrases.append(say("track in {zone}", zone=_zone_text(self.zone)))
        if self.zone_orig is not None:
            zone = _zone_text(self.zone_orig)
            phrases.append(say("track in {zone} for the original direction", zone=zone))
        if self.zone_reply is not None:
            phrases.append(say("track in {zone} for the reply direction", zone=_zone_text(self.zone_reply)))
        if self.timeout is not None:
            phrases.append(say("use the timeout policy {timeout}", timeout=self.timeout))
        if self.ctevents is not None:
            phrases.append(say("report only the events {ctevents}", ctevents=", ".join(self.ctevents)))
        if self.expevents is not None:
            phrases.append(
                say("report only the expectation events {expevents}", expevents=", ".join(self.expevents))
            )
        return joined(" and ", phrases) or say("track the connection as usual")


def _zone_text(zone: object) -> str:
    return say("the zone that the mark names") if zone == "mark" else say("zone {zone}", zone=zone)


EXTENSIONS = (Ct,)
