"""Command lines in a pasted text: the command after a prompt determines the form of the output."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from iptsim.dump.words import IN_QUOTES
from iptsim.paste.placeholders import protected

#: Programs whose output or effect is read; only these may follow a prompt.
PROGRAMS = frozenset({
    *(f"{family}tables{variant}{tool}"
      for family in ("ip", "ip6") for variant in ("", "-legacy", "-nft") for tool in ("", "-save")),
    "ip46tables", "iptables-restore", "ip6tables-restore", "xtables-monitor", "nft", "ipset", "conntrack",
    "ip", "ifconfig", "route", "bridge", "brctl", "ss", "netstat", "sysctl", "wg", "wg-quick", "resolvectl", "hostname",
    "docker", "podman", "docker-compose", "dockerd", "kubectl", "lxc", "incus", "ufw", "firewall-cmd", "systemctl",
    "nsenter", "cat", "grep", "tail", "less", "dmesg", "journalctl", "tcpdump",
})  # fmt: skip
_PROMPT = re.compile(
    r"""\s*(?:
        \[[^\]]*@[^\]]*\]\s*[#$%>]*\s*            # [root@host ~]#
        | [\w.-]+@[\w.-]+[^#$%>]*[#$%>]+\s*       # root@host:~#, root@host [ /etc ]#
        | [\w.-]+:[~/][^\s\#$%>]*[#$%]\s*        # gateway:~#, gateway:/etc$
        | (?:\([\w.-]+\)\s*)?[#$%>]+\s+           # $, #
        | ❯\s+
        | (?:\[\#\]|\++)\s+                      # wg-quick, sh -x
        | [~/][^\s#$%]*\s*[#$%]\s+                # ~ $
        | [A-Za-z]:\\[^>]*>\s*
        | [a-z][\w.-]*[#$]\s+                      # root#
        | bash-[0-9.]+[#$]\s*
        | sh-[0-9.]+[#$]\s*
        | Every\s[0-9.]+s:\s+                    # watch
    )""",
    re.VERBOSE,
)
#: A line of a script.
UNPROMPTED = re.compile(
    r"#!|\s*(?:sudo\s+)?(?:/\S*/)?ip6?tables\s.*-[AIPNFDX]\s|\s*\$\{?IP6?T", re.IGNORECASE
)
#: The first line of what `iptables -L` and `iptables -S` print.
OUTPUT = re.compile(r"Chain \S+ \(|-P [A-Z]+ [A-Z]+$")
#: Root's prompt without a blank.
_GLUED = re.compile(r"^#(?=(?:/\S*/)?(?:ip6?tables|sysctl|docker|ip)[\s-])")
#: Commands that set a kernel parameter behind root's prompt, which could be a comment.
_ROOT = re.compile(r"^# +(?=(?:/\S*/)?(?:sysctl\s+-|echo\s+\S+\s*>\s*/proc/))")
#: A command with a capital letter, as keyboards of phones begin a line.
_CAPITAL = re.compile(r"(?:Docker|Iptables|Ip6tables|Podman)\s+(?:[a-z]+\s+){0,2}-{1,2}[A-Za-z]")
_SUDO = re.compile(
    r"(?:\s*(?:sudo|doas)(?:\s+-[A-Za-z]+|\s+--)*\s+|\s*(?:time|exec|nice)\s+|\s*[A-Z_]+=\S*\s+(?=\S))*"
)

#: A command whose output a shell would fill in.
SUBSTITUTION = r"\$\([^()]*(?:\([^()]*\)[^()]*)*\)|`[^`]*`"
_STRINGS = rf"\\.|\"{IN_QUOTES}\"|'[^']*'|[\"'\\]"
_QUOTING = re.compile(r"[\"'\\#`]|\$\(")
_QUOTED = re.compile(rf"\"(?P<double>{IN_QUOTES})\"|'(?P<single>[^']*)'|\\(?P<one>.)", re.DOTALL)
#: A word, or a comment, which starts like one.
_PART = rf"{SUBSTITUTION}|[^\s\"'\\]|\\.|\"{IN_QUOTES}\"|'[^']*'"
_WORD = re.compile(rf"\s*(?:#.*|(?P<word>(?:{_PART})+))(?=\s|$)", re.DOTALL)
#: A command up to a pipe; and up to the next command, or a redirection.
_PIPED = re.compile(rf"(?:{SUBSTITUTION}|[^|\"'\\]|{_STRINGS})*")
_OWN = re.compile(rf"(?:{SUBSTITUTION}|[^;&>\"'\\]|&(?!&)|{_STRINGS})*")
#: A filter that passes every rule: it shows, copies or numbers the lines, or leaves out comments and empty lines.
_PASSING = re.compile(
    r"\s*(?:(?:sudo\s+)?(?:cat|less|more|most|tee|nl|pastebinit|xclip|xsel|pbcopy)(?:\s.*)?|nc\s+termbin\.com\s+\d+"
    r"|grep\s+-v\s+(?:-e\s+)?(?:(?P<mark>['\"])\^(?:\\?#(?![*?])[^'\"]*|\$)(?P=mark)|\^(?:\\?#(?![*?])[^'\"\s]*|\$)))\s*"
)

_IPTABLES = re.compile(r"ip6?tables(?:-legacy|-nft)?(?:-save)?")
#: The option that makes iptables print rules, perhaps with others before it: -nvL.
_LISTING = re.compile(r"-[nvxtw46]*[SL].*|--list(?:-rules)?")


class Command(NamedTuple):
    """A command line.

    Attributes:
        program: the program's name without its path.
        words: its arguments.
        prompted: it followed a prompt or sudo.
        filtered: the filter through which the output was piped: "grep ts-"; empty for none, and for one that passes
            all rules: "grep -v '^#'", "less".
        text: the text as typed.
    """

    program: str
    words: tuple[str, ...]
    prompted: bool
    filtered: str
    text: str

    @property
    def prints_rules(self) -> bool:
        """Whether it prints the rules of iptables, as iptables-save and `iptables -S` do."""
        listing = any(_LISTING.fullmatch(word) for word in self.words)
        return _IPTABLES.fullmatch(self.program) is not None and (listing or self.program.endswith("-save"))

    def option(self, *names: str) -> str | None:
        """Return the argument of an option, or None."""
        for place, word in enumerate(self.words):
            if word in names:
                return self.words[place + 1] if place + 1 < len(self.words) else None
            for name in names:
                joined = f"{name}=" if name.startswith("--") else name
                if word.startswith(joined) and word != name and (name.startswith("--") or len(name) == 2):
                    return word[len(joined) :]
                if len(name) == 2 and re.fullmatch(rf"-[A-Za-z]+{name[1]}", word):  # -nvLt nat
                    return self.words[place + 1] if place + 1 < len(self.words) else None
        return None


@lru_cache(maxsize=4096)
def command_of(text: str) -> Command | None:
    """Return the command in a line, with or without a prompt; None for any other line."""
    found = _PROMPT.match(text)
    for start, prompted in ([(found.end(), True)] if found else []) + [(0, False)]:
        rest = text[start:].strip()
        sudo = _SUDO.match(rest)
        bare = rest[sudo.end() :] if sudo else rest
        first = bare.split(None, 1)[0] if bare else ""
        program = first.rpartition("/")[2]
        if program[:1].isupper() and _CAPITAL.match(bare):
            program = program.lower()
        if program in PROGRAMS and "=" not in first:
            return _command(
                program, bare[len(first) :], prompted or bool(sudo and sudo.group().strip()), bare
            )
    return None


def _command(program: str, rest: str, prompted: bool, text: str) -> Command:
    rest = protected(rest)
    piped = _PIPED.match(rest)
    own = rest[: piped.end()] if piped else rest
    filtered = rest[len(own) :].lstrip("|").strip()
    if all(_PASSING.fullmatch(one) for one in filtered.split("|")):
        filtered = ""
    if program != "nft" and (found := _OWN.match(own)):
        own = re.sub(r"\s\d$", "", found.group()) if own[found.end() :].startswith(">") else found.group()
    return Command(program, tuple(words_of(own)), prompted, filtered, text.strip())


def words_of(text: str) -> list[str]:
    """Return the words of a command line, split like a shell does if its quotes match.

    >>> words_of("-A INPUT --comment 'a b' # why")
    ['-A', 'INPUT', '--comment', 'a b']
    """
    if not _QUOTING.search(text):
        return text.split()
    words, end = [], 0
    while found := _WORD.match(text, end):
        if found["word"] is None:  # a comment
            break
        words.append(_QUOTED.sub(_bare, found["word"]))
        end = found.end()
    else:
        if text[end:].strip():
            return text.split()
    return words


def _bare(quoted: re.Match[str]) -> str:
    """Return the characters of a part of a word in quotation marks."""
    if quoted["double"] is not None:
        return re.sub(r"\\([\"\\])", r"\1", quoted["double"])
    return quoted["single"] if quoted["single"] is not None else quoted["one"]


def is_prompt(text: str) -> bool:
    """Return whether a line is a prompt, with or without a command.

    >>> is_prompt("root@gw:~# exit"), is_prompt("-A INPUT")
    (True, False)
    """
    found = _PROMPT.match(text)
    return found is not None and "@" in found.group()


def without_prompt(text: str) -> str:
    """Return a line without the prompt that it begins with.

    >>> without_prompt("# NET=10.0.0.0/8"), without_prompt("NET=10.0.0.0/8")
    ('NET=10.0.0.0/8', 'NET=10.0.0.0/8')
    """
    found = _PROMPT.match(text)
    return text[found.end() :] if found else text


def with_root_prompt(lines: list[str]) -> list[str]:
    """Return the lines of a session of root with `# ` before its commands, and nothing before those of parameters.

    A `#` without a blank is the prompt if output follows one of the commands that print rules; `# ` before a command
    that sets a kernel parameter, if other commands have it, too.

    >>> with_root_prompt(["#iptables -S", "-P INPUT ACCEPT", "# sysctl -w net.ipv4.ip_forward=0"])
    ['# iptables -S', '-P INPUT ACCEPT', 'sysctl -w net.ipv4.ip_forward=0']
    """
    if not any(line.startswith("#") for line in lines) or any(map(UNPROMPTED.match, lines)):
        return lines
    if any(map(_prints_below, lines, lines[1:])):
        lines = [_GLUED.sub("# ", line) for line in lines]
    setting = [line for line in lines if _ROOT.match(line)]
    if setting and any(line.startswith("# ") and command_of(line) for line in lines if line not in setting):
        lines = [_ROOT.sub("", line) for line in lines]
    return lines


def _prints_below(line: str, following: str) -> bool:
    """Return whether a line is `#` and a command that prints rules, and the next one is what it prints."""
    if not _GLUED.match(line) or not OUTPUT.match(following):
        return False
    command = command_of(line[1:])
    return command is not None and command.prints_rules


def prompt_of(text: str) -> str | None:
    """Return the prompt of a line in which a command was typed, up to the directory; None for another line.

    >>> prompt_of("root@gw:~# exit"), prompt_of("[root@gw ~]# ls"), prompt_of("$ ls"), prompt_of("-A INPUT")
    ('root@gw', 'root@gw', '$', None)
    """
    found = _PROMPT.match(text)
    if found is None or not text[found.end() :].strip():
        return None
    shown = re.search(r"[\w.-]+@[\w.-]+", found.group())
    return shown.group() if shown else found.group().strip()
