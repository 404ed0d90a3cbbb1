"""The options of dockerd: its command line, as typed, in a unit or in the list of processes, and DOCKER_OPTS."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from iptsim.host.dockerd_options import SETTINGS, options_of
from iptsim.paste.lines import MOST_LINES, Line, continued
from iptsim.paste.pieces import Segment, Settings
from iptsim.paste.prompts import Command, command_of
from iptsim.paste.undoing import NOT_SO

#: /etc/default/docker, /etc/sysconfig/docker.
_ASSIGNED = re.compile(
    r"\s*(?:export\s+)?(?:DOCKER_OPTS|DOCKERD_OPTS|DOCKER_NETWORK_OPTIONS|OPTIONS|other_args)=(?P<words>.*)"
)
#: The same within a sentence, or that the daemon runs with an option.
_SAID = re.compile(
    r"(?P<before>.{0,300}?)(?:(?:DOCKER_OPTS|DOCKERD_OPTS)=(?P<assigned>\"[^\"]*\"|'[^']*')"
    r"|\bdocker\w*\s(?:.{0,40}?\b(?:r[au]n|runs|running|started|restarted|launched)\b[^.]{0,40}? )?"
    r"with(?: (?:the )?(?:option|flag|setting))?[\s`\"']+"
    r"(?P<option>--[a-z0-9-]+=(?:true|false))\b)(?P<after>.*)",
    re.IGNORECASE,
)
#: All options of its command line, in quotes behind words that announce them.
_LISTED = re.compile(
    r".{0,80}\bdocker(?:d| daemon)?\b.{0,40}?\b(?:command(?: line)?|options|flags|arguments|args)(?: (?:is|are))?"
    r" ?:?\s*`(?P<words>-[^`]+)`\W*",
    re.IGNORECASE,
)
#: A setting of its file in a sentence: "daemon.json has "iptables": false", "icc=false, the only one in daemon.json".
_SETTING = r"[`\"'{\s]*(?P<key>[a-z0-9-]+)[`\"']?\s*[:=]\s*(?P<value>true|false)\b"
_IN_FILE = (
    re.compile(
        r"(?P<before>.{0,300}?\bdaemon\.json[`\"']?\s+(?:now )?(?:has|gained|contains|includes|says|shows))"
        rf"\b{_SETTING}(?P<after>.*)"
    ),
    re.compile(
        rf"(?P<before>(?:.{{0,300}}?\s)??){_SETTING}"
        r"(?P<after>[`\"'}]*,? \(?(?:(?:which is )?(?:the|my) only \w+ )?(?:that )?(?:(?:I|we) have )?"
        r"in (?:the |my |our )?[`\"']?(?:/\S*/)?daemon\.json.*)"
    ),
)
#: Who says that a setting is in the file, rather than that it could be; and words that it is not there, or no longer.
_STATED = re.compile(
    r"\bdaemon\.json\b|\b(?:I|we|dockerd?)\b.{0,60}\b(?:have|has|set|use|added|put|runs?|running)\b",
    re.IGNORECASE,
)
_ADVISED = re.compile(
    r"\b(?:you|tried|tested|to (?:set|use|add|put|have)|make sure|ensure|verify|check"
    r"|(?:an)?other (?:host|server|machine))\b",
    re.IGNORECASE,
)
_NO_LONGER = re.compile(r"[^.]*\?|.*\b(?:remov|delet|revert|undid|undone)", re.IGNORECASE)
_TRIED = re.compile(r"\b(?:tr(?:y|ied|ying)|tested|when)\b", re.IGNORECASE)
_OPTION = re.compile(r"--[a-z0-9-]+=(?:true|false)\b")
#: What the first line of such options has in it.
_HINT = re.compile(
    r"dockerd|docker\s+(?:-d|--daemon|daemon)\b|OPTS=|OPTIONS=|other_args=|with\b.*--[a-z]"
    r"|\b[Dd]ocker.*`-|\bdaemon\.json\b.*[:=]|[:=] ?(?:true|false)\b.*\bdaemon\.json\b"
)
#: A line of daemon.json, as grep shows it.
_ROW = re.compile(r"\s*\"(?P<key>[a-z0-9-]+)\":\s*(?P<value>true|false|\"[^\"\\\x00-\x1f]*\")\s*,?\s*")
#: ExecStart= of a unit, and lines of ps and systemctl status; in prose, it may be advice.
_RUN = re.compile(r"(?:^|.*[\s=─])(?:/\S*/dockerd|/\S*/docker\s+(?:-d|--daemon|daemon))\s+(?P<words>-.*)")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the options of dockerd that start at a line, or None."""
    text = lines[at].text
    if command is not None and "daemon.json" in command.text and (row := _ROW.fullmatch(text)):
        return (
            _segment(lines, at, at, {row["key"]: json.loads(row["value"])})
            if row["key"] in SETTINGS
            else None
        )
    if not _HINT.search(text):
        return None
    if (told := _told(text)) is not None:
        return _segment(lines, at, at, told)
    text, last = continued(lines, at, MOST_LINES)
    words = _words(text)
    if words is None:
        return None
    try:
        options = options_of(words)
    except ValueError:
        return None
    if not options:
        return None
    return _segment(lines, at, last, _as_file(options))


def _segment(lines: list[Line], at: int, last: int, daemon: dict[str, Any]) -> Segment:
    title = "dockerd's options"
    return Segment(title, title, at, last, [Settings(lines[at].number, daemon=daemon)])


def _words(text: str) -> list[str] | None:
    """Return the options in a line, None if there are none."""
    typed = command_of(text)
    if typed is not None and typed.program == "dockerd":
        return list(typed.words)
    if typed is not None and typed.program == "docker" and typed.words[:1] in (("-d",), ("daemon",)):
        return list(typed.words[1:])
    assigned = _ASSIGNED.fullmatch(text)
    found = assigned or _RUN.fullmatch(text) or _LISTED.fullmatch(text)
    if text.lstrip().startswith("#"):
        return None
    if found is None:
        return _said(text)
    try:
        words = shlex.split(found["words"], comments=True)
        return shlex.split(" ".join(words)) if assigned else words
    except ValueError:
        return None


def _said(text: str) -> list[str] | None:
    """Return the options that a sentence says dockerd has; None if it says something else, or names others too."""
    found = _SAID.fullmatch(text)
    if found is None or NOT_SO.search(found["before"]) or _TRIED.search(found["before"]):
        return None
    if _OPTION.search(found["after"]):
        return None
    try:
        return shlex.split(found["assigned"][1:-1]) if found["assigned"] else [found["option"]]
    except ValueError:
        return None


def _told(text: str) -> dict[str, Any] | None:
    """Return the setting that a sentence says is in daemon.json; None if it is not there, or others are, too."""
    if "daemon.json" not in text:
        return None
    for pattern in _IN_FILE:
        found = pattern.fullmatch(text[:1000])
        if found is None or found["key"] not in SETTINGS or not _is_stated(found["before"], found["after"]):
            continue
        if not re.search(_SETTING, found["after"]):
            return {found["key"]: found["value"] == "true"}
    return None


def _is_stated(before: str, after: str) -> bool:
    """Return whether a sentence around a setting states it: it does not ask, advise, or say that it was removed."""
    before = re.split(r"[.?!]\s", before)[-1]
    untrue = NOT_SO.search(before) or _ADVISED.search(before) or _NO_LONGER.match(after.replace(".json", ""))
    return _STATED.search(before) is not None and not untrue


def _as_file(options: dict[str, Any]) -> dict[str, Any]:
    """Return options as daemon.json has them."""
    pools = [{"base": base, "size": size} for base, size in options.get("default-address-pools", ())]
    return {**options, "default-address-pools": pools} if pools else options
