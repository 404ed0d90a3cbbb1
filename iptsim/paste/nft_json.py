"""Elements, translations and values of nftables in the form of libnftables-json(5)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from lark import Token, Tree

from iptsim.extensions.services import PORTS
from iptsim.host.nft_rules import GAP

#: What the elements of a verdict map begin with.
_VERDICTS = frozenset({"accept", "continue", "drop", "goto", "jump", "queue", "return"})
#: The bits of connection states (NF_CT_STATE_BIT and its like in nf_conntrack_common.h).
_STATES = {1: "invalid", 2: "established", 4: "related", 8: "new", 64: "untracked"}
_CHANCE = re.compile(
    r"(?P<kind>numgen|jhash|symhash)(?: (?P<mode>random|inc)| (?P<of>(?!mod ).+?))? mod (?P<mod>[0-9]+)"
    r"(?: seed (?P<seed>0x[0-9a-f]+))?(?: offset (?P<offset>[0-9]+))?"
)
_PORT_NAME = re.compile(r'((?:^|\s)\S*[\d\]]?:)("[a-z][a-z0-9-]*"|(?<=[\d\]]:)[a-z][a-z0-9-]*)(?=\s|$)')
_PREFIX = re.compile(
    r"(?<![\w.])(?P<field>ip6? [sd]addr) (?P<not>!= )?(?P<address>[0-9a-f.:]+)/(?P<length>[0-9]{1,3})(?=\s|$)"
)
_FILE_COMMENT = re.compile(r"#(?! ?xt_\w| handle \d)")
_BLANKS = re.compile(r"[ \t]+")
#: What comes between the key and the verdict of an element, maybe without blanks.
_VERDICT_OF = re.compile(r" ?: ?(?=(?:accept|continue|drop|goto|jump|return)\b)")
_DIRECTION = re.compile(r"ct (?P<dir>original|reply) (?P<key>.+)")
_QUOTED = re.compile(r'"[^"]*"')
#: What nft prints after an element's key.
_ADDED = re.compile(
    r"""\s(?:counter(?:\s+packets\s+\d+\s+bytes\s+\d+)?|(?:timeout|expires)\s+\S+|comment\s+"[^"]*")"""
)
_COMMENT = re.compile(r'\scomment\s+"([^"]*)"')


def looked_up(text: str) -> dict[str, Any]:
    """Return what a map looks up, in the form of libnftables-json(5): fields, a number by chance, or a hash."""
    if found := _CHANCE.fullmatch(text):
        about: dict[str, Any] = {"mode": found["mode"]} if found["mode"] else {}
        about |= {"mod": int(found["mod"]), "offset": int(found["offset"] or 0)}
        if found["of"]:
            about["expr"] = looked_up(found["of"])
        if found["seed"]:
            about["seed"] = number(found["seed"])
        return {found["kind"]: about}
    if text.startswith("fib "):
        fields, _, result = text.removeprefix("fib ").rpartition(" ")
        return {"fib": {"result": result, "flags": fields.split(" . ")}}
    if " . " in text:
        return {"concat": [looked_up(one) for one in text.split(" . ")]}
    kind, _, field = text.removeprefix("meta ").rpartition(" ")
    if found := _DIRECTION.fullmatch(text):
        return {"ct": {"key": found["key"], "dir": found["dir"]}}
    if kind == "ct":
        return {"ct": {"key": field}}
    return {"payload": {"protocol": kind, "field": field}} if kind else {"meta": {"key": field}}


def map_of(tree: Tree[Token]) -> dict[str, Any]:
    """Return a verdict map, or one of addresses and ports: what it looks up, and its elements or its name."""
    key, first, *more = tree.children
    data: Any = str(first)
    if isinstance(first, Tree):
        data = {"set": [_element(one) for one in (first, *more) if isinstance(one, Tree)]}
    return {"key": looked_up(str(key)), "data": data}


def _element(tree: Tree[Token]) -> list[Any]:
    key, found, *chain = tree.children
    if tree.data == "map_to":
        return [entry(key), {str(found): {"target": str(chain[0])} if chain else None}]
    return [entry(key), entry(found)]


def entry(found: Tree[Token] | Token) -> Any:
    """Return a value, or several that belong together."""
    if isinstance(found, Tree):
        return {"concat": [entry(one) for one in found.children]}
    return value_of(str(found))


def value_of(text: str) -> Any:
    """Return a value in the form of libnftables-json(5); in quotes it is a name."""
    return text.strip('"') if text.startswith('"') else json_value(port_of(text))


#: What follows the fields of an element that a rule adds.
_AFTER_FIELDS = re.compile(r"\s(?:comment|counter|ct count|expires|last|limit|quota|timeout)\b.*")
_FIELD = re.compile(r"(?!numgen)(?:[a-z0-9]+ )?[a-z0-9]+")
#: A limit, in a statement, of which the grammar leaves out the word "burst", or in an element.
_RATE = re.compile(
    r"limit rate(?P<over> over)? (?P<rate>\d{1,20}) ?(?P<unit>\w*bytes)?/(?P<per>\w+)"
    r"(?: (?:burst )?(?P<burst>\d{1,20}) \w+)?"
)
#: What limits the packets of each element.
_COUNTING = re.compile(r"\b(?:limit|quota|ct count)\b")


def limit_of(text: str) -> dict[str, Any]:
    """Return the `limit` statement in a text, without a rate if that can't be read."""
    found = _RATE.search(text)
    if found is None:
        return {"limit": {}}
    about: dict[str, Any] = {"rate": int(found["rate"]), "per": found["per"]}
    if found["unit"]:
        about["rate_unit"] = found["unit"]
    if found["burst"]:
        about["burst"] = int(found["burst"])
    return {"limit": {**about, "inv": True} if found["over"] else about}


def update_of(text: str) -> dict[str, Any]:
    """Return the statement that changes a set or a map: `update @s { ip saddr timeout 1h }`."""
    head, _, inner = text.partition("{")
    operation, name = head.split()
    key, *data = [_AFTER_FIELDS.sub("", f" {one.strip(' }')}").strip() for one in inner.split(" : ", 1)]
    kind = "map" if data else "set"
    about: dict[str, Any] = {"op": operation, kind: name, "elem": _fields(key)}
    if data:
        about["data"] = _fields(data[0])
    if found := _COUNTING.search(inner):
        about["stmt"] = [limit_of(inner) if found[0] == "limit" else {found[0]: None}]
    return {kind: about}


def _fields(text: str) -> Any:
    """Return fields of a packet; an unknown one is None."""
    parts = [looked_up(one) if _FIELD.fullmatch(one) else None for one in text.split(" . ")]
    return {"concat": parts} if len(parts) > 1 else parts[0]


def elements(text: str) -> list[Any] | None:
    """Return the elements of a named set or map, without counters; None if any of them can't be read."""
    found = []
    text = _QUOTED.sub(lambda quoted: quoted[0].replace(",", "\0"), text)
    for one in (part.replace("\0", ",") for part in text.split(",")):
        comment = _COMMENT.search(one)
        key, is_map, mapped = re.sub(_ADDED, "", one).strip().partition(" : ")
        words = mapped.split()
        verdict = words[0] in _VERDICTS if words else False
        if not key or (is_map and (not words or (verdict and len(words) > 2))):
            return None
        if is_map:
            value = {words[0]: {"target": words[1]} if words[1:] else None} if verdict else _joined(mapped)
            whole = _joined(key)
            found.append([{"elem": {"val": whole, "comment": comment[1]}} if comment else whole, value])
        else:
            found.append(_joined(key))
    return found


def _joined(text: str) -> Any:
    """Return a value, or the values of several fields."""
    parts = [value_of(part.strip()) for part in text.split(" . ")]
    return {"concat": parts} if len(parts) > 1 else parts[0]


def port_of(text: str) -> str:
    """Return a port by its number; a name that is not known stays."""
    name = text.strip('"')
    return str(PORTS[name]) if name in PORTS else text


def with_numbers(text: str) -> str:
    """Return the text of a rule with numbers instead of the names of ports in translations (`nft -S`)."""
    return _PORT_NAME.sub(lambda found: found[1] + port_of(found[2]), text)


def translation_of(text: str, *, redirects: bool) -> dict[str, Any] | None:
    """Return the address and port of a translation: "172.17.0.2:80", "[fd00::2]:80-90", or ":8080" of a redirect."""
    if not text:
        return None
    if text.count(":") > 1 and "[" not in text:
        return {"addr": json_value(text)}
    found = re.fullmatch(r"(?:\[(?P<six>[^\]]+)\]|(?P<address>[^\[\]]*?))(?::(?P<port>\d+(?:-\d+)?))?", text)
    if redirects and re.fullmatch(r"[0-9]{1,5}", text):
        return {"port": number(text)}
    if found is None or (":" in (found["address"] or "") and found["port"] is None):
        return {"addr": json_value(text)}
    address = found["six"] or found["address"]
    made = {"addr": json_value(address)} if address else {}
    return {**made, "port": json_value(found["port"])} if found["port"] else made


def state_names(value: str) -> list[str]:
    """Return the states of a value of `ct state`: nft prints bits as numbers that no packet has set."""
    if not re.fullmatch(r"0x[0-9a-fA-F]{1,8}", value):
        return [value]
    return [name for bit, name in _STATES.items() if int(value, 16) & bit]


def number(text: str) -> int:
    """Return a number as nft reads it (its src/scanner.l): hexadecimal, or octal behind a zero.

    >>> number("0x10"), number("022"), number("08")
    (16, 18, 8)
    """
    if text.startswith("0x"):
        return int(text, 16)
    return int(text, 8) if re.fullmatch(r"0[0-7]+", text) else int(text)


def network_of(text: str) -> str | None:
    """Return the address of a prefix without the bits behind its length, as `nft -f` reads it; None for other texts."""
    try:
        return str(ip_network(text, strict=False).network_address)
    except ValueError:
        return None


def plain(text: str) -> str:
    """Return a rule as nft lists it, without a comment of a file, and with one space where a file has none or several.

    What nft and iptables add behind `#` stays: handles, and extensions that nft does not know.

    >>> plain('ip  saddr 10.0.0.1 accept # the office')
    'ip saddr 10.0.0.1 accept'
    """
    kept: list[str] = []
    for part in re.split(r'("[^"]*")', text):
        if part.startswith('"'):
            kept.append(part)
            continue
        comment = _FILE_COMMENT.search(part)
        code = part[: comment.start()] if comment else part
        kept.append(_VERDICT_OF.sub(" : ", _BLANKS.sub(" ", code)))
        if comment:
            break
    return "".join(kept).strip()


def bare_sets(text: str) -> str:
    """Return a rule without the comments of elements, and without sets within sets, as variables may be sets.

    >>> bare_sets('tcp dport { 22 comment "ssh", { 80, 443 } } accept')
    'tcp dport { 22, 80, 443 } accept'
    """
    if "{" not in text:
        return text
    kept: list[str] = []
    depth = 0
    for part in re.split(r'("[^"]*"|[{}])', text):
        if part == "{":
            depth += 1
        if part not in ("{", "}") or depth == 1:
            kept.append(part)
        if part == "}":
            depth -= 1
        if depth and part.startswith('"') and kept[-2].endswith(" comment "):
            kept[-2:] = [kept[-2].removesuffix(" comment ")]
    return _BLANKS.sub(" ", "".join(kept)).replace(" ,", ",")


def literal(text: str) -> str:
    """Return the text of a rule in a listing with masks for prefixes that have bits behind their length.

    nft prints a mask and a value like that, and no packet has such a value; `nft -f` would clear the bits.

    >>> literal("ip daddr 10.2.0.9/23 drop")
    'ip daddr & 255.255.254.0 == 10.2.0.9 drop'
    """
    return _PREFIX.sub(_masked, text)


def _masked(found: re.Match[str]) -> str:
    network = network_of(f"{found['address']}/{found['length']}")
    if network is None or ip_address(network) == ip_address(found["address"]):
        return found[0]
    mask = ip_network(f"{network}/{found['length']}").netmask
    return f"{found['field']} & {mask} {'!=' if found['not'] else '=='} {found['address']}"


def json_value(text: str) -> Any:
    """Return a value in the form of libnftables-json(5)."""
    if re.fullmatch(r"[0-9]{1,10}|0x[0-9a-fA-F]{1,8}", text):
        return number(text)
    if found := re.fullmatch(r"([0-9]{1,10}|0x[0-9a-fA-F]{1,8})-([0-9]{1,10}|0x[0-9a-fA-F]{1,8})", text):
        return {"range": [number(found[1]), number(found[2])]}
    if found := re.fullmatch(r"([0-9a-fA-F.:]+)/([0-9]{1,3})", text):
        return {"prefix": {"addr": network_of(text) or found[1], "len": int(found[2])}}
    if found := re.fullmatch(r"([0-9a-fA-F.:]+)-([0-9a-fA-F.:]+)", text):
        return {"range": [found[1], found[2]]}
    return text


def base_chains_to_come(
    objects: Iterable[dict[str, Any]], family: str, table: str
) -> Iterator[dict[str, Any]]:
    """Yield placeholders for the base chains of a table that filter and are not shown: an excerpt may lack them.

    Args:
        objects: what is shown; base chains that do not filter, or belong to iptables, show that these are elsewhere.
        family / table: the table.
    """
    shown = [one["chain"] for one in objects if "chain" in one]
    names = {one["name"] for one in shown} | {one.get("hook") for one in shown}
    if {one["type"] for one in shown if "type" in one} - {"filter"} or names & {"INPUT", "FORWARD", "OUTPUT"}:
        return
    for hook in ("input", "forward", "output"):
        if hook not in names:
            base = {"type": "filter", "hook": hook, "prio": 0, "guessed": True}
            yield {"chain": {"family": family, "table": table, "name": hook, **base}}
            yield {
                "rule": {
                    "family": family,
                    "table": table,
                    "chain": hook,
                    "expr": [{GAP: "all"}],
                    "guessed": True,
                }
            }


def without_guesses(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return objects of nft without duplicates; a chain replaces what was guessed about it.

    Rules that commands insert come first in their chains. A chain that is listed again replaces its earlier listing.
    """
    objects = _amended(objects)
    listed: dict[tuple[str, str, str], int] = {}
    bases = set()
    for at, entry in enumerate(objects):
        if (one := entry.get("chain", {})).get("listed"):
            key = (one["family"], one["table"], one["name"])
            if one.get("hook"):
                bases.add(key)
            elif key in bases:
                continue  # a file adds rules to a chain
            listed[key] = at
    objects = [
        entry
        for at, entry in enumerate(objects)
        for about in entry.values()
        if at >= listed.get((about["family"], about.get("table"), about.get("chain", about.get("name"))), 0)
        or not {"chain", "rule"} & entry.keys()
    ]
    chains = [entry["chain"] for entry in objects if "chain" in entry]
    shown = {(chain["family"], chain["table"], chain["name"]) for chain in chains if not chain.get("guessed")}
    kept: list[dict[str, Any]] = []
    seen: set[str] = set()
    for entry in objects:
        (about,) = entry.values()
        guessed = about.get("guessed")
        if "rule" not in entry or guessed:
            text = json.dumps(entry, sort_keys=True)
            if text in seen:
                continue
            seen.add(text)
        if (
            not guessed
            or (about["family"], about["table"], about.get("chain", about.get("name"))) not in shown
        ):
            kept.append(entry)
    rules = [entry for entry in kept if "rule" in entry]
    inserted = [entry for entry in rules if entry["rule"].get("inserted")]
    return [
        *(entry for entry in kept if "rule" not in entry),
        *inserted,
        *(entry for entry in rules if not entry["rule"].get("inserted")),
    ]


def _amended(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return objects of nft with the policies that later commands set."""
    chains: dict[tuple[str, str, str], dict[str, Any]] = {}
    kept = []
    for entry in objects:
        if (one := entry.get("chain")) is not None:
            key = (one["family"], one["table"], one["name"])
            if "hook" not in one and "policy" in one and key in chains:
                chains[key]["policy"] = one["policy"]
                continue
            if "hook" in one:
                chains[key] = one
        kept.append(entry)
    return kept


def is_foreign(statements: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether iptables-nft never writes a rule with such statements: it does one thing, after all conditions."""
    does = 0
    for key in (key for one in statements for key in one):
        if key == "vmap" or (does and key not in ("comment", "log")):
            return True
        does += key not in ("comment", "match", "limit", "log")
    return False
