"""Objects of nftables in the form of libnftables-json(5), of several listings and commands in one text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def without_guesses(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return objects of nft without duplicates; a chain replaces what was guessed about it.

    Rules that commands insert come first in their chains. A chain that is listed again replaces its earlier listing.
    """
    objects = _amended(objects)
    listed: dict[tuple[str, str, str], int] = {}
    bases = set()
    for at, entry in enumerate(objects):
        if (one := entry.get("chain", {})).get("listed"):
            key = (one["family"], one["table"], one["name"])
            if one.get("hook"):
                bases.add(key)
            elif key in bases:
                continue  # a file adds rules to a chain
            listed[key] = at
    objects = [
        entry
        for at, entry in enumerate(objects)
        for about in entry.values()
        if at >= listed.get((about["family"], about.get("table"), about.get("chain", about.get("name"))), 0)
        or not {"chain", "rule"} & entry.keys()
    ]
    chains = [entry["chain"] for entry in objects if "chain" in entry]
    shown = {(chain["family"], chain["table"], chain["name"]) for chain in chains if not chain.get("guessed")}
    kept: list[dict[str, Any]] = []
    seen: set[str] = set()
    for entry in objects:
        (about,) = entry.values()
        guessed = about.get("guessed")
        if "rule" not in entry or guessed:
            text = json.dumps(entry, sort_keys=True)
            if text in seen:
                continue
            seen.add(text)
        if (
            not guessed
            or (about["family"], about["table"], about.get("chain", about.get("name"))) not in shown
        ):
            kept.append(entry)
    rules = [entry for entry in kept if "rule" in entry]
    inserted = [entry for entry in rules if entry["rule"].get("inserted")]
    return [
        *(entry for entry in kept if "rule" not in entry),
        *inserted,
        *(entry for entry in rules if not entry["rule"].get("inserted")),
    ]


def _amended(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return objects of nft with the policies that later commands set."""
    chains: dict[tuple[str, str, str], dict[str, Any]] = {}
    kept = []
    for entry in objects:
        if (one := entry.get("chain")) is not None:
            key = (one["family"], one["table"], one["name"])
            if "hook" not in one and "policy" in one and key in chains:
                chains[key]["policy"] = one["policy"]
                continue
            if "hook" in one:
                chains[key] = one
        kept.append(entry)
    return kept


def is_foreign(statements: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether iptables-nft never writes a rule with such statements: it does one thing, after all conditions."""
    does = 0
    for key in (key for one in statements for key in one):
        if key == "vmap" or (does and key not in ("comment", "log")):
            return True
        does += key not in ("comment", "match", "limit", "log")
    return False
