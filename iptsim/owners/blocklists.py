"""CrowdSec, CSF and other programs that block addresses.

Sources: crowdsecurity/cs-firewall-bouncer, pkg/iptables (CROWDSEC_CHAIN, sets crowdsec-blacklists-N);
ConfigServer's csf.pl (LOCALINPUT, DENYIN, LOGDROPIN ...).
"""

from __future__ import annotations

import re
from collections.abc import Collection

from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain
from iptsim.extensions.verdicts import BLOCKING
from iptsim.languages import message
from iptsim.owners.maker import Maker, Role, Scope, option_of, port_of, single, without_comment

_CROWDSEC = re.compile(r"--match-set (crowdsec6?-blacklists\S*) src")
#: Chains that only CSF has; two of them identify it, even in a fragment.
_CSF_MARKS = frozenset(
    {"LOCALINPUT", "LOCALOUTPUT", "LOGDROPIN", "LOGDROPOUT", "DENYIN", "DENYOUT", "ALLOWIN", "ALLOWOUT"}
)
_CSF = re.compile(
    r"(?:LOCAL(?:INPUT|OUTPUT)|LOGDROP(?:IN|OUT)|LOGACCEPT|(?:G?DENY|G?ALLOW|ALLOWDYN|GDYN)(?:IN|OUT)|INVALID|INVDROP"
    r"|SYNFLOOD|UDPFLOOD|PORTFLOOD|CONNLIMIT|CC_[A-Z]+|CCDROP|BLOCK[A-Z]*|SMTPOUTPUT|ICMP(?:IN|OUT)|MESSENGER|DROPIN"
    r"|DROPOUT|SPAMDROP?|SPAMEDROP|DSHIELD|TOR|BFB|BDE(?:ALL)?|CIARMY|HONEYPOT|MAXMIND|STOPFORUMSPAM|GREENSNOW)"
)


def _crowdsec(rule: Rule, scope: Scope) -> Role | None:
    text = without_comment(rule)
    if found := _CROWDSEC.search(text):
        why = message("CrowdSec has banned the source (ipset {name})", name=found[1])
        return Role("crowdsec-banned", why, about={"ipset": found[1]})
    if rule.target_name in ("CROWDSEC_CHAIN", "CROWDSEC_LOG"):
        return Role("crowdsec-plumbing", message("leads to the addresses that CrowdSec bans"))
    if rule.chain == "CROWDSEC_LOG" and rule.target_name == "DROP":
        return Role("crowdsec-banned", message("CrowdSec has banned the source"))
    return None


def _csf_claims(name: str, chains: Collection[str]) -> bool:
    return _has_csf(chains) and _CSF.fullmatch(name) is not None


def _has_csf(chains: Collection[str]) -> bool:
    return len(_CSF_MARKS.intersection(chains)) > 1


def _csf(rule: Rule, scope: Scope) -> Role | None:
    if not _has_csf(scope.chains):
        return None
    chain, target, text = rule.chain, rule.target_name, without_comment(rule)
    source, target_address = single(option_of(text, "-s")), single(option_of(text, "-d"))
    if chain in ("DENYIN", "GDENYIN"):
        return Role("csf-denied", message("CSF denies {address} (csf.deny)", address=source))
    if chain in ("DENYOUT", "GDENYOUT"):
        return Role("csf-denied", message("CSF denies {address} (csf.deny)", address=target_address))
    if chain in ("ALLOWOUT", "GALLOWOUT", "ALLOWDYNOUT"):
        return Role("csf-allowed", message("CSF allows {address} (csf.allow)", address=target_address))
    if chain in ("ALLOWIN", "GALLOWIN", "ALLOWDYNIN"):
        return Role("csf-allowed", message("CSF allows {address} (csf.allow)", address=source))
    if chain.startswith("CC_") and target in ("DROP", "CCDROP", "REJECT"):
        return Role("csf-country", message("CSF denies the source's country or network (CC_DENY)"))
    if chain in ("LOGDROPIN", "DROPIN") and target in BLOCKING:
        return Role("csf-default", message("no port list of CSF allows it (TCP_IN, UDP_IN)"))
    if chain in ("LOGDROPOUT", "DROPOUT") and target in BLOCKING:
        return Role("csf-default-out", message("no port list of CSF allows it (TCP_OUT, UDP_OUT)"))
    if chain in ("INVALID", "INVDROP"):
        return Role(
            "csf-invalid", message("CSF drops packets that fit no known connection (INVALID, PACKET_FILTER)")
        )
    if chain in ("SYNFLOOD", "UDPFLOOD", "PORTFLOOD", "CONNLIMIT"):
        return Role("csf-flood", message("CSF limits floods ({name})", name=chain))
    port = port_of(text)
    if chain == "INPUT" and target == "ACCEPT" and port:
        return Role("csf-port", message("CSF allows {port} (TCP_IN, UDP_IN)", port=port))
    if chain == "OUTPUT" and target == "ACCEPT" and port:
        return Role("csf-port", message("CSF allows {port} (TCP_OUT, UDP_OUT)", port=port))
    if target in ("LOGDROPIN", "LOGDROPOUT", "DROPIN", "DROPOUT"):
        return Role("csf-plumbing", message("leads to CSF's default: log and drop"))
    return None


CROWDSEC = Maker("crowdsec", r"CROWDSEC_.+", role=_crowdsec)


def _csf_policy(chain: Chain, scope: Scope) -> Role | None:
    if not _has_csf(scope.chains) or chain.table != "filter" or chain.policy != "DROP":
        return None
    if chain.name == "FORWARD":
        return Role("csf-policy", message("CSF sets this policy, and has no rules for forwarded packets"))
    return Role("csf-policy", message("CSF sets this policy"))


CSF = Maker("csf", "", claims=_csf_claims, role=_csf, policy=_csf_policy)
