"""Commands in a pasted text that replace or remove all rules: a firewall's service, iptables-restore, iptables -F."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from iptsim.host.pasted import Reload
from iptsim.paste.lines import Line
from iptsim.paste.pieces import CommandItem, Rules

_AT = r"(?:^\s*|[#$;&|`>]\s*|\bsudo\s+)"
_SERVICE = r"(?:ip6?tables|netfilter-persistent|iptables-persistent|nftables)"
#: dockerd itself writes its rules again when firewalld is reloaded.
_RELOADS = re.compile(
    rf"{_AT}(?P<command>"
    rf"systemctl\s+(?:re)?(?:start|load)\s+{_SERVICE}(?:\.service)?\b"
    rf"|(?:service\s+|/etc/init\.d/){_SERVICE}\s+(?:re|force-re)?(?:start|load)\b"
    r"|netfilter-persistent\s+(?:re)?(?:start|load)\b"
    r"|(?<!`)(?:/\S*/)?ip6?tables\s+(?:-t\s+(?:filter|nat)\s+)?(?:-F|--flush)(?:\s+(?:FORWARD|PREROUTING|POSTROUTING))?"
    r"(?:\s+-t\s+(?:filter|nat))?(?=\s*(?:$|[;&|#`\"']))"
    r"|ip6?tables-restore\b(?!.*(?:\s-n\b|--noflush))(?=\s*(?:-\w+\s+)*[<\w/.-]).*"
    r")"
)
_DOCKER = re.compile(
    rf"{_AT}(?:systemctl\s+(?:re)?start\s+docker\b|(?:service\s+|/etc/init\.d/)docker\s+(?:re)?start\b|dockerd\b"
    r"|(?:apt|apt-get|yum|dnf)\s+(?:-\S+\s+)*install\s.*\bdocker|reboot\b)"
)
#: What needs the rules of Docker.
_USES = re.compile(rf"{_AT}docker\s+(?:container\s+)?(?:run|exec|start)\b")


#: A sentence that says when the commands of a text run.
_AFTER_DOCKER = re.compile(
    r"\bafter\s+(?:the\s+|starting\s+|every\s+)?(?:docker|containers?)\b", re.IGNORECASE
)
#: The commands that remove rules or chains.
FLUSHES = ("-F", "--flush", "-X", "--delete-chain")


def run_after_docker(lines: Iterable[Line]) -> bool:
    """Return whether a text says that its commands run after Docker has started."""
    return any(_AFTER_DOCKER.search(line.text) for line in lines)


def flushed(rules: Iterable[Rules]) -> list[str]:
    """Return the tables that commands flush as a whole."""
    return list(
        dict.fromkeys(
            piece.table
            for piece in rules
            for item in piece.items
            if isinstance(item, CommandItem) and len(item.words) == 1 and item.texts[0] in FLUSHES
        )
    )


def reloads(lines: Iterable[Line]) -> Iterator[Reload]:
    """Yield the commands that replace all rules, unless Docker is started or installed before a container is used."""
    found: list[Reload] = []
    for line in lines:
        if _DOCKER.search(line.text):
            found = []
        elif found and _USES.search(line.text):
            yield from found
            found = []
        elif (match := _RELOADS.search(line.text)) is not None:
            found.append(Reload(line.number, match["command"].strip("` ")))
    yield from found


#: What makes firewalld write all of its rules again, and remove those of others.
_FIREWALLD = re.compile(
    rf"{_AT}(?P<command>firewall-cmd\s+(?:-q\s+)?--(?:complete-)?reload\b|systemctl\s+(?:reload|restart)\s+firewalld\b)"
)


def is_firewalld_reload(text: str) -> bool:
    """Return whether a line has a command that makes firewalld write its rules again."""
    return _FIREWALLD.search(text) is not None


def firewalld_reloads(lines: Iterable[Line]) -> Iterator[Reload]:
    """Yield the commands that make firewalld write its rules again."""
    for line in lines:
        if (match := _FIREWALLD.search(line.text)) is not None:
            yield Reload(line.number, match["command"])


#: A change of firewalld's permanent configuration alone, and words for what loads that, in commands and sentences.
_PERMANENT = re.compile(
    rf"{_AT}(?P<command>firewall-cmd\s(?=[^;&|#]*\s?--permanent\b)(?=[^;&|#]*--(?:add|remove|change|set-target)\b)[^;&|#`]*)"
)
_LOADS = re.compile(
    r"--(?:complete-)?reload\b|\bre-?(?:load|start|boot)(?:ed|s|ing)?\b|(?:\bstart|--now)\s+firewalld\b"
    r"|--runtime-to-permanent",
    re.IGNORECASE,
)
_SEPARATED = re.compile(r"&&|[;|]")
#: What a listing of a zone shows, or a rule that firewalld made of it.
_LISTS = re.compile(
    r"\s*(?:(?:interfaces|sources|services|ports|protocols|forward-ports|source-ports):\s|rule\s|\d+(?:-\d+)?/\w+\b"
    r"|-A IN_)"
)
_VALUE = re.compile(r"--add-[\w-]+[=\s][\"']?([\w.:-]+)")


def not_loaded(lines: Iterable[Line]) -> Iterator[Reload]:
    """Yield the commands of firewall-cmd with `--permanent` whose changes nothing below them loads.

    `--permanent` changes the configuration that firewalld reads when it is reloaded or started; the running rules stay
    as they were (firewall-cmd(1)). People often run the same command without it, too.
    """
    found: list[Reload] = []
    running = set[str]()
    lists_permanent = False
    for line in lines:
        if not found and "firewall-cmd" not in line.text:
            continue
        loads = _LOADS.search(line.text) is not None
        if loads or (not lists_permanent and _shows(line.text, found)):
            found = []
        for part in _SEPARATED.split(line.text) if "firewall-cmd" in line.text else ():
            lists_permanent = "--permanent" in part and re.search(r"--(?:list|info)-", part) is not None
            if (match := _PERMANENT.search(part)) is not None and not loads:
                found.append(Reload(line.number, match["command"].strip()))
            elif "firewall-cmd" in part and "--permanent" not in part:
                running.add(_options(part))
    yield from (one for one in found if _options(one.command) not in running)


def _shows(text: str, changes: Iterable[Reload]) -> bool:
    """Return whether a line lists what one of the changes adds, so that they have been loaded."""
    words = set(re.findall(r"[\w.:-]+", text)) if _LISTS.match(text) else set[str]()
    return any(value in words for one in changes for value in _VALUE.findall(one.command))


def _options(text: str) -> str:
    """Return the options of a command that change a zone, in order."""
    words = re.findall(r"--[\w-]+(?:[=\s](?!--)\S+)?", text)
    return " ".join(sorted(word.replace("=", " ") for word in words if word != "--permanent"))
