"""How arrow is used by the program itself, where nothing else uses it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa


class _Hidden(MetaPathFinder):
    """Makes the import of pandas fail."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Find nothing, and let nothing else find pandas."""
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)


def without_pandas() -> None:
    """Keep arrow from importing pandas when it makes an array: that takes as long as to decide about 100,000 records.

    Arrow tries it once, to recognize values of its types. If a program has loaded pandas, or asks arrow for a frame, it
    is used as before.
    """
    if "pandas" in sys.modules:
        return
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        pa.array(())
    finally:
        sys.meta_path.remove(hidden)
