"""Commands in the environment of a Compose file that fail because their quotation marks belong to them."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.findings.finding import Finding, of_line
from iptsim.findings.scene import Scene
from iptsim.languages import message


def commands(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, items `- NAME="iptables ..."`: Compose takes all behind the equals sign for the value.

    A shell that evaluates the value then looks for a program whose name is the whole command (YAML 1.2.2, 7.3.3: plain
    scalars; compose-spec, environment).
    """
    for one in scene.pasted.quoted:
        yield Finding(
            "quoted-command",
            message(
                "The quotation marks in line {line} belong to the value of {name}.",
                line=one.line,
                name=one.name,
            ),
            (of_line(one.line, one.text),),
            message(
                "In a list of a Compose file, only quotation marks around the whole item are removed. The shell takes"
                " the quoted command for the name of one program and finds none, so its rules do not exist; wg-quick"
                " takes the interface down again."
            ),
            message("Leave them out, or quote the whole item: {mended}", mended=one.mended),
            None,
            scene.families[0],
        )
