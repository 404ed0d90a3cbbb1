"""Rules beside a question: what decides is marked, and what was matched on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from iptsim.cli import main

ICC_OFF = Path("fixtures/captures/docker-28.5/icc-off")
ASK = ("--from", "client", "--to", "web:80")
Capture = pytest.CaptureFixture[str]


def printed(capsys: Capture, *words: str) -> tuple[int, str]:
    status = main(words)
    return status, capsys.readouterr().out


def marked(text: str) -> list[tuple[str, str]]:
    return [(line[0], " ".join(line[1:].split()[:2])) for line in text.splitlines() if line[:1] in (">", "+")]


def test_listing_is_that_of_iptables(capsys: Capture) -> None:
    status, out = printed(capsys, "rules", str(ICC_OFF), "--like-iptables")
    assert (status, out) == (0, (ICC_OFF / "iptables-nL.txt").read_text())


def test_long_listings(capsys: Capture) -> None:
    words = ("rules", str(ICC_OFF), "--like-iptables", "-v", "--line-numbers")
    both = "\n".join(printed(capsys, *words, "-t", table)[1] for table in ("filter", "nat"))
    assert both == (ICC_OFF / "iptables-nvL.txt").read_text()


def test_marks_leave_the_columns_as_they_are(capsys: Capture) -> None:
    plain = printed(capsys, "rules", str(ICC_OFF), "--like-iptables")[1]
    out = printed(capsys, "rules", str(ICC_OFF), "--like-iptables", *ASK)[1]

    listing, _, legend = out.rpartition("\n\n")
    assert "".join(f"{line[2:]}\n" for line in listing.splitlines()) == plain
    assert legend.startswith("DROP   client 172.17.0.3 → web 172.17.0.2")
    assert "decides: filter DOCKER-FORWARD rule 4" in legend


def test_what_decides_and_what_was_matched(capsys: Capture) -> None:
    out = printed(capsys, "rules", str(ICC_OFF), "--like-iptables", "DOCKER-FORWARD", *ASK)[1]
    assert marked(out) == [
        ("+", "DOCKER-CT all"),
        ("+", "DOCKER-ISOLATION-STAGE-1 all"),
        ("+", "DOCKER-BRIDGE all"),
        (">", "DROP all"),
    ]


def test_a_policy_that_decides(capsys: Capture) -> None:
    # nothing listens to a host that drops what no rule takes
    source = str(ICC_OFF.parent.parent / "hosts/ufw")
    out = printed(
        capsys, "rules", source, "--like-iptables", "INPUT", "--from", "internet", "--to", "host:9999"
    )[1]
    assert out.startswith("> Chain INPUT (policy DROP)")


def test_marks_beside_the_words(capsys: Capture) -> None:
    out = printed(capsys, "rules", str(ICC_OFF), "-t", "filter", "DOCKER-FORWARD", *ASK)[1]
    assert marked(out)[3] == (">", "4 -A")


def test_bpf_ends_as_in_iptables(capsys: Capture, tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_text(
        '*filter\n-A INPUT -m bpf --bytecode "1,6 0 0 1" -m comment --comment "\x1b[2J"\nCOMMIT\n'
    )
    out = printed(capsys, "rules", str(dump), "--like-iptables", "INPUT")[1]
    assert out.endswith("match bpf 6 0 0 1\0 /* \\x1b[2J */\n")


@pytest.mark.parametrize("words", [("-v",), ("--like-iptables", "--json"), ("--like-iptables", "-t", "nope")])
def test_bad_usage(capsys: Capture, words: tuple[str, ...]) -> None:
    assert main(["rules", str(ICC_OFF), *words]) == 2
