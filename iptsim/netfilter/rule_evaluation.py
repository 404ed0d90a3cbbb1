"""Evaluating one rule: whether it matches, what is undecided, what its target does."""

from __future__ import annotations

from typing import Any

from iptsim.addresses import address_text
from iptsim.dump.rule import Rule
from iptsim.extensions.base import Target
from iptsim.extensions.context import Context
from iptsim.extensions.hidden import may_translate, rewrites
from iptsim.extensions.verdicts import Translation, Verdict
from iptsim.languages import Text, message
from iptsim.netfilter import hooks
from iptsim.netfilter.hidden_nat import is_filtered, source_matters
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.prepared import Condition, Prepared
from iptsim.netfilter.steps import Skipped, Step
from iptsim.netfilter.trace import ACCEPTS, CONTINUES, KEEPS, MATCHES
from iptsim.netfilter.translation import translate
from iptsim.partly_known import known_mark
from iptsim.truth import Unknown

#: Packet fields that a target may change and that are worth showing.
_SHOWN = ("src", "sport", "dst", "dport", "mark", "tos", "ttl", "priority", "secmark")


def matches(kernel: Kernel, context: Context, prepared: Prepared) -> bool | None:
    """Return whether a rule matches; None: undecided, and it makes no difference."""
    undecided: list[tuple[Unknown, Condition]] = []
    for condition in prepared.conditions:
        truth = condition.test(context)
        if condition.predicate.effect is not None:
            condition.predicate.effect(context)
        if truth is True:
            continue
        if truth is False:
            return _skip(kernel, context, prepared, condition)
        assumed = kernel.world.assumed(condition.match, prepared.rule)
        if assumed is None:
            undecided.append((truth, condition))
            continue
        if truth.learn is not None:
            truth.learn(assumed)
        if assumed is False:
            return _skip(kernel, context, prepared, condition)
    if not undecided:
        return True
    if prepared.quiet:
        return None
    for unknown, condition in undecided:
        # what was decided before may have decided this as well
        truth = condition.test(context) if unknown.learn is not None else unknown
        if isinstance(truth, Unknown):
            negated = condition.predicate.negated
            truth = _decide(kernel, truth, condition.match, prepared.rule, negated=negated)
        if not truth:
            return _skip(kernel, context, prepared, condition)
    return True


def _skip(kernel: Kernel, context: Context, prepared: Prepared, condition: Condition) -> bool:
    """Record a rule that does not match; return False."""
    kernel.budget.spend()
    if kernel.verbose:
        rule, predicate = prepared.rule, condition.predicate
        kernel.passage.skipped.append(
            Skipped(rule.table, rule.chain, rule, predicate.text, predicate.got(context))
        )
    return False


def _decide(
    kernel: Kernel,
    unknown: Unknown,
    what: str,
    rule: Rule,
    words: Text = MATCHES,
    *,
    negated: bool = False,
) -> bool:
    """Decide an undecided match or target; equal keys are decided alike, even if one of them is negated."""
    choices, key = kernel.choices, (what, unknown.key)
    if unknown.key and key in choices.settled:
        value = choices.settled[key] is not negated
    else:
        value = choices.take(unknown, what, words, rule=rule)
        if unknown.key:
            choices.settled[key] = value is not negated
    if unknown.learn is not None:
        unknown.learn(value)
    return value


# -- targets -----------------------------------------------------------------------------------------


def apply(
    kernel: Kernel, context: Context, prepared: Prepared, *, maybe: bool, depth: int
) -> Verdict | Translation:
    """Run the target of a rule that matches, and record the step.

    Args:
        maybe: whether the rule matches is undecided, and makes no difference.
        depth: how many calls deep the rule's chain is.
    """
    target = prepared.target
    if target is None:
        add_step(kernel, context, prepared, "CONTINUE", maybe=maybe, depth=depth)
        return Verdict("CONTINUE")
    before = _fields(context) if target.changes else None
    outcome = target.apply(context)
    if isinstance(outcome, Verdict) and outcome.kind == "QUEUE":
        outcome = Unknown(
            message("what the program that reads {detail} decides", detail=outcome.detail),
            f"--assume {target.name}=yes",
        )
    if isinstance(outcome, Unknown):
        outcome = _undecided(kernel, context, target, outcome, prepared)
    if isinstance(outcome, Translation) and context.connection and context.connection.is_confirmed:
        # nf_nat_setup_info
        already = message("its connection is already in conntrack's table, so nat changes nothing")
        outcome = Verdict("ACCEPT", detail=already)
    note: Text = ""
    if isinstance(outcome, Translation):
        if not translate(kernel, context, outcome):
            note = message("there is no address to translate to")
            add_step(kernel, context, prepared, "DROP", depth=depth, note=note)
            return Verdict("DROP")
        shown = outcome.target
    else:
        shown, note = outcome.kind, outcome.detail
    changes = _changes(before, _fields(context), context.packet.family) if before is not None else {}
    add_step(kernel, context, prepared, shown, maybe=maybe, depth=depth, note=note, changes=changes)
    return outcome


def _undecided(
    kernel: Kernel, context: Context, target: Target, unknown: Unknown, prepared: Prepared
) -> Verdict | Translation:
    """Return the result of a target whose effect is undecided: the packet continues, or it does not."""
    rewritten = rewrites(target)
    translates = not rewritten and may_translate(prepared.rule.table, target)
    passes = kernel.world.assumed(target.name, prepared.rule)
    stated = passes is not None
    if translates and prepared.rule.table != "nat":
        note = message(
            "Rules of nftables {table} {chain} that are not shown are assumed to drop no packets: the chain is of"
            " type nat.",
            table=prepared.rule.table,
            chain=prepared.rule.chain,
        )
        kernel.notes.append(note)
    if translates and not stated and hooks.NAT_SIDE[context.hook] == "src":
        if not source_matters(kernel, context) or _decide(kernel, unknown, target.name, prepared.rule, KEEPS):
            return Verdict("CONTINUE", detail=unknown.reason)
        return Translation("MASQUERADE", "src")
    if passes is None:
        passes = _decide(kernel, unknown, target.name, prepared.rule, CONTINUES)
    if passes:
        return Verdict("ACCEPT" if target.terminal else "CONTINUE", detail=unknown.reason)
    if (
        target.status == "unknown"
        and not stated
        and _decide(kernel, unknown, target.name, prepared.rule, ACCEPTS)
    ):
        # the rules that the packet meets at its new destination may let it pass
        kernel.passage.elsewhere = rewritten or (translates and is_filtered(kernel, context))
        return Verdict("ACCEPT", detail=unknown.reason)
    if translates and not stated and not is_filtered(kernel, context):
        return Verdict("ACCEPT", detail=unknown.reason)  # whatever its new destination
    return Verdict("DROP", detail=unknown.reason)


def add_step(
    kernel: Kernel,
    context: Context,
    prepared: Prepared,
    verdict: str,
    *,
    maybe: bool = False,
    depth: int = 0,
    note: Text = "",
    changes: dict[str, tuple[Any, Any]] | None = None,
) -> None:
    """Record the step of a rule that matches."""
    rule = prepared.rule
    kernel.add(
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


def _fields(context: Context) -> tuple[Any, ...]:
    packet, connection = context.packet, context.connection
    return (*(getattr(packet, name) for name in _SHOWN), connection.mark if connection else None)


def _changes(before: tuple[Any, ...], after: tuple[Any, ...], family: int) -> dict[str, tuple[Any, Any]]:
    changes = {}
    for name, old, new in zip((*_SHOWN, "ctmark"), before, after, strict=True):
        if old != new:
            if name in ("mark", "ctmark") and old is not None:
                old, new = known_mark(old), known_mark(new)
            elif name in ("src", "dst"):
                old, new = address_text(family, old), address_text(family, new)
            changes[name] = (old, new)
    return changes
