"""The port of SSH, as far as the source shows it."""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.dump.rule import Rule
from iptsim.findings.finding import takes_port
from iptsim.findings.scene import Scene
from iptsim.protocols import TCP

#: The port that sshd listens on, unless it is configured otherwise.
USUAL = 22
#: The names of programs that serve SSH.
_PROGRAMS = ("sshd", "dropbear")


def ssh_ports(scene: Scene) -> list[int]:
    """Return the ports on which a server of SSH listens; none if the source does not show it."""
    listeners = scene.host.namespace.listeners or ()
    return sorted({one.port for one in listeners if one.proto == TCP and one.program in _PROGRAMS})


def name_port(rules: Iterable[Rule], port: int) -> bool:
    """Return whether some of the rules accept a port of TCP by its number, from whatever address."""
    return any(
        rule.target_name == "ACCEPT"
        and rule.parameters.protocol == TCP
        and bool(rule.conditions_on("dport"))
        and takes_port(rule, port)
        for rule in rules
    )
