"""The rules that dockerd 29 writes with nftables, against those that it wrote on the captured hosts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

import iptsim
from iptsim.addresses import FAMILIES
from iptsim.docker.dockerd.rulesets import nft_table, rules_for
from iptsim.docker.model.settings import DockerHost
from iptsim.docker.sources.flag_changes import changed
from iptsim.docker.sources.host import docker_host
from iptsim.host.dockerd import DockerDaemon
from iptsim.owners.rule_owners import authorship, rulesets_of
from iptsim.paste.docker_nft import with_docker
from iptsim.sources import loads_host
from tests.docker.hosts import FIXTURES, docker_hosts, host

CAPTURES = ["nftables", "nftables-icc-off", "nftables-modes"]


@pytest.mark.parametrize("name", CAPTURES)
def test_dockerd_wrote_the_same(name: str) -> None:
    """`nft --stateless list ruleset` printed the text."""
    docker = docker_host(host(f"docker-29.7/{name}"))
    saved = (FIXTURES / "docker-29.7" / name / "nft-ruleset.txt").read_text()
    assert "".join(nft_table(docker, family) for family in FAMILIES) == saved
    assert not any(rules_for(docker, family).tables for family in FAMILIES)


def test_a_change_makes_the_rules_new() -> None:
    """What dockerd writes for icc=false is in the capture nftables-icc-off."""
    before = host("docker-29.7/nftables")
    text = nft_table(changed(docker_host(before), [("icc", "false")]), 4)
    assert 'iifname "docker0" counter drop comment "ICC"' in text
    answer = iptsim.whatif(before, {"icc": False}, "client", "web:80").after
    assert answer is not None
    assert (answer.verdict, answer.reason.code) == ("DROP", "icc-disabled")
    assert answer.trace.legs[0].steps[-1].table == "ip docker-bridges"


def test_an_engine_without_nftables_writes_rules_of_iptables() -> None:
    old = changed(docker_host(host("docker-29.7/nftables")), [("engine", "28")])
    assert not nft_table(old, 4)
    assert "nat" in rules_for(old, 4).tables


@pytest.mark.parametrize("ip6tables", [True, False])
def test_settings_alone(ip6tables: bool) -> None:
    """Only Docker 29 and later know the backend; with ip6tables=false there is no table of IPv6."""
    docker = DockerHost(daemon=DockerDaemon(firewall_backend="nftables", ip6tables=ip6tables))
    assert [bool(nft_table(docker, family)) for family in FAMILIES] == [True, ip6tables]


def test_a_host_that_settings_describe() -> None:
    found = loads_host('{"firewall-backend": "nftables"}\n\ndocker run -d --name web -p 8080:80 nginx\n')
    answer = iptsim.explain(found, "internet", "host", dport=8080)
    assert (answer.verdict, answer.reason.code, answer.target) == (
        "ACCEPT",
        "published-port",
        "host 192.0.2.10",
    )
    assert iptsim.explain(found, "internet", "web", dport=80).reason.code == "direct-route-drop"


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=25)
@given(docker_hosts())
def test_each_written_rule_is_known_as_dockers(docker: DockerHost) -> None:
    daemon = replace(docker.daemon, version="29.7.2", firewall_backend="nftables")
    found = loads_host("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n")
    found.namespace.nftables = with_docker(None, docker.model_copy(update={"daemon": daemon}))
    written = [rule for ruleset in rulesets_of(found) for rule in ruleset.rules()]
    assert written
    assert [rule.text for rule in written if authorship(rule, found)[1] is None] == []


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from iptsim.cli import main

    (tmp_path / "daemon.json").write_text('{"firewall-backend": "nftables", "icc": false}')
    assert main(["docker-rules", str(tmp_path / "daemon.json")]) == 0
    assert capsys.readouterr().out.startswith("table ip docker-bridges {\n")
