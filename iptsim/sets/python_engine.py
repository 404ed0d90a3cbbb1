"""The engine without a package: reduced ordered decision diagrams with complement edges, in Python.

An edge is a number: twice its node, and 1 more where the function is complemented. Node 0 is *true*. The edge to the
half where the variable is true is never complemented, so that equal functions have equal edges (Brace, Rudell and
Bryant, "Efficient Implementation of a BDD Package", 1990). Nodes are never freed.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Mapping

from iptsim.sets.bdd import Split

#: Results of operations that are remembered before all are forgotten.
_REMEMBERED = 1 << 20
_TRUE, _FALSE = 0, 1
#: The variable of the constants: below all others.
_LAST = 1 << 30


class PythonFunction:
    """A Boolean function of :class:`PythonEngine`."""

    __slots__ = ("edge", "engine")

    def __init__(self, engine: PythonEngine, edge: int) -> None:
        self.engine, self.edge = engine, edge

    def __and__(self, other: PythonFunction) -> PythonFunction:
        return PythonFunction(self.engine, self.engine.conjunction(self.edge, other.edge))

    def __or__(self, other: PythonFunction) -> PythonFunction:
        return PythonFunction(self.engine, self.engine.conjunction(self.edge ^ 1, other.edge ^ 1) ^ 1)

    def __xor__(self, other: PythonFunction) -> PythonFunction:
        return PythonFunction(self.engine, self.engine.difference(self.edge, other.edge))

    def __invert__(self) -> PythonFunction:
        return PythonFunction(self.engine, self.edge ^ 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PythonFunction) and (self.engine, self.edge) == (other.engine, other.edge)

    def __hash__(self) -> int:
        return hash(self.edge)


class PythonEngine:
    """Implements :class:`iptsim.sets.bdd.Engine`."""

    is_compiled = False

    def __init__(self, most_nodes: int) -> None:
        self.most_nodes = most_nodes
        self._variable, self._high, self._low = array("i", (_LAST,)), array("i", (0,)), array("i", (0,))
        #: by variable: both halves -> the node
        self._known: list[dict[int, int]] = []
        self._conjunctions: dict[int, int] = {}
        self._differences: dict[int, int] = {}
        #: pairs of functions that are never true together
        self._apart: set[int] = set()
        self.true, self.false = PythonFunction(self, _TRUE), PythonFunction(self, _FALSE)
        self._both, self._either = self._make_both(), self._make_either()

    def conjunction(self, one: int, other: int) -> int:
        """Return the edge of the conjunction of two functions."""
        return self._deep(lambda: self._both(one, other))

    def difference(self, one: int, other: int) -> int:
        """Return the edge of the function that is true where exactly one of two is."""
        return self._deep(lambda: self._either(one, other))

    def _deep(self, operation: Callable[[], int]) -> int:
        """Run an operation, which may call itself once for each variable; with more stack where it needs that."""
        try:
            return operation()
        except RecursionError:
            usual = sys.getrecursionlimit()
            sys.setrecursionlimit(usual + 4 * len(self._known))
            try:
                return operation()
            finally:
                sys.setrecursionlimit(usual)

    @property
    def nodes(self) -> int:
        """The current number of nodes."""
        return len(self._variable)

    def add(self, count: int) -> int:
        """Add variables after all others, and return the number of the first."""
        first = len(self._known)
        self._known.extend({} for _ in range(count))
        return first

    def variable(self, number: int) -> PythonFunction:
        """Return the function that is true where a variable is."""
        return PythonFunction(self, self._node(number, _TRUE, _FALSE))

    def split(self, function: PythonFunction) -> Split | None:
        """Return a function's first variable and its two halves; None for a constant."""
        node, complement = function.edge >> 1, function.edge & 1
        if not node:
            return None
        high, low = self._high[node] ^ complement, self._low[node] ^ complement
        return self._variable[node], PythonFunction(self, high), PythonFunction(self, low)

    def pick(self, function: PythonFunction) -> set[int]:
        """Return the variables that are true in the lowest values for which a function, which is not false, is true."""
        found, edge = set[int](), function.edge
        while edge >> 1:
            node, complement = edge >> 1, edge & 1
            low = self._low[node] ^ complement
            if low == _FALSE:
                found.add(self._variable[node])
                edge = self._high[node] ^ complement
            else:
                edge = low
        return found

    def meets(self, function: PythonFunction, other: PythonFunction) -> bool:
        """Return whether two functions are ever true together, without making nodes."""
        return bool(self._deep(lambda: self._meets(function.edge, other.edge)))

    def _meets(self, one: int, other: int) -> bool:
        if one == _FALSE or other == _FALSE or one ^ other == 1:
            return False
        if one in (_TRUE, other) or other == _TRUE:
            return True
        key = one << 32 | other if one < other else other << 32 | one
        if key in self._apart:
            return False
        known = self._conjunctions.get(key)
        if known is not None:
            return known != _FALSE
        first, second = one >> 1, other >> 1
        top = min(self._variable[first], self._variable[second])
        high = low = one
        if self._variable[first] == top:
            high, low = self._high[first] ^ one & 1, self._low[first] ^ one & 1
        other_high = other_low = other
        if self._variable[second] == top:
            other_high, other_low = self._high[second] ^ other & 1, self._low[second] ^ other & 1
        if self._meets(high, other_high) or self._meets(low, other_low):
            return True
        self._apart.add(key)
        return False

    def cube(self, variables: Iterable[int]) -> tuple[frozenset[int], int]:
        """Return variables in the form that :meth:`exists` takes, with the last of them."""
        chosen = frozenset(variables)
        return chosen, max(chosen, default=-1)

    def exists(self, function: PythonFunction, cube: tuple[frozenset[int], int]) -> PythonFunction:
        """Return the function that is true if another is true for some values of the variables of a cube."""
        gone, last = cube

        def step(number: int, high: int, low: int) -> int:
            return self._both(high ^ 1, low ^ 1) ^ 1 if number in gone else self._node(number, high, low)

        return self._rebuilt(function, last, step, {}, signed=True)

    def substitution(
        self, replacements: Mapping[int, PythonFunction]
    ) -> Callable[[PythonFunction], PythonFunction]:
        """Return the operation that replaces variables of a function by functions, all at once."""
        by = {number: replacement.edge for number, replacement in replacements.items()}
        last = max(by, default=-1)

        def step(number: int, high: int, low: int) -> int:
            test = by[number] if number in by else self._node(number, _TRUE, _FALSE)
            return self._both(self._both(test, high) ^ 1, self._both(test ^ 1, low) ^ 1) ^ 1

        fixed = {number: edge for number, edge in by.items() if edge in (_TRUE, _FALSE)}
        return lambda function: self._rebuilt(function, last, step, fixed, signed=False)

    def size(self, function: PythonFunction) -> int:
        """Return the number of nodes of one function."""
        return len(self._below(function))

    def variables(self, function: PythonFunction) -> set[int]:
        """Return the variables that a function depends on, in time proportional to its nodes."""
        return {self._variable[node] for node in self._below(function) if node}

    def _below(self, function: PythonFunction) -> set[int]:
        """Return the nodes of a function."""
        seen, todo = {0}, [function.edge >> 1]
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                todo += (self._high[node] >> 1, self._low[node] >> 1)
        return seen

    def _node(self, variable: int, high: int, low: int) -> int:
        """Return the edge to the node with a variable and two halves, which are edges."""
        if high == low:
            return high
        if high & 1:
            return self._node(variable, high ^ 1, low ^ 1) ^ 1
        known, key = self._known[variable], high << 32 | low
        node = known.get(key)
        if node is None:
            node = len(self._variable)
            if node >= self.most_nodes:
                raise MemoryError(f"more than {self.most_nodes} nodes")
            self._variable.append(variable)
            self._high.append(high)
            self._low.append(low)
            known[key] = node
        return node << 1

    def _rebuilt(
        self,
        function: PythonFunction,
        last: int,
        step: Callable[[int, int, int], int],
        fixed: Mapping[int, int],
        *,
        signed: bool,
    ) -> PythonFunction:
        """Return a function made again from its end: each variable up to `last` by a step.

        Args:
            fixed: variables of which only one half is needed: the edge of their value.
            signed: the complement of a function is not made of its complemented halves.
        """
        variables, highs, lows = self._variable, self._high, self._low
        done: dict[int, int] = {}

        def rebuild(edge: int) -> int:
            node = edge >> 1
            number = variables[node]
            while number in fixed:
                edge = (lows if fixed[number] else highs)[node] ^ edge & 1
                node = edge >> 1
                number = variables[node]
            if number > last:
                return edge
            complement = edge & 1
            key = edge if signed else node
            found = done.get(key)
            if found is None:
                flip = complement if signed else 0
                found = done[key] = step(number, rebuild(highs[node] ^ flip), rebuild(lows[node] ^ flip))
            return found if signed else found ^ complement

        return PythonFunction(self, self._deep(lambda: rebuild(function.edge)))

    def _make_both(self) -> Callable[[int, int], int]:
        """Return the conjunction of two edges; all that it needs is local, which halves its time."""
        variables, highs, lows = self._variable, self._high, self._low
        remembered, node = self._conjunctions, self._node

        def both(one: int, other: int) -> int:
            if one == other or other == _TRUE:
                return one
            if one == _TRUE:
                return other
            if one == _FALSE or other == _FALSE or one ^ other == 1:
                return _FALSE
            if one > other:
                one, other = other, one
            key = one << 32 | other
            found = remembered.get(key)
            if found is not None:
                return found
            first, second = one >> 1, other >> 1
            variable, below = variables[first], variables[second]
            if variable == below:
                found = node(
                    variable,
                    both(highs[first] ^ one & 1, highs[second] ^ other & 1),
                    both(lows[first] ^ one & 1, lows[second] ^ other & 1),
                )
            elif variable < below:
                found = node(
                    variable, both(highs[first] ^ one & 1, other), both(lows[first] ^ one & 1, other)
                )
            else:
                found = node(below, both(highs[second] ^ other & 1, one), both(lows[second] ^ other & 1, one))
            if len(remembered) >= _REMEMBERED:
                remembered.clear()
            remembered[key] = found
            return found

        return both

    def _make_either(self) -> Callable[[int, int], int]:
        """Return the exclusive or of two edges."""
        variables, highs, lows = self._variable, self._high, self._low
        remembered, node = self._differences, self._node

        def either(one: int, other: int) -> int:
            flip = (one ^ other) & 1
            one, other = one & ~1, other & ~1
            if one == other:
                return _FALSE ^ flip
            if one == _TRUE:
                return other ^ 1 ^ flip
            if other == _TRUE:
                return one ^ 1 ^ flip
            if one > other:
                one, other = other, one
            key = one << 32 | other
            found = remembered.get(key)
            if found is None:
                first, second = one >> 1, other >> 1
                top = min(variables[first], variables[second])
                high, low = (highs[first], lows[first]) if variables[first] == top else (one, one)
                second_high, second_low = (
                    (highs[second], lows[second]) if variables[second] == top else (other, other)
                )
                found = node(top, either(high, second_high), either(low, second_low))
                if len(remembered) >= _REMEMBERED:
                    remembered.clear()
                remembered[key] = found
            return found ^ flip

        return either
