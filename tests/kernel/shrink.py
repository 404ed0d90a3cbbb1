"""Makes a difference small: drops rules, chains, clauses and packet fields while iptsim still differs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from tests.kernel.cases import Case, run_again
from tests.kernel.description import Probe, World
from tests.kernel.namespaces import CommandError

#: Runs of the kernel that one difference may cost.
BUDGET = 400
_PLAIN: dict[str, Any] = {
    "ttl": 64, "tos": 0, "length": 0, "payload": "", "mark": 0, "uid": 0, "gid": 0, "fragment": None,
    "tcp_options": {}, "src_mac": None, "dst_mac": None, "connection": None, "extension_headers": (),
}  # fmt: skip


def shrink(case: Case, still: Callable[[Case], bool]) -> Case:
    """Return the smallest case that `still` holds for."""
    left = BUDGET
    progress = True
    while progress and left > 0:
        progress = False
        for smaller in _smaller(case):
            left -= 1
            if left < 0:
                break
            try:
                ran = run_again(smaller)
            except (CommandError, OSError, ValueError):
                continue
            if ran.told == "line" and not ran.connections.strip():
                # without these rules the kernel tracks no connections
                continue
            if still(ran):
                case, progress = ran, True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    for world in _smaller_worlds(case.world):
        yield case.model_copy(update={"world": world})
    if not case.asked:  # else iptsim makes the packet
        for probe in _smaller_probes(case.probe):
            yield case.model_copy(update={"probe": probe})


def _smaller_worlds(world: World) -> Iterator[World]:
    for dump in smaller_dumps(world.dump):
        if world.backend == "nft" or dump.count("\n:") == world.dump.count("\n:"):
            # a legacy table has its base chains whether they are named or not
            yield world.model_copy(update={"dump": dump})
    lines = world.nft.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.startswith("  ") and not line.startswith("  type"):
            yield world.model_copy(update={"nft": "".join(lines[:number] + lines[number + 1 :])})
    if world.ipsets and "-match-set" not in world.dump and "SET " not in world.dump:
        yield world.model_copy(update={"ipsets": ""})
    for name in world.sysctls:
        kept = {other: value for other, value in world.sysctls.items() if other != name}
        yield world.model_copy(update={"sysctls": kept})


def _smaller_probes(probe: Probe) -> Iterator[Probe]:
    for field, value in _PLAIN.items():
        # a header that is too short gets a packet dropped: another matter
        if getattr(probe, field) != value and not (field == "payload" and probe.proto in (33, 47, 132)):
            yield probe.model_copy(update={field: value})


def smaller_dumps(dump: str) -> Iterator[str]:
    """Yield dumps with less in them: halves of the rules first, then single rules, chains, clauses."""
    lines = dump.splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("-A")]
    for size in (len(rules) // 2, len(rules) // 4, 1):
        for first in range(0, len(rules), size) if size else ():
            dropped = set(rules[first : first + size])
            yield _joined(line for number, line in enumerate(lines) if number not in dropped)
    for number, line in enumerate(lines):
        if line.startswith(":") and not any(other.split()[1:2] == [line[1:].split()[0]] for other in lines):
            yield _joined(other for place, other in enumerate(lines) if place != number)
        elif line.startswith("*") and lines[number + 1] == "COMMIT":
            yield _joined(other for place, other in enumerate(lines) if place not in (number, number + 1))
    for number in rules:
        for text in _shorter_rules(lines[number]):
            yield _joined(text if place == number else line for place, line in enumerate(lines))


def _joined(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _shorter_rules(rule: str) -> Iterator[str]:
    """Yield a rule without one of its options, and without one of its matches."""
    words = shlex.split(rule, posix=False)
    starts = [
        place
        for place, word in enumerate(words)
        if word.startswith("-") and not word[1:2].isdigit() and place > 1
    ]
    starts = [place - 1 if words[place - 1] == "!" else place for place in starts]
    for start, end in pairwise([*starts, len(words)]):
        if words[start] != "-m":
            yield " ".join(words[:start] + words[end:])
    modules = [place for place in starts if words[place] == "-m"]
    for place in modules:
        following = [start for start in starts if start > place and words[start] in ("-m", "-j", "-g")]
        yield " ".join(words[:place] + words[following[0] if following else len(words) :])
