"""Reads YAML as Compose does, within limits: strings, numbers, booleans, lists, mappings, aliases and merges.

A document remembers where its keys and values are, for errors about what they mean.

It takes PyYAML's events rather than its values: PyYAML follows YAML 1.1, where `22:22` is the number 1,342 and a
date is not a string, and it repeats merged mappings for every alias. Compose uses gopkg.in/yaml.v3, which does
neither (resolve.go).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from iptsim.errors import CaptureError, FileSyntaxError, Span, UsageError
from iptsim.languages import Text, marked, message, message_of, text_of
from iptsim.reading import brief

#: Most characters of a file.
LENGTH_LIMIT = 1 << 20
#: Most values of a file, where each alias counts as much as its anchor, and their deepest nesting.
VALUE_LIMIT = 100_000
DEPTH_LIMIT = 100

#: What libyaml says of text that is not YAML (scanner.c, parser.c).
_PROBLEMS = (
    marked("mapping values are not allowed in this context"),
    marked("block sequence entries are not allowed in this context"),
    marked("could not find expected ':'"),
    marked("did not find expected key"),
    marked("did not find expected ',' or ']'"),
    marked("did not find expected ',' or '}}'"),
    marked("did not find expected '-' indicator"),
    marked("did not find expected node content"),
    marked("did not find expected <document start>"),
    marked("did not find expected comment or line break"),
    marked("did not find expected alphabetic or numeric character"),
    marked("found character that cannot start any token"),
    marked("found a tab character that violates indentation"),
    marked("found unexpected end of stream"),
    marked("found unexpected document indicator"),
    marked("found unknown escape character"),
    marked("found undefined tag handle"),
    marked("control characters are not allowed"),
)
_PROBLEM_TEMPLATES = {template.format(): template for template in _PROBLEMS}

_NULL = ("", "~", "null", "Null", "NULL")
_TRUTH = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17}|0x[0-9a-fA-F]{1,15}|0o[0-7]{1,20})")


#: The keys of mappings, and positions in lists, that lead from a document to a value: ("services", "web", "ports", 0).
Keys = tuple[str | int, ...]


@dataclass(slots=True)
class _Node:
    """A list or mapping while it is read; `size` and `depth` are those of its values."""

    value: list[Any] | dict[str, Any]
    anchor: str | None
    start: Any
    size: int = 1
    depth: int = 1
    key: str | None = None
    key_place: Span | None = None
    merged: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Document:
    """A YAML document that was read.

    Attributes:
        source: its name in errors.
        lines: its text.
        value: strings, integers, booleans, None, lists and mappings.
        places: the positions of the members of lists and mappings: of the key (or the list member), and of the value.
    """

    source: str
    lines: list[str]
    value: Any = None
    places: dict[tuple[int, str | int], tuple[Span, Span]] = field(default_factory=dict)

    def error(self, span: Span, what: Text, hint: Text = "") -> FileSyntaxError:
        """Return an error at a place, with the line and a caret."""
        return FileSyntaxError(what, span, self.line(span.line), hint)

    def line(self, number: int) -> str:
        """Return a line, from 1; "" for one after the last."""
        return self.lines[number - 1] if number <= len(self.lines) else ""

    def span(self, mark: Any, end: Any = None) -> Span:
        """Return the place between two marks of PyYAML; only the first line of several."""
        stop = end.column if end is not None and end.line == mark.line else mark.column + 1
        return Span(self.source, mark.line + 1, mark.column, stop)

    def key(self, holder: object, name: str | int) -> Span:
        """Return where a key of a mapping is, or a member of a list."""
        return self._place(holder, name)[0]

    def member(self, holder: object, name: str | int) -> Span:
        """Return where the value of a key is, or a member of a list."""
        return self._place(holder, name)[1]

    def value_at(self, keys: Keys) -> Span | None:
        """Return where the value is to which keys lead; if there is none, the last one on the way to it."""
        value, place = self.value, None
        for key in keys:
            known = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
            if key not in known:
                break
            place = self.member(value, key)
            value = value[key]
        return place

    def _place(self, holder: object, name: str | int) -> tuple[Span, Span]:
        start = Span(self.source, 1)
        return self.places.get((id(holder), name), (start, start))


def read_yaml(text: str, source: str, *, repeats: bool = False) -> Any:
    """Return the value of a YAML document: strings, integers, booleans, None, lists and mappings.

    Args:
        text: the document.
        source: its name in errors.
        repeats: allow a key that a mapping has already; the later one counts.

    Raises:
        UsageError: PyYAML is not installed.
        CaptureError: it is not YAML, or exceeds a limit; the text names line and column.
    """
    return read_document(text, source, repeats=repeats).value


def read_document(text: str, source: str, *, repeats: bool = False) -> Document:
    """Read a YAML document; the arguments are those of :func:`read_yaml`.

    Raises:
        UsageError: PyYAML is not installed.
        CaptureError: it is not YAML, or exceeds a limit; the text names line and column.
    """
    try:
        import yaml
    except ImportError:
        raise UsageError(
            message(
                "{source}: reading YAML needs PyYAML; install it with `pip install 'iptsim[compose]'`",
                source=source,
            )
        ) from None
    if len(text) > LENGTH_LIMIT:
        raise CaptureError(
            message(
                "{source}: more than {length_limit:,} characters, the limit for a YAML file",
                source=source,
                length_limit=LENGTH_LIMIT,
            )
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    reader = _Reader(Document(source, text.splitlines()), repeats=repeats)
    try:
        for event in yaml.parse(text, Loader=loader):
            reader.take(type(event).__name__, event)
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        if mark is None:
            raise CaptureError(
                message("{source}: not YAML: {error}", source=source, error=text_of(error))
            ) from None
        template = _PROBLEM_TEMPLATES.get(problem or "")
        what = message_of(template) if template else problem or text_of(error)
        fault = message("not YAML: {error}", error=what)
        document = reader.document
        line = document.line(mark.line + 1)
        if line[: mark.column + 1].isspace() and "\t" in line:
            fault = message("YAML allows only spaces in front of a line, no tabs")
        raise document.error(document.span(mark), fault) from None
    return reader.document


class _Reader:
    """Makes values of the events of one document."""

    def __init__(self, document: Document, *, repeats: bool) -> None:
        self.document = document
        self.repeats = repeats
        self.open: list[_Node] = []
        self.anchors: dict[str, tuple[Any, int, int]] = {}
        self.documents = 0

    def take(self, kind: str, event: Any) -> None:
        """Take one event, by the name of its class."""
        if kind == "DocumentStartEvent":
            self.documents += 1
            if self.documents > 1:
                raise self._error(
                    event.start_mark, message("the file has a second document; only one is read")
                )
        elif kind == "ScalarEvent":
            self._place(_scalar(event), 1, 0, event)
            if event.anchor is not None:
                self.anchors[event.anchor] = (_scalar(event), 1, 0)
        elif kind == "AliasEvent":
            if event.anchor not in self.anchors:
                raise self._error(
                    event.start_mark,
                    message(
                        "unknown alias *{anchor}: no anchor of that name precedes it", anchor=event.anchor
                    ),
                )
            self._place(*self.anchors[event.anchor], event)
        elif kind in ("SequenceStartEvent", "MappingStartEvent"):
            self.open.append(_Node([] if kind[0] == "S" else {}, event.anchor, event.start_mark))
            if len(self.open) > DEPTH_LIMIT:
                raise self._error(
                    event.start_mark,
                    message("nested more than {depth_limit} levels deep", depth_limit=DEPTH_LIMIT),
                )
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            node = self.open.pop()
            for mapping in node.merged:
                for key, value in mapping.items():
                    if key not in node.value:
                        node.value[key] = value  # type: ignore[call-overload]
                        places = self.document.places
                        places[id(node.value), key] = places[id(mapping), key]
            if node.anchor is not None:
                self.anchors[node.anchor] = (node.value, node.size, node.depth)
            self._place(node.value, node.size, node.depth, event, node.start)

    def _place(self, value: Any, size: int, depth: int, event: Any, start: Any = None) -> None:
        """Add a value to the list or mapping that is open.

        Args:
            start: where it starts, if not at the event.
        """
        if not self.open:
            self.document.value = value
            return
        node = self.open[-1]
        node.size += size
        node.depth = max(node.depth, depth + 1)
        if node.size > VALUE_LIMIT:
            raise self._error(
                event.start_mark,
                message("more than {value_limit:,} values, aliases expanded", value_limit=VALUE_LIMIT),
            )
        if len(self.open) + depth > DEPTH_LIMIT:
            raise self._error(
                event.start_mark,
                message("nested more than {depth_limit} levels deep", depth_limit=DEPTH_LIMIT),
            )
        place = self.document.span(start or event.start_mark, event.end_mark)
        if isinstance(node.value, list):
            self.document.places[id(node.value), len(node.value)] = place, place
            node.value.append(value)
        elif node.key is None:
            node.key, node.key_place = self._key(value, event), place
        else:
            self._member(node, node.key, value, event)
            self.document.places[id(node.value), node.key] = node.key_place or place, place
            node.key = None

    def _key(self, value: Any, event: Any) -> str:
        if isinstance(value, list | dict):
            raise self._error(event.start_mark, message("{value} cannot be a key", value=brief(value)))
        return str(event.value) if hasattr(event, "value") else str(value)

    def _member(self, node: _Node, key: str, value: Any, event: Any) -> None:
        assert isinstance(node.value, dict)
        if key == "<<":
            mappings = value if isinstance(value, list) else [value]
            if not all(isinstance(mapping, dict) for mapping in mappings):
                raise self._error(event.start_mark, message("only mappings can be merged with <<"))
            node.merged += mappings
        elif key in node.value and not self.repeats:
            raise self._error(event.start_mark, message("duplicate key {key}", key=brief(key)))
        else:
            node.value[key] = value

    def _error(self, mark: Any, what: Text) -> FileSyntaxError:
        return self.document.error(self.document.span(mark), what)


def _scalar(event: Any) -> Any:
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _NULL:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    return int(text, 0) if _INTEGER.fullmatch(text) else text
