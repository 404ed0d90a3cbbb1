"""Reading captures from directories and archives, and what damaged or hostile ones give."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from iptsim.errors import CaptureError
from iptsim.host import files, load_host
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
    monkeypatch.setattr(files, "FILE_LIMIT", 1000)
    path = tmp_path / "bomb"
    path.write_bytes(make({"iptables-save.txt": DUMP, "sysctl.txt": b"\0" * 100_000}))
    with pytest.raises(CaptureError, match=r"sysctl.txt: is bigger than"):
        read_source(path)


def test_many_big_files_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "TOTAL_LIMIT", 1000)
    path = tmp_path / "bomb.zip"
    path.write_bytes(
        zip_of({"iptables-save.txt": DUMP, "sysctl.txt": b"a" * 600, "conntrack.txt": b"a" * 600})
    )
    with pytest.raises(CaptureError, match="holds more than"):
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
    monkeypatch.setattr(files, "FILE_LIMIT", 1000)
    path = tmp_path / "rules.gz"
    path.write_bytes(gzip.compress(b"#" * 100_000))
    with pytest.raises(CaptureError, match="is bigger than"):
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
    with pytest.raises(CaptureError, match=r"there is no iptables-save.txt in it"):
        load_host(tmp_path / "c.tar")
    with pytest.raises(CaptureError, match=r"there is no iptables-save.txt in it"):
        load_host(tmp_path)


def test_an_archive_of_two_captures(tmp_path: Path) -> None:
    (tmp_path / "c.tar").write_bytes(tar_of({"a/iptables-save.txt": DUMP, "b/iptables-save.txt": DUMP}))
    with pytest.raises(CaptureError, match="holds 2 captures"):
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
