"""Codes of findings with the severity high, most important first.

An expected connection fails, or a protection does not work.
"""

from __future__ import annotations

from functools import partial

from iptsim.findings.codes.kind import Kind
from iptsim.languages import message

high = partial(Kind, "high")
#: What each code means.
KINDS: dict[str, Kind] = {
    "service-open": high(
        message("A database or administration service is open to every address of the internet."),
        explains="access",
    ),
    "dockerd-refuses-settings": high(message("dockerd does not start with these settings.")),
    "docker-rules-flushed": high(
        message("Docker runs containers, but some of its rules, or the jumps to them, are missing.")
    ),
    "docker-writes-no-rules": high(
        message(
            "In a pasted text: dockerd runs with iptables=false, so it writes no rules, and nothing else masquerades."
        )
    ),
    "docker-user-not-asked": high(
        message("Nothing jumps to DOCKER-USER, so its rules have no effect."), explains="access"
    ),
    "docker-user-late": high(
        message("DOCKER-USER comes after Docker's own rules, which may already have accepted the packet."),
        explains="access",
    ),
    "docker-user-after-return": high(
        message("A rule in DOCKER-USER comes after the RETURN that ends the chain."), explains="access"
    ),
    "docker-user-host-port": high(
        message(
            "A rule in DOCKER-USER matches the host's port, but packets there have the container's port."
        ),
        explains="access",
    ),
    "docker-user-blocks-replies": high(
        message("A rule in DOCKER-USER drops the replies of connections that it allows.")
    ),
    "forward-rules-late": high(
        message(
            "Rules of FORWARD that restrict containers come after Docker's, which accept the packets first."
        ),
        explains="access",
    ),
    "bans-not-for-containers": high(
        message("INPUT blocks senders, but not their packets to published ports, which never pass INPUT."),
        explains="access",
    ),
    "exceptions-blocked": high(
        message("Of two rules that block all but an exception, each blocks the exception of the other.")
    ),
    "gateway-outside-subnet": high(
        message("The gateway of a network is in none of its subnets, so Docker does not create it.")
    ),
    "subnet-overlaps": high(
        message("A network of containers or guests has addresses of a network behind another interface.")
    ),
    "bans-not-reached": high(
        message("In a pasted text: no rule jumps to a chain of banned addresses."), explains="access"
    ),
    "nothing-listens": high(
        message("In a pasted text: a connection failed that the rules allow, but nothing listens there."),
        observed=True,
    ),
    "published-unheard": high(
        message("A port is published, but the program in the container listens on 127.0.0.1 only."),
        observed=True,
    ),
    "icc-off-not-enforced": high(
        message("icc is off, but iptables does not see the traffic between containers of a bridge."),
        explains="access",
    ),
    "ip-forward-off": high(
        message(
            "The host does not route: containers and networks behind it reach no others, and no port is forwarded."
        )
    ),
    "published-without-dnat": high(message("A port is published, but no rule forwards it to the container.")),
    "published-without-accept": high(
        message("A published port is forwarded, but no Docker rule accepts the packets.")
    ),
    "published-refused": high(
        message("A published port is forwarded, but a rule of FORWARD that names no port blocks it.")
    ),
    "forwarded-twice": high(
        message("Two Docker rules forward the same port: the first one takes all its packets.")
    ),
    "nat-accept-before-docker": high(
        message("Another program's nat rule accepts the packet before Docker can forward it.")
    ),
    "swarm-ingress-gone": high(
        message("Nothing jumps to DOCKER-INGRESS, so the ports of swarm services are not forwarded.")
    ),
    "notrack-stops-nat": high(
        message("A rule in table raw turns tracking off for packets that nat should translate.")
    ),
    "dnat-to-loopback": high(
        message("A port forward leads to 127.0.0.0/8, where the kernel routes no packets from outside.")
    ),
    "forward-names-old-port": high(
        message(
            "A rule of FORWARD or INPUT is for the port that a port forward or redirect has already replaced."
        )
    ),
    "nftables-drops-forwarded": high(
        message(
            "A base chain of nftables drops packets to a forwarded or published port, or from behind the host."
        )
    ),
    "forward-drop-hits-others": high(
        message("Docker set the FORWARD policy to DROP, which also cuts off another bridge of this host.")
    ),
    "forward-drop-pods": high(
        message("The FORWARD policy is DROP, and no rule accepts the packets of pods.")
    ),
    "podman-rules-flushed": high(
        message("In a pasted text: rules of Podman are missing, as another program has removed them.")
    ),
    "ufw-rules-flushed": high(message("Nothing jumps to ufw's chains, although ufw is active.")),
    "forward-blocks-replies": high(
        message("FORWARD lets packets from behind the host out, but blocks the replies to them.")
    ),
    "replies-not-counted": high(
        message("A rule let packets out, but the rule for their replies counted none: none came back.")
    ),
    "marked-after-routing": high(
        message("The host's own packets are marked for policy routing after the kernel has routed them.")
    ),
    "redirect-takes-forwarded": high(
        message("A REDIRECT or DNAT also catches connections that containers make to other hosts.")
    ),
    "output-drop": high(
        message("The rules of OUTPUT drop new connections of the host itself."), sender="host"
    ),
    "output-drops-replies": high(
        message("The rules of OUTPUT drop the replies of services that INPUT allows.")
    ),
    "input-drops-replies": high(
        message("The rules of INPUT drop the replies to connections of the host itself."), sender="host"
    ),
    "input-drops-loopback": high(
        message("The rules of INPUT drop the connections of the host to itself."), sender="host", seldom=True
    ),
    "output-drops-loopback": high(
        message("The rules of OUTPUT block the connections of the host to itself."),
        sender="host",
        seldom=True,
    ),
    "reverse-path-drops": high(
        message("Strict rp_filter drops packets from the internet that arrive on a second uplink.")
    ),
    "established-only": high(
        message("INPUT accepts a port for established connections only, so none can be established.")
    ),
    "host-without-names": high(
        message("The rules let the host connect to web servers, but block its DNS queries."), sender="host"
    ),
    "neighbour-discovery-blocked": high(
        message("The IPv6 rules block neighbour discovery, without which IPv6 does not work.")
    ),
    "guests-without-names": high(
        message("The rules of INPUT block what guests ask the host's name server on their bridge.")
    ),
    "route-localnet": high(
        message("The host accepts packets to 127.0.0.0/8 from the network."), explains="access"
    ),
    "accept-all": high(
        message("A rule accepts every packet, so the rules after it are never evaluated."), explains="access"
    ),
    "behind-final-rule": high(
        message("A rule blocks every packet, and the rules of another program come after it.")
    ),
    "wrong-interface": high(
        message("A rule names a network card that the host does not have, instead of its uplink.")
    ),
    "port-of-bridge": high(message("A rule names a port of a bridge, by which no packet arrives or leaves.")),
    "refused-command": high(
        message(
            "In a pasted text: iptables, nft or firewall-cmd rejects a command, so what it adds is missing."
        )
    ),
    "container-loopback": high(
        message(
            "A container looks for a service or a name server on localhost, which is the container itself."
        )
    ),
    "name-not-resolved": high(
        message("In a pasted text: a container cannot resolve another one's name, because of their networks.")
    ),
    "swarm-port-closed": high(
        message("INPUT accepts a port that the nodes of a swarm use, but blocks others that they need.")
    ),
    "port-not-published": high(
        message("In a pasted text: a connection goes to a port of a container that is not published.")
    ),
    "container-stopped": high(
        message("In a pasted text: a connection goes to a port of a container that does not run.")
    ),
    "quoted-command": high(
        message("In a pasted text: quotation marks in a Compose file become part of a command, which fails.")
    ),
    "port-taken": high(
        message("In a pasted text: Docker or Podman cannot publish a port, as it is in use already.")
    ),
    "privileged-port": high(
        message("In a pasted text: a rootless container cannot publish a port below 1024.")
    ),
    "address-pool-full": high(message("Docker finds no free subnet for a network.")),
    "subnet-taken": high(message("In a pasted text: the subnet of a new network overlaps with another one.")),
    "name-server-silent": high(
        message(
            "In a pasted text: a name server does not answer the queries that Docker's resolver sends on."
        )
    ),
    "name-server-refuses": high(
        message("In a pasted text: a name server refuses the queries that Docker's resolver sends on.")
    ),
    "internal-not-published": high(
        message("The settings publish a port of a container that has only internal networks.")
    ),
    "rejected-rule": high(message("The kernel rejects a rule, so it does not exist.")),
    "proxy-unrouted": high(
        message("A transparent proxy takes packets that no routing rule leads to it: they are dropped.")
    ),
}
