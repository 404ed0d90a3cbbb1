"""Combines the answers for addresses that are treated alike into one about an endpoint with many addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from iptsim.address_sets import AddressSet
from iptsim.explanation.codes import ReasonCode
from iptsim.explanation.explanation import AddressClass, Explanation
from iptsim.explanation.reason import Reason
from iptsim.languages import Message, Text, message, message_joined, message_many
from iptsim.netfilter.steps import Delivery
from iptsim.question.endpoints import Prefix
from iptsim.question.model import Question

#: The maximum number of address ranges that a sentence names.
_SHOWN = 3


def answer_for_all(
    question: Question, found: Iterable[AddressClass], unchecked: Sequence[Sequence[AddressSet]] = ()
) -> Explanation:
    """Return the answer to a question about many addresses.

    Args:
        question: the question.
        found: the answers for classes of the addresses; classes that are treated alike are merged.
        unchecked: the addresses that are in no class.
    """
    classes = _merged(found, rest=not unchecked)
    if not unchecked:
        classes = _named(classes, question)
    largest = classes[-1]
    answer = replace(largest.explanation, question=question)
    several = len(classes) > 1 or bool(unchecked)
    if largest.source is not None and (several or isinstance(question.sender, Prefix)):
        answer.sender = str(question.sender)
    if largest.destination is not None and (several or isinstance(question.to, Prefix)):
        answer.target = str(question.to)
    if not several:
        return answer
    answer.classes = classes
    if len({one.explanation.verdict for one in classes}) > 1 or unchecked:
        by_source = largest.source is not None and len({one.source for one in classes}) > 1
        by_source = by_source or largest.destination is None
        code = ReasonCode.DEPENDS_ON_SOURCE if by_source else ReasonCode.DEPENDS_ON_DESTINATION
        answer.verdict, answer.branches = "DEPENDS", []
        answer.reason = Reason(code, _text(classes, unchecked, by_source=by_source))
    return answer


def _merged(found: Iterable[AddressClass], *, rest: bool) -> list[AddressClass]:
    """Return the classes, with those that are treated alike merged, the largest last."""
    alike: dict[Any, list[AddressClass]] = {}
    for one in found:
        alike.setdefault((_treatment(one.explanation), one.destination), []).append(one)
    by_source: dict[Any, list[AddressClass]] = {}
    for (treatment, _), group in alike.items():
        united = _united(group, [one.source for one in group], "source")
        by_source.setdefault((treatment, united.source), []).append(united)
    classes = [
        _united(group, [one.destination for one in group], "destination") for group in by_source.values()
    ]
    classes.sort(key=_size)
    return [*classes[:-1], replace(classes[-1], is_rest=rest)]


def _named(classes: Sequence[AddressClass], question: Question) -> list[AddressClass]:
    """Say which addresses of its ends a class has, if all addresses of the ends are in some class."""
    sources = _united(classes, [one.source for one in classes], "source").source
    destinations = _united(classes, [one.destination for one in classes], "destination").destination
    return [
        replace(
            one,
            source_text=_named_end(one.source, sources, str(question.sender)),
            destination_text=_named_end(one.destination, destinations, str(question.to)),
        )
        for one in classes
    ]


def _named_end(addresses: AddressSet | None, every: AddressSet | None, name: str) -> Text:
    if addresses is None or every is None:
        return ""
    return name if addresses == every else among(addresses, every)


def _united(group: Sequence[AddressClass], sets: Sequence[AddressSet | None], end: str) -> AddressClass:
    """Merge classes that differ only at one end; the result has the answer for the largest."""
    known = [one for one in sets if one is not None]
    largest = max(group, key=_size)
    if not known:
        return largest
    spans = (span for one in known for span in one.spans)
    united = AddressSet.of(known[0].family, spans)
    return replace(largest, source=united) if end == "source" else replace(largest, destination=united)


def _size(one: AddressClass) -> int:
    sets = (one.source, one.destination)
    sizes = [part.size for part in sets if part is not None]
    return sizes[0] * sizes[-1]


def _treatment(answer: Explanation) -> tuple[Any, ...]:
    """Return what happens to a packet: the verdict, its reason, the chain that decides, where it arrives."""
    step, leg = answer.reason.step, answer.trace.legs[0]
    delivered = leg.delivered
    return (
        answer.verdict,
        answer.reason.code,
        (step.table, step.chain, step.policy, step.verdict, step.code) if step is not None else None,
        _place(delivered) if delivered is not None else None,
        answer.trace.listening,
        tuple((hinge.place, hinge.match) for hinge in answer.trace.hinges),
    )


def _place(delivered: Delivery) -> tuple[str, str | None]:
    """Return where a packet arrives, whatever its address outside."""
    outside = delivered.kind == "outside"
    return delivered.kind, delivered.interface if outside else delivered.name


def _text(
    classes: Sequence[AddressClass], unchecked: Sequence[Sequence[AddressSet]], *, by_source: bool
) -> Message:
    by_verdict: dict[str, list[AddressClass]] = {}
    for one in classes:
        by_verdict.setdefault(one.explanation.verdict, []).append(one)
    # classes with the same verdict as the rest are part of "all other addresses"
    groups = sorted(by_verdict.items(), key=lambda group: group[1][-1] is classes[-1])
    parts = [
        message(
            "{verdict} for {addresses}",
            verdict=verdict,
            addresses=addresses_text(group[-1])
            if group[-1].is_rest
            else message_joined(", ", map(addresses_text, group)),
        )
        for verdict, group in groups
    ]
    if unchecked:
        ends = [message_joined(" → ", map(shortened, box)) for box in unchecked]
        left = message_joined(", ", ends[:_SHOWN])
        parts.append(message("not checked, as there are too many cases: {addresses}", addresses=left))
    listed = message_joined("; ", parts)
    if by_source:
        return message("It depends on the source: {classes}.", classes=listed)
    return message("It depends on the destination: {classes}.", classes=listed)


def addresses_text(one: AddressClass) -> Text:
    """Return the addresses of a class: "198.51.100.7, 203.0.113.0/24", "all other addresses"."""
    if one.is_rest:
        return message("all other addresses")
    ends = (one.source, one.source_text), (one.destination, one.destination_text)
    texts = [text or shortened(addresses) for addresses, text in ends if addresses is not None]
    if len(texts) == 1:
        return texts[0]
    return message("{source} to {destination}", source=texts[0], destination=texts[1])


def among(addresses: AddressSet, every: AddressSet) -> Text:
    """Return some of the addresses of an end in the fewest ranges: "10.0.0.7", "all but 10.0.0.7"."""
    rest = every - addresses
    if rest and len(rest.spans) < len(addresses.spans):
        return message("all but {addresses}", addresses=shortened(rest))
    return shortened(addresses)


def shortened(addresses: AddressSet, most: int = _SHOWN) -> Text:
    """Return the first ranges of a set, and how many more there are."""
    shown = message_joined(", ", islice(addresses.texts(), most))
    left = len(addresses.spans) - most
    if left <= 0:
        return shown
    return message_many("{addresses} and {count} more", "{addresses} and {count} more", left, addresses=shown)
