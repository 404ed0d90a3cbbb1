"""The calls that answer a question in Python: `iptsim.explain` and `iptsim.whatif`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from iptsim.alternatives import WhatIf, what_if
from iptsim.explanation import Explanation, explain_trace
from iptsim.fields import make_question
from iptsim.host import Host, load_host
from iptsim.languages import language
from iptsim.netfilter.question import Question
from iptsim.netfilter.walk import walk


def explain(
    source: str | Path | Host,
    src: str | None = None,
    dst: str | None = None,
    *,
    proto: str | None = None,
    dport: int | None = None,
    lang: str | None = None,
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
        lang: the language of the answer, "en" or "zh-TW"; the one in force if left out.
        fields: anything else that a batch line may say: `state="established"`, `mark=7`,
            `assume={"limit": True}`.

    Raises:
        UsageError: the question can't be understood.
        CaptureError: the source can't be read.
        DumpSyntaxError: a line of the dump that iptables-restore would not take.
        RulesetError: the rules loop or jump to a chain that is not there.
    """
    host = source if isinstance(source, Host) else load_host(source)
    question = _question({"from": src, "to": dst, "dport": dport, "proto": proto, **fields})
    with language(lang):
        return explain_trace(host, question, walk(host, question))


def whatif(
    source: str | Path | Host,
    changes: Mapping[str, Any] | Iterable[tuple[str, Any]],
    src: str | None = None,
    dst: str | None = None,
    *,
    proto: str | None = None,
    dport: int | None = None,
    lang: str | None = None,
    **fields: Any,
) -> WhatIf:
    """Say what becomes of a packet when something is changed on the host, and why.

    Args:
        source: as for :func:`explain`.
        changes: the options of `iptsim whatif` and their values, in the order in which they are made:
            `{"icc": False}`, `[("link", "client:web"), ("policy", "FORWARD=ACCEPT")]`.
        src: who sends; without `src` and `dst`, everything that the containers can do is compared.
        dst: to whom.
        proto: protocol name or number.
        dport: destination port.
        lang: the language of the answer, "en" or "zh-TW"; the one in force if left out.
        fields: anything else that a batch line may say.

    Raises:
        UsageError: a change can't be made, or the question can't be understood.
        CaptureError: the source can't be read.
    """
    given = changes.items() if isinstance(changes, Mapping) else changes
    made = [(name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in given]
    with language(lang):
        if src is None and dst is None and not fields.keys() - {"family"}:
            return what_if(source, made, family=fields.get("family", 4))
        question = _question({"from": src, "to": dst, "dport": dport, "proto": proto, **fields})
        return what_if(source, made, question)


def _question(given: Mapping[str, Any]) -> Question:
    return make_question({name: value for name, value in given.items() if value is not None})
