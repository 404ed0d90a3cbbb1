"""The choice between the two engines.

`oxidd` (the extra `exact`) is compiled and preferred; the engine in Python needs no package and gives the same answers.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from iptsim.errors import MissingExtraError, UsageError
from iptsim.languages import message
from iptsim.sets.bdd import Engine

EngineName = Literal["auto", "oxidd", "python"]
#: Nodes that an engine may hold at once, unless fewer are allowed; in Python each needs ten times the memory.
MOST_NODES = 16_000_000
_MOST_IN_PYTHON = 4_000_000
#: The bytes of address space that the compiled engine needs: for the stack of its thread and its cache, and for each
#: node with the table that finds it; and the fewest nodes that are of use.
_STACK, _OF_NODE, _LEAST = 1200 << 20, 48, 200_000


def _room(space: int | None) -> int:
    """Return for how many nodes an address space has room: the compiled engine ends the process where it gets none."""
    if space is None:
        return MOST_NODES
    # the first half of what is left, so that others and the rest of the program get theirs
    return max(min((space - _STACK) // 2 // _OF_NODE, MOST_NODES), 0)


def _left_of_address_space() -> int | None:
    """Return how many bytes of address space are left under a limit such as `ulimit -v`; None without one."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_AS, getpagesize, getrlimit

        limit, _ = getrlimit(RLIMIT_AS)
        if limit == RLIM_INFINITY:
            return None
        pages, _, _ = Path("/proc/self/statm").read_text().partition(" ")
        return max(limit - int(pages) * getpagesize(), 0)
    except (ImportError, OSError, ValueError):
        return None


def is_compiled_installed() -> bool:
    """Return whether the compiled engine, which allows larger sets, is installed."""
    return find_spec("oxidd") is not None


def make_engine(name: EngineName = "auto", most_nodes: int = MOST_NODES, *, small: bool = False) -> Engine:
    """Return a new engine.

    Args:
        name: "auto" uses oxidd if it is installed, and if a limit on memory (`ulimit -v`) leaves enough for it.
        most_nodes: the maximum number of nodes.
        small: the sets involve few rules, so a fast start matters more.

    Raises:
        UsageError: there is no such engine.
        MissingExtraError: oxidd is not installed.
        MemoryError: a limit on memory leaves too little of it.
    """
    if name not in get_args(EngineName):
        raise UsageError(message("unknown engine {name!r}; choose from: auto, oxidd, python", name=str(name)))
    installed = is_compiled_installed()
    if name == "oxidd" and not installed:
        raise MissingExtraError(message("the engine oxidd needs a package: pip install 'iptsim[exact]'"))
    room = _room(_left_of_address_space())
    if installed and name != "python" and (room >= _LEAST or name == "oxidd"):
        from iptsim.sets.oxidd_engine import OxiddEngine

        if not room:
            raise MemoryError
        return OxiddEngine(min(most_nodes, room), small=small)
    from iptsim.sets.python_engine import PythonEngine

    return PythonEngine(min(most_nodes, _MOST_IN_PYTHON))
