"""Connections that failed: the messages of curl, ping, ssh and others; the sender is where the command was typed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from iptsim.grammar import parser
from iptsim.paste.addresses import is_localhost
from iptsim.paste.complaint import error_of
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Ask, Segment
from iptsim.paste.prompts import Command, command_of, prompt_of
from iptsim.paste.where_typed import (
    ELSEWHERE,
    ON_DEFAULT,
    container_of,
    in_service,
    runs_on_default,
    typed_elsewhere,
    typed_on_host,
)

#: The name of the form.
FORM = "a failed connection"
#: The usual name of the host in containers.
OF_HOST = "host.docker.internal"
#: At most this many lines may lie between a command and its message.
_FAR = 12
_MESSAGE = re.compile(
    r"\b(?:failed (?:to )?connect to|connect(?:ing|ion)? to|dial (?:tcp|udp)|read udp|connect E[A-Z]+|"
    r"communications error to) ?.*",
    re.IGNORECASE,
)
_PING = re.compile(
    r"^PING [^\s(]+ ?\(?(?:\S+ \()?(?P<to>\d+(?:\.\d+){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]+?)\)*:? .*bytes"
)
#: What ping prints for an ICMP error of a REJECT rule, and who sent it (iputils, ping.c, pr_icmph).
_REJECTED = re.compile(
    r"From (?:\S+ \()?(?P<by>[0-9.]+|[0-9a-fA-F:]+)\)?:? icmp_seq=\d+ (?:Destination (?:Host|Net|Port) (?:Prohibited"
    r"|(?<=Port )Unreachable)|Packet filtered)"
)
_LOST = re.compile(
    r"\b100(?:\.0)?% packet loss|Unreachable|Prohibited|Packet filtered|Operation not permitted|No route to host"
)
_TELNET = re.compile(r".*[#$%>]\s*telnet\s+(?P<to>\S+)\s+(?P<port>\d+)\s*$")
#: Messages of curl and wget that do not name the address or the port: these are in the command.
_FETCH_FAILED = re.compile(
    r"\s*(?:curl: \(\d+\) (?:Connection|Operation) timed out|wget: download timed out|"
    r"wget: can't connect to remote host)",
    re.IGNORECASE,
)
#: What they fetch: an address with its scheme; else a name with dots, or one with a port.
_FETCHED = tuple(
    re.compile(rf"\b(?:curl|wget)\s.*?{address}(?::(?P<port>\d{{1,5}}))?(?=[/?\s\"']|$)")
    for address in (
        r"\b(?P<scheme>https?)://(?P<to>[A-Za-z0-9][\w.-]*|\[[0-9a-fA-F:]+\])",
        r"(?<=[\s\"'])(?P<to>[A-Za-z0-9][\w-]*(?:\.[\w-]+)+|[A-Za-z][\w.-]*(?=:\d))",
    )
)
#: At most this many lines lie between such a command and its message, as those of a progress bar.
_NEAR = 5
_REFUSED = re.compile(r"Unable to connect|Connection (?:refused|timed out)|No route to host")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the failed connection that a line reports, with those after it; None for other lines."""
    found = _told(lines, at)
    if found is None:
        return None
    fields, last = found
    container = None
    if "from" not in fields:
        container = container_of(lines, at)
        if container is None and names_host(fields["to"], lines):
            mapped = (line.text for line in lines if OF_HOST in line.text)
            container = (
                ON_DEFAULT if any(map(runs_on_default, mapped)) else ""
            )  # only containers know the name
        elif container is None and typed_on_host(lines, at):
            fields["from"] = "host"
        elif container is None and typed_elsewhere(lines, at) and not is_localhost(fields["to"]):
            container = ELSEWHERE
    if "from" not in fields and container is None:
        return None
    error = error_of(" ".join(line.text for line in lines[at : last + 1]))
    ask = Ask(fields, lines[at].number, container, error, bool(container) and in_service(lines, at))
    return Segment(FORM, FORM, at, last, [ask])


def rejected_by(lines: list[Line]) -> Iterator[tuple[str, str]]:
    """Yield the addresses that ping could not reach, each with the sender of the ICMP error by which a rule says so."""
    for at, line in enumerate(lines):
        ping = _PING.match(line.text)
        last = _first(lines, at, _REJECTED) if ping else None
        if ping and last is not None and (found := _REJECTED.match(lines[last].text)):
            yield ping["to"], found["by"]


def names_host(name: str, lines: list[Line]) -> bool:
    """Return whether a name is the host's in containers, according to a text: `--add-host NAME:host-gateway`."""
    return name == OF_HOST and any(f"{OF_HOST}:host-gateway" in line.text for line in lines)


def _told(lines: list[Line], at: int) -> tuple[dict[str, Any], int] | None:
    """Return the packet and the index of the last line."""
    text = lines[at].text
    for opening, failed, proto in ((_PING, _LOST, "icmp"), (_TELNET, _REFUSED, "tcp")):
        begins = opening.match(text)
        if begins:
            last = _first(lines, at, failed)
            if last is None:
                return None
            fields: dict[str, Any] = {"to": begins["to"], "proto": proto}
            if proto == "tcp":
                fields["dport"] = int(begins["port"])
            elif ":" in begins["to"]:
                fields["proto"] = "icmpv6"
            return fields, last
    if _FETCH_FAILED.match(text):
        fetched = _fetched(lines, at)
        return (fetched, at) if fetched else None
    message = _MESSAGE.search(text)
    if message is None or command_of(text) is not None:
        return None
    # a message without a known sender gives no question
    places = (container_of(lines, at) is not None, typed_on_host(lines, at), typed_elsewhere(lines, at))
    known = "->" in text or any(places) or (OF_HOST in text and names_host(OF_HOST, lines))
    fields = _parsed(message.group()) if known else {}
    return (fields, at) if fields else None


def _fetched(lines: list[Line], at: int) -> dict[str, Any]:
    """Return the packet of the command whose message stands at a line; {} if it is not shown."""
    for line in reversed(lines[max(at - _NEAR, 0) : at]):
        text = line.text[:500]
        command = next((match for match in (form.search(text) for form in _FETCHED) if match), None)
        if command is None:
            continue
        port = int(command["port"] or (443 if command.groupdict().get("scheme") == "https" else 80))
        return {"to": command["to"].strip("[]"), "proto": "tcp", "dport": port} if port < 65536 else {}
    return {}


def _first(lines: list[Line], at: int, failed: re.Pattern[str]) -> int | None:
    """Return the index of the line that says how it failed, before the next command."""
    for index in range(at + 1, min(at + _FAR, len(lines))):
        if failed.search(lines[index].text):
            return index
        if prompt_of(lines[index].text) is not None:
            return None
    return None


def _parsed(text: str) -> dict[str, Any]:
    try:
        tree = parser("failures").parse(text, start="failure")
    except UnexpectedInput:
        return {}
    fields: dict[str, Any] = {"proto": "tcp"}
    ends: list[tuple[str, int | None]] = []
    for child in tree.children:
        if isinstance(child, Tree):
            ends.append(_end(child))
        elif child.type == "PROTOCOL":
            fields["proto"] = str(child)
        else:
            ends[-1] = (ends[-1][0], int(child))
    if "communications error" in text:
        fields["proto"] = "udp"
    to, fields["dport"] = ends[-1]
    if len(ends) == 2:
        fields["from"], fields["sport"] = ends[0]
    return {**fields, "to": to}


def _end(tree: Tree[Token]) -> tuple[str, int | None]:
    text = str(tree.children[0])
    if tree.data == "host":
        return text, None
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)
