"""`-j IDLETIMER`: restart a timer that tells user space of silence (net/netfilter/xt_IDLETIMER.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import CONTINUE, Option, Target, Verdict
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.texts import text_value
from iptsim.extensions.values import bare, integer_value
from iptsim.languages import say
from iptsim.packet import Context


class Idletimer(Target):
    """Restart a timer."""

    name: ClassVar[str] = "IDLETIMER"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--timeout", "timeout", integer_value("seconds, at least 1", 1)),
        Option("--label", "label", text_value("the timer's name, up to 27 characters", 27, bare)),
        Option("--alarm", "alarm"),
    )
    changes: ClassVar[bool] = False

    timeout: int | None = None
    label: str | None = None
    alarm: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Idletimer:
        demand(self, "timeout", "label")
        return self

    def apply(self, context: Context) -> Verdict:
        """Go on."""
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" timeout:{self.timeout} label:{self.label}{' alarm' if self.alarm else ''}"

    def says(self) -> str:
        """Return the order in words."""
        return say(
            "restart the timer {label}, which expires after {timeout} seconds",
            label=self.label,
            timeout=self.timeout,
        )


EXTENSIONS = (Idletimer,)
