"""Pictures of only the path, verdicts by shape, NAT where it happens, Chinese text, and where pictures go."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import iptsim
from iptsim.cli import main
from iptsim.explanation import Explanation
from iptsim.graph import ruleset_graph
from iptsim.host import Host
from iptsim.netfilter.nft_program import with_nftables
from iptsim.pictures import chains_picture, png, topology_picture
from iptsim.sources import loads_host
from tests.pictures.looks import SVG, read, texts
from tests.pictures.test_chains import CAPTURES, rules

# -- only the path, verdicts by shape, NAT on the path ----------------------------------------------


def published() -> tuple[Host, Explanation]:
    host = iptsim.load_host(CAPTURES / "docker-28.5/published")
    return host, iptsim.explain(host, "internet", "host:8080")


def test_a_picture_of_only_the_path_leaves_out_what_was_not_traversed() -> None:
    host, answer = published()
    whole = chains_picture(host.rulesets[4], explanation=answer).drawing
    path = chains_picture(host.rulesets[4], explanation=answer, only_path=True)
    kept = {name for name, node in whole.nodes.items() if node.classes & {"walked", "vain"}}
    assert set(path.drawing.nodes) == kept
    assert "filter DOCKER-USER" in kept  # traversed, though it has no rules
    assert not any("unseen" in node.classes for node in path.drawing.nodes.values())
    assert not any("unseen" in edge.classes for edge in path.drawing.edges)
    assert "not traversed" not in [sample.text for sample in path.drawing.legend]
    # the chains and rules of the kernel's trace of this packet in probes.json
    assert [re.split(r"(?<=\S)   ", line)[0] for line in path.text().splitlines()[6:]] == [
        "raw PREROUTING",
        "filter FORWARD",
        "├─ 1 → DOCKER-USER",
        "└─ 2 → DOCKER-FORWARD",
        "   ├─ 1 → DOCKER-CT",
        "   ├─ 2 → DOCKER-ISOLATION-STAGE-1",
        "   └─ 3 → DOCKER-BRIDGE",
        "      └─ 1 → DOCKER",
        "         └─ 2 ACCEPT",
        "nat PREROUTING",
        "└─ 1 → DOCKER",
        "   └─ 3 DNAT",
        "nat POSTROUTING",
    ]
    read(path.svg())


def test_verdicts_differ_in_shape_and_colour_in_every_notation() -> None:
    picture = chains_picture(
        rules(
            ":A - [0:0]\n-A INPUT -p tcp -j ACCEPT\n-A INPUT -p udp -j DROP\n-A INPUT -p icmp -j REJECT\n"
            "-A INPUT -j A\n-A A -j RETURN\n"
        )
    )
    verdicts = ("ACCEPT", "DROP", "REJECT", "RETURN")
    shapes = {}
    for element in read(picture.svg()).iter(f"{SVG}g"):
        name = element.findtext(f"{SVG}text") or ""
        if "verdict" in element.get("class", "") and name in verdicts:
            box = next(one for one in element if one.get("class") == "box")
            shapes[name] = element.get("class"), box.get("d", "").count("L"), box.get("rx")
    assert shapes == {
        "ACCEPT": ("node verdict accept", 0, "11.5"),
        "DROP": ("node verdict drop", 7, None),
        "REJECT": ("node verdict reject", 5, None),
        "RETURN": ("node verdict return", 4, None),
    }
    lines = [line.strip() for line in picture.mermaid().splitlines()]
    marks = {name: next(line for line in lines if f'"{name}"' in line) for name in verdicts}
    assert {name: re.sub(r"\w", "", line) for name, line in marks.items()} == {
        "ACCEPT": '([""])', "DROP": '((("")))', "REJECT": '{""}', "RETURN": '[\\""\\]',
    }  # fmt: skip
    dot = picture.dot()
    assert {re.search(rf'label="{name}", shape=(\w+)', dot)[1] for name in verdicts} == {  # type: ignore[index]
        "ellipse", "octagon", "doubleoctagon", "larrow",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sender", "receiver", "place", "change"),
    [
        ("internet", "host:8080", "hook PREROUTING", "192.0.2.10:8080 → 172.17.0.2:80"),
        ("client", "internet:443", "hook POSTROUTING", "172.17.0.3 → 192.0.2.10"),
    ],
)
def test_nat_is_drawn_where_it_happens(sender: str, receiver: str, place: str, change: str) -> None:
    host = iptsim.load_host(CAPTURES / "docker-28.5/published")
    answer = iptsim.explain(host, sender, receiver)
    topology = topology_picture(host, answer)
    assert {name: node.changes for name, node in topology.drawing.nodes.items() if node.changes} == {
        place: [change]
    }
    chains = chains_picture(host.rulesets[4], explanation=answer)
    changed = [node for node in chains.drawing.nodes.values() if node.changes]
    assert [(node.changes, "translate" in node.classes) for node in changed] == [([change], True)]
    for picture in (topology, chains):
        assert f"⇄ {change}" in texts(picture.svg())
        assert f"⇄ {change}" in picture.text()


# -- Chinese text in PNG ----------------------------------------------------------------------------


@pytest.mark.parametrize("has_font", [True, False])
def test_a_png_with_chinese_text_warns_if_no_font_has_it(
    has_font: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(png, "_draws_ideographs", lambda: has_font)
    words = ["graph", str(CAPTURES / "docker-28.5/icc-off"), "--topology"]
    for language in ("en", "zh-TW"):
        assert main([*words, "--lang", language, "-o", str(tmp_path / f"{language}.png")]) == 0
    warning = capsys.readouterr().err
    assert ("fonts-noto-cjk" in warning) == (not has_font)
    assert warning.count("\n") == (not has_font)


def test_whether_a_font_has_ideographs_is_seen_from_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {"\u4e2d": b"glyph", "\U0010fffd": b"box"}
    monkeypatch.setattr(png, "_drawn", lambda svg, scale: drawn[svg.partition("</text>")[0][-1]])
    png._draws_ideographs.cache_clear()
    assert png._draws_ideographs()
    drawn["\u4e2d"] = b"box"
    png._draws_ideographs.cache_clear()
    assert not png._draws_ideographs()
    png._draws_ideographs.cache_clear()


# -- where it is written ----------------------------------------------------------------------------


def test_a_picture_goes_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    words = ["graph", str(CAPTURES / "docker-28.5/icc-off"), "--topology"]
    starts = {
        "svg": b"<svg ", "png": b"\x89PNG", "html": b"<!DOCTYPE html>", "mermaid": b"flowchart ",
        "dot": b"digraph ", "text": b"host ",
    }  # fmt: skip
    for name, start in starts.items():
        assert main([*words, "--format", name, "-o", "-"]) == 0
        assert capfdbinary.readouterr().out.startswith(start)
    assert main([*words, "-o", "-"]) == 0
    assert capfdbinary.readouterr().out.startswith(starts["text"])


def test_only_the_path_requires_a_packet_on_chains(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["graph", str(CAPTURES / "docker-28.5/icc-off"), "--only-path"]
    assert main(words) == 2
    assert main([*words, "--topology", "--from", "client", "--to", "web:80"]) == 2
    assert capsys.readouterr().err.count("--only-path requires a packet") == 2


_NFT = """
table inet t {
    chain sub {
        counter drop
    }
    chain in {
        type filter hook input priority 0; policy drop;
        tcp dport vmap { 22 : accept, 80 : jump sub }
    }
    chain fwd {
        type filter hook forward priority 0; policy accept;
        udp dport 53 jump sub
    }
    chain wire {
        type filter hook ingress device "eth0" priority 0; policy accept;
        udp dport 99 drop
    }
}
"""


def test_chains_of_nftables_are_drawn_as_those_of_iptables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "paste"
    path.write_text(_NFT)
    assert main(["graph", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "inet t in   policy DROP",
        "├─ 1 ACCEPT   tcp dport vmap { 22 : accept, 80 : jump sub }",
        "└─ 1 → sub   tcp dport vmap { 22 : accept, 80 : jump sub }",
        "   └─ 1 DROP   counter drop",
        "inet t fwd   policy ACCEPT",
        "└─ 1 → sub   udp dport 53 jump sub   (see above)",
        "inet t wire   policy ACCEPT",
        "└─ 1 DROP   udp dport 99 drop",
    ]
    assert main(["graph", str(path), "--from", "internet", "--to", "host:80"]) == 0
    lines = capsys.readouterr().out.splitlines()
    marked = (line for line in lines if line[:1] in "├└ " and line.endswith(("●", "✗")))
    walked = [line.strip("│├└─ ").split("   ")[0] for line in marked]
    assert walked == ["1 → sub", "1 DROP"]
    words = [
        "graph",
        str(path),
        "--format",
        "mermaid",
        "--only-path",
        "--from",
        "internet",
        "--to",
        "host:80",
    ]
    assert main(words) == 0
    drawn = capsys.readouterr().out
    assert "INPUT" in drawn
    assert "sub<br>" in drawn
    assert "inet t fwd" not in drawn


def test_the_hooks_of_chains_of_nftables() -> None:
    host = loads_host(_NFT)
    assert host.namespace.nftables is not None
    ruleset = with_nftables(host.rulesets[4], host.namespace)
    hooks = {node.name for node in ruleset_graph(ruleset) if node.place == "hook"}
    assert hooks == {"INPUT", "FORWARD", "ingress eth0"}
