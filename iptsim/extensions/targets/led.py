"""`-j LED`: blink a light (net/netfilter/xt_LED.c)."""

from __future__ import annotations

from typing import ClassVar, Literal

from iptsim.extensions.base import Target
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import integer
from iptsim.languages import message

#: Bytes of a trigger's name that are left for its user.
_LONGEST = 16
Delay = int | Literal["inf"]


def _trigger(text: str) -> str:
    if len(text.encode()) > _LONGEST:
        raise ValueError(
            message("the name {text!r} is longer than {longest} characters", text=text, longest=_LONGEST)
        )
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
        Option(
            "--led-trigger-id", "led_trigger_id", Value("the trigger's name", _trigger, _quoted),
            phrase=Phrase("trigger the light {value}"),
        ),
        Option("--led-delay", "led_delay", Value("milliseconds, or inf", _delay)),
        Option("--led-always-blink", "led_always_blink"),
    )  # fmt: skip
    changes: ClassVar[bool] = False

    led_trigger_id: str
    led_delay: Delay | None = None
    led_always_blink: bool = False

    def save(self) -> str:
        """Return the options as iptables-save prints them: no delay is the default."""
        return " ".join(clause for clause in self.clauses() if clause != "--led-delay 0")

    def lists(self, form: ListingForm) -> str:
        delay = "inf" if self.led_delay == "inf" else f"{self.led_delay or 0}ms"
        text = f" led-trigger-id:{_quoted(self.led_trigger_id)} led-delay:{delay}"
        return text + (" led-always-blink" if self.led_always_blink else "")


EXTENSIONS = (Led,)
