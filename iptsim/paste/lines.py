"""The lines of a pasted text, without the additions of mail, chat, web pages and word processors."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from iptsim.dump.words import IN_QUOTES
from iptsim.errors import CaptureError
from iptsim.languages import message
from iptsim.paste import patches
from iptsim.paste.line_breaks import with_breaks
from iptsim.paste.prefixes import is_rule, without_comments, without_prefixes
from iptsim.paste.prompts import with_root_prompt
from iptsim.reading import is_binary, is_utf16

#: Blanks that a shell does not recognize, and zero-width characters.
_BLANKS = str.maketrans(
    {
        **dict.fromkeys(map(chr, (0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)), " "),
        **dict.fromkeys(map(chr, (0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xAD)), None),
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‘’‚‛′", "'"),
        **dict.fromkeys("‐‑‒−﹣－", "-"),
        "…": "...",
    }
)
#: Word processors' replacements for the two dashes of a long option, and the one of a short option.
_LONG_DASH = re.compile(r"(?:(?<=\s)|^)[–—]-?(?=[A-Za-z][A-Za-z-])")
#: Their replacement for two dashes alone, as in a listing's column `opt`.
_TWO_DASHES = re.compile(r"(?<=\s)[–—](?=\s)")
_DASH = re.compile(r"[–—]")
_ESCAPES = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[()][0-9A-B]|[\x00-\x08\x0b-\x0d\x0e-\x1f\x7f]"
)
#: Colours whose first character, which is invisible, was lost.
_COLOUR = re.compile(r"\^?\[\d{1,2}(?:;\d{1,3})*m")
_COLOURS = re.compile(r"\^?\[(?:\d{1,2}(?:;\d{1,3})*)?[mK](?![a-z])")
_TAG = re.compile(
    r"</?(?:br|p|div|span|li|pre|code)(?:\s[^<>]*)?/?>"
    # of forums, but no index of an array (${PORTS[i]}), and no flags of tcpdump (Flags [S])
    r"|(?:(?<![\w}])(?<!Flags )\[|\[/)"
    r"(?:b|i|u|s|code|html|php|quote|size|color|font|indent|noparse|tt|pre)(?:=[^][]{0,30})?\]",
    re.IGNORECASE,
)
#: Emphasis of a whole line.
_BOLD = re.compile(r"\s*\*\*(.*\S.*)\*\*\s*")
#: The mark of emphasis before a rule or a command, which ends elsewhere.
_MARKED = re.compile(r"\s*\*\*(?=(?:sudo |/\S*/)?ip6?tables |-[AI] [\w-]+ )")
#: A line of a dump as code, with a remark behind it.
_CODE = re.compile(r"\s*`([*:]\w[^`]*|-[AIPNFX]\b[^`]*|COMMIT)`\s*[-:(#].*")
#: A command as code or in bold, as an item of a list.
_STEP = re.compile(
    r"\s*(?:[-*•·+]|(?:[Ss]tep\s+)?\(?(?:[0-9]{1,3}|[a-z])[.):]{1,2})\s+"
    r"(?P<mark>`|\*\*)(?P<code>(?:sudo\s+)?(?:(?:/\S*/)?ip6?tables|docker|podman|firewall-cmd)\s[^`]*?)(?P=mark)[.,;:]?\s*"
)
#: A rule or a command as a string, such as one of a list in YAML or in a program.
_STRING = re.compile(
    r"\s*(?:- +)?(?:"
    rf"\"(?P<double>(?:sudo )?(?:(?:/\S*/)?ip6?tables|-[AI]) {IN_QUOTES})\""
    r"|'(?P<single>(?:sudo )?(?:(?:/\S*/)?ip6?tables|-[AI]) [^']*)'"
    r")\s*[,;]?\s*"
)
#: Commands as the value of a setting in JSON, unless they undo something: `"post_up": "iptables -A ...; ..."`.
_SETTING = re.compile(
    r"\s*\"(?!\w*(?i:down|stop|delete|remove))[\w.-]{1,40}\"\s*:\s*"
    rf"\"(?P<value>(?:sudo )?(?:/\S*/)?ip6?tables {IN_QUOTES})\"\s*,?\s*"
)
#: Opening quotation marks or brackets before the heading of a chain or a table.
_OPENED = re.compile(r"[\[({<\"'`*_]+(?=Chain \S+ \((?:policy|\d+ ref))|[\[({<\"'`]+(?=\*[a-z]+\s*$)")
#: The heading of a chain with its counters, behind words that belong to another line.
_GLUED = re.compile(
    r"\s*\w.{0,80}?(?P<heading>Chain [\w.-]{1,64} \(policy [A-Z]+ \d+[KMGT]? packets, \d+[KMGT]? bytes\))\s*"
)
#: A rule in whose words backticks are left.
_TICKED = re.compile(r"\s*-[AI] [\w-]+ .*-[jg] [\w-]+(?: --[a-z].*)?\s*")
#: A rule of a dump whose first dash was lost, as where it was taken for the mark of a list.
_UNDASHED = re.compile(r"^\s*A (?=[\w-]+ (?:! )?-[a-z] .*-[jg] [A-Za-z])")
#: A rule before a comma, which no rule ends with.
_ITEM = re.compile(r"\s*-(?:P \w+ [A-Z]+,|N [\w-]+,|[AI] [\w-]+ .*-[jg] )")
#: A name that a forum made a link to itself: `[www.example.org](http://www.example.org)`.
_LINK = re.compile(r"\[([\w.:/-]+)\]\((?:https?://)?\1/?\)")
_QUOTE = re.compile(r"^\s*(?:> ?)+")
_FENCE = re.compile(
    r"\s*(?:```|~~~)[\w-]*\s*|\[/?(?:code|quote)[^]]*\]\s*|</?(?:pre|code)[^>]*>\s*", re.IGNORECASE
)
_ENTITY = re.compile(r"&(?:gt|lt|amp|quot|apos|nbsp|ndash|mdash|hellip|#[0-9]+|#x[0-9a-fA-F]+);")
#: A line that marks an omission.
_GAP = re.compile(
    r"\s*[\[({<]?\s*\.\.\s*[\])}>]?\s*$"
    r"|(?:\s*\d+\s)?\W*(?:\.{3,}|\. \. \.|8<|--more--|and so (?:on|forth)\b"
    r"|(?:and |many |lots |a few |\d+ )*more(?: rules| lines)?\W*$"
    r"|(?:some |more |other |the |rest |output |lines? |rules? |was |were |is )*"
    r"(?:snip(?:ped)?|truncated|omitted|etc\b|cut\b|skipped|not shown|left out))",
    re.IGNORECASE,
)


#: A command that a sentence mentions.
_MENTIONED = re.compile(r"`((?:sudo\s+)?(?:docker|podman|ufw|ip6?tables)\s[^`]+)`")


#: A command within a sentence, up to its target and that one's options.
_SPOKEN = re.compile(
    r"(?<![\w/.-])((?:sudo\s+)?ip6?tables(?:\s+-t\s+\w+)?\s+-[AI]\s+[\w-]+(?:\s+\d+)?"
    r"(?:\s+(?:!\s+)?-{1,2}[a-z][\w-]*(?:\s+(?:\"[^\"]*\"|[^\s\"-]\S*))?)*?"
    r"\s+-j\s+[A-Z][\w-]*(?:\s+--[a-z][\w-]*\s+[\w.:/-]*\w)*"
    r"|(?:sudo\s+)?ip6?tables(?:\s+-t\s+\w+)?\s+(?:-P|--policy)\s+[A-Z]+\s+(?:ACCEPT|DROP)\b)"
)
#: A command in dockerd's debug log: `/usr/sbin/iptables, [--wait -t nat -C OUTPUT -j DOCKER]`.
_CALLED = re.compile(r"[^/]{0,200}(?P<program>/[\w/-]*ip6?tables), \[(?P<words>[^][]*)\]\"?\s*")
#: At most this many prefixes precede a line.
_PREFIXES = 3
#: Characters that a line has at most, unless it is JSON or the elements of a set: people type and save shorter ones.
_LONGEST = 5_000
_LONG = re.compile(r"\s*(?:[{\[\"]|elements = )")
#: A command as copied from a terminal of 80 columns: blanks before the rest of the word that it broke.
_FILL = " " * 20
_FILLED = re.compile(r"(?=.{0,70}\s-[AIRDPN]\s)(?P<line>.{79}\S) {20,}(?=\S)")
#: A number that no program prints.
_ENDLESS = re.compile(r"\d{40}")


class Line(NamedTuple):
    """A line of a text.

    Attributes:
        number: from 1.
        text / whole: its cleaned text, without and with trailing blanks.
        ended: it has a line end; the last line of a text that was cut off has none.
        patched: a patch adds it to a file, or shows it unchanged.
    """

    number: int
    text: str
    whole: str
    ended: bool = True
    patched: bool = False

    @property
    def is_blank(self) -> bool:
        """Whether it is blank."""
        return not self.text.strip()

    @property
    def is_gap(self) -> bool:
        """Whether it marks omitted lines: `...`, `[truncated]`, `<snip>`, `and so on`."""
        return _GAP.match(self.text) is not None


def quoted_commands(lines: list[Line]) -> list[Line]:
    """Return the commands that sentences mention, between backticks or not, in place of their lines."""
    return [
        line._replace(text=commands, whole=commands)
        for line in lines
        for commands in [_commands_in(line.text)]
    ]


def _commands_in(text: str) -> str:
    """Return the commands of iptables that a sentence mentions, or its first one of another program."""
    found = _MENTIONED.findall(text) or _SPOKEN.findall(text)
    changing = [one for one in found if "tables" in one.split(" -")[0]]
    return "; ".join(changing or found[:1])


def decode(data: bytes, name: str) -> str:
    """Return the text of a file.

    Raises:
        CaptureError: it is not text.
    """
    if is_utf16(data):
        return data.decode("utf-16", "replace")
    if is_binary(data):
        raise CaptureError(
            message("{name}: this is a binary file; save the output of `iptables-save -c` instead", name=name)
        )
    return data.decode("utf-8-sig", "replace")


#: Consecutive blank lines separate parts of a text, however many they are.
_MOST_BLANK = 100


def _is_sensible(line: str) -> bool:
    return (len(line) <= _LONGEST or _LONG.match(line) is not None) and _ENDLESS.search(line) is None


def lines_of(text: str) -> list[Line]:
    """Return the cleaned lines of a text, with Unix, Windows or old Mac line ends."""
    raw = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    ended = not raw[-1]
    if ended:
        raw.pop()
    shown = [line for line in raw if line.strip()]
    patched: set[int] = set()
    if len(shown) > 1 and all(line.startswith("+") for line in shown):  # the new lines of a patch
        raw = [line[1:] for line in raw]
    elif (made := patches.applied(raw)) is not None:
        patched = {number for number, (_, inside) in enumerate(made, 1) if inside}
        raw = [line for line, _ in made]
    numbered = [
        (number, part if _is_sensible(part) else "...")
        for number, line in _spaced(raw)
        for part in _unescaped(line)
    ]
    cleaned = with_root_prompt(_bared([clean(line) for _, line in numbered]))
    if not any(line.lstrip().startswith("-A ") for line in cleaned):
        cleaned = [_UNDASHED.sub("-A ", line) for line in cleaned]
    return [
        Line(number, line.rstrip(), line, ended or number < len(raw), number in patched)
        for (number, _), line in zip(numbered, cleaned, strict=True)
    ]


def _spaced(raw: list[str]) -> Iterator[tuple[int, str]]:
    """Yield lines and their numbers; of many consecutive blank lines, only the first ones."""
    blank = 0
    for number, line in enumerate(raw, 1):
        blank = 0 if line and not line.isspace() else blank + 1
        if blank <= _MOST_BLANK:
            yield number, line


def _bared(cleaned: list[str]) -> list[str]:
    """Return cleaned lines without the prefixes of runs."""
    for _ in range(_PREFIXES):
        stripped = without_prefixes(cleaned)
        if stripped == cleaned:
            break
        cleaned = [clean(line) for line in stripped]
    return cleaned


def _unescaped(line: str) -> list[str]:
    """Return the lines of a dump that became one line, or the command that dockerd logged."""
    if "tables, [" in line and (called := _CALLED.fullmatch(line)) is not None:
        return [f"{called['program']} {called['words']}"]
    parts = line.split("\\n") if "\\n" in line else [line]
    if len(parts) <= 2 or not any(map(is_rule, parts)):
        return with_breaks(line)
    if '"*' in parts[0]:  # of a field of a log, as kube-proxy writes it
        parts[0] = parts[0][parts[0].index('"*') + 1 :]
        parts[-1] = parts[-1].partition('"')[0]
    return [part.replace('\\"', '"') for part in parts]


#: A command of Docker goes over at most this many lines; without a limit, each of many such lines joins all others.
MOST_LINES = 100


def continued(lines: list[Line], at: int, most: int | None = None) -> tuple[str, int]:
    """Return a line with those that continue it after a backslash, at most some, and the index of the last of them."""
    end = len(lines) if most is None else min(len(lines), at + most)
    parts, last = [lines[at].text], at
    while parts[-1].endswith("\\") and last + 1 < end:
        last += 1
        parts[-1] = parts[-1][:-1]
        parts.append(lines[last].text.lstrip())
    return " ".join(parts), last


def commented(lines: list[Line]) -> list[Line]:
    """Return the lines of comments that hold rules, in place of all lines."""
    texts, found = [line.whole for line in lines], [""] * len(lines)
    for _ in range(_PREFIXES):
        inner = without_comments(texts)
        if not any(inner):
            break
        texts = found = _bared([clean(text) for text in inner])
    return [line._replace(text=text.rstrip(), whole=text) for line, text in zip(lines, found, strict=True)]


def clean(line: str) -> str:
    """Return a line without quotation marks, escape sequences and fences, and with plain blanks, quotes and dashes.

    >>> clean("> –A INPUT —dport 80 -m comment --comment “web”")
    '-A INPUT --dport 80 -m comment --comment "web"'
    >>> clean("iptables -A INPUT -s [www.example.org](http://www.example.org) -j DROP")
    'iptables -A INPUT -s www.example.org -j DROP'
    """
    if _FILL in line and (filled := _FILLED.match(line)) is not None:
        line = filled["line"] + line[filled.end() :]
    if "](" in line:
        line = _LINK.sub(r"\1", line)
    if line.isascii() and "**" not in line and not set(line) & _SUSPICIOUS:
        return _without_string(line)
    line = _ESCAPES.sub("", line)
    if "[" in line and _COLOUR.search(line):
        line = _COLOURS.sub("", line)
    line = _ENTITY.sub(lambda found: html.unescape(found[0]), line) if "&" in line else line
    line = _TWO_DASHES.sub("--", _LONG_DASH.sub("--", line.translate(_BLANKS)))
    line = _DASH.sub("-", line)
    line = _QUOTE.sub("", line, count=1)
    if _FENCE.fullmatch(line):
        return ""
    line = _TAG.sub("", line)
    start = len(line) - len(line.lstrip())
    line = line[:start] + line[start:].replace("\t", " ")
    if "```" in line:
        line = line.replace("```", "")
    if (bold := _BOLD.fullmatch(line)) is not None:
        line = bold[1]
    if (marked := _MARKED.match(line)) is not None:
        line = line[marked.end() :]
    if (code := _CODE.fullmatch(line)) is not None:
        return code[1]
    if (step := _STEP.fullmatch(line)) is not None:
        return step["code"]
    if "`" in line and _TICKED.fullmatch(line.replace("`", "")):
        line = line.replace("`", "")
    inline = line.count("`") == 2 and line.lstrip()[:1] == line.rstrip()[-1:] == "`"
    line = line.strip("` ") if inline else line.strip("`") if line.count("`") == 1 else line
    return _without_string(line)


def _without_string(line: str) -> str:
    """Return a line that is a rule or a command as an item of a list without its quotation marks and its comma.

    A heading loses marks before it.
    """
    if (opened := _OPENED.match(line)) is not None:
        return line[opened.end() :]
    if "Chain " in line[1:] and (glued := _GLUED.fullmatch(line)) is not None:
        return glued["heading"]
    if ('": "' in line or '":"' in line) and (setting := _SETTING.fullmatch(line)) is not None:
        return setting["value"].replace('\\"', '"')
    found = _STRING.fullmatch(line)
    if found is None:
        return line.rstrip()[:-1] if line.endswith((",", ", ")) and _ITEM.match(line) else line
    return found["single"] or found["double"].replace('\\"', '"')


#: A line needs cleaning only if it contains one of these characters.
_SUSPICIOUS = frozenset({">", "`", "~", "[", "<", "&", "\x7f", *map(chr, range(0x20))})


@dataclass(frozen=True, slots=True, eq=False)
class SameLines:
    """Lines as the key of a cache: two are equal if they are the same list."""

    lines: list[Line]

    def __hash__(self) -> int:
        return id(self.lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SameLines) and other.lines is self.lines


def any_matches(lines: list[Line], pattern: re.Pattern[str]) -> bool:
    """Return whether a pattern matches the beginning of any line."""
    return last_match(lines, pattern) >= 0


def last_match(lines: list[Line], pattern: re.Pattern[str]) -> int:
    """Return the index of the last line whose beginning a pattern matches, -1 if there is none."""
    return _last_match(SameLines(lines), pattern)


@lru_cache(maxsize=8)
def _last_match(of: SameLines, pattern: re.Pattern[str]) -> int:
    places = range(len(of.lines) - 1, -1, -1)
    return next((at for at in places if pattern.match(of.lines[at].text)), -1)
