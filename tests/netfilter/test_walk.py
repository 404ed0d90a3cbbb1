"""The walker against what the kernel was measured to do (traces of kernel 6.18, both backends)."""

from __future__ import annotations

from pathlib import Path

import pytest

from iptsim.errors import RulesetError, UsageError, WalkLimitError
from iptsim.host import load_host
from iptsim.host.model import Host
from iptsim.host.namespace import Route, RoutingRule, RuleAction
from iptsim.netfilter.trace import Trace
from iptsim.netfilter.walk import walk
from iptsim.question.model import Question
from tests.netfilter.hosts import add_policy_route, ask, dump, interface, number, route_of, router

FILTER = ":INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n"
IN = {"sender": "10.1.0.9", "to": "10.1.0.1"}
ACROSS = {"sender": "10.1.0.9", "to": "10.2.0.9"}


def input_route(rules: str) -> list[str]:
    return route_of(ask(router(dump(filter=FILTER + rules)), **IN).legs[0])


class TestFlowOfControl:
    def test_only_matching_rules_leave_a_step(self) -> None:
        assert input_route("-A INPUT -p udp -j DROP\n-A INPUT -p tcp -j ACCEPT") == ["filter:INPUT:2=ACCEPT"]

    def test_a_base_chain_that_decides_nothing_ends_with_its_policy(self) -> None:
        assert input_route("-A INPUT -p udp -j DROP") == ["filter:INPUT:policy=ACCEPT"]

    def test_falling_off_a_user_chain_goes_on_after_the_jump(self) -> None:
        rules = ":A - [0:0]\n-A INPUT -j A\n-A INPUT -j ACCEPT\n-A A -p udp -j DROP"
        assert input_route(rules) == ["filter:INPUT:1=JUMP:A", "filter:INPUT:2=ACCEPT"]

    def test_return_in_a_base_chain_applies_the_policy(self) -> None:
        rules = "-A INPUT -j RETURN\n-A INPUT -j DROP"
        assert input_route(rules) == ["filter:INPUT:1=RETURN", "filter:INPUT:policy=ACCEPT"]

    def test_goto_does_not_come_back(self) -> None:
        """At the end of the goto'ed chain evaluation goes on where the chain that did the goto came from."""
        rules = (
            ":A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A INPUT -j ACCEPT\n"
            "-A A -g B\n-A A -j DROP\n-A B -p udp -j DROP"
        )
        assert input_route(rules) == ["filter:INPUT:1=JUMP:A", "filter:A:1=GOTO:B", "filter:INPUT:2=ACCEPT"]

    def test_goto_from_a_base_chain_ends_at_the_policy(self) -> None:
        rules = ":B - [0:0]\n-A INPUT -g B\n-A INPUT -j DROP\n-A B -p udp -j DROP"
        assert input_route(rules) == ["filter:INPUT:1=GOTO:B", "filter:INPUT:policy=ACCEPT"]

    def test_a_rule_without_target_continues(self) -> None:
        assert input_route("-A INPUT\n-A INPUT -j ACCEPT") == [
            "filter:INPUT:1=CONTINUE",
            "filter:INPUT:2=ACCEPT",
        ]

    def test_accept_ends_only_this_table_at_this_hook(self) -> None:
        rules = dump(mangle=":INPUT ACCEPT\n-A INPUT -j ACCEPT", filter=FILTER + "-A INPUT -j DROP")
        trace = ask(router(rules), **IN)
        assert route_of(trace.legs[0]) == ["mangle:INPUT:1=ACCEPT", "filter:INPUT:1=DROP"]
        assert trace.verdict == "DROP"

    def test_a_rule_that_the_kernel_would_reject_is_ignored_and_named(self) -> None:
        rules = "-A INPUT -m tcp -j DROP\n-A INPUT -j CLASSIFY --set-class 1:1\n-A INPUT -p tcp -j REJECT"
        trace = ask(router(dump(filter=FILTER + rules)), **IN)
        assert route_of(trace.legs[0]) == ["filter:INPUT:3=REJECT"]
        ignored = [text for text in map(str, trace.assumptions) if "is ignored" in text]
        assert [text.rpartition(" (")[0] for text in ignored] == [
            "filter INPUT rule 1 (line 5) is ignored: the kernel would reject it",
            "filter INPUT rule 2 (line 6) is ignored: the kernel would reject it",
        ]

    def test_a_loop_is_a_clear_error(self) -> None:
        rules = dump(filter=FILTER + ":A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -j B\n-A B -j A")
        with pytest.raises(RulesetError, match="loop"):
            ask(router(rules), **IN)

    def test_a_ruleset_built_to_explode_ends(self) -> None:
        chains = "".join(f":C{level} - [0:0]\n" for level in range(14))
        jumps = "-A INPUT -j C0\n" + "".join(f"-A C{level} -j C{level + 1}\n" * 10 for level in range(13))
        with pytest.raises(WalkLimitError, match="call each other too often"):
            ask(router(dump(filter=FILTER + chains + jumps)), **IN)


class TestHooks:
    EVERY = (
        "raw", ":PREROUTING ACCEPT\n:OUTPUT ACCEPT"), (
        "mangle", ":PREROUTING ACCEPT\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT"), (
        "nat", ":PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT"), (
        "filter", FILTER + "-A FORWARD -m conntrack --ctstate INVALID -j DROP"), (
        "security", ":INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT")  # fmt: skip

    def tables(self, **fields: str) -> list[str]:
        trace = ask(router(dump(**dict(self.EVERY))), **fields)
        return [f"{step.table}:{step.chain}" for step in trace.legs[0].steps]

    def test_forwarded(self) -> None:
        assert self.tables(**ACROSS) == [
            "raw:PREROUTING", "mangle:PREROUTING", "nat:PREROUTING",
            "mangle:FORWARD", "filter:FORWARD", "security:FORWARD",
            "mangle:POSTROUTING", "nat:POSTROUTING",
        ]  # fmt: skip

    def test_delivered_nf_tables_asks_nat_before_security(self) -> None:
        assert self.tables(**IN) == [
            "raw:PREROUTING", "mangle:PREROUTING", "nat:PREROUTING",
            "mangle:INPUT", "filter:INPUT", "nat:INPUT", "security:INPUT",
        ]  # fmt: skip

    def test_to_itself_passes_four_hooks_and_nat_only_on_the_way_out(self) -> None:
        assert self.tables(sender="host", to="10.2.0.1") == [
            "raw:OUTPUT", "mangle:OUTPUT", "nat:OUTPUT", "filter:OUTPUT", "security:OUTPUT",
            "mangle:POSTROUTING", "nat:POSTROUTING",
            "raw:PREROUTING", "mangle:PREROUTING", "mangle:INPUT", "filter:INPUT", "security:INPUT",
        ]  # fmt: skip

    def test_the_reply_passes_no_nat_chain(self) -> None:
        trace = ask(router(dump(**dict(self.EVERY))), **ACROSS)
        assert not [step for step in trace.legs[1].steps if step.table == "nat"]

    def test_without_a_rule_that_needs_conntrack_nat_chains_are_not_asked(self) -> None:
        rules = dump(nat=":PREROUTING DROP\n:POSTROUTING ACCEPT", filter=FILTER)
        assert route_of(ask(router(rules), **IN).legs[0]) == ["filter:INPUT:policy=ACCEPT"]

    def test_with_conntrack_a_nat_policy_drop_drops_new_packets(self) -> None:
        rules = dump(
            nat=":PREROUTING DROP\n:POSTROUTING ACCEPT",
            filter=FILTER + "-A INPUT -m conntrack --ctstate NEW -j ACCEPT",
        )
        assert route_of(ask(router(rules), **IN).legs[0]) == ["nat:PREROUTING:policy=DROP"]


class TestKernelDecisions:
    @pytest.mark.parametrize(
        ("fields", "sysctls", "code"),
        [
            (ACROSS, {"net.ipv4.ip_forward": "0"}, "ip-forward-off"),
            ({"in_": "eth0", "src": "127.0.0.5", "dst": "10.1.0.1"}, {}, "martian"),
            ({"in_": "eth0", "src": "10.1.0.9", "dst": "127.0.0.1"}, {}, "martian"),
            ({"in_": "eth0", "src": "224.0.0.5", "dst": "10.1.0.1"}, {}, "martian"),
            ({"in_": "eth0", "src": "10.2.0.1", "dst": "10.1.0.1"}, {}, "martian"),
            (
                {"in_": "eth1", "src": "10.1.0.9", "dst": "10.2.0.1"},
                {"net.ipv4.conf.all.rp_filter": "1"},
                "rp-filter",
            ),
            ({**ACROSS, "ttl": 1}, {}, "ttl-exceeded"),
        ],
    )
    def test_dropped_by_the_kernel_itself(
        self, fields: dict[str, object], sysctls: dict[str, str], code: str
    ) -> None:
        trace = ask(router(dump(filter=FILTER), sysctls=sysctls), **fields)
        assert route_of(trace.legs[0]) == [f"ROUTING={code}"]
        assert trace.verdict == "DROP"

    @pytest.mark.parametrize(
        "fields",
        [
            {"in_": "eth0", "src": "240.0.0.1", "dst": "10.1.0.1"},  # class E is no martian
            {"in_": "eth0", "src": "10.1.0.9", "dst": "10.2.0.1"},  # weak host model
            {"in_": "eth0", "src": "10.1.0.9", "dst": "10.1.0.1", "ttl": 1},  # TTL does not matter locally
            {"in_": "eth1", "src": "10.1.0.9", "dst": "10.2.0.1"},  # no rp_filter
        ],
    )
    def test_accepted_in_spite_of_folklore(self, fields: dict[str, object]) -> None:
        trace = ask(router(dump(filter=FILTER)), **fields, reply=False)
        assert trace.legs[0].delivered is not None
        assert trace.legs[0].delivered.kind == "host"

    def test_forward_sees_the_ttl_already_counted_down(self) -> None:
        rules = dump(filter=FILTER + "-A FORWARD -m ttl --ttl-eq 63 -j DROP")
        assert ask(router(rules), **ACROSS, ttl=64).verdict == "DROP"


class TestNat:
    DNAT = dump(
        nat=":PREROUTING ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n"
        "-A PREROUTING -i eth0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.2.0.9:80\n"
        "-A POSTROUTING -o eth1 -j MASQUERADE",
        filter=":INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n"
        "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n"
        "-A FORWARD -d 10.2.0.9/32 -p tcp -m tcp --dport 80 -m conntrack --ctorigdstport 8080 --ctstate DNAT -j ACCEPT",
    )

    def test_request_is_translated_and_the_reply_back(self) -> None:
        trace = ask(router(self.DNAT), **IN, dport=8080, sport=1234)
        request, reply = trace.legs
        assert route_of(request) == [
            "nat:PREROUTING:1=DNAT", "filter:FORWARD:2=ACCEPT", "nat:POSTROUTING:1=MASQUERADE",
        ]  # fmt: skip
        assert request.steps[0].changes == {"dst": ("10.1.0.1", "10.2.0.9"), "dport": (8080, 80)}
        assert request.steps[2].changes == {"src": ("10.1.0.9", "10.2.0.1")}
        assert route_of(reply) == ["filter:FORWARD:1=ACCEPT"]
        assert reply.delivered is not None
        back = reply.delivered.packet
        assert (back.src, back.sport, back.dport) == (request.packet.dst, 8080, 1234)
        assert trace.verdict == "ACCEPT"

    def test_an_established_packet_is_translated_without_asking(self) -> None:
        trace = ask(router(self.DNAT), **IN, dport=8080, state="established")
        assert route_of(trace.legs[0]) == ["filter:FORWARD:1=ACCEPT"]
        assert trace.legs[0].delivered is not None
        assert trace.legs[0].delivered.packet.dport == 80

    def test_local_dnat_keeps_the_old_out_interface_in_filter_output(self) -> None:
        rules = dump(
            nat=":OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n-A OUTPUT -d 10.1.0.9/32 -j DNAT --to-destination 10.2.0.9",
            filter=FILTER + "-A OUTPUT -d 10.2.0.9/32 -o eth0\n-A OUTPUT -o eth1 -j DROP",
            mangle=":POSTROUTING ACCEPT\n-A POSTROUTING -o eth1",
        )
        trace = ask(router(rules), sender="host", to="10.1.0.9")
        assert route_of(trace.legs[0])[:4] == [
            "nat:OUTPUT:1=DNAT", "filter:OUTPUT:1=CONTINUE", "filter:OUTPUT:policy=ACCEPT",
            "mangle:POSTROUTING:1=CONTINUE",
        ]  # fmt: skip

    def test_redirect_sends_to_the_address_of_the_arrival_interface(self) -> None:
        rules = dump(nat=":PREROUTING ACCEPT\n-A PREROUTING -p tcp -j REDIRECT --to-ports 99")
        trace = ask(router(rules), **ACROSS)
        assert trace.legs[0].steps[0].changes == {"dst": ("10.2.0.9", "10.1.0.1"), "dport": (80, 99)}

    @pytest.mark.parametrize(
        ("src", "dst", "chosen"),
        [(9, 9, 103), (9, 10, 103), (9, 11, 104), (10, 9, 103), (11, 9, 106), (12, 9, 106)],
    )
    def test_an_address_range_is_chosen_by_the_kernels_hash(self, src: int, dst: int, chosen: int) -> None:
        """Measured for 10.2.0.100-10.2.0.107."""
        rules = dump(
            nat=":POSTROUTING ACCEPT\n-A POSTROUTING -o eth1 -j SNAT --to-source 10.2.0.100-10.2.0.107",
        )
        trace = ask(router(rules), sender=f"10.1.0.{src}", to=f"10.2.0.{dst}")
        assert trace.legs[0].steps[0].changes == {"src": (f"10.1.0.{src}", f"10.2.0.{chosen}")}


class TestBridge:
    ICC_OFF = dump(filter=":INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A FORWARD -i br0 -o br0 -j DROP")

    def test_the_bridge_shows_packets_to_iptables(self) -> None:
        trace = ask(router(self.ICC_OFF), sender="a", to="b")
        assert route_of(trace.legs[0]) == ["filter:FORWARD:1=DROP"]

    def test_with_bridge_nf_off_iptables_never_sees_them(self) -> None:
        host = router(self.ICC_OFF, sysctls={"net.bridge.bridge-nf-call-iptables": "0"})
        trace = ask(host, sender="a", to="b")
        assert trace.verdict == "ACCEPT"
        assert route_of(trace.legs[0]) == ["BRIDGE=bypasses-iptables"]

    def test_physdev(self) -> None:
        rules = dump(
            filter=FILTER
            + "-A FORWARD -m physdev --physdev-in veth-a --physdev-out veth-b --physdev-is-bridged\n"
            "-A FORWARD -i veth-a -j DROP"
        )
        assert route_of(ask(router(rules), sender="a", to="b").legs[0]) == [
            "filter:FORWARD:1=CONTINUE", "filter:FORWARD:policy=ACCEPT",
        ]  # fmt: skip

    def test_dnat_back_out_of_the_same_port_needs_hairpin_mode(self) -> None:
        rules = dump(nat=":PREROUTING ACCEPT\n-A PREROUTING -d 10.1.0.1/32 -j DNAT --to-destination 10.9.0.2")
        trace = ask(router(rules), sender="a", to="10.1.0.1")
        assert route_of(trace.legs[0]) == ["nat:PREROUTING:1=DNAT", "BRIDGE=hairpin-off"]

    def test_dnat_to_another_port_stays_bridged(self) -> None:
        rules = dump(
            nat=":PREROUTING ACCEPT\n-A PREROUTING -d 10.1.0.1/32 -j DNAT --to-destination 10.9.0.3",
            filter=FILTER + "-A FORWARD -i br0 -o br0 -m physdev --physdev-is-bridged",
        )
        trace = ask(router(rules), sender="a", to="10.1.0.1")
        assert route_of(trace.legs[0])[:2] == ["nat:PREROUTING:1=DNAT", "filter:FORWARD:1=CONTINUE"]

    def test_neighbour_discovery_is_dropped_with_icc_off(self) -> None:
        rules = dump(
            filter=FILTER + "-A FORWARD -i br0 -o br0 -p tcp -j ACCEPT\n-A FORWARD -i br0 -o br0 -j DROP"
        )
        trace = ask(router(rules, family=6), sender="a", to="fd09::3")
        assert trace.verdict == "DROP"
        assert route_of(trace.legs[0]) == ["filter:FORWARD:2=DROP"]


class TestReject:
    def test_the_answer_is_a_packet_of_the_host_that_passes_output(self) -> None:
        rules = dump(
            filter=FILTER
            + "-A INPUT -p tcp -j REJECT --reject-with tcp-reset\n-A OUTPUT -p tcp --tcp-flags RST RST -j DROP"
        )
        trace = ask(router(rules), **IN)
        assert trace.verdict == "REJECT"
        assert [route_of(leg) for leg in trace.legs] == [["filter:INPUT:1=REJECT"], ["filter:OUTPUT:1=DROP"]]
        assert trace.legs[1].packet.tcp_flags == 0x14  # RST,ACK to a SYN

    def test_no_answer_to_a_reset(self) -> None:
        rules = dump(filter=FILTER + "-A INPUT -p tcp -j REJECT --reject-with tcp-reset")
        assert len(ask(router(rules), **IN, tcp_flags="RST").legs) == 1


class TestUndecided:
    LIMITED = "-A INPUT -p tcp -m limit --limit 3/min -j ACCEPT\n"

    def test_both_ways_are_told(self) -> None:
        trace = ask(router(dump(filter=FILTER + self.LIMITED + "-A INPUT -j DROP")), **IN)
        assert trace.verdict == "DEPENDS"
        assert [branch.verdict for branch in trace.branches] == ["ACCEPT", "DROP"]
        assert [hinge.match for hinge in trace.hinges] == ["limit"]

    def test_no_difference_no_depends(self) -> None:
        trace = ask(router(dump(filter=FILTER + self.LIMITED + "-A INPUT -j ACCEPT")), **IN)
        assert trace.verdict == "ACCEPT"
        assert not trace.branches

    @pytest.mark.parametrize("second", ["icmp-net-unreachable", "tcp-reset"])
    def test_two_rejects_may_answer_differently(self, second: str) -> None:
        """Destination unreachable has code 9 for a prohibited network, and 0 for an unreachable one (RFC 792, 1122)."""
        limited = self.LIMITED.replace("ACCEPT", "REJECT --reject-with icmp-net-prohibited")
        trace = ask(
            router(dump(filter=FILTER + limited + f"-A INPUT -p tcp -j REJECT --reject-with {second}")), **IN
        )
        assert trace.verdict == "REJECT"
        answers = [
            (branch.legs[1].packet.proto, branch.legs[1].packet.icmp_code) for branch in trace.branches
        ]
        assert answers == [(1, 9), (1, 0) if second.startswith("icmp") else (6, None)]
        assert [step.maybe for step in trace.legs[0].steps] == [True, True]

    def test_a_limited_log_is_maybe(self) -> None:
        rules = FILTER + "-A INPUT -m limit --limit 3/min -j LOG\n-A INPUT -j DROP"
        trace = ask(router(dump(filter=rules)), **IN)
        assert trace.verdict == "DROP"
        assert [(step.verdict, step.maybe) for step in trace.legs[0].steps] == [
            ("CONTINUE", True),
            ("DROP", False),
        ]

    @pytest.mark.parametrize(
        ("key", "value", "verdict"), [("limit", True, "ACCEPT"), ("filter:INPUT:1", False, "DROP")]
    )
    def test_the_question_may_decide(self, key: str, value: bool, verdict: str) -> None:
        trace = ask(
            router(dump(filter=FILTER + self.LIMITED + "-A INPUT -j DROP")), **IN, assume={key: value}
        )
        assert trace.verdict == verdict

    def test_an_assumption_that_decides_nothing_is_named_or_refused(self) -> None:
        host = router(dump(filter=FILTER + self.LIMITED + "-A INPUT -j DROP"))
        idle = "No rule uses recent, so assuming it has no effect."
        assert idle in map(str, ask(host, **IN, assume={"recent": True, "limit": True}).assumptions)
        assert idle not in map(str, ask(host, **IN, assume={"limit": True}).assumptions)
        with pytest.raises(UsageError, match="the result of rule filter:INPUT:2 cannot be assumed"):
            ask(host, **IN, assume={"filter:INPUT:2": False})

    def test_an_assumption_about_a_rule_that_is_not_met_is_no_mistake(self) -> None:
        host = router(dump(filter=FILTER + "-A INPUT -p udp -m limit --limit 1/sec -j DROP"))
        assert ask(host, **IN, assume={"filter:INPUT:1": True}).verdict == "ACCEPT"

    def test_equal_facts_go_the_same_way(self) -> None:
        """Who owns the packet does not change between two rules."""
        rules = (
            ":OUTPUT ACCEPT\n:INPUT ACCEPT\n"
            "-A OUTPUT -m owner --uid-owner 33 -j ACCEPT\n-A OUTPUT -m owner ! --uid-owner 33 -j DROP"
        )
        trace = ask(router(dump(filter=rules)), sender="host", to="10.2.0.9", reply=False)
        assert trace.verdict == "DEPENDS"
        assert len(trace.branches) == 2


class TestQuestions:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"sender": "nobody", "to": "a"}, "unknown endpoint 'nobody'"),
            ({"sender": "a"}, "the destination is missing; give --to"),
            ({"sender": "a", "src": "10.9.0.2", "dst": "fd00::1"}, "src: 10.9.0.2 is an IPv4 address"),
            ({"in_": "eth7", "src": "10.1.0.9", "dst": "10.1.0.1"}, "no interface 'eth7'; did you mean eth"),
        ],
    )
    def test_bad_questions(self, fields: dict[str, object], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            ask(router(dump(filter=FILTER)), **fields)


def test_ways_that_were_not_followed_leave_the_verdict_open() -> None:
    """Thirty marks by chance: only one of 2^30 ways is accepted, and the first ones are not it."""
    marks = "".join(
        f"-A INPUT -m statistic --mode random --probability 0.5 -j MARK --set-xmark {1 << bit:#x}/{1 << bit:#x}\n"
        for bit in range(30)
    )
    rules = f":INPUT DROP [0:0]\n{marks}-A INPUT -m mark --mark 0x15555555 -j ACCEPT"
    trace = ask(router(dump(filter=rules)), in_="eth0", src="10.1.0.9", dst="10.1.0.1", dport=22)
    assert trace.verdict == "DEPENDS"
    assert "The rules branch into more than 256 paths; only the first 256 were followed." in map(
        str, trace.assumptions
    )


@pytest.mark.parametrize("policy", ["ACCEPT", "DROP"])
def test_an_unknown_target_may_accept_drop_or_go_on(policy: str) -> None:
    rules = f":INPUT {policy} [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j MYSTERY"
    host = router(dump(filter=rules))
    trace = ask(host, in_="eth0", src="10.1.0.9", dst="10.1.0.1", dport=22, reply=False)
    assert trace.verdict == "DEPENDS"
    assert sorted(way.verdict for way in trace.branches) == sorted([policy, "ACCEPT", "DROP"])
    words = [[str(decision.words) for decision in way.decisions] for way in trace.branches]
    assert sorted(words) == [["lets it continue"], *[["lets it continue", "accepts it"]] * 2]


@pytest.mark.parametrize(("assumed", "verdict"), [(True, "ACCEPT"), (False, "DROP")])
def test_an_unknown_target_goes_on_or_drops_as_assumed(assumed: bool, verdict: str) -> None:
    host = router(dump(filter=":INPUT ACCEPT [0:0]\n-A INPUT -j MYSTERY"))
    trace = ask(host, in_="eth0", src="10.1.0.9", dst="10.1.0.1", reply=False, assume={"MYSTERY": assumed})
    assert trace.verdict == verdict


class TestPolicyRouting:
    """A rule of `ip rule` that chose the route is named; so is one that refuses."""

    MARKS = dump(mangle=":PREROUTING ACCEPT\n:OUTPUT ACCEPT\n-A PREROUTING -p tcp -j MARK --set-mark 2\n"
                 "-A OUTPUT -p tcp -j MARK --set-mark 2")  # fmt: skip

    def policy_router(self, action: RuleAction = "to_table") -> Host:
        host = router(self.MARKS)
        rule = RoutingRule(family=4, priority=1000, fwmark=2, action=action, table="200")
        add_policy_route(host, rule, "eth1", "10.2.0.254")
        return host

    def notes(self, trace: Trace) -> list[str]:
        return [str(step.note) for step in trace.legs[0].steps if step.hook == "ROUTING"]

    def test_of_a_forwarded_packet(self) -> None:
        trace = ask(self.policy_router(), sender="10.9.0.2", to="8.8.8.8", reply=False)
        assert self.notes(trace) == ["ip rule 1000: mark 0x2 → table 200"]
        assert trace.legs[0].delivered is not None
        assert trace.legs[0].delivered.interface == "eth1"
        told = next(step for step in trace.legs[0].as_json()["steps"] if step["hook"] == "ROUTING")
        assert told == {
            "hook": "ROUTING",
            "table": None,
            "chain": None,
            "rule": None,
            "verdict": "CONTINUE",
            "note": "ip rule 1000: mark 0x2 → table 200",
            "code": "policy-routing",
        }

    def test_of_a_local_packet_that_is_routed_again(self) -> None:
        trace = ask(self.policy_router(), sender="host", to="8.8.8.8", reply=False)
        assert self.notes(trace) == ["ip rule 1000: mark 0x2 → table 200"]

    def test_not_of_the_main_table(self) -> None:
        trace = ask(self.policy_router(), sender="10.9.0.2", to="8.8.8.8", proto="udp", reply=False)
        assert self.notes(trace) == []

    def test_of_a_refusal(self) -> None:
        trace = ask(self.policy_router("prohibit"), sender="10.9.0.2", to="8.8.8.8", reply=False)
        assert trace.verdict == "DROP"
        assert self.notes(trace) == ["ip rule 1000 (mark 0x2) is of type prohibit"]


class TestGroups:
    def test_a_group_sends_no_answer(self) -> None:
        """RFC 1122, 3.2.1.3: a multicast address is never a source, so none is awaited."""
        rules = dump(filter=FILTER)
        trace = ask(router(rules), sender="a", to="224.0.0.251", proto="udp", dport=5353)
        assert (trace.verdict, len(trace.legs)) == ("ACCEPT", 1)

    @pytest.mark.parametrize("group", ["ff02::1", "ff02::1:2", "ff05::2"])
    def test_members_reply_to_a_ping_of_an_ipv6_group_from_their_own_addresses(self, group: str) -> None:
        """RFC 4443, 4.2: the source of an Echo Reply to a group is a unicast address of the replying interface."""
        host = router(dump(filter=FILTER), family=6)
        trace = ask(host, sender="host", to=group, proto="icmpv6", icmp_type=128)
        assert (trace.verdict, len(trace.legs)) == ("ACCEPT", 1)

    @pytest.mark.parametrize("scope", range(2, 16))
    def test_a_host_is_in_one_group_of_all_nodes(self, scope: int) -> None:
        """Of packets from another machine to ff0x::1, INPUT counted those to ff02::1 alone."""
        packet = {"in": "eth0", "src": "2001:db8:1::9", "dst": f"ff0{scope:x}::1", "proto": "udp", "dport": 9}
        trace = walk(router(dump(filter=FILTER), family=6), Question(**packet))
        assert trace.verdict == ("ACCEPT" if scope == 2 else "DROP")

    @pytest.mark.parametrize(("forwarding", "delivered"), [("1", "host"), ("0", "outside")])
    def test_a_host_that_routes_is_in_the_group_of_all_routers(self, forwarding: str, delivered: str) -> None:
        """`ip maddr` showed ff01::2, ff02::2 and ff05::2 as soon as net.ipv6.conf.all.forwarding was 1."""
        sysctls = {"net.ipv6.conf.all.forwarding": forwarding}
        host = router(dump(filter=FILTER), sysctls=sysctls, family=6)
        trace = ask(host, sender="a", to="ff02::2", proto="icmpv6", icmp_type=133)
        assert trace.legs[0].delivered is not None
        assert trace.legs[0].delivered.kind == delivered


def test_an_answer_comes_back_to_who_asked_without_masquerading() -> None:
    """As captures/docker-20.10/no-masquerade shows it; in the dump alone, nothing else shows the source."""
    rules = """\
*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -o br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i br0 ! -o br0 -j ACCEPT
COMMIT
"""
    trace = walk(router(rules), Question(**{"from": "10.9.0.77", "to": "198.51.100.7"}))
    assert [leg.verdict for leg in trace.legs] == ["ACCEPT", "ACCEPT"]
    assert str(trace.assumptions[-1]) == (
        "198.51.100.7 has a route back to 10.9.0.77, as no rule changes the source of the request."
    )


def test_who_sends_is_there_to_get_the_reply(tmp_path: Path) -> None:
    """A dump names one container of the bridge; another container sends."""
    (tmp_path / "rules.txt").write_text(
        "*nat\n:PREROUTING ACCEPT\n:DOCKER -\n-A DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT "
        "--to-destination 172.17.0.2:80\nCOMMIT\n"
        "*filter\n:FORWARD ACCEPT\n:DOCKER -\n-A FORWARD -o docker0 -j DOCKER\n"
        "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n"
        "-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT\nCOMMIT\n"
    )
    host = load_host(tmp_path / "rules.txt")
    for target in ("198.51.100.7", "172.17.0.2"):
        trace = walk(host, Question(**{"from": "172.17.0.3", "to": target}))
        assert [leg.verdict for leg in trace.legs] == ["ACCEPT", "ACCEPT"]


@pytest.mark.parametrize(("proto", "verdict"), [("253", "DROP"), ("icmp", "DEPENDS"), ("tcp", "ACCEPT")])
def test_the_port_of_protocols_without_ports(proto: str, verdict: str) -> None:
    """Such a rule counted packets of protocol 253; of a ping, one with 2048 did, its type and code."""
    rules = dump(filter=FILTER + "-A INPUT -m conntrack --ctorigdstport 0 -j DROP")
    packet = {"in": "eth0", "src": "10.1.0.9", "dst": "10.1.0.1", "proto": proto, "reply": False}
    assert walk(router(rules), Question(**packet)).verdict == verdict


def test_a_later_fragment_has_no_reply_of_its_own() -> None:
    """The receiver answers the whole packet, of which the fragment tells neither ports nor flags."""
    rules = "*filter\n:FORWARD ACCEPT\n-A FORWARD -p tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP\nCOMMIT\n"
    packet = {"in": "eth0", "src": "198.51.100.7", "dst": "10.9.0.2", "proto": "tcp", "fragment": "last"}
    trace = walk(router(rules), Question(**packet))
    assert [len(branch.legs) for branch in trace.branches] == [1, 1]
    assert not trace.consulted


def test_the_ways_of_long_chains_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the ten ways evaluates up to ten rules; after the fourth, more than thirty were evaluated."""
    monkeypatch.setattr("iptsim.netfilter.branches._MOST_EVALUATED", 30)
    matches = "".join(
        f"-A INPUT -m statistic --mode random --probability 0.5 -j {'ACCEPT' if number % 2 else 'DROP'}\n"
        for number in range(10)
    )
    trace = ask(router(dump(filter=f":INPUT DROP [0:0]\n{matches}")), **IN)
    assert trace.verdict == "DEPENDS"
    assert trace.evaluated < 60
    assert any("paths; only the first" in str(one) for one in trace.assumptions)


@pytest.mark.parametrize(
    ("proto", "verdict"),
    [("udp", "DROP"), ("47", "DROP"), ("icmp", "ACCEPT")],
)
@pytest.mark.parametrize("zone", ["--zone-reply 3", "--zone 3"])
def test_a_reply_outside_the_zone_of_its_connection_is_dropped(proto: str, zone: str, verdict: str) -> None:
    """The kernel counted such replies as `insert_failed`; a reply to a ping was INVALID and passed."""
    rules = f"-A PREROUTING -i eth0 -j CT {zone}"
    trace = ask(
        router(dump(raw=rules, filter=":FORWARD ACCEPT\n-A FORWARD -m state --state NEW")),
        in_="eth0", src="10.1.0.9", dst="10.2.0.9", proto=proto,
    )  # fmt: skip
    dropped = verdict == "DROP" and "reply" in zone
    assert trace.verdict == ("DROP" if dropped else "ACCEPT")
    assert [step.code for step in trace.legs[1].steps if step.code] == ["conntrack-clash"] * dropped


@pytest.mark.parametrize(
    ("mac", "kind"), [(None, "unicast"), ("02:00:00:00:08:01", "broadcast")], ids=["TUN", "TAP"]
)
def test_packets_of_a_tunnel_have_no_frame_for_all(mac: str | None, kind: str) -> None:
    """What a TUN device hands to the kernel is for the host, to whatever address it goes (measured)."""
    kinds = "".join(f"-A INPUT -m pkttype --pkt-type {name} -j DROP\n" for name in ("unicast", "broadcast"))
    host = router(dump(filter=FILTER + kinds))
    host.namespace.interfaces["tun0"] = interface("tun0", 9, "10.8.0.1/24", kind="tun", mac=mac)
    host.namespace.routes.append(
        Route(family=4, destination=number("10.8.0.0"), prefix_length=24, device="tun0", scope="link")
    )
    trace = ask(host, in_="tun0", src="10.8.0.9", dst="10.8.0.255", proto="udp", dport=9)
    assert route_of(trace.legs[0])[-1] == f"filter:INPUT:{1 if kind == 'unicast' else 2}=DROP"
