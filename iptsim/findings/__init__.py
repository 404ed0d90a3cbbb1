"""Likely problems of a host: each analysis is a function from a scene to findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from iptsim.findings import (
    backends,
    bans,
    behind_docker,
    beside_host,
    bridges,
    bypassed_firewalls,
    chains,
    closed,
    closed_forward,
    connections,
    counters,
    direct_routing,
    docker_chains,
    docker_networks,
    docker_rules,
    docker_user,
    docker_user_ports,
    engine_errors,
    established,
    exceptions,
    exposed,
    failed_commands,
    forward_policy,
    forward_returns,
    ftp,
    host_only,
    host_services,
    host_traffic,
    interfaces,
    late_marks,
    local_services,
    masquerades,
    missing_dnat,
    misspelt,
    names,
    neighbours,
    nft_forwards,
    nft_gaps,
    nft_host,
    nft_masquerades,
    nft_shadow,
    nftables,
    open_policy,
    order,
    overlaps,
    packet_size,
    port_forwards,
    published,
    rate_limits,
    redirects,
    redundant,
    refused_elsewhere,
    refused_ports,
    rejected_rules,
    replies,
    replies_elsewhere,
    reverse_path,
    services,
    settings,
    shadow,
    source_ports,
    spoofed,
    ssh,
    stale_rules,
    swarm_ports,
    tailnets,
    tool_errors,
    translated,
    udp_services,
    ufw_chains,
    uncounted_replies,
    unrouted_proxies,
    wrong_chain,
    zones,
)
from iptsim.findings.cause import likeliest_cause
from iptsim.findings.codes import CODES
from iptsim.findings.finding import Evidence, Finding, Findings
from iptsim.findings.mended import cause_before, mended
from iptsim.findings.remedy import tried
from iptsim.findings.scene import Scene
from iptsim.host import Host
from iptsim.languages import Message, message
from iptsim.netfilter.excerpts import unseen_places
from iptsim.progress import tracked
from iptsim.sets.engines import is_compiled_installed
from iptsim.sets.limits import TooManyWaysError
from iptsim.sets.space import TooManyNodesError
from iptsim.sources import load_host

__all__ = ["ANALYSES", "AUDITS", "CODES", "Evidence", "Finding", "Findings", "codes", "lint"]

Analysis = Callable[[Scene], Iterator[Finding]]
ANALYSES: tuple[Analysis, ...] = (
    docker_rules.flushed,
    ufw_chains.flushed,
    failed_commands.dockers_failed,
    failed_commands.checks_of_docker,
    failed_commands.podmans_failed,
    docker_rules.reloaded,
    stale_rules.stale,
    stale_rules.forwarded_twice,
    exceptions.blocked_by_others,
    docker_user.asked,
    docker_chains.none_for_ipv6,
    docker_user.after_return,
    docker_user.appended,
    docker_chains.edited,
    docker_user_ports.host_ports,
    docker_user_ports.ports_after_translation,
    docker_user.replies,
    docker_user.outgoing,
    docker_chains.let_past,
    behind_docker.late,
    bypassed_firewalls.bypassed,
    bans.not_for_containers,
    published.unreachable_ports,
    host_only.blocked_ports,
    host_only.published_ports,
    host_only.blocked_outgoing,
    refused_ports.refused,
    published.loopback_ports,
    published.container_ports,
    exposed.services,
    bridges.icc_not_enforced,
    bridges.icc_unchecked,
    bridges.icc_off,
    forward_policy.cut_off,
    nftables.forwarded,
    backends.mixed,
    backends.ipv6_open,
    backends.ipv4_only,
    services.without_endpoints,
    replies.forwarded_blocked,
    forward_returns.one_direction,
    uncounted_replies.none_counted,
    replies.not_masqueraded,
    docker_networks.not_masquerading,
    connections.not_translated,
    connections.unanswered,
    replies.dropped_in_input,
    replies.dropped_in_output,
    host_services.unserved,
    host_services.closed_to_containers,
    host_traffic.output_drop,
    host_traffic.output_unsure,
    host_traffic.loopback_dropped,
    host_traffic.loopback_blocked_in_output,
    established.only,
    host_traffic.names_unresolved,
    host_traffic.drops_some,
    nft_host.blocked,
    late_marks.behind_routing,
    refused_elsewhere.unheard,
    refused_elsewhere.published_unheard,
    refused_elsewhere.by_nothing_shown,
    ssh.moved,
    redirects.from_containers,
    redirects.its_own,
    redirects.not_for_host,
    redirects.not_proxied,
    redirects.own_only,
    redirects.of_every_host,
    unrouted_proxies.unrouted,
    neighbours.discovery_blocked,
    neighbours.discovery_blocked_on_bridge,
    neighbours.discovery_logged,
    engine_errors.found,
    misspelt.quoted_commands,
    names.unresolved,
    local_services.own_loopback,
    local_services.loopback_resolver,
    local_services.unpublished,
    local_services.stopped,
    local_services.withheld,
    local_services.discarded,
    beside_host.without_parent,
    docker_networks.gateway_outside,
    beside_host.cut_off,
    local_services.loopback_only,
    local_services.published_on_loopback,
    rejected_rules.by_iptables,
    rejected_rules.rejected,
    rejected_rules.misspelt_targets,
    tool_errors.refused,
    swarm_ports.closed,
    udp_services.opened_for_tcp,
    udp_services.published_for_tcp,
    rate_limits.inverted,
    rate_limits.beyond_limit,
    rate_limits.after_first_packet,
    rate_limits.shared_list,
    bans.behind_accepted,
    bans.behind_established,
    bans.unreached,
    ssh.forwarded,
    order.behind_final_rule,
    order.behind_unshown,
    order.covered_unshown,
    order.alike_unshown,
    interfaces.not_there,
    interfaces.ports_of_bridges,
    misspelt.names,
    misspelt.variables,
    chains.uncreated,
    misspelt.unnumbered,
    misspelt.aliases,
    misspelt.words_for_all,
    misspelt.zero_addresses,
    wrong_chain.in_input,
    wrong_chain.not_for_forwarded,
    wrong_chain.beside_host,
    wrong_chain.in_output,
    zones.not_forwarded,
    zones.not_loaded,
    zones.lost_ports,
    zones.senders_elsewhere,
    port_forwards.ingress_gone,
    port_forwards.ingress_missing,
    port_forwards.untracked,
    forward_returns.lost,
    port_forwards.hairpin,
    port_forwards.not_for_host,
    port_forwards.from_inside,
    missing_dnat.missing,
    missing_dnat.not_accepted,
    translated.to_loopback,
    nft_forwards.to_loopback,
    nft_forwards.blocked,
    nft_forwards.redirects,
    nft_gaps.open_over_ipv6,
    nft_gaps.logs_only,
    nft_masquerades.not_masqueraded,
    translated.old_ports,
    translated.blocked,
    translated.redirected_ports,
    packet_size.larger_than_uplink,
    overlaps.with_other_networks,
    overlaps.covered_pools,
    overlaps.same_addresses,
    tailnets.dropped,
    settings.forwarding_off,
    settings.localnet_routed,
    settings.ipv6_without_rules,
    direct_routing.blocked,
    docker_networks.internal,
    chains.accept_all,
    chains.accepts_interface,
    chains.unused,
    chains.logs_only,
    counters.grown,
    counters.lost,
    counters.dropped,
    counters.unreached,
    chains.empty,
    backends.two_variants,
    chains.nat_empty,
    docker_networks.refused_settings,
    docker_networks.writing_no_rules,
    source_ports.trusted,
    source_ports.blocked,
    source_ports.accepted,
    masquerades.masked,
    closed.closed,
    closed.closed_by_chain,
    closed.closed_to_outside,
    names.in_rules,
    closed_forward.closed,
    masquerades.elsewhere,
    masquerades.some,
    shadow.never_matching,
    nft_shadow.never_matching,
    redundant.redundant,
    redundant.repeated_jumps,
    spoofed.gains,
    reverse_path.dropped,
    replies_elsewhere.by_tunnel,
    ftp.without_helper,
    ftp.tftp,
    bans.for_one_port,
    open_policy.blocks_nothing,
    open_policy.for_anybody,
)
#: Findings that are not problems in themselves, but belong in an audit.
AUDITS: tuple[Analysis, ...] = (exposed.inventory, spoofed.unchecked)


def lint(source: str | Path | Host, *, audit: bool = False) -> Findings:
    """Return the likely problems of a host, most important first.

    Args:
        source: a capture directory or archive, a dump file, or a loaded :class:`Host`.
        audit: also list what is open to the internet, and which interfaces accept spoofed sources.

    Raises:
        CaptureError: the source cannot be read.
        DumpSyntaxError: iptables-restore would reject a line of the dump.
        RulesetError: the rules have a loop or jump to a missing chain.
    """
    host = source if isinstance(source, Host) else load_host(source)
    scene = Scene(host)
    found = [tried(scene, finding) for finding in _found(scene, audit=audit)]
    cause, gone = likeliest_cause(scene, found), None
    if (before := host.before) is not None:
        earlier = Scene(before.host)
        was = [tried(earlier, finding) for finding in _found(earlier, audit=False)]
        gone = mended(before, was, scene, found)
        if before.asked or (gone is not None and cause is None):
            cause = cause_before(likeliest_cause(earlier, was), cause, before)
    return Findings(found, host.source, cause, unseen_places(host.rulesets.values()), gone)


def codes(host: Host, *, audit: bool = False) -> tuple[str, ...]:
    """Return the codes of what :func:`lint` finds, in its order, without trying the remedies."""
    return tuple(finding.code for finding in _found(Scene(host), audit=audit))


def _found(scene: Scene, *, audit: bool) -> list[Finding]:
    """Return the findings, most important first, with remedies that were not tried."""
    found: list[Finding] = []
    for analysis in tracked((*ANALYSES, *(AUDITS if audit else ())), "looking for mistakes"):
        try:
            found += list(analysis(scene))
        except (TooManyNodesError, TooManyWaysError) as error:
            scene.left_out.append(error)
    found += not_checked(scene)
    rank = {code: number for number, code in enumerate(CODES)}
    found.sort(key=lambda finding: (rank[finding.code], finding.family))
    return found


def not_checked(scene: Scene) -> Iterator[Finding]:
    """Report what could not be checked because the sets of packets grew too large, or divided too often."""
    reasons = list(dict.fromkeys(map(str, scene.left_out)))
    if not reasons:
        return
    source = scene.host.rulesets[scene.families[0]].source
    yield Finding(
        "not-checked",
        message("Some rules were not checked for all packets: there are too many different ones."),
        tuple(Evidence(source, reason) for reason in reasons),
        message(
            "Rules that never match, open services and spoofed sources may be missing among the findings."
        ),
        _remedy_of_left_out(scene),
        None,
        scene.families[0],
    )


def _remedy_of_left_out(scene: Scene) -> Message:
    """Return what to do about what could not be checked."""
    if all(isinstance(error, TooManyWaysError) for error in scene.left_out):
        return message(
            "iptsim reach SOURCE --from internet --open follows all branches, however long that takes."
        )
    if is_compiled_installed():
        return message("iptsim reach SOURCE --to ADDRESS checks the packets to one address or network.")
    return message("pip install 'iptsim[exact]', which allows larger sets; or check parts of the rules.")
