"""`ufw status`: the user's rules, as ufw writes them for iptables (its backend_iptables.py and conf/before.rules)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from iptsim.addresses import Family
from iptsim.extensions.hidden import Hidden
from iptsim.languages import message
from iptsim.paste.addresses import address_option
from iptsim.paste.forms.ufw_rows import DEFAULT, ROW, Row, change, has_run
from iptsim.paste.lines import Line, any_matches
from iptsim.paste.pieces import (
    ACCEPT_REPLIES,
    ChainItem,
    GapItem,
    Item,
    Piece,
    RuleItem,
    Rules,
    Segment,
    made_words,
)
from iptsim.paste.prompts import Command, command_of

#: "loaded" in the first versions of ufw.
_STATUS = re.compile(r"\s*Status: (active|inactive|loaded|not loaded)\b")
_DEFAULT = re.compile(r"\s*Default: (.*)")
_POLICY = re.compile(r"(allow|deny|reject|disabled) \((incoming|outgoing|routed)\)")
_HEADING = re.compile(r"\s*To\s+Action\s+From\s*$")
_OTHER = re.compile(r"\s*(?:--\s+-+\s+-+|Logging:.*|New profiles:.*)\s*$")
_ITEM = re.compile(r"^\s*[-*]\s+")
#: A heading or a row that breaks off.
_CUT = re.compile(
    r"\s*(?:To(?:\s+A[a-z]*)?(?:\s+F[a-z]*)?|-[- ]*"
    r"|(?:\[\s*\d+\]\s+)?(?:\d[\d:,.]*(?:/\w*)?|Anywhere)(?: \(v?6?\)?)?(?:\s+[ADLR][A-Z ]*)?)\s*"
)
#: A row that stands alone, without the heading.
_ALONE = re.compile(
    r"\s*(?:[-*]\s+)?(?:\[\s*\d+\]\s+)?"
    r"(?:\d+(?:[:,]\d+)*(?:/(?:tcp|udp))?|Anywhere"
    r"|\d+\.\d+\.\d+\.\d+(?:/\d+)?(?:\s\d+(?:/(?:tcp|udp))?)?)"
    r"(?: \(v6\))?\s+(?:ALLOW|DENY|REJECT|LIMIT)(?: (?:IN|OUT|FWD))?\s+"
    r"(?:Anywhere(?: \(v6\))?|[0-9a-fA-F:.]+(?:/\d+)?)(?:\s+#.*)?\s*"
)
#: Ports and protocol, with or without an address.
_PORTS = re.compile(
    r"(?P<ports>\d+(?::\d+)?(?:,\d+(?::\d+)?)*)(?:/(?P<proto>tcp|udp))?|(?P<only>ah|esp|gre|igmp|ipv6|tcp|udp)"
)
#: Application profiles from packages (/etc/ufw/applications.d).
_PROFILES = {
    "OpenSSH": "22/tcp", "Apache": "80/tcp", "Apache Full": "80,443/tcp", "Apache Secure": "443/tcp",
    "Nginx HTTP": "80/tcp", "Nginx HTTPS": "443/tcp", "Nginx Full": "80,443/tcp", "WWW": "80/tcp",
    "WWW Full": "80,443/tcp", "CUPS": "631", "Postfix": "25/tcp",
}  # fmt: skip
_TARGETS = {
    "ALLOW": "ACCEPT",
    "LIMIT": "ACCEPT",
    "DENY": "DROP",
    "REJECT": "REJECT",
    "allow": "ACCEPT",
    "deny": "DROP",
}
_WAYS = {"IN": "input", "OUT": "output", "FWD": "forward"}
_HOOKS = {"input": "INPUT", "output": "OUTPUT", "forward": "FORWARD"}
_DIRECTIONS = {"incoming": "input", "outgoing": "output", "routed": "forward"}
#: A line of /etc/default/ufw, as ufw writes it.
_SETTING = re.compile(r"\s*DEFAULT_(INPUT|OUTPUT|FORWARD)_POLICY\s*=\s*[\"']?(ACCEPT|DROP|REJECT)\b")
#: The same in a sentence, which does not prove that it is in force.
_TOLD = re.compile(
    r"[^#]*\bDEFAULT_(INPUT|OUTPUT|FORWARD)_POLICY\W{1,6}"
    r"(?:(?:(?:set|changed) )?(?:from \W?[A-Z]+\W? )?to\W{1,4}|is\W{1,4})?(ACCEPT|DROP|REJECT)\b"
)
#: ufw logs in OUTPUT what its default blocks (after.rules), and what rules with `log` deny.
_LOGGED_OUT = re.compile(r".*\[UFW BLOCK\] IN= OUT=\S")
#: Words of commands that change rules.
_CHANGING = frozenset({"allow", "deny", "reject", "limit", "delete", "insert", "prepend"})
#: ufw's default settings.
USUAL = {"input": "DROP", "output": "ACCEPT", "forward": "DROP"}
_VERBOSE = message("the output of {command}", command="ufw status verbose")
#: The default for outgoing packets, where rules that allow some of them suggest that it is not "allow".
UNSURE = Hidden(
    words="(if that is ufw's default for outgoing packets)",
    reason=message("ufw's default for outgoing packets, which is not shown"),
    settle=_VERBOSE,
    place=("ufw", "outgoing"),
)
#: The default for a direction, where a sentence names another one than the usual.
_UNSURE_OF = {
    "input": Hidden(
        words="(if that is ufw's default for incoming packets)",
        reason=message("ufw's default for incoming packets, which is not shown"),
        settle=_VERBOSE,
        place=("ufw", "incoming"),
    ),
    "output": UNSURE,
    "forward": Hidden(
        words="(if that is ufw's default for routed packets)",
        reason=message("ufw's default for routed packets, which is not shown"),
        settle=_VERBOSE,
        place=("ufw", "routed"),
    ),
}
#: Rules of dumps and listings, which take precedence if present.
_RULES = re.compile(r"\s*(?:Chain \S+ \(|\*filter|:INPUT |-P INPUT |-A (?:INPUT|FORWARD|ufw))")
#: What before.rules accept.
_LO = {"input": ("-i", "lo", "-j", "ACCEPT"), "output": ("-o", "lo", "-j", "ACCEPT")}
#: What else they do with incoming packets: ping, DHCP, mDNS and UPnP are accepted, whatever the status shows.
_INCOMING = (
    ("-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"),
    ("-p", "icmp", "-m", "icmp", "--icmp-type", "8", "-j", "ACCEPT"),
    ("-p", "udp", "-m", "udp", "--sport", "67", "--dport", "68", "-j", "ACCEPT"),
    ("-d", "224.0.0.251/32", "-p", "udp", "-m", "udp", "--dport", "5353", "-j", "ACCEPT"),
    ("-d", "239.255.255.250/32", "-p", "udp", "-m", "udp", "--dport", "1900", "-j", "ACCEPT"),
)


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the ufw status that starts at a line, or None."""
    status = _STATUS.match(lines[at].text)
    if _SETTING.match(lines[at].text) and any_matches(lines, _STATUS):
        return Segment("ufw settings", "/etc/default/ufw", at, at)
    if status is None and not _HEADING.match(lines[at].text) and not _ALONE.fullmatch(lines[at].text):
        return None
    policies = dict[str, str]()
    rows: list[tuple[re.Match[str], int]] = []
    gaps: list[int] = []
    first = last = at
    if status is not None:
        at += 1
    while at < len(lines):
        text = lines[at].text
        if default := _DEFAULT.match(text):
            policies |= {
                _DIRECTIONS[way]: _TARGETS.get(word, "DROP") for word, way in _POLICY.findall(default[1])
            }
        elif row := ROW.match(_ITEM.sub("", text) if status is None else text):
            rows.append((row, at))
        elif lines[at].is_gap and status is not None:
            gaps.append(at)
        elif not (lines[at].is_blank or _HEADING.match(text) or _OTHER.match(text)):
            if status is None or not _CUT.fullmatch(text):
                break
            gaps.append(at)
        if not lines[at].is_blank:
            last = at
        at += 1
    title = "ufw status"
    if status is not None and status[1] in ("inactive", "not loaded"):
        return Segment(title, "ufw status (inactive)", first, last)
    if status is not None:
        gaps += _change(lines, last + 1, policies, rows)
    reader = _Reader(lines)
    # a whole status replaces an earlier one; rules that iptables printed supersede both (see the assembly)
    items, unread = reader.read(policies, rows, 0 if status is None else lines[first].number)
    items += [
        GapItem(f"ufw-user-{way}", lines[place].number, lines[place].text.strip())
        for place in gaps
        for way in _HOOKS
    ]
    pieces: list[Piece] = [Rules("filter", 4, items, status=True)] if items else []
    return Segment(title, title, first, last, pieces, unread, "filter")


def applied_to(lines: list[Line], shown: int, first: int, last: int) -> bool:
    """Return whether commands change the status above them, as the last of what is shown.

    Args:
        lines: the text.
        shown: the index of the last line that shows rules.
        first / last: the commands.
    """
    if any_matches(lines, _RULES) or not any(_STATUS.match(line.text) for line in lines[: shown + 1]):
        return False
    return all(has_run(lines, at) for at in range(first, last + 1) if _typed(lines[at].text))


def _typed(text: str) -> Command | None:
    """Return the command of ufw in a line that is not `ufw status`."""
    command = command_of(text) if "ufw" in text else None
    return command if command and command.program == "ufw" and command.words[:1] != ("status",) else None


def _change(lines: Sequence[Line], at: int, policies: dict[str, str], rows: list[Row]) -> list[int]:
    """Change the defaults and the rows of a status as the commands below it do, up to the next one.

    Return the indexes of those that could not be followed.
    """
    unread: list[int] = []
    for place in range(at, len(lines)):
        text = lines[place].text
        if _STATUS.match(text):
            break
        command = _typed(text)
        if command is None or not has_run(lines, place):
            continue
        if default := DEFAULT.fullmatch(" ".join(command.words)):
            policies[_DIRECTIONS[default[2] or "incoming"]] = _TARGETS.get(default[1], "DROP")
        elif _CHANGING & {*command.words[:2]} and not change(rows, command, place):
            unread.append(place)
    return unread


def rules_of_rows(
    lines: list[Line],
    defaults: dict[str, str],
    rows: Sequence[tuple[re.Match[str], int]],
    *,
    adds: bool = False,
) -> tuple[list[Item], list[int]]:
    """Return the chains and rules of rows, and the lines that could not be read.

    Args:
        lines: the text.
        defaults: ufw's words for policies ("allow", "deny", "reject"), by direction ("incoming" ...).
        rows: the rows, and the indexes of their lines.
        adds: the rows are added to earlier ones, with which ufw's other rules have been read.
    """
    set_here = {_DIRECTIONS[way]: _TARGETS.get(word, "DROP") for way, word in defaults.items()}
    reader = _Reader(lines)
    if not adds:
        return reader.read(set_here, rows)
    policies = [_policy(way, target, 0) for way, target in set_here.items()]
    items, unread = reader.of_rows(rows)
    return [*policies, *items], unread


def _policy(way: str, target: str, line: int) -> ChainItem:
    """Return the chain of a hook with the policy that ufw gives it: iptables has no policy REJECT."""
    return ChainItem(_HOOKS[way], target if target != "REJECT" else "DROP", None, line)


class _Reader:
    """Makes rules from the rows of a status."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines

    def read(
        self, policies: dict[str, str], rows: Sequence[tuple[re.Match[str], int]], line: int = 0
    ) -> tuple[list[Item], list[int]]:
        """Return the chains and rules, which begin at a line, and the lines that could not be read.

        Args:
            policies: the defaults that are shown; the others are those that the text shows elsewhere, or the usual
                ones, unless rules suggest another.
            rows: the rows, and the indexes of their lines.
            line: where they begin.
        """
        items: list[Item] = []
        policies = {**self._shown_elsewhere(rows), **policies}
        allowing = [at for row, at in rows if row["way"] == "OUT" and row["action"] in ("ALLOW", "LIMIT")]
        told = self._defaults(_TOLD)
        first = rows[0][1] if rows else 0
        for way, hook in _HOOKS.items():
            accepts = USUAL[way] == "ACCEPT"
            unsure = way not in policies and (told.get(way, USUAL[way]) == "ACCEPT") is not accepts
            if unsure:
                policies[way] = "ACCEPT"
            items.append(_policy(way, {**USUAL, **policies}[way], line))
            items.append(ChainItem(f"ufw-user-{way}", None, None, line, 1))
            before = [
                *([_LO[way]] if way in _LO else []),
                ACCEPT_REPLIES,
                *(_INCOMING if way == "input" else ()),
            ]
            before.append(("-j", f"ufw-user-{way}"))
            items += [self._rule(hook, words, first) for words in before]
            if unsure or (way == "output" and way not in policies and allowing):
                at = allowing[0] if allowing else first
                items.append(self._rule(hook, ("-j", "DROP"), at, (_UNSURE_OF[way],)))
        added, unread = self.of_rows(rows)
        return [*items, *added], unread

    def _shown_elsewhere(self, rows: Sequence[tuple[re.Match[str], int]]) -> dict[str, str]:
        """Return the defaults that ufw's settings and its log show."""
        shown: dict[str, str] = {}
        denies = any(row["way"] == "OUT" and row["action"] in ("DENY", "REJECT") for row, _ in rows)
        if not denies and any_matches(self.lines, _LOGGED_OUT):
            shown["output"] = "DROP"
        return shown | self._defaults(_SETTING)

    def _defaults(self, pattern: re.Pattern[str]) -> dict[str, str]:
        """Return the defaults that lines name as a pattern says."""
        if not any_matches(self.lines, pattern):
            return {}
        found = filter(None, (pattern.match(line.text) for line in self.lines))
        return {one[1].lower(): one[2] for one in found}

    def of_rows(self, rows: Sequence[tuple[re.Match[str], int]]) -> tuple[list[Item], list[int]]:
        """Return the rules of the rows themselves, and the lines that could not be read."""
        items: list[Item] = []
        unread: list[int] = []
        for row, at in rows:
            if "(v6)" in row["to"] or "(v6)" in row["source"]:
                continue
            chain = f"ufw-user-{_WAYS[row['way'] or 'IN']}"
            found = self._row(row, chain, at)
            items += found
            if not found:
                unread.append(at)
                items.append(GapItem(chain, self.lines[at].number, self.lines[at].text))
        return items, unread

    def _rule(self, chain: str, words: Sequence[str], at: int, hidden: tuple[Hidden, ...] = ()) -> RuleItem:
        made = made_words(words)
        line = self.lines[at]
        return RuleItem(chain, made, line.number, line.text, hidden=hidden)

    def _row(self, row: re.Match[str], chain: str, at: int) -> list[RuleItem]:
        """Return the rules of a row: one per protocol if it names only a port; none if it is unreadable."""
        ends = {"-d": row["to"], "-s": row["source"]}
        words: list[str] = []
        hidden: list[Hidden] = []
        ports: dict[str, re.Match[str]] = {}
        for flag, text in ends.items():
            interface = re.search(r"\s+on\s+(\S+)$", text)
            bare = text[: interface.start()] if interface else text
            address, _, behind = bare.partition(" ")
            if bare in _PROFILES:
                address, behind = "Anywhere", _PROFILES[bare]
            elif _PORTS.fullmatch(bare):
                address, behind = "Anywhere", bare
            if interface:
                out = chain.endswith("output") or (chain.endswith("forward") and flag == "-d")
                words += ["-o" if out else "-i", interface[1]]
            family: Family = 4
            if address != "Anywhere":
                option, unknown = address_option(flag, address, family)
                words += option
                hidden += [unknown] if unknown else []
                if not option and unknown is None:
                    return []
            named = _PORTS.fullmatch(behind) if behind else None
            if behind and named is None:
                return []
            if named is not None:
                ports[flag] = named
        return [
            self._rule(chain, [*words, *conditions, "-j", _TARGETS[row["action"]]], at, tuple(hidden))
            for conditions in _protocols(ports)
        ]


def _protocols(ports: dict[str, re.Match[str]]) -> list[list[str]]:
    """Return the conditions on protocol and ports: for TCP and for UDP if no protocol is named."""
    named = next(
        (found["proto"] or found["only"] for found in ports.values() if found["proto"] or found["only"]), None
    )
    if not ports:
        return [[]]
    conditions = []
    for protocol in [named] if named else ["tcp", "udp"]:
        words = ["-p", protocol]
        for flag, found in ports.items():
            if found["ports"]:
                option = "port" if "," not in found["ports"] else "ports"
                match = protocol if option == "port" else "multiport"
                words += ["-m", match, f"--{'d' if flag == '-d' else 's'}{option}", found["ports"]]
        conditions.append(words)
    return conditions
