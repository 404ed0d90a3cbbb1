"""Rules that block all but an exception, and of which each blocks the exceptions of the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from iptsim.addresses import Family, address_text
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.constraints import Constraint, Masked
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.behind import SOME_CONTAINER
from iptsim.findings.examples import header, is_for_replies
from iptsim.findings.finding import Finding, of_rule, uses
from iptsim.findings.remedy import first_that_mends
from iptsim.findings.scene import Scene
from iptsim.languages import message
from iptsim.owners.docker import is_dockers
from iptsim.passages import shell

#: At most this many rules that differ only in their exceptions are tried.
_TRIED = 20
_INTERFACES = ("in_interface", "out_interface")


class _Exception(NamedTuple):
    """A rule that blocks all packets but those with certain values of a field.

    Attributes:
        rule: the rule.
        field: "src", "dport", "in_interface" or "out_interface".
        words: the condition on the excepted ones: `-s 192.0.2.1/32`.
        value: one of the excepted values; 0 for an interface.
    """

    rule: Rule
    field: str
    words: str
    value: int

    @property
    def rest(self) -> str:
        """The rule without that condition and without its target."""
        return self.conditions.replace(self.words, "", 1)

    @property
    def conditions(self) -> str:
        """The conditions on the packets that it excepts."""
        conditions, _, _ = self.rule.specification.rpartition(f"-j {self.rule.target_name}")
        return conditions.replace(f"! {self.words}", self.words, 1)


def blocked_by_others(scene: Scene) -> Iterator[Finding]:
    """Find rules that together block everything, as in `! -s A -j DROP` and `! -s B -j DROP`."""
    for family in scene.families:
        for chain in scene.table(family, "filter").chains.values():
            alike: dict[tuple[str, str], list[_Exception]] = {}
            for one in filter(None, map(_exception, chain.rules)):
                alike.setdefault((one.field, one.rest), []).append(one)
            for group in alike.values():
                found = _contradicting(scene, family, group)
                if found is not None:
                    yield found


def _exception(rule: Rule) -> _Exception | None:
    """Return what a rule excepts from what it blocks; None if it does not block, or has not one exception."""
    if rule.target_name not in BLOCKING or is_dockers(rule):
        return None
    conditions = [one for match in (rule.parameters, *rule.matches) for one in match.predicates()]
    negated = [one for one in conditions if one.negated]
    if len(negated) != 1 or not isinstance(constraint := negated[0].constraint, Constraint):
        return None
    field, allowed, words = constraint.field.key, constraint.allowed, negated[0].text.removeprefix("! ")
    if field in _INTERFACES and not words.endswith("+") and all(map(_is_of_packet, conditions)):
        return _Exception(rule, field, words, 0)
    if field not in ("src", "dport") or not isinstance(allowed, tuple | Masked):
        return None
    value = allowed.value if isinstance(allowed, Masked) else allowed[0][0]
    return _Exception(rule, field, words, value)


def _is_of_packet(condition: Predicate) -> bool:
    """Return whether a condition holds alike for the same packet in two rules: not chance or a rate."""
    return isinstance(condition.constraint, Constraint) and condition.constraint.field.steady


def _contradicting(scene: Scene, family: Family, group: list[_Exception]) -> Finding | None:
    """Return the finding if two rules block what the other one excepts."""
    first = group[0]
    for other in group[1:_TRIED]:
        if first.field in _INTERFACES:
            if first.words != other.words and not _spared(scene, family, first, other):
                return _finding(scene, family, (first, other), None)
            continue
        shown = _blocked(scene, family, first, other.rule)
        if shown is not None and _blocked(scene, family, other, first.rule) is not None:
            return _finding(scene, family, (first, other), shown)
    return None


def _spared(scene: Scene, family: Family, first: _Exception, other: _Exception) -> bool:
    """Return whether a rule before the second one may accept what leaves or comes by an excepted interface."""
    names = {getattr(one.rule.parameters, first.field) for one in (first, other)}
    for rule in scene.rules(family, "filter", first.rule.chain):
        if rule is other.rule:
            return False
        name = getattr(rule.parameters, first.field)
        is_for_others = name is not None and name not in names and first.field not in rule.parameters.negated
        if rule.target_name not in (*BLOCKING, "LOG") and not is_for_replies(rule) and not is_for_others:
            return True
    return True


def _blocked(scene: Scene, family: Family, one: _Exception, by: Rule) -> Explanation | None:
    """Walk a packet that a rule excepts; None if no other rule blocks it."""
    fields, sender = header(one.rule), "internet"
    if one.field == "src":
        sender = address_text(family, one.value)
    else:
        fields["dport"] = one.value
    hooks, outside = scene.hooks(family, "filter").get(one.rule.chain), scene.outside_interface(family)
    to = "host"
    if hooks == ("FORWARD",) and family == 4 and outside is not None:
        to, fields["in"] = SOME_CONTAINER, outside.name
    elif hooks != ("INPUT",):
        return None
    shown = scene.ask(sender, to, family, **fields)
    return shown if shown is not None and shown.verdict in BLOCKING and uses(shown, by) else None


def _finding(
    scene: Scene, family: Family, pair: tuple[_Exception, ...], shown: Explanation | None
) -> Finding:
    first, other = pair
    chain = first.rule.chain
    target = "ACCEPT" if chain in BUILTIN_CHAINS["filter"] else "RETURN"
    add = f"{tool_of(family)} -I {chain} {first.rule.position}"
    commands = tuple(f"{add} {one.conditions}-j {target}" for one in pair)
    return Finding(
        "exceptions-blocked",
        message(
            "{chain} rules {first} and {other} each block what the other one excepts, so nothing passes both.",
            chain=chain,
            first=first.rule.position,
            other=other.rule.position,
        ),
        tuple(of_rule(one.rule) for one in pair),
        message(
            "A rule with ! blocks all but its exception. What rule {first} lets pass ({words}) comes to rule {other},"
            " which blocks it.",
            first=first.rule.position,
            other=other.rule.position,
            words=first.words,
        ),
        message("Accept the exceptions before the rules that block: {commands}", commands=shell(*commands)),
        shown,
        family,
        first_that_mends(scene, family, [commands], shown) if shown is not None else (),
    )
