"""Small hosts for the walker's tests: a router between eth0 (10.1.0.0/24) and eth1 (10.2.0.0/24)."""

from __future__ import annotations

import ipaddress
from typing import Any

from iptsim.addresses import Family
from iptsim.dump import loads
from iptsim.host.containers import Container, Endpoint
from iptsim.host.model import Host
from iptsim.host.namespace import Interface, InterfaceAddress, Namespace, Route, RoutingRule
from iptsim.host.nftables import RulesetEntry, read_nftables
from iptsim.netfilter.trace import Leg, Trace
from iptsim.netfilter.walk import walk
from iptsim.question.model import Question

BRIDGE_PORTS = {"a": ("10.9.0.2", "veth-a"), "b": ("10.9.0.3", "veth-b")}


def number(text: str) -> int:
    return int(ipaddress.ip_address(text))


def interface(name: str, index: int, *addresses: str, **fields: Any) -> Interface:
    found = []
    for text in addresses:
        parsed = ipaddress.ip_interface(text)
        family: Family = 4 if parsed.version == 4 else 6
        found.append(
            InterfaceAddress(
                family=family,
                address=int(parsed.ip),
                prefix_length=parsed.network.prefixlen,
                scope="host" if name == "lo" else "global",
            )
        )
    return Interface(name=name, index=index, addresses=tuple(found), **fields)


def router(dump: str, *, sysctls: dict[str, str] | None = None, family: Family = 4) -> Host:
    """A router with a default route by eth0, and a bridge br0 with the containers a and b."""
    namespace = Namespace(
        interfaces={
            "lo": interface("lo", 1, "127.0.0.1/8", "::1/128", kind="loopback"),
            "eth0": interface("eth0", 2, "10.1.0.1/24", "fd01::1/64", kind="physical"),
            "eth1": interface("eth1", 3, "10.2.0.1/24", "fd02::1/64", kind="physical"),
            "br0": interface("br0", 4, "10.9.0.1/24", "fd09::1/64", kind="bridge"),
            "veth-a": interface("veth-a", 5, kind="veth", master="br0"),
            "veth-b": interface("veth-b", 6, kind="veth", master="br0"),
        },
        sysctls={
            "net.ipv4.ip_forward": "1",
            "net.ipv6.conf.all.forwarding": "1",
            "net.bridge.bridge-nf-call-iptables": "1",
            "net.bridge.bridge-nf-call-ip6tables": "1",
            **(sysctls or {}),
        },
    )
    for prefix, device in (("10.1.0.0", "eth0"), ("10.2.0.0", "eth1"), ("10.9.0.0", "br0")):
        namespace.routes.append(
            Route(family=4, destination=number(prefix), prefix_length=24, device=device, scope="link")
        )
    namespace.routes.append(
        Route(family=4, destination=0, prefix_length=0, device="eth0", gateway=number("10.1.0.254"))
    )
    containers = {name: container(name, *BRIDGE_PORTS[name]) for name in BRIDGE_PORTS}
    return Host(namespace=namespace, containers=containers, rulesets={family: loads(dump, family=family)})


def nft_router(base: dict[str, Any], *statements: dict[str, Any]) -> Host:
    """A router without rules of iptables, and with one rule in a base chain of nftables, in table ip t by default.

    Args:
        base: the chain's name, type, hook and priority, as in libnftables-json(5).
        statements: the rule's.
    """
    place = {"family": base.get("family", "ip"), "table": "t"}
    rule = {**place, "chain": base["name"], "expr": list(statements)}
    entries = [{"chain": {**place, **base}}, {"rule": rule}]
    host = router("")
    host.namespace.nftables = read_nftables(RulesetEntry.model_validate({"nftables": entries}))
    return host


def container(name: str, address: str, port: str) -> Container:
    last = address.rpartition(".")[2]
    inside = Namespace(
        name=name,
        interfaces={
            "lo": interface("lo", 1, "127.0.0.1/8", kind="loopback"),
            "eth0": interface("eth0", 2, f"{address}/24", f"fd09::{last}/64", kind="veth"),
        },
        routes=[
            Route(family=4, destination=number("10.9.0.0"), prefix_length=24, device="eth0", scope="link"),
            Route(family=4, destination=0, prefix_length=0, device="eth0", gateway=number("10.9.0.1")),
        ],
    )
    endpoint = Endpoint(
        network="br0",
        addresses={4: number(address), 6: number(f"fd09::{last}")},
        interface="eth0",
        bridge_port=port,
    )
    return Container(name, namespace=inside, endpoints={"br0": endpoint})


def add_policy_route(host: Host, rule: RoutingRule, device: str, gateway: str) -> None:
    """Give a host a rule of `ip rule` between those of the tables local and main, and its table a default route."""
    first, last = (
        RoutingRule(family=4, priority=at, table=name) for at, name in ((0, "local"), (32766, "main"))
    )
    host.namespace.rules += [first, rule, last]
    host.namespace.routes.append(
        Route(
            family=4, destination=0, prefix_length=0, device=device, gateway=number(gateway), table=rule.table
        )
    )


def dump(**tables: str) -> str:
    """Make a dump from table name -> lines; built-in chains that the lines do not name do not exist."""
    return "".join(f"*{name}\n{lines.strip()}\nCOMMIT\n" for name, lines in tables.items())


def ask(host: Host, **fields: Any) -> Trace:
    """Ask a question; `sender` represents the field `from`, `in_` for `in`."""
    names = {"sender": "from", "in_": "in"}
    return walk(host, Question(**{names.get(name, name): value for name, value in fields.items()}))


def route_of(leg: Leg) -> list[str]:
    """The steps as `table:CHAIN:rule=verdict`, in the notation of the measurements."""
    shown = []
    for step in leg.steps:
        if step.table is None:
            shown.append(f"{step.hook}={step.code}")
        else:
            shown.append(
                f"{step.table}:{step.chain}:{step.rule.position if step.rule else 'policy'}={step.verdict}"
            )
    return shown
