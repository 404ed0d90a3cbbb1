"""Combines the segments of pasted texts: a host, the packets they describe, and which lines were read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

from iptsim.dump.ruleset import DumpWarning, Ruleset
from iptsim.errors import CaptureError
from iptsim.extensions.base import quote
from iptsim.host.capture import host_of
from iptsim.host.containers import Subnet
from iptsim.host.files import FILES, Source
from iptsim.host.model import FailedCommand, Host, LoggedLine, OwnLoopback, Pasted
from iptsim.languages import message
from iptsim.packet import address_text
from iptsim.paste.asked_address import asked_address
from iptsim.paste.containers import name_containers, name_networks, settings_of
from iptsim.paste.engine_errors import engine_errors
from iptsim.paste.errors import printed_errors
from iptsim.paste.forms.firewall_cmd import full_zones, rules_of_zones
from iptsim.paste.forms.settings import merged
from iptsim.paste.given import give
from iptsim.paste.interfaces import joined_entries
from iptsim.paste.lines import decode, lines_of
from iptsim.paste.local_services import (
    loopback_listeners,
    own_loopbacks,
    stopped_containers,
    unpublished_ports,
)
from iptsim.paste.logged_addresses import ADDRESS, own_addresses, route_as_logged
from iptsim.paste.logged_rules import nothing_shown, rules_of
from iptsim.paste.nft_rules import without_guesses
from iptsim.paste.pieces import (
    Ask,
    ChainItem,
    CommandItem,
    Facts,
    Failed,
    Listed,
    Logged,
    Resolver,
    Rules,
    Segment,
    Settings,
    Warned,
    Zone,
)
from iptsim.paste.reloads import firewalld_reloads, flushed, reloads, run_after_docker
from iptsim.paste.rulesets import Builder
from iptsim.paste.segments import CLIENTS, read_texts
from iptsim.paste.settings_host import add_status, host_with, listed_with
from iptsim.paste.shells import ON_DEFAULT
from iptsim.paste.unrecognised import nothing_read
from iptsim.paste.unresolved import unresolved_names
from iptsim.reading import parse_json

_ENGINES = {
    "podman": re.compile(r"\bpodman\b", re.IGNORECASE),
    "kubernetes": re.compile(r"\b(?:k3s|k8s|kubernetes|kubectl|coredns|KUBE-[A-Z]+)\b", re.IGNORECASE),
    "docker": re.compile(r"\bdocker\b(?!\.io)", re.IGNORECASE),
    "swarm": re.compile(r"\bswarm\b|\bdocker (?:service|stack) \w", re.IGNORECASE),
}
#: The file of kernel parameters.
_PARAMETERS = "sysctl.txt"
_DOCKER = re.compile(r"\b(?:docker|dockerd|docker-compose)\b", re.IGNORECASE)
_CLIENT = re.compile(r"\b(?:localhost|curl|wget|telnet|nc)\b|\b127\.0\.0\.1\b(?!/)")
#: Files of a capture with rules, as printed by their own tools.
_RULES = tuple(name for name in FILES if name.endswith(("tables-save.txt", "tables-listing.txt")))


def host_of_source(source: Source, more: Mapping[str, bytes] | None = None) -> Host:
    """Return the host described by any text, or by a directory of texts.

    Args:
        source: the files found at the path.
        more: further texts, by name.

    Raises:
        CaptureError: nothing in it is of a known form.
    """
    texts = dict(source.texts)
    if source.dump is not None:
        texts[source.name] = source.dump
    texts |= {name: data for name, data in source.files.items() if name in _RULES}
    files = {name: data for name, data in source.files.items() if name not in _RULES}
    return _assemble(source.name, {**texts, **(more or {})}, files)


def _assemble(name: str, texts: Mapping[str, bytes], files: dict[str, bytes]) -> Host:
    decoded = {text_name: decode(data, text_name) for text_name, data in texts.items()}
    cleaned = {text_name: lines_of(text) for text_name, text in decoded.items()}
    every = [line for lines in cleaned.values() for line in lines]
    errors = tuple(engine_errors(every))
    # errors that tell their cause, whatever else the text shows
    telling = {one.line for one in errors} | {one.line for one in own_loopbacks((), every, {}) if one.sure}
    printed = tuple(printed_errors(every))
    telling |= {one.line for one in printed}
    found = read_texts(cleaned, telling)
    segments_read, pieces, given = found.segments, found.pieces, found.given
    only_questions = all(segment.form in CLIENTS for segment in segments_read)
    if only_questions and not telling:
        raise CaptureError(nothing_read(name, decoded))
    unreadable = [piece for piece in pieces if isinstance(piece, Warned)]
    if unreadable and len(unreadable) == len([one for one in pieces if not isinstance(one, Ask)]):
        raise CaptureError(unreadable[0].text)
    for piece in pieces:
        if isinstance(piece, Facts):
            for file, data in piece.files.items():
                files[file] = _joined(files[file], data) if file in files else data
    logged = [piece for piece in pieces if isinstance(piece, Logged)]
    rules = [piece for piece in pieces if isinstance(piece, Rules)]
    if not any(piece.table == "filter" for piece in rules):
        rules += rules_of_zones([piece for piece in pieces if isinstance(piece, Zone)])
    with_rules = bool(rules)
    rules += rules_of(logged, {(piece.family or 4, piece.table) for piece in rules})
    listed = [piece for piece in pieces if isinstance(piece, Listed)]
    settings = [piece for piece in pieces if isinstance(piece, Settings)]
    for piece in rules if listed or settings else ():
        if piece.adds_chains:  # to those of Docker
            piece.status, piece.printed = True, False
    by_rules = not all(piece.status for piece in rules)
    runs = [one for one in settings if one.services]
    # what dockerd makes of settings has other names and addresses than the interfaces of a host
    only_settings = not files.keys() - {_PARAMETERS}
    if not runs and not by_rules and only_settings:
        settings += settings_of(listed)
    with_commands = bool(runs) and all(piece.status or piece.commands for piece in rules)
    # commands after those of Docker change its rules
    flushes = flushed(rules) if with_commands else []
    late = bool(flushes) and any(map(run_after_docker, cleaned.values()))
    later = [
        one
        for one in rules
        if with_commands and one.commands and (late or pieces.index(one) > pieces.index(runs[0]))
    ]
    builder = Builder(name)
    shown = [one for one in rules if one not in later]
    if shown or not _lists_base_chains(segments_read):
        rulesets = builder.build(shown or [nothing_shown()])
    else:  # nft would also list the tables of iptables, so there are none
        rulesets = {4: Ruleset(4, source=name, listed=True), 6: Ruleset(6, source=name, listed=True)}
    if settings and only_settings and (with_commands or not by_rules):
        host = host_with(settings, name, files.get(_PARAMETERS, b""))
        add_status(host.rulesets, rulesets if rules and len(later) < len(rules) else {}, builder.policies)
        if rules:
            host.assumptions[0] = message(
                "The rules are those that dockerd would write for these settings, and those that the source shows."
            )
        if later:
            refused = builder.refused
            builder = Builder(name, host.rulesets)
            builder.build(later)
            builder.refused[:0] = refused
        if flushes and not later:
            host.assumptions.append(
                message(
                    "The commands that flush {tables} are assumed to have run before Docker started; run later, they "
                    "remove Docker's rules until it restarts.",
                    tables=", ".join(flushes),
                )
            )
        rulesets = host.rulesets
    else:
        daemon = merged(settings).daemon if settings else {}
        listed += listed_with(runs, name) if runs else []
        source = Source(name, {**files, **_daemon_file(daemon)})
        own = own_addresses(logged, rules) or asked_address(segments_read, rulesets)
        host = host_of(source, rulesets, given.own(own))
    if found.in_comments:
        host.assumptions.append(
            message("All rules are in comments; they are taken as quoted, not as switched off.")
        )
    give(host, given, routes_known="ip-route.json" in files, rules_known="ip-rule.json" in files)
    if host.inferred:
        route_as_logged(host, logged)
    name_networks(host)
    name_containers(host, listed)
    _set_resolvers(host, [piece for piece in pieces if isinstance(piece, Resolver)])
    tried = tuple(_asked(segments_read, host, listed, clients=True))
    services = {name: one for run in runs for name, one in run.services.items()}
    clients = [
        piece
        for segment in segments_read
        for piece in segment.pieces
        if isinstance(piece, Ask) and segment.form in CLIENTS
    ]
    loopbacks = tuple(own_loopbacks(clients, every, services, listed))
    asked = (*_asked(segments_read, host, listed, clients=False), *tried, *_to_itself(host, loopbacks, tried))
    if any("PROTO" not in dict(one.pairs) for one in logged):
        host.assumptions.append(
            message("The kernel's log does not show the protocol; it is assumed to be TCP.")
        )
    warned = [DumpWarning(piece.text, piece.line) for piece in pieces if isinstance(piece, Warned)]
    for ruleset in list(rulesets.values())[:1]:
        ruleset.warnings += warned
        # in the place where iptables-save itself writes such a line
        ruleset.trailer += tuple(str(piece.text) for piece in pieces if isinstance(piece, Warned))
    told = tuple(_logged_line(piece) for piece in logged)
    here = [address_text(4, address) for address in host.namespace.outer_addresses(4)]
    grown, failed = tuple(builder.grown()), tuple(_failed(segments_read))
    searched = frozenset(piece.searched for piece in rules if piece.searched)
    host.pasted = Pasted(
        segments=tuple(found.read),
        left_out=tuple(found.left_out),
        asked=asked,
        logged=told,
        with_rules=with_rules,
        listed_twice=builder.listed_twice,
        grown=grown,
        failed=failed,
        searched=searched,
        tried=tried,
        reloads=tuple(reloads(every)),
        cut_off=any(piece.cut or piece.unfinished for piece in rules),
        names_docker=any(_DOCKER.search(line.text) for line in every),
        published=tuple(
            (one.name, port, proto)
            for one in listed
            for address, port, _, proto in one.ports
            if not address.startswith(("127.", "::1"))
        ),
        refused=(*builder.refused, *printed),
        own_loopbacks=loopbacks,
        loopback_listeners=tuple(loopback_listeners(every)),
        unpublished=tuple(unpublished_ports(clients, listed, services, here)),
        stopped=tuple(stopped_containers(clients, every, listed)),
        firewalld_reloads=tuple(firewalld_reloads(every)),
        engine_errors=errors,
        appended=tuple(_appended(rules)),
        engines=tuple(
            name for name, words in _ENGINES.items() if any(words.search(line.text) for line in every)
        ),
        names_client=any(_CLIENT.search(line.text) for line in every),
        zones=tuple(full_zones([piece for piece in pieces if isinstance(piece, Zone)])),
        unresolved=tuple(one for lines in cleaned.values() for one in unresolved_names(lines)),
    )
    return host


def _asked(
    segments: Iterable[Segment], host: Host, listed: Sequence[Listed], *, clients: bool
) -> Iterable[dict[str, Any]]:
    """Return the packets that a text describes: those of failed connections, if their ends are known; or all others."""
    for segment in segments:
        for piece in segment.pieces:
            if not isinstance(piece, Ask) or (segment.form in CLIENTS) is not clients:
                continue
            to, sender = piece.fields["to"], {}
            if piece.container is not None:
                name = _sender(host, piece.container, listed, to)
                if name is None:
                    continue
                own = to == "localhost" or to.startswith("127.")
                if own and name not in host.containers:
                    continue  # the loopback of a container that is not known
                sender = {"from": name}
            if not clients or to in host.containers or to in ("localhost", "host") or ADDRESS.fullmatch(to):
                yield {**piece.fields, **sender}


def _to_itself(
    host: Host, loopbacks: Iterable[OwnLoopback], tried: Sequence[dict[str, Any]]
) -> Iterable[dict[str, Any]]:
    """Return the packets that containers send to their own localhost, if no other connection has failed."""
    for one in () if tried else loopbacks:
        # Compose names containers after the project, which is not known
        names = [name for name in (one.container, f"project-{one.container}-1") if name in host.containers]
        if one.container and names:
            yield {"from": names[0], "to": "localhost", "proto": "tcp", "dport": one.port}


def _sender(host: Host, wanted: str, listed: Iterable[Listed], to: str) -> str | None:
    """Return a container, by its name or the start of its ID, or an address in what must be its subnet; else None.

    That is the only subnet; or the one whose gateway is the destination, which only containers there use.
    """
    names = [one.name for one in listed if one.id and one.id.startswith(wanted[:12])] if wanted else []
    for name in (wanted, *names):
        if name in host.containers:
            return name
    known = [one.name for one in host.containers.values() if wanted and one.id.startswith(wanted)]
    if known:
        return known[0]
    subnets = [
        subnet
        for network in host.networks.values()
        if network.bridge is not None and (wanted != ON_DEFAULT or network.bridge == "docker0")
        for subnet in network.subnets
        if subnet.family == 4
    ]
    if len(subnets) > 1:
        subnets = [one for one in subnets if one.gateway is not None and address_text(4, one.gateway) == to]
    return _any_of(subnets[0], host) if len(subnets) == 1 else None


def _any_of(subnet: Subnet, host: Host) -> str | None:
    """Return an address of a subnet that represents all of its containers; None if rules tell their packets apart."""
    for rule in host.rulesets[4].rules() if 4 in host.rulesets else ():
        of = rule.parameters.source
        if of is None or of == rule.parameters.destination:  # `-s X -d X`: of a container to itself
            continue
        if subnet.covers(4, of.address) and of.mask.bit_count() > subnet.prefix_length:
            return None
    first = subnet.address + 2
    host.assumptions.append(
        message("The container that sends it is assumed to be {address}.", address=str(IPv4Address(first)))
    )
    return str(IPv4Address(first))


def _appended(rules: Sequence[Rules]) -> Iterable[tuple[int, str]]:
    """Return the commands that append to DOCKER-USER, if the text shows neither its rules nor that it is empty."""
    items = [item for piece in rules for item in piece.items]
    commands = [item for item in items if isinstance(item, CommandItem)]
    shown = any(isinstance(item, ChainItem) and item.name == "DOCKER-USER" for item in items)
    if shown or any(item.words[:1] and item.words[0].text in ("-F", "--flush") for item in commands):
        return
    for item in commands:
        if [word.text for word in item.words[:2]] in (["-A", "DOCKER-USER"], ["--append", "DOCKER-USER"]):
            yield item.line, item.text.strip()


def _failed(segments: Iterable[Segment]) -> Iterable[FailedCommand]:
    for piece in (piece for segment in segments for piece in segment.pieces):
        if isinstance(piece, Failed):
            yield FailedCommand(piece.line, piece.program, piece.words, piece.why, piece.caller)


def _lists_base_chains(segments: Iterable[Segment]) -> bool:
    """Return whether nft lists base chains."""
    return any(
        "hook" in entry.get("chain", ())
        for segment in segments
        if segment.form == "nft list ruleset"
        for piece in segment.pieces
        if isinstance(piece, Facts)
        for data in piece.files.values()
        for entry in parse_json(data)["nftables"]
    )


def _logged_line(piece: Logged) -> LoggedLine:
    visit = piece.visit
    place = (visit.table, visit.chain, visit.kind, visit.number) if visit is not None else None
    rule = " ".join(quote(word) for word in visit.words) if visit is not None else ""
    return LoggedLine(
        piece.line,
        piece.family,
        piece.hook,
        piece.prefix,
        piece.pairs,
        piece.flags,
        place,
        piece.fields,
        rule,
    )


def _set_resolvers(host: Host, found: Sequence[Resolver]) -> None:
    for one in found:
        container = host.containers.get(one.container)
        if container is not None:
            container.namespace.resolv_conf = one.text
        elif not one.container:
            host.namespace.resolv_conf = one.text


def _joined(one: bytes, other: bytes) -> bytes:
    """Return a capture file with the data of a further segment: lists are joined, else the first one counts."""
    lists = [parse_json(data) for data in (one, other) if data.lstrip()[:1] == b"["]
    if len(lists) == 2:
        return json.dumps(
            joined_entries([*lists[0], *(new for new in lists[1] if new not in lists[0])])
        ).encode()
    return _joined_nftables(one, other) if one.lstrip()[:1] == b"{" else one + other


def _joined_nftables(one: bytes, other: bytes) -> bytes:
    """Return the objects of two outputs of nft."""
    outputs = [parse_json(data) for data in (one, other)]
    if not all(isinstance(output, dict) and isinstance(output.get("nftables"), list) for output in outputs):
        return one
    found = [entry for output in outputs for entry in output["nftables"]]
    return json.dumps({"nftables": without_guesses(found)}).encode()


def _daemon_file(daemon: dict[str, Any]) -> dict[str, bytes]:
    return {"daemon.json": json.dumps(daemon).encode()} if daemon else {}
