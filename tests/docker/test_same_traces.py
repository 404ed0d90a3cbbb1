"""Docker's rules made new from a capture's settings treat every packet as the saved ones do."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from iptsim.docker.dockerd.rulesets import rules_for
from iptsim.docker.model.settings import DockerHost
from iptsim.docker.sources.flag_changes import changed
from iptsim.docker.sources.host import docker_host
from iptsim.host.model import Host
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Leg, Trace
from iptsim.netfilter.walk import Simulator
from tests.docker.hosts import CAPTURES, FIXTURES, host
from tests.test_captures import probes, question_of
from tests.thoroughness import every_nth

#: Captures with Docker in which connections were tried.
PROBED = [name for name in CAPTURES if (FIXTURES / name / "probes.json").exists()]
#: The same host with one setting changed answers at least one probe otherwise: the comparison can tell.
CHANGES = {
    "docker-20.10/icc-on": ("icc", "false"),
    "docker-26.1/icc-off-link": ("unlink", "client:web"),
    "docker-28.5/icc-off": ("icc", "true"),
    "docker-28.5/published": ("unpublish", "web"),
    "docker-28.5/ipv6": ("network-icc", "bridge=false"),
}


def made_new(source: Host, docker: DockerHost) -> Simulator:
    """The host with Docker's rules as dockerd writes them for some settings, and the user's in place."""
    before = docker_host(source)
    rulesets = {
        family: rules_for(docker, family, base=ruleset, before=before)
        for family, ruleset in source.rulesets.items()
    }
    return Simulator(replace(source, rulesets=rulesets))


@cache
def as_saved(name: str) -> Simulator:
    return Simulator(host(name))


def step_of(step: Step) -> tuple[Any, ...]:
    text = step.rule.text if step.rule is not None else None
    return step.hook, step.table, step.chain, text, step.verdict, step.changes, step.maybe, step.note


def leg_of(leg: Leg) -> tuple[Any, ...]:
    steps = ([step_of(step) for step in part] for part in (leg.own_steps, leg.steps, leg.arrival_steps))
    return leg.direction, leg.sender, leg.proxy, leg.verdict, *steps


def way(trace: Trace) -> tuple[Any, ...]:
    """What two traces through the same rules have in common, wherever those stand."""
    return trace.verdict, [leg_of(leg) for leg in trace.legs], [way(branch) for branch in trace.branches]


@pytest.mark.parametrize("name", every_nth(PROBED, 3))
def test_every_probe_goes_the_same_way(name: str) -> None:
    saved, new = as_saved(name), made_new(host(name), docker_host(host(name)))
    for probe in probes(FIXTURES / name):
        question = question_of(probe)
        assert way(new.walk(question)) == way(saved.walk(question)), probe


@pytest.mark.parametrize("name", CHANGES)
def test_other_settings_lead_other_ways(name: str) -> None:
    docker = docker_host(host(name))
    saved, new = as_saved(name), made_new(host(name), changed(docker, [CHANGES[name]]))
    questions = [question_of(probe) for probe in probes(FIXTURES / name)]
    assert any(way(new.walk(question)) != way(saved.walk(question)) for question in questions)
