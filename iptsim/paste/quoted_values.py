"""Commands in the environment of a Compose file whose quotation marks belong to the value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from iptsim.host.pasted import QuotedCommand
from iptsim.paste.lines import Line

#: An item of a list in which a quoted command follows the equals sign.
_ITEM = re.compile(r"\s*- +(?P<name>[A-Za-z_]\w*)=([\"'])(?P<value>(?:sudo )?ip6?tables [^\"']+)\2\s*")
#: At most this many are kept.
_MOST = 10


def quoted_commands(lines: Iterable[Line]) -> Iterator[QuotedCommand]:
    """Yield the items whose value is a command of iptables in quotation marks.

    Not those in which a colon or a hash with a blank would end the plain scalar of YAML.
    """
    found = 0
    for line in lines:
        item = _ITEM.fullmatch(line.text) if "tables" in line.text else None
        if item is None or found == _MOST or ": " in item["value"] or " #" in item["value"]:
            continue
        found += 1
        mended = f"- {item['name']}={item['value']}"
        yield QuotedCommand(line.number, item["name"], line.text.strip(), mended)
