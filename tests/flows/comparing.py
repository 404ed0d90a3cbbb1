"""Compares what flows say of records with what `explain` answers to each.

`python -m tests.flows.comparing SOURCE...` does so for many random records on each of the sources.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from iptsim.addresses import address_text
from iptsim.asking import ask
from iptsim.errors import IptsimError
from iptsim.flows.deciding import decider_of, result_batch
from iptsim.host.model import Host
from iptsim.netfilter.walk import Simulator
from iptsim.question.model import Question
from iptsim.sources import load_host

Record = Mapping[str, Any]

#: Outside addresses, and special ones, by family.
_OTHERS = {
    4: ("8.8.8.8", "198.51.100.7", "255.255.255.255", "224.0.0.1", "127.0.0.1", "0.0.0.0", "10.1.2.3"),
    6: ("2001:db8:ffff::1", "2606:4700::1111", "ff02::1", "::1", "fe80::1", "fc00::1"),
}
_ADDRESS = {
    4: re.compile(r"\b\d+\.\d+\.\d+\.\d+\b"),
    6: re.compile(r"(?<![\w:])(?:[0-9a-f]{1,4}:){1,7}(?::|[0-9a-f]{1,4})(?::?[0-9a-f]{1,4})*(?![\w:])"),
}
_PORT = re.compile(r"(?:ports? |:)(\d{1,5})\b")


def explained(simulator: Simulator, record: Record) -> dict[str, Any]:
    """Return what `explain` answers to a record, in the columns of flows."""
    fields = {name: value for name, value in record.items() if value is not None and name != "id"}
    if "src" in fields and not fields.keys() & {"from", "in"}:
        fields["from"] = fields.pop("src")
    try:
        answer = ask(simulator, Question(**fields))
    except IptsimError as error:
        return {"error": str(error)}
    step = answer.reason.step
    rule = step.rule if step is not None else None
    sent, delivered = answer.trace.legs[0].packet, answer.trace.legs[0].delivered
    found: dict[str, Any] = {
        "verdict": answer.verdict,
        "code": answer.reason.code.value,
        "table": step.table if step is not None else None,
        "chain": step.chain if step is not None else None,
        "rule": rule.position if rule is not None else None,
    }
    if delivered is not None:
        arrived = delivered.packet
        for name in ("src", "dst"):
            old, new = getattr(sent, name), getattr(arrived, name)
            found[f"nat_{name}"] = None if old in (0, new) else address_text(arrived.family, new)
        for name in ("sport", "dport"):
            old, new = getattr(sent, name), getattr(arrived, name)
            found[f"nat_{name}"] = None if old == new else new
    return found


def batch_of(records: Sequence[Record]) -> pa.RecordBatch:
    """Return records as a batch."""
    names = dict.fromkeys(name for record in records for name in record)
    return pa.RecordBatch.from_pydict({name: [record.get(name) for record in records] for name in names})


def differences(host: Host, records: Sequence[Record], decided: pa.RecordBatch) -> list[str]:
    """Return in which records flows and `explain` differ."""
    simulator, found = Simulator(host), []
    for record, answer in zip(records, decided.to_pylist(), strict=True):
        wanted = explained(simulator, record)
        got = {name: answer[name] for name in wanted}
        if got != wanted:
            found.append(f"{record}: {got} instead of {wanted}")
    return found


def addresses_in(path: Path, family: int = 4) -> list[str]:
    """Return the addresses in the rules of a capture, and some next to them."""
    found = set(_ADDRESS[family].findall(_rules(path, family)))
    if family == 4:
        for one in list(found):
            first, _, last = one.rpartition(".")
            found |= {f"{first}.{(int(last) + step) % 256}" for step in (1, 2, 3, 255)}
    else:
        found |= {f"{one.rpartition(':')[0]}:{step}" for one in list(found) for step in (2, 3)}
    return sorted(found | {*_OTHERS[family]})


def ports_in(path: Path) -> list[int]:
    """Return the ports in the rules of a capture, and the next ones."""
    found = {int(port) for family in (4, 6) for port in _PORT.findall(_rules(path, family))}
    return sorted({port + step for port in found | {22, 53, 80, 443, 40000} for step in (0, 1)} - {65536})


def _rules(path: Path, family: int) -> str:
    if path.is_dir():
        path = path / ("iptables-save.txt" if family == 4 else "ip6tables-save.txt")
    return path.read_text() if path.exists() else ""


def random_records(random: Random, pool: Sequence[str], count: int) -> list[dict[str, Any]]:
    """Return records between some addresses, with all that a log may say of them."""
    found = []
    for number in range(count):
        proto = random.choice(("tcp", "tcp", "udp", "icmp", "6", None))
        record: dict[str, Any] = {
            "id": number, "src": random.choice(pool), "dst": random.choice(pool), "proto": proto,
        }  # fmt: skip
        if proto != "icmp":
            record["dport"] = random.choice((22, 53, 80, 443, 8080, 40000, random.randrange(1, 65536)))
            record["sport"] = random.choice((None, 53, 40000, random.randrange(1024, 65536)))
        if random.random() < 0.1:
            record["state"] = random.choice(("established", "invalid", "related", "new"))
        if random.random() < 0.05:
            record["tcp_flags"] = random.choice(("ACK", "SYN", "RST"))
        if random.random() < 0.05:
            record["mark"] = random.choice((0, 1))
        found.append(record)
    return found


def varied_records(random: Random, path: Path, host: Host, count: int) -> Iterator[dict[str, Any]]:
    """Yield records of both families, with names, interfaces, ICMP types, connections and other fields."""
    pools = {family: addresses_in(path, family) for family in (4, 6)}
    ports, names = ports_in(path), ["host", "internet", *host.containers]
    links = list(host.namespace.interfaces) or ["eth0"]
    families = [4, 4, 4, 6] if host.rulesets.get(6) is not None else [4]
    for number in range(count):
        family = random.choice(families)
        pool = pools[family]
        proto = random.choice(
            ("tcp", "tcp", "tcp", "udp", "udp", "icmp" if family == 4 else "icmpv6", "sctp", "47")
        )
        record: dict[str, Any] = {
            "id": number, "src": random.choice(pool), "dst": random.choice(pool), "proto": proto,
        }  # fmt: skip
        if proto in ("tcp", "udp", "sctp"):
            record["dport"] = random.choice((*ports, random.randrange(65536), None))
            record["sport"] = random.choice((None, random.choice(ports), random.randrange(1024, 65536)))
        elif proto.startswith("icmp"):
            record["icmp_type"] = random.choice((0, 3, 8, 11) if family == 4 else (1, 128, 129, 135, 136))
        chance = random.random()
        if chance < 0.1:
            record["src"], record["from"] = None, random.choice(names)
        elif chance < 0.2:
            record["dst"], record["to"] = None, random.choice(names)
        elif chance < 0.4:
            record["in"] = random.choice(links)
        if random.random() < 0.15:
            record["state"] = random.choice(("established", "invalid", "related", "new"))
        for name, values in _FURTHER.items():
            if random.random() < 0.02:
                record[name] = random.choice(values)
        yield record


#: Further fields of records.
_FURTHER: dict[str, tuple[Any, ...]] = {
    "tcp_flags": ("ACK", "SYN", "RST", "SYN,ACK"),
    "mark": (0, 1, 0x4000, 255),
    "uid": (0, 33, 1000),
    "ttl": (1, 2, 63, 64, 255),
    "tos": (0, 16),
    "length": (40, 60, 1400, 1500, 1501),
    "src_mac": ("02:42:ac:11:00:02", "52:54:00:00:00:01"),
    "fragment": ("first", "last"),
}


def main() -> None:
    """Compare on some sources."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+", type=Path)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--seed", default="1")
    arguments = parser.parse_args()
    for source in arguments.sources:
        host, random = load_host(source), Random(f"{arguments.seed} {source.name}")
        records = list(varied_records(random, source, host, arguments.records))
        found, alone = [], 0
        for begin in range(0, len(records), 4096):
            part = records[begin : begin + 4096]
            decided = decider_of(host).part(batch_of(part))
            found += differences(host, part, result_batch(decided))
            alone += decided.alone
        classes = decider_of(host).classes
        print(f"{source.name}: {len(records):,} records, {classes.walks:,} walks, {alone:,} alone, "
              f"{len(found)} differ", flush=True)  # fmt: skip
        for line in found[:5]:
            print(" ", line)


if __name__ == "__main__":
    main()
