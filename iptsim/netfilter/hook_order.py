"""The order of base chains of equal priority: with rules of two backends, no file shows which come first."""

from __future__ import annotations

from itertools import pairwise

from iptsim.languages import message
from iptsim.netfilter.hooks import BaseChain
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.program import Program
from iptsim.packet import Unknown


def in_order(kernel: Kernel, hook: str, chains: tuple[BaseChain, ...]) -> tuple[BaseChain, ...]:
    """Return base chains in the order in which the kernel calls them.

    Of equal priority the kernel calls first what was registered last (nf_hook_entries_grow), and no file
    shows which of two backends that was: if it can matter, each order is a way of its own.
    """
    for place, (one, other) in enumerate(pairwise(chains)):
        if one.priority != other.priority or one.program is None or other.program is None:
            continue
        if not _comes_first(kernel, hook, one.table, one.program, other.program):
            chains = (*chains[:place], other, one, *chains[place + 2 :])
    return chains


def _comes_first(kernel: Kernel, hook: str, table: str, program: Program, other: Program) -> bool:
    """Return whether one backend's base chain is called before that of the other backend."""
    if program.is_idle(table, hook) or other.is_idle(table, hook):
        return True
    stated = kernel.world.fact("first_backend")
    if stated is not None:
        return bool(stated == program.backend)
    place = f"{table} {hook}"
    unknown = Unknown(
        message("which rules come first in {place}: those of nf_tables or of legacy", place=place),
        message("--set first_backend=nf_tables or legacy (the rules that were loaded last come first)"),
        (table, hook),
    )
    words = message("the {backend} rules of {place} come first", backend=program.backend, place=place)
    return kernel.choices.choose(unknown, "backend", words)
