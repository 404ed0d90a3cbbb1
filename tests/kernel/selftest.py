"""Would the comparison notice? Seeds faults into copies of iptsim: `python -m tests.kernel.selftest`.

Packets go through the kernel once. Each fault is one change of iptsim's source, made in a copy; the
packets on which iptsim agreed with the kernel before are repeated there, and some must differ now.
"""

from __future__ import annotations

import argparse
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from iptsim.errors import IptsimError
from tests.kernel.asking import Iptsim
from tests.kernel.cases import Case
from tests.kernel.fuzz import run_ruleset
from tests.kernel.laboratory import missing

ROOT = Path(__file__).resolve().parents[2]
PACKETS = 2000


class Fault(NamedTuple):
    """A change of one place in iptsim's source that makes it wrong."""

    name: str
    file: str
    old: str
    new: str


FAULTS = (
    Fault(
        "the last port of a range is outside",
        "extensions/constraints.py",
        "low <= value <= high",
        "low <= value < high",
    ),
    Fault(
        "the first port of a range is outside",
        "extensions/constraints.py",
        "low <= value <= high",
        "low < value <= high",
    ),
    Fault(
        "a negated header field is not negated",
        "extensions/constraints.py",
        "inside(value) is not negated",
        "inside(value)",
    ),
    Fault(
        "a negated fact is never known",
        "extensions/constraints.py",
        "            return inside(value) is not negated",
        '            return Unknown("a fault") if negated else inside(value)',
    ),
    Fault(
        "a rule that only notes or marks is doubted",
        "netfilter/rule_evaluation.py",
        "    if not undecided:\n        return True",
        "    if not undecided:\n        return None if prepared.quiet else True",
    ),
    Fault(
        "a negated fact is not negated", "extensions/predicates.py", "negate(test(context))", "test(context)"
    ),
    Fault(
        "network masks are ignored",
        "extensions/constraints.py",
        "value & mask == wanted",
        "value == wanted",
    ),
    Fault(
        "TCP flags outside the mask count",
        "extensions/matches/tcp.py",
        "Masked(flags.set, flags.mask)",
        "Masked(flags.set, 0x3F)",
    ),
    Fault(
        "`eth+` needs a rest",
        "extensions/constraints.py",
        "name.startswith(pattern[:-1])",
        "len(name) >= len(pattern) + 1",
    ),
    Fault(
        "MARK does nothing",
        "extensions/targets/mark.py",
        "clear_and_flip(context.packet.mark, self._change.mask, self._change.value)",
        "context.packet.mark",
    ),
    Fault("mangle is skipped", "netfilter/hooks.py", '"mangle", ', ""),
    Fault(
        "security comes before nat in INPUT",
        "dump/builtin_chains.py",
        '"nf_tables": 150',
        '"nf_tables": 50',
    ),
    Fault("goto comes back like a jump", "netfilter/chain_evaluation.py", "if not jump.goto:", "if True:"),
    Fault(
        "RETURN is ignored",
        "netfilter/chain_evaluation.py",
        'if verdict.kind == "RETURN":',
        'if verdict.kind == "RETURN" and callers:\n            continue\n        if verdict.kind == "RETURN":',
    ),
    Fault(
        "policies always accept",
        "netfilter/chain_evaluation.py",
        'policy = base.policy or "ACCEPT"',
        'policy = "ACCEPT"',
    ),
    Fault("the TTL is not decremented", "netfilter/ip_forward.py", "packet.ttl -= 1", "packet.ttl -= 0"),
    Fault(
        "chains of one name in two tables are one",
        "netfilter/program.py",
        "key = (chain.table, chain.name)",
        'key = ("", chain.name)',
    ),
    Fault(
        "translations are not carried out", "netfilter/nat.py", "connection.reply = new.reversed()", "pass"
    ),
    Fault(
        "replies are not recognised",
        "netfilter/conntrack.py",
        "if answers and flow == connection.reply and",
        "if answers and flow is connection.reply and",
    ),
    Fault(
        "an ACK without a connection is invalid",
        "netfilter/tcp_states.py",
        "(loose and begun",
        "(False and begun",
    ),
)


NO_FAULT = Fault("none", "netfilter/ip_forward.py", "packet.ttl -= 1", "packet.ttl -= 1")


def record(packets: int, seed: str) -> list[Case]:
    """Return cases on which iptsim and the kernel agree."""
    cases: list[Case] = []
    number = 0
    while len(cases) < packets:
        report = run_ruleset(f"{seed}/{number}", keep=True)
        cases += report.agreed
        number += 1
    return cases[:packets]


def caught_by(cases: list[Case]) -> Case | None:
    """Return the first case on which iptsim differs now, None if there is none."""
    capture, iptsim = None, None
    for case in cases:
        if case.capture != capture:
            capture, iptsim = case.capture, None
            try:
                iptsim = Iptsim(capture)
            except IptsimError:
                return case
        if case.differences(iptsim):
            return case
    return None


def _child(path: str) -> int:
    """Ask the recorded packets again; say how many it took to notice. Runs in the copy."""
    cases: list[Case] = pickle.loads(Path(path).read_bytes())
    found = caught_by(cases)
    if found is None:
        print(f"NOT CAUGHT within {len(cases)} packets")
        return 1
    print(f"caught by packet {cases.index(found) + 1}")
    return 0


def run_fault(fault: Fault, recorded: Path) -> tuple[bool, str]:
    """Make a copy of iptsim with the fault, and ask it the recorded packets."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "iptsim"
        shutil.copytree(ROOT / "iptsim", copy, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "grammars", Path(folder) / "grammars")
        place = copy / fault.file
        text = place.read_text()
        if fault.old not in text:
            return False, f"{fault.file} does not hold {fault.old!r} any more: adapt the fault"
        place.write_text(text.replace(fault.old, fault.new))
        done = subprocess.run(
            [sys.executable, "-m", "tests.kernel.selftest", "--recorded", str(recorded)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "PYTHONSAFEPATH": "1"},
            text=True,
            capture_output=True,
            check=False,
        )
    said = done.stdout.strip() or done.stderr.strip()[-300:]
    return done.returncode == 0, said


def main(arguments: list[str]) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernel.selftest", description=__doc__)
    parser.add_argument("--packets", type=int, default=PACKETS)
    parser.add_argument("--seed", default="selftest")
    parser.add_argument("--recorded", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.recorded:
        return _child(options.recorded)
    if reason := missing():
        print(reason, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        recorded = Path(folder) / "cases"
        recorded.write_bytes(pickle.dumps(record(options.packets, options.seed)))
        caught, said = run_fault(NO_FAULT, recorded)
        if caught or not said.startswith("NOT CAUGHT"):
            print(f"a copy without a fault differs: {said}", file=sys.stderr)
            return 2
        missed = 0
        for fault in FAULTS:
            caught, said = run_fault(fault, recorded)
            missed += not caught
            print(f"{fault.name}: {said}", flush=True)
    print(f"{len(FAULTS) - missed} of {len(FAULTS)} faults caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
