"""Pictures of a host's network and of its chains, in SVG, PNG, HTML, Mermaid, DOT and plain text."""

from iptsim.pictures.chains import chains_picture
from iptsim.pictures.picture import ENDINGS, Picture
from iptsim.pictures.style import style_sheet
from iptsim.pictures.topology import topology_picture

__all__ = ["ENDINGS", "Picture", "chains_picture", "style_sheet", "topology_picture"]
