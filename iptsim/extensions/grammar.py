"""Finds the grammars of the value languages that extensions have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lark import Lark, Transformer


def open_grammar(name: str, transformer: Transformer[Any, Any]) -> Lark:
    """Return the LALR parser of `grammars/NAME.lark`; its results are what `transformer` makes of them.

    The file lies inside the package where it is installed, and at the top of a checkout.
    """
    package = Path(__file__).parents[1]
    installed = package / "grammars" / f"{name}.lark"
    file = installed if installed.exists() else package.parent / "grammars" / f"{name}.lark"
    return Lark(
        file.read_text(encoding="utf-8"), parser="lalr", transformer=transformer, maybe_placeholders=False
    )
