"""Codes of findings with the severity info, most important first.

Good to know; not a mistake.
"""

from __future__ import annotations

from functools import partial

from iptsim.findings.codes.kind import Kind
from iptsim.languages import message

info = partial(Kind, "info")
#: What each code means.
KINDS: dict[str, Kind] = {
    "listens-on-loopback": info(
        message("In a pasted text: a service listens on 127.0.0.1 only, so others cannot connect."),
        sender="outside",
    ),
    "connection-unanswered": info(
        message("In a pasted text: conntrack has seen no reply to a connection."), observed=True
    ),
    "icc-off": info(
        message(
            "In a pasted text about containers that do not reach each other: icc is off on their network."
        ),
        sender="containers",
    ),
    "published-on-loopback": info(
        message("In a pasted text: a port of a container is published on 127.0.0.1 only."), sender="outside"
    ),
    "docker-user-private-sources": info(
        message("In a pasted text: DOCKER-USER lets all private addresses past its restrictions."),
        explains="access",
    ),
    "ssh-forwarded": info(
        message("In a pasted text: a port forward takes tcp/22, the port of the host's own SSH.")
    ),
    "bans-one-port": info(
        message("In a pasted text: a jail for ssh bans from port 22 only."), explains="access"
    ),
    "input-blocks-nothing": info(
        message("In a pasted text: INPUT blocks nothing, by its policy."), explains="access"
    ),
    "bans-behind-established": info(
        message("In a pasted text: bans come after a rule that accepts established connections."),
        explains="access",
    ),
    "limit-sees-first-only": info(
        message(
            "In a pasted text: a limit for pings comes after a rule that accepts established connections."
        ),
        explains="access",
    ),
    "neighbour-discovery-logged": info(
        message("In a pasted text: the firewall has logged, so probably blocked, neighbour discovery.")
    ),
    "redirects-own-only": info(
        message("In a pasted text: rules redirect the host's own connections, and none of other machines."),
        sender="host",
    ),
    "redirect-takes-every-host": info(
        message("In a pasted text: a REDIRECT or DNAT takes a port of every host, not only of this one."),
        sender="guests",
    ),
    "docker-chain-missing": info(
        message("In a pasted log: Docker, or firewalld for it, looked for a chain that did not exist."),
        observed=True,
    ),
    "internal-network": info(
        message("In a pasted text: the networks of Docker are internal, without a way to other hosts.")
    ),
    "forward-closed": info(
        message(
            "In a pasted text: FORWARD blocks everything, by its rules or its policy, or all that an interface sends"
            " or gets."
        ),
        forwarding=True,
    ),
    "forward-without-dnat": info(
        message(
            "In a pasted text: FORWARD accepts a port of a machine behind the host, but no DNAT leads there."
        )
    ),
    "refused-elsewhere": info(
        message("In a pasted text: a connection was refused, but none of the rules rejects packets."),
        observed=True,
    ),
    "output-allows-some": info(
        message(
            "In a pasted text: ufw allows some outgoing packets, and its default for the others is not shown."
        ),
        explains="nothing",
    ),
    "port-forward-not-reached": info(
        message(
            "In a pasted text: by its counter, no connection has reached a port forward, while others have come in."
        ),
        observed=True,
    ),
    "port-forward-from-outside-only": info(
        message(
            "In a pasted text: a port forward is for one interface, so a test from its own network ends at the "
            "host itself."
        )
    ),
    "input-not-forward": info(
        message(
            "In a pasted text about a router: a rule of INPUT blocks a client, whose packets to other hosts "
            "pass FORWARD."
        ),
        explains="access",
    ),
    "output-drops-some": info(
        message("In a pasted text: the rules of OUTPUT block packets of the host itself to some addresses."),
        explains="nothing",
    ),
    "masquerades-some": info(
        message("In a pasted text: the subnets and interfaces for which the rules masquerade."),
        explains="nothing",
    ),
    "redundant-rule": info(
        message("A rule changes nothing: another rule does the same with all its packets."),
        explains="nothing",
    ),
    "counted-drops": info(
        message("In a pasted text: the rules and policies that have blocked packets, by their counters.")
    ),
    "two-variants": info(
        message("In a pasted text: versions of iptables of both variants, legacy and nf_tables."),
        explains="nothing",
    ),
    "nat-empty": info(message("In a pasted text: table nat has no rules.")),
    "closed-by-default": info(
        message(
            "In a pasted text: what INPUT accepts from the internet, if it blocks all other new connections."
        ),
        explains="nothing",
    ),
    "name-in-rule": info(
        message("In a pasted text: a rule names a host in DNS, which is looked up only once.")
    ),
    "output-closed-by-default": info(
        message(
            "In a pasted text: what OUTPUT lets out to the internet, if it blocks all other new connections."
        )
    ),
    "not-checked": info(
        message("Some rules were not checked for all packets: there are too many different ones."),
        explains="nothing",
    ),
    "open-to-internet": info(message("With --audit: what is open to the internet."), explains="nothing"),
    "source-not-checked": info(
        message("With --audit: an interface accepts packets from addresses that are not behind it."),
        explains="nothing",
    ),
}
