"""Connections that failed: the messages of curl, ping, ssh and others; the sender is where the command was typed."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from iptsim.grammar import parser
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Ask, Segment
from iptsim.paste.prompts import Command, command_of, prompt_of
from iptsim.paste.whole_text import SameLines

#: The name of the form.
FORM = "a failed connection"
#: At most this many lines may lie between a command and its message.
_FAR = 12
_MESSAGE = re.compile(
    r"\b(?:failed (?:to )?connect to|connect(?:ing|ion)? to|dial (?:tcp|udp)|read udp|connect E[A-Z]+|"
    r"communications error to) ?.*",
    re.IGNORECASE,
)
_PING = re.compile(r"^PING \S+ \(?(?P<to>[0-9.]+|[0-9a-fA-F:]+)\)?:? .*bytes")
_LOST = re.compile(
    r"\b100(?:\.0)?% packet loss|Unreachable|Prohibited|Operation not permitted|No route to host"
)
_TELNET = re.compile(r".*[#$%>]\s*telnet\s+(?P<to>\S+)\s+(?P<port>\d+)\s*$")
_REFUSED = re.compile(r"Unable to connect|Connection (?:refused|timed out)|No route to host")
#: The prompts of a shell in a container: Docker's ID of the container as the host's name, or busybox.
_SHELL = re.compile(r"\w+@[0-9a-f]{12}|/[^\s@]* ?[#$]")
#: Options of `docker exec` with a value.
_WITH_VALUE = frozenset({"-u", "--user", "-e", "--env", "-w", "--workdir", "--env-file", "--detach-keys"})
#: A new container on the default network, without a name.
ON_DEFAULT = "docker run"
#: Programs that are run on the host itself.
_OF_HOST = frozenset(
    {"ufw", "docker", "podman", "firewall-cmd", "conntrack", "nft", "iptables-save", "systemctl"}
)


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the failed connection that a line reports, with those after it; None for other lines."""
    found = _told(lines, at)
    if found is None:
        return None
    fields, last = found
    container = None
    if "from" not in fields:
        container = _container(lines, at)
        if container is None and _typed_on_host(lines, at):
            fields["from"] = "host"
    if "from" not in fields and container is None:
        return None
    return Segment(FORM, FORM, at, last, [Ask(fields, lines[at].number, container)])


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
    message = _MESSAGE.search(text)
    if message is None or command_of(text) is not None:
        return None
    # a message without a known sender gives no question
    known = "->" in text or _container(lines, at) is not None or _typed_on_host(lines, at)
    fields = _parsed(message.group()) if known else {}
    return (fields, at) if fields else None


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


def _container(lines: list[Line], at: int) -> str | None:
    """Return the name or ID of the container in which a command was typed, "" if unknown; None if in no container."""
    for index in range(at, max(at - _FAR, -1), -1):
        text = lines[index].text
        prompt, command = prompt_of(text), command_of(text)
        if prompt is None and command is None:
            continue
        entered = _entered(text)
        if prompt is None:  # without a prompt, others may be the commands that set up the host
            return entered or None if command is not None and command.words[:1] == ("exec",) else None
        if entered is not None:  # the command itself, or a shell without a prompt
            return entered or None
        if _SHELL.fullmatch(prompt) is None or prompt in _prompts_of_host(SameLines(lines)):
            return None
        ident = prompt.partition("@")[2]
        shells = (_entered(line.text) for line in reversed(lines[:index]))
        return next((name for name in shells if name), ident)
    return None


def _entered(text: str) -> str | None:
    """Return the container in which a command runs a program, "" if its name or network is unknown; else None."""
    command = command_of(text)
    if command is None or command.program not in ("docker", "podman"):
        return None
    words = list(command.words)
    if words[:1] == ["exec"]:
        left = words[1:]
        while left and left[0].startswith("-"):
            left = left[2 if left[0] in _WITH_VALUE else 1 :]
        return left[0] if left else ""
    if words[:1] == ["run"] and not {"-d", "--detach"} & set(words):
        network = command.option("--network", "--net") or "bridge"
        if network == "host":
            return None
        return (command.option("--name") or ON_DEFAULT) if network == "bridge" else ""
    return None


def _typed_on_host(lines: list[Line], at: int) -> bool:
    """Return whether a command was typed on the machine on which the rules were listed."""
    for index in range(at, max(at - _FAR, -1), -1):
        own = prompt_of(lines[index].text)
        if own is not None:
            if _entered(lines[index].text) is not None:
                return False
            return own in _prompts_of_host(SameLines(lines))
    return False


@lru_cache(maxsize=1)
def _prompts_of_host(of: SameLines) -> frozenset[str]:
    """Return the prompts after which programs were typed that are run on the host itself."""
    found = (prompt_of(line.text) for line in of.lines if _is_of_host(line.text))
    return frozenset(prompt for prompt in found if prompt is not None)


def _is_of_host(text: str) -> bool:
    command = command_of(text)
    if command is None:
        return False
    inside = command.words[:1] in (("exec",), ("run",), ("attach",))
    if command.program.startswith(("iptables", "ip6tables")):
        return True
    return command.program in _OF_HOST and not inside
