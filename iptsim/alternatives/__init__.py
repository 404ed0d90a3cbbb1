"""What-if analysis: a host after some changes, and their effect on a packet or on all checked connections."""

from iptsim.alternatives.changes import change_host
from iptsim.alternatives.comparison import Parting, WhatIf, what_if
from iptsim.alternatives.proposal import Proposal, Proposals
from iptsim.alternatives.proposals import proposals
from iptsim.alternatives.shifts import Outcome, Shift, shifts
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
