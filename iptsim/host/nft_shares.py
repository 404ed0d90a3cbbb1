"""Elements of nftables' maps that packets find by chance: by a number in turn, a random one, or a hash.

Sources: nft_ng_random_gen and nft_ng_inc_gen (net/netfilter/nft_numgen.c); nft_jhash_eval and nft_symhash_eval
(net/netfilter/nft_hash.c).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from iptsim.host.nft_values import shown_field, spans

_LEAST = 1e-6


def shares(about: Any, values: Sequence[Any]) -> list[str | None] | None:
    """Return for each value of a `numgen` the options that give it its share of the packets that earlier ones leave.

    None instead of the options for a value that it never has; None in all for one that iptables cannot express.
    """
    mode, mod, offset = (
        (about.get("mode"), about.get("mod"), about.get("offset", 0))
        if isinstance(about, Mapping)
        else (None,) * 3
    )
    if mode not in ("random", "inc") or not isinstance(mod, int) or not isinstance(offset, int) or mod < 1:
        return None
    found: list[str | None] = []
    left = mod
    for value in values:
        ends = value.get("range") if isinstance(value, Mapping) else [value, value]
        if not isinstance(ends, list) or len(ends) != 2 or not all(isinstance(one, int) for one in ends):
            return None
        count = min(ends[1], offset + mod - 1) - max(ends[0], offset) + 1
        if count < 1 or left < count:
            found.append(None)
        elif count == left:
            found.append("")
        elif mode == "inc" and count == 1:
            found.append(f"-m statistic --mode nth --every {left} --packet 0")
        else:
            # iptables would round other shares to none or all
            share = min(max(count / left, _LEAST), 1 - _LEAST)
            found.append(f"-m statistic --mode random --probability {share:.11f}")
        left -= max(count, 0)
    return found


def hashes(kind: str, about: Any, values: Sequence[Any]) -> list[str | None] | None:
    """Return for each value of a hash the condition that packets have it, of those that no earlier value has.

    It is unknown, except "" for the value that remains. None instead of it for a value that no hash has; None in all
    if they can't be read.

    Args:
        kind: "jhash" or "symhash".
        about: the hash, as in libnftables-json(5).
        values: numbers or ranges.
    """
    mod, offset = (about.get("mod"), about.get("offset", 0)) if isinstance(about, Mapping) else (None, 0)
    ends = spans(values)
    if not isinstance(mod, int) or not isinstance(offset, int) or mod < 1 or ends is None:
        return None
    name = " ".join(filter(None, (kind, shown_field(about.get("expr")), f"mod {mod}")))
    found: list[str | None] = []
    left = mod
    for first, last in ends:
        count = min(last, offset + mod - 1) - max(first, offset) + 1
        if count < 1 or left < count:
            found.append(None)
            continue
        left -= count
        found.append(f"{name} {first if first == last else f'{first}-{last}'}" if left else "")
    return found
