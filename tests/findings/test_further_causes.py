"""Causes of the second rank: what only a part of the traffic meets, each with its counterpart without a finding."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import iptsim
from iptsim.findings import Finding
from iptsim.sources import loads_host
from tests.findings.linting import lint

CAPTURES = Path(__file__).parent.parent.parent / "fixtures/captures"


def with_size(folder: Path, sizes: dict[str, int], mangle: str = "") -> dict[str, Finding]:
    """Return the findings of a host whose interfaces have other MTUs."""
    capture = folder / "capture"
    shutil.copytree(CAPTURES / "docker-28.5/published", capture)
    for name in ("ip-link.json", "ip-addr.json"):
        path = capture / name
        if path.exists():
            links = json.loads(path.read_text("utf-8"))
            for link in links:
                link["mtu"] = sizes.get(link["ifname"], link["mtu"])
            path.write_text(json.dumps(links), "utf-8")
    if mangle:
        path = capture / "iptables-save.txt"
        path.write_text(
            f"*mangle\n:FORWARD ACCEPT [0:0]\n{mangle}\nCOMMIT\n" + path.read_text("utf-8"), "utf-8"
        )
    return {one.code: one for one in iptsim.lint(capture)}


def test_an_uplink_that_carries_less_than_the_bridge(tmp_path: Path) -> None:
    """The MTU of a cloud's or tunnel's link, of which Docker's bridges know nothing (moby 3.9 and later)."""
    found = with_size(tmp_path, {"eth0": 1450})["larger-than-uplink"]
    assert "1500" in str(found.title)
    assert "1450" in str(found.title)
    assert found.shown is not None
    assert found.shown.verdict == "DROP"
    assert '"mtu": 1450' in str(found.remedy)


@pytest.mark.parametrize(
    ("sizes", "mangle"),
    [
        ({}, ""),
        ({"eth0": 9000}, ""),
        (
            {"eth0": 1450},
            "[0:0] -A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
        ),
    ],
)
def test_no_smaller_uplink_or_a_lower_segment_size(
    sizes: dict[str, int], mangle: str, tmp_path: Path
) -> None:
    assert "larger-than-uplink" not in with_size(tmp_path, sizes, mangle)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (
            "In Docker, large pages never load. The MTU of the ppp0 interface is 1400.",
            "Packets on Docker's networks may have 1500 bytes, but ppp0 carries only 1400.",
        ),
        (
            "My containers hang over the VPN.\n\n- `eth0`: MTU 1450\n- `docker0`: MTU 1500\n",
            "Packets on Docker's networks may have 1500 bytes, but eth0 carries only 1450.",
        ),
        (
            'docker network inspect lan shows\n    "com.docker.network.driver.mtu": "1480"\nand my VPN mtu is 1300.',
            "Packets on Docker's networks may have 1480 bytes, but the VPN carries only 1300.",
        ),
    ],
)
def test_a_sentence_tells_a_smaller_link(text: str, title: str) -> None:
    """Docker's networks have 1500 bytes unless an option sets another size (docs.docker.com, network drivers)."""
    [found] = [one for one in iptsim.lint(loads_host(text)) if one.code == "larger-than-uplink"]
    assert str(found.title) == title


@pytest.mark.parametrize(
    "text",
    [
        "Large pages never load. The MTU of the ppp0 interface is 1400.",  # no Docker
        "In Docker, large pages never load. The MTU of the eth0 interface is 1500.",
        'In Docker, large pages never load. The MTU of eth0 is 1450, and daemon.json has\n  "mtu": 1450\n',
        'In Docker, large pages never load.\n{"ifname": "wg0", "mtu": 1420}\n',
        "In Docker, the MTU of docker0 is 1400.",
        "In Docker, large pages never load. Inside the container eth0 has MTU 1400.",
        "I set the MTU on docker0 to 1400, as the MTU of ppp0 is 1400.",
    ],
)
def test_no_smaller_link_in_sentences(text: str) -> None:
    rules = "\n-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"
    assert "larger-than-uplink" not in {one.code for one in iptsim.lint(loads_host(text + rules))}


HOST = """\
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
{nat}COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
{input}-A FORWARD -o docker0 -j DOCKER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
{output}COMMIT
"""
PUBLISHED = "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\n"


def host(*, nat: str = "", accept: str = "", output: str = "") -> str:
    return HOST.format(nat=nat, input=accept, output=output)


def test_a_published_port_that_containers_do_not_reach(tmp_path: Path) -> None:
    """Docker's DNAT rule leaves out the container's own bridge, so docker-proxy in INPUT is to answer."""
    found = lint(tmp_path, host(nat=PUBLISHED))["host-closed-to-containers"]
    assert "8080/tcp" in str(found.title)
    assert found.commands == ("iptables -I INPUT -i docker0 -p tcp --dport 8080 -j ACCEPT",)
    assert "usual remedy does not help" not in str(found.remedy)


@pytest.mark.parametrize(
    "accept", ["-A INPUT -i docker0 -j ACCEPT\n", "-A INPUT -s 172.16.0.0/12 -j ACCEPT\n"]
)
def test_containers_that_may_ask_the_host(accept: str, tmp_path: Path) -> None:
    assert "host-closed-to-containers" not in lint(tmp_path, host(nat=PUBLISHED, accept=accept))


def test_services_of_the_host_matter_in_a_report_of_a_problem_only(tmp_path: Path) -> None:
    """A host that closes its ports to containers is as a firewall should be, unless somebody asks why."""
    assert "host-closed-to-containers" not in lint(tmp_path, host())
    asked = "My container cannot reach the host, see below.\n\n```\n" + host() + "```\n"
    assert "docker0" in str(lint(tmp_path, asked)["host-closed-to-containers"].title)


@pytest.mark.parametrize(
    ("output", "found"),
    [
        ("-A OUTPUT -d 203.0.113.7/32 -j DROP\n", True),
        ("-A OUTPUT -d 203.0.113.0/24 -p tcp -m tcp --dport 25 -j REJECT\n", True),
        ("-A OUTPUT ! -d 203.0.113.0/24 -j DROP\n", False),
        ("-A OUTPUT -d 224.0.0.0/4 -j DROP\n", False),
        ("-A OUTPUT -j ACCEPT\n-A OUTPUT -d 203.0.113.7/32 -j DROP\n", False),
    ],
)
def test_destinations_that_output_blocks(output: str, found: bool, tmp_path: Path) -> None:
    asked = "The host cannot send mail, see below.\n\n```\n" + host(output=output) + "```\n"
    assert ("output-drops-some" in lint(tmp_path, asked)) is found
    assert "output-drops-some" not in lint(tmp_path, host(output=output))


FORWARD = """\
$ sudo ip6tables -L
Chain FORWARD (policy {policy})
target     prot opt source               destination
{rule}
"""
ACCEPT = "ACCEPT     all      anywhere             anywhere"


@pytest.mark.parametrize(
    ("policy", "rule", "found"), [("DROP", "", True), ("DROP", ACCEPT, False), ("ACCEPT", "", False)]
)
def test_a_forward_policy_without_rules(policy: str, rule: str, found: bool, tmp_path: Path) -> None:
    assert ("forward-drop" in lint(tmp_path, FORWARD.format(policy=policy, rule=rule))) is found


INGRESS = "*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER-INGRESS - [0:0]\n{}COMMIT\n"
ANY, SOME = "-A PREROUTING -j DOCKER-INGRESS\n", "-A PREROUTING -s 10.0.0.0/8 -j DOCKER-INGRESS\n"
MARKS = "-A PREROUTING -j HERE\n{between}-A PREROUTING -s 10.0.0.0/8 -j HERE\n-A HERE -p tcp {matches}-j {target}\n"


@pytest.mark.parametrize(
    ("rules", "found"), [(ANY + SOME, True), (SOME + ANY, False), (SOME + SOME, True), (ANY, False)]
)
def test_jumps_that_an_earlier_jump_leaves_nothing_to_do(rules: str, found: bool, tmp_path: Path) -> None:
    assert ("redundant-rule" in lint(tmp_path, INGRESS.format(rules))) is found


@pytest.mark.parametrize(
    ("between", "matches", "target", "found"),
    [
        ("", "", "ACCEPT", True),
        # the second visit may differ
        ("", "-m limit --limit 1/sec ", "ACCEPT", False),
        ("-A PREROUTING -j MARK --set-mark 1\n", "", "ACCEPT", False),
        ("", "", "MARK --set-mark 1", False),
    ],
)
def test_chains_that_may_treat_a_packet_differently_again(
    between: str, matches: str, target: str, found: bool, tmp_path: Path
) -> None:
    rules = MARKS.format(between=between, matches=matches, target=target)
    text = f"*mangle\n:PREROUTING ACCEPT [0:0]\n:HERE - [0:0]\n{rules}COMMIT\n"
    shown = lint(tmp_path, text).get("redundant-rule")
    assert (shown is not None and "packets to HERE" in str(shown.title)) is found


def test_a_listing_without_interfaces_tells_no_jumps_apart(tmp_path: Path) -> None:
    """Docker jumps to DOCKER once for each bridge; `-L` without `-v` shows these jumps as equal."""
    head = "target     prot opt source               destination\n"
    jump = "DOCKER     all  --  anywhere             anywhere\nACCEPT     all  --  anywhere             anywhere\n"
    text = f"Chain FORWARD (policy DROP)\n{head}{jump}{jump}\nChain DOCKER (2 references)\n{head}"
    assert "redundant-rule" not in lint(tmp_path, text)


TWO_WAYS = """\
Chain FORWARD (policy DROP 0 packets, 0 bytes)
 pkts bytes target     prot opt in     out     source               destination
{first}    {back}     0 ACCEPT     all  --  ens3   ppp+    0.0.0.0/0            0.0.0.0/0            ctstate ESTABLISHED
  199 14157 ACCEPT     all  --  ppp+   ens3    0.0.0.0/0            0.0.0.0/0
"""
OTHER = "   80  9157 ACCEPT     all  --  {}   *       0.0.0.0/0            0.0.0.0/0            ctstate ESTABLISHED\n"


@pytest.mark.parametrize(
    ("first", "back", "found"),
    [("", 0, True), ("", 7, False), (OTHER.format("ens3"), 0, False), (OTHER.format("ens9"), 0, True)],
)
def test_a_pair_of_rules_of_which_one_counted_nothing(
    first: str, back: int, found: bool, tmp_path: Path
) -> None:
    shown = lint(tmp_path, TWO_WAYS.format(first=first, back=back)).get("replies-not-counted")
    assert (shown is not None) is found
    if shown is not None:
        assert "199" in str(shown.title)


@pytest.mark.parametrize(
    ("text", "unseen"),
    [
        ("*filter\n:FORWARD ACCEPT\n-A FORWARD -j DROP\nCOMMIT\n", ("raw", "mangle", "nat")),
        ("*filter\n-A FORWARD -j DROP\nCOMMIT\n*nat\nCOMMIT\n", ()),
        (
            "tcp 6 431 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1",
            (),
        ),
        (
            "Chain POSTROUTING (policy ACCEPT)\ntarget     prot opt source               destination\n"
            "MASQUERADE  all  --  10.8.0.0/24          0.0.0.0/0\n",
            ("raw", "mangle", "filter", "nat PREROUTING", "nat OUTPUT"),
        ),
        (
            "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -j ACCEPT\nCOMMIT\n"
            "*mangle\n:PREROUTING ACCEPT [0:0]\n...\n",
            ("mangle", "nat", "filter"),
        ),
    ],
)
def test_what_a_source_with_rules_does_not_show(text: str, unseen: tuple[str, ...], tmp_path: Path) -> None:
    """A dump of two tables was made without `-t`: there are no others."""
    path = tmp_path / "rules"
    path.write_text(text)
    assert iptsim.lint(path).unseen == unseen


OUT_OF_A_BRIDGE = """\
Chain FORWARD (policy DROP 0 packets, 0 bytes)
 pkts bytes target     prot opt in     out     source               destination
 {entered} 84000 DOCKER-ISOLATION  all  --  *  *       0.0.0.0/0            0.0.0.0/0
    0     0 ACCEPT     all  --  *      docker0  0.0.0.0/0            0.0.0.0/0            ctstate ESTABLISHED
 1000 84000 ACCEPT     all  --  docker0 !docker0  0.0.0.0/0            0.0.0.0/0
"""


@pytest.mark.parametrize(("entered", "found"), [(1000, True), (1007, False)])
def test_all_that_came_in_went_out_of_a_bridge(entered: int, found: bool, tmp_path: Path) -> None:
    """Seven packets more may have been replies, which the first rule's chain accepted."""
    assert ("replies-not-counted" in lint(tmp_path, OUT_OF_A_BRIDGE.format(entered=entered))) is found


REPLIES_OF_SOME = """\
Chain FORWARD (policy DROP 0 packets, 0 bytes)
 pkts bytes target     prot opt in     out     source               destination
    0     0 ACCEPT     {prot}  --  {enters}  {leaves}     0.0.0.0/0            {to}            ctstate ESTABLISHED
   50  3000 ACCEPT     all  --  br0    !br0    0.0.0.0/0            0.0.0.0/0
   50  3000 ACCEPT     all  --  !br0   br0     0.0.0.0/0            0.0.0.0/0
"""


@pytest.mark.parametrize(
    ("prot", "enters", "leaves", "to", "found"),
    [
        ("all", "!br0", "br0", "0.0.0.0/0", True),
        ("all", "!br0", "br0", "10.7.7.7", False),
        ("udp", "!br0", "br0", "0.0.0.0/0", False),
        ("all", "!br0", "!br0", "0.0.0.0/0", False),
    ],
)
def test_a_rule_for_some_replies_need_not_count_any(
    prot: str, enters: str, leaves: str, to: str, found: bool, tmp_path: Path
) -> None:
    text = REPLIES_OF_SOME.format(prot=prot, enters=enters, leaves=leaves, to=to)
    assert ("replies-not-counted" in lint(tmp_path, text)) is found


SEARCH = """\
$ sudo iptables-save | grep {word}
{own}:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -j RETURN
"""


@pytest.mark.parametrize(
    ("word", "own", "found"),
    [
        ("DOCKER", "", True),
        ("-i docker", "", True),
        ("DOCKER", ":DOCKER - [0:0]\n", False),
        ("FORWARD", "", False),
    ],
)
def test_a_search_that_did_not_find_dockers_chain(word: str, own: str, found: bool, tmp_path: Path) -> None:
    """`iptables-save | grep DOCKER` prints every line of every table with that word."""
    shown = lint(tmp_path, SEARCH.format(word=word, own=own)).get("docker-rules-flushed")
    assert (shown is not None and "no chain DOCKER" in str(shown.evidence[0].text)) is found


EMPTY = "Chain {} (policy ACCEPT)\ntarget     prot opt source               destination\n{}\n"
JUMP = "DOCKER     all  --  anywhere             anywhere             ADDRTYPE match dst-type LOCAL\n"
OWN = "Chain DOCKER ({} references)\ntarget     prot opt source               destination\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (EMPTY.format("PREROUTING", "") + EMPTY.format("OUTPUT", "") + OWN.format(0), True),
        (EMPTY.format("PREROUTING", JUMP) + EMPTY.format("OUTPUT", JUMP) + OWN.format(2), False),
        # what is not shown may jump there
        (EMPTY.format("POSTROUTING", "") + OWN.format(1), False),
    ],
)
def test_flushing_leaves_chains_without_jumps(text: str, found: bool, tmp_path: Path) -> None:
    """`iptables -F` removes rules, and leaves the chains (iptables(8))."""
    assert ("docker-rules-flushed" in lint(tmp_path, f"$ iptables -t nat -L\n{text}")) is found


INPUT = "-P INPUT DROP\n{}-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"
REPLIES, LOOPBACK = "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n", "-A INPUT -i lo -j ACCEPT\n"


@pytest.mark.parametrize("accepts", ["", REPLIES, LOOPBACK, LOOPBACK + REPLIES])
def test_what_an_input_that_drops_by_default_must_accept(accepts: str, tmp_path: Path) -> None:
    """Replies, even though OUTPUT is not shown; and the host's connections to itself."""
    found = lint(tmp_path, f"$ iptables -S INPUT\n{INPUT.format(accepts)}")
    assert ("input-drops-replies" in found) is (REPLIES not in accepts)
    assert ("input-drops-loopback" in found) is (LOOPBACK not in accepts)


@pytest.mark.parametrize(
    ("accepts", "found"), [("", True), ("-A INPUT -p tcp ! --syn -j ACCEPT\n", False), (REPLIES, False)]
)
def test_a_hidden_chain_for_tcp_takes_no_replies_of_udp(accepts: str, found: bool, tmp_path: Path) -> None:
    """Names can't be resolved, whatever the chain accepts. Where TCP gets its replies, the host has its reasons."""
    banning = "-A INPUT -p tcp -m multiport --dports 1:65535 -j bans\n"
    text = f"$ iptables -S\n{INPUT.format(accepts + banning)}-A other -j RETURN\n..."
    assert ("input-drops-replies" in lint(tmp_path, text)) is found


LISTED = """\
Chain INPUT (policy DROP)
target     prot opt source               destination
ACCEPT     tcp  --  anywhere             anywhere             tcp dpt:ssh
{}
ACCEPT     all  --  anywhere             anywhere

Chain OUTPUT (policy ACCEPT)
target     prot opt source               destination
"""


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("", True),
        ("ACCEPT     all  --  anywhere             anywhere             ctstate RELATED,ESTABLISHED", False),
        ("ACCEPT     all  --  192.168.1.0/24       anywhere", True),
    ],
)
def test_a_rule_of_input_whose_interface_is_hidden(rule: str, found: bool, tmp_path: Path) -> None:
    """It is for lo, or else it opens the host: in neither case is that what its user wanted."""
    assert (
        "input-drops-replies" in lint(tmp_path, LISTED.format(rule).replace("\n\nACCEPT", "\nACCEPT"))
    ) is found


@pytest.mark.parametrize("accepts", ["", "ct state established,related accept"])
def test_what_an_input_chain_of_nftables_must_accept(accepts: str, tmp_path: Path) -> None:
    listing = (
        "$ nft list ruleset\ntable inet filter {\n\tchain input {\n"
        f"\t\ttype filter hook input priority filter; policy drop;\n\t\t{accepts}\n\t\ttcp dport 22 accept\n\t}}\n}}\n"
    )
    found = lint(tmp_path, listing)
    assert ("input-drops-replies" in found) is not bool(accepts)


def test_a_few_rules_of_input_show_no_start_of_it(tmp_path: Path) -> None:
    """Rules that accept replies may stand before them."""
    assert not lint(
        tmp_path, "Then I commented out this one:\n\n-A INPUT -j REJECT --reject-with icmp-host-prohibited\n"
    )


def test_a_rule_inserted_into_dockers_chain(tmp_path: Path) -> None:
    """Each is inserted before the one typed above it, so the last stands first and takes all."""
    text = "iptables -I DOCKER -s 10.0.0.0/8 -j ACCEPT\niptables -I DOCKER -j DROP\n"
    assert "rule 1 handles all its packets" in str(lint(tmp_path, text)["never-matches"].title)


def test_the_time_of_a_logged_packet_is_not_in_its_prefix(tmp_path: Path) -> None:
    """`dmesg -T` prints the time of day before the prefix."""
    path = tmp_path / "log"
    path.write_text(
        "[Wed Sep 11 16:27:54 2024] DROP [FWD]: IN=br1 OUT=mac0 SRC=10.0.0.2 DST=192.0.2.9 LEN=73 PROTO=UDP"
        " SPT=5604 DPT=53 LEN=53\n"
    )
    cause = iptsim.lint(path).cause
    assert cause is not None
    assert 'the prefix "DROP [FWD]:"' in str(cause.text)


@pytest.mark.parametrize(
    ("accepts", "except_"), [("", ""), ("-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT\n", "tcp/22,8080")]
)
def test_what_a_closed_input_accepts(accepts: str, except_: str, tmp_path: Path) -> None:
    rules = accepts + (INPUT.format(accepts) if accepts else "-P INPUT DROP\n")
    title = str(lint(tmp_path, f"$ iptables -S INPUT\n{rules}")["closed-by-default"].title)
    assert title == (
        f"INPUT blocks new connections from the internet, except: {except_}."
        if except_
        else "INPUT blocks new connections from the internet."
    )


def test_an_input_that_accepts_by_default_is_not_closed(tmp_path: Path) -> None:
    text = "$ iptables -S INPUT\n-P INPUT ACCEPT\n-A INPUT -p tcp -m tcp --dport 23 -j DROP\n"
    assert "closed-by-default" not in lint(tmp_path, text)


@pytest.mark.parametrize(("more", "found"), [("", True), (OWN.format(0), False)])
def test_an_empty_nat(more: str, found: bool, tmp_path: Path) -> None:
    """With Docker's chain in it, its rules have been flushed."""
    chains = "".join(EMPTY.format(name, "") for name in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"))
    assert ("nat-empty" in lint(tmp_path, f"$ iptables -t nat -L\n{chains}{more}")) is found


@pytest.mark.parametrize(
    ("rule", "found"), [("! -s 192.168.0.0/24", True), ("-s 192.168.0.0/24", False), ("! -i docker0", False)]
)
def test_docker_user_for_all_sources_but_some(rule: str, found: bool, tmp_path: Path) -> None:
    """Containers send from an address that is not among those of the LAN."""
    text = f"iptables -I DOCKER-USER {rule} -j DROP\n"
    assert ("docker-user-drops-outgoing" in lint(tmp_path, text)) is found


GATEWAY = (
    "# ip a\n1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536\n    inet 127.0.0.1/8 scope host lo\n"
    "2: ens3: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500\n    inet {address}/24 brd {address} scope global ens3\n"
    "3: wg0: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1420\n    inet 10.8.0.1/24 scope global wg0\n"
    "# iptables -S\n-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-A FORWARD -i wg0 -j ACCEPT\n{more}"
    "# iptables -t nat -S\n-P POSTROUTING ACCEPT\n-A POSTROUTING -s 10.8.0.0/24 -o ens3 -j MASQUERADE\n"
)


@pytest.mark.parametrize("address", ["51.1.2.3", "x.x.x.x", "<my ip>"])
def test_replies_that_forward_blocks(address: str, tmp_path: Path) -> None:
    """Also where the address of the uplink was replaced: without it, the VPN seems to be the way out."""
    found = lint(tmp_path, GATEWAY.format(address=address, more=""))["forward-blocks-replies"]
    assert found.commands == (
        "iptables -I FORWARD -o wg0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    )
    back = "-A FORWARD -o wg0 -m state --state RELATED,ESTABLISHED -j ACCEPT\n"
    other = tmp_path / "other"
    other.mkdir()
    assert "forward-blocks-replies" not in lint(other, GATEWAY.format(address=address, more=back))


ROUTED = "ip rule add fwmark 1 lookup 100\nip route add local 0.0.0.0/0 dev lo table 100\n"


@pytest.mark.parametrize(
    ("text", "is_late"),
    [
        # ipt_mangle_out and nf_route_table_hook4 route again; no other table does
        (ROUTED + "iptables -A OUTPUT -p tcp --dport 8080 -j MARK --set-mark 1\n", True),
        (ROUTED + "iptables -t mangle -A OUTPUT -p tcp --dport 8080 -j MARK --set-mark 1\n", False),
        (ROUTED + "iptables -A OUTPUT -p tcp --dport 8080 -j MARK --set-mark 2\n", False),
        (ROUTED + "iptables -A FORWARD -p tcp --dport 8080 -j MARK --set-mark 1\n", False),
        ("chain o {\n type filter hook output priority mangle; policy accept;\n meta mark set 1\n}\n", True),
        ("chain o {\n type route hook output priority mangle; policy accept;\n meta mark set 1\n}\n", False),
        ("chain o {\n type filter hook output priority 0; policy accept;\n meta mark set 1\n}\n", False),
    ],
)
def test_marks_behind_the_routing_decision(text: str, is_late: bool, tmp_path: Path) -> None:
    if text.startswith("chain"):
        text = f"table inet t {{\n{text}}}\n"
    assert ("marked-after-routing" in lint(tmp_path, text)) is is_late


def test_a_rule_for_everything_besides_those_for_some_subnets(tmp_path: Path) -> None:
    rules = "-A POSTROUTING -j MASQUERADE\n-A POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE\n"
    text = "# iptables -t nat -S\n-P POSTROUTING ACCEPT\n" + rules
    assert "masquerades-some" not in lint(tmp_path, text)


def test_the_reason_that_iptables_does_not_print(tmp_path: Path) -> None:
    """xt_TCPMSS.c: path-MTU clamping only supported in FORWARD, OUTPUT and POSTROUTING hooks."""
    clamp = "-p tcp -m tcp --tcp-flags SYN SYN -j TCPMSS --clamp-mss-to-pmtu"
    text = (
        f"root@r5:~# iptables -t mangle -A PREROUTING -i eth0 {clamp}\n"
        "iptables v1.8.2 (nf_tables):  RULE_APPEND failed (Invalid argument): rule in chain PREROUTING\n"
    )
    found = lint(tmp_path, text)["refused-command"]
    assert "works only in FORWARD, OUTPUT or POSTROUTING" in str(found.title)
    assert f"iptables -t mangle -A FORWARD -i eth0 {clamp}" in str(found.remedy)


def test_only_one_of_two_rules_that_are_alike_is_reported(tmp_path: Path) -> None:
    """Who follows both remedies is left without the rule."""
    found = lint(tmp_path, "iptables -A FORWARD -i wg0 -j ACCEPT\niptables -A FORWARD -i wg0 -j ACCEPT\n")
    assert "never-matches" in found
    assert "redundant-rule" not in found


@pytest.mark.parametrize(
    ("text", "is_unrouted"),
    [
        ("ip rule\n0: from all lookup local\n32766: from all lookup main\n", True),
        (ROUTED, False),
        ("", False),  # the routing rules are not shown
        ("ip rule add fwmark 1 lookup 100\n", False),  # the routes of their table are not shown
        ("ip rule add fwmark 2 lookup 100\nip route add local 0.0.0.0/0 dev lo table 100\n", True),
    ],
)
def test_a_transparent_proxy_that_no_route_leads_to(text: str, is_unrouted: bool, tmp_path: Path) -> None:
    """ip_forward drops packets that a socket has taken; measured in namespaces."""
    to_proxy = "iptables -t mangle -A PREROUTING -p tcp -j TPROXY --on-port 7893 --tproxy-mark 1\n"
    assert ("proxy-unrouted" in lint(tmp_path, text + to_proxy)) is is_unrouted


@pytest.mark.parametrize(
    ("error", "one_word"),
    [
        ("Couldn't load match ` limit --limit 3/s':No such file or directory", True),
        ('Invalid match name " limit --limit 3/s --limit-burst 8" (28 chars max)', True),
        ('unknown option "--dport 80"', True),
        ("host/network `-s 192.0.2.7' not found", True),
        ("Invalid target name `DROP -m limit'", True),
        ('unknown option "--dport"', False),
        ("Couldn't load match `limt':No such file or directory", False),
    ],
)
def test_options_in_quotation_marks(error: str, one_word: bool, tmp_path: Path) -> None:
    """What iptables 1.8.9 prints if a shell passes several words as one argument."""
    found = lint(tmp_path, f"iptables v1.8.9 (nf_tables): {error}\n")["refused-command"]
    assert ("as one word" in str(found.remedy)) is one_word


#: As kube-proxy writes them: pkg/proxy/iptables/proxier.go (v1.6), "has no endpoints".
NO_ENDPOINTS = """\
-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-N DOCKER
-N KUBE-SERVICES
-A FORWARD -o docker0 -j DOCKER
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.7.7/32 -p tcp -m comment --comment "shop/web: has no endpoints" -m tcp --dport 80 -j REJECT
"""


def test_a_service_without_endpoints_is_one_finding(tmp_path: Path) -> None:
    """What OUTPUT refuses for it is not another one: the rule goes when a pod is ready."""
    found = lint(tmp_path, f"docker and kubernetes:\n{NO_ENDPOINTS}")
    assert "service-without-endpoints" in found
    assert not found.keys() & {"output-drops-some", "output-not-for-containers"}
    found = lint(tmp_path, f"docker:\n{NO_ENDPOINTS.replace('KUBE-SERVICES', 'MINE')}")
    assert found.keys() >= {"output-drops-some", "output-not-for-containers"}


def test_commands_alone_show_no_flush(tmp_path: Path) -> None:
    """A policy that a text sets by a command shows no rules, so it shows none that lack; a listing does."""
    names = "CONTAINER ID  IMAGE  COMMAND  CREATED  STATUS  PORTS  NAMES\n"
    text = "Docker sets this:\n```\niptables -P FORWARD DROP\n```\n"
    network = (
        "docker network create --subnet 10.168.1.0/24 -o com.docker.network.bridge.name=public0 public0\n"
    )
    assert "docker-rules-flushed" not in lint(tmp_path, f"{text}{network}")
    listing = "Chain FORWARD (policy DROP)\ntarget     prot opt source               destination\n"
    assert "docker-rules-flushed" in lint(tmp_path, f"$ docker ps\n{names}\n$ iptables -L FORWARD\n{listing}")


def test_a_listing_that_fails_is_not_the_likeliest_cause(tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text(
        "# iptables -nvL\niptables v1.8.10 (nf_tables): table `filter' is incompatible, use 'nft' tool.\n"
    )
    assert iptsim.lint(path).cause is None
    path.write_text(
        '# iptables -A INPUT -p tcp --dport\niptables v1.8.10 (nf_tables): option "--dport" requires an argument\n'
    )
    assert iptsim.lint(path).cause is not None


def test_a_docker_user_without_references_names_few_rules(tmp_path: Path) -> None:
    """The listing shows no FORWARD, but that nothing jumps there."""
    rows = "".join(f"RETURN     all  --  10.{number}.0.0/16          anywhere\n" for number in range(9))
    heading = "Chain DOCKER-USER (0 references)\ntarget     prot opt source               destination\n"
    finding = lint(tmp_path, f"{heading}{rows}")["docker-user-not-asked"]
    assert [str(part) for part in finding.evidence[0][:2]] == ["filter DOCKER-USER", "0 references"]
    assert len(finding.evidence) == 6


@pytest.mark.parametrize(
    "text",
    [
        "$ docker run -d -p 8080:80 nginx\nWARNING: IPv4 forwarding is disabled. Networking will not work.\n",
        "docker info:\n WARNING: IPv4 forwarding is disabled\n",
        "$ cat /proc/sys/net/ipv4/ip_forward\n0\n$ docker ps\nCONTAINER ID  IMAGE  COMMAND  CREATED  STATUS  NAMES\n",
    ],
)
def test_docker_warns_that_the_host_does_not_route(text: str, tmp_path: Path) -> None:
    """The words are those of docker/cli (cli/command/container/run.go, system/info.go)."""
    assert "ip-forward-off" in lint(tmp_path, text)
    assert "ip-forward-off" not in lint(tmp_path, f"{text}$ sysctl -w net.ipv4.ip_forward=1\n")


@pytest.mark.parametrize(
    "error",
    [
        "iptables v1.8.7 (nf_tables): Could not fetch rule set generation id: Invalid argument",
        "iptables/1.8.7 Failed to initialize nft: Protocol not supported",
    ],
)
def test_dockerd_that_iptables_refuses_everything(error: str, tmp_path: Path) -> None:
    """The first command of dockerd creates a chain, which may fail otherwise: here the kernel lacks nf_tables."""
    found = lint(
        tmp_path,
        "failed to start daemon: failed to create NAT chain DOCKER: iptables failed: iptables -t nat -N DOCKER:"
        f" {error}\n (exit status 4)\n",
    )
    assert "modprobe -a nf_tables" in str(found["refused-command"].remedy)


def test_a_port_that_docker_failed_to_publish_is_not_open(tmp_path: Path) -> None:
    run = "$ docker run -d --name db -p 33066:3306 mysql\n"
    error = (
        "iptables failed: iptables --wait -t nat -A DOCKER -p tcp -d 0/0 --dport 33066 -j DNAT --to-destination"
        " 172.17.0.2:3306 ! -i docker0: iptables: No chain/target/match by that name.\n"
    )
    assert "service-open" in lint(tmp_path, run)
    found = lint(tmp_path, f"{run}\nthe log says\n\n{error}")
    assert "docker-rules-flushed" in found
    assert "service-open" not in found


def test_the_commands_that_dockerd_logs_show_no_flush(tmp_path: Path) -> None:
    """In the form of dockerd --debug: what it does to chains that the log does not list."""
    log = "".join(
        f"DEBU[2020-07-26T18:19:38.8+03:00] /usr/sbin/iptables, [--wait {one}]\n"
        for one in (
            "-t nat -N DOCKER",
            "-t filter -N DOCKER-ISOLATION-STAGE-1",
            "-A DOCKER-ISOLATION-STAGE-1 -j RETURN",
            "-D FORWARD -o docker0 -j DOCKER",
        )
    )
    assert "docker-rules-flushed" not in lint(tmp_path, log)


def test_counted_drops_of_a_known_program_come_with_their_purpose(tmp_path: Path) -> None:
    """The rule is Tailscale's for new connections into the tailnet (util/linuxfw/iptables_runner.go)."""
    heading = " pkts bytes target     prot opt in     out     source               destination\n"
    text = (
        f"Chain ts-forward (1 references)\n{heading}"
        "  550 46102 DROP       all  --  *      tailscale0  0.0.0.0/0            0.0.0.0/0            "
        "ctstate NEW,INVALID,UNTRACKED\n"
    )
    assert "stateful filtering" in str(lint(tmp_path, text)["counted-drops"].consequence)
    other = text.replace("ts-forward", "MINE").replace("tailscale0", "wg0")
    assert "purpose" not in str(lint(tmp_path, other)["counted-drops"].consequence)


CALLED_BY_OTHERS = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DEFAULT_OUTPUT - [0:0]
:DOCKER - [0:0]
{more}-A OUTPUT -j DEFAULT_OUTPUT
-A DEFAULT_OUTPUT -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 3306 -j DNAT --to-destination 172.17.0.3:3306
COMMIT
"""


def test_dockers_chains_may_be_called_by_chains_of_other_programs(tmp_path: Path) -> None:
    """Synology's DSM puts DEFAULT_OUTPUT between OUTPUT and DOCKER."""
    (missing,) = lint(tmp_path, CALLED_BY_OTHERS.format(more=""))["docker-rules-flushed"].evidence
    assert missing.place == "nat PREROUTING"
    whole = CALLED_BY_OTHERS.format(more="-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n")
    assert "docker-rules-flushed" not in lint(tmp_path, whole)
