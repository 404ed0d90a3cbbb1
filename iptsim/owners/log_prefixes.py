"""The program and chain that logged a packet, and what happened to it, from the prefix in the kernel log.

Sources: ufw's before.rules and src/backend_iptables.py; ufw-docker's after.rules; firewalld's ipXtables.py and
nftables.py (log-denied); Shorewall's LOGFORMAT ("Shorewall:%s:%s:", since 5.1 "%s %s "), and its FAQ 17 on built-in
chains; csf.pl; firehol's UNMATCHED_*_POLICY; SuSEfirewall2's script; NixOS's firewall-iptables.nix and
firewall-nftables.nix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from iptsim.languages import Message, message, message_joined

#: Words that name the action of the rule after the LOG rule, as in ufw, firewalld, Shorewall and csf; FireHOL writes
#: PASS-unknown where nothing let a packet pass.
_VERDICTS = (
    ("REJECT", re.compile(r"reject", re.IGNORECASE)),
    ("DROP", re.compile(r"block|drop|den(?:y|ied)|refus|discard|\b(?:in|out|pass)-unknown\b", re.IGNORECASE)),
    ("ACCEPT", re.compile(r"\ballow|accept|permit|(?:pass(?:ed)?|-ACC)\b", re.IGNORECASE)),
)
#: By prefix: the sentence about who wrote such a line, and where.
_PREFIXES: tuple[tuple[str, Callable[[re.Match[str]], Message]], ...] = (
    (r"\[UFW DOCKER BLOCK\]", lambda found: message(
        "ufw-docker's rules in DOCKER-USER logged it, in chain ufw-docker-logging-deny, and then dropped it: no "
        "`ufw route allow` covers the container's address and port.")),
    (r"\[UFW LIMIT BLOCK\]", lambda found: message(
        "ufw logged it in chain ufw-user-limit: a `ufw limit` rule is exceeded.")),
    (r"\[UFW BLOCK\]", lambda found: message(
        "ufw logged it, in chain ufw-logging-deny or ufw-user-logging-*, and then dropped it: a rule denies it, or no "
        "`ufw allow` covers it and the default policy is deny.")),
    (r"\[UFW ALLOW\]", lambda found: message("ufw logged it in chain ufw-logging-allow: a rule allows it.")),
    (r"\[UFW AUDIT", lambda found: message(
        "ufw logged it in chain ufw-before-logging-*, before its rules decided anything.")),
    (r"FINAL_REJECT", lambda found: message(
        "firewalld logged it at the end of its own chain (log-denied): no zone or policy accepts it.")),
    (r"rpfilter_DROP", lambda found: message(
        "firewalld logged it before routing, and then dropped it (IPv6_rpfilter in firewalld.conf): the route back to "
        "its source does not leave by the interface on which it arrived.")),
    (r"^SFW2-(?P<chain>IN|FWD)(?P<zone>ext|int|dmz)-(?:DROP|REJECT)", lambda found: message(
        "SuSEfirewall2 logged it, and then blocked it: zone {zone} allows nothing like it ({settings} in "
        "/etc/sysconfig/SuSEfirewall2).", zone=found["zone"], settings="FW_ROUTE, FW_FORWARD, FW_MASQUERADE"
        if found["chain"] == "FWD" else f"FW_SERVICES_{found['zone'].upper()}_TCP, ..._UDP")),
    (r"STATE_INVALID_DROP", lambda found: message(
        "firewalld logged it (log-denied): conntrack finds the packet invalid.")),
    (r"(?:filter_)?IN_(?P<zone>[\w-]+?)_(?:REJECT|DROP|DENY)", lambda found: message(
        "firewalld logged it at the end of zone {zone} (log-denied): no service, port or rich rule of the zone allows "
        "it.", zone=found["zone"])),
    (r"(?:filter_)?FW(?:D|DI|DO)_(?P<zone>[\w-]+?)_(?:REJECT|DROP|DENY)", lambda found: message(
        "firewalld logged it at the end of what zone {zone} forwards (log-denied): no rule or policy allows it.",
        zone=found["zone"])),
    (r"^refused (?:connection|packet): ?$", lambda found: message(
        "NixOS's firewall logged it, and then refused it: its port is not in networking.firewall.allowedTCPPorts or "
        "allowedUDPPorts, nor is its interface trusted.")),
    (r"^rpfilter drop: ?$", lambda found: message(
        "NixOS's firewall logged it, and then dropped it: the route back to its source leads out of another interface "
        "(networking.firewall.checkReversePath).")),
    (r"Shorewall:(?P<zone>[\w-]+):(?P<what>[A-Z]+):", lambda found: message(
        "Shorewall logged it in chain {zone}: the policy or a rule there is {what}.",
        zone=found["zone"], what=found["what"])),
    (r"Firewall: \*(?P<list>(?:TCP|UDP)6?)_?(?P<zone>IN|OUT) Blocked", lambda found: message(
        "csf logged it in chain LOGDROP{zone}, and then dropped it: its port is not in {setting} of /etc/csf/csf.conf.",
        zone=found["zone"], setting=f"{found['list']}_{found['zone']}")),
    (r"Firewall: \*[A-Z0-9]+?_?(?P<zone>IN|OUT) Blocked", lambda found: message(
        "csf logged it in chain LOGDROP{zone}, and then dropped it: no setting of /etc/csf/csf.conf allows it.",
        zone=found["zone"])),
    (r"(?:^|\])(?P<chain>IN|OUT|PASS)-unknown:", lambda found: message(
        "FireHOL logged it ({chain}-unknown), and then dropped it: no {statement} statement of firehol.conf accepts "
        "it.",
        chain=found["chain"], statement="router" if found["chain"] == "PASS" else "interface")),
)  # fmt: skip


#: Shorewall's own rules are in chains for pairs of zones; in the built-in ones it refuses what is in no zone.
_NO_ZONE = re.compile(r"Shorewall6?:(?P<chain>INPUT|FORWARD|OUTPUT):(?:DROP|REJECT):")


def verdict_of(prefix: str) -> str | None:
    """Return the action that a prefix names, "REJECT", "DROP" or "ACCEPT"; None if it names none."""
    return next((verdict for verdict, word in _VERDICTS if word.search(prefix)), None)


def logged_by(prefix: str, interfaces: Sequence[str] = ()) -> Message | None:
    """Return a sentence on who logged a packet with a prefix; None for an unknown prefix.

    Args:
        prefix: the prefix of the line.
        interfaces: the packet's interfaces.
    """
    if interfaces and (found := _NO_ZONE.search(prefix)) is not None:
        return message(
            "Shorewall logged it in chain {chain} itself: interface {names}, or the address behind it, belongs to no "
            "zone. Compare it with /etc/shorewall/interfaces and params.",
            chain=found["chain"],
            names=message_joined(", ", interfaces),
        )
    for pattern, made in _PREFIXES:
        found = re.search(pattern, prefix)
        if found is not None:
            return made(found)
    return None


#: firewalld's chains for a zone, as its log prefixes name them.
_OF_ZONE = re.compile(r"(?:filter_)?(?P<hook>IN|FWD|FWDI|FWDO)_(?P<zone>[\w-]+?)_(?:REJECT|DROP|DENY)")
#: Bridges and tunnels of pods and of Podman's containers, which firewalld should not filter.
_OF_PODS = re.compile(r"cni\d+|cbr\d+|flannel[.\w]*|podman\d+|cni-podman\d+")

#: ufw's names of the protocols without ports that it allows, by the kernel's name or number in a log line: ufw(8).
_PORTLESS = {"2": "igmp", "41": "ipv6", "47": "gre", "esp": "esp", "ah": "ah"}


def allowed_by(pairs: Mapping[str, str], prefix: str) -> str:
    """Return the command that would allow a packet that ufw, ufw-docker or firewalld has blocked; "" if unknown.

    Args:
        pairs: the fields of the line: IN, OUT, SRC, DST, PROTO, DPT.
        prefix: the prefix of the line.

    >>> allowed_by({"IN": "docker0", "OUT": "", "PROTO": "TCP", "DPT": "5432"}, "[UFW BLOCK] ")
    'ufw allow in on docker0 to any port 5432 proto tcp'
    >>> allowed_by({"IN": "eth0", "OUT": "", "SRC": "192.0.2.1", "PROTO": "41"}, "[UFW BLOCK] ")
    'ufw allow in on eth0 proto ipv6 from 192.0.2.1'
    """
    into, out, port = pairs.get("IN"), pairs.get("OUT"), pairs.get("DPT")
    proto = pairs.get("PROTO", "").lower()
    zone = _OF_ZONE.search(prefix)
    if zone is not None and into and out and _OF_PODS.fullmatch(into):
        return f"firewall-cmd --permanent --zone=trusted --add-interface={into}; firewall-cmd --reload"
    if "[UFW BLOCK]" in prefix and into and not out and (portless := _PORTLESS.get(proto)):
        return f"ufw allow in on {into} proto {portless} from {pairs.get('SRC', 'any')}"
    if proto not in ("tcp", "udp") or not port:
        return ""
    if zone is not None and zone["hook"] == "IN" and not out:
        return (
            f"firewall-cmd --permanent --zone={zone['zone']} --add-port={port}/{proto}; firewall-cmd --reload"
        )
    if "[UFW DOCKER BLOCK]" in prefix:
        return f"ufw route allow proto {proto} from any to any port {port}"
    if "[UFW BLOCK]" not in prefix:
        return ""
    if into and out:
        return f"ufw route allow in on {into} out on {out} to {pairs.get('DST', 'any')} port {port} proto {proto}"
    where = f"in on {into}" if into else f"out on {out}"
    return f"ufw allow {where} to any port {port} proto {proto}"
