"""Reads YAML as Compose does, within limits: strings, numbers, booleans, lists, mappings, aliases and merges.

It takes PyYAML's events rather than its values: PyYAML follows YAML 1.1, where `22:22` is the number 1,342 and a
date is not a string, and it repeats merged mappings for every alias. Compose uses gopkg.in/yaml.v3, which does
neither (resolve.go).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from iptsim.errors import CaptureError, UsageError
from iptsim.languages import Text, message, text_of
from iptsim.reading import brief

#: Most characters of a file.
LENGTH_LIMIT = 1 << 20
#: Most values of a file, where each alias counts as much as its anchor, and their deepest nesting.
VALUE_LIMIT = 100_000
DEPTH_LIMIT = 100

_NULL = ("", "~", "null", "Null", "NULL")
_TRUTH = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17}|0x[0-9a-fA-F]{1,15}|0o[0-7]{1,20})")


@dataclass(slots=True)
class _Node:
    """A list or mapping while it is read; `size` and `depth` are those of its values."""

    value: list[Any] | dict[str, Any]
    anchor: str | None
    mark: Any
    size: int = 1
    depth: int = 1
    key: str | None = None
    merged: list[dict[str, Any]] = field(default_factory=list)


def read_yaml(text: str, source: str) -> Any:
    """Return the value of a YAML document: strings, integers, booleans, None, lists and mappings.

    Raises:
        UsageError: PyYAML is not installed.
        CaptureError: it is not YAML, or exceeds a limit; the text names line and column.
    """
    try:
        import yaml
    except ImportError:
        raise UsageError(
            message(
                "{source}: reading a Compose file needs PyYAML; install it with `pip install 'iptsim[compose]'`",
                source=source,
            )
        ) from None
    if len(text) > LENGTH_LIMIT:
        raise CaptureError(
            message(
                "{source}: more than {length_limit:,} characters, the most of a Compose file",
                source=source,
                length_limit=LENGTH_LIMIT,
            )
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    reader = _Reader(source)
    try:
        for event in yaml.parse(text, Loader=loader):
            reader.take(type(event).__name__, event)
    except yaml.YAMLError as error:
        raise CaptureError(
            message("{source}: not YAML: {error}", source=source, error=text_of(error))
        ) from None
    return reader.document


class _Reader:
    """Makes values of the events of one document."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.open: list[_Node] = []
        self.anchors: dict[str, tuple[Any, int, int]] = {}
        self.documents = 0
        self.document: Any = None

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
                    event.start_mark, message("nested more than {depth_limit} deep", depth_limit=DEPTH_LIMIT)
                )
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            node = self.open.pop()
            for mapping in node.merged:
                for key, value in mapping.items():
                    node.value.setdefault(key, value)  # type: ignore[union-attr]
            if node.anchor is not None:
                self.anchors[node.anchor] = (node.value, node.size, node.depth)
            self._place(node.value, node.size, node.depth, event)

    def _place(self, value: Any, size: int, depth: int, event: Any) -> None:
        """Add a value to the list or mapping that is open."""
        if not self.open:
            self.document = value
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
                event.start_mark, message("nested more than {depth_limit} deep", depth_limit=DEPTH_LIMIT)
            )
        if isinstance(node.value, list):
            node.value.append(value)
        elif node.key is None:
            node.key = self._key(value, event)
        else:
            self._member(node, node.key, value, event)
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
                raise self._error(event.start_mark, message("only mappings can be merged by <<"))
            node.merged += mappings
        elif key in node.value:
            raise self._error(event.start_mark, message("duplicate key {key}", key=brief(key)))
        else:
            node.value[key] = value

    def _error(self, mark: Any, what: Text) -> CaptureError:
        return CaptureError(
            message(
                "{source}: line {line}, column {column}: {what}",
                source=self.source,
                line=mark.line + 1,
                column=mark.column + 1,
                what=what,
            )
        )


def _scalar(event: Any) -> Any:
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _NULL:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    return int(text, 0) if _INTEGER.fullmatch(text) else text
