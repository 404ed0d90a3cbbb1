"""The base of what is read once: values that do not change.

Modules of models evaluate their annotations (no `from __future__ import annotations`), as pydantic would evaluate them
again for each class, when the program starts.
"""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value that does not change after it has been read."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
