"""The packets that a text asks about: of its sentences, logs and failed commands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from iptsim.addresses import address_text, is_loopback, parse_address
from iptsim.extensions.values import Network
from iptsim.host import fib
from iptsim.host.address_regions import every_public_address
from iptsim.host.containers import Subnet
from iptsim.host.docker_defaults import DEFAULT_BRIDGE, DOCKER0
from iptsim.host.logged_lines import LoggedLine
from iptsim.host.model import Host
from iptsim.host.namespace import Namespace
from iptsim.host.pasted import ROUTES
from iptsim.host.pasted_services import OwnLoopback, UnresolvedName
from iptsim.languages import message
from iptsim.paste.addresses import is_localhost
from iptsim.paste.containers import container_of_service
from iptsim.paste.forms.failures import OF_HOST
from iptsim.paste.forms.sentences import is_name
from iptsim.paste.lines import Line
from iptsim.paste.logged_addresses import ADDRESS
from iptsim.paste.pieces import Listed, Resolver
from iptsim.paste.segments import Reading
from iptsim.paste.where_typed import ELSEWHERE, ON_DEFAULT
from iptsim.protocols import protocol_name

_NUMBER = re.compile(r"(?<![\d.])\d{1,5}(?![\d.]*\d)")
#: Networks with longer prefixes have no other machines.
_LONGEST = 30
#: How far from the host's address another one is sought.
_NEAR = 256


def asked(
    reading: Reading, host: Host, listed: Sequence[Listed], *, failed: bool
) -> Iterable[tuple[dict[str, Any], str]]:
    """Yield the packets that a text describes: those of failed connections, if their ends are known; or all others.

    Each comes with the error of the connection, "" if it is not shown.
    """
    lists_routes = any(one.form in ROUTES[4] for one in reading.segments)
    for ask in reading.asks(failed=failed):
        fields, sender = _with_containers(host, ask.fields), {}
        by_name = fields["to"] == OF_HOST and ask.container is not None
        if by_name:
            # host-gateway is the address of the default bridge (moby, daemon/network.go)
            fields = {**fields, "to": _default_gateway(host)}
        to = fields["to"]
        if ask.container is not None:
            if ask.container == ELSEWHERE:
                sender = _neighbour(host, to)
            elif by_name and ask.container != ON_DEFAULT:  # containers of all networks use that name
                name = named_container(host, ask.container, listed)
                sender = {"from": name} if name else {}
            else:
                sender = _sender(host, ask.container, listed, to, composed=ask.composed)
            if not sender or (is_localhost(to) and sender["from"] not in host.containers):
                continue  # the loopback of a container that is not known
        elif is_name(start := str(fields.get("from", ""))) and start not in host.containers:
            continue  # a word of a sentence
        elif start == "internet" and is_name(to):
            fields = _at_host(host, fields)
            to = fields["to"]
        if "proto" not in fields:
            if (service := _only_service(host, to, listed)) is not None:
                yield {**fields, **sender, **service}, ask.error
            continue
        if ask.seen_on and lists_routes and not sender:
            sender = _arriving(host, fields, ask.seen_on)
        if (
            not failed
            or to in host.containers
            or to in ("localhost", "host", "internet")
            or ADDRESS.fullmatch(to)
        ):
            yield {**fields, **sender}, ask.error


def telling_first(
    asked: Sequence[dict[str, Any]], logged: Sequence[LoggedLine], lines: Sequence[Line]
) -> Iterator[dict[str, Any]]:
    """Yield packets, those of log lines in the order of what they tell.

    A firewall logs much that is not what a text is about: broadcasts, and what strangers try. The ports that the text
    names elsewhere come first, then those that are logged most often.

    Args:
        asked: the packets.
        logged: the logged lines.
        lines: the text.
    """
    by_fields = {_key(line.fields): line for line in reversed(logged) if line.visit is None}
    shown = [by_fields.get(_key(one)) for one in asked]
    found = [line for line in shown if line is not None]
    if not found:
        yield from asked
        return
    ports = Counter(map(_port, found))
    numbers = {line.line for line in logged}
    told = {word for line in lines if line.number not in numbers for word in _NUMBER.findall(line.text)}
    by_rank = iter(
        sorted(
            found,
            key=lambda one: (
                one.is_for_all or bool(one.answers_search),
                _port(one)[1] not in told,
                -ports[_port(one)],
            ),
        )
    )
    for fields, line in zip(asked, shown, strict=True):
        yield fields if line is None else next(by_rank).fields


def _key(fields: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((name, str(value)) for name, value in fields.items())


def _port(line: LoggedLine) -> tuple[str, str]:
    """Return the protocol and the destination port of a logged packet, "" for none."""
    pairs = dict(line.pairs)
    return pairs.get("PROTO", ""), pairs.get("DPT", "")


def _arriving(host: Host, fields: dict[str, Any], name: str) -> dict[str, str]:
    """Return that a packet arrives on an interface on which it was seen, if the route to its sender leads elsewhere.

    {} if it may leave there, or if one of its addresses is not known.
    """
    namespace = host.namespace
    try:
        (family, source), (_, target) = (
            parse_address(str(fields.get("from"))),
            parse_address(str(fields["to"])),
        )
    except ValueError:
        return {}
    if name not in namespace.interfaces or "in" in fields or host.owner_of(family, source) is not None:
        return {}
    leaves = (
        not namespace.has_address(family, target) and fib.lookup(namespace, family, target).device == name
    )
    return {} if leaves or fib.lookup(namespace, family, source).device == name else {"in": name}


def _with_containers(host: Host, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with the names of containers instead of those of their Compose services."""
    services = {
        end: name
        for end in ("from", "to")
        if (word := str(fields.get(end, ""))) not in host.containers
        and (name := container_of_service(word)) in host.containers
    }
    return {**fields, **services}


def _at_host(host: Host, fields: dict[str, Any]) -> dict[str, Any]:
    """Return what somebody outside sends to a container, or to something else with a name, as a packet to the host."""
    container = host.containers.get(fields["to"])
    if container is None:
        return {**fields, "to": "host"}  # "my website"
    ports = {
        (protocol_name(one.proto), one.host_port)
        for one in container.published
        if fields.get("dport") in (None, one.host_port, one.container_port)
    }
    if len(ports) != 1:
        return fields
    proto, port = ports.pop()
    return {**fields, "to": "host", "proto": proto, "dport": port}


def _default_gateway(host: Host) -> str:
    """Return the host's address on the default bridge."""
    default = host.network_of_bridge(DEFAULT_BRIDGE)
    own = default.gateways.get(4) if default is not None else None
    return address_text(4, own if own is not None else DOCKER0.address + 1)


def _only_service(host: Host, name: str, listed: Iterable[Listed]) -> dict[str, Any] | None:
    """Return the protocol and port of a container that has just one, as far as a text shows; else None."""
    container = host.containers.get(name)
    if container is None:
        return None
    found = {(protocol_name(one.proto), one.container_port) for one in container.published}
    found |= {(protocol_name(one.proto), one.port) for one in container.exposed}
    for one in listed:
        if one.name == name:
            found |= {(proto, inside) for _, _, inside, proto in one.ports}
            found |= {(proto, port) for port, proto in one.exposed}
    if len(found) != 1:
        return None
    proto, port = found.pop()
    return {"proto": proto, "dport": port}


def queries(
    host: Host, unresolved: Iterable[UnresolvedName], listed: Sequence[Listed], resolvers: Sequence[Resolver]
) -> Iterable[dict[str, Any]]:
    """Return the DNS queries of containers that failed, for names of other machines, which have a dot.

    Docker gives containers the resolvers of the host, except those on its loopback (resolvconf.TransformForLegacyNw).

    Args:
        host: the host, with the resolvers of the containers that it has.
        unresolved: the names, and who asked for them.
        listed: the containers that a text lists.
        resolvers: the resolv.conf of each container of which the text shows it.
    """
    for one in unresolved:
        sender = _sender(host, one.asker, listed, "") if one.asker and "." in one.name else {}
        if not sender:
            continue
        own = [Namespace(resolv_conf=found.text) for found in resolvers if found.container == one.asker]
        if sender["from"] in host.containers:
            own.append(host.containers[sender["from"]].namespace)
        servers = (
            text
            for place in (*own, host.namespace)
            for text, address in place.nameservers_of(4)
            if not is_loopback(4, address)
        )
        yield {**sender, "to": next(servers, "internet"), "proto": "udp", "dport": 53}


def to_itself(
    host: Host, loopbacks: Iterable[OwnLoopback], tried: Sequence[dict[str, Any]]
) -> Iterable[dict[str, Any]]:
    """Return the packets that containers send to their own localhost, if no other connection has failed."""
    for one in () if tried else loopbacks:
        names = [
            name for name in (one.container, container_of_service(one.container)) if name in host.containers
        ]
        if one.container and names:
            yield {"from": names[0], "to": "localhost", "proto": "tcp", "dport": one.port}


def _sender(
    host: Host, wanted: str, listed: Iterable[Listed], to: str, *, composed: bool = False
) -> dict[str, str]:
    """Return a container, by its name or the start of its ID, or an address in what must be its subnet; else {}.

    That is the only subnet; or the one whose gateway is the destination, which only containers there use. A text that
    shows no network has that of the default bridge if the destination is its gateway.
    """
    if name := named_container(host, wanted, listed):
        return {"from": name}
    subnets = [
        subnet
        for network in host.networks.values()
        if network.bridge is not None
        and (wanted != ON_DEFAULT or network.bridge == DEFAULT_BRIDGE)
        and not (composed and network.bridge == DEFAULT_BRIDGE)
        for subnet in network.subnets
        if subnet.family == 4
    ]
    if len(subnets) > 1:
        subnets = [one for one in subnets if one.gateway is not None and address_text(4, one.gateway) == to]
    if not host.networks and not composed and to == address_text(4, DOCKER0.address + 1):
        return _assumed({"from": address_text(4, DOCKER0.address + 2), "in": DEFAULT_BRIDGE}, host)
    return _any_of(subnets[0], host) if len(subnets) == 1 else {}


def named_container(host: Host, wanted: str, listed: Iterable[Listed]) -> str:
    """Return the name of a container, by that of its service or the start of its ID; "" if the host has none such."""
    names = [one.name for one in listed if one.id and one.id.startswith(wanted[:12])] if wanted else []
    names += [one.name for one in host.containers.values() if wanted and one.id.startswith(wanted)]
    found = [name for name in (wanted, container_of_service(wanted), *names) if name in host.containers]
    return found[0] if found else ""


def _neighbour(host: Host, to: str) -> dict[str, str]:
    """Return another machine that connects to an address of the host; {} if it is not one, or rules name all machines.

    It is on the host's network, at an address that no rule names, if that network is private and has others.
    """
    for _, own in host.namespace.addresses(4):
        if address_text(4, own.address) != to or own.scope != "global":
            continue
        if own.address in every_public_address(4) or own.prefix_length > _LONGEST:
            return {"from": "internet"}
        named = list(_named_sources(host, own.prefix_length))
        near = chain(
            range(own.address + 1, own.address + _NEAR), range(own.address - 1, own.address - _NEAR, -1)
        )
        for address in near:
            is_machine = own.covers(address - 1) and own.covers(address + 1)
            if is_machine and not any(address & of.mask == of.address for of in named):
                sender = address_text(4, address)
                host.assumptions.append(
                    message(
                        "The machine that sends it is assumed to be {address}, which no rule mentions.",
                        address=sender,
                    )
                )
                return {"from": sender}
    return {}


def _any_of(subnet: Subnet, host: Host) -> dict[str, str]:
    """Return an address of a subnet that represents all of its containers; {} if rules tell their packets apart."""
    if any(subnet.covers(4, of.address) for of in _named_sources(host, subnet.prefix_length)):
        return {}
    return _assumed({"from": address_text(4, subnet.address + 2)}, host)


def _named_sources(host: Host, length: int) -> Iterator[Network]:
    """Yield the sources that rules name, if they are smaller than networks with prefixes of some length."""
    for rule in host.rulesets[4].rules() if 4 in host.rulesets else ():
        of = rule.parameters.source
        if of is None or of == rule.parameters.destination:  # `-s X -d X`: of a container to itself
            continue
        if of.mask.bit_count() > length:
            yield of


def _assumed(sender: dict[str, str], host: Host) -> dict[str, str]:
    host.assumptions.append(
        message("The container that sends it is assumed to be {address}.", address=sender["from"])
    )
    return sender
