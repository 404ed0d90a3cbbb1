"""The three truth values: true, false, and unknown with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from iptsim.languages import Text


class Unknown(NamedTuple):
    """The third truth value: the dump, the capture and the question do not determine the result.

    Attributes:
        reason: why, as a phrase that follows "depends on": "the contents of ipset blocklist".
        decide: what would decide it, as a phrase that follows "ask again with": "--assume limit=yes" or
            "ipset-save.txt in the capture".
        key: equal keys must go the same way within one walk (set membership, the owner); an empty
            key represents a new decision each time (limit, statistic).
        learn: takes the decision, if more than this result follows from it.
    """

    reason: Text
    decide: Text = ""
    key: tuple[Any, ...] = ()
    learn: Callable[[bool], None] | None = None


#: True, False, or Unknown with its reason. There is no other way to express "maybe".
Truth = bool | Unknown


def negate(truth: Truth) -> Truth:
    """Return the negation; a negated Unknown is Unknown."""
    if not isinstance(truth, Unknown):
        return not truth
    learn = truth.learn
    return truth if learn is None else truth._replace(learn=lambda result: learn(not result))
