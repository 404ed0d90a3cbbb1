"""The language in force: how it is chosen, that it stays where it belongs, how a message is filled in."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import iptsim
from iptsim.cli import main
from iptsim.languages import joined, language, language_of_locale, later, say, sentences, told

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
    assert "icc 已關閉，而且 client 沒有連到 web 的 link。" in chinese


def test_an_unknown_language_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUESTION, "--lang", "tlh"]) == 2
    assert capsys.readouterr().err == "iptsim: there is no language 'tlh'; known are en and zh-TW\n"


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


def test_what_was_made_earlier_is_told_in_the_language_in_force() -> None:
    kept = later("{table} {chain} rule {number}", table="nat", chain="DOCKER", number=later("none"))
    assert kept == "nat DOCKER rule none"
    with language("zh-TW"):
        assert told(kept) == "nat DOCKER 第無條規則"
        assert told("plain") == "plain"
    assert told(kept) == "nat DOCKER rule none"
