"""Codes of findings with the severity medium, most important first.

Something is probably wrong, but does not break an expected connection.
"""

from __future__ import annotations

from functools import partial

from iptsim.findings.codes.kind import Kind
from iptsim.languages import message

medium = partial(Kind, "medium")
#: What each code means.
KINDS: dict[str, Kind] = {
    "docker-user-appended": medium(
        message(
            "In a pasted text: a rule is appended to DOCKER-USER, which up to Docker 27 ends with a RETURN."
        ),
        explains="access",
    ),
    "same-address": medium(message("Two interfaces of the host have the same address and subnet.")),
    "input-not-for-containers": medium(
        message("In a pasted text about Docker: INPUT blocks ports, but published ports do not pass INPUT."),
        explains="access",
    ),
    "replies-leave-by-vpn": medium(
        message(
            "In a pasted text: the host's replies to the internet leave by a VPN, though the requests come by another"
            " interface."
        )
    ),
    "macvlan-host": medium(
        message("Containers on a macvlan or ipvlan network, and the host itself, cannot reach each other.")
    ),
    "ports-discarded": medium(
        message(
            "Settings publish a port of a container that uses the host's or another container's network, or macvlan:"
            " Docker does not publish it."
        )
    ),
    "docker-user-not-ipv6": medium(
        message("Docker's IPv6 rules have no chain DOCKER-USER, where users restrict ports."),
        explains="access",
    ),
    "without-parent": medium(
        message("A macvlan or ipvlan network has no interface of the host below it, so it leads nowhere.")
    ),
    "rate-limit-inverted": medium(
        message("A rule blocks packets up to a rate, and lets those beyond it pass."), explains="access"
    ),
    "flushes-docker": medium(
        message("In a pasted text about Docker: a command removes all rules of a table, also Docker's.")
    ),
    "icc-off-unchecked": medium(
        message(
            "In a pasted text: a rule between containers of one bridge, which br_netfilter must be loaded for."
        )
    ),
    "source-port-trusted": medium(
        message("A rule of INPUT opens all ports to whoever sends from a certain port."), explains="access"
    ),
    "wrong-chain": medium(
        message("A rule of INPUT is for packets that the host forwards, which never pass INPUT.")
    ),
    "misspelt-variable": medium(
        message(
            "In a pasted script: a variable is used but never set, and one with a similar name is set but not used."
        )
    ),
    "misspelt-interface": medium(
        message("A rule names an interface that differs by one letter, or its number, from another.")
    ),
    "uncreated-chain": medium(
        message(
            "In a pasted text: commands add rules to a chain that none of them creates, though they create others."
        )
    ),
    "zero-address": medium(
        message("The last rule of a chain is for the address 0.0.0.0 or :: alone, not for any address.")
    ),
    "permanent-not-loaded": medium(
        message(
            "In a pasted text: firewall-cmd changes only the permanent configuration, and nothing reloads firewalld."
        )
    ),
    "alias-interface": medium(
        message("A rule names an alias such as eth0:1, or a list: no interface is called so.")
    ),
    "redirect-takes-own": medium(
        message("A REDIRECT or DNAT in OUTPUT also catches what the program sends that it leads to.")
    ),
    "service-without-endpoints": medium(
        message("A service of Kubernetes has no endpoints, so kube-proxy blocks its connections.")
    ),
    "docker-user-drops-outgoing": medium(
        message("A rule in DOCKER-USER for all packets also drops what containers send.")
    ),
    "forward-without-return": medium(
        message(
            "In a pasted text: a port forward leaves by the uplink again, so the replies do not come back."
        )
    ),
    "dnat-without-accept": medium(
        message(
            "DNAT by hand leads to a machine or container, but FORWARD does not accept packets to that port."
        )
    ),
    "hairpin": medium(message("A port forward does not work for clients in the network of its own target.")),
    "logs-only": medium(
        message("A chain whose name says that it blocks only logs: its packets continue."), explains="access"
    ),
    "not-masqueraded": medium(
        message("Connections leave the host with a private address: replies do not come back.")
    ),
    "masquerades-elsewhere": medium(
        message("In a pasted text: rules masquerade only by a network card that is not the uplink.")
    ),
    "masquerade-off": medium(
        message("In a pasted text: settings of a Docker network switch masquerading off.")
    ),
    "docker-chain-edited": medium(
        message("A rule that blocks senders is in a chain that Docker flushes, and fills, when it starts."),
        explains="access",
    ),
    "zone-of-bridges": medium(
        message("In a pasted text: a rule of a firewalld zone is for senders that do not arrive there."),
        explains="access",
    ),
    "zone-not-forwarded": medium(
        message("In a pasted text: firewalld forwards nothing from the zone of a tunnel or of guests.")
    ),
    "sshd-port-blocked": medium(
        message("In a pasted text: INPUT blocks the port that sshd's settings name, and accepts port 22.")
    ),
    "direct-routing-blocked": medium(
        message("Docker drops packets to a container's own address that do not arrive on its bridge.")
    ),
    "larger-than-uplink": medium(
        message("Containers may send larger packets than the uplink carries: connections can hang.")
    ),
    "udp-service-over-tcp": medium(
        message("The port of a service that uses UDP alone is open, or published, for TCP only.")
    ),
    "ipv6-rules-not-enabled": medium(
        message("Containers have IPv6 addresses, but Docker before 27 writes no IPv6 rules for them."),
    ),
    "mixed-backends": medium(message("Rules of both iptables-legacy and iptables-nft are active.")),
    "connection-not-translated": medium(
        message("A tracked connection was made without the translation that others like it got.")
    ),
    "spoofing-gains-access": medium(
        message("An interface accepts a spoofed source that is allowed more than its own sources."),
        explains="access",
    ),
    "tailscale-drops-range": medium(
        message("Tailscale drops packets of another network, as their addresses are in the range of its own.")
    ),
    "interface-accepted": medium(
        message("In a pasted text: a rule of INPUT accepts everything that arrives on the host's interface."),
        explains="access",
    ),
    "open-despite-source": medium(
        message(
            "In a pasted text: a rule accepts a port from some sources, but no rule blocks it from others."
        ),
        explains="access",
    ),
}
