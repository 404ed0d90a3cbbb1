"""Checks on the options of one extension that several extensions share."""

from __future__ import annotations

from iptsim.extensions.base import Extension
from iptsim.languages import message


def given(extension: Extension, *fields: str) -> list[str]:
    """Return those of `fields` whose options were given, in that order."""
    return [field for field in fields if _is_given(extension, field)]


def _is_given(extension: Extension, field: str) -> bool:
    value = getattr(extension, field)
    return value is not None and value is not False


def demand(extension: Extension, *fields: str) -> None:
    """Raise unless each of `fields` was given.

    Raises:
        ValueError: an option is missing.
    """
    for field in fields:
        if not _is_given(extension, field):
            raise ValueError(
                message("{name} needs {flags}", name=extension.name, flags=_flags(extension, (field,)))
            )


def demand_one(extension: Extension, *fields: str) -> None:
    """Raise unless exactly one of `fields` was given.

    Raises:
        ValueError: none was, or several were.
    """
    found = given(extension, *fields)
    if not found:
        raise ValueError(
            message("{name} needs one of {flags}", name=extension.name, flags=_flags(extension, fields))
        )
    if len(found) > 1:
        raise ValueError(message("{flags} are mutually exclusive", flags=_flags(extension, found)))


def _flags(extension: Extension, fields: tuple[str, ...] | list[str]) -> str:
    """Return the options that set `fields`, as they are written."""
    return ", ".join(
        next(option.flag for option in extension.options if option.field == field) for field in fields
    )
