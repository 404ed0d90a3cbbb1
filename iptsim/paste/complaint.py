"""What a text complains of: that something does not work, and how, or that something is allowed which should not be.

Here, words count wherever they occur in a text. :mod:`iptsim.paste.forms.sentences` reads which connection a sentence
is about, by a grammar that also has to tell these words from the ends of the connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from iptsim.host.pasted import Complaint, Lines
from iptsim.paste.lines import Line

#: What fails, behind a negation.
_ACTIONS = (
    r"connect\w*|reach\w*|access\w*|ping\w*|work\w*|resolv\w*|brows\w*|load\w*|log ?in|ssh|downloads?|route[ds]?"
    r"|routing|forward\w*|respond\w*|repl(?:y|ies)|receiv\w*|sen[dt]|communicat\w*|get (?:out|through|to|in|any|it)"
    r"|go(?:ing)? (?:out|through)|talk|come through|pass|open|curl|pull|start|available|visible"
)
#: That something does not work.
FAILS = re.compile(
    r"\b(?:can(?:no|')?t|can not|unable|no longer|(?:not|never)(?: be)? able|never|nothing"
    r"|(?:could|do|does|did|is|was|wo|are)n't|not)\b"
    rf"[ \w,']{{0,40}}?\b(?:{_ACTIONS})\b"
    r"|\bfail(?:s|ed|ing|ures?)?\b|\btim(?:es?|ed|ing)[ -]?out\b|\bunreachable\b|\binaccessible\b|\bhang(?:s|ing)\b"
    r"|\bERR_(?:CONNECTION|EMPTY)_"
    r"|\b(?:connections?|packets?|traffic) (?:(?:is|are|was|were|gets?|being) )?"
    r"(?:refused|blocked|dropped|rejected|lost)\b"
    r"|\bno (?:route to host|internet|connecti\w+|response|repl(?:y|ies)|network|dns)\b|\bstop(?:s|ped) working\b"
    r"|\b(?:problems?|trouble|issues?) (?:with |in |when |while )?(?:connect|access|reach|getting|routing|forward)\w*"
    r"|\b(?:works?|working|fine|ok|reach\w*|ping|connect\w*)\b(?:[^.!?]|\.\d){0,60}?\bbut not\b"
    r"|\blost (?:the |all |their |its |my )?(?:internet|network|connect\w+|access)\b"
    r"|\bports? \d[\d/, ]{0,20}(?:and \d+ )?(?:is|are|seems?|appears?|remains?|stays?|shows?)(?: (?!not\b)\w+){0,3}?"
    r" (?:closed|blocked|filtered)\b"
    r"|\b(?:something|anything|what(?:ever)?)(?:'s| is| keeps| may be| could be| might be) blocking\b"
    r"|\block(?:ed|s) (?:me|myself) out\b|\bblocks? (?:me|my|all|everything)\b|100% packet loss"
    r"|連不|無法|不能|不通|失敗|逾時|连不|无法|失败|超时",
    re.IGNORECASE,
)
#: That something is allowed, or should be forbidden.
_ALLOWED = re.compile(
    r"\b(?:anyone|anybody|everyone|world|still) (?:\w+ )?"
    r"(?:can|able|access\w*|open|reach\w*|connect\w*|allow\w*|respond\w*|get(?:s|ting)? (?:in|through))\b"
    r"|\bstill (?:see\w*|shows?|gets?|getting|receiv\w+) (?:\w+ ){0,3}?(?:requests?|traffic|connections?|attempts?)\b"
    r"|\b(?:shouldn't|should not|must not|not supposed to)\b(?! (?:be )?(?:block|drop|reject|fail|matter))"
    r"|\bexpos(?:ed|es|ing|ure)\b|\bbypass\w*"
    r"|\b(?:not|n't|never) (?:\w+ )?(?:block|drop|bann?|filter|reject|restrict|protect)(?:p?ed|p?ing)?\b"
    r"|\b(?:attack|hack|scann?|spam|flood)(?:s|ed|ing|ers?)?\b|\bbrute.?force\b|\bddos\b"
    r"|\b(?:want|need|try(?:ing)?|like|how|order|intend\w*|wish\w*) (?:[\w']+ ){0,5}?"
    r"(?:block|restrict|deny|limit|ban|prevent|stop|isolate|protect|blacklist|(?:only|just) allow|allow only)\b"
    r"|仍然|還是可以|還是能|擋不|封鎖|阻擋|限制",
    re.IGNORECASE,
)
#: Machines behind the host, and clients of a VPN.
_GUESTS = (
    r"vpn|openvpn|wireguard|tailscale|(?:tun|tap|wg|ppp|virbr|lxdbr)\d*|tunnel\w*|vms?|virtual machines?|guests?|lxc"
    r"|lxd|kvm|libvirt|lan|subnets?|hotspot|access point|clients?|peers?|behind"
)
#: What is about packets that a host forwards.
_FORWARDED = re.compile(
    rf"\b(?:{_GUESTS}|forward\w*|rout(?:e[drs]*|ing)|gateway|nat|masquerad\w*|bridge[ds]?|virtual\w*|containers?|docker"
    r"|podman|pods?|shar(?:ed?|ing)|internal|(?:br|wlan|eth[1-9])\d*)\b|路由|轉送|转发|容器|閘道",
    re.IGNORECASE,
)
#: How a connection failed, in the words of people and programs, and by the C library's names of errors.
_ERRORS = {
    "refused": re.compile(r"refus", re.IGNORECASE),
    "unreachable": re.compile(
        r"no route to host|host (?:is )?unreachable|prohibited|EHOSTUNREACH", re.IGNORECASE
    ),
    "timeout": re.compile(
        r"tim(?:es?|ed|ing)?[-_ ]?out|100(?:\.0)?% packet loss|after \d{5,} ms|\bhangs?\b"
        r"|\bno (?:reply|response|answer)",
        re.IGNORECASE,
    ),
}
_CANNOT = (
    r"(?: itself)? (?:(?:can(?:no|')?t|can not|is unable|(?:is|are)(?:n't| not) able|fails? to|ha(?:s|ve) no|lost|lose)"
    r"\b(?! be\b)|do(?:es)?(?:n't| not) (?:reach|connect|get|resolve|ping|download|find|open|load|access|see|send)\b)"
)
_FROM_ANOTHER = (
    r"\bfrom (?:an?other|a different|any|any other|other|some other) (?:\w+ )?"
    r"(?:host|machine|computer|pc|laptop|device|server|network)s?\b"
)
#: Who tries to connect (:attr:`iptsim.host.pasted.Complaint.senders`). A computer without more may be the host or not.
_SENDERS = {
    "host": re.compile(
        r"\blocalhost\b|\b127\.0\.0\.1\b|\blocally\b|\b(?:apt|apt-get|yum|dnf|pacman|pip|ntp|updates?|downloads?)\b"
        r"|\b(?:from|on) (?:the |this |my )?(?:docker )?(?:host|server|vps|machine|box)\b"
        rf"|\b(?:host|server|vps|machine|box|program|service|daemon)\w{{0,2}}{_CANNOT}|本機",
        re.IGNORECASE,
    ),
    "containers": re.compile(
        rf"\b(?:container|pod)s?(?: \([^()]*\))?{_CANNOT}|\bdocker exec\b|\binter-container\b|容器"
        r"|\b(?:from|in|inside|within|of|between) "
        r"(?:(?:an?|the|my|all|any|some|one|two|docker|inside|within|of|(?:an)?other) )*(?:container|pod)s?\b",
        re.IGNORECASE,
    ),
    "guests": re.compile(rf"\b(?:{_GUESTS})\b|{_FROM_ANOTHER}|內網", re.IGNORECASE),
    "outside": re.compile(
        r"\b(?:from|for) (?:the |anywhere )?(?:outside|internet|wan|web(?! traffic)|public|external|remote)\b"
        rf"|\bextern(?:al|ally)\b|\bremotely\b|{_FROM_ANOTHER}|從外",
        re.IGNORECASE,
    ),
}
#: That containers do not reach each other, if something fails.
_BETWEEN = re.compile(
    rf"\b(?:container|pod)s?{_CANNOT}[^.!?]{{0,60}}?\b(?:each other|one another|(?:container|pod)s?\b)"
    r"|\b(?:containers|pods)\b[^.!?]{0,60}?\b(?:each other|one another)\b"
    r"|\binter-?container\b|\b(?:container|pod)[- ]to[- ](?:container|pod)\b"
    r"|\bbetween (?:[\w']+ ){0,3}?(?:containers|pods)\b|容器(?:之間|彼此|互相|间)",
    re.IGNORECASE,
)
_PORTS = re.compile(
    r"\bport (\d{1,5}(?:[,/]\d{1,5})*)\b|\bports (\d{1,5}(?:(?:, ?|/|,? (?:and|or) )\d{1,5})*)\b|[\w.]:(\d{1,5})\b",
    re.IGNORECASE,
)
#: Characters of a line that are searched.
_LONGEST = 1000


def complaint(texts: Mapping[str, Sequence[Line]], said: Iterable[Lines], *, fails: bool) -> Complaint:
    """Return what texts complain of.

    Args:
        texts: their lines, by name.
        said: the lines that are no output, rules or commands.
        fails: they show a connection that failed.
    """
    # a sentence may go on in the next line
    words = " ".join(
        line.text[:_LONGEST].strip()
        for one in said
        for line in texts[one.file]
        if one.first <= line.number <= one.last
    )
    fails = fails or FAILS.search(words) is not None
    between = fails and _BETWEEN.search(words) is not None
    senders = (sender for sender, what in _SENDERS.items() if what.search(words))
    return Complaint(
        fails=fails,
        allowed=_ALLOWED.search(words) is not None,
        forwarded=_FORWARDED.search(words) is not None,
        senders=frozenset({*senders, "containers"} if between else senders),
        between=between,
        ports=frozenset(
            int(one)
            for found in _PORTS.finditer(words)
            for one in re.findall(r"\d+", found[found.lastindex or 0])
        ),
    )


def error_of(text: str) -> str:
    """Return how a connection failed (:attr:`iptsim.host.pasted.Pasted.errors`); "" if the text does not tell."""
    return next((kind for kind, words in _ERRORS.items() if words.search(text)), "")
