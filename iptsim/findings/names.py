"""Names: of containers, which another one cannot resolve without a common network, and of hosts in rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from iptsim.dump.rule import Rule
from iptsim.explanation.places import place_of
from iptsim.extensions.hidden import Hidden
from iptsim.findings.finding import SHOWN, Finding, of_line, of_rule
from iptsim.findings.scene import Scene
from iptsim.host.containers import Container
from iptsim.host.pasted_services import UnresolvedName
from iptsim.languages import Message, message, message_joined
from iptsim.passages import shell
from iptsim.question.places import called, is_named, why_unresolved

#: A name in DNS, below a domain of two letters or a common one.
_IN_DNS = re.compile(r"(?:[A-Za-z0-9-]+\.)+(?:com|net|org|edu|gov|info|biz|[A-Za-z]{2})")
_PLACEHOLDER = re.compile(r"(?i)(?:your|my|the|some|public|server|external|internal|ip)\b|.*\.(?:ip|of)\b")


class _Case(NamedTuple):
    """A name that containers cannot resolve.

    Attributes:
        asked: the error in the text.
        target: the container that has the name; None if there is none.
        why: why they cannot resolve it, as a clause.
    """

    asked: UnresolvedName
    askers: tuple[Container, ...]
    target: Container | None
    why: Message


def unresolved(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, the first name that could not be resolved because of the containers' networks."""
    case = _first(scene)
    if case is None:
        return
    yield Finding(
        "name-not-resolved",
        _title(case),
        (of_line(case.asked.line, case.asked.text),),
        message(
            "A name that cannot be resolved ends the connection before any packet is sent, so no rule of the host"
            " matters."
        ),
        _remedy(case),
        None,
        scene.families[0],
    )


def title_of_unresolved(scene: Scene) -> Message | None:
    """Return why the first name in a pasted text could not be resolved, in one sentence; None if that is not known."""
    case = _first(scene)
    return _title(case) if case is not None else None


def _first(scene: Scene) -> _Case | None:
    cases = (_case(scene, one) for one in scene.pasted.unresolved)
    return next(filter(None, cases), None)


def _case(scene: Scene, asked: UnresolvedName) -> _Case | None:
    """Return which containers cannot resolve a name; None if they can, or if that is not known."""
    host = scene.host
    known = [
        one for one in host.containers.values() if one.daemon == "docker" and is_named(one) and one.running
    ]
    askers = [one for one in known if not asked.asker or _is_called(scene, one, asked.asker)]
    targets = [one for one in known if _is_called(scene, one, asked.name)]
    if not targets and asked.asker and askers and len(known) == len(host.containers):
        if "." in asked.name or asked.name == "localhost":
            return None  # of another machine
        names = dict.fromkeys(one.service or one.name for one in known)
        others = message("the containers are called {names}", names=message_joined(", ", list(names)[:SHOWN]))
        return _Case(asked, tuple(askers), None, others)
    if len(targets) != 1:
        return None
    failing = [
        (one, why)
        for one in askers
        if one is not targets[0] and (why := why_unresolved(host, asked.name, one, targets[0])) is not None
    ]
    if not failing:
        return None
    return _Case(asked, tuple(one for one, _ in failing), targets[0], failing[0][1])


def _is_called(scene: Scene, container: Container, name: str) -> bool:
    """Return whether a container has a name, or an ID that begins with it."""
    if name == container.name or (len(name) >= 12 and container.id.startswith(name)):
        return True
    return any(one is container for one in called(scene.host, name))


def _title(case: _Case) -> Message:
    return message(
        "{askers} cannot resolve the name {name}: {why}.",
        askers=message_joined(", ", [one.name for one in case.askers[:SHOWN]]),
        name=case.asked.name,
        why=case.why,
    )


def _remedy(case: _Case) -> Message:
    if case.target is None:
        return message(
            "Use one of these names, or give the container the name as an alias: --network-alias {name}, or aliases:"
            " in the Compose file.",
            name=case.asked.name,
        )
    own = [key for key in case.target.endpoints if key != "bridge"]
    if own:
        return message(
            "Put both on one network: {command}. In a Compose file, give both the same network.",
            command=shell(f"docker network connect {own[0]} {case.askers[0].name}"),
        )
    return message(
        "Create a network: {command}. Start both with --network NAME. For a Compose file, Docker creates one.",
        command=shell("docker network create NAME"),
    )


def in_rules(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, commands and files whose rules name other machines by a name in DNS.

    A listing prints the names of addresses, so its rules may have been written with addresses.
    """
    written = [
        range(one.first, one.last + 1)
        for one in scene.pasted.segments
        if "commands" in one.form or one.form.startswith(("rules (", "iptables-save"))
    ]
    for family in scene.families if written else ():
        named = [
            (one, found)
            for one in scene.host.rulesets[family].rules()
            if any(one.line in lines for lines in written) and (found := _host_name(one))
        ]
        if not named:
            continue
        rule, name = named[0]
        yield Finding(
            "name-in-rule",
            message(
                "{place} names a host, {name}: iptables looks it up once, when it adds the rule.",
                place=place_of(rule),
                name=name,
            ),
            tuple(of_rule(one) for one, _ in named[:SHOWN]),
            message(
                "The rule is for the addresses that the name had then. Large sites have many addresses, which change."
                " At boot, before a name server answers, the command fails, and the rule does not exist."
            ),
            message(
                "Use the addresses, or an ipset that a program keeps up to date, such as dnsmasq. To allow or block web"
                " sites by their names, use a proxy or a name server."
            ),
            None,
            family,
        )


def _host_name(rule: Rule) -> str:
    """Return the name of a host that a rule has in place of an address; "" for placeholders."""
    for match in rule.matches:
        kind, *named = match.place if isinstance(match, Hidden) else ("",)
        if kind == "name" and _IN_DNS.fullmatch(name := str(named[0])) and not _PLACEHOLDER.match(name):
            return name
    return ""
