"""What if: a host after some changes, and what they do to a packet, or to all that can be asked."""

from iptsim.alternatives.changes import change_host
from iptsim.alternatives.comparison import Parting, WhatIf, what_if
from iptsim.alternatives.table import Row, Shift, reachability, shifts

__all__ = ["Parting", "Row", "Shift", "WhatIf", "change_host", "reachability", "shifts", "what_if"]
