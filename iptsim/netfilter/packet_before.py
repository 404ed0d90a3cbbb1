"""What is sent before the packet of a question: the first packet of an open connection, or the packet of `after`."""

from __future__ import annotations

from iptsim.connection import Connection, State
from iptsim.languages import Text, message
from iptsim.netfilter.legs import legs_of
from iptsim.netfilter.run import Run
from iptsim.netfilter.sending import send
from iptsim.protocols import SYN, TCP
from iptsim.question.tracking import ESTABLISHED, unknown_connection_mark


def open_connection(run: Run) -> None:
    """Send the first packet of an established connection, so that later ones are translated as it was.

    If the rules would block its first packet, the connection is established without translation.
    """
    packet = run.start.packet.copy()
    if packet.proto == TCP:
        packet.tcp_flags = SYN
    kernel = run.kernel
    if kernel.company is not None:
        packet = kernel.company.opening(packet)
    before = len(kernel.connections)
    leg, _ = send(run, run.start.origin, run.start.sender_name, packet, pick_source=run.start.pick_source)
    made = kernel.connections[before:]
    if leg.verdict == "ACCEPT" and made:
        for connection in made:
            connection.status |= {"SEEN_REPLY", "ASSURED"}
        return
    flow = leg.packet.flow
    connection = Connection(
        packet.family, flow, flow.reversed(), status=ESTABLISHED, mark=unknown_connection_mark()
    )
    connection.nat_done = frozenset({"src", "dst"})
    run.kernel.world.force(State("ESTABLISHED", connection))


def pass_before(run: Run, stated: State | None) -> list[Text]:
    """Send the earlier packet and follow what it causes; return what is assumed about it."""
    run.ask(run.question)
    if run.question.state == "established" and run.question.ct is None:
        open_connection(run)
    elif stated is not None:
        run.kernel.world.force(stated)
    broken = next((leg for leg in legs_of(run) if leg.verdict != "ACCEPT"), None)
    run.kernel.world.forced_state()
    if broken is None:
        return []
    return [
        message(
            "The earlier packet or its reply did not pass: {verdict}.",
            verdict=broken.verdict,
        )
    ]
