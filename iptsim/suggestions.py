"""Suggestions for a wrong word: the known word that is most similar."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from iptsim.languages import Message, Text, message, message_joined

#: Comparing takes long for long words, and a user mistypes no word of more characters.
_LONGEST = 80


def nearest(word: object, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return the most similar of some known words, the first of several, in any case; "" if none is similar.

    >>> nearest("intput", ["INPUT", "FORWARD"]), nearest("web", ["INPUT", "FORWARD"])
    ('INPUT', '')

    Args:
        word: the wrong word.
        known: the known words.
        likeness: how similar the words must be, from 0 to 1 for equal ones.
    """
    from difflib import SequenceMatcher

    matcher, found, best = SequenceMatcher(b=str(word)[:_LONGEST].lower()), "", likeness - 1e-9
    for one in known:
        matcher.set_seq1(one.lower())
        if matcher.quick_ratio() > best and (ratio := matcher.ratio()) > best:
            found, best = one, ratio
    return found


def is_slip(word: str, meant: str) -> bool:
    """Return whether a word has the letters of another in another order, lacks one of them, or has one twice.

    >>> is_slip("ACCPET", "ACCEPT"), is_slip("ACEPT", "ACCEPT"), is_slip("DROPP", "DROP"), is_slip("DROPX", "DROP")
    (True, True, True, False)
    """
    if len(word) == len(meant):
        return word != meant and sorted(word) == sorted(meant)
    longer, shorter = (word, meant) if len(word) > len(meant) else (meant, word)
    lacking = [longer[:at] + longer[at + 1 :] for at in range(len(longer))]
    if longer is meant:
        return shorter in lacking
    return any(one == shorter and longer[at] in longer[at + 1 : at + 2] for at, one in enumerate(lacking))


def slip_of(word: str, known: Iterable[str]) -> str:
    """Return the first of some known words that a word is a slip of, see :func:`is_slip`; "" if there is none.

    >>> slip_of("ACCPET", ["DROP", "ACCEPT"])
    'ACCEPT'
    """
    return next((one for one in known if is_slip(word, one)), "")


def did_you_mean(word: object, known: Iterable[str], likeness: float = 0.6, *, before: str = "") -> Text:
    """Return a hint with the most similar known word, after the text `before`; "" if none is similar."""
    near = nearest(word, known, likeness)
    return message("did you mean {near}?", near=before + near) if near else ""


def choose_from(fault: Text, word: object, known: Collection[str], choices: Text = "") -> Message:
    """Return an error followed by the most similar known word, if any, and by what can be chosen instead.

    Args:
        fault: what is wrong.
        word: the wrong word.
        known: the known words.
        choices: what can be chosen, if not just the known words.
    """
    near, choices = nearest(word, known), choices or ", ".join(known)
    if near:
        return message(
            "{fault}; did you mean {near}? Choose from: {choices}", fault=fault, near=near, choices=choices
        )
    return message("{fault}; choose from: {choices}", fault=fault, choices=choices)


def with_suggestion(
    fault: Text, word: object, known: Iterable[str], otherwise: Text = "", likeness: float = 0.6
) -> Message:
    """Return an error followed by a hint with the most similar known word, or by other advice if none is similar."""
    return message_joined("; ", (fault, did_you_mean(word, known, likeness) or otherwise))


def suggest_or_list(fault: Text, word: object, known: Collection[str]) -> Message:
    """Return an error followed by the most similar known word, or by all of them if none is similar."""
    return with_suggestion(fault, word, known, message("choose from: {choices}", choices=", ".join(known)))
