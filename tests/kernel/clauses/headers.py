"""Clauses on the headers and contents of a packet."""

from __future__ import annotations

from random import Random

from iptsim.protocols import TCP_FLAGS
from tests.kernel.clauses.base import Draft, each, edges, maker, span
from tests.kernel.scenes import Scene

_CLASSIC = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")


@maker("", "-p", weight=2)
def protocol(random: Random, scene: Scene) -> Draft:
    names = {"tcp": 6, "udp": 17, "icmp": 1, "47": 47, "sctp": 132, "esp": 50, "200": 200}
    if scene.family == 6:
        names["ipv6-icmp"] = 58
        del names["icmp"]
    name = random.choice(list(names))
    others = [number for number in names.values() if number != names[name]]
    return Draft(name, each("proto", names[name]), each("proto", *others))


@maker("", "-f", family=4, weight=0.3)
def fragment(random: Random, scene: Scene) -> Draft:
    return Draft("", each("fragment", "middle", "last"), each("fragment", "first", None))


def _port_range(random: Random, field: str) -> Draft:
    first, last = span(random, 0, 65535)
    words = str(first) if first == last else f"{first}:{last}"
    if first == 0 and random.random() < 0.5:
        words = f":{last}"
    elif last == 65535 and random.random() < 0.5:
        words = f"{first}:"
    return Draft(words, *edges(field, first, last, 0, 65535))


@maker("tcp", "--dport", proto=6, weight=3)
@maker("udp", "--dport", proto=17, weight=2)
@maker("sctp", "--dport", proto=132, body="00000000", payload="01000014" + "11" * 16, weight=0.3)
@maker("dccp", "--dport", proto=33, body="04000000" + "00000001" + "00000000", weight=0.3)
def destination_port(random: Random, scene: Scene) -> Draft:
    return _port_range(random, "dport")


@maker("tcp", "--sport", proto=6)
@maker("udp", "--sport", proto=17)
@maker("sctp", "--sport", proto=132, body="00000000", payload="01000014" + "11" * 16, weight=0.3)
@maker("dccp", "--sport", proto=33, body="04000000" + "00000001" + "00000000", weight=0.3)
def source_port(random: Random, scene: Scene) -> Draft:
    return _port_range(random, "sport")


@maker("tcp", "--tcp-flags", proto=6, weight=1.5)
def tcp_flags(random: Random, scene: Scene) -> Draft:
    mask = random.sample(_CLASSIC, random.randint(1, 6))
    wanted = [name for name in mask if random.random() < 0.5]
    mask_bits = sum(TCP_FLAGS[name] for name in mask)
    bits = sum(TCP_FLAGS[name] for name in wanted)
    flipped = TCP_FLAGS[random.choice(mask)]
    extra = 0xC0 if random.random() < 0.3 else 0
    unmasked = random.choice((0, 0x3F & ~mask_bits))
    words = f"{','.join(mask)} {','.join(wanted) or 'NONE'}"
    return Draft(words, each("tcp_flags", bits | extra, bits | unmasked), each("tcp_flags", bits ^ flipped))


@maker("tcp", "--syn", proto=6)
def syn(random: Random, scene: Scene) -> Draft:
    return Draft("", each("tcp_flags", 2, 0x0A, 0xC2, 0x22), each("tcp_flags", 0x12, 0x10, 0x04, 0x06, 0x03))


@maker("tcp", "--tcp-option", proto=6)
def tcp_option(random: Random, scene: Scene) -> Draft:
    number = random.choice((2, 3, 4, 8, 30))
    data = {2: "05b4", 3: "07", 4: "", 8: "0000000100000000", 30: "0102"}
    other = random.choice([kind for kind in data if kind != number])
    return Draft(
        str(number),
        (
            {"tcp_options": {number: data[number]}},
            {"tcp_options": {1: "", other: data[other], number: data[number]}},
        ),
        ({"tcp_options": {}}, {"tcp_options": {other: data[other]}}),
    )


@maker("tcpmss", "--mss", proto=6, weight=0.5)
def tcpmss(random: Random, scene: Scene) -> Draft:
    first, last = span(random, 0, 65535)
    inside, outside = edges("mss", first, last, 0, 65535)

    def options(changes: dict[str, int]) -> dict[str, object]:
        return {"tcp_options": {2: f"{changes['mss']:04x}"}, "tcp_flags": 2}

    words = str(first) if first == last else f"{first}:{last}"
    return Draft(
        words,
        tuple(map(options, inside)),
        (*map(options, outside), {"tcp_options": {}}, {"tcp_options": {3: "07"}}),
    )


@maker("icmp", "--icmp-type", proto=1, family=4, weight=2)
def icmp_type(random: Random, scene: Scene) -> Draft:
    if random.random() < 0.1:
        return Draft(random.choice(("any", "255")), each("icmp_type", 0, 8, 13), ())
    kind = random.choice((0, 3, 5, 8, 11, 13, 17, 30))
    if random.random() < 0.5:
        name = {0: "echo-reply", 3: "destination-unreachable", 8: "echo-request", 11: "time-exceeded"}
        words = name.get(kind, str(kind)) if random.random() < 0.5 else str(kind)
        inside = ({"icmp_type": kind, "icmp_code": 0}, {"icmp_type": kind, "icmp_code": 3})
        return Draft(words, inside, each("icmp_type", kind + 1, 8 if kind != 8 else 0))
    code = random.choice((0, 1, 3))
    return Draft(
        f"{kind}/{code}",
        ({"icmp_type": kind, "icmp_code": code},),
        ({"icmp_type": kind, "icmp_code": code + 1}, {"icmp_type": kind + 1, "icmp_code": code}),
    )


@maker("multiport", "--dports", "--sports", "--ports", proto=6, weight=0.7)
@maker("multiport", "--dports", "--sports", "--ports", proto=17, weight=0.5)
@maker(
    "multiport",
    "--dports",
    "--sports",
    "--ports",
    proto=132,
    body="00000000",
    payload="01000014" + "11" * 16,
    weight=0.1,
)
def multiport(random: Random, scene: Scene) -> Draft:
    words, inside, outside = [], [], []
    slots = random.randint(1, 15)
    while slots > 0:
        first, last = span(random, 0, 65535)
        if slots < 2 or first == last:
            last = first
        words.append(str(first) if first == last else f"{first}:{last}")
        slots -= 1 if first == last else 2
        inside += [{"dport": first, "sport": 1}, {"sport": last, "dport": 1}, {"dport": last, "sport": last}]
        outside += [
            {"dport": max(first - 1, 0), "sport": max(first - 1, 0)},
            {"dport": min(last + 1, 65535), "sport": 1},
        ]
    return Draft(",".join(words), tuple(inside), tuple(outside))


@maker("length", "--length")
def length(random: Random, scene: Scene) -> Draft:
    low = 28 if scene.family == 4 else 48
    first, last = span(random, 0, 400)
    first, last = first + low, last + low
    words = str(first) if first == last else f"{first}:{last}"
    return Draft(words, *edges("length", first, last, low + 32, 1400))


@maker("ttl", "--ttl-eq", family=4)
@maker("hl", "--hl-eq", family=6)
def ttl_equal(random: Random, scene: Scene) -> Draft:
    value = random.choice((1, 2, 63, 64, 255))
    return Draft(str(value), each("ttl", value, min(value + 1, 255)), each("ttl", max(value - 1, 1), 100))


@maker("ttl", "--ttl-gt", "--ttl-lt", negatable=False, family=4)
@maker("hl", "--hl-gt", "--hl-lt", negatable=False, family=6)
def ttl_compare(random: Random, scene: Scene) -> Draft:
    value = random.choice((1, 2, 63, 64, 200))
    around = each("ttl", max(value - 1, 1), value, value + 1, value + 2)
    return Draft(str(value), around, around)


@maker("tos", "--tos")
def tos(random: Random, scene: Scene) -> Draft:
    if random.random() < 0.3:
        name, value = random.choice(
            (("Minimize-Delay", 16), ("Maximize-Throughput", 8), ("Normal-Service", 0))
        )
        return Draft(name, each("tos", value, value | 0x40), each("tos", value | 1, value ^ 0x20))
    value, mask = random.randrange(256), random.choice((0xFF, 0x3F, 0x0F))
    value &= mask
    words = f"0x{value:02x}/0x{mask:02x}" if random.random() < 0.6 else f"0x{value:02x}"
    return Draft(
        words, each("tos", value, value | (0xFF & ~mask)), each("tos", value ^ 1, value ^ (mask & 4))
    )


@maker("dscp", "--dscp")
def dscp(random: Random, scene: Scene) -> Draft:
    value = random.randrange(64)
    return Draft(
        f"0x{value:02x}", each("tos", value << 2, value << 2 | 3), each("tos", (value ^ 1) << 2, value)
    )


@maker("dscp", "--dscp-class", weight=0.5)
def dscp_class(random: Random, scene: Scene) -> Draft:
    name, value = random.choice((("AF11", 10), ("EF", 46), ("CS1", 8), ("BE", 0), ("AF43", 38)))
    return Draft(name, each("tos", value << 2, value << 2 | 1), each("tos", (value ^ 1) << 2))


@maker("ecn", "--ecn-ip-ect", weight=0.5)
def ecn_ip(random: Random, scene: Scene) -> Draft:
    value = random.randrange(4)
    return Draft(str(value), each("tos", value, value | 0x28), each("tos", value ^ 1, value ^ 2))


@maker("ecn", "--ecn-tcp-cwr", proto=6, weight=0.5)
def ecn_cwr(random: Random, scene: Scene) -> Draft:
    return Draft("", each("tcp_flags", 0x82, 0xC2), each("tcp_flags", 0x42, 2))


@maker("ecn", "--ecn-tcp-ece", proto=6, weight=0.5)
def ecn_ece(random: Random, scene: Scene) -> Draft:
    return Draft("", each("tcp_flags", 0x42, 0xC2), each("tcp_flags", 0x82, 2))


@maker("sctp", "--chunk-types", proto=132, weight=0.3)
def chunk_types(random: Random, scene: Scene) -> Draft:
    numbers = {"DATA": 0, "INIT": 1, "INIT_ACK": 2, "ABORT": 6, "COOKIE_ECHO": 10}
    names = random.sample(list(numbers), random.randint(1, 2))
    how = random.choice(("all", "any", "only"))

    def chunks(*wanted: str) -> dict[str, str]:
        # only an INIT has no verification tag
        return {
            "body": "00000000" if wanted == ("INIT",) else "00000001",
            "payload": "".join(f"{numbers[name]:02x}000014" + "11" * 16 for name in wanted),
        }

    other = next(name for name in numbers if name not in names)
    return Draft(
        f"{how} {','.join(names)}",
        (chunks(*names), chunks(*names, other)),
        (chunks(other), chunks(names[0], other), chunks(names[0])),
    )


@maker("dccp", "--dccp-types", proto=33, weight=0.3)
def dccp_types(random: Random, scene: Scene) -> Draft:
    numbers = {"REQUEST": 0, "RESPONSE": 1, "DATA": 2, "ACK": 3, "RESET": 7}
    names = random.sample(list(numbers), random.randint(1, 2))

    def packet(name: str) -> dict[str, str]:
        # data offset 7 words; type, extended sequence numbers; sequence number; room for the rest
        return {"body": "07000000" + f"{numbers[name] << 1 | 1:02x}000000" + "00000001", "payload": "00" * 12}

    others = [name for name in numbers if name not in names]
    return Draft(",".join(names), tuple(map(packet, names)), tuple(map(packet, others)))


@maker("esp", "--espspi", proto=50, weight=0.3)
def esp_spi(random: Random, scene: Scene) -> Draft:
    first, last = span(random, 0, 0xFFFFFFFF)

    def spi(value: int) -> dict[str, str]:
        return {"body": f"{value & 0xFFFFFFFF:08x}00000001"}

    words = str(first) if first == last else f"{first}:{last}"
    outside = [value for value in (first - 1, last + 1) if 0 <= value <= 0xFFFFFFFF]
    return Draft(words, (spi(first), spi(last)), tuple(map(spi, outside)))


@maker("ipcomp", "--ipcompspi", proto=108, weight=0.3)
def ipcomp_cpi(random: Random, scene: Scene) -> Draft:
    first, last = span(random, 0, 0xFFFF)

    def cpi(value: int) -> dict[str, str]:
        return {"body": f"0600{value:04x}"}

    words = str(first) if first == last else f"{first}:{last}"
    outside = [value for value in (first - 1, last + 1) if 0 <= value <= 0xFFFF]
    return Draft(words, (cpi(first), cpi(last)), tuple(map(cpi, outside)))


@maker("ah", "--ahspi", proto=51, family=4, weight=0.3)
def ah_spi(random: Random, scene: Scene) -> Draft:
    first, last = span(random, 0, 0xFFFFFFFF)

    def spi(value: int) -> dict[str, str]:
        return {"body": f"3b040000{value & 0xFFFFFFFF:08x}00000001" + "00" * 12}

    words = str(first) if first == last else f"{first}:{last}"
    outside = [value for value in (first - 1, last + 1) if 0 <= value <= 0xFFFFFFFF]
    return Draft(words, (spi(first), spi(last)), tuple(map(spi, outside)))


@maker("ipcomp", "--ipcompspi", proto=108, weight=0.2)
def ipcomp_index(random: Random, scene: Scene) -> Draft:
    first, last = span(random, 0, 0xFFFF)

    def index(value: int) -> dict[str, str]:
        return {"body": f"3b00{value:04x}"}

    words = str(first) if first == last else f"{first}:{last}"
    outside = [value for value in (first - 1, last + 1) if 0 <= value <= 0xFFFF]
    return Draft(words, (index(first), index(last)), tuple(map(index, outside)))


@maker("string", "--string", "--hex-string", proto=17, weight=0.5)
def string(random: Random, scene: Scene) -> Draft:
    pattern = random.choice((b"abc", b"Host", b"xyzzy"))
    start = 28 if scene.family == 4 else 48
    place = random.choice((0, 1, 7))
    limits = random.choice(
        (
            "",
            f" --from {start + place}",
            f" --to {start + place + len(pattern)}",
            f" --to {start + place + len(pattern) - 1}",
            f" --from {start + place + 1}",
        )
    )
    icase = random.random() < 0.3
    inside = [{"payload": (b"." * place + pattern + b"....").hex()}]
    if icase:
        inside.append({"payload": (b"." * place + pattern.upper() + b"....").hex()})
    outside = ({"payload": (b"." * 20).hex()}, {"payload": (b"." * place + pattern[:-1] + b".").hex()})
    words = f"{pattern.decode()} --algo {random.choice(('bm', 'kmp'))}{limits}{' --icase' if icase else ''}"
    return Draft(words, tuple(inside), outside)


@maker("u32", "--u32", family=4, weight=0.5)
def u32(random: Random, scene: Scene) -> Draft:
    kind = random.randrange(3)
    if kind == 0:
        number = random.choice((1, 6, 17))
        return Draft(
            f'"6&0xff=0x{number:x}"', each("proto", number), each("proto", 47, 6 if number != 6 else 17)
        )
    if kind == 1:
        first, last = 40, random.choice((60, 80))
        return Draft(
            f'"0&0xffff=0x{first:x}:0x{last:x}"', each("length", 60, last), each("length", last + 1, 500)
        )
    port = random.randint(1, 65535)
    return Draft(
        f'"0>>22&0x3c@0&0xffff=0x{port:x}"',
        ({"proto": 17, "dport": port}, {"proto": 6, "dport": port}),
        ({"proto": 17, "dport": port - 1}, {"proto": 47, "body": "", "payload": ""}),
    )


@maker("bpf", "--bytecode", family=4, negatable=False, weight=0.3)
def bpf(random: Random, scene: Scene) -> Draft:
    number = random.choice((1, 6, 17))
    return Draft(
        f'"4,48 0 0 9,21 0 1 {number},6 0 0 1,6 0 0 0"',
        each("proto", number),
        each("proto", *{1, 6, 17, 47} - {number}),
    )
