"""libvirt: the virtual network of a rule, by its bridge, and what its forward mode allows.

Source: libvirt's src/network/network_iptables.c (chains LIBVIRT_* since 5.1; before, rules in the built-in
chains), and nwfilter's src/nwfilter/nwfilter_ebiptables_driver.c (FI-, FO-, HI- of guests' interfaces).
"""

from __future__ import annotations

import re

from iptsim.dump.rule import Rule
from iptsim.languages import Message, message
from iptsim.owners.maker import Maker, Role, Scope, option_of, port_of, without_comment

_CHAINS = r"LIBVIRT_.+|libvirt-.+|(?:FI|FO|HI|FP|HP|I|O|J|P)-(?:vnet|macvtap).+"
_BRIDGE = re.compile(r"virbr[0-9]+")
_SERVICES = {"53": "DNS", "67": "DHCP", "68": "DHCP", "547": "DHCPv6", "69": "TFTP"}
_JUMPS = {
    "LIBVIRT_INP": message("leads to the DNS and DHCP rules for guests"),
    "LIBVIRT_OUT": message("leads to the DNS and DHCP rules for guests"),
    "LIBVIRT_FWX": message("leads to the rules for traffic between guests of one network"),
    "LIBVIRT_FWI": message("leads to the rules for traffic into virtual networks"),
    "LIBVIRT_FWO": message("leads to the rules for traffic out of virtual networks"),
    "LIBVIRT_PRT": message("leads to the NAT of virtual networks"),
}


def _role(rule: Rule, scope: Scope) -> Role | None:
    text, target = without_comment(rule), rule.target_name
    if target in _JUMPS:
        return Role("libvirt-plumbing", _JUMPS[target])
    into, out_of = option_of(text, "-o"), option_of(text, "-i")
    own = rule.chain.startswith("LIBVIRT_")
    if not own and not any(_BRIDGE.fullmatch(name) for name in (into, out_of)):
        filtered = re.fullmatch(r"(?:FI|FO|HI)-((?:vnet|macvtap).+)", rule.chain)
        if filtered is None:
            return None
        why = message("nwfilter of the guest's interface {interface}", interface=filtered[1])
        return Role("libvirt-nwfilter", why)
    if rule.table == "nat" and own:
        return _nat(text, target)
    if not own and not _was_written(rule, text):
        return None
    found = _of_network(rule, text, scope, into, out_of)
    bridge = out_of or into
    return Role(*found, about={"bridge": bridge}) if found is not None else None


def _was_written(rule: Rule, text: str) -> bool:
    """Return whether a rule of a built-in chain has a form in which libvirt wrote it there until 5.0."""
    ports = port_of(text).partition("/")[0]
    if rule.chain in ("INPUT", "OUTPUT"):
        return ports in _SERVICES
    return rule.chain == "FORWARD" and not ports and "/32" not in text


def _nat(text: str, target: str) -> Role:
    subnet = option_of(text, "-s")
    if target == "RETURN":
        return Role(
            "libvirt-nat", message("leaves multicasts and broadcasts of {subnet} unchanged", subnet=subnet)
        )
    return Role("libvirt-nat", message("masquerades guests on {subnet}", subnet=subnet))


def _of_network(rule: Rule, text: str, scope: Scope, into: str, out_of: str) -> tuple[str, Message] | None:
    target = rule.target_name
    if target == "CHECKSUM":
        return "libvirt-checksum", message(
            "fills in the checksums of DHCP replies to guests on {bridge}", bridge=into
        )
    port = port_of(text).partition("/")[0]
    if (
        port in _SERVICES
        and target == "ACCEPT"
        and rule.chain not in ("FORWARD", "LIBVIRT_FWI", "LIBVIRT_FWO")
    ):
        why = message("{service} for guests on {bridge}", service=_SERVICES[port], bridge=out_of or into)
        return "libvirt-service", why
    if into and into == out_of:
        return "libvirt-guests", message("guests on {bridge} may connect to each other", bridge=into)
    if target == "ACCEPT" and out_of:
        return "libvirt-outgoing", message("guests on {bridge} may connect to the outside", bridge=out_of)
    if target == "ACCEPT" and "--ctstate" in text:
        return "libvirt-replies", message("replies may reach guests on {bridge}", bridge=into)
    if target == "ACCEPT" and "-p" not in text.split():
        return "libvirt-routed", message(
            "the network on {bridge} is routed, so its guests accept connections", bridge=into
        )
    if target == "REJECT" and out_of:
        if _accepts(rule, scope, "-i", out_of):
            why = message("guests on {bridge} may only send from addresses of its subnet", bridge=out_of)
        else:
            why = message("the network on {bridge} is isolated, so its guests cannot leave it", bridge=out_of)
        return "libvirt-blocked-out", why
    if target == "REJECT" and into:
        accepted = _accepts(rule, scope, "-o", into)
        if any("--ctstate" in one.text for one in accepted):
            why = message(
                "the network on {bridge} is behind NAT, so only replies reach its guests", bridge=into
            )
        elif accepted:
            why = message("only packets for addresses of its subnet may enter {bridge}", bridge=into)
        else:
            why = message("the network on {bridge} is isolated, so its guests cannot be reached", bridge=into)
        return "libvirt-blocked-in", why
    return None


def _accepts(rule: Rule, scope: Scope, option: str, bridge: str) -> list[Rule]:
    """Return the rules of the same chain that accept something of the bridge."""
    return [
        one
        for one in scope.rules(rule.table, rule.chain)
        if one.target_name == "ACCEPT" and option_of(one.text, option) == bridge
    ]


MAKER = Maker("libvirt", _CHAINS, role=_role)
