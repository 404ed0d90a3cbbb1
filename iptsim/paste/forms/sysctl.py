"""`sysctl`: kernel parameters, the files of /proc/sys, as `cat` prints and `echo` writes them, and Docker's warnings.

Sources: moby, daemon/info_unix.go (fillSysInfo); docker/cli, "Networking will not work".
"""

from __future__ import annotations

import re

from iptsim.paste.lines import Line
from iptsim.paste.pieces import Facts, Segment
from iptsim.paste.prompts import Command

_ASSIGNMENT = re.compile(r"\s*((?:net|kernel|fs|vm)(?:[./][\w-]+)+)\s*=\s*(-?\d+(?:\s+-?\d+)*)\s*$")
_FILE = re.compile(r"/proc/sys/(net/[\w/.-]+)")
#: Commands that set a parameter, also after a prompt or in /etc/network/interfaces.
_WRITTEN = re.compile(
    r"(?:^|[\s;&=])sysctl\s+(?:-[a-z]+\s+|--\w+\s+)*(?P<name>net[./][\w./-]+)=[\"']?(?P<set>-?\d+)[\"']?\s*$"
    r"|(?:^|[\s;&=\"'])echo\s+[\"']?(?P<echoed>-?\d+)[\"']?\s*(?:>|\|\s*(?:sudo\s+)?tee\s)\s*/proc/sys/(?P<file>net/[\w/.-]+)"
    r"[\"']?\s*$"
)
#: What `docker info` and `docker run` say of parameters that are off.
_OFF = (
    (re.compile(r"WARNING: IPv4 forwarding is disabled"), "net.ipv4.ip_forward"),
    (re.compile(r"WARNING: bridge-nf-call-iptables is disabled"), "net.bridge.bridge-nf-call-iptables"),
    (re.compile(r"WARNING: bridge-nf-call-ip6tables is disabled"), "net.bridge.bridge-nf-call-ip6tables"),
)


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the kernel parameters that start at a line, or None."""
    found: dict[str, str] = {}
    first = last = at
    if command is not None and command.program == "cat" and (file := _FILE.search(command.text)):
        if not re.fullmatch(r"\s*-?\d+\s*", lines[at].text):
            return None
        found[file[1].replace("/", ".")] = lines[at].text.strip()
    while at < len(lines) and (assigned := _assigned(lines[at].text)):
        found[assigned[0].replace("/", ".")] = assigned[1]
        last = at
        at += 1
    if not found:
        return None
    text = "".join(f"{name} = {value}\n" for name, value in found.items())
    return Segment("sysctl", "sysctl", first, last, [Facts({"sysctl.txt": text.encode()})])


def _assigned(text: str) -> tuple[str, str] | None:
    """Return the parameter and the value that a line shows or sets; None for a line that is commented out."""
    if shown := _ASSIGNMENT.match(text):
        return shown[1], shown[2]
    if "WARNING: " in text and (off := next((name for words, name in _OFF if words.search(text)), None)):
        return off, "0"
    written = _WRITTEN.search(text) if not text.lstrip().startswith("#") else None
    if written is None:
        return None
    return (written["name"], written["set"]) if written["name"] else (written["file"], written["echoed"])
