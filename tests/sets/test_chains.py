"""Summaries of chains: expected sets are worked out by hand, and compared with the walk of single packets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iptsim.connection import Connection, Flow
from iptsim.dump import loads
from iptsim.extensions.constraints import Masked, named
from iptsim.extensions.context import Context
from iptsim.host.model import Host
from iptsim.host.namespace import Namespace
from iptsim.netfilter.chain_evaluation import evaluate
from iptsim.netfilter.hooks import Hooks, IptablesChain
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.program import Program
from iptsim.netfilter.surroundings import World
from iptsim.packet import Packet
from iptsim.protocols import ICMP
from iptsim.question.model import Question
from iptsim.sets.chains import Chains
from iptsim.sets.layout import Layout
from iptsim.sets.space import PacketSet, Space, TooManyNodesError
from iptsim.sets.summaries import Outcome
from tests.sets import ENGINES, ENGINES_OF_LONG_TESTS


def program(*lines: str, table: str = "filter", policy: str = "ACCEPT") -> Program:
    hooks = {
        "filter": ("INPUT", "FORWARD", "OUTPUT"),
        "mangle": ("PREROUTING", "FORWARD"),
        "raw": ("PREROUTING",),
    }
    chains = {line.split()[1] for line in lines} - set(hooks[table])
    declared = [f":{hook} {policy} [0:0]" for hook in hooks[table]] + [
        f":{name} - [0:0]" for name in sorted(chains)
    ]
    return Program(loads("\n".join([f"*{table}", *declared, *lines, "COMMIT", ""])))


def ports(space: Space, *numbers: int) -> Any:
    return space.where("proto", ((6, 6),)) & space.where("dport", tuple((one, one) for one in numbers))


def test_the_first_rule_that_matches_decides(space: Space) -> None:
    rules = program(
        "-A FORWARD -p tcp -m multiport --dports 22,80 -j ACCEPT",
        "-A FORWARD -p tcp -m multiport --dports 80,443 -j DROP",
        policy="DROP",
    )
    forward = Chains(space, rules).base("filter", "FORWARD")
    whole = ~space.where("fragment", named("middle")) & ~space.where("fragment", named("last"))
    assert forward.packets("ACCEPT") == ports(space, 22, 80) & whole
    assert forward.packets("DROP") == ~forward.packets("ACCEPT")
    # what the second rule takes is left by the first
    assert forward.rules[1].takes[forward.entry] == ports(space, 443) & whole


def test_a_chain_returns_what_it_does_not_decide(space: Space) -> None:
    rules = program(
        "-A FORWARD -s 10.0.0.0/8 -j lan",
        "-A FORWARD -j DROP",
        "-A lan -d 10.0.0.1/32 -j RETURN",
        "-A lan -j ACCEPT",
    )
    forward = Chains(space, rules).base("filter", "FORWARD")
    lan = space.where("src", Masked(10 << 24, 0xFF << 24))
    router = space.where("dst", ((0x0A000001, 0x0A000001),))
    assert forward.packets("ACCEPT") == lan - router
    assert forward.packets("RETURN") == space.nothing


def test_goto_returns_to_the_caller_of_the_caller(space: Space) -> None:
    rules = program(
        "-A FORWARD -j one",
        "-A FORWARD -j ACCEPT",
        "-A one -g two",
        "-A one -j DROP",
        "-A two -s 10.0.0.0/8 -j DROP",
    )
    forward = Chains(space, rules).base("filter", "FORWARD")
    assert forward.packets("DROP") == space.where("src", Masked(10 << 24, 0xFF << 24))


def test_goto_from_a_base_chain_ends_with_its_policy(space: Space) -> None:
    rules = program(
        "-A FORWARD -g two", "-A FORWARD -j ACCEPT", "-A two -s 10.0.0.0/8 -j ACCEPT", policy="DROP"
    )
    forward = Chains(space, rules).base("filter", "FORWARD")
    assert forward.packets("ACCEPT") == space.where("src", Masked(10 << 24, 0xFF << 24))


def test_a_mark_is_rewritten_bit_by_bit(space: Space) -> None:
    """`--set-xmark 0x1/0x1` sets bit 0 and keeps the others (xt_mark.c: (mark & ~mask) ^ value)."""
    rules = program(
        "-A PREROUTING -i eth0 -j MARK --set-xmark 0x1/0x1",
        "-A PREROUTING -m mark --mark 0x3/0x3 -j DROP",
        table="mangle",
    )
    chain = Chains(space, rules).base("mangle", "PREROUTING")
    outside = space.where("in_interface", named("eth0"))
    second, both = space.where("mark", Masked(2, 2)), space.where("mark", Masked(3, 3))
    assert chain.packets("DROP") == outside & second | both - outside
    accepted = {one.rewriting.number("mark") for one in chain.outcomes if one.kind == "ACCEPT"}
    assert accepted == {(0, 0), (1, 1)}


def test_a_mark_is_copied_from_the_connection(space: Space) -> None:
    rules = program(
        "-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff",
        "-A PREROUTING -m mark --mark 0x5/0xff -j DROP",
        table="mangle",
    )
    chain = Chains(space, rules).base("mangle", "PREROUTING")
    state = space.where("ct.state", named("INVALID")) | space.where("ct.state", named("UNTRACKED"))
    marked, of_connection = space.where("mark", Masked(5, 0xFF)), space.where("ct.mark", Masked(5, 0xFF))
    assert chain.packets("DROP") == of_connection - state | marked & state


def test_a_packet_that_conntrack_is_to_ignore_is_untracked(space: Space) -> None:
    rules = program(
        "-A PREROUTING -p udp -j CT --notrack",
        "-A PREROUTING -m conntrack --ctstate UNTRACKED -j DROP",
        table="raw",
    )
    chain = Chains(space, rules).base("raw", "PREROUTING")
    # conntrack has not seen it yet, so that it counts as INVALID
    unseen = chain.packets("DROP").having({"ct.state": "INVALID"})
    assert unseen == space.where("proto", ((17, 17),))


def test_equal_limits_of_a_chain_that_is_called_twice_are_decided_twice(space: Space) -> None:
    rules = program(
        "-A FORWARD -j lucky",
        "-A FORWARD -j lucky",
        "-A FORWARD -j DROP",
        "-A lucky -m limit --limit 1/sec -j ACCEPT",
    )
    forward = Chains(space, rules).base("filter", "FORWARD")
    accepted = forward.packets("ACCEPT")
    assert accepted.must == space.nothing
    assert accepted.may == space.everything
    assert len(accepted.hinges) == 2


def test_equal_conditions_on_the_data_are_one_decision(space: Space) -> None:
    rules = program(
        '-A FORWARD -m string --string "x" --algo bm -j DROP',
        '-A FORWARD -m string ! --string "x" --algo bm -j ACCEPT',
        "-A FORWARD -j DROP",
    )
    forward = Chains(space, rules).base("filter", "FORWARD")
    assert forward.rules[2].reaches == {}


def test_what_a_user_space_program_decides_is_undecided(space: Space) -> None:
    forward = Chains(space, program("-A FORWARD -p udp -j NFQUEUE")).base("filter", "FORWARD")
    udp = space.where("proto", ((17, 17),))
    assert forward.packets("ACCEPT").must == ~udp
    assert forward.packets("DROP").may == udp


def test_a_packet_for_a_transparent_proxy_is_marked(space: Space) -> None:
    """xt_TPROXY.c: (mark & ~mask) ^ value, where a listener takes the packet; else it is dropped."""
    rules = program(
        "-A PREROUTING -p tcp -j TPROXY --on-port 3129 --on-ip 0.0.0.0 --tproxy-mark 0x1/0x1", table="mangle"
    )
    chain = Chains(space, rules).base("mangle", "PREROUTING")
    tcp = space.where("proto", ((6, 6),))
    marked = [one for one in chain.outcomes if one.rewriting.number("mark") == (1, 1)]
    assert [one.kind for one in marked] == ["ACCEPT"]
    assert chain.leaving(marked[0]).may == tcp
    assert chain.packets("DROP").may == tcp
    assert chain.packets("DROP").must == space.nothing


@pytest.mark.parametrize("hook", ["SYN", "other"])
def test_a_handshake_ends_at_synproxy(space: Space, hook: str) -> None:
    """xt_SYNPROXY: a SYN is replied to, and an ACK checked, by the host; other packets pass."""
    rules = program("-A FORWARD -p tcp -m tcp --dport 80 -j SYNPROXY --sack-perm --timestamp")
    stolen = Chains(space, rules).base("filter", "FORWARD").packets("STOLEN")
    flags = {"SYN": 2, "other": 18}[hook]
    packet = {"proto": 6, "dport": 80, "tcp_flags": flags, "fragment": "whole"}
    assert (packet in stolen) is (hook == "SYN")


@pytest.mark.parametrize("engine", ENGINES)
def test_too_many_nodes_name_the_rules(engine: Any) -> None:
    lines = [
        f"-A FORWARD -s {n * 37 % 223 + 1}.{n * 91 % 251}.{n % 250}.1 -d {n * 53 % 223 + 1}.7.{n}.{n % 99} -j ACCEPT"
        for n in range(250)
    ]
    chains = Chains(Space(4, engine=engine, most_nodes=20_000), program(*lines))
    remedy = (
        r"Install the compiled engine.*pip install 'iptsim\[exact\]'"
        if engine == "python"
        else "Leave these rules out to answer"
    )
    wanted = (
        r"more than 20,000 nodes; most of them come from filter FORWARD rule .*, which compare src, dst\. "
        + remedy
    )
    with pytest.raises(TooManyNodesError, match=wanted):
        chains.base("filter", "FORWARD")


@pytest.mark.parametrize("engine", ENGINES)
def test_too_many_nodes_of_sets_alone(engine: Any) -> None:
    space = Space(4, engine=engine, most_nodes=3000)

    def many() -> PacketSet:
        odd = space.nothing
        for number in range(1, 4000, 7):
            odd ^= space.where("src", ((number * number, number << 20),)) & space.where(
                "dport", ((number, 5000),)
            )
        return odd

    with pytest.raises(TooManyNodesError, match="the sets of packets need more than 3,000 nodes"):
        many()


# -- against the walk -----------------------------------------------------------------------------------

ADDRESSES = (0x0A000001, 0x0A000002, 0x0A800001, 0xC0000201)
CONDITIONS = (
    "-s 10.0.0.1/32", "-s 10.0.0.0/8", "! -s 10.128.0.0/9", "-d 10.0.0.2/32", "! -d 192.0.2.0/24", "-i eth0",
    "! -i eth+", "-p tcp", "-p tcp -m tcp --dport 22", "-p udp -m udp ! --dport 53",
    "-p tcp -m multiport --ports 22,80:90",
    "-m conntrack --ctstate NEW", "-m conntrack ! --ctstate RELATED,ESTABLISHED", "-m mark --mark 0x1/0x1",
    "-m mark ! --mark 0x2", "-m connmark --mark 0x4/0x4", "-p tcp -m tcp --tcp-flags SYN,ACK SYN",
    "-m iprange --src-range 10.0.0.1-10.0.0.9", "-m ttl --ttl-gt 63", "-p icmp -m icmp --icmp-type 8",
)  # fmt: skip
TARGETS = (
    "-j ACCEPT", "-j DROP", "-j RETURN", "-j a", "-g a", "-j b", "-g b", "-j MARK --set-xmark 0x1/0x1",
    "-j MARK --set-xmark 0x2/0xffffffff", "-j CONNMARK --save-mark --nfmask 0x3 --ctmask 0x3 ",
    "-j CONNMARK --restore-mark", "-j CONNMARK --set-xmark 0x4/0x4", "",
)  # fmt: skip


@st.composite
def made_rulesets(draw: st.DrawFn) -> str:
    lines = []
    for chain, targets in (
        ("PREROUTING", TARGETS),
        ("a", [t for t in TARGETS if not t.endswith(" a")]),
        ("b", None),
    ):
        allowed = [t for t in TARGETS if not t.endswith((" a", " b"))] if targets is None else list(targets)
        for _ in range(draw(st.integers(1, 5))):
            condition, target = draw(st.sampled_from(CONDITIONS)), draw(st.sampled_from(allowed))
            lines.append(f"-A {chain} {condition} {target}")
    policy = draw(st.sampled_from(("ACCEPT", "DROP")))
    return "\n".join(
        ["*mangle", f":PREROUTING {policy} [0:0]", ":a - [0:0]", ":b - [0:0]", *lines, "COMMIT", ""]
    )


@st.composite
def contexts(draw: st.DrawFn) -> Context:
    proto = draw(st.sampled_from((1, 6, 17)))
    state = draw(st.sampled_from(("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED")))
    source, target = draw(st.sampled_from(ADDRESSES)), draw(st.sampled_from(ADDRESSES))
    port = draw(st.sampled_from((22, 53, 80, 85, 443)))
    packet = Packet(
        4, source, target, proto, 40000 if proto != 1 else None, port if proto != 1 else None,
        tcp_flags=draw(st.sampled_from((2, 18, 16))), ttl=draw(st.sampled_from((1, 63, 64))),
        icmp_type=8 if proto == 1 else None, icmp_code=0, mark=draw(st.integers(0, 7)),
    )  # fmt: skip
    connection = None
    if state in ("NEW", "ESTABLISHED", "RELATED"):
        flow = Flow(source, packet.sport, target, packet.dport, proto)
        connection = Connection(4, flow, flow.reversed(), mark=draw(st.integers(0, 7)))
    return Context(
        packet, "PREROUTING", "mangle", World(Host(), Question(sender="10.0.0.1", to="10.0.0.2"), Namespace()),
        in_interface=draw(st.sampled_from(("eth0", "wlan0"))), state=state, connection=connection,
    )  # fmt: skip


def values_of(context: Context) -> dict[str, Any]:
    """The header of a context, as a set has it."""
    packet, connection = context.packet, context.connection
    return {
        "out_interface": context.out_interface or "", "in_interface": context.in_interface or "",
        "src": packet.src, "dst": packet.dst, "proto": packet.proto, "sport": packet.sport or 0,
        "dport": packet.dport or 0, "ct.state": context.state, "mark": packet.mark,
        "ct.mark": connection.mark if connection else 0, "tcp_flags": packet.tcp_flags,
        "fragment": packet.fragment or "whole", "ttl": packet.ttl,
        **({"icmp_type": packet.icmp_type, "icmp_code": packet.icmp_code} if packet.proto == ICMP else {}),
    }  # fmt: skip


def field_after(layout: Layout, outcome: Outcome, key: str, values: dict[str, Any]) -> int:
    """The number that an outcome leaves in a field of a packet that came with some values."""
    number = 0
    for bit in outcome.rewriting.bits(layout, key):
        if bit > 1:
            variable, flipped = divmod(bit - 2, 2)
            place = layout.place_of(variable)
            bit = values[place.key] >> place.variables[-1] - variable & 1 ^ flipped
        number = number << 1 | bit
    return number


@settings(max_examples=12, deadline=None)
@given(dump=made_rulesets(), packets=st.lists(contexts(), min_size=5, max_size=15))
def test_packets_walk_as_the_sets_say(dump: str, packets: list[Context]) -> None:
    check_walks("oxidd", dump, packets)


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=60, deadline=None)
@given(dump=made_rulesets(), packets=st.lists(contexts(), min_size=5, max_size=15))
def test_many_packets_walk_as_the_sets_say(engine: Any, dump: str, packets: list[Context]) -> None:
    check_walks(engine, dump, packets)


def check_walks(engine: Any, dump: str, packets: list[Context]) -> None:
    rules = Program(loads(dump), conntrack_on=True)
    chain = Chains(Space(4, engine=engine), rules).base("mangle", "PREROUTING")
    outcomes = chain.outcomes
    for context in packets:
        values = values_of(context)
        found = [(outcome, packets) for outcome, packets in outcomes.items() if values in packets]
        assert len(found) == 1
        ((outcome, _),) = found
        hooks = Hooks({4: [rules]})
        kernel = Kernel(context.surroundings, hooks)  # type: ignore[arg-type]
        bases = [one for one in hooks.at(4, "PREROUTING").entries if isinstance(one, IptablesChain)]
        answer = evaluate(kernel, context, bases[0]) if bases else None
        assert (answer.verdict if answer else "ACCEPT") == outcome.kind
        layout = chain.nothing.layout
        assert field_after(layout, outcome, "mark", values) == context.packet.mark
        if context.connection is not None:
            assert field_after(layout, outcome, "ct.mark", values) == context.connection.mark


@pytest.mark.parametrize("engine", ENGINES_OF_LONG_TESTS)
@settings(max_examples=60, deadline=None)
@given(dump=made_rulesets(), data=st.data())
@pytest.mark.thorough
def test_summaries_of_another_ruleset_are_those_that_would_be_made(
    engine: Any, dump: str, data: st.DataObject
) -> None:
    rules = [line for line in dump.splitlines() if line.startswith("-A ")]
    gone = data.draw(st.sampled_from([None, *rules]))
    changed = "\n".join(line for line in dump.splitlines() if line != gone) + "\n"
    space = Space(4, engine=engine)
    for hook in ("PREROUTING", "FORWARD"):
        assert Chains(space, Program(loads(dump))).base("mangle", hook).rules is not None
    shared = Chains(space, Program(loads(changed)))
    for hook in ("PREROUTING", "FORWARD"):
        shared.base("mangle", hook)
    space.summarised.clear()
    alone = Chains(space, Program(loads(changed)))
    for hook in ("PREROUTING", "FORWARD"):
        assert shared.base("mangle", hook).outcomes == alone.base("mangle", hook).outcomes


def test_a_chain_of_another_ruleset_is_not_summarised_again() -> None:
    lines = ["-A FORWARD -p tcp -j a", "-A FORWARD -j b", "-A a -m limit --limit 1/s -j ACCEPT", "-A b -j a"]
    space = Space(4)
    before = Chains(space, program(*lines))
    after = Chains(space, program(*lines, "-A FORWARD -p udp -j DROP"))
    one, other = (chains.base("filter", "FORWARD") for chains in (before, after))
    called = [
        next(iter(rule.calls.values())).rules[0].takes for chain in (one, other) for rule in chain.rules[:2]
    ]
    assert called[0] is called[2]
    assert called[1] is called[3]
    assert [rule.rule for rule in other.rules] == [
        rule for rule in after.program.ruleset.rules() if rule.chain == "FORWARD"
    ]


@pytest.mark.parametrize("called", ["C", "D"])
def test_a_chance_is_taken_anew_in_each_call_whatever_was_marked_before(called: str, space: Space) -> None:
    """Each time a packet comes to `-m statistic`, it is asked again (net/netfilter/xt_statistic.c)."""
    rules = program(
        "-A FORWARD -j MARK --set-xmark 0x0/0xffffffff",
        f"-A FORWARD -j {called}",
        "-A FORWARD -m mark ! --mark 0x1/0x1 -j ACCEPT",
        f"-A FORWARD -j {called}",
        "-A FORWARD -m mark --mark 0x1/0x1 -j DROP",
        "-A C -m statistic --mode random --probability 0.5 -j MARK --set-xmark 0x1/0x0",
        "-A D -j C",
        table="mangle",
    )
    forward = Chains(space, rules).base("mangle", "FORWARD")
    assert forward.packets("DROP").may == forward.packets("ACCEPT").may == space.everything


def test_hooks_share_the_decisions_of_a_chain_that_each_calls_once(space: Space) -> None:
    rules = program(
        "-A INPUT -j C", "-A FORWARD -j C", "-A C -m statistic --mode random --probability 0.5 -j DROP"
    )
    chains = Chains(space, rules)
    assert chains.base("filter", "INPUT").outcomes == chains.base("filter", "FORWARD").outcomes


@pytest.mark.parametrize("engine", ENGINES)
def test_successive_rules_with_one_target_take_what_each_of_them_matches(engine: Any) -> None:
    space = Space(4, engine=engine)
    lines = ["-A FORWARD -p tcp -j ACCEPT", "-A FORWARD -s 10.0.0.0/8 -j ACCEPT", "-A FORWARD -p udp -j DROP"]
    chains = Chains(space, program(*lines, "-A FORWARD -p icmp -j ACCEPT", policy="DROP"))
    proto = {number: space.where("proto", ((number, number),)) for number in (1, 6, 17)}
    ten = space.where("src", ((10 << 24, (11 << 24) - 1),))
    summary = chains.base("filter", "FORWARD")
    assert summary.packets("ACCEPT") == proto[6] | ten | proto[1]
    assert summary.packets("DROP") == ~(proto[6] | ten | proto[1])
    assert [next(iter(rule.takes.values())) for rule in summary.rules] == [
        proto[6], ten - proto[6], proto[17] - ten, proto[1] - ten,
    ]  # fmt: skip
