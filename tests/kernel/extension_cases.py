"""Each option of each match, alone in a rule, on packets that should make it true and false.

`python -m tests.kernel.extension_cases [MATCH ...]` runs them through the kernel and iptsim, and writes how often each
was seen true and false, and answered alike, to `docs/kernel-verified.json`.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from random import Random

from tests.kernel.asking import Iptsim
from tests.kernel.cases import Case, observe
from tests.kernel.clauses import MAKERS, Clause, Maker
from tests.kernel.clauses.surroundings import ipsets
from tests.kernel.description import Probe, World
from tests.kernel.generate import STATEFUL, base_packet, established, finish, rule_text
from tests.kernel.laboratory import Laboratory, missing
from tests.kernel.namespaces import CommandError
from tests.kernel.observation import Observation
from tests.kernel.remembering import run_all
from tests.kernel.scenes import Scene, make_scene
from tests.kernel.verification import read_counts, store_counts

HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
SCENES = ("router4", "bridge4", "router6", "bridge6")
#: Rules made of one option, and packets for each.
RULES, PACKETS = 6, 16

#: Options that no packet of these tests can make true, or false.
NEVER_TRUE: frozenset[tuple[str, str]] = frozenset()
NEVER_FALSE = frozenset({("comment", "--comment")})
#: Matches and options that are not tested here, with the reason.
UNTRIED: dict[str | tuple[str, str], str] = {
    "cgroup": "needs a control group",
    "connlabel": "needs names in connlabel.conf",
    "ipvs": "needs a kernel with IPVS",
    "nfacct": "needs an accounting object",
    "osf": "needs a fingerprint database",
    "rateest": "needs a RATEEST target and time",
    "policy": "needs IPsec",
    ("bpf", "--object-pinned"): "needs a BPF program in the kernel",
    ("ipcomp", "--compres"): "the kernel ignores it",
    ("frag", "--fraglen"): "the kernel ignores it",
    ("hashlimit", "--hashlimit-rate-match"): "compares with the previous interval: the result comes late",
    ("hashlimit", "--hashlimit-rate-interval"): "compares with the previous interval: the result comes late",
    ("owner", "--suppl-groups"): "needs a user with supplementary groups",
    ("set", "--update-subcounters"): "needs a set of sets with counters",
    ("time", "--kerneltz"): "needs a host that is not on UTC",
    ("time", "--localtz"): "needs a host that is not on UTC",
    ("time", "--utc"): "obsolete spelling of the default",
}
#: Targets that the kernel tests do not cover, with the reason.
UNTRIED_TARGETS = {
    "CLUSTERIP": "no longer in the kernel (since Linux 6.3)",
    "IDLETIMER": "all network namespaces share the names of its timers",
    "LED": "the kernel of the tests has no LED triggers",
    "QUEUE": "only the legacy backend accepts it; the random rules have NFQUEUE",
    "SECMARK": "needs SELinux or Smack, which the kernel of the tests does not run",
    "SYNPROXY": "replies to the packet itself; cases of its own",
    "ULOG": "no longer in the kernel (since Linux 3.17)",
}


@dataclass
class Tally:
    """How often a condition was seen."""

    true: int = 0
    false: int = 0
    differs: list[tuple[str, Case]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def count(self, observation: Observation) -> None:
        """Count at each hook that the packet reached whether the rule matched."""
        reached = {sighting.hook for sighting in observation.sightings if sighting.place == "head"}
        matched = {step.hook for step in observation.steps if step.rule is not None}
        self.true += len(matched)
        self.false += len(reached - matched)


def makers() -> dict[tuple[str, str], list[Maker]]:
    """Return the makers of clauses that do not depend on chance or memory, by module and option."""
    found: dict[tuple[str, str], list[Maker]] = defaultdict(list)
    for maker in MAKERS:
        if maker.module not in STATEFUL:
            found[maker.module, maker.option].append(maker)
    return found


def verify(module: str, option: str, negated: bool, *, brief: bool = False) -> Tally:
    """Try an option in rules of its own; `brief`: until it was seen true and false."""
    tally = Tally()
    for number in range(RULES):
        if brief and tally.true and tally.false:
            break
        random = Random(f"{module} {option} {negated} {number}")
        maker = random.choice(makers()[module, option])
        names = [name for name in SCENES if maker.family in (None, make_scene(name).family)]
        scene = make_scene(names[number % len(names)])
        clause = maker.clause(random, scene, negated)
        _run(tally, _world(scene, maker, clause), list(_probes(random, scene, clause)))
    return tally


def _world(scene: Scene, maker: Maker, clause: Clause) -> World:
    rule = rule_text([clause], clause.needs.get("proto"))
    if maker.module == "rpfilter":
        lines = ["*raw", ":PREROUTING ACCEPT [0:0]", f"-A PREROUTING {rule}"]
    else:
        hooks = [hook for hook in HOOKS if maker.hooks is None or hook in maker.hooks]
        lines = [
            "*mangle",
            *(f":{hook} ACCEPT [0:0]" for hook in HOOKS),
            *(f"-A {hook} {rule}" for hook in hooks),
        ]
    dump = "\n".join([*lines, "COMMIT", ""])
    sets = ipsets(scene) if maker.module == "set" else ""
    return scene.world.model_copy(update={"dump": dump, "ipsets": sets})


def _probes(random: Random, scene: Scene, clause: Clause) -> Iterator[Probe]:
    changes = [*clause.inside, *clause.outside] or [{}]
    for number in range(PACKETS):
        fields = {**base_packet(random, scene), **clause.needs, **changes[number % len(changes)]}
        probe = finish(fields, scene, random)
        known = number % 4 == 3 and probe.proto in (6, 17) and not (probe.expected_by or probe.socket)
        yield established(random, probe, flags=(0x10,)) if known else probe


def _run(tally: Tally, world: World, probes: list[Probe]) -> None:
    try:
        with Laboratory(world) as laboratory:
            capture = laboratory.capture()
            iptsim = Iptsim(capture)
            for probe in probes:
                answer, back = observe(laboratory, probe)
                tally.count(answer)
                case = Case(world=world, probe=probe, capture=capture, answer=answer, reply=back)
                if what := case.differences(iptsim):
                    tally.differs.append((what[0], case))
    except CommandError as error:
        tally.refused.append(str(error))


def verify_all(modules: Collection[str] = ()) -> dict[str, dict[str, dict[str, int]]]:
    """Try every option and its negation; return the counts by match and option, and print what differs.

    Args:
        modules: the matches to try; all of them by default.

    """
    result: dict[str, dict[str, dict[str, int]]] = defaultdict(dict)
    for (module, option), known in sorted(makers().items()):
        if modules and module not in modules:
            continue
        for negated in (False, True) if known[0].negatable else (False,):
            tally = verify(module, option, negated)
            words = f"! {option}".strip() if negated else option
            result[module or "parameters"][words] = {
                "true": tally.true,
                "false": tally.false,
                "differs": len(tally.differs),
            }
            for text in tally.refused:
                print(f"{module} {words}: refused: {text}")
            for what, case in tally.differs[:1]:
                print(f"{module} {words}: {what}\n  {case.world.dump}  {case.probe}")
            if not tally.true or not tally.false:
                print(f"{module} {words}: true {tally.true}, false {tally.false}")
    return dict(result)


def verify_memories(modules: Collection[str] = ()) -> dict[str, dict[str, dict[str, int]]]:
    """Run the cases of matches that remember; return the counts by match and case, and print what differs."""
    result: dict[str, dict[str, dict[str, int]]] = defaultdict(dict)
    for case, outcome in run_all(modules):
        result[case.module][case.words] = {
            "true": outcome.true,
            "false": outcome.false,
            "differs": len(outcome.wrong),
        }
        for line in outcome.wrong:
            print(line)
    return dict(result)


def main(modules: list[str]) -> int:
    """Run from the command line."""
    if reason := missing():
        print(reason, file=sys.stderr)
        return 2
    result, memories = verify_all(modules), verify_memories(modules)
    untried = {" ".join(what) if isinstance(what, tuple) else what: why for what, why in UNTRIED.items()}
    known = read_counts()
    store_counts(
        options={**known.get("options", {}), **result},
        memories={**known.get("memories", {}), **memories},
        untried=untried,
        untried_targets=UNTRIED_TARGETS,
    )
    counted = [seen for of in (result, memories) for options in of.values() for seen in options.values()]
    differing = sum(seen["differs"] for seen in counted)
    print(f"{len(counted)} options and cases, {differing} differences")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
