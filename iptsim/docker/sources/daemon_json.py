"""daemon.json as dockerd accepts it: its keys, and the type of each value.

Read from getConflictFreeConfiguration, findConfigurationConflicts and Config in daemon/config of moby 20.10 to 29,
and checked against dockerd 20.10. A key is valid if any of these engines accepts it.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from iptsim.errors import FileSyntaxError, Span
from iptsim.extensions.values import NoSuchWord
from iptsim.languages import Message, Text, message, text_of

_BLANKS = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class Member(NamedTuple):
    """A key of a JSON object with its value, and their positions in the text."""

    key: str
    key_at: tuple[int, int]
    value: Any
    value_at: tuple[int, int]


def members(text: str, start: int) -> Iterator[Member]:
    """Yield the members of the object that begins at `start` of a valid JSON text; a repeated key, each time."""
    at = _after_blanks(text, start + 1)
    while text[at] != "}":
        key, key_end = _DECODER.raw_decode(text, at)
        begin = _after_blanks(text, _after_blanks(text, key_end) + 1)
        value, end = _DECODER.raw_decode(text, begin)
        yield Member(key, (at, key_end), value, (begin, end))
        at = _after_blanks(text, end)
        at = _after_blanks(text, at + 1) if text[at] == "," else at


def _after_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


class Kind(NamedTuple):
    """The type of a value: its description, and a test."""

    wanted: Message
    fits: Callable[[Any], bool]


def _is_address(value: Any) -> bool:
    try:
        ipaddress.ip_address(value if isinstance(value, str) else "")
    except ValueError:
        return bool(value == "")
    return True


def _each(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda values: isinstance(values, list) and all(value is None or fits(value) for value in values)


def _each_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda values: isinstance(values, dict) and _each(fits)([*values.values()])


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_pool(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    fields = {key.lower(): field for key, field in value.items()}
    base, size = fields.get("base"), fields.get("size")
    return isinstance(base, str | None) and (size is None or _is_number(size))


_SWITCH = Kind(message("true or false"), _is_switch)
_NUMBER = Kind(message("a whole number"), _is_number)
_TEXT = Kind(message("a string in quotes"), _is_text)
_ADDRESS = Kind(message("an IP address in quotes"), _is_address)
_TEXTS = Kind(message("a list of strings: {example}", example='["…"]'), _each(_is_text))
_ADDRESSES = Kind(message("a list of IP addresses: {example}", example='["192.0.2.53"]'), _each(_is_address))
_MAP = Kind(message("an object of strings: {example}", example='{"…": "…"}'), _each_of(_is_text))
_MAPS = Kind(
    message("an object of objects: {example}", example='{"bridge": {"…": "…"}}'), _each_of(_each_of(_is_text))
)
_SWITCHES = Kind(
    message("an object of true or false values: {example}", example='{"…": true}'), _each_of(_is_switch)
)
_OBJECT = Kind(message("an object"), lambda value: isinstance(value, dict))
_POOLS = Kind(
    message("a list of pools: {example}", example='[{"base": "10.0.0.0/8", "size": 24}]'), _each(_is_pool)
)
_ANY = Kind(message("anything"), lambda value: True)

_KEYS = {
    _SWITCH: (
        "allow-direct-routing cri-containerd debug experimental icc init ip-forward ip-forward-no-drop ip-masq"
        " ip6tables iptables ipv6 live-restore no-new-privileges raw-logs rootless selinux-enabled tls tlsverify"
        " userland-proxy"
    ),
    _NUMBER: (
        "cpu-rt-period cpu-rt-runtime default-stop-timeout max-concurrent-downloads max-concurrent-uploads"
        " max-download-attempts mtu network-control-plane-mtu network-diagnostic-port oom-score-adjust"
        " shutdown-timeout"
    ),
    _TEXT: (
        "api-cors-header bip bip6 bridge bridge-accept-fwmark cgroup-parent cluster-advertise cluster-store containerd"
        " containerd-namespace data-root default-cgroupns-mode default-ipc-mode default-runtime"
        " default-shm-size exec-root firewall-backend fixed-cidr fixed-cidr-v6 graph group http-proxy https-proxy"
        " init-path log-driver log-format log-level metrics-addr min-api-version no-proxy pidfile seccomp-profile"
        " storage-driver swarm-default-advertise-addr tlscacert tlscert tlskey userland-proxy-path userns-remap"
    ),
    _ADDRESS: "default-gateway default-gateway-v6 host-gateway-ip ip",
    _TEXTS: (
        "authorization-plugins cdi-spec-dirs dns-opts dns-search exec-opts hosts insecure-registries labels"
        " node-generic-resources registry-mirrors storage-opts"
    ),
    _ADDRESSES: "dns host-gateway-ips",
    _MAP: "cluster-store-opts log-opts",
    _SWITCHES: "features",
    _MAPS: "default-network-opts",
    _OBJECT: "builder default-ulimits nri-opts runtimes",
    _POOLS: "default-address-pools",
    # obsolete keys, and flags that are not keys of the file: accepted without effect
    _ANY: (
        "add-runtime allow-nondistributable-artifacts authorization-plugin cdi-spec-dir"
        " cluster-store-opt containerd-plugins-namespace default-address-pool default-network-opt default-ulimit"
        " deprecated-key-path dns-opt exec-opt feature help host insecure-registry label log-opt"
        " node-generic-resource registry-mirror restart storage-opt validate version"
    ),
}
KEYS = {key: kind for kind, keys in _KEYS.items() for key in keys.split()}


#: Keys whose objects are values; any other object only groups keys (flatOptions of moby).
_VALUES = (_MAP, _MAPS, _SWITCHES, _OBJECT)


def check_settings(text: str, path: str) -> None:
    """Reject what dockerd would reject in a daemon.json that is an object.

    Raises:
        CaptureError: a key is unknown, or its value has another type; the text shows where.
    """
    for member in members(text, text.index("{")):
        if isinstance(member.value, dict) and KEYS.get(member.key) not in _VALUES:
            for inner in members(text, member.value_at[0]):
                _check_key(inner, text, path)
        else:
            _check_key(member, text, path)
        _check_value(member, text, path)


def _check_key(member: Member, text: str, path: str) -> None:
    if member.key not in KEYS:
        unknown = NoSuchWord(message("dockerd knows no setting {key!r}", key=member.key), member.key, KEYS)
        raise _error(text_of(unknown), text, path, member.key_at, unknown.nearest())


def _check_value(member: Member, text: str, path: str) -> None:
    kind = KEYS.get(member.key, _ANY)
    if member.value is not None and not kind.fits(member.value):
        raise _error(
            message("{key} must be {wanted}", key=member.key, wanted=kind.wanted),
            text,
            path,
            member.value_at,
            message("dockerd rejects this value"),
        )


def _error(what: Text, text: str, path: str, at: tuple[int, int], hint: Text) -> FileSyntaxError:
    begin = text.rfind("\n", 0, at[0]) + 1
    line = text[begin:].partition("\n")[0]
    span = Span(path, text.count("\n", 0, at[0]) + 1, at[0] - begin, min(at[1] - begin, len(line)))
    return FileSyntaxError(what, span, line, hint)
