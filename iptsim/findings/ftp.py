"""FTP, whose data connections use other ports than its commands.

The kernel relates them to the connection for commands only with the helper nf_conntrack_ftp, and translates the
addresses in them only with nf_nat_ftp. Since Linux 4.7 it uses a helper only where a rule of table raw assigns it
(Documentation/networking/nf_conntrack-sysctl.rst; iptables-extensions(8), CT).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.extensions.targets.ct import Ct
from iptsim.extensions.targets.dnat import Dnat
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.closed import at_first_sight
from iptsim.findings.examples import is_for_replies
from iptsim.findings.finding import Finding, filtered_at, of_rule, port_ranges
from iptsim.findings.scene import Scene
from iptsim.languages import Message, message
from iptsim.passages import shell
from iptsim.protocols import TCP, UDP

#: The kernel parameter that lets helpers be used without a rule.
_AUTOMATIC = "net.netfilter.nf_conntrack_helper"
#: The first version of Linux in which it is off unless someone sets it.
_BY_RULE = (4, 7)
_COMMANDS = 21
_TFTP = 69
#: The last port that only root's servers use.
_PRIVILEGED = 1023
#: A port of a passive data connection, which the server chooses.
_DATA = 50505
#: At least this many ports from that for commands on are for other services, too.
_MANY = 10


def without_helper(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, rules that let FTP's commands through, but not its data connections."""
    if not scene.is_pasted or scene.host.namespace.sysctl_number(_AUTOMATIC):
        return
    if scene.pasted.kernel is not None and scene.pasted.kernel < _BY_RULE:
        return
    for family in scene.families:
        raw = scene.table(family, "raw").rules()
        if any(isinstance(rule.target, Ct) and rule.target.helper == "ftp" for rule in raw):
            continue
        forwards = [rule for rule in scene.table(family, "nat").rules() if isinstance(rule.target, Dnat)]
        of_commands = [rule for rule in forwards if _is_for_commands(rule)]
        alone = next((one for one in of_commands if not _forwards_data(forwards, one)), None)
        if alone is not None:
            yield _finding(family, alone, _behind_nat(), None, "PREROUTING")
        if of_commands:
            continue
        for sender, to, hook, chain in (
            ("internet", "host", "INPUT", "PREROUTING"),
            ("host", "internet", "OUTPUT", "OUTPUT"),
        ):
            rule = next((one for one in scene.rules(family, "filter", hook) if _accepts(one)), None)
            if rule is None:
                continue
            read = (at_first_sight(scene, family) or scene) if hook == "INPUT" else scene
            shown = read.ask(sender, to, family, proto="tcp", dport=_DATA)
            if shown is None or shown.verdict not in BLOCKING:
                continue
            if filtered_at(shown, hook) is not None and not _opens_range(scene, family, hook):
                yield _finding(family, rule, _blocked(hook), shown, chain)


def tftp(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, rules that accept packets from a TFTP server's port 69, from which it sends no data."""
    for family in scene.families if scene.is_pasted else ():
        for chain in scene.below(family, "filter", "INPUT"):
            rule = next(
                (one for one in scene.rules(family, "filter", chain) if _accepts_from_tftp(one)), None
            )
            if rule is not None:
                yield Finding(
                    "ftp-without-helper",
                    message(
                        "{place} is for TFTP, whose server sends data from another port than 69.",
                        place=place_of(rule),
                    ),
                    (of_rule(rule),),
                    message(
                        "The request goes to udp/69, and the server answers from a port that it chooses, to the one of"
                        " the client. No rule for port 69 matches that, and the kernel relates it to the request only"
                        " with the helper nf_conntrack_tftp."
                    ),
                    message(
                        "{commands}. Then the rule for RELATED accepts the data. Or accept all UDP of the server.",
                        commands=shell(
                            "modprobe nf_conntrack_tftp",
                            f"{tool_of(family)} -t raw -A OUTPUT -p udp --dport {_TFTP} -j CT --helper tftp",
                        ),
                    ),
                    None,
                    family,
                )


def _accepts_from_tftp(rule: Rule) -> bool:
    """Return whether a rule accepts UDP from port 69 alone."""
    if rule.target_name != "ACCEPT" or rule.parameters.protocol != UDP:
        return False
    return any(one.allowed == ((_TFTP, _TFTP),) and not one.negated for one in rule.conditions_on("sport"))


def _ports(rule: Rule) -> list[tuple[int, int]]:
    """Return the ranges of TCP ports that a rule is for."""
    return port_ranges(rule) if rule.parameters.protocol == TCP else []


def _is_passive(ports: tuple[int, int]) -> bool:
    """Return whether ports are a range for passive data connections."""
    low, high = ports
    return high > max(low, _PRIVILEGED)


def _is_for_commands(rule: Rule) -> bool:
    return any(low <= _COMMANDS <= high < low + _MANY for low, high in _ports(rule))


def _forwards_data(forwards: Iterable[Rule], commands: Rule) -> bool:
    """Return whether the target of a port forward also gets a range of ports, or all of them."""
    return any(
        _addresses(rule) == _addresses(commands)
        and rule.parameters.protocol in (None, TCP)
        and (any(map(_is_passive, _ports(rule))) or all(one.negated for one in rule.conditions_on("dport")))
        for rule in forwards
    )


def _addresses(rule: Rule) -> tuple[int, int] | None:
    return rule.target.to_destination.addresses if isinstance(rule.target, Dnat) else None


def _accepts(rule: Rule) -> bool:
    return rule.target_name == "ACCEPT" and _is_for_commands(rule)


def _opens_range(scene: Scene, family: Family, hook: str) -> bool:
    """Return whether a rule accepts a range of TCP ports, as servers choose them for passive connections."""
    return any(
        rule.target_name == "ACCEPT" and any(map(_is_passive, _ports(rule))) and not is_for_replies(rule)
        for rule in scene.rules(family, "filter", hook)
    )


def _behind_nat() -> tuple[Message, Message]:
    return (
        message("The port forward for FTP covers its commands, not its data connections."),
        message(
            "In passive mode the server announces an address and another port. Behind NAT that is its private address,"
            " unless nf_nat_ftp changes it, or the server is configured with the public address and a range of passive"
            " ports that are forwarded, too."
        ),
    )


def _blocked(hook: str) -> tuple[Message, Message]:
    return (
        message("{chain} accepts FTP's commands on tcp/21, but blocks its data connections.", chain=hook),
        message(
            "FTP opens another connection for each listing and file, in passive mode to a port that the server chooses."
            " It counts as RELATED only with the helper nf_conntrack_ftp. Without it a client logs in, and then hangs."
        ),
    )


def _finding(
    family: Family, rule: Rule, texts: tuple[Message, Message], shown: Explanation | None, chain: str
) -> Finding:
    command = f"{tool_of(family)} -t raw -A {chain} -p tcp --dport 21 -j CT --helper ftp"
    modules = "nf_nat_ftp" if rule.target_name == "DNAT" else "nf_conntrack_ftp"
    return Finding(
        "ftp-without-helper",
        texts[0],
        (of_rule(rule),),
        texts[1],
        message(
            "{commands}. A helper can't read FTP that is encrypted by TLS: then accept a range of"
            " passive ports, and configure the server to use it.",
            commands=shell(f"modprobe {modules}", command),
        ),
        shown,
        family,
    )
