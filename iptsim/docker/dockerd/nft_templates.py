"""The rules of dockerd 29 with `--firewall-backend=nftables`, as iptsim reads them from table docker-bridges.

Each network has chains of its own, whose names end in `__BRIDGE`. Source: moby docker-v29.7.2,
daemon/libnetwork/drivers/bridge/internal/nftabler; rulesets of 29.7.2.
"""

from __future__ import annotations

from iptsim.docker.dockerd.templates import RuleTemplate
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

_PORT = "-p {proto} -m multiport --dports"
_DIRECT = '-m comment --comment "DROP DIRECT ACCESS"'


def _template(chain: str, text: str, role: str = "plumbing", setting: str = "") -> RuleTemplate:
    return RuleTemplate("append", NFT_TABLE, chain, text, "", role, setting)


TEMPLATES = (
    _template("filter-FORWARD", "-o {bridge} -j filter-forward-in__{bridge}"),
    _template("filter-FORWARD", "-i {bridge} -j filter-forward-out__{bridge}"),
    _template("filter-forward-in", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "answers"),
    _template("filter-forward-in", '! -i {bridge} -m comment --comment "INTERNAL NETWORK INGRESS" -j DROP',
              "internal",
              "--internal"),
    _template("filter-forward-in", "-p {icmp} -m comment --comment ICMP -j ACCEPT", "routed",
              "gateway_mode=routed"),
    _template("filter-forward-in", f"-s {{client}} -d {{server}} {_PORT} {{container_port}} -j ACCEPT", "link",
              "--link"),
    _template("filter-forward-in",
              "-s {server} -d {client} -p {proto} -m multiport --sports {container_port} -j ACCEPT",
              "link-answer", "--link"),
    _template("filter-forward-in", "-i {bridge} -m comment --comment ICC -j ACCEPT", "icc-on", "--icc=true"),
    _template("filter-forward-in", "-i {bridge} -m comment --comment ICC -j DROP", "icc-off", "--icc=false"),
    _template("filter-forward-in", "-m comment --comment ICC -j ACCEPT", "icc-on", "--icc=true"),
    _template("filter-forward-in", "-m comment --comment ICC -j DROP", "icc-off", "--icc=false"),
    _template("filter-forward-in", f"-d {{address}} {_PORT} {{container_port}} -j ACCEPT", "published-port",
              "--publish"),
    _template("filter-forward-in", "-m comment --comment UNPROTECTED -j ACCEPT", "routed",
              "gateway_mode=nat-unprotected"),
    _template("filter-forward-in", '-m comment --comment "UNPUBLISHED PORT DROP" -j DROP', "unpublished"),
    _template("filter-forward-out", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "answers"),
    _template("filter-forward-out", '! -o {bridge} -m comment --comment "INTERNAL NETWORK EGRESS" -j DROP',
              "internal",
              "--internal"),
    _template("filter-forward-out", "-m comment --comment OUTGOING -j ACCEPT", "outgoing"),
    _template("nat-PREROUTING", "-m addrtype --dst-type LOCAL -j nat-prerouting-and-output"),
    _template("nat-OUTPUT", "! -d {loopback} -m addrtype --dst-type LOCAL -j nat-prerouting-and-output",
              setting="--userland-proxy=true"),
    _template("nat-OUTPUT", "-m addrtype --dst-type LOCAL -j nat-prerouting-and-output",
              setting="--userland-proxy=false"),
    _template("nat-prerouting-and-output", "-d 127.0.0.0/8 -i loopback0 -j RETURN", "wsl2"),
    _template("nat-prerouting-and-output",
              f"{{link_local}}{{host}}{{not_from}}{_PORT} {{host_port}} -m comment --comment DNAT "
              "-j DNAT --to-destination {target}", "port-forward", "--publish"),
    _template("nat-POSTROUTING", "-i {bridge} -j nat-postrouting-out__{bridge}"),
    _template("nat-POSTROUTING", "-o {bridge} -j nat-postrouting-in__{bridge}"),
    _template("nat-postrouting-out", "-s {subnet} ! -o {bridge} -m comment --comment MASQUERADE -j MASQUERADE",
              "masquerade",
              "--ip-masq=true"),
    _template("nat-postrouting-out",
              "-s {subnet} ! -o {bridge} -m comment --comment SNAT -j SNAT --to-source {snat}",
              "masquerade", "com.docker.network.host_ipv4"),
    _template("nat-postrouting-in",
              '-m addrtype --src-type LOCAL -m comment --comment "MASQUERADE FROM HOST" -j MASQUERADE',
              "host-masquerade", "--userland-proxy=false"),
    _template("nat-postrouting-in", '-m addrtype --src-type LOCAL -m comment --comment "SNAT FROM HOST" '
              "-j SNAT --to-source {snat}", "host-masquerade", "--userland-proxy=false"),
    _template("nat-postrouting-in", f"-s {{address}} -d {{address}} {_PORT} {{container_port}} "
              '-m comment --comment "MASQ TO OWN PORT" -j MASQUERADE', "hairpin-masquerade", "--userland-proxy=false"),
    _template("raw-PREROUTING", f"-d {{host_loopback}} -i loopback0 {_PORT} {{host_port}} "
              '-m comment --comment "ACCEPT WSL2 LOOPBACK" -j ACCEPT', "wsl2", "--publish"),
    _template("raw-PREROUTING", f"-d {{host_loopback}} ! -i lo {_PORT} {{host_port}} "
              '-m comment --comment "DROP REMOTE LOOPBACK" -j DROP', "loopback-port", "--publish"),
    _template("raw-PREROUTING", f"-d {{address}} ! -i {{bridge}} {_DIRECT} -j DROP", "direct-routing",
              "--allow-direct-routing=false"),
    # with trusted_host_interfaces
    _template("raw-PREROUTING", f"-d {{address}} {_DIRECT} {{not_from}}-j DROP", "direct-routing",
              "trusted_host_interfaces"),
)  # fmt: skip


def chain_of(name: str) -> tuple[str, str]:
    """Return the name of a chain without the bridge of its network, and the bridge, "" if it is not of one network.

    >>> chain_of("filter-forward-in__docker0"), chain_of("raw-PREROUTING")
    (('filter-forward-in', 'docker0'), ('raw-PREROUTING', ''))
    """
    chain, _, bridge = name.partition("__")
    return (chain, bridge) if chain in NETWORK_CHAINS else (name, "")
