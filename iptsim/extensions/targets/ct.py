"""`-j CT` and `-j NOTRACK`: how connection tracking treats the packet (net/netfilter/xt_CT.c)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar, Literal

from iptsim.connection import ZONE_OF_MARK, Connection, Flow, Zone
from iptsim.extensions.base import Target
from iptsim.extensions.context import Context
from iptsim.extensions.options import Given, Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.texts import text_value
from iptsim.extensions.values import bare, integer
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.languages import Text, message

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
                raise ValueError(
                    message(
                        "unknown event {word!r}; choose from: {choices}", word=word, choices=", ".join(known)
                    )
                )
        return tuple(event for event in known if event in words)

    return Value(message("a list of events ({choices})", choices=", ".join(known)), parse, ",".join)


_ZONE = Value("a zone's number, or mark", parse_zone)
_ZONES = ("zone", "zone_orig", "zone_reply")
_NO_ZONE = ("--zone 0", "--zone-orig 0", "--zone-reply 0")


def _zone_text(zone: ZoneNumber) -> Text:
    return message("the zone that the mark names") if zone == "mark" else message("zone {zone}", zone=zone)


def _listed_zone(zone: ZoneNumber, negated: bool, name: str) -> str:
    return f" {name} {zone}" if zone else ""


#: The order to leave packets out of connection tracking.
NOT_TRACKED = message("exclude from connection tracking")


class Ct(Target):
    """Give the packet a template from which conntrack makes, or looks up, its connection."""

    name: ClassVar[str] = "CT"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--notrack", "notrack", listed=" notrack"),
        Option(
            "--helper", "helper", text_value("the name of a helper", 15, bare), listed=" helper {raw}",
            phrase=Phrase("let the helper {value} watch the connection"),
        ),
        Option(
            "--timeout", "timeout", text_value("the name of a timeout policy", 31, bare), listed=" timeout {raw}",
            phrase=Phrase("use the timeout policy {value}"),
        ),
        Option(
            "--ctevents", "ctevents", _events(*EVENTS), listed=" ctevents {value}",
            phrase=Phrase("report only the events {value}", show=", ".join),
        ),
        Option(
            "--expevents", "expevents", _events("new"), listed=" expevents {value}",
            phrase=Phrase("report only the expectation events {value}", show=", ".join),
        ),
        Option(
            "--zone-orig", "zone_orig", _ZONE, listed=partial(_listed_zone, name="zone-orig"),
            phrase=Phrase("track in {value} for the original direction", show=_zone_text),
        ),
        Option(
            "--zone-reply", "zone_reply", _ZONE, listed=partial(_listed_zone, name="zone-reply"),
            phrase=Phrase("track in {value} for the reply direction", show=_zone_text),
        ),
        Option(
            "--zone", "zone", _ZONE, listed=partial(_listed_zone, name="zone"),
            phrase=Phrase("track in {value}", show=_zone_text),
        ),
    )  # fmt: skip
    tables: ClassVar[frozenset[str] | None] = frozenset({"raw"})
    listed: ClassVar[str] = " CT"
    alone: ClassVar[Text] = message("track the connection as usual")
    joint: ClassVar[str] = " and "
    said: ClassVar[tuple[str, ...]] = ("helper", "zone", "zone_orig", "zone_reply")

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
        # conntrack follows it, unless the packet has a connection or template already
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
        context.zone = self.tracked_in
        return CONTINUE

    @property
    def tracked_in(self) -> Zone:
        """The zone in which conntrack is to track the packet."""
        zone = next((value for value in (self.zone, self.zone_orig, self.zone_reply) if value is not None), 0)
        number = ZONE_OF_MARK if zone == "mark" else zone
        return Zone(0 if self.zone_reply is not None else number, 0 if self.zone_orig is not None else number)

    def says(self) -> Text:
        return NOT_TRACKED if self.notrack else super().says()


class Notrack(Target):
    """Make the packet UNTRACKED."""

    name: ClassVar[str] = "NOTRACK"
    listed_name: ClassVar[str] = "CT"
    tables: ClassVar[frozenset[str] | None] = frozenset({"raw"})
    listed: ClassVar[str] = " NOTRACK"
    alone: ClassVar[Text] = NOT_TRACKED

    def apply(self, context: Context) -> Verdict:
        # conntrack leaves the packet alone, unless it has a connection or template already
        if context.connection is None and not context.template:
            context.notrack = context.template = True
        return CONTINUE


EXTENSIONS = (Ct, Notrack)
