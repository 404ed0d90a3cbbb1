"""Packets that a base chain of nftables drops although the rules of iptables accept them."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import is_gap
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.behind import SOMEBODY, Behind, ask_outside, networks_behind
from iptsim.findings.finding import Evidence, Finding
from iptsim.findings.scene import Publication, Scene, place, some_address
from iptsim.host.containers import Network
from iptsim.languages import Message, message
from iptsim.netfilter.steps import Step
from iptsim.passages import shell
from iptsim.protocols import protocol_name

#: A placeholder for the interface of a network behind the host, where the source shows none.
_UNKNOWN = "INTERFACE"
#: Why an accept of another chain does not help.
NOT_FINAL = message(
    "A packet passes all base chains of a hook. An accept in another one, of Docker, Podman or LXD, is not"
    " final: this chain still drops the packet."
)


def forwarded(scene: Scene) -> Iterator[Finding]:
    """Find base chains of nftables that drop packets to published ports, or packets from behind the host."""
    if not any(chain.hook == "forward" and chain.effects for chain in scene.base_chains):
        return
    for family in scene.families:
        yield from _published_ports(scene, family)
        seen: set[tuple[str | None, str | None]] = set()
        for name, shown in _senders(scene, family):
            step = _dropping(shown)
            if step is not None and (step.table, step.chain) not in seen:
                seen.add((step.table, step.chain))
                yield _finding(scene, family, name, step, shown)
        if not seen and scene.is_pasted:
            yield from _in_part(scene, family)


def _in_part(scene: Scene, family: Family) -> Iterator[Finding]:
    """Find base chains of a pasted text that drop what their rules do not accept, where some of these are not shown."""
    for chain in scene.base_chains:
        rules = dict(chain.rules).get(family, ())
        own = [rule for rule in rules if rule.chain == chain.name]
        last = own[-1] if own else None
        ends = last is not None and not last.hidden and last.words.startswith(("-j DROP", "-j REJECT"))
        again = chain.family == "inet" and family != scene.families[0]
        if chain.hook != "forward" or again or not any(rule.gap for rule in rules):
            continue
        if not ends and chain.policy != "drop":
            continue
        name = f"{chain.family} {chain.table} {chain.name}"
        place = (
            message("{chain} rule {number}", chain=name, number=last.position) if last is not None else name
        )
        shown = (
            Evidence(place, f"-A {chain.name} {last.words}")
            if last is not None and ends
            else Evidence(name, message("policy {policy}", policy="DROP"))
        )
        yield _drops_the_rest(scene, family, name, shown)


def _drops_the_rest(scene: Scene, family: Family, chain: str, evidence: Evidence) -> Finding:
    return Finding(
        "nftables-forward-drop",
        message("The nftables chain {chain} drops what it does not accept itself.", chain=chain),
        (evidence,),
        NOT_FINAL,
        _remedy(chain, _UNKNOWN),
        ask_outside(scene, family, SOMEBODY[family]),
        family,
    )


def _senders(scene: Scene, family: Family) -> Iterator[tuple[str, Explanation]]:
    """Yield a connection to the internet from each network behind the host, with the network's interface."""
    found = False
    for network in scene.docker_networks():
        for shown in _from_network(scene, network, family):
            if shown is not None and not network.internal:
                found = True
                yield network.bridge or network.name, shown
    for behind in networks_behind(scene, family):
        if not behind.subnet and (shown := ask_outside(scene, family, behind)) is not None:
            found = True
            yield behind.interface, shown
    if not found and scene.host.inferred and family == scene.families[0]:
        shown = ask_outside(scene, family, SOMEBODY[family])
        if shown is not None:
            yield _UNKNOWN, shown


def _from_network(scene: Scene, network: Network, family: Family) -> Iterator[Explanation | None]:
    """Yield a connection to the internet from a container, or from an address where a pasted text names none."""
    for container in scene.members(network, family)[:1]:
        yield scene.ask(place(container, network), "internet", family, proto="tcp", dport=443)
        return
    guest = some_address(network, family) if scene.host.inferred else None
    if guest is not None and network.bridge is not None and scene.is_pasted:
        yield ask_outside(scene, family, Behind(network.bridge, guest))


def _dropping(shown: Explanation) -> Step | None:
    """Return the step of nftables that drops a request.

    Where rules that are not shown may drop it before, that is the step of a table that is shown as a whole.
    """
    leg = shown.trace.legs[0]
    if leg.verdict not in BLOCKING:
        return None
    step = leg.deciding
    if step is None:
        hidden = {one.table for one in leg.all_steps if one.rule is not None and is_gap(one.rule.target)}
        step = next((one for one in leg.ends if one.table not in hidden), None)
    return step if step is not None and step.table not in (None, *BUILTIN_CHAINS) else None


def _published_ports(scene: Scene, family: Family) -> Iterator[Finding]:
    """Yield a finding for each chain that drops packets to a published port."""
    seen: set[tuple[str | None, str | None]] = set()
    for publication in scene.publications(family):
        shown = scene.ask_port(publication)
        step = _dropping(shown) if shown is not None else None
        if shown is None or step is None or step.hook != "FORWARD" or (step.table, step.chain) in seen:
            continue
        seen.add((step.table, step.chain))
        yield _published(scene, family, publication, step, shown)


def _published(
    scene: Scene, family: Family, publication: Publication, step: Step, shown: Explanation
) -> Finding:
    chain, address = f"{step.table} {step.chain}", publication.container.address(family) or 0
    to = f"{'ip' if family == 4 else 'ip6'} daddr {address_text(family, address)}"
    port = f"{protocol_name(publication.port.proto)} dport {publication.port.container_port}"
    return Finding(
        "nftables-drops-forwarded",
        message(
            "The nftables chain {chain} drops packets to the published port {port} ({name}).",
            chain=chain,
            port=publication.outside,
            name=publication.container.name,
        ),
        (scene.of_step(family, step),),
        NOT_FINAL,
        message("Accept it in this chain, too: {there}", there=f"nft insert rule {chain} {to} {port} accept"),
        shown,
        family,
    )


def _finding(scene: Scene, family: Family, name: str, step: Step, shown: Explanation) -> Finding:
    chain = f"{step.table} {step.chain}"
    return Finding(
        "nftables-drops-forwarded" if name != _UNKNOWN else "nftables-forward-drop",
        _summary(chain, name, step),
        (scene.of_step(family, step),),
        NOT_FINAL,
        _remedy(chain, name),
        shown,
        family,
    )


def _summary(chain: str, name: str, step: Step) -> Message:
    if name != _UNKNOWN:
        return message(
            "The nftables chain {chain} drops what {name} sends to other hosts.", chain=chain, name=name
        )
    if step.rule is not None and not step.rule.is_unconditional:
        return message(
            "The nftables chain {chain} blocks some of the forwarded packets, even if another chain accepts them.",
            chain=chain,
        )
    return message("The nftables chain {chain} drops what it does not accept itself.", chain=chain)


def _remedy(chain: str, name: str) -> Message:
    if chain.startswith("inet firewalld "):
        # the zone with the target ACCEPT, which also lets its packets pass to other zones (firewalld.zones(5))
        return message(
            "Allow it in firewalld: {commands}",
            commands=shell(
                f"firewall-cmd --permanent --zone=trusted --change-interface={name}", "firewall-cmd --reload"
            ),
        )
    there = f'nft insert rule {chain} iifname "{name}" accept'
    back = f'nft insert rule {chain} oifname "{name}" ct state established,related accept'
    if name == _UNKNOWN:
        return message(
            "Nothing to do if no container, guest or VPN client sends packets through this host. Else accept theirs in"
            " this chain, too: {commands}",
            commands=shell(there, back),
        )
    return message("Accept it in this chain, too: {commands}", commands=shell(there, back))
