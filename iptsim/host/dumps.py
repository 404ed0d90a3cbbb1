"""Reads the dumps of a host, and the rules that are added to them.

The reader of dumps is imported where it is used, because the grammar takes time to load, and not every reader of hosts
needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from iptsim.addresses import Family
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import CaptureError
from iptsim.host.files import read_source
from iptsim.languages import message


def read_dump(
    data: bytes, source: str, family: Family | None, lenient: bool, *, tolerant: bool = False
) -> Ruleset:
    """Read the rules of a dump; arguments as for :func:`iptsim.dump.reader.loads`."""
    from iptsim.dump.reader import loads
    from iptsim.dump.text import decode

    return loads(
        decode(data, source, lenient),
        source=source,
        family=family,
        lenient=lenient,
        one_is_enough=tolerant,
        redacted=tolerant,
    )


def on_top(rulesets: Mapping[Family, Ruleset], path: str | Path, lenient: bool) -> Ruleset:
    """Add the rules of a file to the ruleset of the file's address family, and return the result."""
    from iptsim.dump.header import guess_family
    from iptsim.dump.reader import loads
    from iptsim.dump.text import decode

    source = read_source(path)
    text = decode(source.dump or b"", source.name, lenient)
    if not any(line.startswith("*") for line in text.split("\n")):
        raise CaptureError(
            message(
                "{name}: expected a file for iptables-restore, but it has no line *TABLE", name=source.name
            )
        )
    base = rulesets.get(guess_family(text)) or next(iter(rulesets.values()), None)
    if base is None:
        raise CaptureError(
            message("{name}: the source has no rules to which these could be added", name=source.name)
        )
    return loads(text, source=source.name, lenient=lenient, onto=base)
