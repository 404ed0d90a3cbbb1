"""The names of known matches and targets: hints for unknown ones, and what looks like a target."""

from __future__ import annotations

from iptsim.extensions.registry import STANDARD, extension_names
from iptsim.languages import Text
from iptsim.suggestions import did_you_mean


def is_target_name(name: str) -> bool:
    """Return whether an unknown name after `-j` looks like a target rather than a chain: capitals and digits."""
    return name.isascii() and name.isalnum() and name.isupper()


def target_names() -> list[str]:
    """Return the names of all known targets."""
    return [*STANDARD, *(module.upper() for module in extension_names("targets"))]


def nearest_match(name: str) -> Text:
    """Return a hint about a known match with a similar name, or ""."""
    return did_you_mean(name, extension_names("matches"), 0.7, before="-m ")


def nearest_target(name: str) -> Text:
    """Return a hint about a known target with a similar name, or ""."""
    return did_you_mean(name, target_names(), 0.7, before="-j ")
