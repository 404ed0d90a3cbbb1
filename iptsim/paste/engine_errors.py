"""Errors of Docker and Podman in a pasted text: ports and subnets that are taken, name servers that do not answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from iptsim.host.pasted import EngineError
from iptsim.paste.lines import Line

_QUERY = r"\bread udp (?P<sender>[\d.]+):\d+->(?P<server>[\d.]+):53: (?:read: )?"
#: The kinds of errors, with the words of the engines (libnetwork/portmapper, portallocator, ipamutils; rootlessport).
_ERRORS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "privileged-port",
        re.compile(
            r"rootlessport cannot expose privileged port (?P<port>\d{1,5})"
            r"|(?:rootlessport|slirp4netns|pasta|podman).{0,200}:(?P<other>\d{1,5}): bind: permission denied"
        ),
    ),
    (
        "port-taken",
        re.compile(
            r"Bind for \S*?:(?P<port>\d{1,5}) failed: port is already allocated"
            r"|(?:listen (?:tcp|udp)[46]? \S*?:|bind host port(?: for)? \S*?:)(?P<other>\d{1,5})(?::\S+)?: "
            r"(?:bind: )?address already in use"
        ),
    ),
    (
        "address-pool-full",
        re.compile(
            r"could not find an available, non-overlapping IPv[46] address pool"
            r"|all predefined address pools have been fully subnetted"
            r"|could not find an available predefined network"
        ),
    ),
    (
        "subnet-taken",
        re.compile(r"Pool overlaps with other one on this address space|networks have overlapping IPv[46]"),
    ),
    # the resolver of containers on their own networks (libnetwork/resolver.go)
    ("name-server-silent", re.compile(r"\[resolver\] .{0,300}?" + _QUERY + r"i/o timeout")),
    ("name-server-refuses", re.compile(r"\[resolver\] .{0,300}?" + _QUERY + r"connection refused")),
)
#: dockerd before 1.9 logged each subnet that it could not use for its bridge (daemon/networkdriver/network.go).
_UNUSABLE = re.compile(r"(?<!\S)\d{1,3}(?:\.\d{1,3}){3}/\d+ requested network overlaps with existing network")
#: With fewer such lines, the next subnet may have been free.
_SEVERAL = 3
_HINT = re.compile(r"already|privileged|denied|address|overlap|\[resolver\]")
#: At most this many are kept.
_MOST = 5


def engine_errors(lines: Iterable[Line]) -> Iterator[EngineError]:
    """Yield such errors, one of each kind and port."""
    found: dict[tuple[str, int], EngineError] = {}
    unusable: list[Line] = []
    for line in lines:
        text = line.text[:2000]
        if not _HINT.search(text):
            continue
        if _UNUSABLE.search(text):
            unusable.append(line)
        for kind, words in _ERRORS:
            error = words.search(text)
            if error is None:
                continue
            given = error.groupdict()
            port = int(given.get("port") or given.get("other") or 0)
            if port < 65536:
                ends = given.get("sender") or "", given.get("server") or ""
                found.setdefault(
                    (kind, port), EngineError(line.number, text.strip()[:300], kind, port, *ends)
                )
            break
    if len(unusable) >= _SEVERAL:
        first, kind = unusable[0], "address-pool-full"
        found.setdefault((kind, 0), EngineError(first.number, first.text.strip()[:300], kind, 0))
    yield from list(found.values())[:_MOST]
