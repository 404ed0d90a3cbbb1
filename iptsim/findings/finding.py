"""What a finding is: a stable code, the evidence, the consequence shown on a packet, the remedy."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from iptsim.dump.ruleset import Chain, Rule
from iptsim.errors import printable
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.languages import Message, Text, message, message_many, message_sentences
from iptsim.netfilter.steps import Skipped, Step
from iptsim.packet import Family
from iptsim.question.options import explain_options, line_of
from iptsim.shown import Framed, Shown

Severity = Literal["critical", "high", "medium", "low", "info"]


class Kind(NamedTuple):
    """What all findings of a code have in common.

    Attributes:
        severity: critical: open to the internet against the intent of the rules; high: an expected connection fails, or
            a protection does not work; medium and low: less serious; info: good to know.
        meaning: one sentence.
    """

    severity: Severity
    meaning: Message


#: All codes, most serious first. `docs/findings.md` is made from this table.
CODES: dict[str, Kind] = {
    "firewall-bypassed": Kind(
        "critical",
        message("A published port is open although rules in INPUT deny it: the packets never pass INPUT."),
    ),
    "loopback-port-reachable": Kind(
        "critical",
        message("A port is published on 127.0.0.1 only, but other hosts on the link can reach it."),
    ),
    "container-port-open": Kind(
        "critical", message("Unpublished ports of a container can be reached from outside.")
    ),
    "ipv6-open": Kind("critical", message("Traffic that the IPv4 rules block is accepted over IPv6.")),
    "service-open": Kind(
        "high",
        message("A database or administration service is open to every address of the internet."),
    ),
    "docker-rules-flushed": Kind(
        "high", message("Docker runs containers, but some of its rules, or the jumps to them, are missing.")
    ),
    "docker-user-not-asked": Kind(
        "high", message("Nothing jumps to DOCKER-USER, so its rules have no effect.")
    ),
    "docker-user-late": Kind(
        "high",
        message("DOCKER-USER comes after Docker's own rules, which may already have accepted the packet."),
    ),
    "docker-user-after-return": Kind(
        "high", message("A rule in DOCKER-USER comes after the RETURN that ends the chain.")
    ),
    "docker-user-host-port": Kind(
        "high",
        message(
            "A rule in DOCKER-USER matches the host's port, but packets there have the container's port."
        ),
    ),
    "docker-user-blocks-replies": Kind(
        "high", message("A rule in DOCKER-USER drops the replies of connections that it allows.")
    ),
    "forward-rules-late": Kind(
        "high",
        message(
            "Rules of FORWARD that restrict containers come after Docker's, which accept the packets first."
        ),
    ),
    "bans-not-for-containers": Kind(
        "high",
        message("INPUT blocks senders, but not their packets to published ports, which never pass INPUT."),
    ),
    "icc-off-not-enforced": Kind(
        "high", message("icc is off, but iptables does not see the traffic between containers of a bridge.")
    ),
    "ip-forward-off": Kind(
        "high",
        message(
            "The host does not route: containers and networks behind it reach no others, and no port is forwarded."
        ),
    ),
    "published-without-dnat": Kind(
        "high", message("A port is published, but no rule forwards it to the container.")
    ),
    "published-without-accept": Kind(
        "high", message("A published port is forwarded, but no Docker rule accepts the packets.")
    ),
    "published-refused": Kind(
        "high", message("A published port is forwarded, but a rule of FORWARD that names no port blocks it.")
    ),
    "forwarded-twice": Kind(
        "high", message("Two of Docker's rules forward the same port: the first one takes all its packets.")
    ),
    "nat-accept-before-docker": Kind(
        "high", message("Another program's nat rule accepts the packet before Docker can forward it.")
    ),
    "swarm-ingress-gone": Kind(
        "high", message("Nothing jumps to DOCKER-INGRESS, so the ports of swarm services are not forwarded.")
    ),
    "notrack-stops-nat": Kind(
        "high", message("A rule in table raw turns tracking off for packets that nat should translate.")
    ),
    "dnat-to-loopback": Kind(
        "high",
        message("A port forward leads to 127.0.0.0/8, where the kernel routes no packets from outside."),
    ),
    "forward-names-old-port": Kind(
        "high", message("A rule of FORWARD is for the port that a port forward has already replaced.")
    ),
    "nftables-drops-forwarded": Kind(
        "high",
        message("A base chain of nftables drops forwarded packets that the rules of iptables let pass."),
    ),
    "forward-drop-hits-others": Kind(
        "high",
        message("Docker set the FORWARD policy to DROP, which also cuts off another bridge of this host."),
    ),
    "replies-not-counted": Kind(
        "high",
        message("A rule let packets out, but the rule for their replies counted none: none came back."),
    ),
    "redirect-takes-forwarded": Kind(
        "high", message("A REDIRECT or DNAT also catches connections that containers make to other hosts.")
    ),
    "output-drop": Kind("high", message("The rules of OUTPUT drop new connections of the host itself.")),
    "output-drops-replies": Kind(
        "high", message("The rules of OUTPUT drop the replies of services that INPUT allows.")
    ),
    "input-drops-replies": Kind(
        "high", message("The rules of INPUT drop the replies to connections of the host itself.")
    ),
    "input-drops-loopback": Kind(
        "high", message("The rules of INPUT drop the connections of the host to itself.")
    ),
    "host-without-names": Kind(
        "high", message("The rules let the host connect to web servers, but block its DNS queries.")
    ),
    "neighbour-discovery-blocked": Kind(
        "high",
        message("The IPv6 rules block neighbour discovery, without which IPv6 does not work."),
    ),
    "guests-without-names": Kind(
        "high", message("The rules of INPUT block what guests ask the host's name server on their bridge.")
    ),
    "route-localnet": Kind("high", message("The host accepts packets to 127.0.0.0/8 from the network.")),
    "accept-all": Kind(
        "high", message("A rule accepts every packet, so the rules after it are never evaluated.")
    ),
    "behind-final-rule": Kind(
        "high", message("A rule blocks every packet, and the rules of another program come after it.")
    ),
    "wrong-interface": Kind(
        "high", message("A rule names a network card that the host does not have, instead of its uplink.")
    ),
    "port-of-bridge": Kind(
        "high", message("A rule names a port of a bridge, by which no packet arrives or leaves.")
    ),
    "rejected-rule": Kind("high", message("The kernel rejects a rule, so it does not exist.")),
    "rate-limit-inverted": Kind(
        "medium", message("A rule blocks packets up to a rate, and lets those beyond it pass.")
    ),
    "wrong-chain": Kind(
        "medium", message("A rule of INPUT is for packets that the host forwards, which never pass INPUT.")
    ),
    "misspelt-interface": Kind(
        "medium",
        message("A rule names an interface that differs by one letter, or its number, from another."),
    ),
    "redirect-takes-own": Kind(
        "medium",
        message("A REDIRECT or DNAT in OUTPUT also catches what the program sends that it leads to."),
    ),
    "service-without-endpoints": Kind(
        "medium", message("A service of Kubernetes has no endpoints, so kube-proxy refuses its connections.")
    ),
    "docker-user-drops-outgoing": Kind(
        "medium", message("A rule in DOCKER-USER for all packets also drops what containers send.")
    ),
    "hairpin": Kind(
        "medium", message("A port forward does not work for clients in the network of its own target.")
    ),
    "logs-only": Kind(
        "medium", message("A chain whose name says that it blocks only logs: its packets continue.")
    ),
    "not-masqueraded": Kind(
        "medium",
        message("Connections leave the host with a private address: replies do not come back."),
    ),
    "direct-routing-blocked": Kind(
        "medium",
        message("Docker drops packets to a container's own address that do not arrive on its bridge."),
    ),
    "larger-than-uplink": Kind(
        "medium",
        message("Containers may send larger packets than the uplink carries: connections can hang."),
    ),
    "ipv6-rules-not-enabled": Kind(
        "medium",
        message("Containers have IPv6 addresses, but Docker before 27 writes no IPv6 rules for them."),
    ),
    "mixed-backends": Kind("medium", message("Rules of both iptables-legacy and iptables-nft are active.")),
    "connection-not-translated": Kind(
        "medium", message("A tracked connection was made without the translation that others like it got.")
    ),
    "spoofing-gains-access": Kind(
        "medium",
        message("An interface accepts a spoofed source that is allowed more than its own sources."),
    ),
    "counters-grew": Kind(
        "low", message("Of two listings of the same rules: the rules whose counters grew in between.")
    ),
    "port-forward-not-for-host": Kind(
        "low", message("A port forward in PREROUTING does not apply to connections of the host itself.")
    ),
    "stale-rule": Kind("low", message("A Docker rule is for an address that no container has.")),
    "not-published-ipv6": Kind(
        "low", message("A port is published for IPv4 only, although the host has an IPv6 address.")
    ),
    "docker-user-port": Kind(
        "low", message("A rule in DOCKER-USER names a port: it is the container's, not the published one.")
    ),
    "forward-drop": Kind(
        "low", message("The FORWARD policy is DROP, and no rule accepts what is forwarded for others.")
    ),
    "host-closed-to-containers": Kind(
        "low",
        message("The rules of INPUT block what containers send to services and published ports of the host."),
    ),
    "nftables-forward-drop": Kind(
        "low", message("A base chain of nftables drops what is forwarded, unless its own rules accept it.")
    ),
    "never-matches": Kind(
        "low",
        message("A rule never matches: no packet is left for it, or its conditions contradict each other."),
    ),
    "unreferenced-chain": Kind("low", message("A chain has rules, but nothing jumps to it.")),
    "empty-chain": Kind("low", message("A rule jumps to a chain that has no rules.")),
    "docker-user-private-sources": Kind(
        "info", message("In a pasted text: DOCKER-USER lets all private addresses past its restrictions.")
    ),
    "icc-off-unchecked": Kind(
        "info",
        message(
            "In a pasted text: a rule between containers of one bridge, which br_netfilter must be loaded for."
        ),
    ),
    "ssh-forwarded": Kind(
        "info", message("In a pasted text: a port forward takes tcp/22, the port of the host's own SSH.")
    ),
    "bans-behind-established": Kind(
        "info",
        message("In a pasted text: bans come after a rule that accepts established connections."),
    ),
    "limit-sees-first-only": Kind(
        "info",
        message(
            "In a pasted text: a limit for pings comes after a rule that accepts established connections."
        ),
    ),
    "masquerades-some": Kind(
        "info", message("In a pasted text: the subnets and interfaces for which the rules masquerade.")
    ),
    "neighbour-discovery-logged": Kind(
        "info",
        message("In a pasted text: the firewall has logged, so probably blocked, neighbour discovery."),
    ),
    "redirect-takes-every-host": Kind(
        "info",
        message("In a pasted text: a REDIRECT or DNAT takes a port of every host, not only of this one."),
    ),
    "forward-closed": Kind(
        "info",
        message(
            "In a pasted text: rules of FORWARD that block everything, or all that an interface sends or gets."
        ),
    ),
    "output-drops-some": Kind(
        "info",
        message("In a pasted text: the rules of OUTPUT block packets of the host itself to some addresses."),
    ),
    "redundant-rule": Kind(
        "info", message("A rule changes nothing: another rule does the same with all its packets.")
    ),
    "counted-drops": Kind(
        "info",
        message("In a pasted text: the rules and policies that have blocked packets, by their counters."),
    ),
    "nat-empty": Kind("info", message("In a pasted text: table nat has no rules.")),
    "closed-by-default": Kind(
        "info",
        message(
            "In a pasted text: what INPUT accepts from the internet, if it blocks all other new connections."
        ),
    ),
    "not-checked": Kind(
        "info", message("Some rules were not checked for all packets: the sets of packets grew too large.")
    ),
    "open-to-internet": Kind("info", message("With --audit: what is open to the internet.")),
    "source-not-checked": Kind(
        "info", message("With --audit: an interface accepts packets from addresses that are not behind it.")
    ),
}


class Evidence(NamedTuple):
    """Something that shows a finding.

    Attributes:
        place: its place: "filter FORWARD rule 3 (iptables-save.txt:31)", "sysctl.txt".
        text: the text found there.
        rule: the rule, if it is one.
    """

    place: Text
    text: Text
    rule: Rule | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        out: dict[str, Any] = {"place": str(self.place), "text": str(self.text)}
        if (rule := self.rule) is not None:
            out.update(table=rule.table, chain=rule.chain, rule=rule.position, line=rule.line)
        return out


@dataclass(frozen=True, slots=True)
class Finding(Shown):
    """A likely problem of a host.

    Attributes:
        code: a key of :data:`CODES`.
        title: one sentence.
        evidence: rules, settings and files that show it.
        consequence: one or two sentences about its effect on packets.
        remedy: a command or a setting, and when to use it.
        shown: the walk of an affected packet; None if no packet shows it.
        family: of the rules.
    """

    code: str
    title: Message
    evidence: tuple[Evidence, ...]
    consequence: Message
    remedy: Text
    shown: Explanation | None = None
    family: Family = 4
    #: the shell commands of the remedy, which must reverse what happens to the packet
    commands: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return printable(f"<Finding {self.code}: {self.title}>")

    @property
    def severity(self) -> Severity:
        """How serious it is; see :class:`Kind`."""
        return CODES[self.code].severity

    def command(self, source: str) -> str:
        """Return the command that reproduces the walk; empty without a packet."""
        return f"iptsim explain {shlex.join([source, *self._options()])}" if self.shown else ""

    def _options(self) -> list[str]:
        return explain_options(line_of(self.shown.question)) if self.shown else []

    def as_json(self) -> dict[str, Any]:
        """Return the finding as plain data; `shown` is a trace, schema `iptsim.trace/1`."""
        return {
            "code": self.code,
            "severity": self.severity,
            "family": self.family,
            "title": str(self.title),
            "evidence": [item.as_json() for item in self.evidence],
            "consequence": str(self.consequence),
            "remedy": str(self.remedy),
            "shown": self.shown.as_json() if self.shown else None,
        }


class Cause(NamedTuple):
    """What happens to the packet that a text describes.

    Attributes:
        shown: the packet, walked.
        near: rules that accept such packets, but from or to other addresses.
        guess: the condition that must hold, as a clause, if the source does not show it.
        allowed: what follows if the rules accept the packet although it was blocked.
        alone: say only that, because the source shows no rules.
    """

    shown: Explanation
    near: tuple[Skipped, ...] = ()
    guess: Text = ""
    allowed: Text = ""
    alone: bool = False

    @property
    def text(self) -> Message:
        """The cause in sentences."""
        if self.alone:
            return message_sentences(self.allowed)
        guess = message("That is so if {guess}.", guess=self.guess) if self.guess else ""
        return message_sentences(self.allowed, self.shown.reason.message, *map(_comes_near, self.near), guess)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data; `shown` is a trace, schema `iptsim.trace/1`."""
        return {"text": str(self.text), "shown": self.shown.as_json()}


def _comes_near(skipped: Skipped) -> Message:
    return message(
        "{place} accepts such packets, but only with {condition}: {got}.",
        place=place_of(skipped.rule),
        condition=skipped.condition,
        got=skipped.got,
    )


class Findings(Framed, list[Finding]):
    """The findings, most important first.

    Attributes:
        source: the source to name in commands.
        cause: what happens to the packet in a pasted text, or None without one.
    """

    def __init__(self, found: Iterable[Finding], source: str, cause: Cause | None = None) -> None:
        super().__init__(found)
        self.source = source
        self.cause = cause


def of_rule(rule: Rule) -> Evidence:
    """Return a rule as evidence."""
    place = place_of(rule)
    if rule.line:
        place = message("{place} (line {line})", place=place, line=rule.line)
    return Evidence(place, rule.text, rule)


def blocked_at(shown: Explanation, hook: str) -> Step | None:
    """Return the step of a hook at which a packet is blocked; None if nothing blocks it there."""
    request = shown.trace.legs[0]
    step = request.deciding
    if step is None or step.hook != hook or request.verdict not in ("DROP", "REJECT"):
        return None
    return step


def filtered_at(shown: Explanation, hook: str) -> Step | None:
    """Return the step of a hook's table filter at which iptables blocks a packet; None if nothing does there."""
    step = blocked_at(shown, hook)
    return step if step is not None and step.table == "filter" and not step.backend else None


def uses(shown: Explanation, rule: Rule) -> bool:
    """Return whether a rule matched a packet."""
    return any(step.rule is rule for step in shown.trace.legs[0].all_steps)


def is_readdressed(shown: Explanation) -> bool:
    """Return whether a rule changed the destination of a packet."""
    return any(step.verdict in ("DNAT", "REDIRECT") for step in shown.trace.legs[0].all_steps)


def of_policy(chain: Chain) -> Evidence:
    """Return the policy of a built-in chain as evidence."""
    policy, counters = chain.policy or "ACCEPT", chain.counters
    if counters is None or not counters.packets:
        return Evidence(place_of_chain(chain), message("policy {policy}", policy=policy))
    counted = message_many(
        "policy {policy}; it has counted {count} packet",
        "policy {policy}; it has counted {count} packets",
        counters.packets,
        policy=policy,
    )
    return Evidence(place_of_chain(chain), counted)


def place_of_chain(chain: Chain) -> Text:
    """Return the place of a chain: "filter FORWARD (line 12)"."""
    place = f"{chain.table} {chain.name}"
    return message("{place} (line {line})", place=place, line=chain.line) if chain.line else place


def tool_of(family: Family) -> str:
    """Return the program that changes the rules of a family."""
    return "iptables" if family == 4 else "ip6tables"
