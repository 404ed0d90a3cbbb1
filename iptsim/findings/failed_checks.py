"""Commands in a pasted log with which Docker looks for its chains: they fail where these do not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from iptsim.docker.dockerd.recognition import DOCKER_CHAINS
from iptsim.findings import failed_commands
from iptsim.findings.finding import Finding
from iptsim.findings.scene import Scene
from iptsim.host.pasted import FailedCommand
from iptsim.languages import message, message_sentences

#: Options of iptables with which dockerd looks for a chain.
_LOOKS = re.compile(r"-[nvx]*L[nvx]*|--list")
_INGRESS = "DOCKER-INGRESS"
#: At most this many lines of a log are named.
_LINES = 3


def of_docker(scene: Scene) -> Iterator[Finding]:
    """Find such commands, if no command of the log that adds a rule failed."""
    found = [(one, name) for one in scene.pasted.failed if (name := _sought(one)) is not None]
    if not found or any(failed_commands.dockers_failed(scene)):
        return
    (first, chain), names = found[0], {name.split()[1] for _, name in found}
    yield Finding(
        "docker-chain-missing",
        message("Docker looked for its chain {chain}, which did not exist then.", chain=chain),
        tuple(failed_commands.of_failed(one) for one, _ in found[:_LINES]),
        message_sentences(
            message(
                "Before dockerd creates a chain, it looks for it, and firewalld logs when there is none. When Docker"
                " starts, that is harmless. After a reload or restart of firewalld, which"
                " removes all rules, the chain is missing until dockerd writes it again."
            ),
            message("The published ports of swarm services need {chain}.", chain=_INGRESS)
            if _INGRESS in names
            else "",
        ),
        message(
            "See whether it is there now: {command}. If not: systemctl restart docker",
            command="{} -t {} -nL {}".format(first.program, *chain.split()),
        ),
        None,
        6 if first.program == "ip6tables" else 4,
    )


def _sought(one: FailedCommand) -> str | None:
    """Return the chain of Docker, with its table, that a command did not find; None for other commands."""
    if one.caller or not failed_commands.chain_missing(one) or not any(map(_LOOKS.fullmatch, one.words)):
        return None
    table = next((after for word, after in pairwise(one.words) if word in ("-t", "--table")), "filter")
    chain = next((word for word in one.words if word in DOCKER_CHAINS), None)
    return None if chain is None else f"{table} {chain}"
