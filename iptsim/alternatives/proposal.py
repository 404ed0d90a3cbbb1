"""Proposals: tested changes that change what happens to a packet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from iptsim.addresses import Family
from iptsim.alternatives.comparison import change_text
from iptsim.alternatives.shifts import Shift, SideEffects
from iptsim.docker.sources.flag_changes import Change
from iptsim.dump.tool import tool_of
from iptsim.errors import printable
from iptsim.explanation import Explanation
from iptsim.languages import Message
from iptsim.question.model import Question
from iptsim.shown import Framed

_FLAGS = {"insert": "-I", "append": "-A", "delete": "-D"}


@dataclass(frozen=True, slots=True)
class Proposal:
    """Changes that change a packet's verdict.

    Attributes:
        changes: the changes, in order.
        text: their meaning, in one sentence.
        after: the answer after them.
        asked: the question after the changes: a published port is reached at the host.
        effects: the side effects.
    """

    changes: tuple[Change, ...]
    text: Message
    after: Explanation
    asked: Question
    effects: SideEffects = field(compare=False, repr=False)

    def __repr__(self) -> str:
        return printable(f"<Proposal {self.options or self.text}: {self.after.verdict}>")

    @property
    def also(self) -> tuple[Shift, ...]:
        """Other connections whose verdict changes."""
        return self.effects.shifts

    @property
    def left_out(self) -> int:
        """The number of connections that were not checked for that."""
        return self.effects.left_out

    @property
    def options(self) -> str:
        """The corresponding options of `iptsim whatif`."""
        return " ".join(map(change_text, self.changes))

    @property
    def command(self) -> str:
        """The commands that insert or delete rules; "" for other changes."""
        if not self.changes or any(name not in _FLAGS for name, _ in self.changes):
            return ""
        return "; ".join(self._command(*change) for change in self.changes)

    @property
    def family(self) -> Family:
        """The address family of the packet."""
        return self.after.trace.legs[0].packet.family

    def _command(self, name: str, value: str) -> str:
        tool = tool_of(self.family)
        table, rest = ("", value) if not value.startswith("-t ") else value.removeprefix("-t ").split(" ", 1)
        return " ".join(filter(None, [tool, table and f"-t {table}", _FLAGS[name], rest]))

    def as_json(self) -> dict[str, Any]:
        """Return the proposal as JSON."""
        return {
            "changes": [list(change) for change in self.changes],
            "text": str(self.text),
            "verdict": self.after.verdict,
            "asked": {"to": str(self.asked.to), "dport": self.asked.dport},
            "also": [shift.as_json() for shift in self.also],
            "left_out": self.left_out,
        }


class Proposals(Framed, list[Proposal]):
    """Proposals, those with the fewest side effects first.

    Attributes:
        explanation: the answer that they change.
    """

    def __init__(self, found: Iterable[Proposal], explanation: Explanation) -> None:
        super().__init__(found)
        self.explanation = explanation
