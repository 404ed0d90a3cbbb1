"""Docker's settings alone are a host on which dockerd was started with them."""

from __future__ import annotations

import pytest

from iptsim.findings import lint
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question


def read(text: str) -> Host:
    return host_of_source(Source("paste", {}, text.encode()))


def verdict(host: Host, sender: str, to: str) -> str:
    return walk(host, Question(**{"from": sender, "to": to, "proto": "tcp"})).verdict


def test_docker_run_commands() -> None:
    host = read(
        "$ docker network create --subnet 172.30.0.0/24 backend\n"
        "$ docker run -d --name web -p 8080:80 --network backend nginx:latest\n$ docker run -it postgres\n"
    )
    assert sorted(host.containers) == ["postgres", "web"]
    assert verdict(host, "internet", "host:8080") == "ACCEPT"
    assert verdict(host, "postgres", "web:80") == "DROP"


def test_a_compose_file_between_prose() -> None:
    pytest.importorskip("yaml")
    host = read(
        "My file:\n```yaml\nservices:\n  web:\n    image: nginx\n    ports:\n      - '8080:80'\n"
        "  db:\n    image: postgres\n```\nand it does not work\n"
    )
    assert sorted(host.containers) == ["project-db-1", "project-web-1"]
    assert verdict(host, "internet", "host:8080") == "ACCEPT"
    assert host.pasted is not None
    assert host.pasted.summary() == "read: lines 3-9 a Compose file; left out: 1, 11"


def test_daemon_json_with_ipv6_and_without_its_rules() -> None:
    text = '{\n  "userland-proxy": false,\n  "ipv6": true,\n  "fixed-cidr-v6": "fd00:dead:beef::/48"\n}\n'
    assert "ipv6-rules-not-enabled" in {finding.code for finding in lint(read(text))}
    told = text.replace('"ipv6": true', '"ipv6": true, "ip6tables": true')
    assert "ipv6-rules-not-enabled" not in {finding.code for finding in lint(read(told))}


def test_other_json_is_not_daemon_json() -> None:
    from iptsim.errors import CaptureError

    with pytest.raises(CaptureError, match="looks like JSON"):
        read('{"name": "left-pad", "version": "1.0.0"}')
