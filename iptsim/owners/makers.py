"""All programs that are known to write rules."""

from __future__ import annotations

from iptsim.owners import (
    blocklists,
    calico,
    cni,
    commented,
    docker,
    fail2ban,
    firewalld,
    kube_nft,
    kubernetes,
    libvirt,
    lxd,
    netavark,
    openwrt,
    shorewall,
    ufw,
    vpn,
)
from iptsim.owners.by_chain_names import NAMED
from iptsim.owners.maker import Maker

#: In the order in which a chain or rule is matched against them.
MAKERS: tuple[Maker, ...] = (
    docker.MAKER,
    ufw.MAKER,
    kubernetes.MAKER,
    kube_nft.MAKER,
    calico.MAKER,
    commented.ANTREA,
    commented.CILIUM,
    commented.FLANNEL,
    cni.MAKER,
    netavark.MAKER,
    libvirt.MAKER,
    lxd.MAKER,
    fail2ban.MAKER,
    blocklists.CROWDSEC,
    vpn.TAILSCALE,
    *NAMED,
    blocklists.CSF,
    firewalld.MAKER,
    openwrt.MAKER,
    shorewall.MAKER,
    vpn.TUNNEL,
)
