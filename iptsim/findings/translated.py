"""Port forwards and redirects whose packets stop afterwards: at routing, in FORWARD, or as rules name the old port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from iptsim.addresses import Family, address_text, is_loopback
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.extensions.hidden import is_gap
from iptsim.extensions.targets.dnat import Dnat
from iptsim.extensions.targets.redirect import Redirect
from iptsim.extensions.verdicts import BLOCKING, TRANSLATING_SOURCE
from iptsim.findings.behind import SOME_GUEST
from iptsim.findings.examples import arriving, header, is_for_replies
from iptsim.findings.finding import (
    SHOWN,
    Evidence,
    Finding,
    branch_with,
    filtered_at,
    of_rule,
    takes_port,
    uses,
)
from iptsim.findings.port_forwards import Forward, forwards
from iptsim.findings.remedy import first_that_mends
from iptsim.findings.scene import Scene
from iptsim.host.namespace import interface_parameter
from iptsim.languages import message
from iptsim.netfilter.steps import Step
from iptsim.owners.chain_owners import chain_owners
from iptsim.passages import shell


def to_loopback(scene: Scene) -> Iterator[Finding]:
    """Find DNAT rules for packets from other machines to 127.0.0.0/8, which the kernel does not route."""
    if 4 not in scene.families:
        return
    hooks = scene.hooks(4, "nat")
    owners = chain_owners(scene.host.rulesets[4])
    for rule in scene.table(4, "nat").rules():
        addresses = rule.target.to_destination.addresses if isinstance(rule.target, Dnat) else None
        if addresses is None or not is_loopback(4, addresses[0]) or owners.rule(rule) != "user":
            continue
        if "PREROUTING" not in hooks.get(rule.chain, ()):
            continue
        yield from leads_to_loopback(scene, rule, addresses[0])


def arrives(scene: Scene, family: Family, rule: Rule, to: str, fields: dict[str, Any]) -> Explanation | None:
    """Walk a packet from another machine that a rule of prerouting matches; None if none was found."""
    for sender in ("internet", SOME_GUEST[family]):
        shown = scene.ask(sender, to, family, **fields, **arriving(rule))
        if shown is not None and any(uses(one, rule) for one in shown.branches or [shown]):
            return shown
    return None


def leads_to_loopback(scene: Scene, rule: Rule, address: int) -> Iterator[Finding]:
    """Yield the finding for a rule that sends packets of other machines to an address of 127.0.0.0/8."""
    asked = arrives(scene, 4, rule, "host", header(rule))
    shown = branch_with(asked, rule, "martian") if asked is not None else None
    if shown is None:
        return
    step = next(one for one in shown.trace.legs[0].steps if one.rule is rule)
    interface = step.interfaces[0] or "all"
    sysctl = interface_parameter(4, interface, "route_localnet")
    sysctls = scene.host.namespace.sysctls
    known = [name for name in (sysctl, "net.ipv4.conf.all.route_localnet") if name in sysctls]
    command = f"sysctl -w {sysctl}=1"
    yield Finding(
        "dnat-to-loopback",
        message(
            "{place} sends packets of other machines to {address}, where the kernel does not route them.",
            place=place_of(rule),
            address=address_text(4, address),
        ),
        (of_rule(rule), *(Evidence("sysctl.txt", f"{name} = {sysctls[name]}") for name in known)),
        message(
            "A packet for 127.0.0.0/8 that arrived on another interface than lo is dropped, unless route_localnet is on"
            " for that interface. It is off by default."
        ),
        message(
            "{command}; or let the service listen on an address of the host, with REDIRECT instead of DNAT.",
            command=shell(command),
        ),
        shown,
        4,
        (command,),
    )


def old_ports(scene: Scene) -> Iterator[Finding]:
    """Find rules of FORWARD for the port of a port forward, which DNAT has already replaced by another."""
    for family in scene.families:
        hooks = scene.hooks(family, "filter")
        accepting = [
            rule
            for rule in scene.table(family, "filter").rules()
            if rule.target_name == "ACCEPT" and hooks.get(rule.chain) == ("FORWARD",)
        ]
        for forward in forwards(scene, family) if accepting else ():
            new = _new_port(forward)
            if new is None:
                continue
            meant = [rule for rule in accepting if _is_for(rule, forward, forward.fields["dport"])]
            if not meant or any(_is_for(rule, forward, new) for rule in accepting):
                continue
            shown = arrives(scene, family, forward.rule, forward.at, forward.fields)
            if shown is None or uses(shown, meant[0]) or not _needs_rule(scene, shown):
                continue
            yield _old_port(family, forward, meant[0], new, shown)


def blocked(scene: Scene) -> Iterator[Finding]:
    """Find port forwards by hand whose packets FORWARD blocks, and not as a rule names the port before DNAT."""
    for family in scene.families:
        found: dict[int, list[tuple[Forward, Step, Explanation]]] = {}
        rules = scene.rules(family, "filter", "FORWARD")
        accepting = _accepting_by_interface(scene, family, rules) if scene.host.inferred else ()
        for forward in forwards(scene, family):
            if scene.host.is_inside(family, forward.target):
                continue  # dnat-without-accept of Docker
            old = forward.fields["dport"]
            if _new_port(forward) is not None and any(_is_for(rule, forward, old) for rule in rules):
                continue  # forward-names-old-port
            if any(_may_accept(rule, forward) for rule in accepting):
                continue
            shown = arrives(scene, family, forward.rule, forward.at, forward.fields)
            step = filtered_at(shown, "FORWARD") if shown is not None else None
            if shown is not None and step is not None:
                found.setdefault(forward.target, []).append((forward, step, shown))
        for group in found.values():
            yield _blocked(scene, family, group)


def _accepting_by_interface(scene: Scene, family: Family, rules: Iterable[Rule]) -> list[Rule]:
    """Return the rules of FORWARD that accept requests by their interfaces, but not those that leave by an uplink."""
    uplinks = {
        one.parameters.out_interface
        for one in scene.rules(family, "nat", "POSTROUTING")
        if one.target_name in TRANSLATING_SOURCE
    } - {None}
    return [
        rule
        for rule in rules
        if rule.target_name == "ACCEPT"
        and (rule.parameters.out_interface or rule.parameters.in_interface) is not None
        and rule.parameters.out_interface not in uplinks
        and not is_for_replies(rule)
    ]


def _may_accept(rule: Rule, forward: Forward) -> bool:
    """Return whether a rule accepts the packets of a port forward, if they leave by the right interface."""
    named, arriving_by = rule.parameters.in_interface, forward.rule.parameters.in_interface
    if named is not None and arriving_by is not None and named != arriving_by:
        return False
    to = rule.parameters.destination
    return (to is None or forward.target in to) and takes_port(rule, _port(forward))


def _port(forward: Forward) -> int:
    """Return the port of the packets after DNAT."""
    return _new_port(forward) or int(forward.fields["dport"])


def _blocked(scene: Scene, family: Family, group: list[tuple[Forward, Step, Explanation]]) -> Finding:
    forward, step, shown = group[0]
    target, port = address_text(family, forward.target), _port(forward)
    command = (
        f"{tool_of(family)} -I FORWARD -d {target} -p {forward.fields['proto']} --dport {port} -j ACCEPT"
    )
    return Finding(
        "dnat-without-accept",
        message(
            "{place} forwards a port to {address}, but FORWARD blocks the packets.",
            place=place_of(forward.rule),
            address=target,
        ),
        (*(of_rule(one.rule) for one, _, _ in group[:SHOWN]), scene.of_step(family, step)),
        message(
            "A translated packet is forwarded, so FORWARD decides: a rule that accepts it must come before those that"
            " block it, and name the new address and port."
        ),
        message("Accept it: {command}", command=shell(command)),
        shown,
        family,
        first_that_mends(scene, family, [(command,)], shown),
    )


def redirected_ports(scene: Scene) -> Iterator[Finding]:
    """Find redirects to a port of the host that INPUT blocks, though it accepts the port that was redirected."""
    for family in scene.families:
        hooks = scene.hooks(family, "filter")
        accepting = [
            rule
            for rule in scene.table(family, "filter").rules()
            if rule.target_name == "ACCEPT" and "INPUT" in hooks.get(rule.chain, ())
        ]
        for rule in scene.table(family, "nat").rules() if accepting else ():
            fields, new = header(rule), _redirected_to(rule)
            old = fields.get("dport")
            if new in (None, old) or old is None:
                continue
            meant = [one for one in accepting if one.conditions_on("dport") and takes_port(one, old)]
            if not meant or any(one.conditions_on("dport") and takes_port(one, new) for one in accepting):
                continue
            shown = arrives(scene, family, rule, "host", fields)
            if shown is not None and any(map(_is_blocked_in_input, (shown, *_unshown_left(scene, shown)))):
                yield _redirected_port(family, rule, meant[0], new, shown)


def _unshown_left(scene: Scene, shown: Explanation) -> Iterator[Explanation]:
    """Yield what happens to a packet if rules that a pasted text does not show let it continue."""
    for branch in shown.branches if scene.is_pasted else ():
        if all(
            one.value and one.rule is not None and is_gap(one.rule.target) for one in branch.trace.decisions
        ):
            yield branch


def _redirected_to(rule: Rule) -> int | None:
    """Return the port of the host to which a rule redirects another one."""
    ports = rule.target.to_ports if isinstance(rule.target, Redirect) else None
    return ports[0] if ports is not None and ports[0] == ports[1] else None


def _is_blocked_in_input(shown: Explanation) -> bool:
    request = shown.trace.legs[0]
    step = request.deciding
    blocked = request.verdict in BLOCKING
    return blocked and step is not None and (step.hook, step.table) == ("INPUT", "filter")


def _redirected_port(family: Family, rule: Rule, meant: Rule, new: int | None, shown: Explanation) -> Finding:
    old = shown.question.dport
    command = f"{tool_of(family)} -I {meant.chain} {meant.position} -p {shown.question.proto} --dport {new} -j ACCEPT"
    return Finding(
        "forward-names-old-port",
        message(
            "{place} redirects port {old} to port {new}, which INPUT blocks.",
            place=place_of(rule),
            old=old or "",
            new=new or "",
        )
        if _is_blocked_in_input(shown)
        else message(
            "{place} redirects port {old} to port {new}, which no rule of INPUT that is shown accepts.",
            place=place_of(rule),
            old=old or "",
            new=new or "",
        ),
        (of_rule(rule), of_rule(meant)),
        message(
            "PREROUTING comes before INPUT, so INPUT sees port {new}. {place} accepts port {old}, which these packets"
            " no longer have.",
            place=place_of(meant),
            old=old or "",
            new=new or "",
        ),
        shell(command),
        shown,
        family,
        (command,),
    )


def _new_port(forward: Forward) -> int | None:
    """Return the port that DNAT writes, if it is another one."""
    target = forward.rule.target
    ports = target.to_destination.ports if isinstance(target, Dnat) else None
    return ports[0] if ports is not None and ports[0] == ports[1] != forward.fields["dport"] else None


def _is_for(rule: Rule, forward: Forward, port: int) -> bool:
    """Return whether a rule names the target of a port forward, and a port there."""
    network = rule.parameters.destination
    if network is None or not network.mask or "destination" in rule.parameters.negated:
        return False
    return forward.target in network and bool(rule.conditions_on("dport")) and takes_port(rule, port)


def _needs_rule(scene: Scene, shown: Explanation) -> bool:
    """Return whether FORWARD blocks a packet; or, in a text about a problem, whether no rule shown accepts it."""
    for one in (shown, *(shown.branches if scene.is_pasted else ())):
        request = one.trace.legs[0]
        step = request.deciding
        if step is None or (step.hook, step.table) != ("FORWARD", "filter"):
            continue
        is_left = step.policy or (step.rule is not None and is_gap(step.rule.target))
        if request.verdict in BLOCKING or (scene.is_pasted and is_left):
            return True
    return False


def _old_port(family: Family, forward: Forward, rule: Rule, new: int, shown: Explanation) -> Finding:
    old = forward.fields["dport"]
    words = rule.specification.replace(f"--dport {old}", f"--dport {new}")
    command = f"{tool_of(family)} -R {rule.chain} {rule.position} {words}"
    return Finding(
        "forward-names-old-port",
        message(
            "{place} is for port {old}, but the packets that are forwarded to {target} have port {new} there.",
            place=place_of(rule),
            old=old,
            new=new,
            target=address_text(family, forward.target),
        ),
        (of_rule(forward.rule), of_rule(rule)),
        message(
            "DNAT in PREROUTING comes before FORWARD and has changed address and port. So the rule does not match these"
            " packets, and no other rule accepts them."
        ),
        shell(command) if words != rule.specification else message("Name port {new} in the rule.", new=new),
        shown,
        family,
        (command,) if words != rule.specification and shown.verdict in BLOCKING else (),
    )
