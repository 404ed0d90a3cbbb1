"""A property: whatever the rules, each packet walks as the set that it is in says."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from iptsim.asking import ask
from iptsim.dump import loads
from iptsim.host import load_host
from iptsim.host.model import Host
from iptsim.question.model import Question
from iptsim.sets.fates import fates
from tests.sets.test_fates import some

CAPTURE = Path(__file__).parent.parent.parent / "fixtures" / "captures" / "docker-28.5" / "published"

ADDRESSES = st.sampled_from(
    ["172.17.0.2", "172.17.0.0/16", "192.0.2.10", "198.51.100.0/24", "10.0.0.0/8", "172.18.0.0/15"]
)
PORTS = st.sampled_from(["80", "53", "1024:65535", "8000:8100"])
BANG = st.sampled_from(["", "! "])


def clause(template: str, *values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*values).map(lambda found: template.format(*found))


MATCHES = st.one_of(
    clause("{}-s {}", BANG, ADDRESSES),
    clause("{}-d {}", BANG, ADDRESSES),
    clause("{}-i {}", BANG, st.sampled_from(["eth0", "docker0", "br+", "lo"])),
    clause("-p tcp -m tcp {}--dport {}", BANG, PORTS),
    clause("-p udp -m udp {}--sport {}", BANG, PORTS),
    clause("-p icmp -m icmp --icmp-type {}", st.sampled_from(["8", "any", "13"])),
    clause("-m addrtype {}--dst-type {}", BANG, st.sampled_from(["LOCAL", "UNICAST", "BROADCAST"])),
    clause("-m mark {}--mark {}", BANG, st.sampled_from(["0x1/0x1", "0x3/0xf", "0"])),
    clause(
        "-m conntrack {}--ctstate {}",
        BANG,
        st.sampled_from(["NEW", "ESTABLISHED", "DNAT", "INVALID,UNTRACKED"]),
    ),
    clause("-m conntrack --ctorigdst {}", ADDRESSES),
    st.just(""),
)
MARKS = st.sampled_from(["MARK --set-xmark 0x1/0x1", "MARK --set-xmark 0x2/0xf", "MARK --set-xmark 0x1/0x0"])
FILTER = st.sampled_from(["ACCEPT", "DROP", "REJECT", "RETURN", "ONE", "TWO"])
DNAT = st.sampled_from([
    "DNAT --to-destination 172.17.0.2",
    "DNAT --to-destination 172.17.0.2:8080",
    "DNAT --to-destination 172.18.0.2:80-82",
    "DNAT --to-destination 192.0.2.10:53",
    "REDIRECT --to-ports 8080",
    "NETMAP --to 172.17.0.0/24",
    "RETURN",
    "ACCEPT",
])  # fmt: skip
SNAT = st.sampled_from([
    "MASQUERADE", "SNAT --to-source 192.0.2.77", "SNAT --to-source 192.0.2.10:2000-2100", "ACCEPT",
])  # fmt: skip


def rules(
    chain: str, targets: st.SearchStrategy[str], most: int = 4, conditions: st.SearchStrategy[str] = MATCHES
) -> st.SearchStrategy[list[str]]:
    """Rules of a chain, with at most two matches; a target with ports needs a protocol that has them."""
    matches = st.lists(conditions, max_size=2, unique=True)
    return st.lists(st.tuples(matches, targets).map(lambda made: _rule(chain, *made)), max_size=most)


def _rule(chain: str, matches: list[str], target: str) -> str:
    ported = ":" in target or "ports" in target
    if sum("-p " in one for one in matches) + ported > 1:
        matches = [one for one in matches if "-p " not in one]
    if sum("addrtype" in one or "conntrack" in one or "mark" in one for one in matches) > 1:
        matches = matches[:1]
    kinds = [one.removeprefix("! ")[:2] for one in matches]
    if len(set(kinds)) < len(kinds):
        matches = matches[:1]
    return " ".join(["-A", chain, *filter(None, matches), *(["-p tcp"] if ported else []), "-j", target])


@st.composite
def dumps_(draw: st.DrawFn) -> str:
    policy = draw(st.sampled_from(["ACCEPT", "DROP"]))
    raw = draw(rules("PREROUTING", st.sampled_from(["NOTRACK", "DROP", "ACCEPT"]), 1))
    lines = ["*raw", ":PREROUTING ACCEPT", *raw, "COMMIT", "*mangle", ":PREROUTING ACCEPT", ":FORWARD ACCEPT"]
    lines += draw(rules("PREROUTING", MARKS, 3)) + draw(rules("FORWARD", MARKS, 1))
    lines += ["COMMIT", "*nat", ":PREROUTING ACCEPT", ":OUTPUT ACCEPT", ":POSTROUTING ACCEPT"]
    lines += draw(rules("PREROUTING", DNAT, 3)) + draw(rules("OUTPUT", DNAT, 1))
    lines += [one for one in draw(rules("POSTROUTING", SNAT, 2)) if " -i " not in one]
    lines += [
        "COMMIT",
        "*filter",
        f":INPUT {policy}",
        f":FORWARD {policy}",
        ":OUTPUT ACCEPT",
        ":ONE -",
        ":TWO -",
    ]
    for chain in ("INPUT", "FORWARD"):
        lines += draw(rules(chain, FILTER))
    lines += [one.replace("-j ONE", "-j TWO") for one in draw(rules("ONE", FILTER, 3))]
    lines += [one for one in draw(rules("TWO", FILTER, 2)) if "-j ONE" not in one and "-j TWO" not in one]
    return "\n".join([*(line for line in lines if not ("OUTPUT" in line and " -i " in line)), "COMMIT", ""])


@cache
def captured() -> Host:
    return load_host(CAPTURE)


@settings(max_examples=6, deadline=None)
@given(dump=dumps_(), seed=st.integers(0, 1 << 16))
def test_packets_walk_as_their_set_says(dump: str, seed: int) -> None:
    host = captured()
    host.rulesets[4] = loads(dump)
    chance = Random(seed)
    found = fates(host, senders=[chance.choice(["internet", "web", "host"])])
    for fate in found:
        line, _ = found.classes.one(fate._sender, some(fate.packets, chance).function)
        assert ask(found.simulator, Question(**line)).verdict == fate.verdict, line
