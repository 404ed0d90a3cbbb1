"""Targets for random rules, by the table and base chain in which the kernel takes them."""

from __future__ import annotations

import ipaddress
from random import Random
from typing import NamedTuple

from tests.kernel.clauses.surroundings import set_uses
from tests.kernel.scenes import Scene


class MadeTarget(NamedTuple):
    """The end of a rule.

    Attributes:
        needs_proto: the protocol that the rule must name for it, None for any.

    """

    text: str
    needs_proto: int | None = None


#: Base chains in which the kernel takes some targets only.
_OUTGOING = frozenset({"FORWARD", "OUTPUT", "POSTROUTING"})
_SOURCE_SIDE, _DESTINATION_SIDE = frozenset({"INPUT", "POSTROUTING"}), frozenset({"PREROUTING", "OUTPUT"})
_REJECTS4 = (
    "icmp-net-unreachable",
    "icmp-host-unreachable",
    "icmp-port-unreachable",
    "icmp-proto-unreachable",
    "icmp-net-prohibited",
    "icmp-host-prohibited",
    "icmp-admin-prohibited",
)
_RAW = (
    "-j CT --notrack",
    "-j CT --zone 3",
    "-j CT --zone-orig 3",
    "-j CT --zone-reply 3",
    "-j CT --zone mark",
    "-j CT --ctevents new,mark",
    "-j NOTRACK",
    "-j TRACE",
)
_REJECTS6 = ("icmp6-no-route", "icmp6-adm-prohibited", "icmp6-addr-unreachable", "icmp6-port-unreachable")


def make_target(
    random: Random, scene: Scene, table: str, home: frozenset[str], below: list[str], proto: int | None
) -> MadeTarget:
    """Make a target for a rule below the base chains `home`.

    Args:
        below: chains to jump to.
        proto: the protocol that the rule names, None for none, -1 if it can't name one any more.

    """
    kind = random.random()
    if below and kind < 0.25:
        return MadeTarget(f"-{random.choice('jjg')} {random.choice(below)}")
    if kind < 0.35:
        return MadeTarget("")
    if kind < 0.45:
        return MadeTarget("-j RETURN")
    if kind < 0.6:
        return MadeTarget("-j ACCEPT")
    if table == "nat":
        return _nat(random, scene, home, proto)
    if table == "raw" and kind < 0.75:
        return MadeTarget(random.choice(_RAW))
    if kind < 0.72:
        return _changing(random, scene, table, home, proto)
    if table == "filter" and kind < 0.88:
        return _reject(random, scene, proto)
    if table in ("filter", "mangle") and kind > 0.985:
        return _taking(random, table, home, proto)
    if table == "filter" or kind > 0.93:
        return MadeTarget("-j DROP")
    return _changing(random, scene, table, home, proto)


def _taking(random: Random, table: str, home: frozenset[str], proto: int | None) -> MadeTarget:
    """Make a target that hands the packet to something that is not there in the laboratory."""
    if table == "mangle" and home == {"PREROUTING"} and proto in (None, 6, 17):
        return MadeTarget("-j TPROXY --on-port 50080 --tproxy-mark 0x1/0x1", proto or random.choice((6, 17)))
    return MadeTarget(f"-j NFQUEUE --queue-num 5{random.choice(('', ' --queue-bypass'))}")


def _reject(random: Random, scene: Scene, proto: int | None) -> MadeTarget:
    if proto in (None, 6) and random.random() < 0.4:
        return MadeTarget("-j REJECT --reject-with tcp-reset", 6)
    kinds = _REJECTS4 if scene.family == 4 else _REJECTS6
    with_kind = f" --reject-with {random.choice(kinds)}" if random.random() < 0.7 else ""
    return MadeTarget(f"-j REJECT{with_kind}")


def _hash(random: Random) -> str:
    members = random.choice(
        ("src,dst,sport,dport", "src,dst", "src,dst,sport,dport,proto", "ct,src,dst,sport")
    )
    offset = random.choice(("", "", " --hmark-offset 0x10"))
    return f"--hmark-tuple {members} --hmark-mod {random.choice((2, 5, 8))}{offset}"


def _changing(
    random: Random, scene: Scene, table: str, home: frozenset[str], proto: int | None
) -> MadeTarget:
    """Make a target that goes on with the next rule."""
    value = random.choice((0, 1, 2, 3, 0x10, 0x25))
    mask = random.choice((0xFFFFFFFF, 0xFF, 0xF, 0xF0))
    texts = [
        f"-j MARK --set-xmark 0x{value:x}/0x{mask:x}",
        f"-j MARK --set-mark 0x{value:x}",
        f"-j MARK --{random.choice(('or', 'and', 'xor'))}-mark 0x{value:x}",
        f"-j CONNMARK {_connmark(random, value, mask)}",
        f"-j CONNMARK --save-mark{random.choice(_COPIED)}",
        f"-j CONNMARK --restore-mark{random.choice(_COPIED)}",
        '-j LOG --log-prefix "x: "',
        "-j NFLOG --nflog-group 9",
        f"-j SET {_set_change(random, scene)}",
        "-j AUDIT --type accept",
    ]
    if table == "mangle":
        hops = "HL --hl" if scene.family == 6 else "TTL --ttl"
        texts += [
            f"-j {hops}-set {random.choice((1, 64))}",
            f"-j {hops}-dec 1",
            f"-j {hops}-inc 2",
            f"-j TOS --set-tos 0x{random.choice((0, 8, 0x10, 0xB8)):02x}/0x{random.choice((0xFF, 0x3F)):02x}",
            f"-j TOS --{random.choice(('and', 'or', 'xor'))}-tos 0x{random.choice((1, 0x10, 0xFC)):02x}",
            f"-j DSCP {random.choice(('--set-dscp 0', '--set-dscp 46', '--set-dscp-class AF11'))}",
        ]
        if home <= _OUTGOING:
            texts.append("-j CLASSIFY --set-class 1:2")
        texts += [
            f"-j HMARK {_hash(random)} --hmark-rnd 0xcafe",
            "-j RATEEST --rateest-name rate --rateest-interval 250ms --rateest-ewma 500ms",
            "-j CONNSECMARK --save",
        ]
        if proto in (None, 6):
            texts.append(
                "-j ECN --ecn-tcp-remove" if scene.family == 4 else "-j TCPOPTSTRIP --strip-options 2"
            )
            if scene.family == 4:
                texts.append(f"-j ECN --ecn-tcp-{random.choice(('cwr', 'ece'))} {random.choice((0, 1))}")
        if scene.family == 4:
            texts.append(f"-j ECN --ecn-ip-ect {random.choice((0, 1, 3))}")
        if proto in (None, 6) and home <= _OUTGOING:
            size = random.choice(("--set-mss 1200", "--set-mss 1200", "--clamp-mss-to-pmtu"))
            texts.append(f"-m tcp --tcp-flags SYN,RST SYN -j TCPMSS {size}")
        if proto in (None, 17):
            texts.append("-j CHECKSUM --checksum-fill")
        gateway, lost = ("10.66.0.1", "10.66.") if scene.family == 4 else ("2001:db8:66::1", "2001:db8:66:")
        if any(route.startswith(f"blackhole {lost}") for route in scene.world.routes):
            # a clone that really left could not be told from the packet where it arrives
            texts.append(f"-j TEE --gateway {gateway}")
        if scene.family == 6:
            texts += _prefixes(random, home)
    text = random.choice(texts)
    return MadeTarget(text, next((needs for word, needs in _NEEDS.items() if f"-j {word}" in text), None))


#: The bits that CONNMARK copies; all by default.
_COPIED = ("", "", " --mask 0xf", " --nfmask 0xff --ctmask 0xff", " --nfmask 0xf --ctmask 0xf0")


def _connmark(random: Random, value: int, mask: int) -> str:
    return random.choice(
        (
            f"--set-xmark 0x{value:x}/0x{mask:x}",
            f"--set-mark 0x{value:x}/0x{mask:x}",
            f"--{random.choice(('or', 'and', 'xor'))}-mark 0x{value:x}",
            f"--set-xmark 0x{value:x}/0x{mask:x} --{random.choice(('left', 'right'))}-shift-mark 4",
        )
    )


def _freely(random: Random) -> str:
    """Return how an address or port of a range is chosen, mostly by default."""
    return random.choice((" --random", " --persistent")) if random.random() < 0.1 else ""


def _set_change(random: Random, scene: Scene) -> str:
    name, directions = random.choice([*set_uses(scene)])
    lasting = random.choice(("", " --timeout 60")) if name == "timed" else ""
    return random.choice(
        (f"--add-set {name} {directions} --exist{lasting}", f"--del-set {name} {directions}")
    )


#: Protocols that a rule must name for a target.
_NEEDS = {"ECN --ecn-tcp": 6, "TCPOPTSTRIP": 6, "TCPMSS": 6, "CHECKSUM": 17}


def _prefixes(random: Random, home: frozenset[str]) -> list[str]:
    """Return targets that rewrite the prefix of an address, in the base chains that may have them."""
    own = random.choice(("2001:db8:2::/64", "fd00:17::/64"))
    if home <= _SOURCE_SIDE:
        return [f"-j SNPT --src-pfx {own} --dst-pfx 2001:db8:9::/64"]
    if home <= _DESTINATION_SIDE:
        return [f"-j DNPT --src-pfx 2001:db8:1::/64 --dst-pfx {own}"]
    return []


def _nat(random: Random, scene: Scene, home: frozenset[str], proto: int | None) -> MadeTarget:
    ported = random.random() < 0.5 and proto in (None, 6, 17)
    needs = None if not ported else proto or random.choice((6, 17))
    if random.random() < 0.12 and (home <= _SOURCE_SIDE or home <= _DESTINATION_SIDE):
        network = "10.2.0.0/24" if scene.family == 4 else "2001:db8:2::/64"
        return MadeTarget(f"-j NETMAP --to {network}")
    if home <= _DESTINATION_SIDE:
        if random.random() < 0.25:
            ports = random.choice((" --to-ports 8080", " --to-ports 8080", " --to-ports 8080-8085"))
            return MadeTarget("-j REDIRECT" + (ports if ported else ""), needs)
        pool = [text for addresses in scene.beyond.values() for text in addresses] + list(scene.own)
        return MadeTarget(
            f"-j DNAT --to-destination {_address(random, scene, pool, ported, shift=True)}{_freely(random)}",
            needs,
        )
    if home == {"POSTROUTING"} and random.random() < 0.5:
        ports = f" --to-ports {random.choice(('6000', '6000-6010'))}" if ported else ""
        freely = " --random" if random.random() < 0.1 else ""
        return MadeTarget(f"-j MASQUERADE{ports}{freely}", needs)
    if not home <= _SOURCE_SIDE:
        return MadeTarget("-j ACCEPT")
    source = _address(random, scene, list(scene.own), ported)
    return MadeTarget(f"-j SNAT --to-source {source}{_freely(random)}", needs)


def _address(random: Random, scene: Scene, pool: list[str], ported: bool, *, shift: bool = False) -> str:
    """Make the value of `--to-destination` or `--to-source`, sometimes with ranges; `shift`: those of DNAT."""
    address = random.choice(pool)
    if random.random() < 0.15:
        first = ipaddress.ip_address(address)
        address = f"{address}-{first + random.choice((1, 3, 7))}"
    if not ported:
        return address
    ports = ("5000-5010", "80-90", "5000-5010/4000") if shift else ("500-510", "5000-5010", "39999-40001")
    port = random.choice(("80", "8080", *ports))
    if scene.family == 4:
        return f":{port}" if random.random() < 0.15 else f"{address}:{port}"
    return f"[{address}]:{port}"
