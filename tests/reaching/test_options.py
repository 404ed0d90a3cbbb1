"""What --from, --to, -p, --dport and --state of `iptsim reach` mean, and the errors for what they cannot mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import iptsim
from iptsim.errors import UsageError
from iptsim.reaching.ends import read_source, read_target
from iptsim.reaching.options import read_ports, read_protocol, read_state

CAPTURES = Path(__file__).parents[2] / "fixtures/captures"
TWO = iptsim.load_host(CAPTURES / "docker-28.5/two-networks")


@pytest.mark.parametrize(
    ("text", "names", "addresses"),
    [
        ("web", {"web"}, ["172.30.0.2"]),
        ("host", {"host"}, None),
        ("internet", {"internet"}, None),
        # a Docker network: the addresses of its members there
        ("back", set(), ["172.31.0.2/31"]),
        ("172.31.0.0/24", {"app", "db", "host"}, ["172.31.0.0/24"]),
        ("203.0.113.5", set(), ["203.0.113.5"]),
    ],
)
def test_targets(text: str, names: set[str], addresses: list[str] | None) -> None:
    end = read_target(TWO, 4, text).end
    assert end.names == names
    if addresses is not None:
        assert list(end.addresses.texts()) == addresses


def test_an_interface_is_no_address() -> None:
    end = read_source(TWO, 4, "br-back")
    assert end.interface == "br-back"
    assert not end.names
    assert not end.addresses


def test_a_source_is_known_by_its_name_and_not_by_an_address_that_others_may_use() -> None:
    assert not read_source(TWO, 4, "web").addresses
    end = read_source(TWO, 4, "172.30.0.0/30")
    assert end.names == {"host", "web", "app"}
    assert list(end.addresses.texts()) == ["172.30.0.0"]


def test_ports_after_the_destination() -> None:
    assert read_target(TWO, 4, "web:8080").port == 8080
    kube = iptsim.load_host(CAPTURES / "hosts/kube")
    target = read_target(kube, 4, "nodeport/30080")
    assert (target.proto, target.port) == ("tcp", 30080)
    assert target.end.names == {"host"}


def test_ports() -> None:
    assert read_ports("443,80,8000-8080,81") == ((80, 81), (443, 443), (8000, 8080))
    assert read_protocol("icmp", 6) == 58
    assert read_state("Established") == "established"


@pytest.mark.parametrize(
    ("option", "text", "told", "mark"),
    [
        ("--from", "wbe", "did you mean web?", "--from wbe\n       ^~~"),
        ("--from", "br-bakc", "did you mean br-back?", "--from br-bakc\n       ^~~~~~~"),
        ("--from", "dns", "can only be a destination", "--from dns\n       ^~~"),
        ("--to", "web:htpp", "did you mean http?", "--to web:htpp\n     ^~~~~~~~"),
        ("--dport", "80,htpp", "did you mean http?", "--dport 80,htpp\n           ^~~~"),
        ("--dport", "90-80", "ends before it begins", "--dport 90-80\n        ^~~~~"),
        ("--dport", "70000", "is not a port", "--dport 70000\n        ^~~~~"),
        ("-p", "tpc", "unknown protocol", "-p tpc\n   ^~~"),
        ("--state", "nwe", "did you mean new?", "--state nwe\n        ^~~"),
    ],
)
def test_errors_name_the_nearest_word_and_point_at_the_place(
    option: str, text: str, told: str, mark: str
) -> None:
    readers: dict[str, Callable[[], object]] = {
        "--from": lambda: read_source(TWO, 4, text),
        "--to": lambda: read_target(TWO, 4, text),
        "--dport": lambda: read_ports(text),
        "-p": lambda: read_protocol(text, 4),
        "--state": lambda: read_state(text),
    }
    with pytest.raises(UsageError) as error:
        readers[option]()
    first, _, rest = str(error.value).partition("\n")
    assert told in first
    line, _, caret = mark.partition("\n")
    assert rest == f"  {line}\n  {caret}"
