"""Sentences that say which connection fails: "I can't reach 10.8.0.1 from 192.168.1.5 on port 80".

Or which one does not, although it should: "port 8080 is still reachable from the internet". Only a sentence that names
both ends, and the port unless it is about a ping, the internet, or a container by its name, is taken as the question;
no sentence about a wish, a condition, or how it once was.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from iptsim.dump.words import IN_QUOTES
from iptsim.grammar import parser
from iptsim.host.pasted import STILL_OPEN
from iptsim.paste.addresses import is_address
from iptsim.paste.complaint import FAILS, error_of
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Ask, Segment
from iptsim.paste.prompts import Command, command_of
from iptsim.paste.where_typed import ELSEWHERE

#: The name of the form.
FORM = "a sentence about a failed connection"
#: A word of each such sentence.
_HINT = re.compile(
    r"\bcan|able|fail|not|n't|never|refus|tim(?:e|ing)|hang|block|drop|reject|closed|filtered|though|despite|still|why"
    r"|no \w|://localhost|://127\.",
    re.IGNORECASE,
)
#: An end of a connection, or a word before one.
_END_NEAR = re.compile(
    r"\bfrom\b|\d\.\d|:\d|\w:\w*:|\binternet|\boutside|\bcontainer|\bhost\b|\bport \d|reach|connect|access|ping|talk",
    re.IGNORECASE,
)
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
_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[^a-z0-9])|(?<=;)\s+")
_PORTS = {"ssh": 22, "http": 80, "https": 443}
#: A page of the host's own that does not open.
_VISITED = re.compile(
    r"\b(?P<scheme>https?)://(?:localhost|127\.0\.0\.1)(?::(?P<port>\d{1,5}))?(?=[/\s`\"'),.]|$)"
)
#: Words of sentences about a page that something else than the host opens.
_ELSEWHERE = re.compile(r"\b(?:container|pod|inside|exec|another|other|from|vm|remote)\b", re.IGNORECASE)
#: Characters that sentences of people have at most.
_LONGEST = 1000
#: That packets come in by an interface, in such a sentence or in one of this many lines.
_ARRIVES = re.compile(
    r"\b(?:arriv\w*|com(?:es?|ing) in|incoming|received|enters?|entering) (?:on|by|via|through|at|from) "
    r"(?:(?:the )?interface )?(?P<name>[a-z][\w.@-]*\d)\b"
)
_SAID_NEAR = 3
#: An error that the sentence quotes, or a remark without an address.
_ASIDE = re.compile(rf'"{IN_QUOTES}"' + r"|\((?!\s*[0-9a-fA-F]*[.:][0-9a-fA-F.:]+)[^()]*\)")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the question that the sentences of a line tell, or None; a sentence may go on in the next line."""
    text = lines[at].text
    following = lines[at + 1].text if at + 1 < len(lines) else ""
    if not _hints(text) and not _hints(following):
        return None
    if command_of(text) is not None:
        return None
    for last, whole in ((at, text), (at + 1, f"{text} {following.strip()}")):
        if last > at and (not following.strip() or text.rstrip()[-1:] in ".:!?" or command_of(following)):
            break
        if len(whole) > _LONGEST:
            break
        for sentence in _SENTENCES.split(whole):
            if (ask := _question(sentence)) is not None:
                seen = _ARRIVES.search(
                    " ".join(line.text[:_LONGEST] for line in lines[at : last + _SAID_NEAR])
                )
                ask = replace(
                    ask,
                    fields={**ask.fields},
                    line=lines[at].number,
                    seen_on=seen["name"] if seen is not None else "",
                )
                return Segment(FORM, FORM, at, last, [ask])
            if (page := _page(sentence)) is not None:
                return Segment(FORM, FORM, at, last, [Ask(page, lines[at].number)])
    return None


@lru_cache(maxsize=2)
def _hints(line: str) -> bool:
    """Return whether a line may have such a sentence; each is searched for itself, and for what precedes it."""
    return _HINT.search(line) is not None


def _page(sentence: str) -> dict[str, Any] | None:
    """Return the packet to a page on localhost that the host does not open, according to a sentence."""
    visited = _VISITED.search(sentence) if "://" in sentence else None
    if visited is None or not (FAILS.search(sentence) or error_of(sentence)):
        return None
    if _OTHERWISE.search(sentence) or _ELSEWHERE.search(sentence):
        return None
    port = int(visited["port"] or _PORTS[visited["scheme"]])
    return {"from": "host", "to": "localhost", "proto": "tcp", "dport": port} if 0 < port < 65536 else None


class _End(NamedTuple):
    """An end of a connection, as a sentence names it.

    Attributes:
        text: its address, keyword or name; "" for a container that is not named.
        port: the port behind it.
        container: the name of the container that it is; "" for any; None for none.
        certain: it can't be another word of the sentence.
    """

    text: str
    port: int | None = None
    container: str | None = None
    certain: bool = True


@lru_cache(maxsize=100)
def _question(sentence: str) -> Ask | None:
    """Return the packet that a sentence is about, or None; its line is 0."""
    plain = _ASIDE.sub(" ", sentence)
    if not (_HINT.search(plain) and _END_NEAR.search(plain)) or _OTHERWISE.search(plain):
        return None
    try:
        tree = parser("sentences").parse(plain, start="sentence")
    except UnexpectedInput:
        return None
    found = _wrong_clause(tree)
    if found is None:
        return None
    clause, still_open = found
    # another clause may say what this one leaves out: "the host can reach 10.0.0.5:80, but web can't"
    others = [one for one in tree.find_data("clause") if one is not clause]
    sender = _only(_ends([clause], "but") or _ends([clause], "sender") or _ends(others, "sender"))
    if sender is None or sender.port is not None:
        return None
    to = _only(_ends([clause], "to", "mention") or _ends(others, "to"))
    ping = "PING" in _signs(clause)
    ports = _ports([clause]) or (set() if ping else _ports(others))
    if to is None:
        # without a port, it is the internet that somebody is cut off from; with one, the host, for somebody outside
        if not ports and "CUT_OFF" in _signs(clause):
            to = _End("internet")
        elif ports and sender.text == "internet":
            to = _End("host")
        else:
            return None
    fields = _packet(sender, to, ports, sentence, ping=ping)
    if fields is None:
        return None
    return Ask(fields, 0, sender.container, STILL_OPEN if still_open else error_of(sentence))


def _wrong_clause(tree: Tree[Token]) -> tuple[Tree[Token], bool] | None:
    """Return the clause that says what is wrong, and whether that is a connection which does not fail."""
    asides = [clause for aside in tree.find_data("aside") for clause in aside.children]
    clauses = [one for one in tree.find_data("clause") if not any(one is aside for aside in asides)]
    open_ = [one for one in clauses if _signs(one) & {"CAN", "IS_OPEN", "STILL_OPEN"}]
    failed = [one for one in clauses if _signs(one) & {"CANNOT", "FAILS", "CUT_OFF", "NOBODY", "but"}]
    failed = [one for one in failed if one not in open_ or _signs(one) & {"NOBODY", "but"}]
    unwanted = {"STILL", "STILL_OPEN", *(() if failed else ("WHY",))}
    still = [one for one in open_ if asides or _signs(one) & unwanted]
    if len(still) == 1 and still[0] not in failed:
        return still[0], True
    return (failed[0], False) if len(failed) == 1 else None


def _signs(clause: Tree[Token]) -> set[str]:
    """Return the words and parts that a clause has."""
    tokens = {token.type for token in clause.scan_values(lambda one: isinstance(one, Token))}
    return tokens | {part.data for part in clause.iter_subtrees()}


def _ports(clauses: list[Tree[Token]]) -> set[int]:
    """Return the ports that clauses name."""
    parts = [part for clause in clauses for part in clause.find_data("port")]
    return {
        int(number) for part in parts for word in part.children for number in re.findall(r"\d+", str(word))
    }


def _packet(sender: _End, to: _End, ports: set[int], sentence: str, *, ping: bool) -> dict[str, Any] | None:
    """Return the packet between two ends, or None if something about it is open."""
    destination = to.text if to.container is None else to.container
    if destination == ELSEWHERE:
        return None
    if not destination and sender.text == "internet":
        destination = "host"  # to a published port
    ports = {*ports, *([to.port] if to.port else [])}
    if not ports and not ping and re.search(r"\bssh\b", sentence, re.IGNORECASE):
        ports = {_PORTS["ssh"]}
    if not destination or (sender.text, sender.container) == (to.text, to.container):
        return None
    if len(ports) > 1 or not all(0 < port < 65536 for port in ports) or (ping and ports):
        return None
    fields: dict[str, Any] = {"to": destination}
    if sender.container is None:
        fields["from"] = sender.text
    if ping:
        return {**fields, "proto": "icmpv6" if ":" in destination else "icmp"}
    if ports:
        udp = re.search(r"\budp\b", sentence, re.IGNORECASE)
        return {**fields, "proto": "udp" if udp else "tcp", "dport": ports.pop()}
    if destination == "internet":
        return {**fields, "proto": "tcp", "dport": _PORTS["https"]}
    return fields if is_name(destination) else None


def _ends(clauses: list[Tree[Token]], *kinds: str) -> list[_End]:
    """Return the ends that clauses name in parts of some kinds: those that are certain, else names."""
    parts = [part for clause in clauses for kind in kinds for part in clause.find_data(kind)]
    words = [token for part in parts for token in part.scan_values(lambda one: isinstance(one, Token))]
    found = [end for token in words if (end := _end(token)) is not None]
    return [one for one in found if one.certain] or found


def _only(ends: list[_End]) -> _End | None:
    """Return the end that a sentence names, or None if there is none, or several."""
    return ends[0] if ends and all(one == ends[0] for one in ends) and _exists(ends[0].text) else None


def _exists(text: str) -> bool:
    """Return whether a text is no address, or one that exists: not 999.8.0.1."""
    return _WORD.fullmatch(text) is not None or not text or is_address(text)


def is_name(text: str) -> bool:
    """Return whether an end may be the name of a container."""
    return _WORD.fullmatch(text) is not None and text not in _PLACES


def _end(token: Token) -> _End | None:
    """Return the end that a word or phrase names; None if it names none."""
    text = str(token)
    match token.type:
        case "ADDRESS":
            return _End(text)
        case "ADDRESS_PORT" | "NAME_PORT":
            name, _, port = text.rpartition(":")
            return _End(name.strip("[]"), int(port))
        case "URL":
            scheme, _, rest = text.lower().partition("://")
            found = re.match(r"([\d.]+)(?::(\d+))?", rest)
            assert found is not None
            return _End(found[1], int(found[2] or _PORTS[scheme]))
        case "HOST":
            return _End("localhost" if "local" in text.lower() else "host")
        case "OUTSIDE" | "NOBODY":
            return _End("internet")
        case "CONTAINERS":
            return _End("", container="")
        case "MACHINE":
            return _End("", container=ELSEWHERE)
        case "CONTAINER" | "SUCH_CONTAINER":
            return _End(
                "",
                container=re.sub(
                    r"^(?:the )?container (?:named |called )?|^the | container$",
                    "",
                    text,
                    flags=re.IGNORECASE,
                ),
            )
        case "NAME" | "DOER":
            name = re.sub(r"^(?:the|my|our) | (?:container|service|host)$", "", text, flags=re.IGNORECASE)
            return _End(name, certain=False)
    return None
