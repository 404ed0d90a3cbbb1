"""The choice between the two engines.

`oxidd` (the extra `exact`) is compiled and preferred; the engine in Python needs no package and gives the same answers.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, get_args

from iptsim.errors import MissingExtraError, UsageError
from iptsim.languages import message
from iptsim.sets.bdd import Engine

EngineName = Literal["auto", "oxidd", "python"]
#: Nodes that an engine may hold at once, unless fewer are allowed; in Python each needs ten times the memory.
MOST_NODES = 16_000_000
_MOST_IN_PYTHON = 4_000_000


def make_engine(name: EngineName = "auto", most_nodes: int = MOST_NODES, *, small: bool = False) -> Engine:
    """Return a new engine.

    Args:
        name: "auto" uses oxidd if it is installed.
        most_nodes: the maximum number of nodes.
        small: the sets involve few rules, so a fast start matters more.

    Raises:
        UsageError: there is no such engine.
        MissingExtraError: oxidd is not installed.
    """
    if name not in get_args(EngineName):
        raise UsageError(message("unknown engine {name!r}; choose from: auto, oxidd, python", name=str(name)))
    installed = find_spec("oxidd") is not None
    if name == "oxidd" and not installed:
        raise MissingExtraError(message("the engine oxidd needs a package: pip install 'iptsim[exact]'"))
    if installed and name != "python":
        from iptsim.sets.oxidd_engine import OxiddEngine

        return OxiddEngine(most_nodes, small=small)
    from iptsim.sets.python_engine import PythonEngine

    return PythonEngine(min(most_nodes, _MOST_IN_PYTHON))
