"""Reads the files of a capture into a :class:`Host`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from iptsim.addresses import Family
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import CaptureError
from iptsim.host import docker_inspect, dockerd_options, infer, iproute
from iptsim.host.conntrack_entries import conntrack_entries, recent_lists
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.dumps import on_top, read_dump
from iptsim.host.files import FILES, NFT_RULESET, Source
from iptsim.host.foreign import (
    ForwardingEntry,
    GuestEntry,
    LinkEntry,
    NeighbourEntry,
    RouteEntry,
    RuleEntry,
    complaint,
    converted,
)
from iptsim.host.model import Host, IpSet
from iptsim.host.namespace import InterfaceAddress, Namespace, Route
from iptsim.host.nft_chains import NftRuleset
from iptsim.host.nft_hints import hinted, hinted_chains
from iptsim.host.sockets import LISTED, read_listeners
from iptsim.languages import Text, message
from iptsim.reading import JsonFault, parse_json

T = TypeVar("T")
E = TypeVar("E", bound=BaseModel)

#: The dump of each family, and its name for the other backend.
_DUMPS: tuple[tuple[Family, str], ...] = ((4, "iptables"), (6, "ip6tables"))


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


class CaptureFiles:
    """Reads the files of one capture."""

    def __init__(
        self,
        source: Source,
        lenient: bool,
        noflush: str | Path | None = None,
        rulesets: Mapping[Family, Ruleset] | None = None,
        own: Mapping[str, Sequence[InterfaceAddress]] = MappingProxyType({}),
        *,
        tolerant: bool = False,
    ) -> None:
        self.source = source
        self.own = own
        self.lenient = lenient
        self.tolerant = tolerant
        self.noflush = noflush
        self.known_rulesets = rulesets

    def read(self) -> Host:
        """Return the host."""
        host = Host(namespace=self.namespace(), source=self.source.name)
        if self.known_rulesets is None:
            self._rulesets(host)
        else:
            host.rulesets.update(self.known_rulesets)
        with self._in("docker-network-inspect.json") as name:
            found = self._entries(name, docker_inspect.NetworkEntry)
            networks = converted(found, docker_inspect.network)
        with self._in("podman-network-inspect.json") as name:
            podman = self._entries(name, docker_inspect.PodmanNetworkEntry)
            networks += converted(podman, docker_inspect.podman_network)
        host.networks = {network.name: network for network in networks}
        for program in ("docker", "podman"):
            with self._in(f"{program}-inspect.json") as name:
                entries = self._entries(name, docker_inspect.ContainerEntry)
                for container in converted(entries, partial(docker_inspect.container, daemon=program)):
                    host.containers[container.name] = container
        with self._in("docker-network-inspect.json"):
            if "docker-inspect.json" in self.source.files:
                converted(found, partial(docker_inspect.add_members, host.containers))
        host.daemon = self._daemon(host)
        host.ipsets = self._ipsets()
        host.conntrack = self._text("conntrack.txt", lambda text: list(conntrack_entries(text))) or []
        host.recent = self._text("xt-recent.txt", recent_lists)
        host.namespace.nftables = self._nftables(host)
        infer.complete(host, self.source.files, self._guests(), self.own)
        return host

    # -- one file ----------------------------------------------------------------------------------

    def _decoded(self, name: str) -> str | None:
        data = self.source.files.get(name)
        if data is None:
            return None
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self._error(name, message("byte {start} is not UTF-8", start=error.start + 1)) from None

    def _text(self, name: str, read: Callable[[str], T]) -> T | None:
        """Return the result of `read` for a text file, or None without the file."""
        text = self._decoded(name)
        if text is None:
            return None
        with self._in(name):
            return read(text)

    @contextmanager
    def _in(self, name: str) -> Iterator[str]:
        """Turn a parser's error into one that names the file."""
        try:
            yield name
        except (ValueError, LookupError) as error:
            raise self._error(name, complaint(error)) from None

    def _json(self, name: str, kind: type[T]) -> T | None:
        """Return the contents of a JSON file, or None if it is missing or empty."""
        data = self.source.files.get(name)
        if not data or not data.strip():
            return None
        try:
            value = parse_json(data)
        except JsonFault as fault:
            advice = message("save the file again with `{files}`, or remove it", files=FILES[name])
            raise fault.pointed(data, f"{self.source.name}/{name}", advice) from None
        except ValueError as error:
            raise self._error(name, complaint(error)) from None
        try:
            found: T = _adapter(kind).validate_python(value)  # type: ignore[arg-type]
        except ValidationError as error:
            what = complaint(error)
            if not error.errors()[0]["loc"]:
                what = message("the whole file: {what}", what=what)
            raise self._error(name, what) from None
        return found

    def _entries(self, name: str, kind: type[E]) -> list[E]:
        return self._json(name, list[kind]) or []  # type: ignore[valid-type]

    def _error(self, name: str, what: Text) -> CaptureError:
        return CaptureError(
            message(
                "{name}: {name2}: {what}\n  save the file again with `{files}`, or remove it",
                name=self.source.name,
                name2=name,
                what=what,
                files=FILES[name],
            )
        )

    # -- parts of the host -------------------------------------------------------------------------

    def _rulesets(self, host: Host) -> None:
        files = self.source.files
        for family, tool in _DUMPS:
            if f"{tool}-save.txt" in files:
                host.rulesets[family] = self._ruleset(f"{tool}-save.txt", family)
            for backend, name in (
                ("legacy", f"{tool}-legacy-save.txt"),
                ("nf_tables", f"{tool}-nft-save.txt"),
            ):
                if name not in files:
                    continue
                ruleset = self._ruleset(name, family)
                ruleset.backend = backend
                main = host.rulesets.setdefault(family, ruleset)
                if ruleset.tables and ruleset.tables != main.tables and backend != main.backend:
                    host.extra_rulesets[family] = ruleset
        if not host.rulesets and NFT_RULESET in files:
            # iptables is not installed
            host.rulesets.update({family: Ruleset(family=family, tables={}) for family, _ in _DUMPS})
        if self.noflush is not None:
            added = on_top(host.rulesets, self.noflush, self.lenient)
            host.rulesets[added.family] = added

    def _ruleset(self, name: str, family: Family) -> Ruleset:
        path = f"{self.source.name}/{name}"
        return read_dump(self.source.files[name], path, family, self.lenient, tolerant=self.tolerant)

    def namespace(self) -> Namespace:
        """Return the host's own namespace, without nftables."""
        links, ports = (self._entries(name, LinkEntry) for name in ("ip-link.json", "bridge-link.json"))
        with self._in("ip-addr.json") as name:
            interfaces = iproute.interfaces(self._entries(name, LinkEntry), links, ports)
        with self._in("ip-rule.json") as name:
            rules = iproute.rules(self._entries(name, RuleEntry), 4)
        with self._in("ip6-rule.json") as name:
            rules += iproute.rules(self._entries(name, RuleEntry), 6)
        with self._in("ip-neigh.json") as name:
            neighbours = iproute.neighbours(self._entries(name, NeighbourEntry))
        return Namespace(
            name="host",
            interfaces=interfaces,
            routes=self._routes(),
            rules=rules,
            sysctls=self._text("sysctl.txt", iproute.sysctls) or {},
            neighbours=neighbours,
            forwarding=iproute.forwarding(self._entries("bridge-fdb.json", ForwardingEntry)),
            listeners=self._text("ss.txt", read_listeners) or (),
            listed=LISTED if "ss.txt" in self.source.files else frozenset(),
        )

    def _ipsets(self) -> dict[str, IpSet] | None:
        if "ipset-save.txt" not in self.source.files:
            return None
        from iptsim.host.ipsets import read_ipsets

        return self._text("ipset-save.txt", read_ipsets)

    def _nftables(self, host: Host) -> NftRuleset | None:
        """Return the nftables base chains that iptables did not create, or hints that such chains exist."""
        rulesets = [*host.rulesets.values(), *host.extra_rulesets.values()]
        if NFT_RULESET not in self.source.files:
            return hinted(rulesets, host.daemon)
        from iptsim.host import nftables

        entry = self._json(NFT_RULESET, nftables.RulesetEntry)
        found = NftRuleset() if entry is None else nftables.read_nftables(entry)
        return nftables.without_iptables(found, rulesets)

    def _routes(self) -> list[Route]:
        """Return all routes; without -4, `ip route show table all` prints those of IPv6 as well."""
        with self._in("ip-route.json") as name:
            routes = iproute.routes(self._entries(name, RouteEntry), 4)
        if "ip6-route.json" in self.source.files:
            with self._in("ip6-route.json") as name:
                own = iproute.routes(self._entries(name, RouteEntry), 6)
            routes = [route for route in routes if route.family == 4] + own
        return routes

    def _guests(self) -> dict[str, Namespace]:
        with self._in("container-netns.json") as name:
            entries = self._json(name, dict[str, GuestEntry]) or {}
            guests = [_guest(guest, entry) for guest, entry in entries.items()]
        # every namespace has lo: one without an interface could not be entered
        return {found.name: found for found in guests if found.interfaces}

    def _daemon(self, host: Host) -> DockerDaemon | None:
        info = self._json("docker-info.json", dockerd_options.InfoEntry)
        version = self._text("docker-version.txt", dockerd_options.engine_version)
        command = self._text("dockerd-cmdline.txt", lambda text: dockerd_options.options_of(text.split()))
        settings = self._json("daemon.json", dict[str, Any]) or {}
        with self._in("daemon.json") as name:
            sources = [("dockerd-cmdline.txt", command or {}), (name, dockerd_options.file_options(settings))]
        if command is None:
            # The command line has already been split into words.
            sources.append(
                ("default-docker", self._text("default-docker", dockerd_options.shell_options) or {})
            )
        if info is not None:
            given = {
                "live-restore": info.live_restore,
                "firewall-backend": info.backend and info.backend.driver,
            }
            found = {name: value for name, value in given.items() if value is not None}
            sources.append(("docker-info.json", found))
        if info is None and version is None and not any(options for _, options in sources):
            return None
        return dockerd_options.make_daemon(
            sources, version or (info.version if info else None), host.networks.values()
        )


def _guest(name: str, entry: GuestEntry) -> Namespace:
    routes = [
        *iproute.routes(entry.route or (), 4, f"{name}.route"),
        *iproute.routes(entry.route6 or (), 6, f"{name}.route6"),
    ]
    families: tuple[tuple[Family, str | None], ...] = ((4, entry.iptables), (6, entry.ip6tables))
    hints = [chain for family, text in families for chain in hinted_chains((text or "").splitlines(), family)]
    return Namespace(
        name=name,
        interfaces=iproute.interfaces(entry.addr),
        routes=routes,
        rules=[
            *iproute.rules(entry.rule, 4, f"{name}.rule"),
            *iproute.rules(entry.rule6, 6, f"{name}.rule6"),
        ],
        sysctls=iproute.sysctls(entry.sysctl or ""),
        iptables=entry.iptables,
        ip6tables=entry.ip6tables,
        resolv_conf=entry.resolv_conf,
        listeners=read_listeners(entry.sockets or ""),
        listed=frozenset() if entry.sockets is None else LISTED,
        nftables=NftRuleset(chains=tuple(hints)) if hints else None,
    )
