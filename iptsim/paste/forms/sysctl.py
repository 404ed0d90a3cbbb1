"""`sysctl`: kernel parameters, the files of /proc/sys, as `cat` prints and `echo` writes them, and Docker's warnings.

Sources: moby, daemon/info_unix.go (fillSysInfo); docker/cli, "Networking will not work".
"""

from __future__ import annotations

import re

from iptsim.host.namespace import parameter_name
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Facts, Segment
from iptsim.paste.prompts import Command

#: What segments of kernel parameters are called.
FORM = "sysctl"
_ASSIGNMENT = re.compile(r"\s*((?:net|kernel|fs|vm)(?:[./][\w-]+)+)\s*=\s*(-?\d+(?:\s+-?\d+)*)\s*$")
_FILE = re.compile(r"/proc/sys/(net/[\w/.-]+)")
#: Commands that set a parameter, also after a prompt or in /etc/network/interfaces.
_WRITTEN = re.compile(
    r"(?:^|[\s;&=])sysctl\s+(?:-[a-z]+\s+|--\w+\s+)*(?P<name>net[./][\w./-]+)=[\"']?(?P<set>-?\d+)[\"']?\s*$"
    r"|(?:^|[\s;&=\"'])echo\s+[\"']?(?P<echoed>-?\d+)[\"']?\s*(?:>|\|\s*(?:sudo\s+)?tee\s)\s*/proc/sys/(?P<file>net/[\w/.-]+)"
    r"[\"']?\s*$"
)
#: What `docker info` and `docker run` say of parameters that are off.
_OFF = {
    "IPv4 forwarding": "net.ipv4.ip_forward",
    "bridge-nf-call-iptables": "net.bridge.bridge-nf-call-iptables",
    "bridge-nf-call-ip6tables": "net.bridge.bridge-nf-call-ip6tables",
}
#: The whole line, perhaps after what a log puts before it; in a sentence, the words are only quoted.
_WARNING = re.compile(
    r"\s*(?:time=\S+ level=\w+ msg=\"|(?:[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) (?:\S+ )?(?:\S+: )?)?"
    rf"WARNING: (?P<off>{'|'.join(_OFF)}) is disabled\b"
)


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the kernel parameters that start at a line, or None."""
    found: dict[str, str] = {}
    off: list[str] = []
    first = last = at
    if command is not None and command.program == "cat" and (file := _FILE.search(command.text)):
        if not re.fullmatch(r"\s*-?\d+\s*", lines[at].text):
            return None
        found[parameter_name(file[1])] = lines[at].text.strip()
    while at < len(lines):
        if assigned := _assigned(lines[at].text):
            found[parameter_name(assigned[0])] = assigned[1]
        elif warning := _WARNING.match(lines[at].text):
            off.append(_OFF[warning["off"]])
        else:
            break
        last = at
        at += 1
    pieces = [_facts(dict.fromkeys(off, "0"), told=True), _facts(found, told=False)]
    shown = [one for one in pieces if one is not None]
    return Segment(FORM, FORM, first, last, [*shown]) if shown else None


def parameter_of(text: str) -> str:
    """Return the name of the kernel parameter that a line shows or sets; "" for another line.

    >>> parameter_of("$ sudo sysctl -w net.ipv4.ip_forward=1"), parameter_of("net.ipv4.ip_forward = 0")
    ('net.ipv4.ip_forward', 'net.ipv4.ip_forward')
    """
    if assigned := _assigned(text):
        return parameter_name(assigned[0])
    warning = _WARNING.match(text)
    return _OFF[warning["off"]] if warning else ""


def is_written(text: str) -> bool:
    """Return whether a line is a command that sets a parameter."""
    return _ASSIGNMENT.match(text) is None and _assigned(text) is not None


def prints(lines: list[Line], at: int) -> bool:
    """Return whether a line is a command that sets a parameter, and the next one is what it prints."""
    if not 0 <= at < len(lines) - 1 or not is_written(lines[at].text):
        return False
    following = lines[at + 1].text
    return _ASSIGNMENT.match(following) is not None and _assigned(following) == _assigned(lines[at].text)


def _facts(values: dict[str, str], *, told: bool) -> Facts | None:
    text = "".join(f"{name} = {value}\n" for name, value in values.items())
    return Facts({"sysctl.txt": text.encode()}, told) if text else None


def _assigned(text: str) -> tuple[str, str] | None:
    """Return the parameter and the value that a line shows or sets; None for a line that is commented out."""
    if shown := _ASSIGNMENT.match(text):
        return shown[1], shown[2]
    written = _WRITTEN.search(text) if not text.lstrip().startswith("#") else None
    if written is None:
        return None
    return (written["name"], written["set"]) if written["name"] else (written["file"], written["echoed"])
