"""Writes parser tables and patterns after a change of a grammar or the pinned Lark version: `python -m tests.tables`.

`tests/test_grammar.py` fails if they are out of date.
"""

from __future__ import annotations

import json

from iptsim.grammar import STARTS, STORED, build, digest, expression, folder, patterns_file, ready_file


def main() -> None:
    """Write the tables for the installed Lark and the patterns, and remove those of outdated grammars."""
    ready = folder() / "ready"
    ready.mkdir(exist_ok=True)
    digests = {digest(name) for name in STARTS}
    for file in ready.iterdir():
        if file.stem.rpartition("-")[2] not in digests:
            file.unlink()
    for name in STARTS:
        if not ready_file(name).exists():
            with ready_file(name).open("wb") as stream:
                build(name).save(stream)
    for name, symbols in STORED.items():
        patterns = {symbol: expression(name, symbol) for symbol in symbols}
        patterns_file(name).write_text(json.dumps(patterns, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
