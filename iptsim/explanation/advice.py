"""How to change the verdict of a blocked packet: Docker's options, networks, sysctls."""

from __future__ import annotations

from collections.abc import Callable

from iptsim.explanation.case import Case, has_link, port_text, published_family
from iptsim.explanation.codes import ReasonCode
from iptsim.languages import Text, message
from iptsim.passages import shell


def advice_of(case: Case, code: ReasonCode) -> Text:
    """Return the usual remedy in one sentence; "" if there is none."""
    maker = _BY_CODE.get(code)
    return maker(case) if maker is not None else ""


# -- the kernel ------------------------------------------------------------------------------------


def _forwarding(case: Case) -> Text:
    name = "net.ipv4.ip_forward" if case.packet.family == 4 else "net.ipv6.conf.all.forwarding"
    return message("To let the host forward: {command}", command=shell(f"sysctl -w {name}=1"))


def _set_up(case: Case) -> Text:
    name = (case.step.interfaces[0] if case.step is not None else None) or ""
    return message("To set it up: {command}", command=shell(f"ip link set {name} up"))


def _hairpin(case: Case) -> Text:
    target = case.name(case.seen.dst)
    if case.has_proxy:
        return message(
            "Use {target}'s own address or docker-proxy, or enable hairpin mode on the bridge port.",
            target=target,
        )
    return message("Use {target}'s own address, or enable hairpin mode on the bridge port.", target=target)


# -- Docker's rules --------------------------------------------------------------------------------


def _icc(case: Case) -> Text:
    sender, target = case.sender, case.owner(case.seen.dst)
    is_linked = sender is not None and target is not None and has_link(case.host, sender, target.name)
    if is_linked and target is not None and case.seen.family == 4:
        return message(
            "To allow it: let {target} expose {what}, put both on a user-defined network, or set icc=true.",
            target=target.name,
            what=port_text(case.seen),
        )
    if not case.takes_links:
        return message("To allow it: put both on another network, or create this one with enable_icc=true.")
    return message("To allow it: put both on a user-defined network, use --link, or set icc=true.")


def _internal(case: Case) -> Text:
    into = case.step.interfaces[1] if case.step is not None else None
    if into is None or into != _bridge_of(case):
        return message("To give the container external access, connect it to a network that is not internal.")
    if case.sender is not None:
        return message("To allow it, connect the sender to that network.")
    return message(
        "To let packets in, connect {target} to a network that is not internal, and publish the port.",
        target=case.name(case.packet.dst),
    )


def _bridge_of(case: Case) -> str | None:
    """Return the bridge behind which the destination is."""
    packet = case.packet
    networks = case.host.networks.values()
    return next((network.bridge for network in networks if network.covers(packet.family, packet.dst)), None)


def _unpublished(case: Case) -> Text:
    target = case.owner(case.seen.dst)
    if target is not None and published_family(target, case.seen) is not None:
        return message("To open it, publish the port for IPv{family} as well.", family=case.packet.family)
    return message("To open it, publish the port (-p).")


def _loopback(case: Case) -> Text:
    return message("To open it to other hosts, publish it on another address of the host.")


def _direct(case: Case) -> Text:
    packet, target = case.packet, case.owner(case.packet.dst)
    if case.sender is not None:
        return _joining(case)
    port = next(
        (
            port.host_port
            for port in (target.published if target is not None else ())
            if port.host_address is None
            and (port.proto, port.container_port, port.family) == (packet.proto, packet.dport, packet.family)
        ),
        None,
    )
    if port is not None:
        return message("To reach it, use port {port} of the host: it is published there.", port=port)
    return message(
        "To allow it: publish the port and use the host's address, or set the network's gateway mode to "
        "nat-unprotected."
    )


def _joining(case: Case) -> Text:
    """Return how two networks that Docker keeps apart are joined."""
    if any(step.verdict == "DNAT" for step in case.leg.steps):
        return message(
            "To allow it: connect one of them to the other's network, or let docker-proxy forward it "
            "(userland-proxy=true)."
        )
    if case.has_proxy:
        return message(
            "To allow it: connect one of them to the other's network, or publish the port and use the host's "
            "address."
        )
    return message("To allow it, connect one of them to the other's network.")


_BY_CODE: dict[ReasonCode, Callable[[Case], Text]] = {
    ReasonCode.IP_FORWARD_OFF: _forwarding,
    ReasonCode.INTERFACE_DOWN: _set_up,
    ReasonCode.HAIRPIN_OFF: _hairpin,
    ReasonCode.ICC_DISABLED: _icc,
    ReasonCode.ISOLATED_NETWORKS: _joining,
    ReasonCode.INTERNAL_NETWORK: _internal,
    ReasonCode.UNPUBLISHED_PORT: _unpublished,
    ReasonCode.LOOPBACK_PORT: _loopback,
    ReasonCode.DIRECT_ROUTE_DROP: _direct,
}
