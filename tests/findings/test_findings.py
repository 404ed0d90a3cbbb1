"""Each finding on a host made for it, and silence on hosts that are as they should be."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import iptsim
from iptsim.errors import CaptureError
from iptsim.findings import ANALYSES, CODES, Finding
from iptsim.render.findings import findings_lines
from tests.thoroughness import every_nth

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
CAPTURES = FIXTURES / "captures"

#: What is found on the recorded hosts, each judged by hand; nothing on the others.
EXPECTED = {
    "docker-28.5/published-no-proxy": ["not-published-ipv6"],
    "docker-28.5/two-networks-no-proxy": ["not-published-ipv6"],
    # INPUT refuses all but 22 and 443, and only for IPv4; 8080 is published
    "docker-20.10/host-firewall": ["firewall-bypassed", "ipv6-open", "host-closed-to-containers"],
    "docker-28.5/host-firewall": ["firewall-bypassed", "ipv6-open", "host-closed-to-containers"],
    # no rules at all
    "docker-20.10/iptables-off": ["container-port-open"],
    "docker-28.5/iptables-off": ["container-port-open"],
    # 81 is published on 127.0.0.1, and the probe of the neighbour 192.0.2.20 got through before 28
    "docker-20.10/published": ["loopback-port-reachable"],
    "docker-26.1/published": ["loopback-port-reachable"],
    "docker-28.5/bridge-nf-off": ["icc-off-not-enforced"],
    "docker-28.5/forward-off": ["ip-forward-off"],
    # a network with enable_ip_masquerade=false
    "docker-28.5/no-masquerade": ["not-masqueraded"],
    # ferm made the chain for IPv6 too, but no jump
    "hosts/ferm": ["unreferenced-chain"],
    # an nftables chain drops what Docker publishes
    "docker-20.10/nft-drops-forward": ["nftables-drops-forwarded"],
    "docker-28.5/nft-drops-forward": ["nftables-drops-forwarded"],
    # the same, by a verdict map
    "docker-20.10/nft-sets-marks-nat": ["nftables-drops-forwarded"],
    # the kernel passes nothing between the two
    "docker-28.5/macvlan": ["macvlan-host"],
    # default/idle, without endpoints on purpose
    "hosts/kube": ["service-without-endpoints"],
    # two DNAT rules of the set-up in PREROUTING, none in OUTPUT
    "hosts/libvirt": ["port-forward-not-for-host"],
    # ufw blocks 8080, Docker publishes it
    # the policy of nftables' INPUT, and firewalld's zone public, do not see forwarded packets
    "docker-20.10/nft-input-policy": ["firewall-bypassed"],
    "docker-28.5/nft-input-policy": ["firewall-bypassed"],
    "docker-28.5/firewalld": ["firewall-bypassed"],
    "hosts/ufw-docker-28.5": ["firewall-bypassed", "host-closed-to-containers"],
}
ALL = sorted(str(file.parent.relative_to(CAPTURES)) for file in CAPTURES.rglob("iptables-save.txt"))


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


def one(findings: list[Finding], code: str) -> Finding:
    """Return the only finding of a code; a failure shows what was found instead."""
    found = [finding for finding in findings if finding.code == code]
    assert len(found) == 1, codes(findings)
    return found[0]


class Changed:
    """Makes a capture with some lines of its files changed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, capture: str, **files: Callable[[str], str]) -> list[Finding]:
        """Return the findings; a file is named with underscores, `iptables_save=...`."""
        target = self.directory / capture.replace("/", "-")
        shutil.copytree(CAPTURES / capture, target)
        for name, change in files.items():
            stem = name.replace("_", "-")
            path = next((path for path in target.iterdir() if path.stem == stem), target / f"{stem}.txt")
            before = path.read_text("utf-8") if path.exists() else ""
            after = change(before)
            assert after != before
            path.write_text(after, "utf-8")
        return iptsim.lint(target)


@pytest.fixture
def changed(tmp_path: Path) -> Changed:
    return Changed(tmp_path)


def without(*lines: str) -> Callable[[str], str]:
    """Return a change that takes rules away."""

    def change(text: str) -> str:
        for line in lines:
            assert line in text
            text = re.sub(rf"^\[[0-9]+:[0-9]+\] {re.escape(line)}.*\n", "", text, flags=re.MULTILINE)
        return text

    return change


def before(mark: str, *lines: str) -> Callable[[str], str]:
    """Return a change that puts rules before the first line that holds `mark`."""

    def change(text: str) -> str:
        at = text.rindex("\n", 0, text.index(mark)) + 1
        return text[:at] + "".join(f"[0:0] {line}\n" for line in lines) + text[at:]

    return change


@pytest.mark.parametrize("capture", ALL)
def test_recorded_hosts(capture: str) -> None:
    assert codes(iptsim.lint(CAPTURES / capture)) == EXPECTED.get(capture, [])


#: A dump without any table is no source on its own.
WITH_RULES = [name for name in ALL if "*" in (CAPTURES / name / "iptables-save.txt").read_text()]


@pytest.mark.parametrize("capture", every_nth(WITH_RULES, 3))
def test_rules_alone_raise_no_more(capture: str) -> None:
    """Where only the rules are known, less can be shown, and nothing else is made up."""
    file = CAPTURES / capture / "iptables-save.txt"
    if not file.stat().st_size:
        with pytest.raises(CaptureError, match="has no table"):
            iptsim.lint(file)
        return
    found = codes(iptsim.lint(file))
    assert set(found) <= set(EXPECTED.get(capture, [])) | {"firewall-bypassed"}


@pytest.mark.thorough
def test_every_finding_is_whole() -> None:
    for directory in (*CAPTURES.glob("*/*"), *(FIXTURES / "questions").iterdir()):
        for finding in iptsim.lint(directory):
            assert finding.code in CODES
            assert finding.evidence
            assert str(finding.title).endswith(".")
            assert finding.remedy
            assert json.loads(json.dumps(finding.as_json()))["code"] == finding.code


# -- Docker's rules --------------------------------------------------------------------------------


def test_flushed_nat(changed: Changed) -> None:
    def flush(text: str) -> str:
        head, nat = text.split("*nat\n")
        return head + "*nat\n" + re.sub(r"^\[.*\n", "", nat, flags=re.MULTILINE)

    finding = one(changed("docker-20.10/published", iptables_save=flush), "docker-rules-flushed")
    told = {(str(item.place), str(item.text)) for item in finding.evidence}
    assert ("nat PREROUTING", "no rule jumps to DOCKER") in told
    assert ("nat POSTROUTING", "no MASQUERADE rule for 172.17.0.0/16 of docker0") in told


@pytest.mark.parametrize("capture", ["docker-20.10/icc-off", "docker-28.5/icc-off"])
def test_a_lost_drop(capture: str, changed: Changed) -> None:
    findings = changed(
        capture, iptables_save=lambda text: re.sub(r".* -A [A-Z-]+ -i docker0 -o docker0 -j DROP\n", "", text)
    )
    finding = one(findings, "docker-rules-flushed")
    assert [str(item.text) for item in finding.evidence] == [
        "no rule -i docker0 -o docker0 -j DROP (containers on docker0 may not connect to each other: icc is off)"
    ]


def test_chains_left_without_jumps(tmp_path: Path) -> None:
    """Of a bare dump: FORWARD was flushed, and Docker's chains are still there."""
    text = (CAPTURES / "docker-28.5/published/iptables-save.txt").read_text("utf-8")
    path = tmp_path / "rules"
    path.write_text(without("-A FORWARD")(text), "utf-8")
    finding = one(iptsim.lint(path), "docker-rules-flushed")
    assert [str(item.text) for item in finding.evidence] == ["no rule jumps to DOCKER-FORWARD"]
    assert finding.shown is not None
    assert finding.shown.verdict == "DROP"


def test_everything_flushed_but_the_chains(tmp_path: Path) -> None:
    text = (CAPTURES / "docker-20.10/icc-on/iptables-save.txt").read_text("utf-8")
    path = tmp_path / "rules"
    path.write_text(re.sub(r"^\[.*\n", "", text, flags=re.MULTILINE), "utf-8")
    finding = one(iptsim.lint(path), "docker-rules-flushed")
    assert [item.place for item in finding.evidence] == ["nat PREROUTING", "nat OUTPUT", "filter FORWARD"]


def test_a_container_that_is_gone(changed: Changed) -> None:
    def forget_web(text: str) -> str:
        return json.dumps([entry for entry in json.loads(text) if entry["Name"] != "/web"])

    def nobody(text: str) -> str:
        return json.dumps({name: entry for name, entry in json.loads(text).items() if name != "web"})

    def nowhere(text: str) -> str:
        networks = json.loads(text)
        for network in networks:
            network["Containers"] = {}
        return json.dumps(networks)

    findings = changed(
        "docker-28.5/docker-user",
        docker_inspect=forget_web,
        container_netns=nobody,
        docker_network_inspect=nowhere,
    )
    finding = one(findings, "stale-rule")
    assert (
        str(finding.title) == "6 Docker rules are for 172.17.0.2, which no running container has."
        or len(finding.evidence) == 5
    )
    assert {item.rule.table for item in finding.evidence if item.rule} == {"raw", "nat", "filter"}
    assert finding.shown is not None
    assert finding.shown.question.dport == 8080


# -- DOCKER-USER -----------------------------------------------------------------------------------


def test_docker_user_not_asked(changed: Changed) -> None:
    findings = changed("docker-28.5/docker-user", iptables_save=without("-A FORWARD -j DOCKER-USER"))
    finding = one(findings, "docker-user-not-asked")
    assert len(finding.evidence) == 5
    assert finding.shown is not None  # 8443 would be dropped there
    assert (finding.shown.verdict, finding.shown.question.dport) == ("ACCEPT", 8443)


def test_docker_user_late(changed: Changed) -> None:
    def swap(text: str) -> str:
        first, second = "[0:0] -A FORWARD -j DOCKER-USER\n", "[0:0] -A FORWARD -j DOCKER-FORWARD\n"
        return text.replace(first + second, second + first)

    finding = one(changed("docker-28.5/docker-user", iptables_save=swap), "docker-user-late")
    assert finding.shown is not None
    assert finding.shown.question.dport == 8443


def test_answers_before_docker_user_do_no_harm(changed: Changed) -> None:
    rule = "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"

    def move(text: str) -> str:
        return before("-A FORWARD -j DOCKER-USER", rule)(without(rule)(text))

    assert changed("docker-20.10/icc-on", iptables_save=move) == []


def test_docker_user_after_return(changed: Changed) -> None:
    def append(text: str) -> str:
        end = "[0:0] -A DOCKER-USER -j RETURN\n"
        return text.replace(end, end + "[0:0] -A DOCKER-USER -i eth0 -j DROP\n")

    finding = one(changed("docker-20.10/published", iptables_save=append), "docker-user-after-return")
    assert [item.rule.position for item in finding.evidence if item.rule] == [1, 2]
    assert finding.shown is not None
    assert (finding.shown.verdict, finding.shown.question.dport) == ("ACCEPT", 5353)


def test_docker_user_host_port(changed: Changed) -> None:
    drop = "-A DOCKER-USER -s 198.51.100.0/24 -i eth0 -p tcp -m tcp --dport 8080 -j REJECT --reject-with tcp-reset"
    finding = one(
        changed("docker-28.5/published", iptables_save=before("-A DOCKER-ISOLATION-STAGE-1 ", drop)),
        "docker-user-host-port",
    )
    assert str(finding.remedy) == (
        "iptables -R DOCKER-USER 1 -s 198.51.100.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 "
        "--ctdir ORIGINAL -j REJECT --reject-with tcp-reset"
    )


@pytest.mark.parametrize(
    "rule",
    [
        "-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 80 -j DROP",
        "-A DOCKER-USER -i docker0 -p tcp -m tcp --dport 8080 -j DROP",
        "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP",
        "-A DOCKER-USER -i eth0 -p udp -m udp --dport 8080 -j DROP",
    ],
    ids=["container-port", "outgoing", "ctorigdstport", "other-protocol"],
)
def test_right_ports_in_docker_user(rule: str, changed: Changed) -> None:
    findings = changed("docker-28.5/published", iptables_save=before("-A DOCKER-ISOLATION-STAGE-1 ", rule))
    assert "docker-user-host-port" not in codes(findings)


def test_docker_user_blocks_replies(changed: Changed) -> None:
    drop = before("-A DOCKER-ISOLATION-STAGE-1 ", "-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -j DROP")
    finding = one(changed("docker-28.5/published", iptables_save=drop), "docker-user-blocks-replies")
    assert finding.shown is not None
    assert finding.shown.trace.deciding_leg.direction == "reply"
    # whoever lets answers pass first is right
    assert iptsim.lint(CAPTURES / "docker-28.5/docker-user") == []


# -- published ports -------------------------------------------------------------------------------


def test_published_without_dnat(changed: Changed) -> None:
    lose = without("-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT")
    finding = one(changed("docker-28.5/published", iptables_save=lose), "published-without-dnat")
    assert "docker-proxy on the host accepts the connection instead" in str(finding.consequence)
    assert finding.shown is not None
    assert finding.shown.reason.code == "docker-proxy"


def test_published_without_accept(changed: Changed) -> None:
    lose = without("-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80")
    finding = one(changed("docker-28.5/published", iptables_save=lose), "published-without-accept")
    assert finding.shown is not None
    assert finding.shown.reason.code == "unpublished-port"


def test_published_behind_a_bridge_that_is_down(changed: Changed) -> None:
    """`ip link set docker0 down` takes its routes, but those of the local table; the rules are all there."""

    def down(text: str) -> str:
        return json.dumps(
            [
                one | {"flags": ["BROADCAST", "MULTICAST"]} if one["ifname"] == "docker0" else one
                for one in json.loads(text)
            ]
        )

    def routes(text: str) -> str:
        shown = json.loads(text)
        return json.dumps([one for one in shown if one.get("dev") != "docker0" or one.get("type") == "local"])

    found = changed("docker-28.5/published", ip_addr=down, ip_link=down, ip_route=routes)
    finding = next(one for one in found if one.code == "published-without-accept")
    assert "docker0 is down" in str(finding.consequence)
    assert "ip link set docker0 up" in str(finding.remedy)


def test_nat_accept_before_docker(changed: Changed) -> None:
    accept = before(
        "-A PREROUTING -m addrtype", "-A PREROUTING -i eth0 -p tcp -m tcp --dport 8000:8999 -j ACCEPT"
    )
    finding = one(changed("docker-28.5/published", iptables_save=accept), "nat-accept-before-docker")
    assert [item.rule.chain for item in finding.evidence if item.rule] == [
        "PREROUTING",
        "PREROUTING",
        "DOCKER",
    ]


def test_a_port_that_input_allows_is_no_finding(changed: Changed) -> None:
    allow = before("-A INPUT -m comment", "-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT")
    assert codes(changed("docker-28.5/host-firewall", iptables_save=allow)) == ["ipv6-open"]


def test_loopback_port_by_route_localnet(changed: Changed) -> None:
    """127.0.0.1 is reachable from the link when the kernel takes such packets and no rule drops them."""
    findings = changed(
        "docker-28.5/published",
        iptables_save=without("-A PREROUTING -d 127.0.0.1/32 ! -i lo"),
        sysctl=lambda text: text.replace("eth0.route_localnet = 0", "eth0.route_localnet = 1"),
    )
    assert "loopback-port-reachable" in codes(findings)
    assert "route-localnet" in codes(findings)


def test_route_localnet_behind_a_drop_is_no_finding(changed: Changed) -> None:
    findings = changed(
        "docker-28.5/icc-on",
        iptables_save=before(
            "-A PREROUTING -d 172.17.0.2/32", "-A PREROUTING -d 127.0.0.0/8 ! -i lo -j DROP"
        ),
        sysctl=lambda text: text.replace("eth0.route_localnet = 0", "eth0.route_localnet = 1"),
    )
    assert findings == []


def test_container_ports_by_policy(changed: Changed) -> None:
    accept = changed(
        "docker-20.10/icc-on", iptables_save=lambda text: text.replace("FORWARD DROP", "FORWARD ACCEPT")
    )
    assert str(one(accept, "container-port-open").evidence[0].text) == "policy ACCEPT"


# -- bridges, backends, families -------------------------------------------------------------------


def test_other_bridge_with_a_rule_of_its_own() -> None:
    """Libvirt accepts its guests' packets itself."""
    assert "forward-drop" not in " ".join(codes(iptsim.lint(CAPTURES / "hosts/libvirt")))


def test_legacy_warning(tmp_path: Path) -> None:
    warning = "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them\n"
    path = tmp_path / "rules"
    text = (CAPTURES / "docker-28.5/icc-on/iptables-save.txt").read_text("utf-8")
    path.write_text(text + warning, "utf-8")
    finding = one(iptsim.lint(path), "mixed-backends")
    assert finding.evidence[0].text == warning.strip()


@pytest.mark.parametrize(
    ("command", "shown", "lacking"), [("iptables-legacy", "legacy", "nft"), ("iptables", "nft", "legacy")]
)
def test_a_legacy_warning_apart_from_the_rules(
    command: str, shown: str, lacking: str, tmp_path: Path
) -> None:
    path = tmp_path / "paste"
    warning = "Warning: iptables-legacy tables present, use iptables-legacy to see them"
    path.write_text(
        f"How do I get rid of this?\n{warning}\n\n$ {command} -S\n-P INPUT ACCEPT\n-A INPUT -j DROP\n"
    )
    title = str(one(iptsim.lint(path), "mixed-backends").title)
    assert f"rules of iptables-{shown}, the host has rules of iptables-{lacking}" in title


def test_an_empty_other_backend_is_no_finding(changed: Changed) -> None:
    empty = "# Generated by iptables-save v1.8.9 (legacy)\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"
    assert changed("docker-28.5/icc-on", iptables_legacy_save=lambda text: empty) == []


# -- chains and rules ------------------------------------------------------------------------------


def rules(tmp_path: Path, *lines: str, policy: str = "DROP", chains: tuple[str, ...] = ()) -> list[Finding]:
    """Return the findings of a small filter table."""
    head = [f":INPUT {policy} [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"]
    head += [f":{chain} - [0:0]" for chain in chains]
    path = tmp_path / "rules"
    path.write_text("\n".join(["*filter", *head, *lines, "COMMIT", ""]), "utf-8")
    return iptsim.lint(path)


def test_accept_all(tmp_path: Path) -> None:
    finding = one(
        rules(tmp_path, "-A INPUT -j ACCEPT", "-A INPUT -p tcp -m tcp --dport 23 -j DROP"), "accept-all"
    )
    assert str(finding.consequence) == "The rule after it and the policy DROP never apply."
    assert finding.shown is not None
    assert (finding.shown.question.dport, finding.shown.verdict) == (23, "ACCEPT")


def test_accept_all_in_docker_user(changed: Changed) -> None:
    accept = before("-A DOCKER-ISOLATION-STAGE-1 ", "-A DOCKER-USER -j ACCEPT")
    finding = one(changed("docker-28.5/published", iptables_save=accept), "accept-all")
    assert str(finding.consequence) == "Docker's own rules are never evaluated."
    assert "RETURN instead of ACCEPT" in str(finding.remedy)


def test_accept_all_behind_a_return(changed: Changed) -> None:
    def append(text: str) -> str:
        end = "[0:0] -A DOCKER-USER -j RETURN\n"
        return text.replace(end, end + "[0:0] -A DOCKER-USER -j ACCEPT\n")

    assert codes(changed("docker-20.10/icc-on", iptables_save=append)) == ["docker-user-after-return"]


def test_accept_all_at_the_end_of_nothing(tmp_path: Path) -> None:
    assert rules(tmp_path, "-A INPUT -j ACCEPT", policy="ACCEPT") == []
    assert codes(rules(tmp_path, "-A INPUT -i lo -j ACCEPT")) == ["input-drops-replies"]


def test_chains(tmp_path: Path) -> None:
    found = rules(
        tmp_path,
        "-A INPUT -j hollow",
        "-A lonely -p tcp -m tcp --dport 25 -j DROP",
        policy="ACCEPT",
        chains=("hollow", "lonely"),
    )
    assert codes(found) == ["unreferenced-chain", "empty-chain"]
    assert found[0].shown is not None
    assert found[0].shown.question.dport == 25


def test_fragments_of_a_ruleset_have_no_lonely_chains(tmp_path: Path) -> None:
    path = tmp_path / "rules"
    path.write_text("*filter\n:MINE - [0:0]\n-A MINE -j DROP\nCOMMIT\n", "utf-8")
    assert iptsim.lint(path) == []


COVERED = [
    ("-p tcp -m tcp --dport 80 -j ACCEPT", "-p tcp -m tcp --dport 80 -j DROP"),
    ("-p tcp -m tcp --dport 1:1024 -j ACCEPT", "-s 10.0.0.1/32 -p tcp -m tcp --dport 80 -j DROP"),
    ("-s 10.0.0.0/8 -j DROP", "-s 10.1.0.0/16 -i eth0 -j ACCEPT"),
    ("-i eth+ -j DROP", "-i eth0 -p udp -j ACCEPT"),
    ("-m conntrack --ctstate NEW,ESTABLISHED -j DROP", "-p tcp -m conntrack --ctstate NEW -j ACCEPT"),
    ("-p tcp -m multiport --dports 22,80 -j DROP", "-p tcp -m tcp --dport 22 -j ACCEPT"),
    ("! -s 10.0.0.0/8 -j DROP", "! -s 10.0.0.0/8 -p tcp -j ACCEPT"),
    ("-p tcp -j DROP", "-p tcp -m limit --limit 1/sec -j ACCEPT"),
    ("-m mark --mark 0x1 -j DROP", "-m mark --mark 0x1 -j ACCEPT"),
    ("-m recent --name x --rcheck --rsource -j DROP", "-m recent --name x --rcheck --rsource -j ACCEPT"),
]
OPEN = [
    ("-p tcp -m tcp --dport 80 -j ACCEPT", "-p udp -m udp --dport 80 -j DROP"),
    ("-s 10.1.0.0/16 -j DROP", "-s 10.0.0.0/8 -j ACCEPT"),
    ("-p tcp -m limit --limit 1/sec -j ACCEPT", "-p tcp -m limit --limit 1/sec -j DROP"),
    ("-p tcp -j LOG", "-p tcp -j DROP"),
    ("! -s 10.0.0.0/8 -j DROP", "-s 10.0.0.0/8 -j ACCEPT"),
    ("-m conntrack --ctstate NEW -j DROP", "-m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT"),
    ("-i eth0 -j DROP", "-i eth+ -j ACCEPT"),
    ("-p tcp -m tcp ! --dport 80 -j DROP", "-p tcp -m tcp --dport 80 -j ACCEPT"),
    ("-i eth0 -j DROP", "-o eth0 -j ACCEPT"),
]


@pytest.mark.parametrize(("first", "second"), COVERED)
def test_covered_rules(first: str, second: str, tmp_path: Path) -> None:
    finding = one(rules(tmp_path, f"-A INPUT {first}", f"-A INPUT {second}"), "never-matches")
    assert [item.rule.position for item in finding.evidence if item.rule] == [1, 2]


def test_rules_that_hide_one_together(tmp_path: Path) -> None:
    lines = [
        "-s 10.0.0.0/9 -j DROP",
        "-p udp -j ACCEPT",
        "-s 10.128.0.0/9 -j DROP",
        "-s 10.0.0.0/8 -p tcp -j ACCEPT",
    ]
    finding = one(rules(tmp_path, *(f"-A INPUT {line}" for line in lines)), "never-matches")
    assert str(finding.title) == (
        "filter INPUT rule 4 never matches: rules 1 and 3 together handle all its packets first."
    )
    assert str(finding.consequence) == "Packets meant for rule 4 get DROP instead of ACCEPT."


def test_a_rule_of_another_chain_hides_one(tmp_path: Path) -> None:
    lines = ("-A INPUT -s 10.0.0.0/8 -j DROP", "-A INPUT -p tcp -j web", "-A web -s 10.1.0.0/16 -j ACCEPT")
    finding = one(rules(tmp_path, *lines, chains=("web",)), "never-matches")
    assert "filter INPUT rule 1 handles all its packets first" in str(finding.title)


def test_a_rule_that_its_callers_exclude(tmp_path: Path) -> None:
    lines = ("-A INPUT -p tcp -j web", "-A web -p udp -j DROP")
    finding = one(rules(tmp_path, *lines, chains=("web",)), "never-matches")
    assert "no packet that enters the chain satisfies its conditions" in str(finding.title)


def test_counters_tell_that_a_dead_rule_was_not_always_dead(tmp_path: Path) -> None:
    lines = ("-A INPUT -s 10.0.0.0/8 -j DROP", "[7:420] -A INPUT -s 10.1.0.0/16 -j ACCEPT")
    finding = one(rules(tmp_path, *lines), "never-matches")
    assert "Rule 2 has counted 7 packets: it matched until other rules were placed above it." in str(
        finding.consequence
    )


def test_a_rule_that_changes_nothing(tmp_path: Path) -> None:
    lines = ["-s 10.0.0.1/32 -j DROP", "-p tcp -s 192.0.2.0/24 -j ACCEPT", "-s 10.0.0.0/8 -j DROP"]
    finding = one(rules(tmp_path, *(f"-A INPUT {line}" for line in lines), policy="ACCEPT"), "redundant-rule")
    assert finding.severity == "info"
    assert [item.rule.position for item in finding.evidence if item.rule] == [1, 3]
    lines[1] = "-p tcp -s 10.0.0.0/24 -j ACCEPT"
    assert "redundant-rule" not in codes(
        rules(tmp_path, *(f"-A INPUT {line}" for line in lines), policy="ACCEPT")
    )


@pytest.mark.parametrize(("first", "second"), OPEN)
def test_rules_that_still_match(first: str, second: str, tmp_path: Path) -> None:
    chain = "FORWARD" if "-o" in second else "INPUT"
    assert "never-matches" not in codes(rules(tmp_path, f"-A {chain} {first}", f"-A {chain} {second}"))


def test_rules_of_docker_that_are_there_twice(changed: Changed) -> None:
    # as after `iptables-restore --noflush` of a saved file under a running daemon
    def twice(text: str) -> str:
        line = re.search(r"^.*-A POSTROUTING -s 172\.17\.0\.0/16 .*\n", text, flags=re.MULTILINE)
        assert line is not None
        return text.replace(line[0], line[0] * 2)

    finding = one(changed("docker-28.5/icc-on", iptables_save=twice), "never-matches")
    assert str(finding.title) == "nat POSTROUTING rule 2 never matches: rule 1 handles all its packets first."


# -- the parts together ----------------------------------------------------------------------------


def test_analyses_are_described() -> None:
    assert all(analysis.__doc__ for analysis in ANALYSES)


def test_dump_text_is_inert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from iptsim.cli import main

    comment = '-m comment --comment "[bold]x[/nope]"'
    rules(tmp_path, f"-A INPUT -p tcp {comment} -j DROP", "-A INPUT -p tcp -j ACCEPT")
    assert main(["lint", str(tmp_path / "rules")]) == 1
    assert "[bold]x[/nope]" in capsys.readouterr().out


def test_exit_status(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from iptsim.cli import main

    assert main(["lint", str(CAPTURES / "docker-28.5/icc-on")]) == 0
    assert capsys.readouterr().out == "Nothing found.\n"
    assert main(["lint", str(FIXTURES / "questions/flushed"), "--json"]) == 1
    out = json.loads(capsys.readouterr().out)
    assert out["schema"] == "iptsim.findings/1"
    assert [finding["code"] for finding in out["findings"]] == ["docker-rules-flushed"]
    assert out["findings"][0]["shown"]["schema"] == "iptsim.trace/1"
    assert main(["lint", str(tmp_path / "missing")]) == 2


#: FORWARD as Docker 28 leaves it, and room for rules of others.
DOCKER_FORWARD = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [{dropped}:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
:DOCKER-FORWARD - [0:0]
{more}-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-FORWARD -i docker0 -j ACCEPT
COMMIT
"""


def dump_file(folder: Path, text: str) -> Path:
    path = folder / "rules"
    path.write_text(text)
    return path


def test_a_policy_of_dockers_that_has_dropped_packets_of_others(tmp_path: Path) -> None:
    quiet = iptsim.lint(dump_file(tmp_path, DOCKER_FORWARD.format(dropped=0, more="")))
    assert codes(quiet) == []
    found = one(iptsim.lint(dump_file(tmp_path, DOCKER_FORWARD.format(dropped=72, more=""))), "forward-drop")
    assert "72 packets" in str(found.evidence[0].text)
    assert found.shown is not None
    assert found.shown.verdict == "DROP"


def test_a_tunnel_that_the_policy_of_forward_cuts_off(tmp_path: Path) -> None:
    more = "-A FORWARD -o wg0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    found = one(
        iptsim.lint(dump_file(tmp_path, DOCKER_FORWARD.format(dropped=0, more=more))),
        "forward-drop-hits-others",
    )
    assert "wg0" in str(found.title)
    assert found.commands  # they were tried
    assert "No rule accepts the traffic of wg0" in str(found.consequence)
    accepted = more + "-A FORWARD -i wg0 -j ACCEPT\n"
    assert codes(iptsim.lint(dump_file(tmp_path, DOCKER_FORWARD.format(dropped=0, more=accepted)))) == []


ROUTES_OF_VPN = """\
$ ip route
default via 192.168.1.1 dev eth0 proto static
10.8.0.0/24 dev wg0 proto kernel scope link src 10.8.0.1
192.168.1.0/24 dev eth0 proto kernel scope link src 192.168.1.20
$ iptables -S FORWARD
-P FORWARD DROP
-A FORWARD -j DOCKER-USER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i wg0 -j ACCEPT
"""


def test_a_policy_that_drops_only_the_replies_to_a_tunnel() -> None:
    found = one(iptsim.lint(iptsim.loads_host(ROUTES_OF_VPN)), "forward-drop-hits-others")
    assert "none accepts the replies" in str(found.consequence)
    again = "$ iptables -t filter -A FORWARD -i wg1 -j ACCEPT\n" + ROUTES_OF_VPN
    found = one(iptsim.lint(iptsim.loads_host(again)), "forward-drop-hits-others")
    assert "line 7" in str(found.evidence[0].place)  # of the policy, not of the first mention of its chain


def test_replies_that_were_never_counted(tmp_path: Path) -> None:
    rules = """*filter
:INPUT ACCEPT [9:9]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [9:9]
[{replies}:0] -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[4274:270000] -A FORWARD -s 10.8.0.0/24 -j ACCEPT
COMMIT
"""
    found = one(iptsim.lint(dump_file(tmp_path, rules.format(replies=0))), "replies-not-counted")
    assert "4274 packets" in str(found.title)
    assert found.shown is not None
    assert codes(iptsim.lint(dump_file(tmp_path, rules.format(replies=7)))) == []
    masquerade = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 10.8.0.0/24 -j MASQUERADE\nCOMMIT\n"
    found_too = iptsim.lint(dump_file(tmp_path, masquerade + rules.format(replies=0)))
    assert "replies-not-counted" not in codes(found_too)


def test_replies_to_the_host_that_input_drops(tmp_path: Path) -> None:
    chains = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    closed = "-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
    found = one(iptsim.lint(dump_file(tmp_path, chains + closed)), "input-drops-replies")
    assert found.commands
    answered = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    assert codes(iptsim.lint(dump_file(tmp_path, chains + answered + closed))) == []


def test_new_connections_of_the_host_that_output_drops(tmp_path: Path) -> None:
    chains = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT DROP [0:0]\n"
    loopback = "-A OUTPUT -o lo -j ACCEPT\n-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\nCOMMIT\n"
    found = one(iptsim.lint(dump_file(tmp_path, chains + loopback)), "output-drop")
    assert found.shown is not None
    assert found.shown.verdict == "DROP"
    named = "-A OUTPUT -p udp -m udp --dport 53 -j ACCEPT\n"
    assert codes(iptsim.lint(dump_file(tmp_path, chains + named + loopback))) == []


@pytest.mark.parametrize(
    "rules",
    [
        "-A OUTPUT -o lo -j ACCEPT\n-A OUTPUT -o tun+ -j ACCEPT\n-A OUTPUT -j REJECT",
        # wg-quick(8)
        "-A OUTPUT ! -o wg0 -m mark ! --mark 0xca6c -m addrtype ! --dst-type LOCAL -j REJECT",
    ],
)
def test_the_kill_switch_of_a_vpn_is_told(rules: str, tmp_path: Path) -> None:
    text = f"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}\nCOMMIT\n"
    found = one(iptsim.lint(dump_file(tmp_path, text)), "output-drop")
    assert "kill switch" in str(found.consequence)
    assert not found.commands


def test_a_part_of_a_chain_of_nftables_that_drops_the_rest(tmp_path: Path) -> None:
    base = "type filter hook forward priority 10; policy accept;"
    text = f"table inet firewalld {{{{\n chain filter_FORWARD {{{{\n  {base}\n{{}}\n }}}}\n}}}}\n"
    for rules, expected in (
        (
            "  jump filter_FORWARD_IN_ZONES\n  reject with icmpx type admin-prohibited",
            ["nftables-forward-drop"],
        ),
        ("  jump filter_FORWARD_IN_ZONES", []),
    ):
        (tmp_path / "paste.txt").write_text(text.format(rules))
        assert codes(iptsim.lint(tmp_path / "paste.txt")) == expected


def test_chains_that_openwrt_keeps_for_the_user_may_be_empty(tmp_path: Path) -> None:
    text = (
        "*filter\n:INPUT ACCEPT [0:0]\n:input_rule - [0:0]\n:zone_lan_input - [0:0]\n:input_lan_rule - [0:0]\n"
        "-A INPUT -j input_rule\n-A INPUT -i br-lan -j zone_lan_input\n-A zone_lan_input -j input_lan_rule\nCOMMIT\n"
    )
    assert "empty-chain" not in codes(iptsim.lint(dump_file(tmp_path, text)))


def test_replies_of_services_that_output_drops(tmp_path: Path) -> None:
    chains = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT DROP [0:0]\n"
    ssh = "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"
    found = one(iptsim.lint(dump_file(tmp_path, f"{chains}{ssh}COMMIT\n")), "output-drops-replies")
    assert found.shown is not None
    assert [leg.verdict for leg in found.shown.trace.legs] == ["ACCEPT", "DROP"]
    assert found.commands == ("iptables -I OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",)
    answered = "-A OUTPUT -p tcp -m tcp --sport 22 -j ACCEPT\n"
    assert "output-drops-replies" not in codes(
        iptsim.lint(dump_file(tmp_path, f"{chains}{ssh}{answered}COMMIT\n"))
    )


def test_output_may_accept_replies_to_a_name(tmp_path: Path) -> None:
    text = (
        "iptables -P OUTPUT DROP\niptables -A OUTPUT -p tcp -d example.com -j ACCEPT\n"
        "iptables -A INPUT -p tcp -s 192.0.2.77 --dport 22 -j ACCEPT\n"
    )
    (tmp_path / "paste.txt").write_text(text)
    found = one(iptsim.lint(tmp_path / "paste.txt"), "output-drops-replies")
    assert found.shown is not None
    assert found.shown.verdict == "DEPENDS"
    # a name does not tell which user it is
    owned = text.replace("-d example.com", "-m owner --uid-owner 33")
    (tmp_path / "paste.txt").write_text(owned)
    assert "output-drops-replies" not in codes(iptsim.lint(tmp_path / "paste.txt"))


def test_nothing_is_flushed_that_a_cut_dump_does_not_show(tmp_path: Path) -> None:
    text = (
        "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
        "-A PREROUTING -p tcp -m tcp --dport 10000:19999 -j CT --notrack\nCOMMIT\n"
        "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
        ":DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
        "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER\n"
        "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n-A DOCKER -i docker0 -j RETURN\n-A\n"
    )
    (tmp_path / "paste.txt").write_text(text)
    found = iptsim.lint(tmp_path / "paste.txt")
    assert codes(found) == ["notrack-stops-nat"]
    shown = one(found, "notrack-stops-nat").shown
    assert shown is not None
    assert shown.trace.legs[0].packet.dport == 10000


def test_pods_that_only_the_forward_policy_drops(tmp_path: Path) -> None:
    rules = (
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:DOCKER - [0:0]\n"
        ":DOCKER-ISOLATION - [0:0]\n:KUBE-FIREWALL - [0:0]\n-A INPUT -j KUBE-FIREWALL\n"
        "-A FORWARD -j DOCKER-ISOLATION\n-A FORWARD -o docker0 -j DOCKER\n{}"
        "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n-A DOCKER-ISOLATION -j RETURN\nCOMMIT\n"
    )
    found = one(iptsim.lint(dump_file(tmp_path, rules.format(""))), "forward-drop")
    assert "iptables -I FORWARD -i INTERFACE" in str(found.remedy)  # there is no DOCKER-USER
    accepted = rules.format("-A FORWARD -s 10.244.0.0/16 -j ACCEPT\n")
    assert "forward-drop" not in codes(iptsim.lint(dump_file(tmp_path, accepted)))


NFT_FORWARD = """\
table inet filter {
  chain forward {
    type filter hook forward priority filter; policy drop;
    iifname "lan" oifname "wan" accept
  }
}
"""


def test_a_chain_of_nftables_drops_what_containers_send(tmp_path: Path) -> None:
    (tmp_path / "paste.txt").write_text(NFT_FORWARD)
    assert codes(iptsim.lint(tmp_path / "paste.txt")) == ["nftables-forward-drop"]
    docker = (CAPTURES / "docker-28.5/published/iptables-save.txt").read_text()
    (tmp_path / "paste.txt").write_text(f"{docker}\n{NFT_FORWARD}")
    port, found = [
        one for one in iptsim.lint(tmp_path / "paste.txt") if one.code == "nftables-drops-forwarded"
    ]
    assert "published port" in str(port.title)
    assert found.shown is not None
    assert found.shown.verdict == "DROP"
    assert 'nft insert rule inet filter forward iifname "docker0" accept' in str(found.remedy)
    opened = NFT_FORWARD.replace(
        "iifname", 'iifname "docker0" accept\n    ct state established accept\n    iifname'
    )
    (tmp_path / "paste.txt").write_text(f"{docker}\n{opened}")
    (port,) = iptsim.lint(tmp_path / "paste.txt")
    assert "published port 5353/udp" in str(port.title)


NFT_DOCKER = """\
table ip own {
  chain passing {
    type filter hook forward priority filter; policy drop;
    iifname "lan" oifname "wan" accept
  }
}
table inet docker {
  chain forward {
    type filter hook forward priority filter; policy drop;
    jump docker-user
    iifname "docker0" oifname != "docker0" accept
  }
}
"""


def test_the_chain_of_nftables_that_drops_certainly_is_named(tmp_path: Path) -> None:
    """Rules of the other table that are not shown may drop the packet before."""
    (tmp_path / "paste.txt").write_text(NFT_DOCKER)
    (found,) = [one for one in iptsim.lint(tmp_path / "paste.txt") if one.code == "nftables-drops-forwarded"]
    assert str(found.title).startswith("The nftables chain ip own passing drops what docker0 sends")
    assert found.shown is not None
    assert found.shown.verdict == "DROP"


def test_ports_that_are_not_published_over_ipv6(changed: Changed) -> None:
    found = one(iptsim.lint(CAPTURES / "docker-28.5/published-no-proxy"), "not-published-ipv6")
    assert "8080/tcp (web)" in str(found.title)
    assert "docker network create --ipv6" in str(found.remedy)  # docker-proxy is off
    # docker-proxy takes connections over IPv6
    assert "not-published-ipv6" not in codes(iptsim.lint(CAPTURES / "docker-28.5/published"))


def test_a_redirect_for_every_destination(changed: Changed) -> None:
    rule = "-A PREROUTING {more}-p tcp -m tcp --dport 80 -j REDIRECT --to-ports 20559\n"

    def redirect(more: str) -> Callable[[str], str]:
        return lambda text: re.sub(r"(?=\[\d+:\d+\] -A PREROUTING -m addrtype)", rule.format(more=more), text)

    findings = changed("docker-28.5/published", iptables_save=redirect(""))
    found = one(findings, "redirect-takes-forwarded")
    assert found.shown is not None
    shutil.rmtree(changed.directory / "docker-28.5-published")
    assert codes(changed("docker-28.5/published", iptables_save=redirect("-i eth0 "))) == []


def test_ports_in_docker_user_of_a_source_without_nat(tmp_path: Path) -> None:
    rules = """*filter
:DOCKER-USER - [0:0]
-A DOCKER-USER -p tcp -m tcp --dport 8080 -j DROP
COMMIT
"""
    assert codes(iptsim.lint(dump_file(tmp_path, rules))) == ["docker-user-port"]


def test_a_source_without_the_filter_table_is_not_told_that_rules_are_missing(tmp_path: Path) -> None:
    text = (CAPTURES / "docker-28.5/published/iptables-save.txt").read_text("utf-8")
    nat = re.search(r"\*nat\n.*?COMMIT\n", text, re.DOTALL)
    assert nat
    assert codes(iptsim.lint(dump_file(tmp_path, nat[0]))) == []


def test_published_ports_bypass_firewalld() -> None:
    """As probed with firewalld 2 and dockerd 28.5.2: zone public rejects other ports, but Docker's are open."""
    (found,) = iptsim.lint(CAPTURES / "docker-28.5/firewalld")
    assert str(found.title) == (
        "8090/tcp (other), 8080/tcp (web) are open from outside although firewalld in INPUT denies them."
    )
    assert any("filter_IN_public_to_HOST" in str(evidence.place) for evidence in found.evidence)


def test_of_many_findings_alike_only_the_first_are_shown(tmp_path: Path) -> None:
    """JSON has them all."""
    names = [f"C{number}" for number in range(52)]
    chains = "".join(f":{name} - [0:0]\n" for name in names)
    jumps = "".join(f"-A INPUT -j {name}\n" for name in names)
    found = iptsim.lint(dump_file(tmp_path, f"*filter\n:INPUT ACCEPT [0:0]\n{chains}{jumps}COMMIT\n"))
    lines = [line.plain for line in findings_lines(found, "x")]
    assert codes(found).count("empty-chain") == 52
    assert sum(line.startswith("empty-chain") for line in lines) == 50
    assert "2 more findings empty-chain are not shown; --json lists all." in lines


def test_of_much_evidence_only_the_first_is_shown(tmp_path: Path) -> None:
    many = "".join(f"-A INPUT -s 192.0.2.{number} -j DROP\n" for number in range(23))
    (found,) = iptsim.lint(
        dump_file(tmp_path, f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\n{many}COMMIT\n")
    )[:1]
    evidence = tuple(found.evidence[:1]) * 22
    lines = [line.plain for line in findings_lines([replace(found, evidence=evidence)], "x")]
    assert lines[1:21] == [lines[1]] * 20
    assert lines[21] == "  and 2 more; --json lists all"
