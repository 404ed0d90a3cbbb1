"""Results beside files: where a finding stands that no rule shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from iptsim.cli import main


def test_a_finding_that_no_rule_shows_stands_in_a_file_of_the_capture(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = "fixtures/captures/docker-28.5/forward-off"
    main(["lint", folder, "--format", "github"])
    files = [line.partition("file=")[2].partition(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert f"{folder}/iptables-save.txt" in files
    assert all(Path(file).is_file() for file in files if file)
