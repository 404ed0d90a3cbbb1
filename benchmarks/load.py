"""Measures how long it takes to load a dump and answer one question, compared with `iptables-nft-restore --test`.

All run as whole processes, in turns, so that a busy machine slows them alike. What counts is the time of the
processor. "load" is what a program pays that calls `iptsim.dump.load`: the start of Python, the imports and the
reading, with the garbage collector as Python starts it. "explain" is the command, which does without the collector.
Needs root for the restore.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.kube import dump

LOAD = """
import resource, sys
from iptsim.dump.reader import load
ruleset = load(sys.argv[1])
rules = sum(1 for rule in ruleset.rules())
print(rules, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
EXPLAIN = [sys.executable, "-m", "iptsim", "explain"]
#: A question from the host to the address of the first service.
QUESTION = ["--from", "host", "--to", "10.96.0.1:80"]
RESTORE = ["unshare", "-n", "iptables-nft-restore", "--test"]
#: Modules are compiled once, as for an installed program.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def seconds(command: list[str]) -> tuple[float, str]:
    """Run a command; return the processor's time, user and system, and the output."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, env=ENVIRONMENT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        output.seek(0)
        return used.ru_utime + used.ru_stime, output.read()


def compare(services: int, endpoints: int, rounds: int) -> None:
    """Print the medians for one size."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "iptables-save.txt"))
        Path(file).write_text(dump(services, endpoints))
        commands = (
            [sys.executable, "-c", LOAD, file],
            [*EXPLAIN, file, *QUESTION],
            [*RESTORE, file],
        )
        said = seconds(commands[0])[1]
        times = [[seconds(command)[0] for command in commands] for _ in range(rounds)]
    rules, megabytes = map(int, said.split())
    load, explain, restore = map(statistics.median, zip(*times, strict=True))
    print(
        f"{rules:>7} rules: load {load:6.3f} s ({load / restore:.1f} times as long as the restore), {megabytes} MB;"
        f" explain {explain:6.3f} s ({explain / restore:.1f} times); iptables-nft-restore --test {restore:6.3f} s"
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
