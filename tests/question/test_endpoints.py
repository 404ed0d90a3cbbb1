"""Endpoints as text and as values, and questions that check themselves."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import iptsim
from iptsim.asking import ask
from iptsim.errors import UsageError
from iptsim.languages import language
from iptsim.netfilter.walk import Simulator
from iptsim.question.endpoints import (
    Address,
    Endpoint,
    Internet,
    Loopback,
    Machine,
    Named,
    NodePort,
    Resolver,
    Service,
    parse_endpoint,
    split_port,
    with_port,
)
from iptsim.question.model import Question

ICC_OFF = "fixtures/captures/docker-28.5/icc-off"


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("host", Machine()),
        ("localhost", Loopback()),
        ("internet", Internet()),
        ("dns", Resolver()),
        ("172.17.0.2", Address(4, 0xAC110002)),
        ("2001:DB8::1", Address(6, 0x20010DB8 << 96 | 1)),
        ("web", Named("web")),
        ("web@back", Named("web", "back")),
        ("svc/default/web:http", Service("default/web:http")),
        ("nodeport/30080", NodePort(30080)),
    ],
)
def test_each_kind_of_endpoint(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint
    assert str(endpoint) == text.lower()


@pytest.mark.parametrize("text", ["", "@back", "nodeport/x"])
def test_texts_that_are_no_endpoint(text: str) -> None:
    with pytest.raises(UsageError, match=r"not an endpoint|not a port"):
        parse_endpoint(text)


endpoints = st.one_of(
    st.sampled_from([Machine(), Loopback(), Internet(), Resolver()]),
    st.builds(Address, st.just(4), st.integers(0, 2**32 - 1)),
    st.builds(Address, st.just(6), st.integers(0, 2**128 - 1)),
    st.builds(NodePort, st.integers(0, 65535)),
    st.builds(Service, st.from_regex(r"[a-z]{1,4}(/[a-z]{1,4})?", fullmatch=True)),
    st.builds(
        lambda name, network: Named(f"c-{name}", network),
        st.from_regex(r"[a-z0-9_.-]{1,6}", fullmatch=True),
        st.from_regex(r"[a-z]{0,4}", fullmatch=True),
    ),
)


@given(endpoints, st.one_of(st.none(), st.integers(0, 65535)))
def test_an_endpoint_is_read_as_it_is_written(endpoint: Endpoint, port: int | None) -> None:
    assert parse_endpoint(str(endpoint)) == endpoint
    text, found = split_port(with_port(endpoint, port))
    assert (parse_endpoint(text), found) == (endpoint, port)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "a source and a destination are needed"),
        ({"from": "a"}, "the destination is missing; give --to"),
        ({"to": "b", "src": "10.0.0.1"}, "a source and a destination are needed"),
        ({"in": "eth0", "dst": "10.0.0.1"}, "a packet that arrives on an interface"),
        ({"from": "dns", "to": "b"}, 'from: "dns" can only be a destination'),
        ({"from": "svc/web", "to": "b"}, 'from: "svc/web" can only be a destination'),
        ({"from": "10.0.0.1", "src": "10.0.0.2", "to": "b"}, "are two source addresses"),
        ({"from": "a", "to": "b", "dst": "10.0.0.1", "family": 6}, "dst: 10.0.0.1 is an IPv4 address"),
        ({"from": "a", "to": "b", "ct": {"orig": {"src": "10.0.0.1"}}}, "ct.orig.dst: a value is needed"),
        (
            {"from": "a", "to": "b", "ct": {"marc": 1}},
            "ct.marc: unknown field; choose from: orig, reply, mark",
        ),
        ({"from": "a", "to": "b", "inner": {"dst": "x"}}, "inner.dst: 'x' is not an IP address"),
        ({"from": "a", "to": "b", "at": "noon"}, "at: 'noon' is not a date and time"),
    ],
)
def test_a_question_that_is_not_valid_can_not_be_made(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        Question(**fields)
    assert told in str(caught.value)


def test_a_question_stays_as_it_was_made() -> None:
    question = Question(sender="client", to="web:80", cpu=1)
    assert (question.to, question.dport, question.facts) == (Named("web"), 80, {"cpu": 1})
    with pytest.raises(FrozenInstanceError):
        question.dport = 81  # type: ignore[misc]
    assert replace(question, dport=81) == Question(sender="client", to="web:81", cpu=1)
    with pytest.raises(UsageError, match="two source addresses"):
        replace(Question(sender="10.0.0.1", to="web"), src=Address(4, 0x0A000002))


def test_errors_are_told_in_the_language_in_force() -> None:
    with pytest.raises(UsageError) as caught:
        Question(sender="a", to="b", dport=70000)
    assert str(caught.value).startswith("dport: 70000 is not a port; give a number")
    with language("zh-TW"):
        assert str(caught.value).startswith("dport：70000 不是連接埠")


def test_a_prepared_host_gives_the_same_answer() -> None:
    host = iptsim.load_host(ICC_OFF)
    question = Question(sender="client", to="web:80")
    simulator = Simulator(host)
    once, again = ask(host, question), ask(simulator, question)
    assert once.as_json() == again.as_json() == ask(simulator, question).as_json()


@pytest.mark.parametrize("port", [{}, {"a": 1}, [], [80], [{}], True, 1.5])
@pytest.mark.parametrize("name", ["sport", "dport"])
def test_a_port_that_is_no_number(name: str, port: object) -> None:
    with pytest.raises(UsageError, match=f"^{name}: .* is not a port"):
        Question(**{"from": "client", "to": "web", name: port})
