"""Long texts: each line is read a bounded number of times, and the marks of forms leave no form out."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from iptsim import reading
from iptsim.errors import CaptureError
from iptsim.host.logged_lines import LoggedLine
from iptsim.paste import forms, splitting
from iptsim.paste.forms import logline
from iptsim.paste.lines import Line, commented, lines_of
from iptsim.paste.pieces import Warned
from iptsim.sources import load_host


class Counted(list[Line]):
    """Lines that count how often one of them is read."""

    looks = 0

    def __getitem__(self, key: Any) -> Any:
        self.looks += 1
        return super().__getitem__(key)


@pytest.mark.parametrize(
    "line",
    ["# hello", "auto eth0", "search example.org", "ufw allow 22\nwords", "docker \\", "dockerd \\"],
)
def test_lines_that_may_begin_a_form_are_not_read_again_and_again(line: str) -> None:
    """A reader that looks ahead from each of many lines would look at the square of their number."""
    lines = Counted(lines_of(f"{line}\n" * 1000 + "iface\nnameserver\nufw\nnft rule\n"))
    splitting.split(lines)
    assert lines.looks < 300 * len(lines)


@pytest.mark.parametrize(
    "text",
    [
        "[UFW BLOCK] IN=eth0 OUT= SRC=1.2.3.4 DST=192.0.2.10 LEN=60 PROTO=TCP SPT=1 DPT=22 SYN",
        "$IPT -A INPUT -j DROP",
        "-t nat -A POSTROUTING -j MASQUERADE",
        "PACKET: 2 b26f7c10 IN=eth0 SRC=203.0.113.9 DST=192.0.2.10 LEN=60 TTL=64 ID=62951 DF SPORT=3 DPORT=80 SYN",
        "nft add rule inet x y drop",
        "bridge name\tbridge id\t\tSTP enabled\tinterfaces\ndocker0\t8000.0242a1b2c3d4\tno",
        "LISTEN 0 128 0.0.0.0:22 0.0.0.0:*",
        "net.ipv4.ip_forward = 1",
        "nameserver 1.1.1.1",
        "CONTAINER ID   IMAGE   COMMAND   CREATED   STATUS   PORTS   NAMES",
        "services:\n  web:\n    image: nginx",
        "firewall-cmd --add-port=80/tcp",
        "22/tcp ALLOW Anywhere",
        "ufw allow 22",
        "10.0.0.2:1 -> 10.0.0.3:80",
        "public (active)\n  services: ssh",
        "iface eth0 inet static\n  address 10.0.0.1/24",
        "a (10.0.0.2) can't reach b (10.0.0.3:80)",
        "Kernel IP routing table\nDestination Gateway Genmask\n0.0.0.0 192.0.2.1 0.0.0.0 UG 0 0 0 eth0",
    ],
)
def test_the_marks_of_a_form_leave_no_text_of_it_out(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(text + "\n")
    found = [segment.title for segment in splitting.split(lines)[0]]
    every = [import_module(f"{forms.__name__}.{name}").find for name in forms.FORMS]
    monkeypatch.setattr(splitting, "finders", lambda _: every)
    assert found == [segment.title for segment in splitting.split(lines)[0]] != []


def test_many_blank_lines_are_like_some() -> None:
    lines = lines_of("\n" * 50_000 + "-A INPUT -j DROP\n" + " \n" * 50_000 + "-A INPUT -j ACCEPT")
    assert [(line.number, line.text) for line in lines if line.text] == [
        (50_001, "-A INPUT -j DROP"),
        (100_002, "-A INPUT -j ACCEPT"),
    ]
    assert len(lines) < 1000
    assert not lines[-1].ended


def test_of_a_long_log_the_first_lines_are_read_and_a_warning_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logline, "MOST_LINES", 3)
    text = "".join(
        f"IN=eth0 OUT= SRC=198.51.100.{n} DST=192.0.2.1 PROTO=UDP SPT=1 DPT=53\n" for n in range(5)
    )
    (segment,), left_out = splitting.split(lines_of(text))
    assert sum(isinstance(piece, LoggedLine) for piece in segment.pieces) == 3
    assert left_out == [3, 4]
    (warned,) = (piece for piece in segment.pieces if isinstance(piece, Warned))
    assert warned.line == 4
    assert "iptsim flows" in str(warned.text)


def test_a_text_is_limited_and_a_dump_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "TEXT_LIMIT", 1000)
    (tmp_path / "story.txt").write_text("Once upon a time, nothing was filtered.\n" * 30)
    with pytest.raises(CaptureError, match=r"story\.txt: larger than 1000 bytes"):
        load_host(tmp_path / "story.txt")
    rules = "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n" * 30
    (tmp_path / "rules.txt").write_text(f"*filter\n:INPUT ACCEPT [0:0]\n{rules}COMMIT\n")
    assert load_host(tmp_path / "rules.txt").rulesets


def test_a_sentence_is_no_comment_with_rules() -> None:
    sentence = lines_of("I can't reach 10.0.0.5 from 192.0.2.7 on port 80\n")
    assert not any(line.text for line in commented(sentence))
