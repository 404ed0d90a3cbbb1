"""The deciding rule in the terms of the program that wrote it; its comment, and what the kernel log shows."""

from __future__ import annotations

from iptsim.addresses import address_text
from iptsim.dump.rule import Rule
from iptsim.explanation.case import Case, port_text
from iptsim.languages import Text, message, message_if, message_joined, message_sentence, message_sentences
from iptsim.netfilter.steps import Step
from iptsim.owners.maker import Role, comment_of
from iptsim.owners.rule_owners import authorship, explains_comments, policy_role

#: Roles of rules that show what a packet was sent to.
_SENT_TO = frozenset({
    "kube-service", "kube-node-port", "netavark-published-port", "cni-host-port",
})  # fmt: skip
#: Roles of rules to which other rules of the program lead, each for a reason of its own.
_SHARED_ENDS = frozenset({"csf-default", "csf-default-out"})
_ENDPOINTS = frozenset({"kube-endpoint", "kube-affinity"})


def author_text(case: Case) -> Text:
    """Return why the program set the deciding policy, or the comment of the deciding rule, and its log entry."""
    step = case.step
    if step is None or step.table is None:
        return ""
    owner, role = _author(case)
    comment = comment_of(step.rule) if step.rule is not None else ""
    if comment and explains_comments(owner):
        comment = ""
    return message_sentences(
        message_sentence(role.why) if role is not None and step.rule is None else "",
        message('Its comment: "{comment}".', comment=comment) if comment else "",
        _log_text(case, step),
    )


def why_text(case: Case) -> Text:
    """Return why the deciding rule was written, as a phrase; "" if no known program wrote it."""
    role = _author(case)[1] if case.step is not None and case.step.rule is not None else None
    return role.why if role is not None else ""


def _author(case: Case) -> tuple[str, Role | None]:
    step = case.step
    if step is None or step.table is None:
        return "", None
    if step.rule is not None:
        owner, role = authorship(step.rule, case.host)
        if role is None or role.code in _SHARED_ENDS:
            role = _callers_role(case, step, owner) or role
        return owner, role if owner != "docker" else None
    return policy_role(case.host, case.packet.family, step.table, step.chain or "") or ("", None)


def _callers_role(case: Case, step: Step, owner: str) -> Role | None:
    """Return the role of the rule that led to a chain in which a program ends the path of packets for any reason."""
    steps = case.leg.steps
    before = steps[: steps.index(step)] if step in steps else []
    caller = next((one for one in reversed(before) if one.called == step.chain), None)
    if caller is None or caller.rule is None:
        return None
    found, role = authorship(caller.rule, case.host)
    return role if found == owner and role is not None and not role.code.endswith("-plumbing") else None


def _log_text(case: Case, step: Step) -> Text:
    """Say how the kernel log shows the packet: by the prefix of the last LOG rule before the decision."""
    before = case.leg.steps[: case.leg.steps.index(step)] if step in case.leg.steps else []
    # in the chain that decides, or in one that it calls just to log
    chains = {one.verdict.partition(":")[2] for one in before if one.chain == step.chain} | {step.chain}
    logged = next(
        (
            one
            for one in reversed(before)
            if one.hook == step.hook
            and one.chain in chains
            and one.rule is not None
            and _log_prefix(one.rule)
        ),
        None,
    )
    if logged is None or logged.rule is None:
        return ""
    return message_if(
        logged.maybe,
        'The kernel log may show it with the prefix "{prefix}".',
        'The kernel log shows it with the prefix "{prefix}".',
        prefix=_log_prefix(logged.rule),
    )


def _log_prefix(rule: Rule) -> str:
    target = rule.target
    found = getattr(target, "log_prefix", None) or getattr(target, "nflog_prefix", None)
    return str(found).strip() if found else ""


def sent_to_text(case: Case) -> Text:
    """Name the service or published port that a packet was sent to, and the endpoints it may be forwarded to."""
    if not any("dst" in step.changes for step in case.leg.steps):
        return ""
    roles = [
        role
        for step in case.leg.steps
        if step.rule is not None and (role := authorship(step.rule, case.host)[1]) is not None
    ]
    sent_to = next((role for role in roles if role.code in _SENT_TO), None)
    if sent_to is None:
        return ""
    return message_sentences(message("It is sent to {what}.", what=sent_to.why), _endpoint_text(roles))


def _endpoint_text(roles: list[Role]) -> Text:
    """Say to which of a service's endpoints a packet is forwarded."""
    endpoints = [role for role in roles if role.code in _ENDPOINTS and "endpoint" in role.about]
    names = dict.fromkeys(role.about["endpoint"] for role in endpoints)
    if not names:
        return ""
    first = endpoints[0]
    if len(names) > 1:
        return message(
            "It is forwarded to one of {count} endpoints: {endpoints}.",
            count=len(names),
            endpoints=message_joined(", ", names),
        )
    endpoint = first.about["endpoint"]
    if first.code == "kube-affinity":
        return message("Session affinity keeps this client at endpoint {endpoint}.", endpoint=endpoint)
    if "only" in first.about:
        return message(
            "It is forwarded to endpoint {endpoint}, the only one on this node (externalTrafficPolicy Local).",
            endpoint=endpoint,
        )
    return message("It is forwarded to endpoint {endpoint}.", endpoint=endpoint)


def author_advice(case: Case) -> Text:
    """Return the command that changes what a known program blocks; "" if there is no usual one."""
    _, role = _author(case)
    if role is None:
        return ""
    packet, port = case.seen, port_text(case.seen)
    has_port = packet.dport is not None and case.leg.direction != "reply"
    if role.code == "ufw-default" and has_port and case.step is not None:
        command = {"FORWARD": f"ufw route allow proto {port.partition('/')[2]} to "
                   f"{address_text(packet.family, packet.dst)} port {packet.dport}",
                   "OUTPUT": f"ufw allow out {port}"}.get(case.step.hook, f"ufw allow {port}")  # fmt: skip
    elif role.code == "firewalld-target" and has_port and "zone" in role.about and case.step is not None:
        if case.step.hook != "INPUT":
            return ""
        command = f"firewall-cmd --zone={role.about['zone']} --add-port={port}"
    elif role.code == "fail2ban-banned":
        source = address_text(packet.family, packet.src)
        jail = f"set {role.about['jail']} unbanip" if "jail" in role.about else "unban"
        command = f"fail2ban-client {jail} {source}"
    elif role.code == "crowdsec-banned":
        command = f"cscli decisions delete --ip {address_text(packet.family, packet.src)}"
    else:
        return ""
    return message("To allow it: {command}.", command=command)
