"""Measures sets of packets on the public rulesets of fffuu, beside the figures that its authors published.

The rulesets are in the repositories diekmann/net-network and diekmann/Iptables_Semantics, which have to be there:

    git clone https://github.com/diekmann/net-network
    git clone https://github.com/diekmann/Iptables_Semantics
    python -m benchmarks.sets --net-network net-network --semantics Iptables_Semantics

Each entry is one process from its start: reading the dump, what the chain accepts, its address classes for some ports
and for all, dead rules and spoofing, with the time of its processor, its memory and the nodes of all sets. Commands of
iptsim on other sources follow: a Docker host, a node of Kubernetes, two large dumps, two such nodes.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks.campus import firewall
from benchmarks.kube import dump

TUM = "configs_chair_for_Network_Architectures_and_Services"
EXAMPLES = "thy/Iptables_Semantics/Examples"
DOCKER = "fixtures/captures/hosts/docker-many"
#: The interfaces of the network of the dumps of TUM, with what is behind each.
BEHIND = "haskell_tool/ipassmt_tumi8"


class Case(NamedTuple):
    """A dump, and what its authors publish about it.

    Attributes:
        name: for the table.
        repository: "net-network" or "semantics".
        path: the dump in it.
        chain: the chain of table filter.
        ports: destination ports -> published classes and edges of the service matrix.
        dead: whether dead rules are measured.
        spoofing: whether the sources that interfaces may spoof are measured.
        certified: published number of interfaces certified against spoofing.
    """

    name: str
    repository: str
    path: str
    chain: str
    ports: dict[int, tuple[int, int]]
    dead: bool = False
    spoofing: bool = False
    certified: int | None = None


CASES = (
    # fffuu does not know `-p sctp` and takes such rules for all protocols: exactly, tcp/22 has more classes
    Case(
        "TUM 2015", "net-network", f"{TUM}/iptables-save-2015-05-15_15-23-41", "FORWARD",
        {22: (9, 47), 80: (12, 79)}, True, True,
    ),
    Case(
        "TUM 2015, as fffuu reads it", "semantics",
        f"{EXAMPLES}/TUM_Net_Firewall/iptables-save-2015-05-15_15-23-41_cheating", "FORWARD",
        {22: (9, 47), 80: (12, 79)}, spoofing=True, certified=21,
    ),
    Case(
        "TUM 2016", "net-network", f"{TUM}/iptables-save-2016-06-27_16-29-01", "FORWARD", {22: (13, 98), 80: (14, 108)},
        True, True, 3,
    ),
    Case(
        "SQRL", "semantics", f"{EXAMPLES}/SQRL_Shorewall/2015_aug_iptables-save-spoofing-protection", "FORWARD",
        {22: (1, 1), 80: (1, 1)},
    ),
    Case(
        "Synology", "semantics", f"{EXAMPLES}/Synology_Diskstation_DS414/iptables-save_jun_2015_cleanup", "INPUT",
        {22: (1, 1), 8080: (2, 2), 80: (2, 2)},
    ),
    Case("topos 4.1", "semantics", f"{EXAMPLES}/containern/iptables-save.topos4.1", "FORWARD", {80: (6, 15)}),
)  # fmt: skip


def read_assignment(text: str) -> dict[str, Any]:
    """Read which addresses are behind which interface, as fffuu's files say it."""
    from iptsim.address_sets import AddressSet

    found = {}
    for name, others, body in re.findall(r"(\S+) = (all_but_those_ips )?\[([^\]]*)\]", text):
        spans = []
        for word in filter(None, re.split(r"[,\s]+", body)):
            first, dash, last = word.partition("-")
            if dash:
                spans.append((int(ipaddress.ip_address(first)), int(ipaddress.ip_address(last))))
            else:
                network = ipaddress.ip_network(word, strict=False)
                spans.append((int(network[0]), int(network[-1])))
        addresses = AddressSet.of(4, spans)
        found[name] = ~addresses if others else addresses
    return found


def spoofed_sources(chains: Any, behind: dict[str, Any]) -> dict[str, Any]:
    """Return by interface which sources FORWARD accepts in a new connection that are not behind the interface."""
    from iptsim.dump.chain_graph import Node
    from iptsim.extensions.constraints import named

    accepted = chains.summary(Node("filter", "FORWARD")).packets("ACCEPT").having({"ct.state": "NEW"})
    pairs = accepted.only("in_interface", "src")
    return {
        interface: pairs.where("in_interface", named(interface)).addresses("src") - addresses
        for interface, addresses in behind.items()
    }


def measure(case: Case, path: Path, behind: Path, engine: Any, began: float) -> dict[str, Any]:
    """Measure a case in this process."""
    from iptsim.commands import common
    from iptsim.extensions.constraints import named
    from iptsim.netfilter.program import Program
    from iptsim.sets.chains import Chains
    from iptsim.sets.classes import address_classes
    from iptsim.sets.space import Space
    from iptsim.sets.traffic import Traffic
    from iptsim.sources import load

    # like the program, which rarely collects garbage
    common.gives_one_answer = True
    with common.collector_paused():
        program = Program(load(path, family=4))
    read = time.process_time() - began
    chains = Chains(Space(4, engine), program)
    chains.base("filter", case.chain).packets("ACCEPT")
    found: dict[str, Any] = {"read": read}
    every = address_classes(chains, "filter", case.chain)
    found["all"] = len(every.classes), len(every.edges)
    for port in case.ports:
        classes = address_classes(chains, "filter", case.chain, dport=port)
        found[f"tcp/{port}"] = len(classes.classes), len(classes.edges)
    if case.spoofing:
        spoofed = spoofed_sources(chains, read_assignment(behind.read_text()))
        found["certified"] = sum(not sources for sources in spoofed.values()), len(spoofed)
    if case.dead:
        dead = {}
        for name, within in (("all", None), ("new", chains.space.where("ct.state", named("NEW")))):
            rules = [one for one in Traffic(chains, "filter", within).dead() if one.reason != "unreached"]
            dead[name] = len(rules)
        found["dead"] = dead
    return found | used(began, chains.space.nodes)


def used(began: float, nodes: int) -> dict[str, Any]:
    """Return what this process has used since it began; Linux counts the memory in KiB."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": time.process_time() - began, "MB": memory, "nodes": nodes}


def run_command(words: list[str], engine: Any, began: float) -> dict[str, Any]:
    """Measure a command of iptsim in this process."""
    from iptsim.cli import main as run
    from iptsim.commands import common
    from iptsim.sets import engines, space

    made: list[Any] = []

    def make_engine(name: Any, most_nodes: int, *, small: bool = False) -> Any:
        made.append(engines.make_engine(engine, most_nodes, small=small))
        return made[-1]

    vars(space)["make_engine"] = make_engine
    # like the program, which rarely collects garbage
    common.gives_one_answer = True
    # a diff has status 1; the error of sets that grow too large has been printed
    fails = run([*words, "--json", "-o", os.devnull]) not in (0, 1)
    return used(began, sum(one.nodes for one in made)) | {"fails": fails}


def commands(folder: Path, net_network: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield commands, each with what it is about; dumps that they read are written to a folder."""
    saved = "2016-06-27_16-29-01"
    campus = net_network / TUM / f"iptables-save-{saved}"
    pieces = [str(net_network / TUM / f"ip-{part}-{saved}") for part in ("addr", "route")]
    words = ["reach", str(campus), "--with", pieces[0], "--with", pieces[1], "--from", "eth1.96"]
    yield (
        "TUM 2016 with its addresses and routes, ssh from one network",
        [*words, "-p", "tcp", "--dport", "22"],
    )
    yield "Docker host of 30 containers, all ports", ["reach", DOCKER]
    node = folder / "node.txt"
    node.write_text(dump(5000, 2))
    yield "node of 5,000 services, with their NAT", ["reach", str(node)]
    lines = firewall(Random(1), 166, 120).splitlines()
    before, after = folder / "before.txt", folder / "after.txt"
    before.write_text("\n".join(lines) + "\n")
    changed = len(lines) // 2
    lines[changed] = lines[changed].replace("--dport", "--sport")
    after.write_text("\n".join(lines) + "\n")
    yield "diff of two dumps of 20,000 rules, of which one differs", ["diff", str(before), str(after)]
    lines = dump(2500, 2).splitlines()
    before, after = folder / "node-before.txt", folder / "node-after.txt"
    before.write_text("\n".join(lines) + "\n")
    changed = [number for number, line in enumerate(lines) if "DNAT" in line][2500]
    lines[changed] = lines[changed].replace(":8080", ":8081")
    after.write_text("\n".join(lines) + "\n")
    yield "diff of two nodes of 20,000 rules, of which one differs", ["diff", str(before), str(after)]


def told(case: Case, engine: str, found: dict[str, Any]) -> str:
    """Return a line of the table."""
    parts = [
        f"{case.name}, {engine}: {found['seconds']:.2f} s ({found['read']:.2f} s to read), {found['MB']:.0f} MB"
    ]
    parts.append(f"{found['nodes']:,} nodes")
    parts.append("all ports {} classes, {} edges".format(*found["all"]))
    for port, (classes, edges) in case.ports.items():
        own = "{} classes, {} edges".format(*found[f"tcp/{port}"])
        parts.append(f"tcp/{port} {own} (fffuu {classes}, {edges})")
    if case.spoofing:
        certified, interfaces = found["certified"]
        published = f" (fffuu {case.certified})" if case.certified is not None else ""
        parts.append(f"{certified} of {interfaces} interfaces certified{published}")
    if case.dead:
        parts.append("{all} dead rules, {new} for new connections".format(**found["dead"]))
    return "\n    ".join(parts)


def main() -> None:
    began = time.process_time()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--net-network", type=Path, required=True, help="a clone of diekmann/net-network")
    parser.add_argument(
        "--semantics", type=Path, required=True, help="a clone of diekmann/Iptables_Semantics"
    )
    parser.add_argument("--engine", action="append", choices=("oxidd", "python"), help="by default both")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    roots = {"net-network": arguments.net_network, "semantics": arguments.semantics}
    if arguments.command is not None:
        print(json.dumps(run_command(arguments.command, arguments.engine[0], began)))
        return
    if arguments.case is not None:
        case = CASES[arguments.case]
        path, behind = roots[case.repository] / case.path, arguments.semantics / BEHIND
        print(json.dumps(measure(case, path, behind, arguments.engine[0], began)))
        return
    repositories = ["--net-network", str(arguments.net_network), "--semantics", str(arguments.semantics)]
    engines = arguments.engine or ("oxidd", "python")
    # like an installed package, whose modules were compiled before
    with TemporaryDirectory() as folder:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = folder
        child([*repositories, "--engine", engines[0], "--command", "reach", DOCKER])
        child([*repositories, "--engine", engines[0], "--case", "5"])
        _measure_all(arguments.net_network, repositories, engines)


def _measure_all(net_network: Path, repositories: list[str], engines: Sequence[str]) -> None:
    """Print the table."""
    for number, case in enumerate(CASES):
        for engine in engines:
            print(
                told(case, engine, child([*repositories, "--engine", engine, "--case", str(number)])),
                flush=True,
            )
    with TemporaryDirectory() as folder:
        for name, words in commands(Path(folder), net_network):
            for engine in engines:
                found = child([*repositories, "--engine", engine, "--command", *words])
                ends = ", ends with an error" if found["fails"] else ""
                print(f"{name}, {engine}: {found['seconds']:.2f} s, {found['MB']:.0f} MB{ends}")
                print(f"    {found['nodes']:,} nodes", flush=True)


def child(words: list[str]) -> dict[str, Any]:
    """Return what a process of its own measures."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.sets", *words], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(run.stdout)
    return found


if __name__ == "__main__":
    main()
