"""The command line: what it prints where, and its exit status."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import iptsim
from iptsim.cli import main
from iptsim.commands.batch import groups_of_lines
from iptsim.commands.common import one_by_one

ROOT = Path(__file__).parent.parent
CAPTURES = ROOT / "fixtures/captures"
ICC_OFF = str(CAPTURES / "docker-28.5/icc-off")
PUBLISHED = str(CAPTURES / "docker-28.5/published")
ASK = ("--from", "client", "--to", "web:80")

Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *words: str) -> tuple[int, str, str]:
    """Run a command; return its status and what it printed on both streams."""
    try:
        status = main(words)
    except SystemExit as stop:
        status = int(stop.code or 0)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def start(*words: str, **more: Any) -> subprocess.Popen[bytes]:
    """Start a command as a process of its own."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen([sys.executable, "-m", "iptsim", *words], cwd=ROOT, **pipes)


def batch(capsys: Capture, tmp_path: Path, lines: list[bytes], *words: str) -> list[dict[str, Any]]:
    file = tmp_path / "questions.jsonl"
    file.write_bytes(b"\n".join(lines))
    status, out, err = run(capsys, "explain", ICC_OFF, "--batch", str(file), "--json", *words)
    assert (status, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


# -- explain ---------------------------------------------------------------------------------------


def test_an_answer_begins_with_its_verdict(capsys: Capture) -> None:
    """The kernel dropped this connection: icc is off."""
    status, out, err = run(capsys, "explain", ICC_OFF, *ASK)
    assert (status, err) == (0, "")
    assert out.startswith("DROP")
    assert "DOCKER-FORWARD rule 4" in out


def test_a_program_that_calls_main_can_free_its_hosts(capsys: Capture) -> None:
    """The garbage collector of a process that goes on is left as it was."""
    gc.unfreeze()  # a cache may free what another test has made
    try:
        before = gc.get_freeze_count(), gc.isenabled(), gc.get_threshold()
        assert run(capsys, "explain", ICC_OFF, *ASK)[0] == 0
        assert (gc.get_freeze_count(), gc.isenabled(), gc.get_threshold()) == before
    finally:
        gc.freeze()


def test_sources_are_freed_one_by_one() -> None:
    """Also with a collector that waits for more objects than a few hosts have."""
    threshold = gc.get_threshold()
    gc.set_threshold(1_000_000)
    gc.freeze()  # what other tests have made need not be looked at
    try:
        left: list[weakref.ref[Cycle]] = []
        for _ in one_by_one(["a", "b", "c"]):
            assert all(one() is None for one in left)
            left.append(weakref.ref(Cycle()))
    finally:
        gc.set_threshold(*threshold)


class Cycle:
    """An object that only the collector frees."""

    def __init__(self) -> None:
        self.own = self


def test_quiet_is_the_verdict_alone(capsys: Capture) -> None:
    assert run(capsys, "explain", ICC_OFF, *ASK, "-q") == (0, "DROP\n", "")


def test_verbose_shows_rules_that_did_not_match(capsys: Capture) -> None:
    _, normal, _ = run(capsys, "explain", ICC_OFF, *ASK)
    _, verbose, _ = run(capsys, "explain", ICC_OFF, *ASK, "-v")
    assert "--ctstate RELATED,ESTABLISHED" not in normal
    assert "--ctstate RELATED,ESTABLISHED" in verbose


def test_json_is_the_trace(capsys: Capture) -> None:
    status, out, _ = run(capsys, "explain", ICC_OFF, *ASK, "--json")
    trace = json.loads(out)
    assert status == 0
    assert out.count("\n") == 1
    assert trace["schema"] == "iptsim.trace/1"
    assert trace["verdict"] == "DROP"
    assert trace["reason"]["rule"]["chain"] == "DOCKER-FORWARD"
    assert trace["reason"]["rule"]["rule"] == 4
    assert "skipped" not in json.dumps(trace)
    _, out, _ = run(capsys, "explain", ICC_OFF, *ASK, "--json", "-v")
    assert '"skipped"' in out


@pytest.mark.parametrize(("expected", "status"), [("drop", 0), ("accept", 1), ("reject", 1), ("depends", 1)])
def test_expectations_set_the_status(capsys: Capture, expected: str, status: int) -> None:
    got, out, err = run(capsys, "explain", ICC_OFF, *ASK, "-q", "--expect", expected)
    assert (got, out) == (status, "DROP\n")
    assert (f"expected {expected.upper()}" in err) is (status == 1)


def test_no_reply_leaves_the_answer_out(capsys: Capture) -> None:
    words = ("explain", ICC_OFF, "--from", "client", "--to", "internet:443", "--json")
    assert len(json.loads(run(capsys, *words)[1])["legs"]) == 2
    assert len(json.loads(run(capsys, *words, "--no-reply")[1])["legs"]) == 1


def test_every_field_reaches_the_packet(capsys: Capture) -> None:
    words = ("explain", ICC_OFF, "--from", "client", "--to", "8.8.8.8", "--json")
    packet = json.loads(
        run(capsys, *words, "-p", "udp", "--sport", "99", "--dport", "53", "--set", "mark=0x7")[1]
    )
    sent = packet["legs"][0]["packet"]
    assert (sent["proto"], sent["sport"], sent["dport"], sent["mark"]) == ("udp", 99, 53, 7)
    flags = json.loads(run(capsys, *words, "--set", "tcp_flags=FIN,ACK")[1])["legs"][0]["packet"]["tcp_flags"]
    assert flags == "FIN,ACK"


def test_a_packet_as_it_arrives(capsys: Capture) -> None:
    words = (
        "explain",
        PUBLISHED,
        "-i",
        "eth0",
        "--set",
        "src=198.51.100.7",
        "--set",
        "dst=192.0.2.10",
        "--json",
    )
    trace = json.loads(run(capsys, *words, "--dport", "8080")[1])
    assert trace["verdict"] == "ACCEPT"
    assert trace["legs"][0]["delivered"]["name"] == "web"
    assert trace["legs"][0]["delivered"]["packet"]["dport"] == 80


def test_ipv6_with_a_port(capsys: Capture) -> None:
    status, out, _ = run(
        capsys, "explain", PUBLISHED, "--from", "internet", "--to", "[2001:db8:2::10]:22", "--json"
    )
    assert status == 0
    assert json.loads(out)["legs"][0]["packet"]["dst"] == "2001:db8:2::10"


def test_docker_inspect_may_stand_beside_a_bare_dump(capsys: Capture) -> None:
    dump, inspect = f"{ICC_OFF}/iptables-save.txt", f"{ICC_OFF}/docker-inspect.json"
    assert run(capsys, "explain", dump, *ASK)[0] == 2
    status, out, _ = run(capsys, "explain", dump, "--docker-inspect", inspect, *ASK, "-q")
    assert (status, out) == (0, "DROP\n")


def test_without_a_question_it_lists_whom_one_can_ask_about(capsys: Capture) -> None:
    status, out, _ = run(capsys, "explain", PUBLISHED)
    assert status == 0
    for word in ("web", "172.17.0.2", "client", "host", "192.0.2.10", "internet", "8080->80/tcp"):
        assert word in out
    status, out, _ = run(capsys, "explain", PUBLISHED, "--json")
    names = [person["name"] for person in json.loads(out)["people"]]
    assert status == 0
    assert {"host", "internet", "web", "client"} <= set(names)


# -- bad usage and bad input -----------------------------------------------------------------------

BAD = {
    "unknown name": (["explain", ICC_OFF, "--from", "clent", "--to", "web"], "did you mean client"),
    "unknown field": (["explain", ICC_OFF, *ASK, "--set", "makr=1"], "did you mean mark"),
    "bad port": (
        ["explain", ICC_OFF, "--from", "client", "--to", "web:htpt"],
        "'htpt' is not a port; did you mean http?",
    ),
    "bad state": (["explain", ICC_OFF, *ASK, "--state", "old"], "state"),
    "bad protocol": (["explain", ICC_OFF, *ASK, "-p", "tpc"], "proto"),
    "bad assumption": (["explain", ICC_OFF, *ASK, "--assume", "limit"], "--assume limit"),
    "half a question": (["explain", ICC_OFF, "--from", "client"], "--to"),
    "contradiction": (["explain", ICC_OFF, *ASK, "--sport", "1", "--set", "sport=2"], "contradicts"),
    "no such source": (["explain", "/nowhere/at/all", *ASK], "/nowhere/at/all"),
    "no capture": (["explain", str(ROOT / "iptsim" / "schemas"), *ASK], "iptables-save.txt"),
    "batch without json": (["explain", ICC_OFF, "--batch", "-"], "--json"),
    "no such batch": (["explain", ICC_OFF, "--batch", "/nowhere", "--json"], "/nowhere"),
    "one stream twice": (["explain", "-", "--batch", "-", "--json"], "standard input"),
    "unknown chain": (["rules", ICC_OFF, "DOCKERS"], "no table has a chain DOCKERS"),
    "unknown table": (["rules", ICC_OFF, "-t", "flter"], "unknown table 'flter'"),
    "unknown picture": (["graph", ICC_OFF, "-o", "x.gif"], ".mmd"),
    "unwritable": (["graph", ICC_OFF, "-o", "/nowhere/x.dot"], "/nowhere/x.dot"),
    "no command": ([], "COMMAND"),
    "unknown option": (["explain", ICC_OFF, "--form", "client"], "--form"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_bad_usage_is_said_on_standard_error(capsys: Capture, words: list[str], message: str) -> None:
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


INPUTS = {
    "binary": bytes(range(256)) * 8,
    "damaged archive": b"\x1f\x8b\x08\x00 this is no gzip",
    "not a dump": b"# Notes\n\n* water the plants\n",
    "loop": b"*filter\n:INPUT ACCEPT\n:A - [0:0]\n-A INPUT -j A\n-A A -j A\nCOMMIT\n",
}


@pytest.mark.parametrize("data", INPUTS.values(), ids=INPUTS)
def test_bad_input_is_said_on_standard_error(capsys: Capture, tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "rules.txt"
    file.write_bytes(data)
    status, out, err = run(capsys, "explain", str(file), "--from", "10.1.2.3", "--to", "10.1.2.4")
    assert (status, out) == (2, "")
    assert "rules.txt" in err
    assert "Traceback" not in err


def test_a_loop_is_shown_with_its_lines(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "rules.txt"
    file.write_bytes(INPUTS["loop"])
    _, _, err = run(capsys, "explain", str(file), "--from", "10.1.2.3", "--to", "10.1.2.4")
    assert "loop" in err
    assert "rules.txt:5: -A A -j A" in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "rules.txt"
    file.touch(mode=0)
    assert run(capsys, "explain", str(file), *ASK)[0] == 2


def test_warnings_go_to_standard_error(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "rules.txt"
    file.write_bytes(b"*filter\n:INPUT DROP [0:0]\n-A INPUT --dports 80 -j ACCEPT\nCOMMIT\n")
    words = (str(file), "--from", "internet", "--to", "host", "-q")
    status, out, err = run(capsys, "explain", "--strict", *words)
    assert (status, out) == (2, "")
    assert ":3:" in err
    assert "--dports" in err
    status, out, err = run(capsys, "explain", *words)
    assert (status, out) == (0, "DEPENDS\n")
    assert "warning" in err
    assert "line 3" in err


# -- batch -----------------------------------------------------------------------------------------


def test_one_answer_a_line_in_order(capsys: Capture, tmp_path: Path) -> None:
    lines = [
        b'{"id": "a", "from": "client", "to": "web", "proto": "tcp", "dport": 80}',
        b'{"id": 2, "from": "client", "to": "internet:443"}',
        b'{"from": "web", "to": "client", "proto": "icmp", "verbose": true}',
    ]
    answers = batch(capsys, tmp_path, lines)
    assert [answer.get("id") for answer in answers] == ["a", 2, None]
    assert [answer["verdict"] for answer in answers] == ["DROP", "ACCEPT", "DROP"]
    assert {answer["schema"] for answer in answers} == {"iptsim.trace/1"}
    assert [any("skipped" in step for step in answer["legs"][0]["steps"]) for answer in answers] == [
        False,
        False,
        True,
    ]


def test_bad_lines_give_errors_in_their_place(capsys: Capture, tmp_path: Path) -> None:
    lines = [
        b"not json",
        b"[1, 2]",
        b"{",
        b"\xff\xfe\x00",
        b"",
        b'{"id": "x", "from": "nobody", "to": "web"}',
        b'{"id": "y", "from": "client", "to": "web", "dport": 700000}',
        b'{"id": "z", "from": "client", "to": "web", "color": "red"}',
        b"[" * 100_000,
        b'{"id": "last", "from": "client", "to": "web"}',
    ]
    answers = batch(capsys, tmp_path, lines)
    assert [answer["id"] for answer in answers] == [None, None, None, None, "x", "y", "z", None, "last"]
    assert ["error" in answer for answer in answers] == [True] * 8 + [False]
    assert "dport" in answers[5]["error"]


def test_options_stand_for_what_a_line_leaves_out(capsys: Capture, tmp_path: Path) -> None:
    lines = [
        b'{"to": "internet", "assume": {"limit": true}}',
        b'{"to": "internet", "from": "host", "dport": 22}',
    ]
    answers = batch(capsys, tmp_path, lines, "--from", "client", "--dport", "443", "--assume", "recent=no")
    assert [answer["legs"][0]["from"] for answer in answers] == ["client", "host"]
    assert [answer["legs"][0]["packet"]["dport"] for answer in answers] == [443, 22]


def test_whoever_waits_for_an_answer_gets_it() -> None:
    process = start("explain", ICC_OFF, "--batch", "-", "--json")
    assert process.stdin is not None
    assert process.stdout is not None
    for name in ("one", "two"):
        process.stdin.write(b'{"id": "%s", "from": "client", "to": "web"}\n' % name.encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == name
    out, err = process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")


@pytest.mark.parametrize("words", [(), ("--set", "id=all")], ids=["", "id"])
@pytest.mark.parametrize("capture", [ICC_OFF, str(CAPTURES / "hosts/ufw")], ids=["docker", "ufw"])
def test_repeated_questions_of_a_batch(
    capsys: Capture, tmp_path: Path, capture: str, words: tuple[str, ...]
) -> None:
    file = tmp_path / "questions.jsonl"
    ends = (
        '"from": "host", "to": "192.0.2.9", "dport": 80',
        '"from": "internet", "to": "host"',
        '"to": "host"',
    )
    starts = ("", '"id": 1, ', '"id": true, ', '"id": "\\u00fc\\ud83d\\ude00\\"", ', '"id": null, ', "")
    lines = [f"{{{start}{end}}}\n" for end in ends for start in starts]

    def answered(text: str) -> str:
        file.write_text(text)
        return run(capsys, "explain", capture, "--batch", str(file), "--json", *words)[1]

    assert answered("".join(lines)) == "".join(map(answered, lines))


def test_expectations_of_a_batch(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"from": "client", "to": "web"}\n{"from": "client", "to": "internet"}\n')
    assert run(capsys, "explain", ICC_OFF, "--batch", str(file), "--json", "--expect", "drop")[0] == 1


# -- rules, graph, collect -------------------------------------------------------------------------


def test_rules_in_words(capsys: Capture) -> None:
    status, out, _ = run(capsys, "rules", ICC_OFF, "-t", "filter", "DOCKER-FORWARD")
    assert status == 0
    assert "filter DOCKER-FORWARD" in out
    assert "packets arriving on docker0 and leaving by docker0: drop" in out
    assert "docker: " in out
    assert "DOCKER-CT" in out
    assert "filter FORWARD" not in out


def test_rules_as_data(capsys: Capture) -> None:
    status, out, _ = run(capsys, "rules", PUBLISHED, "-t", "nat", "DOCKER", "--json")
    assert status == 0
    told = json.loads(out)
    assert (told["schema"], told["family"]) == ("iptsim.rules/1", 4)
    assert told["chains"] == [{"table": "nat", "chain": "DOCKER", "policy": None, "owner": "docker"}]
    why = {
        name: told["rules"][2][name] for name in ("owner", "role", "setting", "network", "container", "link")
    }
    assert why == {
        "owner": "docker", "role": "port-forward", "setting": "--publish", "network": "bridge", "container": "web",
        "link": None,
    }  # fmt: skip
    assert (told["rules"][2]["host_port"], told["rules"][2]["port"]) == ("8080/tcp", "80/tcp")


def test_why_dockers_rules_are_there_as_data(capsys: Capture) -> None:
    ask = ("explain", ICC_OFF, "--from", "client", "--to", "web:80", "--json")
    _, out, _ = run(capsys, *ask)
    told = json.loads(out)
    assert told["reason"]["rule"]["docker"]["setting"] == "--icc=false"
    assert not any("docker" in step for step in told["legs"][0]["steps"])
    _, out, _ = run(capsys, *ask, "-v")
    roles = [step["docker"]["role"] for step in json.loads(out)["legs"][0]["steps"] if "docker" in step]
    assert roles[0] == "plumbing"
    assert roles[-1] == "icc-off"


def test_rules_of_a_whole_capture(capsys: Capture) -> None:
    for family in ([], ["-6"]):
        status, out, _ = run(capsys, "rules", PUBLISHED, *family)
        assert status == 0
        assert "nat PREROUTING" in out
        assert "policy ACCEPT" in out


def test_graph_as_a_tree(capsys: Capture) -> None:
    status, out, _ = run(capsys, "graph", ICC_OFF, "-t", "filter")
    assert status == 0
    assert "filter FORWARD   policy DROP\n├─ 1 → DOCKER-USER" in out
    assert "nat " not in out


@pytest.mark.parametrize(
    ("suffix", "first"), [("mmd", "flowchart LR"), ("dot", "digraph iptables {"), ("txt", "raw ")]
)
def test_graph_as_a_file(capsys: Capture, tmp_path: Path, suffix: str, first: str) -> None:
    file = tmp_path / f"chains.{suffix}"
    assert run(capsys, "graph", ICC_OFF, "-o", str(file)) == (0, "", "")
    assert file.read_text("utf-8").startswith(first)


def test_collect_prints_a_shell_script(capsys: Capture, tmp_path: Path) -> None:
    status, out, _ = run(capsys, "collect")
    assert status == 0
    assert out.startswith("#!/bin/sh\n")
    script = tmp_path / "collect.sh"
    script.write_text(out)
    subprocess.run(["/bin/sh", "-n", str(script)], check=True)


def test_version(capsys: Capture) -> None:
    assert run(capsys, "--version") == (0, f"iptsim {iptsim.__version__}\n", "")


# -- as a process ----------------------------------------------------------------------------------


def test_rules_from_standard_input() -> None:
    dump = (Path(ICC_OFF) / "iptables-save.txt").read_bytes()
    process = start("explain", "-", "--from", "172.17.0.3", "--to", "172.17.0.2:80", "-q")
    out, _ = process.communicate(dump)
    assert (process.returncode, out) == (0, b"DROP\n")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    process = start("rules", PUBLISHED)
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert process.stdin is not None
    process.stdin.close()
    assert (process.wait(), err) == (141, b"")


@pytest.mark.parametrize(
    "words", [("rules", PUBLISHED), ("explain", ICC_OFF, *ASK, "--json")], ids=["rules", "json"]
)
def test_a_full_disk_is_an_error(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start(*words, stdout=full)
        _, err = process.communicate()
    assert process.returncode == 2
    assert err == b"iptsim: cannot write the output: No space left on device\n"


def test_an_interrupt_ends_quietly() -> None:
    process = start("explain", ICC_OFF, "--batch", "-", "--json")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b'{"from": "client", "to": "web"}\n')
    process.stdin.flush()
    process.stdout.readline()
    while (
        process.poll() is None
    ):  # an interrupt just before the process waits for input is only seen after it
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
    assert process.returncode == 130
    _, err = process.communicate()
    assert err == b""


@pytest.mark.parametrize(
    ("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["plain", "NO_COLOR"]
)
def test_colours_only_on_a_terminal(more: dict[str, str], coloured: bool) -> None:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")
    }
    reader, writer = pty.openpty()
    words = ("explain", ICC_OFF, *ASK)
    process = start(*words, stdout=writer, env={**environment, "TERM": "xterm-256color", **more})
    os.close(writer)
    shown = b""
    with io.FileIO(reader) as terminal:
        try:
            while piece := terminal.read(4096):
                shown += piece
        except OSError:
            pass
    process.communicate()
    assert b"DROP" in shown
    assert (b"\x1b[1;31m" in shown) is coloured


@pytest.mark.thorough
def test_no_colours_in_a_pipe() -> None:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")
    }
    piped, _ = start("explain", ICC_OFF, *ASK, env=environment).communicate()
    assert b"DROP" in piped
    assert b"\x1b" not in piped


class Trickle(io.RawIOBase):
    """A stream that gives what it is given, piece by piece."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def read1(self, size: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


@given(st.lists(st.binary(min_size=1).map(lambda data: data.replace(b"a", b"\n"))))
def test_lines_are_whole_however_they_come(pieces: list[bytes]) -> None:
    lines = [line for group in groups_of_lines(cast("Any", Trickle(list(pieces)))) for line in group]
    assert lines == b"".join(pieces).split(b"\n")


# -- questions that make no sense ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--from", "foo", "--to", "web"), "unknown endpoint 'foo'; choose from: client, web"),
        (("--from", "x" * 1_000_000, "--to", "web"), "unknown endpoint 'xxx"),
        (("--from", "dns", "--to", "web"), '"dns" can only be a destination'),
        (
            ("--from", "internet", "--to", "host", "--set", "src=zz"),
            "'zz' is not an IP address\n  --set src=zz\n",
        ),
        ((*ASK, "--set", "dst=192.0.2.99"), "to web and dst 192.0.2.99 are two destinations"),
        (("--from", "client", "--to", "host", "--set", "dst=172.17.0.2"), "are two destinations"),
        (("--from", "client", "--to", "internet", "--set", "dst=172.17.0.2"), "are two destinations"),
        (("--from", "client", "--to", "8.8.8.8", "--set", "dst=8.8.4.4"), "are two destinations"),
        (("--from", "8.8.8.8", "--to", "web", "--set", "src=8.8.4.4"), "are two source addresses"),
        ((*ASK, "--set", "dst_mac=zz"), "'zz' is not a MAC address"),
        ((*ASK, "--set", "tcp_options.5=zz"), "tcp_options"),
        ((*ASK, "--set", "cpu=zz"), "cpu: 'zz' is not a number"),
        ((*ASK, "--assume", "limt=yes"), "unknown match or target 'limt'; did you mean limit?"),
        ((*ASK, "--assume", "filter:INPUT:99=yes"), "unknown rule filter:INPUT:99"),
        ((*ASK, "--assume", "filter:NOPE:1=yes"), "unknown rule filter:NOPE:1"),
        (
            (*ASK, "--assume", "filter:DOCKER-FORWARD:4=no"),
            "the result of rule filter:DOCKER-FORWARD:4 cannot be assumed",
        ),
        ((*ASK, "--assume", "conntrack=no"), "the result of conntrack cannot be assumed"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys: Capture, words: tuple[str, ...], message: str) -> None:
    status, out, err = run(capsys, "explain", ICC_OFF, *words)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err) < 500


@pytest.mark.parametrize(
    ("to", "dst"),
    [
        ("web", "172.17.0.2"),
        ("host", "172.17.0.1"),
        ("host", "127.0.0.1"),
        ("internet", "8.8.8.8"),
        ("8.8.8.8", "8.8.8.8"),
    ],
)
def test_one_destination_may_be_said_twice(capsys: Capture, to: str, dst: str) -> None:
    status, out, _ = run(
        capsys, "explain", ICC_OFF, "--from", "client", "--to", to, "--set", f"dst={dst}", "--json"
    )
    assert status == 0
    assert json.loads(out)["legs"][0]["packet"]["dst"] == dst


def test_a_stated_source_counts_for_a_sender_outside(capsys: Capture) -> None:
    words = (
        "explain",
        ICC_OFF,
        "--from",
        "internet",
        "--to",
        "host:22",
        "--set",
        "src=203.0.113.99",
        "--json",
    )
    packet = json.loads(run(capsys, *words)[1])["legs"][0]["packet"]
    assert packet["src"] == "203.0.113.99"


@pytest.mark.parametrize("address", ["172.17.0.1", "192.0.2.10"])
def test_an_address_of_the_host_is_the_one_it_sends_from(capsys: Capture, address: str) -> None:
    words = ("explain", ICC_OFF, "--from", address, "--to", "internet:80", "--json")
    assert json.loads(run(capsys, *words)[1])["legs"][0]["packet"]["src"] == address


def test_a_bare_dump_tells_nothing_of_the_other_family(capsys: Capture) -> None:
    dump = f"{ICC_OFF}/iptables-save.txt"
    status, out, err = run(capsys, "explain", dump, "--from", "internet", "--to", "host:22", "-6")
    assert (status, out) == (2, "")
    assert "has only IPv4 rules" in err
    words = ("explain", f"{ICC_OFF}/ip6tables-save.txt", "--from", "internet", "--to", "host:22", "--json")
    assert ":" in json.loads(run(capsys, *words)[1])["legs"][0]["packet"]["src"]


def test_missing_rules_are_an_assumption(capsys: Capture, tmp_path: Path) -> None:
    words = ("--from", "internet", "--to", "[2001:db8:2::10]:22")
    copied = tmp_path / "capture"
    shutil.copytree(ICC_OFF, copied, ignore=shutil.ignore_patterns("ip6tables-save.txt"))
    assert "The source has no IPv6 rules" in run(capsys, "explain", str(copied), *words)[1]
    (copied / "iptables-save.txt").write_text("")
    out = run(capsys, "explain", str(copied), "--from", "internet", "--to", "host:22")[1]
    assert "The dump of the IPv4 rules is empty" in out


def test_tables_that_a_listing_leaves_out_are_an_assumption(capsys: Capture, tmp_path: Path) -> None:
    words = ("--from", "internet", "--to", "host:22")
    (tmp_path / "listing").write_text("-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n-P POSTROUTING ACCEPT\n")
    (tmp_path / "nat").write_text("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n")
    out = run(capsys, "explain", str(tmp_path / "listing"), *words)[1]
    assert "The source does not show tables raw, mangle, filter; they are assumed to be empty." in out
    assert (
        "does not show tables raw, mangle, filter" in run(capsys, "explain", str(tmp_path / "nat"), *words)[1]
    )


# -- hostile text ----------------------------------------------------------------------------------

#: A chain whose name is an escape sequence, one that is rich markup, one that is HTML; and such comments.
HOSTILE = """\
*filter
:INPUT DROP [0:0]
:OUTPUT ACCEPT [0:0]
:\x1b[31mX - [0:0]
:[red]c[/red] - [0:0]
:<script>x - [0:0]
-A INPUT -m comment --comment "[bold]b[/] \x1b]0;t\x07 <img src=x>" -j [red]c[/red]
-A [red]c[/red] -j <script>x
-A <script>x -j \x1b[31mX
-A \x1b[31mX -m limit --limit 1/s -j LOG --log-prefix "[link=http://x]y[/] "
-A \x1b[31mX -p tcp -m tcp --dport 22 -m comment --comment "\u202e" -j ACCEPT
-A \x1b[31mX -m limit --limit 1/s -j DROP
COMMIT
"""


@pytest.mark.parametrize(
    "words",
    [
        ("explain", "--from", "internet", "--to", "host:22"),
        ("explain", "--from", "internet", "--to", "host:22", "-v"),
        ("explain", "--from", "internet", "--to", "host:22", "--json"),
        ("explain", "--from", "internet", "--to", "host:23", "-v"),
        ("explain",),
        ("rules",),
        ("graph",),
        ("lint",),
    ],
)
def test_hostile_text_is_inert(capsys: Capture, tmp_path: Path, words: tuple[str, ...]) -> None:
    dump = tmp_path / "rules"
    dump.write_text(HOSTILE)
    status, out, err = run(capsys, words[0], str(dump), *words[1:])
    assert status in (0, 1)
    for mark in ("\x1b", "\x07", "\u202e"):
        assert mark not in out + err
    if words[0] in ("rules", "graph"):
        assert "[red]c[/red]" in out
        assert "<script>x" in out


def test_hostile_text_is_inert_in_html() -> None:
    host = iptsim.Host(rulesets={4: iptsim.loads(HOSTILE)}, inferred=True)
    html = iptsim.explain(
        host, src="10.0.0.1", dst="10.0.0.2", in_interface="eth0", dport=22
    )._repr_mimebundle_()
    assert "<script>" not in html["text/html"]
    assert "\x1b" not in html["text/plain"] + html["text/html"]


def test_hostile_names_of_files_are_inert(capsys: Capture, tmp_path: Path) -> None:
    status, out, err = run(capsys, "explain", str(tmp_path / "\x1b[31mnone"))
    assert (status, out) == (2, "")
    assert "\x1b" not in err


def test_rules_on_top_of_those_of_the_source(capsys: Capture, tmp_path: Path) -> None:
    fragment = tmp_path / "fragment"
    fragment.write_text("*filter\n-I FORWARD -j DROP\nCOMMIT\n")
    for source in (ICC_OFF, f"{ICC_OFF}/iptables-save.txt"):
        ask = ("explain", source, "--from", "172.17.0.3", "--to", "internet:80", "--quiet")
        assert run(capsys, *ask)[:2] == (0, "ACCEPT\n")
        assert run(capsys, *ask, "--noflush", str(fragment))[:2] == (0, "DROP\n")


@pytest.mark.parametrize("text", ["", "\n", "# a comment\n"])
def test_a_file_without_tables_is_bad_input(capsys: Capture, tmp_path: Path, text: str) -> None:
    file = tmp_path / "dump"
    file.write_text(text)
    status, out, err = run(capsys, "explain", str(file), "--from", "host", "--to", "internet:80")
    assert (status, out) == (2, "")
    assert ("has no table" if text.strip() else "the file is empty") in err
    status, out, err = run(capsys, "explain", ICC_OFF, *ASK, "--noflush", str(file))
    assert (status, out) == (2, "")
    file.write_text("*filter\nCOMMIT\n")
    assert run(capsys, "explain", str(file), "--from", "host", "--to", "internet:80", "-q")[:2] == (
        0,
        "ACCEPT\n",
    )


def test_standard_output_may_be_replaced() -> None:
    """By a notebook, or by a program that collects what is printed: by something without bytes."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["graph", str(CAPTURES / "docker-28.5/icc-on"), "--topology"]) == 0
    assert "docker0   bridge" in out.getvalue()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["explain", ".", "--form", "client"],
            "iptsim explain: error: unknown option --form; did you mean --from?",
        ),
        (["lint", ".", "--zz"], "iptsim lint: error: unknown option --zz; see iptsim lint --help"),
        (
            ["explain", ".", "why?"],
            "unexpected argument 'why?'; ask with --from and --to, for example: --from client",
        ),
        (["lint", "--all", "."], "unknown option --all; "),
    ],
)
def test_an_unknown_argument_is_named_with_what_was_meant(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
