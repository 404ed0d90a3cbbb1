"""Why a packet that no rule of the host sees is accepted."""

from __future__ import annotations

from iptsim.explanation.case import Case, is_shut_in
from iptsim.explanation.codes import ReasonCode
from iptsim.explanation.reason import Reason
from iptsim.explanation.translation import source_text
from iptsim.host.model import Host
from iptsim.languages import Message, message, message_sentence, message_sentences
from iptsim.netfilter.steps import Step


def bypassed(case: Case, step: Step) -> Reason:
    """Return the reason for a packet that bypasses the host's rules, on a bridge or by the driver of its network."""
    return Reason(ReasonCode.BYPASSES_IPTABLES, _bypass_text(case, step), step, case.leg)


def _bypass_text(case: Case, step: Step) -> Message:
    if not step.switched_by:
        return message_sentence(step.note)
    switch = f"bridge-nf-call-ip{'6' if case.packet.family == 6 else ''}tables"
    text = message(
        "The bridge {bridge} passes it on like an Ethernet switch; {switch} is off, so iptables never sees it.",
        bridge=step.switched_by,
        switch=switch,
    )
    drop = case.icc_drop(step.switched_by)
    if drop is None:
        return text
    return message_sentences(
        text,
        message("So icc=false and links have no effect on it."),
        message(
            "Docker's DROP, filter {chain} rule {position}, would apply only with {switch}=1.",
            chain=drop.chain,
            position=drop.position,
            switch=switch,
        ),
    )


def unseen(case: Case) -> Reason:
    """Return the reason for a packet that no chain sees."""
    leg = case.leg
    if leg.delivered is not None and leg.delivered.kind == "container" and leg.delivered.name == leg.sender:
        return Reason(ReasonCode.INSIDE_NAMESPACE, _inside_text(case), leg=leg)
    text = message("No table has a chain that this packet passes, so no rule blocks it.")
    daemon = case.host.daemon
    if daemon is not None and daemon.iptables is False:
        text = message(
            "dockerd runs with iptables=false, so it wrote no rules, and there are no others: "
            "no rule blocks it."
        )
    return Reason(ReasonCode.NO_RULES, message_sentences(text, source_text(case)), leg=leg)


def _loopback_text(case: Case) -> Message:
    """Return that localhost in a container is not the host, and which container publishes the port there."""
    sender, port = case.leg.sender, case.packet.dport
    for other in case.host.containers.values():
        for published in other.published:
            if other.name != sender and port and published.host_port == port:
                return message(
                    "localhost in {sender} is {sender} itself, not the host, where {other} publishes port {port}. "
                    "On a network that both are on, {sender} reaches {other} by its address at port {inside}.",
                    sender=sender,
                    other=other.name,
                    port=port,
                    inside=published.container_port,
                )
    return message("localhost in {sender} is {sender} itself, not the host.", sender=sender)


def _inside_text(case: Case) -> Message:
    """Return what happens to a packet that stays in its sender's namespace, where Docker's resolver is as well."""
    sender = case.leg.sender
    if case.packet.family != 4 or case.packet.dst != 0x7F00000B:
        stays = message("The packet stays inside {sender}'s own network namespace.", sender=sender)
        if case.packet.family == 4 and case.packet.dst >> 24 == 0x7F:
            return message_sentences(stays, _loopback_text(case))
        return stays
    named = case.host.container(sender)
    if named is not None and is_shut_in(case.host, named[0]) and _keeps_queries(case.host):
        return message(
            "127.0.0.11 is Docker's own resolver, inside {sender}'s network namespace: the host's "
            "rules do not see the query. {sender} is on internal networks only, so dockerd resolves "
            "the names of containers there and forwards no query to other servers (since 26.0).",
            sender=sender,
        )
    daemon = case.host.daemon
    hosts, others = named[0].namespace.forwarders() if named is not None else ([], [])
    if not hosts and not others and named is not None:
        others = list(named[0].dns or (daemon.dns if daemon is not None else ()))
    engine = daemon.engine if daemon is not None else None
    if not hosts and not others and engine is not None and engine.asks_from_host:
        hosts = case.host.namespace.nameservers()
    if others:
        return message(
            "127.0.0.11 is Docker's own resolver, inside {sender}'s network namespace: the host's "
            "rules do not see the query. If it does not know the name, it asks {servers}. That query comes from "
            "{sender}'s own address, and the host's rules do see it: --to {server}:53 -p udp.",
            sender=sender,
            servers=", ".join(others),
            server=others[0],
        )
    if hosts:
        return message(
            "127.0.0.11 is Docker's own resolver, inside {sender}'s network namespace: the host's "
            "rules do not see the query. If it does not know the name, it asks the host's DNS servers {servers}, from "
            "the host itself.",
            sender=sender,
            servers=", ".join(hosts),
        )
    return message(
        "127.0.0.11 is Docker's own resolver, inside {sender}'s network namespace: the host's "
        "rules do not see the query. dockerd forwards it to the host's DNS servers.",
        sender=sender,
    )


def _keeps_queries(host: Host) -> bool:
    """Return whether dockerd forwards no DNS queries of internal networks."""
    engine = host.daemon.engine if host.daemon is not None else None
    return engine is not None and not engine.resolves_for_internal_networks
