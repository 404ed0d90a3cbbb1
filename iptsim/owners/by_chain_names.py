"""Programs that are recognised only by the names of their chains.

Sources: arno-iptables-firewall's bin/arno-iptables-firewall, apf's files/firewall and functions, istio's
tools/istio-iptables, NetworkManager's src/core/nm-firewall-utils.c, miniupnpd's
netfilter scripts, OpenWrt's mwan3, sshguard's backends, weave's iptables.go.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from iptsim.owners.maker import Maker

_ARNO = re.compile(
    r"(?:(?:BASE|EXT|INT|DMZ|POST|LAN|INET|NAT)_)?(?:[A-Z]+_)*(?:INPUT|OUTPUT|FORWARD|PREROUTING|POSTROUTING|MULTICAST"
    r"|BROADCAST|FLOOD|FORWARD_IN|FORWARD_OUT|INPUT_DROP)_CHAIN|HOST_BLOCK_\w+|(?:RESERVED_NET|SPOOF|VALID)_CHK"
    r"|LINK_LOCAL_DROP|CONNTRACK_HELPER|UPNP_FORWARD"
)
_APF_MARKS = ("TALLOW", "TDENY")
_APF = frozenset({
    "TALLOW", "TDENY", "TGALLOW", "TGDENY", "REFRESH_TEMP", "IN_SANITY", "OUT_SANITY", "PROHIBIT", "RESET", "DEG",
    "IDENT", "LMAC", "MCAST", "P2P", "PZERO", "RABPSCAN", "SYNFLOOD", "SMTP_BLK", "SSH_LOG", "TELNET_LOG", "FRAG_UDP",
    "CC_ALLOW", "CC_DENY", "GRE_IN", "GRE_OUT",
})  # fmt: skip


def _arno(name: str, chains: Collection[str]) -> bool:
    return "VALID_CHK" in chains and "SPOOF_CHK" in chains and _ARNO.fullmatch(name) is not None


def _apf(name: str, chains: Collection[str]) -> bool:
    return all(mark in chains for mark in _APF_MARKS) and name in _APF


NAMED = (
    Maker("arno", "", claims=_arno),
    Maker("apf", "", claims=_apf),
    Maker("istio", r"ISTIO_.+"),
    Maker("weave", r"WEAVE(?:-.+)?"),
    Maker("networkmanager", r"nm-(?:sh-|mwan-).+"),
    Maker("mwan3", r"mwan3_.+"),
    Maker("miniupnpd", r"MINIUPNPD.*"),
    Maker("sshguard", r"sshguard"),
)
