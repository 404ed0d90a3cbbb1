"""The usual effects of the Docker network settings, explained by explanations.

The expected texts were read and found right by a person, against what Docker documents and what the probes
of these captures met. Change one only after the same care.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim

CAPTURES = Path(__file__).parent.parent.parent / "fixtures/captures"

ICC_ON = "Both are on docker0, and containers there may talk to each other on all ports: icc is on."
ICC_OFF = "Containers on docker0 may not talk to each other: icc is off, and client has no link to web."
ICC_OFF_ADVICE = "To allow it: put both on a user-defined network, use --link, or set icc=true."
LINK = (
    "client has a link to web (--link), which opens 80/tcp between the two although icc is off. Its rule precedes "
    "the DROP ({drop}). {answer} accepts the reply."
)
OUTGOING = (
    "Docker lets containers on docker0 reach the outside. On the way out its source 172.17.0.3 becomes 192.0.2.10 "
    "(MASQUERADE)."
)
PUBLISHED = (
    "Port 8080/tcp of the host is published: nat DOCKER rule {number} forwards it to web 172.17.0.2:80. It is "
    "forwarded, not delivered to the host, so rules in INPUT do not see it. web sees 198.51.100.7 as its client."
)
PROXY = (
    "It ends on the host, where docker-proxy listens and opens a second connection to web; web sees 172.17.0.1 as its "
    "client."
)

#: (capture, sender, target, further fields): (verdict, code, text, advice)
STORY = {
    # icc on and off, for two containers of docker0
    ("docker-20.10/icc-on", "client", "web:80"): ("ACCEPT", "icc-enabled", ICC_ON, ""),
    ("docker-28.5/icc-on", "web", "client:9999"): ("ACCEPT", "icc-enabled", ICC_ON, ""),
    ("docker-20.10/icc-off", "client", "web:80"): ("DROP", "icc-disabled", ICC_OFF, ICC_OFF_ADVICE),
    ("docker-26.1/icc-off", "client", "web:80"): ("DROP", "icc-disabled", ICC_OFF, ICC_OFF_ADVICE),
    ("docker-28.5/icc-off", "client", "web:80"): ("DROP", "icc-disabled", ICC_OFF, ICC_OFF_ADVICE),
    # a link opens the exposed port, one way; its alias is a name
    ("docker-20.10/icc-off-link", "client", "web:80"): (
        "ACCEPT",
        "link",
        LINK.format(drop="FORWARD rule 6", answer="FORWARD rule 3"),
        "",
    ),
    ("docker-28.5/icc-off-link", "client", "db:80"): (
        "ACCEPT",
        "link",
        LINK.format(drop="DOCKER-FORWARD rule 4", answer="DOCKER-CT rule 1"),
        "",
    ),
    ("docker-28.5/icc-off-link", "client", "web:81"): (
        "DROP",
        "icc-disabled",
        "Containers on docker0 may not talk to each other: icc is off, and client's link to web does not open 81/tcp.",
        "To allow it: let web expose 81/tcp, put both on a user-defined network, or set icc=true.",
    ),
    ("docker-20.10/icc-off-link", "web", "client:80"): (
        "DROP",
        "icc-disabled",
        "Containers on docker0 may not talk to each other: icc is off, and web has no link to client.",
        ICC_OFF_ADVICE,
    ),
    # iptables=false: nothing is kept out, and nothing is translated
    ("docker-28.5/iptables-off", "client", "web:80"): (
        "ACCEPT",
        "no-rules",
        "dockerd runs with iptables=false, so it wrote no rules, and there are no others: no rule blocks it.",
        "",
    ),
    ("docker-28.5/iptables-off", "client", "internet:443"): (
        "ACCEPT",
        "no-rules",
        "dockerd runs with iptables=false, so it wrote no rules, and there are no others: no rule blocks it. No rule "
        "changes its source: the other side sees 172.17.0.3, a private address. Its reply comes back only if the "
        "other side has a route to that address; the internet has none.",
        "",
    ),
    ("docker-20.10/iptables-off", "internet", "host:8080"): (
        "ACCEPT",
        "docker-proxy",
        f"8080/tcp is published, but no nat rule forwards this packet. {PROXY}",
        "",
    ),
    # ip_forward off: nothing leaves, nothing comes in
    ("docker-28.5/forward-off", "client", "internet:443"): (
        "DROP",
        "ip-forward-off",
        "The host does not route between interfaces: ip_forward is 0.",
        "To let the host forward: sysctl -w net.ipv4.ip_forward=1",
    ),
    ("docker-28.5/forward-off", "client", "web:80"): ("ACCEPT", "icc-enabled", ICC_ON, ""),
    # to the outside, with MASQUERADE and without
    ("docker-20.10/icc-off", "client", "internet:443"): ("ACCEPT", "outgoing", OUTGOING, ""),
    ("docker-28.5/icc-on", "client", "internet:443"): ("ACCEPT", "outgoing", OUTGOING, ""),
    ("docker-28.5/no-masquerade", "client", "internet:443"): (
        "DROP",
        "reply-dropped",
        "The request arrives, but its reply is lost on the way back: no rule gave the request the host's address, so "
        "the reply comes to 172.17.0.3 itself. 172.17.0.3 is client's own address on docker0. Docker accepts packets "
        "to it only from docker0; this one arrives on eth0, and the raw table drops it before any other rule sees it.",
        "To get the reply back, masquerade traffic leaving the network (--ip-masq).",
    ),
    # a published port: from outside, from the host, from the host's localhost, from a sibling
    ("docker-20.10/published", "internet", "host:8080"): (
        "ACCEPT",
        "published-port",
        PUBLISHED.format(number=3),
        "",
    ),
    ("docker-28.5/icc-off-published", "internet", "host:8080"): (
        "ACCEPT",
        "published-port",
        PUBLISHED.format(number=2),
        "",
    ),
    ("docker-28.5/published", "host", "host:8080"): (
        "ACCEPT",
        "published-port",
        "Port 8080/tcp of the host is published: nat DOCKER rule 3 forwards it to web 172.17.0.2:80. web sees "
        "192.0.2.10 as its client.",
        "",
    ),
    ("docker-28.5/published", "localhost", "localhost:8080"): (
        "ACCEPT",
        "docker-proxy",
        f"8080/tcp is published, but Docker's nat rules skip 127.0.0.0/8. {PROXY}",
        "",
    ),
    ("docker-20.10/published", "client", "172.17.0.1:8080"): (
        "ACCEPT",
        "docker-proxy",
        f"8080/tcp is published, but Docker's nat rules skip requests from docker0. {PROXY}",
        "",
    ),
    ("docker-28.5/published-no-proxy", "web", "host:8080"): (
        "ACCEPT",
        "published-port",
        "Port 8080/tcp of the host is published: nat DOCKER rule 1 forwards it to web 172.17.0.2:80. It is forwarded, "
        "not delivered to the host, so rules in INPUT do not see it. web sees 172.17.0.1, the host's own address, as "
        "its client.",
        "",
    ),
    ("docker-28.5/published", "internet", "host:8081"): (
        "ACCEPT",
        "policy-accept",
        "No rule decides, and the policy of filter INPUT is ACCEPT. web's port is published on 127.0.0.1 only, not "
        "on 192.0.2.10.",
        "",
    ),
    # the host reaches its containers whatever icc says
    ("docker-20.10/icc-off", "host", "web:80"): (
        "ACCEPT",
        "policy-accept",
        "No rule matches, and the policy of filter OUTPUT is ACCEPT. The host itself sends it, so FORWARD, and with it "
        "icc, does not apply.",
        "",
    ),
    # name resolution: an outside resolver, and Docker's own inside the container
    ("docker-20.10/icc-off", "client", "dns"): ("ACCEPT", "outgoing", OUTGOING, ""),
    ("docker-28.5/two-networks", "app", "127.0.0.11:53"): (
        "ACCEPT",
        "inside-namespace",
        "127.0.0.11 is Docker's own resolver, inside app's network namespace: the host's rules do not see the "
        "query. dockerd forwards it to the host's DNS servers.",
        "",
    ),
    # networks of their own, and one without a way out
    ("docker-28.5/two-networks", "app", "db:5432"): (
        "ACCEPT",
        "icc-enabled",
        "Both are on back, and containers there may talk to each other on all ports: icc is on.",
        "",
    ),
    ("docker-20.10/two-networks", "web", "db:5432"): (
        "DROP",
        "isolated-networks",
        "front and back are two Docker networks, and Docker blocks traffic between them.",
        "To allow it: connect one of them to the other's network, or publish the port and use the host's address.",
    ),
    ("docker-28.5/internal-network", "app", "internet:443"): (
        "DROP",
        "no-route",
        "Nothing is sent: there is no route to the destination. app is only on secret, created with --internal: since "
        "Docker 25 it gets no default route.",
        "",
    ),
}


@pytest.mark.parametrize("case", STORY, ids=lambda case: " ".join(case))
def test_the_story(case: tuple[str, str, str]) -> None:
    capture, sender, target = case
    proto = "udp" if target == "127.0.0.11:53" else None
    reason = (answer := iptsim.explain(CAPTURES / capture, sender, target, proto=proto)).reason
    assert (answer.verdict, reason.code, reason.text, reason.advice) == STORY[case]
