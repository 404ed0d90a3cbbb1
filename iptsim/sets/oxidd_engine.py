"""The engine of the package oxidd: decision diagrams with complement edges, compiled, in one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import compress, count

from oxidd.bcdd import BCDDFunction, BCDDManager
from oxidd.util import BooleanOperator

from iptsim.sets.bdd import Split

#: Results of operations that are remembered, for many rules and for few; 16 bytes each.
_REMEMBERED, _FEW = 1 << 19, 1 << 15

#: The nodes that a substitution may need for each node of its function: it makes 30 on the way (measured), and other
#: sets hold some. When it has filled all, it goes on for minutes, as those no longer in use make room for a few more.
_REPLACED = 48

#: Kept, as Python looks for a member of an enumeration each time.
_AND = BooleanOperator.AND
#: The least number of variables that are made at once.
_FIRST = 512


class OxiddEngine:
    """Implements :class:`iptsim.sets.bdd.Engine`."""

    is_compiled = True

    def __init__(self, most_nodes: int, *, small: bool = False) -> None:
        self.most_nodes = most_nodes
        self._manager = BCDDManager(most_nodes, _FEW if small else _REMEMBERED, 1)
        self.true, self.false = self._manager.true(), self._manager.false()
        #: the variables that are in use; those that exist, more than needed; all of these as :meth:`exists` takes them
        self._used = self._made = 0
        self._all = self.true

    @property
    def nodes(self) -> int:
        """The current number of nodes."""
        return self._manager.approx_num_inner_nodes()

    def add(self, count: int) -> int:
        """Add variables after all others, and return the number of the first."""
        first = self._used
        self._used += count
        if self._used > self._made:
            self._manager.add_vars(max(self._used - self._made, self._made, _FIRST))
            self._made = self._manager.num_vars()
            self._all = self.cube(range(self._made))
        return first

    def variable(self, number: int) -> BCDDFunction:
        """Return the function that is true where a variable is."""
        return self._manager.var(number)

    def split(self, function: BCDDFunction) -> Split | None:
        """Return a function's first variable and its two halves; None for a constant."""
        number = function.node_var()
        halves = function.cofactors()
        return None if number is None or halves is None else (number, *halves)

    def variables(self, function: BCDDFunction) -> set[int]:
        """Return the variables that a function depends on, in time proportional to its nodes."""
        found, seen, todo = set[int](), {function}, [function]
        while todo:
            one = todo.pop()
            halves = one.cofactors()
            if halves is not None:
                number = one.node_var()
                assert number is not None
                found.add(number)
                for half in halves:
                    if half not in seen:
                        seen.add(half)
                        todo.append(half)
        return found

    def pick(self, function: BCDDFunction) -> set[int]:
        """Return the variables that are true in the lowest values for which a function, which is not false, is true."""
        # it prefers false, and has None for variables that are free
        return set(compress(count(), function.pick_cube() or ()))

    def meets(self, function: BCDDFunction, other: BCDDFunction) -> bool:
        """Return whether two functions are ever true together, without making the function that says where."""
        return bool(function.apply_exists(_AND, other, self._all) != self.false)

    def cube(self, variables: Iterable[int]) -> BCDDFunction:
        """Return variables in the form that :meth:`exists` takes."""
        cube, variable = self.true, self._manager.var
        for number in sorted(variables, reverse=True):
            cube = variable(number) & cube
        return cube

    def exists(self, function: BCDDFunction, cube: BCDDFunction) -> BCDDFunction:
        """Return the function that is true if another is true for some values of the variables of a cube."""
        return function.exists(cube)

    def substitution(
        self, replacements: Mapping[int, BCDDFunction]
    ) -> Callable[[BCDDFunction], BCDDFunction]:
        """Return the operation that replaces variables of a function by functions, all at once.

        Where constants replace variables, a function is made smaller first: a substitution visits all its nodes. As it
        can't be interrupted, one that would take minutes does not start.
        """
        true, false, variable = self.true, self.false, self._manager.var
        fixed = {number: one == true for number, one in replacements.items() if one in (true, false)}
        others = [(number, one) for number, one in replacements.items() if number not in fixed]
        values = true
        for number in sorted(fixed, reverse=True):
            values = (variable(number) if fixed[number] else ~variable(number)) & values
        gone, swapped = self.cube(fixed), BCDDFunction.make_substitution(others) if others else None

        def substitute(function: BCDDFunction) -> BCDDFunction:
            if fixed:
                function = function.apply_exists(_AND, values, gone)
            if swapped is None:
                return function
            if function.node_count() * _REPLACED > self.most_nodes:
                raise MemoryError(f"replacing variables needs more than {self.most_nodes} nodes")
            return function.substitute(swapped)

        return substitute

    def size(self, function: BCDDFunction) -> int:
        """Return the number of nodes of one function."""
        return function.node_count()
