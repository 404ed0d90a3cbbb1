"""Whose a rule is, and which are missing or stale."""

from __future__ import annotations

import pytest

from iptsim.addresses import FAMILIES
from iptsim.docker.dockerd.recognition import template_of
from iptsim.docker.sources.flag_changes import changed
from iptsim.docker.sources.host import docker_host
from iptsim.dump import loads
from iptsim.dump.ruleset import Ruleset
from iptsim.owners.docker import docker_role, is_dockers
from tests.docker.hosts import CAPTURES, OTHERS, host, saved
from tests.docker.ownership import owners, rules_of


def ruleset(lines: list[str]) -> Ruleset:
    return loads("".join(f"{line} [0:0]\n" if line.startswith(":") else f"{line}\n" for line in lines))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", CAPTURES)
def test_dockers_rules_are_told_from_the_others(name: str, family: int) -> None:
    """No Docker rule is missing or stale in a capture, and the others' rules are known."""
    docker = docker_host(host(name))
    found = owners(host(name).rulesets[6 if family == 6 else 4], docker)
    assert found.missing == ()
    assert [one for one in found.rules if one.stale] == []
    others = {(one.rule.chain, one.owner) for one in found.rules if one.owner != "docker"}
    if "ufw" in name:
        assert {owner for chain, owner in others} == {"ufw"}
    else:
        chain = next((chain.strip() for part, chain in OTHERS.items() if part in name and family == 4), None)
        assert others == ({(chain, "user")} if chain is not None else set())


def test_roles_and_forms_agree_on_every_capture() -> None:
    for name in CAPTURES:
        for family in FAMILIES:
            docker = docker_host(host(name))
            for one in owners(host(name).rulesets[family], docker).rules:
                role = docker_role(one.rule, host(name))
                assert (role is not None) == (one.written is not None), one.rule.text
                if role is not None and one.written is not None:
                    origin = one.written.origin
                    assert role.code == one.written.role
                    assert role.setting == origin.setting
                    assert (role.container, role.port, role.link) == (
                        origin.container, origin.port, origin.link,
                    )  # fmt: skip
                    assert role.network == origin.network or role.code == "plumbing"


#: Rules of a user's, each beside Docker's own ones of the same chain.
USERS = [
    "-A FORWARD -i docker0 -o eth0 -j ACCEPT",
    "-A FORWARD -i eth0 -o eth0 -j ACCEPT",
    "-A FORWARD -s 172.17.0.0/16 -j DROP",
    "-A FORWARD -j LOG",
    "-A DOCKER -s 10.0.0.0/8 -j DROP",
    "-A DOCKER-USER -i eth0 -j DROP",
    "-A DOCKER-USER -s 192.0.2.0/24 -j RETURN",
    "-A DOCKER-FORWARD -i docker0 -p tcp -j DROP",
    "-A INPUT -i docker0 -j ACCEPT",
]


@pytest.mark.parametrize("text", USERS)
@pytest.mark.parametrize("where", ["first", "last"])
def test_a_users_rule_among_dockers(text: str, where: str) -> None:
    lines = saved("docker-28.5/icc-off", 4)
    chain = text.split()[1]
    places = [number for number, line in enumerate(lines) if line.startswith(f"-A {chain} ")]
    filter_ = lines.index("*filter")
    places = [number for number in places if number > filter_ and number < lines.index("*nat")]
    end = lines.index("COMMIT", filter_)
    place = (places[0] if where == "first" else places[-1] + 1) if places else end
    found = owners(ruleset([*lines[:place], text, *lines[place:]]), docker_host(host("docker-28.5/icc-off")))
    assert [one.rule.text for one in found.rules if one.owner == "user"] == [text]
    assert found.missing == ()
    assert not any(
        is_dockers(one.rule, host("docker-28.5/icc-off")) for one in found.rules if one.owner == "user"
    )


def test_what_was_flushed_is_missing() -> None:
    lines = [line for line in saved("docker-28.5/published", 4) if not line.startswith("-A DOCKER ")]
    found = owners(ruleset(lines), docker_host(host("docker-28.5/published")))
    missing = {(made.table, made.role) for made in found.missing}
    assert missing == {
        ("filter", "published-port"), ("filter", "unpublished"), ("nat", "own-bridge"), ("nat", "port-forward"),
    }  # fmt: skip
    ports = {made.origin.port for made in found.missing if made.role == "port-forward"}
    assert ports == {"80/tcp", "81/tcp", "53/udp"}


def test_what_is_left_of_a_container_that_is_gone_is_stale() -> None:
    docker = changed(docker_host(host("docker-20.10/published")), [("remove", "web")])
    found = owners(host("docker-20.10/published").rulesets[4], docker)
    stale = [one for one in found.rules if one.stale]
    assert {one.owner for one in stale} == {"docker"}
    assert len(stale) == 9  # three ports, each translated, let through, and masqueraded for itself


def test_rules_of_another_setting_are_stale() -> None:
    docker = changed(docker_host(host("docker-28.5/icc-off")), [("icc", "true")])
    found = owners(host("docker-28.5/icc-off").rulesets[4], docker)
    assert [one.rule.text for one in found.rules if one.stale] == [
        "-A DOCKER-FORWARD -i docker0 -o docker0 -j DROP", "-A DOCKER-FORWARD -i docker0 ! -o docker0 -j ACCEPT",
    ]  # fmt: skip
    assert [made.text for made in found.missing] == ["-i docker0 -j ACCEPT"]


def test_a_link_is_told_with_its_alias() -> None:
    source = host("docker-28.5/icc-off-link")
    rules = list(source.rulesets[4].tables["filter"].chains["DOCKER"].rules)
    roles = [docker_role(rule, source) for rule in rules[1:3]]
    assert [str(role.why) for role in roles if role is not None] == [
        "lets client reach web on 80/tcp: --link web:db of client, because icc is off",
        "allows replies of web on 80/tcp to client: --link web:db of client, because icc is off",
    ]
    assert {role.link for role in roles if role is not None} == {"client:web:db"}


def test_each_thing_has_its_rules() -> None:
    docker = docker_host(host("docker-28.5/icc-off-link"))
    assert [made.text for made in rules_of(docker, link="client:web", port="80/tcp")] == [
        "-s 172.17.0.3/32 -d 172.17.0.2/32 -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT",
        "-s 172.17.0.2/32 -d 172.17.0.3/32 -i docker0 -o docker0 -p tcp -m tcp --sport 80 -j ACCEPT",
    ]
    assert {made.role for made in rules_of(docker, setting="--icc")} == {"icc-off", "outgoing"}
    assert rules_of(docker, setting="--icc=true") == []
    two = docker_host(host("docker-28.5/two-networks"))
    option = "com.docker.network.bridge.enable_icc"
    assert {made.origin.network for made in rules_of(two, setting=option)} == {"front", "back"}
    assert {made.origin.network for made in rules_of(two, setting="--icc")} == {"bridge"}
    assert [made.role for made in rules_of(docker, container="other")] == ["direct-routing"]
    published = docker_host(host("docker-28.5/published"))
    assert [(made.table, made.chain, made.role) for made in rules_of(published, port="81/tcp")] == [
        ("raw", "PREROUTING", "loopback-port"),
        ("filter", "DOCKER", "published-port"),
        ("nat", "DOCKER", "port-forward"),
    ]


@pytest.mark.parametrize(
    ("table", "chain", "text", "role"),
    [
        ("filter", "FORWARD", "-j DOCKER-ISOLATION", "plumbing"),
        ("filter", "DOCKER-ISOLATION", "-i br-1 -o docker0 -j DROP", "isolation"),
        ("filter", "FORWARD", "-m set --match-set docker-ext-bridges-v4 dst -j DOCKER", "plumbing"),
        (
            "nat",
            "DOCKER-INGRESS",
            "-p tcp -m tcp --dport 80 -j DNAT --to-destination 172.18.0.2:80",
            "port-forward",
        ),
        ("nat", "DOCKER", "-d 127.0.0.0/8 -i loopback0 -j RETURN", "wsl2"),
        ("mangle", "POSTROUTING", "-p sctp -m sctp --sport 99 -j CHECKSUM --checksum-fill", "checksum"),
    ],
)
def test_forms_of_other_engines(table: str, chain: str, text: str, role: str) -> None:
    """Of engines before 17.10, of 28.0, of swarm mode and of WSL2: moby's sources."""
    names = ("DOCKER", "DOCKER-ISOLATION", "DOCKER-INGRESS")
    declared = "".join(f":{name} - [0:0]\n" for name in names)
    rule = loads(f"*{table}\n{declared}-A {chain} {text}\nCOMMIT\n").rule(table, chain, 1)
    found = template_of(rule)
    assert found is not None
    assert found[0].role == role
    told = docker_role(rule)
    assert told is not None
    assert told.code == role
