"""The ports on which sshd listens, by the lines of sshd_config in a pasted text (sshd_config(5))."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from iptsim.host.pasted_services import ConfiguredPort
from iptsim.paste.lines import Line

_PORT = re.compile(r"\s*Port[ =]\s*(?P<port>\d{1,5})\s*(?:#.*)?", re.IGNORECASE)
#: An address, on which sshd listens on each Port, or on its own one: 192.0.2.1:2222, [2001:db8::1]:2222.
_ADDRESS = re.compile(
    r"\s*ListenAddress[ =]\s*(?P<address>\[[\da-f:.]+\]|[\da-f]*:[\da-f:.]+|[\w.-]+)(?::(?P<port>\d{1,5}))?"
    r"\s*(?:#.*)?",
    re.IGNORECASE,
)
_LOOPBACK = re.compile(r"localhost|127\..*|\[?::1\]?", re.IGNORECASE)
#: The file, or a setting that only the server has: ~/.ssh/config of a client has Port, too.
_SERVER = re.compile(
    r"\bsshd_config\b|^\s*#?(?:PermitRootLogin|ListenAddress|AllowUsers|MaxAuthTries|UsePAM|X11Forwarding|PrintMotd"
    r"|AuthorizedKeysFile)\s",
    re.IGNORECASE,
)
_CLIENT = re.compile(r"\s*(?:Host|HostName|IdentityFile)\s+\S", re.IGNORECASE)


def sshd_ports(lines: Sequence[Line]) -> Iterator[ConfiguredPort]:
    """Yield the ports that settings of sshd name, except on localhost; none if they may be those of a client."""
    texts = [line.text[:200] for line in lines]
    if not any(map(_SERVER.search, texts)) or any(map(_CLIENT.match, texts)):
        return
    bound = [found for text in texts if (found := _ADDRESS.fullmatch(text)) is not None]
    if bound and all(_LOOPBACK.fullmatch(found["address"]) for found in bound):
        return
    for line, text in zip(lines, texts, strict=True):
        found = _PORT.fullmatch(text) or _ADDRESS.fullmatch(text)
        if found is None or not found["port"] or not 0 < int(found["port"]) < 65536:
            continue
        if not _LOOPBACK.fullmatch(found.groupdict().get("address") or ""):
            yield ConfiguredPort(line.number, text.strip(), int(found["port"]))
