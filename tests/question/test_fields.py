"""From words to a question."""

from __future__ import annotations

import pytest

from iptsim.errors import UsageError
from iptsim.question.endpoints import parse_ip, split_port
from iptsim.question.model import Question, StatedFlow, settable
from iptsim.question.options import read_assumptions, read_settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web", ("web", None)),
        ("web:80", ("web", 80)),
        ("web:", ("web", None)),
        ("172.17.0.2:65535", ("172.17.0.2", 65535)),
        ("2001:db8::1", ("2001:db8::1", None)),
        ("::1", ("::1", None)),
        ("[2001:db8::1]:80", ("2001:db8::1", 80)),
        ("[2001:db8::1]", ("2001:db8::1", None)),
        ("web@back:443", ("web@back", 443)),
        ("web:http", ("web", 80)),
    ],
)
def test_split_port(text: str, expected: tuple[str, int | None]) -> None:
    assert split_port(text) == expected


@pytest.mark.parametrize("text", ["web:htp0x", "web:65536", "web:-1", "[::1", "[::1]80", "web:٣"])
def test_split_port_refuses(text: str) -> None:
    with pytest.raises(UsageError):
        split_port(text)


def test_settings_of_every_kind() -> None:
    fields = read_settings(
        ["mark=0x10", "tcp_flags=SYN,ACK", "cpu=2", "socket=no", "esp_spi=0x100", "ct.mark=7",
         "ct.orig.src=10.0.0.1", "ct.orig.dst=10.0.0.2", "ct.orig.sport=99",
         "tcp_options.2=05b4", 'interface_groups={"eth0": 3}']
    )  # fmt: skip
    question = Question(**{"from": "host", "to": "10.0.0.9", **fields})
    assert question.mark == 0x10
    assert question.tcp_flags == "SYN,ACK"
    assert question.facts == {"cpu": 2, "socket": False, "interface_groups": {"eth0": 3}}
    assert question.extra == {"esp_spi": 0x100}
    assert question.ct is not None
    assert question.ct.mark == 7
    assert question.ct.orig == StatedFlow(src=parse_ip("10.0.0.1"), dst=parse_ip("10.0.0.2"), sport=99)
    assert question.tcp_options == {2: "05b4"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("makr=1", "did you mean mark"),
        ("tcp_flag=SYN", "did you mean tcp_flags"),
        ("mark", "write it as FIELD=VALUE"),
        ("=1", "write it as FIELD=VALUE"),
        ("id=1", "unknown field 'id'"),
        ("interface_groups={", "line 1, column"),
        ("ct.mark.x=1", "mark already has a value"),
    ],
)
def test_bad_settings_say_what_is_meant(setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_settings(["ct.mark=5", setting])


@pytest.mark.parametrize("name", ["mark", "sport", "state", "cpu", "esp_spi", "ct.mark", "fragment"])
def test_settable_names(name: str) -> None:
    assert name in settable()


def test_assumptions() -> None:
    words = ["limit=yes", "filter:INPUT:7=no", "recent=FALSE", "filter:a:b:1=on"]
    assert read_assumptions(words) == {
        "limit": True,
        "filter:INPUT:7": False,
        "recent": False,
        "filter:a:b:1": True,
    }


@pytest.mark.parametrize("word", ["limit", "limit=maybe", "=yes", "filter:INPUT=yes", "filter::1=yes"])
def test_bad_assumptions(word: str) -> None:
    with pytest.raises(UsageError, match="--assume"):
        read_assumptions([word])


def test_facts_and_rare_fields_may_stand_beside_the_others() -> None:
    question = Question(**{"from": "a", "to": "b:80", "cpu": 1, "ah_spi": 5, "facts": {"nth": 2}})
    assert question.facts == {"nth": 2, "cpu": 1}
    assert question.extra == {"ah_spi": 5}
    assert question.dport == 80


@pytest.mark.parametrize(
    ("fields", "proto", "icmp_type", "icmp_code"),
    [
        ({"to": "b", "icmp_type": "echo-request"}, "icmp", 8, None),
        ({"to": "b", "icmp_type": "ping", "proto": "icmp"}, "icmp", 8, None),
        ({"to": "b", "icmp_type": "port-unreachable"}, "icmp", 3, 3),
        ({"to": "b", "icmp_type": "3/1"}, "icmp", 3, 1),
        ({"to": "b", "icmp_type": 3}, "icmp", 3, None),
        ({"to": "b", "icmp_type": "echo-request", "proto": "icmpv6"}, "icmpv6", 128, None),
        ({"to": "b", "icmp_type": "echo-request", "family": 6}, "icmp", 128, None),
        ({"to": "2001:db8::1", "icmp_type": "echo-reply"}, "icmp", 129, None),
    ],
)
def test_icmp_types_by_name(
    fields: dict[str, object], proto: str, icmp_type: int, icmp_code: int | None
) -> None:
    question = Question(**{"from": "a", **fields})
    assert (question.proto, question.icmp_type, question.icmp_code) == (proto, icmp_type, icmp_code)


def test_ports_by_name() -> None:
    question = Question(**{"from": "a", "to": "b", "sport": "ntp", "dport": "https"})
    assert (question.sport, question.dport) == (123, 443)


def test_a_port_may_be_said_twice_if_it_is_the_same() -> None:
    assert Question(**{"from": "a", "to": "b:80", "dport": 80}).dport == 80
    with pytest.raises(UsageError, match="two destination ports"):
        Question(**{"from": "a", "to": "b:80", "dport": 81})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dports": 80}, "did you mean dport"),
        ({"dport": 70000}, "dport"),
        ({"dport": "x"}, "dport"),
        ({"proto": "tpc"}, "proto"),
        ({"tcp_flags": "SYM"}, "SYM"),
        ({"state": "old"}, "state"),
        ({"mark": -1}, "mark"),
        ({"from": 5}, "from"),
        ({"assume": {"limit": "perhaps"}}, "assume"),
        ({"to": "b:x"}, "not a port"),
        ({"dport": "htpp"}, "did you mean http?"),
        ({"icmp_type": "echo-requst"}, "icmp_type: unknown ICMP type 'echo-requst'"),
        ({"icmp_type": "3/1", "icmp_code": 2}, "icmp_code: 2, but 3/1 has code 1"),
        ({"icmp_type": 8, "proto": "tcp"}, "icmp_type: a packet of protocol tcp has none"),
        ({"dport": True}, "dport"),
        ({"id": True}, "id"),
        ({"proto": 256}, "proto"),
        ({"family": 5}, "family"),
        ({"src_mac": "zz"}, "MAC address"),
        ({"dst_mac": "02:42:ac:11:00"}, "MAC address"),
        ({"payload_hex": "0g"}, "payload_hex"),
        ({"tcp_options": {"5": "zz"}}, "tcp_options"),
        ({"tcp_options": {"999": "00"}}, "tcp_options"),
        ({"extension_headers": [[44, "zz"]]}, "extension_headers"),
        ({"facts": "no"}, "facts"),
        ({"extra": [1]}, "extra"),
        ({"cpu": "zz"}, "cpu: 'zz' is not a number from 0"),
        ({"facts": {"cpu": -1}}, "cpu"),
        ({"socket": "maybe"}, "socket: 'maybe' is not yes, no, bound, any or transparent"),
        ({"connlabels": [1]}, "connlabels"),
        ({"interface_groups": "eth0"}, "interface_groups"),
        ({"cgroup": 5}, "cgroup"),
        ({"tcp_seq": "y"}, "tcp_seq"),
        ({"tcp_seq": 1 << 32}, "tcp_seq"),
        ({"sctp_chunks": 80}, "sctp_chunks"),
        ({"dccp_type": "HELLO"}, "dccp_type"),
        ({"dccp_options": "x"}, "dccp_options"),
        ({"ipsec": "up"}, "ipsec"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Question(**{"from": "a", "to": "b", **fields})


def test_values_may_be_written_as_people_do() -> None:
    question = Question(**
        {"from": "a", "to": "b", "proto": 6, "state": "NEW", "family": "6", "sctp_chunks": "init,DATA:Be",
         "dccp_options": "1,0x20", "dccp_type": "request", "ip_df": "yes", "socket": 0, "ipsec": ["in", "out"]}
    )  # fmt: skip
    assert (question.protocol, question.state, question.family) == (6, "new", 6)
    assert question.extra == {
        "sctp_chunks": ("INIT", "DATA:Be"),
        "dccp_options": (1, 32),
        "dccp_type": "request",
        "ip_df": 1,
        "ipsec": "in,out",
    }
    assert question.facts == {"socket": False}
