"""Docker's own networks and chains in pasted texts: internal, not masqueraded, edited by hand, looked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import iptsim
from tests.findings.linting import lint

CAPTURES = Path(__file__).parents[2] / "fixtures/captures"
#: As libnetwork writes them for `docker network create --internal` (setup_ip_tables.go, setupInternalNetworkRules).
INTERNAL = """\
-A DOCKER-ISOLATION ! -s 172.21.0.0/24 -o br-12f7b90ae6c0 -j DROP
-A DOCKER-ISOLATION ! -d 172.21.0.0/24 -i br-12f7b90ae6c0 -j DROP
"""
OTHER = "-A FORWARD -i br-0123456789ab ! -o br-0123456789ab -j ACCEPT\n"


def test_an_internal_network_reaches_the_host_but_no_other(tmp_path: Path) -> None:
    found = lint(tmp_path, INTERNAL)["internal-network"]
    assert [one.rule.target_name for one in found.evidence if one.rule] == ["DROP", "DROP"]
    assert found.shown is not None
    assert (found.shown.sender, found.shown.trace.legs[0].packet.dport) == ("172.21.0.2", 80)
    assert "internal-network" not in lint(tmp_path, INTERNAL + OTHER)


def test_settings_of_an_internal_network(tmp_path: Path) -> None:
    created = "$ docker network create --internal --subnet 172.30.0.0/24 closed\n"
    run = "$ docker run -d --name web --network closed nginx\n"
    found = lint(tmp_path, created + run)["internal-network"]
    assert found.shown is not None
    assert found.shown.verdict == "ACCEPT"  # INPUT accepts what a container sends to the bridge's own address
    assert "internal-network" not in lint(tmp_path, created.replace("--internal ", "") + run)


def inspected(**options: str) -> str:
    network = {
        "Name": "bridge",
        "Id": "62c361fbabead290aabadb6ee02031ea656142fa293895efc19eb7983738c68b",
        "Driver": "bridge",
        "IPAM": {"Config": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]},
        "Options": {f"com.docker.network.bridge.{key}": value for key, value in options.items()},
    }
    return f"$ docker network inspect bridge\n{json.dumps([network], indent=4)}\n"


def test_masquerading_switched_off_in_a_networks_options(tmp_path: Path) -> None:
    options = {"default_bridge": "true", "name": "docker0"}
    found = lint(tmp_path, inspected(**options, enable_ip_masquerade="false"))["masquerade-off"]
    assert "-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE" in str(found.remedy)
    assert "masquerade-off" not in lint(tmp_path, inspected(**options, enable_ip_masquerade="true"))
    masqueraded = "iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n"
    assert "masquerade-off" not in lint(
        tmp_path, inspected(**options, enable_ip_masquerade="false") + masqueraded
    )


NAT = """\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
{}COMMIT
"""


@pytest.mark.parametrize(
    ("setting", "rules", "found"),
    [
        ('{"iptables": false}', "", True),
        ("ExecStart=/usr/bin/dockerd -H fd:// --iptables=false", "", True),
        ('{"iptables": true}', "", False),
        ('{"log-level": "warn"}', "", False),
        ('{"iptables": false}', ":DOCKER - [0:0]\n-A DOCKER -i docker0 -j RETURN\n", False),
    ],
)
def test_settings_that_make_docker_write_no_rules(
    tmp_path: Path, setting: str, rules: str, found: bool
) -> None:
    """dockerd(8): --iptables enables "Docker's addition of iptables rules"."""
    text = f"{setting}\n\n{NAT.format(rules)}"
    assert ("docker-writes-no-rules" in lint(tmp_path, text)) is found


@pytest.mark.parametrize(
    ("source", "found"),
    [("-s 172.17.0.0/16", False), ("", False), ("! -s 172.29.0.0/16", False), ("-s 172.29.0.0/16", True)],
)
def test_a_host_that_masquerades_by_hand_needs_no_rules_of_docker(
    source: str, found: bool, tmp_path: Path
) -> None:
    """Unless its rule is for another subnet than that of docker0."""
    rules = f"-A POSTROUTING {source} -o eth0 -j MASQUERADE\n"
    codes = lint(tmp_path, f'{{"iptables": false}}\n\n{NAT.format(rules)}')
    assert ("docker-writes-no-rules" in codes) is found


#: What dockerd refuses (moby, daemon/daemon_unix.go, verifyDaemonSettings; the last but one since 28, with
#: --bip6). dockerd 20.10 was run with the first.
REFUSED = [
    ({"icc": False, "iptables": False}, ["icc=false", "iptables=false"]),
    ({"bridge": "br0", "bip": "10.1.0.1/24"}, ["bridge=br0", "bip=10.1.0.1/24"]),
]


@pytest.mark.parametrize(("settings", "evidence"), REFUSED)
def test_settings_with_which_dockerd_does_not_start(
    tmp_path: Path, settings: dict[str, object], evidence: list[str]
) -> None:
    (tmp_path / "daemon.json").write_text(json.dumps(settings))
    codes = {one.code: one for one in iptsim.lint(tmp_path / "daemon.json")}
    assert [str(one.text) for one in codes["dockerd-refuses-settings"].evidence] == evidence
    assert "docker-writes-no-rules" not in codes
    for name in settings:
        (tmp_path / "daemon.json").write_text(json.dumps({name: settings[name]}))
        assert "dockerd-refuses-settings" not in {one.code for one in iptsim.lint(tmp_path / "daemon.json")}


@pytest.mark.parametrize(("version", "refused"), [("27.5.1", False), ("28.0.0", True)])
def test_icc_off_needs_ip6tables_since_28(tmp_path: Path, version: str, refused: bool) -> None:
    settings = '{"icc": false, "ipv6": true, "ip6tables": false, "fixed-cidr-v6": "2001:db8:1::/64"}'
    text = f"{settings}\n\n$ docker --version\nDocker version {version}, build 0123456\n"
    assert ("dockerd-refuses-settings" in lint(tmp_path, text)) is refused


def test_published_ports_without_a_rule_in_nat(tmp_path: Path) -> None:
    """Docker's DNAT rules are in chain DOCKER of table nat, to which PREROUTING jumps."""
    listed = (
        "$ docker ps\nCONTAINER ID   IMAGE   COMMAND   CREATED   STATUS   PORTS   NAMES\n"
        '0123456789ab   nginx   "/run"   2 days ago   Up 2 days   {}   web\n'
    )
    published = listed.format("0.0.0.0:8080->80/tcp")
    chains = "".join(f"-P {name} ACCEPT\n" for name in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"))
    nat = f"$ iptables -t nat -S\n{chains}-N PRE_public\n-A PREROUTING -j PRE_public\n"
    forward = "-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\n"
    found = lint(tmp_path, f"{nat}{published}")["docker-rules-flushed"]
    assert [str(one.place) for one in found.evidence] == ["nat PREROUTING"]
    assert "docker-rules-flushed" not in lint(tmp_path, f"{nat}{listed.format('80/tcp')}")
    assert "docker-rules-flushed" not in lint(tmp_path, f"{nat}{forward}{published}")
    assert "docker-rules-flushed" not in lint(tmp_path, f'{nat}{published}\n{{"iptables": false}}\n')


@pytest.mark.parametrize(
    ("setting", "place"),
    [('{"iptables": false}', "daemon.json"), ("ExecStart=/usr/bin/dockerd --iptables=false", "dockerd")],
)
def test_where_the_setting_is(tmp_path: Path, setting: str, place: str) -> None:
    found = lint(tmp_path, f"{setting}\n\n{NAT.format('')}")["docker-writes-no-rules"]
    assert [str(one.place) for one in found.evidence] == [place]


@pytest.mark.parametrize("source", ["203.0.113.9", "badhost.example"])
def test_senders_blocked_in_a_chain_of_docker(tmp_path: Path, source: str) -> None:
    found = lint(tmp_path, f"iptables -A DOCKER -s {source} -j REJECT\n")["docker-chain-edited"]
    assert f"iptables -I DOCKER-USER -s {source}" in str(found.remedy)
    assert "docker-chain-edited" not in lint(tmp_path, f"iptables -I DOCKER-USER -s {source} -j DROP\n")


def test_dockers_own_drops_are_not_edited(tmp_path: Path) -> None:
    listed = """\
Chain DOCKER-ISOLATION-STAGE-1 (1 references)
target     prot opt source               destination
DROP       all  -- !192.168.5.0/24       anywhere
DROP       all  --  anywhere            !192.168.5.0/24
RETURN     all  --  anywhere             anywhere
"""
    assert "docker-chain-edited" not in lint(tmp_path, listed + INTERNAL)


#: As firewalld logs what dockerd asks it to run.
LOG = (
    "firewalld[3418]: WARNING: COMMAND_FAILED: '/usr/sbin/iptables -w2 -t {words}' failed: iptables: {why}\n"
)
NO_CHAIN = "No chain/target/match by that name."


def test_chains_that_docker_looks_for(tmp_path: Path) -> None:
    looked = LOG.format(words="nat -nL DOCKER-INGRESS", why=NO_CHAIN)
    found = lint(tmp_path, looked)["docker-chain-missing"]
    assert "iptables -t nat -nL DOCKER-INGRESS" in str(found.remedy)
    added = LOG.format(words="nat -A DOCKER -p tcp --dport 80 -j DNAT", why=NO_CHAIN)
    both = lint(tmp_path, looked + added)  # a rule could not be added: that is the problem
    assert "docker-chain-missing" not in both
    assert "docker-rules-flushed" in both
    own = LOG.format(words="filter -C MINE -j RETURN", why=NO_CHAIN)
    assert "docker-chain-missing" not in lint(tmp_path, own)


ZONES = """\
docker (active)
  target: ACCEPT
  interfaces: {interfaces}
  sources:
  services:
  ports:
  rich rules:
\trule family="ipv4" source address="{source}" port port="80" protocol="tcp" reject
"""


def test_a_zone_of_bridges_alone(tmp_path: Path) -> None:
    alone = ZONES.format(interfaces="docker0 br-c6d4a486127d", source="192.168.222.1")
    assert "192.168.222.1" in str(lint(tmp_path, alone)["zone-of-bridges"].title)
    card = ZONES.format(interfaces="docker0 eth0", source="192.168.222.1")
    assert "zone-of-bridges" not in lint(tmp_path, card)


def test_icc_off_that_has_counted(tmp_path: Path) -> None:
    listed = """\
Chain FORWARD (policy ACCEPT 0 packets, 0 bytes)
 pkts bytes target     prot opt in     out     source               destination
    {count}   168 DROP       all  --  br-a13d820de6c0 br-a13d820de6c0  0.0.0.0/0            0.0.0.0/0
"""
    counted = lint(tmp_path, listed.format(count=2))["icc-off-unchecked"]
    assert "2 packets were blocked" in str(counted.title)
    unchecked = lint(tmp_path, listed.format(count=0))["icc-off-unchecked"]
    assert "br_netfilter" in str(unchecked.title)


#: Rows without their addresses, as a web page shows them.
BLANK = """\
Chain INPUT (policy ACCEPT 0 packets, 0 bytes)
num   pkts bytes target     prot opt in     out     source               destination
1    23673 9179K ACCEPT     all  --  *      *              ctstate RELATED,ESTABLISHED
2      316 13083 ACCEPT     tcp  --  *      *              tcp dpt:80
3     256K   12M DROP       all  --  *      *

$ iptables -t nat -L DOCKER -n -v
Chain DOCKER (2 references)
 pkts bytes target     prot opt in     out     source               destination
    5   224 DNAT       tcp  --  !docker0 *              tcp dpt:53306 to:
"""


def test_rows_without_addresses(tmp_path: Path) -> None:
    found = lint(tmp_path, BLANK)["input-not-for-containers"]
    assert "53306" in str(found.title)
    rules = iptsim.load(tmp_path / "paste").tables["filter"].chains["INPUT"].rules
    assert [rule.target_name for rule in rules] == ["ACCEPT", "ACCEPT", "DROP"]
    assert rules[1].parameters.protocol == 6
    # each address that is left out may be another one
    places = {match.place for rule in rules for match in rule.matches if hasattr(match, "place")}
    assert len(places) == 6


BY_HAND = "-p tcp -m tcp --dport 8001 -j DNAT --to-destination 172.17.0.2:8000"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"iptables -t nat -A DOCKER {BY_HAND}\n", True),
        (f"# docker\niptables -t nat -A PREROUTING {BY_HAND}\n", True),
        # as Docker writes it, so a copy of its rule
        (f"iptables -t nat -A DOCKER ! -i docker0 {BY_HAND}\n", False),
        (f"iptables -t nat -A PREROUTING {BY_HAND}\n", False),
        (f"# docker\niptables -t nat -A PREROUTING {BY_HAND.replace('172.17', '10.9')}\n", False),
        (
            f"# docker\niptables -t nat -A PREROUTING {BY_HAND}\n"
            "iptables -I FORWARD -p tcp -d 172.17.0.2 --dport 8000 -j ACCEPT\n",
            False,
        ),
        (f"# docker\niptables -P FORWARD ACCEPT\niptables -t nat -A PREROUTING {BY_HAND}\n", False),
    ],
)
def test_dnat_to_a_container_by_hand(tmp_path: Path, text: str, found: bool) -> None:
    assert ("dnat-without-accept" in lint(tmp_path, text)) is found


@pytest.mark.parametrize("engine", ["20.10/host-firewall", "28.5/icc-on"])
def test_docker_blocks_what_a_dnat_by_hand_sends_to_a_container(tmp_path: Path, engine: str) -> None:
    """The rules that dockerd wrote drop the packet, until DOCKER-USER accepts it."""
    rules = (CAPTURES / f"docker-{engine}/iptables-save.txt").read_text()
    anchor = "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
    assert anchor in rules
    rules = rules.replace(anchor, f"{anchor}[0:0] -A PREROUTING {BY_HAND}\n")
    found = lint(tmp_path, rules)
    finding = found["dnat-without-accept"]
    assert "published-without-accept" not in found
    assert finding.shown is not None
    assert finding.shown.verdict == "DROP"
    # commands that do not change the verdict are replaced by other words
    assert finding.commands == ("iptables -I DOCKER-USER -p tcp -d 172.17.0.2 --dport 8000 -j ACCEPT",)
    assert finding.commands[0] in str(finding.remedy)
    assert "does not help" not in str(finding.remedy)


ICC = """\
$ cat /etc/docker/daemon.json
{{"icc": false}}
$ docker ps
CONTAINER ID   IMAGE   COMMAND    CREATED   STATUS   PORTS      NAMES
a2dc22068d0a   web     "python"   1 hour    Up 1 h   80/tcp     web
b2dc22068d0a   app     "python"   1 hour    Up 1 h              app

{said}
"""


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("My containers cannot talk to each other.", True),
        ("Containers on the same host can't reach one another, though the internet works.", True),
        ("The app container can't connect to the web container by its address.", True),
        ("The containers cannot reach the internet.", False),
        ("Nobody can reach web from outside.", False),
        ("The containers can talk to each other, and should.", False),
    ],
)
def test_icc_off_where_containers_do_not_reach_each_other(tmp_path: Path, said: str, found: bool) -> None:
    """docs.docker.com, dockerd: with icc=false, containers of the default bridge reach only linked ones."""
    path = tmp_path / "ticket.txt"
    path.write_text(ICC.format(said=said))
    findings = iptsim.lint(path)
    cause = str(findings.cause.text) if findings.cause is not None else ""
    assert ("icc is off" in cause) is found
    assert ("icc-off" in [one.code for one in findings]) is found


def test_icc_off_on_a_network_without_the_containers(tmp_path: Path) -> None:
    path = tmp_path / "ticket.txt"
    path.write_text(
        "My containers cannot reach each other.\n\n"
        "$ docker network create -o com.docker.network.bridge.enable_icc=false other\n$ docker network create app\n"
        "$ docker run -d --network app --name a nginx\n$ docker run -d --network app --name b nginx\n"
    )
    assert "icc-off" not in [one.code for one in iptsim.lint(path)]
