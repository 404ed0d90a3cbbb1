"""Reads a policy: YAML whose keys and values are checked; errors give line, column and the nearest valid word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from iptsim.address_sets import AddressSet
from iptsim.addresses import parse_address
from iptsim.errors import CaptureError, FileSyntaxError, IptsimError, Span, UsageError
from iptsim.explanation.expectation import EXPECTATIONS
from iptsim.extensions.parameters import parse_protocol
from iptsim.extensions.services import PORTS
from iptsim.extensions.values import NoSuchWord
from iptsim.findings.codes import SEVERITIES, Severity
from iptsim.languages import Text, message, text_of
from iptsim.policy.model import (
    ANY_SERVICE,
    Everywhere,
    Expectation,
    Member,
    Policy,
    Service,
    Side,
)
from iptsim.protocols import ICMP, ICMPV6, PORT_PROTOCOLS, PROTOCOLS, TCP
from iptsim.question import values
from iptsim.question.endpoints import KEYWORDS, Address, Internet, Prefix, Resolver, parse_endpoint
from iptsim.question.endpoints import NodePort as NodePortEndpoint
from iptsim.question.endpoints import Service as ServiceEndpoint
from iptsim.reading import brief, read_file
from iptsim.suggestions import did_you_mean
from iptsim.yaml_file import Document, read_document

T = TypeVar("T")

#: A range of addresses.
_RANGE = re.compile(
    r"(\d+(?:\.\d+){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)-(\d+(?:\.\d+){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)"
)

SCHEMA = "iptsim.policy/1"
_TOP = ("schema", "groups", "expectations", "defaults")
_KEYS = ("name", "from", "not_from", "to", "ports", "excluding", "sports", "expect", "severity", "because")
#: Most expectations, and most members of all groups of an expectation together.
_MOST, _MOST_MEMBERS = 10_000, 10_000


def read_policy(path: str) -> Policy:
    """Read a policy.

    Raises:
        UsageError: PyYAML is not installed.
        CaptureError: the file cannot be read, or is not a policy; the text names line and column.
    """
    data = read_file(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise CaptureError(message("{path}: line {line}: not UTF-8", path=path, line=line)) from None
    return parse_policy(text, path)


def parse_policy(text: str, source: str = "<policy>") -> Policy:
    """Read the text of a policy; raises the errors of :func:`read_policy`."""
    return _Reader(read_document(text, source)).policy()


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.groups: dict[str, Any] = {}
        self.sides: dict[str, Side] = {}

    def policy(self) -> Policy:
        """Return the whole policy."""
        top = self.document.value
        if not isinstance(top, dict):
            raise self._error(
                Span(self.document.source, 1),
                message("a policy is a mapping with the key 'expectations'"),
                message("`iptsim check --init SOURCE` writes a first one."),
            )
        self._check_keys(top, _TOP)
        if top.get("schema", SCHEMA) != SCHEMA:
            raise self._error(
                self.document.member(top, "schema"),
                message("unknown schema {value}; choose from: {choices}", value=brief(top["schema"]), choices=SCHEMA),
            )  # fmt: skip
        self._read_groups(top)
        found = [*self._list(top, "expectations"), *self._list(top, "defaults", is_default=True)]
        if not found:
            raise self._error(
                Span(self.document.source, 1),
                message("the policy has no expectations; add 'expectations' or 'defaults'"),
            )
        return Policy(self.document.source, tuple(found), self.document)

    # -- groups --------------------------------------------------------------------------------------

    def _read_groups(self, top: dict[str, Any]) -> None:
        groups = top.get("groups") or {}
        if not isinstance(groups, dict):
            raise self._error(
                self.document.member(top, "groups"),
                message("groups: expected a mapping of names to lists of networks"),
            )
        for name in groups:
            if name in KEYWORDS or name == Everywhere.ANY.value or _is_address(name):
                raise self._error(
                    self.document.key(groups, name),
                    message("{name} is an endpoint and cannot be the name of a group", name=values.quoted(name)),
                )  # fmt: skip
        self.groups = groups
        for name in groups:
            self._group(name, ())

    def _group(self, name: str, above: tuple[str, ...]) -> Side:
        """Return the members of a group, and of the groups in it."""
        if name not in self.sides:
            if name in above:
                raise self._error(
                    self.document.key(self.groups, name),
                    message("group {name} contains itself", name=values.quoted(name)),
                )
            self.sides[name] = self._side(self.groups, name, (*above, name))
        return self.sides[name]

    # -- expectations --------------------------------------------------------------------------------

    def _list(self, top: dict[str, Any], key: str, *, is_default: bool = False) -> Iterator[Expectation]:
        items = top.get(key)
        if items is None:
            return
        if not isinstance(items, list):
            raise self._error(
                self.document.member(top, key), message("{key}: expected a list of expectations", key=key)
            )
        if len(items) > _MOST:
            raise self._error(
                self.document.member(top, key),
                message("{key}: more than {most:,} expectations", key=key, most=_MOST),
            )
        for number, item in enumerate(items):
            span = self.document.member(items, number)
            if not isinstance(item, dict):
                raise self._error(span, message("expected a mapping with the key 'expect'"))
            yield self._expectation(item, span, is_default)

    def _expectation(self, item: dict[str, Any], span: Span, is_default: bool) -> Expectation:
        self._check_keys(item, _KEYS)
        if "expect" not in item:
            raise self._error(
                span,
                message("'expect' is missing; choose from: {choices}", choices=", ".join(EXPECTATIONS)),
            )
        expect = self._word(item, "expect", EXPECTATIONS)
        senders, targets = (self._ends(item, key) for key in ("from", "to"))
        from_internet = any(isinstance(one.value, Internet) for one in senders)
        gravest = from_internet and expect not in ("open", "accept")
        severity = self._word(item, "severity", SEVERITIES) if "severity" in item else None
        services = tuple(self._services(item, "ports")) if item.get("ports") is not None else (ANY_SERVICE,)
        return Expectation(
            self._text(item, "name") or f"{_brief(item)}: {expect}",
            senders,
            targets,
            services,
            tuple(self._services(item, "excluding")) if item.get("excluding") is not None else (),
            tuple(self._source_ports(item)) if item.get("sports") is not None else (),
            expect,
            cast(Severity, severity or ("critical" if gravest else "high")),
            self._text(item, "because"),
            span,
            is_default,
            self._not_senders(item) if item.get("not_from") is not None else (),
        )

    def _not_senders(self, item: dict[str, Any]) -> Side:
        found = self._side(item, "not_from", ())
        for member in found:
            if not isinstance(member.value, Address | Prefix):
                raise self._error(
                    member.span,
                    message(
                        "{key}: {text} is neither an address nor a network", key="not_from", text=member.text
                    ),
                )
        return found

    def _ends(self, item: dict[str, Any], key: str) -> Side:
        if item.get(key) is None:
            return (Member(Everywhere.ANY, Everywhere.ANY.value, self.document.key(item, key)),)
        side = self._side(item, key, ())
        for member in side:
            if key == "from" and isinstance(member.value, Resolver | ServiceEndpoint | NodePortEndpoint):
                raise self._error(
                    member.span, message("{name} can only be a destination ('to')", name=member.text)
                )
        return side

    def _side(self, holder: dict[str, Any], key: str, above: tuple[str, ...]) -> Side:
        found: list[Member] = []
        for text, span in self._texts(holder, key):
            if text in self.groups:
                found += self._group(text, above)
            elif (ends := _RANGE.fullmatch(text)) is not None:
                found += (Member(parse_endpoint(prefix), prefix, span) for prefix in self._range(ends, span))
            else:
                found.append(Member(self._member(text, span), text, span))
            if len(found) > _MOST_MEMBERS:
                raise self._error(span, message("more than {most:,} endpoints", most=_MOST_MEMBERS))
        if not found:
            raise self._error(self.document.member(holder, key), message("{key}: the list is empty", key=key))
        return tuple(found)

    def _range(self, ends: re.Match[str], span: Span) -> Iterator[str]:
        """Return the prefixes that make up a range of addresses."""
        (family, first), (other, last) = (
            self._tried(span, partial(parse_address, text)) for text in ends.groups()
        )
        if family != other or first > last:
            raise self._error(
                span,
                message("{text}: the first address is greater than the last", text=values.quoted(ends[0])),
            )
        return AddressSet.of(family, [(first, last)]).prefixes()

    def _member(self, text: str, span: Span) -> Any:
        if text == Everywhere.ANY.value:
            return Everywhere.ANY
        if re.fullmatch(r"[0-9a-fA-F.:]+/\S*", text) and not _is_address(text):
            raise self._error(
                span, message("{text} is not a network, such as 192.0.2.0/24", text=values.quoted(text))
            )
        return self._tried(span, lambda: parse_endpoint(text))

    def _services(self, item: dict[str, Any], key: str) -> Iterator[Service]:
        for text, span in self._texts(item, key, numbers=True):
            yield self._tried(span, lambda text=text: parse_service(text))  # type: ignore[misc]

    def _source_ports(self, item: dict[str, Any]) -> Iterator[tuple[int, int]]:
        for text, span in self._texts(item, "sports", numbers=True):
            yield self._tried(span, lambda text=text: _port_range(text))  # type: ignore[misc]

    # -- values ----------------------------------------------------------------------------------------

    def _texts(
        self, holder: dict[str, Any], key: str, *, numbers: bool = False
    ) -> Iterator[tuple[str, Span]]:
        """Yield the texts of a value that is a text or a list of texts, and where each is."""
        given = holder[key]
        if isinstance(given, list):
            items = [(one, self.document.member(given, number)) for number, one in enumerate(given)]
        else:
            items = [(given, self.document.member(holder, key))]
        for one, span in items:
            if isinstance(one, bool) or not isinstance(one, str | int if numbers else str):
                raise self._error(
                    span, message("{key}: {value} is neither a string nor a list of strings", key=key, value=brief(one))
                )  # fmt: skip
            yield str(one).strip(), span

    def _text(self, item: dict[str, Any], key: str) -> str:
        value = item.get(key)
        if isinstance(value, list | dict):
            raise self._error(
                self.document.member(item, key), message("{key}: {value} is not a string", key=key, value=brief(value))
            )  # fmt: skip
        return "" if value is None else str(value).strip()

    def _word(self, item: dict[str, Any], key: str, choices: Sequence[str]) -> str:
        value = item[key]
        if value not in choices:
            raise self._error(
                self.document.member(item, key),
                message(
                    "{key}: unknown {value}; choose from: {choices}",
                    key=key, value=brief(value), choices=", ".join(choices),
                ),
                did_you_mean(value, choices),
            )  # fmt: skip
        return str(value)

    def _check_keys(self, holder: dict[str, Any], known: Sequence[str]) -> None:
        for key in holder:
            if key not in known:
                raise self._error(
                    self.document.key(holder, key),
                    message(
                        "unknown key {key}; choose from: {choices}",
                        key=values.quoted(key), choices=", ".join(known),
                    ),
                    did_you_mean(key, known),
                )  # fmt: skip

    def _tried(self, span: Span, read: Callable[[], T]) -> T:
        try:
            return read()
        except NoSuchWord as error:
            raise self._error(span, text_of(error), error.nearest()) from None
        except (IptsimError, ValueError) as error:
            raise self._error(span, text_of(error)) from None

    def _error(self, span: Span, what: Text, hint: Text = "") -> FileSyntaxError:
        return self.document.error(span, what, hint)


def parse_service(text: str) -> Service:
    """Read a port, a range of ports, a type of ICMP, or a protocol.

    >>> [str(parse_service(text)) for text in ("443", "http", "53/udp", "8000-8100/tcp", "icmp", "8/icmp", "any")]
    ['443/tcp', '80/tcp', '53/udp', '8000-8100/tcp', 'icmp', '8/icmp', 'any']
    >>> str(parse_service("200/ip")), str(parse_service("47/ip"))
    ('200/ip', 'gre')

    Raises:
        UsageError: the text is something else.
        ValueError: there is no such protocol.
    """
    if text == "any":
        return ANY_SERVICE
    ports, slash, name = text.partition("/")
    if not slash and text.lower() in PROTOCOLS and text not in PORTS:
        return Service(parse_protocol(text))
    if slash and ports.strip().lower() in PROTOCOLS:
        turned = f"{name.strip()}/{ports.strip()}"
        raise UsageError(
            message("{text}: the port comes first: {turned}", text=values.quoted(text), turned=turned)
        )
    if slash and name.strip().lower() == "ip":
        return Service(values.whole(values.BITS8)(ports.strip()))
    proto = parse_protocol(name.strip()) if slash else TCP
    if proto in (ICMP, ICMPV6):
        number = values.whole(values.BITS8)(ports.strip())
        return Service(proto, number, number)
    if proto not in PORT_PROTOCOLS:
        raise UsageError(
            message("{text}: {name} has no ports; give the protocol alone", text=values.quoted(text), name=name)
        )  # fmt: skip
    return Service(proto, *_port_range(ports))


def _port_range(text: str) -> tuple[int, int]:
    """Read a port, or the first and the last port of a range."""
    found = re.fullmatch(r"\s*(\d+)\s*[-:]\s*(\d+)\s*", text, re.ASCII)
    if found is None:
        port = values.port(text.strip())
        return port, port
    low, high = values.port(found[1]), values.port(found[2])
    if low > high:
        raise UsageError(message("{text}: the first port is greater than the last", text=values.quoted(text)))
    return low, high


def _is_address(text: str) -> bool:
    """Return whether a text is an address or a network."""
    return isinstance(parse_endpoint(text), Address | Prefix) if text else False


def _brief(item: dict[str, Any]) -> str:
    """Return what an expectation is about, in the policy's own words: "internet → host 80 443"."""
    parts = (item.get(key) for key in ("from", "not_from", "to", "ports", "excluding"))
    sender, others, target, ports, excepted = (
        ", ".join(map(str, part)) if isinstance(part, list) else "" if part is None else str(part)
        for part in parts
    )
    any_ = Everywhere.ANY.value
    ends = f"{sender or any_}{f' except {others}' if others else ''} → {target or any_}"
    return " ".join(filter(None, [ends, ports, excepted and f"excluding {excepted}"]))
