"""Matches that remember packets, or draw lots, in the forms in which the capture or the question decides them.

Each case is one rule and packets one after the other, made so that the kernel's memory is known at each of them.
`python -m tests.kernel.extension_cases` runs them as well, and counts them in `docs/kernel-verified.json`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.kernel.asking import Iptsim
from tests.kernel.compare import differences
from tests.kernel.description import Probe
from tests.kernel.laboratory import Laboratory
from tests.kernel.scenes import make_scene

#: The chain and table of the rule; forwarded packets pass it once.
_TABLE, _HOOK = "mangle", "FORWARD"
SCENES = ("router4", "router6")
#: The list that rules of `-m recent` look at.
LIST = "seen"


@dataclass(frozen=True)
class Memory:
    """A rule, and what it says of one packet after the other.

    Attributes:
        words: its options; `{net}` represents the prefix length, `{mask}` for the mask, of the senders' network.
        expected: "y", "n" or, where it is chance, "?" for each packet.
        packets: for each packet what differs from the usual one; "a" and "b" are two senders in one network.
        keeps: connections stay open from packet to packet; else conntrack forgets them.
        listed: what the list of `-m recent` holds before: "a", "net" (the senders' network), "to" (the receiver).
        assumes: the question says how the match goes; else the capture and facts decide it.

    """

    module: str
    words: str
    expected: str
    packets: tuple[Mapping[str, Any], ...] = ()
    keeps: bool = False
    listed: str = ""
    assumes: bool = True

    @property
    def text(self) -> str:
        """What the cases are called."""
        return f"{self.module} {self.words}"


def _from(letters: str) -> tuple[Mapping[str, Any], ...]:
    return tuple({"sender": letter} for letter in letters)


def _ports(field: str, *numbers: int) -> tuple[Mapping[str, Any], ...]:
    return tuple({field: number} for number in numbers)


def _connections(letters: str) -> tuple[Mapping[str, Any], ...]:
    return tuple({"sender": letter, "sport": 40000 + number} for number, letter in enumerate(letters))


def _hashlimit(words: str) -> str:
    return f"{words} --hashlimit-burst 2 --hashlimit-name table"


_UPTO, _ABOVE = "--hashlimit-upto 1/hour", "--hashlimit-above 1/hour"
_TABLE_OPTIONS = (
    "--hashlimit-htable-size 16 --hashlimit-htable-max 64 "
    "--hashlimit-htable-gcinterval 60000 --hashlimit-htable-expire 600000"
)
CASES = (
    Memory("limit", "--limit 1/hour --limit-burst 2", "yynn"),
    Memory("limit", "--limit 1/hour", "yyyyyn"),
    Memory("hashlimit", _hashlimit(f"{_UPTO} --hashlimit-mode srcip"), "yyynyn", _from("aababb")),
    Memory("hashlimit", _hashlimit(f"{_ABOVE} --hashlimit-mode srcip"), "nnnyny", _from("aababb")),
    Memory("hashlimit", _hashlimit(_UPTO), "yyn", _from("aba")),
    Memory(
        "hashlimit",
        _hashlimit(f"{_UPTO} --hashlimit-mode srcip --hashlimit-srcmask {{net}}"),
        "yyn",
        _from("aba"),
    ),
    Memory(
        "hashlimit",
        _hashlimit(f"{_UPTO} --hashlimit-mode dstip --hashlimit-dstmask {{net}}"),
        "yyn",
        _from("aba"),
    ),
    Memory(
        "hashlimit",
        _hashlimit(f"{_UPTO} --hashlimit-mode dstport"),
        "yyny",
        _ports("dport", 80, 80, 80, 81),
    ),
    Memory(
        "hashlimit",
        _hashlimit(f"{_UPTO} --hashlimit-mode srcip,srcport"),
        "yyny",
        _ports("sport", 500, 500, 500, 501),
    ),
    Memory(
        "hashlimit",
        _hashlimit(f"{_UPTO} --hashlimit-mode srcip {_TABLE_OPTIONS}"),
        "yyny",
        _from("aaab"),
    ),
    Memory("quota", "--quota 0", "nn", assumes=False),
    Memory("quota", "! --quota 0", "yy", assumes=False),
    Memory("quota", "--quota 100", "ynn"),
    Memory("quota", "! --quota 100", "nyy"),
    Memory("quota", "--quota 1000000", "yyyy"),
    Memory("quota", "! --quota 1000000", "nnnn"),
    Memory("connlimit", "--connlimit-above 0", "yy", _connections("aa"), keeps=True, assumes=False),
    Memory("connlimit", "--connlimit-upto 0", "nn", _connections("aa"), keeps=True, assumes=False),
    Memory("connlimit", "--connlimit-above 2", "nnnyny", _connections("aababb"), keeps=True),
    Memory("connlimit", "--connlimit-upto 2", "yyyn", _connections("aaba"), keeps=True),
    Memory("connlimit", "--connlimit-upto 2 --connlimit-saddr", "yyyn", _connections("aaba"), keeps=True),
    Memory("connlimit", "--connlimit-above 1 --connlimit-mask {net}", "nyy", _connections("aba"), keeps=True),
    Memory("connlimit", "--connlimit-above 1 --connlimit-daddr", "nyy", _connections("aba"), keeps=True),
    Memory("recent", f"--set --name {LIST}", "yy", _from("ab"), assumes=False),
    Memory("recent", f"! --set --name {LIST}", "nn", _from("ab"), assumes=False),
    Memory("recent", f"--rcheck --name {LIST}", "ynyn", _from("abab"), listed="a", assumes=False),
    Memory("recent", f"! --rcheck --name {LIST} --rsource", "nyny", _from("abab"), listed="a", assumes=False),
    Memory("recent", f"--rcheck --name {LIST} --rdest", "yy", _from("ab"), listed="to", assumes=False),
    Memory("recent", f"! --rcheck --name {LIST} --rdest", "yy", _from("ab"), listed="a", assumes=False),
    Memory(
        "recent", f"--rcheck --name {LIST} --mask {{mask}}", "yy", _from("ab"), listed="net", assumes=False
    ),
    Memory(
        "recent", f"--rcheck --seconds 600 --reap --name {LIST}", "yn", _from("ab"), listed="a", assumes=False
    ),
    Memory(
        "recent",
        f"--rcheck --seconds 600 --hitcount 2 --name {LIST}",
        "nn",
        _from("ab"),
        listed="a",
        assumes=False,
    ),
    Memory("recent", f"--update --name {LIST}", "yny", _from("aba"), listed="a", assumes=False),
    Memory("recent", f"! --update --name {LIST}", "nyn", _from("aba"), listed="a", assumes=False),
    Memory("recent", f"--remove --name {LIST}", "nyn", _from("baa"), listed="a", assumes=False),
    Memory("recent", f"! --remove --name {LIST}", "yny", _from("baa"), listed="a", assumes=False),
    Memory("recent", f"--rcheck --rttl --name {LIST}", "yn", _from("ab"), listed="a"),
    Memory("statistic", "--mode nth --every 3 --packet 1", "nynny", assumes=False),
    Memory("statistic", "--mode nth ! --every 3 --packet 0", "nyyny", assumes=False),
    Memory("statistic", "--mode nth --every 1 --packet 0", "yyy", assumes=False),
    Memory("statistic", "--mode random --probability 1", "yyy", assumes=False),
    Memory("statistic", "--mode random ! --probability 1", "nnn", assumes=False),
    Memory("statistic", "--mode random --probability 0", "nnn", assumes=False),
    Memory("statistic", "--mode random --probability 0.5", "??????????"),
    Memory("statistic", "--mode random ! --probability 0.5", "??????????"),
)


@dataclass
class Outcome:
    """What a case gave: how often the rule matched and did not, and what was wrong, one line each."""

    true: int = 0
    false: int = 0
    wrong: tuple[str, ...] = ()


def run(case: Memory, scene_name: str) -> Outcome:
    """Send a case's packets; iptsim gets the kernel's state, and must give the same results."""
    scene = make_scene(scene_name)
    senders = dict(zip("ab", scene.senders["eth0"], strict=False))
    receiver = scene.beyond["eth1"][0]
    net, mask, network = (
        ("24", "255.255.255.0", "10.1.0.0")
        if scene.family == 4
        else ("64", "ffff:ffff:ffff:ffff::", "2001:db8:1::")
    )
    words = case.words.format(net=net, mask=mask)
    dump = f"*{_TABLE}\n:{_HOOK} ACCEPT [0:0]\n-A {_HOOK} -m {case.module} {words}\nCOMMIT\n"
    world = scene.world.model_copy(update={"dump": dump})
    outcome = Outcome()
    usual = {
        "source": "eth0",
        "src": senders["a"],
        "dst": receiver,
        "sport": 40000,
        "dport": 80,
        "length": 60,
    }
    with Laboratory(world) as laboratory:
        capture = laboratory.capture()
        if case.listed:
            laboratory.list_address(LIST, {**senders, "net": network, "to": receiver}[case.listed])
        for number, expected in enumerate(case.expected):
            changes = dict(case.packets[number]) if case.packets else {}
            sender = changes.pop("sender", "a")
            probe = Probe(**{**usual, "src": senders[sender], **changes})
            if case.module == "recent":
                capture["xt-recent.txt"] = laboratory.recent_lists()
            observation = laboratory.send(probe, fresh=not case.keeps)
            matched = any(step.rule is not None for step in observation.steps)
            outcome.true += matched
            outcome.false += not matched
            told: dict[str, Any] = {"facts": {"nth": number}} if "nth" in case.words else {}
            if case.assumes:
                told["assume"] = {case.module: matched}
            trace = Iptsim(capture).ask(world, probe, observation, **told)
            where = f"{case.text}, {scene_name}, packet {number + 1}"
            if expected not in ("?", "ny"[matched]):
                outcome.wrong += (f"{where}: the kernel says {matched}",)
            if trace.branches or any(step.maybe for leg in trace.legs for step in leg.steps):
                outcome.wrong += (f"{where}: iptsim leaves it open",)
            outcome.wrong += tuple(f"{where}: {line}" for line in differences(trace, observation))
    return outcome


def run_all(modules: Collection[str] = ()) -> Iterator[tuple[Memory, Outcome]]:
    """Run the cases of the given matches, or of all, each in both families."""
    for case in CASES:
        if modules and case.module not in modules:
            continue
        outcomes = [run(case, name) for name in SCENES]
        yield (
            case,
            Outcome(
                sum(one.true for one in outcomes),
                sum(one.false for one in outcomes),
                tuple(line for one in outcomes for line in one.wrong),
            ),
        )
