"""What if: a host after some changes, and what they do to a packet, or to all that can be asked."""

from iptsim.alternatives.changes import change_host
from iptsim.alternatives.comparison import Parting, WhatIf, what_if
from iptsim.alternatives.proposals import Proposal, Proposals, proposals
from iptsim.alternatives.table import Outcome, Shift, shifts
from iptsim.reach import Row

__all__ = [
    "Outcome",
    "Parting",
    "Proposal",
    "Proposals",
    "Row",
    "Shift",
    "WhatIf",
    "change_host",
    "proposals",
    "shifts",
    "what_if",
]
