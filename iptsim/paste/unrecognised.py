"""The error for a text without any known form: what it looks like, and what to run instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from iptsim.errors import CaptureError
from iptsim.languages import Message, message
from iptsim.reading import JsonFault, parse_json

_JSON = r"\A\s*(?:\[\s*\{|\{\s*\")"
#: Descriptions of unknown texts, the most specific first.
_LOOKS = (
    (r"\A\s*<(?:!DOCTYPE|html|\?xml)", message("an HTML or XML page")),
    (r"(?m)^(?:apiVersion|kind):", message("a Kubernetes manifest")),
    (r"(?m)^services:", message("a Compose file")),
    (_JSON, message("JSON")),
    (r"(?m)^#!.*\b(?:ba|da|z|k)?sh\b", message("a shell script")),
    (r"(?m)^(?:from \w[\w.]* import|import \w|def \w+\(|class \w+)", message("Python code")),
    (r"(?m)^(?:#include|package \w+;?$|func \w+\()", message("program code")),
    (r"(?m)^(?:diff --git|@@ .* @@)", message("a patch")),
    (r"(?m)^(?:#{1,6} \S|\* \S|- \[[ x]\]|\[[^\]]+\]\([^)]+\))", message("Markdown")),
    (r"(?m)^[\w-]+:(?: |$)(?:.*\n)(?:[ -].*\n)*[\w-]+:", message("YAML")),
    (r"(?m)^\[[\w .-]+\]\s*$", message("a configuration file")),
)  # fmt: skip

#: So many characters, and lines, tell whether a text is a list of files.
_FIRST, _LINES = 2000, 5


def nothing_read(name: str, texts: Mapping[str, str]) -> CaptureError:
    """Return the error for texts without any known form.

    Args:
        name: the name of the source.
        texts: its texts by name.
    """
    wrong = _wrong_json(name, texts[name]) if [*texts] == [name] else None
    return wrong or CaptureError(_what_it_is(name, texts))


def _what_it_is(name: str, texts: Mapping[str, str]) -> Message:
    whole = "\n".join(texts.values())
    if len(texts) != 1 or name not in texts:
        return message(
            "{name}: there is no iptables-save.txt in it, nor another file with rules; "
            "save `iptables-save -c` there under that name, or make a capture with `iptsim collect`",
            name=name,
        )
    if not whole.strip():
        return message(
            "{name}: the file is empty; save it again as root: iptables-save -c > {name}", name=name
        )
    if not re.sub(r"(?m)^#.*$", "", whole).strip():
        return message(
            "{name}: the file has no table; save it again as root: iptables-save -c > {name}", name=name
        )
    if _lists_files(name, whole):
        return message(
            "{name}: this is a list of files; to read the sources that it names, write @{name} "
            "(iptsim lint, check, reach)",
            name=name,
        )
    looks = next((what for form, what in _LOOKS if re.search(form, whole)), message("plain text"))
    return message(
        "{name}: this looks like {looks}, but it has no rules and no data about a host; save the rules as root: "
        "iptables-save -c",
        name=name,
        looks=looks,
    )


def _wrong_json(name: str, text: str) -> CaptureError | None:
    """Return what is wrong with a text that is JSON except for a mistake, and where; None for another text."""
    if not re.match(_JSON, text):
        return None
    data = text.encode()
    try:
        parse_json(data)
    except JsonFault as fault:
        return fault.pointed(data, name)
    except ValueError:
        return None
    return None


def _lists_files(name: str, text: str) -> bool:
    """Return whether the first lines of a file are names of files, as in a list of sources."""
    lines = [line.strip() for line in text[:_FIRST].splitlines()[:_LINES]]
    names = [line for line in lines if line and not line.startswith("#")]
    folder = Path(name).parent
    try:
        return bool(names) and all((folder / one).exists() for one in names)
    except (OSError, ValueError):  # no name of a file
        return False
