"""Both engines compute the same functions: that of truth tables, and with equal numbers of nodes."""

from __future__ import annotations

import sys
from functools import reduce
from operator import and_, or_, xor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iptsim.errors import UsageError
from iptsim.sets import engines
from iptsim.sets.engines import make_engine

_COUNT = 5
_ALL = (1 << (1 << _COUNT)) - 1
#: The truth table of each variable: the bit of each row says whether it is true there.
_TABLES = [sum(1 << row for row in range(1 << _COUNT) if row >> number & 1) for number in range(_COUNT)]

steps = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 30), st.integers(0, 30), st.integers(0, _COUNT - 1)),
    max_size=25,
)


def half(table: int, number: int, value: bool) -> int:
    """The table with a variable fixed."""
    rows = list(range(1 << _COUNT))
    at = [row | 1 << number if value else row & ~(1 << number) for row in rows]
    return sum((table >> place & 1) << row for row, place in zip(rows, at, strict=True))


def table_of(engine: Any, function: Any) -> int:
    found = 0
    for row in range(1 << _COUNT):
        at = function
        while (split := engine.split(at)) is not None:
            variable, high, low = split
            at = high if row >> variable & 1 else low
        found |= (at == engine.true) << row
    return found


@settings(max_examples=80, deadline=None)
@given(steps=steps)
def test_functions_have_the_truth_tables_of_their_operations(steps: list[tuple[int, int, int, int]]) -> None:
    engines = [make_engine("oxidd"), make_engine("python")]
    for engine in engines:
        assert engine.add(_COUNT) == 0
    made = [[engine.variable(number) for number in range(_COUNT)] for engine in engines]
    tables = list(_TABLES)
    for kind, one, other, number in steps:
        first, second = one % len(tables), other % len(tables)
        a, b = tables[first], tables[second]
        if kind < 3:
            join = (and_, or_, xor)[kind]
            tables.append(join(a, b))
            for functions in made:
                functions.append(join(functions[first], functions[second]))
        elif kind == 3:
            tables.append(a ^ _ALL)
            for functions in made:
                functions.append(~functions[first])
        elif kind == 4:
            tables.append(half(a, number, True) | half(a, number, False))
            for engine, functions in zip(engines, made, strict=True):
                functions.append(engine.exists(functions[first], engine.cube([number])))
        else:
            # the next variable becomes a constant, which must not change what replaces the first
            fixed, value = (number + 1) % _COUNT, bool(other & 1)
            a = half(a, fixed, value)
            tables.append(half(a, number, True) & b | half(a, number, False) & (b ^ _ALL))
            for engine, functions in zip(engines, made, strict=True):
                constant = engine.true if value else engine.false
                swaps = {number: functions[second], fixed: constant}
                functions.append(engine.substitution(swaps)(functions[first]))
    for engine, functions in zip(engines, made, strict=True):
        for function, table in zip(functions, tables, strict=True):
            assert table_of(engine, function) == table
            assert (function == engine.true, function == engine.false) == (table == _ALL, table == 0)
            assert engine.meets(function, functions[-1]) is bool(table & tables[-1])
    for function, other in zip(*made, strict=True):
        assert engines[0].size(function) == engines[1].size(other)
    for engine, functions in zip(engines, made, strict=True):
        for function, table in zip(functions, tables, strict=True):
            if table:
                # a row reads the variables from the lowest bit, but the first variable counts most
                rows = (row for row in range(1 << _COUNT) if table >> row & 1)
                lowest = min(rows, key=lambda row: [row >> number & 1 for number in range(_COUNT)])
                assert engine.pick(function) == {number for number in range(_COUNT) if lowest >> number & 1}


@pytest.mark.parametrize("name", ["oxidd", "python"])
def test_deep_functions_leave_the_limit_of_recursion_alone(name: Any) -> None:
    """A function of 5,000 variables; the engine in Python calls itself once for each."""
    engine, before = make_engine(name), sys.getrecursionlimit()
    engine.add(5000)
    odd = reduce(and_, (engine.variable(number) for number in reversed(range(0, 5000, 2))))
    even = reduce(and_, (engine.variable(number) for number in reversed(range(1, 5000, 2))))
    assert engine.size(odd & even) == 5001
    assert engine.meets(odd, even)
    assert sys.getrecursionlimit() == before


def test_an_unknown_engine() -> None:
    with pytest.raises(UsageError, match="choose from: auto, oxidd, python"):
        make_engine("cudd")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("left", "compiled", "most"),
    [(None, True, engines.MOST_NODES), (2 << 30, True, 9_262_000), (1 << 30, False, 4_000_000)],
)
def test_a_limit_on_memory_leaves_fewer_nodes_or_the_engine_in_python(
    left: int | None, compiled: bool, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # measured: a manager of oxidd reserves 1.1 GB for the stack of its thread, and aborts the process without them
    pytest.importorskip("oxidd")
    monkeypatch.setattr(engines, "_left_of_address_space", lambda: left)
    found = engines.make_engine()
    assert found.is_compiled is compiled
    assert found.most_nodes == pytest.approx(most, rel=0.01)
