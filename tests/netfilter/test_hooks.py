"""The order of base chains at a hook; measured with nft and legacy tables side by side."""

from iptsim.dump import loads
from iptsim.netfilter import hooks
from iptsim.netfilter.program import Program

_TABLES = "".join(f"*{table}\nCOMMIT\n" for table in ("raw", "mangle", "nat", "filter", "security"))


def order(hook: str, *backends: str) -> list[str]:
    programs = []
    for backend in backends:
        ruleset = loads(_TABLES)
        ruleset.backend = backend
        programs.append(Program(ruleset))
    return [
        chain.table if chain.program is None else f"{chain.table}/{chain.program.backend}"
        for chain in hooks.base_chains(hook, programs)
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
