"""Redirects that take more than they are for: connections to other hosts, and those of the program they lead to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from iptsim.addresses import Family, address_text, is_loopback, is_multicast, is_private
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.extensions.hidden import Hidden, hides_interfaces
from iptsim.extensions.matches.owner import Owner
from iptsim.extensions.targets.tproxy import Tproxy
from iptsim.extensions.verdicts import TRANSLATING_DESTINATION
from iptsim.findings.behind import SOME_GUEST
from iptsim.findings.examples import header
from iptsim.findings.finding import SHOWN, Finding, is_readdressed, numbers_of, of_rule, uses
from iptsim.findings.port_forwards import is_tested_here, without_interface
from iptsim.findings.remedy import outcome
from iptsim.findings.scene import Scene
from iptsim.languages import Message, message
from iptsim.owners.docker import is_dockers
from iptsim.passages import shell

_HTTPS = 443
#: A user ID that no program of the host has.
_SOME_USER = 64999
#: Networks without servers of the internet (RFC 6890), with their masks: 0, 100.64, 169.254, 198.18, 240 and more.
_SPECIAL = (
    (0x00000000, 0xFF000000),
    (0x64400000, 0xFFC00000),
    (0xA9FE0000, 0xFFFF0000),
    (0xC6120000, 0xFFFE0000),
    (0xF0000000, 0xF0000000),
)


def from_containers(scene: Scene) -> Iterator[Finding]:
    """Find rules of PREROUTING that redirect connections to every destination, including those of containers."""
    for family in scene.families:
        if not scene.has_docker:
            continue
        for rule in scene.rules(family, "nat", "PREROUTING"):
            if _takes_everything(rule):
                yield _redirects(scene, family, rule)


def of_every_host(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text without Docker, rules of PREROUTING that take a port whatever host it is for."""
    if not scene.is_pasted or scene.has_docker:
        return
    for family in scene.families:
        found = [
            (rule, shown)
            for rule in scene.rules(family, "nat", "PREROUTING")
            if _takes_everything(rule, with_exceptions=True)
            and (shown := taken_from_guest(scene, family, rule)) is not None
        ]
        if found:
            rule, words = found[0][0], scene.shown_words(found[0][0])
            command = (
                f"{tool_of(family)} -t nat -R PREROUTING {rule.position} -m addrtype --dst-type LOCAL {words}"
            )
            yield takes_every_host(family, "nat PREROUTING", found, command)


def taken_from_guest(scene: Scene, family: Family, rule: Rule) -> Explanation | None:
    """Return a packet of a machine behind the host for another host that a rule for a port takes; None without one."""
    fields, uplink = header(rule), scene.outside_interface(family)
    if "dport" not in fields or uplink is None:
        return None
    shown = scene.ask(SOME_GUEST[family], "internet", family, **fields, **{"in": uplink.name})
    return shown if shown is not None and uses(shown, rule) else None


def takes_every_host(
    family: Family, place: str, found: list[tuple[Rule, Explanation]], command: str
) -> Finding:
    """Return the finding about rules that take a port whatever host it is for.

    Args:
        family: the address family.
        place: their chain.
        found: the rules, each with a packet that it takes from a machine behind the host.
        command: lets the first one take packets for this host alone.
    """
    ports = dict.fromkeys(f"{one.question.proto}/{one.question.dport}" for _, one in found)
    return Finding(
        "redirect-takes-every-host",
        message(
            "{place} takes every packet to {ports} that arrives, whatever host it is for.",
            place=place,
            ports=", ".join(ports),
        ),
        tuple(of_rule(one) for one, _ in found[:SHOWN]),
        message(
            "So it also takes what the machines behind the host send to other hosts. That is right for a transparent"
            " proxy, not for a port forward."
        ),
        message("To take only packets for this host: {command}", command=shell(command)),
        found[0][1],
        family,
    )


def _takes_everything(rule: Rule, *, with_exceptions: bool = False) -> bool:
    """Return whether a rule translates the destination, whatever destination and interface a packet has.

    Args:
        with_exceptions: also if it excepts some destinations.
    """
    if rule.target_name not in TRANSLATING_DESTINATION or is_dockers(rule):
        return False
    return is_for_every_host(rule, with_exceptions=with_exceptions)


def is_for_every_host(rule: Rule, *, with_exceptions: bool = False) -> bool:
    """Return whether a rule matches whatever destination, source and interface a packet has."""
    parameters = rule.parameters
    if parameters.destination is not None and not (with_exceptions and "destination" in parameters.negated):
        return False
    if parameters.in_interface is not None or parameters.source is not None:
        return False
    if any(isinstance(match, Hidden) and not hides_interfaces(match) for match in rule.matches):
        return False
    return not any(
        match.name in ("addrtype", "set", "mark", "connmark", "iprange", "socket") for match in rule.matches
    )


def _redirects(scene: Scene, family: Family, rule: Rule) -> Finding:
    ports = next((match for match in rule.matches if match.name in ("tcp", "udp")), None)
    dport = getattr(ports, "dport", None)
    shown = None
    for network in scene.docker_networks():
        for container in scene.members(network, family)[:1]:
            port = dport[0] if isinstance(dport, tuple) else 80
            proto = "udp" if ports is not None and ports.name == "udp" else "tcp"
            shown = shown or scene.ask(container.name, "internet", family, proto=proto, dport=port)
    if shown is not None and not uses(shown, rule):
        shown = None
    words = scene.shown_words(rule)
    tool = tool_of(family)
    return Finding(
        "redirect-takes-forwarded",
        message(
            "nat PREROUTING rule {position} also catches what containers send to other hosts: {words}",
            position=rule.position,
            words=words,
        ),
        (of_rule(rule),),
        message(
            "PREROUTING sees every packet that arrives, also those for other hosts, and the rule names no destination."
            " So connections of containers to any host end where this rule sends them."
        ),
        message(
            "To catch only packets for this host: {command}",
            command=shell(
                f"{tool} -t nat -R PREROUTING {rule.position} -m addrtype --dst-type LOCAL {words}"
            ),
        ),
        shown,
        family,
    )


def not_for_host(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, redirects in PREROUTING that connections of the host itself do not use."""
    for family in scene.families if scene.is_pasted else ():
        for rule in scene.rules(family, "nat", "PREROUTING"):
            fields = header(rule)
            if rule.target_name != "REDIRECT" or "dport" not in fields:
                continue
            if rule.parameters.in_interface is not None and not is_tested_here(scene):
                continue
            outside = scene.ask("internet", "host", family, **fields)
            shown = scene.ask("localhost", "localhost", family, **fields)
            if outside is None or shown is None or not uses(outside, rule):
                continue
            if not is_readdressed(shown):
                yield _not_for_host(scene, family, rule, shown)
                break


def _not_for_host(scene: Scene, family: Family, rule: Rule, shown: Explanation) -> Finding:
    words = scene.shown_words(without_interface(rule))
    port = shown.question.dport or ""
    return Finding(
        "port-forward-not-for-host",
        message("The host's own connections to port {port} are not redirected.", port=port),
        (of_rule(rule),),
        message(
            "What the host itself sends passes OUTPUT of table nat, not PREROUTING. So a test on the host, with"
            " localhost or its own address, needs a program that listens on port {port} itself.",
            port=port,
        ),
        message(
            "To redirect them, too: {command}",
            command=shell(f"{tool_of(family)} -t nat -A OUTPUT -m addrtype --dst-type LOCAL {words}"),
        ),
        shown,
        family,
    )


def own_only(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, redirects to a program of the host for its own connections, and none for others."""
    for family in scene.families if scene.is_pasted else ():
        table = scene.table(family, "nat")
        hooks = scene.hooks(family, "nat")
        redirects = [rule for rule in table.rules() if _leads_here(rule) and not rule.refused]
        arriving = [rule for rule in table.rules() if "PREROUTING" in hooks.get(rule.chain, ())]
        own = [rule for rule in redirects if "OUTPUT" in hooks.get(rule.chain, ())]
        if not own or any(rule.target is not None and rule.jump is None for rule in arriving):
            continue
        if any(rule.jump is not None for rule in arriving) or scene.has_docker:
            continue
        yield Finding(
            "redirects-own-only",
            message("Only connections of the host itself are redirected, not those of other machines."),
            tuple(map(of_rule, own[:SHOWN])),
            message(
                "OUTPUT of table nat sees what programs of the host send. What others send to the host, or through it"
                " (containers, VPN clients, a network behind it), passes PREROUTING, where no rule that is shown"
                " redirects it."
            ),
            message(
                "If it is for them, too: {command}",
                command=shell(
                    f"{tool_of(family)} -t nat -A PREROUTING -i INTERFACE -p {header(own[0]).get('proto', 'tcp')}"
                    f" -j {_redirecting(own[0])}"
                ),
            ),
            None,
            family,
        )


def _redirecting(rule: Rule) -> str:
    """Return the target for arriving packets as well, which the kernel does not let be sent to 127.0.0.1."""
    if rule.chain != "OUTPUT":
        return rule.chain
    to = getattr(rule.target, "to_destination", None)
    if to is None:
        return rule.specification.rpartition("-j ")[2]
    port = rule.specification.rpartition("-j ")[2].rpartition(":")[2] if to.ports is not None else ""
    return f"REDIRECT --to-ports {port}" if port else "REDIRECT"


def _leads_here(rule: Rule) -> bool:
    """Return whether a rule sends packets to a program of the host that others could send, too: not to 127.0.0.1."""
    wanted = rule.parameters.destination
    if wanted is not None and is_loopback(4 if wanted.family == 4 else 6, wanted.address):
        return False
    to = getattr(rule.target, "to_destination", None)
    local = to is not None and to.addresses is not None and is_loopback(4, to.addresses[0])
    return rule.target_name == "REDIRECT" or (rule.target_name == "DNAT" and local)


def not_proxied(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, rules with TPROXY that do not take what the host itself sends, and no marks for that."""
    for family in scene.families if scene.is_pasted else ():
        table = scene.table(family, "mangle")
        hooks = scene.hooks(family, "mangle")
        if any(
            rule.target_name == "MARK" and "OUTPUT" in hooks.get(rule.chain, ()) for rule in table.rules()
        ):
            continue
        for rule in table.rules():
            if not isinstance(rule.target, Tproxy) or "PREROUTING" not in hooks.get(rule.chain, ()):
                continue
            if rule.parameters.in_interface is not None and not is_tested_here(scene):
                continue
            shown = scene.ask("host", "internet", family, **{"dport": _HTTPS, **header(rule)})
            certain = shown if shown is not None and not shown.trace.branches else None
            yield _not_proxied(family, rule, rule.target, certain)
            break


def _not_proxied(family: Family, rule: Rule, target: Tproxy, shown: Explanation | None) -> Finding:
    fields = header(rule)
    port = f" --dport {fields['dport']}" if "dport" in fields else ""
    mark = target.tproxy_mark.value if target.tproxy_mark is not None else 1
    tool = f"{tool_of(family)} -t mangle"
    return Finding(
        "port-forward-not-for-host",
        message("What the host itself sends does not pass the transparent proxy."),
        (of_rule(rule),),
        message(
            "TPROXY works in PREROUTING, which sees only packets that arrive. A test on the host itself passes OUTPUT,"
            " so the counter of the rule does not grow. Packets of other machines that use this host as their gateway"
            " do pass it."
        ),
        message(
            "To send them there, too, except those of the proxy: {commands}. The routing rule for this mark must"
            " lead them to lo.",
            commands=shell(
                f"{tool} -A OUTPUT -m owner --uid-owner USER -j RETURN",
                f"{tool} -A OUTPUT -p {fields['proto']}{port} -j MARK --set-mark {mark}",
            ),
        ),
        shown,
        family,
    )


def its_own(scene: Scene) -> Iterator[Finding]:
    """Find rules of OUTPUT that redirect a port of all hosts, and except no program: also the one that they lead to."""
    for family in scene.families:
        rules = scene.rules(family, "nat", "OUTPUT")
        alike: dict[tuple[str, bool, int | None], list[tuple[Rule, Explanation]]] = {}
        for rule, user in _proxied(scene, family, rules):
            fields = {"dport": _HTTPS, **header(rule), **({} if user is None else {"uid": user})}
            shown = scene.ask("host", "internet", family, **fields)
            if shown is not None and not shown.trace.branches and uses(shown, rule):
                key = (rule.chain, bool(rule.conditions_on("dport")), user)
                alike.setdefault(key, []).append((rule, shown))
        for found in alike.values():
            yield _takes_its_own(scene, family, found)


def _proxied(scene: Scene, family: Family, rules: Sequence[Rule]) -> Iterator[tuple[Rule, int | None]]:
    """Yield the rules that redirect to a program of the host, in OUTPUT or in a chain that OUTPUT jumps to.

    With the user whose packets they take, if not those of all users: root, the usual user of such programs.
    """
    for at, rule in enumerate(rules):
        if any(map(_excepts, rules[:at])):
            return
        if rule.jump is None:
            if _is_proxied(rule):
                yield rule, None
            continue
        owners = [match for match in rule.matches if isinstance(match, Owner)]
        if not is_for_every_host(rule) or not all(map(_is_root, owners)):
            continue
        below = scene.rules(family, "nat", rule.jump.chain)
        for place, inner in enumerate(below):
            if _is_proxied(inner) and not any(map(_excepts, below[:place])):
                yield inner, 0 if owners else None


def _is_root(owner: Owner) -> bool:
    """Return whether a rule is for packets of root only."""
    return owner.uid_owner in ("root", (0, 0)) and owner.gid_owner is None and not owner.negated


def _is_proxied(rule: Rule) -> bool:
    """Return whether a rule leads to a program of the host, whatever destination and sender a packet has."""
    to = getattr(rule.target, "to_destination", None)
    local = to is not None and to.addresses is not None and is_loopback(4, to.addresses[0])
    return _takes_everything(rule) and (rule.target_name == "REDIRECT" or local)


def _excepts(rule: Rule) -> bool:
    """Return whether a rule may except what a proxy sends: it ends the chain for some hosts of other networks."""
    to = rule.parameters.destination
    family: Family = 4 if to is None or to.family == 4 else 6
    address = (to.address & to.mask) if to is not None else None
    inside = address is not None and (
        is_loopback(family, address)
        or is_multicast(family, address)
        or is_private(family, address_text(family, address))
        or (family == 4 and any(address & mask == network for network, mask in _SPECIAL))
    )
    return rule.target_name in ("RETURN", "ACCEPT") and not inside


def _takes_its_own(scene: Scene, family: Family, found: list[tuple[Rule, Explanation]]) -> Finding:
    rule, shown = found[0]
    command = f"{tool_of(family)} -t nat -I {rule.chain} {rule.position} -m owner --uid-owner USER -j RETURN"
    return Finding(
        "redirect-takes-own",
        _title(found),
        tuple(of_rule(one) for one, _ in found[:SHOWN]),
        message(
            "Also the connections of the program that it leads to: what a proxy or a name server asks of other hosts"
            " comes back to itself."
        ),
        message("Exempt its user first: {command}", command=shell(command))
        if _exempts_user(scene, family, shown, command)
        else message("Exempt the user or the destinations of that program before this rule."),
        shown,
        family,
    )


def _title(found: list[tuple[Rule, Explanation]]) -> Message:
    rule, shown = found[0]
    place = place_of(rule)
    if len(found) > 1 and rule.conditions_on("dport"):
        return message(
            "{table} {chain} rules {numbers} redirect what every program of the host sends to ports {ports}.",
            table=rule.table,
            chain=rule.chain,
            numbers=numbers_of([one for one, _ in found]),
            ports=", ".join(str(one.question.dport or "") for _, one in found[:SHOWN]),
        )
    if shown.question.uid is not None:
        return message("{place} redirects what every program of root sends.", place=place)
    if rule.conditions_on("dport"):
        return message(
            "{place} redirects what every program of the host sends to port {port}.",
            place=place,
            port=shown.question.dport or "",
        )
    return message("{place} redirects what every program of the host sends.", place=place)


def _exempts_user(scene: Scene, family: Family, shown: Explanation, command: str) -> bool:
    """Return whether the packet of a user is no longer redirected after the command for this user."""
    asked = shown.question
    fields: dict[str, Any] = {"proto": asked.proto, "dport": asked.dport, "uid": _SOME_USER}
    of_user = scene.ask("host", "internet", family, **fields)
    if of_user is None:
        return False
    after = outcome(scene, family, [command.replace("USER", str(_SOME_USER))], of_user)
    return after is not None and not is_readdressed(after)
