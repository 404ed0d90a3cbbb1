"""`--teach`: the field's words that occur in an answer, each once, in both languages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import iptsim
from iptsim.cli import main
from iptsim.glossary import TERMS, terms_in
from iptsim.languages import language

ROOT = Path(__file__).parents[1]
CAPTURE = str(ROOT / "fixtures/captures/docker-28.5/icc-off")
QUESTION = ("explain", CAPTURE, "--from", "client", "--to", "web:80")
IDEOGRAPH = re.compile(r"[\u4e00-\u9fff]")


def test_each_word_has_a_meaning_in_both_languages() -> None:
    assert len({term.term for term in TERMS}) == len(TERMS)
    for term in TERMS:
        assert str(term.meaning).endswith(".")
        with language("zh-TW"):
            assert str(term.meaning).endswith("。")


def test_only_words_of_the_answer_are_told() -> None:
    terms = [term.term for term in iptsim.explain(CAPTURE, "client", "web", dport=80).words()]
    assert {"icc", "link", "DROP", "docker0", "chain"} <= set(terms)
    assert not {"DNAT", "docker-proxy", "MASQUERADE", "hairpin", "REJECT"} & set(terms)
    assert len(terms) == len(set(terms))


def test_both_languages_tell_of_the_same_words() -> None:
    def terms(lang: str) -> set[str]:
        found = iptsim.explain(CAPTURE, "client", "web", dport=80, lang=lang).words()
        return {term.term for term in found}

    assert terms("en") == terms("zh-TW")


def test_a_part_of_a_word_is_no_word() -> None:
    assert terms_in(["the linkage of benchmarks, unpublishable"]) == []


@pytest.mark.parametrize(
    "command",
    [
        QUESTION,
        ("rules", CAPTURE, "-t", "nat"),
        ("whatif", CAPTURE, "--icc", "true", "--from", "client", "--to", "web:80"),
        ("lint", str(ROOT / "fixtures/captures/docker-28.5/forward-off")),
    ],
    ids=lambda command: command[0],
)
def test_commands_teach_below_the_answer(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    main(command)
    plain = capsys.readouterr().out
    main([*command, "--teach"])
    taught = capsys.readouterr().out
    assert taught.startswith(plain)
    assert "Terms used" in taught.removeprefix(plain)
    main([*command, "--json"])
    without = json.loads(capsys.readouterr().out)
    main([*command, "--json", "--teach", "--lang", "zh-TW"])
    taught_terms = json.loads(capsys.readouterr().out)["teach"]
    assert "teach" not in without
    assert taught_terms
    assert all(IDEOGRAPH.search(term["meaning"]) for term in taught_terms)
