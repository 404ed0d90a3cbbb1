"""Combines the rules of a pasted text: tables may be incomplete, and parts of rules may be unknown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.ruleset import Ruleset
from iptsim.host.pasted import Grown, Lost
from iptsim.paste.filters import tables_to_hide
from iptsim.paste.gap_rules import hide_tables
from iptsim.paste.listed_again import by_backend, grown_counters, lost_rules
from iptsim.paste.marks_elsewhere import rules_of_hidden_marks, rules_of_marks
from iptsim.paste.pieces import Rules
from iptsim.paste.rule_maker import RuleMaker
from iptsim.paste.shown_table import ShownTable
from iptsim.paste.unshown_rules import complete, open_chains


class Builder:
    """Builds the rulesets of one text.

    Args:
        source: the text's name.
        rulesets: the rulesets that the text changes.

    Attributes:
        rulesets: by address family.
        besides: those of the other variant of iptables, if the text shows both.
        maker: makes the rules; it knows those that iptables refuses, and what is odd in the text.
    """

    def __init__(self, source: str, rulesets: dict[Family, Ruleset] | None = None) -> None:
        self.maker = RuleMaker(source)
        self.rulesets: dict[Family, Ruleset] = {} if rulesets is None else rulesets
        self.besides: dict[Family, Ruleset] = {}
        self._shown: dict[tuple[Family, str], ShownTable] = {}
        for ruleset in self.rulesets.values():
            for name in ruleset.tables:
                self._table(ruleset, name).known.add("")

    def build(self, pieces: Sequence[Rules]) -> dict[Family, Ruleset]:
        """Return the rulesets made from the pieces of a text, in order."""
        pieces, besides = by_backend(pieces)
        if besides:
            self.besides = Builder(self.maker.source).build(besides)
        family_of = _family_of(pieces)
        for piece in pieces:
            self._table(self._ruleset(piece, family_of(piece)), piece.table).add(piece)
        for piece in pieces:
            hide_tables(self.rulesets[family_of(piece)], tables_to_hide(piece, pieces))
        for _, shown in sorted(self._shown.items()):
            if shown.is_changed:
                shown.check()
        named = {place: set(shown.table.chains) for place, shown in self._shown.items()}
        for ruleset in self.rulesets.values():
            self._complete(ruleset, named)
        for ruleset in list(self.rulesets.values())[:1]:
            ruleset.warnings += self.maker.warnings()
        return self.rulesets

    @property
    def policies(self) -> set[tuple[Family, str, str]]:
        """The built-in chains whose policies the text shows: family, table and name."""
        return {(*place, chain) for place, shown in self._shown.items() for chain in shown.policies}

    @property
    def unlisted(self) -> list[str]:
        """The tables of which the text shows nothing but commands that change them."""
        return list(dict.fromkeys(name for (_, name), shown in self._shown.items() if shown.is_unlisted))

    @property
    def listed_twice(self) -> bool:
        """Whether the text shows a table twice, with counters."""
        return any(
            chain.counters is not None or any(rule.counters is not None for rule in chain.rules)
            for shown in self._shown.values()
            if shown.before is not None
            for chain in shown.before.chains.values()
        )

    def changes(self, *, rebooted: bool) -> tuple[tuple[Grown, ...], tuple[Lost, ...]]:
        """Return the counters that grew, and the rules that are gone, from the first listing of a table to the last.

        Args:
            rebooted: the text is about a restart of the host.
        """
        before = {place: shown.before for place, shown in self._shown.items() if shown.before is not None}
        lost = lost_rules(before, self.rulesets, rebooted=rebooted)
        return tuple(grown_counters(before, self.rulesets)), tuple(lost)

    def _ruleset(self, piece: Rules, family: Family) -> Ruleset:
        """Return the ruleset of a piece, with what it says of the version of iptables."""
        if family not in self.rulesets:
            self.rulesets[family] = Ruleset(family=family, source=self.maker.source, listed=True)
        ruleset = self.rulesets[family]
        if piece.version is not None and ruleset.version is None:
            ruleset.version = piece.version
        if piece.backend is not None:
            ruleset.backend = piece.backend
        return ruleset

    def _table(self, ruleset: Ruleset, name: str) -> ShownTable:
        place = ruleset.family, name
        if place not in self._shown:
            self._shown[place] = ShownTable(self.maker, ruleset, name)
        return self._shown[place]

    def _complete(self, ruleset: Ruleset, named: Mapping[tuple[Family, str], Collection[str]]) -> None:
        """Add what the text does not show of the tables; nat first, whose rules call for marks of others.

        Args:
            ruleset: the rules.
            named: the chains that the text names, by address family and table.
        """
        other: Family = 4 if ruleset.family == 6 else 6
        if "nat" in ruleset.tables:
            open_chains(self._table(ruleset, "nat"))
        marking = rules_of_marks(ruleset)
        if any(shown.is_printed for shown in self._shown.values() if shown.family == ruleset.family):
            marking += rules_of_hidden_marks(ruleset)
        for table, item in marking:
            self._table(ruleset, table.name).add_rule(item)
        for name in ruleset.tables:
            shown = self._table(ruleset, name)
            if name != "nat":
                open_chains(shown)
            complete(shown, named.get((other, name), ()))


def _family_of(pieces: Sequence[Rules]) -> Callable[[Rules], Family]:
    """Return what tells the address family of a piece: its own, else that of another one that may go with it.

    Policies and rules of other built-in chains do not go with the output of `ip6tables -S CHAIN`.
    """
    known: dict[tuple[Family, str], None] = {(one.family, one.chain): None for one in pieces if one.family}

    def family(piece: Rules) -> Family:
        if piece.family is not None:
            return piece.family
        builtin = piece.shown_chains & {*BUILTIN_CHAINS[piece.table]}
        return next((one for one, chain in known if not chain or builtin <= {chain}), 4)

    return family
