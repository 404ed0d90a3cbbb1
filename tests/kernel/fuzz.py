"""Random rules and packets, through the kernel and through iptsim: `python -m tests.kernel.fuzz`.

A difference is made small and left in `build/finds`; `python -m tests.kernel.cases` makes a case of it. Exit
status 1 if there was one. A long run is recorded in `docs/verification.md`.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from iptsim.errors import IptsimError, UsageError
from iptsim.netfilter.trace import Trace
from tests.kernel.asking import Iptsim, probe_of
from tests.kernel.cases import (
    FINDS,
    Case,
    Told,
    can_be_sent,
    load_case,
    observe,
    run_again,
    same_answers,
    stays_on_link,
    store_case,
    turns_back,
)
from tests.kernel.compare import OPEN
from tests.kernel.conversation import later
from tests.kernel.description import Probe
from tests.kernel.generate import Rulebook, established, make_probe, make_rulebook
from tests.kernel.laboratory import Laboratory, missing
from tests.kernel.namespaces import CommandError
from tests.kernel.observation import Observation
from tests.kernel.people import ask, can_be_asked
from tests.kernel.rules import extension_names
from tests.kernel.shrink import shrink
from tests.kernel.topologies import CHANCES
from tests.kernel.verification import WORTH_TELLING, run_of, store_counts

PACKETS_PER_RULESET = 20


@dataclass
class Report:
    """What a run did.

    Attributes:
        steps: of the kernel's traces, all of them compared.
        replies: answers of the other side that were sent back and compared as well.
        open: packets on which iptsim says that the verdict depends on something.
        kinds: rulesets by address family and backend.
        matched: how often a rule with the extension matched, by "-m name" and "-j name".
        verdicts: the kernel's.
        refused: rulesets that the real tools did not take, by their complaint.
        unsteady: packets on which the kernel, asked again, did something else; what differed the first time.
        found: differences, as (what, case).
        agreed: cases without a difference, if requested.

    """

    packets: int = 0
    rulesets: int = 0
    steps: int = 0
    replies: int = 0
    open: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    matched: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unsteady: list[tuple[str, Case]] = field(default_factory=list)
    found: list[tuple[str, Case]] = field(default_factory=list)
    agreed: list[Case] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take in the report of another part of the run."""
        for entry in fields(self):
            setattr(self, entry.name, getattr(self, entry.name) + getattr(other, entry.name))

    def count(self, case: Case, names: Mapping[str, Mapping[tuple[str, str], list[frozenset[str]]]]) -> None:
        """Count a packet; `names` are the extensions of each rule, by backend."""
        self.packets += 1
        self.verdicts[case.answer.verdict] += 1
        for observation in (case.answer, *([case.reply] if case.reply else [])):
            self.steps += len(observation.steps)
            for step in observation.steps:
                if step.rule is not None:
                    backend = "legacy" if step.legacy else case.world.nft_or_only
                    self.matched.update(names[backend][step.table, step.chain][step.rule - 1])
        self.replies += case.reply is not None

    def __str__(self) -> str:
        lines = [
            f"{self.packets} packets and {self.replies} replies over {self.rulesets} rulesets, "
            f"{self.steps} steps, {len(self.found)} differences, {self.open} left open",
            "rulesets: " + counts(self.kinds),
            "verdicts: " + counts(self.verdicts),
            "matched: " + counts(self.matched),
        ]
        lines += [f"not so again: {what}" for what, _ in self.unsteady]
        lines += [f"refused {count} times: {text}" for text, count in self.refused.most_common()]
        return "\n".join(lines)


def counts(counter: Counter[str]) -> str:
    """Return names and numbers, the greatest first."""
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())


def run_ruleset(seed: str, *, keep: bool = False, also: Collection[str] = ()) -> Report:
    """Make one ruleset, load it, send packets, and compare.

    Args:
        seed: of all choices.
        keep: the cases without a difference too.
        also: traits that the host gets whenever it can have them.

    """
    random, report = Random(seed), Report()
    book = make_rulebook(random, stateful=random.random() < 0.15, also=also)
    try:
        with Laboratory(book.world()) as laboratory:
            _Run(random, book, laboratory, report, keep).run()
    except CommandError as error:
        report.refused[str(error).strip()[:300]] += 1
    except IptsimError as error:
        report.refused[f"iptsim refuses the ruleset: {error}"[:300]] += 1
    return report


_DCCP = 33
#: How often a packet is followed by another one of its connection, and how often it is one as people ask about.
_FOLLOWED, _PEOPLE = 0.2, 0.15


class _Run:
    """The packets for one ruleset, through the kernel and through iptsim."""

    def __init__(
        self, random: Random, book: Rulebook, laboratory: Laboratory, report: Report, keep: bool
    ) -> None:
        self.random, self.book, self.laboratory, self.report, self.keep = (
            random,
            book,
            laboratory,
            report,
            keep,
        )
        self.world = laboratory.world
        self.capture = laboratory.capture()
        self.iptsim = Iptsim(self.capture)
        self.names: dict[str, dict[tuple[str, str], list[frozenset[str]]]] = {
            backend: extension_names(dump)
            for backend, dump in (
                (self.world.backend, self.world.dump),
                (self.world.other_backend, self.world.other_dump),
            )
        }

    def run(self) -> None:
        """Send all packets and compare."""
        self.report.rulesets = 1
        self.report.kinds.update((f"IPv{self.world.family} {self.world.backend}", *self.world.traits))
        people = can_be_asked(self.world)
        # what a rule has put into a set, or counted, no table of connections tells
        remembers = any(word in self.world.dump + self.world.other_dump for word in ("-j SET", *_REMEMBERING))
        for _ in range(PACKETS_PER_RULESET):
            if people and self.random.random() < _PEOPLE:
                self._ask()
                continue
            probe = _probe(self.random, self.book)
            answer, back = observe(self.laboratory, probe)
            case = self._case(probe, answer, back)
            if self._compare(case) and not remembers and self.random.random() < _FOLLOWED:
                self._follow(case)

    def _case(self, probe: Probe, answer: Observation, back: Observation | None, **more: Any) -> Case:
        return Case(world=self.world, probe=probe, capture=self.capture, answer=answer, reply=back, **more)

    def _compare(self, case: Case) -> bool:
        """Ask iptsim, and note what differs; return whether nothing does."""
        self.report.count(case, self.names)
        trace = case.ask(self.iptsim)
        self.report.open += isinstance(trace, Trace) and trace.verdict == "DEPENDS"
        what = case.compare(trace) if isinstance(trace, Trace) else [trace]
        if what:
            steady = same_answers(run_again(case), case)
            (self.report.found if steady else self.report.unsteady).append((what[0], case))
        elif self.keep:
            self.report.agreed.append(case)
        return not what

    def _follow(self, first: Case) -> None:
        """Send another packet of the connection, or an ICMP error about one of its packets."""
        probe = first.probe
        if self.world.is_group(probe.dst) or self.world.is_group(probe.src):
            # copies of it are packets of the connection as well
            return
        if probe.connection or probe.expected_by or probe.fragment or probe.extension_headers or probe.socket:
            return
        passed = first.reply is not None and stays_on_link(self.world, first.reply)
        if passed or turns_back(self.world, probe.source, first.answer):
            # the reply was sent through the host all the same
            return
        if probe.proto == _DCCP:
            # its entries have no ports, which a question about it has
            return
        more = later(self.random, self.world, probe, first.answer, first.reply)
        if more is None:
            return
        connections = self.laboratory.connections()
        answer = self.laboratory.send(more.model_copy(update={"before": ()}), fresh=False)
        lines = connections.count("src=") // 2
        ways: list[Told] = ["after", "after", "table"] if lines else ["after"]
        own = f"src={more.src} dst={more.dst} sport={more.sport} dport={more.dport} "
        if lines == 1 and more.proto in (6, 17) and own in connections:
            ways.append("line")
        told = self.random.choice(ways)
        self._compare(self._case(more, answer, None, told=told, connections=connections))

    def _ask(self) -> None:
        """Ask a question as people do, and send the packet that iptsim makes of it."""
        asked = ask(self.random, self.book.scene)
        if (self.world.ip_rules or self.world.picks_next_hops) and not asked.source:
            # where it comes from, policy routing and several next hops leave to guesses
            return
        try:
            made = probe_of(self.iptsim.answer(asked.fields), "host")
            source = asked.source or self.laboratory.interface_towards(made.src, made.dst)
        except (CommandError, UsageError):
            # the host has no route to the sender, so no place for it
            return
        probe = made.model_copy(update={"source": source})
        if not can_be_sent(self.world, probe) or (probe.src == probe.dst and not probe.local):
            return
        # the sender has to find its receiver first
        found = self.laboratory.discovers(probe)
        answer, back = observe(self.laboratory, probe)
        self._compare(self._case(probe, answer._replace(discovered=found), back, asked=asked.fields))


_REMEMBERING = tuple(f"-m {name} " for name in OPEN)


#: What does not go with a connection made known by hand: it would have to be in that zone; and connlimit
#: drops packets of a connection whose first packet it did not count (xt_connlimit.c).
_AGAINST_ENTRIES = ("--zone", "connlimit")


def _probe(random: Random, book: Rulebook) -> Probe:
    probe = make_probe(random, book)
    if any(word in rule.text for rule in book.rules() for word in _AGAINST_ENTRIES):
        return probe.model_copy(update={"expected_by": ""})
    return established(random, probe) if random.random() < 0.12 and probe.proto in (6, 17) else probe


def fuzz(packets: int, seed: str, jobs: int = 1, also: Collection[str] = ()) -> Report:
    """Run rulesets until `packets` packets were compared."""
    report, number = Report(), 0
    with ProcessPoolExecutor(jobs) as pool:
        while report.packets < packets:
            count = min(jobs * 8, (packets - report.packets) // PACKETS_PER_RULESET + 1)
            seeds = [f"{seed}/{number + offset}" for offset in range(count)]
            number += count
            for part in pool.map(partial(run_ruleset, also=also), seeds):
                report.add(part)
    return report


def kind_of(what: str) -> str:
    """Return a difference without its particulars, to tell kinds apart."""
    return re.sub(r"[0-9a-f:.]*[0-9][0-9a-f:.]*", "N", what)


def keep_smallest(report: Report, limit: int = 10) -> list[Path]:
    """Make one difference of each kind small and leave it in `build/finds`; return the files."""
    kept: dict[str, Path] = {}
    for what, case in report.found:
        if kind_of(what) not in kept and len(kept) < limit:
            small = shrink(case, lambda smaller: bool(smaller.differences()))
            small = small.model_copy(update={"note": small.differences()[0]})
            kept[kind_of(what)] = store_case(small, f"found-{small.digest}", FINDS)
    return list(kept.values())


def shown(path: Path) -> str:
    """Return what a find says, and the find itself: `python -m tests.kernel.cases -` takes it."""
    case = load_case(path)
    steps = "; ".join(map(str, case.answer.steps))
    text = case.model_copy(update={"capture": {}}).model_dump_json(exclude_defaults=True)
    return f"=== {path}: {case.note}\n{case.world.dump}kernel: {steps} -> {case.answer.verdict}\n{text}"


def main(arguments: list[str]) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernel.fuzz", description=__doc__)
    parser.add_argument("--packets", type=int, default=2000)
    parser.add_argument("--seed", default=None, help="any text; the time by default")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--with",
        dest="also",
        action="append",
        default=[],
        choices=CHANCES,
        help="a trait for all hosts",
    )
    parser.add_argument("--show", type=int, default=10, help="how many differences to shrink and keep")
    options = parser.parse_args(arguments)
    if reason := missing():
        print(reason, file=sys.stderr)
        return 2
    seed = options.seed or str(int(time.time()))
    start = time.monotonic()
    report = fuzz(options.packets, seed, options.jobs, options.also)
    seconds = time.monotonic() - start
    print(f"seed {seed}: {report}\n{report.packets / seconds:.0f} packets a second")
    if report.packets >= WORTH_TELLING:
        store_counts(run=run_of(report, seed, seconds), fuzz=dict(sorted(report.matched.items())))
    kinds = Counter(kind_of(what) for what, _ in report.found)
    for what, count in kinds.most_common(40):
        print(f"{count:5} {what}")
    for path in keep_smallest(report, options.show):
        print(f"\n{shown(path)}")
    return 1 if report.found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
