"""The language in force: how it is chosen, that it stays where it belongs, how a message is filled in."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from gettext import NullTranslations
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import iptsim
from iptsim import languages
from iptsim.cli import main
from iptsim.languages import (
    LANGUAGES,
    Message,
    Text,
    joined,
    json_default,
    language,
    language_of_locale,
    message,
    message_as,
    message_if,
    message_joined,
    message_many,
    message_sentence,
    message_sentences,
    say,
    sentences,
)

CAPTURE = Path(__file__).parents[1] / "fixtures/captures/docker-28.5/icc-off"
QUESTION = ("explain", str(CAPTURE), "--from", "client", "--to", "web:80")
IDEOGRAPH = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, "en"),
        ({"LANG": "zh_TW.UTF-8"}, "zh-TW"),
        ({"LANG": "zh_HK"}, "zh-TW"),
        ({"LANG": "zh_Hant_TW.UTF-8"}, "zh-TW"),
        ({"LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        # the order of gettext(3)
        ({"LANG": "zh_TW.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_TW.UTF-8", "LC_MESSAGES": "en_US.UTF-8", "LC_ALL": "zh_TW.UTF-8"}, "zh-TW"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "fr:zh_TW:en"}, "zh-TW"),
        ({"LANG": "C.UTF-8", "LANGUAGE": "zh_TW"}, "en"),
        ({"LANG": "zh_TW.UTF-8", "LC_ALL": ""}, "zh-TW"),
    ],
)
def test_the_locale_chooses(environment: dict[str, str], wanted: str) -> None:
    assert language_of_locale(environment) == wanted


def test_the_command_line_follows_the_locale(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(QUESTION)
    english = capsys.readouterr().out
    monkeypatch.setenv("LC_ALL", "zh_TW.UTF-8")
    main(QUESTION)
    chinese = capsys.readouterr().out
    main([*QUESTION, "--lang", "en"])
    assert capsys.readouterr().out == english
    main(["--lang", "en", *QUESTION])
    assert capsys.readouterr().out == english
    assert "icc 已關閉，而且 client 沒有連到 web 的 link。" in chinese


def test_an_unknown_language_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUESTION, "--lang", "tlh"]) == 2
    assert capsys.readouterr().err == "iptsim: unknown language 'tlh'; choose from: en, zh-TW\n"


def test_codes_and_keys_are_the_same_in_every_language(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(*more: str) -> dict[str, object]:
        main([*QUESTION, "--json", *more])
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    def shape(value: object) -> object:
        """Return a value without its texts for people."""
        if isinstance(value, dict):
            texts = {"why", "note", "advice", "assumptions"}
            return {
                key: shape(one)
                for key, one in value.items()
                if key not in texts and not (key == "text" and "code" in value)
            }
        return [shape(one) for one in value] if isinstance(value, list) else value

    english, chinese = answer(), answer("--lang", "zh-TW")
    assert shape(english) == shape(chinese)
    assert not IDEOGRAPH.search(json.dumps(english, ensure_ascii=False))
    reason = chinese["reason"]
    assert isinstance(reason, dict)
    assert IDEOGRAPH.search(reason["text"])
    assert IDEOGRAPH.search(reason["advice"])


def test_an_answer_stays_in_its_language() -> None:
    host = iptsim.load_host(CAPTURE)
    english = iptsim.explain(host, "client", "web", dport=80)
    chinese = iptsim.explain(host, "client", "web", dport=80, lang="zh-TW")
    plain = str(english)
    with language("zh-TW"):
        assert str(english) == plain
        assert iptsim.explain(host, "client", "web", dport=80).reason.text == chinese.reason.text
    assert IDEOGRAPH.search(str(chinese))
    assert iptsim.explain(host, "client", "web", dport=80).reason.text == english.reason.text


def test_an_answer_is_made_once_and_told_in_both_languages() -> None:
    """The same as if the question came in the other language: in JSON, as text, and in its branches."""
    host = iptsim.load_host(CAPTURE)
    for asked in (
        {"dst": "web", "dport": 80},
        {"dst": "internet", "dport": 443},
        {"dst": "host", "dport": 22},
    ):
        english = iptsim.explain(host, "client", **asked)  # type: ignore[arg-type]
        chinese = iptsim.explain(host, "client", **asked, lang="zh-TW")  # type: ignore[arg-type]
        told = english.told_in("zh_TW.UTF-8")
        assert (told.reason.text, told.reason.advice) == (chinese.reason.text, chinese.reason.advice)
        assert told.reason.message == english.reason.message
        assert told.told_in("en").as_json() == english.as_json()


def test_threads_do_not_disturb_each_other() -> None:
    host = iptsim.load_host(CAPTURE)

    def ask(number: int) -> str:
        with language("zh-TW" if number % 2 else "en"):
            return iptsim.explain(host, "client", "web", dport=80).reason.text

    with language("zh-TW"), ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(ask, range(40)))
    assert len(set(texts[::2])) == len(set(texts[1::2])) == 1
    assert not IDEOGRAPH.search(texts[0])
    assert IDEOGRAPH.search(texts[1])


def test_what_is_filled_in_is_taken_as_it_is() -> None:
    for name in ("en", "zh-TW"):
        with language(name):
            text = say(
                "The packet stays inside {sender}'s own network namespace.", sender="{target} {0!r} %s"
            )
            assert "{target} {0!r} %s" in text


def test_spaces_follow_what_meets_at_a_placeholder() -> None:
    with language("zh-TW"):
        assert (
            say("{place} drops {packets}.", place="filter FORWARD", packets="tcp")
            == "filter FORWARD 丟棄 tcp。"
        )
        assert say("{place} drops {packets}.", place="這裡", packets="所有封包") == "這裡丟棄所有封包。"
        # what a dump holds keeps its own spaces
        assert (
            say("{name} sees {address} as its client.", name="a  網 頁 ", address="x")
            == "a  網 頁 看到的用戶端是 x。"
        )
        assert joined(", ", ["a", "b"]) == "a、b"
        assert joined(" or ", ["a", "主機"]) == "a 或主機"
        assert sentences("一。", "", "二。") == "一。二。"
    assert sentences("One.", "", "Two.") == "One. Two."


class Words(NullTranslations):
    """A catalogue that translates word by word."""

    words: ClassVar = {
        "packets": "封包",
        "{what} of {who}": "{who}的{what}",
        ", ": "、",
        "{count} rule": "{count} 條規則",
    }

    def gettext(self, message: str) -> str:
        return self.words.get(message, message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.words[msgid1]

    def pgettext(self, context: str, message: str) -> str:
        return f"{message}（{context}）"


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the language zh-TW one of a few words, whatever the messages of the program are."""
    catalogue = SimpleNamespace(name="zh-TW", messages=Words())
    monkeypatch.setattr(languages, "_catalogue", lambda name: None if name == "en" else catalogue)


#: One message of each kind, created at each call, with its English and its Chinese.
KINDS: dict[str, tuple[Callable[[], Message], str, str]] = {
    "nested": (
        lambda: message("{what} of {who}", what=message("packets"), who="eth0"), "packets of eth0", "eth0 的封包",
    ),
    "context": (lambda: message_as("column", "from"), "from", "from（column）"),
    "condition": (lambda: message_if(False, "rules", "packets"), "packets", "封包"),
    "plural": (lambda: message_many("{count} rule", "{count} rules", 2), "2 rules", "2 條規則"),
    "joined": (lambda: message_joined(", ", ["eth0", "", message("packets")]), "eth0, packets", "eth0、封包"),
    "sentences": (
        lambda: message_sentences(message_sentence(message("packets")), "", message_sentence("b")),
        "Packets. B.", "封包。b。",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize(("make", "english", "chinese"), KINDS.values(), ids=KINDS)
def test_a_message_is_told_in_the_language_in_force(
    make: Callable[[], Message], english: str, chinese: str
) -> None:
    made = make()
    assert (str(made), f"{made:>20}") == (english, f"{english:>20}")
    with language("zh-TW"):
        assert (str(made), str(make())) == (chinese, chinese)
        copy = pickle.loads(pickle.dumps(made))
    assert str(copy) == english


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize("make", [make for make, _, _ in KINDS.values()], ids=KINDS)
def test_messages_are_values(make: Callable[[], Message]) -> None:
    with language("zh-TW"):
        there = make()
        hashed = hash(there)
    assert (there, hash(there)) == (make(), hashed)
    assert there
    assert not isinstance(there, str)
    with pytest.raises(AttributeError):
        setattr(there, "parts", ())  # noqa: B010
    assert json.dumps([there], default=json_default) == json.dumps([str(there)])


texts = st.recursive(
    st.text("ab c,", max_size=5),
    lambda inner: st.one_of(
        st.builds(lambda x, y: message("{x} and {y}", x=x, y=y), inner, st.one_of(inner, st.integers())),
        st.builds(lambda items: message_joined(", ", items), st.lists(inner, max_size=3)),
        st.builds(
            lambda count, x: message_many("{count} rule", "{count} rules", count), st.integers(0, 3), inner
        ),
        st.builds(message_sentence, inner),
    ),
    max_leaves=6,
)


@given(texts, texts)
def test_equality_and_hash_do_not_depend_on_the_language(left: Text, right: Text) -> None:
    seen = []
    for name in LANGUAGES:
        with language(name):
            seen.append((left == right, hash(left), hash(right)))
            if left == right:
                assert str(left) == str(right)
    assert seen[0] == seen[1]


def test_what_fills_a_message_cannot_change_it_later() -> None:
    ports = [80]
    kept = message("ports {ports}", ports=ports)  # type: ignore[arg-type]
    ports.append(443)
    assert str(kept) == "ports [80]"
    assert message("{a} {b}", a=1, b="x") == message("{a} {b}", b="x", a=1)


def test_messages_without_anything_in_them_are_false() -> None:
    assert not message_joined(", ", [])
    assert not message_joined(", ", ["", message_sentences()])
    assert not message_sentences("", message_joined(", ", []))
    assert str(message_sentences()) == ""
