"""The stable codes of findings, most serious first, each with its severity and its meaning.

Each severity has a module, and each new code an entry in one of them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from iptsim.findings.codes import critical, high, info, low, medium
from iptsim.languages import Message

Severity = Literal["critical", "high", "medium", "low", "info"]
#: Most serious first.
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


class Kind(NamedTuple):
    """What all findings of a code have in common.

    Attributes:
        severity: one of :data:`SEVERITIES`; the module of each says what it means.
        meaning: one sentence.
    """

    severity: Severity
    meaning: Message


_MEANINGS: dict[Severity, dict[str, Message]] = {
    "critical": critical.MEANINGS,
    "high": high.MEANINGS,
    "medium": medium.MEANINGS,
    "low": low.MEANINGS,
    "info": info.MEANINGS,
}
#: All codes, most serious first. `docs/findings.md` is made from this table.
CODES: dict[str, Kind] = {
    code: Kind(severity, meaning)
    for severity, meanings in _MEANINGS.items()
    for code, meaning in meanings.items()
}
