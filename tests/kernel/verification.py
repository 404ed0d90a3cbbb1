"""The results of the kernel tests: counts in `docs/kernel-verified.json`, and the documents made from them.

Each run replaces its own part of the counts; `docs/verification.md` and `docs/support.md` show all of them.
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import pages

if TYPE_CHECKING:
    from tests.kernel.fuzz import Report

_DOCS = Path(__file__).resolve().parents[2] / "docs"
DOCUMENT, COUNTS = _DOCS / "verification.md", _DOCS / "kernel-verified.json"
#: The document mentions runs of the fuzzer with at least so many packets.
WORTH_TELLING = 20_000
_VERDICTS = {
    "ACCEPT": "it was delivered, or it left",
    "DROP": "a rule or a policy dropped it",
    "REJECT": "a rule rejected it; what the kernel sent back was compared too",
    "LOST": "the kernel itself dropped or held it: routing, martians, bridges, incomplete fragments",
    "QUEUE": "it was passed to a program",
    "STOLEN": "a target consumed it",
}


def now() -> str:
    """Return the date and time in the format of the documents."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def run_of(report: Report, seed: str, seconds: float) -> dict[str, Any]:
    """Return the results of a run of the fuzzer, as plain data."""
    return {
        "date": now(),
        "kernel": f"{platform.system()} {platform.release()}",
        "iptables": f"{_version('iptables-nft')}, {_version('iptables-legacy')}",
        "seed": seed,
        "minutes": round(seconds / 60),
        "packets": report.packets,
        "rulesets": report.rulesets,
        "differences": len(report.found),
        "replies": report.replies,
        "steps": report.steps,
        "open": report.open,
        "unsteady": len(report.unsteady),
        "refused": sum(report.refused.values()),
        "kinds": dict(sorted(report.kinds.items())),
        "verdicts": dict(report.verdicts.most_common()),
    }


def _version(tool: str) -> str:
    return subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def read_counts() -> dict[str, Any]:
    """Return all stored counts."""
    known: dict[str, Any] = json.loads(COUNTS.read_text("utf-8")) if COUNTS.exists() else {}
    return known


def store_counts(**parts: Any) -> None:
    """Replace parts of the counts, keep the others, and write the documents that show them."""
    known = {**read_counts(), **parts}
    COUNTS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")
    pages.write()
    DOCUMENT.write_text(document(read_counts()), "utf-8")


def document(known: Mapping[str, Any]) -> str:
    """Return the document about the runs."""
    lines = [
        "# Verification against the kernel",
        "",
        "Written by the test runs: the same packets pass through a Linux kernel and through iptsim, and the results",
        "must be the same: every matching rule, in order, with its verdict, the packet as it arrived after NAT, and",
        "the packet that REJECT sent back.",
        "",
        *(_fuzz(known["run"], known.get("fuzz", {})) if "run" in known else ()),
        *(_corpus(known["corpus"]) if "corpus" in known else ()),
        *(_options(known["options"], known.get("untried", {})) if "options" in known else ()),
        *(_memories(known["memories"]) if "memories" in known else ()),
        *(_targets(known["untried_targets"]) if "untried_targets" in known else ()),
        *_NOT_MADE,
    ]
    return "".join(f"{line}\n" for line in lines).rstrip("\n") + "\n"


#: What the random hosts, rules and packets never contain.
_NOT_MADE = (
    "",
    "## What is not generated",
    "",
    "The random hosts have up to three links and two bridges, guests known from the capture or only from the neighbour",
    "table, uplinks as ports of a bridge, isolated and hairpin ports, various MTUs, several next hops, policy routing,",
    "various settings, rules of both backends, and tables of nftables with sets and maps. The packets are single",
    "packets, replies, later packets of a connection, ICMP errors about them, and questions as users ask them. The",
    "random tests do not cover:",
    "",
    "* VLANs, bonds, tunnels, VRFs, macvlan, network namespaces with rules of their own, bridges with VLAN filtering;",
    "* nat tables of both backends at once, NFQUEUE together with rules of the other backend, and the packets that",
    "  REJECT sends if there are rules of both;",
    "* later packets of a DCCP connection;",
    "* marks that CONNMARK in table raw sets after `CT --zone`: the rule's template keeps them from packet to packet;",
    "* replies to ICMP packets that nat with `--random` translates, as their identifier changes;",
    "* where a packet of a question arrives, if `ip rule` decides that and the capture does not show it;",
    "* chains of nftables that iptsim evaluates as a whole, `ebtables`, eBPF programs, IPsec and flow offloading;",
    "* packets and replies of the host itself if `ip rule` matches protocols or ports: raw sockets have none;",
    "* replies of guests whose gateway is unknown, and replies to a forged address;",
    "* replies that go past the host, as both ends are on one link or behind one router;",
    "* reports of IGMP and MLD on a bridge, which it sends to routers only, and `bc_forwarding`;",
    "* checksums that a network card, or the sender on the same machine, vouches for: the packets are sent by raw",
    "  sockets, so SNPT and DNPT with other prefixes break checksums that REJECT and conntrack verify;",
    "* TCP beyond the third packet, windows and timeouts, and connections that one side has closed;",
    "* ICMP errors about fragments, and fragments that arrive out of order or overlap;",
    "* the set types that the kernel of the tests lacks: `hash:net,net`, `hash:net,port,net`, `hash:ip,mark`,",
    "  `hash:mac`, `hash:ip,mac`; entries of sets that time out, and their counters;",
    "* lookups in sets with MAC addresses for packets without an Ethernet frame;",
    "* helpers other than `ftp` and `sane`, and the data of a connection that helpers parse;",
    "* docker-proxy, and listening programs: the captures of real hosts cover those.",
)


def _fuzz(run: Mapping[str, Any], matched: Mapping[str, int]) -> Iterator[str]:
    yield "## Random rules and packets"
    yield ""
    yield "`make fuzz N=20000`: random rulesets, and packets at the boundaries of their rules."
    yield ""
    yield f"**{run['packets']:,} packets over {run['rulesets']:,} rulesets: {run['differences']:,} differences.**"
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| date | {run['date']} |"
    yield f"| kernel | {run['kernel']} |"
    yield f"| iptables | {run['iptables']} |"
    yield f"| seed | `{run['seed']}` |"
    yield f"| time | {run['minutes']} minutes |"
    yield f"| replies, also sent and compared | {run['replies']:,} |"
    yield f"| steps in the kernel's traces | {run['steps']:,} |"
    yield f"| packets for which iptsim answers DEPENDS | {run['open']:,} |"
    yield f"| packets that the kernel treated differently when sent again | {run['unsteady']:,} |"
    yield f"| rulesets that the tools or iptsim rejected | {run['refused']:,} |"
    for kind, count in run["kinds"].items():
        yield f"| rulesets, {kind} | {count:,} |"
    yield ""
    yield "DEPENDS means that the verdict depends on a rate, a number of packets or connections, or chance; the"
    yield "kernel's result must then be one of the outcomes that iptsim lists."
    yield ""
    yield "### Verdicts of the kernel"
    yield ""
    yield "| verdict | packets | meaning |"
    yield "|---|---|---|"
    for name, count in sorted(run["verdicts"].items(), key=lambda entry: -entry[1]):
        yield f"| {name} | {count:,} | {_VERDICTS[name]} |"
    yield ""
    yield "### Extensions"
    yield ""
    yield "How often a rule with the extension matched."
    for title, kind in (("Matches", "-m "), ("Targets", "-j ")):
        named = {name.removeprefix(kind): n for name, n in matched.items() if name.startswith(kind)}
        yield ""
        yield f"{title}: " + ", ".join(f"`{name}` {count:,}" for name, count in sorted(named.items())) + "."
    yield ""


def _corpus(run: Mapping[str, Any]) -> Iterator[str]:
    yield "## Rulesets of real hosts"
    yield ""
    yield "`python -m tests.kernel.corpus FOLDER`: published dumps, each on a host with the interfaces, addresses and"
    yield "sets that its rules name."
    yield ""
    yield (
        f"**{run['packets']:,} packets over {run['dumps']:,} rulesets: {run['differences']:,} differences.** "
        f"{run['date']}, {run['kernel']}. The tools"
    )
    yield f"reject {run['left_out']:,} further files: other text, or missing modules, names and chains."
    yield ""


def _totals(what: str, counted: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    seen = [counts for of_match in counted.values() for counts in of_match.values()]
    held, failed, differ = (sum(counts[key] for counts in seen) for key in ("true", "false", "differs"))
    return f"**{len(seen):,} {what}: {held:,} times true, {failed:,} times false, {differ:,} differences.**"


def _options(
    options: Mapping[str, Mapping[str, Mapping[str, int]]], untried: Mapping[str, str]
) -> Iterator[str]:
    yield "## Each option alone"
    yield ""
    yield "`make extension-cases`: each option of each match, and its negation, alone in a rule, with packets that"
    yield "should match and packets that should not; [support.md](support.md) has the counts for each match."
    yield ""
    yield _totals("options", options)
    yield ""
    yield "Not tested alone:"
    yield ""
    yield from _reasons(untried)
    yield ""


def _memories(memories: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Iterator[str]:
    yield "## Stateful matches"
    yield ""
    yield "Also `make extension-cases`: one rule, and packets one after the other, so that the kernel's state is known"
    yield "at each packet. iptsim gets the list from the capture, the count, or `--assume`, and so gives a definite"
    yield "answer."
    yield ""
    yield _totals("cases", memories)
    yield ""
    yield "| match | true | false |"
    yield "|---|---|---|"
    for name, cases in memories.items():
        true, false = (sum(counts[key] for counts in cases.values()) for key in ("true", "false"))
        yield f"| `{name}` | {true:,} | {false:,} |"
    yield ""


def _targets(untried: Mapping[str, str]) -> Iterator[str]:
    yield "## Targets without a count"
    yield ""
    yield from _reasons(untried)


def _reasons(untried: Mapping[str, str]) -> Iterator[str]:
    for what, why in untried.items():
        yield f"* `{what}`: {why}"
