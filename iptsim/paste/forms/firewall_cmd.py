"""`firewall-cmd --list-all`: the zones of firewalld, converted to the rules that firewalld writes for them.

`firewall-cmd --list-all-policies`: what may pass from zone to zone; a text with them does not show the rules.

Source: firewalld.zone(5), firewalld.richlanguage(5), and the rules of firewalld 0.9 to 2.1
(src/firewall/core/ipXtables.py, fw_zone.py, fw_policy.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from iptsim.host.pasted import FirewalldPolicy, FirewalldZone
from iptsim.paste.forms import firewall_commands
from iptsim.paste.lines import Line
from iptsim.paste.pieces import (
    ChainItem,
    GapItem,
    Item,
    Piece,
    RuleItem,
    Rules,
    Segment,
    Zone,
    made_words,
)
from iptsim.paste.prompts import Command

_ZONE = re.compile(r"\s*(?P<name>[A-Za-z0-9_-]{1,17})(?:\s+\((?P<flags>[a-z, ]+)\))?\s*$")
_FIELD = re.compile(
    r"\s*(?P<name>target|icmp-block-inversion|interfaces|sources|services|ports|protocols|forward|masquerade"
    r"|forward-ports|source-ports|icmp-blocks|rich rules|egress-priority|ingress-priority|priority|ingress-zones"
    r"|egress-zones|disable):\s*(?P<value>.*?)\s*$"
)
#: A forward-port or a rich rule, each on its own line.
_ENTRY = re.compile(r"\s*(?:port=\S|rule\b)")
_FORWARD_PORT = re.compile(
    r"port=(?P<port>\d+(?:-\d+)?):proto=(?P<proto>\w+):(?:toport=(?P<toport>[\d-]*))?:?(?:toaddr=(?P<toaddr>\S*))?"
)
_RICH = re.compile(
    r"rule(?:\s+priority=\"?(?P<priority>-?\d+)\"?)?(?:\s+family=\"?(?P<family>ipv[46])\"?)?"
    r"(?:\s+source\s+(?P<not_source>NOT\s+)?address=\"?(?P<source>[0-9a-fA-F.:/]+)\"?(?P<invert>\s+invert=\"?\w+\"?)?)?"
    r"(?:\s+destination\s+(?P<not_dest>NOT\s+)?address=\"?(?P<dest>[0-9a-fA-F.:/]+)\"?)?"
    r"(?:\s+(?:service\s+name=\"?(?P<service>[\w.-]+)\"?"
    r"|port\s+port=\"?(?P<port>[\d-]+)\"?\s+protocol=\"?(?P<proto>\w+)\"?"
    r"|protocol\s+value=\"?(?P<protocol>\w+)\"?))?"
    r"(?:\s+(?:log|nflog)\b(?:\s+(?:prefix|level|group)=\"[^\"]*\"|\s+(?:prefix|level|group)=\S+)*)?"
    r"(?:\s+limit\s+value=\"?\S+?\"?)?(?:\s+audit)?"
    r"\s+(?P<action>accept|drop|reject)(?:\s+type=\"?[\w-]+\"?)?\s*"
)
_END = ("-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP")
_REFUSE = ("-j", "REJECT", "--reject-with", "icmp-host-prohibited")
_TEXT = """
ssh 22/tcp; http 80/tcp; https 443/tcp; http3 443/udp; dhcpv6-client; dhcpv6 547/udp; cockpit 9090/tcp
dns 53/tcp 53/udp; dns-over-tls 853/tcp; dhcp 67/udp; ntp 123/udp; ftp 21/tcp; tftp 69/udp; telnet 23/tcp
smtp 25/tcp; smtps 465/tcp; smtp-submission 587/tcp; imap 143/tcp; imaps 993/tcp; pop3 110/tcp; pop3s 995/tcp
ldap 389/tcp; ldaps 636/tcp; kerberos 88/tcp 88/udp; kadmin 749/tcp; kpasswd 464/tcp 464/udp; snmp 161/tcp 161/udp
snmptrap 162/tcp 162/udp; syslog 514/udp; samba 139/tcp 445/tcp 137/udp 138/udp; samba-client 137/udp 138/udp
nfs 2049/tcp; nfs3 2049/tcp 2049/udp; mountd 20048/tcp 20048/udp; rpc-bind 111/tcp 111/udp; rsyncd 873/tcp 873/udp
mysql 3306/tcp; postgresql 5432/tcp; redis 6379/tcp; mongodb 27017/tcp; elasticsearch 9300/tcp 9200/tcp
ipp 631/tcp 631/udp; ipp-client 631/udp; vnc-server 5900-5903/tcp; rdp 3389/tcp
openvpn 1194/udp; wireguard 51820/udp; ipsec /esp /ah 500/udp 4500/udp 4500/tcp; squid 3128/tcp
docker-registry 5000/tcp; docker-swarm 2377/tcp 7946/tcp 7946/udp 4789/udp /esp; kube-apiserver 6443/tcp
kube-control-plane 2379/tcp 2380/tcp 6443/tcp 10251/tcp 10252/tcp; kubelet 10250/tcp
kube-worker 10250/tcp 30000-32767/tcp
etcd-client 2379/tcp; etcd-server 2380/tcp; libvirt 16509/tcp; libvirt-tls 16514/tcp; grafana 3000/tcp
prometheus 9090/tcp; prometheus-node-exporter 9100/tcp
git 9418/tcp; svn 3690/tcp; mosh 60000-61000/udp; irc 6667/tcp; ircs 6697/tcp; jenkins 8080/tcp
transmission-client 51413/tcp 51413/udp; zabbix-agent 10050/tcp; zabbix-server 10051/tcp; xmpp-client 5222/tcp
xmpp-server 5269/tcp; sip 5060/tcp 5060/udp; sips 5061/tcp 5061/udp
high-availability 2224/tcp 3121/tcp 5403/tcp 5404/udp 5405-5412/udp 9929/tcp 9929/udp 21064/tcp
"""
#: The ports of each service for IPv4, such as "22/tcp" (config/services/*.xml of firewalld). A protocol without ports
#: has no number.
SERVICES: dict[str, tuple[str, ...]] = {
    name: tuple(ports)
    for entry in _TEXT.replace("\n", ";").split(";")
    if entry.strip()
    for name, *ports in [entry.split()]
}
#: For a multicast address alone, so nothing for any other packet.
SERVICES["mdns"] = ()


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the zones that start at a line, or None."""
    zones: list[Zone] = []
    first, last = at, at
    while at < len(lines):
        zone, end = _zone(lines, at, command)
        if zone is None:
            break
        zones.append(zone)
        last = end - 1
        at = end
        while at < len(lines) and lines[at].is_blank:
            at += 1
    if not zones:
        return None
    firewall_commands.change(lines, last + 1, zones)
    policies = [_policy(zone) for zone in zones if _is_policy(zone)]
    if policies:
        zones = [zone for zone in zones if not _is_policy(zone)]
        pieces: list[Piece] = [*policies, *zones]
        form = "zones and policies of firewalld" if zones else "policies of firewalld"
        return Segment("firewall-cmd", form, first, last, pieces, table="filter" if zones else None)
    if len(zones) == 1 and command is None and "target" in zones[0].fields:
        zones[0].default = True
    return Segment("firewall-cmd", "zones of firewalld", first, last, [*zones], table="filter")


def _zone(lines: list[Line], at: int, command: Command | None) -> tuple[Zone | None, int]:
    """Return the zone that starts at a line, and the index of the line after it."""
    heading = _ZONE.match(lines[at].text)
    if heading is None or at + 1 >= len(lines) or not _FIELD.match(lines[at + 1].text):
        return None, at
    default = "default" in (heading["flags"] or "")
    if command is not None and command.words[:1] == ("--list-all",) and command.option("--zone") is None:
        default = True
    zone = Zone(heading["name"], default, lines[at].number)
    current = ""
    at += 1
    while at < len(lines):
        text = lines[at].text
        if found := _FIELD.match(text):
            current = found["name"]
            value = found["value"]
            # the first of these may follow the colon
            entries = [value] if current in ("forward-ports", "rich rules") and value else value.split()
            zone.fields[current] = entries
        elif current in ("forward-ports", "rich rules") and _ENTRY.match(text):
            zone.fields[current].append(text.strip())
        else:
            break
        at += 1
    return zone, at


def rules_of_zones(listed: Sequence[Zone]) -> list[Rules]:
    """Return the rules that firewalld writes for zones; zones of the same name are merged."""
    zones: dict[str, Zone] = {}
    for zone in listed:
        known = zones.setdefault(zone.name, Zone(zone.name, False, zone.line))
        known.default |= zone.default
        known.fields |= zone.fields
        if "target" in zone.fields:
            known.line, known.unread = zone.line, zone.unread
    return _Writer(list(zones.values())).rules() if zones else []


def _is_policy(zone: Zone) -> bool:
    """Return whether what looks like a zone is a policy (firewalld.policy(5))."""
    return bool({"ingress-zones", "egress-zones"} & zone.fields.keys())


def _policy(zone: Zone) -> FirewalldPolicy:
    """Return the policy that looks like a zone."""
    return FirewalldPolicy(
        zone.line,
        zone.name,
        tuple(_words(zone, "ingress-zones")),
        tuple(_words(zone, "egress-zones")),
        " ".join(_words(zone, "target")),
        tuple(_words(zone, "forward-ports")),
    )


def full_zones(listed: Sequence[Zone]) -> Iterator[FirewalldZone]:
    """Yield the zones whose target is listed."""
    for zone in listed:
        if "target" in zone.fields:
            rich = any(text.endswith(" masquerade") for text in _words(zone, "rich rules"))
            masquerades = rich or _words(zone, "masquerade") == ["yes"]
            yield FirewalldZone(
                zone.line, zone.name, tuple(_words(zone, "interfaces")), _target(zone), masquerades
            )


def _words(zone: Zone, name: str) -> list[str]:
    return zone.fields.get(name, [])


def _target(zone: Zone) -> str:
    return " ".join(_words(zone, "target")) or "default"


class _Writer:
    """Writes the rules that firewalld makes of zones."""

    def __init__(self, zones: Sequence[Zone]) -> None:
        self.zones = zones
        self.line = zones[0].line

    def rules(self) -> list[Rules]:
        """Return table filter, whose FORWARD chain is not shown, and table nat."""
        items: list[Item] = [ChainItem("INPUT", "ACCEPT", None, self.line)]
        state = "RELATED,ESTABLISHED,DNAT"
        items += [
            self._rule("INPUT", "-m", "conntrack", "--ctstate", state, "-j", "ACCEPT"),
            self._rule("INPUT", "-i", "lo", "-j", "ACCEPT"),
            self._rule("INPUT", "-j", "INPUT_ZONES"),
            self._rule("INPUT", *_END),
            self._rule("INPUT", *_REFUSE),
            ChainItem("INPUT_ZONES", None, None, self.line, 1),
            *self._dispatch(),
        ]
        for zone in self.zones:
            self.line = zone.line
            items += self._zone(zone)
        filtered = Rules("filter", 4, items, printed=True, status=True)
        nat = [item for zone in self.zones for item in self._nat(zone)]
        return [filtered, Rules("nat", 4, nat, status=True)] if nat else [filtered]

    def _rule(self, chain: str, *words: str) -> RuleItem:
        made = made_words(words)
        return RuleItem(chain, made, self.line, " ".join(words))

    def _dispatch(self) -> Iterator[Item]:
        """Yield the rules that choose the zone: by source, by interface, else the default zone."""
        for zone in self.zones:
            for source in _words(zone, "sources"):
                if re.fullmatch(r"[0-9.]+(?:/\d+)?", source):
                    yield self._rule("INPUT_ZONES", "-s", source, "-g", f"IN_{zone.name}")
                elif not re.fullmatch(r"[0-9a-fA-F:]*:[0-9a-fA-F:.]*(?:/\d+)?", source):
                    yield GapItem("INPUT_ZONES", self.line, source)
        for zone in self.zones:
            for interface in _words(zone, "interfaces"):
                yield self._rule("INPUT_ZONES", "-i", interface, "-g", f"IN_{zone.name}")
        default = next((zone for zone in self.zones if zone.default), None)
        if default is not None:
            yield self._rule("INPUT_ZONES", "-g", f"IN_{default.name}")
        else:
            yield GapItem("INPUT_ZONES", self.line, "")

    def _zone(self, zone: Zone) -> Iterator[Item]:
        name = f"IN_{zone.name}"
        for chain in (name, f"{name}_deny", f"{name}_allow"):
            yield ChainItem(chain, None, None, self.line, 1)
        if not zone.fields.keys() - {"interfaces", "sources"}:
            yield GapItem(name, self.line, "")
            return
        yield from (GapItem(f"{name}_deny", self.line, text) for text in zone.unread)
        yield self._rule(name, "-j", f"{name}_deny")
        yield self._rule(name, "-j", f"{name}_allow")
        rich = list(self._rich(zone))
        yield from (item for denies, item in rich if denies)
        for service in _words(zone, "services"):
            yield from self._service(f"{name}_allow", service, ())
        for ports, flag in (("ports", "--dport"), ("source-ports", "--sport")):
            for text in _words(zone, ports):
                yield from self._port(f"{name}_allow", text, flag)
        for protocol in _words(zone, "protocols"):
            yield self._rule(f"{name}_allow", "-p", protocol, "-j", "ACCEPT")
        yield from (item for denies, item in rich if not denies)
        if _words(zone, "icmp-blocks"):
            yield GapItem(f"{name}_deny", self.line, "")
        if "target" not in zone.fields:  # commands changed the zone, whose other rules are not shown
            yield GapItem(name, self.line, "")
            return
        if _target(zone) in ("default", "%%REJECT%%"):
            yield self._rule(name, "-p", "icmp", "-j", "ACCEPT")
        if _target(zone) != "default":
            ends = {"ACCEPT": ("-j", "ACCEPT"), "DROP": ("-j", "DROP")}
            yield self._rule(name, *ends.get(_target(zone), _REFUSE))
        else:
            yield self._rule(name, *_REFUSE)

    def _service(
        self, chain: str, service: str, conditions: Sequence[str], target: str = "ACCEPT"
    ) -> Iterator[Item]:
        if service not in SERVICES:
            yield GapItem(chain, self.line, service)
            return
        for port in SERVICES[service]:
            number, _, protocol = port.partition("/")
            words = (
                ("-p", protocol, "-m", protocol, "--dport", number.replace("-", ":"))
                if number
                else ("-p", protocol)
            )
            yield self._rule(chain, *conditions, *words, "-j", target)

    def _port(self, chain: str, text: str, flag: str) -> Iterator[Item]:
        found = re.fullmatch(r"(\d+(?:-\d+)?)/(tcp|udp|sctp|dccp)", text)
        if found is None:
            yield GapItem(chain, self.line, text)
            return
        words = ("-p", found[2], "-m", found[2], flag, found[1].replace("-", ":"))
        yield self._rule(chain, *words, "-j", "ACCEPT")

    def _rich(self, zone: Zone) -> Iterator[tuple[bool, Item]]:
        """Yield the rich rules: whether each denies, and its rule."""
        for text in _words(zone, "rich rules"):
            found = _RICH.fullmatch(text)
            if found is not None and found["family"] == "ipv6":
                continue
            known = found is not None and not found["priority"] and not found["invert"]
            denies = found is not None and found["action"] != "accept"
            chain = f"IN_{zone.name}_{'deny' if denies else 'allow'}"
            if found is None or not known:
                yield denies, GapItem(f"IN_{zone.name}_deny", self.line, text)
                continue
            words: list[str] = []
            for key, negation, option in (("source", "not_source", "-s"), ("dest", "not_dest", "-d")):
                if found[key]:
                    words += [*(["!"] if found[negation] else []), option, found[key]]
            target = {"accept": "ACCEPT", "drop": "DROP", "reject": "REJECT"}[found["action"]]
            if found["service"]:
                for item in self._service(chain, found["service"], words, target):
                    yield denies, item
                continue
            if found["port"]:
                port = found["port"].replace("-", ":")
                words += ["-p", found["proto"], "-m", found["proto"], "--dport", port]
            elif found["protocol"]:
                words += ["-p", found["protocol"]]
            yield denies, self._rule(chain, *words, "-j", target)

    def _nat(self, zone: Zone) -> Iterator[Item]:
        """Yield the rules of forward-ports and masquerading, per interface of the zone."""
        interfaces: list[tuple[str, ...]] = [(name,) for name in _words(zone, "interfaces")] or [()]
        if zone.default and len(self.zones) == 1:
            interfaces = [()]  # it takes the packets of all interfaces
        for text in _words(zone, "forward-ports"):
            found = _FORWARD_PORT.fullmatch(text)
            if found is None:
                yield GapItem("PREROUTING", self.line, text)
                continue
            ports, address = found["toport"] or found["port"], found["toaddr"] or ""
            if ":" in address:
                continue
            target = (
                ("DNAT", "--to-destination", f"{address}:{ports}")
                if address
                else ("REDIRECT", "--to-ports", ports)
            )
            proto, port = found["proto"], found["port"].replace("-", ":")
            for name in interfaces:
                match = ("-p", proto, "-m", proto, "--dport", port)
                yield self._rule("PREROUTING", *(("-i", *name) if name else ()), *match, "-j", *target)
        if _words(zone, "masquerade") == ["yes"]:
            for name in interfaces:
                out = ("-o", *name) if name else ("!", "-o", "lo")
                yield self._rule("POSTROUTING", *out, "-j", "MASQUERADE")
