"""Which of many like cases every run has: the others are for the thorough tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def every_nth(cases: Iterable[Any], step: int) -> list[Any]:
    """Return cases for `parametrize`, of which all but each nth are marked as thorough: neighbours are alike."""
    return [
        pytest.param(case, marks=pytest.mark.thorough) if place % step else case
        for place, case in enumerate(cases)
    ]


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
