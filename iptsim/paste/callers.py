"""Which built-in chains call the chains of well-known programs."""

from __future__ import annotations

#: Chains of well-known programs, and the built-in chains that call them if they are not shown.
#: (KUBE-SERVICES was called from INPUT, too, before Kubernetes 1.10: pkg/proxy/iptables/proxier.go.)
CALLERS: dict[tuple[str, str], tuple[str, ...]] = {
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
    ("filter", "KUBE-FIREWALL"): ("INPUT",),
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
    ("nat", "KUBE-SERVICES"): ("PREROUTING",),
}
