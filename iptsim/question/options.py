"""Converts the texts of `--set` and `--assume` into fields of a question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from typing import Any

from iptsim.errors import UsageError
from iptsim.languages import Text, message, text_of
from iptsim.question.endpoints import parse_endpoint, with_port
from iptsim.question.facts import FACTS, RARE_FIELDS
from iptsim.question.model import Question, packet_fields, unknown_field
from iptsim.question.values import TRUTHS, read_number
from iptsim.reading import parse_json

_NFT_FAMILIES = frozenset({"ip", "ip6", "inet", "bridge", "netdev"})
#: Fields with parts, which a dot leads to: `ct.mark`.
_WITH_PARTS = ("ct", "inner", "tcp_options")


def read_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Read `--set FIELD=VALUE` texts into fields of a question.

    A dot leads to the parts of `ct`, `inner` and `tcp_options`: `ct.mark=7`, `ct.orig.src=10.0.0.1`, `inner.dport=53`.

    >>> read_settings(["mark=0x10", "ct.mark=7", "cpu=2"])
    {'mark': '0x10', 'ct': {'mark': '7'}, 'cpu': 2}

    Raises:
        UsageError: a text without `=`, or an unknown field.
    """
    fields: dict[str, Any] = {}
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals or not path:
            raise _bad_setting(setting, message("write it as FIELD=VALUE"))
        first, *rest = path.strip().split(".")
        if not rest and first in FACTS:
            fields[first] = _fact(setting, value)
        elif not rest and (first in RARE_FIELDS or first in packet_fields()):
            fields[first] = value
        elif rest and first in _WITH_PARTS:
            place = fields
            for part in (first, *rest[:-1]):
                place = place.setdefault(part, {})
                if not isinstance(place, dict):
                    raise _bad_setting(setting, message("{part} already has a value", part=part))
            place[rest[-1]] = value
        else:
            raise _bad_setting(setting, unknown_field(path))
    return fields


def _bad_setting(setting: str, fault: Text) -> UsageError:
    return UsageError(message("--set {setting}: {fault}", setting=setting, fault=fault))


def _fact(setting: str, value: str) -> Any:
    """Read a fact: a number, yes or no, an object in JSON, or other text."""
    if value.startswith("{"):
        try:
            return parse_json(value.encode("utf-8", "replace"))
        except ValueError as error:
            raise _bad_setting(setting, text_of(error)) from None
    number = read_number(value)
    return TRUTHS.get(value.lower(), value) if isinstance(number, str) else number


def read_assumptions(texts: Iterable[str]) -> dict[str, bool]:
    """Read `--assume WHAT=yes|no` texts.

    >>> read_assumptions(["limit=yes", "filter:INPUT:7=no"])
    {'limit': True, 'filter:INPUT:7': False}

    Raises:
        UsageError: a text is not of that form.
    """
    found = {}
    for text in texts:
        what, equals, value = text.rpartition("=")
        if not equals or not what or value.lower() not in TRUTHS:
            raise UsageError(
                message("--assume {text}: write it as MATCH=yes, or TABLE:CHAIN:N=no", text=text)
            )
        if ":" in what and not _is_place(what):
            raise UsageError(
                message(
                    "--assume {text}: write a rule as TABLE:CHAIN:N, as in filter:INPUT:7, or an nftables chain as "
                    "FAMILY:TABLE:CHAIN, as in inet:fw:input",
                    text=text,
                )
            )
        found[what] = TRUTHS[value.lower()]
    return found


def _is_place(text: str) -> bool:
    """Return whether a text names a rule, or a chain of nftables; a chain's name may hold colons itself."""
    table, _, rest = text.partition(":")
    chain, _, position = rest.rpartition(":")
    return (table in _NFT_FAMILIES and bool(rest)) or bool(table and chain and position.isdecimal())


# -- questions as lines and options ----------------------------------------------------------------


def line_of(question: Question) -> dict[str, Any]:
    """Return a question as a batch line: the fields that differ from their defaults.

    >>> line_of(Question(sender="client", to="web:80"))
    {'from': 'client', 'to': 'web', 'dport': 80}
    """
    line: dict[str, Any] = _plain(question)
    return line


def _plain(value: Any) -> Any:
    """Return a field's value as plain data for JSON."""
    if is_dataclass(value) and any("read" in one.metadata for one in fields(value)):
        found = {}
        for one in fields(value):
            own = getattr(value, one.name)
            default = one.default_factory() if one.default_factory is not MISSING else one.default
            if own != default:
                found[one.metadata["alias"] or one.name] = _plain(own)
        return found
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, bool | int | float | str) else str(value)


#: The options of `iptsim explain` for fields of a batch line, in the order in which they are written.
_OPTIONS = {
    "in": "-i",
    "proto": "-p",
    "sport": "--sport",
    "dport": "--dport",
    "state": "--state",
    "at": "--at",
}


#: Type and code of a ping, which a question without a type is about.
_PINGS = {"icmp": (8, 0), "ipv6-icmp": (128, 0)}


def explain_options(line: Mapping[str, Any]) -> list[str]:
    """Return a batch line as options of `iptsim explain`, as far as they can express it.

    >>> explain_options({"from": "client", "to": "web", "dport": 80, "proto": "tcp", "mark": 7})
    ['--from', 'client', '--to', 'web:80', '--set', 'mark=7']
    >>> explain_options({"from": "client", "to": "web", "proto": "icmp", "icmp_type": 8, "icmp_code": 0})
    ['--from', 'client', '--to', 'web', '-p', 'icmp']
    """
    rest = {name: value for name, value in line.items() if name not in ("id", "reply", "verbose", "family")}
    for end, address in (("from", "src"), ("to", "dst")):
        if end not in rest and address in rest:
            rest[end] = rest.pop(address)
    if (rest.get("icmp_type"), rest.get("icmp_code")) == _PINGS.get(str(rest.get("proto"))):
        del rest["icmp_type"], rest["icmp_code"]
    words = ["--from", str(rest.pop("from"))] if "from" in rest else []
    if "to" in rest:
        words += ["--to", with_port(parse_endpoint(str(rest.pop("to"))), rest.pop("dport", None))]
    if rest.get("proto") == "tcp":
        del rest["proto"]
    for name, option in _OPTIONS.items():
        if name in rest:
            words += [option, str(rest.pop(name))]
    if line.get("family") == 6 and ":" not in f"{line.get('from')}{line.get('to')}":
        words.append("-6")
    for what, value in rest.pop("assume", {}).items():
        words += ["--assume", f"{what}={'yes' if value else 'no'}"]
    facts = {**rest.pop("facts", {}), **rest.pop("extra", {})}
    for setting in _settings({**rest, **facts}):
        words += ["--set", setting]
    return words


#: How a setting that holds or not is written.
_TRUTH = {True: "yes", False: "no"}


def _settings(line: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{path}{name}.")
        elif isinstance(value, list):
            yield f"{path}{name}={','.join(map(str, value))}"
        else:
            yield f"{path}{name}={_TRUTH.get(value, value) if isinstance(value, bool) else value}"
