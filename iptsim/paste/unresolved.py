"""Names that could not be resolved, according to the errors in a pasted text, and who asked for them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iptsim.host.pasted_services import UnresolvedName
from iptsim.paste.lines import Line
from iptsim.paste.prefixes import COMPOSED
from iptsim.paste.prompts import command_of
from iptsim.paste.where_typed import container_of

_NAME = r"[\"'`‘“(]*(?P<name>[A-Za-z0-9][\w.-]*)"
_FAILED = (
    r"(?:Name or service not known|Temporary failure in name resolution|no such host|Name does not resolve)"
)
#: The errors of the C library's callers, apt, Node.js, Go, Java, PHP, curl, ping, nginx, nslookup, Python.
_ERRORS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"could not (?:translate|resolve) host ?(?:name)?:? {_NAME}",
        rf"(?:Could not resolve|Temporary failure resolving) '{_NAME}'",
        rf"getaddrinfo (?:ENOTFOUND|EAI_AGAIN|for(?: host)?) {_NAME}",
        rf"\blookup {_NAME}(?: on \S+)?: {_FAILED}",
        rf"\bbad address {_NAME}",
        rf"Unknown (?:MySQL server )?host {_NAME}",
        rf"UnknownHostException: {_NAME}",
        rf"host not found in upstream {_NAME}",
        rf"can(?:'t|not) find {_NAME}: (?:NXDOMAIN|SERVFAIL)",
        rf"failed to resolve (?:host ?(?:name)? |(?=['\"])){_NAME}",  # not "failed to resolve reference", of images
        rf"\b(?:ping|ssh|telnet|nc|wget|curl): (?:unknown host )?{_NAME}: {_FAILED}",
    )
)
#: At most this many are kept.
_MOST = 5


def unresolved_names(lines: list[Line]) -> Iterator[UnresolvedName]:
    """Yield the names that could not be resolved, each once per program that asked."""
    found: dict[tuple[str, str], UnresolvedName] = {}
    for at, line in enumerate(lines):
        text = line.text[:1000]
        error = next((match for match in (one.search(text) for one in _ERRORS) if match), None)
        if error is None or command_of(text) is not None:
            continue
        row = COMPOSED.match(text)
        asker = row["name"] if row else container_of(lines, at) or ""
        name = error["name"].rstrip(".-")
        found.setdefault((name, asker), UnresolvedName(line.number, text.strip()[:200], name, asker))
        if len(found) == _MOST:
            break
    yield from found.values()
