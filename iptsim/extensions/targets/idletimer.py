"""`-j IDLETIMER`: restart a timer that notifies user space of idle time (net/netfilter/xt_IDLETIMER.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Target
from iptsim.extensions.options import Option
from iptsim.extensions.texts import text_value
from iptsim.extensions.values import bare, integer_value
from iptsim.languages import Text, message


class Idletimer(Target):
    """Restart a timer."""

    name: ClassVar[str] = "IDLETIMER"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--timeout", "timeout", integer_value("seconds, at least 1", 1), listed=" timeout:{value}"),
        Option(
            "--label", "label", text_value("the timer's name, up to 27 characters", 27, bare),
            listed=" label:{raw}",
        ),
        Option("--alarm", "alarm", listed=" alarm"),
    )  # fmt: skip
    changes: ClassVar[bool] = False

    timeout: int
    label: str
    alarm: bool = False

    def says(self) -> Text:
        return message(
            "restart the timer {label}, which expires after {timeout} seconds",
            label=self.label,
            timeout=self.timeout,
        )


EXTENSIONS = (Idletimer,)
