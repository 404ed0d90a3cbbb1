"""Extensions that iptsim does not know: their words are kept, their effect is unknown."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

from iptsim.extensions.base import Match, Predicate, Status, Target
from iptsim.extensions.listing import ListingForm
from iptsim.languages import later, say
from iptsim.packet import Context, Truth, Unknown


class UnknownMatch(Match):
    """A `-m NAME` that nobody can decide. Make the class for a name with :func:`unknown_match`."""

    status: ClassVar[Status] = "unknown"

    #: the options as the dump writes them, quotes included
    words: tuple[str, ...] = ()

    def save(self) -> str:
        """Return the words as they were."""
        return " ".join(self.words)

    def predicates(self) -> tuple[Predicate, ...]:
        """Return one condition that is unknown."""
        text = " ".join(("-m", self.name, *self.words))

        def test(context: Context) -> Truth:
            return self._unknown()

        return (Predicate(text, test, lambda context: say("iptsim does not know -m {name}", name=self.name)),)

    def lists(self, form: ListingForm) -> str:
        """Return the words as they were: how iptables lists them is not known."""
        return f" {self.save()}" if self.words else ""

    def says(self) -> str:
        """Return the name."""
        return say("for which -m {name} holds", name=self.name)

    def _unknown(self) -> Unknown:
        return Unknown(
            later("-m {name}, which iptsim does not know", name=self.name), f"--assume {self.name}=yes"
        )

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _remake, (unknown_match, self.name, self.words)


class UnknownTarget(Target):
    """A `-j NAME` with an effect that nobody can tell. Make the class for a name with :func:`unknown_target`."""

    status: ClassVar[Status] = "unknown"

    #: the options as the dump writes them, quotes included
    words: tuple[str, ...] = ()

    def save(self) -> str:
        """Return the words as they were."""
        return " ".join(self.words)

    def apply(self, context: Context) -> Unknown:
        """Return that the effect is unknown."""
        return Unknown(
            later("-j {name}, which iptsim does not know", name=self.name), f"--assume {self.name}=yes"
        )

    def lists(self, form: ListingForm) -> str:
        """Return the words as they were: how iptables lists them is not known."""
        return f" {self.save()}" if self.words else ""

    def says(self) -> str:
        """Return the name."""
        return say("do what target {name} does", name=self.name)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _remake, (unknown_target, self.name, self.words)


@cache
def unknown_match(name: str) -> type[UnknownMatch]:
    """Return the class of the unknown match `name`."""
    return type("UnknownMatch", (UnknownMatch,), {"name": name, "__module__": __name__})


@cache
def unknown_target(name: str) -> type[UnknownTarget]:
    """Return the class of the unknown target `name`."""
    return type("UnknownTarget", (UnknownTarget,), {"name": name, "__module__": __name__})


def _remake(make: Callable[[str], Callable[..., Any]], name: str, words: tuple[str, ...]) -> Any:
    return make(name)(words=words)
