"""Writes a first policy, which describes what is open on a host today."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from iptsim.address_sets import AddressSet, union
from iptsim.addresses import FAMILIES, Family, address_text
from iptsim.extensions.constraints import Ranges
from iptsim.host.address_regions import public_addresses
from iptsim.host.model import Host
from iptsim.policy.checking import Ground, Grounds, check, families_of
from iptsim.policy.model import Service
from iptsim.policy.reader import SCHEMA, parse_policy
from iptsim.policy.sides import addresses_of, addresses_of_host
from iptsim.protocols import ICMP, ICMPV6, PORT_PROTOCOLS
from iptsim.question.endpoints import KEYWORDS
from iptsim.sets.numbering import Words
from iptsim.sets.packets import PacketSet, spans_of

#: Prefixes that an expectation lists; more have a group; still more are left out.
_MOST_LISTED, _MOST_GROUPED = 4, 400
#: Kinds of addresses of the host, or beyond it, that have expectations of their own.
_MOST_KINDS = 12
#: Networks whose containers are compared with each other.
_MOST_NETWORKS = 12
_PLAIN = re.compile(r"[A-Za-z][\w./@-]*|[0-9]+(?:[./-][\w./-]+)?", re.ASCII)
#: Addresses that are not the host's, the containers' or the internet's.
_ELSEWHERE = "elsewhere"
#: Strings that YAML would read as something else.
_OTHER = re.compile(r"(?i)true|false|null|yes|no|on|off|0[xo]\w*")
#: The first lines of a policy.
_HEAD = """\
# What is open from the internet today, and what containers may do; checked by: iptsim check POLICY.yaml {source}
# `iptsim check --schema` prints a JSON Schema with which editors complete this file.
schema: {schema}
"""
#: An expectation as it is written: its keys and values.
_Entry = dict[str, str | list[str]]


@dataclass(slots=True)
class _Draft:
    """A policy while it is written."""

    entries: list[_Entry] = field(default_factory=list)
    defaults: list[_Entry] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)

    def text(self) -> str:
        """Return it as YAML."""
        used = {str(entry.get(key)) for entry in self.entries for key in ("from", "not_from", "to")}
        groups = {name: members for name, members in self.groups.items() if name in used}
        text = "\ngroups:\n" if groups else ""
        text += "".join(f"  {name}: {_value(members)}\n" for name, members in groups.items())
        for key, listed in (("expectations", self.entries), ("defaults", self.defaults)):
            if listed:
                text += f"\n{key}:\n" + "".join(map(_written, listed))
        return text

    def keep_what_holds(self, grounds: Grounds) -> None:
        """Leave out the expectations that do not hold on a host.

        A default is about what no other expectation covers, so it may fail once one is left out.
        """
        while self.entries or self.defaults:
            passed = [result.passed for result in check(parse_policy(self.text()), grounds.host, grounds)]
            if all(passed):
                return
            count = len(self.entries)
            self.entries = [one for one, holds in zip(self.entries, passed[:count], strict=True) if holds]
            self.defaults = [one for one, holds in zip(self.defaults, passed[count:], strict=True) if holds]

    def sources(self, prefixes: Sequence[str], name: str = "") -> str | list[str] | None:
        """Return how some addresses are written: as a list, or as a group; None if there are too many.

        Args:
            name: of the group.
        """
        if len(prefixes) <= _MOST_LISTED:
            return list(prefixes)
        if len(prefixes) > _MOST_GROUPED:
            return None
        known = next((name for name, members in self.groups.items() if members == list(prefixes)), None)
        if known is None:
            known = name or f"sources-{len(self.groups) + 1}"
            self.groups[known] = list(prefixes)
        return known


def first_policy(sources: Sequence[tuple[str, Host]]) -> str:
    """Return the text of a policy that holds on all of these hosts.

    Args:
        sources: the hosts, with their names.
    """
    draft = _Draft(defaults=[{"from": "internet", "expect": "closed"}])
    grounds = [Grounds(host) for _, host in sources]
    for one in grounds:
        for entry in (*_from_internet(draft, one), *_between_containers(one.host)):
            if entry not in draft.entries:
                draft.entries.append(entry)
    for one in grounds:
        draft.keep_what_holds(one)
    names = " ".join(json.dumps(name)[1:-1] for name, _ in sources)
    return _HEAD.format(source=names, schema=SCHEMA) + draft.text()


def _written(entry: _Entry) -> str:
    """Return an expectation as YAML."""
    lines = [f"{key}: {_value(value)}" for key, value in entry.items()]
    return "  - " + "\n    ".join(lines) + "\n"


def _value(value: str | list[str]) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    # YAML takes JSON's strings
    plain = _PLAIN.fullmatch(value) and not _OTHER.fullmatch(value)
    return value if plain else json.dumps(value, ensure_ascii=False)


# -- what the internet reaches -----------------------------------------------------------------------


class _Open(NamedTuple):
    """What the internet reaches at some addresses.

    Attributes:
        expect: how.
        services: as a policy spells them; none for all.
        excepted: those that are not reached, where there are fewer of them; then all others are.
        sources: that reach it; None for all.
        not_sources: those of the internet that do not, where there are fewer of them; then all others do.
        sports: the source ports; none for all.
    """

    expect: str
    services: tuple[str, ...] = ()
    excepted: tuple[str, ...] = ()
    sources: tuple[str, ...] | None = None
    sports: tuple[str, ...] = ()
    not_sources: tuple[str, ...] = ()


def _from_internet(draft: _Draft, grounds: Grounds) -> Iterator[_Entry]:
    """Yield what the internet reaches: on the host, on containers by their own addresses, and beyond the host."""
    by_target: dict[str, dict[Family, list[tuple[list[str], list[_Open]]]]] = {}
    for family in families_of(grounds.host):
        ground = grounds.of(family, ("internet",))
        for name, spans in _targets(ground).items():
            kinds: dict[tuple[_Open, ...], AddressSet] = {}
            for part in _treated_alike(ground, spans):
                key = tuple(_open_services(ground, part))
                kinds[key] = kinds.get(key, AddressSet(family)) | part & ground.routed_addresses
            by_target.setdefault(name, {})[family] = [
                (_written_addresses(addresses), list(key)) for key, addresses in kinds.items()
            ]
    for name, found in by_target.items():
        first = next(iter(found.values()))
        alike = len(first) == 1 and all(
            [one[1] for one in parts] == [first[0][1]] for parts in found.values()
        )
        is_word = name in KEYWORDS and name not in ("host", "internet")
        if name != _ELSEWHERE and alike and not is_word:
            yield from _entries(draft, name, first[0][1])
            continue
        for family, parts in found.items():
            for number, (addresses, services) in enumerate(parts, 1):
                group = f"{name}-ipv{family}" if len(parts) == 1 else f"{name}-ipv{family}-{number}"
                if services and (target := draft.sources(addresses, group)) is not None:
                    yield from _entries(draft, target, services)


def _entries(draft: _Draft, target: str | list[str], services: Iterable[_Open]) -> Iterator[_Entry]:
    """Yield the expectations about what the internet reaches at a target."""
    for one in services:
        sources = "internet" if one.sources is None else draft.sources(one.sources)
        others = draft.sources(one.not_sources)
        if sources is None or others is None:
            continue
        entry: _Entry = {"from": sources, **({"not_from": others} if others else {}), "to": target}
        for key, texts in (("ports", one.services), ("excluding", one.excepted), ("sports", one.sports)):
            if texts:
                entry[key] = list(texts)
        yield {**entry, "expect": one.expect}


def _written_addresses(addresses: AddressSet) -> list[str]:
    """Return addresses as a policy spells them."""
    return list(addresses.texts())


def _targets(ground: Ground) -> dict[str, AddressSet]:
    """Return the addresses of what the internet may reach, by name."""
    host, family = ground.host, ground.family
    found = {"host": AddressSet.of(family, addresses_of_host(host, family))}
    for container in host.containers.values():
        own = addresses_of(container, family)
        if own:
            found[container.name] = AddressSet.of(family, ((one, one) for one in own))
    found["internet"] = public_addresses(host, family)
    found[_ELSEWHERE] = ground.routed_addresses - union(family, found.values())
    return found


class _Reached(NamedTuple):
    """What the internet sends to some addresses: all packets, those that are accepted, those that depend."""

    asked: PacketSet
    accepted: PacketSet
    undecided: PacketSet


def _reached(ground: Ground, target: AddressSet, *fields: str) -> _Reached:
    """Return what the internet sends to some addresses, by these fields as well."""
    space, family = ground.space, ground.family
    asked = accepted = undecided = space.nothing
    public = space.where("src", public_addresses(ground.host, family).spans)
    sent = space.where("dst", target.spans) & ground.routed & public
    for fate in ground.fates:
        packets = (fate.packets & sent).only(*fields, "src", "sport", "proto", "dport", "icmp_type")
        asked |= packets
        if fate.verdict == "DEPENDS":
            undecided |= packets
        elif fate.verdict == "ACCEPT" and fate.listening is not False:
            accepted |= packets
    return _Reached(asked, accepted, undecided)


def _treated_alike(ground: Ground, target: AddressSet) -> list[AddressSet]:
    """Divide addresses by what the internet reaches there; addresses of too many kinds are not divided."""
    parts = [target]
    for packets in _reached(ground, target, "dst"):
        kinds: dict[Any, list[tuple[int, int]]] = {}
        for first, last, rest in spans_of(packets, "dst"):
            kinds.setdefault(rest, []).append((first, last))
        alike = [AddressSet.of(ground.family, spans) for spans in kinds.values()]
        parts = [both for part in parts for one in alike if (both := part & one)]
        if len(parts) > _MOST_KINDS:
            return [target]
    return parts


def _open_services(ground: Ground, target: AddressSet) -> Iterator[_Open]:
    """Yield what the internet reaches at some addresses."""
    asked, accepted, undecided = _reached(ground, target)
    for expect, good in (("open", accepted), ("depends", undecided)):
        failing = asked - good
        for_all = _services_only(good) - _services_only(failing)
        if for_all:
            yield _of_services(expect, for_all, _services_only(asked))
        yield from _for_some(good - for_all, failing, ground, expect)


def _of_services(expect: str, reached: PacketSet, asked: PacketSet) -> _Open:
    """Return that some services are reached, in the fewest words."""
    others = tuple(_services(asked - reached))
    if not others:
        return _Open(expect)
    services = tuple(_services(reached))
    return _Open(expect, excepted=others) if len(others) < len(services) else _Open(expect, services)


def _services_only(packets: PacketSet) -> PacketSet:
    return packets.only("proto", "dport", "icmp_type")


def _for_some(packets: PacketSet, failing: PacketSet, ground: Ground, expect: str) -> Iterator[_Open]:
    """Yield what some sources, or packets from some ports, reach."""
    public, space = public_addresses(ground.host, ground.family), ground.space
    any_port = packets.without("sport") - failing.without("sport")
    reached: dict[tuple[AddressSet, Ranges], PacketSet] = {}
    for some in (any_port, packets - any_port):
        for line in some.lines("src", "sport", "proto", "dport", "icmp_type"):
            spans, ports = line.get("src", ()), line.get("sport", ())
            if isinstance(spans, Words) or isinstance(ports, Words):
                continue
            found = AddressSet(ground.family, spans) & public if spans else public
            services = space.everything
            for key in ("proto", "dport", "icmp_type"):
                allowed = line.get(key, ())
                if allowed and not isinstance(allowed, Words):
                    services &= space.where(key, allowed)
            reached[found, ports] = reached.get((found, ports), space.nothing) | services
    for (found, ports), services in reached.items():
        written, others = (tuple(_written_addresses(some)) for some in (found, public - found))
        sports = tuple(str(low) if low == high else f"{low}-{high}" for low, high in ports)
        one = _of_services(expect, services, _services_only(packets | failing))
        if len(others) <= len(written):
            yield one._replace(not_sources=others, sports=sports)
        else:
            yield one._replace(sources=written, sports=sports)


def _services(packets: PacketSet) -> list[str]:
    """Return services as a policy spells them."""
    lines = packets.lines("proto", "dport", "icmp_type")
    return list(dict.fromkeys(service for line in lines for service in _services_of_line(line)))


def _services_of_line(line: Mapping[str, object]) -> Iterator[str]:
    protocols, ports, types = line.get("proto"), line.get("dport"), line.get("icmp_type")
    if not isinstance(protocols, tuple):
        return
    for first, last in protocols:
        for proto in range(first, last + 1):
            if proto in PORT_PROTOCOLS and isinstance(ports, tuple):
                yield from (str(Service(proto, low, high)) for low, high in ports)
            elif proto in (ICMP, ICMPV6) and isinstance(types, tuple):
                for low, high in types:
                    yield from (str(Service(proto, one, one)) for one in range(low >> 8, (high >> 8) + 1))
            else:
                yield str(Service(proto))


# -- what containers reach ---------------------------------------------------------------------------


def _between_containers(host: Host) -> Iterator[_Entry]:
    """Yield what the containers of each network may do, as far as it is the same for all of them."""
    groups = [_members(host, name) for name in host.networks]
    groups = [group for group in groups if group][:_MOST_NETWORKS]
    for senders in groups:
        for target in (*groups, ["internet"]):
            if senders == target and len(senders) == 1:
                continue
            for expect in ("accept", "closed"):
                yield {"from": senders, "to": target, "expect": expect}


def _members(host: Host, network: str) -> list[str]:
    """Return the running containers of a network; by its address one whose name is a word of policies ("dns")."""
    found: list[str] = []
    for one in host.containers.values():
        if not one.running or network not in one.endpoints:
            continue
        addresses = [(family, own) for family in FAMILIES for own in addresses_of(one, family)]
        found += [address_text(*own) for own in addresses] if one.name in KEYWORDS else [one.name]
    return sorted(found)
