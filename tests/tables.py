"""Writes the tables of the parsers, after a grammar or the locked Lark has changed: `python -m tests.tables`.

`tests/test_grammar.py` fails until they fit.
"""

from __future__ import annotations

from iptsim.grammar import STARTS, build, folder, ready_file


def main() -> None:
    """Write the tables for the Lark at hand, and take away those of grammars that are no more."""
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
