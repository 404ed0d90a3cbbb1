"""Writes the parser tables after a change of a grammar or of the pinned Lark version: `python -m tests.tables`.

`tests/test_grammar.py` fails if they are out of date.
"""

from __future__ import annotations

from iptsim.grammar import STARTS, build, folder, ready_file


def main() -> None:
    """Write the tables for the installed Lark, and remove those of outdated grammars."""
    ready = folder() / "ready"
    ready.mkdir(exist_ok=True)
    digests = {ready_file(name).stem.rpartition("-")[2] for name in STARTS}
    for file in ready.glob("*.tables"):
        if file.stem.rpartition("-")[2] not in digests:
            file.unlink()
    for name in STARTS:
        if not ready_file(name).exists():
            with ready_file(name).open("wb") as stream:
                build(name).save(stream)


if __name__ == "__main__":
    main()
