"""Files of a capture, of which a text shows the contents in several parts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import reduce

from iptsim.paste.interfaces import joined_entries
from iptsim.paste.nft_json import without_guesses
from iptsim.paste.pieces import Facts
from iptsim.reading import parse_json


def add_facts(files: dict[str, bytes], facts: Iterable[Facts]) -> None:
    """Add what segments show to the files of a capture, by name."""
    for piece in facts:
        for name, data in piece.files.items():
            known = [files[name]] if name in files else []
            files[name] = reduce(_joined, [data, *known] if piece.told else [*known, data])


def _joined(one: bytes, other: bytes) -> bytes:
    """Return a capture file with the data of a further segment: lists are joined, else the first one counts."""
    lists = [parse_json(data) for data in (one, other) if data.lstrip()[:1] == b"["]
    if len(lists) == 2:
        return json.dumps(
            joined_entries([*lists[0], *(new for new in lists[1] if new not in lists[0])])
        ).encode()
    return _joined_nftables(one, other) if one.lstrip()[:1] == b"{" else one + other


def _joined_nftables(one: bytes, other: bytes) -> bytes:
    """Return the objects of two outputs of nft."""
    outputs = [parse_json(data) for data in (one, other)]
    if not all(isinstance(output, dict) and isinstance(output.get("nftables"), list) for output in outputs):
        return one
    found = [entry for output in outputs for entry in output["nftables"]]
    return json.dumps({"nftables": without_guesses(found)}).encode()
