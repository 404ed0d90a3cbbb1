"""`--with FILE`: texts, archives and captures are read as a source is."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path

import pytest

import iptsim
from iptsim.errors import CaptureError
from iptsim.sources import load_host

RULES = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
ADDRESSES = "$ ip addr\n2: eth0: <UP,LOWER_UP> mtu 1500 state UP\n    inet 192.168.9.5/24 scope global eth0\n"


def write(folder: Path, name: str) -> Path:
    path, data = folder / name, ADDRESSES.encode()
    match path.suffix:
        case ".gz":
            path.write_bytes(gzip.compress(data))
        case ".xz":
            path.write_bytes(lzma.compress(data))
        case ".bz2":
            path.write_bytes(bz2.compress(data))
        case ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("addresses.txt", data)
        case _:
            path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.xz", "a.txt.bz2", "a.zip"])
def test_further_texts_may_be_packed(name: str, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text(RULES)
    host = load_host(rules, extra=[write(tmp_path, name)])
    assert host.owner_of(4, 0xC0A80905) == "host"
    assert iptsim.explain(host, "192.168.9.7", "192.168.9.5", dport=22).verdict == "DROP"


def test_a_damaged_archive_is_an_error(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text(RULES)
    whole = write(tmp_path, "a.txt.gz")
    whole.write_bytes(whole.read_bytes()[:40])
    with pytest.raises(CaptureError, match=r"a\.txt\.gz: the archive is damaged"):
        load_host(rules, extra=[whole])
