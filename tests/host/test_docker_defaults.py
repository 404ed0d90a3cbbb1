"""The subnets of addresses, by the pools of moby (localScopeDefaultNetworks)."""

from __future__ import annotations

import pytest

from iptsim.addresses import parse_address
from iptsim.host.docker_defaults import default_subnet, guessed_subnet


@pytest.mark.parametrize(
    ("address", "chosen", "guessed"),
    [
        ("172.17.0.2", "172.17.0.0/16", "172.17.0.0/16"),
        ("172.31.255.9", "172.31.0.0/16", "172.31.0.0/16"),
        ("192.168.17.3", "192.168.16.0/20", "192.168.17.0/24"),
        ("172.16.1.3", "None", "172.16.1.0/24"),
        ("172.32.1.3", "None", "172.32.1.0/24"),
        ("10.0.1.3", "None", "10.0.1.0/24"),
    ],
)
def test_subnets(address: str, chosen: str, guessed: str) -> None:
    _, number = parse_address(address)
    assert (str(default_subnet(number)), str(guessed_subnet(number))) == (chosen, guessed)
