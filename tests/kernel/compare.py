"""Where the answers of iptsim and of the kernel part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from iptsim.addresses import address_text
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.netfilter.steps import Delivery
from iptsim.netfilter.steps import Step as SimulatedStep
from iptsim.netfilter.trace import Leg, Trace
from iptsim.packet import Packet
from iptsim.partly_known import Bits, Mark, mark_text
from iptsim.protocols import PORT_PROTOCOLS
from tests.kernel.frames import Header
from tests.kernel.observation import Observation
from tests.kernel.tracing import Step

#: What a trace of the kernel calls the verdicts of these targets.
_SHOWN = {
    "REJECT": "DROP",
    "DNAT": "ACCEPT",
    "SNAT": "ACCEPT",
    "MASQUERADE": "ACCEPT",
    "REDIRECT": "ACCEPT",
    "NETMAP": "ACCEPT",
}
#: Matches on which an answer may depend although packet, time and host are known: what they look at is memory,
#: chance, or a checksum, which no question tells. So is which next hop the kernel picks of several.
OPEN = frozenset(
    {"limit", "hashlimit", "statistic", "recent", "connlimit", "connbytes", "quota", "u32", "next_hop"}
)

Doubt = Literal["none", "some", "any"]
Key = tuple[str, str, str, int | None, str]


def differences(
    trace: Trace,
    observation: Observation,
    *,
    reply: Observation | None = None,
    answerable: bool = True,
    doubt: Doubt = "some",
    picks: bool = False,
) -> list[str]:
    """Return where iptsim's answer parts from what the kernel did, one line each; none if nowhere.

    The kernel's way must be one of those that iptsim leaves open, and it must have a reason to leave any open. What
    a chain of nftables does that it does not evaluate, it leaves open as a whole: then there is nothing to compare.

    Args:
        trace: iptsim's answer.
        observation: of the packet.
        reply: of its answer, if one was sent.
        answerable: compare what REJECT sends back as well.
        picks: the kernel picks one of several next hops; iptsim shows one where that makes no difference.
        doubt: what iptsim may leave open of the packet's path: nothing, "some" matches (:data:`OPEN`), or anything.

    """
    if any(hinge.nftables is not None for hinge in trace.hinges):
        return []
    found = min(
        (_way_differences(way, observation, reply, answerable, picks) for way in leaves(trace)), key=len
    )
    return found or _needless_doubt(trace, doubt)


def _needless_doubt(trace: Trace, allowed: Doubt) -> list[str]:
    """Return what iptsim leaves open of the packet's path although it could know it.

    What is in the reply, and whose program sends it, is not known beforehand.
    """
    request = trace.legs[0]
    if allowed == "any":
        return []
    # the hinges of the reply are among them, so one that may be there excuses the others
    hinges = {hinge.match for hinge in trace.hinges} if request.verdict == "DEPENDS" else set()
    doubted = hinges if not hinges & OPEN else set()
    if allowed == "none":
        doubted |= {step.rule.target_name or "a rule" for step in request.steps if step.maybe and step.rule}
        if request.verdict == "DEPENDS" and not doubted:
            return ["depends on nothing, though all is known"]
    return [f"depends on {name}, which is known" for name in sorted(doubted)]


def leaves(trace: Trace) -> Iterator[Trace]:
    """Yield the ways that a trace leaves open; itself if it is decided."""
    if not trace.branches:
        yield trace
    for branch in trace.branches:
        yield from leaves(branch)


def _way_differences(
    trace: Trace, observation: Observation, reply: Observation | None, answerable: bool, picks: bool
) -> list[str]:
    request = trace.legs[0]
    found = _leg_differences(request, observation, picks)
    if found:
        return found
    if request.verdict == "REJECT":
        undecided = any(step.maybe for step in request.steps)
        if any(one.legacy for one in observation.steps) or any(step.backend for step in request.steps):
            # where both backends refuse a packet, which of them answers depends on the order of loading
            return []
        return _answer_differences(trace.legs[1:], observation, undecided) if answerable else []
    back = next((leg for leg in trace.legs[1:] if leg.direction == "reply" and not leg.proxy), None)
    if back is not None and back.steps and back.steps[-1].code == "no-source":
        # only the laboratory replies with an address that is not the host's
        back = None
    if reply is not None and back is not None:
        return [f"reply: {line}" for line in _reply_differences(request, back, reply, picks)]
    return []


def _reply_differences(request: Leg, leg: Leg, observation: Observation, picks: bool) -> list[str]:
    """Compare a reply; its sender must take it for one where iptsim says so, and only there."""
    mark = next((step for step in leg.steps if step.code == "reply-not-recognised"), None)
    if mark is None:
        return _leg_differences(leg, observation, picks)
    # of ways that end alike, another one may have rules behind it
    others = [step for step in leg.steps if step is not mark]
    if found := _step_differences(others, observation.steps):
        return found
    header = _came_out(observation)
    if header is None and (mark.maybe or others != leg.steps[:-1]):
        return []
    if header is None:
        return [
            f"verdict: kernel {observation.verdict}{_place(observation)}, iptsim has it arrive unrecognised"
        ]
    asked = request.packet
    ends = address_text(asked.family, asked.dst), asked.dport, address_text(asked.family, asked.src)
    if (header.src, header.sport if asked.dport is not None else None, header.dst) == ends:
        return [f"arrives as the reply that was asked for, iptsim: {mark.note}"]
    return []


def _came_out(observation: Observation) -> Header | None:
    """Return the packet as it was delivered or left, None if it did neither."""
    if observation.verdict != "ACCEPT":
        return None
    if observation.delivered is not None:
        return observation.delivered
    if observation.arrivals:
        return observation.arrivals[0].header
    return observation.sightings[-1].header


def _leg_differences(leg: Leg, observation: Observation, picks: bool) -> list[str]:
    if _held(observation):
        return []
    if observation.discovered is False:
        return (
            [] if leg.verdict == "DROP" else ["verdict: kernel lets neighbour discovery die, iptsim does not"]
        )
    waits = next((place for place, step in enumerate(leg.steps) if step.code == "defragmented"), None)
    if waits is not None and observation.verdict == "LOST":
        # the kernel waits for the other fragments; iptsim goes on with the whole packet
        return _step_differences(leg.steps[:waits], observation.steps)
    found = _step_differences(leg.steps, observation.steps)
    if found or (not picks and (found := _interface_differences(leg, observation))):
        return found
    kernel = observation.verdict
    last = leg.steps[-1].code if leg.steps else None
    if last in ("conntrack-clash", "not-joined") and _left_unseen(observation, last):
        # the kernel drops it after the last place at which the laboratory sees packets
        return []
    ours = {"QUEUE": "DROP", "STOLEN": "DROP", "LOST": "DROP"}.get(kernel, kernel)
    if leg.verdict != ours:
        notes = "; ".join(str(step.note) for step in leg.steps if step.table is None)
        return [f"verdict: kernel {kernel}{_place(observation)}, iptsim {leg.verdict} {notes}".rstrip()]
    if leg.verdict == "ACCEPT" and leg.delivered is not None:
        return _delivery_differences(leg, observation, picks)
    return []


def _interface_differences(leg: Leg, observation: Observation) -> list[str]:
    """Compare the interfaces at each hook where a rule matched or a policy applied."""
    for step in leg.steps:
        if step.maybe and step.rule is not None:
            # it may have translated or marked the packet: ways that end alike may differ here
            break
        seen = [
            _interfaces(step.hook, one.in_interface, one.out_interface)
            for one in observation.sightings
            if one.hook == step.hook
        ]
        ours = _interfaces(step.hook, *step.interfaces)
        if step.table is not None and seen and ours not in seen:
            return [f"{step.hook}: kernel has {' or '.join(dict.fromkeys(seen))}, iptsim {ours}"]
    return []


def _interfaces(hook: str, came_in: str | None, goes_out: str | None) -> str:
    # POSTROUTING shows the input interface of some packets only, and no rule can ask for it there
    shown_in = "" if hook == "POSTROUTING" else f"in {came_in or 'none'}, "
    return f"{shown_in}out {goes_out or 'none'}"


def _held(observation: Observation) -> bool:
    """Return whether the kernel waits for a fragment's siblings before any rule may see it."""
    last = observation.sightings[-1] if observation.sightings else None
    if last is None or last.place != "head" or observation.steps:
        return False
    return bool(last.header.fragment_offset or last.header.more_fragments or last.header.proto == 44)


def _left_unseen(observation: Observation, code: str) -> bool:
    """Return whether a packet passed the last chain, and no machine is there to receive it."""
    places = (("POSTROUTING", "tail"), *([("INPUT", "tail")] if code == "conntrack-clash" else []))
    last = observation.sightings[-1] if observation.sightings else None
    return not observation.arrivals and last is not None and (last.hook, last.place) in places


def _place(observation: Observation) -> str:
    last = observation.sightings[-1] if observation.sightings else None
    return f" after {last.hook} {last.place}" if last else " before any hook"


def _step_differences(simulated: list[SimulatedStep], observed: tuple[Step, ...]) -> list[str]:
    """Compare steps; of two backends each by itself, as their events come without a common order.

    At the hook where a rule of one backend drops the packet, those of the other may have seen it or not.
    """
    drop = next((one for one in observed if one.verdict == "DROP"), None)
    two = any(one.legacy for one in observed) or any(one.backend for one in simulated)
    for legacy in (False, True):
        want = [_observed_key(one) for one in observed if one.legacy is legacy and (one.policy or one.rule)]
        got = [
            (_simulated_key(one), one.maybe)
            for one in simulated
            if one.table in BUILTIN_CHAINS and (one.backend == "legacy") is legacy
        ]
        if two and drop is not None and drop.legacy is not legacy:
            want = [key for key in want if key[0] != drop.hook]
            got = [(key, maybe) for key, maybe in got if key[0] != drop.hook]
        if found := _sequence_differences(got, want):
            return found
    return []


def _sequence_differences(got: list[tuple[Key, bool]], want: list[Key]) -> list[str]:
    """Compare steps in order; those of iptsim's that may have been taken may be missing in the kernel's."""
    # how many of the kernel's steps may be behind us
    places = {0}
    for key, maybe in got:
        taken = {place + 1 for place in places if place < len(want) and want[place] == key}
        if not taken and not maybe:
            place = max(places)
            there = _text(want[place]) if place < len(want) else "the end"
            return [f"step {place + 1}: kernel {there}, iptsim {_text(key)}"]
        places = taken | places if maybe else taken
    place = max(places)
    return [] if place == len(want) else [f"step {place + 1}: kernel {_text(want[place])}, iptsim the end"]


def _observed_key(step: Step) -> Key:
    return step.hook, step.table, step.chain, step.rule, step.verdict


def _simulated_key(step: SimulatedStep) -> Key:
    rule = step.rule.position if step.rule is not None else None
    verdict = _SHOWN.get(step.verdict, step.verdict)
    if step.rule is not None and step.rule.target_name == "NFQUEUE" and verdict in ("ACCEPT", "DROP"):
        # iptsim shows what happens if no program reads the queue
        verdict = "QUEUE"
    return step.hook, step.table or "", step.chain or "", rule, verdict


def _text(key: Key) -> str:
    hook, table, chain, rule, verdict = key
    return f"{hook} {table}:{chain}:{'policy' if rule is None else rule}={verdict}"


def _delivery_differences(leg: Leg, observation: Observation, picks: bool) -> list[str]:
    delivered = leg.delivered
    assert delivered is not None
    if delivered.kind == "host":
        header = observation.delivered
    else:
        header = observation.arrivals[0].header if observation.arrivals else None
    if header is None and observation.verdict == "ACCEPT" and not observation.delivered:
        # it left, but there is no receiver
        header = observation.sightings[-1].header if observation.sightings else None
        if header is None:
            return []
    if header is None:
        return [
            f"delivery: iptsim to {delivered.kind} {delivered.name}, kernel{_place(observation)} elsewhere"
        ]
    maybe = any(step.maybe for step in leg.steps)
    # ways that end alike may differ here
    if not picks and not maybe and (found := _place_differences(delivered, observation)):
        return found
    if delivered.packet.family == 6 and delivered.packet.fragment:
        # a trace shows too little of a later IPv6 fragment
        return []
    if maybe:
        return _header_differences(delivered.packet, header, fields_too=False)
    last = observation.sightings[-1] if observation.sightings else None
    arrived = last is not None and last.hook == ("INPUT" if delivered.kind == "host" else "POSTROUTING")
    if last is not None and arrived and not _may_be(delivered.packet.mark, last.mark):
        return [f"arrives with mark: kernel {last.mark:#x}, iptsim {mark_text(delivered.packet.mark)}"]
    return _header_differences(delivered.packet, header, fields_too=True)


def _may_be(mark: Mark, number: int) -> bool:
    """Return whether a mark, of which iptsim may not know all bits, may be a number."""
    return mark == number if isinstance(mark, int) else mark.test([Bits(number, 0xFFFFFFFF)]) is not False


def _place_differences(delivered: Delivery, observation: Observation) -> list[str]:
    """Compare the interface by which a packet came to the host or left it, and the guest that got it."""
    if delivered.kind == "container":
        ports = [arrival.interface for arrival in observation.arrivals]
        if not ports or delivered.name.removeprefix("guest-") in ports:
            return []
        if delivered.name == address_text(delivered.packet.family, delivered.packet.dst):
            # a rule alone suggests that it is there, and no rule says behind which port
            return []
        return [f"delivery: kernel by {', '.join(ports)}, iptsim to {delivered.name}"]
    if delivered.interface is None:
        return []
    if delivered.kind == "host":
        seen = [one.in_interface for one in observation.sightings if one.hook == "INPUT"]
    else:
        seen = [one.out_interface for one in observation.sightings if one.hook == "POSTROUTING"]
    if not seen or delivered.interface in seen:
        return []
    return [f"delivery: kernel by {seen[-1]}, iptsim by {delivered.interface}"]


def _header_differences(ours: Packet, header: Header, *, fields_too: bool) -> list[str]:
    pairs: list[tuple[str, Any, Any]] = [
        ("src", address_text(ours.family, ours.src), header.src),
        ("dst", address_text(ours.family, ours.dst), header.dst),
    ]
    if fields_too:
        pairs += [("ttl", ours.ttl, header.ttl), ("tos", ours.tos, header.tos)]
    if header.proto == ours.proto and not header.fragment_offset and ours.proto in PORT_PROTOCOLS:
        # a port that the kernel picks at random is unknown
        ports = [("sport", ours.sport, header.sport), ("dport", ours.dport, header.dport)]
        pairs += [pair for pair in ports if pair[1] is not None]
    wrong = [f"{name}: kernel {theirs}, iptsim {own}" for name, own, theirs in pairs if own != theirs]
    return [f"arrives with {', '.join(wrong)}"] if wrong else []


def _answer_differences(legs: list[Leg], observation: Observation, undecided: bool) -> list[str]:
    """Compare what REJECT sends back; `undecided`: the effect of earlier rules on its TOS is unknown."""
    expected, caused = legs[0] if legs else None, observation.caused
    if not observation.rejected:
        # the kernel still waits for the other fragments
        return []
    undecided = undecided or (expected is not None and any(step.maybe for step in expected.steps))
    if expected is None:
        return [f"answer: kernel {caused[0].header}, iptsim none"] if caused else []
    # a socket that does not know the answer's source is not part of the laboratory
    steps = [step for step in expected.steps if step.code != "reply-not-recognised"]
    arrives = expected.verdict == "ACCEPT" or len(steps) < len(expected.steps)
    silent = arrives and not steps
    if not caused and not observation.answers:
        return [] if silent or not arrives else ["answer: kernel none, iptsim one"]
    if caused:
        found = _step_differences(steps, caused[0].steps)
        if found:
            return [f"answer: {line}" for line in found]
    ours = (expected.delivered or expected).packet
    # an answer that is rejected in turn has an answer of its own
    came = [one.header for one in observation.answers if one.header.proto == ours.proto]
    if arrives and not came:
        return [] if caused and caused[0].left else ["answer: iptsim delivers it, the kernel does not"]
    if not arrives:
        return ["answer: the kernel delivers it, iptsim does not"] if came else []
    header = came[0]
    pairs = [
        ("src", address_text(ours.family, ours.src), header.src),
        ("dst", address_text(ours.family, ours.dst), header.dst),
        ("type", ours.icmp_type or 0, header.icmp_type),
        ("code", ours.icmp_code or 0, header.icmp_code),
        ("flags", ours.tcp_flags, header.tcp_flags),
        ("tos", header.tos if undecided else ours.tos, header.tos),
    ]
    wrong = [f"{name}: kernel {theirs}, iptsim {own}" for name, own, theirs in pairs if own != theirs]
    return [f"answer with {', '.join(wrong)}"] if wrong else []
