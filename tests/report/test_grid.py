"""The matrix shows one packet path for containers that differ in their addresses alone."""

from __future__ import annotations

from typing import Any

import pytest

from iptsim.addresses import FAMILIES
from iptsim.explanation import Explanation
from iptsim.host import load_host
from iptsim.reaching import reach
from iptsim.report.grid import Grid
from tests.test_captures import FIXTURES

#: Captures in which each container has a network of its own.
ALONE = ("docker-20.10/two-networks",)


@pytest.mark.parametrize(
    "source",
    [
        "docker-28.5/published",
        "docker-28.5/icc-off",
        "docker-28.5/icc-off-link",
        "docker-20.10/two-networks",
        "hosts/ufw-docker-28.5",
        "hosts/kube",
        "hosts/libvirt",
        "hosts/podman-netavark",
        pytest.param("hosts/docker-many", marks=pytest.mark.thorough),
    ],
)
def test_a_path_that_stands_for_others_is_theirs(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iptsim.report.grid.SHARED", 0)
    host, shared = load_host(FIXTURES / source), 0
    for family in FAMILIES:
        grid = Grid(reach(host, family=family, apart=True))
        for entry in (one for entries in grid.entries.values() for one in entries):
            assert path_of(entry.one.explanation) == path_of(entry.shown_by.explanation), entry
            shared += entry.one is not entry.shown_by
    assert shared or source in ALONE


def path_of(explanation: Explanation) -> list[Any]:
    """Return what happens to a packet, without names and addresses."""
    return [
        (explanation.verdict, explanation.reason.code),
        *(
            (leg.direction, leg.verdict, step.hook, step.table, step.chain, step.verdict, step.code)
            + ((step.rule.position,) if step.rule is not None else ())
            for leg in explanation.trace.legs
            for step in leg.all_steps
        ),
    ]


def test_on_a_small_host_each_packet_has_its_own_path() -> None:
    grid = Grid(reach(FIXTURES / "hosts/podman-netavark", apart=True))
    assert all(entry.one is entry.shown_by for entries in grid.entries.values() for entry in entries)
