"""Where the commands in a pasted text were typed: on the host, or in a container."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Interface
from typing import Any, NamedTuple

from iptsim.errors import CaptureError
from iptsim.host.docker_defaults import OWN_BRIDGES
from iptsim.host.pasted import Lines
from iptsim.languages import Message, message
from iptsim.paste.lines import Line, SameLines
from iptsim.paste.pieces import Ask, ChainItem, Facts, Resolver, Rules, Segment, Sockets
from iptsim.paste.prompts import Command, command_of, prompt_of
from iptsim.reading import parse_json

#: At most this many lines may lie between a command and its message.
FAR = 12
#: The prompts of a shell in a container: Docker's ID of the container as the host's name, or busybox.
_SHELL = re.compile(r"\w+@[0-9a-f]{12}|/[^\s@]* ?[#$]")
#: Programs whose `exec` runs a command in a container.
_ENTERING = frozenset({"docker", "docker-compose", "podman", "kubectl", "lxc", "incus"})
#: Options of `exec` with a value.
_WITH_VALUE = frozenset(
    [
        *("-u", "--user", "-e", "--env", "-w", "--workdir", "--env-file", "--detach-keys", "--index"),
        *("-n", "--namespace", "-c", "--container"),  # of kubectl
    ]
)
#: Runs a container in the background; letters may share a dash.
_DETACHED = re.compile(r"-[a-zP]*d[a-z]*|--detach(?:=true)?")
#: A new container on the default network, without a name.
ON_DEFAULT = "docker run"
#: In place of a container: a machine that is neither the host nor a container of it.
ELSEWHERE = "another machine"
#: A heading that names the machine whose rules follow: "On server A:", and how far above them it may be.
_HEADING = re.compile(
    r"\W*(?:(?:(?:and|rules|output)\s+)*(?:on|from|of)\s+)?(?:the\s+|my\s+)?"
    r"((?:first\s+|second\s+|other\s+)?"
    r"(?:server|client|host|machine|node|router|gateway|vps|box|vm|peer|laptop)(?:[ -]?[\w.-]{1,30})?)\W*:\W*",
    re.IGNORECASE,
)
_HEADING_FAR = 3
#: A heading that names the machine of addresses and routes, its kind and its label: "On the client (my laptop):", "Node
#: 2's routes:"; and what may come between it and them.
_TITLE = re.compile(
    r"\W*(?:(?:[\w-]+\s+){0,3}(?:on|from|of|at|and)\s+)?(?:the\s+|my\s+)?(?P<which>first\s+|second\s+|other\s+)?"
    r"(?:vpn\s+|wireguard\s+|openvpn\s+)?"
    r"(?P<kind>server|client|host|machine|node|router|gateway|vps|box|vm|peer|laptop)"
    r"(?:[ -]?(?P<label>[a-z]|\d{1,3}))?(?:'s)?(?:\s+[\w-]+){0,3}(?:\s*\([^()]{1,40}\))?\W*:\W*",
    re.IGNORECASE,
)
_TITLE_LENGTH = 120
_BLANK = re.compile(r"[\s>]*(?:```\s*[a-z]*\s*)?")
_CLIENTS = frozenset({"client", "peer", "laptop"})
#: A heading that says that what follows is of a container or of another machine: "Sockets inside the container:".
_OF_ANOTHER = re.compile(
    r".*\b(?:in|inside|from|on|of)\s+(?:(?:the|my|a|another|other)\s+)*(?:[\w.-]+\s+)?(?:container|pod|jail|guest|client)"
    r"(?:\s+[\w.-]+)?\W*:\W*",
    re.IGNORECASE,
)
#: Docker's chains on the host; those in containers are DOCKER_OUTPUT and DOCKER_POSTROUTING.
_CHAIN = re.compile(r"DOCKER(?:-.*)?")
#: The names that Docker gives to the interfaces of containers.
_INSIDE = re.compile(r"eth[0-9]+")
#: A prompt in a home directory, where shells of people begin, but hardly any in containers; and one of Windows.
_AT_HOME = re.compile(r"\s*\[?[\w.-]+@[\w.-]+[: ]+~|\s*(?:PS )?[A-Z]:\\")
#: Programs that are run on the host itself.
_OF_HOST = frozenset(
    {"ufw", "docker", "podman", "firewall-cmd", "conntrack", "nft", "iptables-save", "systemctl"}
)


def container_of(lines: list[Line], at: int) -> str | None:
    """Return the name or ID of the container in which a command was typed, "" if unknown; None if in no container."""
    for index in range(at, max(at - FAR, -1), -1):
        text = lines[index].text
        prompt, command = prompt_of(text), command_of(text)
        if prompt is None and command is None:
            continue
        entered = _entered(text)
        if prompt is None:  # without a prompt, others may be the commands that set up the host
            runs_there = command is not None and ("exec" in command.words[:2] or command.program == "nsenter")
            return entered or None if runs_there else None
        if entered is not None:  # the command itself, or a shell without a prompt
            return entered or None
        if prompt in _prompts_of_host(SameLines(lines)):
            return None
        if _SHELL.fullmatch(prompt) is None:
            return _entered_before(lines, index, prompt)
        ident = prompt.partition("@")[2]
        shells = (_entered(line.text) for line in reversed(lines[:index]))
        return next((name for name in shells if name), ident)
    return None


def _entered_before(lines: list[Line], index: int, prompt: str) -> str | None:
    """Return the container in which a shell has this prompt, if its command precedes the prompt's first line."""
    for line in reversed(lines[max(index - FAR, 0) : index]):
        if prompt_of(line.text) not in (None, prompt) and not _is_comment(line.text):
            return _entered(line.text)
    return None


def _is_comment(text: str) -> bool:
    """Return whether a line is a comment of whoever pasted a session: `# now in the container`, not `# iptables -L`."""
    return text.startswith("# ") and command_of(text) is None


def _entered(text: str) -> str | None:
    """Return the container in which a command runs a program, "" if its name or network is unknown; else None."""
    command = command_of(text)
    if command is not None and command.program in ("ip", "nsenter"):
        return _namespace(command)
    if command is None or command.program not in _ENTERING:
        return None
    words = list(command.words[command.words[:1] == ("compose",) :])
    if words[:1] == ["exec"]:
        left = words[1:]
        while left and left[0].startswith("-"):
            left = left[2 if left[0] in _WITH_VALUE else 1 :]
        return left[0] if left else ""
    if command.program not in ("docker", "podman"):
        return None
    if words[:1] == ["run"] and not any(map(_DETACHED.fullmatch, words)):
        network = command.option("--network", "--net") or "bridge"
        if network == "host":
            return None
        return (command.option("--name") or ON_DEFAULT) if network == "bridge" else ""
    return None


def _namespace(command: Command) -> str | None:
    """Return the network namespace in which a command runs a program: its name, or the process that has it.

    >>> _namespace(command_of("nsenter -t 4711 -n ip addr")), _namespace(command_of("ip netns exec blue ip addr"))
    ('process 4711', 'blue')
    """
    if command.program == "ip":
        name = re.search(r"\bnetns exec (\S+)", " ".join(command.words))
        return name[1] if name else None
    if not any(re.match(r"-[a-zA-Z]*n|--net\b", word) for word in command.words):
        return None
    return f"process {command.option('-t', '--target') or '?'}"


def in_service(lines: list[Line], at: int) -> bool:
    """Return whether the command that enters a container above a line, or in it, is one of Compose."""
    entering = (
        command
        for line in reversed(lines[max(at - FAR, 0) : at + 1])
        if _entered(line.text) is not None and (command := command_of(line.text)) is not None
    )
    command = next(entering, None)
    return command is not None and (command.program == "docker-compose" or command.words[:1] == ("compose",))


def runs_on_default(text: str) -> bool:
    """Return whether a command runs a new container on the default bridge."""
    command = command_of(text)
    if command is None or command.program not in ("docker", "podman") or command.words[:1] != ("run",):
        return False
    return command.option("--network", "--net") in (None, "bridge")


def typed_on_host(lines: list[Line], at: int) -> bool:
    """Return whether a command was typed on the machine on which the rules were listed."""
    for index in range(at, max(at - FAR, -1), -1):
        own = prompt_of(lines[index].text)
        if own is not None:
            if _entered(lines[index].text) is not None:
                return False
            return own in _prompts_of_host(SameLines(lines)) and not _typed_on_client(lines, index)
    return False


def typed_elsewhere(lines: list[Line], at: int) -> bool:
    """Return whether a command was typed on another machine than that of the rules, as a prompt or heading shows."""
    for index in range(at, max(at - FAR, -1), -1):
        own = prompt_of(lines[index].text)
        if own is not None:
            if _typed_on_client(lines, index):
                return True
            here = {
                machine for one in _prompts_of_host(SameLines(lines)) if (machine := one.partition("@")[2])
            }
            is_other = bool(here) and own.partition("@")[2] not in here
            return is_other and _AT_HOME.match(lines[index].text) is not None
    return False


def _typed_on_client(lines: list[Line], at: int) -> bool:
    """Return whether a heading of a client is above a prompt, but above none after which the host was asked."""
    return _is_below_client(lines, at) and not _host_is_below_client(SameLines(lines))


@lru_cache(maxsize=1)
def _host_is_below_client(of: SameLines) -> bool:
    """Return whether a program that is run on the host itself was typed below a heading of a client."""
    lines = of.lines
    return any(_is_of_host(line.text) and _is_below_client(lines, at) for at, line in enumerate(lines))


def _is_below_client(lines: list[Line], at: int) -> bool:
    title = _title_over(lines, at, ())
    return title is not None and title.is_client


@lru_cache(maxsize=1)
def _prompts_of_host(of: SameLines) -> frozenset[str]:
    """Return the prompts after which programs were typed that are run on the host itself."""
    found = (prompt_of(line.text) for line in of.lines if _is_of_host(line.text))
    return frozenset(prompt for prompt in found if prompt is not None)


def _is_of_host(text: str) -> bool:
    command = command_of(text)
    if command is None:
        return False
    inside = command.words[:1] == ("attach",) or _entered(text) is not None
    if command.program.startswith(("iptables", "ip6tables")):
        return True
    return command.program in _OF_HOST and not inside


def of_one_machine(segments: list[Segment]) -> tuple[list[Segment], list[Segment]]:
    """Return the segments that are about the machine of the rules, and those about another one.

    Each container has rules, interfaces and routes of its own. If rules of the host are shown, what was printed in a
    container is not about the host; and the other way round, if all rules were printed in one container, or without
    rules everything that the text shows.
    """
    _place_in_containers(segments)
    places = [one.place for one in segments if any(isinstance(piece, Rules) for piece in one.pieces)]
    if not places:
        places = [one.place for one in segments if not all(isinstance(piece, Ask) for piece in one.pieces)]
    machine = None if None in places or not places else places[0]
    mine: list[Segment] = []
    others: list[Segment] = []
    for one in segments:
        elsewhere = one.place not in (None, machine) and all(map(_is_of_a_machine, one.pieces))
        (others if elsewhere else mine).append(one)
    return mine, others


def _place_in_containers(segments: list[Segment]) -> None:
    """Note which interfaces and routes are a container's: in the network of a Docker bridge, or with it as the gateway.

    The bridge is one of the host, and shown elsewhere in the text. A card that is older than the bridge, by its number,
    and no end of a pair (eth0@if7) is the host's own, in a network that has the same addresses. Beside Docker's chains,
    an end of a pair with a MAC address as Docker makes it is a container's.
    """
    beside = any(map(_is_of_docker_host, segments))
    bridges = [
        one for segment in segments for one in _addressed(segment) if OWN_BRIDGES.fullmatch(one.device)
    ]
    gateways = {str(bridge.interface.ip) for bridge in bridges}
    networks = {bridge.interface.network for bridge in bridges}
    oldest = min((bridge.number for bridge in bridges), default=0)
    for segment in segments:
        own = [one for one in _addressed(segment) if not one.interface.is_loopback]
        routes = [*_entries(segment, "ip-route.json")]
        if any(OWN_BRIDGES.fullmatch(name) for name in (*(one.device for one in own), *_devices(routes))):
            continue
        inside = (
            _INSIDE.fullmatch(one.device)
            and (one.is_veth or not 0 < one.number < oldest)
            and (
                one.interface.network in networks or (beside and one.is_veth and one.mac == _docker_mac(one))
            )
            for one in own
        )
        behind = {entry["gateway"] for entry in routes if "gateway" in entry}
        if segment.place is None and (own or behind) and all(inside) and behind <= gateways:
            segment.place = ""


def _devices(routes: list[dict[str, Any]]) -> Iterator[str]:
    return (str(entry.get("dev")) for entry in routes)


class _Addressed(NamedTuple):
    """An address of an interface, whose number is 0 if it is not shown."""

    device: str
    interface: IPv4Interface
    number: int
    is_veth: bool
    mac: str


def _is_of_docker_host(segment: Segment) -> bool:
    """Return whether a segment shows chains that Docker makes on the host: DOCKER, DOCKER-USER."""
    items = [item for piece in segment.pieces if isinstance(piece, Rules) for item in piece.items]
    chains = (item.name if isinstance(item, ChainItem) else item.chain for item in items)
    return any(name is not None and _CHAIN.fullmatch(name) for name in chains)


def _docker_mac(one: _Addressed) -> str:
    """Return the MAC address that Docker gives a container with an IP address, until 27 (GenerateMACFromIP)."""
    return "02:42:" + one.interface.ip.packed.hex(":")


def _addressed(segment: Segment) -> Iterator[_Addressed]:
    """Yield the interfaces whose IPv4 addresses a segment shows."""
    for entry in _entries(segment, "ip-addr.json"):
        for one in entry.get("addr_info", ()):
            if one.get("family") == "inet":
                with suppress(ValueError):
                    text = f"{one.get('local')}/{one.get('prefixlen')}"
                    number, is_veth = int(entry.get("ifindex") or 0), "link_index" in entry
                    name, mac = str(entry.get("ifname")), str(entry.get("address"))
                    yield _Addressed(name, IPv4Interface(text), number, is_veth, mac)


def _entries(segment: Segment, file: str) -> Iterator[dict[str, Any]]:
    for piece in segment.pieces:
        if isinstance(piece, Facts) and file in piece.files:
            yield from parse_json(piece.files[file])


class Machines:
    """The machines of the rules in all texts of a source, as prompts or headings name them."""

    def __init__(self) -> None:
        self._listed: dict[tuple[int, str], tuple[str, Lines]] = {}
        #: those that prompts name
        self._prompted: set[str] = set()

    def check(self, name: str, lines: list[Line], segments: list[Segment]) -> None:
        """Check that no table is listed on two machines, as prompts or headings before the listings name them.

        Args:
            name: the name of the text.
            lines: its lines.
            segments: its segments.

        Raises:
            CaptureError: one is; nothing says which of the machines a question is about.
        """
        for segment in segments:
            machine, number = _machine_of(lines, segment.first), lines[segment.first].number
            if machine is None:
                continue
            here = Lines(name, number, number)
            for piece in segment.pieces:
                if not isinstance(piece, Rules) or piece.traced or piece.status:
                    continue
                if _prompted(lines, segment.first) == machine:
                    self._prompted.add(machine)
                if not piece.whole:
                    continue
                other, there = self._listed.setdefault((piece.family or 4, piece.table), (machine, here))
                if other != machine:
                    raise CaptureError(_two_machines(piece.table, (other, there), (machine, here)))

    def others(self, lines: list[Line], segments: list[Segment]) -> list[Segment]:
        """Return what is of other machines than that of the rules, as prompts or headings name them.

        Below a heading that names a machine, sockets are those of the rules only if these are of that machine, too;
        below one that names a container, only if no rules are printed elsewhere. Addresses, routes and settings are of
        another machine if prompts name both, or else headings.
        """
        rules = [one for one in segments if any(isinstance(piece, Rules) for piece in one.pieces)]
        machines = {name for one in rules if (name := _machine_of(lines, one.first)) is not None}
        of_facts = _covered(filter(_shows_facts, segments))
        covered = of_facts | _covered(rules)
        titles = [_title_over(lines, one.first, covered) for one in rules]
        found = []
        for one in segments:
            if any(isinstance(piece, Sockets) for piece in one.pieces):
                machine = _machine_of(lines, one.first)
                prompt = prompt_of(lines[one.first].text) or ""
                named = machine is not None and (bool(machines) or (bool(rules) and "@" not in prompt))
                inside = _OF_ANOTHER.fullmatch(_text_above(lines, one.first)) is not None and bool(rules)
                if (named and machine not in machines) or inside or typed_elsewhere(lines, one.first):
                    found.append(one)
            elif _shows_facts(one):
                machine = _prompted(lines, one.first)
                if machine is not None and self._prompted:
                    is_other = machine not in self._prompted
                else:
                    title = _title_over(lines, one.first, of_facts)
                    is_other = bool(rules) and title is not None and all(_differ(title, of) for of in titles)
                if is_other:
                    found.append(one)
        return found


def _shows_facts(segment: Segment) -> bool:
    """Return whether a segment shows nothing but addresses, routes and settings of a machine."""
    return all(isinstance(piece, Facts) for piece in segment.pieces)


class _Title(NamedTuple):
    """What a heading says of a machine: whether it is a client, or another one than the first, and its label."""

    is_client: bool
    which: str
    label: str


def _title_over(lines: list[Line], at: int, covered: Collection[int]) -> _Title | None:
    """Return the heading above a line that names a machine, if nothing but covered lines comes in between."""
    while at and (at - 1 in covered or _BLANK.fullmatch(lines[at - 1].text)):
        at -= 1
    found = _TITLE.fullmatch(lines[at - 1].text[:_TITLE_LENGTH]) if at else None
    if found is None:
        return None
    which, label = ((found[name] or "").strip().lower() for name in ("which", "label"))
    return _Title(found["kind"].lower() in _CLIENTS, which, label)


def _covered(segments: Iterable[Segment]) -> set[int]:
    return {at for one in segments for at in range(one.first, one.last + 1)}


def _differ(title: _Title, other: _Title | None) -> bool:
    """Return whether two headings name different machines; rules without one are those of a server."""
    if other is None:
        return title.is_client or title.which in ("second", "other")
    labels = {title.label or title.which, other.label or other.which}
    return title.is_client is not other.is_client or (len(labels) > 1 and "" not in labels)


def _two_machines(table: str, one: tuple[str, Lines], other: tuple[str, Lines]) -> Message:
    """Return the error that a table is listed on two machines, each given with the line of its listing, or its file."""
    (name, there), (machine, here) = one, other
    in_one_file = there.file == here.file
    return message(
        "table {table} is listed on two machines: {one} ({place}) and {other} ({another}); leave out the one that the"
        " question is not about",
        table=table,
        one=name,
        place=message("line {line}", line=there.first) if in_one_file else there.file,
        other=machine,
        another=message("line {line}", line=here.first) if in_one_file else here.file,
    )


def _prompted(lines: list[Line], at: int) -> str | None:
    """Return the machine whose name is in the prompt of a line; None if none is, or one that any machine may have."""
    machine = _in_prompt(prompt_of(lines[at].text) or "")
    return machine if machine not in ("", "localhost") else None


def _in_prompt(prompt: str) -> str:
    return prompt.partition("@")[2].partition(".")[0].lower()


def _machine_of(lines: list[Line], at: int) -> str | None:
    """Return the machine whose name is in the prompt of a line, or in the heading before it; None if none is named."""
    prompt = prompt_of(lines[at].text) or ""
    if "@" in prompt:
        return _in_prompt(prompt)
    found = _HEADING.fullmatch(_text_above(lines, at))
    return found[1].lower() if found else None


def _text_above(lines: list[Line], at: int) -> str:
    """Return the line before another one, blank ones aside; "" if it is far above or there is none."""
    above = (line.text for line in reversed(lines[max(at - _HEADING_FAR, 0) : at]) if not line.is_blank)
    return next(above, "")


def _is_of_a_machine(piece: object) -> bool:
    """Return whether a piece tells rules, interfaces, routes or name servers of the machine that printed it."""
    return isinstance(piece, Rules | Facts) or (isinstance(piece, Resolver) and not piece.container)
