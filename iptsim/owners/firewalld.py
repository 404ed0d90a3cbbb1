"""firewalld: the zone or policy of a rule, and what the zone does with everything else.

Source: firewalld's src/firewall/core/ipXtables.py and nftables.py (chains and their order) and fw_zone.py, fw_policy.py
of 0.6 to 2.x; firewalld.zones(5), firewalld.policies(5).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from iptsim.dump.rule import Rule
from iptsim.extensions.context import HOOKS
from iptsim.extensions.verdicts import BLOCKING, TRANSLATING
from iptsim.languages import Message, message
from iptsim.owners.maker import Maker, Role, Scope, option_of, port_of, single, without_comment

#: In nftables, all chains are in one table, and their names begin with that of the table of iptables.
_TABLE = r"(?:(?:raw|mangle|nat|filter)_)?"
_DISPATCH = (
    rf"{_TABLE}(?:INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING)_"
    r"(?:direct|ZONES(?:_SOURCE|_IFACE)?|(?:IN|OUT)_ZONES(?:_SOURCE|_IFACE)?|POLICIES_(?:pre|post))"
)
_STEPS = r"_(?P<step>pre|log|deny|allow|post)"
_OF_ZONE = re.compile(
    rf"(?P<base>{_TABLE}(?P<hook>IN|OUT|FWDI|FWDO|FWD|PRE|POST)_(?:policy_)?(?P<zone>.+?))(?:{_STEPS})?"
)
_BUILTIN = re.compile(rf"{_TABLE}(?P<hook>{'|'.join(HOOKS)})")
#: Chains that prove that the built-in ones are firewalld's.
_LEADS = re.compile(
    r"INPUT_(?:ZONES(?:_SOURCE)?|direct)|(?:nat|filter)_(?:INPUT|FORWARD|PREROUTING|POSTROUTING)_ZONES"
)
#: Endings of a zone's chains; at least one such chain proves that the name is a zone's or policy's.
_PROOFS = ("_allow", "_deny", "_log")
#: The zone that dockerd (since 20.10) creates for the bridges of its networks.
_DOCKERS_ZONE = "docker"


def _claims(name: str, chains: Collection[str]) -> bool:
    """Return whether a chain is a zone's or policy's: other programs use such names without the other chains."""
    found = _OF_ZONE.fullmatch(name)
    return found is not None and any(f"{found['base']}{end}" in chains for end in _PROOFS)


def _role(rule: Rule, scope: Scope) -> Role | None:
    if re.fullmatch(_DISPATCH, rule.chain):
        return _dispatch(rule)
    found = _OF_ZONE.fullmatch(rule.chain)
    if found is not None and _claims(rule.chain, scope.chains):
        policies = _policies(scope, rule.table)
        return _of_zone(rule, found["hook"], found["zone"], found["step"], found["zone"] in policies)
    if _BUILTIN.fullmatch(rule.chain) and _has_zones(scope.chains):
        return _builtin(rule)
    return None


@lru_cache(maxsize=8)
def _has_zones(chains: frozenset[str]) -> bool:
    return any(map(_LEADS.fullmatch, chains))


def _policies(scope: Scope, table: str) -> set[str]:
    """Return the names of policies: the chains of POLICIES_pre and POLICIES_post lead to theirs."""
    names = set()
    for chain in scope.chains:
        if re.fullmatch(rf"{_TABLE}[A-Z]+_POLICIES_(?:pre|post)", chain):
            for rule in scope.rules(table, chain):
                if found := _OF_ZONE.fullmatch(rule.target_name):
                    names.add(found["zone"])
    return names


def _dispatch(rule: Rule) -> Role | None:
    found = _OF_ZONE.fullmatch(rule.target_name)
    text = without_comment(rule)
    if rule.chain.endswith("_direct"):
        return Role("firewalld-direct", message("a direct rule (firewall-cmd --direct)"))
    if found is None:
        return None
    zone = found["zone"]
    if "_POLICIES_" in rule.chain:
        why = message("leads to policy {policy}", policy=zone)
        return Role("firewalld-policy", why, about={"policy": zone})
    outgoing = "OUT_ZONES" in rule.chain or found["hook"] in ("FWDO", "POST", "OUT")
    interface = option_of(text, "-o" if outgoing else "-i")
    source = option_of(text, "-d" if outgoing else "-s")
    if source:
        why = message("{source} is a source of zone {zone}", source=single(source), zone=zone)
    elif "--match-set" in text:
        why = message(
            "the addresses of ipset {name} are in zone {zone}", name=option_of(text, "--match-set"), zone=zone
        )
    elif interface and interface != "+":
        why = message("{interface} is in zone {zone}", interface=interface, zone=zone)
    else:
        why = message("{zone} is the default zone", zone=zone)
    return Role("firewalld-zone", why, about={"zone": zone})


def _of_zone(rule: Rule, hook: str, zone: str, step: str | None, is_policy: bool) -> Role | None:
    kind = (
        message("firewalld policy {name}", name=zone)
        if is_policy
        else message("firewalld zone {name}", name=zone)
    )
    text, target = without_comment(rule), rule.target_name
    about = {"policy" if is_policy else "zone": zone}
    if _OF_ZONE.fullmatch(target) or re.fullmatch(_DISPATCH, target):
        return Role("firewalld-plumbing", message("the steps of {kind}", kind=kind), about=about)
    if step in ("allow", "deny", "pre", "post", "log"):
        return Role(*_step(kind, step, text, target, hook), about=about)
    if is_policy and target in ("ACCEPT", *BLOCKING):
        why = message("the target of {kind} is {target}", kind=kind, target=target)
        return Role("firewalld-target", why, about=about)
    return Role(*_target(kind, zone, text, target, hook), about=about)


def _step(kind: Message, step: str, text: str, target: str, hook: str) -> tuple[str, Message]:
    port, source = port_of(text), option_of(text, "-s")
    if target == "LOG":
        return "firewalld-log", message("{kind} logs it (a rich rule, or log-denied)", kind=kind)
    if target in TRANSLATING:
        return "firewalld-nat", message("{kind}: masquerading or a forward-port", kind=kind)
    if target == "CT":
        return "firewalld-helper", message("{kind}: the conntrack helper of a service", kind=kind)
    if target in BLOCKING:
        if re.search(r"-p (?:icmp|ipv6-icmp)", text) and not source:
            return "firewalld-icmp-block", message("{kind} blocks this type of ICMP (icmp-block)", kind=kind)
        return "firewalld-rich-rule", message("a rich rule of {kind} blocks it", kind=kind)
    if step == "pre" or source:
        return "firewalld-rich-rule", message("a rich rule of {kind} accepts it", kind=kind)
    if target == "ACCEPT" and hook.startswith("FWD") and not port:
        return "firewalld-forward", message("{kind} forwards within the zone", kind=kind)
    if target == "ACCEPT" and port:
        return "firewalld-service", message("{kind} allows {port} (a service or port)", kind=kind, port=port)
    return "firewalld-allow", message("{kind} allows it", kind=kind)


def _target(kind: Message, zone: str, text: str, target: str, hook: str) -> tuple[str, Message]:
    """Read the rules at the end of a zone's own chain: its target."""
    if target == "ACCEPT" and re.search(r"-p (?:icmp|ipv6-icmp)", text):
        return "firewalld-icmp", message("{kind} accepts ICMP", kind=kind)
    if target == "ACCEPT" and zone == _DOCKERS_ZONE:
        return "firewalld-target", message(
            "dockerd puts its bridges into {kind}, whose target is ACCEPT", kind=kind
        )
    if target == "ACCEPT":
        return "firewalld-target", message("the target of {kind} is {target}", kind=kind, target=target)
    if target == "LOG":
        return "firewalld-log", message("{kind} logs it (a rich rule, or log-denied)", kind=kind)
    if target in BLOCKING:
        return "firewalld-target", _blocks(kind, target, forwarding=hook.startswith("FWD"))
    return "firewalld-zone", kind


def _blocks(kind: Message, target: str, *, forwarding: bool) -> Message:
    """Return why the end of a zone's chain blocks a packet."""
    if target == "DROP" and forwarding:
        return message(
            "no rule or policy allows forwarding from {kind}, and the target of the zone is DROP", kind=kind
        )
    if target == "DROP":
        return message(
            "no service, port or rule of {kind} allows it, and the target of the zone is DROP", kind=kind
        )
    if forwarding:
        return message("no rule or policy allows forwarding from {kind}", kind=kind)
    return message("no service, port or rule of {kind} allows it", kind=kind)


def _builtin(rule: Rule) -> Role | None:
    text, target = without_comment(rule), rule.target_name
    if re.fullmatch(_DISPATCH, target):
        return Role("firewalld-plumbing", message("leads to firewalld's zones, policies or direct rules"))
    if text.startswith(("-j REJECT", "-j DROP")):
        return Role("firewalld-default", message("firewalld blocks packets that no zone accepts"))
    if text == "-m conntrack --ctstate DNAT -j ACCEPT":
        return Role("firewalld-established", message("firewalld accepts connections of forward-ports (DNAT)"))
    if "--ctstate" in text and "ESTABLISHED" in text and target == "ACCEPT":
        if "DNAT" in text:
            why = message("firewalld accepts established connections and those of forward-ports (DNAT)")
        else:
            why = message("firewalld accepts packets of established connections")
        return Role("firewalld-established", why)
    if text == "-m conntrack --ctstate INVALID -j DROP":
        return Role(
            "firewalld-invalid", message("firewalld drops packets that fit no known connection (INVALID)")
        )
    if text in ("-i lo -j ACCEPT", "-o lo -j ACCEPT"):
        return Role("firewalld-loopback", message("firewalld accepts all traffic on the loopback interface"))
    return None


MAKER = Maker("firewalld", _DISPATCH, claims=_claims, role=_role)
