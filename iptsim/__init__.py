"""Simulate and explain iptables: what happens to this packet, which rule decides, and why.

    >>> import iptsim
    >>> answer = iptsim.explain("capture/", "client", "web", dport=80)  # doctest: +SKIP
    >>> answer.verdict  # doctest: +SKIP
    'DROP'

Names are loaded on first use, so that `import iptsim` costs almost nothing. Only the registration of display methods is
imported here, which loads nothing else: a program can handle Ctrl-C only after that.
"""

from __future__ import annotations

from iptsim.display import register_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from iptsim.alternatives import WhatIf, proposals
    from iptsim.api import Answers, explain, explain_many, whatif
    from iptsim.dump import dumps, loads
    from iptsim.dump.ruleset import Ruleset
    from iptsim.errors import IptsimError
    from iptsim.explanation import Explanation
    from iptsim.findings import Finding, lint
    from iptsim.host import Host
    from iptsim.languages import language, use_language
    from iptsim.netfilter.trace import Trace
    from iptsim.netfilter.walk import walk
    from iptsim.packet import Packet
    from iptsim.question.model import Question
    from iptsim.reach import Reachability, reachability
    from iptsim.render.picker import picker
    from iptsim.sets.differences import Difference, differences
    from iptsim.sets.fates import Fate, Fates, fates
    from iptsim.sets.packets import PacketSet
    from iptsim.sets.space import Space
    from iptsim.sources import load, load_host, loads_host

register_all()

__version__ = "0.1.0"

_HOMES = {
    "Answers": "iptsim.api",
    "Explanation": "iptsim.explanation",
    "Finding": "iptsim.findings",
    "Host": "iptsim.host",
    "IptsimError": "iptsim.errors",
    "Packet": "iptsim.packet",
    "Question": "iptsim.question.model",
    "Reachability": "iptsim.reach",
    "Ruleset": "iptsim.dump.ruleset",
    "Trace": "iptsim.netfilter.trace",
    "WhatIf": "iptsim.alternatives",
    "dumps": "iptsim.dump",
    "Difference": "iptsim.sets.differences",
    "Fate": "iptsim.sets.fates",
    "Fates": "iptsim.sets.fates",
    "PacketSet": "iptsim.sets.packets",
    "Space": "iptsim.sets.space",
    "differences": "iptsim.sets.differences",
    "explain": "iptsim.api",
    "fates": "iptsim.sets.fates",
    "explain_many": "iptsim.api",
    "language": "iptsim.languages",
    "lint": "iptsim.findings",
    "load": "iptsim.sources",
    "load_host": "iptsim.sources",
    "loads": "iptsim.dump",
    "loads_host": "iptsim.sources",
    "picker": "iptsim.render.picker",
    "proposals": "iptsim.alternatives",
    "reachability": "iptsim.reach",
    "use_language": "iptsim.languages",
    "walk": "iptsim.netfilter.walk",
    "whatif": "iptsim.api",
}

__all__ = [
    "Answers",
    "Difference",
    "Explanation",
    "Fate",
    "Fates",
    "Finding",
    "Host",
    "IptsimError",
    "Packet",
    "PacketSet",
    "Question",
    "Reachability",
    "Ruleset",
    "Space",
    "Trace",
    "WhatIf",
    "__version__",
    "differences",
    "dumps",
    "explain",
    "explain_many",
    "fates",
    "language",
    "lint",
    "load",
    "load_host",
    "loads",
    "loads_host",
    "picker",
    "proposals",
    "reachability",
    "use_language",
    "walk",
    "whatif",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'iptsim' has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
