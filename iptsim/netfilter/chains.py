"""Running a base chain: which rules match, where jumps lead, what is undecided, what is noted.

Sources: net/netfilter/nf_tables_core.c, net/ipv4/netfilter/ip_tables.c, and measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from iptsim.dump.ruleset import Chain, Rule
from iptsim.errors import RulesetError, WalkLimitError
from iptsim.extensions.base import Target, Translation, Verdict
from iptsim.host.model import Host
from iptsim.host.namespace import Namespace
from iptsim.languages import later, say, told
from iptsim.netfilter.outside import Watch
from iptsim.netfilter.program import Condition, Prepared, Program
from iptsim.netfilter.surroundings import World
from iptsim.netfilter.trace import Decision, Delivery, FinalVerdict, Skipped, Step
from iptsim.packet import Connection, Context, Packet, Unknown, address_text

#: Rules that one question may look at, all ways together.
RULE_LIMIT = 5_000_000
#: Steps that one packet may take: a real way takes tens to hundreds.
STEP_LIMIT = 20_000

#: Packet fields that a target may change and that are worth showing, with how they are shown.
_SHOWN = ("src", "sport", "dst", "dport", "mark", "tos", "ttl", "priority", "secmark")


@dataclass(slots=True)
class Fate:
    """What became of one packet."""

    verdict: FinalVerdict
    delivered: Delivery | None = None
    #: the REJECT target's answer, when one is due ("tcp-reset", "icmp-port-unreachable" ...)
    reject: str = ""
    #: the context in which the packet ended
    context: Context | None = None
    #: the next hop of a packet that leaves a container
    next_hop: int | None = None


class Budget:
    """How many rules the ways of one question may still look at, together."""

    def __init__(self, limit: int = RULE_LIMIT) -> None:
        self.left = limit

    def spend(self, count: int) -> None:
        """Take from the budget.

        Raises:
            WalkLimitError: it is used up.
        """
        self.left -= count
        if self.left < 0:
            raise WalkLimitError(
                f"the walk looked at more than {RULE_LIMIT:,} rules: the ruleset is built to explode"
            )


class Chains:
    """Runs chains for one run of a question, and keeps what the packet under way has met.

    Where a rule's match can't be decided, the run takes the next value of its `plan` (True when the plan
    is used up) and notes it.
    """

    def __init__(
        self,
        world: World,
        namespace: Namespace,
        programs: dict[int, list[Program]],
        *,
        plan: tuple[bool, ...] = (),
        budget: Budget | None = None,
        verbose: bool = False,
    ) -> None:
        self.world = world
        self.host: Host = world.host
        self.namespace = namespace
        self.programs = programs
        self.plan = plan
        self.budget = budget or Budget()
        self.verbose = verbose
        self.connections: list[Connection] = list(world.known_connections)
        self.decisions: list[Decision] = []
        self.settled: dict[Any, bool] = {}
        self.consulted: set[str] = set()
        #: what was taken for granted on the way, in sentences
        self.notes: list[str] = []
        #: the rules that look at the outside address of the packet that is under way, if that matters
        self.watch: Watch | None = None
        #: what the packet that is under way has met so far
        self.steps: list[Step] = []
        self.skipped: list[Skipped] = []
        #: the packet that :meth:`send` sent, as it set out
        self.sent: Packet | None = None

    def begin(self) -> None:
        """Start a new packet: forget the steps of the one before."""
        self.steps, self.skipped = [], []

    def _context(self, packet: Packet) -> Context:
        return Context(packet, "", "", self.world, consulted=self.consulted)

    def _table(self, context: Context, program: Program, table: str) -> Fate | None:
        chain = program.chain(table, context.hook)
        if chain is None:
            return None
        context.table, context.backend, context.version = table, program.backend, program.version
        begun = len(self.steps)
        verdict = self._run(context, program, table)
        if len(self.programs[context.packet.family]) > 1:
            for step in self.steps[begun:]:
                step.backend = program.backend
        return self._fate(context, verdict)

    def _fate(self, context: Context, verdict: Verdict | Translation) -> Fate | None:
        if isinstance(verdict, Translation) or verdict.kind == "ACCEPT":
            return None
        if verdict.kind == "REJECT":
            return Fate("REJECT", reject=str(verdict.detail), context=context)
        return Fate("DROP", context=context)

    def _run(self, context: Context, program: Program, table: str) -> Verdict | Translation:
        """Run a base chain to its end. Returns ACCEPT, DROP, REJECT, QUEUE, STOLEN or a translation."""
        hook = context.hook
        base = program.chain(table, hook)
        assert base is not None
        chain, rules, index = base, program.rules(base), 0
        stack: list[tuple[Chain, list[Rule | Prepared], int]] = []
        while True:
            if index >= len(rules):
                if not stack:
                    break
                chain, rules, index = stack.pop()
                continue
            prepared = program.prepare(rules, index)
            index += 1
            matched = self._matches(context, prepared)
            if matched is False:
                continue
            self.budget.spend(1)
            maybe = matched is None
            if prepared.jump is not None:
                jump = prepared.jump
                self._step(
                    context, prepared, ("GOTO:" if jump.goto else "JUMP:") + jump.chain, depth=len(stack)
                )
                target_chain = program.chain(table, jump.chain)
                if target_chain is None:
                    raise RulesetError(
                        f"{prepared.rule.span}: there is no chain {jump.chain} in table {table}"
                    )
                if not jump.goto:
                    stack.append((chain, rules, index))
                chain, rules, index = target_chain, program.rules(target_chain), 0
                continue
            outcome = self._apply(context, prepared, maybe, len(stack))
            if isinstance(outcome, Translation):
                return outcome
            if outcome.kind == "RETURN":
                if not stack:
                    break
                chain, rules, index = stack.pop()
            elif outcome.kind != "CONTINUE":
                return outcome
        policy = base.policy or "ACCEPT"
        self._append(
            Step(
                hook,
                policy,
                table,
                hook,
                policy=True,
                interfaces=(context.in_interface, context.out_interface),
            )
        )
        return Verdict("ACCEPT" if policy == "ACCEPT" else "DROP")

    def _matches(self, context: Context, prepared: Prepared) -> bool | None:
        """Tell whether a rule matches; None: undecided, and it makes no difference."""
        if self.watch is not None:
            self._watch(context, prepared, self.watch)
        undecided: list[tuple[Unknown, Condition]] = []
        for condition in prepared.conditions:
            truth = condition.test(context)
            if condition.predicate.effect is not None:
                condition.predicate.effect(context)
            if truth is True:
                continue
            if truth is False:
                self._skip(context, prepared, condition)
                return False
            assumed = self.world.assumed(condition.match, prepared.rule)
            if assumed is None:
                undecided.append((truth, condition))
            elif assumed is False:
                self._skip(context, prepared, condition)
                return False
        if not undecided:
            return True
        if prepared.quiet:
            return None
        for unknown, condition in undecided:
            if not self._decide(unknown, condition, prepared):
                self._skip(context, prepared, condition)
                return False
        return True

    def _watch(self, context: Context, prepared: Prepared, watch: Watch) -> None:
        """Keep a rule that only its condition on the outside address may keep from matching."""
        selecting = watch.condition(prepared) if not prepared.quiet else None
        if selecting is None:
            return
        consulted = set(self.consulted)
        others = (one for one in prepared.conditions if one is not selecting)
        if all(one.test(context) is not False for one in others):
            watch.keep(prepared.rule, selecting)
        # what was only looked at for the sake of the watch is no default that counts
        self.consulted.intersection_update(consulted)

    def _decide(
        self, unknown: Unknown, condition: Condition | None, prepared: Prepared, words: str = later("matches")
    ) -> bool:
        match = condition.match if condition else prepared.rule.target_name
        negated = condition is not None and condition.predicate.negated
        key = (match, unknown.key) if unknown.key else None
        if key is not None and key in self.settled:
            return self.settled[key] is not negated
        rule = prepared.rule
        value = self._planned(unknown, match, (rule.table, rule.chain, rule.position), rule, words)
        if key is not None:
            self.settled[key] = value is not negated
        return value

    def _choose(self, unknown: Unknown, what: str, words: str) -> bool:
        """Decide what neither a rule nor anything known decides.

        Args:
            unknown: its key holds all that goes the same way within one walk.
            what: a word for what is chosen.
            words: a clause that says what is so if the answer is True.
        """
        key = (what, unknown.key)
        if key not in self.settled:
            self.settled[key] = self._planned(unknown, what, ("", "", 0), None, words)
        return self.settled[key]

    def _planned(
        self, unknown: Unknown, match: str, place: tuple[str, str, int], rule: Rule | None, words: str
    ) -> bool:
        """Take the next value of the plan, and note what was decided by it."""
        index = len(self.decisions)
        value = self.plan[index] if index < len(self.plan) else True
        self.decisions.append(Decision(unknown, match, place, rule, value, words))
        return value

    def _apply(self, context: Context, prepared: Prepared, maybe: bool, depth: int) -> Verdict | Translation:
        target = prepared.target
        if target is None:
            self._step(context, prepared, "CONTINUE", maybe=maybe, depth=depth)
            return Verdict("CONTINUE")
        before = _fields(context) if target.changes else None
        outcome = target.apply(context)
        if isinstance(outcome, Verdict) and outcome.kind == "QUEUE":
            outcome = Unknown(
                say("what the program that reads {detail} decides", detail=outcome.detail),
                f"--assume {target.name}=yes",
            )
        if isinstance(outcome, Unknown):
            outcome = self._undecided_target(target, outcome, prepared)
        if isinstance(outcome, Translation):
            if not self._translate(context, outcome):
                self._step(
                    context, prepared, "DROP", depth=depth, note=say("there is no address to translate to")
                )
                return Verdict("DROP")
            shown, note = outcome.target, ""
        else:
            shown = "ACCEPT" if outcome.kind == "ACCEPT" else outcome.kind
            note = str(outcome.detail)
        changes = _changes(before, _fields(context), context.packet.family) if before is not None else {}
        self._step(context, prepared, shown, maybe=maybe, depth=depth, note=note, changes=changes)
        return outcome

    def _undecided_target(self, target: Target, unknown: Unknown, prepared: Prepared) -> Verdict:
        """Go on after a target whose effect nobody can tell: it lets the packet go on, or it does not."""
        passes = self.world.assumed(target.name, prepared.rule)
        if passes is None and not target.terminal and target.status != "unknown":
            # only a value is unknown (a mark that is not saved): the packet goes on in any case
            self.notes.append(
                say(
                    "{reason} is not known; the packet is taken to keep what it has",
                    reason=told(unknown.reason),
                )
            )
            return Verdict("CONTINUE", detail=told(unknown.reason))
        stated = passes is not None
        if passes is None:
            passes = self._decide(unknown, None, prepared, later("lets it go on"))
        if passes:
            return Verdict("ACCEPT" if target.terminal else "CONTINUE", detail=told(unknown.reason))
        if (
            target.status == "unknown"
            and not stated
            and self._decide(unknown, None, prepared, later("accepts it"))
        ):
            return Verdict("ACCEPT", detail=told(unknown.reason))
        return Verdict("DROP", detail=told(unknown.reason))

    def _step(
        self,
        context: Context,
        prepared: Prepared,
        verdict: str,
        *,
        maybe: bool = False,
        depth: int = 0,
        note: str = "",
        changes: dict[str, tuple[Any, Any]] | None = None,
    ) -> None:
        rule = prepared.rule
        self._append(
            Step(
                context.hook,
                verdict,
                rule.table,
                rule.chain,
                rule,
                maybe=maybe,
                changes=changes or {},
                note=note,
                depth=depth,
                interfaces=(context.in_interface, context.out_interface),
            )
        )

    def _append(self, step: Step) -> None:
        if self.verbose:
            step.skipped, self.skipped = self.skipped, []
        self.steps.append(step)
        if len(self.steps) > STEP_LIMIT:
            raise WalkLimitError(
                f"one packet takes more than {STEP_LIMIT:,} steps: the ruleset is built to explode"
            )

    def _skip(self, context: Context, prepared: Prepared, condition: Condition) -> None:
        self.budget.spend(1)
        if self.verbose:
            rule, predicate = prepared.rule, condition.predicate
            self.skipped.append(
                Skipped(rule.table, rule.chain, rule, predicate.text, str(predicate.got(context)))
            )

    def _note(self, hook: str, verdict: str, note: str, code: str) -> None:
        self._append(Step(hook, verdict, note=note, code=code))

    def _kernel_drop(self, code: str, note: str, hook: str = "ROUTING") -> Fate:
        self._note(hook, "DROP", note, code)
        return Fate("DROP")

    def _translate(self, context: Context, wanted: Translation) -> bool:
        """Carry out what a nat target asks for; :class:`~iptsim.netfilter.passage.Passage` knows how."""
        raise NotImplementedError


def _fields(context: Context) -> tuple[Any, ...]:
    packet, connection = context.packet, context.connection
    return (*(getattr(packet, name) for name in _SHOWN), connection.mark if connection else None)


def _changes(before: tuple[Any, ...], after: tuple[Any, ...], family: int) -> dict[str, tuple[Any, Any]]:
    changes = {}
    for name, old, new in zip((*_SHOWN, "ctmark"), before, after, strict=True):
        if old != new:
            if name in ("src", "dst"):
                old, new = address_text(family, old), address_text(family, new)
            changes[name] = (old, new)
    return changes
