"""Reading captures from directories and archives, and what damaged or hostile ones give."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import iptsim
from iptsim import reading
from iptsim.docker.sources.files import settings_of_file
from iptsim.errors import CaptureError
from iptsim.host import archives, files, load_host
from iptsim.host.files import read_source

DUMP = b"*filter\n:INPUT DROP [0:0]\nCOMMIT\n"


def tar_of(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def zip_of(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize("folder", ["", "capture/", "./", "./capture/"])
@pytest.mark.parametrize("kind", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_archives(kind: str, folder: str, tmp_path: Path) -> None:
    members = {f"{folder}iptables-save.txt": DUMP, f"{folder}sysctl.txt": b"net.ipv4.ip_forward = 0\n"}
    path = tmp_path / "whatever"
    path.write_bytes(zip_of(members) if kind == "zip" else tar_of(members, kind))
    assert set(read_source(path).files) == {"iptables-save.txt", "sysctl.txt"}
    host = load_host(path)
    assert host.namespace.sysctl("net.ipv4.ip_forward") == "0"
    assert not host.inferred


@pytest.mark.parametrize("kind", ["folder", "w:gz"])
def test_a_host_without_iptables_has_rules_of_nftables_alone(kind: str, tmp_path: Path) -> None:
    chain = {"family": "inet", "table": "t", "name": "in", "type": "filter", "hook": "input", "prio": 0}
    chains = [{"table": {"family": "inet", "name": "t"}}, {"chain": {**chain, "policy": "drop"}}]
    members = {
        "nft-ruleset.json": json.dumps({"nftables": chains}).encode(),
    }
    path = tmp_path / "host"
    if kind == "folder":
        path.mkdir()
        for name, data in members.items():
            (path / name).write_bytes(data)
    else:
        path.write_bytes(tar_of({f"deep/{name}": data for name, data in members.items()}, kind))
    answer = iptsim.explain(path, "internet", "host:22")
    assert str(answer.verdict) == "DROP"


def test_names_that_lead_elsewhere_are_left_alone(tmp_path: Path) -> None:
    members = {
        "a/iptables-save.txt": DUMP,
        "../sysctl.txt": b"x = 1\n",
        "/ip-rule.json": b"[]",
        "a/b/ip-addr.json": b"[]",
        "a/other.txt": b"",
    }
    (tmp_path / "c.tar").write_bytes(tar_of(members, "w"))
    (tmp_path / "c.zip").write_bytes(zip_of(members))
    for name in ("c.tar", "c.zip"):
        assert set(read_source(tmp_path / name).files) == {"iptables-save.txt"}


def test_links_and_devices_are_left_alone(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind in (("sysctl.txt", tarfile.SYMTYPE), ("ip-addr.json", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/shadow"
            archive.addfile(member)
        member = tarfile.TarInfo("iptables-save.txt")
        member.size = len(DUMP)
        archive.addfile(member, io.BytesIO(DUMP))
    (tmp_path / "c.tar").write_bytes(out.getvalue())
    assert set(read_source(tmp_path / "c.tar").files) == {"iptables-save.txt"}


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_bombs_are_refused(make: type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reading, "FILE_LIMIT", 1000)
    path = tmp_path / "bomb"
    path.write_bytes(make({"iptables-save.txt": DUMP, "sysctl.txt": b"\0" * 100_000}))
    with pytest.raises(CaptureError, match=r"sysctl.txt: larger than"):
        read_source(path)


def test_many_big_files_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reading, "TOTAL_LIMIT", 1000)
    path = tmp_path / "bomb.zip"
    path.write_bytes(
        zip_of({"iptables-save.txt": DUMP, "sysctl.txt": b"a" * 600, "conntrack.txt": b"a" * 600})
    )
    with pytest.raises(CaptureError, match="contains more than"):
        read_source(path)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_packed_dump(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "rules"
    path.write_bytes(pack(DUMP))
    assert read_source(path) == files.Source(str(path), {}, DUMP)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CaptureError, match="damaged"):
        read_source(path)


def test_a_packed_dump_that_blows_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reading, "FILE_LIMIT", 1000)
    path = tmp_path / "rules.gz"
    path.write_bytes(gzip.compress(b"#" * 100_000))
    with pytest.raises(CaptureError, match="larger than"):
        read_source(path)


@pytest.mark.parametrize("kind", ["zip", "w:gz", "w:bz2", "w:xz"])
def test_damaged_archives(kind: str, tmp_path: Path) -> None:
    members = {"c/iptables-save.txt": DUMP * 3000, "c/sysctl.txt": bytes(range(256)) * 300}
    whole = zip_of(members) if kind == "zip" else tar_of(members, kind)
    path = tmp_path / "damaged"
    for cut in range(20, len(whole), len(whole) // 20):
        for data in (whole[:cut], whole[:cut] + b"\xff" * 9 + whole[cut + 9 :]):
            path.write_bytes(data)
            with contextlib.suppress(CaptureError):
                read_source(path)


def test_an_archive_without_a_capture(tmp_path: Path) -> None:
    (tmp_path / "c.tar").write_bytes(tar_of({"readme": b"hello"}))
    with pytest.raises(CaptureError, match=r"it has no iptables-save.txt"):
        load_host(tmp_path / "c.tar")
    with pytest.raises(CaptureError, match=r"it has no iptables-save.txt"):
        load_host(tmp_path)


def test_an_archive_of_two_captures(tmp_path: Path) -> None:
    (tmp_path / "c.tar").write_bytes(tar_of({"a/iptables-save.txt": DUMP, "b/iptables-save.txt": DUMP}))
    with pytest.raises(CaptureError, match="contains 2 captures"):
        load_host(tmp_path / "c.tar")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file"):
        load_host(tmp_path / "missing")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        buffer = io.BytesIO(DUMP)

    monkeypatch.setattr("sys.stdin", Stream())
    host = load_host("-")
    assert host.inferred
    assert host.source == "<stdin>"


# -- what a stranger may send ------------------------------------------------------------------------


def tar_header(name: bytes, kind: bytes, size: int) -> bytes:
    """Return the header of a member, as POSIX.1-2024 pax has it."""
    header = bytearray(512)
    header[:100] = name.ljust(100, b"\0")
    header[100:124] = b"0000644\00000000\00000000\0"
    header[124:136] = b"%011o\0" % size
    header[136:148] = b"00000000000\0"
    header[148:156] = b" " * 8
    header[156:157] = kind
    header[257:265] = b"ustar\x0000"
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize("kind", [b"x", b"L", b"g"])
def test_extended_headers_of_any_size_are_not_kept(kind: bytes, tmp_path: Path) -> None:
    size = 64 << 20
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb", 1) as out:
        out.write(tar_header(b"././@LongLink", kind, size))
        for _ in range(size >> 20):
            out.write(b"a" * (1 << 20))
        out.write(tar_header(b"iptables-save.txt", b"0", len(DUMP)) + DUMP.ljust(512, b"\0"))
    tracemalloc.start()
    try:
        with contextlib.suppress(CaptureError):
            read_source(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names(form: int, tmp_path: Path) -> None:
    folder = "c" * 120 if form != tarfile.USTAR_FORMAT else "c" * 90
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in (("x" * 90 + "/other", b"no"), ("iptables-save.txt", DUMP), ("é", b"")):
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    (tmp_path / "c.tar").write_bytes(out.getvalue())
    assert read_source(tmp_path / "c.tar").files == {"iptables-save.txt": DUMP}


def test_members_that_are_not_needed_are_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reading, "TOTAL_LIMIT", 10_000)
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(tar_of({"film.mkv": b"\0" * 100_000, "iptables-save.txt": DUMP}))
    with pytest.raises(CaptureError, match="contains more than"):
        read_source(path)


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_many_members_are_refused(
    make: Callable[[dict[str, bytes]], bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(archives, "MEMBER_LIMIT", 100)
    path = tmp_path / "many"
    path.write_bytes(make({str(number): b"" for number in range(101)}))
    with pytest.raises(CaptureError, match="more than 100 files"):
        read_source(path)


def test_folders_are_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reading, "TOTAL_LIMIT", 1000)
    for name in ("iptables-save.txt", "conntrack.txt"):
        (tmp_path / name).write_bytes(b"#" * 600)
    with pytest.raises(CaptureError, match="contains more than"):
        read_source(tmp_path)


def test_links_that_lead_out_of_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    capture = tmp_path / "c"
    capture.mkdir()
    (capture / "nft.txt").write_bytes(DUMP)
    (capture / "iptables-save.txt").symlink_to("nft.txt")
    (tmp_path / "link").symlink_to("c")
    assert read_source(tmp_path / "link").files == {"iptables-save.txt": DUMP}
    (capture / "ip-addr.json").symlink_to("../secret")
    with pytest.raises(CaptureError, match=r"ip-addr\.json: a link that leads out of the capture") as caught:
        load_host(capture)
    assert "hunter2" not in str(caught.value)


def test_devices_and_pipes_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    dump = tmp_path / "dump"
    dump.write_bytes(DUMP)
    for path in ("/dev/zero", str(tmp_path / "pipe")):
        for read in (load_host, settings_of_file, partial(load_host, dump, docker_inspect=path), iptsim.load):
            with pytest.raises(CaptureError, match="not a regular file"):
                read(path) if not isinstance(read, partial) else read()


def test_pipes_of_the_shell_are_read() -> None:
    readable, writable = os.pipe()
    os.write(writable, DUMP)
    os.close(writable)
    try:
        assert read_source(f"/dev/fd/{readable}").dump == DUMP
    finally:
        os.close(readable)
