"""The chains as a tree of plain text, with the path of a packet marked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from iptsim.dump.chain_graph import ChainGraph, Node
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.errors import printable
from iptsim.explanation import Explanation
from iptsim.languages import say, say_many
from iptsim.pictures.captions import answer_captions
from iptsim.pictures.chain_groups import FREE, pattern
from iptsim.pictures.drawing import SIGNS
from iptsim.pictures.visited import Taken, VisitedChains

#: Marks for the path of a packet.
_WALKED, _IDLE = "●", "○"
#: Chains nested deeper are not indented further; a number shows their depth.
_DEEPEST = 40
#: Up to this many jumps in a row to chains of similar names have lines of their own, if there are many chains.
_SINGLE = 4


def tree(
    ruleset: Ruleset,
    visited: VisitedChains | None = None,
    explanation: Explanation | None = None,
    *,
    counters: bool = False,
    only_path: bool = False,
) -> str:
    """Return the chains as a tree below each built-in chain; none is expanded twice in a table."""
    tree = _Tree(ruleset, visited, counters, only_path and visited is not None)
    return "".join(f"{line}\n" for line in tree.lines(explanation))


class _Tree:
    def __init__(
        self, ruleset: Ruleset, visited: VisitedChains | None, counters: bool, only_path: bool
    ) -> None:
        self.ruleset, self.visited = ruleset, visited
        self.counters, self.only_path = counters, only_path
        self.calls = ChainGraph(ruleset.tables.values())
        self.many = sum(len(table.chains) for table in ruleset.tables.values()) > FREE

    def lines(self, explanation: Explanation | None) -> Iterator[str]:
        if explanation is not None:
            yield from (printable(caption.text) for caption in answer_captions(explanation))
            yield from ("", _legend(), "")
        for table in self.ruleset.tables.values():
            shown: set[str] = set()
            for chain in table.chains.values():
                if chain.builtin and self._is_shown(chain):
                    policy = f"{table.name} {chain.name}   " + say(
                        "policy {policy}", policy=chain.policy or "ACCEPT"
                    )
                    mark = self._mark(Node(table.name, chain.name), None)
                    yield policy + self._count(chain.counters and chain.counters.packets) + mark
                    yield from self._below(table, chain, shown)
            for chain in table.chains.values():
                if not chain.builtin and chain.name not in shown and not self.only_path:
                    yield f"{table.name} {printable(chain.name)}   " + say("nothing jumps here")
                    shown.add(chain.name)
                    yield from self._below(table, chain, shown)

    def _below(self, table: Table, chain: Chain, shown: set[str]) -> Iterator[str]:
        """Yield the lines below a chain, without recursion: dumps may nest as deep as they like."""
        todo: list[tuple[str, Iterator[tuple[bool, list[Rule]]]]] = [("", self._entries(chain))]
        while todo:
            prefix, entries = todo[-1]
            if len(todo) > _DEEPEST:
                # the indentation would get longer than the line
                prefix += f"{len(todo)}: "
            entry = next(entries, None)
            if entry is None:
                todo.pop()
                continue
            last, rules = entry
            branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
            target = rules[0].target
            if not isinstance(target, Jump):
                yield f"{prefix}{branch}{self._others(rules)}"
                continue
            if len(rules) > 1:
                yield f"{prefix}{branch}{self._alike(table, rules, shown)}"
                continue
            called = table.chains.get(target.chain)
            remark = ""
            if called is None:
                remark = say("this chain does not exist")
            elif target.chain in shown and called.rules:
                remark = say("see above")
            elif not called.rules:
                remark = say("empty")
            rule = rules[0]
            jump = f"{rule.position} {'⇒' if target.goto else '→'} {printable(target.chain)}{_when(rule)}"
            note = f"   ({remark})" if remark else ""
            yield f"{prefix}{branch}{jump}{note}{self._count_and_mark(rules)}"
            if called is not None and not remark:
                shown.add(target.chain)
                deeper = todo[-1][0] if len(todo) >= _DEEPEST else prefix + below
                todo.append((deeper, self._entries(called)))
            elif called is not None:
                shown.add(target.chain)

    # -- lines ------------------------------------------------------------------------------------------

    def _entries(self, chain: Chain) -> Iterator[tuple[bool, list[Rule]]]:
        """Yield the jumps of a chain one by one, the rules between them together; with whether it is the last."""

        def kind(rule: Rule) -> tuple[object, ...]:
            if isinstance(rule.target, Jump):
                return (
                    True,
                    pattern(rule.target.chain) if self.many else rule.position,
                    self._is_marked(rule),
                )
            return (False, rule.position) if self._is_marked(rule) else (False, 0)

        groups: list[list[Rule]] = []
        listed = [rule for rule in chain.rules if not self.only_path or self._is_marked(rule)]
        for key, rules in groupby(listed, key=kind):
            together = list(rules)
            if not key[0]:
                groups.append(together)
            elif len(together) > _SINGLE and not self._is_marked(together[0]):
                groups += [together[:1], together[1:]]
            else:
                groups.extend([rule] for rule in together)
        for number, group in enumerate(groups, 1):
            yield number == len(groups), group

    def _is_shown(self, chain: Chain) -> bool:
        """Return whether a built-in chain is shown: with only the path, those that the packet entered."""
        return not self.only_path or (
            self.visited is not None and Node(chain.table, chain.name) in self.visited.hooks
        )

    def _is_marked(self, rule: Rule) -> bool:
        return self.visited is not None and bool(
            _taken(self.visited.walked, rule) or _taken(self.visited.idle, rule)
        )

    def _alike(self, table: Table, rules: list[Rule], shown: set[str]) -> str:
        """Return one line for jumps to chains of similar names, and note that these and their callees are shown."""
        names = {rule.target_name for rule in rules}
        shown.update(self.calls.reached(table.name, *(names - shown)))
        where = f"{rules[0].position}-{rules[-1].position} → {printable(pattern(rules[0].target_name))}"
        remark = say("not expanded")
        return f"{where} x{len(names)}   ({remark}){self._count_and_mark(rules)}"

    def _others(self, rules: list[Rule]) -> str:
        """Return one line for rules that jump to no chain: "3-7 ACCEPT x4, LOG"."""
        counts: dict[str, int] = {}
        for rule in rules:
            name = rule.target_name or say("no target")
            counts[name] = counts.get(name, 0) + 1
        what = ", ".join(name if count == 1 else f"{name} x{count}" for name, count in counts.items())
        first, last = rules[0].position, rules[-1].position
        where = str(first) if first == last else f"{first}-{last}"
        when = _when(rules[0]) if first == last else ""
        return f"{where} {printable(what)}{when}{self._count_and_mark(rules)}"

    def _count_and_mark(self, rules: list[Rule]) -> str:
        """Return the end of a line: the number of packets, and the mark."""
        packets = sum(rule.counters.packets for rule in rules if rule.counters)
        rule = rules[0]
        place = Node(rule.table, rule.chain)
        changes = self.visited.changes.get((place, rule.position), []) if self.visited else []
        return (
            self._count(packets) + "".join(f"   ⇄ {change}" for change in changes) + self._mark(place, rule)
        )

    def _count(self, packets: int | None) -> str:
        return "   " + say_many("{count} packet", "{count} packets", packets or 0) if self.counters else ""

    def _mark(self, chain: Node, rule: Rule | None) -> str:
        """Return the mark of a rule, or of the policy of a chain."""
        if self.visited is None:
            return ""
        position = rule.position if rule is not None else 0
        if (end := self.visited.ends.get((chain, position))) is not None:
            return f"   {SIGNS[end]}"
        for mark, taken in ((_WALKED, self.visited.walked), (_IDLE, self.visited.idle)):
            if (
                _taken(taken, rule)
                if rule is not None
                else any((one[0], one[2]) == (chain, 0) for one in taken)
            ):
                return f"   {mark}"
        return ""


def _taken(taken: set[Taken], rule: Rule) -> bool:
    """Return whether a rule was taken; a rule of nftables may lead to several places, each a rule here."""
    jump = rule.jump
    target = Node("verdict", rule.target_name) if jump is None else Node(rule.table, jump.chain)
    return (Node(rule.table, rule.chain), target, rule.position) in taken


def _legend() -> str:
    ends = {"stop": say("stopped here"), "arrived": say("accepted here"), "open": say("depends")}
    marks = [(_WALKED, say("led to the verdict")), (_IDLE, say("traversed, no effect"))]
    marks += [(SIGNS[end], text) for end, text in ends.items()]
    return "   ".join(f"{mark} {text}" for mark, text in marks)


def _when(rule: Rule) -> str:
    """Return a rule's conditions as the dump has them."""
    if rule.shown != rule.text:
        return f"   {printable(rule.shown)}"
    words = f" {rule.specification}"
    for flag in (" -j ", " -g "):
        words = words.partition(flag + rule.target_name)[0] if rule.target_name else words
    return f"   {printable(words.strip())}" if words.strip() else ""
