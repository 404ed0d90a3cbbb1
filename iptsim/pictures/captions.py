"""Captions and labels that several pictures share."""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.explanation import Explanation
from iptsim.explanation.delivery import delivered_text
from iptsim.explanation.places import decision_of
from iptsim.languages import say, say_many
from iptsim.netfilter.steps import Step
from iptsim.pictures.drawing import Caption
from iptsim.render.visits_text import spec


def answer_captions(explanation: Explanation) -> list[Caption]:
    """Return the verdict and reason of an answer, for the top of a picture."""
    leg = explanation.trace.legs[0]
    title = f"{explanation.verdict}: {explanation.sender} → {explanation.target}, {explanation.what}"
    captions = [Caption("title", title), Caption("reason", explanation.reason.text)]
    step = explanation.reason.step
    if step is not None and step.table is not None:
        rule = f": {spec(step.rule)}" if step.rule is not None else ""
        captions.append(Caption("rule", f"{decision_of(step)}{rule}"))
    elif leg.delivered is not None and explanation.verdict == "ACCEPT":
        captions.append(Caption("rule", say("arrives at {where}", where=delivered_text(leg.delivered))))
    return captions


def change_text(step: Step) -> str:
    """Return how a step translated the packet's addresses: "192.0.2.10:8080 → 172.17.0.2:80"; else ""."""
    return ", ".join(
        f"{before} → {after}"
        for address, port in (("dst", "dport"), ("src", "sport"))
        if (ends := _ends(step, address, port))
        for before, after in [ends]
    )


def _ends(step: Step, address: str, port: str) -> tuple[str, str] | None:
    """Return an address and port before and after a step, as far as they changed; None if they did not."""
    addresses, ports = step.changes.get(address), step.changes.get(port)
    if addresses is not None and ports is not None:
        before, after = (
            str(one) if number is None else f"[{one}]:{number}" if ":" in str(one) else f"{one}:{number}"
            for one, number in zip(addresses, ports, strict=True)
        )
        return before, after
    if addresses is not None:
        return str(addresses[0]), str(addresses[1])
    return (f":{ports[0]}", f":{ports[1]}") if ports is not None and None not in ports else None


def rules_text(count: int) -> str:
    """Return "1 rule", "3 rules"."""
    return say_many("{count} rule", "{count} rules", count)


def ranges(positions: Iterable[int], longest: int = 1000) -> str:
    """Return positions as ranges, cut if that is too long.

    >>> ranges([1, 3, 4, 5]), ranges(range(1, 100, 2), 12)
    ('1, 3-5', '1, 3, 5, 7 …')
    """
    parts: list[list[int]] = []
    for position in sorted(set(positions)):
        if parts and position == parts[-1][-1] + 1:
            parts[-1][1:] = [position]
        else:
            parts.append([position])
    text = ""
    for part in parts:
        longer = f"{text}{', ' if text else ''}{'-'.join(map(str, part))}"
        if len(longer) + 2 > longest and text:
            return f"{text} …"
        text = longer
    return text
