"""What surrounds a packet, as a test states it."""

from __future__ import annotations

from typing import Any

from iptsim.addresses import Family
from iptsim.extensions.context import Context
from iptsim.truth import Truth, Unknown


class World:
    """Surroundings that know some facts; to ask for anything else is an error, unless a test knows the answer."""

    def __init__(self, facts: dict[str, Any] | None = None) -> None:
        self.facts = facts or {}

    def fact(self, name: str) -> Any:
        return self.facts.get(name)

    def path_mtu(self, context: Context) -> int | None:
        return self.facts.get("path_mtu")

    def address_type(self, family: Family, address: int, interface: str | None) -> str | Unknown:
        raise NotImplementedError

    def reverse_path(self, context: Context, **options: bool) -> Truth:
        raise NotImplementedError

    def set_contains(self, name: str, directions: tuple[str, ...], context: Context, options: Any) -> Truth:
        raise NotImplementedError

    def recent(self, name: str) -> dict[int, list[float]] | None:
        raise NotImplementedError

    def change_set(
        self,
        name: str,
        directions: tuple[str, ...],
        action: str,
        context: Context,
        *,
        overwrite: bool = False,
    ) -> bool:
        raise NotImplementedError
