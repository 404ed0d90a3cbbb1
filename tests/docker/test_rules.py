"""The rules that dockerd writes, against those that it wrote on the captured hosts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings

from iptsim.addresses import FAMILIES, Family
from iptsim.docker.dockerd.replay import write
from iptsim.docker.dockerd.rulesets import rules_for
from iptsim.docker.model.settings import DockerHost
from iptsim.docker.sources.flag_changes import Change, changed
from iptsim.docker.sources.host import docker_host
from iptsim.dump import dumps, loads
from iptsim.host import load_host
from iptsim.host.containers import Network, Subnet
from tests.docker.hosts import CAPTURES, FIXTURES, OTHERS, docker_hosts, host, plain, saved
from tests.docker.ownership import owners

DOCKER = FIXTURES.parent / "docker"
RECORDED = sorted(path.name for path in DOCKER.iterdir())
#: What the user wrote in 28-opts, in the order of the dump.
USERS = [
    "-A INPUT -i docker0 -j ACCEPT", "-A FORWARD -s 198.51.100.0/24 -j DROP", "-A FORWARD -j LOG",
    "-A DOCKER -s 10.0.0.0/8 -j DROP", "-A DOCKER-USER -i eth0 -j DROP",
]  # fmt: skip


def test_bridges_of_others_get_no_rules() -> None:
    """br0 over a network card and libvirt's virbr0, with guests, beside docker0: dockerd knows its own only."""
    found = host("docker-28.5/icc-on")
    for name in ("br0", "virbr0"):
        subnet = Subnet(family=4, address=0x0A030000, prefix_length=24, gateway=0x0A030001)
        found.networks[name] = Network(name=name, bridge=name, subnets=(subnet,))
    text = dumps(rules_for(docker_host(found), 4))
    assert "docker0" in text
    assert not re.search(r"\bbr0\b|virbr0", text)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", CAPTURES)
def test_dockerd_wrote_the_same(name: str, family: Family) -> None:
    """The rules for the recovered settings are Docker's part of the dump, in order, chains and tables too."""
    made = plain(dumps(rules_for(docker_host(host(name)), family)))
    theirs = saved(name, family)
    if "ufw" in name:
        theirs = [line for line in theirs if "ufw" not in line]
        theirs = [{":INPUT DROP": ":INPUT ACCEPT"}.get(line, line) for line in theirs]
        if family == 6:  # ufw sets the policy; Docker leaves it alone
            theirs = [{":FORWARD DROP": ":FORWARD ACCEPT"}.get(line, line) for line in theirs]
    elif family == 4:
        others = next((f"-A {chain}" for part, chain in OTHERS.items() if part in name), None)
        theirs = [
            line
            for line in theirs
            if others is None or not line.startswith(others) or line == "-A DOCKER-USER -j RETURN"
        ]
    assert made == theirs


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", CAPTURES)
def test_rules_made_new_find_their_place(name: str, family: Family) -> None:
    """With the same settings the whole dump is as it was, other programs' rules included."""
    docker = docker_host(host(name))
    assert plain(dumps(rules_for(docker, family, base=host(name).rulesets[family]))) == saved(name, family)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", RECORDED)
def test_dockerd_wrote_the_same_for_harder_set_ups(name: str, family: Family) -> None:
    source = load_host(DOCKER / name)
    docker = docker_host(source)
    file = "iptables-save.txt" if family == 4 else "ip6tables-save.txt"
    theirs = plain((DOCKER / name / file).read_text())
    assert plain(dumps(rules_for(docker, family, base=source.rulesets[family]))) == theirs
    users = [one.rule.text for one in owners(source.rulesets[family], docker).rules if one.owner != "docker"]
    assert users == (USERS if name == "28-opts" and family == 4 else [])
    assert plain(dumps(rules_for(docker, family))) == [line for line in theirs if line not in users]


PAIRS: list[tuple[str, list[Change], str]] = [
    (f"{engine}/{before}", changes, f"{engine}/{after}")
    for engine, before, changes, after in (
        ("docker-20.10", "icc-on", [("icc", "false")], "icc-off"),
        ("docker-28.5", "icc-on", [("icc", "false")], "icc-off"),
        ("docker-20.10", "icc-off", [("icc", "true")], "icc-on"),
        ("docker-28.5", "icc-off", [("icc", "true")], "icc-on"),
        ("docker-26.1", "icc-off-link", [("unlink", "client:web"), ("remove", "other")], "icc-off"),
        ("docker-28.5", "icc-off", [("publish", "web:8080:80")], "icc-off-published"),
        ("docker-28.5", "published", [("userland-proxy", "false"), ("unpublish", "web:53/udp")],
         "published-no-proxy"),
        ("docker-28.5", "icc-off-published", [("icc", "true"), ("ip-masq", "false")], "no-masquerade"),
        ("docker-28.5", "icc-off-published",
         [("icc", "true"), ("iptables", "false"), ("ip6tables", "false")], "iptables-off"),
    )
] + [
    (f"{before}/{name}", [("engine", engine)], f"{after}/{name}")
    for before, engine, after in (
        ("docker-28.5", "20.10", "docker-20.10"),
        ("docker-20.10", "28", "docker-28.5"),
        ("docker-26.1", "28", "docker-28.5"),
        ("docker-28.5", "26", "docker-26.1"),
    )
    for name in ("icc-off", "icc-off-link", "published", "two-networks")
]  # fmt: skip


@pytest.mark.parametrize(("before", "changes", "after"), PAIRS, ids=lambda part: str(part))
def test_a_change_gives_what_dockerd_wrote_for_it(before: str, changes: list[Change], after: str) -> None:
    docker = docker_host(host(before))
    new = changed(docker, changes)
    for family in FAMILIES:
        base = host(before).rulesets[family]
        assert plain(dumps(rules_for(new, family))) == saved(after, family)
        assert plain(dumps(rules_for(new, family, base=base, before=docker))) == saved(after, family)


def test_the_users_rules_stay_where_they_were() -> None:
    """From a dump with rules of the user's around Docker's: only Docker's change."""
    docker = docker_host(host("docker-20.10/icc-on"))
    lines = saved("docker-20.10/icc-on", 4)
    place = lines.index("-A FORWARD -o docker0 -j DOCKER")
    lines[place:place] = ["-A FORWARD -s 198.51.100.0/24 -j DROP"]
    last = lines.index("-A FORWARD -i docker0 -o docker0 -j ACCEPT")
    lines[last + 1 : last + 1] = ["-A FORWARD -j LOG"]
    end = lines.index("-A DOCKER-USER -j RETURN")
    lines[end:end] = ["-A DOCKER-USER -i eth0 -j DROP"]
    base = loads("\n".join(f"{line} [0:0]" if line.startswith(":") else line for line in lines) + "\n")
    new = rules_for(changed(docker, [("icc", "false")]), 4, base=base, before=docker)
    forward = [rule.text for rule in new.tables["filter"].chains["FORWARD"].rules]
    # dockerd appends the DROP of --icc=false, so it comes behind whatever is there
    assert forward == [
        "-A FORWARD -j DOCKER-USER",
        "-A FORWARD -j DOCKER-ISOLATION-STAGE-1",
        "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A FORWARD -s 198.51.100.0/24 -j DROP",
        "-A FORWARD -o docker0 -j DOCKER",
        "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
        "-A FORWARD -j LOG",
        "-A FORWARD -i docker0 -o docker0 -j DROP",
    ]
    user = [rule.text for rule in new.tables["filter"].chains["DOCKER-USER"].rules]
    assert user == ["-A DOCKER-USER -i eth0 -j DROP", "-A DOCKER-USER -j RETURN"]
    assert [rule.position for rule in new.tables["filter"].chains["FORWARD"].rules] == list(range(1, 9))


def test_what_was_flushed_comes_back_on_top() -> None:
    docker = docker_host(host("docker-28.5/icc-off"))
    base = loads("*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -i eth0 -j ACCEPT\nCOMMIT\n")
    new = rules_for(docker, 4, base=base)
    forward = [rule.text for rule in new.tables["filter"].chains["FORWARD"].rules]
    assert forward == [
        "-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-FORWARD", "-A FORWARD -i eth0 -j ACCEPT",
    ]  # fmt: skip
    assert list(new.tables) == ["raw", "filter", "nat"]


def test_without_docker_the_users_rules_remain() -> None:
    docker = docker_host(host("docker-28.5/docker-user"))
    off = changed(docker, [("iptables", "false")])
    new = rules_for(off, 4, base=host("docker-28.5/docker-user").rulesets[4], before=docker)
    assert [rule.text for rule in new.rules()] == [
        line for line in saved("docker-28.5/docker-user", 4) if line.startswith("-A DOCKER-USER")
    ]
    assert new.tables["filter"].chains["FORWARD"].policy == "ACCEPT"


def test_a_gateway_mode_of_routed_opens_ports_without_translation() -> None:
    """By moby's iptabler: no MASQUERADE, no DNAT, ICMP let in, isolation left for the DOCKER chain."""
    docker = changed(docker_host(host("docker-28.5/two-networks")), [("gateway-mode", "front=routed")])
    lines = plain(dumps(rules_for(docker, 4)))
    assert not [line for line in lines if "br-front" in line and ("MASQ" in line or "DNAT" in line)]
    assert not [line for line in lines if line.startswith("-A PREROUTING -d 172.30.")]
    start = lines.index(
        "-A DOCKER -d 172.30.0.2/32 ! -i br-front -o br-front -p tcp -m tcp --dport 80 -j ACCEPT"
    )
    assert lines[start + 2 : start + 4] == [
        "-A DOCKER -o br-front -p icmp -j ACCEPT", "-A DOCKER ! -i br-front -o br-front -j DROP",
    ]  # fmt: skip
    first = lines.index(
        "-A DOCKER-ISOLATION-STAGE-1 -i br-front -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    )
    assert lines[first + 1] == "-A DOCKER-ISOLATION-STAGE-1 -o br-front -j RETURN"


@settings(max_examples=60, deadline=None)
@given(docker=docker_hosts())
def test_what_is_written_reads_back_and_is_all_dockers(docker: DockerHost) -> None:
    for family in FAMILIES:
        ruleset = rules_for(docker, family)
        text = dumps(ruleset)
        assert dumps(loads(text, family=family)) == text
        written = write(docker, family)
        assert [f"-A {made.chain} {made.text}" for made in written.rules()] == [
            rule.text for rule in ruleset.rules()
        ]
        found = owners(ruleset, docker)
        assert [one for one in found.rules if one.written is None] == []
        assert found.missing == ()
        assert dumps(rules_for(docker, family, base=ruleset)) == text


@pytest.mark.kernel
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("iptables-nft-restore") or not shutil.which("unshare"),
    reason="needs root and iptables",
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(docker=docker_hosts())
def test_iptables_takes_it_and_prints_the_same(docker: DockerHost) -> None:
    """iptables-restore of another network namespace loads it, and iptables-save prints it letter for letter."""
    for family, tool in ((4, "iptables-nft"), (6, "ip6tables-nft")):
        text = dumps(rules_for(docker, 6 if family == 6 else 4))
        command = f"{tool}-restore && {tool}-save"
        run = subprocess.run(
            ["unshare", "-n", "sh", "-c", command], input=text, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        assert plain(run.stdout) == plain(text)
