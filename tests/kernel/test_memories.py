"""Rules that look twice at what outlives a packet: a mark, a list of `-m recent`, an ipset.

The second of two equal rules never matches, unless a rule between them changes what both look at. The rules run in a
network namespace of their own, on packets over its loopback interface; the counters are the kernel's.
"""

from __future__ import annotations

import re
import subprocess

import pytest

from iptsim.dump import loads
from iptsim.netfilter.program import Program
from iptsim.sets.chains import Chains
from iptsim.sets.space import Space
from iptsim.sets.traffic import Traffic
from tests.kernel.laboratory import missing

WITHOUT = missing()
LIST = "-m recent --name x --rsource"
IPSET = "-m set --match-set x src"
SETS = "-j SET --add-set x src"
#: The rules of mangle INPUT, what is done before, and whether the kernel's last rule can match.
CASES: dict[str, tuple[list[str], str, bool]] = {
    "mark": (["-m mark --mark 0x1 -j DROP", "-m mark --mark 0x1 -j ACCEPT"], "", False),
    "mark, changed between": (
        [
            "-m mark --mark 0x1 -j DROP",
            "-p tcp -j MARK --set-xmark 0x1/0xffffffff",
            "-m mark --mark 0x1 -j ACCEPT",
        ],
        "",
        True,
    ),
    "recent": ([f"{LIST} --rcheck -j DROP", f"{LIST} --rcheck -j ACCEPT"], "", False),
    "recent, entered before": (
        [f"{LIST} --rcheck -j DROP", f"{LIST} --rcheck -j ACCEPT"],
        "echo +127.0.0.1 > /proc/self/net/xt_recent/x",
        False,
    ),
    "recent, another list changed": (
        [f"{LIST} --rcheck -j DROP", "-m recent --name y --rsource --set", f"{LIST} --rcheck -j ACCEPT"],
        "",
        False,
    ),
    "recent, entered between": (
        [f"{LIST} --rcheck -j DROP", f"-p tcp {LIST} --set", f"{LIST} --rcheck -j ACCEPT"],
        "",
        True,
    ),
    "recent, removed between": (
        [
            "-m recent ! --rcheck --name x --rsource -j DROP",
            f"-p tcp {LIST} --remove",
            "-m recent ! --rcheck --name x --rsource -j ACCEPT",
        ],
        "echo +127.0.0.1 > /proc/self/net/xt_recent/x",
        True,
    ),
    "recent, updated between": (
        [
            f"{LIST} --rcheck --hitcount 2 -j DROP",
            f"{LIST} --update",
            f"{LIST} --rcheck --hitcount 2 -j ACCEPT",
        ],
        "echo +127.0.0.1 > /proc/self/net/xt_recent/x",
        True,
    ),
    "ipset": ([f"{IPSET} -j DROP", f"{IPSET} -j ACCEPT"], "", False),
    "ipset, added between": ([f"{IPSET} -j DROP", f"-p tcp {SETS}", f"{IPSET} -j ACCEPT"], "", True),
}
#: Two datagrams and two requests to connect; who connects gives up at once.
PACKETS = """
for n in 1 2; do
    echo > /dev/udp/127.0.0.1/9
    timeout 0.2 bash -c 'exec 3<>/dev/tcp/127.0.0.1/9'
done 2>/dev/null
"""


@pytest.mark.parametrize("name", CASES)
def test_what_iptsim_says(name: str) -> None:
    rules, _, matches = CASES[name]
    text = "".join(f"-A INPUT {rule}\n" for rule in rules)
    ruleset = loads(f"*mangle\n:INPUT ACCEPT [0:0]\n{text}COMMIT\n")
    traffic = Traffic(Chains(Space(4), Program(ruleset)), "mangle")
    dead = [one.rule.position for one in traffic.dead()]
    assert dead == ([] if matches else [len(rules)])


@pytest.mark.kernel
@pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)
@pytest.mark.parametrize("name", CASES)
def test_what_the_kernel_does(name: str) -> None:
    rules, before, matches = CASES[name]
    script = [
        "set -e",
        "ip link set lo up",
        *(["ipset create x hash:ip"] if any("x src" in rule for rule in rules) else []),
        *(f"iptables -t mangle -A INPUT {rule}" for rule in rules),
        before,
        "set +e",
        PACKETS,
        "iptables -t mangle -nvxL INPUT",
    ]
    run = subprocess.run(
        ["unshare", "-n", "bash", "-c", "\n".join(script)], capture_output=True, text=True, check=True
    )
    counts = [int(found) for found in re.findall(r"^ +(\d+) +\d+ ", run.stdout, re.MULTILINE)]
    assert len(counts) == len(rules), run.stdout
    assert sum(counts) > 0 or not matches
    assert (counts[-1] > 0) == matches, run.stdout
