"""Redaction: nothing that tells whose a host is is left, and every packet still takes the same path."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iptsim.cli import main
from iptsim.host import load_host
from iptsim.host.collect import script
from iptsim.host.files import read_source
from iptsim.netfilter.trace import Trace
from iptsim.netfilter.walk import Simulator
from iptsim.redaction import Redactor, key_of, redact_files
from tests.test_captures import FIXTURES, probes, question_of
from tests.thoroughness import every_nth

KEY = key_of("a test")
ADDRESSES = {4: st.integers(0, (1 << 32) - 1), 6: st.integers(0, (1 << 128) - 1)}
WIDTH = {4: 32, 6: 128}
#: Captures whose rules and questions name many kinds of addresses.
CAPTURES = [
    capture
    for capture in sorted(file.parent for file in FIXTURES.rglob("probes.json"))
    if capture.name
    in ("icc-off-link", "ipv6", "two-networks", "many", "docker-many", "fail2ban", "host-firewall")
]


def shared(family: int, one: int, other: int) -> int:
    """How many bits two addresses share."""
    return WIDTH[family] - (one ^ other).bit_length()


@pytest.mark.parametrize("family", [4, 6])
@given(data=st.data())
def test_addresses_share_as_many_bits_as_before(family: int, data: st.DataObject) -> None:
    one = data.draw(ADDRESSES[family])
    bits = data.draw(st.integers(0, WIDTH[family]))
    other = one ^ data.draw(ADDRESSES[family]) >> bits
    redactor = Redactor(KEY)
    assert shared(family, redactor.address(family, one), redactor.address(family, other)) == shared(
        family, one, other
    )


@pytest.mark.parametrize(
    "network", ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/64"]
)
@given(data=st.data())
def test_addresses_stay_in_ranges_that_mean_something(network: str, data: st.DataObject) -> None:
    whole = ip_network(network)
    address = whole[data.draw(st.integers(0, whole.num_addresses - 1))]
    assert ip_address(Redactor(KEY).address(address.version, int(address))) in whole


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "0.0.0.0/0", "224.0.0.251", "255.255.255.255", "169.254.1.2", "::1", "::/0", "ff02::1",
     "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:fb", "33:33:00:00:00:01", "00:00:00:00:00:00",
     "1.2.3", "10.0.0.256", "v1.8.9.1.2", "12:34", "12:34:56"],
)  # fmt: skip
def test_what_means_the_same_everywhere_stays(text: str) -> None:
    assert Redactor(KEY).text(text) == text


def test_broadcast_addresses_and_ranges_keep_their_place() -> None:
    text = '"local": "8.20.30.4", "prefixlen": 20\n-m iprange --src-range 9.1.2.3-9.1.9.200 -j DROP'
    redactor = Redactor(KEY, [text])
    first, last = (int(ip_address(end)) for end in ("8.20.16.0", "8.20.31.255"))
    network = redactor.address(4, first, 20)
    assert (redactor.address(4, first), redactor.address(4, last)) == (network, network | 0xFFF)
    ends = [redactor.address(4, int(ip_address(end))) for end in ("9.1.2.3", "9.1.5.77", "9.1.9.200")]
    assert ends == sorted(ends)
    assert ends[2] - ends[0] == int(ip_address("9.1.9.200")) - int(ip_address("9.1.2.3"))


def test_a_log_line_keeps_its_form() -> None:
    line = (
        "Nov 28 10:00:01 web7 kernel: [UFW BLOCK] IN=eth0 OUT= MAC=52:54:00:ab:cd:ef:0c:c4:7a:01:02:03:08:00"
        " SRC=8.8.4.4 DST=93.184.216.34 LEN=60 SPT=1 DPT=22"
    )
    redacted = Redactor(KEY).text(line)
    head, tail = r"Nov 28 10:00:01 name1 kernel: \[UFW BLOCK\] IN=eth0 OUT=", "LEN=60 SPT=1 DPT=22"
    assert re.fullmatch(rf"{head} MAC=(\w\w:){{13}}00 SRC=\S+ DST=\S+ {tail}", redacted)
    assert not re.search("web7|52:54:00:ab:cd:ef|0c:c4:7a:01:02:03|8.8.4.4|93.184.216.34", redacted)


def test_names_and_secrets_are_replaced_alike_in_all_files() -> None:
    container = {
        "Name": "/payroll",
        "Config": {"Env": ["PASSWORD=hunter2"], "Hostname": "payroll", "Image": "payroll:1"},
        "NetworkSettings": {"Networks": {"salaries": {"IPAddress": "172.30.0.2", "Aliases": ["wages"]}}},
    }
    rules = '*filter\n-A FORWARD -d 172.30.0.2/32 -m comment --comment "for payroll" -j ACCEPT\nCOMMIT\n'
    files = redact_files(
        KEY, {"docker-inspect.json": json.dumps([container]).encode(), "iptables-save.txt": rules.encode()}
    )
    everything = b"".join(files.values()).decode()
    assert not re.search("payroll|salaries|wages|hunter2|172.30.0.2", everything)
    found = json.loads(files["docker-inspect.json"])[0]
    address = found["NetworkSettings"]["Networks"]["name2"]["IPAddress"]
    assert f'-d {address}/32 -m comment --comment "for name1"' in files["iptables-save.txt"].decode()


def story(trace: Trace) -> list[Any]:
    """What a packet met, without addresses."""
    return [
        trace.verdict,
        *(
            (step.table, step.chain, step.rule.position if step.rule else None, step.verdict)
            for leg in trace.legs
            for step in leg.all_steps
        ),
    ]


@pytest.mark.parametrize(
    "capture", every_nth(CAPTURES, 3), ids=lambda capture: f"{capture.parent.name}-{capture.name}"
)
def test_packets_go_the_same_way(capture: Path, tmp_path: Path) -> None:
    files = read_source(capture).files
    for name, data in redact_files(KEY, files).items():
        (tmp_path / name).write_bytes(data)
    redactor = Redactor(KEY, (data.decode() for data in files.values()))
    before, after = Simulator(load_host(capture)), Simulator(load_host(tmp_path))
    names = dict(zip(before.host.containers, after.host.containers, strict=True))
    for probe in probes(capture):
        redacted = {
            **probe,
            "from": names.get(probe["from"], probe["from"]),
            "dst_ip": redactor.text(probe["dst_ip"]),
            **{key: redactor.text(probe[key]) for key in ("src", "bind") if probe.get(key)},
            "packets": [
                {**packet, "src": redactor.text(packet["src"])} for packet in probe.get("packets", ())
            ],
        }
        expected = story(before.walk(question_of(probe)))
        assert story(after.walk(question_of(redacted))) == expected, probe


def test_the_command_writes_a_file_or_a_directory(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "rules.txt"
    file.write_text("*filter\n-A INPUT -s 8.8.4.4/32 -j DROP\nCOMMIT\n")
    assert main(["redact", str(file), "--key", "a"]) == 0
    output = capfdbinary.readouterr().out.decode()
    assert output.startswith("*filter\n-A INPUT -s ")
    assert "8.8.4.4" not in output
    assert main(["redact", str(file), "--key", "a", "-o", str(tmp_path / "out.txt")]) == 0
    assert (tmp_path / "out.txt").read_text() == output
    assert main(["redact", str(CAPTURES[0])]) == 2
    assert "-o DIRECTORY" in capfdbinary.readouterr().err.decode()
    assert main(["redact", str(CAPTURES[0]), str(file), "-o", str(tmp_path / "all")]) == 0
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == [CAPTURES[0].name, "rules.txt"]
    assert main(["redact", str(CAPTURES[0]), "-o", str(tmp_path / "all")]) == 2
    capfdbinary.readouterr()
    assert main(["redact", str(CAPTURES[0]), "--key", "a", "-o", "-"]) == 0
    (tmp_path / "out.tar.gz").write_bytes(capfdbinary.readouterr().out)
    redacted = load_host(tmp_path / "out.tar.gz")
    assert len(redacted.containers) == len(load_host(CAPTURES[0]).containers)


def test_the_capture_script_can_redact(tmp_path: Path) -> None:
    """The program within it needs nothing but Python, as old as on long-lived hosts."""
    text = script(redact=True)
    program = text.partition("<<'REDACTION' ||\n")[2].partition("\nREDACTION\n")[0]
    (tmp_path / "iptables-save.txt").write_text("-A INPUT -s 8.8.4.4/32 -j DROP\n")
    subprocess.run(
        [sys.executable, "-I", "-S", "-", "key", str(tmp_path)], input=program, text=True, check=True
    )
    assert "8.8.4.4" not in (tmp_path / "iptables-save.txt").read_text()
    assert "uname -n" not in text.partition("<<'REDACTION'")[0]
