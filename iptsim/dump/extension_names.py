"""The names of known matches and targets: hints for unknown ones, and what looks like a target."""

from __future__ import annotations

import difflib

from iptsim.extensions.registry import STANDARD, extension_names
from iptsim.languages import Text, message


def is_target_name(name: str) -> bool:
    """Return whether an unknown name after `-j` looks like a target rather than a chain: capitals and digits."""
    return name.isascii() and name.isalnum() and name.isupper()


def target_names() -> list[str]:
    """Return the names of all known targets."""
    return [*STANDARD, *(module.upper() for module in extension_names("targets"))]


def nearest_match(name: str) -> Text:
    """Return a hint about a known match with a similar name, or ""."""
    near = difflib.get_close_matches(name, extension_names("matches"), 1, 0.7)
    return message("did you mean {near}?", near=f"-m {near[0]}") if near else ""


def nearest_target(name: str) -> Text:
    """Return a hint about a known target with a similar name, or ""."""
    near = difflib.get_close_matches(name, target_names(), 1, 0.7)
    return message("did you mean {near}?", near=f"-j {near[0]}") if near else ""
