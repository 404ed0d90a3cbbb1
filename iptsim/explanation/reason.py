"""Why a packet got its verdict: code, sentences, deciding step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from iptsim.explanation.codes import ReasonCode
from iptsim.languages import Message, Text, current_language, language
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Leg


@dataclass(slots=True)
class Reason:
    """Why a packet got its verdict.

    Attributes:
        code: a stable code.
        message: one or more sentences.
        step: the deciding step; None if no rule or policy decides, or if the branches end at
            different ones.
        leg: the leg of that step.
        remedy: how the verdict is usually changed, in one sentence; "" if there is no usual remedy.
        language: the language of `text` and `advice`.
    """

    code: ReasonCode
    message: Message
    step: Step | None = None
    leg: Leg | None = None
    remedy: Text = ""
    language: str = field(default_factory=current_language)

    def __str__(self) -> str:
        return self.text

    @property
    def text(self) -> str:
        """The sentences, in its language."""
        return self._told(self.message)

    @property
    def advice(self) -> str:
        """The remedy, in its language."""
        return self._told(self.remedy)

    def _told(self, text: Text) -> str:
        with language(self.language):
            return str(text)

    def as_json(self) -> dict[str, Any]:
        """Return the reason in the trace schema."""
        out: dict[str, Any] = {"code": self.code.value, "text": self.text, "rule": None}
        step = self.step
        if step is not None and step.table is not None:
            out["rule"] = {"table": step.table, "chain": step.chain, "rule": None}
            if step.rule is not None:
                out["rule"].update(rule=step.rule.position, line=step.rule.line, text=step.rule.shown)
            else:
                out["rule"]["policy"] = step.verdict
        elif step is not None and step.nftables is not None:
            out["nftables"] = step.nftables.as_json()
        if self.remedy:
            out["advice"] = self.advice
        return out
