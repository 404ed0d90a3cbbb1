"""Pairs of sources to compare: two, each with one baseline, each before and after a change, or by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from iptsim.commands.many import inside_of, is_capture, sources_of
from iptsim.errors import CaptureError, UsageError
from iptsim.languages import message


@dataclass(frozen=True, slots=True)
class Pairs:
    """Sources, each of which is compared with another.

    Attributes:
        sources: the second of each pair.
        many: whether they were given as a list, even of one.
        first: the first of all pairs; "" for the source itself, before a change.
        folder: whether `first` is a directory with a source of the same name for each.
        other: the directory of the sources, if so.
    """

    sources: list[str]
    many: bool
    first: str = ""
    folder: bool = False
    other: str = ""

    def absolute(self) -> Pairs:
        """Return the pairs with absolute paths, for remote workers."""
        first, other = (os.path.abspath(one) if one else "" for one in (self.first, self.other))
        return replace(self, first=first, other=other)

    def before(self, source: str) -> str:
        """Return what a source is compared with.

        Raises:
            CaptureError: there is no source of that name in the other directory.
        """
        from iptsim.fleet import name_of

        if not self.folder:
            return self.first or source
        for folder in (self.first, self.other):
            if name_of(source) not in _by_name(folder):
                raise CaptureError(
                    message("{folder} contains no {name}", folder=folder, name=name_of(source))
                )
        return _by_name(self.first)[name_of(source)]


@lru_cache(2)
def _by_name(folder: str) -> dict[str, str]:
    """Return the sources in a directory by their names without endings."""
    from iptsim.fleet import name_of

    return {name_of(str(one)): str(one) for one in inside_of(Path(folder))}


def pairs_of(given: Sequence[str], against: str | None, *, changed: bool) -> Pairs:
    """Return which sources are compared.

    Args:
        given: the sources on the command line.
        against: the baseline, or None.
        changed: whether each source is compared with itself after changes.

    Raises:
        UsageError: the sources and options do not go together.
        CaptureError: a list cannot be read.
    """
    if against is not None and changed:
        raise UsageError(message("--against cannot be used with changes"))
    if against is not None:
        return Pairs(sources_of(given), True, against)
    sources = sources_of(given) if changed else []
    # of two sources and a change it is not clear what is compared
    if changed and (len(given) != 2 or sources != list(given)):
        return Pairs(sources, len(sources) > 1 or sources != list(given))
    if changed or len(given) != 2:
        raise UsageError(
            message(
                "give two sources, or one source and changes: iptsim diff SOURCE --whatif icc=false; to compare many "
                "with one: --against BASELINE"
            )
        )
    first, other = given
    if not all(_is_folder(one) for one in given):
        return Pairs([other], False, first)
    _by_name.cache_clear()
    names = {**_by_name(first), **_by_name(other)}
    return Pairs([names[name] for name in sorted(names)], True, first, True, other)


def _is_folder(word: str) -> bool:
    """Return whether a word is a directory of sources, not one source."""
    path = Path(word)
    return os.path.isdir(path) and not is_capture(path) and bool(inside_of(path))
