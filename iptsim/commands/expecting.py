"""`--expect`: checks whether an answer is as expected, on the command line and in batch lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from iptsim.commands.common import ANSWERED, DIFFERS
from iptsim.languages import say

if TYPE_CHECKING:
    from iptsim.explanation import Explanation


def assume_listening(wanted: str, explanation: Explanation) -> None:
    """Add to an answer what its expectation assumes."""
    from iptsim.explanation.expectation import assumption_of

    if assumption := assumption_of(wanted, explanation):
        explanation.assumed.append(assumption)


def expected(wanted: str | None, explanation: Explanation, where: str = "") -> int:
    """Return the exit status for an answer; if it is not as expected, print that on standard error.

    Args:
        wanted: one of :data:`iptsim.explanation.expectation.EXPECTATIONS`, or None for no expectation.
        where: the line of a batch, for the message.
    """
    if wanted is None:
        return ANSWERED
    from iptsim.explanation.expectation import is_met, is_refused

    if is_met(wanted, explanation):
        return ANSWERED
    if is_refused(explanation):
        text = say(
            "{where}expected {wanted}, but the connection is refused", where=where, wanted=wanted.upper()
        )
    else:
        text = say(
            "{where}expected {wanted}, but the verdict is {verdict}",
            where=where,
            wanted=wanted.upper(),
            verdict=explanation.verdict,
        )
    print(f"iptsim: {text}", file=sys.stderr)
    return DIFFERS
