"""`docker ps` and `docker compose ps`: the names of running containers, and the ports that they publish."""

from __future__ import annotations

import re

from iptsim.paste.lines import Line
from iptsim.paste.pieces import Listed, Segment
from iptsim.paste.prompts import Command

_HEADING = re.compile(r"\s*(?:CONTAINER ID\s+IMAGE|NAME\s+(?:IMAGE\s+)?COMMAND)\b.*\bPORTS\b")
#: docker-compose, the first version: name, command, state and ports, with a line of dashes below. Markdown makes a
#: heading of it.
_FIRST = re.compile(r"[#\s]*Name\s+Command\s+State\s+Ports\b")
_DASHES = re.compile(r"\s*-{10,}\s*$")
_FIRST_ROW = re.compile(r"\s*(?P<name>[\w.-]+)\s+(?P<image>)\S.*?(?=\s{2,}(?:Up|Exit|Paused|Restarting)\b)")
_ROW = re.compile(r"\s*(?P<id>[0-9a-f]{12})(?:[0-9a-f]{52})?\s+(?P<image>\S+)\s")
#: Compose has the name first and the service after the command.
_COMPOSE_ROW = re.compile(r"\s*(?P<name>[\w.-]+)\s+(?P<image>\S+)?\s*[\"'“].*?[\"'”]\s")
#: Columns that `docker ps --format "table ..."` may print (docker-ps(1)), with the name and the ports among them.
_COLUMNS = re.compile(
    r"CONTAINER ID|IMAGE|COMMAND|CREATED(?: AT)?|STATUS|STATE|PORTS|NAMES?|SERVICE|SIZE|NETWORKS|MOUNTS|LABELS"
)
_STATUS = re.compile(r"\b(?:Up|Exited|Created|Restarting|Paused|Dead|Exit \d+|running|exited)\b")
_PUBLISHED = re.compile(
    r"(?:(?P<host>\d+(?:\.\d+){3}|\[?[0-9a-fA-F:]*:\]?|):)?(?P<from>\d+)(?:-(?P<till>\d+))?->"
    r"(?P<inside>\d+)(?:-\d+)?/(?P<proto>tcp|udp|sctp)"
)

#: At most this many lines lie between two rows.
_BETWEEN = 2
#: A port without one of the host.
_EXPOSED = re.compile(r"(?<![>\d./:-])(?P<port>\d{1,5})/(?P<proto>tcp|udp|sctp)\b")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the list of containers that starts at a line, or None."""
    text = lines[at].text
    if _FIRST.match(text):
        form, identified = _FIRST_ROW, False
    elif not _HEADING.match(text):
        return _chosen_columns(lines, at) if "PORTS" in text and "NAME" in text else None
    else:
        identified = not text.lstrip().startswith("NAME")
        form = _ROW if identified else _COMPOSE_ROW
    last = at
    found: list[Listed] = []
    unread: list[int] = []
    for index in range(at + 1, len(lines)):
        line = lines[index]
        if line.is_blank or _DASHES.match(line.text):  # rows of a list that was pasted into Markdown
            if index - last > _BETWEEN:
                break
            continue
        container = _container(line.text, form, identified=identified)
        if container is None:
            if not _PUBLISHED.search(line.text) or not found or index > last + 1:
                break
            unread.append(index)
        else:
            found.append(container)
        last = index
    return Segment("docker ps", "docker ps", at, last, [*found], unread)


def _container(text: str, form: re.Pattern[str], *, identified: bool) -> Listed | None:
    """Return the container of a row; None for any other line."""
    row = form.match(text)
    status = _STATUS.search(text, row.end() if row else 0)
    if row is None or status is None:
        return None
    name = text.split()[-1].split(",")[0] if identified else row["name"]
    runs = status[0] in ("Up", "running", "Paused")
    behind = text[status.start() :].strip()
    ports = _ports(text[status.end() :])
    exposed = tuple((int(one["port"]), one["proto"]) for one in _EXPOSED.finditer(text, status.end()))
    stopped = "" if runs else re.split(r"\s{2,}", behind)[0]
    if stopped:  # the ports that it would publish
        exposed = (*exposed, *((port, proto) for _, port, _, proto in ports))
    return Listed(
        name,
        row["image"] or "",
        row["id"] if identified else "",
        tuple(ports if runs else ()),
        exposed,
        stopped,
    )


def _ports(text: str) -> list[tuple[str, int, int, str]]:
    """Return the published ports in a text: the host's address and port, the container's port, the protocol."""
    ports = []
    for one in _PUBLISHED.finditer(text):
        first, last = int(one["from"]), int(one["till"] or one["from"])
        for port in range(first, min(last, 65535) + 1):
            host = (one["host"] or "").strip("[]")
            ports.append((host, port, int(one["inside"]) + port - first, one["proto"]))
    return ports


def _chosen_columns(lines: list[Line], at: int) -> Segment | None:
    """Return the list of `docker ps --format "table ..."`, whose columns begin where their headings do."""
    heading = lines[at].text
    starts = {one[0]: one.start() for one in _COLUMNS.finditer(heading)}
    if _COLUMNS.sub("", heading).strip() or "PORTS" not in starts or not starts.keys() & {"NAMES", "NAME"}:
        return None
    ends = dict(zip(starts, [*list(starts.values())[1:], None], strict=True))
    found: list[Listed] = []
    last = at
    for index in range(at + 1, len(lines)):
        text = lines[index].text
        cells = {name: text[start : ends[name]].strip() for name, start in starts.items()}
        name = cells.get("NAMES") or cells.get("NAME") or ""
        is_row = re.fullmatch(r"[\w.-]+(?:,[\w.-]+)*", name) is not None
        if not is_row or not re.fullmatch(r"(?:[\d.:\[\]a-fA-F>/,-]|tcp|udp|sctp|\s)*", cells["PORTS"]):
            break
        exposed = tuple((int(one["port"]), one["proto"]) for one in _EXPOSED.finditer(cells["PORTS"]))
        ports = tuple(_ports(cells["PORTS"]))
        found.append(
            Listed(name.split(",")[0], cells.get("IMAGE", ""), cells.get("CONTAINER ID", ""), ports, exposed)
        )
        last = index
    return Segment("docker ps", "docker ps", at, last, [*found]) if found else None
