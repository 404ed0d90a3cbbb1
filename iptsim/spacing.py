"""The spaces between pieces of a sentence: none between ideographs, one between an ideograph and a letter."""

from __future__ import annotations

#: Characters that stand on their own beside an ideograph, without a space.
_CLOSING, _OPENING = frozenset(",.:;)]}%…"), frozenset("([{")


def add_spaced(parts: list[str], text: str, *, literal: bool = False) -> None:
    """Add a piece; whether a space separates it from the text before depends on the two characters that meet.

    Only spaces of the message itself are changed: literal pieces never come from a dump.
    """
    if not text:
        return
    before = parts[-1] if parts else ""
    space = _space(before.rstrip(" ")[-1:], text.lstrip(" ")[:1])
    if space is not None:
        if literal:
            text = text.lstrip(" ")
        elif parts:
            parts[-1] = before.rstrip(" ")
        if space and not parts[-1].endswith(" ") and not text.startswith(" "):
            parts.append(space)
    parts.append(text)


def _space(left: str, right: str) -> str | None:
    """Return what belongs between two characters; None: whatever is there."""
    if not left or not right:
        return None
    kinds = _is_wide(left), _is_wide(right)
    if _is_full_stop(left) or _is_full_stop(right) or all(kinds):
        return ""
    if any(kinds) and left not in _OPENING and right not in _CLOSING:
        return " "
    return None


def _is_wide(character: str) -> bool:
    return "\u2e80" <= character <= "\u9fff" or "\uf900" <= character <= "\uff60" or character >= "\U00020000"


def _is_full_stop(character: str) -> bool:
    """Return whether a character is punctuation that brings its own space: 。，「（."""
    return "\u3000" <= character <= "\u303f" or "\uff00" <= character <= "\uff60"
