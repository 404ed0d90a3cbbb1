"""Listings of `iptables -L` are read back as the rules that they show; what they hide is unknown."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import iptsim
from iptsim.dump import loads
from iptsim.dump.ruleset import Ruleset
from iptsim.extensions.hidden import Hidden
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question
from iptsim.render.listing import listing
from tests.thoroughness import every_nth

CAPTURES = sorted(Path("fixtures/captures").glob("*/*/iptables-nvL.txt"))
_OF_DOCKER, _OF_HOSTS = ("filter", "nat"), ("filter", "nat", "mangle", "raw")


def read(text: str) -> Host:
    return host_of_source(Source("paste", {}, text.encode()))


def rules(text: str, table: str = "filter", family: int = 4) -> list[str]:
    """Return the rules that a text shows, without placeholders for chains that it does not show."""
    found = read(text).rulesets[family].tables[table].rules()  # type: ignore[index]
    return [rule.text for rule in found if rule.line]


def texts(ruleset: Ruleset, table: str) -> dict[str, list[str]]:
    return {name: [rule.text for rule in chain.rules] for name, chain in ruleset.tables[table].chains.items()}


def name(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.parent.name}"


@pytest.mark.parametrize("file", every_nth(CAPTURES, 3), ids=name)
def test_the_listing_of_a_host_reads_as_its_dump(file: Path) -> None:
    dump = loads((file.parent / "iptables-save.txt").read_text(), family=4)
    tables = _OF_HOSTS if file.parent.parent.name == "hosts" else _OF_DOCKER
    found = read(file.read_text()).rulesets[4]
    for table in tables:
        if table in dump.tables and list(dump.tables[table].rules()):
            wanted = texts(dump, table)
            got = texts(found, table)
            assert {chain: got.get(chain) for chain in wanted} == wanted
            policies = {chain.name: chain.policy for chain in dump.tables[table].chains.values()}
            assert {one: found.tables[table].chains[one].policy for one in policies} == policies


def prompted(text: str) -> str:
    return f"root@gw:~# iptables -nvL\n{text}root@gw:~# "


def quoted(text: str) -> str:
    return "".join(f"> {line}\n" for line in text.splitlines())


def windows(text: str) -> str:
    return text.replace("\n", "\r\n")


def no_break_blanks(text: str) -> str:
    return text.replace("  ", " \u00a0")


def wrapped(text: str, width: int = 80) -> str:
    """Return a text as a terminal wraps it: cut in the middle of words."""
    lines = []
    for line in text.splitlines():
        lines += [line[at : at + width] for at in range(0, len(line), width)] or [""]
    return "\n".join(lines) + "\n"


def uncounted(text: str) -> str:
    """Return a listing without the columns of counters and their names."""
    return re.sub(r"(?m)^ *(?:pkts +bytes|\d\S* +\d\S*) ", "", text)


def fenced(text: str) -> str:
    return f"Here are my rules:\n\n```\n{text}```\nPlease help!\n"


@pytest.mark.parametrize(
    "damage",
    [prompted, quoted, windows, no_break_blanks, wrapped, fenced, uncounted],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("capture", ["docker-28.5/icc-off-link", "hosts/ufw", "hosts/kube"])
def test_what_people_do_to_a_listing_changes_nothing(capture: str, damage: Callable[[str], str]) -> None:
    dump = loads((Path("fixtures/captures") / capture / "iptables-save.txt").read_text(), family=4)
    text = "".join(f"{line.text}\n" for line in listing(dump, "filter", verbose=True))
    found = read(damage(text)).rulesets[4]
    wanted = texts(dump, "filter")
    assert {
        chain: found_rules for chain, found_rules in texts(found, "filter").items() if chain in wanted
    } == wanted


def test_interfaces_are_unknown_without_v() -> None:
    found = read(
        "Chain INPUT (policy DROP)\ntarget     prot opt source               destination\n"
        "ACCEPT     all  --  anywhere             anywhere\n"
    ).rulesets[4]
    rule = found.rule("filter", "INPUT", 1)
    assert [match for match in rule.matches if isinstance(match, Hidden)]
    assert rule.text == "-A INPUT -i ? -o ? -j ACCEPT"


def test_counters_with_units() -> None:
    found = read(
        "Chain INPUT (policy ACCEPT 1852 packets, 160K bytes)\n"
        "num   pkts bytes target     prot opt in     out     source               destination\n"
        "1     3017K  529M ACCEPT     all  --  lo     any     anywhere             anywhere\n"
    ).rulesets[4]
    assert found.rule("filter", "INPUT", 1).counters == (3_017_000, 529_000_000)
    assert found.tables["filter"].chains["INPUT"].counters == (1852, 160_000)
    assert found.rule("filter", "INPUT", 1).text == "-A INPUT -i lo -j ACCEPT"


def test_ip6tables_without_the_column_opt() -> None:
    text = (
        "Chain FORWARD (policy ACCEPT 0 packets, 0 bytes)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "    0     0 ACCEPT     all      docker0 !docker0  ::/0                 ::/0\n"
        "    0     0            tcp      *      *       ::/0                 fd00::2              tcp dpt:80\n"
    )
    assert rules(text, family=6) == [
        "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
        "-A FORWARD -d fd00::2/128 -p tcp -m tcp --dport 80",
    ]


def test_names_are_read_and_unknown_hosts_stay_unknown() -> None:
    text = (
        "Chain INPUT (policy ACCEPT 0 packets, 0 bytes)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "    0     0 ACCEPT     tcp  --  any    any     localhost            anywhere             tcp dpt:https\n"
        "    0     0 DROP       all  --  any    any     !gw.example.org      anywhere\n"
    )
    assert rules(text) == [
        "-A INPUT -s 127.0.0.1/32 -p tcp -m tcp --dport 443 -j ACCEPT",
        "-A INPUT ! -s gw.example.org -j DROP",
    ]


def test_a_chain_that_is_not_shown_holds_unknown_rules() -> None:
    text = (
        "Chain FORWARD (policy DROP 0 packets, 0 bytes)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "    0     0 DOCKER-USER  all  --  *      *       0.0.0.0/0            0.0.0.0/0\n"
    )
    chain = read(text).rulesets[4].chain("filter", "DOCKER-USER")
    assert chain is not None
    assert [rule.position for rule in chain.rules] == [0]
    assert not chain.declared


def test_an_unknown_phrase_stays_in_the_rule() -> None:
    text = (
        "Chain INPUT (policy ACCEPT 0 packets, 0 bytes)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "    0     0 DROP       tcp  --  *      *       0.0.0.0/0            0.0.0.0/0  tcp dpt:22 fuzzy 7 of 9\n"
    )
    assert rules(text) == ['-A INPUT -p tcp -m tcp --dport 22 "fuzzy 7 of 9" -j DROP']


@pytest.mark.parametrize(
    ("chains", "table"),
    [
        (("INPUT", "FORWARD", "OUTPUT"), "filter"),
        (("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"), "nat"),
        (("PREROUTING", "OUTPUT", "POSTROUTING"), "nat"),
        (("PREROUTING", "INPUT", "OUTPUT"), "nat"),  # cut off: mangle would show FORWARD before OUTPUT
        (("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"), "mangle"),
    ],
)
def test_the_table_is_told_from_its_chains(chains: tuple[str, ...], table: str) -> None:
    head = "target     prot opt source               destination\n"
    text = "\n".join(f"Chain {chain} (policy ACCEPT)\n{head}" for chain in chains)
    assert list(read(text).rulesets[4].tables) == [table]


def test_hardware_addresses_and_times_are_not_ipv6() -> None:
    text = (
        "Chain INPUT (policy ACCEPT 0 packets, 0 bytes)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "    0     0 DROP       all  --  *      *       0.0.0.0/0            0.0.0.0/0  MAC 02:42:ac:11:00:02\n"
        "    0     0 DROP       all  --  *      *       0.0.0.0/0            0.0.0.0/0 TIME from 08:00:00 to 18:30:00\n"
    )
    assert set(read(text).rulesets) == {4}


def test_notrack_as_iptables_nft_lists_it() -> None:
    text = (
        "Chain PREROUTING (policy ACCEPT 0 packets, 0 bytes)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "    0     0 CT         all  --  *      *       10.0.0.0/8           0.0.0.0/0            NOTRACK\n"
    )
    assert rules(text, "raw") == ["-A PREROUTING -s 10.0.0.0/8 -j CT --notrack"]


def test_a_quoted_text_that_was_indented() -> None:
    assert rules(
        "    > *filter\n    > :INPUT ACCEPT [0:0]\n    > -A INPUT -i lo -j ACCEPT\n    > COMMIT\n"
    ) == ["-A INPUT -i lo -j ACCEPT"]


def test_a_listing_that_was_wrapped_and_then_indented_keeps_its_rules() -> None:
    text = """\
    Chain PREROUTING (policy ACCEPT 0 packets, 0 bytes)
     pkts bytes target     prot opt in     out     source
    destination
        0     0 CT         0    --  *      *       0.0.0.0/0
    192.0.2.10           statistic mode random probability 0.50000000000
    NOTRACK
        0     0 MARK       0    --  *      *       0.0.0.0/0
    198.51.100.7         ctstate ESTABLISHED mark
    match 0x1/0x1 MARK or 0x1
"""
    assert rules(text, "raw") == [
        "-A PREROUTING -d 192.0.2.10/32 -m statistic --mode random --probability 0.50000000000 -j CT --notrack",
        "-A PREROUTING -d 198.51.100.7/32 -m conntrack --ctstate ESTABLISHED -m mark --mark 0x1/0x1 -j MARK "
        "--set-xmark 0x1/0x1",
    ]


def test_dockers_rule_for_its_own_packets_names_no_uplink(tmp_path: Path) -> None:
    text = """\
Chain POSTROUTING (policy ACCEPT 463 packets, 28696 bytes)
 pkts bytes target     prot opt in     out       source          destination
    3   128 MASQUERADE  all  --  *     mynet     0.0.0.0/0       0.0.0.0/0    ADDRTYPE match src-type LOCAL
    0     0 MASQUERADE  all  --  *     !mynet    172.25.2.0/24   0.0.0.0/0
"""
    (tmp_path / "paste.txt").write_text(text)
    shown = iptsim.explain(tmp_path / "paste.txt", "172.25.2.5", "8.8.8.8:443")
    assert shown.verdict == "ACCEPT"
    assert any("MASQUERADE" in step.verdict for step in shown.trace.legs[0].steps)


@pytest.mark.parametrize("prompt", ["$ ", "# ", "> ", "", "sudo ", "root@gw:~# "])
def test_a_command_begins_another_listing(prompt: str, tmp_path: Path) -> None:
    """Its own table and family count, whatever the prompt; nothing is missing where the first listing ends."""
    columns = "target     prot opt source               destination\n"
    path = tmp_path / "paste"
    path.write_text(
        f"{prompt}iptables -L FORWARD -n\nChain FORWARD (policy DROP)\n{columns}"
        "ACCEPT     all  --  10.8.0.0/24          0.0.0.0/0\n"
        f"{prompt}ip6tables -L FORWARD -n\nChain FORWARD (policy ACCEPT)\n{columns}"
        f"{prompt}iptables -t nat -L POSTROUTING -n\nChain POSTROUTING (policy ACCEPT)\n{columns}"
        "MASQUERADE  all  --  10.8.0.0/24          0.0.0.0/0\n",
        "utf-8",
    )
    host = iptsim.load_host(path)
    assert host.rulesets[4].tables.keys() == {"filter", "nat"}
    forward = host.rulesets[4].tables["filter"].chains["FORWARD"]
    masquerading = host.rulesets[4].tables["nat"].chains["POSTROUTING"]
    forward6 = host.rulesets[6].tables["filter"].chains["FORWARD"]
    assert [rule.target_name for rule in forward.rules] == ["ACCEPT"]
    assert [rule.target_name for rule in masquerading.rules] == ["MASQUERADE"]
    assert (forward.policy, forward6.policy, forward6.rules) == ("DROP", "ACCEPT", [])


@pytest.mark.parametrize("mark", ["", "`", "'''", "[", '"', "**", "("])
def test_marks_before_a_heading(mark: str, tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text(
        f"{mark}Chain INPUT (policy DROP)\ntarget     prot opt source               destination\n"
        "ACCEPT     tcp  --  0.0.0.0/0            0.0.0.0/0            tcp dpt:22\n",
        "utf-8",
    )
    assert iptsim.explain(path, "203.0.113.9", "host:80").verdict == "DROP"


def test_a_service_without_endpoints_is_refused_on_all_interfaces() -> None:
    """kube-proxy's rules for it name none (pkg/proxy/iptables/proxier.go), so a listing without -v hides nothing."""
    heading = "target     prot opt source               destination\n"
    host = read(
        f"Chain FORWARD (policy ACCEPT)\n{heading}KUBE-SERVICES  all  --  anywhere             anywhere\n\n"
        f"Chain OUTPUT (policy ACCEPT)\n{heading}\nChain KUBE-SERVICES (1 references)\n{heading}"
        "REJECT     tcp  --  anywhere             10.43.7.7            /* shop/web:http has no endpoints */"
        " tcp dpt:http reject-with icmp-port-unreachable\n"
    )
    question = {"from": "10.42.0.9", "to": "10.43.7.7", "proto": "tcp", "dport": 80, "in": "cni0"}
    assert walk(host, Question(**question)).verdict == "REJECT"


def test_the_prompt_of_root_without_a_blank() -> None:
    """What is printed below a command shows that its `#` begins no comment; the table is that of the command."""
    text = (
        "#iptables -t nat -L\nChain PREROUTING (policy ACCEPT)\ntarget     prot opt source               destination\n"
        "DNAT       tcp  --  anywhere             anywhere             tcp dpt:8080 to:192.168.7.9:80\n\n"
        "#iptables -L\nChain INPUT (policy ACCEPT)\ntarget     prot opt source               destination\n\n"
        "Chain FORWARD (policy DROP)\ntarget     prot opt source               destination\n\n"
        "Chain OUTPUT (policy ACCEPT)\ntarget     prot opt source               destination\n"
        "#iptables -I FORWARD -i eth1 -j ACCEPT\n"
    )
    assert len(rules(text, "nat")) == 1
    assert rules(text) == ["-A FORWARD -i eth1 -j ACCEPT"]
