"""The reason codes of answers, and what they mean. `docs/reasons.md` is made from them."""

from __future__ import annotations

from enum import StrEnum

from iptsim.languages import Message, message


class ReasonCode(StrEnum):
    """Why a packet got its verdict: a stable code, the same in every language and in JSON."""

    ICC_ENABLED = "icc-enabled"
    LINK = "link"
    OUTGOING = "outgoing"
    PUBLISHED_PORT = "published-port"
    DOCKER_PROXY = "docker-proxy"
    BYPASSES_IPTABLES = "bypasses-iptables"
    INSIDE_NAMESPACE = "inside-namespace"
    NO_RULES = "no-rules"
    RULE_ACCEPT = "rule-accept"
    POLICY_ACCEPT = "policy-accept"
    ICC_DISABLED = "icc-disabled"
    ISOLATED_NETWORKS = "isolated-networks"
    INTERNAL_NETWORK = "internal-network"
    DIRECT_ROUTE_DROP = "direct-route-drop"
    LOOPBACK_PORT = "loopback-port"
    UNPUBLISHED_PORT = "unpublished-port"
    POLICY_DROP = "policy-drop"
    RULE_DROP = "rule-drop"
    RULE_REJECT = "rule-reject"
    QUEUED = "queued"
    RULES_NOT_SHOWN = "rules-not-shown"
    IP_FORWARD_OFF = "ip-forward-off"
    INTERFACE_FORWARDING_OFF = "interface-forwarding-off"
    IPV6_DISABLED = "ipv6-disabled"
    INTERFACE_DOWN = "interface-down"
    NO_ROUTE = "no-route"
    NO_SOURCE = "no-source"
    NO_NEIGHBOUR = "no-neighbour"
    MARTIAN = "martian"
    RP_FILTER = "rp-filter"
    NOT_JOINED = "not-joined"
    NOT_FOR_HOST = "not-for-host"
    PROXY_UNROUTED = "proxy-unrouted"
    NAT_FAILED = "nat-failed"
    CONNTRACK_CLASH = "conntrack-clash"
    TTL_EXCEEDED = "ttl-exceeded"
    TOO_BIG = "too-big"
    HAIRPIN_OFF = "hairpin-off"
    ISOLATED_PORTS = "isolated-ports"
    MACVLAN_HOST = "macvlan-host"
    REPLY_NOT_RECOGNISED = "reply-not-recognised"
    REPLY_DROPPED = "reply-dropped"
    PROXY_CUT_OFF = "proxy-cut-off"
    NFT_CHAIN = "nft-chain"
    UNDECIDED_MATCH = "undecided-match"
    DEPENDS_ON_SOURCE = "depends-on-source"
    DEPENDS_ON_DESTINATION = "depends-on-destination"

    def __repr__(self) -> str:
        return repr(self.value)


#: What each code says about the packet, in one sentence.
REASONS: dict[ReasonCode, Message] = {
    ReasonCode.ICC_ENABLED: message(
        "Both containers are on one bridge, and Docker's icc rule lets them talk."
    ),
    ReasonCode.LINK: message("icc is off, but `--link` opens this port between the two containers."),
    ReasonCode.OUTGOING: message("Docker lets this network's containers reach the outside."),
    ReasonCode.PUBLISHED_PORT: message(
        "The port is published: Docker's DNAT rule forwards it to the container."
    ),
    ReasonCode.DOCKER_PROXY: message(
        "The port is published, no DNAT rule matches, and docker-proxy accepts the connection."
    ),
    ReasonCode.BYPASSES_IPTABLES: message(
        "The traffic is switched below IP, where iptables does not see it."
    ),
    ReasonCode.INSIDE_NAMESPACE: message("The packet stays inside the sender's own network namespace."),
    ReasonCode.NO_RULES: message("No table has a chain that the packet passes."),
    ReasonCode.RULE_ACCEPT: message("A rule accepts the packet."),
    ReasonCode.POLICY_ACCEPT: message("No rule blocks the packet, and the policy is ACCEPT."),
    ReasonCode.ICC_DISABLED: message(
        "icc is off: Docker blocks traffic between a bridge's containers, and no link opens this port."
    ),
    ReasonCode.ISOLATED_NETWORKS: message("Docker blocks traffic between its networks."),
    ReasonCode.INTERNAL_NETWORK: message(
        "The network was created with `--internal`: nothing goes in or out."
    ),
    ReasonCode.DIRECT_ROUTE_DROP: message(
        "Docker 28 and later drop packets to a container's own address that do not come from its network."
    ),
    ReasonCode.LOOPBACK_PORT: message("The port is published on the host's loopback address only."),
    ReasonCode.UNPUBLISHED_PORT: message("Docker 28 and later drop external traffic to unpublished ports."),
    ReasonCode.POLICY_DROP: message("No rule accepts the packet, and the chain's policy is DROP."),
    ReasonCode.RULE_DROP: message("A rule drops the packet."),
    ReasonCode.RULE_REJECT: message("A rule rejects the packet and notifies the sender."),
    ReasonCode.QUEUED: message("A rule hands the packet to a program, which decides about it."),
    ReasonCode.RULES_NOT_SHOWN: message(
        "Docker's rules in a table that the source does not show block the packet."
    ),
    ReasonCode.IP_FORWARD_OFF: message("The host does not forward packets: ip_forward is 0."),
    ReasonCode.INTERFACE_FORWARDING_OFF: message(
        "The host does not forward packets from the interface they arrive on: its forwarding is 0."
    ),
    ReasonCode.IPV6_DISABLED: message(
        "IPv6 is disabled on the interface the packets arrive on: its disable_ipv6 is 1."
    ),
    ReasonCode.INTERFACE_DOWN: message("The interface, or the bridge that it is a port of, is down."),
    ReasonCode.NO_ROUTE: message("There is no route to the destination."),
    ReasonCode.NO_SOURCE: message("The sender has no address to send from."),
    ReasonCode.NO_NEIGHBOUR: message("No endpoint on the link has the destination address."),
    ReasonCode.MARTIAN: message("The kernel itself drops packets with such addresses."),
    ReasonCode.RP_FILTER: message(
        "Reverse path filtering: the route back to the source leaves by another interface."
    ),
    ReasonCode.NOT_JOINED: message("The host has not joined the multicast group."),
    ReasonCode.NOT_FOR_HOST: message(
        "The frame is addressed to another machine or is a broadcast, and is not forwarded."
    ),
    ReasonCode.PROXY_UNROUTED: message(
        "A transparent proxy has taken the packet, but no route delivers it to this host."
    ),
    ReasonCode.CONNTRACK_CLASH: message(
        "conntrack already has another connection with the addresses and ports of the packet."
    ),
    ReasonCode.NAT_FAILED: message("The packet cannot be translated."),
    ReasonCode.TTL_EXCEEDED: message("The TTL has expired."),
    ReasonCode.TOO_BIG: message("The packet exceeds the MTU and must not be fragmented."),
    ReasonCode.HAIRPIN_OFF: message("The packet would go back out of the bridge port that it came from."),
    ReasonCode.ISOLATED_PORTS: message("Both bridge ports are isolated from each other."),
    ReasonCode.MACVLAN_HOST: message("A macvlan or ipvlan interface cannot reach the host that carries it."),
    ReasonCode.REPLY_NOT_RECOGNISED: message(
        "The reply comes from a different address than the request was sent to."
    ),
    ReasonCode.REPLY_DROPPED: message("The request arrives, but its reply does not come back."),
    ReasonCode.PROXY_CUT_OFF: message("docker-proxy accepts the connection but cannot reach the container."),
    ReasonCode.NFT_CHAIN: message(
        "A base chain of nftables that iptables did not create may decide: not all of its rules can be evaluated."
    ),
    ReasonCode.UNDECIDED_MATCH: message(
        "The verdict depends on something that the rules, the capture and the question do not say."
    ),
    ReasonCode.DEPENDS_ON_SOURCE: message(
        "The source is many addresses, and they are not treated alike: `classes` says which of them gets which verdict."
    ),
    ReasonCode.DEPENDS_ON_DESTINATION: message(
        "The destination is many addresses, and they are not treated alike."
    ),
}
