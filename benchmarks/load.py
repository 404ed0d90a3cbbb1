"""Measures how long it takes to load a dump, beside `iptables-nft-restore --test` on the same file.

Both run as whole processes, in turns, so that a busy machine slows both. Needs root for the restore.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.kube import dump

LOAD = """
import resource, sys
from iptsim.dump.reader import load
ruleset = load(sys.argv[1])
rules = sum(1 for rule in ruleset.rules())
print(rules, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
RESTORE = ["unshare", "-n", "iptables-nft-restore", "--test"]


def seconds(command: list[str]) -> tuple[float, str]:
    """Run a command; return the wall time and its output."""
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, done.stdout


def compare(services: int, endpoints: int, rounds: int) -> None:
    """Print the medians for one size."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "iptables-save.txt")
        file.write_text(dump(services, endpoints))
        ours, theirs, said = [], [], ""
        for _ in range(rounds):
            elapsed, said = seconds([sys.executable, "-c", LOAD, str(file)])
            ours.append(elapsed)
            theirs.append(seconds([*RESTORE, str(file)])[0])
    rules, megabytes = map(int, said.split())
    mine, other = statistics.median(ours), statistics.median(theirs)
    print(
        f"{rules:>7} rules: iptsim {mine:6.3f} s, {megabytes} MB; iptables-nft-restore --test {other:6.3f} s;"
        f" ratio {mine / other:.2f}"
    )


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--services", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--endpoints", type=int, default=6)
    arguments = parser.parse_args()
    for services in arguments.services:
        compare(services, arguments.endpoints, arguments.rounds)


if __name__ == "__main__":
    main()
