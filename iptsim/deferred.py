"""Messages that are made when they are first needed: most reasons of many answers are never shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ParamSpec

from iptsim.languages import Message, Text, message_sentences

_P = ParamSpec("_P")


class _Deferred(Message):
    """A message that is made when it is first needed; a copy or a pickle has the message itself."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Text]) -> None:
        self._make: Callable[[], Text] | None = make
        self._made: Text = ""

    def _now(self) -> Text:
        make = self._make
        if make is not None:
            # from then on, what it was made from is no longer kept
            self._made = make()
            self._make = None
        return self._made

    def __str__(self) -> str:
        return str(self._now())

    def __bool__(self) -> bool:
        return bool(self._now())

    def __eq__(self, other: object) -> bool:
        return self._now() == (other._now() if isinstance(other, _Deferred) else other)

    def __hash__(self) -> int:
        return hash(self._now())

    def __repr__(self) -> str:
        return repr(self._now())

    def __reduce__(self) -> tuple[Callable[..., Message], tuple[Text, ...]]:
        return message_sentences, (self._now(),)


def deferred(make: Callable[_P, Text], *given: _P.args, **named: _P.kwargs) -> Message:
    """Return a message that is made when it is first needed.

    Args:
        make: returns it, the same at any time.
        given / named: its arguments.
    """
    return _Deferred(partial(make, *given, **named))
