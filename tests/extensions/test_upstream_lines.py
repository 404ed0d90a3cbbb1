"""The tests of iptables' own extensions, where a folder of them is given; and how they are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.upstream_lines import EXCEPTIONS, main, run

#: Set to the folder `extensions` of the sources of iptables 1.8.11.
FOLDER = "IPTABLES_EXTENSIONS"


@pytest.mark.skipif(FOLDER not in os.environ, reason=f"{FOLDER} names no folder of iptables' tests")
def test_every_line_of_iptables_own_tests() -> None:
    wrong, counts = run(Path(os.environ[FOLDER]))

    assert counts["lines"] > 1000
    assert wrong == []
    assert counts["exceptions"] == len(EXCEPTIONS)


def test_what_differs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "libxt_mark.t").write_text(
        ":INPUT,made\n*mangle\n# a remark\n@nfacct add test\n"
        "-m mark --mark 1;-m mark --mark 0x1;OK\n"
        "-m mark --mark 2;=;OK\n"
        "-m mark;;FAIL\n"
        "-m mark --mark 3;;FAIL\n"
        "-m mark --mark 4;-m mark --mark 4;NOMATCH\n"
        "-m mark --mark 0x5;=;OK;LEGACY\n"
    )
    (tmp_path / "libebt_mark.t").write_text(":INPUT\n--mark 1;=;OK\n")

    assert main([str(tmp_path)]) == 1

    *wrong, counts = capsys.readouterr().out.splitlines()
    assert wrong == [
        "libxt_mark:6: -m mark --mark 2: IPv4 nf_tables INPUT: -A INPUT -m mark --mark 0x2;"
        " IPv4 nf_tables made: -A made -m mark --mark 0x2",
        "libxt_mark:8: -m mark --mark 3: IPv4 nf_tables INPUT: -A INPUT -m mark --mark 0x3;"
        " IPv4 nf_tables made: -A made -m mark --mark 0x3",
        "libxt_mark:10: -m mark --mark 0x5: IPv4 nf_tables INPUT: -A INPUT -m mark --mark 0x5;"
        " IPv4 nf_tables made: -A made -m mark --mark 0x5",
    ]
    assert counts == "files for ebtables, left out: 1, lines: 6, as iptables: 3"


def test_no_line_is_no_success(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 1
