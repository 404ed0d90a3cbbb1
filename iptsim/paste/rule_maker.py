"""Makes rules from the lines of a pasted text, and collects what is odd in them."""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Chain, DumpWarning, Ruleset, Table
from iptsim.dump.words import Word
from iptsim.extensions.base import Match, Target
from iptsim.extensions.hidden import Hidden, HiddenTarget
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.parameters import Parameters
from iptsim.host.pasted import RefusedCommand
from iptsim.languages import Text, message
from iptsim.paste.addresses import apart
from iptsim.paste.binding import Reading, RuleBinder
from iptsim.paste.logged_rules import UNKNOWN
from iptsim.paste.pieces import CommandItem, RuleItem
from iptsim.paste.refusals import note

#: The number of complaints about one text that are shown.
_MOST = 20


class RuleMaker:
    """Makes the rules of one text.

    Args:
        source: the text's name.

    Attributes:
        refused: the commands that iptables refuses.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.refused: list[RefusedCommand] = []
        self._warnings: list[DumpWarning] = []
        self._more = 0
        self._binders: dict[tuple[Family, str | None, str], RuleBinder] = {}

    def binder(self, ruleset: Ruleset) -> RuleBinder:
        """Return what reads rules in the form of the version of iptables that printed a ruleset."""
        key = (ruleset.family, ruleset.version, ruleset.backend)
        if key not in self._binders:
            self._binders[key] = RuleBinder(ListingForm.of(ruleset.version, ruleset.backend, ruleset.family))
        return self._binders[key]

    def refusal(self, item: RuleItem | CommandItem, family: Family, table: Table) -> Text:
        """Return why iptables refuses a command or a line of a file, "" if it does not."""
        return note(self.refused, item, family, table.name, table.chains)

    def rules(
        self,
        words: list[Word],
        chain: Chain,
        item: RuleItem | CommandItem,
        binder: RuleBinder,
        hidden: Iterable[Hidden],
        refused: Text,
    ) -> list[Rule]:
        """Return the rules of a line, one per pair of addresses; their positions are 0.

        Args:
            words: the line, as a command that appends the rule.
            chain: the rule's chain.
            item: the line as the text shows it.
            binder: reads the words.
            hidden: conditions that the text does not show.
            refused: why iptables refuses the line, "" if it does not.
        """
        reading = binder.read(words, item.line)
        if refused:
            self.warn(
                item.line, message("{reason}; iptables rejects this rule, so it is ignored", reason=refused)
            )
        for complaint in dict.fromkeys(reading.complaints) if not refused else ():
            self.warn(
                item.line,
                message(
                    "{complaint}; that part of the rule is assumed to be unknown: {rule}",
                    complaint=complaint,
                    rule=item.text,
                ),
            )
        matches: tuple[Match, ...] = tuple(apart(one, item.line) for one in (*hidden, *reading.hidden))
        models: tuple[Parameters, ...] = (Parameters(),)
        if reading.bound is not None:
            models, matches = reading.bound.parameters, (*reading.bound.matches, *matches)
        target = _target(reading, chain.table)
        return [
            Rule(
                chain.table,
                chain.name,
                0,
                model,
                matches,
                target,
                item.counters,
                self.source,
                item.line,
                refused,
            )
            for model in models
        ]

    def warn(self, line: int, text: Text) -> None:
        """Note that a line is odd."""
        if len(self._warnings) < _MOST:
            self._warnings.append(DumpWarning(text, line))
        else:
            self._more += 1

    def warnings(self) -> list[DumpWarning]:
        """Return what is odd in the text, the first lines of it."""
        if not self._more:
            return self._warnings
        return [
            *self._warnings,
            DumpWarning(message("... and {count} more of this kind", count=self._more)),
        ]


def _target(reading: Reading, table: str) -> Target | Jump | None:
    """Return a rule's target; chains are resolved when all of them are known."""
    if reading.target is not None or reading.bound is None:
        return reading.target
    target = reading.bound.target
    if isinstance(target, Jump) and target.chain in (*BUILTIN_CHAINS[table], UNKNOWN):
        return HiddenTarget(name=target.chain, reason=message("what -j {name} does", name=target.chain))
    return target
