"""The files of a capture: from a directory, a tar or zip archive of one, or a bare dump, compressed or not.

Nothing is unpacked to disk and only files with known names are read, so paths that lead elsewhere are
harmless; sizes are limited, so decompression bombs are harmless too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from iptsim.errors import CaptureError, printable
from iptsim.host.archives import DAMAGED, is_packed, is_tar, tar_members, unpacked, zip_members
from iptsim.languages import Message, message, message_many, text_of
from iptsim.reading import bounded, check_total, fault_of, is_binary, is_utf16, read_file

#: The files of a capture, and the command for each. Only the first one is required.
FILES: dict[str, str] = {
    "iptables-save.txt": "iptables-save -c",
    "ip6tables-save.txt": "ip6tables-save -c",
    "iptables-legacy-save.txt": "iptables-legacy-save -c",
    "iptables-nft-save.txt": "iptables-nft-save -c",
    "ip6tables-legacy-save.txt": "ip6tables-legacy-save -c",
    "ip6tables-nft-save.txt": "ip6tables-nft-save -c",
    "iptables-listing.txt": "iptables -L -n -v",
    "ip6tables-listing.txt": "ip6tables -L -n -v",
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
#: How deep in an archive a capture may be, and other texts.
CAPTURE_DEPTH, TEXT_DEPTH = 8, 2
#: How many captures of a folder or archive an error names.
_NAMED = 10
#: The maximum number of other files of a folder or archive that are read.
TEXTS = 100
#: The files with listings of rules, for captures without a dump.
LISTINGS = tuple(name for name in FILES if name.endswith("tables-listing.txt"))
#: The files with rules.
DUMPS = tuple(name for name in FILES if name.endswith("tables-save.txt"))
#: The file with the rules of nftables.
NFT_RULESET = "nft-ruleset.json"


class Source(NamedTuple):
    """The files found at a path.

    Attributes:
        name: the path, or "<stdin>" for standard input.
        files: the files of a capture by name, as bytes; empty for a bare dump.
        dump: the bytes of a bare dump, or None for a capture.
        texts: other files, if the source has no dump of a capture.
    """

    name: str
    files: dict[str, bytes]
    dump: bytes | None = None
    texts: dict[str, bytes] = {}  # noqa: RUF012 - nothing changes it


def read_source(path: str | Path, *, any_text: bool = False) -> Source:
    """Read a capture or a bare dump; "-" means standard input.

    Args:
        path: where it is.
        any_text: accept a folder or archive without a dump, and return its other files.

    Raises:
        CaptureError: it does not exist, cannot be read, is too big or damaged, or is an archive without
            a capture.
    """
    if str(path) == "-":
        return _from_bytes("<stdin>", _standard_input(), any_text)
    if os.path.isdir(path):
        try:
            files = _read_directory(Path(path))
            captures = [] if files else _captures_in(Path(path))
            texts = _texts_of(Path(path)) if any_text and not _has_dump(files) else {}
        except OSError as error:
            raise CaptureError(message("{path}: {error}", path=str(path), error=fault_of(error))) from None
        if captures:
            raise CaptureError(
                message_many(
                    "{path}: a folder with {count} capture in it; give that one: {captures}",
                    "{path}: a folder with {count} captures in it; give one of them: {captures}",
                    count=len(captures),
                    path=str(path),
                    captures=_some(captures),
                )
            )
        return _checked(str(path), files, texts, any_text)
    return _from_bytes(str(path), read_file(path), any_text)


def text_source(name: str, text: str) -> Source:
    """Return a text as a source.

    Raises:
        CaptureError: it is too big.
    """
    data = text.encode()
    check_total(len(data), name)
    return Source(name, {}, data)


def _standard_input() -> bytes:
    try:
        return bounded(sys.stdin.buffer, "<stdin>")
    except OSError as error:
        raise CaptureError(message("<stdin>: {error}", error=fault_of(error))) from None


def _read_directory(path: Path) -> dict[str, bytes]:
    """Return the files of a capture in a directory; links that lead outside are not followed."""
    found: dict[str, bytes] = {}
    folder = path.resolve()
    for name in FILES:
        file = path / name
        if not file.is_file():
            continue
        if not file.resolve().is_relative_to(folder):
            raise CaptureError(
                message(
                    "{file}: a link that leads out of the capture; replace it with the file itself",
                    file=str(file),
                )
            )
        found[name] = read_file(file)
        check_total(sum(map(len, found.values())), str(path))
    return found


def _texts_of(path: Path) -> dict[str, bytes]:
    """Return the texts among the other files of a folder, by name: the first ones, in the order of their names."""
    found: dict[str, bytes] = {}
    for file in sorted(path.iterdir())[:TEXTS]:
        if file.name not in FILES and file.is_file() and not file.is_symlink():
            data = read_file(file)
            if not is_binary(data):
                found[file.name] = data
            check_total(sum(map(len, found.values())), str(path))
    return found


def _from_bytes(name: str, data: bytes, any_text: bool) -> Source:
    texts: dict[str, bytes] = {}
    try:
        if data.startswith(b"PK\x03\x04"):
            files = _pick(zip_members(data, name, _is_wanted), name)
            if any_text and not _has_dump(files):
                texts = _others(zip_members(data, name, _is_text), name)
        elif is_tar(data):
            files = _pick(tar_members(data, name, _is_wanted), name)
            if any_text and not _has_dump(files):
                texts = _others(tar_members(data, name, _is_text), name)
        elif is_packed(data):
            return Source(name, {}, bounded(unpacked(data), name))
        else:
            return Source(name, {}, data)
    except DAMAGED as error:
        fault = text_of(error)
        why = message(" ({fault})", fault=fault) if isinstance(fault, Message) else ""
        raise CaptureError(
            message(
                "{name}: the archive is damaged{why}; create it again, or give its contents",
                name=name,
                why=why,
            )
        ) from None
    return _checked(name, files, texts, any_text)


def _has_dump(files: Container[str]) -> bool:
    return any(dump in files for dump in DUMPS)


def _has_rules(files: Container[str]) -> bool:
    """Return whether files show all rules: with iptables, or with nft alone where iptables is not installed."""
    return _has_dump(files) or NFT_RULESET in files


def _others(members: Iterator[tuple[str, bytes]], archive: str) -> dict[str, bytes]:
    """Return the first texts of an archive."""
    found: dict[str, bytes] = {}
    for member, data in islice(members, TEXTS):
        if not is_binary(data):
            found[member] = data
        check_total(sum(map(len, found.values())), archive)
    return found


def _is_text(member: str) -> bool:
    parts = _parts(member)
    return 0 < len(parts) <= TEXT_DEPTH and ".." not in parts and parts[-1] not in FILES


def _parts(member: str) -> list[str]:
    return [part for part in PurePosixPath(member).parts if part not in (".", "/")]


def _is_wanted(member: str) -> bool:
    """Return whether a member is a file of a capture."""
    parts = _parts(member)
    return 0 < len(parts) <= CAPTURE_DEPTH and ".." not in parts and parts[-1] in FILES


def _pick(members: Iterator[tuple[str, bytes]], archive: str) -> dict[str, bytes]:
    """Return the files of the only capture in an archive, in whichever directory it is."""
    folders: dict[tuple[str, ...], dict[str, bytes]] = {}
    total = 0
    for member, data in members:
        total += len(data)
        check_total(total, archive)
        *folder, name = _parts(member)
        folders.setdefault(tuple(folder), {})[name] = data
    whole = [folder for folder, files in sorted(folders.items()) if _has_rules(files)]
    if len(whole) > 1:
        raise CaptureError(
            message(
                "{archive}: contains {count} captures ({captures}); unpack it and give the directory of one",
                archive=archive,
                count=len(whole),
                captures=_some("/".join(folder) or "." for folder in whole),
            )
        )
    return folders[whole[0]] if whole else {}


def _some(names: Iterable[str]) -> str:
    """Return the first names of many, as a list."""
    first = [printable(name) for name in islice(names, _NAMED + 1)]
    return ", ".join([*first[:_NAMED], *["..."][: len(first) - _NAMED]])


def _captures_in(folder: Path) -> list[str]:
    """Return the captures in the folders of a folder, by their paths."""
    dumps = (folder.glob(f"{deep}{name}") for deep in ("*/", "*/*/") for name in (*DUMPS, NFT_RULESET))
    return sorted({str(dump.parent) for dump in chain.from_iterable(dumps)})


def _utf8(data: bytes) -> bytes:
    """Return a text in UTF-8, also if it is in UTF-16."""
    if not is_utf16(data):
        return data
    try:
        return data.decode("utf-16").encode()
    except UnicodeError:
        return data


def _checked(name: str, files: dict[str, bytes], texts: dict[str, bytes], any_text: bool) -> Source:
    """Return the files of a capture as a source, if it has rules or other texts."""
    if not _has_rules(files) and not texts and not any(one in files for one in LISTINGS):
        raise CaptureError(
            message(
                "{name}: not a capture: it has no iptables-save.txt; save the output of `iptables-save -c` "
                "there under that name, or make a capture with `iptsim collect`",
                name=name,
            )
        )
    if any_text:
        files = {one: _utf8(data) for one, data in files.items()}
    return Source(name, files, texts=texts)
