"""Likely problems of a host: each analysis is a function from a scene to findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from iptsim.findings import (
    backends,
    bridges,
    chains,
    connections,
    counters,
    direct_routing,
    docker_rules,
    docker_user,
    forward_policy,
    host_traffic,
    port_forwards,
    published,
    redundant,
    replies,
    settings,
    shadow,
)
from iptsim.findings.cause import likeliest_cause
from iptsim.findings.finding import CODES, Evidence, Finding, Findings
from iptsim.findings.remedy import tried
from iptsim.findings.scene import Scene
from iptsim.host import Host
from iptsim.progress import tracked
from iptsim.sources import load_host

__all__ = ["ANALYSES", "CODES", "Evidence", "Finding", "Findings", "lint"]

Analysis = Callable[[Scene], Iterator[Finding]]
ANALYSES: tuple[Analysis, ...] = (
    docker_rules.flushed,
    docker_rules.stale,
    docker_user.asked,
    docker_user.after_return,
    docker_user.host_ports,
    docker_user.ports_after_translation,
    docker_user.replies,
    published.firewall_bypassed,
    published.unreachable_ports,
    published.loopback_ports,
    published.container_ports,
    bridges.icc_not_enforced,
    forward_policy.cut_off,
    backends.mixed,
    backends.ipv6_open,
    replies.none_counted,
    replies.not_masqueraded,
    connections.not_translated,
    replies.dropped_in_input,
    host_traffic.output_drop,
    host_traffic.redirected,
    port_forwards.ingress_gone,
    port_forwards.untracked,
    port_forwards.hairpin,
    port_forwards.not_for_host,
    settings.forwarding_off,
    settings.localnet_routed,
    settings.ipv6_without_rules,
    direct_routing.blocked,
    chains.accept_all,
    chains.unused,
    chains.logs_only,
    counters.grown,
    chains.empty,
    shadow.never_matching,
    redundant.redundant,
)


def lint(source: str | Path | Host) -> Findings:
    """Return the likely problems of a host, most important first.

    Args:
        source: a capture directory or archive, a dump file, or a loaded :class:`Host`.

    Raises:
        CaptureError: the source cannot be read.
        DumpSyntaxError: iptables-restore would reject a line of the dump.
        RulesetError: the rules have a loop or jump to a missing chain.
    """
    host = source if isinstance(source, Host) else load_host(source)
    scene = Scene(host)
    found = [
        tried(scene, finding)
        for analysis in tracked(ANALYSES, "looking for mistakes")
        for finding in analysis(scene)
    ]
    rank = {code: number for number, code in enumerate(CODES)}
    found.sort(key=lambda finding: (rank[finding.code], finding.family))
    return Findings(found, host.source, likeliest_cause(scene))
