"""Evaluating a base chain: its rules in order, calls, returns and its policy.

Sources: nft_do_chain (net/netfilter/nf_tables_core.c), ipt_do_table (net/ipv4/netfilter/ip_tables.c), and
measurements.
"""

from __future__ import annotations

from iptsim.dump.ruleset import Chain
from iptsim.errors import RulesetError
from iptsim.extensions.context import Context
from iptsim.extensions.verdicts import Translation, Verdict
from iptsim.languages import message
from iptsim.netfilter.chain_rules import ChainRules
from iptsim.netfilter.hooks import IptablesChain
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.outcome import Outcome
from iptsim.netfilter.prepared import Prepared
from iptsim.netfilter.program import Program
from iptsim.netfilter.rule_evaluation import add_step, apply, matches
from iptsim.netfilter.steps import Step

_ACCEPTED, _DROPPED = Verdict("ACCEPT"), Verdict("DROP")


def evaluate(kernel: Kernel, context: Context, base: IptablesChain) -> Outcome | None:
    """Evaluate a base chain at the packet's hook. Return None if the packet continues."""
    return evaluate_chain(kernel, context, base.program, base.chain)


def evaluate_chain(kernel: Kernel, context: Context, program: Program, base: Chain) -> Outcome | None:
    """Evaluate a base chain of a program at the packet's hook. Return None if the packet continues."""
    company = kernel.company
    if company is not None and company.leads(context.packet):
        return company.evaluate(kernel, context, program, base)
    context.table, context.backend, context.version = base.table, program.backend, program.version
    begun = len(kernel.passage.steps)
    verdict = _traverse(kernel, context, program, base)
    if kernel.hooks.is_mixed and len(kernel.hooks.programs(context.packet.family)) > 1:
        for step in kernel.passage.steps[begun:]:
            step.backend = program.backend
    if isinstance(verdict, Translation) or verdict.kind == "ACCEPT":
        return Outcome("ACCEPT", context=context) if kernel.passage.elsewhere else None
    if verdict.kind == "REJECT":
        return Outcome("REJECT", reject=str(verdict.detail), context=context)
    return Outcome("DROP", context=context)


def _traverse(kernel: Kernel, context: Context, program: Program, base: Chain) -> Verdict | Translation:
    """Traverse a base chain to its end. Returns ACCEPT, DROP, REJECT, QUEUE, STOLEN or a translation."""
    if not base.rules:
        return _policy(kernel, context, base)
    rules, index = program.rules(base), 0
    callers: list[tuple[ChainRules, int]] = []
    observer = kernel.observer
    while True:
        if observer is not None:
            index = observer.following(rules, context, index)
        elif rules.is_long and not _evaluates_each(kernel, context):
            index = rules.following(context, index, _watched(kernel, context))
        if index >= rules.count:
            if not callers:
                return _policy(kernel, context, base)
            rules, index = callers.pop()
            continue
        prepared = rules[index]
        for watch in kernel.watches:
            watch.see(context, rules, index)
        if observer is not None:
            observer.evaluates(prepared, context)
        index += 1
        matched = matches(kernel, context, prepared)
        if matched is False:
            continue
        kernel.budget.spend()
        jump = prepared.jump
        if jump is not None:
            called = _call(kernel, context, program, prepared, depth=len(callers))
            if not jump.goto:
                callers.append((rules, index))
            rules, index = called, 0
            continue
        verdict = apply(kernel, context, prepared, maybe=matched is None, depth=len(callers))
        if isinstance(verdict, Translation):
            return verdict
        if verdict.kind == "RETURN":
            if not callers:
                return _policy(kernel, context, base)
            rules, index = callers.pop()
        elif verdict.kind != "CONTINUE":
            return verdict


def _call(
    kernel: Kernel, context: Context, program: Program, prepared: Prepared, *, depth: int
) -> ChainRules:
    """Return the rules of the chain that a rule calls, and record the step.

    Raises:
        RulesetError: the dump has no such chain.
    """
    rule, jump = prepared.rule, prepared.jump
    assert jump is not None
    if not jump.within:
        add_step(kernel, context, prepared, ("GOTO:" if jump.goto else "JUMP:") + jump.chain, depth=depth)
    called = program.called(rule, jump)
    if called is None:
        raise RulesetError(
            message(
                "{span}: table {table} has no chain {chain}",
                span=str(rule.span),
                chain=jump.chain,
                table=context.table,
            )
        )
    return called


def _evaluates_each(kernel: Kernel, context: Context) -> bool:
    """Return whether each rule must be evaluated: the answer lists rules that do not match, or checks assumptions.

    In a fragment, conditions on the same field may read different bytes.
    """
    return kernel.verbose or bool(kernel.world.question.assume) or context.packet.fragment is not None


def _watched(kernel: Kernel, context: Context) -> frozenset[str]:
    """Return the fields whose conditions must be evaluated even if they do not match."""
    if not kernel.watches:
        return frozenset()
    sides = ("src", "dst")
    packet = context.packet
    return frozenset(
        side for watch in kernel.watches for side in sides if getattr(packet, side) == watch.address
    )


def _policy(kernel: Kernel, context: Context, base: Chain) -> Verdict:
    """Apply the policy of a base chain, and record the step."""
    policy = base.policy or "ACCEPT"
    interfaces = (context.in_interface, context.out_interface)
    kernel.add(Step(context.hook, policy, base.table, base.name, policy=True, interfaces=interfaces))
    return _ACCEPTED if policy == "ACCEPT" else _DROPPED
