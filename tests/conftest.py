"""Every test speaks English, whatever the locale of whoever runs it."""

from __future__ import annotations

import os

for _name in ("LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGE"):
    os.environ.pop(_name, None)
os.environ["LC_ALL"] = "C.UTF-8"
