"""What a long run of the fuzzer leaves behind: `docs/verification.md`, and counts for `docs/support.md`."""

from __future__ import annotations

import json
import platform
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from iptsim.extensions.support import support_table

if TYPE_CHECKING:
    from tests.kernel.fuzz import Report

_DOCS = Path(__file__).resolve().parents[2] / "docs"
DOCUMENT, COUNTS = _DOCS / "verification.md", _DOCS / "kernel-verified.json"
#: Packets from which on a run is told in the document.
WORTH_TELLING = 20_000
_VERDICTS = {
    "ACCEPT": "it was delivered, or it left",
    "DROP": "a rule or a policy dropped it",
    "REJECT": "a rule rejected it; what the kernel sent back was compared too",
    "LOST": "the kernel let it go without a rule: routing, martians, bridges, fragments that wait",
    "QUEUE": "it went to a program",
    "STOLEN": "a target took it",
}


class Run(NamedTuple):
    """Circumstances of a run."""

    seed: str
    seconds: float


def document(report: Report, run: Run) -> str:
    """Return the document that tells of a run."""
    found = len(report.found)
    lines = [
        "# Verification against the kernel",
        "",
        "Written by `make fuzz N=20000`: random rulesets are loaded into a Linux kernel, random packets at the",
        "boundaries of their rules are sent through it, and iptsim must say the same: every rule that matched,",
        "in order, with its verdict, the packet as it arrived after NAT, and what REJECT sent back.",
        "",
        f"**{report.packets:,} packets over {report.rulesets:,} rulesets: {found:,} differences.**",
        "",
        "| | |",
        "|---|---|",
        f"| date | {datetime.now(UTC):%Y-%m-%d %H:%M} UTC |",
        f"| kernel | {platform.system()} {platform.release()} |",
        f"| iptables | {_version('iptables-nft')}, {_version('iptables-legacy')} |",
        f"| seed | `{run.seed}` |",
        f"| time | {run.seconds / 60:.0f} minutes |",
        f"| replies sent and compared as well | {report.replies:,} |",
        f"| steps of the kernel's traces | {report.steps:,} |",
        f"| packets on which iptsim says that it depends | {report.open:,} |",
        f"| packets to which the kernel did something else when asked again | {len(report.unsteady):,} |",
        f"| rulesets that the tools or iptsim refused | {sum(report.refused.values()):,} |",
        *(f"| rulesets, {kind} | {count:,} |" for kind, count in sorted(report.kinds.items())),
        "",
        "What the verdict depends on is a rate, a count of packets or connections, or chance; the kernel's way",
        "must be one of those that iptsim then tells.",
        "",
        "## Verdicts of the kernel",
        "",
        "| verdict | packets | meaning |",
        "|---|---|---|",
        *(f"| {name} | {count:,} | {_VERDICTS[name]} |" for name, count in report.verdicts.most_common()),
        "",
        "## Extensions",
        "",
        "How often a rule with the extension matched; the same extensions, option by option and alone in a rule,",
        "are counted in [support.md](support.md).",
    ]
    for title, kind in (("Matches", "-m "), ("Targets", "-j ")):
        lines += ["", f"### {title}", "", "| name | matched |", "|---|---|"]
        lines += [f"| `{name}` | {count:,} |" for name, count in _of(report.matched, kind)]
    return "".join(f"{line}\n" for line in lines)


def _of(matched: Counter[str], kind: str) -> list[tuple[str, int]]:
    """Return the extensions of a kind, by name."""
    return sorted(
        (name.removeprefix(kind), count) for name, count in matched.items() if name.startswith(kind)
    )


def _version(tool: str) -> str:
    return subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def store_counts(**parts: Any) -> None:
    """Replace parts of the counts, leave the others, and write the table that shows them."""
    known = json.loads(COUNTS.read_text("utf-8")) if COUNTS.exists() else {}
    COUNTS.write_text(json.dumps({**known, **parts}, indent=1, sort_keys=True) + "\n", "utf-8")
    (_DOCS / "support.md").write_text(support_table(), "utf-8")
