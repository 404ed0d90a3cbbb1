"""Sentences that say which connection fails: "I can't reach 10.8.0.1 from 192.168.1.5 on port 80".

Only a sentence that names both ends, and the port unless it is about a ping or to a container by its name, is taken as
the question; no sentence about a wish, a condition, or how it once was.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from iptsim.grammar import parser
from iptsim.paste.addresses import is_address
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Ask, Segment
from iptsim.paste.prompts import Command, command_of

#: The name of the form.
FORM = "a sentence about a failed connection"
_LIKELY = re.compile(
    r"\b(?:can(?:'t|not| not| no longer)|(?:un)?able to|fails? to)\b"
    r"|\bdo(?:es)?(?:n't| not) (?:reach|ping|connect|manage)\b|\bport \d.*\bfrom\b"
    r"|\b(?:ping|connect\w*|traffic|requests?|packets?|curl|telnet)\b.*\bfrom\b",
    re.IGNORECASE,
)
#: A word of each such sentence.
_HINT = re.compile(r"\bcan|able|fail|not|n't|from|://localhost|://127\.", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z][\w.-]*")
#: Ends that are words, but no names.
_PLACES = frozenset({"host", "internet", "localhost"})
#: Words of sentences that do not say how it is now.
_OTHERWISE = re.compile(
    r"\b(?:should|shall|want|wish|would|like to|so that|prevent|must|ensure|make sure|if|unless|without|until|before"
    r"|previously|earlier|used to|was|were|had|could(?:n't)?|disabl\w*|flush\w*|stop\w*|turn\w* off|no longer need"
    r"|not only|work(?:s|ed) (?:again|now|fine))\b",
    re.IGNORECASE,
)
_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[^a-z0-9])|(?<=[:;])\s+")
#: Where a clause may begin: where it comes from, the address of the sender, what fails.
_BEGINS = re.compile(
    r"\bfrom\b|\b(?:(?:tcp |udp )?port(?= \d)|ping|connect(?:ions?|ing)|traffic|requests?|packets?|curl|telnet)\b"
    r"|\b(?:can(?:'t|not| not| no longer)|(?:am |are |is )?unable|(?:am|are|is)(?:n't| not) able)\b"
    r"|\b(?:do(?:es)?(?:n't| not)|fails? to)\b"
    r"|\b[a-z][\w.-]{1,40} (?:container |service )?"
    r"(?=can(?:'t|not| not| no longer)|(?:is )?unable|(?:does|is)(?:n't| not)|fails to)"
    r"|\b(?:(?:the |my )?(?:container|pod|vm|guest|server|service|machine|host|client) )?"
    r"[\w.-]{1,40}(?= ?\((?:\d{1,3}\.){3}\d)"
    r"|(?:\d{1,3}\.){3}\d{1,3}|\b(?:(?:the|my) )?(?:host\b|container [\w.-]|[\w.-]+ container\b)",
    re.IGNORECASE,
)
_PORTS = {"http": 80, "https": 443}
#: A page of the host's own that does not open.
_VISITED = re.compile(
    r"\b(?P<scheme>https?)://(?:localhost|127\.0\.0\.1)(?::(?P<port>\d{1,5}))?(?=[/\s`\"'),.]|$)"
)
_NOT_OPENED = re.compile(
    r"refused|can(?:'t|not) (?:be reached|browse|open|access|connect|reach|load|see)|timed? ?out|unreachable"
    r"|unable to (?:connect|access)|ERR_CONNECTION|ERR_EMPTY|not (?:accessible|reachable|working|load)"
    r"|n't (?:load|open|work|connect)",
    re.IGNORECASE,
)
#: Words of sentences about a page that something else than the host opens.
_ELSEWHERE = re.compile(r"\b(?:container|pod|inside|exec|another|other|from|vm|remote)\b", re.IGNORECASE)
#: Characters that sentences of people have at most, and places in one where a clause may begin.
_LONGEST, _BEGINNINGS = 1000, 20


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the question that the sentences of a line tell, or None; a sentence may go on in the next line."""
    text = lines[at].text
    following = lines[at + 1].text if at + 1 < len(lines) else ""
    if not _HINT.search(text) and not _HINT.search(following):
        return None
    if command_of(text) is not None:
        return None
    for last, whole in ((at, text), (at + 1, f"{text} {following.strip()}")):
        if last > at and (not following.strip() or text.rstrip()[-1:] in ".:!?" or command_of(following)):
            break
        if len(whole) > _LONGEST:
            break
        for sentence in _SENTENCES.split(whole):
            if _LIKELY.search(sentence) and not _OTHERWISE.search(sentence):
                told = _told(sentence)
                if told is not None:
                    fields, container = told
                    return Segment(FORM, FORM, at, last, [Ask(fields, lines[at].number, container)])
            if (page := _page(sentence)) is not None:
                return Segment(FORM, FORM, at, last, [Ask(page, lines[at].number)])
    return None


def _page(sentence: str) -> dict[str, Any] | None:
    """Return the packet to a page on localhost that the host does not open, according to a sentence."""
    visited = _VISITED.search(sentence) if "://" in sentence else None
    if visited is None or not _NOT_OPENED.search(sentence):
        return None
    if _OTHERWISE.search(sentence) or _ELSEWHERE.search(sentence):
        return None
    port = int(visited["port"] or _PORTS[visited["scheme"]])
    return {"from": "host", "to": "localhost", "proto": "tcp", "dport": port} if 0 < port < 65536 else None


def _told(sentence: str) -> tuple[dict[str, Any], str | None] | None:
    """Return the packet that a sentence is about, and the container that sends it."""
    for begins in islice(_BEGINS.finditer(sentence), _BEGINNINGS):
        try:
            tree = parser("complaints").parse(sentence[begins.start() :], start="complaint")
        except UnexpectedInput:
            continue
        if (found := _question(tree, sentence)) is not None:
            return found
    return None


def _question(tree: Tree[Token], sentence: str) -> tuple[dict[str, Any], str | None] | None:
    sender = next(tree.find_data("sender"))
    to = next(tree.find_data("to"))
    source, _, container = _end(sender)
    # a port alone is one of the host, if somebody outside asks
    destination, port, named = _end(to) if any(to.find_data("place")) else ("host", None, None)
    if source != "internet" and not any(to.find_data("place")):
        return None
    parts = (*to.find_data("port"), *tree.find_data("detail"))
    stated = [one for part in parts for one in part.children]
    words = [str(one).lower() for one in stated if isinstance(one, Token)]
    numbers = [int(number) for word in words for number in re.findall(r"\d+", word)]
    ping = any(one.children for one in tree.find_pred(lambda part: part.data in ("verb", "noun")))
    ports = {*numbers, *([port] if port else [])}
    if source == destination or len(ports) > 1 or max(ports, default=0) > 0xFFFF:
        return None
    if not all(name is not None or _is_end(end) for end, name in ((source, container), (destination, named))):
        return None
    fields: dict[str, Any] = {"to": named or destination}
    if container is None:
        fields["from"] = source
    if ping:
        fields["proto"] = "icmpv6" if ":" in destination else "icmp"
        return None if numbers or port else (fields, container)
    if not (numbers or port):
        return (fields, container) if is_name(fields["to"]) and not words else None
    udp = any("udp" in word for word in words) or re.search(r"\budp\b", sentence, re.IGNORECASE)
    return {**fields, "proto": "udp" if udp else "tcp", "dport": port or numbers[0]}, container


def _is_end(text: str) -> bool:
    """Return whether a text is the host, the internet, a name, or an address that exists: not 999.8.0.1."""
    return _WORD.fullmatch(text) is not None or is_address(text)


def is_name(text: str) -> bool:
    """Return whether an end may be the name of a container."""
    return _WORD.fullmatch(text) is not None and text not in _PLACES


def _end(place: Tree[Token]) -> tuple[str, int | None, str | None]:
    """Return an end: its address or keyword, its port, the name of the container that it is."""
    token = next(one for one in next(place.find_data("end")).children if isinstance(one, Token))
    text = str(token)
    match token.type:
        case "ADDRESS_PORT":
            address, _, port = text.rpartition(":")
            return address.strip("[]"), int(port), None
        case "URL":
            scheme, _, rest = text.lower().partition("://")
            found = re.match(r"([\d.]+)(?::(\d+))?", rest)
            assert found is not None
            return found[1], int(found[2] or _PORTS[scheme]), None
        case "HOST":
            return ("localhost" if "local" in text.lower() else "host"), None, None
        case "OUTSIDE":
            return "internet", None, None
        case "NAME":
            return (
                re.sub(r"^(?:the|my|our) | (?:container|service|host)$", "", text, flags=re.IGNORECASE),
                None,
                None,
            )
        case "NAME_PORT":
            name, _, port = text.rpartition(":")
            return name, int(port), None
        case "CONTAINER":
            return "", None, re.sub(r"^(?:the )?container |^the | container$", "", text, flags=re.IGNORECASE)
    return text, None, None
