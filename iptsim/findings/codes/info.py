"""Codes of findings with the severity info, most important first.

Good to know; not a mistake.
"""

from __future__ import annotations

from iptsim.languages import Message, message

#: The meaning of each code.
MEANINGS: dict[str, Message] = {
    "listens-on-loopback": message(
        "In a pasted text: a service listens on 127.0.0.1 only, so others cannot connect."
    ),
    "published-on-loopback": message(
        "In a pasted text: a port of a container is published on 127.0.0.1 only."
    ),
    "docker-user-private-sources": message(
        "In a pasted text: DOCKER-USER lets all private addresses past its restrictions."
    ),
    "ssh-forwarded": message(
        "In a pasted text: a port forward takes tcp/22, the port of the host's own SSH."
    ),
    "bans-one-port": message("In a pasted text: a jail for ssh bans from port 22 only."),
    "input-blocks-nothing": message("In a pasted text: INPUT blocks nothing, by its policy."),
    "bans-behind-established": message(
        "In a pasted text: bans come after a rule that accepts established connections."
    ),
    "limit-sees-first-only": message(
        "In a pasted text: a limit for pings comes after a rule that accepts established connections."
    ),
    "neighbour-discovery-logged": message(
        "In a pasted text: the firewall has logged, so probably blocked, neighbour discovery."
    ),
    "redirects-own-only": message(
        "In a pasted text: rules redirect the host's own connections, and none of other machines."
    ),
    "redirect-takes-every-host": message(
        "In a pasted text: a REDIRECT or DNAT takes a port of every host, not only of this one."
    ),
    "docker-chain-missing": message(
        "In a pasted log: Docker, or firewalld for it, looked for a chain that did not exist."
    ),
    "internal-network": message(
        "In a pasted text: the networks of Docker are internal, without a way to other hosts."
    ),
    "forward-closed": message(
        "In a pasted text: FORWARD blocks everything, by its rules or its policy, or all that an interface sends"
        " or gets."
    ),
    "forward-without-dnat": message(
        "In a pasted text: FORWARD accepts a port of a machine behind the host, but no DNAT leads there."
    ),
    "refused-elsewhere": message(
        "In a pasted text: a connection was refused, but none of the rules rejects packets."
    ),
    "output-allows-some": message(
        "In a pasted text: ufw allows some outgoing packets, and its default for the others is not shown."
    ),
    "port-forward-not-reached": message(
        "In a pasted text: by its counter, no connection has reached a port forward, while others have come in."
    ),
    "port-forward-from-outside-only": message(
        "In a pasted text: a port forward is for one interface, so a test from its own network ends at the host itself."
    ),
    "input-not-forward": message(
        "In a pasted text about a router: a rule of INPUT blocks a client, whose packets to other hosts pass FORWARD."
    ),
    "output-drops-some": message(
        "In a pasted text: the rules of OUTPUT block packets of the host itself to some addresses."
    ),
    "masquerades-some": message(
        "In a pasted text: the subnets and interfaces for which the rules masquerade."
    ),
    "redundant-rule": message("A rule changes nothing: another rule does the same with all its packets."),
    "counted-drops": message(
        "In a pasted text: the rules and policies that have blocked packets, by their counters."
    ),
    "two-variants": message("In a pasted text: versions of iptables of both variants, legacy and nf_tables."),
    "docker-writes-no-rules": message(
        "In a pasted text: dockerd runs with iptables=false, so it writes no rules."
    ),
    "nat-empty": message("In a pasted text: table nat has no rules."),
    "closed-by-default": message(
        "In a pasted text: what INPUT accepts from the internet, if it blocks all other new connections."
    ),
    "name-in-rule": message("In a pasted text: a rule names a host in DNS, which is looked up only once."),
    "output-closed-by-default": message(
        "In a pasted text: what OUTPUT lets out to the internet, if it blocks all other new connections."
    ),
    "not-checked": message("Some rules were not checked for all packets: there are too many different ones."),
    "open-to-internet": message("With --audit: what is open to the internet."),
    "source-not-checked": message(
        "With --audit: an interface accepts packets from addresses that are not behind it."
    ),
}
