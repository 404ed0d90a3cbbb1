"""The order of base chains at a hook; measured with nft and legacy tables side by side."""

from iptsim.dump import loads
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.host.nft_chains import NftChain, NftRuleset
from iptsim.host.nft_hints import hinted
from iptsim.netfilter.hooks import Hooks, IptablesChain, NftablesChain
from iptsim.netfilter.program import Program
from iptsim.question.options import read_assumptions
from tests.netfilter.hosts import ask, router

_TABLES = "".join(
    f"*{table}\n" + "".join(f":{chain} ACCEPT [0:0]\n" for chain in BUILTIN_CHAINS[table]) + "COMMIT\n"
    for table in ("raw", "mangle", "nat", "filter", "security")
)


def order(hook: str, *backends: str) -> list[str]:
    programs = []
    for backend in backends:
        ruleset = loads(_TABLES)
        ruleset.backend = backend
        programs.append(Program(ruleset, conntrack_on=True))
    return [
        f"{entry.table}/{entry.program.backend}" if isinstance(entry, IptablesChain) else str(entry[1])
        for entry in Hooks({4: programs}).at(4, hook).entries
    ]


def test_security_stands_behind_nat_at_input_with_nft_and_before_it_with_legacy() -> None:
    assert order("INPUT", "nf_tables") == [
        "mangle/nf_tables", "filter/nf_tables", "nat", "security/nf_tables",
    ]  # fmt: skip
    assert order("INPUT", "legacy") == ["mangle/legacy", "filter/legacy", "security/legacy", "nat"]


def test_tables_of_both_backends_stand_at_their_own_priorities() -> None:
    assert order("INPUT", "nf_tables", "legacy") == [
        "mangle/nf_tables", "mangle/legacy", "filter/nf_tables", "filter/legacy",
        "security/legacy", "nat", "security/nf_tables",
    ]  # fmt: skip


def test_conntrack_looks_between_raw_and_mangle() -> None:
    for hook in ("PREROUTING", "OUTPUT"):
        assert order(hook, "nf_tables")[:3] == ["raw/nf_tables", "conntrack", "mangle/nf_tables"]


def test_of_chains_with_equal_priority_the_last_one_comes_first() -> None:
    """Measured with two chains of a table that drop and reject: the kernel does what the second one says."""
    chains = tuple(
        NftChain(family="inet", table="t", name=name, type="filter", hook="input", priority=0)
        for name in ("first", "last")
    )
    entries = Hooks({}, NftRuleset(chains=chains)).at(4, "INPUT").entries
    assert [one.chain.name for one in entries if isinstance(one, NftablesChain)] == ["last", "first"]


def test_chains_that_iptables_save_hints_at_may_be_at_any_hook_and_can_be_assumed_to_accept() -> None:
    text = (
        "# Table `filter' contains incompatible base-chains, use 'nft' tool to list them.\n"
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"
    )
    host = router(text)
    host.namespace.nftables = hinted(host.rulesets.values(), None)
    fields = {"sender": "10.1.0.9", "to": "10.2.0.9", "dport": 80}
    trace = ask(host, **fields)
    assert trace.verdict == "DEPENDS"
    # it could drop, reject or change the packet, or accept it
    assert sorted(way.verdict for way in trace.branches) == ["ACCEPT", "DEPENDS", "DROP", "REJECT"]
    assert ask(host, **fields, assume=read_assumptions(["ip:filter=yes"])).verdict == "ACCEPT"
    assert ask(host, **fields, assume={"nftables": True}).verdict == "ACCEPT"


def test_without_a_reason_to_track_conntrack_and_nat_are_not_registered() -> None:
    # a nat chain that translates nothing is no reason: measured, its policy DROP drops nothing
    entries = Hooks({4: [Program(loads(_TABLES))]}).at(4, "OUTPUT").entries
    assert all(isinstance(entry, IptablesChain) for entry in entries)
