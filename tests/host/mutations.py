"""Damaged captures and Docker files: the same for the same seed.

    python -m tests.host.mutations --count 10000 --seed 1

Whole commands read them. Each must be answered, or refused in a line that names the file: exit status 0, 1 or 2,
never a traceback, an internal error, or an escape sequence.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from iptsim.cli import main as iptsim
from iptsim.host.files import DUMPS, FILES
from tests.dump.mutations import FIXTURES
from tests.dump.mutations import damaged as damaged_text

#: Longer files are only slower to read.
_LONGEST = 60_000
#: Values that no program prints where they are put.
_AWKWARD: tuple[Callable[[], Any], ...] = (
    lambda: None, lambda: True, lambda: -1, lambda: 0, lambda: 99, lambda: 2**31, lambda: 2**64, lambda: 10**5000,
    lambda: 1.5, lambda: "", lambda: " ", lambda: "x", lambda: "0.0.0.0", lambda: "10.0.0.0/99", lambda: "::1",
    lambda: "fe80::1%eth0", lambda: "fd00::/-1", lambda: "80/tcp", lambda: "-j ACCEPT", lambda: "a b",
    lambda: "\x1b[31m", lambda: "\ud800", lambda: "٣", lambda: "9" * 5000, lambda: "../..", lambda: "default",
    lambda: "com.docker.network.bridge.name", list, dict, lambda: [[]], lambda: [None], lambda: {"": None},
    lambda: _nested([], 100), lambda: _nested([], 5000), lambda: {"default": {}}, lambda: "true", lambda: "1-65535",
)  # fmt: skip
_KEYS = ("", "x", "80/tcp", "0/udp", "99999/tcp", "-1", "\x1b", "a b", "host", "bridge", "9" * 5000)
COMPOSE = """\
name: shop
services:
  web:
    image: nginx
    ports: ["8080:80", "127.0.0.1:8443:443/tcp", {target: 53, published: "53", protocol: udp, host_ip: "::1"}]
    networks: {front: {ipv4_address: 172.30.0.5, aliases: [www]}, back: {}}
    depends_on: [db]
    deploy: {replicas: 2}
  db:
    image: &image postgres
    expose: ["5432", 9000-9003/udp]
    networks: [back]
  old:
    image: *image
    network_mode: bridge
    links: ["db:database"]
    container_name: old
networks:
  front:
    ipam: {config: [{subnet: 172.30.0.0/24, gateway: 172.30.0.1}]}
    driver_opts: {com.docker.network.bridge.name: br-front, com.docker.network.bridge.enable_icc: "false"}
  back: {internal: true, driver_opts: {com.docker.network.bridge.gateway_mode_ipv4: nat}}
"""
DAEMON = """\
{"icc": false, "bip": "192.168.7.1/24", "dns": ["1.1.1.1"], "userland-proxy": false, "ipv6": true,
 "fixed-cidr-v6": "fd00::/64", "default-address-pools": [{"base": "10.10.0.0/16", "size": 24}], "bridge": "br0"}
"""


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


@cache
def captures() -> list[Path]:
    """Return the captures that are damaged."""
    return sorted(path.parent for path in FIXTURES.glob("captures/*/*/iptables-save.txt"))


def _files(capture: Path) -> list[Path]:
    return sorted(capture / name for name in FILES if name not in DUMPS and (capture / name).exists())


def damaged_json(value: Any, random: Random) -> Any:
    """Return a JSON value with something awkward in the place of a part of it, or a part less or twice."""
    places = list(_places(value))
    if not places:
        return random.choice(_AWKWARD)()
    container, key = random.choice(places)
    kind = random.randrange(8)
    if kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, list):
        container.insert(key, container[key])
    elif kind == 1:
        container[random.choice(_KEYS)] = container[key]
    elif kind == 2:
        other, place = random.choice(places)
        if not isinstance(other[place], dict | list):
            container[key] = other[place]
    else:
        container[key] = random.choice(_AWKWARD)()
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each place of a JSON value as its container and key."""
    pending = [value] if isinstance(value, dict | list) else []
    while pending:
        container = pending.pop()
        for key, item in container.items() if isinstance(container, dict) else enumerate(container):
            yield container, key
            if isinstance(item, dict | list):
                pending.append(item)


def damaged_file(text: str, random: Random) -> bytes:
    """Return the contents of a file with damage."""
    if not text or not random.randrange(3) or not text.lstrip().startswith(("{", "[")):
        return damaged_text(text or " ", random, [text or " "]).encode("utf-8", "surrogatepass")
    value = json.loads(text)
    for _ in range(random.choice((1, 1, 2, 3))):
        value = damaged_json(value, random)
    return _dumps(value).encode()


def _dumps(value: Any) -> str:
    """Return JSON, also of what Python's own writer refuses: long integers and deep lists."""
    depth = 0
    while isinstance(value, list) and len(value) == 1:
        value, depth = value[0], depth + 1
    if isinstance(value, dict):
        inner = "{" + ",".join(f"{json.dumps(key)}:{_dumps(item)}" for key, item in value.items()) + "}"
    elif isinstance(value, list):
        inner = "[" + ",".join(map(_dumps, value)) + "]"
    else:
        inner = "9" * 5000 if value == 10**5000 else json.dumps(value)
    return "[" * depth + inner + "]" * depth


def check(random: Random, folder: Path) -> int:
    """Damage something, run a command on it, and return the exit status.

    Raises:
        AssertionError: the command ended otherwise than it may.
    """
    words = random.choice((_capture, _capture, _capture, _compose, _daemon, _inspect))(random, folder)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = iptsim(words)
    said = out.getvalue() + err.getvalue()
    assert status in (0, 1, 2), (words, err.getvalue())
    assert "\x1b" not in said, words
    assert "Traceback" not in said, words
    assert status != 2 or err.getvalue().startswith("iptsim: "), (words, err.getvalue())
    return status


def _capture(random: Random, folder: Path) -> list[str]:
    shutil.rmtree(folder, ignore_errors=True)
    original = random.choice(captures())
    shutil.copytree(original, folder)
    files = [file for file in _files(folder) if file.stat().st_size < _LONGEST]
    for file in random.sample(files, min(len(files), random.choice((1, 1, 2)))):
        if random.randrange(20):
            file.write_bytes(damaged_file(file.read_text("utf-8"), random))
        else:
            file.unlink()
    commands = (
        ["explain", str(folder)],
        ["explain", str(folder), "--from", "internet", "--to", "192.0.2.10:8080", "--json"],
        ["explain", str(folder), "--from", "client", "--to", "web:80", "-v"],
        ["docker-rules", str(folder)],
        ["graph", str(folder), "--topology"],
        ["lint", str(folder)],
    )
    words = random.choice(commands)
    if not random.randrange(4):
        words[1] = _packed(random, folder)
    return words


def _packed(random: Random, folder: Path) -> str:
    """Pack a folder, damage the archive, and return its path."""
    kind = random.choice(("gztar", "tar", "zip", "bztar", "xztar"))
    path = Path(shutil.make_archive(str(folder.parent / "packed"), kind, folder))
    data = bytearray(path.read_bytes())
    for _ in range(random.choice((0, 1, 1, 3, 20))):
        # most of what an archive says of its members is at its ends
        at = random.choice((random.randrange(len(data)), random.randrange(600), -random.randrange(1, 600)))
        data[at] = random.choice((0, 0x20, 0x37, 0x80, 0xFF, random.randrange(256)))
    path.write_bytes(data[: random.choice((len(data), len(data), random.randrange(len(data))))])
    return str(path)


def _text(random: Random, folder: Path, name: str, text: str) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / name).write_bytes(damaged_file(text, random))
    return str(folder / name)


def _compose(random: Random, folder: Path) -> list[str]:
    return ["docker-rules", _text(random, folder, "compose.yaml", COMPOSE)]


def _daemon(random: Random, folder: Path) -> list[str]:
    return ["docker-rules", _text(random, folder, "daemon.json", DAEMON)]


def _inspect(random: Random, folder: Path) -> list[str]:
    name = random.choice(("docker-inspect.json", "docker-network-inspect.json"))
    text = random.choice(sorted(FIXTURES.glob(f"captures/*/*/{name}"))).read_text("utf-8")
    return ["docker-rules", _text(random, folder, "inspect.json", text)]


def main() -> None:
    """Check much and say how it went."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    seen, longest = dict.fromkeys((0, 1, 2), 0), 0.0
    with tempfile.TemporaryDirectory() as place:
        for number in range(arguments.count):
            seed = arguments.seed * 1_000_000 + number
            begun = time.perf_counter()
            try:
                seen[check(Random(seed), Path(place) / "c")] += 1
            except Exception as error:
                print(f"seed {seed}: {error!r}"[:2000])
            longest = max(longest, time.perf_counter() - begun)
    print(
        f"{arguments.count} damaged files: {seen[0] + seen[1]} answered, {seen[2]} refused; slowest {longest:.1f} s"
    )


if __name__ == "__main__":
    main()
