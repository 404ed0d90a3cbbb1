"""How objects are displayed: functions that make their forms, registered when the package is imported.

The functions load their modules on use: rulesets are read far more often than they are printed or drawn.
"""

from __future__ import annotations

from iptsim.shown import register

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import pandas

    from iptsim.dump.ruleset import Ruleset
    from iptsim.graph import RuleGraph
    from iptsim.host import Host
    from iptsim.pictures import Picture
    from iptsim.reaching import Reaching
    from iptsim.shown import Shown


def register_all() -> None:
    """Register the functions for all forms."""
    for form, maker in (
        ("text", _text),
        ("html", _html),
        ("folded", _folded),
        ("frame", _frame),
        ("picture", _picture),
        ("graph", _graph),
        ("reach", _reach),
    ):
        register(form, maker)


def _text(thing: object) -> str:
    from iptsim.render.plain import plain

    return plain(thing)


def _html(thing: object) -> str:
    from iptsim.render.notebook import html

    return html(thing)


def _folded(what: tuple[str, Shown]) -> str:
    from iptsim.render.html import Html, folded

    summary, thing = what
    return folded(summary, Html(thing._repr_html_()))


def _frame(thing: object) -> pandas.DataFrame:
    from iptsim.render.frames import frame

    return frame(thing)


def _picture(thing: object) -> Picture:
    from iptsim.pictures.objects import picture_of

    return picture_of(thing)


def _graph(ruleset: Ruleset) -> RuleGraph:
    from iptsim.graph import ruleset_graph

    return ruleset_graph(ruleset)


def _reach(host: Host, *ends: str | None, **options: Any) -> Reaching:
    from iptsim.reaching import reach

    return reach(host, *ends, **options)
