"""Asking: a question and a host in, an explanation out. Every command, table, check and report asks here."""

from __future__ import annotations

from iptsim.explanation import Explanation, explain_trace
from iptsim.host.model import Host
from iptsim.netfilter.walk import Simulator, simulator_of
from iptsim.question.model import Question


def ask(host: Host | Simulator, question: Question) -> Explanation:
    """Follow the packet of a question through a host, and explain what happens to it.

    Args:
        host: the host, which keeps what is prepared for the next question; or a :class:`Simulator` of it.
        question: the packet.

    Raises:
        UsageError: the host does not know an endpoint of the question.
        RulesetError: the rules loop or jump to a chain that does not exist.
        WalkLimitError: the rules take more steps than any real ruleset needs.
    """
    simulator = host if isinstance(host, Simulator) else simulator_of(host)
    return explain_trace(simulator.host, question, simulator.walk(question))
