"""Random tables of nftables beside those of iptables: sets, maps, verdict maps, concatenations, base chains."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from random import Random

from tests.kernel.scenes import Scene

#: Priorities between those of iptables: of equal ones, the order depends on what was loaded first.
_PRIORITIES = (-310, -250, -180, -120, -10, 10, 40, 120, 200, 400)
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_PORTS = (80, 443, 53, 22, 8080)
_PROTOCOLS = re.compile(r"\b(tcp|udp|(?:ipv6-)?icmp)(?:v6)?\b")
_STATES = ("new", "established", "related", "invalid", "untracked")
_VERDICTS = ("accept", "drop", "return", "continue", "jump sub", "goto sub")


def make_nft(random: Random, scene: Scene) -> str:
    """Return one or two tables for nft(8)."""
    return "".join(_Table(random, scene, number).text() for number in range(random.choice((1, 1, 2))))


class _Table:
    """A table with a base chain or two, and a chain for them to call."""

    def __init__(self, random: Random, scene: Scene, number: int) -> None:
        self.random, self.scene, self.number = random, scene, number
        self.ip = "ip" if scene.family == 4 else "ip6"
        self.family = random.choice((self.ip, "inet"))

    def text(self) -> str:
        """Return the table."""
        chains = [
            "chain sub {\n" + "".join(f"  {self._rule('', calls=False)}\n" for _ in range(2)) + "}\n",
            *(self._base(hook) for hook in self.random.sample(_HOOKS, self.random.choice((1, 2, 2, 3)))),
        ]
        return f"table {self.family} nft{self.number} {{\n{self._sets()}{''.join(chains)}}}\n"

    def _sets(self) -> str:
        kind = f"ipv{self.scene.family}_addr"
        one, two, three = (self._address() for _ in range(3))
        return (
            f"set addresses {{ type {kind}; flags interval; auto-merge; "
            f"elements = {{ {one}, {self._network(two)} }} }}\n"
            f"set pairs {{ type {kind} . inet_service; elements = {{ {one} . 80, {two} . 53, {three} . 443 }} }}\n"
            f"map ports {{ type inet_service : verdict; elements = {{ 80 : {self._verdict()}, "
            f"443 : {self._verdict()} }} }}\n"
            f"map marks {{ type {kind} : mark; elements = {{ {one} : 0x1, {self._other(one)} : 0x2 }} }}\n"
            f"map both {{ type {kind} . inet_proto . inet_service : verdict; flags interval; elements = "
            f"{{ {self._network(one)} . tcp . 80-443 : {self._verdict()}, {two} . udp . 53 : {self._verdict()} }} }}\n"
        )

    def _base(self, hook: str) -> str:
        kind = "route" if hook == "output" and self.random.random() < 0.4 else "filter"
        policy = "drop" if self.random.random() < 0.1 else "accept"
        priority = self.random.choice(_PRIORITIES)
        if hook in ("prerouting", "postrouting") and self.random.random() < 0.25:
            kind, priority = "nat", self.random.choice((-90, 90))
        rules = [
            self._nat_rule(hook) if kind == "nat" and self.random.random() < 0.7 else self._rule(hook)
            for _ in range(self.random.choice((1, 2, 3, 4)))
        ]
        head = f"type {kind} hook {hook} priority {priority}; policy {policy};"
        return f"chain {hook} {{\n  {head}\n" + "".join(f"  {rule}\n" for rule in rules) + "}\n"

    # -- rules ----------------------------------------------------------------------------------------

    def _rule(self, hook: str, *, calls: bool = True) -> str:
        conditions = [self._condition(hook) for _ in range(self.random.choice((0, 1, 1, 2)))]
        statement = self._statement(hook)
        if not calls and ("sub" in statement or "@ports" in statement or "@both" in statement):
            statement = "counter"
        if "reject" in statement and hook not in ("input", "forward", "output"):
            statement = "drop"
        rule = " ".join((*conditions, statement))
        # nft refuses a rule that names two protocols
        return rule if len(set(_PROTOCOLS.findall(rule))) < 2 else statement

    def _condition(self, hook: str) -> str:
        ip, random = self.ip, self.random
        side, other = random.sample(("saddr", "daddr"), 2)
        links = [one.name for one in self.scene.world.interfaces if not one.master]
        icmp = ("icmp", "echo-request") if self.scene.family == 4 else ("icmpv6", "echo-request")
        not_ = random.choice(("", "", "!= "))
        choices: list[str] = [
            f"{ip} {side} {not_}{self._address()}",
            f"{ip} {side} {not_}{self._network(self._address())}",
            f"{ip} {side} {not_}@addresses",
            f"{ip} {side} {not_}{{ {self._address()}, {self._range()} }}",
            f"{ip} {side} . tcp dport {not_}@pairs",
            f"{ip} {side} . {ip} {other} {{ {self._address()} . {self._address()} }}",
            f"{ip} {side} . meta l4proto . th dport {{ {self._network(self._address())} . tcp . 22-80 }}",
            f"meta l4proto {not_}{{ tcp, {icmp[0] if icmp[0] == 'icmp' else 'ipv6-icmp'} }}",
            f"tcp dport {not_}{{ 80, 443-500 }}",
            f"udp dport {not_}53",
            f"th dport {random.choice(('> 79', '!= 80-443', '{ 53, 80 }'))}",
            "tcp flags & (fin|syn|rst|ack) == syn",
            f"tcp flags {random.choice(('syn', '== syn', '!= syn', '{ syn, ack }'))}",
            f"ct state {not_}{{ {', '.join(random.sample(_STATES, 2))} }}",
            f"ct state {random.choice(('new', 'established,related', 'invalid'))}",
            f"ct direction {random.choice(('original', 'reply'))}",
            f"ct status {random.choice(('dnat', 'snat', 'assured', '& dnat == dnat'))}",
            f"ct original {ip} {side} {not_}{self._address()}",
            f"ct mark {random.choice(('0', '!= 0', '& 0x3 == 0x1', '{ 1, 2 }'))}",
            f"meta mark {random.choice(('0', '!= 0', '& 0x3 == 0x1', '{ 1, 2 }', '1-15'))}",
            f"meta pkttype {not_}{random.choice(('host', 'broadcast', 'multicast'))}",
            f"meta length {random.choice(('< 60', '> 60', '40-100'))}",
            f"fib daddr type {not_}{random.choice(('local', 'unicast', '{ local, broadcast }'))}",
            f"fib saddr type {random.choice(('local', 'unicast'))}",
            f"{ip} dscp {not_}{random.choice(('cs1', 'ef', '{ cs0, cs2 }'))}",
            f"{icmp[0]} type {not_}{icmp[1]}",
            f"ip ttl {random.choice(('< 64', '64', '> 2'))}" if ip == "ip" else "ip6 hoplimit > 2",
        ]
        if hook not in ("output", ""):
            choices.append(f'iifname {not_}"{random.choice((*links, "eth*"))}"')
            choices.append(f'iifname {not_}{{ "{random.choice(links)}", "lo" }}')
        if hook not in ("prerouting", "input", ""):
            choices.append(f'oifname {not_}"{random.choice((*links, "br*"))}"')
            choices.append(f'oifname . tcp dport {{ "{random.choice(links)}" . 80 }}')
        if hook == "prerouting":
            choices += ["fib saddr . iif oif missing", "fib daddr . iif type local"]
        return random.choice(choices)

    def _statement(self, hook: str) -> str:
        ip, random = self.ip, self.random
        choices: list[Callable[[], str]] = [
            *([lambda: random.choice(("accept", "drop", "return", "counter", "jump sub", "goto sub"))] * 4),
            lambda: random.choice(("reject", "meta l4proto tcp reject with tcp reset")),
            lambda: (
                f"meta mark set {random.choice(('0x1', 'meta mark | 0x10', 'meta mark & 0xf', 'ct mark'))}"
            ),
            lambda: f"ct mark set {random.choice(('0x1', 'meta mark', 'ct mark | 0x2', 'meta mark & 0xf'))}",
            lambda: f"meta mark set {ip} {random.choice(('saddr', 'daddr'))} map @marks",
            lambda: f"meta mark set tcp dport map {{ 80 : 0x1, {random.choice(('443-500', '*'))} : 0x2 }}",
            lambda: f"{random.choice(('tcp', 'udp'))} dport vmap @ports",
            lambda: f"{ip} {random.choice(('saddr', 'daddr'))} . meta l4proto . th dport vmap @both",
            lambda: (
                f"ct state vmap {{ new : {self._verdict()}, established : {self._verdict()}, "
                f"invalid : {self._verdict()} }}"
            ),
            lambda: (
                f"{ip} {random.choice(('saddr', 'daddr'))} vmap {{ {self._network(self._address())} : "
                f"{self._verdict()}, * : {self._verdict()} }}"
            ),
            lambda: f"meta mark vmap {{ 0 : {self._verdict()}, 0x1 : {self._verdict()} }}",
            lambda: f"{ip} dscp set {random.choice(('cs0', 'cs1', 'ef'))} {random.choice(('', 'accept'))}",
            lambda: f"fib daddr type vmap {{ local : {self._verdict()}, unicast : {self._verdict()} }}",
        ]
        if hook in ("prerouting", "output"):
            choices.append(lambda: "notrack")
        return random.choice(choices)().strip()

    def _nat_rule(self, hook: str) -> str:
        ip, random = self.ip, self.random
        condition = self._condition(hook)
        if hook == "prerouting":
            target = random.choice(self._beyond())
            return random.choice(
                (
                    f"{condition} dnat {ip} to {target}",
                    f"dnat {ip} to tcp dport map {{ 80 : {target}, 443 : {random.choice(self._beyond())} }}",
                    f"dnat {ip} addr . port to {ip} daddr . tcp dport "
                    f"map {{ {self._address()} . 80 : {target} . 8080 }}",
                    "tcp dport 80 redirect to :8080",
                    "udp dport 53 redirect",
                )
            )
        return random.choice(
            (
                f"{condition} masquerade",
                f"{condition} snat {ip} to {random.choice(self.scene.own)}",
                f"snat {ip} to {ip} saddr map {{ {self._address()} : {random.choice(self.scene.own)} }}",
            )
        )

    # -- values ---------------------------------------------------------------------------------------

    def _beyond(self) -> list[str]:
        return [text for addresses in self.scene.beyond.values() for text in addresses]

    def _address(self) -> str:
        return self.random.choice((*self._beyond(), *self.scene.own))

    def _other(self, address: str) -> str:
        return next(one for one in (*self._beyond(), *self.scene.own) if one != address)

    def _network(self, address: str) -> str:
        length = self.random.choice((24, 28) if self.scene.family == 4 else (48, 64))
        return str(ip_network(f"{address}/{length}", strict=False))

    def _range(self) -> str:
        first = ip_address(self._address())
        return f"{first}-{first + 3}"

    def _verdict(self) -> str:
        return self.random.choice(_VERDICTS)
