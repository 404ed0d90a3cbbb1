"""Shell scripts, interpreted as far as possible without running them: variables, and several commands per line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.words import IN_QUOTES
from iptsim.paste.lines import Line
from iptsim.paste.prompts import SUBSTITUTION, command_of
from iptsim.paste.undoing import Runs

_ASSIGNMENT = re.compile(
    r"\s*(?:export\s+|local\s+|readonly\s+)?([A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|[^\s;]*)\s*(?:#.*)?$"
)
#: An assignment before another command; its value may be a command substitution.
_STEP = re.compile(r"([A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|\$\([^()]*\)|[^\s;]*)")
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)")
#: Text before commands: of WireGuard, ifupdown, systemd, lists in YAML, numbered steps.
_LEAD = re.compile(
    r"\s*(?:(?P<key>(?:WG_)?(?:POST|PRE)_?(?:UP|DOWN)|ExecStart(?:Pre|Post)?|ExecStop(?:Post)?)\s*[=:]\s*[-@+!]*"
    r"|\[\#\]\s+|\++\s+"
    r"|\[?\d{4}[-/]\d\d[-/]\d\d[T ]\S+\s+(?:[\w\[\]]+:?\s+)*(?=\S*ip6?tables\s)"
    r"|(?P<if>(?:pre-|post-)?(?:up|down))\s+(?=\S*ip6?tables)|[0-9]+[.)]\s+"
    r"|(?:[-*•·]|(?:step\s+)?\(?(?:[0-9]{1,3}|[a-z])[.):]{1,2})\s+(?=[\"']?(?:sudo\s+)?\S*ip6?tables\s)"
    r"|(?:then|do|else|\{)\s+)*",
    re.IGNORECASE,
)
_DOWN = re.compile(r".*down|ExecStop(?:Post)?", re.IGNORECASE)
#: The mark of WireGuard's own packets, and its value: wg-quick uses the first free number from 51820 on.
_FWMARK = re.compile(r"\$\(wg show \S+ fwmark\)")
FWMARK = "0xca6c"
#: The action of a rule as the argument of a function, which is called with A to add it, and with D to remove it.
_ACTION = re.compile(r"(?<=\s)-\$\{?\d\}?(?=\s+[A-Z])")
_OPENS = re.compile(r"\s*(?:if|for|while|until|case)\b")
_CLOSES = re.compile(r"\s*(?:fi|done|esac)\b")
#: Separators of commands, outside of quotes.
_SEPARATED = re.compile(rf"""((?:{SUBSTITUTION}|[^;&|"'\\]|\\.|"{IN_QUOTES}"|'[^']*'|&(?!&)|\|(?!\|))+)""")
_NAMED = re.compile(r"\$\{?(IP6?T(?:ABLES)?_?(?:CMD|BIN|4|6)?)\}?(?!\w)", re.IGNORECASE)
_IPTABLES = re.compile(r"(ip6?tables)(?:-legacy|-nft)?")
#: What runs a command for each line of its input, with that line in place of a word, or at the end: as a variable.
_FOR_EACH = re.compile(
    r"(?:^|\|)\s*(?:sudo\s+)?(?:/\S*/)?xargs\s+"
    r"(?:-I\s*(?P<word>\S+)\s+|-[nPLda]\s*\S+\s+|-[0rt]+\s+|--\S+\s+)*(?=(?:sudo\s+)?\S*ip6?tables\s)"
)
#: What a shell runs as a command after filling in variables.
_EVALUATED = re.compile(r"eval\s+([\"'])(?P<text>.*)\1\s*")
#: A function of firewall scripts, as of NixOS's, that runs both iptables and ip6tables.
_BOTH = "ip46tables"


#: Options of `firewall-cmd --direct` that change rules.
_DIRECT = ("--add-rule", "--remove-rule", "--add-chain", "--passthrough", "--add-passthrough")


class Typed(NamedTuple):
    """A command of a script.

    Attributes:
        program: "iptables" or "ip6tables", with its backend.
        words: its arguments, variables filled in.
        line: its line.
        sure: whether it runs unconditionally.
        text: its text, for messages.
    """

    program: str
    words: list[str]
    line: int
    sure: bool
    text: str


class Script:
    """Follows the lines of a script."""

    def __init__(self, interface: str | None, runs: Mapping[int, Runs] | None = None) -> None:
        self.runs = runs or {}
        self.variables: dict[str, str] = {} if interface is None else {"%i": interface}
        self.depth = 0
        #: how many commands of xargs were read; each has lines of its own
        self.lists = 0
        #: how often variables got values that are not known
        self.unknown: dict[str, int] = {}
        #: the priorities of firewalld's direct rules, by family, table and chain
        self.direct: dict[tuple[str, str, str], list[int]] = {}

    def assigns(self, text: str) -> bool:
        """Store a variable if a line sets one; return whether it does."""
        found = _ASSIGNMENT.match(text)
        if not found:
            return False
        value = found[2].strip("\"'") if found[2][:1] in "\"'" else found[2]
        self.variables[found[1]] = self.filled(value)
        return True

    def _set_unknown(self, name: str) -> None:
        """Give a variable a value that is not known: another one than it had before, unless it names the program."""
        self.variables.pop(name, None)
        self.unknown[name] = count = self.unknown.get(name, 0) + 1
        if count > 1 and not _NAMED.fullmatch(f"${name}"):
            self.variables[name] = f"${name}_{count}"

    def filled(self, text: str) -> str:
        """Return a text with known variables filled in."""

        def value(found: re.Match[str]) -> str:
            return self.variables.get(found[1] or found[2], found[0])

        text = _FWMARK.sub(FWMARK, _VARIABLE.sub(value, text))
        return text.replace("%i", self.variables["%i"]) if "%i" in self.variables else text

    def read(self, line: Line, text: str) -> list[Typed]:
        """Read a line; return its iptables commands, without those that run only when an interface goes down."""
        if _CLOSES.match(text):
            self.depth = max(self.depth - 1, 0)
        if _OPENS.match(text):
            self.depth += 1
        lead = _LEAD.match(text)
        assert lead is not None
        runs = self.runs.get(line.number)
        if is_down(text) or runs is Runs.LATER:
            return []
        found = []
        sure = self.depth == (1 if runs is Runs.STARTS else 0)
        for part in _parts(_unquoted(text[lead.end() :]) if lead["key"] else text[lead.end() :]):
            step = part.strip(" &|")
            if (assigned := _STEP.fullmatch(step)) and not self.assigns(step):
                self._set_unknown(assigned[1])
            typed = self._command(line, step, sure)
            if typed is not None:
                found.append(typed)
        if re.search(r";\s*(?:fi|done|esac)\s*$", text):
            self.depth = max(self.depth - 1, 0)
        return found

    def _command(self, line: Line, part: str, sure: bool) -> Typed | None:
        part = re.sub(r"^(?:then|do|else|\{|!)\s+", "", part)
        if (evaluated := _EVALUATED.fullmatch(part)) is not None:
            part = evaluated["text"]
        named = _NAMED.search(part.split(" -", 1)[0])
        if named and self.filled(named[0]) == named[0]:
            part = part.replace(named[0], "ip6tables" if "6" in named[0] else "iptables", 1)
        if (each := _FOR_EACH.search(part)) is not None:
            self.lists += 1
            rest, word = part[each.end() :], f"$XARGS{self.lists}"
            part = rest.replace(each["word"], word) if each["word"] else f"{rest} {word}"
        command = command_of(_ACTION.sub("-A", self.filled(part)).lstrip("\"'"))
        if command is not None and command.program == "firewall-cmd":
            return self._direct(line, part, command.words, sure)
        if command is not None and command.program == _BOTH:
            return Typed("iptables", list(command.words), line.number, sure, part)
        if command is None or not _IPTABLES.fullmatch(command.program) or _is_sentence(command.words):
            return None
        return Typed(command.program, list(command.words), line.number, sure, part)

    def _direct(self, line: Line, part: str, words: tuple[str, ...], sure: bool) -> Typed | None:
        """Return what `firewall-cmd --direct` makes iptables do; None if it changes no rule (firewalld.direct(5))."""
        action = next((word for word in words if word in _DIRECT), None)
        if "--direct" not in words or action is None:
            return None
        family, *rest = words[words.index(action) + 1 :] or ("",)
        made: list[str] = []
        if action.endswith("passthrough"):
            made = rest
        elif action == "--add-chain" and len(rest) == 2:
            made = ["-t", rest[0], "-N", rest[1]]
        elif len(rest) > 3 and rest[2].lstrip("-").isdecimal():
            table, chain, priority = rest[0], rest[1], int(rest[2])
            if chain in BUILTIN_CHAINS.get(table, ()):
                chain += "_direct"
            placed = self.direct.setdefault((family, table, chain), [])
            if action == "--add-rule":  # rules of lower priority come first
                position = 1 + sum(one <= priority for one in placed)
                placed.append(priority)
                made = ["-t", table, "-I", chain, str(position), *rest[3:]]
            else:
                made = ["-t", table, "-D", chain, *rest[3:]]
        program = {"ipv4": "iptables", "ipv6": "ip6tables"}.get(family)
        return Typed(program, made, line.number, sure, part) if program and made else None


def steps_of(text: str) -> list[str]:
    """Return the commands of a line, without what comes before the first of them."""
    lead = _LEAD.match(text)
    assert lead is not None
    rest = text[lead.end() :]
    return [part.strip(" &|") for part in _parts(_unquoted(rest) if lead["key"] else rest)]


@lru_cache(maxsize=1024)
def _parts(text: str) -> tuple[str, ...]:
    """Return the commands of a line."""
    return tuple(_SEPARATED.findall(text))


def is_down(text: str) -> bool:
    """Return whether a line has commands that run when an interface goes down."""
    lead = _LEAD.match(text)
    return lead is not None and _DOWN.fullmatch(lead["key"] or lead["if"] or "") is not None


def is_hook(text: str) -> bool:
    """Return whether a line has commands that WireGuard, systemd or ifupdown run."""
    lead = _LEAD.match(text)
    return lead is not None and bool(lead["key"] or lead["if"])


def is_condition(text: str) -> bool:
    """Return whether a line begins a condition or a loop, whose commands decide what runs next."""
    return _OPENS.match(text) is not None


def _unquoted(text: str) -> str:
    """Return the value of a key without the quotes around all of it."""
    found = re.fullmatch(r"\s*([\"'])(.*)\1\s*", text)
    return found[2] if found and found[1] not in found[2] else text


def is_shell(text: str) -> bool:
    """Return whether a line is one of a shell script that changes nothing here: a comment, a keyword, output."""
    return bool(
        re.match(
            r"\s*(?:#|:|echo\b|printf\b|set\b|exit\b|return\b|if\b|then\b|else\b|elif\b|fi\b|for\b|do\b|done\b|while\b"
            r"|case\b|esac\b|\[|\{|\}|sleep\b|modprobe\b|\w+\s*\(\)|\*?\)|[\w-]+\)|source\b|\. |exec\b|true\b|;;)",
            text,
        )
    )


def _is_sentence(words: tuple[str, ...]) -> bool:
    """Return whether what follows the name of the program goes on as a sentence, not with an option.

    >>> _is_sentence(("is", "the", "command,")), _is_sentence(("-A", "INPUT")), _is_sentence(("A", "INPUT"))
    (True, False, False)
    """
    return len(words) > 1 and all(re.fullmatch(r"[a-z]+[,.]?", word) is not None for word in words[:2])
