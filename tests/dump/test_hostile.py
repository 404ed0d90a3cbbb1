"""Damaged and hostile dumps: never a traceback, a hang, or a rule that gets lost without a word."""

from __future__ import annotations

from random import Random

import pytest

from tests.dump.mutations import check, damaged, originals
from tests.thoroughness import first_ones

#: Together a thousand; `make fuzz-dumps` does ten thousand.
SEEDS, EACH = range(20), 50


@pytest.mark.parametrize("seed", first_ones(SEEDS, 2))
def test_damaged_dumps(seed: int) -> None:
    random, texts = Random(seed), originals()
    for _ in range(EACH):
        check(damaged(random.choice(texts), random, texts))
