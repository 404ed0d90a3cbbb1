"""Clauses on marks and on what conntrack knows."""

from __future__ import annotations

import ipaddress
from random import Random

from tests.kernel.clauses.base import Changes, Draft, each, maker, span
from tests.kernel.scenes import Scene

#: Headers that conntrack takes for new, invalid, related or untracked without an entry.
_HEADERS: tuple[Changes, ...] = (
    {"proto": 6, "tcp_flags": 2},
    {"proto": 6, "tcp_flags": 0x10},
    {"proto": 6, "tcp_flags": 0x12},
    {"proto": 6, "tcp_flags": 4},
    {"proto": 6, "tcp_flags": 0x11},
    {"proto": 17},
    {"proto": 1, "icmp_type": 8},
    {"proto": 1, "icmp_type": 0},
    {"proto": 47},
)


@maker("conntrack", "--ctstate", weight=4)
def ctstate(random: Random, scene: Scene) -> Draft:
    states = random.sample(
        ("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED", "DNAT", "SNAT"), random.choice((1, 2, 2, 3))
    )
    return Draft(",".join(states), headers(scene), headers(scene))


@maker("state", "--state", weight=2)
def state(random: Random, scene: Scene) -> Draft:
    states = random.sample(
        ("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"), random.choice((1, 2, 2))
    )
    return Draft(",".join(states), headers(scene), headers(scene))


def headers(scene: Scene) -> tuple[Changes, ...]:
    """Return packets that conntrack judges differently when it knows nothing."""
    if scene.family == 4:
        return _HEADERS
    return (
        *(changes for changes in _HEADERS if changes["proto"] != 1),
        {"proto": 58, "icmp_type": 128},
        {"proto": 58, "icmp_type": 129},
    )


@maker("conntrack", "--ctproto", weight=0.5)
def ctproto(random: Random, scene: Scene) -> Draft:
    number = random.choice((6, 17))
    return Draft(str(number), each("proto", number), each("proto", 23 - number, 47))


@maker("conntrack", "--ctorigsrc", "--ctrepldst", weight=0.6)
def original_source(random: Random, scene: Scene) -> Draft:
    return _flow_address(random, scene, "src")


@maker("conntrack", "--ctorigdst", "--ctreplsrc", weight=0.6)
def original_destination(random: Random, scene: Scene) -> Draft:
    return _flow_address(random, scene, "dst")


def _flow_address(random: Random, scene: Scene, field: str) -> Draft:
    address = random.choice(scene.addresses)
    length = random.choice((24, 32) if scene.family == 4 else (64, 128))
    network = ipaddress.ip_network(f"{address}/{length}", strict=False)
    others = each(field, *(other for other in scene.addresses if ipaddress.ip_address(other) not in network))
    return Draft(str(network), each(field, address), others[:3])


@maker("conntrack", "--ctorigsrcport", "--ctrepldstport", proto=6, weight=0.5)
def original_source_port(random: Random, scene: Scene) -> Draft:
    return _flow_port(random, "sport")


@maker("conntrack", "--ctorigdstport", "--ctreplsrcport", proto=17, weight=0.5)
def original_destination_port(random: Random, scene: Scene) -> Draft:
    return _flow_port(random, "dport")


def _flow_port(random: Random, field: str) -> Draft:
    first, last = span(random, 1, 65535)
    words = str(first) if first == last else f"{first}:{last}"
    outside = [port for port in (first - 1, last + 1) if 0 < port < 65536]
    return Draft(words, each(field, first, last), each(field, *outside))


@maker("conntrack", "--ctstatus", weight=0.7)
def ctstatus(random: Random, scene: Scene) -> Draft:
    names = random.sample(
        ("NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"), random.choice((1, 1, 2))
    )
    if "NONE" in names:
        names = ["NONE"]
    return Draft(",".join(names), headers(scene), headers(scene))


@maker("conntrack", "--ctdir", negatable=False, weight=0.7)
def ctdir(random: Random, scene: Scene) -> Draft:
    return Draft(random.choice(("ORIGINAL", "REPLY")), headers(scene), headers(scene))


@maker("conntrack", "--ctexpire", weight=0.2)
def ctexpire(random: Random, scene: Scene) -> Draft:
    return Draft(random.choice(("0", "0:10", "1:100")), headers(scene), headers(scene))


@maker("mark", "--mark", weight=2)
def mark(random: Random, scene: Scene) -> Draft:
    return _mark(random, scene)


@maker("connmark", "--mark", weight=1)
def connmark(random: Random, scene: Scene) -> Draft:
    return _mark(random, scene)


def _mark(random: Random, scene: Scene) -> Draft:
    value = random.choice((0, 1, 2, 3, 5, 0x10, 0x20, 0x25))
    mask = random.choice((0xFFFFFFFF, 0xFF, 0x0F, 0xF0, 1))
    words = f"0x{value & mask:x}" + ("" if mask == 0xFFFFFFFF else f"/0x{mask:x}")
    local = {"source": "host", "src": scene.own[0]}
    inside = {**local, "mark": value & mask}
    return Draft(words, (inside,), ({**local, "mark": (value & mask) ^ 1}, {**local, "mark": value ^ 0x40}))


@maker("helper", "--helper", weight=0.2)
def helper(random: Random, scene: Scene) -> Draft:
    announced: Changes = {"proto": 6, "tcp_flags": 2}
    inside = ({**announced, "expected_by": "ftp"},)
    return Draft("ftp", inside, ({**announced, "expected_by": "sane"}, *each("proto", 6, 17)))
