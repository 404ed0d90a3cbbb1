"""Decides undecided matches, and what the kernel picks at random, on one branch of a question."""

from __future__ import annotations

from typing import Any

from iptsim.dump.rule import Rule
from iptsim.extensions.values import MaskedNumber
from iptsim.host.nft_chains import NftChain
from iptsim.languages import Text, message
from iptsim.netfilter.trace import MATCHES, Decision, Sent
from iptsim.partly_known import Bits, Mark
from iptsim.truth import Unknown


class Choices:
    """Takes the values of a plan in order, True after its end, and records what each of them decided."""

    def __init__(self, plan: tuple[bool, ...] = ()) -> None:
        self.plan = plan
        self.decisions: list[Decision] = []
        #: the decisions that hold for the rest of the walk, by key
        self.settled: dict[Any, bool] = {}
        #: the packet that is being followed
        self.sent = Sent()

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
        """Take the next value of the plan.

        Args:
            unknown: why it is undecided.
            what: the match or target; for a choice outside the rules a word for what is chosen.
            words: what holds if the value is True: a predicate of the match or target; a clause if there is no rule.
            rule: None for a choice outside the rules.
            otherwise: what holds if the value is False; empty for the negation of `words`.
            chain: the base chain of nftables whose verdict it is.
        """
        index = len(self.decisions)
        value = self.plan[index] if index < len(self.plan) else True
        place = ("", "", 0) if rule is None else (rule.table, rule.chain, rule.position)
        # equal keys are decided alike, for all packets
        sent = None if rule is None or unknown.key else self.sent
        unknown = unknown._replace(learn=None)
        self.decisions.append(Decision(unknown, what, place, rule, value, words, otherwise, chain, sent))
        return value

    def choose(
        self, unknown: Unknown, what: str, words: Text, *, otherwise: Text = "", chain: NftChain | None = None
    ) -> bool:
        """Decide something outside the rules; within one walk, equal keys of `unknown` are decided alike."""
        key = (what, unknown.key)
        if key not in self.settled:
            self.settled[key] = self.take(unknown, what, words, otherwise=otherwise, chain=chain)
        return self.settled[key]

    def decide_mark(self, mark: Mark, wanted: MaskedNumber) -> None:
        """Decide whether a packet's mark is one of some marks, if that is unknown."""
        learn = True if isinstance(mark, int) else mark.test([Bits(wanted.value & wanted.mask, wanted.mask)])
        if isinstance(mark, int) or isinstance(learn, bool):
            return
        unknown = Unknown(mark.reason.reason, mark.reason.decide)
        learn(self.take(unknown, "mark", message("the packet's mark is {mark}", mark=str(wanted))))
