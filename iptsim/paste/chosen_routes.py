"""Routes that `ip route get ADDRESS` prints: the one that the kernel chose, whatever prefix it has (ip-route(8))."""

from __future__ import annotations

import json
from typing import Any

from iptsim.languages import Message, message
from iptsim.reading import parse_json

#: The key of an entry of `ip -j route` that was chosen for an outside address.
CHOSEN = "chosen_route"


def settle_chosen(files: dict[str, bytes]) -> list[Message]:
    """Take the first chosen route for the default one if no default route is shown; return sentences that say so.

    Otherwise a chosen route is one to its address alone; if the default route is the same, it tells its source.
    """
    return [one for name in ("ip-route.json", "ip6-route.json") for one in _settle(files, name)]


def _settle(files: dict[str, bytes], name: str) -> list[Message]:
    data = files.get(name, b"")
    if CHOSEN.encode() not in data:
        return []
    every = [one for one in parse_json(data) if isinstance(one, dict)]
    chosen = [one for one in every if one.pop(CHOSEN, False)]
    routes = [one for one in every if not any(one is other for other in chosen)]
    assumed: list[Message] = []
    for route in chosen:
        default = next((one for one in routes if one.get("dst") == "default" and _is_main(one)), None)
        if default is None:
            assumed.append(
                message(
                    "The default route is not shown; it is assumed to be the route to {address}.",
                    address=route["dst"],
                )
            )
            routes.append({**route, "dst": "default"})
        elif _way(default) == _way(route):
            default.update({**route, **default})
        elif not any(one.get("dst") == route["dst"] for one in routes):
            routes.append(route)
    files[name] = json.dumps(routes).encode()
    return assumed


def _is_main(route: dict[str, Any]) -> bool:
    return route.get("table") in (None, "main")


def _way(route: dict[str, Any]) -> tuple[Any, Any]:
    return route.get("gateway"), route.get("dev")
