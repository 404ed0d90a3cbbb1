"""`iptsim check`: policies against recorded hosts, whose probes say what is so."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator

from iptsim.cli import main

ROOT = Path(__file__).parents[2]
SARIF = Draft202012Validator(json.loads((ROOT / "tests/sarif.json").read_text("utf-8")))
ICC_OFF = "fixtures/captures/docker-28.5/icc-off"
#: INPUT accepts 22 and 443, and pings at a rate; 8080 is published.
FIREWALL = "fixtures/captures/docker-28.5/host-firewall"


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def written(folder: Path, *expectations: str, head: str = "expectations") -> str:
    path = folder / "policy.yaml"
    path.write_text(f"{head}:\n" + "".join(f"  - {{{one}}}\n" for one in expectations))
    return str(path)


def test_what_holds_and_what_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = written(
        tmp_path,
        "from: client, to: web, ports: 80, expect: drop",
        "from: client, to: web, expect: closed",
        "from: client, to: web, ports: [80, 443], expect: open, because: it must",
    )
    assert main(["check", policy, ICC_OFF, "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert [one["passed"] for one in answer["expectations"]] == [True, True, False]
    (offence,) = answer["expectations"][2]["offences"]
    assert offence["packets"] == [{"to": ["172.17.0.2"], "proto": ["tcp"], "dports": ["80", "443"]}]
    assert (offence["verdict"], offence["reason"]["code"]) == ("DROP", "icc-disabled")
    # the example can be pasted, and shows the same
    assert main([*offence["command"].split()[1:], "--quiet", "--expect", "drop"]) == 0


def test_each_endpoint_of_a_list_is_checked_and_none_against_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Containers on docker0 cannot reach each other with icc off (probes.json), but each reaches itself."""
    policy = written(
        tmp_path,
        "from: [client, web], to: [client, web], expect: accept",
        "from: [client, web], to: [client, web], expect: drop",
        "from: client, to: [client, web], expect: accept",
        "from: client, to: client, expect: accept",
    )
    assert main(["check", policy, ICC_OFF, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["expectations"]
    assert [one["passed"] for one in found] == [False, True, False, True]
    assert {one["packets"][0]["to"][0] for one in found[0]["offences"]} == {"172.17.0.2", "172.17.0.3"}


def test_the_internet_is_no_multicast_address_and_no_private_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What DNAT forwards to a public address is sent to the internet, wherever it was sent first."""
    rules = """*nat
-A PREROUTING -d 192.0.2.10/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 203.0.113.9:80
-A PREROUTING -d 192.0.2.10/32 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 10.9.9.9:80
-A POSTROUTING -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -d 10.0.0.0/8 -j ACCEPT
-A FORWARD -d 224.0.0.0/4 -j ACCEPT
-A FORWARD -d 203.0.113.9/32 -p tcp -j ACCEPT
COMMIT
"""
    (tmp_path / "rules").write_text(rules)
    policy = written(tmp_path, "from: internet, to: internet, expect: closed")
    assert main(["check", policy, str(tmp_path / "rules"), "--json"]) == 1
    (result,) = json.loads(capsys.readouterr().out)["expectations"]
    sent = {
        (address, *line.get("dports", []))
        for one in result["offences"]
        for line in one["packets"]
        for address in line["to"]
    }
    # 192.0.2.10 is the host
    assert sent == {("192.0.2.10", "8080"), ("203.0.113.9",)}


def test_what_depends_is_not_called_decided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = written(tmp_path, "from: internet, to: host, ports: 8/icmp, expect: closed")
    assert main(["check", policy, FIREWALL]) == 1
    out = capsys.readouterr().out
    assert "Depends on filter INPUT rule 4: -A INPUT -p icmp" in out
    assert "Decided by" not in out
    # it is to be closed: a change that accepts the ping would not help
    assert "To fix it: iptables -D INPUT 4 " in out
    policy = written(tmp_path, "from: internet, to: host, ports: 22/tcp, expect: closed")
    assert main(["check", policy, "fixtures/captures/hosts/ufw-docker-28.5"]) == 1
    out = capsys.readouterr().out
    assert "The example gets ACCEPT: filter ufw-user-limit-accept rule 1" in out
    assert "Decided by" not in out
    main(["check", policy, "fixtures/captures/hosts/ufw-docker-28.5", "--format", "markdown"])
    assert "tcp 22: DEPENDS" in capsys.readouterr().out


def test_containers_without_a_network_of_their_own_use_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`shared` uses the network of web, which reaches client; `hostnet` that of the host (probes.json)."""
    policy = written(
        tmp_path,
        "from: shared, to: client, expect: drop",
        "from: shared, to: client, expect: accept",
        "from: client, to: shared, ports: 80, expect: open",
        "from: hostnet, to: client, expect: drop",
    )
    main(["check", policy, "fixtures/captures/docker-29.7/ports", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert [one["passed"] for one in answer["expectations"]] == [False, True, True, False]


def test_what_docker_proxy_takes_reaches_its_container(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The containers have no IPv6 address: docker-proxy connects clients to 172.17.0.2 (probes.json: 200 from web)."""
    policy = written(
        tmp_path,
        "from: '2001:db8:ffff::/48', to: web, ports: 80, expect: accept",
        "from: '2001:db8:ffff::/48', to: web, ports: 81-9000, expect: closed",
        "from: '2001:db8:ffff::/48', to: client, expect: closed",
    )
    main(["check", policy, "fixtures/captures/docker-28.5/published", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert [one["passed"] for one in answer["expectations"]] == [True] * 3


def test_a_published_port_reaches_its_container(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """8080 of the host leads to port 80 of web, and to no other port."""
    policy = written(
        tmp_path,
        "from: 203.0.113.0/24, to: web, ports: 80, expect: open",
        "from: 203.0.113.0/24, to: web, ports: 81-1000, expect: closed",
        "from: 203.0.113.0/24, to: host, ports: [22, 443, 8080], expect: accept",
        "from: 203.0.113.0/24, to: host, ports: 23, expect: reject",
    )
    main(["check", policy, FIREWALL, "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert [one["passed"] for one in answer["expectations"]] == [True] * 4


def test_defaults_are_about_everything_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "groups: {neighbours: [203.0.113.0/24]}\n"
        "expectations: [{from: neighbours, to: host, ports: [22, 443, 8080], expect: accept}]\n"
        "defaults: [{from: neighbours, to: host, expect: closed}]\n"
    )
    assert main(["check", str(path), FIREWALL, "--json"]) == 1
    _, default = json.loads(capsys.readouterr().out)["expectations"]
    # what is left is the ping, whose rate is limited
    assert {proto for one in default["offences"] for line in one["packets"] for proto in line["proto"]} == {
        "icmp"
    }
    assert [one["verdict"] for one in default["offences"]] == ["DEPENDS"]
    assert default["offences"][0]["hinges"]


def test_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = written(
        tmp_path,
        "name: apart, from: client, to: web, ports: 80, expect: open",
        "from: web, to: client, expect: closed",
    )
    log, cases = tmp_path / "log.sarif", tmp_path / "cases.xml"
    assert (
        main(["check", policy, ICC_OFF, "--format", "github", "--sarif", str(log), "--junit", str(cases)])
        == 1
    )
    (command,) = capsys.readouterr().out.splitlines()
    assert command.startswith(
        f"::error file={ICC_OFF}/iptables-save.txt,line=29,title=iptsim%3A not as expected%3A apart::"
    )
    written_log = json.loads(log.read_text())
    assert [error.message for error in SARIF.iter_errors(written_log)] == []
    (result,) = written_log["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 29}
    expected = result["relatedLocations"][0]["physicalLocation"]
    text = Path(policy).read_text()
    first, last = (expected["region"][key] - 1 for key in ("startColumn", "endColumn"))
    assert text.splitlines()[expected["region"]["startLine"] - 1][first:last].startswith("{name: apart, ")
    root = ElementTree.parse(cases).getroot()
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    assert next(case.get("name") for case in root.iter("testcase")) == "apart"


def test_one_remedy_closes_both_address_families(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = written(tmp_path, "from: internet, to: host, ports: 22, expect: closed")
    assert main(["check", policy, "fixtures/captures/docker-28.5/published", "--json"]) == 1
    (one,) = json.loads(capsys.readouterr().out)["expectations"]
    assert {offence["family"] for offence in one["offences"]} == {4, 6}
    mending = one["mending"]
    assert mending["suffices"]
    tools = [command.split(" ", 1)[0] for command in mending["command"].split("; ")]
    assert set(tools) == {"iptables", "ip6tables"}
    assert len(mending["changes"]) == len(tools)


def test_what_no_rule_decides_is_shown_at_the_expectation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of an expectation in several lines, the first one is shown from where it starts."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("expectations:\n  - from: client\n    to: host\n    expect: drop\n")
    assert main(["check", str(policy), ICC_OFF, "--format", "sarif"]) == 1
    (result,) = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert "relatedLocations" not in result
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 2, "startColumn": 5}
    assert main(["check", str(policy), ICC_OFF, "--format", "github"]) == 1
    assert f"file={policy},line=2,col=5,title=" in capsys.readouterr().out.replace("%3A", ":")


@pytest.mark.parametrize(
    ("expectation", "said"),
    [
        ("from: clinet, expect: drop", "policy.yaml:2:12: unknown endpoint clinet on"),
        ("from: clinet, expect: drop", "did you mean client?"),
        ("from: client, too: web, expect: drop", "policy.yaml:2:20: unknown key 'too'"),
        (
            "from: client, ports: htp, expect: drop",
            "policy.yaml:2:27: 'htp' is not a port; did you mean http?",
        ),
        ("from: client, to: svc/web, expect: drop", "svc/web cannot be an endpoint of a policy"),
    ],
)
def test_bad_policies(
    expectation: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", written(tmp_path, expectation), ICC_OFF]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "^" in captured.err


def test_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = written(tmp_path, "from: client, to: web, expect: drop")
    assert main(["check", policy, ICC_OFF, "missing"]) == 2
    assert main(["check", ICC_OFF]) == 2
    assert main(["check", "missing.yaml", ICC_OFF]) == 2


def test_a_first_policy_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "first.yaml"
    assert main(["check", "--init", FIREWALL, "-o", str(out)]) == 0
    text = out.read_text()
    assert "defaults:\n  - from: internet\n    expect: closed\n" in text
    assert "22/tcp, 443/tcp, 8080/tcp" in text
    assert main(["check", str(out), FIREWALL]) == 0


def test_the_schema_accepts_what_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", "--schema"])
    assert ended.value.code == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["title"] == "iptsim.policy/1"


def test_a_first_policy_is_short(tmp_path: Path) -> None:
    """Addresses of the host at which other ports are open have expectations of their own, and so have protocols."""
    policy = tmp_path / "policy.yaml"
    rules = tmp_path / "rules"
    rules.write_text(
        "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n"
        "-A INPUT -d 192.0.2.10/32 -p tcp -m tcp --dport 22 -j DROP\n-A INPUT -d 192.0.2.10/32 -j ACCEPT\n"
        "-A INPUT -d 192.0.2.11/32 -p 200 -j ACCEPT\n-A INPUT -s 198.51.100.0/24 -p udp -j ACCEPT\nCOMMIT\n"
    )
    assert main(["check", "--init", str(rules), "-o", str(policy)]) == 0
    text = policy.read_text()
    assert "    to: [192.0.2.10]\n    excluding: [22/tcp]\n    expect: open\n" in text
    assert "    to: [192.0.2.11]\n    ports: [200/ip]\n    expect: open\n" in text
    assert text.endswith("defaults:\n  - from: internet\n    expect: closed\n")
    assert main(["check", str(policy), str(rules)]) == 0


def test_a_first_policy_leaves_out_banned_addresses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Addresses of the host that are treated alike share their expectations."""
    ban = "-A INPUT -s 198.51.100.7/32 -p tcp -m tcp --dport 22 -j DROP\n"
    text = (
        "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n"
        f"{ban}-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"
        "-A INPUT -d 192.0.2.10/32 -p tcp -m tcp --dport 25 -j DROP\n"
        "-A INPUT -d 192.0.2.11/32 -p tcp -m tcp --dport 26 -j DROP\nCOMMIT\n"
    )
    policy, rules, changed = (str(tmp_path / name) for name in ("policy.yaml", "rules", "changed"))
    Path(rules).write_text(text)
    Path(changed).write_text(text.replace(ban, ""))
    assert main(["check", "--init", rules, "-o", policy]) == 0
    assert Path(policy).read_text().count("not_from: [198.51.100.7]") == 1
    assert "groups:" not in Path(policy).read_text()
    assert main(["check", policy, rules]) == 0
    # what the address that it is not about sends is left to the default
    assert main(["check", policy, changed]) == 1
    said = capsys.readouterr().out
    assert said.endswith("1 of 2 expectations failed.\n")
    assert "internet 198.51.100.7 → 192.0.2.10/31 tcp 22" in said


def test_a_fix_violates_no_other_expectation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its last rule, INPUT of the capture would accept all ports; each address needs a rule of its own."""
    policy = written(
        tmp_path,
        "from: internet, to: [172.17.0.1, 192.0.2.10], ports: 444, expect: open",
        "from: internet, to: host, ports: 9999, expect: closed",
    )
    assert main(["check", policy, FIREWALL]) == 1
    said = capsys.readouterr().out
    rules = (
        f"iptables -I INPUT 1 -i eth0 -d {one}/32 -p tcp --dport 444 -j ACCEPT"
        for one in ("172.17.0.1", "192.0.2.10")
    )
    fix = "add a rule for such packets from all sources on eth0 to INPUT"
    assert f"  To fix it: {'; '.join(rules)} ({fix})\n" in said


def test_a_fix_for_one_packet_violates_no_other_expectation_either(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its only rule, or with a rule that drops packets to its only address, port 22 is closed to all."""
    rules = tmp_path / "rules"
    rules.write_text(
        "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
    )
    closed = "from: 198.51.100.7, to: host, expect: closed"
    opened = "from: internet, not_from: 198.51.100.7, to: host, ports: 22, expect: open"
    assert main(["check", written(tmp_path, closed), str(rules)]) == 1
    assert "iptables -D INPUT 1" in capsys.readouterr().out
    assert main(["check", written(tmp_path, closed, opened), str(rules)]) == 1
    assert "iptables -D INPUT 1" not in capsys.readouterr().out


def test_exceptions_are_not_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """INPUT of the capture accepts tcp/22, 443 and 8080, and limits pings; see its iptables-save.txt."""
    closed = "from: internet, to: 192.0.2.10, ports: tcp, expect: closed, excluding:"
    assert main(["check", written(tmp_path, f"{closed} [22, 443, 8080]"), FIREWALL]) == 0
    assert main(["check", written(tmp_path, f"{closed} [22, 443]"), FIREWALL]) == 1
    assert "tcp 8080" in capsys.readouterr().out


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["docker-28.5/published", "hosts/ferm", "hosts/kube", "hosts/ufw"])
def test_a_first_policy_holds_on_its_own_host(name: str, tmp_path: Path) -> None:
    """Also where an expectation had to be left out (ferm), and a container is called "dns" (kube)."""
    source, policy = f"fixtures/captures/{name}", str(tmp_path / "policy.yaml")
    assert main(["check", "--init", source, "-o", policy]) == 0
    assert main(["check", policy, source]) == 0
