"""The functions for one packet and for many: `iptsim.explain`, `iptsim.explain_many`, `iptsim.whatif`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeGuard, cast, overload

from iptsim.asking import ask_all
from iptsim.errors import UsageError
from iptsim.explanation import Explanation
from iptsim.host import Host
from iptsim.languages import language
from iptsim.netfilter.walk import Simulator, simulator_of
from iptsim.progress import tracked
from iptsim.question.model import Question
from iptsim.shown import Framed
from iptsim.sources import load_host

if TYPE_CHECKING:
    import pandas

    from iptsim.alternatives import WhatIf


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
    """Return what happens to a packet, and why.

    Args:
        source: a capture directory or archive, a dump file, or a :class:`Host` from :func:`iptsim.load_host`. Give
            the host itself for more than one question.
        src: the source: a container's name, "host", "internet", or an IP address.
        dst: the destination; a port may follow, as in "web:80".
        proto: protocol name or number.
        dport: destination port.
        lang: the language of the answer, "en" or "zh-TW"; by default the one in force.
        fields: any other field of a batch line: `state="established"`, `mark=7`, `assume={"limit": True}`;
            `after=answer` for the next packet of the connection of an earlier answer.

    Raises:
        UsageError: the question is not valid, or the host does not know an endpoint.
        CaptureError: the source can't be read.
        DumpSyntaxError: iptables-restore would reject a line of the dump.
        RulesetError: the rules loop or jump to a chain that does not exist.
    """
    host = source if isinstance(source, Host) else load_host(source)
    given = {"from": src, "to": dst, "dport": dport, "proto": proto, **fields}
    if lang is None:
        return ask_all(host, _question(given))
    with language(lang):
        return ask_all(host, _question(given))


@dataclass(frozen=True, slots=True)
class Answers(Framed, Sequence["Explanation | UsageError"]):
    """The answers to many questions, in their order.

    Attributes:
        questions: the questions as they were given: the fields of a batch line.
        answers: an explanation for each, or the error of a question that is not valid.
        index: the index of :meth:`frame`; None for the numbers of the questions.
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
    """Return what happens to many packets.

    Args:
        source: as for :func:`explain`.
        questions: the fields of each, as in a batch line: `{"from": "client", "to": "web:80"}`; or a DataFrame with a
            question in each row and a field in each column. A missing value leaves the field open. The frame of the
            answers then has the same index.

    Returns:
        An answer for each question: a :class:`UsageError` for one that is not valid.

    Raises:
        CaptureError: the source can't be read.
    """
    host = source if isinstance(source, Host) else load_host(source)
    index = None
    if _is_frame(questions):
        given: tuple[Mapping[str, Any], ...] = tuple(_rows(questions))
        index = questions.index
    else:
        given = tuple(cast("Iterable[Mapping[str, Any]]", questions))
    simulator = simulator_of(host)
    return Answers(given, tuple(_answer(simulator, fields) for fields in tracked(given, "explaining")), index)


def _answer(simulator: Simulator, fields: Mapping[str, Any]) -> Explanation | UsageError:
    try:
        return ask_all(simulator, _question(fields))
    except UsageError as error:
        return error


def _is_frame(questions: object) -> TypeGuard[pandas.DataFrame]:
    """Return whether something is a frame, without loading pandas."""
    return hasattr(questions, "columns") and hasattr(questions, "notna")


def _rows(frame: pandas.DataFrame) -> list[dict[str, Any]]:
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
    """Return what happens to a packet before and after changes to the host, and why it differs.

    Args:
        source: as for :func:`explain`.
        changes: options of `iptsim whatif` and their values, applied in this order:
            `{"icc": False}`, `[("link", "client:web"), ("policy", "FORWARD=ACCEPT")]`.
        src: the source; without any endpoint, all connections that the host suggests are compared.
        dst: the destination.
        proto: protocol name or number.
        dport: destination port.
        lang: the language of the answer, "en" or "zh-TW"; by default the one in force.
        fields: any other field of a batch line.

    Raises:
        UsageError: a change can't be made, or the question is not valid.
        CaptureError: the source can't be read.
    """
    from iptsim.alternatives import what_if

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
    return Question(**fields)
