"""`iptsim.flows.decide`: a batch of records is answered as `explain` answers each of them."""

from __future__ import annotations

import pickle
import socket
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest

from iptsim.flows import decide, deciding
from iptsim.flows.columns import Places, decimal_numbers, ipv4_numbers
from iptsim.flows.cuts import Kinds
from iptsim.flows.deciding import SCHEMA, decider_of
from iptsim.host.capture import load_host
from iptsim.host.conntrack_entries import conntrack_entries
from tests.flows.comparing import addresses_in, batch_of, differences, random_records, varied_records
from tests.netfilter.random_rules import beside_nftables, random_fields, random_host
from tests.thoroughness import first_ones

FIXTURES = Path(__file__).parent.parent.parent / "fixtures/captures"
CAPTURES = sorted(file.parent for file in FIXTURES.rglob("iptables-save.txt"))
PUBLISHED = FIXTURES / "docker-28.5/published"


@pytest.mark.thorough
@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_captured_hosts(capture: Path) -> None:
    random, host = Random(str(capture.name)), load_host(capture)
    records = random_records(random, addresses_in(capture), 150)
    assert differences(host, records, decide(host, batch_of(records))) == []


@pytest.mark.thorough
@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_names_interfaces_and_both_families(capture: Path) -> None:
    random, host = Random(str(capture.name)), load_host(capture)
    records = list(varied_records(random, capture, host, 150))
    assert differences(host, records, decide(host, batch_of(records))) == []


@pytest.mark.parametrize("capture", ["docker-28.5/published", "hosts/ufw"])
def test_kinds_of_records_that_occurred_before(capture: str) -> None:
    """What earlier batches have shown is looked up; the second half of the records also has new names and ports."""
    host = load_host(FIXTURES / capture)
    random = Random(capture)
    records = random_records(random, addresses_in(FIXTURES / capture), 40)
    records += varied_records(random, FIXTURES / capture, host, 40)
    for some in (records[:50], records[30:], records):
        assert differences(host, some * 8, decide(host, batch_of(some * 8))) == []
    walks = decider_of(host).classes.walks
    decide(host, batch_of(records * 8))
    assert decider_of(host).classes.walks == walks


@pytest.mark.parametrize("order", [1, -1])
def test_the_address_of_a_name_is_not_a_column(order: int) -> None:
    """ufw-user-input rule 9 accepts tcp/8443 to 192.0.2.10, which is what `host` means here."""
    ufw = load_host(FIXTURES / "hosts/ufw")
    records = [
        {"src": "203.0.113.5", "to": "host", "proto": "tcp", "dport": port} for port in (9000, 8443, 80)
    ][::order]
    found = decide(ufw, batch_of(records)).select(["verdict", "chain", "rule"]).to_pylist()[::order]
    assert [tuple(one.values()) for one in found] == [
        ("DROP", "INPUT", None), ("ACCEPT", "ufw-user-input", 9), ("ACCEPT", "ufw-user-input", 2),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", first_ones(range(12), 3))
def test_random_rules(seed: int) -> None:
    random = Random(seed)
    host = random_host(random)
    records = [random_fields(random) for _ in range(120)]
    assert differences(host, records, decide(host, batch_of(records))) == []


@pytest.mark.parametrize("seed", first_ones(range(6), 2))
def test_random_rules_of_nftables_beside_them(seed: int) -> None:
    random = Random(seed)
    host = beside_nftables(random, random_host(random))
    records = [random_fields(random) for _ in range(120)]
    assert differences(host, records, decide(host, batch_of(records))) == []


TEXTS = (
    "0.0.0.0", "1.2.3.4", "255.255.255.255", "10.20.30.40", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1..3.4",
    "1.2.3.", ".1.2.3", "a.b.c.d", "1.2.3.4 ", "", None, "::1", "1.2.3.1000", "...", "100.0.09.1", "1.2.3.4/32",
    "1.2.3.-",
)  # fmt: skip


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[1:], ("1.2.3.4", "9.8.7.6"), ("1.2", "3.4.5.6.7"), ("",), ()])
def test_addresses_are_read_as_inet_pton_reads_them(texts: tuple[str | None, ...]) -> None:
    def wanted(text: str | None) -> int | None:
        try:
            return None if text is None else int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
        except OSError:
            return None

    numbers, good = ipv4_numbers(pa.array(texts, pa.string()))
    found = [number if fine else None for number, fine in zip(numbers.tolist(), good.tolist(), strict=True)]
    assert found == list(map(wanted, texts))
    part, some = ipv4_numbers(pa.array(["1.1.1.1", *texts], pa.string())[1:])
    assert (part.tolist(), some.tolist()) == (numbers.tolist(), good.tolist())


@pytest.mark.parametrize(
    "text", ["", "+80", "-1", "0x50", "00080", "000080", "65536", "99999", "8 ", "8.0", "½", None]
)
def test_ports_are_one_to_five_decimal_digits(text: str | None) -> None:
    number = -1 if text is None or not (text.isascii() and text.isdecimal() and len(text) <= 5) else int(text)
    assert decimal_numbers(pa.array([text, "80"], pa.string())).tolist() == [number, 80]
    assert decimal_numbers(pa.array(["x", text, "443"], pa.string())[1:]).tolist() == [number, 443]


def test_kinds_of_addresses_are_found_in_tables() -> None:
    """Ranges that divide a block of 65,536 addresses, of 256, and neither; too many for tables of all."""
    random = Random(3)
    for count in (5, 300, 40_000):
        begins = [random.getrandbits(32) for _ in range(count)]
        kinds = Kinds({(one, min(one + random.choice((0, 1, 255, 70_000)), 2**32 - 1)) for one in begins}, 32)
        numbers = {0, 2**32 - 1, *kinds.starts[:3000], *(one - 1 for one in kinds.starts[1:3000])}
        asked = np.array([*numbers, *(random.getrandbits(32) for _ in range(1000))], np.int64)
        assert Places(kinds).of(asked).tolist() == [kinds.of(one) for one in asked.tolist()]


def test_columns_of_other_types() -> None:
    """Numbers of IPv4, dictionaries, IPv6 and names; a text that is no port."""
    host = load_host(PUBLISHED)
    columns = {
        "src": pa.array([0xAC110003, 0xC0000214], pa.uint32()),
        "dst": pa.array(["8.8.8.8", "172.17.0.2"]).dictionary_encode(),
        "dport": pa.array(["53", "70000"]),
        "proto": pa.array(["udp", "tcp"]),
    }
    first, second = decide(host, pa.RecordBatch.from_pydict(columns)).to_pylist()
    assert (first["verdict"], first["code"], first["nat_src"]) == ("ACCEPT", "outgoing", "192.0.2.10")
    assert second["verdict"] is None
    assert second["error"].startswith("dport: ")
    named: list[dict[str, object]] = [
        {"from": "client", "to": "web", "dport": 80},
        {"from": "client", "to": "2001:db8::1"},
    ]
    found = decide(host, batch_of(named))
    assert differences(host, named, found) == []
    assert found.to_pylist()[0]["code"] == "icc-enabled"


def test_a_batch_without_records() -> None:
    assert decide(load_host(PUBLISHED), batch_of([])).schema == SCHEMA


def test_a_host_that_was_pickled_decides_alike() -> None:
    host = load_host(PUBLISHED)
    batch = batch_of(random_records(Random(5), addresses_in(PUBLISHED), 50))
    found = decide(host, batch)
    assert decide(pickle.loads(pickle.dumps(host)), batch).equals(found)


def test_one_walk_answers_for_many_records() -> None:
    host = load_host(PUBLISHED)
    records = [
        {
            "src": f"203.0.113.{number % 250}",
            "dst": "192.0.2.10",
            "proto": "tcp",
            "sport": 1024 + number,
            "dport": 8080,
        }
        for number in range(2000)
    ]
    assert set(decide(host, batch_of(records)).column("verdict").to_pylist()) == {"ACCEPT"}
    assert decider_of(host).classes.walks <= 4


def test_rules_that_only_match_other_packets_need_no_walk_each(tmp_path: Path) -> None:
    """The rule of each port decides, also where the effect differs, or a rule has a condition of another kind."""
    targets = ("ACCEPT", "DROP", "REJECT", "REJECT --reject-with tcp-reset", "LOG", "RETURN")
    rules = [f"-A FORWARD -p tcp -m tcp --dport {1000 + port} -j {targets[port % 6]}" for port in range(90)]
    rules[7] = "-A FORWARD -p tcp -m tcp --dport 1007 -m limit --limit 1/sec -j DROP"
    rules.insert(0, "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
    dump = tmp_path / "rules.txt"
    dump.write_text("\n".join(["*filter", ":FORWARD DROP [0:0]", *rules, "COMMIT", ""]))
    host = load_host(dump)
    records = [
        {"src": "203.0.113.9", "dst": "10.0.0.9", "in": "eth0", "proto": "tcp", "dport": 999 + port}
        for port in range(92)
    ]
    found = decide(host, batch_of(records))
    assert differences(host, records, found) == []
    assert found.slice(1, 3).select(["verdict", "rule", "line"]).to_pylist() == [
        {"verdict": "ACCEPT", "rule": 2, "line": 4}, {"verdict": "DROP", "rule": 3, "line": 5},
        {"verdict": "REJECT", "rule": 4, "line": 6},
    ]  # fmt: skip
    # those of LOG and RETURN, that of the limit, and one for each other target
    assert decider_of(host).classes.walks < 2 * 15 + 1 + 6


def test_private_senders_behind_an_interface_are_another_class(tmp_path: Path) -> None:
    """A host with a dump alone has a default route by the interface of a public sender, but not of a private one."""
    dump = tmp_path / "rules.txt"
    dump.write_text(
        "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -i eth0 -j ACCEPT\n-A FORWARD -o eth1 -j REJECT\nCOMMIT\n"
    )
    host = load_host(dump)
    records = [
        {"src": source, "dst": "10.0.1.1", "proto": "udp", "dport": 53, "in": "eth1"}
        for source in ("10.1.2.2", "192.1.3.3", "10.1.2.3", "198.51.100.1")
    ]
    assert differences(host, records, decide(host, batch_of(records))) == []


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch has other names and addresses; what is forgotten is found again."""
    monkeypatch.setattr(deciding, "_WALKS", 60)
    monkeypatch.setattr(deciding, "_KEPT", 100)
    host, random = load_host(PUBLISHED), Random(9)
    decider, pool = decider_of(host), addresses_in(PUBLISHED)
    begun = decider.classes
    for number in range(6):
        records = random_records(random, [*pool, f"name-{number}", f"2001:db8::{number}"], 40)
        assert differences(host, records, decider.decide(batch_of(records))) == []
        assert decider.classes.walks <= 60 + 40
    assert decider.classes is not begun


@pytest.mark.parametrize(
    ("name", "values", "errors"),
    [
        ("dport", pa.array([80, None], pa.uint16()), (None, None)),
        (
            "sport",
            pa.array([80, 2**64 - 1], pa.uint64()),
            (None, "sport: 18446744073709551615 is not a port"),
        ),
        ("dport", pa.array([{"a": 1}, None]), ("dport: {'a': 1} is not a port", None)),
        ("src", pa.array([16909060, 2**32]), (None, "from: 4294967296 is not")),
        ("src", pa.array([16909060, -1]), (None, "from: -1 is not")),
        ("src", pa.array([16909060, 2**64 - 1], pa.uint64()), (None, "from: 18446744073709551615 is not")),
        ("src", pa.array([[1], [2]]), ("from: [1] is not", "from: [2] is not")),
        ("src", pa.array([b"\xff\xfe", b"1.2.3.4"]), ("unknown endpoint", None)),
        ("state", pa.array([["new"], None]), ("state: unknown value", None)),
    ],
)
def test_columns_of_odd_types(name: str, values: pa.Array, errors: tuple[str | None, ...]) -> None:
    """Parquet files have such columns; a value that makes no sense is the error of its record."""
    columns = {"src": pa.array(["1.2.3.4"] * 2), "dst": pa.array(["172.17.0.2"] * 2), name: values}
    found = decide(load_host(PUBLISHED), pa.RecordBatch.from_pydict(columns)).column("error").to_pylist()
    for error, begin in zip(found, errors, strict=True):
        assert error is None if begin is None else error.startswith(begin)


def test_connections_that_conntrack_knows_are_walked_alone() -> None:
    """A record with the source of a known connection is no new connection of its class."""
    line = (
        "tcp      6 431999 ESTABLISHED src=203.0.113.9 dst=172.17.0.2 sport=40000 dport=22 "
        "src=172.17.0.2 dst=203.0.113.9 sport=22 dport=40000 [ASSURED] mark=0 use=1"
    )
    host = load_host(PUBLISHED)
    host.conntrack = list(conntrack_entries(line))
    records = [
        {"src": "203.0.113.9", "dst": "172.17.0.2", "proto": "tcp", "sport": sport, "dport": 22}
        for sport in (40000, 40001)
    ]
    assert differences(host, records, decide(host, batch_of(records))) == []
    assert decider_of(host).part(batch_of(records)).alone == 1
