"""The settings of a Docker daemon as data. Names follow dockerd(8) and daemon.json."""

from dataclasses import field

from iptsim.frozen import Frozen
from iptsim.host.docker_engine import Engine
from iptsim.languages import Message, message


class DockerDaemon(Frozen):
    """The settings of dockerd that affect packets; None means that a setting is not given, so its default applies.

    Attributes:
        version: of the engine, e.g. "28.5.2".
        generation: the layout of its rules, one of :data:`iptsim.host.docker_engine.GENERATIONS`.
        firewall_backend: "iptables" or "nftables".
        bridge: name of the default bridge (`--bridge`), "none" for no default network.
        host_binding: default address of published ports (`--ip`).
        default_address_pools: the pools from which networks get their subnets: (prefix, subnet length).
        sources: where each setting was found: field -> file.
    """

    version: str | None = None
    generation: str | None = None
    userland_proxy: bool | None = None
    icc: bool | None = None
    iptables: bool | None = None
    ip6tables: bool | None = None
    ip_forward: bool | None = None
    ip_forward_no_drop: bool | None = None
    ip_masq: bool | None = None
    ipv6: bool | None = None
    allow_direct_routing: bool | None = None
    bridge: str | None = None
    bip: str | None = None
    bip6: str | None = None
    fixed_cidr: str | None = None
    fixed_cidr_v6: str | None = None
    host_binding: str | None = None
    default_gateway: str | None = None
    firewall_backend: str | None = None
    live_restore: bool | None = None
    default_address_pools: tuple[tuple[str, int], ...] = ()
    dns: tuple[str, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def engine(self) -> Engine | None:
        """The engine, or None if neither version nor generation is known."""
        return Engine.of(self.version or self.generation or "")

    @property
    def refusal(self) -> Message | None:
        """Why dockerd does not start with these settings, as a sentence; None if it does.

        Source: `verifyDaemonSettings` of moby, daemon/daemon_unix.go.
        """
        if self.icc is False and self.iptables is False:
            return message(
                "dockerd does not start with icc=false and iptables=false: icc=false needs iptables rules."
            )
        is_newer = self.engine is not None and self.engine.major >= 28
        if is_newer and self.icc is False and self.ipv6 and self.ip6tables is False:
            return message(
                "dockerd does not start with icc=false, ipv6=true and ip6tables=false: icc=false needs ip6tables"
                " rules."
            )
        if self.bridge and (self.bip or self.bip6):
            return message(
                "dockerd does not start with both bridge and {option}: a bridge of your own has its own address.",
                option="bip" if self.bip else "bip6",
            )
        return None
