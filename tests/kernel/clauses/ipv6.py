"""Clauses that only IPv6 has."""

from __future__ import annotations

from random import Random

from tests.kernel.clauses.base import Changes, Draft, each, maker
from tests.kernel.scenes import Scene


@maker("icmp6", "--icmpv6-type", family=6, proto=58, weight=2)
def icmpv6_type(random: Random, scene: Scene) -> Draft:
    kind = random.choice((1, 2, 3, 4, 128, 129))
    if random.random() < 0.5:
        inside = ({"icmp_type": kind, "icmp_code": 0}, {"icmp_type": kind, "icmp_code": 3})
        return Draft(str(kind), inside, each("icmp_type", kind + 1, 128 if kind != 128 else 129))
    return Draft(
        f"{kind}/1",
        ({"icmp_type": kind, "icmp_code": 1},),
        ({"icmp_type": kind, "icmp_code": 2}, {"icmp_type": kind + 1, "icmp_code": 1}),
    )


#: A header as its bytes after the next-header field: length in units of 8 beyond the first, then options.
_HOP = (0, "00" + "010400000000")
_HOP_ALERT = (0, "00" + "050200000100")
#: Options that the kernel skips; it drops a packet with more padding than it could need.
_HOP_LONG = (0, "01" + "1e0400000000" + "1e06000000000000")
_ROUTING = (43, "02" + "0000" + "00000000" + "20010db8000100000000000000000009")
_ROUTING_HOME = (43, "02" + "0201" + "00000000" + "20010db8000100000000000000000009")
_OPTIONS = (60, "00" + "010400000000")
_OPTIONS_LONG = (60, "01" + "1e0c" + "00" * 12)


def _headers(*headers: tuple[int, str]) -> Changes:
    return {"extension_headers": tuple(headers)}


@maker("hbh", "--hbh-len", family=6, weight=0.3)
def hop_length(random: Random, scene: Scene) -> Draft:
    return Draft("8", (_headers(_HOP),), (_headers(_HOP_LONG), _headers()))


@maker("hbh", "--hbh-opts", family=6, weight=0.3, negatable=False)
def hop_options(random: Random, scene: Scene) -> Draft:
    return Draft("5:2", (_headers(_HOP_ALERT),), (_headers(_HOP), _headers()))


@maker("dst", "--dst-len", family=6, weight=0.3)
def destination_length(random: Random, scene: Scene) -> Draft:
    return Draft("8", (_headers(_OPTIONS),), (_headers(_OPTIONS_LONG), _headers(_HOP)))


@maker("rt", "--rt-type", family=6, weight=0.3)
def routing_type(random: Random, scene: Scene) -> Draft:
    return Draft("0", (_headers(_ROUTING),), (_headers(_ROUTING_HOME), _headers()))


@maker("rt", "--rt-segsleft", family=6, weight=0.3)
def segments_left(random: Random, scene: Scene) -> Draft:
    none_left, some_left = (_headers(_ROUTING),), (_headers(_ROUTING_HOME),)
    inside, outside = (none_left, some_left) if random.random() < 0.5 else (some_left, none_left)
    return Draft("0" if inside is none_left else "1:5", inside, (*outside, _headers()))


@maker("ipv6header", "--header", family=6, weight=0.3)
def header(random: Random, scene: Scene) -> Draft:
    soft = random.choice(("", " --soft"))
    return Draft(
        f"{random.choice(('hop-by-hop', 'dst', 'hop-by-hop,dst', 'prot'))}{soft}",
        (_headers(_HOP), _headers(_OPTIONS), _headers(_HOP, _OPTIONS)),
        (_headers(), _headers(_HOP)),
    )


@maker("frag", "--fragmore", "--fragfirst", "--fraglast", family=6, negatable=False, weight=0.2)
def fragments(random: Random, scene: Scene) -> Draft:
    around = each("fragment", "first", "middle", "last", None)
    return Draft("", around, around)
