"""Measures how many questions per second `iptsim explain --batch` answers, including start-up.

Times are those of the processor, as in :mod:`benchmarks.load`, so that a busy machine does not count.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load import seconds

ROOT = Path(__file__).parent.parent
CAPTURE = ROOT / "fixtures/captures/docker-28.5/published"
SENDERS = ("client", "web", "host", "internet", "192.0.2.20")
TARGETS = ("web", "client", "internet", "192.0.2.10", "8.8.8.8")
PORTS = (22, 53, 80, 443, 8080)


def questions(count: int) -> Iterator[str]:
    """Yield batch lines, the same ones each time."""
    source = random.Random(1)
    for number in range(count):
        question = {
            "id": number,
            "from": source.choice(SENDERS),
            "to": source.choice(TARGETS),
            "proto": source.choice(("tcp", "udp")),
            "dport": source.choice((*PORTS, source.randrange(1, 65536))),
        }
        yield json.dumps(question) + "\n"


def different(count: int) -> Iterator[str]:
    """Yield batch lines of which no two are alike: their ports differ."""
    ports = random.Random(2).sample(range(1, 65536), count)
    for line, port in zip(questions(count), ports, strict=True):
        yield json.dumps({**json.loads(line), "dport": port}) + "\n"


def spent(*words: str) -> float:
    """Return the processor's time for a command, in seconds, start-up included."""
    return seconds([sys.executable, "-m", "iptsim", *words])[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    print(f"iptsim --help: {min(spent('--help') for _ in range(arguments.runs)) * 1000:.0f} ms")
    asked = {"questions, most of them repeated": questions, "different questions": different}
    for name, lines in asked.items():
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.writelines(lines(arguments.questions))
            file.flush()
            words = ("explain", str(CAPTURE), "--batch", file.name, "--json")
            best = min(spent(*words) for _ in range(arguments.runs))
        print(f"{arguments.questions:,} {name}: {best:.2f} s, {arguments.questions / best:,.0f} a second")


if __name__ == "__main__":
    main()
