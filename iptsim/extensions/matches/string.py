"""`-m string`: a pattern somewhere in the packet (net/netfilter/xt_string.c).

Offsets count from the IP header. The whole pattern must lie between `--from` and `--to`. A payload that was not stated
may contain it; then the match is unknown. Header fields that were not stated (the TCP sequence number, checksums) may
equal a part of the pattern by chance; for three bytes or more, this is ruled out: the probability is less than one in
ten million.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.predicates import Predicate, fact_predicate
from iptsim.extensions.values import choice, integer_value
from iptsim.extensions.wire import wire_bytes
from iptsim.languages import Text, message, message_if
from iptsim.truth import Truth, Unknown

_LONGEST = 128
_LAST_OFFSET = 65535
#: The maximum number of bytes of a pattern that unstated header fields may equal by chance.
_BY_CHANCE = 2
#: Upper case by the kernel's toupper(), for Latin-1.
_UPPER = bytes(
    code - 32 if 0x61 <= code <= 0x7A or (code >= 0xDF and code != 0xF7) else code for code in range(256)
)


def _limited(pattern: bytes) -> bytes:
    if not 0 < len(pattern) <= _LONGEST:
        raise ValueError(message("a pattern must have 1 to {longest} characters", longest=_LONGEST))
    return pattern


def _plain(text: str) -> bytes:
    return _limited(text.encode("utf-8", "surrogateescape"))


def _hexadecimal(text: str) -> bytes:
    r"""Read `|0d 0a|` blocks between plain characters, of which `\` makes the next one plain.

    It follows iptables to the letter, also where that is odd: after the `|` that ends a block, one
    character is read as it is.
    """
    data = text.encode("utf-8", "surrogateescape")
    found, in_block, at = bytearray(), False, 0
    while at < len(data):
        escaped = data[at : at + 1] == b"\\"
        if escaped and in_block:
            raise ValueError(message("a hexadecimal block can't contain a backslash"))
        if not escaped and data[at : at + 1] == b"|":
            in_block = not in_block
            while in_block and data[at + 1 : at + 2] == b" ":
                at += 1
            at += 1
            if at >= len(data):
                break
        if escaped:
            if at + 1 >= len(data):
                raise ValueError(message("nothing follows the backslash at the end"))
            found.append(data[at + 1])
            at += 2
        elif in_block:
            pair = data[at : at + 2].decode("latin-1")
            if at + 2 >= len(data):
                raise ValueError(
                    message("a hexadecimal block must consist of pairs of digits and end with |")
                )
            if any(digit not in "0123456789abcdefABCDEF" for digit in pair):
                raise ValueError(message("{pair!r} is not a pair of hexadecimal digits", pair=pair))
            found.append(int(pair, 16))
            at += 3 if data[at + 2 : at + 3] == b" " else 2
        else:
            found.append(data[at])
            at += 1
    return _limited(bytes(found))


def _printable(pattern: bytes) -> bool:
    """Return whether iptables prints the pattern as a text: ASCII without controls, no backslash at its end."""
    return all(0x20 <= code < 0x7F for code in pattern) and not pattern.endswith(b"\\")


def _pattern_text(pattern: bytes) -> str:
    text = pattern.decode("ascii").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


class String(Match):
    """Search the packet for a pattern."""

    name: ClassVar[str] = "string"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--string", "string", Value("a pattern of up to 128 characters", _plain, _pattern_text), True),
        Option(
            "--hex-string",
            "hex_string",
            Value("a pattern with |hexadecimal| parts", _hexadecimal, lambda pattern: f'"|{pattern.hex()}|"'),
            True,
        ),
        Option("--algo", "algo", choice("bm or kmp", ("bm", "kmp"))),
        Option("--from", "from_", integer_value("an offset up to 65535", 0, _LAST_OFFSET)),
        Option("--to", "to", integer_value("an offset up to 65535", 0, _LAST_OFFSET)),
        Option("--icase", "icase"),
    )

    string: bytes | None = None
    hex_string: bytes | None = None
    algo: str
    #: `--from`
    from_: int | None = None
    to: int | None = None
    icase: bool = False

    def check(self) -> None:
        if (self.string is None) == (self.hex_string is None):
            raise ValueError(message("string needs one of --string and --hex-string"))
        if (self.from_ or 0) > (_LAST_OFFSET if self.to is None else self.to):
            raise ValueError(message("--from is greater than --to"))

    def kept_by(self, form: ListingForm) -> String:
        """Return it with the `--to` that the version prints: before 1.8.9 all but 0, since then all but 65535."""
        last = _LAST_OFFSET if self.to is None else self.to
        return replace(self, to=None if last == (_LAST_OFFSET if form.since(1, 8, 9) else 0) else last)

    @property
    def pattern(self) -> bytes:
        """The bytes that the match searches for."""
        return self.string if self.string is not None else self.hex_string or b""

    def clauses(self) -> list[str]:
        """Return the options; the pattern as a text if it can be printed, else in hexadecimal."""
        printable = _printable(self.pattern)
        negated = {"string" if printable else "hex_string"} if self.negated else set()
        shown = replace(
            self,
            string=self.pattern if printable else None,
            hex_string=None if printable else self.pattern,
            from_=self.from_ or None,
            negated=frozenset(negated),
        )
        return super(String, shown).clauses()

    def predicates(self) -> tuple[Predicate, ...]:
        shown = self.pattern.decode("latin-1") if _printable(self.pattern) else self.pattern.hex(" ")
        key = ("string", self.pattern, self.from_, self.to, self.icase)
        unknown = Unknown(
            message("whether the packet's data contains {shown}", shown=shown), "--set payload_hex=...", key
        )

        def test(context: Context) -> Truth:
            return self._search(context, unknown)

        def got(context: Context) -> Text:
            found = test(context)
            if isinstance(found, Unknown):
                return message("its data was not stated")
            return message_if(
                found, "its data contains {shown}", "its data does not contain {shown}", shown=shown
            )

        return (fact_predicate(self.save(), test, got, negated=bool(self.negated), same=key),)

    def _search(self, context: Context, unknown: Unknown) -> Truth:
        """Try the pattern at each offset; unknown bytes may have any value."""
        data, known, fields = wire_bytes(context.packet)
        pattern = self.pattern.translate(_UPPER) if self.icase else self.pattern
        shown = data.translate(_UPPER) if self.icase else data
        first = self.from_ or 0
        end = min(len(data), _LAST_OFFSET if self.to is None else self.to)
        context.consulted.update(context.packet.defaults.intersection(fields[first:end]))
        possible = False
        for start in range(first, end - len(pattern) + 1):
            stop = start + len(pattern)
            if shown[start:stop] == pattern and known[start:stop].count(0xFF) == len(pattern):
                return True
            if not possible and all(map(self._may_be, data[start:stop], known[start:stop], pattern)):
                open_fields = (fields[at] for at in range(start, stop) if known[at] != 0xFF)
                possible = sum(field != "payload" for field in open_fields) <= _BY_CHANCE
        return unknown if possible else False

    def _may_be(self, data: int, known: int, wanted: int) -> bool:
        """Return whether a byte with these known bits may equal the wanted one."""
        if known == 0:
            return True
        if not self.icase:
            return not (data ^ wanted) & known
        return any(not (data ^ code) & known for code in range(256) if _UPPER[code] == wanted)

    def lists(self, form: ListingForm) -> str:
        pattern = _pattern_text(self.pattern) if _printable(self.pattern) else f'"|{self.pattern.hex()}|"'
        text = f" STRING match {'!' if self.negated else ''} {pattern} ALGO name {self.algo}"
        text += f" FROM {self.from_}" if self.from_ else ""
        last = _LAST_OFFSET if self.to is None else self.to
        if last != (_LAST_OFFSET if form.since(1, 8, 9) else 0):
            text += f" TO {last}"
        return text + (" ICASE" if self.icase else "")

    def says(self) -> Text:
        shown = repr(self.pattern.decode("ascii")) if _printable(self.pattern) else self.pattern.hex(" ")
        where: Text = ""
        if self.from_ or self.to is not None:
            where = message(
                " between bytes {first} and {last}",
                first=self.from_ or 0,
                last=_LAST_OFFSET if self.to is None else self.to,
            )
        return message_if(
            self.negated,
            "whose data does not contain {shown}{where}",
            "whose data contains {shown}{where}",
            shown=shown,
            where=where,
        )


EXTENSIONS = (String,)
