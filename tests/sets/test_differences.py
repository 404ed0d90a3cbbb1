"""The packets that two hosts treat differently: each side is what the walk of a packet says of its own host."""

from __future__ import annotations

from pathlib import Path

from iptsim.dump import dumps, loads
from iptsim.host import load_host
from iptsim.host.model import Host
from iptsim.sets.differences import Difference, differences
from iptsim.sets.fates import fates
from iptsim.sets.space import Space

CAPTURES = Path(__file__).parent.parent.parent / "fixtures" / "captures"


def differing(before: Host, after: Host) -> list[Difference]:
    space = Space(4)
    return differences(fates(before, space=space), fates(after, space=space))


def with_rules(capture: str, old: str, new: str) -> Host:
    host = load_host(CAPTURES / capture)
    text = dumps(host.rulesets[4])
    assert old in text
    host.rulesets[4] = loads(text.replace(old, new, 1))
    return host


def test_icc_off_cuts_the_containers_of_a_bridge_off_from_each_other_and_nothing_else() -> None:
    found = differing(*(load_host(CAPTURES / "docker-28.5" / name) for name in ("icc-on", "icc-off")))
    between = {(one.before.sender, one.before.verdict, one.after.verdict) for one in found}
    assert between == {(sender, "ACCEPT", "DROP") for sender in ("client", "web")}
    assert all(one.before.confirmed and one.after.confirmed for one in found)


def test_counters_and_comments_make_no_difference() -> None:
    capture = "docker-28.5/published"
    same = with_rules(
        capture, "-A FORWARD -j DOCKER-USER", "-A FORWARD -m comment --comment first -j DOCKER-USER"
    )
    assert differing(load_host(CAPTURES / capture), same) == []


def test_two_rules_for_different_packets_may_change_places() -> None:
    capture = "docker-28.5/published"
    one = "[0:0] -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT\n"
    other = "[0:0] -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p udp -m udp --dport 53 -j ACCEPT\n"
    assert differing(load_host(CAPTURES / capture), with_rules(capture, one + other, other + one)) == []


def test_a_network_that_is_blocked_gets_no_replies_either() -> None:
    capture = "docker-28.5/published"
    rule = "[0:0] -A DOCKER-USER -s 198.51.100.0/24 -i eth0 -j DROP\n"
    first = "[0:0] -A FORWARD -j DOCKER-USER\n"
    found = differing(load_host(CAPTURES / capture), with_rules(capture, first, rule + first))
    assert {(one.before.sender, one.before.verdict, one.after.verdict) for one in found} == {
        (sender, "ACCEPT", "DROP") for sender in ("internet", "client", "web")
    }
    for one in found:
        network = "src" if one.before.iif == "eth0" else "dst"
        assert one.packets.values(network) == ((0xC6336400, 0xC63364FF),)
        assert one.before.confirmed
        assert one.after.confirmed
        assert one.before.reply == "ACCEPT"
        assert one.after.reply == (None if network == "src" else "DROP")
