"""The version of Docker: `docker version`, `docker --version` and `docker info` (docker(1))."""

from __future__ import annotations

import re

from iptsim.paste.lines import Line
from iptsim.paste.pieces import Facts, Segment
from iptsim.paste.prompts import Command

#: `docker --version` (the client's, which is usually the engine's), and a line of `docker info`.
_LINE = re.compile(r"\s*(?:Docker version (\d[\w.+~-]*),? build |Server Version: (\d[\w.+~-]*)\s*$)")
_SERVER = re.compile(r"Server:(?:\s|$)")
_VERSION = re.compile(r"\s+Version:\s+(\d[\w.+~-]*)\s*$")
#: How far below "Server:" the version of the engine is at most.
_MOST = 4


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the version of the engine that is at a line, or begins there, or None."""
    if (found := _LINE.match(lines[at].text)) is not None:
        return _segment(found[1] or found[2], at, at)
    if _SERVER.match(lines[at].text):
        for last in range(at + 1, min(at + _MOST, len(lines))):
            if (found := _VERSION.match(lines[last].text)) is not None:
                return _segment(found[1], at, last)
    return None


def _segment(version: str, first: int, last: int) -> Segment:
    text = f"Server: Docker Engine\n Engine:\n  Version: {version}\n"
    return Segment(
        "docker version", "docker version", first, last, [Facts({"docker-version.txt": text.encode()})]
    )
