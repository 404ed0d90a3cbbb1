"""The legs of a question: the request, its reply, docker-proxy's second connection, what REJECT sends back."""

from __future__ import annotations

from iptsim.addresses import address_text, endpoint_text
from iptsim.host import fib
from iptsim.host.address_regions import public_addresses
from iptsim.languages import message
from iptsim.netfilter import docker_proxy, rejections, replies
from iptsim.netfilter.ip_output import send_rejection
from iptsim.netfilter.listeners import note_listener
from iptsim.netfilter.outcome import Outcome
from iptsim.netfilter.run import Run
from iptsim.netfilter.sending import send, send_from
from iptsim.netfilter.steps import Delivery, Step
from iptsim.netfilter.trace import Leg, Sent
from iptsim.packet import Packet
from iptsim.protocols import SYN, TCP, UDP
from iptsim.question.header import DEFAULT_SPORT
from iptsim.question.places import OnHost, Outside
from iptsim.truth import Unknown


def legs_of(run: Run) -> list[Leg]:
    """Follow the request, and what it causes."""
    start, question = run.start, run.question
    run.kernel.choices.sent = Sent()
    request, outcome = send(
        run,
        start.origin,
        start.sender_name,
        start.packet,
        pick_source=start.pick_source,
    )
    note_listener(run.host, question, request)
    if run.kernel.company is not None:
        run.kernel.company.arrived(run.host, request)
    legs = [request]
    if not question.reply:
        return legs
    if request.verdict == "REJECT":
        rejection = _rejection(run, request, outcome)
        return [request, rejection] if rejection else legs
    if question.state not in (None, "new") or question.after is not None:
        return legs
    if request.verdict != "ACCEPT" or request.delivered is None:
        return legs
    reply = replies.reply_to(request.delivered.packet, listening=request.listening)
    if reply is None:
        return legs
    behind = None
    if request.listening is not False:
        behind = docker_proxy.answered_by_proxy(run.host, request.delivered, request.program)
        behind = behind or _unseen_proxy(run, request.delivered)
    if behind is None:
        legs.append(_reply(run, request, reply))
        return legs
    second = connection_of_proxy(run, behind, request.delivered.packet)
    if reply.proto == UDP:
        # docker-proxy replies to a datagram only after the container has
        if all(leg.verdict == "ACCEPT" for leg in second):
            reply_leg = _reply(run, request, reply, pick_source=_answers_from_any(run, behind))
            return [request, *second, reply_leg]
        return [request, *second]
    return [request, _reply(run, request, reply), *second]


def _answers_from_any(run: Run, behind: docker_proxy.Behind) -> bool:
    """Return whether docker-proxy replies to a datagram from the address that the route gives, not the one asked."""
    if behind.answers_from_any is not None:
        return behind.answers_from_any
    unknown = Unknown(
        message("the version of Docker: before 28, docker-proxy replies from another address"),
        message("the output of docker version"),
    )
    return run.kernel.choices.choose(unknown, "engine", message("Docker is older than 28"))


def _unseen_proxy(run: Run, delivered: Delivery) -> docker_proxy.Behind | None:
    """Follow the branches on which docker-proxy may pass a packet on, if table nat is not shown."""
    kernel = run.kernel
    rulesets = [program.ruleset for program in kernel.hooks.programs(delivered.packet.family)]
    for found in docker_proxy.unseen_proxies(run.host, rulesets, delivered):
        if kernel.choices.choose(found.unknown, "unseen", found.words):
            return found.behind
    return None


def connection_of_proxy(run: Run, behind: docker_proxy.Behind, request: Packet) -> list[Leg]:
    """Follow the connection that docker-proxy opens to a container for a packet that it received."""
    packet = Packet(
        behind.family,
        0,
        behind.address,
        behind.proto,
        sport=_port_of_proxy(run, request),
        dport=behind.port,
        tcp_flags=SYN if behind.proto == TCP else 0,
        defaults=frozenset({"sport"}),
    )
    if run.kernel.company is not None:
        packet = run.kernel.company.passed_on(request, packet)
    run.kernel.choices.sent = Sent(proxy=True)
    leg, _ = send(run, OnHost(), "docker-proxy", packet, pick_source=True)
    leg.proxy = True
    note_listener(run.host, run.question, leg)
    if run.kernel.company is not None:
        run.kernel.company.arrived(run.host, leg)
    legs = [leg]
    if leg.verdict == "ACCEPT" and leg.delivered is not None:
        reply = replies.reply_to(leg.delivered.packet, listening=leg.listening)
        if reply is not None:
            reply_leg = _reply(run, leg, reply, proxy=True)
            reply_leg.proxy = True
            legs.append(reply_leg)
    return legs


def _port_of_proxy(run: Run, request: Packet) -> int:
    """Return a source port for docker-proxy's connection that the request does not use at an address of the host.

    With the same port, replies could fit both connections; the kernel gives one of them another one
    (nf_nat_l4proto_unique_tuple).
    """
    taken = request.sport == DEFAULT_SPORT and run.host.namespace.has_address(request.family, request.src)
    return DEFAULT_SPORT + 1 if taken else DEFAULT_SPORT


def _reply(run: Run, request: Leg, packet: Packet, *, pick_source: bool = False, proxy: bool = False) -> Leg:
    """Follow the reply to a delivered packet, back to its sender."""
    run.kernel.choices.sent = Sent("reply", proxy)
    delivered = request.delivered
    assert delivered is not None
    if run.kernel.company is not None:
        packet = run.kernel.company.answering(delivered.packet, packet)
    # no other machine has an address that exists only through SNAT
    if packet.dst == request.packet.src and _passes_by(run, delivered, packet):
        leg = Leg("reply", delivered.name, packet, delivered=Delivery("outside", request.sender, packet))
    else:
        leg, _ = send_from(run, delivered, packet, pick_source)
    leg.direction = "reply"
    if leg.verdict == "ACCEPT" and leg.delivered is not None:
        if run.kernel.company is not None:
            run.kernel.company.recognised(request.packet, leg.delivered.packet)
        _check_recognised(request, leg)
    return leg


def _passes_by(run: Run, delivered: Delivery, reply: Packet) -> bool:
    """Return whether the reply goes past the host: to a machine on the same link, or behind the same router."""
    if delivered.kind != "outside" or delivered.interface is None:
        return False
    interface = run.host.namespace.interfaces.get(delivered.interface)
    if interface is None or run.host.owner_of(reply.family, reply.dst) is not None:
        return False
    on_link = any(
        address.family == reply.family and address.covers(reply.src) and address.covers(reply.dst)
        for address in interface.addresses
    )
    # on the host's own bridge its rules see the reply, and the peers of a VPN have no link but the host
    joined = interface.kind not in ("bridge", "tun", "wireguard")
    return (on_link and joined) or _share_router(run, delivered.interface, reply)


def _share_router(run: Run, interface: str, reply: Packet) -> bool:
    """Return whether one router leads to both ends of a reply: it does not send to the host what is not for it."""
    host, origin = run.host, run.start.origin
    if not isinstance(origin, Outside) or origin.interface != interface:
        return False
    there, back = (fib.lookup(host.namespace, reply.family, one) for one in (reply.src, reply.dst))
    if there.device != interface or there.route is None or there.route is not back.route:
        return False
    if there.route.prefix_length != 0 or there.others:
        return False
    public, pasted = public_addresses(host, reply.family), host.pasted
    is_shown = pasted is not None and interface in pasted.interfaces and pasted.shows_routes(reply.family)
    return is_shown or not host.inferred or (reply.src in public and reply.dst in public)


def _check_recognised(request: Leg, reply: Leg) -> None:
    """Drop a reply whose source is not the destination of the request: the sender's socket does not know it."""
    got = reply.delivered.packet if reply.delivered else reply.packet
    asked = request.packet
    if asked.src == 0 or (got.src, got.dst) != (asked.dst, asked.src) or got.sport != asked.dport:
        if got.src == asked.dst and got.dst == asked.src and None in (got.sport, asked.dport):
            return
        if got.dst != asked.src and (got.src, got.sport) == (asked.dst, asked.dport):
            note = message(
                "the reply goes to {got}, but the request came from {wanted}: its sender gets no reply",
                got=address_text(got.family, got.dst),
                wanted=address_text(asked.family, asked.src),
            )
        else:
            note = message(
                "the reply comes from {came}, but the request went to {wanted}: the sender does not recognise it",
                came=endpoint_text(got.family, got.src, got.sport),
                wanted=endpoint_text(asked.family, asked.dst, asked.dport),
            )
        reply.steps.append(Step("SOCKET", "DROP", note=note, code="reply-not-recognised"))
        reply.verdict, reply.delivered = "DROP", None


def _rejection(run: Run, request: Leg, outcome: Outcome) -> Leg | None:
    """Follow what REJECT sends back."""
    context = outcome.context
    if context is None or run.kernel.company is not None:
        return None
    packet = rejections.rejection(context, outcome.reject, run.host)
    if packet is None:
        return None
    kernel = run.kernel
    kernel.choices.sent = Sent("reply")
    kernel.begin()
    leg = Leg("reply", "host", packet.copy())
    if packet.proto == TCP and context.physical_in is not None:
        # br_netfilter sends the RST straight back out of the port: no hook sees it, so nat does not translate it
        leg.delivered = Delivery("outside", request.sender, packet)
        _check_recognised(request, leg)
        return leg
    answer = send_rejection(kernel, packet, context)
    leg.packet = kernel.passage.sent or leg.packet
    leg.steps, leg.skipped = kernel.passage.steps, kernel.passage.skipped
    leg.verdict, leg.delivered = answer.verdict, answer.delivered
    return leg
