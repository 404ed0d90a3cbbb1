"""The rules of dockerd 29 with `--firewall-backend=nftables`, all in table docker-bridges.

Each network has chains of its own, whose names end in `__BRIDGE`. Source: moby docker-v29.7.2,
daemon/libnetwork/drivers/bridge/internal/nftabler; rulesets of 29.7.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from iptsim.docker.dockerd.templates import Layout, RuleTemplate
from iptsim.host.docker_defaults import NFT_TABLE

#: The names of the chains of a network, before the name of its bridge.
NETWORK_CHAINS = ("filter-forward-in", "filter-forward-out", "nat-postrouting-in", "nat-postrouting-out")
#: The other chains.
CHAINS = (
    "filter-FORWARD",
    "nat-OUTPUT",
    "nat-POSTROUTING",
    "nat-PREROUTING",
    "nat-prerouting-and-output",
    "raw-PREROUTING",
)

#: The first lines of the base chains: their hooks, and the look-ups of networks by their bridges.
BASE_RULES = {
    "filter-FORWARD": (
        "type filter hook forward priority filter; policy accept;",
        "oifname vmap @filter-forward-in-jumps",
        "iifname vmap @filter-forward-out-jumps",
    ),
    "nat-OUTPUT": ("type nat hook output priority dstnat; policy accept;",),
    "nat-POSTROUTING": (
        "type nat hook postrouting priority srcnat; policy accept;",
        "iifname vmap @nat-postrouting-out-jumps",
        "oifname vmap @nat-postrouting-in-jumps",
    ),
    "nat-PREROUTING": ("type nat hook prerouting priority dstnat; policy accept;",),
    "raw-PREROUTING": ("type filter hook prerouting priority raw; policy accept;",),
}

#: The groups of rules in a network's chain filter-forward-in, in their order.
_FIRST, _LINKS, _ICC, _PORTS, _LAST = range(5)


@dataclass(frozen=True, slots=True)
class NftTemplate(RuleTemplate):
    """One rule that dockerd writes with nftables.

    Attributes:
        text: as iptsim reads the rule, in the words of iptables.
        nft: as `nft --stateless list ruleset` prints it; empty for what an element of a verdict map does.
    """

    nft: str = ""

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the rule as nft prints it."""
        bare = {name: value.removesuffix("/32").removesuffix("/128") for name, value in values.items()}
        host = values.get("host", "").removeprefix("-d ").strip().removesuffix("/32").removesuffix("/128")
        bare["host"] = f"{values['ip']} daddr {host} " if host else ""
        bare["link_local"] = "ip6 saddr != fe80::/10 " if values.get("link_local") else ""
        return self.nft.format_map(bare)

    def place(self, values: Mapping[str, str]) -> tuple[str, str]:
        """Return table and chain; those of a network end in the name of its bridge."""
        chain = f"{self.chain}__{values['bridge']}" if self.chain in NETWORK_CHAINS else self.chain
        return self.table, chain


def _template(
    chain: str, nft: str, text: str, when: str = "", role: str = "plumbing", setting: str = "", group: int = _FIRST
) -> NftTemplate:  # fmt: skip
    return NftTemplate("append", NFT_TABLE, chain, text, when, role, setting, group, nft)


_IN, _OUT, _NAT_IN, _NAT_OUT = NETWORK_CHAINS
_TRANSLATE, _RAW = "nat-prerouting-and-output", "raw-PREROUTING"
_PORT = "-p {proto} -m multiport --dports"
_REPLIES = (
    "ct state established,related counter accept",
    "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
)
_DNAT = '{proto} dport {host_port} counter dnat to {target} comment "DNAT"'
_DNAT_TEXT = f"{_PORT} {{host_port}} -m comment --comment DNAT -j DNAT --to-destination {{target}}"
_DIRECT = '-m comment --comment "DROP DIRECT ACCESS"'
_OPEN = "!direct !internal !routed !unprotected"

START = (
    _template("nat-PREROUTING", f"fib daddr type local counter jump {_TRANSLATE}",
              f"-m addrtype --dst-type LOCAL -j {_TRANSLATE}"),
    _template("nat-OUTPUT", f"{{ip}} daddr != {{loopback}} fib daddr type local counter jump {_TRANSLATE}",
              f"! -d {{loopback}} -m addrtype --dst-type LOCAL -j {_TRANSLATE}", "proxy",
              setting="--userland-proxy=true"),
    _template("nat-OUTPUT", f"fib daddr type local counter jump {_TRANSLATE}",
              f"-m addrtype --dst-type LOCAL -j {_TRANSLATE}", "!proxy", setting="--userland-proxy=false"),
    _template(_TRANSLATE, 'iifname "loopback0" ip daddr 127.0.0.0/8 counter return',
              "-d 127.0.0.0/8 -i loopback0 -j RETURN", "wsl2 proxy ipv4", "wsl2"),
)  # fmt: skip

NETWORK = (
    _template(_IN, *_REPLIES, "subnet", "answers"),
    _template(_OUT, *_REPLIES, "subnet", "answers"),
    _template(_IN, 'iifname != "{bridge}" counter drop comment "INTERNAL NETWORK INGRESS"',
              '! -i {bridge} -m comment --comment "INTERNAL NETWORK INGRESS" -j DROP', "subnet internal", "internal",
              "--internal"),
    _template(_OUT, 'oifname != "{bridge}" counter drop comment "INTERNAL NETWORK EGRESS"',
              '! -o {bridge} -m comment --comment "INTERNAL NETWORK EGRESS" -j DROP', "subnet internal", "internal",
              "--internal"),
    _template(_IN, 'counter accept comment "ICC"', "-m comment --comment ICC -j ACCEPT", "subnet internal icc",
              "icc-on", "--icc=true", _ICC),
    _template(_IN, 'counter drop comment "ICC"', "-m comment --comment ICC -j DROP", "subnet internal !icc", "icc-off",
              "--icc=false", _ICC),
    _template(_IN, 'iifname "{bridge}" counter accept comment "ICC"',
              "-i {bridge} -m comment --comment ICC -j ACCEPT", "subnet !internal icc", "icc-on", "--icc=true", _ICC),
    _template(_IN, 'iifname "{bridge}" counter drop comment "ICC"', "-i {bridge} -m comment --comment ICC -j DROP",
              "subnet !internal !icc", "icc-off", "--icc=false", _ICC),
    _template(_OUT, 'counter accept comment "OUTGOING"', "-m comment --comment OUTGOING -j ACCEPT", "subnet !internal",
              "outgoing"),
    _template(_IN, 'counter accept comment "UNPROTECTED"', "-m comment --comment UNPROTECTED -j ACCEPT",
              "subnet !internal unprotected", "routed", "gateway_mode=nat-unprotected", _LAST),
    _template(_IN, 'counter drop comment "UNPUBLISHED PORT DROP"',
              '-m comment --comment "UNPUBLISHED PORT DROP" -j DROP', "subnet !internal !unprotected", "unpublished",
              group=_LAST),
    _template(_IN, 'ip protocol icmp counter accept comment "ICMP"', "-p {icmp} -m comment --comment ICMP -j ACCEPT",
              "subnet !internal routed ipv4", "routed", "gateway_mode=routed"),
    _template(_IN, 'meta l4proto ipv6-icmp counter accept comment "ICMP"',
              "-p {icmp} -m comment --comment ICMP -j ACCEPT", "subnet !internal routed ipv6", "routed",
              "gateway_mode=routed"),
    _template(_NAT_OUT, 'oifname != "{bridge}" {ip} saddr {subnet} counter masquerade comment "MASQUERADE"',
              "-s {subnet} ! -o {bridge} -m comment --comment MASQUERADE -j MASQUERADE",
              "subnet masquerade !routed !snat !internal", "masquerade", "--ip-masq=true"),
    _template(_NAT_OUT, 'oifname != "{bridge}" {ip} saddr {subnet} counter snat to {snat} comment "SNAT"',
              "-s {subnet} ! -o {bridge} -m comment --comment SNAT -j SNAT --to-source {snat}",
              "subnet masquerade !routed snat !internal", "masquerade", "com.docker.network.host_ipv4"),
    _template(_NAT_IN, 'fib saddr type local counter masquerade comment "MASQUERADE FROM HOST"',
              '-m addrtype --src-type LOCAL -m comment --comment "MASQUERADE FROM HOST" -j MASQUERADE',
              "subnet !proxy !snat !internal", "host-masquerade", "--userland-proxy=false"),
    _template(_NAT_IN, 'fib saddr type local counter snat to {snat} comment "SNAT FROM HOST"',
              '-m addrtype --src-type LOCAL -m comment --comment "SNAT FROM HOST" -j SNAT --to-source {snat}',
              "subnet !proxy snat !internal", "host-masquerade", "--userland-proxy=false"),
)  # fmt: skip

ENDPOINT = (
    _template(_RAW, '{ip} daddr {address} iifname != {own} counter drop comment "DROP DIRECT ACCESS"',
              f"-d {{address}} ! -i {{bridge}} {_DIRECT} -j DROP", _OPEN, "direct-routing",
              "--allow-direct-routing=false"),
)  # fmt: skip

PORT = (
    _template(_IN, "{ip} daddr {address} {proto} dport {container_port} counter accept",
              f"-d {{address}} {_PORT} {{container_port}} -j ACCEPT", "!unprotected", "published-port", "--publish",
              _PORTS),
    _template(_TRANSLATE, f'iifname != "{{bridge}}" {{link_local}}{{host}}{_DNAT}',
              f"{{link_local}}{{host}}! -i {{bridge}} {_DNAT_TEXT}", "nat proxy", "port-forward", "--publish"),
    _template(_TRANSLATE, f"{{link_local}}{{host}}{_DNAT}", f"{{link_local}}{{host}}{_DNAT_TEXT}", "nat !proxy",
              "port-forward", "--publish"),
    _template(_NAT_IN, "{ip} saddr {address} {ip} daddr {address} {proto} dport {container_port} counter masquerade "
              'comment "MASQ TO OWN PORT"', f"-s {{address}} -d {{address}} {_PORT} {{container_port}} "
              '-m comment --comment "MASQ TO OWN PORT" -j MASQUERADE', "nat !proxy", "hairpin-masquerade",
              "--userland-proxy=false"),
    _template(_RAW, 'iifname "loopback0" ip daddr {host_loopback} {proto} dport {host_port} counter accept '
              'comment "ACCEPT WSL2 LOOPBACK"', f"-d {{host_loopback}} -i loopback0 {_PORT} {{host_port}} "
              '-m comment --comment "ACCEPT WSL2 LOOPBACK" -j ACCEPT', "nat loopback wsl2", "wsl2", "--publish"),
    _template(_RAW, 'iifname != "lo" ip daddr {host_loopback} {proto} dport {host_port} counter drop '
              'comment "DROP REMOTE LOOPBACK"', f"-d {{host_loopback}} ! -i lo {_PORT} {{host_port}} "
              '-m comment --comment "DROP REMOTE LOOPBACK" -j DROP', "nat loopback", "loopback-port", "--publish"),
)  # fmt: skip

LINK = (
    _template(_IN, "ip saddr {client} ip daddr {server} {proto} dport {container_port} counter accept",
              f"-s {{client}} -d {{server}} {_PORT} {{container_port}} -j ACCEPT", "", "link", "--link", _LINKS),
    _template(_IN, "ip saddr {server} {proto} sport {container_port} ip daddr {client} counter accept",
              "-s {server} -d {client} -p {proto} -m multiport --sports {container_port} -j ACCEPT", "", "link-answer",
              "--link", _LINKS),
)  # fmt: skip

#: How rules are read that are written otherwise: elements of verdict maps, and sets of interfaces.
READ = (
    _template("filter-FORWARD", "", "-o {bridge} -j filter-forward-in__{bridge}"),
    _template("filter-FORWARD", "", "-i {bridge} -j filter-forward-out__{bridge}"),
    _template("nat-POSTROUTING", "", "-i {bridge} -j nat-postrouting-out__{bridge}"),
    _template("nat-POSTROUTING", "", "-o {bridge} -j nat-postrouting-in__{bridge}"),
    _template(_RAW, "", f"-d {{address}} {_DIRECT} {{not_from}}-j DROP", "", "direct-routing",
              "trusted_host_interfaces"),
)  # fmt: skip

LAYOUT = Layout(
    name="29",
    chains=tuple((NFT_TABLE, chain) for chain in CHAINS),
    user_chain=frozenset(),
    start=START,
    network=NETWORK,
    settled=(),
    endpoint=ENDPOINT,
    trusted=(),
    port=PORT,
    link=LINK,
    ingress=(),
    ingress_port=(),
    drop_always=frozenset(),
    drop_per_network=False,
)
TEMPLATES = (*LAYOUT.templates(), *READ)


def chain_of(name: str) -> tuple[str, str]:
    """Return the name of a chain without the bridge of its network, and the bridge, "" if it is not of one network.

    >>> chain_of("filter-forward-in__docker0"), chain_of("raw-PREROUTING")
    (('filter-forward-in', 'docker0'), ('raw-PREROUTING', ''))
    """
    chain, _, bridge = name.partition("__")
    return (chain, bridge) if chain in NETWORK_CHAINS else (name, "")
