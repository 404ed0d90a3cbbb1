"""The programs that write rules.

Sources of their chains' names: moby's bridge driver, ufw's ufw-init-functions, firewalld's ipXtables backend,
kube-proxy and the kubelet, Calico's Felix, CNI's portmap, libvirt's network driver and nwfilter, netavark,
fail2ban's iptables actions, ufw-docker.
"""

from __future__ import annotations

from iptsim.owners import docker
from iptsim.owners.maker import Maker

#: In the order in which a chain or rule is matched against them.
MAKERS: tuple[Maker, ...] = (
    docker.MAKER,
    Maker("ufw", r"ufw6?-.+"),
    Maker(
        "firewalld",
        r"(?:INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING|FWD[IO]|FWD|IN|PRE|POST)_.+",
    ),
    Maker("kubernetes", r"KUBE-.+"),
    Maker("calico", r"cali-.+"),
    Maker("cilium", r"(?:OLD_)?CILIUM_.+"),
    Maker("flannel", r"FLANNEL-.+"),
    Maker("cni", r"CNI-.+"),
    Maker("libvirt", r"LIBVIRT_.+|libvirt-.+|(?:FI|FO|HI|FP|I|O|J|P)-vnet.+"),
    Maker("netavark", r"NETAVARK[-_].+"),
    Maker("fail2ban", r"(?:f2b|fail2ban)-.+"),
    Maker("istio", r"ISTIO_.+"),
    Maker("miniupnpd", r"MINIUPNPD.*"),
    Maker("sshguard", r"sshguard"),
    Maker("tailscale", r"ts-.+"),
)
