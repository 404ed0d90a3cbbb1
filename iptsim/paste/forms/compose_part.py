"""Services of a Compose file without the line `services:`: a part of a file, or one of the first version."""

from __future__ import annotations

import re
from typing import Any

from iptsim.errors import FileSyntaxError
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Segment, Settings
from iptsim.paste.prompts import Command
from iptsim.yaml_file import read_yaml

#: The keys of a service (compose-spec, services), and those of older versions.
_KEYS = frozenset({
    "annotations", "attach", "blkio_config", "build", "cap_add", "cap_drop", "cgroup", "cgroup_parent", "command",
    "configs", "container_name", "cpu_count", "cpu_percent", "cpu_shares", "cpus", "cpuset", "credential_spec",
    "depends_on", "deploy", "develop", "device_cgroup_rules", "devices", "dns", "dns_opt", "dns_search", "dockerfile",
    "domainname", "entrypoint", "env_file", "environment", "expose", "extends", "external_links", "extra_hosts",
    "gpus", "group_add", "healthcheck", "hostname", "image", "init", "ipc", "isolation", "labels", "links", "logging",
    "log_driver", "log_opt", "mac_address", "mem_limit", "mem_reservation", "mem_swappiness", "memswap_limit", "net",
    "network_mode", "networks", "oom_kill_disable", "oom_score_adj", "pid", "pids_limit", "platform", "ports",
    "privileged", "profiles", "pull_policy", "read_only", "restart", "runtime", "scale", "secrets", "security_opt",
    "shm_size", "stdin_open", "stop_grace_period", "stop_signal", "storage_opt", "sysctls", "tmpfs", "tty", "ulimits",
    "user", "userns_mode", "uts", "volume_driver", "volumes", "volumes_from", "working_dir",
})  # fmt: skip
#: Other parts of a Compose file.
_OTHERS = frozenset({"version", "name", "networks", "volumes", "configs", "secrets"})
_NAME = re.compile(r"(?P<indent>\s*)[\w.-]+\s*:\s*(?:#.*)?$")
_KEY = re.compile(r"(?P<indent>\s*)(?P<key>[\w.-]+)\s*:(?:\s|$)")
_WITHIN = re.compile(r"\s*(?:#|- ?|[\"']?[\w./${}-]+[\"']?\s*:(?:\s|$))")
#: At most this many lines are read, at most so many times.
_MOST, _TRIES = 400, 4


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the services that start at a line, or None."""
    found = _NAME.match(lines[at].text)
    if found is None:
        return None
    indent, end = len(found["indent"]), at
    # only at the first service, so that no line is read again and again
    if _is_below(lines[at - 1] if at else None, indent) or not _may_be_service(lines, at, indent):
        return None
    while end < min(len(lines), at + _MOST) and (lines[end].is_blank or _is_within(lines[end].text, indent)):
        end += 1
    for _ in range(_TRIES):
        texts = [line.text.expandtabs()[indent:] for line in lines[at:end]]
        try:
            document = read_yaml("\n".join(texts), "the Compose file", repeats=True)
        except FileSyntaxError as error:
            end = _start(lines, at, min(at + error.span.line, end) - 1, indent)
            if end <= at:
                return None
            continue
        settings = _settings(document, lines[at].number)
        if settings is None:
            return None
        while lines[end - 1].is_blank:
            end -= 1
        return Segment("a Compose file", "a part of a Compose file", at, end - 1, [settings])
    return None


def _start(lines: list[Line], first: int, at: int, indent: int) -> int:
    """Return the line on which the service of a line starts."""
    while at > first and (lines[at].is_blank or lines[at].text[: indent + 1].isspace()):
        at -= 1
    return at


def _may_be_service(lines: list[Line], at: int, indent: int) -> bool:
    """Return whether a key is a service, by the keys below it, or the first network of a file with services."""
    own: int | None = None
    is_network, has_image = lines[at].text.strip().startswith("networks"), False
    for line in lines[at + 1 : at + _MOST]:
        found = _KEY.match(line.text)
        here = len(line.text) - len(line.text.lstrip())
        if line.is_blank or (found is None and here > indent):
            continue
        if found is None or (here <= indent and not is_network):
            break
        own = here if own is None else own
        if found["key"] in ("image", "build") and (is_network or here == own):
            has_image = True
        elif here == own and not is_network and found["key"] not in _KEYS:
            return False
    return has_image


def _is_below(before: Line | None, indent: int) -> bool:
    """Return whether the line before belongs to another key."""
    return before is not None and not before.is_blank and _is_within(before.text, indent + 1)


def _is_within(text: str, indent: int) -> bool:
    return len(text) - len(text.lstrip()) >= indent and _WITHIN.match(text) is not None


def _settings(document: Any, line: int) -> Settings | None:
    """Return the services of a document; None if one of its parts is not of a Compose file."""
    if not isinstance(document, dict):
        return None
    networks = document.get("networks")
    networks = dict(networks) if isinstance(networks, dict) else {}
    services = {str(name): one for name, one in document.items() if _is_service(one)}
    # two texts one after another: services after networks
    services |= {str(name): one for name, one in networks.items() if _is_service(one)}
    if not services or not _OTHERS.issuperset(document.keys() - services.keys()):
        return None
    own = {str(name): one for name, one in networks.items() if name not in services}
    if any("net" in one for one in services.values()):  # only in version 1, which has no networks
        services = {name: {**one, "network_mode": one.get("net", "bridge")} for name, one in services.items()}
    return Settings(line, services=services, networks=own)


def _is_service(value: Any) -> bool:
    return isinstance(value, dict) and bool({"image", "build"} & value.keys()) and value.keys() <= _KEYS
