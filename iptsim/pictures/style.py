"""The look of pictures: one style sheet for light and dark, in colours that colour-blind readers can distinguish.

Colours never carry meaning alone: shape, stroke or words say the same. They come from Okabe and Ito's
palette, darkened or lightened until text on them has a contrast of 4.5 to 1.
"""

from __future__ import annotations

#: The prefix of every selector, so that a page can contain other things beside a picture.
SCOPE = ".iptsim-picture"

LIGHT = {
    "paper": "#ffffff", "ink": "#1c2128", "soft": "#57606a", "line": "#8c959f", "frame": "#f6f8fa",
    "wall": "#fdf6e3", "wall-line": "#a67f00", "bar": "#ffffff", "guest": "#eaf3fb", "guest-line": "#0072b2",
    "switch": "#e3f4ee", "switch-line": "#00795a", "docker": "#ddeefb", "docker-line": "#0068a8",
    "user": "#fbeee0", "user-line": "#a85a00", "other": "#f1eaf6", "other-line": "#7d4d98",
    "route": "#0059b3", "route-fill": "#cfe5ff", "reply": "#8a3ba8", "stop": "#b8320a", "stop-fill": "#ffe3d8",
    "arrived": "#00694c", "arrived-fill": "#d3f1e5", "open": "#805500", "open-fill": "#fff1c9",
    "reject": "#a3246b", "reject-fill": "#fbe3ef", "change": "#4a48b5", "change-fill": "#e7e6fa",
}  # fmt: skip
_DARK = {
    "paper": "#0d1117", "ink": "#e6edf3", "soft": "#9da7b3", "line": "#6e7681", "frame": "#151b23",
    "wall": "#221d0d", "wall-line": "#c9a227", "bar": "#0d1117", "guest": "#0e2233", "guest-line": "#56b4e9",
    "switch": "#0c241c", "switch-line": "#3fc39b", "docker": "#10283d", "docker-line": "#56b4e9",
    "user": "#33210d", "user-line": "#e69f00", "other": "#281a31", "other-line": "#cc9ae0",
    "route": "#79b8ff", "route-fill": "#12355e", "reply": "#d69cf0", "stop": "#ff9068", "stop-fill": "#4a1d0f",
    "arrived": "#4fd1a5", "arrived-fill": "#0d3a2b", "open": "#f0c04a", "open-fill": "#40300a",
    "reject": "#f08fc0", "reject-fill": "#46122f", "change": "#b3b1f5", "change-fill": "#27264f",
}  # fmt: skip

# {scope} is the scope, {name} a colour
_RULES = """\
{scope} { font-family: FONTS; font-size: 11px }
{scope} text { fill: {ink}; stroke: none }
{scope} .paper { fill: {paper} }
{scope} .name { font-size: 12.5px; font-weight: bold }
{scope} .soft, {scope} .heading { fill: {soft} }
{scope} .caption-title { font-size: 15px; font-weight: bold }
{scope} .caption-reason { font-size: 12.5px }
{scope} .caption-rule, {scope} .caption-note { font-size: 11px; fill: {soft} }
{scope} .frame { fill: {frame}; stroke: {line}; stroke-width: 1.2 }
{scope} .netfilter .frame { fill: {wall}; stroke: {wall-line} }
{scope} .guest .frame { fill: {guest}; stroke: {guest-line} }
{scope} .tie { fill: none; stroke: {guest-line}; stroke-width: 1.2; stroke-dasharray: 2 3 }
{scope} .box { fill: {bar}; stroke: {line}; stroke-width: 1.2 }
{scope} .hook .box, {scope} .routing .box, {scope} .process .box { stroke: {wall-line} }
{scope} .process .box, {scope} .routing .box { stroke-dasharray: 5 3 }
{scope} .bridge .box, {scope} .port .box { fill: {switch}; stroke: {switch-line} }
{scope} .bypass .box, {scope} .routed .box { stroke: {switch-line}; stroke-dasharray: 5 3 }
{scope} .plug .box { stroke: {guest-line} }
{scope} .world .box { stroke-dasharray: 3 3 }
{scope} .more .box { stroke: none; fill: none }
{scope} .guessed .box { stroke-dasharray: 2 2 }
{scope} .chain .box { stroke: {line} }
{scope} .chain.docker .box { fill: {docker}; stroke: {docker-line} }
{scope} .chain.user .box { fill: {user}; stroke: {user-line}; stroke-dasharray: 6 2 }
{scope} .chain.other .box { fill: {other}; stroke: {other-line} }
{scope} .chain.docker .stripe { fill: {docker-line} }
{scope} .chain.other .stripe { fill: {other-line} }
{scope} .stripe { fill: none }
{scope} .verdict.accept .box { fill: {arrived-fill}; stroke: {arrived} }
{scope} .verdict.drop .box { fill: {stop-fill}; stroke: {stop} }
{scope} .verdict.reject .box { fill: {reject-fill}; stroke: {reject} }
{scope} .verdict.translate .box { fill: {change-fill}; stroke: {change} }
{scope} .missing .box { stroke: {stop}; stroke-dasharray: 2 2 }
{scope} .edge { fill: none; stroke: {line}; stroke-width: 1.2 }
{scope} .head { fill: {line}; stroke: none }
{scope} .edge.flow { stroke: {wall-line}; stroke-opacity: 0.6 }
{scope} .edge.veth { stroke: {guest-line}; stroke-width: 1.8 }
{scope} .edge.plugged { stroke: {switch-line} }
{scope} .edge.goto { stroke-dasharray: 6 3 }
{scope} .edge.policy { stroke-dasharray: 2 3 }
{scope} .edge-label { fill: {soft} }
{scope} .label-back { fill: {paper}; fill-opacity: 0.85 }
{scope} .unseen .box, {scope} .unseen .stripe { fill-opacity: 0.25; stroke-opacity: 0.45 }
{scope} .unseen text, {scope} text.unseen { fill-opacity: 0.6 }
{scope} .edge.unseen { stroke-opacity: 0.35 }
{scope} .head.unseen { fill-opacity: 0.35 }
{scope} .vain .box { fill-opacity: 0.35; stroke: {route}; stroke-opacity: 0.6; stroke-dasharray: 3 3 }
{scope} .vain .stripe { fill-opacity: 0.45 }
{scope} .vain text, {scope} text.vain { fill-opacity: 0.75 }
{scope} .edge.vain { stroke: {route}; stroke-opacity: 0.5; stroke-dasharray: 3 3 }
{scope} .head.vain { fill: {route}; fill-opacity: 0.5 }
{scope} .answered .box { stroke: {reply}; stroke-width: 1.8 }
{scope} .walked .box { stroke: {route}; stroke-width: 2.2; stroke-dasharray: none }
{scope} .hook.walked .box, {scope} .routing.walked .box, {scope} .process.walked .box { fill: {route-fill} }
{scope} .edge.walked { stroke: {route}; stroke-width: 3; stroke-opacity: 1; stroke-dasharray: none }
{scope} .head.walked { fill: {route}; fill-opacity: 1 }
{scope} .edge.reply { stroke: {reply}; stroke-width: 2.5; stroke-dasharray: 7 4 }
{scope} .head.reply { fill: {reply} }
{scope} .node.stop .box { fill: {stop-fill}; stroke: {stop}; stroke-width: 2.5 }
{scope} .node.arrived .box { fill: {arrived-fill}; stroke: {arrived}; stroke-width: 2.5 }
{scope} .node.open .box { fill: {open-fill}; stroke: {open}; stroke-width: 2.5 }
{scope} text.stop { fill: {stop}; font-weight: bold }
{scope} text.change { fill: {change}; font-weight: bold }
{scope} text.open { fill: {open}; font-weight: bold }
{scope} .badge { stroke: {paper}; stroke-width: 1.5 }
{scope} .badge.stop { fill: {stop} }
{scope} .badge.arrived { fill: {arrived} }
{scope} .badge.open { fill: {open} }
{scope} .sign { fill: none; stroke: {paper}; stroke-width: 2 }
"""
#: Screen fonts come first; text that fits in DejaVu Sans fits in them.
SCREEN_FONTS = 'system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", Verdana, sans-serif'


def style_sheet(scope: str = SCOPE, *, fonts: str = SCREEN_FONTS, dark: bool | None = None) -> str:
    """Return the style of pictures as CSS.

    Args:
        scope: the prefix of every selector, such as `.dark .iptsim-picture`.
        fonts: the value of `font-family`.
        dark: True for dark, False for light, None for light with dark where the reader prefers that.
    """
    if dark is None:
        night = _colours_only(_filled(scope, fonts, _DARK), _filled(scope, fonts, LIGHT))
        return f"{_filled(scope, fonts, LIGHT)}@media (prefers-color-scheme: dark) {{\n{night}}}\n"
    return _filled(scope, fonts, _DARK if dark else LIGHT)


def _filled(scope: str, fonts: str, colours: dict[str, str]) -> str:
    text = _RULES.replace("{scope}", scope).replace("FONTS", fonts)
    for name, colour in colours.items():
        text = text.replace(f"{{{name}}}", colour)
    return text


def _colours_only(dark: str, light: str) -> str:
    """Return the rules that differ."""
    pairs = zip(dark.splitlines(), light.splitlines(), strict=True)
    return "".join(f"{one}\n" for one, other in pairs if one != other)
