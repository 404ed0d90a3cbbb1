"""Files of strangers: JSON out of all bounds, sets that loop, names that smuggle options; damaged captures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

import pytest

from iptsim import reading, yaml_file
from iptsim.cli import main
from iptsim.commands.common import json_text
from iptsim.docker.sources.files import settings_of_file
from iptsim.errors import CaptureError
from iptsim.host import ipset_members, ipsets, load_host
from iptsim.host.ipset_members import Members
from iptsim.host.ipsets import members_of, read_ipsets
from iptsim.host.model import IpSet
from iptsim.host.namespace import check_interface_name
from tests.dump.mutations import FIXTURES
from tests.host.mutations import COMPOSE, check
from tests.thoroughness import first_ones

#: Together three hundred; `make fuzz-captures` does twenty thousand.
SEEDS, EACH = range(15), 20
CAPTURE = FIXTURES / "captures/docker-28.5/icc-off"
JSON_FILES = (
    "ip-addr.json", "ip-link.json", "ip-route.json", "ip6-route.json", "ip-rule.json", "bridge-link.json",
    "docker-network-inspect.json", "docker-inspect.json", "docker-info.json", "container-netns.json", "daemon.json",
)  # fmt: skip


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CAPTURE, tmp_path / "c"))


@pytest.mark.parametrize("seed", first_ones(SEEDS, 4))
def test_damaged_captures(seed: int, tmp_path: Path) -> None:
    for number in range(EACH):
        check(Random(seed * 1000 + number), tmp_path / "c")


@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested more than 200 deep"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested more than 200 deep"),
        ("9" * 5000, ":1:"),
        ('["\\ud800"]', ":1:"),
        ("NaN", ":1:1: "),
        ('["a\n"]', "control character"),
    ],
    ids=["lists", "mappings", "digits", "half a character", "NaN", "control character"],
)
def test_json_out_of_bounds(
    name: str, text: str, told: str, capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (capture / name).write_text(text)
    assert main(["explain", str(capture), "--from", "client", "--to", "web:80"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"iptsim: {capture}/{name}:")
    assert told in said


def test_long_files(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "JSON_LIMIT", 1000)
    with pytest.raises(CaptureError, match=r"json: larger than 1000 bytes"):
        load_host(capture)
    monkeypatch.setattr(yaml_file, "LENGTH_LIMIT", 100)
    with pytest.raises(CaptureError, match="more than 100 characters"):
        settings_of_file(compose(capture, COMPOSE))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ip-addr.json", [{"ifname": "a", "addr_info": [{"family": "inet", "local": "10.0.0.1", "prefixlen": 99}]}],
         "[0].addr_info[0]: 99 is not a prefix length of IPv4"),
        ("ip-addr.json", [{"ifname": "a", "addr_info": [{"family": "inet6", "local": "10.0.0.1"}]}],
         "[0].addr_info[0]: 10.0.0.1 is not an address of the family inet6"),
        ("ip-addr.json", [{"ifname": "eth0 -j ACCEPT"}], "[0].ifname: 'eth0 -j ACCEPT' is not a valid interface name"),
        ("ip-route.json", [{"dst": "default"}, {"dst": "10.0.0.0/8", "prefsrc": "fd00::1"}],
         "[1]: prefsrc: fd00::1 is not an IPv4 address"),
        ("ip-route.json", [{"dst": "10.0.0.0/-1"}], "[0]: -1 is not a prefix length of IPv4"),
        ("ip-route.json", [{"dst": "10.0.0.0/8", "metric": 10**400}], "[0].metric: "),
        ("ip6-route.json", [{"dst": "fd00::/8", "gateway": "10.0.0.1"}], "[0]: gateway: 10.0.0.1 is not an IPv6"),
        ("ip-rule.json", [{"src": "10.0.0.0", "srclen": 99}], "[0]: "),
        ("ip-rule.json", [{"sport": 70000}], "[0].sport: "),
        ("docker-inspect.json", [{"Name": "/a", "NetworkSettings": {"Ports": {"x/tcp": [{}]}}}], "[0]: "),
        ("docker-inspect.json", [{"Name": "/a", "Config": {"ExposedPorts": {"80/xyz": {}}}}], "[0]: unknown 'xyz'"),
        ("docker-network-inspect.json", [{"Name": "n", "Id": "1", "IPAM": {"Config": [{"Subnet": "10.0.0.0/99"}]}}],
         "[0]: 99 is not a prefix length of IPv4"),
        ("container-netns.json", {"web": {"route": [{"dst": "x"}]}}, "web.route[0]: "),
        ("daemon.json", {"default-address-pools": 7}, "default-address-pools is 7; it must be a list"),
        ("daemon.json", {"default-address-pools": [{"base": "10.0.0.0/8", "size": 99}]},
         "default-address-pools: size 99 does not fit into 10.0.0.0/8"),
        ("daemon.json", {"default-address-pools": [{"base": "x", "size": 24}]}, "default-address-pools: "),
        ("daemon.json", {"default-address-pools": [None]}, "default-address-pools: "),
        ("daemon.json", {"dns": [[]]}, "dns contains [], which is not a string"),
    ],
)  # fmt: skip
def test_values_of_the_wrong_kind_are_told_with_their_place(
    name: str, value: object, told: str, capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (capture / name).write_text(json.dumps(value))
    assert main(["explain", str(capture), "--from", "client", "--to", "web:80"]) == 2
    assert f"iptsim: {capture}: {name}: {told}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("eth0.100", True), ("br-0123456789ab", True), ("wlp3s0@", True), ("é", True), ("br+", True),
        ("", False), (".", False), ("..", False), ("a b", False), ("a/b", False), ("a:b", False), ("a\x1b", False),
        ("sixteencharacter", False), ("-j", False), ('a"', False), ("a\\", False), ("a\u00a0b", False),
    ],
)  # fmt: skip
def test_names_of_interfaces(name: str, taken: bool) -> None:
    """dev_valid_name in net/core/dev.c: at most 15 bytes, no white space, no slash, no colon."""
    if taken:
        assert check_interface_name(name) == name
    else:
        with pytest.raises(ValueError, match="is not a valid interface name"):
            check_interface_name(name)


@pytest.mark.parametrize(
    "text",
    [
        f"# jiffies {'9' * 900} uptime 3000", f"# jiffies {'9' * 5000} uptime 3", "# jiffies x uptime 3",
        "# jiffies 5 uptime x", "src=1.2.3.4", "src=1.2.3 oldest_pkt: 1 5", f"src=1.2.3.4 oldest_pkt: 1 {'9' * 400}",
    ],
)  # fmt: skip
def test_lists_of_recent(text: str, capture: Path) -> None:
    (capture / "xt-recent.txt").write_text(f"== seen\n{text}\n")
    with pytest.raises(CaptureError, match=r"xt-recent\.txt: line 2 is not a line of /proc/net/xt_recent"):
        load_host(capture)


# -- sets ----------------------------------------------------------------------------------------------


def test_lists_in_lists_are_refused() -> None:
    """The tool ipset says: Sets with list:set type cannot be added to the set."""
    for member in ("a", "b"):
        with pytest.raises(ValueError, match=f"can't contain '{member}', which is a list as well"):
            read_ipsets(f"create a list:set\ncreate b list:set\nadd a {member}\n")


def test_members_of_a_list_stand_as_the_kernel_has_them() -> None:
    """A member that is there already stays where it is, as `ipset save` showed after `ipset -exist add`."""
    created = "".join(f"create {name} hash:net\n" for name in ("n", "n2", "n3"))
    added = "add a n\nadd a n2 before n\nadd a n3 after n2\nadd a n after n3\nadd a n2\n"
    assert members_of(read_ipsets(f"create a list:set\n{created}{added}")["a"]).lists == ["n2", "n3", "n"]


def test_many_members_of_a_list() -> None:
    entries = tuple((f"s{n}", {"before": "s0"} if n else {}) for n in range(60_000))
    assert Members(IpSet(name="a", type="list:set", entries=entries)).lists[-2:] == ["s59999", "s0"]


@pytest.mark.parametrize(
    "text",
    [
        "create s hash:ip,port\n" + "".join(f"add s 10.0.0.{n},1-65535\n" for n in range(3)),
        "create s hash:net,port,net family inet6\nadd s ::1-fe80::1,1-65535,::1-fe80::1\n",
        "".join(f"create s{n} hash:ip,port\nadd s{n} 10.0.0.1,1-65535\n" for n in range(3)),
    ],
)
def test_ranges_are_unfolded_within_a_bound(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (ipsets, ipset_members):
        monkeypatch.setattr(module, "RANGE_LIMIT", 100_000)
    with pytest.raises(ValueError, match="expand to more than 100,000 elements"):
        read_ipsets(text)


@pytest.mark.parametrize("options", ["netmask 99", "netmask x", "markmask x", "bitmask x"])
def test_options_of_a_set(options: str) -> None:
    with pytest.raises(ValueError, match="the set s of type hash:ip"):
        read_ipsets(f"create s hash:ip {options}\n")


def test_escapes_in_a_set_do_not_reach_a_terminal(capture: Path) -> None:
    for text in ("create s\x1b[31m hash:ip\nadd s\x1b[31m x\n", "add s\x1b[31m x\n", "\x1b[31m\n"):
        (capture / "ipset-save.txt").write_text(text)
        with pytest.raises(CaptureError) as caught:
            load_host(capture)
        assert "\x1b" not in str(caught.value)


# -- Compose -------------------------------------------------------------------------------------------


def compose(folder: Path, text: str) -> str:
    path = folder / "compose.yaml"
    path.write_text(text)
    return str(path)


def test_a_whole_compose_file(tmp_path: Path) -> None:
    docker = settings_of_file(compose(tmp_path, COMPOSE))
    assert docker is not None
    assert [container.name for container in docker.containers] == [
        "shop-db-1",
        "old",
        "shop-web-1",
        "shop-web-2",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &a [x, x, x, x, x, x, x, x, x]\n"
         + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
         + "services: *i\n", "more than 100,000 values, aliases expanded"),
        ("a: &a {x: 1}\nservices: &s\n  <<: [*s]\n", ":3:8: unknown alias *s"),
        ("services: " + "[" * 500 + "]" * 500, "nested more than 100 levels deep"),
        ("services: {a: 1, a: 2}", "duplicate key 'a'"),
        ("services: {[a]: 1}", "cannot be a key"),
        ("services: {<<: 7}", "only mappings can be merged"),
        ("--- {}\n--- {}\n", "the file has a second document"),
        ("services: {web: {deploy: {replicas: 1e9}}}", "replicas: '1e9' is not a valid number of containers"),
        ("services: {web: {deploy: {replicas: 1000000000}}}", "more than 1,024 containers"),
        ("services: {web: {deploy: {replicas: true}}}", "True is not a valid number of containers"),
        ("services: {web: {networks: [n]}}\nnetworks: {n: {driver_opts: "
         "{com.docker.network.bridge.name: br0 -j ACCEPT}}}", "networks.n.driver_opts: bridge: 'br0 -j ACCEPT'"),
        ("services: {web: {networks: [n]}}\nnetworks: {n: {driver_opts: "
         "{com.docker.network.bridge.host_binding_ipv4: 1.2.3.4 -j ACCEPT}}}",
         "host_binding_ipv4: '1.2.3.4 -j ACCEPT' is not an IP address"),
        ("services: {web: {ports: ['[fe80::1%x -j ACCEPT]:80:80']}}", "services.web.ports[0]: address: "),
    ],
)  # fmt: skip
def test_compose_files_out_of_bounds(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(CaptureError) as caught:
        settings_of_file(compose(tmp_path, text))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "scalar",
    ["2024-13-45", "0b", "0x", "1_", ".", "=", "!!int x", "!!float x", "!!timestamp x", "!!binary é", "!!set x",
     "9" * 5000, "22:99", "!reset null", "!!null x", "<<", "*", "? x", "&a", "|", "-"],
)  # fmt: skip
def test_odd_scalars(scalar: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in (
        "ports: [%s]",
        "expose: [%s]",
        "scale: %s",
        "networks: %s",
        "links: %s",
        "container_name: %s",
    ):
        path = compose(tmp_path, f"services:\n  web:\n    {place % scalar}\n")
        assert main(["docker-rules", path]) in (0, 2)
        assert "internal error" not in capsys.readouterr().err


def test_scalars_are_those_of_compose() -> None:
    """Of YAML 1.2 as gopkg.in/yaml.v3 resolves it: no base 60, no dates, `yes` is a text."""
    text = "[22:22, 2024-01-01, yes, 0o17, 0x10, 12, -3, true, ~, '5', 1.5, '', null, 007]"
    assert yaml_file.read_yaml(text, "x") == [
        "22:22", "2024-01-01", "yes", 15, 16, 12, -3, True, None, "5", "1.5", "", None, "007",
    ]  # fmt: skip
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [{x: 5}, *a]}"
    assert yaml_file.read_yaml(text, "x") == {
        "a": {"x": 1, "y": 2},
        "b": {"y": 3, "x": 1},
        "c": {"x": 5, "y": 2},
    }


def test_a_document_knows_where_its_values_are() -> None:
    document = yaml_file.read_document("a: &a\n  x: [1, 'two']\nb:\n  <<: *a\n  y: {z: 3}\n", "x.yaml")
    a, b = document.value["a"], document.value["b"]
    assert str(document.key(document.value, "b")) == "x.yaml:3:1"
    assert str(document.member(a["x"], 1)) == "x.yaml:2:10"
    assert str(document.key(b, "x")) == "x.yaml:2:3"  # where the merged mapping has it
    assert str(document.member(b["y"], "z")) == "x.yaml:5:10"
    assert str(document.error(document.member(a["x"], 1), "no")).endswith(
        "    x: [1, 'two']\n             ^~~~~"
    )


# -- what is printed -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\ud800", "a\ufffd"),
        ("\udcff", "\ufffd"),
        ("\U0001f600", "\U0001f600"),
        ("\\ud800", "\\ud800"),
        ("é", "é"),
    ],
)
def test_half_characters_are_not_printed(text: str, expected: str) -> None:
    printed = json_text({"a": [text]})
    assert printed.isascii()
    assert json.loads(printed) == {"a": [expected]}


def test_a_line_without_an_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batch = tmp_path / "batch"
    batch.write_bytes(b"[" * (3 << 20) + b'\n{"id": 1, "from": "client", "to": "web:80"}\n')
    assert main(["explain", str(CAPTURE), "--json", "--batch", str(batch)]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"id": None, "error": "the line is longer than 1,048,576 bytes"}
    assert second["verdict"] == "DROP"


def test_rules_of_others_on_a_terminal(
    capture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = capture / "iptables-save.txt"
    rule = '-A INPUT -m comment --comment "a\x1b[31m" -j ACCEPT\n'
    before, table, behind = dump.read_text().partition("*filter\n")
    dump.write_text(before + table + behind.replace("COMMIT\n", f"{rule}COMMIT\n", 1))
    assert main(["docker-rules", str(capture), "--in-place"]) == 0
    assert "\x1b[31m" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["docker-rules", str(capture), "--in-place"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\\x1b[31m" in said
