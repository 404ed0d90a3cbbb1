"""Rules of INPUT for packets that the host forwards: of clients, to the target of a port forward, or a container."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iptsim.addresses import BITS, Family, address_text, is_private
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import is_homeless
from iptsim.extensions.targets.dnat import Dnat
from iptsim.extensions.values import Network
from iptsim.extensions.verdicts import BLOCKING, DECIDING, TRANSLATING_SOURCE
from iptsim.findings.behind import second_address
from iptsim.findings.examples import arriving, header
from iptsim.findings.finding import Finding, of_rule
from iptsim.findings.remedy import first_that_mends
from iptsim.findings.scene import Scene
from iptsim.findings.shadow import is_chosen
from iptsim.languages import message
from iptsim.passages import shell
from iptsim.protocols import PROTOCOLS

#: Protocols of tunnels, which routers end.
_TUNNELS = frozenset(PROTOCOLS[name] for name in ("gre", "ipv6", "ipencap"))
#: The part of an address that differs between machines of a LAN, and that of some machine.
_LAST_BYTE, _SOME_HOST = 0xFF, 5


def in_input(scene: Scene) -> Iterator[Finding]:
    """Find rules of INPUT for an address that packets are forwarded to: INPUT never sees them."""
    for family in scene.families:
        rules = [rule for rule in scene.rules(family, "filter", "INPUT") if single_target(rule) is not None]
        elsewhere = _forwarded_to(scene, family) if rules else frozenset()
        for rule in rules:
            address = single_target(rule)
            if is_homeless(rule.matches):
                continue
            if address not in elsewhere or not is_chosen(rule, scene):
                continue
            shown = scene.ask("internet", address_text(family, address), family, **header(rule))
            if shown is None or not _passes_input(shown):
                yield _finding(scene, family, rule, address, shown)


def single_target(rule: Rule) -> int | None:
    """Return the single address that a rule is for; None if it is for none or several, or does not decide."""
    to = rule.parameters.destination
    if to is None or "destination" in rule.parameters.negated or rule.target_name not in DECIDING:
        return None
    family: Family = 6 if to.family == 6 else 4
    return to.address if to.mask == (1 << BITS[family]) - 1 else None


def _in_forward(family: Family, rule: Rule) -> str:
    """Return the command that adds a rule to FORWARD, too."""
    return f"{tool_of(family)} -I FORWARD {rule.specification}"


def _passes_input(shown: Explanation) -> bool:
    return any(step.hook == "INPUT" for step in shown.trace.legs[0].all_steps)


def _forwarded_to(scene: Scene, family: Family) -> frozenset[int]:
    """Return the addresses of other machines that port forwards lead to, and those of containers."""
    own = {
        one.address
        for interface in scene.host.namespace.interfaces.values()
        for one in interface.addresses
        if one.family == family
    }
    found = {
        address
        for rule in scene.table(family, "nat").rules()
        if isinstance(rule.target, Dnat) and rule.target.to_destination.addresses
        for address in rule.target.to_destination.addresses[:1]
        if "PREROUTING" in scene.hooks(family, "nat").get(rule.chain, ())
    }
    found |= {
        address
        for container in scene.host.containers.values()
        if container.running and (address := container.address(family)) is not None
    }
    return frozenset(found - own)


def _finding(scene: Scene, family: Family, rule: Rule, address: int, shown: Explanation | None) -> Finding:
    command = _in_forward(family, rule)
    return Finding(
        "wrong-chain",
        message(
            "INPUT rule {position} is for {address}, whose packets are forwarded, so it has no effect.",
            position=rule.position,
            address=address_text(family, address),
        ),
        (of_rule(rule),),
        message(
            "INPUT sees packets for the host itself only. After the translation of a port forward, and for containers,"
            " packets are for another machine and pass FORWARD."
        ),
        message("The rule belongs in FORWARD: {command}", command=shell(command)),
        shown,
        family,
        first_that_mends(scene, family, [(command,)], shown) if shown is not None else (),
    )


def not_for_forwarded(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text about a router, a rule of INPUT that blocks clients, whose packets it forwards, too."""
    for family in scene.families if scene.is_pasted and not scene.has_docker else ():
        rules = scene.rules(family, "filter", "INPUT")
        if not any(map(_serves_others, [*rules, *scene.rules(family, "nat", "POSTROUTING")])):
            continue
        uplink = scene.outside_interface(family)
        for rule in rules:
            outside = uplink is not None and rule.parameters.in_interface == uplink.name
            if outside and rule.parameters.source is not None:
                continue  # against spoofed sources
            client = _blocked_client(family, rule, rules)
            if client is None or not is_chosen(rule, scene):
                continue
            shown = scene.ask(client, "internet", family, **header(rule), **arriving(rule))
            if shown is not None and shown.verdict not in BLOCKING:
                yield _not_for_forwarded(scene, family, rule, shown)
                break


def beside_host(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, rules of INPUT that block packets to other addresses than the one that INPUT is for."""
    for family in scene.families if scene.is_pasted and not scene.has_docker else ():
        rules = scene.rules(family, "filter", "INPUT")
        own = [address for address in map(single_target, rules) if address is not None]
        for rule in rules if any(is_private(family, address_text(family, one)) for one in own) else ():
            to = _blocked_range(family, rule)
            if to is None or any(to[0] <= address <= to[1] for address in own):
                continue
            beside = address_text(family, own[0] + 1)
            shown = scene.ask(beside, address_text(family, to[0]), family, **header(rule), **arriving(rule))
            if shown is not None and not _passes_input(shown) and shown.verdict not in BLOCKING:
                yield _beside_host(scene, family, rule, to, shown)
                break


def _blocked_range(family: Family, rule: Rule) -> tuple[int, int] | None:
    """Return the first range of private addresses to which a rule blocks packets, if it names more than one address."""
    if rule.target_name not in BLOCKING:
        return None
    to, ranges = rule.parameters.destination, list[tuple[int, int]]()
    if to is not None and "destination" not in rule.parameters.negated:
        ranges = [(to.address & to.mask, to.address | ~to.mask & ((1 << BITS[family]) - 1))]
    for one in rule.conditions_on("dst"):
        ranges += one.allowed[:1] if isinstance(one.allowed, tuple) and not one.negated else ()
    blocked = (one for one in ranges if one[0] < one[1] and is_private(family, address_text(family, one[0])))
    return next(blocked, None)


def _beside_host(
    scene: Scene, family: Family, rule: Rule, to: tuple[int, int], shown: Explanation
) -> Finding:
    return Finding(
        "input-not-forward",
        message(
            "INPUT rule {position} is for {first} to {last}, but blocks only this host's own addresses there, if any.",
            position=rule.position,
            first=address_text(family, to[0]),
            last=address_text(family, to[1]),
        ),
        (of_rule(rule),),
        message(
            "INPUT sees packets for the host itself only; a router has an address in each of its networks. What passes"
            " through the host to machines there is forwarded, and passes FORWARD."
        ),
        message("To block the machines there, too: {command}", command=shell(_in_forward(family, rule))),
        shown,
        family,
    )


def _serves_others(rule: Rule) -> bool:
    """Return whether a rule shows that the host forwards: it masquerades, or accepts packets of a tunnel."""
    if rule.target_name in TRANSLATING_SOURCE:
        return True
    return rule.target_name == "ACCEPT" and rule.parameters.protocol in _TUNNELS


def _blocked_client(family: Family, rule: Rule, rules: Sequence[Rule]) -> str | None:
    """Return a private address that a rule of INPUT blocks: of its source, or beside those that rules before accept."""
    parameters = rule.parameters
    if rule.target_name not in BLOCKING or parameters.negated or parameters.destination is not None:
        return None
    if parameters.source is not None:
        address = second_address(parameters.source)
        return address if is_private(family, address) and not _is_whole_block(parameters.source) else None
    if parameters.in_interface is None or parameters.protocol is not None or rule.matches:
        return None
    whole = (1 << BITS[family]) - 1
    accepted = [
        one.parameters.source
        for one in rules[: rule.position - 1]
        if one.target_name == "ACCEPT"
        and one.parameters.in_interface == parameters.in_interface
        and one.parameters.source is not None
    ]
    for source in accepted:
        if source.mask == whole and is_private(family, address_text(family, source.address)):
            first = source.address & ~_LAST_BYTE
            beside = (first + host for host in range(_SOME_HOST, _LAST_BYTE))
            return next(
                (address_text(family, one) for one in beside if not any(one in known for known in accepted)),
                None,
            )
    return None


def _is_whole_block(source: Network) -> bool:
    """Return whether a rule is for all private addresses of a kind, as rules against spoofed sources are."""
    return str(source) in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")


def _not_for_forwarded(scene: Scene, family: Family, rule: Rule, shown: Explanation) -> Finding:
    source = rule.parameters.source
    return Finding(
        "input-not-forward",
        message(
            "INPUT rule {position} does not block what {source} sends through the host.",
            position=rule.position,
            source=source.short,
        )
        if source is not None
        else message(
            "INPUT rule {position} does not block what arrives on {interface} for other hosts.",
            position=rule.position,
            interface=rule.parameters.in_interface or "",
        ),
        (of_rule(rule),),
        message(
            "INPUT sees packets for the host itself only. Packets that it forwards, to the internet or by a tunnel,"
            " pass FORWARD, where no rule that is shown blocks them."
        )
        if shown.verdict == "ACCEPT"
        else message(
            "INPUT sees packets for the host itself only. Packets that it forwards, to the internet or by a tunnel,"
            " pass FORWARD, which the source does not show."
        ),
        message(
            "If it is for those, too: {command}",
            command=shell(_in_forward(family, rule)),
        )
        if source is not None
        else message(
            "If it is for those, too, the rules belong in FORWARD as well, those that accept first."
        ),
        shown,
        family,
    )


def in_output(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, rules of OUTPUT that block a private sender, if no interface of the host is shown."""
    if not scene.is_pasted or scene.pasted.interfaces or scene.has_docker:
        return
    for family in scene.families:
        for rule in scene.rules(family, "filter", "OUTPUT"):
            source = rule.parameters.source
            if rule.target_name not in BLOCKING or source is None or "source" in rule.parameters.negated:
                continue
            if not is_private(family, address_text(family, source.address)) or not is_chosen(rule, scene):
                continue
            yield Finding(
                "input-not-forward",
                message(
                    "OUTPUT rule {position} blocks {source} only if that is this host.",
                    position=rule.position,
                    source=source.short,
                ),
                (of_rule(rule),),
                message(
                    "OUTPUT sees what programs of the host itself send. What other machines send through the host is"
                    " forwarded, and passes FORWARD."
                ),
                message(
                    "For another machine behind this host: {command}",
                    command=shell(_in_forward(family, rule)),
                ),
                None,
                family,
            )
            break
