"""The smallest change after which a host meets an expectation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from iptsim.alternatives import Proposal, change_host, proposals
from iptsim.docker.sources.flag_changes import Change
from iptsim.errors import IptsimError
from iptsim.extensions.verdicts import BLOCKING
from iptsim.host.model import Host
from iptsim.languages import Text, message_joined
from iptsim.policy.checking import SOMEWHERE, Grounds, Result, Spaces, check
from iptsim.policy.model import Policy

#: Changes that are tried for one expectation, and how many may be needed together.
_MOST_TRIED, _MOST_TOGETHER = 3, 3


class Mending(NamedTuple):
    """Changes that make an expectation hold.

    Attributes:
        proposals: the changes, in order; each is for packets of one address family.
        suffices: whether the whole expectation holds after them; otherwise only for the example packet.
    """

    proposals: tuple[Proposal, ...]
    suffices: bool

    @property
    def changes(self) -> list[Change]:
        """All changes."""
        return [change for one in self.proposals for change in one.changes]

    @property
    def command(self) -> str:
        """The commands, or else the options of `iptsim whatif`."""
        return "; ".join(one.command or one.options for one in self.proposals)

    @property
    def text(self) -> Text:
        """Their meaning."""
        return message_joined("; ", dict.fromkeys(one.text for one in self.proposals))


def mending(
    policy: Policy, host: Host, results: Sequence[Result], number: int, spaces: Spaces | None = None
) -> Mending | None:
    """Return the change with the fewest side effects after which an expectation holds, and all others as before.

    Args:
        policy: the policy.
        host: the host.
        results: its results on the host.
        number: of the result of the expectation.
        spaces: for the packets of the changed hosts; those of other expectations have much in common.

    Returns:
        The change; one that helps only the first example packet, if no tested change makes all of it hold; None if no
        small change helps, or each would violate another expectation.
    """
    spaces = spaces or Spaces()
    found = _proposals(host, results[number])
    expectation = results[number].expectation
    # only defaults depend on the other expectations
    alone = policy if expectation.is_default else replace(policy, expectations=(expectation,))
    single: list[tuple[Proposal, Grounds]] = []
    for first in found[:_MOST_TRIED]:
        tried: tuple[Proposal, ...] = (first,)
        changed = host
        for left in reversed(range(_MOST_TOGETHER)):
            try:
                changed = change_host(changed, tried[-1].changes, tried[-1].family)
                grounds = Grounds(changed, spaces)
                after = check(alone, changed, grounds)
                result = after[alone.expectations.index(expectation)]
                if result.passed:
                    after = after if alone is policy else check(policy, changed, grounds)
                    if _is_worse(results, after):
                        break
                    return Mending(tried, True)
            except IptsimError:
                break
            if len(tried) == 1:
                single.append((first, grounds))
            # each kind of packets needs a change of its own
            further = _proposals(changed, result) if _violations(result) <= left else []
            if not further:
                break
            tried = (*tried, further[0])
    for proposal, grounds in single:
        try:
            if not _is_worse(results, check(policy, grounds.host, grounds)):
                return Mending((proposal,), False)
        except IptsimError:
            continue
    return None


def _proposals(host: Host, result: Result) -> list[Proposal]:
    """Return the changes that would help the first example packet."""
    if not result.offences:
        return []
    explanation, opens = result.offences[0].fate.explanation, result.expectation.expect in SOMEWHERE
    if not opens and explanation.verdict in BLOCKING:
        return []
    # connections near the packet suffice to compare them
    found = proposals(host, explanation, opens=opens, most_asked=0)
    return [one for one in found if one.changes]


def _is_worse(before: Sequence[Result], after: Sequence[Result]) -> bool:
    """Return whether an expectation is violated by more kinds of packets than before."""
    return any(_violations(one) > _violations(other) for one, other in zip(after, before, strict=True))


def _violations(result: Result) -> int:
    """Return how many kinds of packets violate an expectation."""
    return 0 if result.passed else len(result.offences) + result.left_out
