"""Statements of nftables that translate addresses and ports, as targets of iptables; see libnftables-json(5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iptsim.host.nft_restrictions import NEVER, TRANSPORTS, Restrictions
from iptsim.host.nft_values import address, address_range, is_prefix, port_range

#: Translations of nat: iptables' target, and its option for addresses and ports.
TRANSLATIONS = {
    "dnat": ("DNAT", "--to-destination"),
    "snat": ("SNAT", "--to-source"),
    "masquerade": ("MASQUERADE", "--to-ports"),
    "redirect": ("REDIRECT", "--to-ports"),
}
#: Those to an address.
_TO_ADDRESS = frozenset({"dnat", "snat"})
#: Flags of a translation that do not affect which addresses it may be.
_PORT_FLAGS = frozenset({"fully-random", "persistent", "random"})


class UntranslatableError(Exception):
    """A chain has a statement without a translation."""


def only_family(conditions: Restrictions, about: Mapping[str, Any]) -> None:
    """Restrict a rule to the address family that a statement names, if any."""
    if about.get("family") not in (None, "ip" if conditions.family == 4 else "ip6"):
        conditions.options.append(NEVER)


def translation_words(key: str, value: Any, conditions: Restrictions, hook: str) -> str:
    """Return the target that translates addresses or ports as a statement does.

    Args:
        key: "dnat", "snat", "masquerade" or "redirect".
        value: what the statement says.
        conditions: of the rule; a statement for one address family restricts them.
        hook: the hook of the base chain.

    Raises:
        UntranslatableError: iptables has no such target.
    """
    about = value if isinstance(value, Mapping) else {}
    flags = about.get("flags", ())
    flags = {flags} if isinstance(flags, str) else set(flags)
    if value not in (None, about) or not _PORT_FLAGS.issuperset(flags - {"netmap"}):
        raise UntranslatableError
    only_family(conditions, about)
    if "netmap" in flags:
        return _netmap(key, about, hook)
    target, option = TRANSLATIONS[key]
    to = address_range(about["addr"]) if "addr" in about else ""
    port = port_range(about["port"]) if "port" in about else ""
    if to is None or port is None or (to and key not in _TO_ADDRESS):
        raise UntranslatableError
    if port and not (conditions.protocols and TRANSPORTS.issuperset(conditions.protocols)):
        raise UntranslatableError
    if key in _TO_ADDRESS and not to:
        if not port or conditions.family == 6:
            raise UntranslatableError
        return f"-j {target} {option} :{port}"  # the address remains
    if conditions.family == 6 and to and port:
        to = f"[{to}]".replace("-", "]-[")
    to = f"{to}:{port}" if to and port else to or port
    more = " --persistent" if "persistent" in flags and key in _TO_ADDRESS else ""
    return f"-j {target} {option} {to}{more}" if to else f"-j {target}"


def _netmap(key: str, about: Mapping[str, Any], hook: str) -> str:
    """Return the target that replaces the network of an address (nft_nat_setup_netmap)."""
    to = address(about.get("addr"))
    sides = {"dnat": ("prerouting", "output"), "snat": ("postrouting", "input")}
    if to is None or not is_prefix(to) or "port" in about or hook not in sides.get(key, ()):
        raise UntranslatableError
    return f"-j NETMAP --to {to}"
