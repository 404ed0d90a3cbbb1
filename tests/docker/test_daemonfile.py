"""daemon.json as dockerd takes or refuses it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from iptsim.docker.sources.daemon_json import KEYS, check_settings
from iptsim.docker.sources.files import settings_of_file
from iptsim.errors import CaptureError

#: Asked of dockerd 20.10.24 with `dockerd --config-file`.
TAKEN = (
    "{}", '{"icc": null}', '{"icc": false}', '{"features": {"xx": true}}', '{"foo": {"icc": false}}',
    '{"default-address-pools": [{"base": "10.0.0.0/8", "size": 24, "other": 1}]}', '{"dns": []}', '{"dns": null}',
    '{"default-ulimits": {"nofile": {"Name": "nofile", "Hard": 64000, "Soft": 64000}}}', '{"ip": "127.0.0.1"}',
    '{"builder": {"gc": {"enabled": true, "nosuch": 1}}}', '{"shutdown-timeout": 5}', '{"cluster-store": "x"}',
    '{"node-generic-resources": ["a=1"]}', '{"default-shm-size": "64M"}', '{"dns-opt": 5}', '{"mtu": 1450}',
)  # fmt: skip
REFUSED = {
    '{"iccc": false}': "1:2: dockerd knows no setting 'iccc'",
    '{"ICC": true}': "1:2: dockerd knows no setting 'ICC'",
    '{"icc": "false"}': "1:9: icc must be true or false",
    '{"icc": 1}': "1:9: icc must be true or false",
    '{"icc": "x", "icc": true}': "1:9: icc must be true or false",
    '{"mtu": "1450"}': "1:9: mtu must be a whole number",
    '{"mtu": 1450.5}': "1:9: mtu must be a whole number",
    '{"bip": 5}': "1:9: bip must be a string in quotes",
    '{"ip": "x"}': "1:8: ip must be an IP address in quotes",
    '{"dns": "8.8.8.8"}': '1:9: dns must be a list of IP addresses: ["192.0.2.53"]',
    '{"dns": [5]}': '1:9: dns must be a list of IP addresses: ["192.0.2.53"]',
    '{"dns": ["x"]}': '1:9: dns must be a list of IP addresses: ["192.0.2.53"]',
    '{"log-opts": {"a": 1}}': '1:14: log-opts must be an object of strings: {"…": "…"}',
    '{"features": {"xx": 1}}': '1:14: features must be an object of true or false values: {"…": true}',
    '{"foo": {"iccc": false}}': "1:10: dockerd knows no setting 'iccc'",
    '{"default-address-pools": {"base": "10.0.0.0/8", "size": 24}}': "1:28: dockerd knows no setting 'base'",
    '{"default-address-pools": [{"base": "10.0.0.0/8", "size": "24"}]}': (
        '1:27: default-address-pools must be a list of pools: [{"base": "10.0.0.0/8", "size": 24}]'
    ),
}


@pytest.mark.parametrize("text", TAKEN)
def test_taken(text: str) -> None:
    check_settings(text, "daemon.json")


@pytest.mark.parametrize(("text", "message"), REFUSED.items())
def test_refused(text: str, message: str) -> None:
    with pytest.raises(CaptureError) as caught:
        check_settings(text, "daemon.json")
    assert str(caught.value).splitlines()[0] == f"daemon.json:{message}"


def test_an_empty_string_is_as_no_setting(tmp_path: Path) -> None:
    """With these, dockerd 20.10.24 starts, and takes the usual subnet."""
    path = tmp_path / "daemon.json"
    read = []
    for text in ('{"bip": "", "fixed-cidr": "", "ip": ""}', "{}"):
        path.write_text(text)
        read.append(settings_of_file(str(path)))
    assert read[0] == read[1] is not None


def test_the_error_shows_the_place_and_the_nearest_word() -> None:
    with pytest.raises(CaptureError) as caught:
        check_settings('{\n  "ipv6": true,\n  "userland-prox" : false\n}\n', "d.json")
    assert str(caught.value) == (
        "d.json:3:3: dockerd knows no setting 'userland-prox'\n"
        '      "userland-prox" : false\n'
        "      ^~~~~~~~~~~~~~~\n"
        "  did you mean userland-proxy?"
    )


@pytest.mark.parametrize(
    "text",
    [
        # of engines from 23 to 29 (config.go of moby)
        '{"bip6": "2001:db8::1/64", "firewall-backend": "nftables", "allow-direct-routing": true}',
        '{"proxies": {"http-proxy": "http://proxy.example:3128"}, "ip-forward-no-drop": true}',
        '{"default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1400"}}}',
        '{"bridge-accept-fwmark": "0x1/0x3", "min-api-version": "1.24", "host-gateway-ips": ["192.0.2.1"]}',
    ],
)
def test_keys_of_later_engines(text: str) -> None:
    check_settings(text, "daemon.json")


def _dockerd(text: str, folder: Path) -> str:
    """Return what dockerd says of a configuration; it can't start, as its pid file can't be made."""
    file = folder / "daemon.json"
    file.write_text(text)
    command = ["unshare", "-n", "-m", "dockerd", f"--config-file={file}", "--pidfile=/dev/null/x"]
    command += ["--data-root=/dev/null/x", f"--exec-root={folder}/exec", f"--host=unix://{folder}/socket"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return run.stderr


def _version() -> str:
    if not shutil.which("dockerd") or not shutil.which("unshare") or os.geteuid() != 0:
        return ""
    run = subprocess.run(["dockerd", "--version"], capture_output=True, text=True, check=False)
    return run.stdout.partition("version ")[2].partition(",")[0]


@pytest.mark.kernel
@pytest.mark.skipif(not _version().startswith("20.10."), reason="dockerd 20.10 or root is missing")
@pytest.mark.parametrize("text", [*TAKEN, *REFUSED])
def test_as_dockerd_does(text: str, tmp_path: Path) -> None:
    assert ("unable to configure the Docker daemon" in _dockerd(text, tmp_path)) is (text in REFUSED)


@pytest.mark.kernel
@pytest.mark.skipif(not _version(), reason="dockerd or root is missing")
def test_every_flag_of_the_installed_dockerd_is_a_key() -> None:
    shown = subprocess.run(["dockerd", "--help"], capture_output=True, text=True, check=False).stdout
    flags = set(re.findall(r"^ +(?:-\w, )?--([a-z0-9-]+)", shown, re.MULTILINE))
    assert len(flags) > 50
    assert flags - {"config-file"} <= KEYS.keys()
