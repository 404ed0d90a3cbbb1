"""Combines the segments of pasted texts: a host, the packets they describe, and which lines were read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from iptsim.docker.dockerd.resolver import inherited
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.header import warns_of_legacy
from iptsim.dump.ruleset import DumpWarning, Ruleset
from iptsim.errors import CaptureError
from iptsim.host.capture import host_of
from iptsim.host.docker_defaults import DEFAULT_BRIDGE
from iptsim.host.files import FILES, Source
from iptsim.host.logged_lines import LoggedLine
from iptsim.host.model import Host
from iptsim.host.namespace import InterfaceAddress
from iptsim.host.sockets import read_listeners
from iptsim.languages import Text, message, message_joined
from iptsim.paste.asked import named_container
from iptsim.paste.behind_rules import before, lines_behind, without
from iptsim.paste.chosen_routes import settle_chosen
from iptsim.paste.containers import each_once, name_containers, settings_of
from iptsim.paste.cut_listings import open_empty_listings
from iptsim.paste.docker_bridges import name_networks, subnets_of_bridges
from iptsim.paste.docker_interfaces import fill_interfaces, lacks_interfaces
from iptsim.paste.errors import engine_errors, printed_errors, tool_errors
from iptsim.paste.forms.firewall_cmd import rules_of_zones
from iptsim.paste.forms.settings import merged
from iptsim.paste.given import Until, give
from iptsim.paste.hidden_addresses import fill_hidden
from iptsim.paste.joined_files import add_facts
from iptsim.paste.lines import Line, decode, lines_of
from iptsim.paste.local_services import own_loopbacks
from iptsim.paste.logged_addresses import own_addresses, route_as_logged
from iptsim.paste.logged_rules import add_logged, changed_by, nothing_shown, rules_of
from iptsim.paste.narrow_links import narrow_link
from iptsim.paste.pasted import Said, pasted
from iptsim.paste.pieces import Ask, Facts, Listed, Resolver, Rules, Segment, Settings, Sockets, Warned, Zone
from iptsim.paste.reloads import flushed, reloads, run_after_docker
from iptsim.paste.rulesets import Builder
from iptsim.paste.segments import CLIENTS, Reading, read_texts
from iptsim.paste.settings_host import OWN_FILES, add_status, host_with, listed_with
from iptsim.paste.tailscale_interfaces import fill_tailscale
from iptsim.paste.told_addresses import (
    add_asked_networks,
    address_of_published,
    asked_address,
    give_services,
    take_address,
    told_address,
    told_interfaces,
    with_told_addresses,
)
from iptsim.paste.unaddressed import add_unaddressed
from iptsim.paste.unrecognised import nothing_read
from iptsim.reading import check_text_size, parse_json

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
    for text_name, data in texts.items():
        check_text_size(len(data), text_name)
    cleaned = {text_name: lines_of(decode(data, text_name)) for text_name, data in texts.items()}
    reading, host = _read(name, cleaned, texts, dict(files))
    if len(cleaned) == 1:
        [(text_name, lines)] = cleaned.items()
        if behind := lines_behind(reading, lines):
            _, earlier = _read(name, {text_name: without(lines, set(behind))}, texts, dict(files))
            host.before = before(reading, behind, earlier, lines)
    return host


def _read(
    name: str, cleaned: Mapping[str, list[Line]], texts: Mapping[str, bytes], files: dict[str, bytes]
) -> tuple[Reading, Host]:
    """Return the segments of texts, and the host that they describe.

    Args:
        name: the name of the source.
        cleaned: the lines of the texts.
        texts: the texts as they are.
        files: files of a capture; those that the texts show are added.
    """
    every = list(chain.from_iterable(cleaned.values()))
    # errors that tell their cause, whatever else the text shows
    said = Said(
        tuple(engine_errors(every)),
        tuple(printed_errors(every)),
        tuple(tool_errors(every)),
        narrow_link(every),
    )
    loopbacks = (one for one in own_loopbacks((), every, {}) if one.sure)
    # a patch shows that they have removed rules
    removing = tuple(reloads(every)) if any(line.patched for line in every) else ()
    telling = dict.fromkeys((one.line for one in removing), "a command that replaces all rules")
    telling |= dict.fromkeys(
        (one.line for found in (said.errors, said.refused, loopbacks, said.of_tools) for one in found),
        "an error message",
    )
    if said.narrow_link is not None:
        telling[said.narrow_link.line] = "a sentence about the MTU"
    reading = read_texts(cleaned, telling)
    only_asked = all(segment.form in CLIENTS for segment in reading.segments)
    if only_asked and not telling and not reading.given.changes:
        raise nothing_read(name, {text: decode(data, text) for text, data in texts.items()})
    if (warned := reading.of(Warned)) and all(isinstance(piece, (Warned, Ask)) for piece in reading.pieces):
        raise CaptureError(warned[0].text)
    add_facts(files, reading.of(Facts))
    assumed = settle_chosen(files) + fill_hidden(files)
    return reading, _host(name, reading, cleaned, files, assumed, said)


def _host(
    name: str,
    reading: Reading,
    texts: Mapping[str, list[Line]],
    files: Mapping[str, bytes],
    assumed: Sequence[Text],
    said: Said,
) -> Host:
    """Return the host that texts describe.

    Args:
        name: the name of the source.
        reading: the segments of the texts.
        texts: their lines.
        files: files of a capture that the texts show.
        assumed: what was assumed for these files.
        said: what single lines say.
    """
    rules = _rules(reading)
    every = list(chain.from_iterable(texts.values()))
    open_empty_listings(rules, reading.segments, every)
    listed = with_told_addresses(each_once(reading.of(Listed)), every)
    give_services(reading.of(Settings), every)
    told, named = told_address(every), told_interfaces(every)
    if told is None and not named:
        told = address_of_published(every, reading.of(Settings), listed)
    unnamed = {"": [told]} if told is not None and [told] not in named.values() else {}
    last = any(map(run_after_docker, texts.values()))
    made = _started_host(name, reading, rules, files, listed, {**named, **unnamed}, last=last)
    if made is None:
        if runs := _runs(reading):
            listed = with_told_addresses([*listed, *listed_with(runs, name)], every)
        made = _described_host(name, reading, rules, files, named, unnamed)
    host, builder = made
    for [one] in (*named.values(), *unnamed.values()) if host.inferred else ():
        take_address(host, one)
    host.extra_rulesets.update(builder.besides)
    if host.daemon is not None and "daemon.json" not in {*files, *(one.form for one in reading.segments)}:
        # they were read like those of the file, but are options of its command line
        host.daemon = replace(host.daemon, sources=dict.fromkeys(host.daemon.sources, "dockerd"))
    host.assumptions += assumed
    if host.inferred and builder.unlisted:
        host.assumptions.append(
            message(
                "The commands change a host that has no other rules in {tables}.",
                tables=message_joined(", ", builder.unlisted),
            )
        )
    if reading.in_comments:
        host.assumptions.append(
            message("All rules are in comments; they are taken as quoted, not as switched off.")
        )
    if reading.of(Rules) and any(line.patched for line in every):
        host.assumptions.append(
            message("The source is a change, as diff prints it; the rules are those after the change.")
        )
    until = Until(
        _until(reading, files, "ip-route.json", ("ip route", "route -n")),
        _until(reading, files, "ip-rule.json", ("ip rule",)),
        _until(reading, files, "ip-addr.json", ("ip addr", "ifconfig")),
    )
    give(host, reading.given, until)
    logged = reading.of(LoggedLine)
    if host.inferred:
        route_as_logged(host, logged)
    name_networks(host)
    name_containers(host, listed)
    if host.inferred:
        add_asked_networks(host, reading.asks(failed=True))
    add_unaddressed(host, listed)
    _set_resolvers(host, reading.of(Resolver))
    _set_sockets(host, reading, listed)
    host.pasted = pasted(reading, texts, host, builder, rules, listed, said, files)
    if any("PROTO" not in dict(one.pairs) for one in logged):
        host.assumptions.append(
            message("The kernel's log does not show the protocol; it is assumed to be TCP.")
        )
    warned = reading.of(Warned)
    for ruleset in list(host.rulesets.values())[:1]:
        ruleset.source = name  # of the warnings' lines, also if dockerd would have written the rules
        ruleset.warnings += (DumpWarning(piece.text, piece.line) for piece in warned)
        # in the place where iptables-save itself writes such a line
        ruleset.trailer += tuple(str(piece.text) for piece in warned)
        noted = {piece.line for piece in warned}
        apart = (line.text.strip() for line in every if line.number not in noted)
        ruleset.trailer += tuple(filter(warns_of_legacy, apart))
    return host


def _until(reading: Reading, files: Mapping[str, bytes], file: str, titles: tuple[str, ...]) -> int | None:
    """Return the last line that shows a file of a capture, in segments with some titles; see `Until`."""
    shown = (one.last for one in reading.read if one.form.startswith(titles))
    return max(shown, default=0) if file in files else None


def _rules(reading: Reading) -> list[Rules]:
    """Return the rules that texts show, those of firewalld's zones, and those that logged lines prove."""
    rules = _without_superseded(reading)
    if not any(piece.table == "filter" for piece in rules):
        listed = {piece.table for piece in rules}
        for piece in rules_of_zones(reading.of(Zone)):
            # firewalld's own table of nft comes after those of iptables (nftables.py: NFT_HOOKS)
            piece.whole = piece.table not in listed
            rules.append(piece)
    logged = reading.of(LoggedLine)
    for family in dict.fromkeys(piece.family or 4 for piece in rules):
        filtering = [one for one in rules if one.table == "filter" and (one.family or 4) == family]
        of_family = [one for one in logged if one.family == family]
        changed = changed_by(filtering, of_family) if all(one.commands for one in filtering) else []
        rules[0:0] = changed
        parts = [one for one in filtering if one.status or one.fragment or one.commands]
        add_logged([*changed, *parts], of_family)
    rules += rules_of(logged, {(piece.family or 4, piece.table) for piece in rules})
    with_docker = any(isinstance(piece, (Listed, Settings)) for piece in reading.pieces)
    for piece in rules:
        if piece.adds_chains and with_docker:  # to those of Docker
            piece.status, piece.printed = True, False
    return rules


def _without_superseded(reading: Reading) -> list[Rules]:
    """Return the rules of texts, without those of `ufw status` if iptables printed what it led to.

    It did if it printed rules of table filter, or own chains of a program, which has rules in filter, too.
    """
    rules = reading.of(Rules)
    of_ufw = {
        id(piece) for segment in reading.segments if segment.title == "ufw status" for piece in segment.pieces
    }
    others = [piece for piece in rules if id(piece) not in of_ufw]
    is_printed = any(
        piece.table == "filter" or piece.shown_chains - {*BUILTIN_CHAINS[piece.table]}
        for piece in others
        if not piece.commands and piece.family != 6
    )
    return others if is_printed else rules


def _runs(reading: Reading) -> list[Settings]:
    """Return the settings that describe containers."""
    return [one for one in reading.of(Settings) if one.services]


def _started_host(
    name: str,
    reading: Reading,
    rules: Sequence[Rules],
    files: Mapping[str, bytes],
    listed: Sequence[Listed],
    told: Mapping[str, list[InterfaceAddress]],
    *,
    last: bool,
) -> tuple[Host, Builder] | None:
    """Return the host after dockerd has started with the settings that texts show, and what made its other rules.

    Rules of another firewall, and commands, are added to Docker's. None if the texts show the rules that result, or
    networks of Docker besides those of the settings.

    Args:
        name: the name of the source.
        reading: the segments of the texts.
        rules: the rules that they show.
        files: files of a capture.
        listed: the containers that the texts list.
        told: the host's addresses in sentences, by interface.
        last: a text says that its commands run after Docker.
    """
    settings, runs = reading.of(Settings), _runs(reading)
    by_rules = not all(piece.status for piece in rules)
    with_commands = bool(runs) and all(piece.status or piece.commands for piece in rules)
    if not runs and not by_rules:
        settings += settings_of(listed)
    if not settings or files.keys() - OWN_FILES or (by_rules and not with_commands):
        return None
    host = host_with(settings, name, dict(files), told)
    if host is None:
        return None
    # commands after those of Docker change its rules
    flushes = flushed(rules) if with_commands else []
    later = [
        one
        for one in rules
        if with_commands
        and one.commands
        and ((flushes and last) or reading.pieces.index(one) > reading.pieces.index(runs[0]))
    ]
    builder = Builder(name)
    rulesets = builder.build([one for one in rules if one not in later] or [nothing_shown()])
    add_status(host.rulesets, rulesets if len(later) < len(rules) else {}, builder.policies)
    if rules:
        host.assumptions[0] = message(
            "The rules are those that dockerd would write for these settings, and those that the source shows."
        )
        host.assumptions += _one_family(host, rules)
    if later:
        refused = builder.maker.refused
        builder = Builder(name, host.rulesets)
        builder.build(later)
        builder.maker.refused[:0] = refused
    elif flushes:
        host.assumptions.append(
            message(
                "The commands that flush {tables} are assumed to have run before Docker started; run later, they "
                "remove Docker's rules until it restarts.",
                tables=", ".join(flushes),
            )
        )
    return host, builder


def _one_family(host: Host, rules: Iterable[Rules]) -> Iterator[Text]:
    """Yield what is assumed if rules besides those of Docker are only of one family, and its networks of both."""
    families = {piece.family or 4 for piece in rules}
    networks = {subnet.family for network in host.networks.values() for subnet in network.subnets}
    for family in sorted(networks - families):
        yield message(
            "For IPv{family} the source shows no rules besides those of Docker; there are assumed to be none.",
            family=family,
        )


def _described_host(
    name: str,
    reading: Reading,
    rules: Sequence[Rules],
    files: Mapping[str, bytes],
    named: Mapping[str, list[InterfaceAddress]],
    unnamed: Mapping[str, list[InterfaceAddress]],
) -> tuple[Host, Builder]:
    """Return the host that rules, interfaces, addresses in sentences and other facts describe, and the builder."""
    builder = Builder(name)
    if rules or not _lists_base_chains(reading.segments):
        rulesets = builder.build(rules or [nothing_shown()])
    else:  # nft would also list the tables of iptables, so there are none
        rulesets = {4: Ruleset(4, source=name, listed=True), 6: Ruleset(6, source=name, listed=True)}
    shown = {}
    if lacks_interfaces(rulesets):
        without_rules = host_of(Source(name, dict(files)), {})
        name_networks(without_rules)
        shown = subnets_of_bridges(without_rules)
    bridges = fill_interfaces(rulesets, shown)
    of_tailscale = fill_tailscale(rulesets)
    settings = reading.of(Settings)
    daemon = merged(settings).daemon if settings else {}
    daemon_file = {"daemon.json": json.dumps(daemon).encode()} if daemon else {}
    own = own_addresses(reading.of(LoggedLine), rules) or unnamed or asked_address(reading.segments, rulesets)
    host = host_of(Source(name, {**files, **daemon_file}), rulesets, reading.given.own({**named, **own}))
    if bridges:
        host.assumptions.append(
            message(
                "The listing was made without -v, so it hides the interfaces. For the rules that Docker writes, they "
                "are assumed; the bridges are {bridges}.",
                bridges=message_joined(", ", bridges),
            )
        )
    if of_tailscale:
        told = message("The listing was made without -v; Tailscale's rules are assumed to be for tailscale0.")
        host.assumptions.append(told)
    if made_up := [one for one in bridges if one not in shown and one != DEFAULT_BRIDGE]:
        host.assumptions.append(
            message(
                "Names of bridges that are not shown are made up: {names}.",
                names=message_joined(", ", made_up),
            )
        )
    return host, builder


def _lists_base_chains(segments: Iterable[Segment]) -> bool:
    """Return whether nft lists base chains, or commands create them."""
    return any(
        "hook" in one and not one.get("guessed")
        for segment in segments
        if segment.form in ("nft list ruleset", "nft -j list ruleset", "nft commands")
        for piece in segment.pieces
        if isinstance(piece, Facts)
        for data in piece.files.values()
        for one in _chains_in(data)
    )


def _chains_in(data: bytes) -> Iterator[Mapping[str, Any]]:
    """Yield the chains of nft's JSON; none if it is damaged, which its reader reports."""
    try:
        listed = parse_json(data)
    except ValueError:
        return
    entries = listed.get("nftables") if isinstance(listed, Mapping) else None
    for entry in entries if isinstance(entries, list) else ():
        found = entry.get("chain") if isinstance(entry, Mapping) else None
        if isinstance(found, Mapping):
            yield found


def _set_resolvers(host: Host, found: Sequence[Resolver]) -> None:
    for one in found:
        container = host.containers.get(one.container)
        if container is not None:
            container.namespace.resolv_conf = one.text
        elif not one.container:
            host.namespace.resolv_conf = one.text
    if host.namespace.resolv_conf is None:
        return
    for container in host.containers.values():
        networks = [host.networks.get(name) for name in container.endpoints]
        on_default = bool(networks) and all(one is not None and one.is_default_bridge for one in networks)
        if on_default and container.daemon == "docker" and container.namespace.resolv_conf is None:
            container.namespace.resolv_conf = inherited(
                host.namespace.resolv_conf, ipv6=container.address(6) is not None
            )


def _set_sockets(host: Host, reading: Reading, listed: Sequence[Listed]) -> None:
    """Give the host and its containers the listening sockets that were listed in each."""
    machines = {
        one.place for one in reading.segments if any(isinstance(piece, Rules) for piece in one.pieces)
    }
    for segment in reading.segments:
        for piece in segment.pieces:
            if not isinstance(piece, Sockets):
                continue
            name = named_container(host, segment.place or "", listed)
            if segment.place is None or segment.place in machines:
                namespace = host.namespace
            elif name:
                namespace = host.containers[name].namespace
            else:
                continue  # of a container that is not known
            namespace.listeners += read_listeners(piece.text)
            namespace.listed |= piece.listed
