"""Parts of what people paste: services of a Compose file, JSON of an engine, chains of kube-proxy."""

from __future__ import annotations

import pytest

from iptsim.findings import lint
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.paste.lines import lines_of
from iptsim.paste.splitting import split
from iptsim.question.model import Question

SERVICES = """\
  web:
    image: nginx
    ports:
      - "8080:80"
    networks:
      - front

  db:
    build: ./db
    expose:
      - 5432
    networks: [back]
"""
MEMBERS = """\
        "Containers": {
            "8e77": {
                "Name": "web",
                "IPv4Address": "172.17.0.2/16",
...
            }
        },
"""
XLB = """\
Chain KUBE-NODEPORTS (1 references)
 pkts bytes target     prot opt in     out     source               destination
    0     0 KUBE-XLB-AAAAAAAAAAAAAAAA  tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            /* default/web: */ tcp dpt:30080

Chain KUBE-XLB-AAAAAAAAAAAAAAAA (1 references)
 pkts bytes target     prot opt in     out     source               destination
    0     0 KUBE-MARK-DROP  all  --  *      *       0.0.0.0/0            0.0.0.0/0            /* default/web: has no local endpoints */
"""  # noqa: E501


def read(text: str) -> Host:
    return host_of_source(Source("paste", {}, text.encode()))


def verdict(text: str, sender: str, to: str, port: int) -> str:
    fields = {"from": sender, "to": to, "proto": "tcp", "dport": port}
    return walk(read(text), Question(**fields)).verdict


def test_services_without_the_line_services() -> None:
    pytest.importorskip("yaml")
    host = read(f"This is in my compose file:\n{SERVICES}It does not work.\n")
    assert sorted(host.containers) == ["project-db-1", "project-web-1"]
    # Docker isolates two networks from each other
    assert verdict(SERVICES, "project-web-1", "project-db-1", 5432) == "DROP"
    assert verdict(SERVICES, "internet", "host", 8080) == "ACCEPT"


FILES = """\
version: '3'
services:
  web:
    image: nginx
    networks: [front, shared]
networks:
  front:
  shared:
    name: shared
version: '3'
services:
  db:
    image: postgres
    networks: [front]
  api:
    image: api
    networks: [shared]
networks:
  front:
  shared:
    external: true
"""


def test_two_compose_files_are_two_projects() -> None:
    """Compose: a project's networks are its own, except external ones."""
    pytest.importorskip("yaml")
    assert verdict(FILES, "project-web-1", "project-db-1", 5432) == "DROP"
    assert verdict(FILES, "project-web-1", "project-api-1", 80) == "ACCEPT"


def test_without_any_commit_a_dump_is_not_cut_off() -> None:
    nat = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o eth0 -j MASQUERADE\n"
    rules = "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -i eth1 -j ACCEPT\n-A FORWARD -j DROP\n"
    fields = {"from": "10.9.9.9", "to": "203.0.113.9", "proto": "tcp", "dport": 80, "in": "eth1"}
    host = read(f"$ iptables-save\n{nat}\n{rules}")
    assert walk(host, Question(**fields)).legs[0].verdict == "ACCEPT"


@pytest.mark.parametrize(
    "text",
    [
        "job:\n  image: alpine\n  script:\n    - make\n",  # .gitlab-ci.yml
        "spec:\n  containers:\n    - image: nginx\n      name: web\n",  # Kubernetes
        "web:\n  image: &a [*a]\n" * 50,
    ],
)
def test_other_yaml_is_no_compose_file(text: str) -> None:
    segments, _ = split(lines_of(text))
    assert not [one for one in segments if one.form == "a Compose file"]


def test_a_part_of_the_json_of_a_network() -> None:
    host = read(MEMBERS)
    assert list(host.containers) == ["web"]
    assert host.networks["bridge"].bridge == "docker0"


def test_the_json_of_a_container_that_breaks_off() -> None:
    host = read(
        '$ docker inspect web\n[\n    {\n        "NetworkSettings": {\n            "IPAddress": "172.17.0.5",\n'
    )
    assert list(host.containers) == ["web"]


def test_what_inspect_prints_with_a_format() -> None:
    host = read(
        "$ docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' web\n172.17.0.3\n"
        "$ docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' app\n172.20.0.0/16\n"
    )
    assert list(host.containers) == ["web"]
    assert "app" in host.networks


@pytest.mark.parametrize(
    "text",
    [
        '"IPAM": ' + "{" * 5000,
        '"Containers": {"a": {"IPv4Address": "999.1.1.1/99"}},',
        '"Ports": {"80/tcp": null}, ]]]}}}',
        "docker inspect -f '{{.IPAddress}}' web\n999.1.1.1\n",
        '"Networks": {"": {"IPAddress": "x"}}, "Subnet": 5',
    ],
)
def test_broken_json_is_left_out(text: str) -> None:
    split(lines_of(text))


def test_marked_packets_may_be_dropped_later() -> None:
    assert verdict(XLB, "203.0.113.9", "host", 30080) == "DEPENDS"
    assert verdict(XLB, "203.0.113.9", "host", 30081) == "ACCEPT"
    cut_off = (
        XLB[: XLB.rindex("    0     0 KUBE-MARK-DROP")]
        + "    0     0 KUBE-SVC-AAAAAAAAAAAAAAAA  all  --  *   "
    )
    assert verdict(cut_off, "203.0.113.9", "host", 30080) == "DEPENDS"
    (finding,) = (one for one in lint(read(XLB)) if one.code == "service-without-endpoints")
    assert "default/web" in str(finding.title)


def test_chains_are_called_where_other_rules_are_missing() -> None:
    part = "-A FORWARD -i docker0 -o docker0 -j ACCEPT\n-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -j DROP\n"
    trace = walk(
        read(part), Question(**{"from": "203.0.113.9", "to": "172.17.0.2", "proto": "tcp", "dport": 80})
    )
    assert {leg.verdict for one in trace.branches for leg in one.legs[:1]} == {"ACCEPT", "DROP"}
    assert any(step.chain == "DOCKER" for one in trace.branches for leg in one.legs for step in leg.steps)


def test_addresses_redacted_as_a_whole_may_differ() -> None:
    rules = "-P INPUT DROP\n" + "-A INPUT -s x.x.x.x -p tcp --dport 22 -j ACCEPT\n" * 2
    assert "never-matches" not in {one.code for one in lint(read(rules))}


def test_the_rest_of_a_chain_for_outside_connections_may_mark_packets_to_be_dropped() -> None:
    """KUBE-XLB ends with KUBE-MARK-DROP if no endpoint is on the node (proxier.go); a grep may hide that rule."""
    called = "KUBE-XLB-AAAAAAAAAAAAAAAA  tcp  --  *   *   0.0.0.0/0   0.0.0.0/0  /* web */ tcp dpt:30080"
    text = (
        f"$ iptables -t nat -L -nv | grep 30080\n    0     0 {called}\n"
        "$ iptables -t nat -L KUBE-XLB-AAAAAAAAAAAAAAAA -nv\nChain KUBE-XLB-AAAAAAAAAAAAAAAA (2 references)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "    0     0 KUBE-SVC-AAAAAAAAAAAAAAAA  all  --  *  *  10.1.0.0/16  0.0.0.0/0\n"
    )
    assert verdict(text, "203.0.113.9", "host", 30080) == "DEPENDS"


WHOLE = "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n"
SHADOWED = "-A {chain} -p tcp --dport 22 -j ACCEPT\n-A {chain} -p tcp --dport 22 -s 10.0.0.0/8 -j DROP\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (SHADOWED.format(chain="ssh-in"), True),
        # the chain is shown as a whole, and so is what calls it: nothing
        (f"{WHOLE}:ssh-in -\n{SHADOWED.format(chain='ssh-in')}COMMIT\n", False),
        ("-A ssh-in -p tcp --dport 22 -j LOG\n-A ssh-in -p tcp --dport 22 -j DROP\n", False),
    ],
)  # fmt: skip
def test_rules_that_never_match_in_a_chain_whose_callers_are_not_shown(text: str, found: bool) -> None:
    assert ("never-matches" in {one.code for one in lint(read(text))}) is found


@pytest.mark.parametrize(
    "line",
    [
        "`-A` FORWARD -s 10.1.1.0/24 -j DROP`",
        "``-A FORWARD -s 10.1.1.0/24 -j `REJECT` --reject-with icmp-host-prohibited",
        "-A felix-FORWARD -s 10.1.1.0/24 -j DROP",  # Calico 2's name of its chain in FORWARD
    ],
)
def test_rules_with_stray_backticks_and_chains_of_known_callers(line: str) -> None:
    assert verdict(f"{line}\n", "10.1.1.5", "8.8.8.8", 443) in ("DROP", "REJECT")


def test_a_bare_accept_of_input_is_said_to_be_usually_for_lo() -> None:
    columns = "target     prot opt source               destination\n"
    accept = "ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0\n"
    text = f"Chain INPUT (policy DROP)\n{columns}{accept}"
    asked = Question(**{"from": "203.0.113.9", "to": "host", "proto": "tcp", "dport": 80})
    assert walk(read(text), asked).verdict == "DEPENDS"
    rule = read(text).rulesets[4].rule("filter", "INPUT", 1)
    assert "usually lo" in str([match.reason for match in rule.matches if hasattr(match, "reason")])
    # only the first of several is
    second = read(text + accept).rulesets[4].rule("filter", "INPUT", 2)
    reasons = str([match.reason for match in second.matches if hasattr(match, "reason")])
    assert "interfaces of the rule" in reasons
    assert "usually lo" not in reasons


MARKED = "$ iptables -S\n-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-A FORWARD -m mark --mark 0x1 -j ACCEPT\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MARKED, "DEPENDS"),
        (MARKED.replace("-m mark", "-m connmark"), "DEPENDS"),
        (MARKED + "$ iptables -t mangle -S\n-P PREROUTING ACCEPT\n-P FORWARD ACCEPT\n", "DROP"),
        (MARKED + "-A FORWARD -i eth9 -j MARK --set-mark 0x1\n", "DROP"),
        (MARKED.replace("0x1 ", "0x1/0x1 ") + "-A FORWARD -i eth9 -j MARK --set-xmark 0x8/0x8\n", "DEPENDS"),
        (MARKED.replace("FORWARD -m mark", "KUBE-FORWARD -m mark"), "DROP"),
    ],
    ids=["not shown", "of the connection", "shown", "set", "other bits set", "set by a program"],
)
def test_a_table_that_is_not_shown_may_set_the_mark_that_a_rule_tests(text: str, expected: str) -> None:
    assert verdict(text, "10.1.0.5", "203.0.113.9", 80) == expected


_GREPPED = """\
$ docker inspect web | grep IPAddress
            "IPAddress": "{web}",
$ ip route
default via 192.0.2.1 dev eth0
172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1
172.18.0.0/16 dev br-0aa11bb22cc3 proto kernel scope link src 172.18.0.1
192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.10
$ iptables -S
-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-A FORWARD -i docker0 -o docker0 -j DROP
"""


@pytest.mark.parametrize(
    ("sender", "web", "expected"),
    [("172.17.0.2", "172.17.0.3", "DROP"), ("192.0.2.9", "172.18.0.2", "ACCEPT")],
)
def test_an_address_alone_tells_the_network_of_its_container(sender: str, web: str, expected: str) -> None:
    # Docker's subnets and gateways: https://docs.docker.com/engine/daemon/default-address-pools/
    assert verdict(_GREPPED.format(web=web), sender, "web", 80) == expected


def test_a_subnet_that_grep_prints() -> None:
    text = (
        '$ docker network inspect backend | grep -i subnet\n                    "Subnet": "172.28.0.0/16",\n'
    )
    host = host_of_source(Source("paste", {}, f"{text}\n$ iptables -S\n-P FORWARD ACCEPT\n".encode()))
    assert [str(one) for one in host.networks["backend"].subnets] == ["172.28.0.0/16"]
