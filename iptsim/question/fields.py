"""From words to a question: what `--set`, `--assume`, `--to` and the fields of a batch line mean."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from iptsim.errors import UsageError
from iptsim.extensions.services import PORTS
from iptsim.host.flows import entry_of_line
from iptsim.packet import ICMP, ICMPV6, address_text
from iptsim.question.facts import EXTRAS, FACTS, TRUTHS, read_number, read_stated
from iptsim.question.model import Question, parse_question
from iptsim.reading import parse_json

#: Fields of a question that are no property of the packet, and have options of their own.
_NFT_FAMILIES = frozenset({"ip", "ip6", "inet", "bridge", "netdev"})
_CONTROL = frozenset({"id", "assume", "facts", "extra", "reply", "verbose", "ct", "inner"})
#: Who sends to whom; and what the next packet of a connection need not have from the one before.
_ENDS = ("from", "sender", "to", "in", "in_interface", "src", "dst")
_OF_ONE_PACKET = frozenset({
    "id", "after", "tcp_flags", "tcp_options", "mss", "length", "payload_hex", "fragment", "extra",
    "inner", "state", "ct", "conntrack", "reply", "verbose",
})  # fmt: skip
#: Parts of `ct` that hold a flow, and the numbers in it.
_FLOWS, _PORTS = ("orig", "reply"), ("sport", "dport")
#: Names of the protocols that have ICMP types.
_ICMP, _ICMPV6 = frozenset({"icmp", "1"}), frozenset({"icmpv6", "ipv6-icmp", "58"})
#: A field's name is shown up to this length.
_LONGEST = 40


def _header_fields() -> dict[str, str]:
    """Return the question's fields that `--set` takes, by each name that they have."""
    names = {name: name for name in Question.model_fields if name not in _CONTROL}
    names.update({field.alias: name for name, field in Question.model_fields.items() if field.alias})
    return names


_HEADER = _header_fields()
_KNOWN = frozenset({*_HEADER, *_CONTROL})
_NUMBERS = frozenset(
    name
    for name, field in Question.model_fields.items()
    if {int, Literal[4, 6]} & {*get_args(field.annotation)} and name != "id"
)


def settable() -> list[str]:
    """Return every name that `--set` takes."""
    return sorted({*_HEADER, *FACTS, *EXTRAS, "ct.mark", "ct.zone", "ct.helper", "ct.orig.src", "inner.src"})


def make_question(fields: Mapping[str, Any]) -> Question:
    """Make a question from the fields of a batch line, or the like.

    Facts and rare header fields may stand beside the usual ones, numbers may be written 0x10, ports and
    ICMP types by name, and the port may stand behind `to`: "web:80".

    Raises:
        UsageError: an unknown field or a bad value.
    """
    known, facts, extra = {}, {}, {}
    for name, value in fields.items():
        if name in _KNOWN:
            if isinstance(value, str) and name in _NUMBERS:
                value = read_port(value, name) if name in _PORTS else read_number(value)
            known[name] = value
        elif name in FACTS:
            facts[name] = value
        elif name in EXTRAS:
            extra[name] = value
        else:
            raise UsageError(unknown_field(name))
    target = known.get("to")
    if isinstance(target, str) and ":" in target:
        known["to"], port = split_port(target)
        if port is not None and known.setdefault("dport", port) != port:
            raise UsageError(f"the question names two destination ports: {port} and {known['dport']}")
    if known.get("after") is not None:
        _settle_before(known)
    if isinstance(known.get("conntrack"), str):
        _settle_connection(known)
    if isinstance(known.get("inner"), Mapping):
        known["inner"] = _read_inner(known["inner"])
    if known.get("icmp_type") is not None:
        _settle_icmp(known)
    for group, given in (("facts", facts), ("extra", extra)):
        beside = known.get(group) or {}
        if not isinstance(beside, dict):
            raise UsageError(f"{group}: expected an object")
        if given or beside:
            known[group] = {name: read_stated(name, value) for name, value in {**beside, **given}.items()}
    return parse_question(known)


def _settle_before(known: dict[str, Any]) -> None:
    """Read the question about the packet before; a question without ends is about the same flow.

    Raises:
        UsageError: the packet before can't be asked about.
    """
    before = known["after"]
    if isinstance(before, str):
        try:
            before = parse_json(before.encode("utf-8", "replace"))
        except ValueError as error:
            raise UsageError(f"after: {error}") from None
    if isinstance(before, Mapping):
        if "after" in before:
            raise UsageError("after: the packet before can't have another one before it")
        before = make_question(before)
    if not isinstance(before, Question):
        raise UsageError('after: expected a question, such as {"from": "client", "to": "web:80"}')
    known["after"] = before
    if any(known.get(name) is not None for name in _ENDS):
        return
    said = {name: getattr(before, name) for name in before.model_fields_set - _OF_ONE_PACKET}
    for name, value in said.items():
        name = Question.model_fields[name].alias or name
        if known.get(name) is None:
            known[name] = value


def _settle_connection(known: dict[str, Any]) -> None:
    """Fill in what a line of `conntrack -L` says of the packet: of the first direction that fits the rest."""
    entry = entry_of_line(known["conntrack"]).connection
    for flow in (entry.original, entry.reply):
        said = {
            "src": address_text(entry.family, flow.src), "dst": address_text(entry.family, flow.dst),
            "proto": str(flow.proto), "sport": flow.sport, "dport": flow.dport,
        }  # fmt: skip
        if flow.proto in (ICMP, ICMPV6):
            del said["sport"], said["dport"]
            known["extra"] = {"icmp_id": flow.sport, **(known.get("extra") or {})}
        given = {
            name: known[name] for name in ("src", "dst", "sport", "dport") if known.get(name) is not None
        }
        if all(said.get(name) == value for name, value in given.items()):
            break
    else:
        return
    if known.get("in") is None and known.get("in_interface") is None:
        said = {**said, "from": said.pop("src"), "to": said.pop("dst")}
    for name, value in said.items():
        if known.get(name) is None:
            known[name] = value


def _read_inner(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read the numbers and ports of the packet that an ICMP error quotes."""
    read: dict[str, Any] = dict(given)
    for name, value in given.items():
        if isinstance(value, str):
            if name in _PORTS:
                read[name] = read_port(value, f"inner.{name}")
            elif name in ("icmp_type", "icmp_id"):
                read[name] = read_number(value)
    return read


def unknown_field(name: str) -> str:
    """Return what to say of a field that does not exist."""
    known = settable()
    near = difflib.get_close_matches(name[:_LONGEST], known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"there is no field {name[:_LONGEST]!r}; {hint}"


def read_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Read `--set field=value` words into fields for :func:`make_question`.

    A dot leads into `ct`, `inner` and `tcp_options`: `ct.mark=7`, `ct.orig.src=10.0.0.1`, `inner.dport=53`.

    >>> read_settings(["mark=0x10", "ct.mark=7", "cpu=2"])
    {'mark': '0x10', 'ct': {'mark': '7'}, 'cpu': 2}

    Raises:
        UsageError: a word without `=`, or an unknown field.
    """
    fields: dict[str, Any] = {}
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals or not path:
            raise UsageError(f"--set {setting}: write it as field=value")
        first, *rest = path.strip().split(".")
        if not rest and first in FACTS:
            fields[first] = _fact(setting, value)
        elif not rest and first in EXTRAS:
            fields[first] = read_number(value)
        elif not rest and first in _HEADER:
            fields[first] = value
        elif rest and first in ("ct", "inner", "tcp_options"):
            place = fields
            for part in (first, *rest[:-1]):
                place = place.setdefault(part, {})
                if not isinstance(place, dict):
                    raise UsageError(f"--set {setting}: {part} has a value of its own already")
            port = len(rest) == 2 and rest[0] in _FLOWS and rest[1] in _PORTS
            place[rest[-1]] = read_number(value) if port else value
        else:
            raise UsageError(f"--set {setting}: {unknown_field(path)}")
    return fields


def read_assumptions(words: Iterable[str]) -> dict[str, bool]:
    """Read `--assume WHAT=yes|no` words.

    >>> read_assumptions(["limit=yes", "filter:INPUT:7=no"])
    {'limit': True, 'filter:INPUT:7': False}

    Raises:
        UsageError: not of that form.
    """
    found = {}
    for word in words:
        what, equals, value = word.rpartition("=")
        if not equals or not what or value.lower() not in TRUTHS:
            raise UsageError(f"--assume {word}: write it as MATCH=yes, or TABLE:CHAIN:N=no")
        if ":" in what and not _is_place(what):
            raise UsageError(
                f"--assume {word}: a rule is named TABLE:CHAIN:N, as in filter:INPUT:7; a chain of nftables "
                "FAMILY:TABLE:CHAIN, as in inet:fw:input"
            )
        found[what] = TRUTHS[value.lower()]
    return found


def _is_place(text: str) -> bool:
    """Tell whether a text names a rule, or a chain of nftables; a chain's name may hold colons itself."""
    table, _, rest = text.partition(":")
    chain, _, position = rest.rpartition(":")
    return (table in _NFT_FAMILIES and bool(rest)) or bool(table and chain and position.isdigit())


def split_port(who: str) -> tuple[str, int | None]:
    """Split `WHO[:PORT]`; an IPv6 address with a port stands in brackets.

    >>> split_port("web:80"), split_port("2001:db8::1"), split_port("[2001:db8::1]:80")
    (('web', 80), ('2001:db8::1', None), ('2001:db8::1', 80))

    Raises:
        UsageError: what stands behind the colon is not a port.
    """
    if who.startswith("["):
        name, bracket, rest = who[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise UsageError(f"{who}: write it as [ADDRESS] or [ADDRESS]:PORT")
        port = rest[1:]
    elif who.count(":") == 1:
        name, _, port = who.partition(":")
    else:
        return who, None
    return name, read_port(port, who) if port else None


def read_port(text: str, where: str) -> int:
    """Read a port: a number, or the name of a service.

    >>> read_port("http", "dport"), read_port("0x50", "dport")
    (80, 80)

    Args:
        text: the words.
        where: what an error names.

    Raises:
        UsageError: neither.
    """
    number = read_number(text) if text.isascii() else text
    if isinstance(number, int) and 0 <= number <= 0xFFFF:
        return number
    if text in PORTS:
        return PORTS[text]
    near = difflib.get_close_matches(text[:_LONGEST], PORTS, 1, 0.75) if isinstance(number, str) else []
    hint = (
        f"did you mean {near[0]}?" if near else "a port is a number from 0 to 65535, or the name of a service"
    )
    raise UsageError(f"{where}: {text[:_LONGEST]!r} is not a port; {hint}")


def _settle_icmp(known: dict[str, Any]) -> None:
    """Read an ICMP type by name, or as type/code; a packet that has one is ICMP.

    Raises:
        UsageError: there is no such type, or the packet is none of ICMP.
    """
    proto = str(known.setdefault("proto", "icmp")).lower()
    if proto not in _ICMP | _ICMPV6:
        raise UsageError(f"icmp_type: a packet of protocol {proto} has none; ask with -p icmp")
    text = known["icmp_type"]
    if not isinstance(text, str):
        return
    ends = (str(known.get(name) or "") for name in ("from", "to", "src", "dst"))
    v6 = proto in _ICMPV6 or known.get("family") == 6 or any(end.count(":") > 1 for end in ends)
    from iptsim.extensions.matches.icmp import Icmp
    from iptsim.extensions.matches.icmp6 import Icmp6

    option = (Icmp6 if v6 else Icmp).options[0]
    assert option.value is not None
    try:
        found = option.value.read([text], 6 if v6 else 4)
    except ValueError as error:
        raise UsageError(f"icmp_type: {error}") from None
    known["icmp_type"] = found.type
    if found.code is not None and known.setdefault("icmp_code", found.code) != found.code:
        raise UsageError(f"icmp_code: {known['icmp_code']}, but {text} has code {found.code}")


def _fact(setting: str, value: str) -> Any:
    """Read a fact: a number, a truth, an object in JSON, or plain text."""
    if value.startswith("{"):
        try:
            return parse_json(value.encode("utf-8", "replace"))
        except ValueError as error:
            raise UsageError(f"--set {setting}: {error}") from None
    number = read_number(value)
    return TRUTHS.get(value.lower(), value) if isinstance(number, str) else number
