"""The reason codes of answers, and what they mean. `docs/reasons.md` is made from the table."""

from __future__ import annotations

from iptsim.languages import later

REASONS: dict[str, str] = {
    "icc-enabled": later("Both containers are on one bridge, and Docker's icc rule lets them talk."),
    "link": later("icc is off, but `--link` opens this port between the two containers."),
    "outgoing": later("Docker lets this network's containers reach the outside."),
    "published-port": later("The port is published: Docker's DNAT rule forwards it to the container."),
    "docker-proxy": later(
        "The port is published, no DNAT rule matches, and docker-proxy accepts the connection."
    ),
    "bypasses-iptables": later("The traffic is switched below IP, where iptables does not see it."),
    "inside-namespace": later("The packet stays inside the sender's own network namespace."),
    "no-rules": later("No table has a chain that the packet passes."),
    "rule-accept": later("A rule accepts the packet."),
    "policy-accept": later("No rule blocks the packet, and the policy is ACCEPT."),
    "icc-disabled": later(
        "icc is off: Docker blocks traffic between a bridge's containers, and no link opens this port."
    ),
    "isolated-networks": later("Docker blocks traffic between its networks."),
    "internal-network": later("The network was created with `--internal`: nothing goes in or out."),
    "direct-route-drop": later(
        "Docker 28 and later drop packets to a container's own address that do not come from its network."
    ),
    "loopback-port": later("The port is published on the host's loopback address only."),
    "unpublished-port": later("Docker 28 and later drop external traffic to unpublished ports."),
    "policy-drop": later("No rule accepts the packet, and the chain's policy is DROP."),
    "rule-drop": later("A rule drops the packet."),
    "rule-reject": later("A rule rejects the packet and notifies the sender."),
    "queued": later("A rule hands the packet to a program, which decides about it."),
    "rules-not-shown": later("Docker's rules in a table that the source does not show block the packet."),
    "ip-forward-off": later("The host does not forward packets: ip_forward is 0."),
    "interface-forwarding-off": later(
        "The host does not forward packets from the interface they arrive on: its forwarding is 0."
    ),
    "no-route": later("There is no route to the destination."),
    "no-source": later("The sender has no address to send from."),
    "no-neighbour": later("No endpoint on the link has the destination address."),
    "martian": later("The kernel itself drops packets with such addresses."),
    "rp-filter": later("Reverse path filtering: the route back to the source leaves by another interface."),
    "not-joined": later("The host has not joined the multicast group."),
    "not-for-host": later("The frame is addressed to another machine, or to all, and is not forwarded."),
    "nat-failed": later("The packet cannot be translated."),
    "ttl-exceeded": later("The TTL has run out."),
    "too-big": later("The packet exceeds the MTU and must not be fragmented."),
    "hairpin-off": later("The packet would go back out of the bridge port that it came from."),
    "isolated-ports": later("Both bridge ports are isolated from each other."),
    "macvlan-host": later("A macvlan or ipvlan interface cannot reach the host that carries it."),
    "reply-not-recognised": later(
        "The reply comes from another address than the one the request was sent to."
    ),
    "reply-dropped": later("The request arrives, but its reply does not come back."),
    "proxy-cut-off": later("docker-proxy accepts the connection but cannot reach the container."),
    "nft-chain": later(
        "A base chain of nftables that iptables did not create decides, or may decide: its rules are not evaluated."
    ),
    "undecided-match": later(
        "The verdict depends on something that neither rules, capture nor question tells."
    ),
}
