"""The chain picture: all chains, in the kernel's order, the way of a packet, and bounds for what is too much."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest

import iptsim
from benchmarks.kube import dump as kube
from iptsim.cli import main
from iptsim.dump import loads
from iptsim.dump.chain_graph import Node
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import UsageError
from iptsim.pictures import ENDINGS, Picture, chains_picture, topology_picture
from iptsim.pictures.chain_groups import MOST, family, pattern
from iptsim.pictures.chains import MOST_EDGES
from tests.netfilter.hosts import dump
from tests.pictures.looks import read, texts
from tests.thoroughness import every_nth

FIXTURES = Path(__file__).parents[2] / "fixtures"
CAPTURES = FIXTURES / "captures"
EVERY = every_nth(sorted({path.parent for path in FIXTURES.glob("*/**/iptables-save.txt")}), 3)
HEAD = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"


def rules(text: str, head: str = HEAD) -> Ruleset:
    return loads(dump(filter=head + text))


def places(picture: Picture) -> dict[str, tuple[float, float]]:
    return {name: (box.x, box.y) for name, box in picture.placement.nodes.items()}


# -- what is on it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_chain_is_on_it(path: Path) -> None:
    for ruleset in iptsim.load_host(path).rulesets.values():
        picture = chains_picture(ruleset)
        shown = set(texts(picture.svg()))
        folded = [node.lines[0] for node in picture.drawing.nodes.values() if node.kind == "fold"]
        count = 0
        for table in ruleset.tables.values():
            for chain in table.chains.values():
                one = f"{table.name} {chain.name}" if len(ruleset.tables) > 1 or chain.builtin else chain.name
                if one not in shown:
                    count += 1
                    assert any(
                        f"{name(chain.name)} × " in line for line in folded for name in (pattern, family)
                    )
        assert count == sum(int(line.rpartition("× ")[2]) for line in folded)


@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_packets_flow_from_left_to_right_and_hooks_and_tables_stand_in_the_kernels_order(path: Path) -> None:
    picture = chains_picture(iptsim.load_host(path).rulesets[4])
    where = places(picture)
    drawing = picture.drawing
    order = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
    hooks = [f"hook {hook}" for hook in order if f"hook {hook}" in where]
    assert sorted(hooks, key=lambda name: where[name][1]) == hooks
    bases = [f"{t} {h}" for h in order for t in ("raw", "mangle", "nat", "filter", "security")]
    bases = [name for name in bases if name in where]
    assert sorted(bases, key=lambda name: where[name][1]) == bases
    for edge in drawing.edges:
        if edge.kind != "goto":
            assert where[edge.source][0] < where[edge.target][0], edge


@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_boxes_do_not_overlap(path: Path) -> None:
    placement = chains_picture(iptsim.load_host(path).rulesets[4]).placement
    boxes = list(placement.nodes.items())
    for number, (name, one) in enumerate(boxes):
        assert one.right <= placement.width
        assert one.bottom <= placement.height
        for other, two in boxes[number + 1 :]:
            apart = one.right <= two.x or two.right <= one.x or one.bottom <= two.y or two.bottom <= one.y
            assert apart, (name, other)


def test_rules_that_lead_to_one_place_are_one_line_with_their_positions() -> None:
    drawing = chains_picture(
        rules(
            ":A - [0:0]\n-A INPUT -p tcp -j DROP\n-A INPUT -j A\n-A INPUT -p udp -j DROP\n"
            "-A INPUT -p icmp -j DROP\n-A A -j LOG\n-A A -p tcp -j RETURN\n-A A -p tcp\n"
        )
    ).drawing
    found = [(edge.source, edge.target, edge.kind, edge.label) for edge in drawing.edges]
    assert found == [
        ("hook INPUT", "filter INPUT", "hook", ""),
        ("hook FORWARD", "filter FORWARD", "hook", ""),
        ("hook OUTPUT", "filter OUTPUT", "hook", ""),
        ("filter INPUT", "filter INPUT → DROP", "verdict", "1, 3-4"),
        ("filter INPUT", "filter A", "jump", "2"),
        ("filter INPUT", "filter INPUT → policy", "policy", "policy"),
        ("filter FORWARD", "filter FORWARD → policy", "policy", "policy"),
        ("filter OUTPUT", "filter OUTPUT → policy", "policy", "policy"),
        ("filter A", "filter A → LOG", "action", "1"),
        ("filter A", "filter A → RETURN", "action", "2"),
    ]


def test_owners_are_told_in_words_too() -> None:
    drawing = chains_picture(rules(":DOCKER - [0:0]\n:ufw-user - [0:0]\n:MINE - [0:0]\n")).drawing
    told = {
        name: node.lines[1].split(" · ")[0] for name, node in drawing.nodes.items() if node.kind == "chain"
    }
    assert told == {"filter DOCKER": "docker", "filter ufw-user": "ufw", "filter MINE": "created by you"}
    assert "nothing jumps here" in drawing.nodes["filter MINE"].lines[1]


def test_counters_are_widths() -> None:
    text = ":INPUT ACCEPT [7:700]\n[1000:9]-A INPUT -p tcp -j DROP\n[0:0]-A INPUT -p udp -j REJECT\n"
    ruleset = rules(text.replace("]-A", "] -A"), head="")
    edges = {edge.target: edge for edge in chains_picture(ruleset, counters=True).drawing.edges}
    drop, reject = edges["filter INPUT → DROP"], edges["filter INPUT → REJECT"]
    policy = edges["filter INPUT → policy"]
    assert drop.width > policy.width > reject.width
    assert [drop.label, policy.label, reject.label] == ["1 · 1.0k", "policy · 7", "2 · 0"]
    plain = chains_picture(ruleset).drawing.edges
    assert {edge.width for edge in plain} == {1.0}
    assert "1000 packets" in chains_picture(ruleset, counters=True).text()


# -- the packet's path ------------------------------------------------------------------------------


def test_the_way_is_highlighted_and_what_was_visited_in_vain_is_not() -> None:
    host = iptsim.load_host(CAPTURES / "docker-28.5/icc-off")
    answer = iptsim.explain(host, "client", "web:80")
    drawing = chains_picture(host.rulesets[4], "filter", explanation=answer).drawing
    classes = {name: node.classes for name, node in drawing.nodes.items()}
    walked = {name for name, found in classes.items() if "walked" in found}
    assert walked == {
        "hook FORWARD",
        "filter FORWARD",
        "filter DOCKER-FORWARD",
        "filter DOCKER-FORWARD → DROP",
    }
    vain = {name for name, found in classes.items() if "vain" in found}
    assert vain == {f"filter DOCKER{rest}" for rest in ("-USER", "-CT", "-ISOLATION-STAGE-1", "-BRIDGE", "")}
    assert {name for name, found in classes.items() if "stop" in found} == {"filter DOCKER-FORWARD → DROP"}
    assert all(found & {"walked", "vain", "unseen"} for found in classes.values())


@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_is_highlighted_is_what_the_trace_visited(path: Path) -> None:
    host = iptsim.load_host(path)
    people = [name for name, one in host.containers.items() if one.running and one.address(4)]
    people = [name for name in people if name != "dns"][:2]
    for sender, receiver in ((one, other) for one in (*people, "internet") for other in (*people, "host")):
        answer = iptsim.explain(host, sender, f"{receiver}:80")
        drawing = chains_picture(host.rulesets[4], explanation=answer).drawing
        visited: set[Node] = set()
        for leg in answer.trace.legs:
            lost = leg.verdict in ("DROP", "REJECT") and answer.trace.legs[0].verdict == "ACCEPT"
            if leg.direction == "original" or lost:
                for step in leg.steps:
                    if step.table is not None:
                        visited.add(Node(step.table, step.chain or ""))
                        jump, _, chain = step.verdict.partition(":")
                        if jump in ("JUMP", "GOTO"):
                            visited.add(Node(step.table, chain))
        for name, node in drawing.nodes.items():
            if node.kind in ("base", "chain"):
                table, _, chain = name.partition(" ")
                seen = bool(node.classes & {"walked", "vain"})
                assert seen == (Node(table, chain) in visited), (sender, receiver, name)


def test_the_tree_marks_the_way() -> None:
    host = iptsim.load_host(CAPTURES / "docker-28.5/icc-off")
    answer = iptsim.explain(host, "client", "web:80")
    lines = chains_picture(host.rulesets[4], "filter", explanation=answer).text().splitlines()
    assert lines[0] == "DROP: client 172.17.0.3 → web 172.17.0.2, tcp/80"
    marked = [line.split(" ", 1)[-1].strip() for line in lines[6:] if line.endswith(("●", "○", "✗", "✓"))]
    assert [(line.split("   ")[0].lstrip("│├└─ "), line[-1]) for line in marked] == [
        ("1 → DOCKER-USER", "○"),
        ("2 → DOCKER-FORWARD", "●"),
        ("1 → DOCKER-CT", "○"),
        ("2 → DOCKER-ISOLATION-STAGE-1", "○"),
        ("3 → DOCKER-BRIDGE", "○"),
        ("1 → DOCKER", "○"),
        ("4 DROP", "✗"),
    ]


# -- too much --------------------------------------------------------------------------------------


def test_chains_of_one_shape_are_folded() -> None:
    ruleset = loads(kube(40, 5))
    picture = chains_picture(ruleset)
    folds = {node.lines[0] for node in picture.drawing.nodes.values() if node.kind == "fold"}
    assert folds == {"KUBE-SVC-* × 40", "KUBE-SEP-* × 200"}
    labels = {
        (edge.source.split("-")[1], edge.target.split(" ")[-1][:8]): edge.label
        for edge in picture.drawing.edges
        if edge.source.startswith("nat KUBE-S")
    }
    assert labels["SERVICES", "KUBE-SVC"] == "1-40"
    assert labels["SVC", "KUBE-SEP"] == "× 200"
    assert labels["SEP", "DNAT"] == "× 200"
    assert "40 of" not in picture.text()
    assert len(picture.text().splitlines()) < 30


TANGLES = {
    "deep": lambda n: [f"-A C{i} -j C{i + 1}" for i in range(n - 1)],
    "wide": lambda n: [f"-A C0 -j C{i}" for i in range(1, n)],
    "many calls": lambda n: [
        f"-A C{i} -j C{i + 1 + (i * step) % (n - i - 1)}" for i in range(n - 2) for step in (3, 7, 11)
    ],
}


@pytest.mark.parametrize("make", TANGLES.values(), ids=TANGLES)
@pytest.mark.parametrize("names", ["C", "alike"])
def test_pictures_stay_bounded(make: object, names: str) -> None:
    assert callable(make)
    lines = make(1500)
    if names == "alike":  # names that have nothing in common cannot be folded by name
        letters = str.maketrans("0123456789", "abcdefghij")
        lines = [line.translate(letters) for line in lines]
    chains = dict.fromkeys(word for line in lines for word in line.split()[1::2])
    text = "".join(f":{chain} - [0:0]\n" for chain in chains)
    first = next(iter(chains))
    picture = chains_picture(rules(text + f"-A INPUT -j {first}\n" + "\n".join(lines) + "\n"))
    drawing = picture.drawing
    assert (
        len([node for node in drawing.nodes.values() if node.kind in ("chain", "base", "fold")]) <= MOST + 3
    )
    assert len(drawing.edges) <= MOST_EDGES
    assert len(picture.svg()) < 500_000
    assert len(picture.text()) < 3_000_000


def test_callers_times_returns_is_not_built() -> None:
    calls = "".join(f":A{i} - [0:0]\n-A A{i} -j BACK\n-A INPUT -j A{i}\n" for i in range(1000))
    ruleset = rules(":BACK - [0:0]\n" + calls + "-A BACK -p tcp -j RETURN\n" * 1000)
    assert len(chains_picture(ruleset).drawing.edges) < 20


# -- formats ---------------------------------------------------------------------------------------

EVIL = 'a"]-->x;<b>&'


def test_names_and_comments_are_inert_in_every_format() -> None:
    comment = "--><script>alert(1)</script>"
    ruleset = rules(
        f':{EVIL} - [0:0]\n-A INPUT -m comment --comment "{comment}" -j {EVIL}\n'.replace('a"', "a'")
    )
    picture = chains_picture(ruleset)
    svg = picture.svg()
    read(svg)
    assert "<script" not in svg
    assert "<b>" not in svg
    assert "<script" not in picture.html()
    assert "#93;--#62;x#59;#60;b#62;#38;" in picture.mermaid()
    assert all(line.replace('\\"', "").count('"') % 2 == 0 for line in picture.dot().splitlines())


def test_mermaid_and_dot_tell_the_same() -> None:
    picture = chains_picture(rules(":A - [0:0]\n-A INPUT -p tcp -j A\n-A A -j DROP\n"))
    assert "  n0 ==> n3" in picture.mermaid()
    assert '  n3 -> n6 [label="1", style=solid];' in picture.dot()
    assert '["A<br>created by you · 1 rule"]'.replace("·", f"#{ord('·')};") in picture.mermaid()


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_can_be_saved(ending: str, tmp_path: Path) -> None:
    host = iptsim.load_host(CAPTURES / "docker-28.5/icc-off")
    answer = iptsim.explain(host, "client", "web:80")
    for number, picture in enumerate(
        [topology_picture(host, answer), chains_picture(host.rulesets[4], explanation=answer)]
    ):
        path = tmp_path / f"{number}{ending}"
        picture.save(path)
        assert path.stat().st_size > 300


def test_another_ending_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.svg, \.png"):
        chains_picture(rules("")).save(tmp_path / "chains.gif")


def test_a_png_is_as_large_as_its_svg_and_has_text_without_system_fonts() -> None:
    host = iptsim.load_host(CAPTURES / "docker-28.5/icc-off")
    picture = topology_picture(host)
    png = picture.png(scale=1)
    root = read(picture.svg())
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(png[16 + at : 20 + at], "big") for at in (0, 4))
    assert abs(width - float(root.get("width", 0))) <= 1
    assert abs(height - float(root.get("height", 0))) <= 1
    for node in picture.drawing.nodes.values():
        node.lines = [" " * len(line) for line in node.lines]
        node.details = []
    # without its text the same picture has less in it, so there were glyphs
    assert len(picture.png(scale=1)) < 0.8 * len(png)


@pytest.mark.parametrize(("module", "ending"), [("pygraphviz", ".svg"), ("resvg_py", ".png")])
def test_without_the_extra_the_error_names_it(
    module: str, ending: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: object, **more: object) -> object:
        if name == module:
            raise ImportError(name)
        return real(name, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    host = iptsim.load_host(CAPTURES / "docker-28.5/icc-off")
    picture = chains_picture(host.rulesets[4])
    with pytest.raises(UsageError, match=r"pip install 'iptsim\[pictures\]'"):
        picture.save(tmp_path / f"chains{ending}")
    for free in (".mmd", ".dot", ".txt"):
        picture.save(tmp_path / f"chains{free}")
    topology_picture(host).save(tmp_path / "topology.svg")


# -- the command -----------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(CAPTURES / "docker-28.5/icc-off")
    question = ["--from", "client", "--to", "web:80"]
    assert main(["graph", source, "--topology", *question]) == 0
    assert "FORWARD ✗" in capsys.readouterr().out
    path = tmp_path / "chains.svg"
    assert main(["graph", source, "-t", "filter", *question, "-o", str(path)]) == 0
    assert capsys.readouterr() == ("", "")
    assert "DOCKER-FORWARD" in path.read_text()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--topology", "-t", "nat"], "--topology"),
        (["--topology", "--counters"], "--topology"),
        (["--dport", "80"], "--from or --to"),
        (["-t", "nope"], "unknown table 'nope'; choose from: "),
        (["-o", "chains.gif"], "must end in one of"),
        (["-o", "/nowhere/chains.svg"], "No such file"),
    ],
)
def test_mistakes_are_told(words: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", str(CAPTURES / "docker-28.5/icc-off"), *words]) == 2
    assert error in capsys.readouterr().err
