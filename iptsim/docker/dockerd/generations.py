"""The layouts of all generations."""

from __future__ import annotations

from iptsim.docker.dockerd.generation_20_10 import LAYOUT as LAYOUT20
from iptsim.docker.dockerd.generation_26 import LAYOUT as LAYOUT26
from iptsim.docker.dockerd.generation_28 import LAYOUT as LAYOUT28
from iptsim.docker.dockerd.generation_29 import LAYOUT as LAYOUT29
from iptsim.docker.dockerd.templates import Layout
from iptsim.host.docker_engine import Generation

#: By generation.
LAYOUTS: dict[Generation, Layout] = {
    layout.name: layout for layout in (LAYOUT20, LAYOUT26, LAYOUT28, LAYOUT29)
}
