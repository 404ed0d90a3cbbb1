"""What happens to a packet: the steps that it takes, the rules that do not match, where it arrives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from iptsim.addresses import parse_address
from iptsim.dump.rule import Rule
from iptsim.host.nft_chains import NftChain
from iptsim.languages import Text
from iptsim.packet import Packet


@dataclass(slots=True)
class Skipped:
    """A rule that was evaluated and did not match, with the first condition that failed."""

    table: str
    chain: str
    rule: Rule
    condition: str
    got: Text


@dataclass(slots=True)
class Step:
    """One thing that happened to the packet: a rule matched, a policy applied, the kernel decided.

    Attributes:
        hook: PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING; or ROUTING, BRIDGE, SOCKET ... for what
            happens outside iptables.
        verdict: JUMP:chain, GOTO:chain, RETURN, CONTINUE, ACCEPT, DROP, REJECT, or the nat target's name.
        rule: the rule; None for a policy or a step outside iptables.
        policy: the base chain ended and its policy decided.
        maybe: an undecided match precedes this step and makes no difference to the verdict.
        changes: field -> (before, after), as texts or numbers.
        note: what happened, for steps outside iptables; the target's detail for others.
        code: a stable word for what the kernel itself decided ("ip-forward-off", "no-route" ...).
        skipped: the rules that did not match before this step; only in a verbose answer.
        depth: how many jumps deep the chain was called.
        interfaces: input and output interface at this step
        backend: "nf_tables" or "legacy" on a host with rules of both, else empty.
        nftables: the base chain of nftables that the packet passed, as a whole; then table and chain are None. Where
            its rules are evaluated, the table is "FAMILY TABLE", and each has a step.
        switched_by: the bridge that switched the packet without iptables, else empty.
    """

    hook: str
    verdict: str
    table: str | None = None
    chain: str | None = None
    rule: Rule | None = None
    policy: bool = False
    maybe: bool = False
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    note: Text = ""
    code: str = ""
    skipped: list[Skipped] = field(default_factory=list)
    depth: int = 0
    interfaces: tuple[str | None, str | None] = (None, None)
    backend: str = ""
    nftables: NftChain | None = None
    switched_by: str = ""

    @property
    def called(self) -> str:
        """The chain that the rule jumps or goes to; "" if it calls none."""
        jump, _, chain = self.verdict.partition(":")
        return chain if jump in ("JUMP", "GOTO") else ""

    def key(self) -> tuple[Any, ...]:
        """Return a key that is equal for the same step in different branches."""
        return (
            self.hook,
            self.table,
            self.chain,
            self.rule.position if self.rule else None,
            self.verdict,
            self.note,
            self.nftables,
            self.backend,
        )

    def change(self, packet: Packet) -> None:
        """Translate a packet's addresses and ports as the step does."""
        for name in ("src", "dst"):
            if name in self.changes:
                setattr(packet, name, parse_address(self.changes[name][1])[1])
        for name in ("sport", "dport"):
            if name in self.changes:
                setattr(packet, name, self.changes[name][1])

    def as_json(self, verbose: bool = False) -> dict[str, Any]:
        """Return the step in the trace schema."""
        out: dict[str, Any] = {"hook": self.hook, "table": self.table, "chain": self.chain}
        if self.rule is not None:
            out.update(rule=self.rule.position, line=self.rule.line, text=self.rule.shown)
        else:
            out["rule"] = None
        out["verdict"] = self.verdict
        if self.policy:
            out["policy"] = True
        if self.maybe:
            out["maybe"] = True
        if self.changes:
            out["changes"] = {name: list(pair) for name, pair in self.changes.items()}
        if self.note:
            out["note"] = str(self.note)
        if self.code:
            out["code"] = self.code
        if self.backend:
            out["backend"] = self.backend
        if self.nftables is not None:
            out["nftables"] = self.nftables.as_json()
        if verbose:
            out["skipped"] = [
                {
                    "table": skip.table,
                    "chain": skip.chain,
                    "rule": skip.rule.position,
                    "line": skip.rule.line,
                    "text": skip.rule.shown,
                    "failed": skip.condition,
                    "why": str(skip.got),
                }
                for skip in self.skipped
            ]
        return out


@dataclass(slots=True)
class Delivery:
    """Where a packet arrived.

    Attributes:
        kind: "container", "host" or "outside".
        name: the container, "host", or the address outside.
        interface: the interface that it came in by (host), or left the host by (outside).
        packet: as it arrives, after all translation.
    """

    kind: Literal["container", "host", "outside"]
    name: str
    packet: Packet
    interface: str | None = None
