"""`import iptsim`: what it offers, and the one call that answers."""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path

import pytest

import iptsim
from iptsim.errors import UsageError

ICC_OFF = Path(__file__).parent.parent / "fixtures/captures/docker-28.5/icc-off"


def test_every_name_is_there() -> None:
    for name in iptsim.__all__:
        assert getattr(iptsim, name) is not None
    assert set(dir(iptsim)) == set(iptsim.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'explian'"):
        iptsim.explian  # noqa: B018


def test_modules_do_not_hide_the_functions() -> None:
    """Submodules become attributes of their package once they are imported."""
    for name in ("explanation", "dump", "host", "graph", "netfilter.walk"):
        importlib.import_module(f"iptsim.{name}")
    assert callable(iptsim.explain)
    assert callable(iptsim.load)
    assert callable(iptsim.walk)


def test_the_type_hints_are_shipped() -> None:
    assert (Path(iptsim.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("as_text", [True, False])
def test_explain_takes_a_path(as_text: bool) -> None:
    answer = iptsim.explain(str(ICC_OFF) if as_text else ICC_OFF, "client", "web:80")
    assert isinstance(answer, iptsim.Explanation)
    assert answer.verdict == "DROP"
    assert str(answer.reason) == answer.reason.text


def test_explain_takes_a_host_and_any_field() -> None:
    host = iptsim.load_host(ICC_OFF)
    assert isinstance(host, iptsim.Host)
    answer = iptsim.explain(host, "client", "8.8.8.8", proto="udp", dport=53, mark=7, assume={"limit": True})
    packet = answer.as_json()["legs"][0]["packet"]
    assert (packet["proto"], packet["dport"], packet["mark"]) == ("udp", 53, 7)


def test_explain_takes_a_packet_as_it_arrives() -> None:
    answer = iptsim.explain(ICC_OFF, in_interface="eth0", src="198.51.100.7", dst="192.0.2.10", dport=22)
    assert answer.verdict == "ACCEPT"


def test_errors_are_iptsims_own() -> None:
    with pytest.raises(iptsim.IptsimError):
        iptsim.explain("/nowhere", "client", "web")
    with pytest.raises(UsageError, match="did you mean dport"):
        iptsim.explain(ICC_OFF, "client", "web", dports=80)
    with pytest.raises(UsageError, match="client"):
        iptsim.explain(ICC_OFF, "clent", "web")


def test_rules_come_back_as_they_were() -> None:
    file = ICC_OFF / "iptables-save.txt"
    ruleset = iptsim.load(file)
    assert isinstance(ruleset, iptsim.Ruleset)
    assert iptsim.dumps(ruleset) == file.read_text("utf-8")
    assert iptsim.loads(file.read_text("utf-8")) == ruleset


def test_walk_gives_the_bare_trace() -> None:
    trace = iptsim.walk(iptsim.load_host(ICC_OFF), iptsim.Question(sender="client", to="web", dport=80))
    assert isinstance(trace, iptsim.Trace)
    assert trace.verdict == "DROP"


def test_what_is_prepared_is_kept_with_the_host() -> None:
    host = iptsim.load_host(ICC_OFF)
    iptsim.explain(host, "client", "web", dport=80)
    prepared = host.prepared
    iptsim.explain_many(host, [{"from": "client", "to": "web", "dport": 81}])
    assert prepared is not None
    assert host.prepared is prepared


def test_other_rules_are_prepared_again() -> None:
    host = iptsim.load_host(ICC_OFF)
    assert iptsim.explain(host, "client", "web", dport=80).verdict == "DROP"
    host.rulesets = {4: iptsim.loads("*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n")}
    assert iptsim.explain(host, "client", "web", dport=80).verdict == "ACCEPT"


def test_a_host_is_pickled_without_what_is_prepared() -> None:
    host = iptsim.load_host(ICC_OFF)
    iptsim.explain(host, "client", "web", dport=80)
    read = pickle.loads(pickle.dumps(host))
    assert read.prepared is None
    assert iptsim.explain(read, "client", "web", dport=80).verdict == "DROP"
