"""The terms of iptables and Docker, each in one or two sentences: what `--teach` adds, and `docs/glossary.md`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from iptsim.languages import Message, message


class Term(NamedTuple):
    """A term.

    Attributes:
        term: the same in every language.
        pattern: a regular expression that finds the term, in an answer in any language.
        meaning: one or two sentences.
    """

    term: str
    pattern: str
    meaning: Message

    def as_json(self) -> dict[str, str]:
        """Return the term and its meaning in the current language."""
        return {"term": self.term, "meaning": str(self.meaning)}


#: In the order of learning: each term uses earlier ones.
TERMS = (
    Term(
        "table", r"\b(?:raw|mangle|nat|filter|security) [A-Z]|\btables?\b",
        message(
            "A group of chains with one purpose: filter allows or blocks packets, nat rewrites addresses, mangle "
            "changes other fields, raw is evaluated first."
        ),
    ),
    Term(
        "chain", r"\bchains?\b|\b(?:raw|mangle|nat|filter|security) [A-Z]",
        message(
            "A list of rules. They are evaluated from top to bottom until one of them decides."
        ),
    ),
    Term(
        "hook", r"\b(?:PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)\b",
        message(
            "A point of the packet path in the kernel where chains are evaluated: PREROUTING for a packet that "
            "arrives, INPUT for one to the host itself, FORWARD for one that the host forwards, OUTPUT for one "
            "that the host sends, POSTROUTING for one that leaves."
        ),
    ),
    Term(
        "policy", r"\bpolicy\b|預設政策",
        message(
            "What a built-in chain does with a packet that no rule has decided: ACCEPT or DROP."
        ),
    ),
    Term(
        "jump", r"→ [A-Z]|\b(?:jump|go) to chain\b|跳到規則鏈|跳轉",
        message(
            "A rule can send the packet to another chain. If no rule there decides, evaluation continues with the "
            "next rule of the first chain."
        ),
    ),
    Term(
        "RETURN", r"\bRETURN\b",
        message(
            "Leave this chain and continue in the calling chain; in a built-in chain, the policy decides."
        ),
    ),
    Term(
        "ACCEPT", r"\bACCEPT\b",
        message(
            "Let the packet continue; no further rule of this table is evaluated at this hook."
        ),
    ),
    Term(
        "DROP", r"\bDROP\b",
        message(
            "Discard the packet without an error message: the sender waits until it times out."
        ),
    ),
    Term(
        "REJECT", r"\bREJECT\b",
        message(
            "Discard the packet and send an error to its source."
        ),
    ),
    Term(
        "NAT", r"\bnat\b|\bNAT\b|\b[DS]NAT\b|\bMASQUERADE\b",
        message(
            "Network address translation: the kernel rewrites addresses or ports of a packet, and reverses that "
            "in the replies."
        ),
    ),
    Term(
        "DNAT", r"\bDNAT\b",
        message(
            "Destination NAT: the packet gets another destination address or port. This is how a port of the host "
            "leads to a container."
        ),
    ),
    Term(
        "SNAT", r"\bSNAT\b",
        message(
            "Source NAT: the packet leaves with another source address."
        ),
    ),
    Term(
        "MASQUERADE", r"\bMASQUERADE\b",
        message(
            "SNAT to the address of the outgoing interface. This is how containers share the address of their "
            "host."
        ),
    ),
    Term(
        "conntrack", r"\bconntrack\b|\bct(?:state|orig|mark)|\b(?:NEW|ESTABLISHED|RELATED|INVALID)\b",
        message(
            "Connection tracking: the kernel remembers connections, so it recognizes replies and can reverse NAT "
            "in them."
        ),
    ),
    Term(
        "NEW", r"\bNEW\b|\bnew connection\b|新連線",
        message(
            "The state of a packet that starts a connection."
        ),
    ),
    Term(
        "ESTABLISHED", r"\bESTABLISHED\b|\bestablished\b|已建立的連線",
        message(
            "The state of a packet whose connection has seen a reply."
        ),
    ),
    Term(
        "RELATED", r"\bRELATED\b|\brelated connection\b|相關連線",
        message(
            "The state of a packet that belongs to another connection, such as an ICMP error about it."
        ),
    ),
    Term(
        "bridge", r"\bbridges?\b|橋接器",
        message(
            "A switch in software: it joins interfaces into one network."
        ),
    ),
    Term(
        "docker0", r"\bdocker0\b",
        message(
            "The bridge of the default Docker network, used by containers that were started without choosing a "
            "network."
        ),
    ),
    Term(
        "veth", r"\bveth\w*",
        message(
            "A virtual cable with two ends: one in the container, the other on a bridge of the host."
        ),
    ),
    Term(
        "network namespace", r"\bnamespaces?\b|命名空間",
        message(
            "A separate network stack with its own interfaces, addresses, routes and rules. Each container has "
            "one."
        ),
    ),
    Term(
        "icc", r"\bicc\b",
        message(
            "Docker's setting for inter-container communication. With --icc=false, containers on the same bridge "
            "cannot reach each other."
        ),
    ),
    Term(
        "link", r"\blinks?\b",
        message(
            "`docker run --link` lets one container reach the exposed ports of another, even with icc off."
        ),
    ),
    Term(
        "published port", r"\bpublish(?:ed|es)?\b|發布",
        message(
            "A port of the host that leads to a container: `docker run -p 8080:80`."
        ),
    ),
    Term(
        "docker-proxy", r"\bdocker-proxy\b",
        message(
            "A program of Docker that listens on a published port and relays connections that no DNAT rule has "
            "translated."
        ),
    ),
    Term(
        "DOCKER-USER", r"\bDOCKER-USER\b",
        message(
            "The chain for your own rules about containers. It precedes Docker's rules."
        ),
    ),
    Term(
        "ip_forward", r"\bip_forward\b",
        message(
            "The kernel parameter net.ipv4.ip_forward. The host forwards packets between its interfaces only if "
            "it is 1."
        ),
    ),
    Term(
        "br_netfilter", r"\bbr_netfilter\b|bridge-nf",
        message(
            "A kernel module that passes packets between two ports of a bridge to iptables. bridge-nf-"
            "call-iptables turns it on and off."
        ),
    ),
    Term(
        "rp_filter", r"\brp_filter\b",
        message(
            "Reverse path filter: the kernel drops a packet if a reply to its source would leave by another "
            "interface."
        ),
    ),
    Term(
        "route_localnet", r"\broute_localnet\b",
        message(
            "A kernel parameter of an interface: whether addresses in 127.0.0.0/8 may be routed through it."
        ),
    ),
    Term(
        "hairpin", r"\bhairpin\b",
        message(
            "A packet that leaves a bridge by the port on which it arrived, as when a container connects to its "
            "own published port. The bridge port must have hairpin mode on."
        ),
    ),
    Term(
        "ipset", r"\bipsets?\b",
        message(
            "A named set of addresses or ports, in which rules can look packets up."
        ),
    ),
    Term(
        "mark", r"\bmark(?:ed|s)?\b|標記",
        message(
            "A number that rules attach to a packet inside the kernel. It never leaves the host."
        ),
    ),
)  # fmt: skip


def terms_in(lines: Iterable[str]) -> list[Term]:
    """Return the terms that occur in a text, each once, in the order of :data:`TERMS`.

    >>> [term.term for term in terms_in(["filter FORWARD, policy DROP"])]
    ['table', 'chain', 'hook', 'policy', 'DROP']
    """
    text = "\n".join(lines)
    return [term for term in TERMS if re.search(term.pattern, text)]
