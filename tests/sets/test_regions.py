"""Regions of addresses: networks with a label of their own are told apart where a source may depend on it."""

from __future__ import annotations

import pytest

from iptsim.addresses import parse_address
from iptsim.host import load_host
from iptsim.host.model import Host
from iptsim.host.namespace import Interface, InterfaceAddress, Namespace
from iptsim.host.source_address import labels_decide, select_source
from iptsim.sets.regions import Prefix, Regions


def _number(text: str) -> int:
    return parse_address(text)[1]


#: One destination of each label of global scope (RFC 6724, section 2.1; ip6addrlbl_init_table).
_DESTINATIONS = [
    _number(text)
    for text in ("2600::1", "::8.8.8.8", "2001::1", "2001:10::1", "2002::1", "3ffe::1", "fd99::1")
]
_UNIQUE_LOCAL = Prefix(_number("fc00::"), 7)


def _namespace(**addresses: list[str]) -> Namespace:
    return Namespace(
        interfaces={
            name: Interface(
                name=name,
                addresses=tuple(
                    InterfaceAddress(
                        family=6, address=_number(text), prefix_length=64,
                        scope="link" if text.startswith("fe80") else "global",
                    )
                    for text in texts
                ),
            )
            for name, texts in addresses.items()
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    "addresses",
    [
        {"eth0": ["2600:db8::10", "fe80::10"], "docker0": ["fe80::1"]},
        # those of privacy extensions have the same label
        {"eth0": ["2600:db8::10", "2600:db8::11"], "docker0": ["fe80::1"]},
        # each device has its own
        {"eth0": ["2600:db8::10"], "br0": ["fd00::1"]},
    ],
)
def test_labels_that_decide_nothing_are_not_told_apart(addresses: dict[str, list[str]]) -> None:
    namespace = _namespace(**addresses)
    assert not labels_decide(namespace)
    assert _UNIQUE_LOCAL not in Regions(Host(namespace=namespace), 6).all
    for device in addresses:
        sources = [select_source(namespace, 6, device, one) for one in _DESTINATIONS]
        assert len({source and source >> 64 for source in sources}) == 1


@pytest.mark.parametrize(
    "addresses",
    [
        # a bridge without an address of global scope uses those of other devices, with the destination's label first
        {"eth0": ["2600:db8::10"], "br0": ["fd00::1"], "docker0": ["fe80::1"]},
        {"eth0": ["2600:db8::10", "fd00::1"]},
    ],
)
def test_labels_that_decide_are_told_apart(addresses: dict[str, list[str]]) -> None:
    namespace = _namespace(**addresses)
    assert labels_decide(namespace)
    assert _UNIQUE_LOCAL in Regions(Host(namespace=namespace), 6).all
    device = list(addresses)[-1]
    assert select_source(namespace, 6, device, _number("fd99::1")) == _number("fd00::1")
    assert select_source(namespace, 6, device, _number("2600::1")) == _number("2600:db8::10")


def test_the_group_of_a_router_s_anycast_address_is_told_apart() -> None:
    """A router joins the solicited-node group of the first address of each network (addrconf_join_anycast)."""
    regions = Regions(load_host("fixtures/captures/docker-28.5/ipv6"), 6)
    groups = [_number(f"ff02::1:ff00:{last}") for last in ("0", "10", "99")]
    assert [regions.of(group).address == group for group in groups] == [True, True, False]
