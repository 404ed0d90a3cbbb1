"""ufw: the command that made each rule, the rules of before.rules and after.rules, and the default policies.

Sources: ufw's backend_iptables.py (rules of commands), conf/*.rules (the other chains) and ufw(8).
"""

from __future__ import annotations

import re

from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain
from iptsim.extensions.verdicts import DECIDING
from iptsim.languages import Message, message
from iptsim.owners.maker import Maker, Role, Scope, single, without_comment

_CHAIN = re.compile(r"ufw6?-(?P<what>[a-z-]+)")
_DIRECTIONS = {
    "input": message("incoming packets"),
    "output": message("outgoing packets"),
    "forward": message("routed packets"),
}
_POLICIES = {"DROP": "deny", "REJECT": "reject", "ACCEPT": "allow"}
_ANYWHERE = frozenset({"0.0.0.0/0", "::/0"})


def _role(rule: Rule, scope: Scope) -> Role | None:
    found = _CHAIN.fullmatch(rule.chain)
    if found is None:
        leads = _CHAIN.fullmatch(rule.target_name) is not None
        return Role("ufw-plumbing", message("leads to ufw's rules")) if leads else None
    what = found["what"]
    kind, _, direction = what.rpartition("-")
    if kind == "user" and direction in _DIRECTIONS:
        return _of_command(rule, direction)
    if what == "user-limit" and rule.target_name == "REJECT":
        return Role(
            "ufw-limit-reached",
            message("this source opened 6 or more connections within 30 seconds (`ufw limit`)"),
        )
    if what == "user-limit-accept":
        return Role(
            "ufw-limit",
            message("this source opened fewer than 6 connections within 30 seconds (`ufw limit`)"),
        )
    if kind in ("skip-to-policy", "reject") and direction in _DIRECTIONS:
        return _default(rule.target_name, direction)
    if what == "not-local":
        why = message("before.rules drop packets to addresses that are not this host's")
        return Role("ufw-not-local", why) if rule.target_name == "DROP" else None
    if kind == "before" and direction in _DIRECTIONS:
        return _before(rule)
    if kind == "track":
        return Role(
            "ufw-track", message("the default of ufw for {packets} is allow", packets=_DIRECTIONS[direction])
        )
    if "logging" in what:
        return Role("ufw-log", message("ufw logs packets, at most a few a minute"))
    if kind == "after":
        why = message("after.rules keep common broadcasts out of the log; the default policy decides")
        return Role("ufw-after", why)
    return None


def _before(rule: Rule) -> Role | None:
    text = without_comment(rule)
    states = re.search(r"--(?:ctstate|state) (\S+)", text)
    if states and "ESTABLISHED" in states[1]:
        why = message("before.rules accept packets of established connections")
    elif states and states[1] == "INVALID":
        why = message("before.rules drop packets that fit no known connection (INVALID)")
    elif " lo " in f"{text} " and ("-i lo" in text or "-o lo" in text):
        why = message("before.rules accept all traffic on the loopback interface")
    elif "icmp" in text:
        why = message("before.rules accept this type of ICMP")
    elif "--dport 68" in text or "--dport 546" in text:
        why = message("before.rules accept replies of DHCP servers")
    elif "--dport 5353" in text:
        why = message("before.rules accept mDNS")
    elif "--dport 1900" in text:
        why = message("before.rules accept UPnP discovery")
    elif rule.target_name in DECIDING:
        why = message("added by hand to before.rules")
    else:
        return None
    return Role("ufw-before", why)


def _default(target: str, direction: str) -> Role:
    policy = _POLICIES.get(target, target)
    return Role("ufw-default", _default_text(policy, direction), about={"policy": policy})


def _default_text(policy: str, direction: str) -> Message:
    if policy == "allow":
        return message("the default of ufw for {packets} is allow", packets=_DIRECTIONS[direction])
    command = "ufw route allow" if direction == "forward" else "ufw allow"
    if direction == "output":
        command = "ufw allow out"
    return message(
        "no `{command}` covers it, and the default of ufw for {packets} is {policy}",
        command=command,
        packets=_DIRECTIONS[direction],
        policy=policy,
    )


def _policy(chain: Chain, scope: Scope) -> Role | None:
    direction = chain.name.lower()
    jumps = any(rule.target_name.startswith(("ufw-", "ufw6-")) for rule in scope.rules("filter", chain.name))
    if chain.table != "filter" or not jumps or direction not in _DIRECTIONS:
        return None
    return _default(chain.policy or "ACCEPT", direction)


def _of_command(rule: Rule, direction: str) -> Role:
    command = command_of(rule, direction)
    return Role("ufw-rule", message("set by `{command}`", command=command), about={"command": command})


def command_of(rule: Rule, direction: str) -> str:
    """Return the command that made a rule, as a user would type it.

    Args:
        rule: a rule of ufw-user-input, ufw-user-output or ufw-user-forward.
        direction: "input", "output" or "forward".
    """
    words = ["ufw"]
    if direction == "forward":
        words.append("route")
    limited = "recent" in {match.name for match in rule.matches} or "user-limit" in rule.target_name
    words.append("limit" if limited else _POLICIES.get(rule.target_name, "allow"))
    parameters, text = rule.parameters, without_comment(rule)
    ins, outs = parameters.in_interface, parameters.out_interface
    if ins:
        words += ["in", "on", ins]
    if outs:
        words += ["out", "on", outs]
    elif direction == "output":
        words.append("out")
    proto = re.search(r"-p (\S+)", text)
    source, to = re.search(r"-s (\S+)", text), re.search(r"-d (\S+)", text)
    sports, dports = re.search(r"--sports? (\S+)", text), re.search(r"--dports? (\S+)", text)
    if dports and not (ins or outs or source or to or sports):
        return " ".join([*words, f"{dports[1]}/{proto[1]}" if proto else dports[1]])
    if source or sports:
        words += ["from", _address(source[1] if source else "")]
        words += ["port", sports[1]] if sports else []
    if to or dports:
        words += ["to", _address(to[1] if to else "")]
        words += ["port", dports[1]] if dports else []
    if proto:
        words += ["proto", proto[1]]
    return " ".join(words)


def _address(text: str) -> str:
    if not text or text in _ANYWHERE:
        return "any"
    return single(text)


MAKER = Maker("ufw", r"ufw6?-.+", role=_role, policy=_policy)
