"""The port of sshd was changed, and the rules still accept only the usual one."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.explanation import Explanation
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.closed import opening
from iptsim.findings.finding import Finding, filtered_at, of_line, of_rule
from iptsim.findings.scene import Scene
from iptsim.findings.ssh import USUAL
from iptsim.languages import message
from iptsim.netfilter.steps import Step


def moved(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, that INPUT blocks each port of sshd's settings, but accepts its usual port, 22."""
    ports = scene.pasted.sshd_ports
    for family in scene.families if ports else ():
        usual = scene.ask("internet", "host", family, proto="tcp", dport=USUAL)
        asked = [scene.ask("internet", "host", family, proto="tcp", dport=one.port) for one in ports]
        blocking = [step for one in asked if (step := _blocked(one)) is not None]
        if usual is None or usual.verdict != "ACCEPT" or len(blocking) < len(ports):
            continue
        accepting = usual.trace.legs[0].deciding
        rule = accepting.rule if accepting is not None else None
        yield Finding(
            "sshd-port-blocked",
            message(
                "sshd listens on port {port}, but INPUT blocks it and accepts port 22.", port=ports[0].port
            ),
            (
                of_line(ports[0].line, ports[0].text),
                *([of_rule(rule)] if rule is not None else []),
            ),
            message("New SSH connections to port {port} do not arrive.", port=ports[0].port),
            message("{commands}", commands=opening(scene, family, blocking[0], "tcp", str(ports[0].port))),
            asked[0],
            family,
        )


def _blocked(shown: Explanation | None) -> Step | None:
    """Return where INPUT certainly blocks a packet; None if it may not."""
    return filtered_at(shown, "INPUT") if shown is not None and shown.verdict in BLOCKING else None
