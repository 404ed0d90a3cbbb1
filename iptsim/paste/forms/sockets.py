"""`ss -lntup` and `netstat -lntup`: which programs listen."""

from __future__ import annotations

import re

from iptsim.host.sockets import LISTED, read_listeners
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Segment, Sockets
from iptsim.paste.prompts import Command
from iptsim.protocols import TCP, UDP, protocol_name

_HEADING = re.compile(r"\s*(?:Netid\s+State|State\s+Recv-Q|Proto\s+Recv-Q|Active Internet connections)")
#: ss with the type of socket, ss without it (only -t or -u), netstat.
_SS = re.compile(r"\s*(tcp|udp)\s+(LISTEN|UNCONN)\s+\d+\s+\d+\s+\S+\s+\S+")
_BARE_SS = re.compile(r"\s*(LISTEN|UNCONN)\s+\d+\s+\d+\s+\S+\s+\S+")
_NETSTAT = re.compile(
    r"\s*(tcp|udp)6?\s+\d+\s+\d+\s+(\S+):(\d+|\*)\s+\S+(?:\s+(LISTEN))?(?:\s+\d+\s+\d+)?(?:\s+(?:-|\d+/([^\s:]+)\S*)(?:\s.*)?)?\s*$"
)
#: Options of ss and netstat that show only some sockets (of one version of IP or of one kind, or as a file selects);
#: and the one that shows those of another network namespace.
_RESTRICTS = re.compile(
    r"-[A-Za-z\d]*[46ADFf].*|--(?:ipv[46]|inet6?|family|protocol|query|socket|filter|diag)(?:=.*)?"
)
_OTHER_NAMESPACE = re.compile(r"-[A-Za-z\d]*N.*|--net(?:=.*)?")
#: A command or a sentence above the list, which says that it is not whole, or of another machine.
_SELECTS = re.compile(r"\||\bgrep\b|\bssh\s|\bsh\s+-c\b")
_PROGRAM = re.compile(r"(?:^|[\s/])(?:ss|netstat)(?=\s|$)")
_OTHER = re.compile(r"\s*(?:tcp|udp|unix|raw|nl|u_str|u_dgr)\S*\s|\s*(?:ESTAB|TIME-WAIT|CLOSE-WAIT)\b")
#: Options that show listening sockets (without one, only connections are shown), and one protocol.
_LISTENING = re.compile(r"-[A-Za-z\d]*[al][A-Za-z\d]*|--(?:all|listening)")
_OF = {
    TCP: re.compile(r"-[A-Za-z\d]*t[A-Za-z\d]*|--tcp"),
    UDP: re.compile(r"-[A-Za-z\d]*u[A-Za-z\d]*|--udp"),
    None: re.compile(
        r"-[A-Za-z\d]*[wxdSU0][A-Za-z\d]*|--(?:raw|unix|dccp|sctp|packet|udplite|vsock|xdp|tipc|mptcp)"
    ),
}
#: A part of a socket on a line of its own: the list was wrapped, or has a line that is not readable.
_PART = re.compile(r"users:\(|\b(?:LISTEN|UNCONN)\b|:\*|[\d\]*]:\d+\s")
#: A command, or a sentence, that starts a program after the list was printed.
_STARTS = re.compile(
    r"\b(?:systemctl|service|rc-service|docker|docker-compose|podman)\s.*\b(?:start|restart|run|up|--now)\b"
)


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the list of sockets that starts at a line, or None.

    Only a complete list proves that nothing listens on a port: with its heading, every line readable, and from a
    command that shows all listening sockets of a protocol, and if no command below it starts a program.
    """
    sockets: list[str] = []
    first = last = at
    headed = whole = False
    while at < len(lines):
        text = lines[at].text
        read = _socket(text)
        if read is not None:
            sockets.append(read)
        elif _HEADING.match(text):
            headed = True
        elif lines[at].is_blank or not (headed or sockets) or not _OTHER.match(text):
            whole = headed and (lines[at].is_blank or not (lines[at].is_gap or _PART.search(text)))
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
    words = _arguments(command)
    if words is None and first and _SELECTS.search(lines[first - 1].text):
        whole = False
    whole = whole and not any(_STARTS.search(line.text) for line in lines[last + 1 :])
    listed = _listed(sockets, words) if whole else frozenset()
    title = "listening sockets" if listed == LISTED else "listening sockets, in part"
    if len(listed) == 1:
        title = f"listening sockets of {' '.join(map(protocol_name, listed))}"
    found = Segment("ss", title, first, last)
    if not any(map(_OTHER_NAMESPACE.fullmatch, words or ())):
        found.pieces.append(Sockets("".join(sockets), listed))
    return found


def _listed(sockets: list[str], words: list[str] | None) -> frozenset[int]:
    """Return the protocols of which a list with its heading has all listening sockets.

    Without a command they are those that it shows, unless all have one port, for which somebody may have searched.

    Args:
        sockets: the list.
        words: the arguments of the command; None if none is shown.
    """
    if words is None:
        found = read_listeners("".join(sockets))
        alone = len({one.port for one in found}) == 1
        return frozenset() if alone else frozenset({one.proto for one in found})
    if any(not word.startswith("-") or _RESTRICTS.fullmatch(word) for word in words):
        return frozenset()
    if not any(map(_LISTENING.fullmatch, words)):
        return frozenset()
    chosen = {proto for proto, option in _OF.items() if any(map(option.fullmatch, words))}
    return LISTED.intersection(chosen) if chosen else LISTED


def _arguments(command: Command | None) -> list[str] | None:
    """Return the arguments of ss or netstat, which `docker exec` may run, with its filter; None for no such command."""
    words = [command.program, *command.words] if command is not None else []
    at = next((at for at, word in enumerate(words) if _PROGRAM.search(word)), None)
    if command is None or at is None:
        return None
    alone = _PROGRAM.fullmatch(words[at])
    return [
        *([] if alone else [words[at]]),
        *words[at + 1 :],
        *([command.filtered] if command.filtered else []),
    ]


def _socket(text: str) -> str | None:
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
    elif found := _BARE_SS.match(text):
        # only sockets of TCP listen
        line = f"{'tcp' if found[1] == 'LISTEN' else 'udp'} {text.strip()}\n"
    else:
        return None
    try:
        read_listeners(line)
    except ValueError:
        return None
    return line
