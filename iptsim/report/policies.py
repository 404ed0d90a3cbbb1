"""What the built-in chains do with packets that no rule decides about, and how IPv6 compares with IPv4."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import FAMILIES, Family, address_text
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset
from iptsim.dump.tool import tool_of
from iptsim.errors import printable
from iptsim.extensions.verdicts import DECIDING
from iptsim.host import Host
from iptsim.languages import Text, joined, message, message_many, message_sentences, say, say_many
from iptsim.report.anchors import Anchors, is_shown
from iptsim.report.markup import Markup, code, element, isolated, table, together
from iptsim.report.outcomes import OUTCOMES, badge

CHAINS = ("INPUT", "FORWARD", "OUTPUT")


def shown_chain(host: Host, family: Family, name: str) -> Chain | None:
    """Return a built-in chain of the filter table; None if the source does not show it."""
    ruleset = host.rulesets.get(family)
    chain = ruleset.chain("filter", name) if ruleset is not None else None
    return chain if chain is not None and ruleset is not None and is_shown(ruleset, chain) else None


def policy_texts(host: Host, family: Family) -> dict[str, str]:
    """Return the policies of the filter table by chain, as far as they are shown."""
    found = {name: shown_chain(host, family, name) for name in CHAINS}
    return {name: chain.policy or "ACCEPT" for name, chain in found.items() if chain is not None}


def has_no_rules(host: Host, family: Family) -> bool:
    """Return whether a dump shows that a family has no rules: it has no tables."""
    found = [rulesets[family] for rulesets in (host.rulesets, host.extra_rulesets) if family in rulesets]
    return bool(found) and not any(ruleset.tables for ruleset in found)


def rest(chain: Chain) -> tuple[str, Rule | None]:
    """Return the target for packets that no other rule decides about, and its rule; None for the policy."""
    last = chain.rules[-1] if chain.rules else None
    if last is not None and last.target_name in DECIDING and last.is_unconditional:
        return last.target_name, last
    return chain.policy or "ACCEPT", None


def rest_of_input(host: Host, family: Family) -> str:
    """Return what happens to packets to the host that no other rule decides about; "" if it is not shown."""
    chain = shown_chain(host, family, "INPUT")
    return rest(chain)[0] if chain is not None else ""


def policies_section(host: Host, anchors: Anchors) -> Markup:
    """Return the section: the policies, chains of nftables beside them, and IPv6."""
    families = [family for family in FAMILIES if policy_texts(host, family)]
    what = {
        "INPUT": say("to the host itself"),
        "FORWARD": say("through the host, to and from containers"),
        "OUTPUT": say("from the host itself"),
    }
    rows = (
        element(
            "tr",
            element("th", code(name), element("span.list.soft", what[name]), scope="row"),
            (element("td", _policy(host, family, name, anchors)) for family in families),
        )
        for name in CHAINS
    )
    heads = [say("Packets"), *(f"IPv{family}" for family in families)]
    shown = (
        table(heads, rows, say("Policies"))
        if families
        else element("p", say("The source shows no policies."))
    )
    return together(
        element("p.hint", say("What happens to packets that no other rule decides about.")),
        shown,
        _other_policies(host),
        element("h3", "IPv6"),
        element("p", ipv6_text(host)),
    )


def _policy(host: Host, family: Family, name: str, anchors: Anchors) -> Iterator[Markup | str]:
    chain = shown_chain(host, family, name)
    if chain is None:
        yield say("not shown")
        return
    verdict, rule = rest(chain)
    yield badge(OUTCOMES[verdict if verdict in OUTCOMES else ""], verdict)
    if rule is not None:
        address = anchors.rule(rule)
        text = say("rule {number} matches all others", number=rule.position)
        yield element("span.list", element("a", text, href=f"#{address}") if address else text)
        yield element(
            "span.list.soft", say("policy {policy}, never reached", policy=chain.policy or "ACCEPT")
        )
        return
    policy = [say("policy")]
    if chain.counters is not None:
        policy.append(say_many("{count} packet", "{count} packets", chain.counters.packets))
    yield element("span.list.soft", joined(", ", policy))


def _other_policies(host: Host) -> Markup | None:
    """Return other chains whose policy drops packets: of other tables, and of nftables."""
    found = [
        f"{tool_of(ruleset.family)} {chain.table} {printable(chain.name)}"
        for ruleset in (*host.rulesets.values(), *host.extra_rulesets.values())
        for chain in _dropping(ruleset)
    ]
    nftables = host.namespace.nftables
    found += [
        printable(f"nftables {one.family} {one.table} {one.name or '?'} (hook {one.hook})")
        for one in (nftables.chains if nftables is not None else ())
        if one.policy == "drop" and (one.name or "") not in CHAINS
    ]
    if not found:
        return None
    return element("p", say("Other chains with policy DROP:"), " ", isolated(", ".join(found)))


def _dropping(ruleset: Ruleset) -> Iterator[Chain]:
    for table_ in ruleset.tables.values():
        for chain in table_.chains.values():
            if chain.builtin and chain.policy == "DROP" and table_.name != "filter":
                yield chain


def ipv6_text(host: Host) -> str:
    """Return a summary of IPv6: addresses, rules, policies, forwarding, containers."""
    addresses = [printable(address_text(6, one)) for one in host.namespace.outer_addresses(6)]
    containers = [printable(one.name) for one in host.containers.values() if one.running and one.address(6)]
    texts: list[Text] = [_ipv6_rules(host)]
    if addresses:
        texts.append(
            message_many(
                "The host has the IPv6 address {addresses}.",
                "The host has {count} IPv6 addresses: {addresses}.",
                len(addresses),
                addresses=", ".join(addresses),
            )
        )
    elif not host.inferred:
        texts.append(message("The host has no IPv6 address except link-local ones."))
    forwarding = None if host.inferred else host.namespace.sysctl("net.ipv6.conf.all.forwarding")
    if forwarding == "1":
        texts.append(message("It forwards IPv6."))
    elif forwarding == "0":
        texts.append(message("It does not forward IPv6."))
    if containers:
        texts.append(
            message_many(
                "{count} container has an IPv6 address: {names}.",
                "{count} containers have IPv6 addresses: {names}.",
                len(containers),
                names=", ".join(containers[:6]) + (" …" if len(containers) > 6 else ""),
            )
        )
    return str(message_sentences(*texts))


def _ipv6_rules(host: Host) -> Text:
    policies = policy_texts(host, 6)
    if has_no_rules(host, 6):
        return message("The ip6tables dump is empty, so no rule filters IPv6.")
    if not policies and 6 in host.rulesets:
        return message(
            "The source does not show the filter table of ip6tables, so what IPv6 allows is unknown."
        )
    if not policies:
        return message("The source has no ip6tables rules, so what IPv6 allows is unknown.")
    same = policies == policy_texts(host, 4)
    shown = ", ".join(f"{name} {policy}" for name, policy in policies.items())
    if same:
        return message("The IPv6 policies are those of IPv4: {policies}.", policies=shown)
    return message("The IPv6 policies differ from those of IPv4: {policies}.", policies=shown)
