"""Why it is so: one stable code and a few plain sentences for each way that a walk can end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from iptsim.docker.roles import Role, is_dockers, network_name, role_of
from iptsim.dump.owners import rule_owner
from iptsim.dump.ruleset import Rule
from iptsim.explanation.listening import listening_text
from iptsim.explanation.places import place_of
from iptsim.extensions.parameters import format_protocol
from iptsim.host.model import Container, Host
from iptsim.languages import joined, later, say, sentence, sentences, told
from iptsim.netfilter.conntrack import is_icmp_error
from iptsim.netfilter.question import Question
from iptsim.netfilter.trace import Leg, Step, Trace
from iptsim.packet import PORT_PROTOCOLS, Packet, address_text, parse_address, protocol_name

#: All reason codes and what they mean. `docs/reasons.md` is made from this table.
REASONS: dict[str, str] = {
    "icc-enabled": later("Both containers are on one bridge and Docker's icc rule lets them talk."),
    "link": later("icc is off, but `--link` opens this port between the two containers."),
    "outgoing": later("Docker lets the containers of this network talk to the outside."),
    "published-port": later("The port is published: Docker's DNAT rule forwards it to the container."),
    "docker-proxy": later(
        "The port is published, no DNAT rule takes the packet, and docker-proxy answers it."
    ),
    "bypasses-iptables": later("The traffic is switched below IP, where iptables does not see it."),
    "inside-namespace": later("The packet stays inside the sender's own network namespace."),
    "no-rules": later("No table of the ruleset has a chain that the packet passes."),
    "rule-accept": later("A rule accepts the packet."),
    "policy-accept": later("No rule decides, and the chains' policy is ACCEPT."),
    "icc-disabled": later("Docker keeps the containers of one bridge apart: icc is off and no link helps."),
    "isolated-networks": later("Docker keeps its networks apart."),
    "internal-network": later("The network was created with `--internal`: nothing goes in or out."),
    "direct-route-drop": later("Docker (28 on) drops packets from elsewhere to a container's own address."),
    "loopback-port": later("The port is published on the host's loopback address only."),
    "unpublished-port": later(
        "Docker (28 on) drops what comes from outside to a port that is not published."
    ),
    "policy-drop": later("No rule accepts the packet, and the chain's policy is DROP."),
    "rule-drop": later("A rule drops the packet."),
    "rule-reject": later("A rule refuses the packet and tells the sender."),
    "queued": later("A rule hands the packet to a program; the rules alone do not tell its fate."),
    "ip-forward-off": later("The host does not route between interfaces: ip_forward is 0."),
    "interface-forwarding-off": later(
        "The host does not route packets from the interface they arrive on: its forwarding is 0."
    ),
    "no-route": later("There is no route to the destination."),
    "no-source": later("The sender has no address to send from."),
    "no-neighbour": later("Nobody on the link answers for the destination address."),
    "martian": later("The kernel drops packets with such addresses by itself."),
    "rp-filter": later("Reverse path filtering: the way back to the source leaves by another interface."),
    "not-joined": later("Nobody on the host has joined the multicast group."),
    "not-for-host": later("The frame is addressed to another machine, or to all, and is not forwarded."),
    "nat-failed": later("The packet is too short to be translated."),
    "ttl-exceeded": later("The TTL has run out."),
    "too-big": later("The packet exceeds the MTU and must not be fragmented."),
    "hairpin-off": later("The packet would go back out of the bridge port that it came from."),
    "isolated-ports": later("Both bridge ports are isolated from each other."),
    "macvlan-host": later("A macvlan or ipvlan interface can't talk to the host that carries it."),
    "reply-not-recognised": later("The answer comes from another address than the sender asked."),
    "reply-dropped": later("The request arrives, but its answer does not come back."),
    "proxy-cut-off": later("docker-proxy takes the connection but can't reach the container."),
    "undecided-match": later(
        "The verdict hinges on something that neither dump, capture nor question tells."
    ),
}


#: From this version on, dockerd does not pass on questions from internal networks (CVE-2024-29018).
_KEEPS_QUESTIONS = 26


@dataclass(slots=True)
class Reason:
    """Why a packet met its fate.

    Attributes:
        code: a key of :data:`REASONS`.
        text: one or more sentences.
        step: the deciding step, None when no rule or policy decided.
        leg: the leg in which it stands.
        advice: how people usually change it, one sentence; may be empty.
    """

    code: str
    text: str
    step: Step | None = None
    leg: Leg | None = None
    advice: str = ""
    #: roles of Docker's rules that the packet met, by step number
    roles: dict[int, Role] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the reason in the trace schema."""
        out: dict[str, Any] = {"code": self.code, "text": self.text, "rule": None}
        step = self.step
        if step is not None and step.table is not None:
            out["rule"] = {"table": step.table, "chain": step.chain, "rule": None}
            if step.rule is not None:
                out["rule"].update(rule=step.rule.position, line=step.rule.line, text=step.rule.text)
            else:
                out["rule"]["policy"] = step.verdict
        if self.advice:
            out["advice"] = self.advice
        return out


@dataclass(slots=True)
class _Case:
    """What the sentences are made of."""

    host: Host
    question: Question
    trace: Trace
    leg: Leg
    step: Step | None
    role: Role | None

    @property
    def packet(self) -> Packet:
        return self.leg.packet

    @property
    def what(self) -> str:
        """Protocol and port of the request: "80/tcp"."""
        packet = self.trace.legs[0].packet
        name = "icmpv6" if packet.proto == 58 else protocol_name(packet.proto)
        return f"{packet.dport}/{name}" if packet.dport is not None else name

    def name(self, address: int) -> str:
        """Name an address's owner, or show the address."""
        owner = self.host.owner_of(self.packet.family, address)
        if isinstance(owner, tuple):
            return owner[0].name
        return say("the host") if owner == "host" else address_text(self.packet.family, address)


def reason_of(host: Host, question: Question, trace: Trace) -> Reason:
    """Find the reason of a trace's verdict."""
    if trace.verdict == "DEPENDS":
        return _depends(trace)
    leg = trace.deciding_leg
    if trace.verdict == "ACCEPT":
        reason = _accepted(host, question, trace)
        reason.text = sentences(reason.text, listening_text(host, trace))
        return reason
    step = leg.deciding
    role = role_of(step.rule, host) if step is not None and step.rule is not None else None
    case = _Case(host, question, trace, leg, step, role)
    reason = _refused(case)
    if leg is not trace.legs[0]:
        return _lost_answer(case, reason)
    return reason


# -- DEPENDS ---------------------------------------------------------------------------------------


def _depends(trace: Trace) -> Reason:
    hinges = trace.hinges
    first = hinges[0]
    rule = first.rule
    texts = []
    for hinge in hinges[:3]:
        what = told(hinge.unknown.reason)
        texts.append(say("{what} ({place})", what=what, place=place_of(hinge.rule)) if hinge.rule else what)
    on = joined("; on ", texts)
    if len(hinges) > len(texts):
        text = say("It depends on {on}, and {count} more.", on=on, count=len(hinges) - len(texts))
    else:
        text = say("It depends on {on}.", on=on)
    decide = joined(
        "; or ", dict.fromkeys(told(hinge.unknown.decide) for hinge in hinges if hinge.unknown.decide)
    )
    step = None
    if rule is not None:
        step = next((one for leg in trace.legs for one in leg.steps if one.rule is rule), None)
        step = step or Step("", "", rule.table, rule.chain, rule)
    return Reason(
        "undecided-match",
        text,
        step,
        trace.legs[0],
        say("To decide it: {decide}.", decide=decide) if decide else "",
    )


# -- ACCEPT ----------------------------------------------------------------------------------------


def _accepted(host: Host, question: Question, trace: Trace) -> Reason:
    leg = trace.legs[0]
    bypass = next((step for step in leg.steps if step.code == "bypasses-iptables"), None)
    step = _accepting(leg)
    role = role_of(step.rule, host) if step is not None and step.rule is not None else None
    case = _Case(host, question, trace, leg, step, role)
    roles = {
        index: found for index, one in enumerate(leg.steps) if one.rule and (found := role_of(one.rule, host))
    }
    forward = next((index for index, found in roles.items() if found.code == "port-forward"), None)
    if bypass is not None:
        return Reason("bypasses-iptables", _bypass_text(case, bypass), bypass, leg)
    if any(one.proxy for one in trace.legs):
        return _proxied(case, roles)
    if forward is not None and leg.delivered is not None:
        return _published(case, leg.steps[forward], roles[forward])
    if not leg.steps:
        return _unseen(case)
    if role is not None and (maker := _ACCEPTED_BY.get(role.code)):
        code, text = maker(case)
        return Reason(code, text, step, leg)
    if step is None or step.policy:
        return _by_policy(case)
    return Reason("rule-accept", _accept_text(case), step, leg)


def _accepting(leg: Leg) -> Step | None:
    """Return the step that let the packet through: the last rule of the filter table, else its policy."""
    steps = [
        step for step in leg.steps if step.verdict == "ACCEPT" and step.table == "filter" and not step.maybe
    ]
    rules = [step for step in steps if step.rule is not None]
    found = rules or steps or [step for step in leg.steps if step.verdict == "ACCEPT" and step.table]
    return found[-1] if found else None


def _is_same_bridge(case: _Case) -> bool:
    step = case.step
    return step is not None and step.interfaces[0] is not None and step.interfaces[0] == step.interfaces[1]


def _icc(case: _Case) -> tuple[str, str]:
    step = case.step
    bridge = network_name(case.host, (step.interfaces[0] if step else None) or "")
    return (
        "icc-enabled",
        say(
            "Both are on {bridge}, and containers there may talk to each other on all ports: icc is on.",
            bridge=bridge,
        ),
    )


def _outgoing(case: _Case) -> tuple[str, str]:
    if _is_same_bridge(case):
        return _icc(case)
    role = case.role
    network = role.shown if role else ""
    return "outgoing", sentences(
        say("Containers on {network} may talk to the outside.", network=network), _masquerade_text(case)
    )


def _masquerade_text(case: _Case) -> str:
    for step in case.leg.steps:
        if step.verdict in ("MASQUERADE", "SNAT") and "src" in step.changes:
            before, after = step.changes["src"]
            return say(
                "On the way out its source {before} becomes {after} ({verdict}).",
                before=before,
                after=after,
                verdict=step.verdict,
            )
    delivered = case.leg.delivered
    packet = case.packet
    inside = isinstance(case.host.owner_of(packet.family, packet.src), tuple)
    if (
        inside
        and delivered is not None
        and delivered.kind == "outside"
        and packet.src == delivered.packet.src
    ):
        source = address_text(packet.family, packet.src)
        return say(
            "No rule changes its source: the other side sees {source}, and its answer only comes "
            "back if it knows the way there.",
            source=source,
        )
    return ""


def _link(case: _Case) -> tuple[str, str]:
    packet, role = case.packet, case.role
    sender, target = case.name(packet.src), case.name(packet.dst)
    port = role.port if role else case.what
    text = say(
        "{sender} has a link to {target} (--link), which opens {port} between the two although icc is off.",
        sender=sender,
        target=target,
        port=port,
    )
    drop = _icc_drop(case, case.step.interfaces[0] if case.step else None)
    if drop is not None:
        text = sentences(
            text,
            say(
                "Its rule is asked before the one that drops, {chain} rule {position}.",
                chain=drop.chain,
                position=drop.position,
            ),
        )
    reply = next((leg for leg in case.trace.legs if leg.direction == "reply"), None)
    twin = _accepting(reply) if reply is not None else None
    if twin is not None and twin.rule is not None:
        text = sentences(
            text,
            say(
                "The answer comes back by {chain} rule {position}.",
                chain=twin.chain,
                position=twin.rule.position,
            ),
        )
    return "link", text


def _published_direct(case: _Case) -> tuple[str, str]:
    target = case.name(case.packet.dst)
    return (
        "published-port",
        say(
            "{what} of {target} is published, so Docker also lets packets to the container's own address in.",
            what=case.what,
            target=target,
        ),
    )


def _answer(case: _Case) -> tuple[str, str]:
    if is_icmp_error(case.packet):
        return "rule-accept", say("The ICMP error is about a packet of a connection that is known.")
    return "rule-accept", say("The packet belongs to a connection that is already established.")


def _routed(case: _Case) -> tuple[str, str]:
    return "rule-accept", sentence(case.role.text if case.role else "")


_ACCEPTED_BY: dict[str, Callable[[_Case], tuple[str, str]]] = {
    "icc-on": _icc,
    "outgoing": _outgoing,
    "link": _link,
    "link-answer": _link,
    "published-port": _published_direct,
    "answers": _answer,
    "routed": _routed,
}


def _published(case: _Case, forward: Step, role: Role) -> Reason:
    delivered = case.leg.delivered
    assert delivered is not None
    packet = delivered.packet
    place = _place(packet)
    name = role.container if role.container != address_text(packet.family, packet.dst) else ""
    text = say(
        "Port {port} of the host is published: it is sent on to {place}.",
        port=role.host_port, place=f"{name} {place}".lstrip(),
    )  # fmt: skip
    if any(step.hook == "FORWARD" for step in case.leg.steps):
        text = sentences(
            text,
            say(
                "It is forwarded, not delivered to the host, so {rules} are never asked.",
                rules=_input_rules(case),
            ),
        )
    text = sentences(text, _missed_by_port(case))
    if name and packet.proto in PORT_PROTOCOLS:
        address = address_text(packet.family, packet.src)
        if packet.src != case.packet.src:
            seen = say(
                "{name} sees {address}, the host's own address, as its client.", name=name, address=address
            )
        else:
            seen = say("{name} sees {address} as its client.", name=name, address=address)
        text = sentences(text, seen)
    return Reason("published-port", text, case.step if case.step and case.step.rule else forward, case.leg)


def _input_rules(case: _Case) -> str:
    """Name the rules that only see what the host itself receives."""
    owners = {rule_owner(rule): None for rule in _rules(case, "INPUT")}
    known = [owner for owner in owners if owner not in ("user", "kernel", "docker")]
    return say("the rules in INPUT ({known})", known=joined(", ", known)) if known else say("rules in INPUT")


def _missed_by_port(case: _Case) -> str:
    """Point at a rule in DOCKER-USER that names the port that was asked, which DNAT has replaced."""
    delivered, asked = case.leg.delivered, case.packet.dport
    if delivered is None or asked is None or delivered.packet.dport == asked:
        return ""
    for rule in _rules(case, "DOCKER-USER"):
        ports = [one for match in rule.matches for one in match.predicates() if one.field == "dport"]
        if any(not one.negated and one.allowed == ((asked, asked),) for one in ports):
            return say(
                "{chain} rule {position} is for port {asked}, but after DNAT the port is {dport}; "
                "--ctorigdstport looks at the port that was asked.",
                chain=rule.chain,
                position=rule.position,
                asked=asked,
                dport=delivered.packet.dport,
            )
    return ""


def _proxied(case: _Case, roles: dict[int, Role]) -> Reason:
    packet = case.packet
    second = next(leg for leg in case.trace.legs if leg.proxy)
    container = second.delivered.name if second.delivered else ""
    own = next((index for index, role in roles.items() if role.code == "own-bridge"), None)
    if own is not None:
        why = say(
            "{what} is published, but the request comes from {network} itself, so Docker's nat rule "
            "leaves it alone.",
            what=case.what,
            network=roles[own].shown,
        )
    elif packet.family == 4 and packet.dst >> 24 == 127:
        why = say("{what} is published, but Docker's nat rules leave 127.0.0.0/8 alone.", what=case.what)
    else:
        why = say("{what} is published, but no nat rule takes this packet.", what=case.what)
    source = address_text(second.packet.family, second.packet.src)
    text = sentences(
        why,
        say(
            "It ends on the host, where docker-proxy listens and opens a second connection to {container}; "
            "{container} sees {source} as its client.",
            container=container, source=source,
        ),
    )  # fmt: skip
    if case.host.inferred:
        text = sentences(
            text, say("That it runs is taken for granted: rules do not show it, `ss -ltnp` on the host does.")
        )
    return Reason("docker-proxy", text, case.step, case.leg)


def _bypass_text(case: _Case, step: Step) -> str:
    text = sentence(step.note)
    if "bridge-nf" in step.note:
        drop = _icc_drop(case, step.interfaces[0])
        text = sentences(text, say("icc=false and links have no effect on it."))
        if drop is not None:
            family = "6" if case.packet.family == 6 else ""
            text = sentences(
                text,
                say(
                    "Docker's rule against it, filter {chain} rule {position}, is there, but packets of the "
                    "bridge come to it only with bridge-nf-call-ip{family}tables=1.",
                    chain=drop.chain,
                    position=drop.position,
                    family=family,
                ),
            )
    return text


def _icc_drop(case: _Case, bridge: str | None) -> Rule | None:
    """Return Docker's rule that keeps containers of the sender's bridge apart."""
    packet = case.packet
    for chain in ("DOCKER-FORWARD", "FORWARD"):
        for rule in _rules(case, chain):
            role = role_of(rule, case.host)
            name = rule.parameters.in_interface or ""
            network = case.host.network_of_bridge(name)
            own = name == bridge or (network is not None and network.covers(packet.family, packet.dst))
            if role is not None and role.code == "icc-off" and own:
                return rule
    return None


def _engine(host: Host) -> int:
    """Return the engine's major version, 0 where nobody said."""
    version = (host.daemon.version if host.daemon is not None else None) or ""
    major = version.partition(".")[0]
    return int(major) if major.isdecimal() else 0


def _unseen(case: _Case) -> Reason:
    leg = case.leg
    if leg.delivered is not None and leg.delivered.kind == "container" and leg.delivered.name == leg.sender:
        if case.packet.family == 4 and case.packet.dst == 0x7F00000B:
            found = case.host.container(leg.sender)
            if (
                found is not None
                and _is_shut_in(case.host, found[0])
                and _engine(case.host) >= _KEEPS_QUESTIONS
            ):
                return Reason(
                    "inside-namespace",
                    say(
                        "127.0.0.11 is Docker's own resolver, inside {sender}'s network namespace: the host's "
                        "rules do not see the question. {sender} is on internal networks only, so dockerd tells "
                        "it the names of containers there, and asks no other server (since 26.0).",
                        sender=leg.sender,
                    ),
                    leg=leg,
                )
            return Reason(
                "inside-namespace",
                say(
                    "127.0.0.11 is Docker's own resolver, inside {sender}'s network namespace: the host's "
                    "rules do not see the question. dockerd passes it on to the servers that the host is set "
                    "up with.",
                    sender=leg.sender,
                ),
                leg=leg,
            )
        return Reason(
            "inside-namespace",
            say("The packet stays inside {sender}'s own network namespace.", sender=leg.sender),
            leg=leg,
        )
    text = say("The ruleset has no chain that this packet passes, so nothing stops it.")
    daemon = case.host.daemon
    if daemon is not None and daemon.iptables is False:
        text = say(
            "dockerd runs with iptables=false, so it wrote no rules, and there are no others: "
            "nothing stops it."
        )
    return Reason("no-rules", sentences(text, _masquerade_text(case)), leg=leg)


def _by_policy(case: _Case) -> Reason:
    step = case.step
    chain = f"{step.table} {step.chain}" if step is not None else ""
    met = any(one.rule is not None and one.verdict not in ("CONTINUE",) for one in case.leg.steps)
    if not chain:
        text = say("Nothing stops it.")
    elif met:
        text = say("No rule decides, and the policy of {chain} is ACCEPT.", chain=chain)
    else:
        text = say("No rule applies, and the policy of {chain} is ACCEPT.", chain=chain)
    delivered = case.leg.delivered
    if case.leg.sender == "host" and delivered is not None and delivered.kind == "container":
        if case.host.daemon is not None:
            own = say("The host sends it itself, so FORWARD, and with it icc, has no say.")
        else:
            own = say("The host sends it itself, so FORWARD has no say.")
        text = sentences(text, own)
    text = sentences(_translated_text(case), text, _elsewhere(case), _masquerade_text(case))
    return Reason("policy-accept", text, step, case.leg)


def _elsewhere(case: _Case) -> str:
    """Say that the port is published, but not as it was asked: another address, protocol or family."""
    delivered = case.leg.delivered
    if delivered is None or delivered.kind != "host" or delivered.packet.proto not in PORT_PROTOCOLS:
        return ""
    packet = delivered.packet
    published = [
        (container, port)
        for container in case.host.containers.values()
        for port in container.published
        if port.host_port == packet.dport
    ]
    for container, port in published:
        if (port.proto, port.family) != (packet.proto, packet.family):
            continue
        if port.host_address is not None and parse_address(port.host_address)[1] != packet.dst:
            asked = address_text(packet.family, packet.dst)
            return say(
                "{name}'s port is published on {host_address} only, so docker-proxy does not listen on "
                "{asked}.",
                name=container.name,
                host_address=port.host_address,
                asked=asked,
            )
    if any((port.proto, port.family) == (packet.proto, packet.family) for _, port in published):
        return ""
    for container, port in published:
        if port.proto == packet.proto:
            return say(
                "{name}'s port is published for IPv{family} only.", name=container.name, family=port.family
            )
    for container, port in published:
        if port.family == packet.family:
            return say(
                "{name}'s port is published for {published}, not for {asked}.",
                name=container.name,
                published=f"{port.host_port}/{protocol_name(port.proto)}",
                asked=case.what,
            )
    return ""


def _accept_text(case: _Case) -> str:
    step = case.step
    assert step is not None
    rule = step.rule
    assert rule is not None
    text = say("{place} accepts {packets}.", place=place_of(rule), packets=_packets(rule))
    return sentences(
        _translated_text(case), text, _own_address(case), _elsewhere(case), _masquerade_text(case)
    )


def _translated_text(case: _Case) -> str:
    """Say which rule gave the packet another destination: "nat PREROUTING rule 1 sends it to web 10.0.0.9:80."."""
    translated = [
        one for one in case.leg.steps if one.verdict in ("DNAT", "REDIRECT", "NETMAP") and one.changes
    ]
    if not translated or translated[0].rule is None:
        return ""
    if any(one.maybe for one in translated):
        return say("It is sent on, and there are several places where it may go.")
    delivered = case.leg.delivered
    moved = delivered.packet if delivered else case.packet
    place = _place(moved)
    if delivered is not None and delivered.kind == "container" and delivered.name not in place:
        place = f"{delivered.name} {place}"
    rule = translated[0].rule
    return say("{rule} sends it to {place}.", rule=place_of(rule), place=place)


def _own_address(case: _Case) -> str:
    """Say why INPUT decides of a container's packet to an address of its host."""
    packet, step = case.packet, case.step
    inside = isinstance(case.host.owner_of(packet.family, packet.src), tuple)
    asks_host = case.host.owner_of(packet.family, packet.dst) == "host"
    if step is None or step.hook != "INPUT" or not inside or not asks_host:
        return ""
    address = address_text(packet.family, packet.dst)
    others = joined(" or ", ("FORWARD", "DOCKER-USER") if case.host.daemon is not None else ("FORWARD",))
    return say(
        "{address} is the host's own address, so INPUT decides, not {others}.", address=address, others=others
    )


def _place(packet: Packet) -> str:
    """Return where a packet goes: "10.0.0.9:80", "[fd00::9]:80"."""
    address = address_text(packet.family, packet.dst)
    if packet.dport is None:
        return address
    return f"[{address}]:{packet.dport}" if packet.family == 6 else f"{address}:{packet.dport}"


def _packets(rule: Rule) -> str:
    """Say which packets a rule is for: "tcp packets from 10.0.0.9 to port 80"."""
    parameters = rule.parameters
    protocol = ""
    if parameters.protocol and "protocol" not in parameters.negated:
        protocol = format_protocol(parameters.protocol)
        parameters = parameters.model_copy(update={"protocol": None})
    phrases = (parameters.says(), *(match.says() for match in rule.matches))
    which = joined(" ", filter(None, phrases))
    if protocol and which:
        return say("{protocol} packets {which}", protocol=protocol, which=which)
    if protocol:
        return say("{protocol} packets", protocol=protocol)
    return say("packets {which}", which=which) if which else say("every packet that comes to it")


# -- DROP and REJECT -------------------------------------------------------------------------------


def _refused(case: _Case) -> Reason:
    step, leg = case.step, case.leg
    if step is None:
        return Reason("rule-drop", say("The packet is dropped."), None, leg)
    if step.table is None:
        code = step.code if step.code in REASONS else "no-route"
        text = sentences(sentence(step.note), _shut_in(case, code))
        return Reason(code, text, step, leg, told(_ADVICE.get(code, "")))
    if step.policy:
        return _policy_drop(case)
    role = case.role
    if role is not None and (maker := _REFUSED_BY.get(role.code)):
        code, text = maker(case)
        return Reason(code, text, step, leg, _advice(case, code))
    rule = step.rule
    assert rule is not None
    place = place_of(rule)
    if step.verdict == "REJECT":
        text = say("{place} refuses {packets} ({note}).", place=place, packets=_packets(rule), note=step.note)
        return Reason("rule-reject", sentences(text, _own_address(case)), step, leg)
    if step.verdict in ("QUEUE", "STOLEN"):
        text = say(
            "{place} takes {packets} away: {note}.",
            place=place, packets=_packets(rule), note=step.note or step.verdict,
        )  # fmt: skip
        return Reason("queued", text, step, leg)
    text = sentences(say("{place} drops {packets}.", place=place, packets=_packets(rule)), _own_address(case))
    if step.chain == "DOCKER-USER" and any(one.verdict == "DNAT" for one in leg.steps):
        text = sentences(
            text,
            say(
                "After DNAT it has the container's address and port; the port that was asked is what "
                "--ctorigdstport looks at."
            ),
        )
    return Reason("rule-drop", text, step, leg)


def _is_shut_in(host: Host, container: Container) -> bool:
    """Tell whether all networks of a container are internal."""
    networks = [host.networks.get(name) for name in container.endpoints]
    return bool(networks) and all(network is not None and network.internal for network in networks)


def _shut_in(case: _Case, code: str) -> str:
    """Say why a container has no route: no address of that family, or only internal networks."""
    found = case.host.container(case.leg.sender)
    if code != "no-route" or found is None:
        return ""
    container, family = found[0], case.packet.family
    names = joined(", ", container.endpoints)
    if container.address(family) is None:
        if container.address(4) is None and container.address(6) is None:
            return say("{name} has no address: it is on no network.", name=container.name)
        return say(
            "{name} has no IPv{family} address: its networks ({names}) have no IPv{family}.",
            name=container.name,
            family=family,
            names=names,
        )
    if not _is_shut_in(case.host, container):
        return ""
    return say(
        "{name} is only on {names}, created with --internal: it gets no default route.",
        name=container.name,
        names=names,
    )


def _policy_drop(case: _Case) -> Reason:
    step = case.step
    assert step is not None
    text = sentences(
        say(
            "No rule lets it through, so the policy of {table} {chain} decides: DROP.",
            table=step.table, chain=step.chain,
        ),
        _own_address(case),
    )  # fmt: skip
    advice = ""
    if step.backend and any(
        one.verdict == "ACCEPT" and one.hook == step.hook and one.backend != step.backend
        for one in case.leg.steps
    ):
        text = say(
            "This host has rules of iptables-nft and of iptables-legacy, and a packet passes both: "
            "one accepts it, but no rule of the other does, so its policy of {table} {chain} "
            "decides: DROP.",
            table=step.table,
            chain=step.chain,
        )
    elif step.table == "filter" and step.chain == "FORWARD":
        out = step.interfaces[1]
        docker = any(is_dockers(rule) for rule in _rules(case, "FORWARD"))
        if docker and (case.host.daemon is None or case.host.daemon.iptables is not False):
            text = sentences(text, say("Docker sets this policy when it switches ip_forward on."))
        where = joined(" or ", ("DOCKER-USER", "FORWARD") if docker else ("FORWARD",))
        advice = (
            say("A rule in {where} that accepts it would let it through to {out}.", where=where, out=out)
            if out
            else ""
        )
    return Reason("policy-drop", text, step, case.leg, advice)


def _rules(case: _Case, chain: str) -> list[Rule]:
    family = case.packet.family
    ruleset = case.host.rulesets.get(family)
    found = ruleset.chain("filter", chain) if ruleset else None
    return found.rules if found else []


def _icc_off(case: _Case) -> tuple[str, str]:
    packet, step = case.packet, case.step
    bridge = network_name(case.host, (step.interfaces[0] if step else None) or "")
    sender, target = case.name(packet.src), case.name(packet.dst)
    found = case.host.container(sender)
    link = _link_to(case.host, found[0], target) if found else False
    if link:
        text = say(
            "Containers on {bridge} may not talk to each other: icc is off, "
            "and {sender}'s link to {target} does not open {what}.",
            bridge=bridge, sender=sender, target=target, what=case.what,
        )  # fmt: skip
    else:
        text = say(
            "Containers on {bridge} may not talk to each other: icc is off, and {sender} has no link to {target}.",
            bridge=bridge, sender=sender, target=target,
        )  # fmt: skip
    return "icc-disabled", text


def _link_to(host: Host, container: Container, target: str) -> bool:
    for link in container.links:
        found = host.container(link.target)
        if link.target == target or (found is not None and found[0].name == target):
            return True
    return False


def _isolated(case: _Case) -> tuple[str, str]:
    step = case.step
    one, other = (network_name(case.host, name or "") for name in (step.interfaces if step else (None, None)))
    return "isolated-networks", say(
        "{one} and {other} are two networks of Docker, and Docker keeps them apart.", one=one, other=other
    )


def _internal(case: _Case) -> tuple[str, str]:
    network = case.role.shown if case.role else ""
    return "internal-network", say(
        "{network} was created with --internal: nothing goes in or out of it.", network=network
    )


def _direct(case: _Case) -> tuple[str, str]:
    role = case.role
    assert role is not None
    address = address_text(case.packet.family, case.packet.dst)
    step = case.step
    came = step.interfaces[0] if step else ""
    return (
        "direct-route-drop",
        say(
            "{address} is {container}'s own address on {network}. Docker lets only {network} itself send "
            "to it; this packet comes in on {came} and is dropped in the raw table, before any other "
            "rule.",
            address=address,
            container=role.container,
            network=role.shown,
            came=came,
        ),
    )


def _loopback_port(case: _Case) -> tuple[str, str]:
    return (
        "loopback-port",
        say(
            "{what} is published on 127.0.0.1 only, and this packet does not come from the host.",
            what=case.what,
        ),
    )


def _unpublished(case: _Case) -> tuple[str, str]:
    role = case.role
    network = role.shown if role else ""
    target = case.name(case.leg.packet.dst)
    return (
        "unpublished-port",
        say(
            "{what} of {target} is not published, so it stays closed to everybody outside {network}.",
            what=case.what,
            target=target,
            network=network,
        ),
    )


_REFUSED_BY: dict[str, Callable[[_Case], tuple[str, str]]] = {
    "icc-off": _icc_off,
    "isolation": _isolated,
    "internal": _internal,
    "direct-routing": _direct,
    "loopback-port": _loopback_port,
    "unpublished": _unpublished,
}

_ADVICE = {
    "icc-disabled": later("A network of their own for both, --link, or icc=true would let it through."),
    "isolated-networks": later(
        "Connect one of them to the other's network, or publish the port and ask the host's address."
    ),
    "internal-network": later("A second network that is not internal would give the container a way out."),
    "direct-route-drop": later(
        "Publish the port and ask the host's address, or set the network's gateway mode to routed."
    ),
    "unpublished-port": later("Publish the port (-p) to open it."),
    "loopback-port": later("Publish it without 127.0.0.1 to open it to other hosts."),
    "ip-forward-off": later("sysctl -w net.ipv4.ip_forward=1 lets the host route."),
    "hairpin-off": later("Ask the container's own address, or use docker-proxy or hairpin mode."),
    "rp-filter": later("rp_filter=2 (loose) or 0 on the interface lets it in."),
}


def _advice(case: _Case, code: str) -> str:
    """Return how people usually change what one of Docker's rules refuses."""
    if code == "isolated-networks" and any(one.verdict == "DNAT" for one in case.leg.steps):
        return say(
            "Connect one of them to the other's network, or let docker-proxy carry it (userland-proxy=true)."
        )
    into = case.step.interfaces[1] if case.step is not None else None
    sends = isinstance(case.host.owner_of(case.packet.family, case.packet.src), tuple)
    if code == "internal-network" and sends and into and into == _bridge_of(case, case.packet.dst):
        return say("Connect the sender to that network to let it in.")
    return told(_ADVICE.get(code, ""))


def _bridge_of(case: _Case, address: int) -> str | None:
    """Return the bridge behind which an address is."""
    family = case.packet.family
    return next((one.bridge for one in case.host.networks.values() if one.covers(family, address)), None)


def _is_bare(host: Host, request: Leg) -> bool:
    """Tell whether a container's packet left the host with the container's own address."""
    delivered, packet = request.delivered, request.packet
    outside = delivered is not None and delivered.kind == "outside" and delivered.packet.src == packet.src
    return outside and isinstance(host.owner_of(packet.family, packet.src), tuple)


def _lost_answer(case: _Case, cause: Reason) -> Reason:
    leg = case.leg
    if leg.proxy and leg.direction == "original":
        text = sentences(
            say("docker-proxy takes the connection, but its own connection to the container fails."),
            cause.text,
        )
        return Reason("proxy-cut-off", text, cause.step, leg, cause.advice)
    text = sentences(say("The request arrives, but its answer is lost on the way back."), cause.text)
    request = case.trace.legs[0]
    if leg.direction == "reply" and not leg.proxy and _is_bare(case.host, request):
        source = address_text(request.packet.family, request.packet.src)
        text = sentences(
            say(
                "The request arrives, but its answer is lost on the way back: no rule gave the request "
                "the host's address, so the answer comes to {source} itself.",
                source=source,
            ),
            cause.text,
        )
        cause.advice = say("MASQUERADE for the network (--ip-masq) would bring the answer back.")
    code = cause.code if cause.code == "reply-not-recognised" else "reply-dropped"
    return Reason(code, text, cause.step, leg, cause.advice)
