"""Explains each logged line of a pasted text: TRACE lines with their rules, a LOG line field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation.case import packets_text
from iptsim.extensions.hidden import HiddenTarget
from iptsim.extensions.options import quote
from iptsim.host.model import Host
from iptsim.languages import Message, Text, message, message_many, message_sentences
from iptsim.owners.log_prefixes import logged_by
from iptsim.owners.rule_owners import authorship

if TYPE_CHECKING:
    from iptsim.host.logged_lines import LoggedLine

#: The limit on TRACE lines in an answer.
_MOST = 60


class Remark(NamedTuple):
    """The meaning of a line, or of one of its fields.

    Attributes:
        line: the line's number.
        shown: what it is about: a rule or policy, a field.
        says: its meaning.
    """

    line: int
    shown: str
    says: Text


def remarks_of(host: Host) -> list[Remark]:
    """Return the meaning of the logged lines of a pasted text.

    Only the first LOG line is explained, and only if the text shows no rules: with rules, the walk shows more.
    """
    pasted = host.pasted
    if pasted is None:
        return []
    traced = [line for line in pasted.logged if line.visit is not None]
    if traced:
        return [_traced(host, line) for line in traced[:_MOST]]
    if pasted.logged and not pasted.with_rules:
        return [*_log_line(pasted.logged[0], len(pasted.logged))]
    return []


# -- TRACE -----------------------------------------------------------------------------------------------------------


def _traced(host: Host, line: LoggedLine) -> Remark:
    assert line.visit is not None
    table, chain, kind, number, words, _ = line.visit
    ruleset = host.rulesets.get(line.family)
    found = ruleset.chain(table, chain) if ruleset is not None else None
    if kind == "policy":
        policy = found.policy if found is not None else None
        says: Text = message(
            "no rule of {chain} decided, so its policy does: {policy}", chain=chain, policy=policy or "?"
        )
        return Remark(line.line, f"{table} {chain} policy", says)
    if kind == "return":
        says = message("the packet leaves {chain}: at its end, or by a RETURN", chain=chain)
        return Remark(line.line, f"{table} {chain} return", says)
    shown = f"{table} {chain} rule {number}" if number else f"{table} {chain} rule"
    if words:
        return Remark(line.line, shown, message("{rule}: it matched", rule=" ".join(map(quote, words))))
    rule = found.at(number) if found is not None else None
    if rule is None or isinstance(rule.target, HiddenTarget):
        return Remark(line.line, shown, message("it matched; the source does not show this rule"))
    return Remark(line.line, shown, _matched(host, rule))


def _matched(host: Host, rule: Rule) -> Text:
    _, role = authorship(rule, host)
    text = rule.shown_specification or rule.text
    if role is not None:
        return message(
            "{rule}: it matches {packets}; {why}", rule=text, packets=packets_text(rule), why=role.why
        )
    return message("{rule}: it matches {packets}", rule=text, packets=packets_text(rule))


# -- LOG -------------------------------------------------------------------------------------------------------------


def _log_line(line: LoggedLine, count: int) -> Iterator[Remark]:
    pairs = dict(line.pairs)
    yield Remark(line.line, f'"{line.prefix}"' if line.prefix else "-", _logger(line))
    for name, value in line.pairs:
        says = _field(name, value, pairs)
        if says:
            yield Remark(line.line, f"{name}={value}", says)
    if "SYN" in line.flags:
        opens = "ACK" not in line.flags
        yield Remark(
            line.line,
            " ".join(flag for flag in line.flags if flag in ("SYN", "ACK")),
            message("it opens a connection") if opens else message("it is the reply to a SYN"),
        )
    if count > 1:
        more = message_many("{count} more line is like it", "{count} more lines are like it", count - 1)
        yield Remark(line.line, "...", more)
    yield Remark(line.line, "", _next(line))


def _logger(line: LoggedLine) -> Text:
    """Return which chain logged a packet."""
    known = logged_by(line.prefix, [value for key, value in line.pairs if key in ("IN", "OUT") and value])
    if known is not None:
        return known
    if line.prefix:
        return message(
            "A rule with -j LOG and this prefix logged it, in {hook} or a chain that it leads to. LOG decides nothing; "
            "the rules after it do.",
            hook=line.hook,
        )
    return message(
        "A rule with -j LOG and no prefix logged it, in {hook} or a chain that it leads to. LOG decides nothing; the "
        "rules after it do.",
        hook=line.hook,
    )


#: Protocols that the kernel logs by number, of tunnels and routers (IANA, Assigned Internet Protocol Numbers).
_TUNNELLED = {
    "2": "IGMP",
    "4": "IPIP",
    "41": "IPv6 in IPv4 (6in4, 6to4)",
    "47": "GRE (PPTP)",
    "50": "ESP (IPsec)",
    "51": "AH (IPsec)",
    "89": "OSPF",
    "112": "VRRP",
}


def _field(name: str, value: str, pairs: dict[str, str]) -> Text:
    """Return what a field means; "" if that does not help."""
    if name == "IN":
        return message("it arrived on {name}", name=value) if value else message("the host itself sent it")
    if name == "OUT":
        if value:
            return message("it will leave by {name}", name=value)
        return message("it is for the host itself, so INPUT logged it, not FORWARD")
    if name == "PHYSIN":
        return message("it came in by this bridge port, from a container, a guest or a VPN client")
    if name == "PHYSOUT":
        return message("it will leave by this bridge port, to a container, a guest or a VPN client")
    if name == "MAC" and value.count(":") == 13:
        return message("from {sender} to {receiver}", sender=value[18:35], receiver=value[:17])
    if name == "SRC":
        return message("its source")
    if name == "DST":
        if pairs.get("IN") and pairs.get("OUT"):
            return message("its destination, after DNAT if there was any")
        return message("its destination")
    if name == "PROTO":
        if value in _TUNNELLED:
            return message("its protocol, {name}", name=_TUNNELLED[value])
        return message("its protocol")
    if name == "SPT":
        return message("the source port")
    if name == "DPT":
        return (
            message("the destination port, after DNAT if there was any")
            if pairs.get("OUT")
            else message("the destination port")
        )
    if name == "TYPE":
        return icmp_meaning(pairs) or message("the ICMP type")
    return message("the mark that a rule set") if name == "MARK" and value not in ("0", "0x0") else ""


#: What ICMP messages say, by type and code (RFC 792).
_ICMP: dict[str, Message] = {
    "0": message("a reply to a ping"),
    "8": message("a ping"),
    "3": message("an ICMP error: the destination is unreachable"),
    "3/3": message("an ICMP error: no program listens on the port, or a REJECT rule answers"),
    "3/4": message("an ICMP error: the packet is too large for the next link (path MTU discovery)"),
    "3/9": message("an ICMP error: a firewall refuses the network"),
    "3/10": message("an ICMP error: a firewall refuses the host"),
    "3/13": message("an ICMP error: a firewall refuses the packet"),
    "5": message("an ICMP redirect: another router is closer"),
    "11/0": message("an ICMP error: the packet passed too many routers, as for traceroute"),
    "11/1": message(
        "an ICMP error: a fragment of a packet did not arrive in time, so that packet was not reassembled"
    ),
}


def icmp_meaning(pairs: Mapping[str, str]) -> Message | None:
    """Return what a logged ICMP packet is; None if it is another packet or an unknown type."""
    if pairs.get("PROTO", "").upper() not in ("ICMP", "1"):
        return None
    kind, code = pairs.get("TYPE", ""), pairs.get("CODE", "")
    return _ICMP.get(f"{kind}/{code}") or _ICMP.get(kind)


def _next(line: LoggedLine) -> Text:
    return message_sentences(
        message(
            "The line does not show the rules. Save them on the host and ask again: {command}.",
            command=f"{tool_of(line.family)}-save -c > rules.txt; iptsim explain rules.txt --packet 'LINE'",
        ),
        message("A capture also contains the addresses and routes: iptsim collect."),
    )
