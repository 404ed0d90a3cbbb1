"""The smallest change after which a host meets an expectation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from iptsim.alternatives import Proposal, change_host, proposals
from iptsim.errors import IptsimError
from iptsim.host.model import Host
from iptsim.languages import message_joined
from iptsim.policy.checking import Result, check
from iptsim.policy.model import Policy

#: Changes that are tried for one expectation, and how many may be needed together.
_MOST_TRIED, _MOST_TOGETHER = 3, 3


class Mending(NamedTuple):
    """A change that makes an expectation hold.

    Attributes:
        proposal: the change.
        suffices: whether the whole expectation holds after it; otherwise only for the example packet.
    """

    proposal: Proposal
    suffices: bool


def mending(policy: Policy, host: Host, results: Sequence[Result], number: int) -> Mending | None:
    """Return the change with the fewest side effects after which an expectation holds, and all others as before.

    Args:
        policy: the policy.
        host: the host.
        results: its results on the host.
        number: of the result of the expectation.

    Returns:
        The change; one that helps only the first example packet, if no tested change makes all of it hold; None if no
        small change helps.
    """
    found = _proposals(host, results[number])
    for proposal in found[:_MOST_TRIED]:
        for _ in range(_MOST_TOGETHER):
            after = _after(policy, host, results, number, proposal)
            if after is None:
                break
            changed, result = after
            if result.passed:
                return Mending(proposal, True)
            further = _proposals(changed, result)
            if not further:
                break
            proposal = _together(proposal, further[0])
    return Mending(found[0], False) if found else None


def _proposals(host: Host, result: Result) -> list[Proposal]:
    """Return the changes that would help the first example packet."""
    if not result.offences:
        return []
    return [one for one in proposals(host, result.offences[0].fate.explanation) if one.changes]


def _together(first: Proposal, second: Proposal) -> Proposal:
    """Return both changes as one."""
    text = message_joined("; ", dict.fromkeys((first.text, second.text)))
    return replace(second, changes=(*first.changes, *second.changes), text=text)


def _after(
    policy: Policy, host: Host, results: Sequence[Result], number: int, proposal: Proposal
) -> tuple[Host, Result] | None:
    """Return a changed host and the result of an expectation there; None if others would be violated more than now."""
    family = results[number].offences[0].family
    try:
        changed = change_host(host, proposal.changes, family)
        found = check(policy, changed)
    except IptsimError:
        return None
    is_worse = any(
        _violations(one) > _violations(before)
        for place, (one, before) in enumerate(zip(found, results, strict=True))
        if place != number
    )
    return None if is_worse else (changed, found[number])


def _violations(result: Result) -> int:
    """Return how many kinds of packets violate an expectation."""
    return 0 if result.passed else len(result.offences) + result.left_out
