"""The chain graph: what is a node and an edge, what it answers, and that every walk is a path of it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networkx import dag_longest_path_length, is_directed_acyclic_graph

from iptsim import explain
from iptsim.dump import load, loads
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.chain_graph import ChainGraph, Node
from iptsim.dump.checks import legal_graph
from iptsim.errors import RulesetError
from iptsim.graph import RuleGraph, dangling_jumps, loops, ruleset_graph, unreferenced_chains
from iptsim.netfilter.path import Move
from iptsim.owners.chain_owners import ChainOwners
from iptsim.pictures import chains_picture
from tests.netfilter.hosts import ask, dump, router

CAPTURES = Path(__file__).parent.parent / "fixtures/captures"
DOCKER = CAPTURES / "docker-28.5/icc-off/iptables-save.txt"
HEAD = ":INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n"


def graph_of(rules: str) -> RuleGraph:
    return ruleset_graph(loads(dump(filter=HEAD + rules)))


def edges(graph: RuleGraph, kind: str) -> set[tuple[str, str, int | str]]:
    return {
        (str(source), str(target), key)
        for source, target, key, attributes in graph.edges(keys=True, data=True)
        if attributes["kind"] == kind
    }


# -- nodes and edges -------------------------------------------------------------------------------


def test_hooks_chains_and_verdicts_are_nodes() -> None:
    graph = graph_of(":WEB - [0:0]\n-A INPUT -p tcp -j WEB\n-A WEB -j DROP\n")
    kinds = {str(node): attributes["kind"] for node, attributes in graph.nodes(data=True)}
    assert kinds["INPUT"] == "hook"
    assert kinds["filter:INPUT"] == "base"
    assert kinds["filter:WEB"] == "user"
    assert kinds["DROP"] == kinds["ACCEPT"] == "verdict"


def test_an_edge_carries_its_rule_under_its_position() -> None:
    graph = graph_of(":WEB - [0:0]\n-A INPUT -p udp -j DROP\n-A INPUT -p tcp -j WEB\n")
    edge = graph.get_edge_data(Node("filter", "INPUT"), Node("filter", "WEB"), 2)
    assert edge["kind"] == "jump"
    assert edge["rule"].text == "-A INPUT -p tcp -j WEB"


def test_the_end_of_a_user_chain_leads_back_to_every_caller() -> None:
    graph = graph_of(":WEB - [0:0]\n-A INPUT -j WEB\n-A FORWARD -j WEB\n-A WEB -p tcp -j RETURN\n")
    assert edges(graph, "return") == {("filter:WEB", "filter:INPUT", 1), ("filter:WEB", "filter:FORWARD", 1)}
    assert edges(graph, "fall-through") == {
        ("filter:WEB", "filter:INPUT", 2),
        ("filter:WEB", "filter:FORWARD", 2),
    }


def test_a_goto_leaves_no_return_point() -> None:
    """Where the chain with the goto would have returned to, the other chain returns to (measured)."""
    graph = graph_of(":A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -g B\n-A B -p tcp -j RETURN\n")
    assert edges(graph, "goto") == {("filter:A", "filter:B", 1)}
    assert ("filter:B", "filter:INPUT", 1) in edges(graph, "return")
    assert not any(
        target == "filter:A" for source, target, _ in edges(graph, "fall-through") if source == "filter:B"
    )


def test_policy_and_return_of_a_built_in_chain_lead_to_the_policy() -> None:
    graph = ruleset_graph(loads("*filter\n:INPUT DROP [5:300]\n-A INPUT -p tcp -j RETURN\nCOMMIT\n"))
    assert edges(graph, "policy") == {("filter:INPUT", "DROP", 2)}
    assert edges(graph, "return") == {("filter:INPUT", "DROP", 1)}
    assert graph.nodes[Node("filter", "INPUT")]["counters"].packets == 5


def test_a_rule_that_decides_nothing_is_a_way_back_to_its_chain() -> None:
    graph = graph_of("-A INPUT -j LOG\n-A INPUT -p tcp\n")
    assert edges(graph, "continue") == {
        ("filter:INPUT", "filter:INPUT", 1),
        ("filter:INPUT", "filter:INPUT", 2),
    }


def test_chains_have_owners() -> None:
    graph = load(DOCKER).graph()
    assert graph.nodes[Node("filter", "DOCKER-FORWARD")]["owner"] == "docker"
    assert graph.nodes[Node("filter", "FORWARD")]["owner"] == "kernel"


# -- what it answers -------------------------------------------------------------------------------


def test_unreferenced_chains() -> None:
    graph = graph_of(":USED - [0:0]\n:LEFT - [0:0]\n-A INPUT -j USED\n-A LEFT -j DROP\n")
    assert unreferenced_chains(graph) == [Node("filter", "LEFT")]
    assert unreferenced_chains(load(DOCKER).graph()) == []


def test_dangling_jumps() -> None:
    ruleset = loads(dump(filter=HEAD + ":GONE - [0:0]\n-A INPUT -j GONE\n"))
    del ruleset.tables["filter"].chains["GONE"]
    assert [rule.text for rule in dangling_jumps(ruleset.graph())] == ["-A INPUT -j GONE"]


def test_which_hooks_lead_where() -> None:
    rules = ":A - [0:0]\n:B - [0:0]\n:C - [0:0]\n-A FORWARD -j A\n-A INPUT -j B\n-A A -g B\n-A C -j B\n"
    graph = ChainGraph(loads(dump(filter=HEAD + rules)).tables.values())
    hooks = {"INPUT": ("INPUT",), "FORWARD": ("FORWARD",), "OUTPUT": ("OUTPUT",)}
    assert graph.reaching_hooks("filter") == hooks | {"A": ("FORWARD",), "B": ("INPUT", "FORWARD")}
    assert graph.reached("filter", "C") == ["C", "B"]
    assert graph.network.nodes - graph.passed.nodes == {Node("filter", "C")}
    assert {rule.chain for rule in graph.callers(Node("filter", "B"))} == {"INPUT", "A", "C"}


def test_what_packets_pass_is_what_the_names_reach() -> None:
    """The answers from names alone are those of the networkx graph."""
    for file in sorted(CAPTURES.glob("hosts/*/iptables-save.txt")):
        graph = ChainGraph(load(file, lenient=True).tables.values())
        reached = {
            Node(table, name)
            for table, chains in BUILTIN_CHAINS.items()
            for hook in chains
            if graph.chain(Node(table, hook)) is not None
            for name in graph.reached(table, hook)
        }
        assert {node for node in graph.passed if node.place != "hook"} == reached


LOOPS = {
    "jumps": "-A INPUT -j A\n-A A -j B\n-A B -j A\n",
    "gotos": "-A INPUT -g A\n-A A -g B\n-A B -g A\n",
    "both": "-A INPUT -j A\n-A A -g B\n-A B -j A\n",
    "itself": "-A INPUT -j A\n-A A -j A\n",
}


@pytest.mark.parametrize("rules", LOOPS.values(), ids=LOOPS)
def test_a_loop_that_a_packet_can_reach_is_refused(rules: str) -> None:
    """Both backends refuse these at load: nft with "Too many links", legacy with "line N failed"."""
    ruleset = loads(dump(filter=HEAD + ":A - [0:0]\n:B - [0:0]\n" + rules), source="rules.txt")
    with pytest.raises(RulesetError, match=r"(?s)loop.*A → .*A.*rules\.txt:\d+: -A A -[jg] "):
        loops(ruleset)


def test_a_loop_that_no_packet_can_reach_is_only_told() -> None:
    """Both backends load it."""
    ruleset = loads(
        dump(filter=HEAD + ":A - [0:0]\n:B - [0:0]\n:C - [0:0]\n-A A -j B\n-A B -j A\n-A C -j C\n")
    )
    found = loops(ruleset)
    assert sorted([node.name for node in group] for group in found) == [["A", "B"], ["C"]]


def test_a_chain_that_is_called_twice_is_no_loop() -> None:
    rules = ":A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A INPUT -j B\n-A A -j B\n-A FORWARD -j A\n"
    assert ChainGraph(loads(dump(filter=HEAD + rules)).tables.values()).loop() == []


LEGACY = "# Generated by iptables-save v1.8.9 (legacy) on Tue Nov 24 12:24:14 2026\n"


def nested(depth: int, flag: str) -> str:
    """Return rules of which so many calls nest; the last chain drops."""
    chains = "".join(f":C{number} - [0:0]\n" for number in range(depth))
    calls = "".join(f"-A C{number} -{flag} C{number + 1}\n" for number in range(depth - 1))
    return f"{chains}-A INPUT -{flag} C0\n{calls}-A C{depth - 1} -j DROP\n"


@pytest.mark.parametrize("flag", ["j", "g"])
def test_calls_nest_as_deep_as_the_backend_takes(tmp_path: Path, flag: str) -> None:
    """Measured on Linux 6.18: nft loads 15 and refuses 16 with "Too many links"; legacy walks 500."""

    def verdict(head: str, depth: int) -> str:
        file = tmp_path / "dump"
        file.write_text(head + dump(filter=HEAD + nested(depth, flag)))
        return explain(file, "internet", "host:22").verdict

    assert (verdict("", 15), verdict(LEGACY, 500)) == ("DROP", "DROP")
    with pytest.raises(
        RulesetError, match="nests 16 calls from INPUT, but with nf_tables the kernel allows 15"
    ):
        verdict("", 16)
    with pytest.raises(RulesetError, match="nests 10000 calls from INPUT, but iptsim follows at most 500"):
        verdict(LEGACY, 10_000)


def test_chains_that_no_packet_comes_to_may_nest_deeper() -> None:
    """Measured on Linux 6.18."""
    rules = nested(30, "j").replace("-A INPUT -j C0\n", "")
    ruleset = loads(dump(filter=HEAD + rules))
    assert legal_graph(ruleset.tables.values(), ruleset.backend).nesting() == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 7), st.integers(0, 7)), max_size=14))
def test_nesting_is_the_longest_path_from_a_base_chain(calls: list[tuple[int, int]]) -> None:
    """As networkx finds it; None if packets can come to a loop."""
    chains = "".join(f":C{number} - [0:0]\n" for number in range(8))
    jumps = "".join(f"-A {'INPUT' if one < 0 else f'C{one}'} -j C{other}\n" for one, other in calls)
    graph = ChainGraph(loads(LEGACY + dump(filter=HEAD + chains + jumps)).tables.values())
    called = graph.passed.subgraph(node for node in graph.passed if node.place != "hook")
    longest = dag_longest_path_length(called) if is_directed_acyclic_graph(called) else None
    assert graph.nesting() == longest


def test_very_deep_rules_need_no_recursion() -> None:
    depth = 5000
    chains = "".join(f":C{number} - [0:0]\n" for number in range(depth))
    jumps = "-A INPUT -j C0\n" + "".join(f"-A C{number} -j C{number + 1}\n" for number in range(depth - 1))
    ruleset = loads(LEGACY + dump(filter=HEAD + chains + jumps))
    assert loops(ruleset) == []
    assert chains_picture(ruleset).text().count("\n") >= depth


# -- trees -----------------------------------------------------------------------------------------


def test_the_tree_unfolds_each_chain_once() -> None:
    ruleset = loads(
        dump(filter=":INPUT DROP\n:A - [0:0]\n-A INPUT -p tcp -j A\n-A INPUT -j A\n-A A -j ACCEPT\n")
    )
    assert chains_picture(ruleset).text().splitlines() == [
        "filter INPUT   policy DROP",
        "├─ 1 → A   -p tcp",
        "│  └─ 1 ACCEPT",
        "└─ 2 → A   (see above)",
    ]


# -- walks are paths -------------------------------------------------------------------------------

NAMES = ("A", "B", "C", "D")
CONDITIONS = (
    "",
    "-p tcp",
    "-p udp",
    "-s 10.1.0.9",
    "! -s 10.1.0.9",
    "-m limit --limit 1/sec",
    "-m conntrack --ctstate NEW",
)
ENDS = ("-j ACCEPT", "-j DROP", "-j RETURN", "-j LOG", "-j MARK --set-mark 1", "", "-j REJECT")


@st.composite
def rules_of(draw: st.DrawFn, table: str, heads: tuple[str, ...]) -> str:
    """Make a table whose chains lead only to later ones, so that nothing loops."""
    lines = [f":{head} {draw(st.sampled_from(['ACCEPT', 'ACCEPT', 'DROP']))}" for head in heads]
    lines += [f":{name} - [0:0]" for name in NAMES]
    ends = [end for end in ENDS if (table == "mangle") == ("MARK" in end) or end in ENDS[:4]]
    for number, chain in enumerate((*heads, *NAMES)):
        later = NAMES[max(0, number - len(heads) + 1) :]
        for _ in range(draw(st.integers(0, 3))):
            targets = [*ends, *(f"-{letter} {name}" for letter in "jg" for name in later)]
            condition, target = draw(st.sampled_from(CONDITIONS)), draw(st.sampled_from(targets))
            lines.append(" ".join(filter(None, ("-A", chain, condition, target))))
    return "\n".join(lines)


FORWARDED = {"sender": "10.1.0.9", "to": "10.2.0.9"}
QUESTIONS = (
    {"sender": "10.1.0.9", "to": "10.1.0.1"},
    FORWARDED,
    {**FORWARDED, "proto": "udp"},
    {"sender": "host", "to": "10.2.0.9"},
    {"sender": "a", "to": "b"},
)


def edge_of(graph: RuleGraph, move: Move) -> tuple[Node, Node, str | int]:
    """Return the edge of the graph that a move goes along."""
    if move.kind == "enter":
        return move.at, move.to, move.to.place
    position = move.position or graph.nodes[move.at]["rules"] + 1
    if move.step is not None and move.step.verdict == "CONTINUE":
        return move.at, move.at, position
    if move.kind == "return" and move.at == move.to:  # of a base chain: its policy follows
        return move.at, Node("verdict", graph.nodes[move.at]["policy"]), position
    return move.at, move.to, position


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    filter_rules=rules_of("filter", ("INPUT", "FORWARD", "OUTPUT")),
    mangle_rules=rules_of("mangle", ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")),
    question=st.sampled_from(QUESTIONS),
    limit=st.booleans(),
)
@pytest.mark.thorough
def test_every_walk_is_a_path(
    filter_rules: str, mangle_rules: str, question: dict[str, str], limit: bool
) -> None:
    host = router(dump(mangle=mangle_rules, filter=filter_rules))
    graph = ruleset_graph(host.rulesets[4])
    trace = ask(host, **question, assume={"limit": limit})
    path = trace.path()
    for before, after in pairwise(path):
        if after.kind != "enter":
            assert after.at == (before.at if before.kind == "done" else before.to)
    taken = [graph.edges[edge_of(graph, move)]["rule"] for move in path]
    walked = [step.rule for leg in trace.legs for step in leg.steps if step.rule is not None]
    assert [rule for rule in taken if rule is not None] == walked


# -- owners ----------------------------------------------------------------------------------------

OWNERS = {
    "docker-many": {"docker"},
    "fail2ban": {"fail2ban"},
    "ferm": set(),
    "firewalld": {"firewalld"},
    "kube": {"kubernetes", "flannel"},
    "libvirt": {"libvirt"},
    "podman-netavark": {"netavark"},
    "ufw": {"ufw"},
    "ufw-docker-28.5": {"ufw", "docker"},
}


@pytest.mark.parametrize(("host", "owners"), OWNERS.items(), ids=OWNERS)
def test_chains_of_known_programs_are_theirs(host: str, owners: set[str]) -> None:
    """On these hosts, no other program created chains; ferm's are named by its user."""
    ruleset = load(CAPTURES / f"hosts/{host}/iptables-save.txt")
    chains = [chain.name for table in ruleset.tables.values() for chain in table.chains.values()]
    found = ChainOwners(chains)
    assert {found.chain(name) for name in chains} - {"kernel"} == (owners or {"user"})


def test_the_path_of_a_trace_is_its_calls_and_returns(tmp_path: Path) -> None:
    """A call for each return, and each move begins where the last one led."""
    file = tmp_path / "dump"
    file.write_text(
        dump(
            filter=HEAD
            + ":A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A INPUT -j DROP\n-A A -g B\n-A A -j LOG\n-A B -j LOG\n"
        )
    )
    moves = explain(file, "internet", "host:22").trace.path()
    assert [(move.kind, str(move.at), str(move.to), move.position) for move in moves] == [
        ("enter", "INPUT", "filter:INPUT", 0),
        ("call", "filter:INPUT", "filter:A", 1),
        ("goto", "filter:A", "filter:B", 1),
        ("done", "filter:B", "LOG", 1),
        ("return", "filter:B", "filter:INPUT", 0),
        ("done", "filter:INPUT", "DROP", 2),
    ]
