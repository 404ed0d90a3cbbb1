"""fail2ban: the jail that banned an address.

Sources: fail2ban's config/action.d/iptables.conf, iptables-ipset.conf, nftables.conf and, for Docker, what its users
put into DOCKER-USER; chains are called f2b-JAIL, fail2ban-JAIL before 0.10. In nftables, all jails share a chain.
"""

from __future__ import annotations

import re

from iptsim.dump.rule import Rule
from iptsim.languages import Message, message
from iptsim.owners.maker import Maker, Role, Scope, single, without_comment

_NAME = r"(?:f2b|fail2ban)-(?P<jail>\S+)"
_JUMP = re.compile(_NAME)
_SHARED = "f2b-chain"
_SET = re.compile(rf"--match-set {_NAME} src")


def _role(rule: Rule, scope: Scope) -> Role | None:
    text = without_comment(rule)
    if rule.chain == _SHARED:
        banned = re.search(r"(?:^|[^!] )-s (\S+)", text)
        if banned is None:
            return None
        return Role("fail2ban-banned", message("fail2ban has banned {address}", address=single(banned[1])))
    if found := _JUMP.fullmatch(rule.chain):
        jail = found["jail"]
        banned = re.search(r"(?:^|[^!] )-s (\S+)", text)
        if rule.target_name == "RETURN" and banned is None:
            return _role_of(
                jail, "fail2ban-clear", message("jail {jail} has not banned this address", jail=jail)
            )
        if banned is not None and rule.target_name == "RETURN":
            why = message("fail2ban's jail {jail} never bans {address}", jail=jail, address=single(banned[1]))
            return _role_of(jail, "fail2ban-ignored", why)
        if banned is not None:
            why = message("fail2ban's jail {jail} has banned {address}", jail=jail, address=single(banned[1]))
            return _role_of(jail, "fail2ban-banned", why)
    if found := _SET.search(text):
        jail = found["jail"]
        why = message("fail2ban's jail {jail} bans the addresses in its ipset", jail=jail)
        return _role_of(jail, "fail2ban-banned", why)
    if found := _JUMP.fullmatch(rule.target_name):
        jail = found["jail"]
        return _role_of(
            jail, "fail2ban-jail", message("leads to the addresses that jail {jail} bans", jail=jail)
        )
    return None


def _role_of(jail: str, code: str, why: Message) -> Role:
    return Role(code, why, about={"jail": jail})


MAKER = Maker("fail2ban", r"(?:f2b|fail2ban)-.+", role=_role)
