"""Base chains of nftables on hosts without tables of iptables: which of them blocks a packet, and their commands."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.explanation import Explanation
from iptsim.findings.finding import blocked_at
from iptsim.findings.scene import Scene
from iptsim.host.nft_chains import NftChain
from iptsim.host.nft_rulesets import ruleset_of
from iptsim.netfilter.steps import Step


def has_only_nftables(scene: Scene, family: Family) -> bool:
    """Return whether the source shows nftables and, as that lists everything, no table of iptables."""
    return scene.host.namespace.nftables is not None and not scene.host.rulesets[family].tables


def blocked_by_chain(shown: Explanation | None, hook: str) -> Step | None:
    """Return the step of a hook at which a base chain of nftables blocks a packet; None if nothing does there."""
    step = blocked_at(shown, hook) if shown is not None else None
    return step if step is not None and step.table is not None and step.table not in BUILTIN_CHAINS else None


def name_of(step: Step) -> str:
    """Return the chain of a step as nft(8) names it: "inet fw input"."""
    return f"{step.table} {step.chain}"


def inserting(step: Step, rule: str) -> str:
    """Return the command that lets packets pass before the rule or the policy that blocks them.

    Args:
        step: where they are blocked.
        rule: the rule, as nft(8) has it.
    """
    verb = "insert" if step.rule is not None else "add"
    return f"nft {verb} rule {name_of(step)} {rule}"


def chains_of(scene: Scene, family: Family, hook: str) -> Iterator[tuple[NftChain, list[Rule]]]:
    """Yield the base chains of a hook whose rules can be evaluated, with all rules that they lead to."""
    for chain in scene.base_chains:
        found = ruleset_of(chain, family) if chain.hook == hook else None
        if found is not None:
            yield chain, list(found.rules())


def handle_of(base: NftChain, rule: Rule) -> str:
    """Return the handle of a rule, for commands: "HANDLE" if the source does not show it.

    Args:
        base: the base chain that leads to the rule.
        rule: the rule.
    """
    listed = base.listing.rules.get((rule.chain, rule.position))
    return str(listed.handle) if listed is not None and listed.handle is not None else "HANDLE"
