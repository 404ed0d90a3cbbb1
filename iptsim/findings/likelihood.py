"""Which findings fit what a pasted text complains of: the likeliest cause of it is the first of them."""

from __future__ import annotations

from collections.abc import Sequence

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.finding import Finding
from iptsim.findings.scene import Scene
from iptsim.owners.docker import is_dockers


def is_complaint(scene: Scene) -> bool:
    """Return whether the text of a host says that something is wrong."""
    complaint = scene.pasted.complaint
    return complaint.fails or complaint.allowed


def by_likelihood(scene: Scene, found: Sequence[Finding]) -> list[Finding]:
    """Return those findings that explain what a text complains of, the likeliest first.

    First are those that it is about, and that its counters do not contradict. Of these, the serious ones precede what
    the text shows to have failed, and that precedes all else.

    Args:
        scene: the host.
        found: its findings, most important first.
    """
    complaint = scene.pasted.complaint
    only_fails = complaint.fails and not complaint.allowed
    causes = [
        one
        for one in found
        if one.kind.explains not in (("access", "nothing") if only_fails else ("nothing",))
        and _is_about_senders(scene, one)
        and _has_effect(scene, one)
    ]
    return sorted(
        causes,
        key=lambda one: (
            not _fits(scene, one),
            _has_blocked_nothing(scene, one),
            one.severity not in ("critical", "high"),
            not is_observed(scene, one),
        ),
    )


def is_observed(scene: Scene, finding: Finding) -> bool:
    """Return whether a finding shows how something failed, or that what it is about has blocked packets.

    What INPUT blocks need not be what the text is about, as strangers send packets to every host.
    """
    blocks = _blocks(finding)
    if blocks is None or blocks.counters is None or not blocks.counters.packets:
        return finding.kind.observed
    if isinstance(blocks, Chain):
        return blocks.name != "INPUT"
    return "INPUT" not in scene.hooks(finding.family, blocks.table).get(blocks.chain, ())


def _fits(scene: Scene, finding: Finding) -> bool:
    """Return whether a finding is about what the text of a host complains of."""
    return finding.kind.explains == "access" or not _is_of_allowed(scene)


def _is_of_allowed(scene: Scene) -> bool:
    """Return whether a text complains only of what is allowed."""
    complaint = scene.pasted.complaint
    return complaint.allowed and not complaint.fails


def _is_about_senders(scene: Scene, finding: Finding) -> bool:
    """Return whether a finding is about packets of those who fail to connect, according to the text.

    Machines behind the host connect to its ports like others. Where a text names no one, only serious findings are, and
    those about others. What has blocked packets may be about anybody.
    """
    complaint = scene.pasted.complaint
    if finding.kind.forwarding and not (complaint.forwarded or _forwards(scene)):
        return False
    sender = finding.kind.sender
    blocks = _blocks(finding)
    if finding.code == "forward-drop" and isinstance(blocks, Chain) and any(map(is_dockers, blocks.rules)):
        sender = "guests"  # Docker's rules accept what is forwarded for its containers
    if not sender:
        return True
    if _is_of_allowed(scene):
        return False
    named = complaint.senders | ({"outside"} if "guests" in complaint.senders else set())
    if sender in named or is_observed(scene, finding):
        return True
    if finding.kind.seldom:
        return False
    return not named and (sender == "outside" or finding.severity in ("critical", "high"))


def _has_effect(scene: Scene, finding: Finding) -> bool:
    """Return whether a rule that never matches would treat packets as the text wants."""
    rules = [one.rule for one in finding.evidence if one.rule is not None]
    if finding.code != "never-matches" or not rules:
        return True
    dead = rules[-1].target_name
    if len(rules) > 1 and all(rule.target_name == dead for rule in rules):
        return False
    return scene.pasted.complaint.allowed if dead in BLOCKING else not _is_of_allowed(scene)


def _forwards(scene: Scene) -> bool:
    """Return whether a host forwards packets: it has containers, or translates addresses."""
    tables = (scene.table(family, "nat") for family in scene.families)
    return scene.concerns_containers or any(chain.rules for nat in tables for chain in nat.chains.values())


def _has_blocked_nothing(scene: Scene, finding: Finding) -> bool:
    """Return whether the rule or policy that blocks, according to a finding, has counted no packet, but others have.

    If it should block but does not, that it counts none confirms the finding.
    """
    blocks = _blocks(finding) if finding.kind.explains != "access" else None
    counters = blocks.counters if blocks is not None else None
    return counters is not None and not counters.packets and _counts(scene, finding.family)


def _blocks(finding: Finding) -> Rule | Chain | None:
    """Return the rule or policy that blocks packets, according to a finding: its first evidence; else None."""
    first = next(iter(finding.evidence), None)
    if first is None:
        return None
    if first.rule is not None:
        return first.rule if first.rule.target_name in BLOCKING else None
    return first.chain if first.chain is not None and first.chain.policy in BLOCKING else None


def _counts(scene: Scene, family: Family) -> bool:
    """Return whether any rule or policy of a family has counted packets."""
    chains = [
        chain for table in scene.host.rulesets[family].tables.values() for chain in table.chains.values()
    ]
    counters = [one.counters for one in chains]
    counters += [rule.counters for chain in chains for rule in chain.rules]
    return any(one is not None and one.packets for one in counters)
