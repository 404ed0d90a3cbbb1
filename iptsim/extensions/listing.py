"""How `iptables -nL` lists rules: the form that a version gives them, and phrases that several extensions share.

Each extension has its own format there (`print` in iptables' extensions/lib*.c), which has little in common with the
output of iptables-save: :meth:`iptsim.extensions.base.Extension.lists`. What differs between versions was read from the
sources of iptables 1.4.21 to 1.8.13.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

#: The last version whose listings are known; it is assumed for a dump that names no version.
NEWEST = (1, 8, 13)
WHOLE_PORTS = (0, 0xFFFF)


class ListingForm(NamedTuple):
    """The iptables that prints a listing: its output depends on the version, and in two places on the backend.

    Attributes:
        version: of iptables.
        backend: "nf_tables" or "legacy".
        family: 4 or 6.
    """

    version: tuple[int, ...] = NEWEST
    backend: str = "nf_tables"
    family: int = 4

    @classmethod
    def of(cls, version: str | None, backend: str, family: int) -> ListingForm:
        """Return the form of a version as a dump's header writes it: "1.8.9"; None for the newest.

        >>> ListingForm.of("1.8.9", "legacy", 4).version
        (1, 8, 9)
        """
        numbers = tuple(int(number) for number in re.findall(r"[0-9]{1,9}", version or ""))
        return cls(numbers or NEWEST, backend, family)

    def since(self, *version: int) -> bool:
        """Return whether this is that version or a later one.

        >>> ListingForm((1, 8, 9)).since(1, 8, 10), ListingForm((1, 8, 9)).since(1, 8)
        (False, True)
        """
        return self.version >= version


def listed_range(name: str, span: tuple[int, int], not_: str = "") -> str:
    """Return a number or a range: the name, in the plural for a range, and a colon.

    >>> listed_range("spi", (5, 5)), listed_range("spi", (1, 9), "!")
    ('spi:5', 'spis:!1:9')
    """
    low, high = span
    return f"{name}:{not_}{low}" if low == high else f"{name}s:{not_}{low}:{high}"


def range_lister(name: str, before: str = "") -> Callable[[tuple[int, int], bool], str]:
    """Return a function that lists an option with a number or a range, after the text `before`."""

    def lister(span: tuple[int, int], negated: bool) -> str:
        return before + listed_range(name, span, "!" if negated else "")

    return lister


_NEGATED = re.compile(r"\[([^]|]*)(?:\|([^]]*))?\]")


def listed(template: str, text: str, value: object, negated: bool) -> str:
    """Fill the template for an option's text in a listing.

    Args:
        template: `{value}` is replaced by `text`, `{raw}` by the value without quotes; a part in brackets appears only
            with a `!`, and what follows a `|` in it only without one.
        text: the value as iptables-save prints it.
        value: the value.
        negated: whether a `!` precedes the option.

    >>> listed(" cpu [! ]{value}", "3", 3, True), listed(" TTL [!=|==] {value}", "64", 64, False)
    (' cpu ! 3', ' TTL == 64')
    """
    plain = _NEGATED.sub(lambda found: found[1] if negated else found[2] or "", template)
    return plain.replace("{value}", text).replace("{raw}", str(value))
