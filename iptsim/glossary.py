"""The field's words, each in one or two plain sentences: what `--teach` tells, and `docs/glossary.md`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from iptsim.languages import Later, later, told


class Word(NamedTuple):
    """A word of the field.

    Attributes:
        term: the word; the same in every language.
        signs: a regular expression for what shows in a text that it plays a part there.
        meaning: one or two sentences, to be told with :func:`iptsim.languages.told`.
    """

    term: str
    signs: str
    meaning: Later

    def as_json(self) -> dict[str, str]:
        """Return the word and its meaning in the language in force."""
        return {"term": self.term, "meaning": told(self.meaning)}


#: In the order in which one learns them.
WORDS = (
    Word(
        "table", r"\b(?:raw|mangle|nat|filter|security) [A-Z]|\btables?\b",
        later("A group of chains for one purpose: filter lets packets through or not, nat changes addresses, "
              "mangle changes other fields, raw comes first of all."),
    ),
    Word(
        "chain", r"\bchains?\b|\b(?:raw|mangle|nat|filter|security) [A-Z]",
        later("A list of rules that is gone through from top to bottom, until a rule decides."),
    ),
    Word(
        "hook", r"\b(?:PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)\b",
        later("A place on a packet's way through the kernel where rules are asked: PREROUTING when it comes in, INPUT "
              "when it is for the host, FORWARD when it goes on to somebody else, OUTPUT when the host sends it, "
              "POSTROUTING when it leaves."),
    ),
    Word(
        "policy", r"\bpolicy\b|預設政策",
        later("What a built-in chain does with a packet for which no rule decided: ACCEPT or DROP."),
    ),
    Word(
        "jump", r"→ [A-Z]|\bgo on in chain\b|跳到 chain|跳轉",
        later("A rule may send the packet on to another chain. If that chain does not decide, the packet comes back to "
              "the next rule."),
    ),
    Word(
        "RETURN", r"\bRETURN\b",
        later("Leave this chain and go on where the packet came from; in a built-in chain the policy decides."),
    ),
    Word("ACCEPT", r"\bACCEPT\b", later("Let the packet go on; the rest of this table is not asked at this hook.")),
    Word("DROP", r"\bDROP\b", later("Throw the packet away and tell nobody: the sender waits until it gives up.")),
    Word("REJECT", r"\bREJECT\b", later("Throw the packet away and send its sender an error.")),
    Word(
        "NAT", r"\bnat\b|\bNAT\b|\b[DS]NAT\b|\bMASQUERADE\b",
        later("Network address translation: the kernel writes another address or port into a packet, and undoes it in "
              "the answers."),
    ),
    Word(
        "DNAT", r"\bDNAT\b",
        later("NAT of the destination: the packet is sent on to another address or port. So a port of the host leads "
              "to a container."),
    ),
    Word("SNAT", r"\bSNAT\b", later("NAT of the source: the packet leaves with another sender's address.")),
    Word(
        "MASQUERADE", r"\bMASQUERADE\b",
        later("SNAT to the address of the interface by which the packet leaves. So containers share the address of "
              "their host."),
    ),
    Word(
        "conntrack", r"\bconntrack\b|\bct(?:state|orig|mark)|\b(?:NEW|ESTABLISHED|RELATED|INVALID)\b",
        later("The kernel's connection tracking: it remembers connections, and so knows answers and how to undo NAT."),
    ),
    Word(
        "NEW", r"\bNEW\b|\bnew connection\b|新連線",
        later("The state of a packet that begins a connection."),
    ),
    Word(
        "ESTABLISHED", r"\bESTABLISHED\b|\bestablished\b|已建立的連線",
        later("The state of packets of a connection in which an answer was seen."),
    ),
    Word(
        "RELATED", r"\bRELATED\b|\brelated connection\b|相關連線",
        later("The state of a packet that belongs to another connection, such as an ICMP error about it."),
    ),
    Word("bridge", r"\bbridges?\b|橋接器", later("A switch in software: it joins interfaces into one network.")),
    Word(
        "docker0", r"\bdocker0\b",
        later("The bridge of Docker's default network. Containers that name no network are on it."),
    ),
    Word(
        "veth", r"\bveth\w*",
        later("A virtual cable with two ends: one in the container, the other on the host's bridge."),
    ),
    Word(
        "network namespace", r"\bnamespaces?\b|命名空間",
        later("A network stack of its own, with its own interfaces, addresses, routes and rules. Each container has "
              "one."),
    ),
    Word(
        "icc", r"\bicc\b",
        later("Docker's switch for inter-container communication. With --icc=false the containers of a bridge may not "
              "talk to each other."),
    ),
    Word(
        "link", r"\blinks?\b",
        later("`docker run --link` lets one container reach the exposed ports of another, although icc is off."),
    ),
    Word(
        "published port", r"\bpublish(?:ed|es)?\b|發布",
        later("A port of the host that leads to a container: `docker run -p 8080:80`."),
    ),
    Word(
        "docker-proxy", r"\bdocker-proxy\b",
        later("A program of Docker's that listens on a published port and passes on what no DNAT rule takes."),
    ),
    Word(
        "DOCKER-USER", r"\bDOCKER-USER\b",
        later("The chain for your own rules about containers: it is asked before those of Docker."),
    ),
    Word(
        "ip_forward", r"\bip_forward\b",
        later("The kernel parameter net.ipv4.ip_forward: only with 1 does the host send packets on between its "
              "interfaces."),
    ),
    Word(
        "br_netfilter", r"\bbr_netfilter\b|bridge-nf",
        later("A kernel module that shows packets between two ports of a bridge to iptables. bridge-nf-call-iptables "
              "switches it on and off."),
    ),
    Word(
        "rp_filter", r"\brp_filter\b",
        later("Reverse path filter: the kernel drops a packet if the answer to it would leave by another interface."),
    ),
    Word(
        "route_localnet", r"\broute_localnet\b",
        later("A kernel parameter of an interface: whether addresses in 127.0.0.0/8 may be routed by it."),
    ),
    Word(
        "hairpin", r"\bhairpin\b",
        later("A packet that leaves a bridge by the port that it came from, as when a container asks for its own "
              "published port. The port must allow it."),
    ),
    Word("ipset", r"\bipsets?\b", later("A set of addresses or ports with a name; rules look up packets in it.")),
    Word(
        "mark", r"\bmark(?:ed|s)?\b|標記",
        later("A number that rules write on a packet inside the kernel. It never leaves the host."),
    ),
)  # fmt: skip


def words_in(lines: Iterable[str]) -> list[Word]:
    """Return the words that play a part in a text, each once, in the order of :data:`WORDS`.

    >>> [word.term for word in words_in(["filter FORWARD, policy DROP"])]
    ['table', 'chain', 'hook', 'policy', 'DROP']
    """
    text = "\n".join(lines)
    return [word for word in WORDS if re.search(word.signs, text)]
