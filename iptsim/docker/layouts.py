"""The layouts of all generations of dockerd."""

from __future__ import annotations

from iptsim.docker.facts import Layout
from iptsim.docker.layout20 import LAYOUT as LAYOUT20
from iptsim.docker.layout26 import LAYOUT as LAYOUT26
from iptsim.docker.layout28 import LAYOUT as LAYOUT28
from iptsim.docker.layout29 import LAYOUT as LAYOUT29

#: By generation.
LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (LAYOUT20, LAYOUT26, LAYOUT28, LAYOUT29)}
