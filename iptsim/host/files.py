"""The files of a capture: from a directory, a tar or zip archive of one, or a bare dump, packed or not.

Nothing is unpacked to disk and only files with a known name are read, so a path that leads elsewhere
does no harm; sizes are bounded, so an archive that blows up does not either.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from iptsim.errors import CaptureError

#: The files of a capture and how each is made. The first one is all that is needed.
FILES: dict[str, str] = {
    "iptables-save.txt": "iptables-save -c",
    "ip6tables-save.txt": "ip6tables-save -c",
    "iptables-legacy-save.txt": "iptables-legacy-save -c",
    "iptables-nft-save.txt": "iptables-nft-save -c",
    "ip6tables-legacy-save.txt": "ip6tables-legacy-save -c",
    "ip6tables-nft-save.txt": "ip6tables-nft-save -c",
    "ip-addr.json": "ip -j addr",
    "ip-link.json": "ip -j -d link",
    "ip-route.json": "ip -j route show table all",
    "ip6-route.json": "ip -j -6 route show table all",
    "ip-rule.json": "ip -j rule",
    "ip6-rule.json": "ip -j -6 rule",
    "ip-neigh.json": "ip -j neigh",
    "bridge-link.json": "bridge -j link",
    "bridge-fdb.json": "bridge -j fdb",
    "sysctl.txt": "sysctl -a",
    "ss.txt": "ss -H -lntup",
    "nft-ruleset.json": "nft -j list ruleset",
    "docker-network-inspect.json": "docker network inspect $(docker network ls -q)",
    "docker-inspect.json": "docker inspect $(docker ps -aq)",
    "docker-info.json": "docker info -f '{{json .}}'",
    "docker-version.txt": "docker version",
    "dockerd-cmdline.txt": "tr '\\0' ' ' < /proc/$(pidof dockerd)/cmdline",
    "daemon.json": "cp /etc/docker/daemon.json",
    "default-docker": "cp /etc/default/docker",
    "podman-network-inspect.json": "podman network inspect $(podman network ls -q)",
    "podman-inspect.json": "podman inspect $(podman ps -aq)",
    "container-netns.json": "iptsim collect",
    "ipset-save.txt": "ipset save",
    "conntrack.txt": "conntrack -L",
    "xt-recent.txt": "iptsim collect",
}
#: Most octets of one file, and of all files together.
FILE_LIMIT = 256 * 2**20
TOTAL_LIMIT = 512 * 2**20
#: Most members of an archive that are looked at.
MEMBER_LIMIT = 10_000
#: A capture may lie in one folder inside its archive.
DEPTH = 2

_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
    RuntimeError, OSError,
)  # fmt: skip


#: Length of the header of a member of a tar archive.
_TAR_HEADER = 512
#: Opens a packed stream.
_Opener = Callable[[IO[bytes]], Any]
#: How packed files begin, and what opens them.
_PACKED: dict[bytes, _Opener] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}


class Source(NamedTuple):
    """What was found at a path.

    Attributes:
        name: the path, "<stdin>" for standard input.
        files: the files of a capture by name, as octets; for a bare dump empty.
        dump: the octets of a bare dump, None for a capture.
    """

    name: str
    files: dict[str, bytes]
    dump: bytes | None = None


def read_source(path: str | Path) -> Source:
    """Read a capture or a bare dump; "-" is standard input.

    Raises:
        CaptureError: it is not there, can't be read, is too big or damaged, or is an archive without
            a capture.
    """
    if str(path) == "-":
        return _from_octets("<stdin>", _bounded(sys.stdin.buffer, "<stdin>"))
    path = Path(path)
    try:
        if path.is_dir():
            return Source(str(path), _read_directory(path))
        with path.open("rb") as stream:
            return _from_octets(str(path), _bounded(stream, str(path)))
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror or error}") from None


def _read_directory(path: Path) -> dict[str, bytes]:
    found = {}
    for name in FILES:
        if (path / name).is_file():
            with (path / name).open("rb") as stream:
                found[name] = _bounded(stream, str(path / name))
    _check_capture(found, str(path))
    return found


def _from_octets(name: str, data: bytes) -> Source:
    opener = next((found for mark, found in _PACKED.items() if data.startswith(mark)), None)
    try:
        if data.startswith(b"PK\x03\x04"):
            files = _pick(_zip_members(data), name)
        elif _is_tar(data) or (opener and _is_tar(_unpacked(opener, data).read(_TAR_HEADER))):
            files = _pick(_tar_members(data), name)
        elif opener:
            return Source(name, {}, _bounded(_unpacked(opener, data), name))
        else:
            return Source(name, {}, data)
    except _DAMAGED as error:
        raise CaptureError(
            f"{name}: the archive is damaged ({error}); make it again, or give what was to be in it"
        ) from None
    _check_capture(files, name)
    return Source(name, files)


def _unpacked(opener: _Opener, data: bytes) -> IO[bytes]:
    stream: IO[bytes] = opener(io.BytesIO(data))
    return stream


def _is_tar(data: bytes) -> bool:
    return data[257:262] == b"ustar"


def _pick(members: Iterator[tuple[str, IO[bytes]]], archive: str) -> dict[str, bytes]:
    """Return the known files of an archive, of its top or of one folder, whichever has a dump first."""
    folders: dict[PurePosixPath, dict[str, bytes]] = {}
    total = 0
    for member, stream in members:
        path = PurePosixPath(member)
        parts = [part for part in path.parts if part not in (".", "/")]
        if len(parts) > DEPTH or not parts or ".." in parts or parts[-1] not in FILES:
            continue
        data = _bounded(stream, f"{archive}: {member}")
        total += len(data)
        if total > TOTAL_LIMIT:
            raise CaptureError(f"{archive}: holds more than {TOTAL_LIMIT >> 20} MiB; no capture is that big")
        folders.setdefault(PurePosixPath(*parts[:-1]), {})[parts[-1]] = data
    whole = [files for _, files in sorted(folders.items()) if any(name in files for name in DUMPS)]
    if len(whole) > 1:
        raise CaptureError(f"{archive}: holds {len(whole)} captures; unpack it and give the directory of one")
    return whole[0] if whole else {}


#: The files that hold rules.
DUMPS = tuple(name for name in FILES if name.endswith("tables-save.txt"))


def _tar_members(data: bytes) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for count, member in enumerate(archive):
            if count >= MEMBER_LIMIT:
                return
            # Links and devices are no files of a capture.
            stream = archive.extractfile(member) if member.isreg() else None
            if stream is not None:
                yield member.name, stream


def _zip_members(data: bytes) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist()[:MEMBER_LIMIT]:
            if not member.is_dir():
                with archive.open(member) as stream:
                    yield member.filename, stream


def _bounded(stream: IO[bytes], name: str) -> bytes:
    data = stream.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise CaptureError(f"{name}: is bigger than {FILE_LIMIT >> 20} MiB; no capture is that big")
    return data


def _check_capture(files: dict[str, bytes], name: str) -> None:
    if not any(dump in files for dump in DUMPS):
        raise CaptureError(
            f"{name}: there is no iptables-save.txt in it, so it is no capture; "
            "save `iptables-save -c` there under that name, or make one with `iptsim collect`"
        )
