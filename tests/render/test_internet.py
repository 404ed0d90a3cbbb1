"""The internet's name in place of its ranges of addresses."""

from __future__ import annotations

from iptsim.address_sets import AddressSet
from iptsim.render.internet import internet_texts
from iptsim.sets.lines import PacketLine

PUBLIC = AddressSet.read(4, "1.0.0.0/8", "8.0.0.0/7", "64.0.0.0/2")


def texts(*addresses: str) -> dict[str, str]:
    return internet_texts(PacketLine(4, {"from": AddressSet.read(4, *addresses).spans}), PUBLIC)


def test_all_of_the_internet_and_more() -> None:
    assert texts("1.0.0.0/8", "8.0.0.0/7", "64.0.0.0/2") == {"from": "internet"}
    assert texts("0.0.0.0/0") == {"from": "internet and other networks"}


def test_what_is_missing_is_named_if_it_is_little() -> None:
    assert texts("8.0.0.0/7", "64.0.0.0/2") == {"from": "internet !1.0.0.0/8"}
    assert texts("8.0.0.0/7") == {}
    assert texts("10.0.0.0/8") == {}
    assert internet_texts(PacketLine(4, {"dports": ((80, 80),)}), PUBLIC) == {}
