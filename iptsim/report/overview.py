"""The top of a report: the most important results in four tiles and a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from iptsim.addresses import FAMILIES, Family
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings import Finding
from iptsim.host import Host
from iptsim.languages import say, say_many
from iptsim.report.exposure import Exposure
from iptsim.report.findings_section import counts
from iptsim.report.markup import Content, Markup, element
from iptsim.report.outcomes import SEVERITIES
from iptsim.report.policies import has_no_rules, policy_texts, rest_of_input


def overview(host: Host, exposure: Exposure, findings: Sequence[Finding]) -> Markup:
    """Return the tiles, each a link to its section."""
    return element(
        "ul.tally",
        _tile("open", *_exposed(exposure)),
        _tile("findings", *_found(findings)),
        _tile("policies", *_policies(host, 4)),
        _tile("policies", *_ipv6(host)),
    )


def _tile(section: str, tone: str, head: Content, text: Content) -> Markup:
    return element(
        "li", element(f"a.v-{tone}", element("b", head), element("span", text), href=f"#{section}")
    )


def _exposed(exposure: Exposure) -> tuple[str, Content, Content]:
    if exposure.left_out is not None:
        return "OTHER", "–", say("what is open to the internet was not computed")
    count = str(exposure.ports)
    text = say_many("port open to the internet", "ports open to the internet", exposure.ports)
    if exposure.whole_host:
        return "DROP", count, [text, say("; other ports of the host are not protected")]
    if exposure.depends:
        return "DEPENDS", count, [text, say("; some packets depend on what is unknown")]
    if exposure.by_source_port:
        return "REJECT", count, [text, say("; more to certain source ports")]
    return ("REJECT" if exposure.ports else "ACCEPT"), count, text


def _found(findings: Sequence[Finding]) -> tuple[str, Content, Content]:
    found = counts(findings)
    if not found:
        return "ACCEPT", "0", say("findings")
    parts: list[Content] = []
    for name, count in found:
        mark = element("span", SEVERITIES[name].sign, aria_hidden="true")
        parts.append(element(f"span.part.v-{name}", mark, f" {count} ", SEVERITIES[name].word))
    tone = "DROP" if found[0][0] in ("critical", "high") else "DEPENDS"
    return tone, str(len(findings)), [say_many("finding:", "findings:", len(findings)), " ", parts]


def _policies(host: Host, family: Family) -> tuple[str, Content, Content]:
    found = policy_texts(host, family)
    if has_no_rules(host, family):
        return "DEPENDS", "–", say("no IPv{family} rules: nothing is filtered", family=family)
    if not found:
        return "OTHER", "–", say("no IPv{family} policies in the source", family=family)
    verdict = rest_of_input(host, family)
    policies = ", ".join(f"{name} {policy}" for name, policy in found.items())
    text = say("IPv{family} policies: {policies}", family=family, policies=policies)
    if verdict not in ("", found.get("INPUT")):
        text = say("by the last rule for IPv{family}; policies: {policies}", family=family, policies=policies)
    return _closed(verdict), f"INPUT {verdict or '–'}", text


def _ipv6(host: Host) -> tuple[str, Content, Content]:
    found = policy_texts(host, 6)
    if has_no_rules(host, 6):
        return "DEPENDS", "IPv6", say("no rules: nothing is filtered")
    if not found:
        return "OTHER", "IPv6", say("no ip6tables rules in the source")
    same = all(policy_texts(host, family) == found for family in FAMILIES)
    text = say("policies as for IPv4") if same else ", ".join(f"{name} {one}" for name, one in found.items())
    return _closed(rest_of_input(host, 6)), "IPv6", text


def _closed(verdict: str) -> str:
    """Return the tone of what a host does with packets to it by default."""
    return "ACCEPT" if verdict in BLOCKING else "DEPENDS"
