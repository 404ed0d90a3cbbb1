"""The capture script: that shells take it, and that what it saves can be read and holds no secrets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

import pytest

from iptsim.host import load_host
from iptsim.host.collect import script
from iptsim.protocols import TCP, UDP
from tests.host.laboratory import NEEDS_KERNEL

CAPTURES = Path(__file__).parents[2] / "fixtures" / "captures"
SHELLS = [
    shell for shell in (["dash"], ["bash", "--posix"], ["busybox", "sh"], ["sh"]) if shutil.which(shell[0])
]
SECRET = "hunter2"

#: A host with a bridge, a guest in a namespace of its own, sets and lists; /etc and /run are its own.
SETUP = f"""
mount -t tmpfs none /run; mkdir -p /run/netns
mount -t tmpfs none /etc/default
ip link set lo up
ip link add br0 type bridge; ip addr add 10.3.0.1/24 dev br0; ip link set br0 up
ip netns add guest; : >/run/netns/gone
ip link add vg type veth peer name eth0 netns guest; ip link set vg master br0 up
ip -n guest link set lo up; ip -n guest addr add 10.3.0.2/24 dev eth0; ip -n guest link set eth0 up
ip -n guest route add default via 10.3.0.1
ip netns exec guest iptables -A OUTPUT -d 10.9.0.0/16 -m comment --comment 'a "quoted" word' -j DROP
iptables -A FORWARD -i br0 -m set --match-set blocked dst -j DROP 2>/dev/null
ipset create blocked hash:net; ipset add blocked 10.66.0.0/16
iptables -A FORWARD -i br0 -m set --match-set blocked dst -j DROP
iptables -A OUTPUT -o lo -m recent --name seen --set
iptables-legacy -A INPUT -p tcp --dport 25 -j DROP
{sys.executable} -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("127.0.0.1", 9))'
ip rule add pref 77 fwmark 7 table 7; ip route add default via 10.3.0.2 table 7
echo 'DOCKER_OPTS="--icc=false --log-opt token={SECRET} --dns 9.9.9.9"' >/etc/default/docker
"""


def collect(shell: list[str], folder: Path, environment: dict[str, str], more: str = "") -> str:
    (folder / "collect.sh").write_text(script())
    commands = f"{SETUP}{more}\nexec {' '.join(shell)} collect.sh saved"
    done = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-c", commands],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stderr


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_shells_parse_it(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "collect.sh").write_text(script())
    subprocess.run([*shell, "-n", "collect.sh"], cwd=tmp_path, check=True, timeout=30)


class TestRun:
    pytestmark = NEEDS_KERNEL

    @pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
    def test_a_host_with_a_guest(self, shell: list[str], tmp_path: Path) -> None:
        collect(shell, tmp_path, {"DOCKER_HOST": f"unix://{tmp_path}/nobody"})
        host = load_host(tmp_path / "saved.tar.gz")
        assert host.assumptions == []
        assert host.namespace.listed == {TCP, UDP}
        assert host.containers["guest"].namespace.listeners == ()
        assert host.containers["guest"].namespace.listed == {TCP, UDP}
        # the machine may have further named network namespaces, which are saved too
        assert "guest" in host.containers
        assert "gone" not in host.containers
        guest = host.containers["guest"]
        endpoint = guest.endpoints["br0"]
        assert (endpoint.interface, endpoint.bridge_port) == ("eth0", "vg")
        assert endpoint.addresses == {4: 0x0A030002}
        assert 'a \\"quoted\\" word' in (guest.namespace.iptables or "")
        assert any(
            route.prefix_length == 0 and route.gateway == 0x0A030001 for route in guest.namespace.routes
        )
        assert host.ipsets is not None
        assert host.ipsets["blocked"].entries == (("10.66.0.0/16", {}),)
        assert host.recent is not None
        assert all(0 <= age < 60 for age in host.recent["seen"][0x7F000001])
        assert [rule.priority for rule in host.namespace.rules if rule.family == 4] == [0, 77, 32766, 32767]
        assert host.namespace.sysctl("net.ipv4.conf.br0.rp_filter") in ("0", "1", "2")
        assert host.daemon is not None
        assert (host.daemon.icc, host.daemon.dns) == (False, ("9.9.9.9",))
        assert "token" not in (tmp_path / "saved" / "default-docker").read_text()
        if shutil.which("iptables-legacy"):
            # rules of the backend that iptables-save does not speak to
            other = host.extra_rulesets[4]
            assert (other.backend, [rule.text for rule in other.rules()]) == (
                "legacy",
                ["-A INPUT -p tcp -m tcp --dport 25 -j DROP"],
            )

    def test_a_dockerd_in_another_namespace_is_not_the_hosts(self, tmp_path: Path) -> None:
        (tmp_path / "collect.sh").write_text(script())
        (tmp_path / "dockerd").symlink_to(shutil.which("sleep") or "")
        commands = """
            ./dockerd 60 & ours=$!
            unshare -n ./dockerd 60 & theirs=$!
            sleep 0.2; kill $ours; sh collect.sh inner; status=$?; kill $theirs; exit $status"""
        done = subprocess.run(
            ["unshare", "-n", "sh", "-c", commands],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert "saved sysctl.txt" in done.stderr
        assert "dockerd-cmdline.txt" not in done.stderr

    def test_an_archive_on_standard_output(self, tmp_path: Path) -> None:
        (tmp_path / "scratch").mkdir()
        done = subprocess.run(
            ["unshare", "-n", "-m", "sh", "-s", "--", "-"],
            cwd=tmp_path,
            env={
                **os.environ,
                "TMPDIR": str(tmp_path / "scratch"),
                "DOCKER_HOST": f"unix://{tmp_path}/nobody",
            },
            input=script().encode(),
            capture_output=True,
            check=True,
            timeout=120,
        )
        (tmp_path / "host.tar.gz").write_bytes(done.stdout)
        assert load_host(tmp_path / "host.tar.gz").assumptions == []
        assert list((tmp_path / "scratch").iterdir()) == []
        assert sorted(one.name for one in tmp_path.iterdir()) == ["host.tar.gz", "scratch"]

    def test_a_host_without_iptables(self, tmp_path: Path) -> None:
        (tmp_path / "collect.sh").write_text(script())
        commands = """
            for tool in $(readlink -f "$(command -v iptables-save)" "$(command -v ip6tables-save)" | sort -u); do
                mount --bind /dev/null "$tool"
            done
            nft add table inet t
            nft 'add chain inet t input { type filter hook input priority 0; policy drop; }'
            sh collect.sh saved"""
        done = subprocess.run(
            ["unshare", "-n", "-m", "sh", "-c", commands],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert "left out iptables-save.txt: there is no iptables-save here" in done.stderr
        host = load_host(tmp_path / "saved.tar.gz")
        assert {family: rules.tables for family, rules in host.rulesets.items()} == {4: {}, 6: {}}
        assert host.namespace.nftables is not None
        assert [chain.policy for chain in host.namespace.nftables.chains] == ["drop"]

    def test_saves_nothing_over(self, tmp_path: Path) -> None:
        (tmp_path / "saved").mkdir()
        (tmp_path / "collect.sh").write_text(script())
        done = subprocess.run(["sh", "collect.sh", "saved"], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 2
        assert list((tmp_path / "saved").iterdir()) == []

    @pytest.mark.parametrize("place", ["{folder}/deep/saved", "deep/saved", "deep/saved/"])
    def test_a_place_elsewhere(self, place: str, tmp_path: Path) -> None:
        (tmp_path / "deep").mkdir()
        (tmp_path / "collect.sh").write_text(script())
        place = place.format(folder=tmp_path)
        subprocess.run(
            ["unshare", "-n", "sh", "collect.sh", place],
            cwd=tmp_path,
            capture_output=True,
            check=True,
            timeout=120,
        )
        assert load_host(tmp_path / "deep" / "saved.tar.gz").assumptions == []

    def test_an_interrupt_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "collect.sh").write_text(
            script().replace("save iptables-save.txt", "kill -INT $$\nsave x", 1)
        )
        done = subprocess.run(
            ["unshare", "-n", "sh", "collect.sh", "saved"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr.splitlines()[-1]) == (
            130,
            "collect.sh: interrupted; nothing is saved",
        )
        assert [path.name for path in tmp_path.iterdir()] == ["collect.sh"]

    def test_a_full_disk_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "collect.sh").write_text(script())
        (tmp_path / "small").mkdir()
        commands = "mount -t tmpfs -o size=16k none small && sh collect.sh small/saved; echo $? $(ls small)"
        done = subprocess.run(
            ["unshare", "-n", "-m", "sh", "-c", commands],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "1\n"
        assert "nothing is saved" in done.stderr
        assert "packed" not in done.stderr

    @pytest.mark.skipif(not shutil.which("docker"), reason="needs the docker client")
    def test_a_docker_whose_bridges_are_elsewhere(self, engine: str, tmp_path: Path) -> None:
        """As inside a container that has the engine's socket, or with DOCKER_HOST set to another machine."""
        said = collect(["sh"], tmp_path, {"DOCKER_HOST": engine})
        assert "left out what docker knows: none of its bridges is in this network namespace" in said
        assert not list((tmp_path / "saved").glob("docker-*.*"))

    @pytest.mark.skipif(not shutil.which("docker"), reason="needs the docker client")
    def test_docker(self, engine: str, tmp_path: Path) -> None:
        said = collect(["sh"], tmp_path, {"DOCKER_HOST": engine}, "ip link add docker0 type bridge")
        assert "left out" not in said
        ours, theirs = load_host(tmp_path / "saved"), load_host(CAPTURES / "docker-26.1" / "two-networks")
        assert set(ours.containers) >= {*theirs.containers, "guest"}
        assert (
            ours.networks.items()
            >= {
                name: network for name, network in theirs.networks.items() if network.driver != "bridge"
            }.items()
        )
        for name, container in theirs.containers.items():
            mine = ours.containers[name]
            places: dict[str, Any] = {"interface": None, "bridge_port": None}
            for ours_of, theirs_of in zip(mine.endpoints.values(), container.endpoints.values(), strict=True):
                assert replace(ours_of, **places) == replace(theirs_of, **places)
            assert mine.published == container.published
            assert mine.network_mode == container.network_mode
            assert {e.network: e.addresses for e in mine.endpoints.values()} == {
                e.network: e.addresses for e in container.endpoints.values()
            }
        for file in (tmp_path / "saved").iterdir():
            assert SECRET not in file.read_text()
            if file.suffix == ".json":
                json.loads(file.read_text())


class Engine(ThreadingMixIn, UnixStreamServer):
    """Answers the docker client with the contents of a capture."""

    daemon_threads = True
    containers: list[dict[str, Any]]
    networks: list[dict[str, Any]]
    info: dict[str, Any]

    def answer(self, path: str) -> Any:
        words = path.split("?")[0].strip("/").split("/")
        if words[0].startswith("v1."):
            words = words[1:]
        version = self.info["ServerVersion"]
        if words[0] == "version":
            return {"Version": version, "ApiVersion": "1.45", "MinAPIVersion": "1.24", "Components": [
                {"Name": "Engine", "Version": version, "Details": {"ApiVersion": "1.45"}}]}  # fmt: skip
        if words[0] == "info":
            return self.info
        if words == ["containers", "json"]:
            return [{"Id": one["Id"], "Names": [one["Name"]]} for one in self.containers]
        if words == ["networks"]:
            return self.networks
        if words[0] in ("containers", "networks"):
            return next(one for one in getattr(self, words[0]) if one["Id"].startswith(words[1]))
        return "OK"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Engine

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        body = json.dumps(self.server.answer(self.path)).encode()
        self.send_response(200)
        for name, value in (("Api-Version", "1.45"), ("Content-Type", "application/json")):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    capture = CAPTURES / "docker-26.1" / "two-networks"
    with Engine(str(tmp_path / "docker.sock"), Handler) as server:
        server.containers = json.loads((capture / "docker-inspect.json").read_text())
        for one in server.containers:
            one["Config"]["Env"] = [f"PASSWORD={SECRET}"]
            one["Config"]["Labels"] = {"password": SECRET}
            one["State"]["Pid"] = 0
            for endpoint in one["NetworkSettings"]["Networks"].values():
                endpoint["DriverOpts"] = {"com.example.token": SECRET}
        server.networks = json.loads((capture / "docker-network-inspect.json").read_text())
        for network in server.networks:
            network["Labels"] = {"password": SECRET}
            network["Options"]["com.example.token"] = SECRET
            network["IPAM"]["Options"] = {"token": SECRET}
        server.info = json.loads((capture / "docker-info.json").read_text())
        server.info["HttpProxy"] = f"http://user:{SECRET}@proxy"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix://{tmp_path}/docker.sock"
        server.shutdown()
