"""Elements, translations and values of nftables in the form of libnftables-json(5)."""

from __future__ import annotations

import re
from typing import Any

from lark import Token, Tree

from iptsim.extensions.services import PORTS

#: What separates the elements of a set, and what nft prints after an element's key.
_COMMA = re.compile(r""",(?=(?:[^"]*"[^"]*")*[^"]*$)""")
_ADDED = re.compile(
    r"""\s(?:counter(?:\s+packets\s+\d+\s+bytes\s+\d+)?|(?:timeout|expires)\s+\S+|comment\s+"[^"]*")"""
)


def looked_up(text: str) -> dict[str, Any]:
    """Return what a verdict map looks up, in the form of libnftables-json(5)."""
    kind, _, field = text.rpartition(" ")
    if kind == "ct":
        return {"ct": {"key": field}}
    return {"payload": {"protocol": kind, "field": field}} if kind else {"meta": {"key": field}}


def element(tree: Tree[Token]) -> list[Any]:
    """Return an element of a verdict map."""
    key, verdict, *chain = (str(child).strip('"') for child in tree.children)
    return [json_value(port_of(key)), {verdict: {"target": chain[0]} if chain else None}]


def elements(text: str) -> list[Any] | None:
    """Return the elements of a named set or verdict map, without counters and comments; None if one can't be read."""
    found = []
    for one in _COMMA.split(text):
        key, is_map, verdict = re.sub(_ADDED, "", one).strip().partition(" : ")
        words = verdict.split()
        if not key or (is_map and (" . " in key or len(words) not in (1, 2))):
            return None
        parts = [json_value(port_of(part.strip('"'))) for part in key.strip().split(" . ")]
        value = {"concat": parts} if len(parts) > 1 else parts[0]
        found.append([value, {words[0]: {"target": words[1]} if words[1:] else None}] if is_map else value)
    return found


def port_of(text: str) -> str:
    """Return a port by its number; a name that is not known stays."""
    return str(PORTS[text]) if text in PORTS else text


def translation_of(text: str, *, redirects: bool) -> dict[str, Any] | None:
    """Return the address and port of a translation: "172.17.0.2:80", "[fd00::2]:80-90", or ":8080" of a redirect."""
    if not text:
        return None
    found = re.fullmatch(r"(?:\[(?P<six>[^\]]+)\]|(?P<address>[^\[\]]*?))(?::(?P<port>\d+(?:-\d+)?))?", text)
    if redirects and re.fullmatch(r"[0-9]{1,5}", text):
        return {"port": int(text)}
    if found is None or (":" in (found["address"] or "") and found["port"] is None):
        return {"addr": json_value(text)}
    address = found["six"] or found["address"]
    made = {"addr": json_value(address)} if address else {}
    return {**made, "port": json_value(found["port"])} if found["port"] else made


def number(text: str) -> int:
    """Return a number, which may be hexadecimal.

    >>> number("0x10"), number("08")
    (16, 8)
    """
    return int(text, 16) if text.startswith("0x") else int(text)


def json_value(text: str) -> Any:
    """Return a value in the form of libnftables-json(5)."""
    if re.fullmatch(r"[0-9]{1,10}", text):
        return int(text)
    if found := re.fullmatch(r"([0-9]{1,10})-([0-9]{1,10})", text):
        return {"range": [int(found[1]), int(found[2])]}
    if found := re.fullmatch(r"([0-9a-fA-F.:]+)/([0-9]{1,3})", text):
        return {"prefix": {"addr": found[1], "len": int(found[2])}}
    if found := re.fullmatch(r"([0-9a-fA-F.:]+)-([0-9a-fA-F.:]+)", text):
        return {"range": [found[1], found[2]]}
    return text
