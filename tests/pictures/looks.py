"""What the tests of pictures ask of an SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

SVG = "{http://www.w3.org/2000/svg}"


def read(svg: str) -> ElementTree.Element:
    """Parse it; it must be well-formed XML."""
    return ElementTree.fromstring(svg)


def texts(svg: str) -> list[str]:
    """All text that is drawn."""
    return ["".join(element.itertext()) for element in read(svg).iter(f"{SVG}text")]


def nodes(svg: str) -> dict[str, set[str]]:
    """The classes of each node, by its first line."""
    found = {}
    for element in read(svg).iter(f"{SVG}g"):
        classes = set(element.get("class", "").split())
        name = element.find(f"{SVG}text")
        if "node" in classes and name is not None:
            found[name.text or ""] = classes
    return found
