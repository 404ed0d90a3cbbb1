"""The script that saves a capture on a host without iptsim; `iptsim collect` prints it."""

from __future__ import annotations

from importlib.resources import files

#: Where the script has saved all files, and has not packed them yet.
_PACK = "# -- pack "
_REDACT = """# -- redact --------------------------------------------------------------------------------------------

rm -f "$directory/.error"
say "replacing addresses, names and MACs"
python3 - "$(od -An -tx1 -N32 /dev/urandom | tr -d ' \\n')" "$directory" <<'REDACTION' ||
{program}REDACTION
    give_up 1 "python3 failed"

"""
_NEEDS_PYTHON = """if ! command -v python3 >/dev/null 2>&1; then
    echo "$0: there is no python3 here, which replaces the addresses; save a capture, and use iptsim redact" >&2
    exit 2
fi
"""
#: The first step that leaves something behind.
_FIRST = "directory=${1:-"


def script(*, redact: bool = False) -> str:
    """Return the text of the script, for a POSIX shell.

    Args:
        redact: the script replaces what identifies the host's owner, by :mod:`iptsim.redaction`; this requires Python.
    """
    text = (files("iptsim.host") / "collect.sh").read_text(encoding="utf-8")
    if not redact:
        return text
    program = (files("iptsim") / "redaction.py").read_text(encoding="utf-8")
    text = text.replace("iptsim-$(uname -n)-", "iptsim-").replace(_FIRST, _NEEDS_PYTHON + _FIRST, 1)
    return text.replace(_PACK, _REDACT.replace("{program}", program) + _PACK, 1)
