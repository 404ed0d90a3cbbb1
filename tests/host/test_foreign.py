"""Models of other programs' JSON: what is wrong with a value is said in our words, in every language."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from iptsim.host import docker_inspect, foreign, nftables
from iptsim.host.foreign import Foreign, complaint
from iptsim.languages import Message, language

MODELS = sorted(
    {
        kind
        for module in (foreign, docker_inspect, nftables)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Foreign) and kind is not Foreign
    },
    key=lambda kind: kind.__name__,
)
ODD: list[Any] = [
    None, True, -1, 1 << 80, 1.5, "", "x", "a b", "10.0.0.256", "\ud800", [], [1], [None], {}, {"a": 1}, [{"a": []}],
]  # fmt: skip


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_what_a_model_rejects_is_told_in_our_words(kind: type[Foreign]) -> None:
    """A text of pydantic would stay English."""
    entries = [
        *ODD,
        *({field.alias or name: odd} for name, field in kind.model_fields.items() for odd in ODD),
    ]
    rejected, adapter = [], TypeAdapter(kind)
    for entry in entries:
        try:
            adapter.validate_python(entry)
        except ValidationError as error:
            rejected.append(error)
    assert rejected
    assert [error for error in rejected if not isinstance(complaint(error), Message)] == []


@pytest.mark.parametrize(
    ("read", "english", "chinese"),
    [
        (lambda: int("x1"), "'x1' is not a number", "'x1' 不是數字"),
        (lambda: int("x1", 16), "'x1' is not a number", "'x1' 不是數字"),
        (lambda: float("one"), "'one' is not a number", "'one' 不是數字"),
        (lambda: [][0], "a value is missing", "缺少一個值"),
    ],
)  # fmt: skip
def test_what_python_rejects_is_told_in_our_words(read: Any, english: str, chinese: str) -> None:
    with pytest.raises((ValueError, IndexError)) as caught:
        read()
    assert str(complaint(caught.value)) == english
    with language("zh-TW"):
        assert str(complaint(caught.value)) == chinese
