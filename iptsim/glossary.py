"""The terms of iptables and Docker, each in one or two sentences: what `--teach` adds, and `docs/glossary.md`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from iptsim.languages import Message, message


class Word(NamedTuple):
    """A term.

    Attributes:
        term: the same in every language.
        signs: a regular expression that finds the term, in an answer in any language.
        meaning: one or two sentences.
    """

    term: str
    signs: str
    meaning: Message

    def as_json(self) -> dict[str, str]:
        """Return the term and its meaning in the current language."""
        return {"term": self.term, "meaning": str(self.meaning)}


#: In the order of learning: each term uses earlier ones.
WORDS = (
    Word(
        "table", r"\b(?:raw|mangle|nat|filter|security) [A-Z]|\btables?\b",
        message(
            "A group of chains with one purpose: filter allows or blocks packets, nat rewrites addresses, mangle "
            "changes other fields, raw is evaluated first."
        ),
    ),
    Word(
        "chain", r"\bchains?\b|\b(?:raw|mangle|nat|filter|security) [A-Z]",
        message(
            "A list of rules. They are evaluated from top to bottom until one of them decides."
        ),
    ),
    Word(
        "hook", r"\b(?:PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)\b",
        message(
            "A point of the packet path in the kernel where chains are evaluated: PREROUTING for a packet that "
            "arrives, INPUT for one to the host itself, FORWARD for one that the host forwards, OUTPUT for one "
            "that the host sends, POSTROUTING for one that leaves."
        ),
    ),
    Word(
        "policy", r"\bpolicy\b|預設政策",
        message(
            "What a built-in chain does with a packet that no rule has decided: ACCEPT or DROP."
        ),
    ),
    Word(
        "jump", r"→ [A-Z]|\b(?:jump|go) to chain\b|跳到規則鏈|跳轉",
        message(
            "A rule can send the packet to another chain. If no rule there decides, evaluation continues with the "
            "next rule of the first chain."
        ),
    ),
    Word(
        "RETURN", r"\bRETURN\b",
        message(
            "Leave this chain and continue in the calling chain; in a built-in chain, the policy decides."
        ),
    ),
    Word(
        "ACCEPT", r"\bACCEPT\b",
        message(
            "Let the packet continue; no further rule of this table is evaluated at this hook."
        ),
    ),
    Word(
        "DROP", r"\bDROP\b",
        message(
            "Discard the packet without an error message: the sender waits until it times out."
        ),
    ),
    Word(
        "REJECT", r"\bREJECT\b",
        message(
            "Discard the packet and send an error to its source."
        ),
    ),
    Word(
        "NAT", r"\bnat\b|\bNAT\b|\b[DS]NAT\b|\bMASQUERADE\b",
        message(
            "Network address translation: the kernel rewrites addresses or ports of a packet, and reverses that "
            "in the replies."
        ),
    ),
    Word(
        "DNAT", r"\bDNAT\b",
        message(
            "Destination NAT: the packet gets another destination address or port. This is how a port of the host "
            "leads to a container."
        ),
    ),
    Word(
        "SNAT", r"\bSNAT\b",
        message(
            "Source NAT: the packet leaves with another source address."
        ),
    ),
    Word(
        "MASQUERADE", r"\bMASQUERADE\b",
        message(
            "SNAT to the address of the outgoing interface. This is how containers share the address of their "
            "host."
        ),
    ),
    Word(
        "conntrack", r"\bconntrack\b|\bct(?:state|orig|mark)|\b(?:NEW|ESTABLISHED|RELATED|INVALID)\b",
        message(
            "Connection tracking: the kernel remembers connections, so it recognizes replies and can reverse NAT "
            "in them."
        ),
    ),
    Word(
        "NEW", r"\bNEW\b|\bnew connection\b|新連線",
        message(
            "The state of a packet that starts a connection."
        ),
    ),
    Word(
        "ESTABLISHED", r"\bESTABLISHED\b|\bestablished\b|已建立的連線",
        message(
            "The state of a packet whose connection has seen a reply."
        ),
    ),
    Word(
        "RELATED", r"\bRELATED\b|\brelated connection\b|相關連線",
        message(
            "The state of a packet that belongs to another connection, such as an ICMP error about it."
        ),
    ),
    Word(
        "bridge", r"\bbridges?\b|橋接器",
        message(
            "A switch in software: it joins interfaces into one network."
        ),
    ),
    Word(
        "docker0", r"\bdocker0\b",
        message(
            "The bridge of the default Docker network, used by containers that were started without choosing a "
            "network."
        ),
    ),
    Word(
        "veth", r"\bveth\w*",
        message(
            "A virtual cable with two ends: one in the container, the other on a bridge of the host."
        ),
    ),
    Word(
        "network namespace", r"\bnamespaces?\b|命名空間",
        message(
            "A separate network stack with its own interfaces, addresses, routes and rules. Each container has "
            "one."
        ),
    ),
    Word(
        "icc", r"\bicc\b",
        message(
            "Docker's setting for inter-container communication. With --icc=false, containers on the same bridge "
            "cannot reach each other."
        ),
    ),
    Word(
        "link", r"\blinks?\b",
        message(
            "`docker run --link` lets one container reach the exposed ports of another, even with icc off."
        ),
    ),
    Word(
        "published port", r"\bpublish(?:ed|es)?\b|發布",
        message(
            "A port of the host that leads to a container: `docker run -p 8080:80`."
        ),
    ),
    Word(
        "docker-proxy", r"\bdocker-proxy\b",
        message(
            "A program of Docker that listens on a published port and relays connections that no DNAT rule has "
            "translated."
        ),
    ),
    Word(
        "DOCKER-USER", r"\bDOCKER-USER\b",
        message(
            "The chain for your own rules about containers. It precedes Docker's rules."
        ),
    ),
    Word(
        "ip_forward", r"\bip_forward\b",
        message(
            "The kernel parameter net.ipv4.ip_forward. The host forwards packets between its interfaces only if "
            "it is 1."
        ),
    ),
    Word(
        "br_netfilter", r"\bbr_netfilter\b|bridge-nf",
        message(
            "A kernel module that passes packets between two ports of a bridge to iptables. bridge-nf-"
            "call-iptables turns it on and off."
        ),
    ),
    Word(
        "rp_filter", r"\brp_filter\b",
        message(
            "Reverse path filter: the kernel drops a packet if a reply to its source would leave by another "
            "interface."
        ),
    ),
    Word(
        "route_localnet", r"\broute_localnet\b",
        message(
            "A kernel parameter of an interface: whether addresses in 127.0.0.0/8 may be routed through it."
        ),
    ),
    Word(
        "hairpin", r"\bhairpin\b",
        message(
            "A packet that leaves a bridge by the port on which it arrived, as when a container connects to its "
            "own published port. The bridge port must have hairpin mode on."
        ),
    ),
    Word(
        "ipset", r"\bipsets?\b",
        message(
            "A named set of addresses or ports, in which rules can look packets up."
        ),
    ),
    Word(
        "mark", r"\bmark(?:ed|s)?\b|標記",
        message(
            "A number that rules attach to a packet inside the kernel. It never leaves the host."
        ),
    ),
)  # fmt: skip


def words_in(lines: Iterable[str]) -> list[Word]:
    """Return the terms that occur in a text, each once, in the order of :data:`WORDS`.

    >>> [word.term for word in words_in(["filter FORWARD, policy DROP"])]
    ['table', 'chain', 'hook', 'policy', 'DROP']
    """
    text = "\n".join(lines)
    return [word for word in WORDS if re.search(word.signs, text)]
