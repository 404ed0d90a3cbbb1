"""The one call that answers a question in Python; `import iptsim` offers it as `iptsim.explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from iptsim.explanation import Explanation, explain_trace
from iptsim.fields import make_question
from iptsim.host import Host, load_host
from iptsim.netfilter.walk import walk


def explain(
    source: str | Path | Host,
    src: str | None = None,
    dst: str | None = None,
    *,
    proto: str | None = None,
    dport: int | None = None,
    **fields: Any,
) -> Explanation:
    """Say what becomes of a packet, and why.

    Args:
        source: a capture directory or archive, a dump file, or a :class:`Host` that
            :func:`iptsim.load_host` read. Give the host itself when you ask more than once.
        src: who sends: a container's name, "host", "internet", an address.
        dst: to whom; a port may follow, as in "web:80".
        proto: protocol name or number.
        dport: destination port.
        fields: anything else that a batch line may say: `state="established"`, `mark=7`,
            `assume={"limit": True}`.

    Raises:
        UsageError: the question can't be understood.
        CaptureError: the source can't be read.
        DumpSyntaxError: a line of the dump that iptables-restore would not take.
        RulesetError: the rules loop or jump to a chain that is not there.
    """
    host = source if isinstance(source, Host) else load_host(source)
    given = {"from": src, "to": dst, "dport": dport, "proto": proto, **fields}
    question = make_question({name: value for name, value in given.items() if value is not None})
    return explain_trace(host, question, walk(host, question))
