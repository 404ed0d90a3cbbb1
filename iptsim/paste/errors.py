"""Errors in a pasted text: of iptables and of the tools beside it, each with its command; of Docker and Podman."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from iptsim.addresses import Family
from iptsim.host.pasted import EngineError, RefusedCommand, ToolError
from iptsim.paste.lines import Line
from iptsim.paste.prompts import prompt_of

#: At most this many lines above an error are searched for its command.
_ABOVE = 3
#: At most this many errors are kept.
_MOST = 20
_ERROR = re.compile(
    r"\b(?P<program>ip6?tables)(?:-legacy|-nft)?(?P<restore>-restore)?"
    r"(?:(?: v\d[\d.]*(?: \(\w+\))?)?: +|/\d[\d.]* +)(?P<why>"
    r"(?:unknown (?:option|protocol)|invalid |host/network|Bad (?!rule)|Couldn't load|No chain/target/match|Chain '"
    r"|multiple -|Can't use|can't initialize|unable to initialize|option \"|TCP match|multiport needs|Need TCP"
    r"|line \d+ (?:failed|too long)|Set \S+ doesn't exist"
    r"|Line \d+ seems|Invalid (?:argument|match name|target name)|(?:CHAIN|RULE|TABLE)_[A-Z_]+ failed"
    r"|Could not fetch rule set|Failed to initialize nft"
    r"|table [`'].*incompatible).*)"
)
#: How fail2ban before 0.9 logs the last of an action's commands, if it failed (fail2ban/server/action.py).
_RETURNED = re.compile(r"\bip6?tables\s+-[^|]* (?P<why>returned (?:[1-9]\d{2}|[1-9a-f]00))\s*$")
_ARGUMENT = re.compile(r"(?:^|\bSTDERR: )\s*(?P<why>Bad argument [`'\"].+['\"])", re.IGNORECASE)
_COMMAND = re.compile(
    r"(?<![\w-])(?P<program>ip(?:6|46)?tables)(?:-legacy|-nft)?\s+(?P<rest>-.*?)"
    r"(?=\]?: exit status | returned \d+$| failed with message\b|$)"
)
#: Actions that add no rule: they may fail without harm.
_HARMLESS = re.compile(r"\s(?:-[CDXFNLSEZ]|--(?:check|delete|flush|new|list|rename)\S*)(?=\s|$)")
#: Errors that every command gets: the kernel lacks what iptables needs.
_OF_KERNEL = ("can't initialize", "Could not fetch rule set", "Failed to initialize nft")
#: What iptables adds to an error.
_HINT = re.compile(r"\s*(?:\\n)?\s*(?:Try [`'\"]ip|Perhaps ip|Error occurred).*")


#: nft prints an error, the command or line that it is about, and marks below the words (nftables, src/erec.c).
_NFT = re.compile(r"(?:^|\s)(?P<place>\S+:\d+:\d+(?:-\d+)?: )?Error: (?P<why>\S.*)$")
_MARKS = re.compile(r"(?P<before>.*?\s|)(?P<marks>\^[\^~]*)\s*$")
#: What firewall-cmd prints for every command while its service does not run (firewalld, src/firewall-cmd.in).
_STOPPED = re.compile(r"(?:^|\s)FirewallD is not running\s*$")
_CHANGES = re.compile(r"\bfirewall-cmd\s.*--(?:add|remove|change|set|new|delete|direct|permanent)\b")
#: Errors of ufw about the words of a command (ufw, src/common.py and src/parser.py).
_UFW = re.compile(
    r"ERROR: (?P<why>Bad (?:port|source address|destination address|interface name|protocol)\b.*?"
    r"|Must specify 'tcp' or 'udp' with multiple ports|Could not find a profile matching .*?"
    r"|Invalid (?:position|syntax)\b.*?"
    r"|Need '(?:to|from)' (?:or|and) '(?:to|from)'.*?|Wrong number of arguments)\s*\|?\s*$"
)
_UFW_COMMAND = re.compile(r"(?<![\w-])ufw\s+(?!ERROR)[a-z-].*?(?= > ERROR|$)")
#: What ebtables prints if the kernel has no module for a table (ebtables, communication.c); programs log it.
_EBTABLES = re.compile(r"The kernel doesn't support the (?P<tool>ebtables|arptables) '(?P<table>\w+)' table")
#: At most this many lines lie between a command of firewall-cmd or ufw and the error.
_FAR_ABOVE = 12
_NEAR = 2
#: The command and the marks follow an error of nft within so many lines.
_BELOW = 3
#: At most this many errors are kept.
_MOST_OF_TOOLS = 20
_LONGEST = 1000
_QUERY = r"\bread udp (?P<sender>[\d.]+):\d+->(?P<server>[\d.]+):53: (?:read: )?"
#: The kinds of errors, with the words of the engines (libnetwork/portmapper, portallocator, ipamutils; rootlessport).
_OF_ENGINES: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "privileged-port",
        re.compile(
            r"rootlessport cannot expose privileged port (?P<port>\d{1,5})"
            r"|(?:rootlessport|slirp4netns|pasta|podman).{0,200}:(?P<other>\d{1,5}): bind: permission denied"
        ),
    ),
    (
        "port-taken",
        re.compile(
            r"Bind for \S*?:(?P<port>\d{1,5}) failed: port is already allocated"
            r"|(?:listen (?:tcp|udp)[46]? \S*?:|bind host port(?: for)? \S*?:)(?P<other>\d{1,5})(?::\S+)?: "
            r"(?:bind: )?address already in use"
        ),
    ),
    (
        "address-pool-full",
        re.compile(
            r"could not find an available, non-overlapping IPv[46] address pool"
            r"|all predefined address pools have been fully subnetted"
            r"|could not find an available predefined network"
        ),
    ),
    (
        "subnet-taken",
        re.compile(r"Pool overlaps with other one on this address space|networks have overlapping IPv[46]"),
    ),
    # the resolver of containers on their own networks (libnetwork/resolver.go)
    ("name-server-silent", re.compile(r"\[resolver\] .{0,300}?" + _QUERY + r"i/o timeout")),
    ("name-server-refuses", re.compile(r"\[resolver\] .{0,300}?" + _QUERY + r"connection refused")),
)
#: dockerd before 1.9 logged each subnet that it could not use for its bridge (daemon/networkdriver/network.go).
_UNUSABLE = re.compile(r"(?<!\S)\d{1,3}(?:\.\d{1,3}){3}/\d+ requested network overlaps with existing network")
#: With fewer such lines, the next subnet may have been free.
_SEVERAL = 3
_ENGINE_HINT = re.compile(r"already|privileged|denied|address|overlap|\[resolver\]")
#: At most this many are kept.
_MOST_OF_ENGINES = 5


def printed_errors(lines: Iterable[Line]) -> Iterator[RefusedCommand]:
    """Yield the errors that iptables printed, in order."""
    above: list[Line] = []
    found = 0
    for line in lines:
        text = line.text[:1000]
        error = _ERROR.search(text) or _ARGUMENT.search(text) or _RETURNED.search(text)
        if error is not None and found < _MOST:
            # Docker and others print the command in the same line
            before = [
                (line.number, text if error.re is _RETURNED else text[: error.start()]),
                *((one.number, one.text) for one in reversed(above)),
            ]
            number, words = _command_of(before) or (line.number, None)
            harmless = words is not None and _HARMLESS.search(f" {words['rest']}") is not None
            if harmless and not error["why"].startswith(_OF_KERNEL):
                continue
            program = (
                words["program"] if words is not None else error.groupdict().get("program") or "iptables"
            )
            family: Family = 6 if program.startswith("ip6") else 4
            shown = words.group().rstrip(" :") if words is not None else error.group().strip()
            yield RefusedCommand(number, family, shown, _HINT.sub("", error["why"]).strip(" ."), printed=True)
            found += 1
        if not _HINT.match(text):
            above = [*above[-_ABOVE + 1 :], line]


def _command_of(before: Iterable[tuple[int, str]]) -> tuple[int, re.Match[str]] | None:
    """Return the command of iptables that an error is about, and the number of its line; None if it is another's.

    Args:
        before: the numbers and texts of lines before the error, the nearest first.
    """
    for number, text in before:
        found = _COMMAND.search(text)
        if found is not None:
            return number, found
        if prompt_of(text) is not None:
            return None  # another program was typed, such as a script
    return None


def is_echo(lines: Sequence[Line], at: int) -> bool:
    """Return whether a line is a command that nft repeats below an error."""
    if not at or at >= len(lines):
        return False
    above = _NFT.search(lines[at - 1].text[:_LONGEST])
    if above is None:
        return False
    marked = at + 1 < len(lines) and _MARKS.match(lines[at + 1].text[:_LONGEST]) is not None
    return marked or above["place"] is not None


def fails(lines: Sequence[Line], at: int) -> bool:
    """Return whether a command of nft is followed by its error."""
    return at + 1 < len(lines) and _NFT.match(lines[at + 1].text[:_LONGEST]) is not None


def tool_errors(lines: Sequence[Line]) -> Iterator[ToolError]:
    """Yield the errors that nft, ufw, firewall-cmd and ebtables printed, in order, at most one for each line."""
    found = 0
    for at, line in enumerate(lines):
        text = line.text[:_LONGEST]
        if found == _MOST_OF_TOOLS or not re.search(r"E(?:rror|RROR): |not running|doesn't support", text):
            continue
        error = _of_nft(lines, at, text) or _of_firewalld(lines, at, text) or _of_ufw(lines, at, text)
        error = error or _of_ebtables(line, text)
        if error is not None:
            found += 1
            yield error


def _of_nft(lines: Sequence[Line], at: int, text: str) -> ToolError | None:
    error = _NFT.search(text)
    below = lines[at + 1 : at + 1 + _BELOW]
    if error is None or not below:
        return None
    marks = next((found for one in below if (found := _MARKS.match(one.text[:_LONGEST]))), None)
    if marks is None and error["place"] is None:
        return None
    command, why = below[0].text, error["why"].strip().rstrip(".")[:300]
    marked = command[marks.start("marks") : marks.end("marks")].strip(" ;") if marks is not None else ""
    whole = marked == command.strip(" ;")
    return ToolError(below[0].number, command.strip()[:300], "nft", why, "" if whole else marked[:80])


def _of_firewalld(lines: Sequence[Line], at: int, text: str) -> ToolError | None:
    if not _STOPPED.search(text):
        return None
    above = reversed(lines[max(at - _FAR_ABOVE, 0) : at])
    command = next((one for one in above if _CHANGES.search(one.text[:_LONGEST])), None)
    if command is None:
        return None  # a command that only lists
    words = command.text[command.text.index("firewall-cmd") :]
    return ToolError(command.number, words.strip()[:300], "firewall-cmd", "FirewallD is not running")


def _of_ufw(lines: Sequence[Line], at: int, text: str) -> ToolError | None:
    error = _UFW.search(text)
    if error is None:
        return None
    for one in reversed(lines[max(at - _NEAR, 0) : at + 1]):
        command = _UFW_COMMAND.search(one.text[:_LONGEST])
        if command is not None:
            return ToolError(one.number, command.group().strip()[:300], "ufw", error["why"].strip()[:300])
    return None


def _of_ebtables(line: Line, text: str) -> ToolError | None:
    error = _EBTABLES.search(text)
    if error is None:
        return None
    return ToolError(line.number, text.strip()[:300], error["tool"], error.group(), error["table"])


def engine_errors(lines: Iterable[Line]) -> Iterator[EngineError]:
    """Yield the errors of Docker and Podman that no rule causes, such as taken ports: one of each kind and port."""
    found: dict[tuple[str, int], EngineError] = {}
    unusable: list[Line] = []
    for line in lines:
        text = line.text[:2000]
        if not _ENGINE_HINT.search(text):
            continue
        if _UNUSABLE.search(text):
            unusable.append(line)
        for kind, words in _OF_ENGINES:
            error = words.search(text)
            if error is None:
                continue
            given = error.groupdict()
            port = int(given.get("port") or given.get("other") or 0)
            if port < 65536:
                ends = given.get("sender") or "", given.get("server") or ""
                found.setdefault(
                    (kind, port), EngineError(line.number, text.strip()[:300], kind, port, *ends)
                )
            break
    if len(unusable) >= _SEVERAL:
        first, kind = unusable[0], "address-pool-full"
        found.setdefault((kind, 0), EngineError(first.number, first.text.strip()[:300], kind, 0))
    yield from list(found.values())[:_MOST_OF_ENGINES]
