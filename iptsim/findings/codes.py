"""The stable codes of findings, most serious first, each with its severity and its meaning."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from iptsim.languages import Message, message

Severity = Literal["critical", "high", "medium", "low", "info"]
#: The gravest first.
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


class Kind(NamedTuple):
    """What all findings of a code have in common.

    Attributes:
        severity: critical: open to the internet against the intent of the rules; high: an expected connection fails, or
            a protection does not work; medium and low: less serious; info: good to know.
        meaning: one sentence.
    """

    severity: Severity
    meaning: Message


#: All codes, most serious first. `docs/findings.md` is made from this table.
CODES: dict[str, Kind] = {
    "firewall-bypassed": Kind(
        "critical",
        message("A published port is open although rules in INPUT deny it: the packets never pass INPUT."),
    ),
    "loopback-port-reachable": Kind(
        "critical",
        message("A port is published on 127.0.0.1 only, but other hosts on the link can reach it."),
    ),
    "container-port-open": Kind(
        "critical", message("Unpublished ports of a container can be reached from outside.")
    ),
    "ipv6-open": Kind("critical", message("Traffic that the IPv4 rules block is accepted over IPv6.")),
    "service-open": Kind(
        "high",
        message("A database or administration service is open to every address of the internet."),
    ),
    "docker-rules-flushed": Kind(
        "high", message("Docker runs containers, but some of its rules, or the jumps to them, are missing.")
    ),
    "docker-user-not-asked": Kind(
        "high", message("Nothing jumps to DOCKER-USER, so its rules have no effect.")
    ),
    "docker-user-late": Kind(
        "high",
        message("DOCKER-USER comes after Docker's own rules, which may already have accepted the packet."),
    ),
    "docker-user-after-return": Kind(
        "high", message("A rule in DOCKER-USER comes after the RETURN that ends the chain.")
    ),
    "docker-user-appended": Kind(
        "medium",
        message(
            "In a pasted text: a rule is appended to DOCKER-USER, which up to Docker 27 ends with a RETURN."
        ),
    ),
    "docker-user-host-port": Kind(
        "high",
        message(
            "A rule in DOCKER-USER matches the host's port, but packets there have the container's port."
        ),
    ),
    "docker-user-blocks-replies": Kind(
        "high", message("A rule in DOCKER-USER drops the replies of connections that it allows.")
    ),
    "forward-rules-late": Kind(
        "high",
        message(
            "Rules of FORWARD that restrict containers come after Docker's, which accept the packets first."
        ),
    ),
    "bans-not-for-containers": Kind(
        "high",
        message("INPUT blocks senders, but not their packets to published ports, which never pass INPUT."),
    ),
    "output-not-for-containers": Kind(
        "low", message("In a pasted text about Docker: OUTPUT blocks what containers may still send.")
    ),
    "subnet-overlaps": Kind(
        "high", message("A network of Docker has addresses of a network behind another interface.")
    ),
    "same-address": Kind("medium", message("Two interfaces of the host have the same address and subnet.")),
    "input-not-for-containers": Kind(
        "medium",
        message("In a pasted text about Docker: INPUT blocks ports, but published ports do not pass INPUT."),
    ),
    "bans-not-reached": Kind(
        "high", message("In a pasted text: no rule jumps to a chain of banned addresses.")
    ),
    "icc-off-not-enforced": Kind(
        "high", message("icc is off, but iptables does not see the traffic between containers of a bridge.")
    ),
    "ip-forward-off": Kind(
        "high",
        message(
            "The host does not route: containers and networks behind it reach no others, and no port is forwarded."
        ),
    ),
    "published-without-dnat": Kind(
        "high", message("A port is published, but no rule forwards it to the container.")
    ),
    "published-without-accept": Kind(
        "high", message("A published port is forwarded, but no Docker rule accepts the packets.")
    ),
    "published-refused": Kind(
        "high", message("A published port is forwarded, but a rule of FORWARD that names no port blocks it.")
    ),
    "forwarded-twice": Kind(
        "high", message("Two Docker rules forward the same port: the first one takes all its packets.")
    ),
    "nat-accept-before-docker": Kind(
        "high", message("Another program's nat rule accepts the packet before Docker can forward it.")
    ),
    "swarm-ingress-gone": Kind(
        "high", message("Nothing jumps to DOCKER-INGRESS, so the ports of swarm services are not forwarded.")
    ),
    "notrack-stops-nat": Kind(
        "high", message("A rule in table raw turns tracking off for packets that nat should translate.")
    ),
    "dnat-to-loopback": Kind(
        "high",
        message("A port forward leads to 127.0.0.0/8, where the kernel routes no packets from outside."),
    ),
    "forward-names-old-port": Kind(
        "high",
        message(
            "A rule of FORWARD or INPUT is for the port that a port forward or redirect has already replaced."
        ),
    ),
    "nftables-drops-forwarded": Kind(
        "high",
        message(
            "A base chain of nftables drops packets to a forwarded or published port, or from behind the host."
        ),
    ),
    "forward-drop-hits-others": Kind(
        "high",
        message("Docker set the FORWARD policy to DROP, which also cuts off another bridge of this host."),
    ),
    "forward-drop-pods": Kind(
        "high", message("The FORWARD policy is DROP, and no rule accepts the packets of pods.")
    ),
    "podman-rules-flushed": Kind(
        "high", message("In a pasted text: rules of Podman are missing, as another program has removed them.")
    ),
    "forward-blocks-replies": Kind(
        "high",
        message("FORWARD lets packets from behind the host out, but blocks the replies to them."),
    ),
    "replies-not-counted": Kind(
        "high",
        message("A rule let packets out, but the rule for their replies counted none: none came back."),
    ),
    "marked-after-routing": Kind(
        "high",
        message("The host's own packets are marked for policy routing after the kernel has routed them."),
    ),
    "redirect-takes-forwarded": Kind(
        "high", message("A REDIRECT or DNAT also catches connections that containers make to other hosts.")
    ),
    "output-drop": Kind("high", message("The rules of OUTPUT drop new connections of the host itself.")),
    "output-drops-replies": Kind(
        "high", message("The rules of OUTPUT drop the replies of services that INPUT allows.")
    ),
    "input-drops-replies": Kind(
        "high", message("The rules of INPUT drop the replies to connections of the host itself.")
    ),
    "input-drops-loopback": Kind(
        "high", message("The rules of INPUT drop the connections of the host to itself.")
    ),
    "output-drops-loopback": Kind(
        "high", message("The rules of OUTPUT block the connections of the host to itself.")
    ),
    "reverse-path-drops": Kind(
        "high", message("Strict rp_filter drops packets from the internet that arrive on a second uplink.")
    ),
    "replies-leave-by-vpn": Kind(
        "medium",
        message(
            "In a pasted text: the host's replies to the internet leave by a VPN, though the requests come by another"
            " interface."
        ),
    ),
    "established-only": Kind(
        "high",
        message("INPUT accepts a port for established connections only, so none can be established."),
    ),
    "host-without-names": Kind(
        "high", message("The rules let the host connect to web servers, but block its DNS queries.")
    ),
    "neighbour-discovery-blocked": Kind(
        "high",
        message("The IPv6 rules block neighbour discovery, without which IPv6 does not work."),
    ),
    "guests-without-names": Kind(
        "high", message("The rules of INPUT block what guests ask the host's name server on their bridge.")
    ),
    "route-localnet": Kind("high", message("The host accepts packets to 127.0.0.0/8 from the network.")),
    "accept-all": Kind(
        "high", message("A rule accepts every packet, so the rules after it are never evaluated.")
    ),
    "behind-final-rule": Kind(
        "high", message("A rule blocks every packet, and the rules of another program come after it.")
    ),
    "wrong-interface": Kind(
        "high", message("A rule names a network card that the host does not have, instead of its uplink.")
    ),
    "port-of-bridge": Kind(
        "high", message("A rule names a port of a bridge, by which no packet arrives or leaves.")
    ),
    "refused-command": Kind(
        "high",
        message(
            "In a pasted text: iptables, nft or firewall-cmd rejects a command, so what it adds is missing."
        ),
    ),
    "container-loopback": Kind(
        "high",
        message("In a pasted text: a container connects to localhost, but the service is in another one."),
    ),
    "name-not-resolved": Kind(
        "high",
        message(
            "In a pasted text: a container cannot resolve another one's name, because of their networks."
        ),
    ),
    "port-not-published": Kind(
        "high",
        message("In a pasted text: a connection goes to a port of a container that is not published."),
    ),
    "container-stopped": Kind(
        "high", message("In a pasted text: a connection goes to a port of a container that does not run.")
    ),
    "quoted-command": Kind(
        "high",
        message("In a pasted text: quotation marks in a Compose file become part of a command, which fails."),
    ),
    "port-taken": Kind(
        "high", message("In a pasted text: Docker or Podman cannot publish a port, as it is in use already.")
    ),
    "privileged-port": Kind(
        "high", message("In a pasted text: a rootless container cannot publish a port below 1024.")
    ),
    "address-pool-full": Kind("high", message("Docker finds no free subnet for a network.")),
    "subnet-taken": Kind(
        "high", message("In a pasted text: the subnet of a new network overlaps with another one.")
    ),
    "internal-not-published": Kind(
        "high", message("The settings publish a port of a container that has only internal networks.")
    ),
    "rejected-rule": Kind("high", message("The kernel rejects a rule, so it does not exist.")),
    "ports-discarded": Kind(
        "medium",
        message(
            "Settings publish a port of a container in the host's network, or on macvlan: Docker ignores it."
        ),
    ),
    "docker-user-not-ipv6": Kind(
        "medium", message("Docker's IPv6 rules have no chain DOCKER-USER, where users restrict ports.")
    ),
    "proxy-unrouted": Kind(
        "high",
        message("A transparent proxy takes packets that no routing rule leads to it: they are dropped."),
    ),
    "macvlan-host": Kind(
        "medium",
        message("A macvlan or ipvlan network has containers, which the host itself cannot reach."),
    ),
    "rate-limit-inverted": Kind(
        "medium", message("A rule blocks packets up to a rate, and lets those beyond it pass.")
    ),
    "flushes-docker": Kind(
        "medium",
        message("In a pasted text about Docker: a command removes all rules of a table, also Docker's."),
    ),
    "icc-off-unchecked": Kind(
        "medium",
        message(
            "In a pasted text: a rule between containers of one bridge, which br_netfilter must be loaded for."
        ),
    ),
    "source-port-trusted": Kind(
        "medium", message("A rule of INPUT opens all ports to whoever sends from a certain port.")
    ),
    "wrong-chain": Kind(
        "medium", message("A rule of INPUT is for packets that the host forwards, which never pass INPUT.")
    ),
    "misspelt-interface": Kind(
        "medium",
        message("A rule names an interface that differs by one letter, or its number, from another."),
    ),
    "alias-interface": Kind(
        "medium", message("A rule names an alias such as eth0:1, or a list: no interface is called so.")
    ),
    "redirect-takes-own": Kind(
        "medium",
        message("A REDIRECT or DNAT in OUTPUT also catches what the program sends that it leads to."),
    ),
    "service-without-endpoints": Kind(
        "medium", message("A service of Kubernetes has no endpoints, so kube-proxy blocks its connections.")
    ),
    "docker-user-drops-outgoing": Kind(
        "medium", message("A rule in DOCKER-USER for all packets also drops what containers send.")
    ),
    "forward-without-return": Kind(
        "medium",
        message(
            "In a pasted text: a port forward leaves by the uplink again, so the replies do not come back."
        ),
    ),
    "hairpin": Kind(
        "medium", message("A port forward does not work for clients in the network of its own target.")
    ),
    "logs-only": Kind(
        "medium", message("A chain whose name says that it blocks only logs: its packets continue.")
    ),
    "not-masqueraded": Kind(
        "medium",
        message("Connections leave the host with a private address: replies do not come back."),
    ),
    "masquerades-elsewhere": Kind(
        "medium",
        message("In a pasted text: rules masquerade only by a network card that is not the uplink."),
    ),
    "masquerade-off": Kind(
        "medium",
        message("In a pasted text: settings of a Docker network switch masquerading off."),
    ),
    "docker-chain-edited": Kind(
        "medium",
        message("A rule that blocks senders is in a chain that Docker flushes, and fills, when it starts."),
    ),
    "zone-of-bridges": Kind(
        "medium",
        message("In a pasted text: a rule of a firewalld zone is for senders that do not arrive there."),
    ),
    "zone-not-forwarded": Kind(
        "medium",
        message("In a pasted text: firewalld forwards nothing from the zone of a tunnel or of guests."),
    ),
    "direct-routing-blocked": Kind(
        "medium",
        message("Docker drops packets to a container's own address that do not arrive on its bridge."),
    ),
    "larger-than-uplink": Kind(
        "medium",
        message("Containers may send larger packets than the uplink carries: connections can hang."),
    ),
    "ipv6-rules-not-enabled": Kind(
        "medium",
        message("Containers have IPv6 addresses, but Docker before 27 writes no IPv6 rules for them."),
    ),
    "mixed-backends": Kind("medium", message("Rules of both iptables-legacy and iptables-nft are active.")),
    "connection-not-translated": Kind(
        "medium", message("A tracked connection was made without the translation that others like it got.")
    ),
    "spoofing-gains-access": Kind(
        "medium",
        message("An interface accepts a spoofed source that is allowed more than its own sources."),
    ),
    "counters-grew": Kind(
        "low", message("Of two listings of the same rules: the rules whose counters grew in between.")
    ),
    "rules-gone": Kind(
        "low", message("Of two listings of the same rules: the rules that the later one lacks.")
    ),
    "forward-needs-return": Kind(
        "low",
        message("In a pasted text: a port forward whose replies may not return."),
    ),
    "port-forward-not-for-host": Kind(
        "low", message("A port forward in PREROUTING does not apply to connections of the host itself.")
    ),
    "source-port-blocked": Kind(
        "low",
        message("In a pasted text: a rule blocks packets from the port of a service, not connections to it."),
    ),
    "stale-rule": Kind("low", message("A Docker rule is for an address that no container has.")),
    "not-published-ipv6": Kind(
        "low", message("A port is published for IPv4 only, although the host has an IPv6 address.")
    ),
    "docker-user-port": Kind(
        "low", message("A rule in DOCKER-USER names a port: it is the container's, not the published one.")
    ),
    "clients-masqueraded": Kind(
        "low", message("A rule masquerades incoming connections, so containers do not see their clients.")
    ),
    "ftp-without-helper": Kind(
        "low",
        message("In a pasted text: the rules let FTP's commands through, but not its data connections."),
    ),
    "forward-drop": Kind(
        "low", message("The FORWARD policy is DROP, and no rule accepts what is forwarded for others.")
    ),
    "host-closed-to-containers": Kind(
        "low",
        message("The rules of INPUT block what containers send to services and published ports of the host."),
    ),
    "nftables-forward-drop": Kind(
        "low", message("A base chain of nftables drops what is forwarded, unless its own rules accept it.")
    ),
    "never-matches": Kind(
        "low",
        message("A rule never matches: no packet is left for it, or its conditions contradict each other."),
    ),
    "unreferenced-chain": Kind("low", message("A chain has rules, but nothing jumps to it.")),
    "empty-chain": Kind("low", message("A rule jumps to a chain that has no rules.")),
    "listens-on-loopback": Kind(
        "info", message("In a pasted text: a service listens on 127.0.0.1 only, so others cannot connect.")
    ),
    "published-on-loopback": Kind(
        "info", message("In a pasted text: a port of a container is published on 127.0.0.1 only.")
    ),
    "docker-user-private-sources": Kind(
        "info", message("In a pasted text: DOCKER-USER lets all private addresses past its restrictions.")
    ),
    "ssh-forwarded": Kind(
        "info", message("In a pasted text: a port forward takes tcp/22, the port of the host's own SSH.")
    ),
    "bans-one-port": Kind("info", message("In a pasted text: a jail for ssh bans from port 22 only.")),
    "input-blocks-nothing": Kind("info", message("In a pasted text: INPUT blocks nothing, by its policy.")),
    "bans-behind-established": Kind(
        "info",
        message("In a pasted text: bans come after a rule that accepts established connections."),
    ),
    "limit-sees-first-only": Kind(
        "info",
        message(
            "In a pasted text: a limit for pings comes after a rule that accepts established connections."
        ),
    ),
    "neighbour-discovery-logged": Kind(
        "info",
        message("In a pasted text: the firewall has logged, so probably blocked, neighbour discovery."),
    ),
    "redirects-own-only": Kind(
        "info",
        message("In a pasted text: rules redirect the host's own connections, and none of other machines."),
    ),
    "redirect-takes-every-host": Kind(
        "info",
        message("In a pasted text: a REDIRECT or DNAT takes a port of every host, not only of this one."),
    ),
    "docker-chain-missing": Kind(
        "info",
        message("In a pasted log: Docker, or firewalld for it, looked for a chain that did not exist."),
    ),
    "internal-network": Kind(
        "info",
        message("In a pasted text: the networks of Docker are internal, without a way to other hosts."),
    ),
    "forward-closed": Kind(
        "info",
        message(
            "In a pasted text: FORWARD blocks everything, by its rules or its policy, or all that an interface sends"
            " or gets."
        ),
    ),
    "output-drops-some": Kind(
        "info",
        message("In a pasted text: the rules of OUTPUT block packets of the host itself to some addresses."),
    ),
    "masquerades-some": Kind(
        "info", message("In a pasted text: the subnets and interfaces for which the rules masquerade.")
    ),
    "redundant-rule": Kind(
        "info", message("A rule changes nothing: another rule does the same with all its packets.")
    ),
    "counted-drops": Kind(
        "info",
        message("In a pasted text: the rules and policies that have blocked packets, by their counters."),
    ),
    "two-variants": Kind(
        "info", message("In a pasted text: versions of iptables of both variants, legacy and nf_tables.")
    ),
    "nat-empty": Kind("info", message("In a pasted text: table nat has no rules.")),
    "docker-writes-no-rules": Kind(
        "info", message("In a pasted text: dockerd runs with iptables=false, so it writes no rules.")
    ),
    "closed-by-default": Kind(
        "info",
        message(
            "In a pasted text: what INPUT accepts from the internet, if it blocks all other new connections."
        ),
    ),
    "not-checked": Kind(
        "info", message("Some rules were not checked for all packets: there are too many different ones.")
    ),
    "open-to-internet": Kind("info", message("With --audit: what is open to the internet.")),
    "source-not-checked": Kind(
        "info", message("With --audit: an interface accepts packets from addresses that are not behind it.")
    ),
}
