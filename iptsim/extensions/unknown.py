"""Extensions that iptsim does not know: their words are kept, their effect is unknown."""

from typing import ClassVar

from iptsim.extensions.base import Extension, Match, Status, Target
from iptsim.extensions.constraints import undecided
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.predicates import Predicate, constrained
from iptsim.extensions.values import bare
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.languages import Text, message
from iptsim.truth import Unknown


class _Unknown(Extension):
    """What is kept of an extension: its name and its words."""

    status: ClassVar[Status] = "unknown"

    #: as the rule gives it; unlike other extensions, each instance has its own
    name: str  # type: ignore[misc]

    #: the options as the dump writes them, quotes included
    words: tuple[str, ...] = ()

    def save(self) -> str:
        """Return the words as they were."""
        return " ".join(self.words)

    def lists(self, form: ListingForm) -> str:
        """Return the words as they were: how iptables lists them is not known."""
        return f" {self.save()}" if self.words else ""


class UnknownMatch(_Unknown, Match):
    """A `-m NAME` that cannot be decided."""

    def predicates(self) -> tuple[Predicate, ...]:
        """Return one condition that is unknown."""
        text = " ".join(("-m", bare(self.name), *self.words))
        unknown = Unknown(
            message("-m {name}, which iptsim does not know", name=self.name), f"--assume {self.name}=yes"
        )
        got = message("iptsim does not know -m {name}", name=self.name)
        return (constrained(text, undecided(f"-m {self.name}", unknown, got)),)

    @property
    def unread(self) -> Text:
        """Its name in the rule."""
        return f"-m {self.name}"

    def says(self) -> Text:
        """Return the name."""
        return message("that match {condition}", condition=self.unread)


class UnknownTarget(_Unknown, Target):
    """A `-j NAME` with an unknown effect."""

    def apply(self, context: Context) -> Verdict | Unknown:
        """Return that the effect is unknown."""
        return Unknown(
            message("-j {name}, which iptsim does not know", name=self.name), f"--assume {self.name}=yes"
        )

    def says(self) -> Text:
        """Return the name."""
        return message("apply target {name}", name=self.name)


class ForeignTarget(UnknownTarget):
    """A target of other kernels that leaves every packet as it is."""

    status: ClassVar[Status] = "exact"
    changes: ClassVar[bool] = False

    def apply(self, context: Context) -> Verdict:
        """Let the packet meet the next rule."""
        return CONTINUE

    def says(self) -> Text:
        """Return what it does."""
        return message("let the later packets of the connection bypass the rules")


#: OpenWrt's target that lets the later packets of a connection bypass the rules (xt_FLOWOFFLOAD.c).
_FOREIGN = frozenset({"FLOWOFFLOAD"})


def unknown_target(name: str) -> type[UnknownTarget]:
    """Return the class of a target that iptsim does not know."""
    return ForeignTarget if name in _FOREIGN else UnknownTarget
