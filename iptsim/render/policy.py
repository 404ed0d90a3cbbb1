"""The result of a check against a policy: as text, as JSON, and as annotations."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from iptsim.addresses import FAMILIES, Family, address_text
from iptsim.errors import Span, printable
from iptsim.explanation.places import decision_of
from iptsim.host.address_regions import public_addresses
from iptsim.host.model import Host
from iptsim.languages import say, say_many
from iptsim.policy.checking import Offence, Result
from iptsim.policy.mending import Mending
from iptsim.question.header import DEFAULT_SPORT
from iptsim.question.options import explain_options
from iptsim.render.annotations import Annotation
from iptsim.render.findings import file_of
from iptsim.render.internet import internet_texts
from iptsim.render.sheets import Sheet
from iptsim.sets.fates import Fate
from iptsim.sets.lines import WIDENED, PacketLine, packet_lines

SCHEMA = "iptsim.check/1"
_INDENT = "  "
#: Lines of packets, and classes, that a text shows.
_LINES, _CLASSES = 6, 4


class Checked:
    """A host that was checked.

    Attributes:
        source: the source as the user named it.
        results: the result of each expectation.
        mendings: the changes that would make an expectation hold, by the index of its result.
    """

    def __init__(
        self, source: str, host: Host, results: Sequence[Result], mendings: dict[int, Mending]
    ) -> None:
        self.source, self.results, self.mendings = source, results, mendings
        self._host, self._names = host, names_of(host)

    @property
    def failed(self) -> int:
        """How many expectations do not hold."""
        return sum(not result.passed for result in self.results)

    # -- text ----------------------------------------------------------------------------------------

    def lines(self, *, heading: bool = False, quiet: bool = False) -> Iterator[Text]:
        """Yield the lines of the text.

        Args:
            heading: begin with the source, if there are several.
            quiet: leave out what passed.
        """
        if heading:
            yield Text(f"== {printable(self.source)}", "bold")
        for number, result in enumerate(self.results):
            if result.passed and not quiet:
                yield Text.assemble((say("passed"), "green"), f"  {printable(result.expectation.name)}")
            elif not result.passed:
                yield from self._failed(number, result)
        count = len(self.results)
        if self.failed:
            text = say_many(
                "{failed} of {count} expectation failed.",
                "{failed} of {count} expectations failed.",
                count, failed=self.failed,
            )  # fmt: skip
        else:
            text = say_many("{count} expectation holds.", "{count} expectations hold.", count)
        yield Text(text, "bold")

    def _failed(self, number: int, result: Result) -> Iterator[Text]:
        expectation = result.expectation
        yield Text.assemble(
            (say("FAILED"), "bold red"),
            f"  {expectation.severity}   ",
            (printable(expectation.name), "bold"),
            (f"  ({printable(str(expectation.span))})", "dim"),
        )
        if expectation.because:
            yield Text(_INDENT + say("Expected because: {why}", why=printable(expectation.because)))
        for text in self._details(number, result):
            yield Text(f"{_INDENT}{printable(text)}", no_wrap=text.startswith("$ "))

    def _details(self, number: int, result: Result) -> Iterator[str]:
        """Yield what is wrong, in lines: the packets, what decides, an example, what would fix it."""
        if not result.offences:
            yield say("There are no such packets on this host: an endpoint has no address, or does not run.")
            return
        for offence in result.offences[:_CLASSES]:
            yield from self._offence(offence)
        more = len(result.offences) - _CLASSES + result.left_out
        if more > 0:
            yield say_many("{count} more class of packets", "{count} more classes of packets", more)
        mending = self.mendings.get(number)
        if mending is not None:
            what, text = mending.command, mending.text
            if mending.suffices:
                yield say("To fix it: {what} ({text})", what=what, text=text)
            else:
                yield say("For this packet only: {what} ({text})", what=what, text=text)

    def _offence(self, offence: Offence) -> Iterator[str]:
        lines = offence_lines(offence)
        verdict = offence.fate.verdict
        for line in lines[:_LINES]:
            yield f"{self._shown(offence, line)}: {verdict}"
        if len(lines) > _LINES:
            yield say("and {count} more lines", count=len(lines) - _LINES)
        if offence.packets.layout.widened:
            yield str(WIDENED)
        yield from _why(offence.fate)
        yield f"$ {self.command(offence)}"

    def command(self, offence: Offence) -> str:
        """Return the command that explains what happens to one of the packets."""
        return shlex.join(["iptsim", "explain", self.source, *witness_options(offence.fate, offence.family)])

    def _packets(self, result: Result) -> Iterator[str]:
        for offence in result.offences:
            for line in offence_lines(offence)[:_LINES]:
                yield f"{self._shown(offence, line)}: {offence.fate.verdict}"

    def _shown(self, offence: Offence, line: PacketLine) -> str:
        """Return a line of packets with the names of both ends: "internet → host 192.0.2.10 tcp 8080"."""
        fate = offence.fate
        sender, known = fate.sender or "", internet_texts(line, public_addresses(self._host, line.family))
        if sender == "internet":
            # it arrives on one interface
            values = {name: found for name, found in line.values.items() if name != "in"}
            line, sender = PacketLine(line.family, values), "" if "from" in known else sender
        text = line.text(sender, self._names, known)
        if fate.delivered is not None and fate.delivered[0] != "outside" and fate.verdict == "ACCEPT":
            return say("{packets} (delivered to {name})", packets=text, name=fate.delivered[1])
        return text

    # -- other formats -------------------------------------------------------------------------------

    def as_json(self, policy: str) -> dict[str, Any]:
        """Return the result as JSON, schema `iptsim.check/1`."""
        return {
            "schema": SCHEMA,
            "policy": policy,
            "source": self.source,
            "passed": not self.failed,
            "failed": self.failed,
            "expectations": [self._result_json(number, one) for number, one in enumerate(self.results)],
        }

    def _result_json(self, number: int, result: Result) -> dict[str, Any]:
        expectation = result.expectation
        mending = self.mendings.get(number)
        return {
            "name": expectation.name,
            "line": expectation.span.line,
            "expect": expectation.expect,
            "severity": expectation.severity,
            "because": expectation.because,
            "default": expectation.is_default,
            "passed": result.passed,
            "packets": result.has_packets,
            "offences": [self._offence_json(one) for one in result.offences],
            "left_out": result.left_out,
            "mending": None
            if mending is None
            else {
                "changes": [list(change) for change in mending.changes],
                "command": mending.command,
                "text": str(mending.text),
                "suffices": mending.suffices,
            },
        }

    def _offence_json(self, offence: Offence) -> dict[str, Any]:
        fate = offence.fate
        return {
            "family": offence.family,
            "sender": fate.sender,
            "packets": [line.as_json() for line in offence_lines(offence)],
            "verdict": fate.verdict,
            "certain": fate.certain,
            "hinges": list(map(str, fate.hinges)),
            "reason": offence.fate.reason.as_json(),
            "delivered": None
            if fate.delivered is None
            else {"kind": fate.delivered[0], "name": fate.delivered[1]},
            "witness": dict(fate.witness),
            "command": self.command(offence),
        }

    def annotations(self) -> list[Annotation]:
        """Return the results as annotations of the lines of the policy, or of the deciding rules."""
        return [self._annotation(number, result) for number, result in enumerate(self.results)]

    def _annotation(self, number: int, result: Result) -> Annotation:
        expectation = result.expectation
        rules = (
            step.rule for one in result.offences if (step := one.fate.reason.step) is not None and step.rule
        )
        rule = next((one for one in rules if one.line and file_of(one.source)), None)
        text = "\n".join(self._details(number, result)) if not result.passed else ""
        if expectation.because:
            text = say("Expected because: {why}", why=expectation.because) + f"\n{text}"
        file, line, start, end = expectation.span
        if end == start + 1:
            # it continues in the lines below
            end = 0
        return Annotation(
            "policy",
            expectation.severity,
            say("not as expected: {name}", name=expectation.name),
            text.strip(),
            file=rule.source if rule is not None else file,
            line=rule.line if rule is not None else line,
            group=self.source,
            name=expectation.name,
            passed=result.passed,
            evidence=f"{self.source}\n{expectation.name}",
            columns=(0, 0) if rule is not None else (start, end),
            expected_at=Span(file, line, start, end) if rule is not None else None,
        )

    def sheet(self) -> Sheet:
        """Return the results as a table."""
        columns = [
            say("Result"),
            say("Severity"),
            say("Expectation"),
            say("Because"),
            say("Packets"),
            say("Reason"),
        ]
        rows = [
            (
                say("passed") if result.passed else say("FAILED"),
                result.expectation.severity,
                result.expectation.name,
                result.expectation.because,
                "\n".join(self._packets(result)),
                "\n".join(_reason(offence.fate) for offence in result.offences),
            )
            for result in self.results
        ]  # fmt: skip
        return Sheet(self.source, columns, rows)


def _why(fate: Fate) -> Iterator[str]:
    """Yield what decides about packets, and why, or what this depends on."""
    step = fate.reason.step
    # the walk may know more about its packet than is known about all of them
    if fate.verdict == fate.explanation.verdict and step is not None and step.table is not None:
        place, rule = decision_of(step), f": {step.rule.shown}" if step.rule is not None else ""
        if fate.verdict == "DEPENDS":
            yield say("Depends on {place}{rule}", place=place, rule=rule)
        else:
            yield say("Decided by {place}{rule}", place=place, rule=rule)
    yield from _reason(fate).split("\n")


def _reason(fate: Fate) -> str:
    """Return why packets are treated as they are, or what this depends on."""
    verdict, why = fate.explanation.verdict, fate.reason.text
    if fate.verdict == verdict:
        return why
    depends = [say("This depends on {what}.", what=hinge) for hinge in fate.hinges]
    return "\n".join([*depends, say("The example gets {verdict}: {why}", verdict=verdict, why=why)])


def names_of(host: Host) -> dict[str, str]:
    """Return the names of the addresses of a host and its containers."""
    found: dict[str, str] = {}
    for family in FAMILIES:
        for _, entry in host.namespace.addresses(family):
            found[address_text(family, entry.address)] = "host"
        for container in host.containers.values():
            for endpoint in container.endpoints.values() if container.running else ():
                if (own := endpoint.address(family)) is not None:
                    found[address_text(family, own)] = container.name
    return found


def witness_options(fate: Fate, family: Family) -> list[str]:
    """Return the packet that shows a class as options of `iptsim explain`, as a person would write them."""
    line = {"family": family, **fate.witness}
    if line.get("sport") == DEFAULT_SPORT:
        del line["sport"]
    for end, address in (("from", "src"), ("to", "dst")):
        if end not in line and address in line:
            line[end] = line.pop(address)
    return explain_options(line)


def offence_lines(offence: Offence) -> list[PacketLine]:
    """Return the offending packets as few lines."""
    return packet_lines(offence.packets, offence.family)
