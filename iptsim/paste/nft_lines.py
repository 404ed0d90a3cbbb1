"""The statements of nftables' text: in a file for `nft -f`, several in a line, or one over several; see nft(8)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from iptsim.paste.lines import Line

#: What begins a block.
_BLOCK = re.compile(
    r"\s*(?:table(?:\s+(?:ip6?|inet|bridge|netdev|arp))?|chain|set|map|flowtable|counter|quota|limit|synproxy|secmark"
    r"|ct\s+(?:helper|timeout|expectation))\s+[^\s{}\"]+\s*"
)
_TOP = re.compile(r"\s*(?:table|chain)\s+[^{}]*\{")
_DEFINE = re.compile(r"\s*(?:re)?define\s+(?P<name>\w+)\s*=\s*(?P<value>\S.*)")
_VARIABLE = re.compile(r"\$(\w+)")
#: What nft prints behind a rule, as a comment.
_PRINTED = re.compile(r"# ?(?:xt_\w|handle \d)")
_QUOTED = re.compile(r'"[^"]*"')
#: What may divide a line.
_MARKS = re.compile('["#{};]')
#: How the names of chains begin that have none of their own (nf_tables_addchain).
UNNAMED = "__chain"
#: What precedes the rules of a chain without a name.
_CALLS = re.compile(r".*\b(?:jump|goto)\s*", re.DOTALL)
#: The most characters of a statement, and of one in which variables are replaced.
_LONGEST = 1_000_000


class Statements:
    """Divides lines into statements: the head of a block with its brace, a statement in it, the brace that ends it.

    A chain without a name, in a rule that jumps to it, becomes a block with a name after the rule.

    Args:
        lines: those before the first one, which may define variables.
    """

    def __init__(self, lines: Sequence[Line]) -> None:
        self._variables: dict[str, str] = {}
        #: the beginning of a statement that goes on in the next line, and its open braces
        self._begun, self._braces = "", 0
        self._unnamed = 0
        if not any("define" in line.text for line in lines):
            return  # dividing them all would take long where a text has many blocks
        for line in lines:
            for part in self.of(line):
                self.define(part.text)
        self._begun, self._braces = "", 0

    def define(self, text: str) -> bool:
        """Note the value of a variable. Return whether a statement defines one."""
        found = _DEFINE.fullmatch(text)
        if found is not None:
            self._variables[found["name"]] = found["value"].strip()
        return found is not None

    def of(self, line: Line) -> Iterator[Line]:
        """Yield the statements that a line ends, with the variables replaced that are known."""
        if line.is_gap or (self._begun and _TOP.match(line.text)):
            if self._begun:
                yield self._made(line, self._begun)
            self._begun = ""
            self._braces = self._braces if line.is_gap else 0
            if line.is_gap:
                yield line
                return
        if line.is_blank or (self._begun and line.text.lstrip().startswith("#")):
            return
        text, start, quoted = line.text, 0, False
        end = len(text)
        for mark in _MARKS.finditer(text):
            at, char = mark.start(), mark[0]
            if char == '"':
                quoted = not quoted
            elif quoted:
                continue
            elif char == "#":
                # what nft itself prints there belongs to a rule
                end = at if self._braces or not _PRINTED.match(text, at) else end
                break
            elif char == "{" and not self._braces and _BLOCK.fullmatch(self._begun + text[start:at]):
                yield self._made(line, f"{self._begun}{text[start:at]}{{")
                self._begun, start = "", at + 1
            elif char == "{" and not self._braces and _CALLS.fullmatch(self._begun + text[start:at]):
                name = f"{UNNAMED}{self._unnamed}"
                self._unnamed += 1
                yield self._made(line, f"{self._begun}{text[start:at]}{name}")
                yield self._made(line, f"chain {name} {{")
                self._begun, start = "", at + 1
            elif char == "{":
                self._braces += 1
            elif char == "}" and self._braces:
                self._braces -= 1
            elif char in "};" and not self._braces:
                if (statement := f"{self._begun}{text[start:at]}").strip():
                    yield self._made(line, statement)
                if char == "}":
                    yield line._replace(text="}")
                self._begun, start = "", at + 1
        rest = text[start:end]
        if self._braces or rest.endswith("\\"):
            self._begun = f"{self._begun}{rest.removesuffix(chr(92))} "[:_LONGEST]
            return
        if f"{self._begun}{rest}".strip():
            yield self._made(line, f"{self._begun}{rest}")
        self._begun = ""

    def rest(self, line: Line) -> Iterator[Line]:
        """Yield the statement that the last line left open."""
        if self._begun.strip():
            yield self._made(line, self._begun)

    def _made(self, line: Line, text: str) -> Line:
        if self._variables and "$" in text:
            text = _VARIABLE.sub(lambda found: self._variables.get(found[1], found[0]), text)[:_LONGEST]
        return line._replace(text=text)


def has_variables(text: str) -> bool:
    """Return whether a statement has a variable whose value is not known."""
    return "$" in text and _VARIABLE.search(_QUOTED.sub("", text)) is not None
