"""The source address that the kernel picks for packets without one.

IPv4: inet_select_addr in net/ipv4/devinet.c. IPv6: RFC 6724 as implemented by ipv6_get_saddr_eval in
net/ipv6/addrconf.c (without home addresses and optimistic duplicate address detection).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Network

from iptsim.addresses import BITS, Family, is_link_local, is_multicast
from iptsim.host.containers import Subnet
from iptsim.host.namespace import Interface, InterfaceAddress, Namespace, grouped

#: The kernel's numbers of IPv4 scopes; a smaller number means a wider scope.
SCOPES4 = {"global": 0, "universe": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}


def _subnet(text: str) -> Subnet:
    network = IPv6Network(text)
    return Subnet(family=6, address=int(network.network_address), prefix_length=network.prefixlen)


_SITE_LOCAL = _subnet("fec0::/10")
#: The kernel's default policy table (ip6addrlbl_init_table), longest prefix first.
_LABELS = tuple(
    (_subnet(prefix), label)
    for prefix, label in (
        ("::1/128", 0), ("::/96", 3), ("::ffff:0:0/96", 4), ("2001:0::/32", 6), ("2001:10::/28", 7),
        ("2002::/16", 2), ("3ffe::/16", 12), ("fec0::/10", 11), ("fc00::/7", 5), ("::/0", 1),
    )
)  # fmt: skip


#: An address and its interface.
_Own = tuple[Interface, InterfaceAddress]
#: Link and site: for a destination with one of these scopes, REDIRECT uses an address of the same scope.
_NARROW_SCOPES = frozenset({2, 5})
_GLOBAL = 14


def select_source(
    namespace: Namespace,
    family: Family,
    device: str | None,
    destination: int,
    *,
    gateway: int | None = None,
    scope: str = "global",
) -> int | None:
    """Return the source address for packets that leave by `device`, or None.

    IPv4 prefers an address in the subnet of `gateway`, and never uses one with a narrower scope than
    the route's `scope`.
    """
    if family == 4:
        return _select4(namespace, device, gateway, SCOPES4.get(scope, 0))
    return _select6(namespace, device, destination)


def labels_decide(namespace: Namespace) -> bool:
    """Return whether the label of an IPv6 destination of global scope may decide which source is picked.

    That is so if addresses with different labels are equal in all criteria that precede labels.
    """
    best = _widest6(namespace, _GLOBAL)
    on = {name: _kinds(own) for name, own in grouped(best, lambda one: one[0].name).items()}
    anywhere = _kinds(best)
    # those of the device itself precede the others
    return any(len(on.get(device, anywhere)) > 1 for device in namespace.interfaces)


def _kinds(addresses: Iterable[_Own]) -> set[tuple[int, bool]]:
    """Return how the criteria from labels on distinguish addresses."""
    return {(_label6(one.address), _orchid(one.address)) for _, one in addresses}


def facing_address(interface: Interface, family: Family, destination: int) -> int | None:
    """Return the address to which REDIRECT sends packets that arrive on an interface, or None.

    It is the first in the kernel's list, whatever its scope (nf_nat_redirect_ipv4). In IPv6 it must have
    the destination's scope if that is less than global, and must not be tentative (nf_nat_redirect_ipv6).
    """
    narrow = _scope6(destination) if family == 6 and _scope6(destination) in _NARROW_SCOPES else None
    for own in interface.addresses:
        if own.family != family or own.duplicate:
            continue
        if destination == 1 and family == 6 and own.address != 1:
            continue
        if narrow is None or _scope6(own.address) == narrow:
            return own.address
    return None


def _select4(namespace: Namespace, device: str | None, gateway: int | None, scope: int) -> int | None:
    interface = namespace.interfaces.get(device or "")
    chosen: int | None = None
    if interface is not None:
        localnet = (namespace.interface_sysctl(4, name, "route_localnet") for name in ("all", interface.name))
        narrowest = 253 if any(localnet) else 254
        for address in interface.addresses:
            if address.family != 4 or address.secondary:
                continue
            if min(SCOPES4.get(address.scope, 0), narrowest) > scope:
                continue
            if gateway is None or address.covers(gateway):
                return address.address
            chosen = address.address if chosen is None else chosen
    if chosen is not None:
        return chosen
    for _, address in namespace.addresses(4):
        if not address.secondary and address.scope != "link" and SCOPES4.get(address.scope, 0) <= scope:
            return address.address
    return None


def _select6(namespace: Namespace, device: str | None, destination: int) -> int | None:
    scope = _scope6(destination)
    holder = namespace.interface_of(6, destination)
    candidates: Iterable[_Own]
    if device is not None and (is_multicast(6, destination) or scope <= 2):
        candidates = [one for one in _sources6(namespace) if one[0].name == device]
    elif holder is not None:
        candidates = _sources6(namespace)
    else:
        candidates = namespace.once(("widest sources", scope), lambda: _widest6(namespace, scope))
    best: tuple[tuple[int, ...], int] | None = None
    for interface, address in sorted(candidates, key=lambda one: one[0].name != device):
        prefer_temporary = namespace.interface_sysctl(6, interface.name, "use_tempaddr") >= 2
        score = _score6(interface, address, device, destination, prefer_temporary)
        if best is None or score > best[0]:
            best = score, address.address
    return None if best is None else best[1]


def _sources6(namespace: Namespace) -> list[_Own]:
    """Return the addresses that packets may have as their source."""
    return [
        (interface, address)
        for interface, address in namespace.addresses(6)
        if not address.duplicate and not is_multicast(6, address.address)
    ]


def _widest6(namespace: Namespace, wanted: int) -> list[_Own]:
    """Return those of which the rules about scope and deprecation, which precede all others, leave the choice."""
    ranked = grouped(_sources6(namespace), lambda one: _rank6(*one, None, wanted))
    return ranked[max(ranked)] if ranked else []


def _score6(
    interface: Interface,
    address: InterfaceAddress,
    device: str | None,
    destination: int,
    prefer_temporary: bool,
) -> tuple[int, ...]:
    """Rank a candidate by the rules of RFC 6724, section 5; higher is better."""
    common = BITS[6] - (address.address ^ destination).bit_length()
    return (
        address.address == destination,
        *_rank6(interface, address, device, _scope6(destination)),
        _label6(address.address) == _label6(destination),
        address.temporary is prefer_temporary,
        _orchid(address.address) is _orchid(destination),
        min(common, address.prefix_length),
    )


def _rank6(
    interface: Interface, address: InterfaceAddress, device: str | None, wanted: int
) -> tuple[int, bool, bool]:
    """Rank a candidate by the rules that precede the one about labels, for a destination of the given scope.

    Without a device, by those about scope and deprecation alone.
    """
    own = _scope6(address.address)
    return -own if own >= wanted else own - 128, not address.deprecated, interface.name == device


def _scope6(address: int) -> int:
    """Return the scope of an address: 1 node, 2 link, 5 site, 14 global (ipv6_addr_scope)."""
    if is_multicast(6, address):
        return address >> 112 & 0xF
    if is_link_local(6, address) or address == 1:
        return 2
    return 5 if _SITE_LOCAL.covers(6, address) else _GLOBAL


@lru_cache(maxsize=1024)
def _label6(address: int) -> int:
    return next(label for prefix, label in _LABELS if prefix.covers(6, address))


def _orchid(address: int) -> bool:
    return address >> 100 == 0x2001001
