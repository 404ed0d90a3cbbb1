"""Cases in which iptsim once differed from the kernel: asked again, and shown to the kernel again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.cases import load_case, run_again, same_answers, stored_cases
from tests.kernel.laboratory import missing

WITHOUT = missing()
CASES = stored_cases()
#: Cases in which the kernel picks a free port by chance (nf_nat_l4proto_unique_tuple).
FREE_PORTS = {"a-source-port-in-use-is-replaced-without-a-rule"}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_iptsim_says_what_the_kernel_said(path: Path) -> None:
    assert load_case(path).differences() == []


@pytest.mark.kernel
@pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_kernel_says_it_again(path: Path) -> None:
    stored = load_case(path)
    try:
        again = run_again(stored)
    except FileNotFoundError as error:
        if "/proc/sys" not in str(error.filename):
            raise
        pytest.skip(f"this kernel has no {error.filename}")
    if stored.world.picks_next_hops or path.stem in FREE_PORTS:
        # by a hash with a secret that is new with each start of the machine
        assert again.differences() == []
    else:
        assert same_answers(again, stored)
