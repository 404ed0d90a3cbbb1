"""The processes of docker-proxy, as `ps` and `systemctl status docker` print them: published ports and containers.

dockerd starts one for each published port, with these options (moby, cmd/docker-proxy/main_linux.go).
"""

from __future__ import annotations

import re

from iptsim.host.pasted import PROXIES
from iptsim.paste.addresses import is_address
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Listed, Segment
from iptsim.paste.prompts import Command

_PROCESS = re.compile(r"(?:^|.*[\s/─])docker-proxy(?P<options>(?:\s+--?[a-z0-9-]+(?:[ =]\S+)?)+)\s*")
_OPTION = re.compile(r"--?(?P<name>[a-z0-9-]+)[ =](?P<value>[^\s-]\S*)")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the processes of docker-proxy in consecutive lines from one on, or None."""
    found: list[Listed] = []
    while at + len(found) < len(lines) and (port := _listed(lines[at + len(found)].text)) is not None:
        found.append(port)
    return Segment(PROXIES, PROXIES, at, at + len(found) - 1, [*found]) if found else None


def _listed(text: str) -> Listed | None:
    """Return the container that a process connects to, with the port that it serves; None for another line."""
    process = _PROCESS.fullmatch(text)
    if process is None:
        return None
    options = {one["name"]: one["value"] for one in _OPTION.finditer(process["options"])}
    address, proto = options.get("container-ip", ""), options.get("proto", "tcp")
    ports = [options.get("host-port", ""), options.get("container-port", "")]
    if not is_address(address) or not all(re.fullmatch(r"\d{1,5}", port) for port in ports):
        return None
    host_port, inside = map(int, ports)
    published = (options.get("host-ip", ""), host_port, inside, proto)
    return Listed(address, "", "", (published,), address=address)
