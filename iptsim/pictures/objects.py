"""The picture of an object: what its `picture()` returns."""

from __future__ import annotations

from functools import singledispatch

from iptsim.dump.ruleset import Ruleset
from iptsim.explanation import Explanation
from iptsim.host import Host
from iptsim.languages import language
from iptsim.pictures.chains import chains_picture
from iptsim.pictures.picture import Picture
from iptsim.pictures.topology import topology_picture


@singledispatch
def picture_of(thing: object) -> Picture:
    """Return the picture of an object."""
    raise TypeError(f"there is no picture of a {type(thing).__name__}")


@picture_of.register
def _(ruleset: Ruleset) -> Picture:
    return chains_picture(ruleset)


@picture_of.register
def _(host: Host) -> Picture:
    return topology_picture(host)


@picture_of.register
def _(explanation: Explanation) -> Picture:
    with language(explanation.language):
        return topology_picture(explanation.host, explanation)
