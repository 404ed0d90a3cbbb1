"""What people type or save by mistake: it works as they mean it, or the error says what to write."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from iptsim.cli import main

CAPTURES = Path(__file__).parent.parent / "fixtures/captures"
CAPTURE = CAPTURES / "docker-28.5/icc-off"


def complaint(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Return the error of a command line; its exit status must be that of bad usage."""
    try:
        status = main([*map(str, words)])
    except SystemExit as ended:
        status = int(ended.code or 0)
    assert status == 2
    return capsys.readouterr().err


def test_without_a_command_the_first_ones_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    told = complaint(capsys)
    for command in ("iptsim explain SOURCE", "iptsim reach SOURCE", "iptsim lint SOURCE", "iptsim --help"):
        assert command in told


def test_a_misspelt_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown command 'explane'; did you mean explain?" in complaint(capsys, "explane", CAPTURE)
    assert "unknown command 'help'; see iptsim --help" in complaint(capsys, "help")


def test_a_source_in_place_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert f"iptsim explain {CAPTURE}" in complaint(capsys, CAPTURE)


def test_published_ports_as_docker_run_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    ask = ("--from", "internet", "--to", "host:8080")
    assert "web:8080:80" in complaint(capsys, "whatif", CAPTURE, "--publish", "8080:80", *ask)


def test_a_protocol_after_the_port(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["explain", str(CAPTURE), "--from", "client", "--json"]
    assert main([*asked, "--to", "web:53/udp"]) == 0
    short = json.loads(capsys.readouterr().out)
    assert main([*asked, "--to", "web", "--port", "53", "-p", "udp"]) == 0
    assert json.loads(capsys.readouterr().out) == short
    assert short["legs"][0]["packet"]["proto"] == "udp"
    assert "two protocols: udp and tcp" in complaint(capsys, *asked, "--to", "web:53/udp", "-p", "tcp")
    assert "web:53 -p udp" in complaint(capsys, "reach", CAPTURE, "--to", "web:53/udp")


def test_a_port_after_the_source(capsys: pytest.CaptureFixture[str]) -> None:
    told = complaint(capsys, "explain", CAPTURE, "--from", "client:4000", "--to", "web")
    assert "--from client --sport 4000" in told


def test_a_folder_of_captures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        shutil.copy(CAPTURE / "iptables-save.txt", tmp_path / name)
    told = complaint(capsys, "explain", tmp_path)
    assert f"2 captures in it; give one of them: {tmp_path}/one, {tmp_path}/other" in told


def test_a_capture_deep_in_an_archive(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "saved.zip", "w") as archive:
        for file in CAPTURE.iterdir():
            archive.write(file, f"home/me/cases/icc-off/{file.name}")
    assert main(["explain", str(tmp_path / "saved.zip"), "--from", "client", "--to", "web:80", "-q"]) == 0
    assert capsys.readouterr().out == "DROP\n"


def test_an_error_in_daemon_json_has_a_caret(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shutil.copy(CAPTURE / "iptables-save.txt", tmp_path)
    (tmp_path / "daemon.json").write_text('{\n  "log-opts": {"tag": "é"}, 7\n}\n')
    place = (
        f"{tmp_path}/daemon.json:2:29: a key must be in quotes\n"
        '      "log-opts": {"tag": "é"}, 7\n'
        "                                ^\n"
    )
    assert place in complaint(capsys, "explain", tmp_path)
    assert place in complaint(capsys, "docker-rules", tmp_path / "daemon.json")


def test_a_capture_saved_by_powershell(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    # `>` of Windows PowerShell 5.1 writes UTF-16 with a byte order mark and CRLF (about_Redirection)
    for file in CAPTURE.iterdir():
        text = file.read_text()
        (tmp_path / file.name).write_bytes(text.replace("\n", "\r\n").encode("utf-16"))
    assert main(["explain", str(tmp_path), "--from", "client", "--to", "web:80", "-q"]) == 0
    assert capsys.readouterr().out == "DROP\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["explain", CAPTURE, "--from", "client"], "the destination is missing; give --to"),
        (["explain", CAPTURE, "--to", "web:80"], "the source is missing; give --from"),
        (
            ["explain", CAPTURE, "--icc=false"],
            "unknown option --icc; it belongs to: iptsim whatif, iptsim diff",
        ),
        (["explain", CAPTURE, "--form", "client"], "unknown option --form; did you mean --from?"),
        (["explain", CAPTURE, "--from", "client", "--to", "http://web/"], "is a URL, not an endpoint"),
        (
            ["explain", "client", "--from", CAPTURE],
            f"the file comes first: iptsim explain {CAPTURE} --from client",
        ),
        (
            ["--lang", "en", "explain", "client", "--from", CAPTURE],
            f"the file comes first: iptsim explain {CAPTURE} --from client",
        ),
        (["rules", CAPTURE, "-t", "fliter"], "unknown table 'fliter'; did you mean filter?"),
        (["reach", CAPTURE, "--format", "yaml"], "unknown value 'yaml'; choose from: text"),
        (["whatif", CAPTURE, "--sysctl", "net.ipv4.ip_forwrad=0"], "did you mean net.ipv4.ip_forward?"),
        (["whatif", CAPTURE, "--engine", "19.03"], "give a version from 20.10 to 29"),
        (["check", CAPTURE, "policy.yaml"], f"the policy comes first: iptsim check policy.yaml {CAPTURE}"),
    ],
)
def test_slips_on_the_command_line(
    capsys: pytest.CaptureFixture[str], words: list[object], told: str
) -> None:
    assert told in complaint(capsys, *words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-p", "foo"], "unknown protocol 'foo'; give its number\n  -p foo\n     ^~~\n"),
        (["--state", "nwe"], "did you mean new?\n  --state nwe\n          ^~~\n"),
        (["--set", "mark=x"], "not a number from 0 to 4294967295\n  --set mark=x\n             ^\n"),
        (["--expect", "drp"], "unknown 'drp'; did you mean drop?"),
    ],
)
def test_the_value_of_an_option(capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    assert told in complaint(capsys, "explain", CAPTURE, "--from", "client", "--to", "web", *words)


def test_a_rule_to_insert_has_a_caret(capsys: pytest.CaptureFixture[str]) -> None:
    told = complaint(capsys, "whatif", CAPTURE, "--insert", "FORWARD -p tcp --dprt 22 -j DROP")
    assert told.endswith(
        "unknown option --dprt\n    -p tcp --dprt 22 -j DROP\n           ^~~~~~\n  did you mean --dport?\n"
    )


def test_interfaces_with_similar_names_have_parameters(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "paste"
    path.write_text(
        "# sysctl net.ipv4.conf.eth11.rp_filter\nnet.ipv4.conf.eth11.rp_filter = 0\n"
        "# iptables-save\n*filter\n:INPUT DROP [0:0]\n-A INPUT -i eth1 -j ACCEPT\n-A INPUT -i eth11 -j DROP\nCOMMIT\n"
    )
    assert main(["whatif", str(path), "--sysctl", "net.ipv4.conf.eth1.rp_filter=1"]) == 0
    told = complaint(capsys, "whatif", path, "--sysctl", "net.ipv4.conf.eth111.rp_filter=1")
    assert "did you mean net.ipv4.conf.eth11.rp_filter?" in told


def test_any_version_of_docker_is_an_engine(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for version in ("26", "27.5.1"):
        assert main(["docker-rules", str(CAPTURE), "--engine", version]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]


def test_the_name_of_a_file_beside_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "rules.txt").touch()
    assert complaint(capsys, "explain", tmp_path / "ruels.txt").endswith("did you mean rules.txt?\n")


def test_json_with_a_mistake(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "inspect.json"
    path.write_text('[{"Id": "a",},]\n')
    told = complaint(capsys, "explain", path)
    assert told.startswith(f"iptsim: {path}:1:13: no comma is allowed")


def test_a_picture_beside_a_text_is_ignored(tmp_path: Path) -> None:
    shutil.copy(CAPTURE / "iptables-save.txt", tmp_path / "ticket.txt")
    (tmp_path / "screen.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    assert main(["explain", str(tmp_path), "--from", "internet", "--to", "host:22", "-q"]) == 0


def test_tabs_in_a_policy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("expectations:\n\t- from: internet\n")
    assert f"{path}:2:1: YAML allows only spaces" in complaint(capsys, "check", path, CAPTURE)
