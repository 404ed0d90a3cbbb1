"""Which of many like cases every run has: the others are for the thorough tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings


def every_nth(cases: Iterable[Any], step: int) -> list[Any]:
    """Return cases for `parametrize`, of which all but each nth are marked as thorough: neighbours are alike."""
    return [
        pytest.param(case, marks=pytest.mark.thorough) if place % step else case
        for place, case in enumerate(cases)
    ]


def property_tests(
    check: Callable[..., None], given_: Callable[[Any], Any], few: int, many: int
) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return two tests of a property: with a few examples for every run, and with many for the thorough ones.

    Args:
        check: checks one example.
        given_: what :func:`hypothesis.given` returns.
        few: the number of examples of the first test.
        many: those of the second.
    """
    health = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    first, second = (
        settings(max_examples=count, deadline=None, suppress_health_check=health)(given_(check))
        for count in (few, many)
    )
    return first, pytest.mark.thorough(second)


def all_but(cases: Iterable[Any], dear: Iterable[Any]) -> list[Any]:
    """Return cases for `parametrize`, of which the dear ones are marked as thorough."""
    marked = frozenset(dear)
    return [pytest.param(case, marks=pytest.mark.thorough) if case in marked else case for case in cases]


def first_ones(cases: Iterable[Any], count: int) -> list[Any]:
    """Return cases for `parametrize`, of which all but the first ones are marked as thorough."""
    return [
        case if place < count else pytest.param(case, marks=pytest.mark.thorough)
        for place, case in enumerate(cases)
    ]
