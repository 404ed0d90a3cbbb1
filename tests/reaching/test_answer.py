"""`iptsim reach`: judged by the connections that were really made, and by the packet walk."""

from __future__ import annotations

import csv
import io
import json
from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import iptsim
import iptsim.dump
from iptsim.asking import ask
from iptsim.cli import main
from iptsim.protocols import PROTOCOLS
from iptsim.question.model import Question
from iptsim.reaching import Cell, Reaching, reach
from iptsim.reaching.matrix import matrix_of
from iptsim.sets.limits import TooManyWaysError
from tests.test_captures import FIXTURES, probes

ICC_OFF, PUBLISHED = FIXTURES / "docker-28.5/icc-off", FIXTURES / "docker-28.5/published"
LISTENING, FAIL2BAN = FIXTURES / "docker-28.5/listening", FIXTURES / "hosts/fail2ban"
JUDGED = ["docker-20.10/icc-off-link", "docker-28.5/icc-off", "docker-28.5/two-networks", "docker-28.5/published",
          "docker-28.5/bridge-nf-off", "hosts/libvirt"]  # fmt: skip


@cache
def whole(capture: str) -> Reaching:
    return reach(FIXTURES / capture)


def has(cell: Cell, proto: str, port: int, kind: str) -> bool:
    """Return whether a port is open at a receiver's own addresses, or is published at the host's."""
    spans = getattr(cell, kind).ports.get(PROTOCOLS[proto], ())
    return any(low <= port <= high for low, high in spans)


@pytest.mark.parametrize("to", ["127.0.0.1", "localhost"])
def test_docker_proxy_serves_a_published_port_at_the_loopback_address(to: str) -> None:
    # Docker's rule in OUTPUT excludes 127.0.0.0/8 (moby setupIPChains), so nothing translates the packet
    answer = reach(PUBLISHED, "host", to, proto="tcp", dport=8080)
    assert [(one.receiver, one.verdict, one.fate.confirmed) for one in answer] == [("web", "ACCEPT", True)]
    assert answer.classes[0].fate.proxied == {"dst": "172.17.0.2", "dport": "80"}


def test_an_address_of_the_host_does_not_stand_for_all_of_them() -> None:
    host = iptsim.load_host(PUBLISHED)
    host.rulesets[4] = iptsim.loads(
        "*filter\n:INPUT ACCEPT\n-A INPUT -d 172.17.0.1 -p tcp -m tcp --dport 22 -j DROP\nCOMMIT\n", family=4
    )
    for to, verdict in (("172.17.0.1", "DROP"), ("192.0.2.10", "ACCEPT")):
        answer = reach(host, "client", to, proto="tcp", dport=22)
        assert {(one.verdict, *one.destinations.texts()) for one in answer} == {(verdict, to)}


@pytest.mark.parametrize("capture", JUDGED)
def test_the_matrix_is_that_of_the_connections_that_were_made(capture: str) -> None:
    answer, compared = whole(capture), 0
    for probe in probes(FIXTURES / capture):
        ends = probe["from"], probe.get("to")
        if (
            probe["outcome"] not in ("open", "filtered")
            or "port" not in probe
            or ends[1] not in answer.receivers
        ):
            continue
        if ends[0] not in answer.senders or ends[1] == "host":
            continue
        cell = answer.cell(ends[0], str(ends[1]))
        got = has(cell, probe.get("proto", "tcp"), probe["port"], "open")
        assert got == (probe["outcome"] == "open"), probe
        compared += 1
    assert compared


@pytest.mark.parametrize(
    "capture", [*JUDGED, "docker-28.5/listening", "hosts/fail2ban", "hosts/ufw", "hosts/kube"]
)
def test_the_walk_confirms_every_line(capture: str) -> None:
    host = iptsim.load_host(FIXTURES / capture)
    for one in whole(capture):
        answer = ask(host, Question(**one.witness))
        assert one.verdict in (answer.verdict, "DEPENDS"), one.witness
        if one.verdict == "ACCEPT":
            assert one.is_refused == (answer.trace.listening is False)


def test_short_commands_mean_the_same_packet() -> None:
    answer = whole("docker-28.5/published")
    for one in answer:
        short = ask(answer.host, Question(**answer.shortened(one.witness)))
        assert short.verdict == one.explanation.verdict
        assert short.reason.code == one.explanation.reason.code


# what icc=false means: dockerd(8)
def test_a_pair(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reach", str(ICC_OFF), "--from", "client", "--to", "web"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("From client to web   IPv4, new connections\n\nclient → web\nDROP    all ports\n")
    assert "icc is off" in out
    assert f"$ iptsim explain {ICC_OFF} --from client --to web:80" in out


def test_an_answer_is_short_in_an_interpreter() -> None:
    answer = reach(ICC_OFF, "client", "web")
    assert repr(answer) == "<Reaching of 1 classes of packets, IPv4, client → web>"
    assert repr(answer.classes[0]) == "<ReachClass client → web: DROP>"


def test_only_what_gets_in(capsys: pytest.CaptureFixture[str]) -> None:
    main(["reach", str(ICC_OFF), "--from", "client", "--to", "web", "--open"])
    assert "Nothing gets in." in capsys.readouterr().out


def test_a_published_port_is_found_by_the_container_behind_it() -> None:
    answer = reach(PUBLISHED, "internet", "web", proto="tcp").opened
    (one,) = answer.classes
    assert (one.receiver, one.traffic.ports, one.verdict) == ("web", {6: ((8080, 8080),)}, "ACCEPT")
    assert answer.forwarded_at(one)
    assert reach(PUBLISHED, "internet", "web", dport=8081).opened.classes == ()


def test_sources_that_are_banned_are_left_out() -> None:
    """fail2ban's own chains: see iptables-save.txt of the capture."""
    out = str(reach(FAIL2BAN, "internet", "host", dport=22).opened)
    assert "ACCEPT  tcp/22, from all but 168.95.1.1, 198.51.100.66, 203.0.113.99\n" in out


def test_a_part_of_a_network_is_said_as_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """fail2ban's jail sshd has banned 198.51.100.66: see iptables-save.txt of the capture."""
    out = str(reach(FAIL2BAN, "198.51.100.0/24", "host", dport=22))
    assert "ACCEPT  tcp/22, from all but 198.51.100.66\n" in out
    # of the whole network nothing is said
    assert "DROP    everything else\n" in out
    asked = ["--from", "198.51.100.0/24", "--to", "192.0.2.0/24", "-p", "tcp", "--dport", "22"]
    assert main(["explain", str(FAIL2BAN), *asked]) == 0
    assert "ACCEPT  all but 198.51.100.66 to 192.0.2.10\n" in capsys.readouterr().out


def test_what_dnat_sends_to_the_internet_is_sent_there() -> None:
    host = iptsim.load_host(PUBLISHED)
    rule = "-A PREROUTING -i eth0 -p tcp -m tcp --dport 9000 -j DNAT --to-destination 203.0.113.9:80"
    host.rulesets[4] = iptsim.dump.loads(f"*nat\n{rule}\nCOMMIT\n", family=4)
    sent = [one for one in reach(host, "internet", "internet") if one.is_forwarded]
    assert sent
    assert all(one.traffic.ports == {6: ((9000, 9000),)} for one in sent)
    assert {one.receiver for one in sent} >= {"host"}


def test_the_reason_for_several_services_is_an_example() -> None:
    """A cluster IP and a node port lead to web, with two endpoints; to dns, one address and port: see the capture."""
    found = {
        one.receiver: one.is_of_several_ports
        for one in reach(FIXTURES / "hosts/kube", "internet")
        if one.verdict == "ACCEPT" and one.is_forwarded and one.sender == "internet"
    }
    assert (found["web1"], found["web2"], found["dns"]) == (True, True, False)
    assert "Example: It is sent to " in str(reach(FIXTURES / "hosts/kube", "internet", "web2").opened)


def test_a_wrong_chain_is_pointed_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reach", str(PUBLISHED), "--classes", "--chain", "nat:DOKER"]) == 2
    assert capsys.readouterr().err == (
        "iptsim: table nat has no chain DOKER; did you mean DOCKER? "
        "Choose from: PREROUTING, INPUT, OUTPUT, POSTROUTING, DOCKER\n"
        "  --chain nat:DOKER\n"
        "              ^~~~~\n"
    )


def test_an_interface_and_a_network() -> None:
    # the default route leads there: what the internet sends arrives on it, as does what neighbours send
    assert {one.sender for one in reach(PUBLISHED, "eth0")} == {"internet", ""}
    ends = reach(PUBLISHED, "172.17.0.0/16", "192.0.2.10", proto="tcp", dport=22)
    assert {"client", "web"} <= {one.sender for one in ends}
    assert {one.receiver for one in ends} == {"host"}


def test_ports_on_which_nothing_listens_are_not_open() -> None:
    """ss.txt of the capture: sshd's 22 and 9100 at any address, docker-proxy's 8080 and 8082."""
    cell = whole("docker-28.5/listening").cell("internet", "host")
    assert has(cell, "tcp", 22, "open")
    assert not has(cell, "tcp", 23, "open")
    assert has(cell, "tcp", 23, "refused")


def test_endpoints_that_are_treated_alike_are_one_row() -> None:
    groups = matrix_of(whole("docker-20.10/iptables-off")).groups
    # docker-proxy takes what is sent to tcp/8080 of the host to web
    assert groups == (("internet", "client"), ("host",), ("web",))
    assert matrix_of(whole("docker-28.5/icc-off")).groups == (("internet",), ("host",), ("client", "web"))


def test_formats(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = ["reach", str(PUBLISHED), "--from", "internet", "--to", "web"]
    main([*asked, "--format", "csv"])
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0][:4] == ["from", "to", "ports", "verdict"]
    assert ["internet", "web", "tcp/8080, udp/5353 of the host", "ACCEPT"] in [row[:4] for row in rows]
    main([*asked, "--format", "markdown"])
    assert "| internet | web | tcp/8080, udp/5353 of the host | ACCEPT |" in capsys.readouterr().out
    main([*asked, "--format", "mermaid"])
    assert '==>|"tcp/8080, udp/5353"|' in capsys.readouterr().out
    page = tmp_path / "page.html"
    main([*asked, "--format", "html", "-o", str(page)])
    assert "<script" not in page.read_text("utf-8")
    assert "tcp/8080, udp/5353 of the host" in page.read_text("utf-8")


def test_json_is_as_its_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(iptsim.__file__).parent / "schemas"
    files = Registry[object]().with_resources(
        (path.name, Resource.from_contents(json.loads(path.read_text("utf-8"))))
        for path in folder.glob("*.json")
    )
    judge = Draft202012Validator({"$ref": "reach-1.json"}, registry=files)
    for capture in ("hosts/kube", "hosts/fail2ban", "docker-28.5/listening"):
        main(["reach", str(FIXTURES / capture), "--json"])
        out = json.loads(capsys.readouterr().out)
        assert not list(judge.iter_errors(out))
        assert all(
            ask(iptsim.load_host(FIXTURES / capture), Question(**one["witness"]))
            for one in out["classes"][:5]
        )


def test_several_sources(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = tmp_path / "none"
    assert main(["reach", str(ICC_OFF), str(missing), str(PUBLISHED), "--from", "client", "--to", "web"]) == 2
    told = capsys.readouterr()
    assert told.out.count("From client to web") == 2
    assert f"== {PUBLISHED}" in told.out
    assert str(missing) in told.err


def test_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reach", str(PUBLISHED), "--from", "clinet"]) == 2
    told = capsys.readouterr().err
    assert "did you mean client?" in told
    assert "  --from clinet\n         ^~~~~~\n" in told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--from", "client", "--to", "dns:53"), "'dns' is different for each sender"),
        (("--classes", "--from", "internet"), "--from cannot be used with --classes"),
        (("--classes", "--open"), "--open cannot be used with --classes"),
        (("--classes", "-p", "icmp", "--dport", "8"), "icmp has no ports"),
        (("--chain", "INPUT"), "--chain requires --classes"),
        (("--unknown", "deny"), "--unknown requires --classes"),
    ],
)
def test_options_that_do_not_go_together(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reach", str(PUBLISHED), *options]) == 2
    assert said in capsys.readouterr().err


def test_ends_and_families_of_another_kind() -> None:
    with pytest.raises(iptsim.IptsimError, match="5 is not a string"):
        reach(PUBLISHED, 5)  # type: ignore[arg-type]
    with pytest.raises(iptsim.IptsimError, match="5 is not an address family; give 4 or 6"):
        reach(PUBLISHED, family=5)  # type: ignore[arg-type]


def test_one_protocol_is_not_all_ports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reach", str(PUBLISHED), "--from", "client", "--to", "host", "-p", "gre"]) == 0
    assert "ACCEPT  gre\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("interface", "said"),
    [
        ("docker0", "only containers are behind 'docker0'; name one of them"),
        ("lo", "only the host itself sends through 'lo'; use host"),
        ("vethef1a8ce", "only containers are behind 'vethef1a8ce'; name one of them instead: web"),
    ],
)
def test_an_interface_behind_which_no_other_machines_are_known(interface: str, said: str) -> None:
    with pytest.raises(iptsim.IptsimError, match=said):
        reach(PUBLISHED, interface)


def test_the_family_is_that_of_the_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    assert reach(FIXTURES / "docker-28.5/ipv6", "2001:db8::1", "web").family == 6
    assert main(["reach", str(PUBLISHED), "-6", "--from", "client"]) == 2
    assert "container client has no IPv6 address" in capsys.readouterr().err


def test_a_protocol_without_ports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reach", str(PUBLISHED), "-p", "icmp", "--dport", "80"]) == 2
    assert "icmp has no ports" in capsys.readouterr().err


def test_frames() -> None:
    pytest.importorskip("pandas")
    frame = reach(PUBLISHED, "internet", "web").frame()
    assert list(frame["verdict"])[-1] in ("ACCEPT", "DROP")
    assert "command" in frame.columns


def test_groups_of_addresses(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source = tmp_path / "rules"
    source.write_text(
        "*filter\n:INPUT ACCEPT\n:FORWARD DROP\n:OUTPUT ACCEPT\n"
        "-A FORWARD -s 10.0.0.0/8 -d 192.0.2.0/24 -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
    )
    asked = ["reach", str(source), "--classes", "--chain", "FORWARD", "-p", "tcp", "--dport", "22"]
    main([*asked, "--json"])
    out = json.loads(capsys.readouterr().out)
    inner, outer = out["classes"].index(["10.0.0.0/8"]), out["classes"].index(["192.0.2.0/24"])
    assert (out["schema"], out["edges"]) == ("iptsim.classes/1", [[inner, outer]])
    main(asked)
    assert "10.0.0.0/8" in capsys.readouterr().out
    assert main([*asked[:2], "--classes", "--chain", "NONE"]) == 2
    assert main([*asked[:2], "--classes", "--dport", "80,81"]) == 2


@pytest.mark.thorough
def test_of_addresses_that_netmap_maps_by_their_last_bits_more_are_shown_and_it_is_said(
    tmp_path: Path,
) -> None:
    """Without `-d`, NETMAP maps every address to the one with the same last bits (net/netfilter/xt_NETMAP.c)."""
    source = tmp_path / "dump.txt"
    source.write_text(
        "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j NETMAP --to 10.5.0.0/24\nCOMMIT\n"
        "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -d 10.5.0.7/32 -j DROP\nCOMMIT\n"
    )
    found = reach(source, "internet").as_json()
    dropped = [
        one for one in found["classes"] if one["verdict"] == "DROP" and "1.0.0.0-9.255.255.255" in one["to"]
    ]
    assert dropped
    assert all(one["witness"]["dst"].endswith(".7") for one in dropped)
    assert any("single bits of addresses" in text for text in found["assumptions"])


@pytest.mark.parametrize(
    ("policy", "target"), [("ACCEPT", "MARK --set-xmark 0x{bit:x}/0x{bit:x}"), ("DROP", "ACCEPT")]
)
def test_matches_that_are_unknown_divide_packets_up_to_a_limit(
    tmp_path: Path, policy: str, target: str
) -> None:
    """Each of three rates may be exceeded or not."""
    rules = "".join(
        f"-A INPUT -p tcp -m tcp --dport {20 + n}:30 -m limit --limit {n + 1}/sec -j {target.format(bit=1 << n)}\n"
        for n in range(3)
    )
    source = tmp_path / "dump.txt"
    source.write_text(f"*filter\n:INPUT {policy} [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n")
    assert reach(source, "internet", "host", proto="tcp", dport=25).classes
    with pytest.raises(TooManyWaysError, match=r"more than 0 different ways .* filter INPUT rule [1-3]"):
        reach(source, "internet", "host", proto="tcp", dport=25, most_ways=0)


def test_many_ports_of_one_receiver_are_shown_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chains = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    ports = range(1001, 1041, 2)
    rules = "".join(f"-A INPUT -p tcp -m tcp --dport {port} -j ACCEPT\n" for port in ports)
    limited = "-A INPUT -s 203.0.113.0/24 -p tcp -m tcp --dport 22 -j ACCEPT\n"
    (tmp_path / "rules").write_text(f"{chains}{rules}{limited}COMMIT\n")
    assert main(["reach", str(tmp_path / "rules"), "--open"]) == 0
    blocks = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ACCEPT")]
    assert [" ".join(line.split()) for line in blocks] == [
        f"ACCEPT host tcp/{','.join(map(str, ports))}",
        "ACCEPT host tcp/22, from 203.0.113.0/24",
    ]


def test_forwarded_ports_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Docker publishes ports 8000 to 8019 of 12 of 30 containers; see docker-inspect.json of the capture."""
    assert main(["reach", str(FIXTURES / "hosts/docker-many")]) == 0
    lines = capsys.readouterr().out.splitlines()
    (told,) = [line for line in lines if line.startswith("  Ports that the host forwards: ")]
    assert told.startswith(
        "  Ports that the host forwards: tcp/8000 to c00, tcp/8001 to c01, tcp/8004 to c04, "
    )
    after = lines[lines.index(told) :]
    assert not [line for line in after if "of the host" in line]
    # c00 and c05 are on the default bridge, c04 is on a network of its own
    row = after[after.index("  c00") :]
    assert "    → c04, c09, c14, c19   forwarded ports" in row[:6]
    # large groups are listed where they send
    assert "  c07, c12, c17, c22, c27" in after
    assert "    → internet, c02, c07 (+4), c21, c26   all ports" in after


def test_receivers_of_which_the_same_is_said_are_one_part(capsys: pytest.CaptureFixture[str]) -> None:
    """Flannel's rule accepts what is sent to any pod."""
    assert main(["reach", str(FIXTURES / "hosts/kube")]) == 0
    assert "\nACCEPT  cli, dns, web1, web2   all ports\n" in capsys.readouterr().out


@pytest.mark.parametrize("state", ["established", "related"])
@pytest.mark.parametrize(("mark", "verdict"), [("5", "DEPENDS"), ("0x0/0x0", "DROP")])
def test_the_mark_of_a_connection_that_no_rule_here_opened_is_unknown(
    state: str, mark: str, verdict: str
) -> None:
    host = iptsim.load_host(PUBLISHED)
    lines = ("-A INPUT -m state --state NEW -j DROP", f"-A INPUT -m connmark --mark {mark} -j DROP")
    host.rulesets[4] = iptsim.loads("\n".join(("*filter", ":INPUT ACCEPT", *lines, "COMMIT", "")), family=4)
    answer = reach(host, "internet", "host", proto="tcp", dport=22, state=state)
    assert {one.verdict for one in answer} == {verdict}


def test_what_is_undecided_names_the_match() -> None:
    """`--update` is an option of several matches; the rule of `ufw limit` is one of recent."""
    answer = reach(FIXTURES / "hosts/ufw", "internet", "host", proto="tcp", dport=22)
    undecided = [str(hinge) for one in answer.classes for hinge in one.fate.hinges]
    assert undecided
    assert all(text.startswith("whether -m recent --update --seconds 30 ") for text in undecided)


def test_examples_are_not_sent_to_port_0() -> None:
    """No program can listen there; 80, the usual port, is not among those in question."""
    answer = reach(FIXTURES / "hosts/ufw", "internet", "host", proto="tcp", dport="0-79")
    ports = {one.witness["dport"] for one in answer.classes}
    assert ports
    assert 0 not in ports


def test_the_largest_class_is_everything_else(capsys: pytest.CaptureFixture[str]) -> None:
    """What the policy of ufw drops differs only in sources for some ports; a whole network is banned."""
    assert main(["reach", str(FIXTURES / "hosts/ufw"), "--from", "internet", "--to", "host"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("DROP", "ACCEPT"))]
    assert "DROP    all ports, from 203.0.113.96/27" in lines
    assert "ACCEPT  tcp/5432,6432, from 198.51.100.0/24" in lines
    assert not [line for line in lines if line.startswith("DROP    tcp/5432")]
    assert lines[-1] == "DROP    everything else"


def test_an_example_is_not_sent_to_its_own_source() -> None:
    for one in reach(FIXTURES / "hosts/ufw", "internet"):
        assert one.witness["src"] != one.witness["dst"]


def test_the_first_address_of_a_network_is_no_example() -> None:
    found = reach(PUBLISHED, "10.0.0.0/8", "192.168.0.0/16").classes
    assert {(one.witness["src"], one.witness["dst"]) for one in found} == {("10.0.0.1", "192.168.0.1")}
