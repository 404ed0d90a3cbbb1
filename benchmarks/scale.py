"""Measures what grows: one question at 1,000 and at 100,000 rules, a million records, many hosts.

Times are those of the processor, in one process; "whole process" includes the start. What runs on more than one core is
measured by the clock. The restore of the C tools beside it reads the same dump, and needs root.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.csv

from benchmarks.batch import CAPTURE
from benchmarks.batch import questions as batch_lines
from benchmarks.campus import firewall
from benchmarks.kube import dump
from benchmarks.load import RESTORE, seconds
from iptsim.api import explain
from iptsim.errors import UsageError
from iptsim.flows.deciding import Decider
from iptsim.host.capture import load_host
from iptsim.host.model import Host
from iptsim.netfilter.walk import Simulator

#: Questions about a service that no rule knows, and the rounds before they are timed.
_QUESTIONS, _WARM = 200, 20


#: Runs `flows` and prints its own peak: getrusage would count what the parent process had when it forked.
PEAK = """
import os, re, sys
from contextlib import redirect_stdout
from iptsim.cli import main
with open(os.devnull, "w") as nothing, redirect_stdout(nothing):
    main(["flows", *sys.argv[1:], "--json"])
print(re.search(r"VmHWM:\\s+([0-9]+)", open("/proc/self/status").read())[1])
"""


def timed(work: Callable[[], object], rounds: int = 3) -> float:
    """Return the shortest processor time of some rounds."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def machine() -> None:
    """Print what it is measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    kind = names[0] if names else platform.processor()
    print(
        f"{os.cpu_count()} cores ({kind}), Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


def answers(count: int = 2000) -> None:
    """Print how many questions about a Docker host are answered: in full, and only the verdict."""
    host = load_host(CAPTURE)
    asked = [json.loads(line) for line in batch_lines(count)]
    single = [one for one in asked if "internet" not in (one["from"], one["to"])]

    def explained() -> None:
        for one in single:
            with suppress(UsageError):
                explain(host, one["from"], one["to"], proto=one["proto"], dport=one["dport"])

    explained()
    spent = timed(explained)
    print(
        f"explanations of packets between containers, host and addresses: {len(single) / spent:,.0f} a second"
    )
    many = asked * 50
    names = ("from", "to", "proto", "dport")
    batch = pa.RecordBatch.from_pydict({name: [str(one[name]) for one in many] for name in names})
    spent = timed(lambda: Decider(Simulator(host)).decide(batch))
    print(f"verdicts with the deciding rule, by flows: {len(many) / spent:,.0f} a second")


def questions(folder: Path) -> None:
    """Print the cost of one question on nodes of two sizes."""
    costs = []
    for services in (50, 5000):
        file = folder / f"node-{services}.txt"
        file.write_text(dump(services, 6))
        host = load_host(file)
        rules = sum(1 for _ in host.rulesets[4].rules())

        def ask(count: int, host: Host = host) -> None:
            for number in range(count):
                explain(host, "host", f"198.51.100.{number % 250 + 1}", dport=80)

        ask(_WARM)
        costs.append(timed(lambda: ask(_QUESTIONS)) / _QUESTIONS * 1000)
        print(f"one question at {rules:>7,} rules: {costs[-1]:.2f} ms")
    print(f"  {costs[1] / costs[0]:.1f} times as long")


def addresses(random: np.random.Generator, first: list[tuple[int, int]], count: int) -> pa.Array:
    """Return random addresses as texts; `first` are the limits of their four numbers."""
    parts = [random.integers(low, high, count).astype(str) for low, high in first]
    text = parts[0]
    for part in parts[1:]:
        text = np.char.add(np.char.add(text, "."), part)
    return pa.array(text.astype(object), pa.string())


def records(count: int, targets: list[tuple[int, int]]) -> pa.RecordBatch:
    """Return random records; hardly any two are alike."""
    random = np.random.default_rng(1)
    ports = np.array((22, 25, 53, 80, 443, 3306, 5000, 8080))
    return pa.RecordBatch.from_pydict(
        {
            "src": addresses(random, [(172, 174), (0, 256), (0, 256), (1, 255)], count),
            "dst": addresses(random, targets, count),
            "proto": pa.array(np.array(("tcp", "udp"), dtype=object)[random.integers(0, 2, count)]),
            "sport": random.integers(1024, 65536, count),
            "dport": ports[random.integers(0, len(ports), count)],
        }
    )


def flows(folder: Path, count: int) -> None:
    """Print the cost of deciding about many records."""
    file, log = folder / "firewall.txt", folder / "log.csv"
    file.write_text(firewall(Random(1)))
    wide, docker = [(10, 11), (0, 60), (0, 5), (0, 256)], [(172, 193), (0, 18), (0, 3), (1, 30)]
    for source, targets in ((file, wide), (CAPTURE, docker)):
        host = load_host(source)
        rules = sum(1 for _ in host.rulesets[4].rules())
        batch = records(count, targets)
        walks: list[int] = []

        def decide(host: Host = host, batch: pa.RecordBatch = batch, walks: list[int] = walks) -> None:
            decider = Decider(Simulator(host))
            decider.decide(batch)
            walks.append(decider.classes.walks)

        spent = timed(decide, 2)
        print(
            f"{count:,} records at {rules:>5,} rules: {spent:.2f} s, {count / spent:,.0f} a second; "
            f"{walks[-1]:,} packets were walked"
        )
        with log.open("wb") as output:
            pyarrow.csv.write_csv(batch, output)
        whole = min(
            seconds([sys.executable, "-m", "iptsim", "flows", str(source), str(log)])[0] for _ in range(3)
        )
        print(f"  as a whole process, from a CSV of {log.stat().st_size >> 20} MB: {whole:.2f} s")
        part = Decider(Simulator(host)).part(batch)
        sizes = [len(pickle.dumps(one, 5)) / count for one in (batch, part)]
        print(f"  to a worker {sizes[0]:.0f} bytes a record, back {sizes[1]:.1f}; the host once, "
              f"{len(pickle.dumps(host)) >> 10:,} kB")  # fmt: skip


def memory(folder: Path, count: int) -> None:
    """Print the peak memory of `flows` for a log, and for one of ten times the length."""
    log, batch = folder / "long.csv", records(count, [(172, 193), (0, 18), (0, 3), (1, 30)])
    for times in (1, 10):
        with pyarrow.csv.CSVWriter(log, batch.schema) as output:
            for _ in range(times):
                output.write_batch(batch)
        peak = seconds([sys.executable, "-c", PEAK, str(CAPTURE), str(log)])[1]
        print(f"{count * times:,} records: {int(peak) >> 10} MB at most")


def hosts(folder: Path, count: int) -> None:
    """Print how long `lint --summary` takes for many dumps of 200 rules."""
    dumps = folder / "dumps"
    dumps.mkdir()
    for number in range(count):
        (dumps / f"host{number:05}.txt").write_text(firewall(Random(number % 7), 5, 39))
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    program = shutil.which("iptsim") or "iptsim"
    subprocess.run([program, "lint", str(dumps), "--summary"], stdout=subprocess.DEVNULL, check=False)
    spent, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    cores = os.cpu_count() or 1
    print(f"lint --summary of {count:,} dumps of 200 rules: {work / count * 1000:.0f} ms of a processor for each, "
          f"{work / cores:.0f} s on {cores} idle cores; {spent:.0f} s by the clock")  # fmt: skip


def restore(folder: Path) -> None:
    """Print how long the C tool takes to read the larger node."""
    try:
        print(
            f"iptables-nft-restore --test of it: {seconds([*RESTORE, str(folder / 'node-5000.txt')])[0]:.2f} s"
        )
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"iptables-nft-restore --test: not measured ({error})")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--hosts", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        machine()
        answers()
        questions(folder)
        restore(folder)
        flows(folder, arguments.records)
        memory(folder, arguments.records)
        hosts(folder, arguments.hosts)


if __name__ == "__main__":
    main()
