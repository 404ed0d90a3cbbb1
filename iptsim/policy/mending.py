"""The smallest change after which a host meets an expectation."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from iptsim.alternatives import Proposal, change_host, proposals
from iptsim.errors import IptsimError
from iptsim.host.model import Host
from iptsim.policy.checking import Result, check
from iptsim.policy.model import Policy

#: Changes that are tried for one expectation.
_MOST_TRIED = 3


class Mending(NamedTuple):
    """A change that makes an expectation hold.

    Attributes:
        proposal: the change.
        suffices: whether the whole expectation holds after it; otherwise only for the example packet.
    """

    proposal: Proposal
    suffices: bool


def mending(policy: Policy, host: Host, result: Result) -> Mending | None:
    """Return the change with the fewest side effects after which an expectation holds.

    Returns:
        The change; one that helps only the first example packet, if no tested change makes all of it hold; None if no
        small change helps.
    """
    if not result.offences:
        return None
    offence = result.offences[0]
    found = [one for one in proposals(host, offence.fate.explanation) if one.changes]
    expectation = result.expectation
    # only defaults depend on the other expectations
    asked = policy if expectation.is_default else replace(policy, expectations=(expectation,))
    for proposal in found[:_MOST_TRIED]:
        try:
            after = check(asked, change_host(host, proposal.changes, offence.family))
        except IptsimError:
            continue
        if after[asked.expectations.index(expectation)].passed:
            return Mending(proposal, True)
    return Mending(found[0], False) if found else None
