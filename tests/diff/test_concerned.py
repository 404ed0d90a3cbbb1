"""What a change of rules can concern: following these packets alone finds the same differences as following all."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from iptsim.diff import comparing
from iptsim.diff.comparing import Comparison, compare
from iptsim.diff.concerned import concerned
from iptsim.diff.texts import text_difference
from iptsim.host import load_host
from iptsim.host.model import Host
from iptsim.sets.packets import PacketSet
from iptsim.sets.space import Space
from tests.sets.hunting import TABLES, Maker, Words

ADDRESSES = ["192.0.2.10", "10.1.0.7", "10.2.0.9", "198.51.100.7"]
NETWORKS = ["10.1.0.0/16", "10.0.0.0/8", "198.51.100.0/24", "192.0.2.0/24"]
KINDS = ["src", "dst", "in", "out", "port", "port", "ports", "icmp", "state", "mark", "limit"]
#: As most rulesets begin: then no changed rule meets replies, which are not followed.
REPLIES = "-A {} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


def dumps_of(seed: int) -> tuple[str, str]:
    """A random table filter, and the same with a rule or two of another kind."""
    chance = Random(f"concerned {seed}")
    maker = Maker(chance, Words(4, ADDRESSES, NETWORKS, ["eth0", "eth1"]))
    lines = ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]", ":own - [0:0]"]
    for chain in ("INPUT", "FORWARD", "OUTPUT", "own"):
        lines += [REPLIES.format(chain)] if seed % 2 and chain != "own" else []
        below = ["own"] if chain == "FORWARD" else []
        hook = "FORWARD" if chain == "own" else chain
        lines += [
            maker.rule("filter", chain, hook, below, chance.sample(KINDS, 2))
            for _ in range(chance.randint(2, 6))
        ]
    # both track connections
    lines.append("-A INPUT -m conntrack --ctstate INVALID -j DROP")
    changed = list(lines)
    for _ in range(chance.choice([1, 1, 2])):
        place = chance.choice([number for number, line in enumerate(changed[:-1]) if line.startswith("-A")])
        chain = changed[place].split()[1]
        hook = "FORWARD" if chain == "own" else chain
        other = maker.rule("filter", chain, hook, [], chance.sample(KINDS, 2))
        changed[place : place + chance.choice([0, 1])] = [other]
    return "\n".join([*lines, "COMMIT", ""]), "\n".join([*changed, "COMMIT", ""])


#: Targets whose effect on addresses is not known in advance.
_NOT_TOLD = re.compile("NETMAP|UNHEARDOF")


def dumps_with_nat(seed: int) -> tuple[str, str]:
    """Random tables nat and filter, and the same with another rule or two in one of them."""
    chance = Random(f"translated {seed}")
    maker = Maker(chance, Words(4, ADDRESSES, NETWORKS, ["eth0", "eth1"]))
    lines, homes = [], {"mine": "PREROUTING", "own": "FORWARD"}
    for table, hooks, own in (("nat", TABLES["nat"], "mine"), ("filter", TABLES["filter"], "own")):
        lines += [f"*{table}", *(f":{hook} ACCEPT [0:0]" for hook in hooks), f":{own} - [0:0]"]
        for chain in (*hooks, own):
            lines += [REPLIES.format(chain)] if seed % 2 and table == "filter" and chain != own else []
            below = [own] if chain == homes[own] else []
            for _ in range(chance.randint(1, 4)):
                kinds = chance.sample(KINDS, 2)
                lines.append(maker.rule(table, chain, homes.get(chain, chain), below, kinds))
        if table == "filter":
            lines.append("-A INPUT -m conntrack --ctstate INVALID -j DROP")
        lines.append("COMMIT")
    lines = [line for line in lines if not _NOT_TOLD.search(line)]
    changed = list(lines)
    nat = chance.random() < 0.6
    for _ in range(chance.choice([1, 1, 2])):
        end = changed.index("COMMIT")
        rules = [
            number
            for number, line in enumerate(changed)
            if line.startswith("-A") and (number < end) is nat and "INVALID" not in line
        ]
        place = chance.choice(rules)
        chain = changed[place].split()[1]
        hook, table = homes.get(chain, chain), "nat" if nat else "filter"
        other = maker.rule(table, chain, hook, [], chance.sample(KINDS, 2))
        if not _NOT_TOLD.search(other):
            changed[place : place + chance.choice([0, 1])] = [other]
    return "\n".join([*lines, ""]), "\n".join([*changed, ""])


def router(folder: Path, name: str, dump: str) -> Host:
    """A host with two interfaces and no containers."""
    capture = folder / name
    capture.mkdir()
    (capture / "iptables-save.txt").write_text(dump)
    (capture / "ip-addr.json").write_text(
        '[{"ifindex":2,"ifname":"eth0","flags":["UP"],"addr_info":[{"family":"inet","local":"192.0.2.10",'
        '"prefixlen":24}]},{"ifindex":3,"ifname":"eth1","flags":["UP"],"addr_info":[{"family":"inet",'
        '"local":"10.0.0.1","prefixlen":8}]}]'
    )
    (capture / "ip-route.json").write_text('[{"dst":"default","gateway":"192.0.2.1","dev":"eth0"}]')
    (capture / "sysctl.txt").write_text("net.ipv4.ip_forward = 1\n")
    return load_host(capture)


def told(comparison: Comparison) -> dict[tuple[object, ...], PacketSet]:
    """What differs, apart from the witnesses, and from how packets of one fate are divided."""
    found: dict[tuple[object, ...], PacketSet] = {}
    for one in comparison.differences:
        key = (one.before.sender, one.before.iif, one.before.verdict, one.after.verdict)
        found[key] = found[key] | one.packets if key in found else one.packets
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("made", [dumps_with_nat, dumps_of])
def test_the_differences_are_those_among_all_packets(
    made: Callable[[int], tuple[str, str]], seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = (router(tmp_path, name, dump) for name, dump in zip("ab", made(seed), strict=True))
    space, texts = Space(4), text_difference(before, after)
    monkeypatch.setattr(comparing, "Space", lambda family: space)
    few = compare(before, after)
    assert concerned(texts, before, after, space) is not None
    monkeypatch.setattr(comparing, "concerned", lambda *rest: None)
    every = compare(before, after)
    assert told(few) == told(every)
    assert [one.text for one in few.without_effect] == [one.text for one in every.without_effect]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("-A FORWARD -s 10.1.0.7 -j ACCEPT", "-A FORWARD -s 10.1.0.8 -j DNAT --to-destination 10.2.0.9"),
        ("-A FORWARD -j ACCEPT", "-A FORWARD -m recent --set --name seen -j ACCEPT"),
        (":own - [0:0]\n-A FORWARD -j own\n-A own -j DROP", "-A FORWARD -j DROP"),
        (":FORWARD DROP [0:0]", ":FORWARD ACCEPT [0:0]"),
    ],
)
def test_what_may_concern_other_packets_is_compared_for_all(before: str, after: str, tmp_path: Path) -> None:
    def dump(rules: str) -> str:
        policies = "" if "FORWARD DROP" in rules or "FORWARD ACCEPT" in rules else ":FORWARD DROP [0:0]\n"
        table = "nat" if "DNAT" in rules else "filter"
        head = f"*nat\n:PREROUTING ACCEPT [0:0]\n{rules.replace('FORWARD', 'PREROUTING')}\nCOMMIT\n"
        return (
            f"{head if table == 'nat' else ''}*filter\n{policies}{'' if table == 'nat' else rules}\nCOMMIT\n"
        )

    one, other = (router(tmp_path, name, dump(rules)) for name, rules in (("a", before), ("b", after)))
    assert concerned(text_difference(one, other), one, other, Space(4)) is None


@pytest.mark.parametrize(
    ("first", "met"),
    [
        ("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", False),
        ("-A FORWARD -m conntrack --ctstate INVALID -j DROP", True),
        # the replies of what is not tracked may look new
        ("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n*raw\n"
         "-A PREROUTING -p tcp -j NOTRACK", True),
    ],
)  # fmt: skip
def test_replies_are_concerned_unless_an_earlier_rule_accepts_them(
    first: str, met: bool, tmp_path: Path
) -> None:
    rules, *more = first.split("\nCOMMIT\n")
    tables = ["*filter", ":FORWARD DROP [0:0]", rules, "-A FORWARD -d 10.1.0.7 -p tcp --dport {} -j ACCEPT"]
    dump = "\n".join([*tables, "COMMIT", *(f"{one}\nCOMMIT" for one in more), ""])
    before, after = (router(tmp_path, port, dump.format(port)) for port in ("80", "81"))
    space = Space(4)
    among = concerned(text_difference(before, after), before, after, space)
    assert among is not None
    request = {"src": 0x0A020009, "dst": 0x0A010007, "proto": 6, "dport": 81}
    reply = {"src": 0x0A010007, "dst": 0x0A020009, "proto": 6, "sport": 81}
    assert among.asked.meets(space.point(request))
    # as a packet that is sent; as the reply it is followed in any case
    assert among.asked.meets(space.point(reply)) is met
    assert among.every.meets(space.point({**reply, "ct.state": "ESTABLISHED"}))


@pytest.mark.parametrize(("changed", "many"), [(30, False), (31, True)])
def test_where_many_rules_changed_all_packets_are_followed(
    changed: int, many: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dump(port: int) -> str:
        rules = (
            f"-A FORWARD -s 10.1.{number % 7}.0/24 -d 10.2.0.{number} -p tcp --dport {port if number < changed else 22}"
            " -j ACCEPT"
            for number in range(40)
        )
        return "\n".join(["*filter", ":FORWARD DROP [0:0]", *rules, "COMMIT\n"])

    before, after = (router(tmp_path, str(port), dump(port)) for port in (80, 81))
    space, texts = Space(4), text_difference(before, after)
    # each rule that changed is one of the first host and one of the second
    assert (concerned(texts, before, after, space) is None) is many
    monkeypatch.setattr(comparing, "Space", lambda family: space)
    found = told(compare(before, after))
    monkeypatch.setattr("iptsim.diff.concerned._FEW", 0 if not many else 100)
    assert found
    assert told(compare(before, after)) == found
