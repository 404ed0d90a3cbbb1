"""Clauses of matches that few rulesets have; most are only tried in rules made for them."""

from __future__ import annotations

from random import Random

from tests.kernel.clauses.base import Changes, Draft, each, maker, span
from tests.kernel.clauses.connection import headers
from tests.kernel.scenes import Scene


@maker("connbytes", "--connbytes", weight=0.2)
def connbytes(random: Random, scene: Scene) -> Draft:
    numbers = random.choice(("0:0", "1:1", "2", "0:100", "40:60"))
    direction = random.choice(("original", "reply", "both"))
    mode = random.choice(("packets", "bytes", "avgpkt"))
    words = f"{numbers} --connbytes-dir {direction} --connbytes-mode {mode}"
    return Draft(words, headers(scene), headers(scene))


@maker("cluster", "--cluster-local-node", weight=0)
def cluster_node(random: Random, scene: Scene) -> Draft:
    return _cluster(random, scene, str(random.choice((1, 2))))


@maker("cluster", "--cluster-local-nodemask", weight=0)
def cluster_mask(random: Random, scene: Scene) -> Draft:
    return _cluster(random, scene, "0x00000001")


def _cluster(random: Random, scene: Scene, node: str) -> Draft:
    around = tuple(
        {"source": name, "src": address}
        for name, addresses in scene.senders.items()
        if name != "host"
        for address in addresses
    )
    return Draft(f"{node} --cluster-total-nodes 2 --cluster-hash-seed 0xdeadbeef", around, around)


#: Times of which each moment is in one and not in the other: what a rule says does not depend on the date on
#: which it is made.
_TIMES = (("18:00", "05:59:59"), ("06:00", "17:59:59"))
_WEEKDAYS = ("Mon,Tue,Wed,Thu", "Fri,Sat,Sun")
_MONTHDAYS = (",".join(map(str, range(1, 32, 2))), ",".join(map(str, range(2, 31, 2))))
_DATES = (("2000-01-01", "2020-02-29T23:59:59"), ("2020-03-01", "2037-12-31T23:59:59"))


def _half(random: Random) -> int:
    """Draw one of two; the seeds of the tests of single options draw both."""
    return random.getrandbits(3) & 1


@maker("time", "--timestart", negatable=False, weight=0.1)
def time_of_day(random: Random, scene: Scene) -> Draft:
    start, stop = _TIMES[_half(random)]
    contiguous = " --contiguous" if stop < start and random.random() < 0.5 else ""
    return Draft(f"{start} --timestop {stop}{contiguous}", (), ())


@maker("time", "--weekdays", weight=0.1)
def weekdays(random: Random, scene: Scene) -> Draft:
    return Draft(_WEEKDAYS[_half(random)], (), ())


@maker("time", "--monthdays", weight=0.1)
def month_days(random: Random, scene: Scene) -> Draft:
    return Draft(_MONTHDAYS[_half(random)], (), ())


@maker("time", "--datestart", negatable=False, weight=0.1)
def dates(random: Random, scene: Scene) -> Draft:
    start, stop = _DATES[_half(random)]
    return Draft(f"{start} --datestop {stop}", (), ())


@maker("cpu", "--cpu", weight=0.1)
def cpu(random: Random, scene: Scene) -> Draft:
    # either number, whichever processor it will be
    return Draft(str(len(scene.own) % 2), (), ())


@maker(
    "socket", "", "--nowildcard", "--transparent", "--restore-skmark",
    negatable=False, hooks="PREROUTING INPUT", weight=0,
)  # fmt: skip
def socket(random: Random, scene: Scene) -> Draft:
    senders = [name for name in scene.senders if name != "host"]
    around: list[Changes] = []
    for proto in (6, 17):
        for kind in ("bound", "any", "transparent", ""):
            source = random.choice(senders)
            address = {"source": source, "src": scene.senders[source][0], "dst": random.choice(scene.own)}
            around.append({**address, "proto": proto, "socket": kind, "dport": 8080})
    return Draft("", tuple(around), tuple(around))


@maker("set", "--packets-gt", "--packets-lt", negatable=False, weight=0)
@maker("set", "--packets-eq", weight=0)
def set_packets(random: Random, scene: Scene) -> Draft:
    return _set_counter(scene, random.choice((4, 5, 6)))


@maker("set", "--bytes-gt", "--bytes-lt", negatable=False, weight=0)
@maker("set", "--bytes-eq", weight=0)
def set_bytes(random: Random, scene: Scene) -> Draft:
    return _set_counter(scene, random.choice((499, 500, 501)))


def _set_counter(scene: Scene, number: int) -> Draft:
    around = each("src", *(addresses[0] for addresses in scene.senders.values()), *scene.own)
    return Draft(f"{number} --match-set counted src ! --update-counters", around, around)


@maker("dccp", "--dccp-option", proto=33, weight=0)
def dccp_option(random: Random, scene: Scene) -> Draft:
    # data offset 8 words: 16 bytes of header, 12 more of a request, 4 of options
    def options(text: str) -> Changes:
        return {"body": "08000000" + "01000000" + "00000001", "payload": "00" * 12 + text}

    number = random.choice((34, 35))
    other = 69 - number
    return Draft(
        str(number), (options(f"{number:02x}040102"),), (options(f"{other:02x}040102"), options("00000000"))
    )


@maker("mh", "--mh-type", family=6, proto=135, weight=0.1)
def mobility_type(random: Random, scene: Scene) -> Draft:
    first, last = span(random, 0, 20)
    words = str(first) if first == last else f"{first}:{last}"
    outside = [kind for kind in (first - 1, last + 1) if 0 <= kind <= 255]

    def message(kind: int) -> Changes:
        return {"body": f"3b00{kind:02x}000000" + "0000"}

    return Draft(words, (message(first), message(last)), tuple(map(message, outside)))


@maker("eui64", "", family=6, negatable=False, hooks="PREROUTING INPUT FORWARD", weight=0.1)
def eui64(random: Random, scene: Scene) -> Draft:
    name = random.choice([name for name in scene.senders if name != "host"])
    address = {"source": name, "src": "2001:db8:1:0:200:ff:fe00:909", "src_mac": "00:00:00:00:09:09"}
    return Draft(
        "",
        (address,),
        ({**address, "src_mac": "00:00:00:00:09:08"}, {"source": name, "src": "2001:db8:1::9"}),
    )


def _routing(kind: int, left: int, *addresses: str, reserved: str = "00000000") -> Changes:
    data = f"{2 * len(addresses):02x}{kind:02x}{left:02x}{reserved}" + "".join(addresses)
    return {"extension_headers": ((43, data),)}


_ONE, _TWO = "20010db8000100000000000000000009", "20010db800020000000000000000000a"


@maker("rt", "--rt-len", family=6, weight=0.1)
def routing_length(random: Random, scene: Scene) -> Draft:
    return Draft(
        "24",
        (_routing(0, 0, _ONE), _routing(2, 0, _TWO)),
        (_routing(0, 0, _ONE, _TWO), _routing(0, 0), {"extension_headers": ()}),
    )


@maker("rt", "--rt-0-res", family=6, negatable=False, weight=0.1, before="--rt-type 0")
def routing_reserved(random: Random, scene: Scene) -> Draft:
    return Draft(
        "",
        (_routing(0, 0, _ONE),),
        (_routing(0, 0, _ONE, reserved="00000001"), _routing(2, 0, _ONE)),
    )


@maker("rt", "--rt-0-addrs", family=6, negatable=False, weight=0.1, before="--rt-type 0")
def routing_addresses(random: Random, scene: Scene) -> Draft:
    loose = random.choice(("", " --rt-0-not-strict"))
    return Draft(
        f"2001:db8:1::9,2001:db8:2::a{loose}",
        (_routing(0, 0, _ONE, _TWO), _routing(0, 0, _TWO, _ONE, _TWO)),
        (_routing(0, 0, _TWO, _ONE), _routing(0, 0, _ONE)),
    )


def _segments(left: int, last: int, tag: int) -> Changes:
    data = f"{2 * (last + 1):02x}04{left:02x}{last:02x}00{tag:04x}" + _ONE * (last + 1)
    return {"extension_headers": ((43, data),)}


@maker("srh", "--srh-segs-left-eq", "--srh-segs-left-gt", "--srh-segs-left-lt", family=6, weight=0.05)
def srh_left(random: Random, scene: Scene) -> Draft:
    return Draft(
        "1", (_segments(1, 2, 0),), (_segments(0, 2, 0), _segments(2, 2, 0), {"extension_headers": ()})
    )


@maker("srh", "--srh-last-entry-eq", "--srh-last-entry-gt", "--srh-last-entry-lt", family=6, weight=0.05)
def srh_last(random: Random, scene: Scene) -> Draft:
    return Draft(
        "1", (_segments(0, 1, 0),), (_segments(0, 0, 0), _segments(0, 2, 0), {"extension_headers": ()})
    )


@maker("srh", "--srh-hdr-len-eq", "--srh-hdr-len-gt", "--srh-hdr-len-lt", family=6, weight=0.05)
def srh_length(random: Random, scene: Scene) -> Draft:
    return Draft(
        "4", (_segments(0, 1, 0),), (_segments(0, 0, 0), _segments(0, 2, 0), {"extension_headers": ()})
    )


@maker("srh", "--srh-tag", family=6, weight=0.05)
def srh_tag(random: Random, scene: Scene) -> Draft:
    # the kernel compares the tag without turning its bytes round (ip6t_srh.c)
    return Draft(
        "7", (_segments(0, 0, 0x0700), _segments(0, 0, 7)), (_segments(0, 0, 8), {"extension_headers": ()})
    )


def _segment_list(left: int, *addresses: str) -> Changes:
    data = f"{2 * len(addresses):02x}04{left:02x}{len(addresses) - 1:02x}00{0:04x}" + "".join(addresses)
    return {"extension_headers": ((43, data),)}


@maker("srh", "--srh-psid", family=6, weight=0.05)
def srh_previous(random: Random, scene: Scene) -> Draft:
    return Draft(
        "2001:db8:1::9/128", (_segment_list(1, _TWO, _TWO, _ONE),), (_segment_list(1, _ONE, _ONE, _TWO),)
    )


@maker("srh", "--srh-nsid", "--srh-lsid", family=6, weight=0.05)
def srh_next_segment(random: Random, scene: Scene) -> Draft:
    # with one segment left, the next one is the last one, which comes first in the list
    return Draft(
        "2001:db8:1::9/128", (_segment_list(1, _ONE, _TWO, _TWO),), (_segment_list(1, _TWO, _ONE, _ONE),)
    )


@maker("srh", "--srh-next-hdr", family=6, weight=0.05)
def srh_next(random: Random, scene: Scene) -> Draft:
    with_header = _segments(0, 0, 7)
    return Draft(
        "6", ({**with_header, "proto": 6},), ({**with_header, "proto": 17}, {"extension_headers": ()})
    )


def _authentication(spi: int, words: int = 4, reserved: int = 0) -> Changes:
    data = f"{words:02x}{reserved:04x}{spi:08x}00000001" + "00" * (4 * words - 4)
    return {"extension_headers": ((51, data),)}


@maker("ah", "--ahspi", family=6, weight=0.1)
def ah_spi6(random: Random, scene: Scene) -> Draft:
    first, last = span(random, 0, 0xFFFFFFFF)
    words = str(first) if first == last else f"{first}:{last}"
    outside = [spi for spi in (first - 1, last + 1) if 0 <= spi <= 0xFFFFFFFF]
    return Draft(words, (_authentication(first), _authentication(last)), tuple(map(_authentication, outside)))


@maker("ah", "--ahlen", family=6, weight=0.1)
def ah_length(random: Random, scene: Scene) -> Draft:
    return Draft("24", (_authentication(5, 4),), (_authentication(5, 6), {"extension_headers": ()}))


@maker("ah", "--ahres", family=6, negatable=False, weight=0.1)
def ah_reserved(random: Random, scene: Scene) -> Draft:
    return Draft("", (_authentication(5),), (_authentication(5, reserved=1), {"extension_headers": ()}))


@maker("frag", "--fragid", family=6, weight=0.1)
def fragment_id(random: Random, scene: Scene) -> Draft:
    content = "00" + "0000" + "00000007"
    atomic: Changes = {"extension_headers": ((44, content),)}
    other: Changes = {"extension_headers": ((44, "00" + "0000" + "00000009"),)}
    return Draft("5:8", (atomic,), (other, {"extension_headers": ()}))


@maker("frag", "--fragres", family=6, negatable=False, weight=0.1)
def fragment_reserved(random: Random, scene: Scene) -> Draft:
    clear: Changes = {"extension_headers": ((44, "00" + "0000" + "00000007"),)}
    set_bits: Changes = {"extension_headers": ((44, "00" + "0006" + "00000007"),)}
    return Draft("", (clear,), (set_bits, {"extension_headers": ()}))


@maker("dst", "--dst-opts", family=6, negatable=False, weight=0.1)
def destination_options(random: Random, scene: Scene) -> Draft:
    def options(data: str) -> Changes:
        return {"extension_headers": ((60, "00" + data),)}

    return Draft("30:4", (options("1e0400000000"),), (options("1e0300000000"), options("010400000000")))


@maker("ipv6header", "--soft", family=6, negatable=False, weight=0.1)
def soft_header(random: Random, scene: Scene) -> Draft:
    hop: Changes = {"extension_headers": ((0, "00" + "010400000000"), (60, "00" + "010400000000"))}
    return Draft("--header hop-by-hop", (hop,), ({"extension_headers": ()},))


@maker("connlimit", "--connlimit-upto", "--connlimit-above", negatable=False, weight=0.2)
def connlimit(random: Random, scene: Scene) -> Draft:
    # not 0: where the kernel counts no connection at all it drops the packet (xt_connlimit.c)
    return Draft(f"{random.choice((1, 2))} --connlimit-mask {random.choice((0, 24))}", (), ())


@maker("hashlimit", "--hashlimit-upto", "--hashlimit-above", negatable=False, weight=0.2)
def hashlimit(random: Random, scene: Scene) -> Draft:
    name = f"h{random.randrange(1 << 30):x}"
    return Draft(f"1/hour --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name {name}", (), ())


@maker("quota", "--quota", weight=0.2)
def quota(random: Random, scene: Scene) -> Draft:
    return Draft(str(random.choice((0, 100, 1000))), (), ())
