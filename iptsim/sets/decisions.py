"""How a class of packets decides what is undecided outside the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from iptsim.dump.rule import Rule
from iptsim.host.nft_chains import NftChain
from iptsim.languages import Text
from iptsim.netfilter.choices import Choices
from iptsim.netfilter.trace import MATCHES
from iptsim.truth import Unknown


class Decisions(Choices):
    """Decides what is undecided outside the rules.

    Args:
        decide: decides something for the class, given its key and why it is undecided; equal keys are one decision.
    """

    def __init__(self, decide: Callable[[tuple[Any, ...], Text], bool]) -> None:
        super().__init__()
        self._decide = decide
        self._counts: dict[str, int] = {}

    def take(
        self,
        unknown: Unknown,
        what: str,
        words: Text = MATCHES,
        *,
        rule: Rule | None = None,
        otherwise: Text = "",
        chain: NftChain | None = None,
    ) -> bool:
        """Return how something is decided for the packets of the class."""
        self._counts[what] = number = self._counts.get(what, 0) + 1
        key = (what, chain, *unknown.key[1:]) if chain is not None else (what, number)
        self.plan = (*self.plan, self._decide(key, unknown.reason))
        return super().take(unknown, what, words, rule=rule, otherwise=otherwise, chain=chain)
