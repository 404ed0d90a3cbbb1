"""A space of packets of IPv4, for each engine."""

from __future__ import annotations

import pytest

from iptsim.sets.space import Space
from tests.sets import ENGINES


@pytest.fixture(params=ENGINES)
def space(request: pytest.FixtureRequest) -> Space:
    return Space(4, engine=request.param)
