"""The likeliest cause, if a pasted text contains the packet in question: a log line, a connection that failed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from iptsim.addresses import parse_address
from iptsim.errors import IptsimError
from iptsim.explanation import Explanation
from iptsim.explanation.pasted import icmp_meaning
from iptsim.explanation.places import place_of
from iptsim.extensions.hidden import is_gap
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.engine_errors import title_of_error
from iptsim.findings.finding import Cause, Finding, takes_port
from iptsim.findings.likelihood import by_likelihood, is_complaint, is_observed
from iptsim.findings.local_services import title_of_loopback, title_of_stopped, title_of_unpublished
from iptsim.findings.names import title_of_unresolved
from iptsim.findings.refused_elsewhere import hearing, is_unheard
from iptsim.findings.rejected_rules import only_lists, refused_commands, title_of_refused
from iptsim.findings.scene import Scene
from iptsim.findings.tool_errors import title_of_failed
from iptsim.host.logged_lines import LoggedLine
from iptsim.host.pasted import STILL_OPEN, Pasted
from iptsim.languages import Message, Text, message, message_joined, message_many, message_sentences
from iptsim.netfilter.steps import Skipped
from iptsim.owners.log_prefixes import allowed_by, logged_by
from iptsim.passages import shell
from iptsim.protocols import TCP, UDP
from iptsim.question.endpoints import Internet

#: The words of log prefixes that say that every packet is logged.
_ANY = re.compile(r"audit|seen|trace|test|debug", re.IGNORECASE)
#: The flags of TCP that tell the stage of a connection, as the kernel logs them.
_FLAGS = ("SYN", "ACK", "FIN", "RST")
#: At most this many packets are followed.
_ASKED = 20
#: At most this many rules that came close are named.
_SHOWN = 2
#: A rule that failed only because of these conditions came close.
_ADDRESSES = ("-s ", "-d ", "! -s ", "! -d ")


#: By the kind of error (:attr:`iptsim.host.pasted.Pasted.errors`).
_MEANINGS: dict[str, Message] = {
    "refused": message(
        '"Connection refused" is the answer of a machine on which nothing listens on the port at that address; a REJECT'
        " rule with tcp-reset or icmp-port-unreachable looks the same."
    ),
    "timeout": message(
        "A timeout means that the packet or its reply was dropped: by a rule that the source does not show, by another"
        " firewall on the path, or because no route leads back."
    ),
    "unreachable": message(
        '"No route to host" means that a rule rejected the packet with icmp-host-prohibited, as those of firewalld and'
        " the default ones of Red Hat do, or that no machine has the address."
    ),
}
#: The same for an address of the host itself, to which another machine or a container sends.
_OF_HOST: dict[str, Message] = {
    "refused": message(
        '"Connection refused" from an address of the host means that nothing there listens on the port at that address,'
        " perhaps only at 127.0.0.1; a REJECT rule with tcp-reset or icmp-port-unreachable looks the same."
    ),
    "timeout": message(
        "A timeout for an address of the host usually means that INPUT drops the packet, by rules that the source does"
        " not show: ufw drops what no rule allows, also from containers."
    ),
    "unreachable": message(
        '"No route to host" for an address of the host itself means that a rule of INPUT rejected the packet with'
        " icmp-host-prohibited, as those of firewalld and the default ones of Red Hat do."
    ),
}


def likeliest_cause(scene: Scene, found: Sequence[Finding]) -> Cause | None:
    """Return the likeliest cause of what a pasted text is about; None if it is about no packet and no problem.

    That is why the first packet in it that is blocked is blocked. If none is, it is a problem of the host that explains
    the packet better than what the text does not show; without a packet, the one that fits what the text complains of.

    Args:
        scene: the host, with the text.
        found: what is wrong with the host, most important first.
    """
    pasted, cause = scene.host.pasted, _of_packets(scene, found)
    if pasted is None or (cause is not None and _is_certain(cause)):
        return cause
    if any(error == STILL_OPEN for _, error in pasted.errors):
        return cause  # no problem that blocks packets explains it
    likelier = next((one for one in by_likelihood(scene, found) if _explains(scene, one, cause)), None)
    return Cause(None, meaning=likelier.title) if likelier is not None else cause


def _is_certain(cause: Cause) -> bool:
    """Return whether a cause shows why a packet is blocked, or why nothing answers it."""
    return bool(cause.guess) or cause.shown is None or cause.shown.verdict in BLOCKING or bool(cause.remedy)


def _explains(scene: Scene, finding: Finding, cause: Cause | None) -> bool:
    """Return whether a finding is a better cause than what happens to a packet that is not certainly blocked."""
    if cause is None or cause.shown is None:
        return is_complaint(scene)
    about_sender = _is_about_sender(finding, cause.shown)
    if cause.shown.verdict == "DEPENDS":
        return finding.severity == "high" or is_observed(scene, finding) or about_sender
    return about_sender


def _is_about_sender(finding: Finding, shown: Explanation) -> bool:
    """Return whether a finding is about packets that the sender of a packet sends to the outside."""
    other = finding.shown
    if (
        finding.severity not in ("high", "medium")
        or other is None
        or not isinstance(other.question.to, Internet)
    ):
        return False
    start, own = other.trace.legs[0].packet, shown.trace.legs[0].packet
    return (start.family, start.src) == (own.family, own.src)


def _of_packets(scene: Scene, found: Sequence[Finding]) -> Cause | None:
    """Return what happens to the packets in a pasted text."""
    pasted = scene.pasted
    if (local := unseen(pasted)) is not None:
        return local
    if (
        not any(one.code == "nothing-listens" for one in found)
        and (local := _loopback_only(pasted)) is not None
    ):
        return local
    if (unknown := title_of_unresolved(scene)) is not None:
        return Cause(None, meaning=unknown)
    open_: Cause | None = None
    for fields in pasted.asked[:_ASKED]:
        try:
            shown = scene.ask_fields({**fields, "verbose": True})
        except IptsimError:
            continue
        if (fields, STILL_OPEN) in pasted.errors:
            if shown.verdict not in BLOCKING:
                open_ = open_ or Cause(shown)
            continue
        logger = _logger(fields, pasted)
        if shown.verdict in BLOCKING:
            # a log line may be about any packet; commands that failed are about what the author wants
            first = "" if fields in pasted.tried else _failed_commands(scene)
            return Cause(shown, _near(shown), logger=logger, counted=_counted(scene, shown), first=first)
        for branch in shown.branches:
            if (guess := _guess(branch)) is not None:
                return Cause(branch, guess=guess, logger=logger, counted=_counted(scene, branch))
        if open_ is None:
            open_ = _not_blocked(scene, shown, fields)
            open_ = open_ and open_._replace(
                logger=logger, meaning=_between_containers(scene, shown) or open_.meaning
            )
    if (failed := _failed_commands(scene)) and (open_ is None or not open_.alone):
        return Cause(None, meaning=failed)
    if open_ is None and pasted.own_loopbacks:
        return Cause(None, meaning=title_of_loopback(pasted.own_loopbacks[0]))
    return open_


def _counted(scene: Scene, shown: Explanation) -> Text:
    """Return how many packets the rule or policy that decides has counted, or "" if the source shows none."""
    step = shown.reason.step
    if (
        step is None
        or step.chain is None
        or step.nftables is not None
        or (step.rule is None and not step.policy)
    ):
        return ""
    family, position = shown.trace.legs[0].packet.family, step.rule.position if step.rule is not None else 0
    place = place_of(step.rule) if step.rule is not None else f"{step.table} {step.chain}"
    for one in scene.pasted.grown:
        if (one.family, one.table, one.chain, one.position) == (family, step.table, step.chain, position):
            return message_many(
                "The counter of {place} grew by {count} packet between the two listings.",
                "The counter of {place} grew by {count} packets between the two listings.",
                one.packets,
                place=place,
            )
    chain = scene.table(family, step.table or "").chains.get(step.chain)
    counted = step.rule or chain
    if counted is None or counted.counters is None or not counted.counters.packets:
        return ""
    return message_many(
        "The counter of {place} shows {count} packet.",
        "The counter of {place} shows {count} packets.",
        counted.counters.packets,
        place=place,
    )


def _failed_commands(scene: Scene) -> Text:
    """Return which commands of iptables failed according to a pasted text, else which ones of other tools; or ""."""
    if refused := [one for one in refused_commands(scene) if not only_lists(one)]:
        return title_of_refused(refused)
    errors = scene.pasted.tool_errors
    same = [one for one in errors if one.tool == errors[0].tool]
    return title_of_failed(same) if same else ""


def _logger(fields: dict[str, Any], pasted: Pasted) -> Text:
    """Return which program logged a packet, and why, if its prefix tells that it blocked it; else ""."""
    logged = next((one for one in pasted.logged if one.fields == fields), None)
    if logged is None or _is_no_block(logged):
        return ""
    pairs = dict(logged.pairs)
    program = logged_by(logged.prefix, [name for key in ("IN", "OUT") if (name := pairs.get(key))])
    flags = [name for name in _FLAGS if name in logged.flags]
    if not flags or "SYN" in flags:
        allowing, search = allowed_by(pairs, logged.prefix), logged.answers_search
        return message_sentences(
            program or "",
            message(
                "It is a broadcast or multicast, which devices send to all others to announce or find something: such"
                " lines are harmless, unless this host is to answer."
            )
            if logged.is_for_all
            else message(
                "It answers a multicast search ({protocol}) from the device's own address, so conntrack does not"
                " recognize it as a reply: such lines are harmless, unless this host is to find devices.",
                protocol=search,
            )
            if search
            else "",
            message("To allow it: {command}.", command=shell(allowing)) if allowing and not search else "",
        )
    return message_sentences(
        program or "",
        message(
            "The packet ({flags}) begins no connection: no rule before accepted ESTABLISHED, or conntrack no longer"
            " knew the connection, after its end or a timeout. Then such lines are harmless.",
            flags=", ".join(flags),
        ),
    )


def _is_no_block(logged: LoggedLine) -> bool:
    """Return whether the prefix of a line says that the packet was accepted, or that every packet is logged."""
    return logged.verdict == "ACCEPT" or _ANY.search(logged.prefix) is not None


def unseen(pasted: Pasted, *, likely: bool = False) -> Cause | None:
    """Return why a connection failed that no rule of the host sees; None if there was no such connection.

    Args:
        pasted: how the text was read.
        likely: a container probably connected to its own localhost, as far as the text shows.
    """
    if pasted.unpublished:
        return Cause(None, meaning=title_of_unpublished(pasted.unpublished[0]))
    if pasted.engine_errors and not pasted.asked:
        return Cause(None, meaning=title_of_error(pasted.engine_errors[0]))
    if pasted.stopped:
        return Cause(None, meaning=title_of_stopped(pasted.stopped[0]))
    sure = next((one for one in pasted.own_loopbacks if one.sure or likely), None)
    if sure is not None:
        return Cause(None, meaning=title_of_loopback(sure))
    return None


def _loopback_only(pasted: Pasted) -> Cause | None:
    """Return that a program listens on 127.0.0.1 only, if connections to its port failed; else None."""
    tried = {one.get("dport") for one in pasted.tried if one.get("from") != "host"}
    for one in pasted.loopback_listeners:
        if one.port in tried:
            return Cause(None, meaning=message("A program listens on 127.0.0.1:{port} only.", port=one.port))
    return None


def _not_blocked(scene: Scene, shown: Explanation, fields: dict[str, Any]) -> Cause | None:
    """Return what a text shows of a packet that was blocked, but that its rules do not certainly block."""
    pasted = scene.pasted
    logged = next((one for one in pasted.logged if one.fields == fields and one.visit is None), None)
    if logged is not None and not (pasted.with_rules or pasted.tried or _is_no_block(logged)):
        return Cause(shown, meaning=_only_logged(logged), alone=True)
    unheard = is_unheard(scene, shown, fields)
    if fields not in pasted.tried and (logged is None or logged.verdict not in BLOCKING):
        return Cause(shown, remedy=hearing(scene, shown)) if unheard and pasted.complaint.fails else None
    error = pasted.error_of(fields)
    if unheard and (logged is None or fields in pasted.tried):
        return Cause(shown, remedy=hearing(scene, shown))
    says = _rejecter(scene, fields) or _meaning_of_error(error, shown, with_rules=pasted.with_rules)
    if shown.verdict == "DEPENDS":
        return Cause(shown, meaning=says)
    if not pasted.with_rules:
        return Cause(shown, meaning=says) if says else None
    if logged is None:
        return Cause(
            shown,
            meaning=message_sentences(
                message("The rules that are shown allow the connection that failed."), says
            ),
        )
    reply = {"SYN", "ACK"} <= {*logged.flags}
    return Cause(
        shown,
        meaning=message_sentences(
            message(
                "The rules that are shown accept the packet of line {line}, so the rule that logged it is not among"
                " them, or comes before them.",
                line=logged.line,
            ),
            message(
                "The packet (SYN, ACK) is a reply: no rule before it accepted ESTABLISHED, or conntrack did not know"
                " the connection."
            )
            if reply
            else "",
        ),
    )


def _rejecter(scene: Scene, fields: dict[str, Any]) -> Text:
    """Return who rejected a ping by a rule, according to the sender of the ICMP error; "" if that is not shown."""
    address = dict(scene.pasted.rejected_by).get(str(fields["to"]))
    if address is None:
        return ""
    try:
        family, number = parse_address(address)
    except ValueError:
        return ""
    if scene.host.namespace.has_address(family, number):
        return message(
            "The ICMP error came from {address}, this host: one of its rules that the source does not show rejected the"
            " packet.",
            address=address,
        )
    return message(
        "The ICMP error came from {address}: a rule there rejected the packet, not one of this host.",
        address=address,
    )


def _between_containers(scene: Scene, shown: Explanation) -> Text:
    """Return what Docker's rules do with a packet within a network with icc off, if they are not shown; else ""."""
    packet = shown.trace.legs[0].packet
    if shown.verdict != "DEPENDS" or scene.shows(packet.family, "filter", "FORWARD"):
        return ""
    return next(
        (
            message(
                "icc is off on {network}: Docker's rules for it, which are not shown, drop what its containers send to"
                " each other, except to linked ones.",
                network=network.name,
            )
            for network in scene.docker_networks()
            if not network.icc
            and network.covers(packet.family, packet.src)
            and network.covers(packet.family, packet.dst)
            and packet.dst not in network.gateways.values()
        ),
        "",
    )


def _only_logged(logged: LoggedLine) -> Message:
    """Return what a log line says of a packet where no rules are shown."""
    pairs = dict(logged.pairs)
    meaning = icmp_meaning(pairs)
    return message_sentences(
        message(
            "A rule of {hook} logged the packet of line {line}. Most firewalls log what they drop: then no rule before"
            " it accepted the packet.",
            hook=logged.hook,
            line=logged.line,
        ),
        message("The packet is {meaning}.", meaning=meaning) if meaning is not None else "",
        message(
            "The prefix calls it INVALID: conntrack knows no connection that the packet belongs to or is about, as"
            " after a timeout."
        )
        if "INVALID" in logged.prefix.upper()
        else "",
    )


def _guess(branch: Explanation) -> Text | None:
    """Return what a branch in which a rule blocks the packet is based on.

    That is one thing that the source does not show; or that the rules which it does not show leave the packet alone.
    """
    decisions, step = branch.trace.decisions, branch.reason.step
    shown = step is not None and (step.policy or step.rule is not None)
    if branch.verdict not in BLOCKING or not shown or not all(one.value for one in decisions):
        return None
    if len(decisions) == 1 and decisions[0].rule is None:
        return decisions[0].words
    rules = [one.rule for one in decisions if one.rule is not None and is_gap(one.rule.target)]
    if not rules or len(rules) < len(decisions) or (step is not None and step.rule in rules):
        return None
    places = dict.fromkeys(f"{rule.table} {rule.chain}" for rule in rules)
    return message(
        "the rules of {places} that are not shown let it continue", places=message_joined(", ", list(places))
    )


def _near(shown: Explanation) -> tuple[Skipped, ...]:
    """Return the rules that would have accepted the packet with another address, protocol, or one other interface."""
    leg = shown.trace.deciding_leg
    skipped = [*(one for step in leg.steps for one in step.skipped), *leg.skipped]
    near = [one for one in skipped if one.rule.target_name == "ACCEPT" and _is_near(one, shown)]
    return tuple({one.condition: one for one in reversed(near)}.values())[::-1][:_SHOWN]


def _is_near(skipped: Skipped, shown: Explanation) -> bool:
    """Return whether a rule does not match a packet only because of an address, one interface or the protocol."""
    elsewhere = skipped.condition.startswith(_ADDRESSES) or _has_one_other_interface(skipped, shown)
    return (elsewhere and _fits_otherwise(skipped, shown)) or _has_other_protocol(skipped, shown)


def _has_one_other_interface(skipped: Skipped, shown: Explanation) -> bool:
    """Return whether a rule names the interfaces of a forwarded packet, but one of them is another."""
    step = shown.trace.deciding_leg.deciding
    named = (skipped.rule.parameters.in_interface, skipped.rule.parameters.out_interface)
    if step is None or None in named or skipped.rule.parameters.negated & {"in_interface", "out_interface"}:
        return False
    return sum(one == other for one, other in zip(named, step.interfaces, strict=True)) == 1


def _has_other_protocol(skipped: Skipped, shown: Explanation) -> bool:
    """Return whether a rule is for the packet's port, but of TCP in place of UDP, or the other way round."""
    packet = shown.trace.deciding_leg.packet
    named = skipped.condition in ("-p tcp", "-p udp") and packet.proto in (TCP, UDP)
    return named and bool(skipped.rule.conditions_on("dport")) and takes_port(skipped.rule, packet.dport)


def _fits_otherwise(skipped: Skipped, shown: Explanation) -> bool:
    """Return whether a rule is for the packet's protocol and port, or for any."""
    packet = shown.trace.deciding_leg.packet
    right_protocol = skipped.rule.parameters.protocol in (None, packet.proto)
    return right_protocol and takes_port(skipped.rule, packet.dport)


def _meaning_of_error(kind: str, shown: Explanation, *, with_rules: bool) -> Text:
    """Return what an error tells about a packet that the rules which are shown do not block; "" if that is unknown.

    Sources: net/ipv4/icmp.c (icmp_err_convert), which error a program gets for which ICMP message;
    iptables-extensions(8), REJECT.

    Args:
        kind: the kind of error.
        shown: the packet, walked.
        with_rules: the source shows rules, not only settings.
    """
    leg = shown.trace.legs[0]
    at_host = leg.delivered is not None and leg.delivered.kind == "host" and leg.sender != "host"
    if not at_host or (kind == "timeout" and with_rules):
        return _MEANINGS.get(kind, "")
    return _OF_HOST.get(kind, "")
