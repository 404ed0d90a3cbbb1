"""A picker of endpoints for notebooks: choose a packet, and see what happens to it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from iptsim.asking import ask
from iptsim.errors import UsageError
from iptsim.explanation import Explanation
from iptsim.host import Host
from iptsim.languages import current_language, language, say, text_of
from iptsim.question.model import Question
from iptsim.render.endpoints import endpoints_json
from iptsim.render.html import element, whole
from iptsim.shown import Shown
from iptsim.sources import load_host

_PROTOCOLS = ("tcp", "udp", "icmp")


class Picker(Shown):
    """A choice of a packet between the endpoints of a host, and the answer about it.

    In a notebook with ipywidgets, the choices are menus, and the answer follows them. Elsewhere, it is the answer about
    the first choice.

    Attributes:
        host: the host.
        fields: the currently chosen fields of the question, as in a batch line.
        answer: the explanation; the error if the choice is not a valid question.
        language: its language.
    """

    def __init__(self, host: Host, fields: dict[str, Any]) -> None:
        self.host = host
        self.fields = fields
        self.language = current_language()
        self.answer: Explanation | UsageError = self._answer()
        self._menus: Any = None

    def __repr__(self) -> str:
        return f"<Picker {self.fields['from']} to {self.fields['to']}>"

    def __str__(self) -> str:
        return str(self.answer)

    def choose(self, **fields: Any) -> None:
        """Change fields of the question (`to="web"`), and answer it.

        Args:
            fields: their names as in a batch line; `from` can be written `src`.
        """
        if "src" in fields:
            fields["from"] = fields.pop("src")
        self.fields |= fields
        self.answer = self._answer()

    def _answer(self) -> Explanation | UsageError:
        fields = {name: value for name, value in self.fields.items() if value is not None}
        if fields.get("proto") == "icmp":
            fields.pop("dport", None)
        with language(self.language):
            try:
                return ask(self.host, Question(**fields))
            except UsageError as error:
                return error

    def _repr_html_(self) -> str:
        if isinstance(self.answer, Explanation):
            return self.answer._repr_html_()
        with language(self.language):
            return whole(element("p", text_of(self.answer)))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return the menus where ipywidgets is installed, and the answer as HTML and text for all other places."""
        shown: dict[str, Any] = super()._repr_mimebundle_()
        if find_spec("ipywidgets") is not None:
            if self._menus is None:
                self._menus = self._made_menus()
            shown = {**self._menus._repr_mimebundle_(), **shown}
        return shown

    def _made_menus(self) -> Any:
        import ipywidgets

        with language(self.language):
            labels = {
                "from": say("from"), "to": say("to"), "proto": say("protocol"), "dport": say("port"),
            }  # fmt: skip
        senders, targets = endpoints(self.host)
        menus = {
            "from": ipywidgets.Dropdown(options=_with(senders, self.fields["from"])),
            "to": ipywidgets.Dropdown(options=_with(targets, self.fields["to"])),
            "proto": ipywidgets.Dropdown(options=_with(list(_PROTOCOLS), self.fields["proto"])),
            "dport": ipywidgets.BoundedIntText(min=0, max=65535),
        }
        shown = ipywidgets.HTML(self._repr_html_())

        def follow(change: Any) -> None:
            self.choose(**{name: menu.value for name, menu in menus.items()})
            menus["dport"].disabled = menus["proto"].value == "icmp"
            shown.value = self._repr_html_()

        for name, menu in menus.items():
            menu.description = labels[name]
            menu.value = self.fields[name]
            menu.observe(follow, names="value")
        return ipywidgets.VBox([ipywidgets.HBox(list(menus.values())), shown])


def _with(names: list[str], name: str) -> list[str]:
    return names if name in names else [*names, name]


def endpoints(host: Host) -> tuple[list[str], list[str]]:
    """Return the names of the senders and of the receivers of a host."""
    people = [one for one in endpoints_json(host)["people"] if one.get("running", True)]
    senders = [one["name"] for one in people if one["kind"] != "service"]
    resolves = any(one.running and one.namespace.nameservers() for one in host.containers.values())
    return senders, [*(one["name"] for one in people), *(["dns"] if resolves else [])]


def picker(
    source: str | Path | Host,
    src: str | None = None,
    dst: str | None = None,
    *,
    proto: str = "tcp",
    dport: int = 80,
    **fields: Any,
) -> Picker:
    """Return menus for a notebook with the endpoints of a host; the answer follows what is chosen.

    Args:
        source: as for :func:`iptsim.explain`.
        src: the initial source; by default the internet.
        dst: the initial destination; by default the host.
        proto: protocol name.
        dport: destination port.
        fields: any other field of a batch line, such as `family=6`, which stays as it is.

    Raises:
        CaptureError: the source can't be read.
    """
    host = source if isinstance(source, Host) else load_host(source)
    return Picker(
        host, {"from": src or "internet", "to": dst or "host", "proto": proto, "dport": dport, **fields}
    )
