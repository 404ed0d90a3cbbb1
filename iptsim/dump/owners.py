"""Whose chain it is, told from its name: the programs that write rules name their chains alike."""

from __future__ import annotations

import re
from functools import lru_cache

from iptsim.dump.ruleset import BUILTIN_CHAINS, Jump, Rule

#: Owner -> how its chains are called. Sources: moby's bridge driver, ufw's ufw-init-functions,
#: firewalld's ipXtables backend, kube-proxy and the kubelet, Calico's Felix, CNI's portmap, libvirt's
#: network driver and nwfilter, netavark, fail2ban's iptables actions, ufw-docker.
_CHAINS: tuple[tuple[str, str], ...] = (
    ("docker", r"DOCKER(-.+)?"),
    ("ufw", r"ufw6?-.+"),
    ("firewalld", r"(INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING|FWD[IO]|FWD|IN|PRE|POST)_.+"),
    ("kubernetes", r"KUBE-.+"),
    ("calico", r"cali-.+"),
    ("cilium", r"(OLD_)?CILIUM_.+"),
    ("flannel", r"FLANNEL-.+"),
    ("cni", r"CNI-.+"),
    ("libvirt", r"LIBVIRT_.+|libvirt-.+|(FI|FO|HI|FP|I|O|J|P)-vnet.+"),
    ("netavark", r"NETAVARK[-_].+"),
    ("fail2ban", r"(f2b|fail2ban)-.+"),
    ("istio", r"ISTIO_.+"),
    ("miniupnpd", r"MINIUPNPD.*"),
    ("sshguard", r"sshguard"),
    ("tailscale", r"ts-.+"),
)
_BUILTIN = frozenset(name for names in BUILTIN_CHAINS.values() for name in names)


@lru_cache(maxsize=65536)
def chain_owner(name: str) -> str:
    """Return who made a chain: "kernel" for a built-in one, "user" where no known program did.

    The rules in DOCKER-USER are the user's, but the chain is Docker's.

    >>> chain_owner("DOCKER-USER"), chain_owner("ufw-user-input"), chain_owner("MY-RULES")
    ('docker', 'ufw', 'user')
    """
    if name in _BUILTIN:
        return "kernel"
    return next((owner for owner, pattern in _CHAINS if re.fullmatch(pattern, name)), "user")


def rule_owner(rule: Rule) -> str:
    """Return who wrote a rule, as far as names tell: by its chain, else by the chain it leads to."""
    if rule.chain == "DOCKER-USER":
        return "user"
    owner = chain_owner(rule.chain)
    if owner == "kernel":
        leads_to = rule.target.chain if isinstance(rule.target, Jump) else ""
        owner = chain_owner(leads_to) if leads_to else "user"
    return owner
