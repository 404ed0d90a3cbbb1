"""The calls that answer questions in Python: `iptsim.explain`, `iptsim.explain_many`, `iptsim.whatif`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeGuard, cast, overload

from iptsim.alternatives import WhatIf, what_if
from iptsim.errors import UsageError
from iptsim.explanation import Explanation, explain_trace
from iptsim.host import Host
from iptsim.languages import language
from iptsim.netfilter.walk import Simulator, walk
from iptsim.progress import tracked
from iptsim.question.fields import make_question
from iptsim.question.model import Question
from iptsim.shown import Framed
from iptsim.sources import load_host

if TYPE_CHECKING:
    import pandas


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
            `assume={"limit": True}`; `after=answer`, the answer to the packet before of the connection.

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


@dataclass(frozen=True, slots=True)
class Answers(Framed, Sequence["Explanation | UsageError"]):
    """The answers to many questions, in their order.

    Attributes:
        questions: as they were asked: fields of a batch line.
        answers: what came of each; an error where it can't be asked.
        index: names of the questions in :meth:`frame`; None for their numbers.
    """

    questions: tuple[Mapping[str, Any], ...]
    answers: tuple[Explanation | UsageError, ...]
    index: Any = None

    def __len__(self) -> int:
        return len(self.answers)

    @overload
    def __getitem__(self, place: SupportsIndex) -> Explanation | UsageError: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Explanation | UsageError, ...]: ...
    def __getitem__(self, place: Any) -> Any:
        return self.answers[place]

    def __repr__(self) -> str:
        return f"<Answers to {len(self)} questions>"


def explain_many(
    source: str | Path | Host, questions: Iterable[Mapping[str, Any]] | pandas.DataFrame
) -> Answers:
    """Say what becomes of many packets.

    Args:
        source: as for :func:`explain`.
        questions: the fields of each as a batch line has them, `{"from": "client", "to": "web:80"}`; or a
            DataFrame with a question in each row and a field in each column, where a missing value leaves
            the field open. The frame of the answers then has its index.

    Returns:
        An answer for each question. What can't be asked has a :class:`UsageError` in its place, and the
        others are answered all the same.

    Raises:
        CaptureError: the source can't be read.
    """
    host = source if isinstance(source, Host) else load_host(source)
    asked: tuple[Mapping[str, Any], ...]
    index = None
    if _is_frame(questions):
        asked, index = tuple(_questions_of(questions)), questions.index
    else:
        asked = tuple(cast("Iterable[Mapping[str, Any]]", questions))
    simulator = Simulator(host)
    return Answers(asked, tuple(_answer(host, simulator, one) for one in tracked(asked, "asking")), index)


def _answer(host: Host, simulator: Simulator, fields: Mapping[str, Any]) -> Explanation | UsageError:
    try:
        question = _question(fields)
        return explain_trace(host, question, simulator.walk(question))
    except UsageError as error:
        return error


def _is_frame(questions: object) -> TypeGuard[pandas.DataFrame]:
    """Tell whether something is a frame, without loading pandas."""
    return hasattr(questions, "columns") and hasattr(questions, "notna")


def _questions_of(frame: pandas.DataFrame) -> list[dict[str, Any]]:
    """Return the fields of each row, as plain values and without those that are missing."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [
        {
            # a column of numbers with gaps holds floats
            str(name): int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in row.items()
            if value is not None
        }
        for row in rows
    ]


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
    fields = {name: value for name, value in given.items() if value is not None}
    if isinstance(fields.get("after"), Explanation):
        fields["after"] = fields["after"].question
    return make_question(fields)
