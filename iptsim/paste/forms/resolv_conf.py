"""resolv.conf: the name servers of the host, or of a container (resolv.conf(5))."""

from __future__ import annotations

import re

from iptsim.paste.lines import Line
from iptsim.paste.pieces import Resolver, Segment
from iptsim.paste.prompts import Command

_SERVER = re.compile(
    r"\s*nameserver\s+(?:\d+(?:\.\d+){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]*(?:%\S+)?)\s*(?:[#;].*)?$"
)
_OTHER = re.compile(r"\s*(?:search|domain|options|sortlist)\s+\S|\s*[#;]")

#: Lines that such a file has at most.
_MOST = 40


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the resolv.conf that starts at a line, or None."""
    if re.match(r"\s*[#;]", lines[at].text):
        return None
    end = at
    while end < len(lines) and (_SERVER.match(lines[end].text) or _OTHER.match(lines[end].text)):
        if end - at > _MOST:
            return None
        end += 1
    read = lines[at:end]
    if not any(_SERVER.match(line.text) for line in read):
        return None
    text = "".join(f"{line.text.strip()}\n" for line in read)
    return Segment("resolv.conf", "resolv.conf", at, end - 1, [Resolver(text, _container(command))])


def _container(command: Command | None) -> str:
    """Return the container in which a command printed the file: `docker exec -it web cat /etc/resolv.conf`."""
    if command is None or command.program not in ("docker", "podman") or "exec" not in command.words:
        return ""
    words = command.words[command.words.index("exec") + 1 :]
    return next((word for word in words if not word.startswith("-")), "")
