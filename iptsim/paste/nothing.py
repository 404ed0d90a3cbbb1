"""The error for a text without any known form: what it looks like, and what to run instead."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Descriptions of unknown texts, the most specific first.
_LOOKS = (
    (r"\A\s*<(?:!DOCTYPE|html|\?xml)", "an HTML or XML page"),
    (r"(?m)^(?:apiVersion|kind):", "a Kubernetes manifest"),
    (r"(?m)^services:", "a Compose file"),
    (r"\A\s*(?:\[\s*\{|\{\s*\")", "JSON"),
    (r"(?m)^#!.*\b(?:ba|da|z|k)?sh\b", "a shell script"),
    (r"(?m)^(?:from \w[\w.]* import|import \w|def \w+\(|class \w+)", "Python code"),
    (r"(?m)^(?:#include|package \w+;?$|func \w+\()", "program code"),
    (r"(?m)^(?:diff --git|@@ .* @@)", "a patch"),
    (r"(?m)^(?:#{1,6} \S|\* \S|- \[[ x]\]|\[[^\]]+\]\([^)]+\))", "Markdown"),
    (r"(?m)^[\w-]+:(?: |$)(?:.*\n)(?:[ -].*\n)*[\w-]+:", "YAML"),
    (r"(?m)^\[[\w .-]+\]\s*$", "a configuration file"),
)  # fmt: skip
_MAKE = "save the rules as root: iptables-save -c"


def nothing_read(name: str, texts: Mapping[str, str]) -> str:
    """Return the error for texts without any known form.

    Args:
        name: the name of the source.
        texts: its texts by name.
    """
    whole = "\n".join(texts.values())
    if len(texts) != 1 or name not in texts:
        return (
            f"{name}: there is no iptables-save.txt in it, nor another file with rules; "
            "save `iptables-save -c` there under that name, or make a capture with `iptsim collect`"
        )
    if not re.sub(r"(?m)^#.*$", "", whole).strip():
        return f"{name}: the file holds no table; make it again as root: iptables-save -c > {name}"
    looks = next((what for form, what in _LOOKS if re.search(form, whole)), "plain text")
    return f"{name}: this looks like {looks}, but it has no rules and no data about a host; {_MAKE}"
