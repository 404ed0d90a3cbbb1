"""What a text says besides its rules: connections that failed, errors, services, and how it was read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from iptsim.addresses import address_text
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.header import printed_backend
from iptsim.host.logged_lines import LoggedLine
from iptsim.host.model import Host
from iptsim.host.pasted import (
    STILL_OPEN,
    EngineError,
    FailedCommand,
    FirewalldPolicy,
    Pasted,
    RefusedCommand,
    ToolError,
    UncreatedChain,
)
from iptsim.host.pasted_services import ListedPort, NarrowLink
from iptsim.paste.asked import asked, queries, telling_first, to_itself
from iptsim.paste.complaint import complaint
from iptsim.paste.forms.failures import rejected_by
from iptsim.paste.forms.firewall_cmd import full_zones, rules_of_zones
from iptsim.paste.kernel_version import kernel_version
from iptsim.paste.lines import Line
from iptsim.paste.local_services import (
    loopback_listeners,
    own_loopbacks,
    stopped_containers,
    unpublished_ports,
)
from iptsim.paste.logged_addresses import joined_groups
from iptsim.paste.misspelt import misspelt_variables, quoted_commands
from iptsim.paste.pieces import (
    ChainItem,
    CommandItem,
    Listed,
    Resolver,
    Rules,
    Settings,
    Zone,
)
from iptsim.paste.reloads import firewalld_reloads, not_loaded, reloads
from iptsim.paste.rulesets import Builder
from iptsim.paste.segments import CLIENTS, Reading
from iptsim.paste.sshd_settings import sshd_ports
from iptsim.paste.unresolved import unresolved_names
from iptsim.reading import parse_json

_ENGINES = {
    "podman": re.compile(r"\bpodman\b", re.IGNORECASE),
    "kubernetes": re.compile(r"\b(?:k3s|k8s|kubernetes|kubectl|coredns|KUBE-[A-Z]+)\b", re.IGNORECASE),
    # Podman's images may be at docker.io, too
    "docker": re.compile(r"\bdockerd?\b(?!\.io)|\bbr-[0-9a-f]{12}\b", re.IGNORECASE),
    "swarm": re.compile(r"\bswarm\b|\bdocker (?:service|stack) \w", re.IGNORECASE),
}
_REBOOT = re.compile(
    r"\b(?:re-?boot|re-?start(?:ed|ing)? (?:the |my )?(?:server|machine|computer|system|host|pc))",
    re.IGNORECASE,
)
_CLIENT = re.compile(r"\b(?:localhost|curl|wget|telnet|nc)\b|\b127\.0\.0\.1\b(?!/)")
_REFUSED = re.compile(
    r"\bconnections? (?:was |is |were |gets? )?(?:actively )?refused\b|\bECONNREFUSED\b", re.IGNORECASE
)


class Said(NamedTuple):
    """What single lines say, whatever else the texts show.

    Attributes:
        errors: the errors of Docker and Podman that no rule causes.
        refused: the commands that iptables refused, according to the errors that it printed.
        of_tools: those that nft, ufw and firewall-cmd refused.
        narrow_link: the link that carries less than the packets of Docker's networks.
    """

    errors: Sequence[EngineError]
    refused: Sequence[RefusedCommand]
    of_tools: Sequence[ToolError]
    narrow_link: NarrowLink | None


def pasted(
    reading: Reading,
    texts: Mapping[str, list[Line]],
    host: Host,
    builder: Builder,
    rules: Sequence[Rules],
    listed: Sequence[Listed],
    said: Said,
    files: Mapping[str, bytes],
) -> Pasted:
    """Return what texts say besides their rules.

    Args:
        reading: their segments.
        texts: their lines.
        host: the host that they describe.
        builder: what made its rulesets.
        rules: the rules that they show, and those that logged lines prove.
        listed: the containers that they list.
        said: what single lines of them say.
        files: files of a capture that the text shows.
    """
    lines = list(chain.from_iterable(texts.values()))
    services = {name: one for settings in reading.of(Settings) for name, one in settings.services.items()}
    clients = list(reading.asks(failed=True))
    loopbacks = tuple(own_loopbacks(clients, lines, services, listed))
    unresolved = tuple(one for text in texts.values() for one in unresolved_names(text))
    errors_of = tuple(asked(reading, host, listed, failed=True))
    connections = tuple(fields for fields, _ in errors_of)
    tried = (*connections, *queries(host, unresolved, listed, reading.of(Resolver)))
    logged = reading.of(LoggedLine)
    others = telling_first([one for one, _ in asked(reading, host, listed, failed=False)], logged, lines)
    here = [address_text(4, address) for address in host.namespace.outer_addresses(4)]

    def mentions(words: re.Pattern[str]) -> bool:
        return any(words.search(line.text) for line in lines)

    grown, lost = builder.changes(rebooted=mentions(_REBOOT))
    return Pasted(
        segments=tuple(reading.read),
        left_out=tuple(reading.left_out),
        asked=(*others, *tried, *to_itself(host, loopbacks, connections)),
        logged=tuple(logged),
        with_rules=bool(reading.of(Rules) or rules_of_zones(reading.of(Zone))),
        listed_twice=builder.listed_twice,
        grown=grown,
        lost=lost,
        failed=tuple(reading.of(FailedCommand)),
        searched=frozenset(piece.searched for piece in rules if piece.searched),
        tried=tried,
        errors=tuple((fields, error) for fields, error in errors_of if error),
        rejected_by=tuple(rejected_by(lines)),
        reloads=tuple(reloads(lines)),
        cut_off=any(piece.cut or piece.unfinished for piece in rules),
        published=tuple(_published(listed)),
        refused=(*builder.maker.refused, *said.refused),
        own_loopbacks=loopbacks,
        loopback_listeners=tuple(loopback_listeners(lines)),
        narrow_link=said.narrow_link,
        unpublished=tuple(unpublished_ports(clients, listed, services, here)),
        stopped=tuple(stopped_containers(clients, lines, listed)),
        firewalld_reloads=tuple(firewalld_reloads(lines)),
        not_loaded=tuple(not_loaded(lines)),
        engine_errors=tuple(said.errors),
        tool_errors=tuple(said.of_tools),
        appended=tuple(_appended(rules)),
        engines=tuple(
            name for name, words in _ENGINES.items() if mentions(words) and not reading.in_container
        ),
        names_client=mentions(_CLIENT),
        complaint=complaint(
            texts,
            [*reading.left_out, *(one for one in reading.read if one.form in CLIENTS)],
            fails=any((fields, STILL_OPEN) not in errors_of for fields in tried),
        ),
        patched=any(line.patched for line in lines),
        interfaces=frozenset(
            str(one["ifname"])
            for one in parse_json(files.get("ip-addr.json", b"[]"))
            if isinstance(one, dict) and one.get("addr_info")
        ),
        policies=tuple(reading.of(FirewalldPolicy)),
        quoted=tuple(quoted_commands(lines)) if reading.of(Settings) else (),
        versions=tuple((line.number, line.text.strip()) for line in lines if printed_backend(line.text)),
        zones=tuple(full_zones(reading.of(Zone))),
        unresolved=unresolved,
        variables=tuple(one for text in texts.values() for one in misspelt_variables(text)),
        uncreated=tuple(_uncreated(rules)),
        sshd_ports=tuple(sshd_ports(lines)),
        says_refused=tuple((line.number, line.text.strip()) for line in lines if _REFUSED.search(line.text)),
        groups=joined_groups(reading.of(LoggedLine), rules),
        kernel=kernel_version(lines),
    )


def _published(listed: Iterable[Listed]) -> Iterator[ListedPort]:
    """Return the ports of the host that containers publish, except on its loopback."""
    for one in listed:
        for address, port, inside, proto in one.ports:
            if not address.startswith(("127.", "::1")):
                yield ListedPort(one.name, port, proto, inside)


def _appended(rules: Sequence[Rules]) -> Iterable[tuple[int, str]]:
    """Return the commands that append to DOCKER-USER, if the text shows neither its rules nor that it is empty."""
    items = [item for piece in rules for item in piece.items]
    commands = [item for item in items if isinstance(item, CommandItem)]
    shown = any(isinstance(item, ChainItem) and item.name == "DOCKER-USER" for item in items)
    if shown or any(item.letter == "F" for item in commands):
        return
    added = [item for item in commands if (item.letter, item.chain) == ("A", "DOCKER-USER")]
    if added and added[-1].texts[2:] == ["-j", "RETURN"]:
        return  # its end: these are the rules of the chain
    for item in added:
        yield item.line, item.text.strip()


def _uncreated(rules: Sequence[Rules]) -> Iterator[UncreatedChain]:
    """Yield the chains that commands add rules to but never create, though they create others.

    A text in which no command creates a chain may be a part of a script; one that creates a chain by a variable, as a
    loop or function does, may create any.
    """
    known, added = set[tuple[str, str | None]](), dict[tuple[str, str], CommandItem]()
    creates = False
    for piece in rules:
        for item in piece.items:
            if isinstance(item, ChainItem):
                known.add((piece.table, item.name))
            elif isinstance(item, CommandItem) and item.letter == "N":
                if "$" in (item.chain or ""):
                    return
                creates = True
                known.add((piece.table, item.chain))
            elif isinstance(item, CommandItem) and item.letter == "E":
                known.update((piece.table, name) for name in item.texts[2:3])
            elif isinstance(item, CommandItem) and item.letter in ("A", "I") and item.chain is not None:
                added.setdefault((piece.table, item.chain), item)
    for (table, name), item in added.items() if creates else ():
        if (table, name) not in known and name not in BUILTIN_CHAINS.get(table, ()) and "$" not in name:
            yield UncreatedChain(name, table, item.line, item.text.strip())
