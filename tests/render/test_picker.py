"""Menus of endpoints in a notebook, answers in folds, and one language for a whole notebook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import iptsim
from tests.test_captures import FIXTURES

WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def english_again() -> Iterator[None]:
    yield
    iptsim.use_language("en")


def test_the_answer_follows_the_menus() -> None:
    pytest.importorskip("ipywidgets")
    picked = iptsim.picker(FIXTURES / "docker-28.5/icc-off", "client", "web", dport=80)
    shown = picked._repr_mimebundle_()
    assert shown["text/plain"].startswith("DROP   client")
    assert WIDGET in shown
    menus, answer = picked._menus.children
    sender, target, proto, port = menus.children
    assert sender.options == ("host", "internet", "client", "web")
    assert target.options == ("host", "internet", "client", "web", "dns")
    target.value = "internet"
    assert isinstance(picked.answer, iptsim.Explanation)
    assert picked.answer.verdict == "ACCEPT"
    assert "ACCEPT" in answer.value
    proto.value = "icmp"
    assert port.disabled
    assert picked.fields["proto"] == "icmp"
    assert "icmp" in answer.value


def test_a_choice_without_an_answer_says_why() -> None:
    picked = iptsim.picker(FIXTURES / "docker-28.5/not-started", "internet", "host")
    picked.choose(to="dns")
    assert isinstance(picked.answer, iptsim.IptsimError)
    assert "no IPv4 name server is known" in picked._repr_html_()


def test_without_widgets_there_is_the_first_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iptsim.render.picker.find_spec", lambda name: None)
    shown = iptsim.picker(FIXTURES / "docker-28.5/icc-off", "client", "web")._repr_mimebundle_()
    assert set(shown) == {"text/plain", "text/html"}


def test_a_fold_hides_the_answer_until_it_is_opened() -> None:
    answer = iptsim.explain(FIXTURES / "docker-28.5/icc-off", "client", "web", dport=80)
    shown = answer.folded("Answer <1>")._repr_mimebundle_()
    assert shown["text/html"].startswith("<details><summary>Answer &lt;1&gt;</summary>")
    assert "DROP" in shown["text/html"]
    assert shown["text/plain"] == "(Answer <1>)"


def test_one_language_for_all_that_follows(english_again: None) -> None:
    host = iptsim.load_host(FIXTURES / "docker-28.5/icc-off")

    def title(**how: Any) -> str:
        return str(iptsim.explain(host, "client", "web", dport=80, **how)).partition("\n")[0]

    iptsim.use_language("zh-TW")
    assert title().endswith("新連線")
    assert title(lang="en").endswith("new connection")
    with iptsim.language("en"):
        assert title().endswith("new connection")
    with pytest.raises(iptsim.IptsimError, match="tlh"):
        iptsim.use_language("tlh")


def test_a_text_is_a_host() -> None:
    dump = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n"
    host = iptsim.loads_host(f"$ sudo iptables-save\n{dump}")
    assert iptsim.explain(host, "internet", "host", dport=22).verdict == "ACCEPT"
    assert host.pasted is not None
    with pytest.raises(iptsim.IptsimError):
        iptsim.loads_host(f"$ sudo iptables-save\n{dump}", strict=True)
    with pytest.raises(iptsim.IptsimError, match="<text>"):
        iptsim.loads_host("nothing of use")
