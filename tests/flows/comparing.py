"""Compares what flows say of records with what `explain` answers to each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from iptsim.asking import ask
from iptsim.errors import IptsimError
from iptsim.host.model import Host
from iptsim.netfilter.walk import Simulator
from iptsim.packet import address_text
from iptsim.question.model import Question

Record = Mapping[str, Any]


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
    name = "iptables-save.txt" if family == 4 else "ip6tables-save.txt"
    text = (path / name).read_text() if path.is_dir() else path.read_text()
    found = set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text))
    for one in list(found):
        first, _, last = one.rpartition(".")
        found |= {f"{first}.{(int(last) + step) % 256}" for step in (1, 2, 3, 255)}
    return sorted(found | {"8.8.8.8", "198.51.100.7", "255.255.255.255", "224.0.0.1", "127.0.0.1", "0.0.0.0"})


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
