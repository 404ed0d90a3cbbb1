"""`-j LED`: blink a light (net/netfilter/xt_LED.c)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from iptsim.extensions.base import CONTINUE, Option, Target, Value, Verdict
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import integer
from iptsim.languages import say
from iptsim.packet import Context

#: Octets of a trigger's name that are left for its user.
_LONGEST = 16
Delay = int | Literal["inf"]


def _trigger(text: str) -> str:
    if len(text.encode()) > _LONGEST:
        raise ValueError(f"the name {text!r} is longer than {_LONGEST} characters")
    return text


def _delay(text: str) -> Delay:
    return "inf" if text.lower().startswith("inf") else integer(text)


def _quoted(text: str) -> str:
    """Print a trigger's name, always in quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class Led(Target):
    """Trigger a light."""

    name: ClassVar[str] = "LED"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--led-trigger-id", "led_trigger_id", Value("the trigger's name", _trigger, _quoted)),
        Option("--led-delay", "led_delay", Value("milliseconds, or inf", _delay)),
        Option("--led-always-blink", "led_always_blink"),
    )
    changes: ClassVar[bool] = False

    led_trigger_id: str | None = None
    led_delay: Delay | None = None
    led_always_blink: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Led:
        demand(self, "led_trigger_id")
        return self

    def save(self) -> str:
        """Return the options as iptables-save prints them: no delay is the default."""
        return " ".join(clause for clause in self.clauses() if clause != "--led-delay 0")

    def apply(self, context: Context) -> Verdict:
        """Go on."""
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        delay = "inf" if self.led_delay == "inf" else f"{self.led_delay or 0}ms"
        text = f" led-trigger-id:{_quoted(self.led_trigger_id or '')} led-delay:{delay}"
        return text + (" led-always-blink" if self.led_always_blink else "")

    def says(self) -> str:
        """Return the order in words."""
        return say("trigger the light {led_trigger_id}", led_trigger_id=self.led_trigger_id)


EXTENSIONS = (Led,)
