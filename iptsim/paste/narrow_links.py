"""A link that carries less than the packets of Docker's networks, as sentences tell it: "the MTU of ppp0 is 1400"."""

from __future__ import annotations

import re
from collections.abc import Iterable

from iptsim.host.pasted_services import NarrowLink
from iptsim.paste.lines import Line

_LINK = (
    r"(?:eth|en[opsx]|wl|ppp|tun|tap|wg|bond|docker|tailscale)[\w.-]*\d"
    r"|(?:(?:my|our|the) )?(?:VPN|WireGuard|OpenVPN)"
)
_KIND = r"(?: (?:interface|connection|link|tunnel|device))?"
_SIZE = r"(?P<size>\d{3,4})\b(?!\.\d)"
_TOLD = (
    re.compile(
        rf"\bMTU(?: value)? (?:of|on|for) (?:the |my )?[`'\"*]*(?P<name>{_LINK})[`'\"*]*{_KIND}"
        rf"(?: (?:is|was)(?: set to)?| to| ?[=:]) ?{_SIZE}",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<![\w.-])[`'\"*]*(?P<name>{_LINK})[`'\"*]*{_KIND}(?:'s)?(?: (?:has|with|is|uses)| ?:)?(?: an?| the| its)?"
        rf"(?: default)? MTU(?: (?:is|of|to)| ?[=:])? ?{_SIZE}",
        re.IGNORECASE,
    ),
)
#: The option of a bridge network, or of dockerd; not that of a link in the JSON of `ip`.
_OF_DOCKER = re.compile(
    rf"^(?!.*\"ifname\").*(?:\bcom\.docker\.network\.driver\.|\")mtu[\"']?\s*:\s*[\"']?{_SIZE}"
)
#: Interfaces of containers have the names of the host's cards.
_IN_CONTAINER = re.compile(
    r"\b(?:in|inside|within|of) (?:(?:an?|the|my|each|docker) )*containers?\b", re.IGNORECASE
)
#: The size where nothing sets another one (moby: DefaultNetworkMtu).
_DEFAULT = 1500
#: Links of fewer bytes than every host must accept are not meant (RFC 791).
_SMALLEST = 576


def narrow_link(lines: Iterable[Line]) -> NarrowLink | None:
    """Return the link with the least MTU of which sentences tell, if Docker's networks have a larger one."""
    of_docker: list[int] = []
    links: list[tuple[int, str, Line]] = []
    mentions = False
    for line in lines:
        text = line.text[:500]
        mentions = mentions or "docker" in text.lower()
        if "mtu" not in text.lower():
            continue
        if option := _OF_DOCKER.match(text):
            of_docker.append(int(option["size"]))
            continue
        for found in (one for pattern in _TOLD for one in pattern.finditer(text)):
            name = re.sub(r"^(?:my|our|the) ", "", found["name"], flags=re.IGNORECASE)
            if name.startswith("docker"):
                of_docker.append(int(found["size"]))
            elif int(found["size"]) >= _SMALLEST and not (
                name.startswith("eth") and _IN_CONTAINER.search(text)
            ):
                links.append((int(found["size"]), name, line))
    if not mentions or not links:
        return None
    size, name, line = min(links, key=lambda one: one[0])
    docker = max(of_docker, default=_DEFAULT)
    return NarrowLink(line.number, line.text.strip()[:200], name, size, docker) if size < docker else None
