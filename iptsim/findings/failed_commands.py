"""Commands in a pasted log that failed as a chain does not exist: of Docker, which also looks for it, and of others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from iptsim.addresses import Family
from iptsim.docker.dockerd.recognition import DOCKER_CHAINS
from iptsim.findings.finding import Evidence, Finding, of_line
from iptsim.findings.scene import Scene
from iptsim.host.pasted import FailedCommand
from iptsim.languages import message, message_sentences
from iptsim.passages import RESTART_DOCKER, shell

#: At most this many lines of a log are named.
LINES_SHOWN = 3
#: What iptables prints if a chain that a rule is for, or jumps to, does not exist.
_NO_CHAIN = re.compile(r"No chain/target/match by that name|(?<!Table )does not exist|Couldn't load target")
#: Options of iptables with which dockerd looks for a chain.
_LOOKS = re.compile(r"-[nvx]*L[nvx]*|--list")
_INGRESS = "DOCKER-INGRESS"
#: Chains of Podman's networks: of its CNI plugins, and of netavark.
_PODMANS = re.compile(r"(?:CNI|NETAVARK)[-_][\w-]+")


def of_failed(command: FailedCommand) -> Evidence:
    """Return a command that failed as evidence."""
    return of_line(command.line, command.shown)


def dockers_failed(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted log, commands of dockerd that failed because a chain of Docker does not exist."""
    found = [(one, name) for one in scene.pasted.failed if (name := _lacks(one)) is not None]
    if not found:
        return
    first, chain = found[0]
    evidence, family = tuple(of_failed(one) for one, _ in found[:LINES_SHOWN]), _family(first)
    if first.caller:
        yield _other_program_failed(first.caller, chain, evidence, family)
    else:
        daemon = scene.host.daemon
        off = daemon is not None and daemon.iptables is False
        yield _docker_failed(chain, evidence, family, off=off)


def podmans_failed(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted log, commands of Podman that failed because a chain of its networks does not exist."""
    found = [
        (one, name)
        for one in scene.pasted.failed
        if chain_missing(one) and (name := next(filter(_PODMANS.fullmatch, one.words), None))
    ]
    if not found:
        return
    first, chain = found[0]
    yield Finding(
        "podman-rules-flushed",
        message("Podman's chain {chain} does not exist any more.", chain=chain),
        (
            *(of_line(one.line, one.command) for one in scene.pasted.firewalld_reloads[:LINES_SHOWN]),
            *(of_failed(one) for one, _ in found[:LINES_SHOWN]),
        ),
        message(
            "Podman writes the rules of a container only when it starts. A reload of firewalld, or a script that"
            " flushes the tables, removes them; then published ports are not forwarded, and containers do not reach"
            " other networks."
        ),
        message(
            "podman network reload --all writes them again. netavark-firewalld-reload.service does that after each"
            " reload of firewalld."
        ),
        None,
        _family(first),
    )


def _docker_failed(chain: str, evidence: tuple[Evidence, ...], family: Family, *, off: bool) -> Finding:
    """Return the finding about a command of dockerd: another program has removed the chain.

    Args:
        chain: the chain that does not exist.
        evidence: the commands.
        family: the address family.
        off: dockerd runs with iptables=false.
    """
    return Finding(
        "docker-rules-flushed",
        message("Docker could not write a rule, because its chain {chain} does not exist.", chain=chain),
        evidence,
        message(
            "dockerd runs with iptables=false, so it creates no chains; but some versions add rules to them."
        )
        if off
        else message(
            "dockerd creates its chains when it starts. Another program, such as firewalld, iptables-restore or a"
            " script that flushes the tables, has removed them since."
        ),
        message(
            "Remove iptables=false and restart Docker, or create the chain: {command}",
            command=shell("iptables -t {} -N {}".format(*chain.split())),
        )
        if off
        else message(
            "To create them again: {command}. To keep them, start or reload the other firewall before Docker.",
            command=RESTART_DOCKER,
        ),
        None,
        family,
    )


def _other_program_failed(caller: str, chain: str, evidence: tuple[Evidence, ...], family: Family) -> Finding:
    """Return the finding about a command of another program: it sees other rules than Docker, or came first."""
    return Finding(
        "docker-rules-flushed",
        message(
            "{caller} could not add its rule, because Docker's chain {chain} does not exist where it looks.",
            caller=caller,
            chain=chain,
        ),
        evidence,
        message(
            "dockerd creates its chains when it starts, with the iptables of the host. An iptables in a container may"
            " use the other backend (legacy or nf_tables), which has no such chain; or Docker had not started yet."
        ),
        message(
            "Compare iptables --version on the host and where {caller} runs, and use the same backend; start {caller}"
            " after Docker.",
            caller=caller,
        ),
        None,
        family,
    )


def chain_missing(one: FailedCommand) -> bool:
    """Return whether a command failed because something that it names does not exist."""
    return _NO_CHAIN.search(one.why) is not None


def _option(one: FailedCommand, *names: str) -> str | None:
    """Return the word that follows the first of some options in a command; None without any."""
    return next((after for word, after in pairwise(one.words) if word in names), None)


def _table(one: FailedCommand) -> str:
    return _option(one, "-t", "--table") or "filter"


def _family(one: FailedCommand) -> Family:
    return 6 if one.program == "ip6tables" else 4


def _lacks(one: FailedCommand) -> str | None:
    """Return the chain of Docker, with its table, whose absence made a command fail; None for other failures."""
    if not chain_missing(one):
        return None
    adds, jumps = _option(one, "-A", "-I"), _option(one, "-j")
    name = next((name for name in (jumps, adds) if name in DOCKER_CHAINS), None)
    return f"{_table(one)} {name}" if adds is not None and name is not None else None


def checks_of_docker(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted log, commands of dockerd that looked for a missing chain, if none that adds a rule failed."""
    found = [(one, name) for one in scene.pasted.failed if (name := _sought(one)) is not None]
    if not found or any(dockers_failed(scene)):
        return
    (first, chain), names = found[0], {name.split()[1] for _, name in found}
    yield Finding(
        "docker-chain-missing",
        message("Docker looked for its chain {chain}, which did not exist then.", chain=chain),
        tuple(of_failed(one) for one, _ in found[:LINES_SHOWN]),
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
            "See whether it is there now: {command}. If not: {restart}",
            restart=RESTART_DOCKER,
            command=shell("{} -t {} -nL {}".format(first.program, *chain.split())),
        ),
        None,
        _family(first),
    )


def _sought(one: FailedCommand) -> str | None:
    """Return the chain of Docker, with its table, that a command did not find; None for other commands."""
    if one.caller or not chain_missing(one) or not any(map(_LOOKS.fullmatch, one.words)):
        return None
    chain = next((word for word in one.words if word in DOCKER_CHAINS), None)
    return None if chain is None else f"{_table(one)} {chain}"
