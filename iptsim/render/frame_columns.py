"""The columns of the tables for pandas, with their kinds and meanings."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["text", "number", "truth"]


#: The dtype of each kind of column. Texts are never missing, but "" where they do not apply.
DTYPES: dict[Kind, str] = {"text": "string", "number": "Int64", "truth": "bool"}


class Column(NamedTuple):
    """A column: the kind and the meaning of its values."""

    kind: Kind
    meaning: str


_RULE = {
    "table": Column("text", "the rule's table"),
    "chain": Column("text", "its chain"),
    "rule": Column("number", "its position in the chain, from 1; missing for a policy"),
    "line": Column("number", "its line in the dump"),
}


_ASKED = {
    "from": Column("text", "the source"),
    "to": Column("text", "the destination"),
}


_STEPS = {
    "leg": Column("number", "number of the leg, from 1"),
    "direction": Column("text", '"original" or "reply", within its connection'),
    "sender": Column("text", "the sender of this leg's packet"),
    "proxy": Column("truth", "the leg belongs to docker-proxy's own connection to the container"),
    "namespace": Column("text", '"host", or the container in whose network namespace it happens'),
    "hook": Column("text", "the hook; or ROUTING, BRIDGE ... for steps outside iptables"),
    **_RULE,
    "text": Column("text", "the rule as iptables-save, or nft, prints it"),
    "verdict": Column("text", "its result: ACCEPT, DROP, JUMP:CHAIN, RETURN, CONTINUE, DNAT ..."),
    "policy": Column("truth", "the chain's policy decided"),
    "maybe": Column("truth", "an undecided match precedes it and makes no difference"),
    "changes": Column("text", 'what it changed in the packet: "dst 192.0.2.10 → 172.17.0.2"'),
    "note": Column("text", "what happened, for steps outside iptables"),
    "code": Column("text", "a stable code for a decision of the kernel itself"),
    "in": Column("text", "the interface by which the packet came in"),
    "out": Column("text", "the interface by which it leaves"),
}


_SHIFTS = {
    **_ASKED,
    "what": Column("text", '"80/tcp", or "other ports"'),
    "proto": Column("text", "the protocol"),
    "dport": Column("number", "the destination port"),
    "before": Column("text", 'the verdict before; "" if the connection could not be checked'),
    "before_at": Column("text", "where the packet was delivered before"),
    "after": Column("text", "the verdict after"),
    "after_at": Column("text", "where the packet is delivered after"),
    "change": Column("text", '"opens", "closes" or "alters"'),
}
#: The columns of each frame, in order. `docs/frames.md` is made from this table.
COLUMNS: dict[str, dict[str, Column]] = {
    "rules": {
        "family": Column("number", "4 or 6"),
        **_RULE,
        "text": Column("text", "the rule as iptables-save, or nft, prints it"),
        "words": Column("text", "the rule in words"),
        "target": Column("text", "the target or chain after -j or -g"),
        "packets": Column("number", "packets that it has matched; missing without counters"),
        "bytes": Column("number", "their bytes"),
        "octets": Column("number", "the same as `bytes` (deprecated)"),
        "owner": Column("text", 'who wrote it: "docker", another program, or "user"'),
        "role": Column("text", "a stable code for what a Docker rule is for"),
        "why": Column("text", "the same in a sentence"),
        "setting": Column("text", "the setting that makes dockerd write it"),
        "network": Column("text", "the network that it belongs to"),
        "container": Column("text", "the container"),
        "port": Column("text", 'the container\'s port: "80/tcp"'),
        "host_port": Column("text", "the port on the host that it forwards"),
        "link": Column("text", "CLIENT:SERVER:ALIAS, for rules of a link"),
    },
    "steps": _STEPS,
    "answers": {
        "id": Column("text", "the question's id"),
        **_ASKED,
        "proto": Column("text", "the protocol"),
        "dport": Column("number", "the destination port"),
        "verdict": Column("text", 'ACCEPT, DROP, REJECT or DEPENDS; "" if the connection cannot be checked'),
        "reason": Column("text", "the reason's stable code (docs/reasons.md)"),
        "why": Column("text", "the reason in words"),
        **_RULE,
        "text": Column("text", "the deciding rule as iptables-save, or nft, prints it"),
        "at": Column("text", "where the packet is finally delivered, behind docker-proxy too"),
        "error": Column("text", "why the connection cannot be checked"),
    },
    "reachability": {
        **_ASKED,
        "what": Column("text", '"80/tcp", "icmp", or "other ports"'),
        "proto": Column("text", "the protocol"),
        "dport": Column("number", "the destination port, 9999 for all others; missing for ICMP"),
        "verdict": Column("text", 'ACCEPT, DROP, REJECT or DEPENDS; "" if the connection cannot be checked'),
        "outcome": Column("text", "open, refused (allowed, but nothing listens), blocked or depends"),
        "reason": Column("text", "the reason's stable code (docs/reasons.md)"),
        "why": Column("text", "the reason in words, or why the connection cannot be checked"),
        "at": Column("text", "where the packet is finally delivered, behind docker-proxy too"),
        **_RULE,
    },
    "reach": {
        **_ASKED,
        "ports": Column("text", 'protocols and ports: "tcp/22,80", "all but tcp/25"'),
        "verdict": Column("text", "ACCEPT, DROP, REJECT or DEPENDS"),
        "refused": Column("truth", "no rule blocks it, but no program listens"),
        "certain": Column("text", '"must", or "may" if it depends on something undecided'),
        "reason": Column("text", "the reason's stable code (docs/reasons.md)"),
        "why": Column("text", "the reason in words"),
        "command": Column("text", "a command that explains one of the packets"),
        **_RULE,
        "text": Column("text", "the deciding rule as iptables-save, or nft, prints it"),
    },
    "shifts": _SHIFTS,
    "comparison": {"when": Column("text", '"before" or "after" the changes'), **_STEPS},
    "proposals": {
        "change": Column("text", "the command, or the options of `iptsim whatif`"),
        "why": Column("text", "what it means"),
        "verdict": Column("text", "the verdict then"),
        "at": Column("text", "where the packet is delivered then"),
        "opens": Column("number", "how many other connections it opens"),
        "closes": Column("number", "how many it closes"),
        "alters": Column("number", "how many get another destination or verdict"),
    },
    "packets": {
        "from": Column("text", "source addresses, as prefixes and ranges; empty for any"),
        "in": Column("text", "interfaces on which the packets arrive; empty for any"),
        "to": Column("text", "destination addresses"),
        "out": Column("text", "interfaces by which they leave"),
        "proto": Column("text", "protocols"),
        "sports": Column("text", "source ports"),
        "dports": Column("text", "destination ports"),
        "state": Column("text", "states of the connection"),
    },
    "fates": {
        "fate": Column(
            "number", "number of the fate, from 0; a row for each line that describes its packets"
        ),
        "sender": Column(
            "text", '"internet", "host", a container; empty for other networks behind an interface'
        ),
        "from": Column("text", "source addresses"),
        "in": Column("text", "interface on which the packets arrive"),
        "to": Column("text", "destination addresses"),
        "proto": Column("text", "protocols"),
        "sports": Column("text", "source ports"),
        "dports": Column("text", "destination ports"),
        "verdict": Column("text", "ACCEPT, DROP, REJECT or DEPENDS"),
        "reason": Column("text", "the reason's stable code (docs/reasons.md)"),
        "delivered": Column("text", "where the request arrives: a container, host or outside"),
        "reply": Column("text", "the verdict on the reply"),
        "rule": Column("text", "the rule that decides"),
    },
    "findings": {
        "code": Column("text", "the finding's stable code (docs/findings.md)"),
        "family": Column("number", "4 or 6"),
        "title": Column("text", "what was found"),
        "places": Column("text", "the rules and files that show it, separated by semicolons"),
        "consequence": Column("text", "what it does to packets"),
        "remedy": Column("text", "how to fix it"),
        "verdict": Column("text", "the verdict of the example packet"),
    },
}
