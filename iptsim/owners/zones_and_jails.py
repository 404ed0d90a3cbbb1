"""Zones and jails in the rules of a host, with their addresses and interfaces."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.dump.rule import Rule
from iptsim.host.model import Host
from iptsim.owners.maker import option_of, single
from iptsim.owners.rule_owners import authorship, rulesets_of


def zones(host: Host) -> dict[str, list[str]]:
    """Return the zones of firewalld with their interfaces and sources; "default" marks the default zone."""
    found: dict[str, dict[str, None]] = {}
    for rule in _rules(host, "firewalld-zone"):
        role = authorship(rule, host)[1]
        if role is None or "zone" not in role.about or "INPUT_ZONES" not in rule.chain:
            continue
        text = rule.text
        member = option_of(text, "-i") or single(option_of(text, "-s")) or _ipset(text)
        found.setdefault(role.about["zone"], {})[member if member not in ("", "+") else "default"] = None
    return {zone: list(members) for zone, members in found.items()}


def jails(host: Host) -> dict[str, list[str]]:
    """Return the jails of fail2ban with the addresses that they have banned."""
    found: dict[str, dict[str, None]] = {}
    for code in ("fail2ban-jail", "fail2ban-banned"):
        for rule in _rules(host, code):
            role = authorship(rule, host)[1]
            if role is None or "jail" not in role.about:
                continue
            banned = found.setdefault(role.about["jail"], {})
            if address := single(option_of(rule.text, "-s")) or _ipset(rule.text):
                banned[address] = None
    return {jail: list(addresses) for jail, addresses in found.items()}


def _ipset(text: str) -> str:
    name = option_of(text, "--match-set")
    return f"ipset {name}" if name else ""


def _rules(host: Host, code: str) -> Iterator[Rule]:
    """Yield the rules with a role, among those whose chain or target shows the program."""
    marks = ("INPUT_ZONES",) if code.startswith("firewalld") else ("f2b-", "fail2ban-")
    for ruleset in rulesets_of(host):
        for rule in ruleset.rules():
            if any(mark in rule.chain or mark in rule.text for mark in marks):
                role = authorship(rule, host)[1]
                if role is not None and role.code == code:
                    yield rule
