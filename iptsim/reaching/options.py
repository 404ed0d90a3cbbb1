"""Reads the options of `iptsim reach`; errors point at the wrong value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from iptsim.addresses import Family
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import UsageError
from iptsim.extensions.constraints import Ranges
from iptsim.extensions.parameters import parse_protocol
from iptsim.languages import Text, message, text_of
from iptsim.protocols import ICMP, ICMPV6, PORT_PROTOCOLS, protocol_name
from iptsim.question import values
from iptsim.question.model import STATES
from iptsim.ranges import united
from iptsim.suggestions import choose_from, suggest_or_list


def read_protocol(text: str, family: Family) -> int:
    """Read `-p`; in IPv6, icmp is icmpv6.

    Raises:
        UsageError: there is no such protocol.
    """
    with pointing("-p", text):
        number = parse_protocol(values.protocol(text))
    return ICMPV6 if number == ICMP and family == 6 else number


def read_ports(text: str) -> Ranges:
    """Read `--dport`: ports, names of services, and ranges.

    >>> read_ports("80,443,8000-8080"), read_ports("http")
    (((80, 80), (443, 443), (8000, 8080)), ((80, 80),))

    Raises:
        UsageError: one of them is not a port.
    """
    spans = []
    start = 0
    for part in text.split(","):
        first, dash, last = part.partition("-") if part[:1].isdigit() else (part, "", "")
        with pointing("--dport", text, start, len(part)):
            span = values.port(first), values.port(last if dash else first)
            if span[0] > span[1]:
                raise UsageError(message("{range} ends before it begins", range=values.quoted(part)))
        spans.append(span)
        start += len(part) + 1
    return united(spans)


def read_state(text: str) -> str:
    """Read `--state`.

    Raises:
        UsageError: there is no such state.
    """
    state = text.lower()
    if state in STATES:
        return state
    fault = message("unknown state {state}", state=values.quoted(text))
    with pointing("--state", text):
        raise UsageError(suggest_or_list(fault, state, STATES))
    raise AssertionError


def read_classes(
    chain: str, proto: str | None, dport: str | None, family: Family
) -> tuple[str, str, int, int | None]:
    """Read the options of `--classes`: the table and the chain, the protocol and the port.

    Raises:
        UsageError: the protocol or the port is unknown, or there are several ports.
    """
    table, colon, name = chain.rpartition(":")
    port, number = None, read_protocol(proto or "tcp", family)
    if dport is not None:
        if number not in PORT_PROTOCOLS:
            raise no_ports(number)
        ports = read_ports(dport)
        with pointing("--dport", dport):
            if len(ports) != 1 or ports[0][0] != ports[0][1]:
                raise UsageError(message("--classes takes one port"))
        port = ports[0][0]
    return table if colon else "filter", name, number, port


def no_ports(proto: int) -> UsageError:
    """Return the error for a port of a protocol that has none."""
    return UsageError(message("{proto} has no ports: leave out the port", proto=protocol_name(proto)))


def check_chain(text: str, ruleset: Ruleset, table: str, chain: str) -> None:
    """Check that a table has the chain that `--chain` names.

    Raises:
        UsageError: it has none.
    """
    found = ruleset.tables.get(table)
    known = list(found.chains) if found is not None else []
    if chain not in known:
        fault = message("table {table} has no chain {chain}", table=table, chain=chain)
        with pointing("--chain", text, len(text) - len(chain)):
            raise UsageError(choose_from(fault, chain, known))


@contextmanager
def pointing(option: str, text: str, start: int = 0, length: int | None = None) -> Iterator[None]:
    """Add the option, with a caret below its value, to errors raised within the block.

    Args:
        option: the option.
        text: its value.
        start / length: the part of the value that is wrong; by default all of it.
    """
    try:
        yield
    except UsageError as error:
        raise UsageError(with_option(text_of(error), option, text, start, length)) from None


def with_option(fault: Text, option: str, text: str, start: int = 0, length: int | None = None) -> Text:
    """Return an error with the option, and a caret below its value; the arguments are those of :func:`pointing`."""
    shown = text[: values.LONGEST]
    size = max(min(len(text) if length is None else length, len(shown) - start), 1)
    lead = " " * (len(option) + 1 + start)
    return message(
        "{fault}\n  {line}\n  {mark}",
        fault=fault,
        line=f"{option} {shown}",
        mark=f"{lead}^{'~' * (size - 1)}",
    )
