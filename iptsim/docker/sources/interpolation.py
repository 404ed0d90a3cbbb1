"""Variables in a Compose file, `${PORT:-8080}`: those that have a default are taken as unset.

The rules are those of Compose (docs.docker.com/reference/compose-file/interpolation).
"""

from __future__ import annotations

import re
from typing import Any

#: A variable with a value for the case that it is unset (-), or set (+), in which no other variable is.
_INNERMOST = re.compile(r"(?<!\$)\$\{[A-Za-z_]\w*:?(?P<operator>[-+])(?P<value>[^${}]*)\}")
#: As many variables may be in the default of another one.
_DEPTH = 8


def interpolated(value: Any) -> Any:
    """Return a value of a Compose file, a mapping or a list, with the defaults of the variables in its texts.

    Variables without a default stay as they are: their values are in the environment or in the file .env.

    >>> interpolated({"ports": ["${BIND:-127.0.0.1}:${PORT-8080}:80", "${OTHER}:81"]})
    {'ports': ['127.0.0.1:8080:80', '${OTHER}:81']}
    """
    if isinstance(value, dict):
        return {key: interpolated(one) for key, one in value.items()}
    if isinstance(value, list):
        return [interpolated(one) for one in value]
    if not isinstance(value, str) or "$" not in value:
        return value
    for _ in range(_DEPTH):
        changed = _INNERMOST.sub(lambda found: found["value"] if found["operator"] == "-" else "", value)
        if changed == value:
            break
        value = changed
    return value
