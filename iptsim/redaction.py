"""Replaces addresses, names and MACs of a capture or a paste, so that every packet still takes the same path.

Addresses keep their prefixes: two that share their first n bits share n bits afterwards, as in Crypto-PAn (Xu et
al., 2002). Addresses with a special meaning (loopback, multicast, private, link-local) stay in their range,
broadcast addresses stay broadcast addresses, and ranges `FIRST-LAST` keep their order. With the same key, the same text
is replaced alike in every file.

It needs nothing but Python's standard library: `iptsim collect --redact` sends it along to hosts without iptsim, where
`python3 redaction.py KEY FOLDER` rewrites the files of a folder.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

_WIDTH = {4: 32, 6: 128}
#: Networks whose addresses stay in them: their meaning is in their prefix.
_SPECIAL = (
    "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15",
    "64:ff9b::/96", "2001::/32", "2001:10::/28", "2002::/16", "3ffe::/16", "fc00::/7", "fec0::/10", "fe80::/64",
)  # fmt: skip
#: Networks whose addresses stay as they are: they mean the same everywhere, are the default of a program
#: (Docker, Podman, libvirt, LXC, Kubernetes) or represent others in documents.
_KEPT = (
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/8", "ff00::/8",
    "172.17.0.0/16", "10.88.0.0/16", "192.168.122.0/24", "10.0.3.0/24", "10.96.0.0/12", "10.244.0.0/16",
    "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32",
)  # fmt: skip
#: Networks whose addresses keep their last 8 bits: the first address is the gateway's, as on every host.
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
_NUMBER_BITS = 8

_HEX = "[0-9A-Fa-f]"
_MAC = re.compile(
    rf"(?<![0-9A-Fa-f:.-])((?:{_HEX}{{2}}:){{5}}{_HEX}{{2}})((?::{_HEX}{{2}}){{8}})?(?![0-9A-Fa-f:])"
)
_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(
    rf"(?<![\w.])({_BYTE}(?:\.{_BYTE}){{3}})(?:/({_BYTE}(?:\.{_BYTE}){{3}}|\d{{1,2}}))?(?![\w]|\.\d)"
)
_IPV6 = re.compile(
    rf"(?<![\w:.])((?:{_HEX}{{0,4}}:){{2,7}}(?:{_BYTE}(?:\.{_BYTE}){{3}}|{_HEX}{{0,4}}))(?:/(\d{{1,3}}))?(?![\w:])"
)
_RANGE = re.compile(r"([0-9A-Fa-f:.]{2,39})\]?-\[?([0-9A-Fa-f:.]{2,39})")
#: `ip -j addr` and `ip addr`: an interface's own address with its prefix.
_OWN = re.compile(r'"local":\s*"([^"]+)"[^{}]*?"prefixlen":\s*(\d+)|\binet6?\s+([0-9A-Fa-f:.]+)/(\d+)')
_HOLLOW = re.compile(r"/((?:\d{1,3}\.){3}\d{1,3})\b")
_NETMAP = re.compile(r"(?:NETMAP --to|netmap to|to:)\s*\[?([0-9A-Fa-f:.]+)/(\d+)")
_PREFIX_TRANSLATION = re.compile(r"\b[SD]NPT\b")
#: Free text: comments, and LOG prefixes.
_OWN_WORDS = re.compile(
    r'(--(?:comment|log-prefix|nflog-prefix) )("[^"\\]*(?:\\.[^"\\]*)*"|\S+)|/\* (?:.*?) \*/'
)
_LOG_HOST = re.compile(
    r"^([A-Z][a-z]{2} [ \d]\d [\d:]{8} |\d{4}-\d\d-\d\dT\S+ )(\S+)(?= (?:kernel|systemd|dockerd)\b)",
    re.MULTILINE,
)
_PROMPT = re.compile(r"\b[\w.-]+@([A-Za-z][\w-]*)(?=[: ][^\n]{0,80}?[#$])")
#: Settings of containers and daemons that do not affect packets, and may be secret.
_SECRET = frozenset((
    "Env", "Cmd", "Entrypoint", "Args", "Path", "Labels", "Mounts", "Binds", "Volumes", "Image",
    "GraphDriver", "LogPath", "LogConfig", "HostnamePath", "HostsPath", "ResolvConfPath", "SecurityOpt",
    "WorkingDir", "Healthcheck", "Hostname", "Domainname", "User", "RegistryConfig", "HttpProxy",
    "HttpsProxy", "NoProxy", "DockerRootDir", "proxies", "registry-mirrors", "insecure-registries",
    "log-opts", "labels", "allow-nondistributable-artifacts",
))  # fmt: skip
#: Names that mean something to Docker or Podman.
_KNOWN_NAMES = frozenset(
    ("bridge", "host", "none", "default", "ingress", "docker_gwbridge", "podman", "localhost", "")
)
_PART = re.compile(r"[^/:,]+")


def key_of(text: str) -> bytes:
    """Return the key that a text represents."""
    return hashlib.sha256(text.encode()).digest()


class Redactor:
    """Replaces what identifies the owner of a host.

    Args:
        key: the secret of the replacement; whoever knows it can reverse it.
        texts: everything that is to be redacted; the networks, ranges and names in it determine the replacements.
    """

    def __init__(self, key: bytes, texts: Iterable[str] = ()) -> None:
        self._key = key
        #: addresses whose last bits stay, as (family, first bits, how many)
        self._fixed: set[tuple[int, int, int]] = set()
        #: networks whose first and last address stay first and last
        self._own: set[tuple[int, int, int]] = set()
        #: how many bits of an address may change
        self._depth = dict(_WIDTH)
        self._names: dict[str, str] = {}
        self._flip = lru_cache(maxsize=1 << 16)(self._decide)
        for text in texts:
            self._learn(text)

    # -- what the texts say -------------------------------------------------------------------------------------

    def _learn(self, text: str) -> None:
        for found in _RANGE.finditer(text):
            ends = [_parsed(end) for end in found.groups()]
            if ends[0] and ends[1] and ends[0][0] == ends[1][0]:
                family, first = ends[0]
                shared = _WIDTH[family] - (first ^ ends[1][1]).bit_length()
                self._fixed.add((family, first >> (_WIDTH[family] - shared), shared))
        for found in _OWN.finditer(text):
            own = _parsed(found[1] or found[3])
            if own:
                self._add_own(*own, int(found[2] or found[4]))
        for found in _HOLLOW.finditer(text):
            mask = _parsed(found[1])
            if mask:
                holes = f"{mask[1]:032b}".find("0")
                if mask[1] & ((1 << (32 - holes)) - 1) if holes >= 0 else 0:
                    self._depth[4] = min(self._depth[4], holes)
        for found in _NETMAP.finditer(text):
            to = _parsed(found[1])
            if to:
                self._depth[to[0]] = min(self._depth[to[0]], int(found[2]))
        if _PREFIX_TRANSLATION.search(text):
            # the kernel corrects an address so that its checksum stays: no other address would do
            self._depth[6] = 0

    def _add_own(self, family: int, address: int, length: int) -> None:
        if length <= _WIDTH[family]:
            self._own.add((family, address >> (_WIDTH[family] - length), length))

    def learn_names(self, value: Any) -> None:
        """Learn the names of containers, networks and hosts from the output of `docker inspect` and the like."""
        for name in _names(value):
            self.name(name)

    # -- replacing ----------------------------------------------------------------------------------------------

    def address(self, family: int, address: int, length: int | None = None) -> int:
        """Return the replacement of an address, or of a network with a prefix of `length` bits."""
        width = _WIDTH[family]
        length = width if length is None else length
        result = 0
        for depth in range(width):
            bit = address >> (width - 1 - depth) & 1
            if depth < length:
                bit ^= self._flip(family, address >> (width - depth), depth)
            result = result << 1 | bit
        return result

    def _decide(self, family: int, prefix: int, depth: int) -> int:
        """Return whether the bit that follows a prefix is flipped."""
        width = _WIDTH[family]
        if depth >= self._depth[family] or _is_kept(family, prefix, depth):
            return 0
        if any(
            one == family and prefix >> (depth - bits) == fixed
            for one, fixed, bits in self._fixed
            if bits <= depth
        ):
            return 0
        for one, network, bits in self._own:
            if one == family and bits <= depth and prefix >> (depth - bits) == network:
                rest = prefix & ((1 << (depth - bits)) - 1)
                if rest in (0, (1 << (depth - bits)) - 1):
                    return 0
        text = f"{family}/{depth}/{prefix:0{width}b}".encode()
        return hashlib.blake2b(text, key=self._key[:64], digest_size=1).digest()[0] & 1

    def mac(self, text: str) -> str:
        """Return the replacement of a MAC address; the bits for groups and local addresses stay."""
        address = bytes.fromhex(text.replace(":", ""))
        if address[0] & 1 or not any(address):
            return text
        digest = hashlib.blake2b(address, key=self._key[:64], digest_size=6).digest()
        mixed = bytes([address[0] & 3 | digest[0] & 0xFC, *digest[1:]])
        return ":".join(f"{octet:02x}" for octet in mixed)

    def name(self, text: str) -> str:
        """Return the replacement of the name of a container, a network or a host."""
        if text in _KNOWN_NAMES:
            return text
        return self._names.setdefault(text, f"name{len(self._names) + 1}")

    def text(self, text: str) -> str:
        """Return a text with its addresses and MACs replaced, and the known names in comments and prompts."""
        text = _LOG_HOST.sub(lambda found: found[1] + self.name(found[2]), text)
        text = _PROMPT.sub(lambda found: f"user@{self.name(found[1])}", text)
        text = _OWN_WORDS.sub(lambda found: self._without_names(found[0]), text)
        text = _MAC.sub(self._macs, text)
        text = _IPV6.sub(lambda found: self._network(6, found), text)
        return _IPV4.sub(lambda found: self._network(4, found), text)

    def json(self, value: Any) -> Any:
        """Return a value with its texts replaced, without what may be secret."""
        if isinstance(value, dict):
            return {
                self._json_text(key): self.json(item) for key, item in value.items() if key not in _SECRET
            }
        if isinstance(value, list):
            return [self.json(item) for item in value]
        return self._json_text(value) if isinstance(value, str) else value

    def _json_text(self, text: str) -> str:
        if "\n" not in text:
            text = _PART.sub(lambda found: self._names.get(found[0], found[0]), text)
        return self.text(text)

    def _without_names(self, text: str) -> str:
        return re.sub(r"[\w.-]+", lambda found: self._names.get(found[0], found[0]), text)

    def _macs(self, found: re.Match[str]) -> str:
        if not found[2]:
            return self.mac(found[1])
        # a log line has both addresses of the frame, and its type
        other, kind = found[2][1:18], found[2][18:]
        return f"{self.mac(found[1])}:{self.mac(other)}{kind}"

    def _network(self, family: int, found: re.Match[str]) -> str:
        parsed = _parsed(found[1])
        if parsed is None or parsed[0] != family:
            return found[0]
        length: int | None = None
        if found[2]:
            length = int(found[2]) if found[2].isdigit() else _length_of(found[2])
        width = _WIDTH[family]
        # an interface has its own address before the length; of a network the other bits are zero
        is_network = length is not None and length <= width and not parsed[1] & ((1 << (width - length)) - 1)
        address = self.address(family, parsed[1], length if is_network else None)
        shown = ipaddress.IPv4Address(address) if family == 4 else ipaddress.IPv6Address(address)
        return f"{shown}{'/' + found[2] if found[2] else ''}"


def _parsed(text: str) -> tuple[int, int] | None:
    try:
        found = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    return found.version, int(found)


def _length_of(mask: str) -> int:
    parsed = _parsed(mask)
    return f"{parsed[1]:032b}".count("1") if parsed else 0


def _is_kept(family: int, prefix: int, depth: int) -> bool:
    """Return whether the bit that follows a prefix has a meaning of its own."""
    above = [
        bits
        for first, bits in _networks(_SPECIAL + _KEPT)[family]
        if depth < bits and first >> (bits - depth) == prefix
    ]
    if above or _is_in(family, prefix, depth, _KEPT):
        return True
    return depth >= _WIDTH[family] - _NUMBER_BITS and _is_in(family, prefix, depth, _PRIVATE)


def _is_in(family: int, prefix: int, depth: int, networks: tuple[str, ...]) -> bool:
    """Return whether a prefix lies in one of these networks."""
    return any(
        bits <= depth and prefix >> (depth - bits) == first for first, bits in _networks(networks)[family]
    )


@cache
def _networks(texts: tuple[str, ...]) -> dict[int, list[tuple[int, int]]]:
    """Return the networks of each family: their first bits, and how many these are."""
    found: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
    for network in map(ipaddress.ip_network, texts):
        first = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
        found[network.version].append((first, network.prefixlen))
    return found


def _names(value: Any) -> Iterator[str]:
    """Yield the names in what `docker inspect`, `docker network inspect` and Podman's like print."""
    for entry in value if isinstance(value, list) else [value]:
        if not isinstance(entry, dict):
            continue
        yield str(entry.get("Name") or entry.get("name") or "").lstrip("/")
        settings = entry.get("NetworkSettings")
        networks = settings.get("Networks") if isinstance(settings, dict) else None
        for name, network in networks.items() if isinstance(networks, dict) else ():
            yield name
            for key in ("Aliases", "DNSNames"):
                yield from map(str, network.get(key) or ())
        members = entry.get("Containers")
        for member in members.values() if isinstance(members, dict) else ():
            yield str(member.get("Name", ""))


def redact_files(key: bytes, files: dict[str, bytes]) -> dict[str, bytes]:
    """Return files with what identifies their owner replaced, alike in all of them.

    Args:
        key: see :class:`Redactor`.
        files: by name. Files ending in .json are parsed; if that fails, they are redacted as text.
    """
    texts = {name: data.decode(errors="surrogateescape") for name, data in files.items()}
    redactor = Redactor(key, texts.values())
    values = {name: value for name, text in texts.items() if (value := _json_value(name, text)) is not None}
    for name, value in values.items():
        if "inspect" in name or name.endswith("docker-info.json"):
            redactor.learn_names(value)
        elif name.endswith("container-netns.json") and isinstance(value, dict):
            redactor.learn_names([{"Name": guest} for guest in value])
    return {
        name: (
            json.dumps(redactor.json(values[name]), indent=1) if name in values else redactor.text(text)
        ).encode(errors="surrogateescape")
        for name, text in texts.items()
    }


def _json_value(name: str, text: str) -> Any:
    try:
        return json.loads(text) if name.endswith(".json") else None
    except (ValueError, RecursionError):
        return None


def _main(key: str, folder: str) -> None:
    paths = [path for path in Path(folder).iterdir() if path.is_file()]
    done = redact_files(key_of(key), {path.name: path.read_bytes() for path in paths})
    for path in paths:
        path.write_bytes(done[path.name])


if __name__ == "__main__":
    _main(*sys.argv[1:3])
