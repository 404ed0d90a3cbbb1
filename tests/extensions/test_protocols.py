"""Protocols by name and number: what `-p` takes, and what iptables-save prints for it."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from iptsim.dump.reader import loads
from iptsim.errors import DumpSyntaxError

#: What iptables-save 1.8.9 prints on Debian 12 for `-p NUMBER` (netbase 6.4); `-p 0` is no condition.
NAMED = """
    1=icmp 2=igmp 3=ggp 4=ipencap 5=st 6=tcp 8=egp 9=igp 12=pup 17=udp 20=hmp 22=xns-idp 27=rdp 29=iso-tp4
    33=dccp 36=xtp 37=ddp 38=idpr-cmtp 41=ipv6 43=ipv6-route 44=ipv6-frag 45=idrp 46=rsvp 47=gre 50=esp 51=ah
    57=skip 58=ipv6-icmp 59=ipv6-nonxt 60=ipv6-opts 73=rspf 81=vmtp 88=eigrp 89=ospf 93=ax.25 94=ipip
    97=etherip 98=encap 103=pim 108=ipcomp 112=vrrp 115=l2tp 124=isis 132=sctp 133=fc 135=mobility-header
    136=udplite 137=mpls-in-ip 138=manet 139=hip 140=shim6 141=wesp 142=rohc 143=ethernet
"""
NAMES = {int(number): name for number, _, name in (word.partition("=") for word in NAMED.split())}
PRINTED = {number: NAMES.get(number, str(number)) for number in range(1, 256)}


def printed(*words: str) -> list[str]:
    lines = "".join(f"-A INPUT -p {word}\n" for word in words)
    return [rule.text for rule in loads(f"*filter\n:INPUT ACCEPT [0:0]\n{lines}COMMIT\n").rules()]


def test_every_number_prints_as_its_name() -> None:
    assert printed(*map(str, PRINTED)) == [f"-A INPUT -p {name}" for name in PRINTED.values()]


def test_every_name_is_read() -> None:
    assert printed(*PRINTED.values()) == [f"-A INPUT -p {name}" for name in PRINTED.values()]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("EGP", " -p egp"), ("Gre", " -p gre"), ("icmpv6", " -p ipv6-icmp"), ("mh", " -p mobility-header"),
        ("ipv6-mh", " -p mobility-header"), ("ip", ""), ("hopopt", ""), ("all", ""), ("0", ""),
    ],
)  # fmt: skip
def test_other_words(word: str, expected: str) -> None:
    """As iptables 1.8.9 takes and prints them."""
    assert printed(word) == [f"-A INPUT{expected}"]


@pytest.mark.parametrize("word", ["ip", "IP", "hopopt", "all", "0"])
def test_no_packet_is_of_no_protocol(word: str) -> None:
    with pytest.raises(DumpSyntaxError, match="matches no packet"):
        loads(f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT ! -p {word}\nCOMMIT\n")


def test_names_that_only_this_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """/etc/protocols of the local machine is consulted last; its numbers above 255 are not valid for IP."""

    def known(name: str) -> int:
        numbers = {"home-made": 200, "mptcp": 262}
        if name not in numbers:
            raise OSError("protocol not found")
        return numbers[name]

    monkeypatch.setattr(socket, "getprotobyname", known)

    assert printed("home-made") == ["-A INPUT -p 200"]
    for word in ("mptcp", "nosuch"):
        with pytest.raises(DumpSyntaxError, match="unknown protocol"):
            printed(word)


@pytest.mark.kernel
@pytest.mark.skipif(
    not shutil.which("iptables-legacy-restore") or not Path("/etc/protocols").exists(),
    reason="iptables-legacy or /etc/protocols is missing",
)
def test_this_machines_iptables_prints_the_same() -> None:
    lines = "".join(f"-A INPUT -p {number}\n" for number in PRINTED)
    script = "iptables-legacy-restore && iptables-legacy-save -t filter"
    run = subprocess.run(
        ["unshare", "-n", "sh", "-c", script],
        input=f"*filter\n:INPUT ACCEPT [0:0]\n{lines}COMMIT\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        pytest.skip("iptables-legacy can't be used here")
    shown = [line for line in run.stdout.splitlines() if line.startswith("-A")]
    assert shown == [f"-A INPUT -p {name}" for name in PRINTED.values()]
