"""Parsers for the output of `conntrack -L` and the lists of `-m recent`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iptsim.addresses import parse_address
from iptsim.connection import Connection, Direction, Flow, Zone
from iptsim.errors import UsageError
from iptsim.host.model import ConntrackEntry
from iptsim.languages import message, text_of
from iptsim.protocols import PROTOCOLS, TCP
from iptsim.reading import brief

#: Words of a conntrack line that are not flags.
_PAIR = re.compile(r"([A-Za-z_-]+)=(\S*)")
#: Default ticks per second of the kernel's clock (CONFIG_HZ of most distributions).
DEFAULT_HZ = 250
#: Protocols that have `id=` instead of ports.
_ICMP = frozenset({1, 58})


def conntrack_entries(text: str) -> Iterator[ConntrackEntry]:
    """Read the lines of `conntrack -L` or /proc/net/nf_conntrack; other lines (statistics) are ignored.

    Raises:
        ValueError: a line starts like an entry but is not one; the message says which.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if "src=" in line:
            try:
                yield _entry(line)
            except (ValueError, LookupError, StopIteration) as error:
                raise ValueError(
                    message(
                        "line {number} is not a conntrack entry ({error}): {line!r}",
                        number=number,
                        error=text_of(error),
                        line=line[:80],
                    )
                ) from None


def entry_of_line(line: str) -> ConntrackEntry:
    """Read one line of `conntrack -L` in a question.

    Raises:
        UsageError: it is not such a line.
    """
    try:
        entries = list(conntrack_entries(line))
    except ValueError as error:
        raise UsageError(message("conntrack: {error}", error=text_of(error))) from None
    if len(entries) != 1:
        raise UsageError(message("conntrack: {line!r} is not a line of conntrack -L", line=line[:80]))
    return entries[0]


def _entry(line: str) -> ConntrackEntry:
    words = line.split()
    if words[0] in ("ipv4", "ipv6"):
        words = words[2:]
    proto = int(words[1]) if words[1].isdecimal() else PROTOCOLS[words[0]]
    bare = [word for word in words[2:] if "=" not in word]
    flags = {word.strip("[]") for word in bare if word.startswith("[")}
    timeout = next((int(word) for word in bare if word.isdecimal()), None)
    state = next((word for word in bare if not word.startswith("[") and not word.isdecimal()), None)
    pairs = _PAIR.findall(line)
    second = next(place for place, (key, _) in enumerate(pairs) if place and key == "src")
    original, reply = _direction(pairs[:second], proto), _direction(pairs[second:], proto)
    one, two = dict(pairs[:second]), dict(pairs[second:])
    both = {**one, **two}
    return ConntrackEntry(
        Connection(
            family=parse_address(one["src"])[0],
            original=original,
            reply=reply,
            mark=int(both.get("mark", "0")),
            zone=Zone(*(int(both.get("zone", both.get(f"zone-{way}", "0"))) for way in ("orig", "reply"))),
            helper=both.get("helper"),
            status=frozenset(_status(original, reply, flags)),
            secmark=both.get("secctx"),
            packets=_counts(one, two, "packets"),
            bytes=_counts(one, two, "bytes"),
            nat_done=frozenset({"src", "dst"}),
            tcp_state=state if proto == TCP else None,
            icmp=(int(one["type"]), int(one["code"])) if {"type", "code"} <= one.keys() else None,
        ),
        state,
        timeout,
    )


def _direction(pairs: list[tuple[str, str]], proto: int) -> Flow:
    # `src` and `dst` appear once per direction; later pairs (use=, mark=) do not collide with them.
    fields = dict(pairs)
    if proto in _ICMP:
        sport = dport = int(fields["id"]) if "id" in fields else None
    else:
        sport, dport = (int(fields[key]) if key in fields else None for key in ("sport", "dport"))
    return Flow(parse_address(fields["src"])[1], sport, parse_address(fields["dst"])[1], dport, proto)


def _status(original: Flow, reply: Flow, flags: set[str]) -> Iterator[str]:
    yield "CONFIRMED"
    if "UNREPLIED" not in flags:
        yield "SEEN_REPLY"
    if "ASSURED" in flags:
        yield "ASSURED"
    if (original.src, original.sport) != (reply.dst, reply.dport):
        yield "SNAT"
    if (original.dst, original.dport) != (reply.src, reply.sport):
        yield "DNAT"


def _counts(one: dict[str, str], two: dict[str, str], key: str) -> dict[Direction, int] | None:
    return {"original": int(one[key]), "reply": int(two[key])} if key in one and key in two else None


def recent_lists(text: str) -> dict[str, dict[int, list[float]]]:
    """Read the files of /proc/net/xt_recent, each after a line `== NAME`.

    A line `# jiffies NOW uptime SECONDS` before them gives the time of the capture; without it, the
    newest stamp counts as now.

    Returns:
        The ages of the stamps in seconds, newest first, by list and address.

    Raises:
        ValueError: a line starts like one of these but is not one; the message says which.
    """
    stamps: dict[str, dict[int, list[int]]] = {}
    name, now, ticks = "DEFAULT", 0, DEFAULT_HZ
    for number, line in enumerate(text.splitlines(), 1):
        words = line.replace(",", " ").split()
        try:
            if line.startswith("== "):
                name = line[3:].strip()
                stamps[name] = {}
            elif line.startswith("# jiffies ") and len(words) >= 5:
                now = _jiffies(words[2])
                ticks = _ticks(now, float(words[4]))
            elif words and words[0].startswith("src="):
                # src=198.51.100.7 ttl: 64 last_seen: 4295012345 oldest_pkt: 2 4295011111, 4295012345
                address = parse_address(words[0][4:])[1]
                oldest = words.index("oldest_pkt:")
                stamps.setdefault(name, {})[address] = [_jiffies(word) for word in words[oldest + 2 :]]
        except ValueError as error:
            raise ValueError(
                message(
                    "line {number} is not a line of /proc/net/xt_recent ({error})",
                    number=number,
                    error=text_of(error),
                )
            ) from None
    now = now or max(
        (stamp for lists in stamps.values() for own in lists.values() for stamp in own), default=0
    )
    return {
        name: {
            address: sorted(max(now - stamp, 0) / ticks for stamp in own)
            for address, own in addresses.items()
        }
        for name, addresses in stamps.items()
    }


def _jiffies(text: str) -> int:
    """Read a time in jiffies, which are 64-bit numbers."""
    if not text.isdecimal() or len(text) > 20:
        raise ValueError(message("{text} is not a time in jiffies", text=brief(text)))
    return int(text)


def _ticks(jiffies: int, uptime: float) -> int:
    """Return the ticks per second: 64-bit kernels start counting 300 seconds before 2**32."""
    if abs(uptime - 300) < 1:
        return DEFAULT_HZ
    measured = (jiffies - 2**32) / (uptime - 300)
    return min((100, 250, 300, 1000), key=lambda ticks: abs(ticks - measured))
