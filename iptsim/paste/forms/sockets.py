"""`ss -lntup` and `netstat -lntup`: which programs listen."""

from __future__ import annotations

import re

from iptsim.host.sockets import read_listeners
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Facts, Segment
from iptsim.paste.prompts import Command

_HEADING = re.compile(r"\s*(?:Netid\s+State|State\s+Recv-Q|Proto\s+Recv-Q|Active Internet connections)")
#: ss with the type of socket, ss without it (only -t or -u), netstat.
_SS = re.compile(r"\s*(tcp|udp)\s+(LISTEN|UNCONN)\s+\d+\s+\d+\s+\S+\s+\S+")
_BARE_SS = re.compile(r"\s*(LISTEN|UNCONN)\s+\d+\s+\d+\s+\S+\s+\S+")
_NETSTAT = re.compile(
    r"\s*(tcp|udp)6?\s+\d+\s+\d+\s+(\S+):(\d+|\*)\s+\S+(?:\s+(LISTEN))?(?:\s+\d+\s+\d+)?(?:\s+(?:-|\d+/([^\s:]+)\S*)(?:\s.*)?)?\s*$"
)
#: Options of ss and netstat that show only some sockets (of one version of IP or of one kind, or as a file selects), or
#: those of another network namespace.
_RESTRICTS = re.compile(
    r"-[A-Za-z\d]*[46ADFNf].*|--(?:ipv[46]|inet6?|family|protocol|query|socket|filter|diag|net)(?:=.*)?"
)
_OTHER = re.compile(r"\s*(?:tcp|udp|unix|raw|nl|u_str|u_dgr)\S*\s|\s*(?:ESTAB|TIME-WAIT|CLOSE-WAIT)\b")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the list of sockets that starts at a line, or None.

    Only a complete list proves that nothing listens on a port: with its heading, TCP and UDP, every line readable, and
    from a command that shows all sockets of the host.
    """
    words = " ".join(command.words) if command is not None else ""
    kind = "udp" if "u" in words and "t" not in words else "tcp"
    sockets: list[str] = []
    first = last = at
    headed = whole = False
    while at < len(lines):
        text = lines[at].text
        read = _socket(text, kind)
        if read is not None:
            sockets.append(read)
        elif _HEADING.match(text):
            headed = True
        elif lines[at].is_blank or not (headed or sockets) or not _OTHER.match(text):
            whole = headed and (lines[at].is_blank or not lines[at].is_gap)
            break
        elif re.search(r"\b(?:LISTEN|UNCONN)\b|^\s*udp", text) is not None:
            headed = False
            break
        last = at
        at += 1
    else:
        whole = headed
    if not sockets:
        return None
    whole = (
        whole
        and not (command is not None and _shows_some(command))
        and {line[:3] for line in sockets} == {"tcp", "udp"}
    )
    if not whole:
        return Segment("ss", "listening sockets, in part", first, last)
    return Segment("ss", "listening sockets", first, last, [Facts({"ss.txt": "".join(sockets).encode()})])


def _shows_some(command: Command) -> bool:
    """Return whether a command shows only some sockets (ss(8): `sport = :22`, `-4`), or those of a namespace."""
    if command.program not in ("ss", "netstat"):  # ip netns exec red ss -tulpn
        return bool(command.filtered) or not {"ss", "netstat"}.isdisjoint(command.words)
    return bool(command.filtered) or any(
        not word.startswith("-") or _RESTRICTS.fullmatch(word) for word in command.words
    )


def _socket(text: str, kind: str) -> str | None:
    """Return a listening socket in the format of `ss -lntup`; None for any other line."""
    if found := _NETSTAT.match(text):
        protocol, address, port, listens, program = found.groups()
        if (protocol == "tcp" and not listens) or port == "*":
            return None
        # netstat usually prints "::" for sockets of both families
        local = "*" if address == "::" else f"[{address}]" if ":" in address else address
        state = "LISTEN" if protocol == "tcp" else "UNCONN"
        users = f' users:(("{program}",pid=1,fd=1))' if program else ""
        line = f"{protocol} {state} 0 0 {local}:{port} *:*{users}\n"
    elif _SS.match(text):
        line = f"{text.strip()}\n"
    elif _BARE_SS.match(text):
        line = f"{kind} {text.strip()}\n"
    else:
        return None
    try:
        read_listeners(line)
    except ValueError:
        return None
    return line
