"""The host: its containers and networks; its settings in a fold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iptsim.languages import say
from iptsim.report.host_summary import ASSUMED, DEFAULT
from iptsim.report.markup import Content, Markup, code, element, isolated, link, pairs, table, together


def host_section(about: dict[str, Any]) -> Markup:
    """Return the section, from the result of :func:`iptsim.report.host_summary.about`."""
    return together(_parts(about))


def _parts(about: dict[str, Any]) -> Iterator[Markup]:
    yield pairs(
        (say("Engine"), about["engine"] or say("no Docker")),
        (say("Addresses"), _lines(about["addresses"])),
    )
    if about["inferred"]:
        yield element(
            "p",
            say("The source is only a dump of the rules. The host and its containers are inferred from it:"),
        )
    elif about["assumptions"]:
        yield element("h3", say("Assumed"))
    if about["assumptions"]:
        yield element("ul.bullets", (element("li", one) for one in about["assumptions"]))
    if about["containers"]:
        yield element("h3", say("Containers"))
        heads = [say("Name"), say("Networks"), say("Addresses"), say("Published ports")]
        yield table(heads, map(_container, about["containers"]), say("Containers"))
    if about["networks"]:
        yield element("h3", say("Networks"))
        heads = [say("Name"), say("Bridge"), say("Subnets"), say("Options")]
        yield table(heads, map(_network, about["networks"]), say("Networks"))
    if about["settings"]:
        heads = [say("Setting"), say("Value"), say("Source")]
        settings = table(heads, map(_setting, about["settings"]), say("Settings"))
        yield element("details.more", element("summary", say("Settings")), settings, id="settings")


def _container(one: dict[str, Any]) -> Markup:
    stopped = None if one["running"] else element("span.tag", say("not running"))
    ports = [*one["published"], *(f"--link {other}" for other in one["links"])]
    return element(
        "tr",
        element("th", isolated(one["name"]), " ", stopped, scope="row"),
        element("td", isolated(", ".join(one["networks"]))),
        element("td", _lines(one["addresses"])),
        element("td", _lines(ports)),
        id=link("container", one["name"]),
        tabindex=-1,
    )


def _network(one: dict[str, Any]) -> Markup:
    return element(
        "tr",
        element("th", isolated(one["name"]), scope="row"),
        element("td", code(one["bridge"]) if one["bridge"] else one["driver"]),
        element("td", _lines(one["subnets"])),
        element("td", [element("span.tag", mark) for mark in one["marks"]]),
    )


def _setting(setting: tuple[str, str, str]) -> Markup:
    name, value, origin = setting
    origins = {DEFAULT: say("Docker's default"), ASSUMED: say("assumed")}
    return element(
        "tr",
        element("th", code(name), scope="row"),
        element("td", code(value)),
        element("td.soft", isolated(origins.get(origin, origin))),
    )


def _lines(texts: list[str]) -> Content:
    return [element("span.list", code(text)) for text in texts]
