"""The base of what is read once: values that do not change."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value that does not change after it has been read."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
