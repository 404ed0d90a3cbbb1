"""The kernel parameters that a source does not show."""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.host.model import Host
from iptsim.host.namespace import BRIDGE_NF
from iptsim.languages import message, message_joined

_FORWARD = "net.ipv4.ip_forward"
#: The usual parameters of a host with containers.
USUAL = {
    _FORWARD: "1",
    "net.ipv6.conf.all.forwarding": "1",
    BRIDGE_NF[4]: "1",
    BRIDGE_NF[6]: "1",
}
#: Parameters of interfaces that are usually 0.
_USUALLY_OFF = ("rp_filter", "route_localnet")


def assume_parameters(host: Host, known: Iterable[str]) -> None:
    """Assume usual parameters: all of them, or those that an excerpt of sysctl leaves out.

    Args:
        host: the host.
        known: the names of the files in the capture.
    """
    if "sysctl.txt" in known:
        _other_parameters(host)
        return
    host.namespace.sysctls = {**USUAL, **host.namespace.sysctls}
    host.assumptions.append(
        message(
            "The host forwards packets (ip_forward=1) and lets iptables see bridged ones "
            "(bridge-nf-call-iptables=1); rp_filter and route_localnet are off."
        )
    )


def _other_parameters(host: Host) -> None:
    """Assume the parameters that an excerpt of sysctl leaves out; a capture shows forwarding and rp_filter."""
    shown = host.namespace.sysctls
    if not shown or (_FORWARD in shown and any(name.endswith(".rp_filter") for name in shown)):
        return
    assumed = {name: value for name, value in USUAL.items() if name not in shown}
    off = [name for name in _USUALLY_OFF if not any(one.endswith(f".{name}") for one in shown)]
    assumed |= {f"net.ipv4.conf.all.{name}": "0" for name in off}
    if assumed:
        host.namespace.sysctls = {**assumed, **shown}
        host.assumptions.append(
            message(
                "Kernel parameters that the source does not show are assumed: {parameters}.",
                parameters=message_joined(", ", (f"{name}={value}" for name, value in assumed.items())),
            )
        )
