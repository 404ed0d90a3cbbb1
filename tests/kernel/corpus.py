"""Real dumps through the kernel and through iptsim: `python -m tests.kernel.corpus FOLDER`.

Every file that iptables-restore accepts is loaded, on a host that is invented for it: interfaces of the names
that its rules use, bridges and guests where they look like some, addresses and ipsets that its rules name. Then
packets are sent that sit at the boundaries of its rules. Exit status 1 if iptsim and the kernel differ. A run
over many dumps is recorded in `docs/verification.md`.
"""

from __future__ import annotations

import argparse
import ipaddress
import itertools
import platform
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple

from iptsim.errors import IptsimError
from tests.kernel.asking import Iptsim
from tests.kernel.cases import Case, observe, run_again, same_answers
from tests.kernel.description import Guest, Interface, Probe, World
from tests.kernel.generate import base_packet, established, finish
from tests.kernel.laboratory import Laboratory, missing
from tests.kernel.namespaces import CommandError, Namespace
from tests.kernel.scenes import Scene
from tests.kernel.verification import now, store_counts

PACKETS = 20
_BACKENDS: tuple[Literal["nft", "legacy"], ...] = ("nft", "legacy")
#: The number of dumps from which a run is recorded in `docs/verification.md`.
WORTH_TELLING = 100
_BRIDGE = re.compile(r"(br|docker|virbr|lxcbr|cni|podman|lxdbr|vmbr)[-\d]")
#: Interfaces that are made at most; what else a dump names does not exist then.
_INTERFACES = 10
_PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "ipv6-icmp": 58, "sctp": 132, "gre": 47, "esp": 50, "ah": 51}
_ICMP = {"echo-request": 8, "echo-reply": 0, "destination-unreachable": 3, "time-exceeded": 11}
_ADDRESS_OPTIONS = {"-s": "src", "-d": "dst", "--ctorigsrc": "src", "--ctorigdst": "dst"}

Changes = dict[str, Any]


class Rule(NamedTuple):
    """A rule of a saved dump, as far as packets are made for it: values by option; negated ones apart."""

    chain: str
    given: dict[str, str]
    negated: dict[str, str]


def saved(path: Path) -> tuple[str, Literal[4, 6], Literal["nft", "legacy"], str] | str:
    """Load a dump with the real tools and save it; return text, family, backend and ipsets, or why not."""
    text, why = path.read_text("utf-8", errors="replace"), ""
    six = len(re.findall(r"-[sd] [0-9a-f]*:[0-9a-f:]*|icmpv6|icmp6", text)) > 0
    families: tuple[Literal[4, 6], ...] = (6, 4) if six else (4, 6)
    for family, backend in itertools.product(families, _BACKENDS):
        tool, sets = f"{'ip6' if family == 6 else 'ip'}tables-{backend}", _ipsets(text, family)
        with Namespace() as namespace:
            try:
                if sets:
                    namespace.run(["ipset", "restore"], sets)
                namespace.run([f"{tool}-restore"], text)
                dump = namespace.run([f"{tool}-save"])
            except CommandError as error:
                why = why or str(error)
                continue
        return "".join(f"{line}\n" for line in dump.splitlines() if line[:1] != "#"), family, backend, sets
    return why


def _ipsets(text: str, family: int) -> str:
    """Return sets by the names that the rules use, as wide as they use them, with a few members."""
    lines = {}
    one, two = ("192.0.2.20", "10.0.0.0/8") if family == 4 else ("2001:db8:2::20", "fd00::/8")
    kind = "inet" if family == 4 else "inet6"
    for name, directions in re.findall(r"(?:--match-set|--add-set|--del-set) (\S+) (\S+)", text):
        ports = directions.count(",")
        if ports:
            member = f"{one},tcp:80" + (f",{one}" if ports == 2 else "")
            lines[name] = (
                f"create {name} hash:ip,port{',ip' * (ports == 2)} family {kind}\nadd {name} {member}\n"
            )
        else:
            lines[name] = f"create {name} hash:net family {kind}\nadd {name} {one}\nadd {name} {two}\n"
    return "".join(lines.values())


def read_rules(dump: str) -> list[Rule]:
    """Read the rules of a saved dump."""
    rules = []
    for line in dump.splitlines():
        if line.startswith("-A "):
            words = shlex.split(line)
            given: dict[str, str] = {}
            negated: dict[str, str] = {}
            for place, word in enumerate(words[2:], 2):
                if word.startswith("-") and place + 1 < len(words):
                    value = words[place + 1]
                    (negated if words[place - 1] == "!" else given).setdefault(word, value)
            rules.append(Rule(words[1], given, negated))
    return rules


# -- the host -----------------------------------------------------------------------------------------


def invent(rules: list[Rule], family: Literal[4, 6]) -> Scene:
    """Return a host on which the rules have something to do."""
    names = _interface_names(rules)
    networks = {name: _network_of(name, number, rules, family) for number, name in enumerate(names)}
    wanted = list(_addresses(rules, family))
    interfaces: list[Interface] = []
    guests: list[Guest] = []
    senders: dict[str, tuple[str, ...]] = {}
    beyond: dict[str, tuple[str, ...]] = {}
    own: list[str] = []
    taken: set[Any] = set()
    for number, name in enumerate(names):
        network = networks[name]
        if any(network.overlaps(other) for other in taken):
            network = _spare_network(number, family)
        taken.add(network)
        mine, *others = (str(network[place]) for place in (1, 2, 3))
        own.append(mine)
        near = [text for text in wanted if ipaddress.ip_address(text) in network and text != mine]
        near = list(dict.fromkeys([*near, *others]))[:3]
        bridge = bool(_BRIDGE.match(name))
        addresses = [f"{mine}/{network.prefixlen}"]
        interfaces.append(
            Interface(name=name, kind="bridge" if bridge else "veth", addresses=tuple(addresses))
        )
        beyond[name] = tuple(near)
        if not bridge:
            senders[name] = tuple(near)
            continue
        for place, address in enumerate(near):
            port = f"p{number}v{place}"
            interfaces.append(Interface(name=port, master=name))
            guests.append(Guest(port=port, address=address, mac=f"02:42:00:00:{number:02x}:{place:02x}"))
            senders[port] = (address,)
    outside = next((name for name in names if name in senders), None)
    routes: tuple[str, ...] = ()
    if outside is not None:
        gateway = beyond[outside][-1]
        routes = (f"default via {gateway} dev {outside}",)
        far = [text for text in wanted if not any(ipaddress.ip_address(text) in net for net in taken)]
        elsewhere = ("198.51.100.7",) if family == 4 else ("2001:db8:ff::7",)
        senders[outside] += (*far[:6], *elsewhere)
        beyond[outside] += (*far[:6], *elsewhere)
    senders["host"] = tuple(own)
    sysctls = {f"net.bridge.bridge-nf-call-ip{'6' if family == 6 else ''}tables": 1} if guests else {}
    world = World(
        family=family, interfaces=tuple(interfaces), guests=tuple(guests), routes=routes, sysctls=sysctls
    )
    return Scene(world, senders, beyond, tuple(own), tuple(own[:1]))


def _interface_names(rules: list[Rule]) -> list[str]:
    counted: Counter[str] = Counter()
    for rule in rules:
        for values in (rule.given, rule.negated):
            for option in ("-i", "-o"):
                name = values.get(option, "").replace("+", "0")
                if re.fullmatch(r"[A-Za-z][\w.@-]{0,14}", name) and name != "lo":
                    counted[name] += 1
    names = [name for name, _ in counted.most_common(_INTERFACES)]
    if not any(not _BRIDGE.match(name) for name in names):
        names.append("eth0" if "eth0" not in names else "eth1")
    return names


def _spare_network(number: int, family: int) -> Any:
    return ipaddress.ip_network(f"10.{200 + number}.0.0/24" if family == 4 else f"fd00:{200 + number}::/64")


def _network_of(name: str, number: int, rules: list[Rule], family: int) -> Any:
    """Return the network behind an interface: the one of a rule that names both, or any."""
    least, most = (8, 30) if family == 4 else (32, 126)
    for rule in rules:
        for device, address in (("-i", "-s"), ("-o", "-d")):
            if rule.given.get(device) == name and address in rule.given:
                network = _network(rule.given[address])
                if network is not None and least <= network.prefixlen <= most and _usable(network):
                    return network
        if rule.negated.get("-o") == name and "-s" in rule.given:
            network = _network(rule.given["-s"])
            if network is not None and least <= network.prefixlen <= most and _usable(network):
                return network
    return _spare_network(number, family)


def _usable(network: Any) -> bool:
    return not (
        network.is_multicast or network.is_loopback or network.is_unspecified or network.is_link_local
    )


def _network(text: str) -> Any:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _addresses(rules: list[Rule], family: int) -> Iterator[str]:
    """Yield single addresses that rules name, and the first host of their networks."""
    seen = set()
    for rule in rules:
        for values in (rule.given, rule.negated):
            texts = [values[option] for option in (*_ADDRESS_OPTIONS, "--to-source") if option in values]
            target = values.get("--to-destination", "")
            texts.append(target.partition(":")[0] if family == 4 else target.strip("[]"))
            for text in texts:
                network = _network(text.partition("-")[0])
                if network is None or network.version != family or not _usable(network):
                    continue
                address = str(network[1] if network.num_addresses > 2 else network[0])
                if address not in seen:
                    seen.add(address)
                    yield address


# -- packets ------------------------------------------------------------------------------------------


def probes(random: Random, scene: Scene, rules: list[Rule], count: int = PACKETS) -> Iterator[Probe]:
    """Yield packets, most of them made for a rule, some a little beside it."""
    for _ in range(count):
        fields = base_packet(random, scene)
        if rules and random.random() < 0.9:
            fields.update(_for_rule(random, scene, random.choice(rules)))
        probe = finish(fields, scene, random)
        known = probe.proto in (6, 17) and random.random() < 0.15
        yield established(random, probe) if known else probe


def _for_rule(random: Random, scene: Scene, rule: Rule) -> Changes:
    changes: Changes = {}
    given = rule.given
    protocol = _PROTOCOLS.get(given.get("-p", ""))
    if protocol is not None:
        changes["proto"] = 58 if protocol == 1 and scene.family == 6 else protocol
    name = given.get("-i", "").replace("+", "0")
    ports = [one.name for one in scene.world.interfaces if one.master == name]
    source = random.choice(ports) if ports else name
    if rule.chain in ("OUTPUT", "POSTROUTING") and random.random() < 0.7:
        source = "host"
    if source in scene.senders:
        changes.update(source=source, src=random.choice(scene.senders[source]))
    if rule.chain == "INPUT":
        changes["dst"] = random.choice(scene.own)
    out = given.get("-o", "").replace("+", "0")
    if out in scene.beyond:
        changes["dst"] = random.choice(scene.beyond[out])
    for option, field in _ADDRESS_OPTIONS.items():
        network = _network(given.get(option, ""))
        if network is not None and network.version == scene.family and _usable(network):
            edges = [network[0], network[-1], network[min(1, network.num_addresses - 1)]]
            changes[field] = str(random.choice(edges))
    for option, field in (
        ("--dport", "dport"), ("--sport", "sport"), ("--dports", "dport"), ("--sports", "sport"),
        ("--ports", "dport"), ("--ctorigdstport", "dport"),
    ):  # fmt: skip
        if option in given:
            changes[field] = _port(random, given[option])
    if "--tcp-flags" in given:
        changes["tcp_flags"] = random.choice((0x02, 0x10, 0x12, 0x04, 0x11, 0, 0x29))
    if "--icmp-type" in given or "--icmpv6-type" in given:
        text = given.get("--icmp-type", given.get("--icmpv6-type", ""))
        kind, _, code = text.partition("/")
        changes["icmp_type"] = int(kind) if kind.isdigit() else _ICMP.get(kind, 8)
        changes["icmp_code"] = int(code) if code.isdigit() else 0
    if "--mark" in given and changes.get("source") == "host":
        changes["mark"] = int(given["--mark"].partition("/")[0], 0)
    if random.random() < 0.15:
        changes["proto"] = random.choice((6, 17))
    return changes


def _port(random: Random, text: str) -> int:
    """Return a port at the boundary of a list of ports and ranges."""
    first, _, last = random.choice(text.split(",")).partition(":")
    numbers = [int(number) for number in (first, last or first) if number.isdigit()]
    value = random.choice(numbers or [80]) + random.choice((-1, 0, 0, 0, 1))
    return min(65535, max(0, value))


# -- running ------------------------------------------------------------------------------------------


def compare_dump(path: Path) -> tuple[int, list[str]] | str:
    """Run a dump; return how many packets were compared and what differed, or why it can't be run."""
    loaded = saved(path)
    if isinstance(loaded, str):
        return loaded
    dump, family, backend, sets = loaded
    rules = read_rules(dump)
    scene = invent(rules, family)
    world = scene.world.model_copy(update={"dump": dump, "backend": backend, "ipsets": sets})
    random, found, count = Random(path.name), [], 0
    with Laboratory(world) as laboratory:
        capture = laboratory.capture()
        try:
            iptsim = Iptsim(capture)
        except IptsimError as error:
            return 0, [f"iptsim refuses: {error}"]
        for probe in probes(random, scene, rules):
            if probe.local and probe.dst == "0.0.0.0":
                # a program would send to one of the host's addresses instead
                continue
            if "--zone" in dump:
                # an entry made by hand would have to be in that zone
                probe = probe.model_copy(update={"connection": None})
            answer, back = observe(laboratory, probe)
            count += 1
            case = Case(world=world, probe=probe, capture=capture, answer=answer, reply=back)
            what = case.differences(iptsim)
            if what and same_answers(run_again(case), case):
                found.append(f"{what[0]}\n  {probe.model_dump_json(exclude_defaults=True)}")
    return count, found


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def main(arguments: list[str]) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernel.corpus", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--verbose", action="store_true", help="list the files that are left out as well")
    options = parser.parse_args(arguments)
    if reason := missing():
        print(reason, file=sys.stderr)
        return 2
    dumps = packets = differing = left_out = 0
    for path in _files(options.folder):
        try:
            result = compare_dump(path)
        except CommandError as error:
            result = str(error)
        if isinstance(result, str):
            left_out += 1
            if options.verbose:
                print(f"{path}: left out: {' '.join(result.split())[:200]}")
            continue
        dumps += 1
        packets += result[0]
        differing += len(result[1])
        for what in result[1]:
            print(f"{path}: {what}", flush=True)
    print(f"{dumps} dumps, {packets} packets, {differing} differences, {left_out} files left out")
    if dumps >= WORTH_TELLING:
        kernel = f"{platform.system()} {platform.release()}"
        store_counts(
            corpus={
                "date": now(), "kernel": kernel, "dumps": dumps, "packets": packets,
                "differences": differing, "left_out": left_out,
            }
        )  # fmt: skip
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
