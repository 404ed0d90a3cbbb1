"""The answer to a question as data, which :mod:`iptsim.render` prints and the JSON output contains."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from iptsim.address_sets import AddressSet
from iptsim.addresses import address_text, is_loopback
from iptsim.errors import printable
from iptsim.explanation.pasted import Remark, remarks_of
from iptsim.explanation.reason_of import Reason, reason_of
from iptsim.explanation.route_and_connection import route_and_connection
from iptsim.explanation.story import Story, story_of
from iptsim.glossary import Term, terms_in
from iptsim.host.model import Host
from iptsim.languages import Text, current_language, language, message, message_if
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import MATCHES, SCHEMA, Decision, FinalVerdict, Leg, Trace
from iptsim.owners.maker import role_json
from iptsim.owners.rule_owners import authorship
from iptsim.packet import Packet
from iptsim.protocols import usual_protocol_name
from iptsim.question.endpoints import Internet, Resolver
from iptsim.question.model import Question
from iptsim.question.options import line_of
from iptsim.shown import Pictured

#: The names of header fields, for defaults that a rule checked.
_FIELD_NAMES: dict[str, Text] = {
    "sport": message("source port"), "dport": message("destination port"), "tcp_flags": message("TCP flags"),
    "tcp_options": message("TCP options"), "icmp_type": message("ICMP type"), "icmp_code": message("ICMP code"),
    "ttl": "TTL", "tos": "TOS", "length": message("length"), "payload": message("payload"),
    "src_mac": message("source MAC address"), "dst_mac": message("destination MAC address"),
    "pkttype": message("frame type (unicast, broadcast, multicast)"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AddressClass:
    """Addresses of an endpoint that are treated alike.

    Attributes:
        source / destination: the addresses; None for an end with a single one.
        explanation: the answer for one of them.
        is_rest: it is the largest class: all addresses that are in no other.
        source_text / destination_text: these addresses in words; empty if those of the whole end are not known.
    """

    source: AddressSet | None
    destination: AddressSet | None
    explanation: Explanation = field(repr=False)
    is_rest: bool = False
    source_text: Text = ""
    destination_text: Text = ""

    @property
    def addresses(self) -> AddressSet:
        """The addresses of the end that has many; those of the source if both have."""
        found = self.source if self.source is not None else self.destination
        assert found is not None
        return found

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data; see `iptsim.trace/1`."""
        out: dict[str, Any] = {"addresses": list(self.addresses.texts())}
        if self.source is not None and self.destination is not None:
            out["destinations"] = list(self.destination.texts())
        out["verdict"] = self.explanation.verdict
        out["reason"] = self.explanation.reason.as_json()
        out["witness"] = line_of(self.explanation.question)
        return out


@dataclass(slots=True)
class Explanation(Pictured):
    """An answered question.

    Attributes:
        verdict: ACCEPT, DROP, REJECT or DEPENDS.
        reason: why, with its stable code, sentences and deciding step.
        question: the question.
        sender / target: names of both endpoints, with addresses: "web 172.17.0.2".
        trace: the walk.
        assumed: sentences on what the answer assumes.
        branches: one explanation for each branch, if undecided matches lead to different verdicts or destinations.
        classes: if an endpoint has many addresses that are not all treated alike, the classes of those that are, the
            largest last; everything except the verdict and the reason is then that of the largest.
        before: the answer without the commands that a pasted text gives behind its rules; None without such commands.
        language: its language, even if it is shown later.
    """

    verdict: FinalVerdict
    reason: Reason
    question: Question
    sender: str
    target: str
    trace: Trace
    host: Host = field(repr=False)
    assumed: list[Text] = field(default_factory=list)
    branches: list[Explanation] = field(default_factory=list)
    classes: list[AddressClass] = field(default_factory=list)
    before: Explanation | None = field(default=None, repr=False)
    language: str = field(default_factory=current_language)

    def __repr__(self) -> str:
        ends = f"{self.sender} → {self.target} {self.what}"
        return printable(f"<Explanation {self.verdict} {self.reason.code}: {ends}>")

    @property
    def what(self) -> str:
        """Protocol and port of the packet in the usual notation: "tcp/80", "icmp"."""
        packet = self.trace.legs[0].packet
        name = usual_protocol_name(packet.proto)
        return name if packet.dport is None else f"{name}/{packet.dport}"

    @property
    def assumptions(self) -> list[str]:
        """What the answer assumes, in its language."""
        with language(self.language):
            return list(map(str, self.assumed))

    def told_in(self, name: str) -> Explanation:
        """Return the same answer in another language.

        Args:
            name: "en" or "zh-TW".

        Raises:
            UsageError: there is no such language.
        """
        with language(name):
            known = current_language()
        return replace(
            self,
            reason=replace(self.reason, language=known),
            branches=[branch.told_in(known) for branch in self.branches],
            classes=[replace(one, explanation=one.explanation.told_in(known)) for one in self.classes],
            before=self.before.told_in(known) if self.before is not None else None,
            language=known,
        )

    @property
    def story(self) -> Story:
        """The trace as a tree of visits: what decided, and what mattered."""
        return story_of(self.trace, self.reason.step)

    def remarks(self) -> list[Remark]:
        """Return what the logged lines of a pasted text say, if the answer is about the packet of the first one."""
        pasted = self.host.pasted
        asked = [_packet_of(Question(**fields)) for fields in pasted.asked[:1]] if pasted is not None else []
        return remarks_of(self.host) if _packet_of(self.question) in asked else []

    def before_text(self) -> Text:
        """Return what commands below the rules of a pasted text change in the answer; "" without such commands."""
        commands = self.host.before
        if self.before is None or commands is None:
            return ""
        is_one = commands.first == commands.last
        if self._result() == self.before._result():
            return message_if(
                is_one,
                "The command in line {lines}, below the rules, does not change that.",
                "The commands in lines {lines}, below the rules, do not change that.",
                lines=commands.lines,
            )
        return message_if(
            is_one,
            "This is the answer after the command in line {lines}, below the rules. Before it: {verdict}.",
            "This is the answer after the commands in lines {lines}, below the rules. Before them: {verdict}.",
            lines=commands.lines,
            verdict=self.before.verdict,
        )

    def _result(self) -> tuple[object, ...]:
        """Return the verdict and what decides, without the number of the rule."""
        step = self.reason.step
        rule = step.rule.shown if step is not None and step.rule is not None else ""
        return self.verdict, self.reason.code, rule, step.chain if step is not None else ""

    def words(self) -> list[Term]:
        """Return the terms of the glossary that occur in the answer."""
        return terms_in(str(self).split("\n"))

    def as_json(self, verbose: bool = False, *, teach: bool = False) -> dict[str, Any]:
        """Return the trace in its JSON form, schema `iptsim.trace/1`.

        Args:
            verbose: add to each step the rules that did not match before it, and why Docker wrote its rule; for
                the deciding rule that is always there.
            teach: add the terms of the glossary that occur in the answer.
        """
        with language(self.language):
            out = self._as_json(verbose)
            if teach:
                out["teach"] = [term.as_json() for term in self.words()]
            return out

    def _as_json(self, verbose: bool) -> dict[str, Any]:
        out: dict[str, Any] = {"schema": SCHEMA}
        if self.trace.id is not None:
            out["id"] = self.trace.id
        out["verdict"] = self.verdict
        out["reason"] = self.reason.as_json()
        if self.reason.step is not None:
            self._add_role(out["reason"]["rule"], self.reason.step)
        if self.classes:
            out["classes"] = [one.as_json() for one in self.classes]
        commands = self.host.before
        if self.before is not None and commands is not None:
            earlier = {"verdict": self.before.verdict, "reason": self.before.reason.as_json()}
            out["before"] = {"lines": commands.lines, **earlier}
        out["assumptions"] = self.assumptions
        if self.trace.decisions:
            out["decided"] = [decision_json(decision) for decision in self.trace.decisions]
        out["legs"] = [leg.as_json(verbose) for leg in self.trace.legs]
        if verbose:
            for leg, shown in zip(self.trace.legs, out["legs"], strict=True):
                for step, out_step in zip(leg.steps, shown["steps"], strict=True):
                    self._add_role(out_step, step)
        out["branches"] = [branch.as_json(verbose) for branch in self.branches]
        if self.host.pasted is not None:
            out["source"] = self.host.pasted.as_json()
            if remarks := self.remarks():
                out["source"]["lines"] = [
                    {"line": one.line, "shown": one.shown, "says": str(one.says)} for one in remarks
                ]
        return out

    def _add_role(self, out: dict[str, Any], step: Step) -> None:
        """Add the purpose of a rule to its JSON form, and which program wrote it for that."""
        owner, role = authorship(step.rule, self.host) if step.rule is not None else ("", None)
        if role is not None:
            out |= {"owner": owner, "role": role.code, "why": str(role.why)}
            if owner == "docker":
                out["docker"] = role_json(role)


def _packet_of(question: Question) -> tuple[object, ...]:
    return question.sender, question.to, question.proto, question.dport


def decision_json(decision: Decision) -> dict[str, Any]:
    """Return the outcome of an undecided match in a branch."""
    rule = decision.rule
    out: dict[str, Any] = {
        "table": rule.table if rule is not None else None,
        "chain": rule.chain if rule is not None else None,
        "rule": rule.position if rule is not None else None,
        "line": rule.line if rule is not None else None,
        "match": decision.match,
        "depends_on": str(decision.unknown.reason),
        "taken": decision.value,
    }
    if decision.sent is not None:
        out["direction"] = decision.sent.direction
        if decision.sent.proxy:
            out["proxy"] = True
    if decision.nftables is not None:
        out["nftables"] = decision.nftables.as_json()
    if decision.nftables is not None or (rule is not None and decision.words != MATCHES):
        out["what"] = str(decision.words)
    return out


def explain_trace(host: Host, question: Question, trace: Trace) -> Explanation:
    """Explain a trace."""
    leg = trace.legs[0]
    assumed: list[Text] = [*trace.assumptions]
    packet = leg.packet
    assumed.extend(
        message(
            "A rule checks the {field}, not given here; assumed {value}.",
            field=_FIELD_NAMES.get(name, name),
            value=_shown(packet, name),
        )
        for name in sorted(trace.consulted)
    )
    assumed.extend(route_and_connection(host, packet))
    branches = [explain_trace(host, question, branch) for branch in trace.branches]
    return Explanation(
        trace.verdict,
        reason_of(host, question, trace),
        question,
        _end(leg.sender, packet, packet.src),
        _target(host, question, leg),
        trace,
        host,
        assumed,
        branches,
    )


def _shown(packet: Packet, name: str) -> Text:
    value = getattr(packet, name)
    if name == "tcp_flags":
        return message("a SYN") if value == 2 else f"{value:#x}"
    if name == "tcp_options":
        return message("an MSS of 1460") if value else message("none")
    if name in ("payload", "src_mac", "dst_mac") and not value:
        return message("none")
    return str(value)


def _end(name: str, packet: Packet, address: int) -> str:
    text = address_text(packet.family, address)
    if name == text or (address == 0 and not name[:1].isdigit()):
        return name  # or it got no address to send from
    return f"{name} {text}"


def _target(host: Host, question: Question, leg: Leg) -> str:
    packet = leg.packet
    owner = host.owner_of(packet.family, packet.dst)
    if isinstance(owner, tuple):
        return _end(owner[0].name, packet, packet.dst)
    if leg.inside and is_loopback(packet.family, packet.dst):
        return _end(leg.sender, packet, packet.dst)
    if owner == "host":
        return _end("host", packet, packet.dst)
    if isinstance(question.to, Internet | Resolver):
        return _end(str(question.to), packet, packet.dst)
    return address_text(packet.family, packet.dst)
