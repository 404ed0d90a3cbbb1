"""What TTL and HL share: the number of hops that a packet has left (net/netfilter/xt_HL.c)."""

from __future__ import annotations

from iptsim.extensions.base import CONTINUE, Verdict
from iptsim.languages import say
from iptsim.packet import Context


def change_hops(context: Context, set_to: int | None, decrease: int | None, increase: int | None) -> Verdict:
    """Set, decrease or increase the packet's TTL or hop limit; it stays between 0 and 255."""
    hops = context.packet.ttl if set_to is None else set_to
    context.packet.ttl = min(255, max(0, hops - (decrease or 0) + (increase or 0)))
    return CONTINUE


def says_hops(what: str, set_to: int | None, decrease: int | None, increase: int | None) -> str:
    """Return the change in words; `what` is "TTL" or "hop limit"."""
    if set_to is not None:
        return say("set the {what} to {set_to}", what=what, set_to=set_to)
    return (
        say("lower the {what} by {decrease}", what=what, decrease=decrease)
        if decrease is not None
        else say("raise the {what} by {increase}", what=what, increase=increase)
    )


def listed_hops(name: str, set_to: int | None, decrease: int | None, increase: int | None) -> str:
    """Return the change as a listing has it; `name` is "TTL" or "HL"."""
    if set_to is not None:
        return f" {name} set to {set_to}"
    return f" {name} decrement by {decrease}" if decrease is not None else f" {name} increment by {increase}"
