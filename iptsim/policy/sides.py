"""The endpoints of a policy on a host: senders, addresses, and where packets are delivered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from iptsim.addresses import FAMILIES, Family
from iptsim.extensions.constraints import Ranges
from iptsim.host.address_regions import public_addresses
from iptsim.host.containers import Container
from iptsim.host.model import Host
from iptsim.languages import message
from iptsim.policy.model import Everywhere, Member, Policy
from iptsim.question.endpoints import KEYWORDS, Address, Internet, Loopback, Machine, Named, Prefix, Resolver
from iptsim.question.places import named_container
from iptsim.suggestions import did_you_mean

_LOOPBACK: dict[Family, tuple[int, int]] = {4: (127 << 24, (128 << 24) - 1), 6: (1, 1)}


@dataclass(frozen=True, slots=True)
class Ends:
    """An endpoint of a policy on a host, in one address family.

    Attributes:
        sender: the name of the sender of its packets; None for any sender with one of the addresses.
        spans: its addresses; None for all.
        receivers: what receives packets to it, as kind and name; None for anything.
        routed: as a sender, only packets to unicast addresses, as no router forwards others.
    """

    sender: str | None
    spans: Ranges | None
    receivers: frozenset[tuple[str, str]] | None = frozenset()
    routed: bool = False


EVERYTHING = Ends(None, None, None)


def ends_of(policy: Policy, member: Member, host: Host, family: Family) -> Ends | None:
    """Return an endpoint on a host; None if it has no address of the family.

    Raises:
        FileSyntaxError: the host has no such endpoint; the text says where in the policy.
    """
    value = member.value
    if isinstance(value, Everywhere):
        return EVERYTHING
    if isinstance(value, Internet):
        public = public_addresses(host, family).spans
        return Ends("internet", public, routed=True)
    if isinstance(value, Loopback):
        return Ends("host", (_LOOPBACK[family],), frozenset({("host", "host")}))
    if isinstance(value, Machine):
        return _machine(host, family)
    if isinstance(value, Address | Prefix):
        return _network(value, host, family)
    if isinstance(value, Named):
        return _named(policy, member, value, host, family)
    raise policy.error(
        member.span,
        message("{name} cannot be an endpoint of a policy; give its address or port", name=member.text),
    )


def _machine(host: Host, family: Family) -> Ends:
    return Ends("host", addresses_of_host(host, family), frozenset({("host", "host")}))


def addresses_of_host(host: Host, family: Family) -> Ranges:
    """Return the addresses at which other machines can reach a host."""
    return _singles(host.namespace.outer_addresses(family))


def _network(value: Address | Prefix, host: Host, family: Family) -> Ends | None:
    if value.family != family:
        return None
    length = value.length if isinstance(value, Prefix) else (32 if family == 4 else 128)
    rest = (1 << (32 if family == 4 else 128) - length) - 1
    span = value.value & ~rest, value.value | rest
    inside = {
        ("container", container.name)
        for container in host.containers.values()
        if any(span[0] <= one <= span[1] for one in addresses_of(container, family))
    }
    return Ends(None, (span,), frozenset(inside))


def _named(policy: Policy, member: Member, value: Named, host: Host, family: Family) -> Ends | None:
    network = host.networks.get(value.name) if not value.network else None
    found = named_container(host, str(value)) if network is None else host.container(str(value))
    if found is not None:
        container, endpoint = host.namespace_owner(found[0]), found[1]
        if container.network_mode == "host":
            return _machine(host, family)
        own = [endpoint.address(family)] if endpoint is not None else addresses_of(container, family)
        spans = _singles(one for one in own if one is not None)
        if not spans and not any(addresses_of(container, other) for other in FAMILIES):
            return None
        # docker-proxy connects to it by IPv4 for clients that use IPv6
        return Ends(container.name, spans, frozenset({("container", container.name)}))
    if network is not None:
        spans = tuple(
            (subnet.address & ~rest, subnet.address | rest)
            for subnet in network.subnets
            if subnet.family == family
            for rest in [(1 << (32 if family == 4 else 128) - subnet.prefix_length) - 1]
        )
        members = {("container", one.name) for one in host.containers.values() if value.name in one.endpoints}
        return Ends(None, spans, frozenset(members)) if spans else None
    words = (one for one in KEYWORDS if one != str(Resolver()))
    known = list(dict.fromkeys([*words, *host.containers, *host.networks]))
    raise policy.error(
        member.span,
        message(
            "unknown endpoint {name} on {source}; choose from: {choices}",
            name=member.text, source=host.source or message("the host"), choices=", ".join(known),
        ),
        did_you_mean(value.name, known),
    )  # fmt: skip


def addresses_of(container: Container, family: Family) -> list[int]:
    """Return the addresses of a running container that has a namespace of its own."""
    if not container.running or container.network_mode == "host":
        return []
    return container.own_addresses(family)


def _singles(addresses: Iterable[int]) -> Ranges:
    return tuple((one, one) for one in sorted(set(addresses)))
