"""The catalogues of `iptsim/locales`, from the code: `python -m tests.translations` brings them up to date.

Messages that are new in the code are added without a translation, those that are gone are taken out, and the compiled
catalogue is written anew. `tests/test_translations.py` fails until every message is translated.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from iptsim.languages import LOCALES

PACKAGE = LOCALES.parent
PO = LOCALES / "zh_TW/LC_MESSAGES/iptsim.po"
MO = PO.with_suffix(".mo")
#: The functions of :mod:`iptsim.languages` that take messages, and where these stand among their arguments.
KEYWORDS = {
    "say": None,
    "later": None,
    "joined": None,
    "later_joined": None,
    "say_many": (1, 2),
    "say_as": ((1, "c"), 2),
}

_HEADER = b"""\
# iptsim in Traditional Chinese, as it is written in Taiwan.
msgid ""
msgstr ""
"Language: zh_TW\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: nplurals=1; plural=0;\\n"

"""


def _new() -> Catalog:
    # no time of day in a file that is committed
    day = datetime(2026, 1, 1, tzinfo=UTC)
    return Catalog(locale="zh_TW", charset="utf-8", creation_date=day, revision_date=day)


def extracted() -> Catalog:
    """Return the messages that the code holds, untranslated."""
    found = _new()
    for name, _, message, _, context in extract_from_dir(PACKAGE, [("**.py", "python")], keywords=KEYWORDS):
        found.add(message, locations=[(f"iptsim/{name}", 1)], context=context)
    # both messages of a call stand for themselves
    for name, _, both, _, _ in extract_from_dir(PACKAGE, [("**.py", "python")], keywords={"say_if": (2, 3)}):
        for message in both:
            found.add(message, locations=[(f"iptsim/{name}", 1)])
    return found


def saved() -> Catalog:
    """Return the catalogue that is committed."""
    with PO.open("rb") as file:
        return read_po(file, locale="zh_TW")


def messages(catalogue: Catalog) -> Iterator[tuple[tuple[str | None, str], Message]]:
    """Yield the messages of a catalogue, its header left out, by context and English text (singular)."""
    for message in catalogue:
        if message.id:
            yield (message.context, message.id if isinstance(message.id, str) else message.id[0]), message


def strings(message: Message) -> tuple[str, ...]:
    """Return the translations of a message: one, or one a plural form; none where it is not translated."""
    found = (message.string,) if isinstance(message.string, str) else tuple(message.string or ())
    return tuple(filter(None, found))


def update(known: Catalog) -> Catalog:
    """Write the catalogue and its compiled form: the messages of the code with the translations that are known."""
    translations = {key: message.string for key, message in messages(known)}
    catalogue = extracted()
    for key, message in messages(catalogue):
        message.string = translations.get(key) or message.string
    text, compiled = io.BytesIO(), io.BytesIO()
    write_po(text, catalogue, width=110, omit_header=True, sort_by_file=True, include_lineno=False)
    write_mo(compiled, catalogue)
    PO.write_bytes(_HEADER + text.getvalue())
    MO.write_bytes(compiled.getvalue())
    return catalogue


if __name__ == "__main__":
    left = [message for _, message in messages(update(saved())) if not strings(message)]
    print(f"{len(left)} messages are not translated")
