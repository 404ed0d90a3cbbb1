"""Which built-in chains call the chains of well-known programs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iptsim.dump.ruleset import Table
from iptsim.extensions.hidden import SHOW, Hidden
from iptsim.languages import message
from iptsim.paste.gap_rules import condition_not_shown

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
    ("filter", "felix-INPUT"): ("INPUT",),
    ("filter", "felix-FORWARD"): ("FORWARD",),
    ("filter", "cali-INPUT"): ("INPUT",),
    ("filter", "cali-FORWARD"): ("FORWARD",),
    ("nat", "DOCKER"): ("PREROUTING",),
    ("nat", "DOCKER-INGRESS"): ("PREROUTING", "OUTPUT"),
    ("nat", "KUBE-SERVICES"): ("PREROUTING", "OUTPUT"),
    # the last rule of KUBE-SERVICES
    ("nat", "KUBE-NODEPORTS"): ("KUBE-SERVICES",),
}
#: Chains that call others, and are called from built-in chains themselves.
_BETWEEN = {"KUBE-SERVICES": ("PREROUTING", "OUTPUT")}
#: Chains of kube-router, one per pod (pkg/controllers/netpol), which it calls for packets from and to the pod.
_OF_PODS = re.compile(r"KUBE-POD-FW-[A-Z2-7]{16}")
_POD_CALLERS = ("FORWARD", "INPUT", "OUTPUT")
#: Chains of kube-proxy for one port of a service (pkg/proxy/iptables/proxier.go).
_OF_SERVICES = re.compile(r"KUBE-(?:SVC|XLB|EXT|SVL|FW)-[A-Z2-7]{16}")
#: Further chains of filter, which get some packets, by their usual names: of fail2ban, Shorewall, OpenWrt, csf, NixOS.
_SOME: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), caller)
    for pattern, caller in (
        (r"(?:f2b|fail2ban)-\S+|sshguard|LOCALINPUT|crowdsec\S*", "INPUT"),
        (r"\w+(?:2|-)fw|zone_\S+_input|nixos-fw", "INPUT"),
        (r"fw(?:2|-)\w+|zone_\S+_output|LOCALOUTPUT", "OUTPUT"),
        (r"zone_\S+_forward", "FORWARD"),
    )
)
#: The same of nat: fw3 calls them for the packets that arrive or leave by the interfaces of a zone (zones.c).
_SOME_OF_NAT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"zone_\S+_prerouting"), "PREROUTING"),
    (re.compile(r"zone_\S+_postrouting"), "POSTROUTING"),
)
#: Where the kernel takes targets of nat, and programs call chains with them (xt_MASQUERADE.c, xt_nat.c, xt_REDIRECT.c).
_TRANSLATES = {
    "MASQUERADE": "POSTROUTING",
    "SNAT": "POSTROUTING",
    "DNAT": "PREROUTING",
    "REDIRECT": "PREROUTING",
}
#: These chains of nat are for packets to the host alone.
_LOCAL = ("-m", "addrtype", "--dst-type", "LOCAL")
#: FORWARD jumps to DOCKER for packets to Docker's bridges, whose names may not be shown.
_TO_BRIDGES = Hidden(
    words="-o ?",
    reason=message("whether the packet goes to a bridge for which FORWARD jumps to DOCKER"),
    settle=SHOW,
    place=("bridges",),
    told=message("leaving by a bridge of Docker"),
)


#: kube-router's chains for pods are called for packets from and to the pod's address, which may not be shown.
_OF_THE_POD = condition_not_shown(
    message("whether the packet is from or to the pod of the chain"), message("from or to the pod"), "pod"
)


def _of_service(chain: str) -> Hidden:
    """Return the condition of the jump to a chain for one port of a service."""
    return condition_not_shown(
        message("whether the packet is for the service of chain {chain}", chain=chain),
        message("for the service of chain {chain}", chain=chain),
        "service",
        chain,
    )


def callers(table: Table) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the chains of well-known programs in a table, and the chains that call them."""
    known = dict[str, tuple[str, ...]](_by_name(table.name, set(table.chains)))
    yield from known.items()
    for chain in table.chains.values() if table.name == "nat" else ():
        places = {_TRANSLATES.get(rule.target_name) for rule in chain.rules} - {None}
        if not chain.builtin and chain.name not in known and len(places) == 1:
            yield chain.name, tuple(str(place) for place in places)


def _by_name(table: str, names: set[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the chains of a table that have the names of well-known programs, and the chains that call them."""
    for (own, called), found in CALLERS.items():
        if own == table and called in names:
            absent = [one for one in found if one in _BETWEEN and one not in names]
            yield called, tuple(_BETWEEN[absent[0]] if absent else found)
    if table == "filter":
        for called in sorted(filter(_OF_PODS.fullmatch, names)):
            yield called, _POD_CALLERS
    some = {"filter": _SOME, "nat": _SOME_OF_NAT}.get(table, ())
    for called in sorted(names) if some else ():
        yield from ((called, (caller,)) for pattern, caller in some if pattern.fullmatch(called))
    if table == "nat" and not names & {"PREROUTING", "KUBE-SERVICES", "KUBE-NODEPORTS"}:
        for called in sorted(filter(_OF_SERVICES.fullmatch, names)):
            yield called, _BETWEEN["KUBE-SERVICES"]


def conditions_of_jump(table: str, chain: str) -> tuple[tuple[str, ...], tuple[Hidden, ...]]:
    """Return the conditions of the jump to a chain: its options, and those that are not shown."""
    if _OF_PODS.fullmatch(chain):
        return (), (_OF_THE_POD,)
    if _OF_SERVICES.fullmatch(chain):
        return (), (_of_service(chain),)
    if (table, chain) not in CALLERS:
        unknown = condition_not_shown(
            message("whether packets are sent to chain {chain}, which the source does not show", chain=chain),
            message("that are sent to chain {chain}", chain=chain),
            "sent",
            table,
            chain,
        )
        return (), (unknown,)
    if table == "nat" and chain in ("DOCKER", "DOCKER-INGRESS", "KUBE-NODEPORTS"):
        return _LOCAL, ()
    return ((), (_TO_BRIDGES,)) if chain == "DOCKER" else ((), ())
