"""`-m state`: the connection state, an older form of `-m conntrack --ctstate` (net/netfilter/xt_state.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import some_member
from iptsim.extensions.matches.conntrack import STATE, STATE_WORDS
from iptsim.extensions.options import Option
from iptsim.extensions.values import choices
from iptsim.languages import message

#: In the order in which iptables prints them.
STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED")


class State(Match):
    """The packet's connection state."""

    name: ClassVar[str] = "state"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--state", "state", choices(message("states of {choices}", choices=", ".join(STATES)), STATES), True,
            reads=STATE,
            relation=some_member, phrase=STATE_WORDS, listed="[ !] state {value}",
        ),
    )  # fmt: skip

    state: tuple[str, ...]


EXTENSIONS = (State,)
