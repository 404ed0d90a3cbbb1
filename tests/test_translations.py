"""The catalogues are complete: each message of the code is translated, with the same placeholders, and compiled."""

from __future__ import annotations

import ast
import re
from gettext import GNUTranslations
from pathlib import Path
from string import Formatter

import pytest

from iptsim.extensions.registry import all_extensions
from tests import translations

MESSAGES = dict(translations.messages(translations.saved()))
#: An ideograph beside a letter or digit: a space belongs between them.
_TOUCHING = re.compile(r"[\u4e00-\u9fff][A-Za-z0-9]|[A-Za-z0-9][\u4e00-\u9fff]")
#: Half-width punctuation after an ideograph, where the full-width form belongs.
_HALF_WIDTH = re.compile(r"[\u4e00-\u9fff] ?[,;:!?()]|[,;!?()] ?[\u4e00-\u9fff]|[\u4e00-\u9fff]\.(?!\w)")
#: A space beside full-width punctuation, which brings its own.
_LOOSE = re.compile(r" [\u3001-\u3002\uff01-\uff5e]|[\u3001-\u3002\uff01-\uff5e] ")
#: Words as they are written in China, with what Taiwan writes.
_NOT_TAIWANESE = {
    "數據包": "封包", "地址": "位址", "端口": "連接埠", "接口": "介面", "內核": "核心", "網橋": "橋接器",
    "名稱空間": "命名空間", "缺省": "預設", "默認": "預設", "服務器": "伺服器", "用戶空間": "使用者空間",
    "轉發": "轉送", "信息": "訊息", "程序": "程式", "文件": "檔案", "網絡": "網路", "組播": "群播", "多播": "群播",
    "幀": "訊框", "字節": "位元組", "進程": "行程", "訪問": "存取", "設置": "設定", "支持": "支援",
}  # fmt: skip


def placeholders(text: str) -> set[str]:
    return {f"{name}:{form}" for _, name, form, _ in Formatter().parse(text) if name is not None}


def test_every_message_of_the_code_is_in_the_catalogue() -> None:
    in_code = {key for key, _ in translations.messages(translations.extracted())}
    assert in_code == MESSAGES.keys(), "run: python -m tests.translations"


def test_every_message_is_translated() -> None:
    missing = [key for key, message in MESSAGES.items() if not translations.strings(message) or message.fuzzy]
    assert missing == []


def test_placeholders_are_the_same() -> None:
    for (_, english), message in MESSAGES.items():
        forms = [english] if isinstance(message.id, str) else list(message.id)
        wanted = set().union(*map(placeholders, forms))
        for text in translations.strings(message):
            assert placeholders(text) == wanted, english


def test_the_compiled_catalogue_is_that_of_the_text() -> None:
    with translations.MO.open("rb") as file:
        compiled = GNUTranslations(file)
    for (context, english), message in MESSAGES.items():
        (text,) = translations.strings(message)
        if isinstance(message.id, str):
            told = compiled.pgettext(context, english) if context else compiled.gettext(english)
        else:
            told = compiled.ngettext(message.id[0], message.id[1], 2)
        assert told == text


def test_chinese_is_written_in_one_way() -> None:
    for message in MESSAGES.values():
        for text in translations.strings(message):
            plain = re.sub(r"`[^`]*`", "`", text)
            for wrong in (_TOUCHING, _HALF_WIDTH, _LOOSE):
                assert not wrong.search(plain), text
            for word, better in _NOT_TAIWANESE.items():
                assert word not in text, f"{better}: {text}"


#: Exceptions whose texts users read.
ERRORS = {
    "UsageError", "CaptureError", "RulesetError", "WalkLimitError", "MissingExtraError", "ValueError", "NoSuchWord",
    "BindError", "CommandError", "Misread", "Malformed", "DumpSyntaxError",
}  # fmt: skip


@pytest.mark.parametrize("path", sorted(translations.PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_messages_are_literals_and_errors_carry_messages(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    check_messages(nodes, path)
    check_errors(nodes)


def check_messages(nodes: list[ast.AST], path: Path) -> None:
    """Messages are literals with named placeholders that are filled: nothing else would be found in the code."""
    inside = [inner for node in nodes if isinstance(node, ast.JoinedStr) for inner in ast.walk(node)]
    called = [
        node.func.id for node in inside if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    assert not translations.MESSAGES.keys() & set(called), "Babel does not look inside f-strings"
    for node in nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        called_name = node.func.id
        if called_name not in translations.MESSAGES or path.name in ("languages.py", "phrases.py"):
            continue
        if called_name in translations.OPTION_VALUES:
            continue
        places = translations.MESSAGES[called_name]
        given = node.args[places[0] : places[-1] + 1]
        assert all(isinstance(one, ast.Constant) and isinstance(one.value, str) for one in given), (
            ast.unparse(node)
        )
        if called_name in ("joined", "message_joined", "later_joined", "marked"):
            continue
        filled = {keyword.arg for keyword in node.keywords}
        if called_name in ("say_many", "message_many"):
            filled.add("count")
        wanted = {name.split(":")[0] for one in given for name in placeholders(one.value)}  # type: ignore[attr-defined]
        if called_name == "Phrase":
            assert wanted <= {"value", "name"}, ast.unparse(node)
            continue
        if None in filled:
            continue
        assert wanted <= filled, ast.unparse(node)
        assert filled - wanted <= {"count"}, ast.unparse(node)


def check_errors(nodes: list[ast.AST]) -> None:
    """Errors carry messages: a text of their own would be told in English only."""
    raised = [
        node
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ERRORS
        and node.args
    ]
    texts = [call for call in raised if isinstance(call.args[0], ast.Constant | ast.JoinedStr | ast.BinOp)]
    assert [ast.unparse(call) for call in texts] == []


def test_what_belongs_into_an_option_is_translated() -> None:
    """Its literal is an argument of `Value`, or a message."""
    expected = {option.value.expected for one in all_extensions() for option in one.options if option.value}
    known = {english for _, english in MESSAGES}
    assert {one for one in expected if isinstance(one, str)} - known == set()
