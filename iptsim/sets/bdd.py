"""Boolean functions as binary decision diagrams: the interface of an engine.

Its functions are combined by `& | ^ ~`; equal functions are equal objects, with equal hashes. An engine raises a
:class:`MemoryError` when its nodes are used up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

#: The first variable that a function depends on, and the function where it is true and where it is false. Many are made
#: for each set that is read, so it has no names.
Split = tuple[int, Any, Any]


class Engine(Protocol):
    """A manager of Boolean functions; the numbers of the variables are their order."""

    @property
    def is_compiled(self) -> bool:
        """Whether it is the compiled engine, which holds more nodes."""

    @property
    def most_nodes(self) -> int:
        """The maximum number of nodes."""

    @property
    def true(self) -> Any:
        """The function that is always true."""

    @property
    def false(self) -> Any:
        """The function that is never true."""

    @property
    def nodes(self) -> int:
        """The current number of nodes."""

    def add(self, count: int) -> int:
        """Add variables after all others, and return the number of the first."""

    def variable(self, number: int) -> Any:
        """Return the function that is true where a variable is."""

    def split(self, function: Any) -> Split | None:
        """Return a function's first variable and its two halves; None for a constant."""

    def variables(self, function: Any) -> set[int]:
        """Return the variables that a function depends on, in time proportional to its nodes."""

    def pick(self, function: Any) -> set[int]:
        """Return the variables that are true in the lowest values for which a function, which is not false, is true."""

    def meets(self, function: Any, other: Any) -> bool:
        """Return whether two functions are ever true together."""

    def cube(self, variables: Iterable[int]) -> Any:
        """Return variables in the form that :meth:`exists` takes."""

    def exists(self, function: Any, cube: Any) -> Any:
        """Return the function that is true if another is true for some values of the variables of a cube."""

    def substitution(self, replacements: Mapping[int, Any]) -> Callable[[Any], Any]:
        """Return the operation that replaces variables of a function by functions, all at once."""

    def size(self, function: Any) -> int:
        """Return the number of nodes of one function."""
