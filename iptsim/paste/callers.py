"""Which built-in chains call the chains of well-known programs."""

from __future__ import annotations

from iptsim.extensions.hidden import Hidden
from iptsim.languages import message

#: Chains of well-known programs, and the built-in chains that call them if they are not shown.
#: (KUBE-SERVICES was called from INPUT, too, before Kubernetes 1.10: pkg/proxy/iptables/proxier.go.)
CALLERS: dict[tuple[str, str], tuple[str, ...]] = {
    ("filter", "DOCKER"): ("FORWARD",),
    ("filter", "DOCKER-USER"): ("FORWARD",),
    ("filter", "DOCKER-FORWARD"): ("FORWARD",),
    ("filter", "DOCKER-ISOLATION-STAGE-1"): ("FORWARD",),
    ("filter", "DOCKER-ISOLATION"): ("FORWARD",),
    ("filter", "ufw-user-input"): ("INPUT",),
    ("filter", "ufw-user-output"): ("OUTPUT",),
    ("filter", "ufw-user-forward"): ("FORWARD",),
    ("filter", "ufw-before-input"): ("INPUT",),
    ("filter", "ufw-before-forward"): ("FORWARD",),
    ("filter", "KUBE-EXTERNAL-SERVICES"): ("INPUT",),
    ("filter", "KUBE-NODEPORTS"): ("INPUT",),
    ("filter", "KUBE-FIREWALL"): ("INPUT", "OUTPUT"),
    ("filter", "KUBE-SERVICES"): ("INPUT", "FORWARD", "OUTPUT"),
    ("filter", "KUBE-FORWARD"): ("FORWARD",),
    ("filter", "LIBVIRT_INP"): ("INPUT",),
    ("filter", "LIBVIRT_FWO"): ("FORWARD",),
    ("filter", "LIBVIRT_FWI"): ("FORWARD",),
    ("filter", "ts-input"): ("INPUT",),
    ("filter", "ts-forward"): ("FORWARD",),
    ("filter", "NETAVARK_FORWARD"): ("FORWARD",),
    ("filter", "INPUT_ZONES"): ("INPUT",),
    ("filter", "INPUT_direct"): ("INPUT",),
    ("filter", "cali-INPUT"): ("INPUT",),
    ("filter", "cali-FORWARD"): ("FORWARD",),
    ("nat", "DOCKER"): ("PREROUTING",),
    ("nat", "KUBE-SERVICES"): ("PREROUTING", "OUTPUT"),
}
#: nat's DOCKER is for packets to the host alone.
_LOCAL = ("-m", "addrtype", "--dst-type", "LOCAL")
#: FORWARD jumps to DOCKER for packets to Docker's bridges, whose names may not be shown.
_TO_BRIDGES = Hidden(
    words="-o ?",
    reason=message("whether the packet goes to a bridge for which FORWARD jumps to DOCKER"),
    settle=message("iptables -L -n -v, or {command}", command="iptables-save -c"),
    place=("bridges",),
    told=message("leaving by a bridge of Docker"),
)


def conditions_of_jump(table: str, chain: str) -> tuple[tuple[str, ...], tuple[Hidden, ...]]:
    """Return the conditions of the jump to a chain: its options, and those that are not shown."""
    if chain != "DOCKER":
        return (), ()
    return (_LOCAL, ()) if table == "nat" else ((), (_TO_BRIDGES,))
