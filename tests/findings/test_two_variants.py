"""Versions of iptables of both variants in a pasted text. Each lists its own rules only (iptables-nft(8))."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.findings.linting import lint

RULES = "\n$ iptables -S FORWARD\n-P FORWARD ACCEPT\n-A FORWARD -i tun0 -j ACCEPT\n"
LEGACY, NFT = "iptables v1.8.7 (legacy)\n", "iptables v1.8.9 (nf_tables)\n"


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        (f"$ iptables -V\n{LEGACY}$ docker exec vpn iptables -V\n{NFT}", True),
        (f"{LEGACY}{LEGACY}", False),
        (NFT, False),
        (f"{LEGACY}iptables v1.6.1\n", False),
        (f'{LEGACY}iptables v1.8.9 (nf_tables): unknown option "--foo"\n', False),
    ],
)
def test_versions_of_both_variants(tmp_path: Path, versions: str, found: bool) -> None:
    assert ("two-variants" in lint(tmp_path, versions + RULES)) is found


def test_the_lines_are_shown(tmp_path: Path) -> None:
    shown = lint(tmp_path, LEGACY + NFT + RULES)["two-variants"].evidence
    assert [str(one.text) for one in shown] == [LEGACY.strip(), NFT.strip()]
    assert [str(one.place) for one in shown] == ["line 1", "line 2"]
