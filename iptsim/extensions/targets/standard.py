"""The targets that are plain verdicts: ACCEPT, DROP, RETURN, QUEUE."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Insists, Status, Target
from iptsim.extensions.context import Context
from iptsim.extensions.verdicts import Verdict
from iptsim.languages import Text, message


class _Verdict(Target):
    """A target that only decides."""

    changes: ClassVar[bool] = False
    terminal: ClassVar[bool] = True
    verdict: ClassVar[Verdict]

    def apply(self, context: Context) -> Verdict:
        return self.verdict


class Accept(_Verdict):
    """Accept the packet in this chain's table and hook."""

    name: ClassVar[str] = "ACCEPT"
    verdict: ClassVar[Verdict] = Verdict("ACCEPT")
    alone: ClassVar[Text] = message("accept")


class Drop(_Verdict):
    """Drop the packet without a reply."""

    name: ClassVar[str] = "DROP"
    #: iptables rejects it in table nat, which is not for filtering
    tables: ClassVar[frozenset[str] | None] = frozenset({"filter", "mangle", "raw", "security"})
    insists: ClassVar[Insists] = "tables"
    verdict: ClassVar[Verdict] = Verdict("DROP")
    alone: ClassVar[Text] = message("drop")


class Return(_Verdict):
    """Leave the chain: continue after the rule that jumped here, or with the policy."""

    name: ClassVar[str] = "RETURN"
    verdict: ClassVar[Verdict] = Verdict("RETURN")
    alone: ClassVar[Text] = message("go back to the calling chain")


class Queue(_Verdict):
    """Hand the packet to a program that reads queue 0."""

    name: ClassVar[str] = "QUEUE"
    status: ClassVar[Status] = "given"
    verdict: ClassVar[Verdict] = Verdict("QUEUE", detail=message("queue 0"))
    alone: ClassVar[Text] = message("hand to the program that reads queue 0")


EXTENSIONS = (Accept, Drop, Return, Queue)
