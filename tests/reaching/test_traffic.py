"""Protocols and ports in few words."""

from __future__ import annotations

import pytest

from iptsim.reaching.traffic import Traffic
from iptsim.sets.packets import PacketSet
from iptsim.sets.space import Space

SPACE = Space(4, "python")


def of(proto: int, *ports: tuple[int, int]) -> PacketSet:
    found = SPACE.where("proto", ((proto, proto),))
    return found & SPACE.where("dport", ports) if ports else found


EVERY = SPACE.everything
TCP, UDP, ICMP = 6, 17, 1
#: What `--dport 22` asks about.
PORT_22 = of(TCP, (22, 22)) | of(UDP, (22, 22)) | of(33, (22, 22)) | of(132, (22, 22)) | of(136, (22, 22))


@pytest.mark.parametrize(
    ("packets", "asked", "told"),
    [
        (EVERY, EVERY, "all ports"),
        (of(TCP, (22, 22), (80, 81)), EVERY, "tcp/22,80-81"),
        (of(TCP, (22, 22)) | of(UDP, (53, 53)) | of(ICMP), EVERY, "tcp/22, udp/53, icmp"),
        (EVERY - of(TCP, (25, 25)), EVERY, "all but tcp/25"),
        (EVERY - of(TCP, (25, 25)) - of(ICMP), EVERY, "all but tcp/25, icmp"),
        (of(TCP), EVERY, "tcp"),
        (of(TCP) | of(UDP), EVERY, "tcp, udp"),
        (of(47), EVERY, "gre"),
        # of the traffic in question
        (of(UDP, (22, 22)) | of(132, (22, 22)), PORT_22, "udp/22, sctp/22"),
        (PORT_22 - of(TCP), PORT_22, "udp/22, other protocols"),
        (of(TCP, (80, 80)), of(TCP, (80, 80)), "tcp/80"),
        (of(TCP, (0, 79), (81, 65535)), of(TCP), "tcp (not 80)"),
        (of(TCP, (1025, 65535)), of(TCP), "tcp/1025-65535"),
        (of(UDP, (137, 138), (1025, 65535)), of(UDP), "udp/137-138,1025-65535"),
    ],
)
def test_in_words(packets: PacketSet, asked: PacketSet, told: str) -> None:
    assert str(Traffic.of(packets).says(Traffic.of(asked))) == told


def test_ports_do_not_depend_on_other_fields() -> None:
    packets = of(TCP, (80, 80)) & SPACE.where("src", ((1, 9),)) | of(TCP, (81, 81)) & SPACE.where(
        "src", ((5, 99),)
    )
    assert Traffic.of(packets).ports == {TCP: ((80, 81),)}
