"""Finds an extension by its name after `-m` or `-j`, as xtables finds its plug-ins.

The module's file name is the extension's name in lower case; modules load on first use, so a dump loads only the
extensions that it uses.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path

from iptsim.extensions.base import Extension, Match, Target

#: Protocols whose options `-p` loads on its own, under the name of their match.
PROTOCOL_MATCHES = {
    "tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp", "udplite": "udplite", "136": "udplite",
    "icmp": "icmp", "1": "icmp", "icmpv6": "icmp6", "ipv6-icmp": "icmp6", "58": "icmp6",
    "sctp": "sctp", "132": "sctp", "dccp": "dccp", "33": "dccp", "esp": "esp", "50": "esp",
    "ah": "ah", "51": "ah", "ipcomp": "ipcomp", "108": "ipcomp",
    "ipv6-mh": "mh", "mobility-header": "mh", "135": "mh", "mh": "mh",
}  # fmt: skip
#: Targets that are plain verdicts; they share a module.
STANDARD = frozenset({"ACCEPT", "DROP", "RETURN", "QUEUE"})
#: Extensions whose module is that of their twin.
_TWINS = {
    "matches": {"dccp": "sctp", "dscp": "tos", "dst": "hbh", "hl": "ttl", "srh": "rt"},
    "targets": {
        "connmark": "mark", "connsecmark": "secmark", "dnpt": "snpt", "dscp": "tos", "hl": "ttl",
        "masquerade": "redirect", "notrack": "ct", "snat": "dnat", "ulog": "nflog",
    },
}  # fmt: skip
_ALIASES = {"icmpv6": "icmp6", "ipv6-icmp": "icmp6", "mobility-header": "mh", "ipv6-mh": "mh"}


@cache
def extension_names(kind: str) -> frozenset[str]:
    """Return the extensions of a kind, "matches" or "targets", by their names in lower case."""
    return frozenset({*_modules(kind), *_TWINS[kind]})


@cache
def _modules(kind: str) -> tuple[str, ...]:
    folder = Path(__file__).parent / kind
    return tuple(sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__"))


def _find(kind: str, name: str, family: int) -> type[Extension] | None:
    module_name = "standard" if kind == "targets" and name in STANDARD else name.lower()
    module_name = _TWINS[kind].get(module_name, module_name)
    if module_name not in _modules(kind):
        return None
    module = import_module(f"iptsim.extensions.{kind}.{module_name}")
    for extension in module.EXTENSIONS:
        if extension.name == name and extension.family in (None, family):
            found: type[Extension] = extension
            return found
    return None


@lru_cache(maxsize=512)
def find_match(name: str, family: int) -> type[Match] | None:
    """Return the match called `name` for an address family, or None."""
    found = _find("matches", _ALIASES.get(name, name), family)
    assert found is None or issubclass(found, Match)
    return found


@lru_cache(maxsize=65536)
def find_target(name: str, family: int) -> type[Target] | None:
    """Return the target called `name` for an address family, or None (it may be a chain)."""
    found = _find("targets", name, family)
    assert found is None or issubclass(found, Target)
    return found


@cache
def all_extensions() -> tuple[type[Extension], ...]:
    """Return every extension, matches first, by name. Imports them all."""

    def of(kind: str) -> list[type[Extension]]:
        modules = (import_module(f"iptsim.extensions.{kind}.{name}") for name in _modules(kind))
        return [extension for module in modules for extension in module.EXTENSIONS]

    # twins share a module
    return tuple(one for kind in _TWINS for one in sorted(of(kind), key=lambda extension: extension.name))
