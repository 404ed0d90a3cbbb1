"""What the kernel tests leave behind: counts in `docs/kernel-verified.json`, and the documents made of them.

Each run replaces its own part of the counts; `docs/verification.md` and `docs/support.md` tell of all.
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
#: Packets from which on a run of the fuzzer is told in the document.
WORTH_TELLING = 20_000
_VERDICTS = {
    "ACCEPT": "it was delivered, or it left",
    "DROP": "a rule or a policy dropped it",
    "REJECT": "a rule rejected it; what the kernel sent back was compared too",
    "LOST": "the kernel let it go without a rule: routing, martians, bridges, fragments that wait",
    "QUEUE": "it went to a program",
    "STOLEN": "a target took it",
}


def now() -> str:
    """Return date and time as the documents give them."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def run_of(report: Report, seed: str, seconds: float) -> dict[str, Any]:
    """Return what is to be told of a run of the fuzzer, as plain data."""
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
    """Return all that was counted."""
    known: dict[str, Any] = json.loads(COUNTS.read_text("utf-8")) if COUNTS.exists() else {}
    return known


def store_counts(**parts: Any) -> None:
    """Replace parts of the counts, leave the others, and write the documents that show them."""
    known = {**read_counts(), **parts}
    COUNTS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")
    pages.write()
    DOCUMENT.write_text(document(read_counts()), "utf-8")


def document(known: Mapping[str, Any]) -> str:
    """Return the document that tells of the runs."""
    lines = [
        "# Verification against the kernel",
        "",
        "Written by the runs themselves: the same packets go through a Linux kernel and through iptsim, and iptsim",
        "must say the same: every rule that matched, in order, with its verdict, the packet as it arrived after NAT,",
        "and what REJECT sent back.",
        "",
        *(_fuzz(known["run"], known.get("fuzz", {})) if "run" in known else ()),
        *(_corpus(known["corpus"]) if "corpus" in known else ()),
        *(_options(known["options"], known.get("untried", {})) if "options" in known else ()),
        *(_memories(known["memories"]) if "memories" in known else ()),
        *(_targets(known["untried_targets"]) if "untried_targets" in known else ()),
        *_NOT_MADE,
    ]
    return "".join(f"{line}\n" for line in lines).rstrip("\n") + "\n"


#: What the random hosts, rules and packets never are.
_NOT_MADE = (
    "",
    "## What is not generated",
    "",
    "The random hosts have up to three links and two bridges, guests that the capture holds or that only the",
    "neighbour table knows, uplinks as ports of a bridge, isolated and hairpin ports, other MTUs, several next hops,",
    "policy routing, other settings, and rules of both backends. Their packets are single ones, replies, later packets",
    "of a connection, ICMP errors about them, and questions as people ask them. Never among them are:",
    "",
    "* VLANs, bonds, tunnels, VRFs, macvlan, network namespaces with rules of their own, bridges with VLAN filtering;",
    "* nat tables of both backends at once, NFQUEUE beside rules of the other backend, and what REJECT sends back",
    "  where there are rules of both;",
    "* later packets of a DCCP connection;",
    "* rules of nftables that iptables did not write, `ebtables`, eBPF programs, IPsec and flow offloading;",
    "* packets and replies of the host itself where `ip rule` looks at protocols or ports: raw sockets have none;",
    "* replies of guests whose gateway nothing tells, and replies to a forged address;",
    "* the mark that HMARK gives to ICMP errors;",
    "* TCP beyond the third packet, windows and timeouts, and connections that one of the two sides has closed;",
    "* ICMP errors about fragments, and fragments that come in another order or overlap;",
    "* the set types that the kernel of the tests lacks: `hash:net,net`, `hash:net,port,net`, `hash:ip,mark`,",
    "  `hash:mac`, `hash:ip,mac`; timeouts and counters of set entries;",
    "* sets with MAC addresses, of which packets without an Ethernet frame are asked;",
    "* other helpers than `ftp` and `sane`, and what helpers read in the data of a connection;",
    "* Docker's userland proxy, and programs that listen: the captures of real hosts have them.",
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
    yield f"| replies sent and compared as well | {run['replies']:,} |"
    yield f"| steps of the kernel's traces | {run['steps']:,} |"
    yield f"| packets on which iptsim says that it depends | {run['open']:,} |"
    yield f"| packets to which the kernel did something else when asked again | {run['unsteady']:,} |"
    yield f"| rulesets that the tools or iptsim refused | {run['refused']:,} |"
    for kind, count in run["kinds"].items():
        yield f"| rulesets, {kind} | {count:,} |"
    yield ""
    yield "What the verdict depends on is a rate, a count of packets or connections, or chance; the kernel's way"
    yield "must be one of those that iptsim then tells."
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
    yield "`python -m tests.kernel.corpus FOLDER`: dumps that people published, each on a host with the interfaces,"
    yield "addresses and sets that its rules name."
    yield ""
    yield (
        f"**{run['packets']:,} packets over {run['dumps']:,} rulesets: {run['differences']:,} differences.** "
        f"{run['date']}, {run['kernel']}. {run['left_out']:,} further files hold nothing that"
    )
    yield "the tools take: other text, or modules, names and chains that are not there."
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
    yield "`make extension-cases`: each option of each match, and its negation, in rules of their own, on packets"
    yield "that should make it true and false; [support.md](support.md) counts them by match."
    yield ""
    yield _totals("options", options)
    yield ""
    yield "Not tried alone:"
    yield ""
    yield from _reasons(untried)
    yield ""


def _memories(memories: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Iterator[str]:
    yield "## Matches that remember"
    yield ""
    yield "`make extension-cases` as well: one rule, and packets one after the other, so that it is known what the"
    yield "kernel remembers at each. iptsim has the list of the capture, the count, or `--assume`, and its answer is"
    yield "then decided."
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
