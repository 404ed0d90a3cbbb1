"""`-j TRACE`: report every rule that the packet matches from here on (net/netfilter/xt_TRACE.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Target
from iptsim.languages import Text, message


class Trace(Target):
    """Trace the packet. The legacy backend accepts it in the raw table only, nf_tables everywhere."""

    name: ClassVar[str] = "TRACE"
    changes: ClassVar[bool] = False
    alone: ClassVar[Text] = message("trace the packet's path through the rules")


EXTENSIONS = (Trace,)
