"""The host that Docker's settings make, where a text holds no rules."""

from __future__ import annotations

from dataclasses import replace

from iptsim.docker.model.settings import DockerHost
from iptsim.docker.sources.compose import read_services
from iptsim.docker.sources.files import of_daemon
from iptsim.docker.sources.started import started
from iptsim.dump.ruleset import Rule, Ruleset, Table
from iptsim.errors import CaptureError
from iptsim.host import dockerd_options
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.model import Host
from iptsim.languages import message, text_of
from iptsim.packet import Family
from iptsim.paste.forms.settings import merged
from iptsim.paste.pieces import Settings


def host_with(found: list[Settings], source: str) -> Host:
    """Return the host after dockerd has started with settings that a text holds.

    Raises:
        CaptureError: a setting is invalid; the text names it.
    """
    settings = merged(found)
    return started(_docker(settings, source), source)


def add_status(rulesets: dict[Family, Ruleset], more: dict[Family, Ruleset]) -> None:
    """Add the rules of another firewall, made from what its own command shows: Docker's precede them in each chain."""
    for family, ruleset in more.items():
        for name, table in ruleset.tables.items():
            known = rulesets[family].tables.setdefault(name, Table(name))
            for chain in table.chains.values():
                own = known.chains.setdefault(chain.name, chain)
                if own is not chain:
                    own.policy = chain.policy
                    last = max((rule.position for rule in own.rules), default=0)
                    own.rules += [_behind(rule, last) for rule in chain.rules]


def _behind(rule: Rule, last: int) -> Rule:
    return replace(rule, position=rule.position + last) if rule.position else rule


def _docker(settings: Settings, source: str) -> DockerHost:
    try:
        options = dockerd_options.file_options(settings.daemon)
    except ValueError as error:
        raise CaptureError(message("{path}: {error}", path=source, error=text_of(error))) from None
    daemon = dockerd_options.make_daemon([(source, options)], None, ()) if options else DockerDaemon()
    if not settings.services:
        return of_daemon(daemon)
    document = {"name": "project", "services": settings.services, "networks": settings.networks}
    return read_services(document, source, daemon)
