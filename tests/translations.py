"""The catalogues of `iptsim/locales`, from the code: `python -m tests.translations` brings them up to date.

Messages that are new in the code are added without a translation, those that are gone are taken out, and the compiled
catalogue is regenerated. `tests/test_translations.py` fails until every message is translated.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from iptsim.languages import LOCALES

PACKAGE = Path(LOCALES).parent
PO = PACKAGE / "locales" / "zh_TW/LC_MESSAGES/iptsim.po"
MO = PO.with_suffix(".mo")
#: What takes messages (:mod:`iptsim.languages`, and `Phrase` of the extensions), and where these stand among its
#: arguments: the message; a message for one and one for many; a context and the message; two messages.
MESSAGES: dict[str, tuple[int, ...]] = {
    "message": (0,),
    "message_joined": (0,),
    "message_many": (0, 1),
    "message_as": (0, 1),
    "message_if": (1, 2),
    "say": (0,),
    "joined": (0,),
    "say_many": (0, 1),
    "say_as": (0, 1),
    "marked": (0,),
    "Phrase": (0, 1),
}

#: Those of :mod:`iptsim.extensions`, which take what belongs into an option, for errors.
OPTION_VALUES = (
    "Value", "bare_value", "choice", "choices", "icmp_value", "integer_value", "text_value", "word_value",
)  # fmt: skip
MESSAGES |= dict.fromkeys(OPTION_VALUES, (0,))

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


def _calls(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the functions that take messages as a module calls them, in the order of its lines, and the messages.

    Babel's own extraction finds a call within another one in some releases and not in others.
    """
    calls = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        name = getattr(call.func, "id", None) or getattr(call.func, "attr", None)
        texts = [
            call.args[place].value  # type: ignore[attr-defined]
            for place in MESSAGES.get(str(name), ())
            if place < len(call.args) and isinstance(call.args[place], ast.Constant)
        ]
        if name is not None and texts and all(isinstance(text, str) for text in texts):
            yield name, texts


def extracted() -> Catalog:
    """Return the messages that the code holds, untranslated."""
    found = _new()
    for path in sorted(PACKAGE.rglob("*.py")):
        where = [(f"iptsim/{path.relative_to(PACKAGE).as_posix()}", 1)]
        for name, texts in _calls(path):
            if name in ("message_many", "say_many"):
                found.add((texts[0], texts[1]), locations=where)
            elif name in ("message_as", "say_as"):
                found.add(texts[1], locations=where, context=texts[0])
            else:
                for text in texts:
                    found.add(text, locations=where)
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
