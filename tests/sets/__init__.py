"""Tests of sets of packets."""

import pytest

#: The engines of the sets.
ENGINES = ("oxidd", "python")
#: The same for long tests: the slower one has its turn in the thorough tests.
ENGINES_OF_LONG_TESTS = ("oxidd", pytest.param("python", marks=pytest.mark.thorough))
