"""Shell commands apart from the sentences around them."""

from __future__ import annotations

import pickle

from iptsim.languages import language, message, message_joined, message_sentences
from iptsim.passages import passages, shell


def test_commands_at_the_beginning_and_at_the_end_of_sentences() -> None:
    text = message_sentences(
        message("{commands}.", commands=shell("ufw allow 80", "ufw reload")),
        message("Or accept it: {command}", command=shell("iptables -I INPUT -j ACCEPT")),
    )
    assert str(text) == "ufw allow 80; ufw reload. Or accept it: iptables -I INPUT -j ACCEPT"
    assert passages(text) == [
        ("", ("ufw allow 80", "ufw reload")),
        ("Or accept it:", ("iptables -I INPUT -j ACCEPT",)),
    ]


def test_what_joins_a_command_to_other_words_is_left_out() -> None:
    assert passages(message("{command}; or wait.", command=shell("reboot"))) == [
        ("", ("reboot",)),
        ("Or wait.", ()),
    ]


def test_texts_without_commands_and_with_nothing_else() -> None:
    assert passages("Wait; then try again.") == [("Wait; then try again.", ())]
    assert passages(shell("a\nb", "c")) == [("", ("a", "b", "c"))]


def test_commands_within_other_messages_and_in_other_languages() -> None:
    text = message(
        "Accept the traffic in both directions: {commands}.", commands=message_joined("", [shell("a", "b")])
    )
    with language("zh-TW"):
        assert passages(text) == [("放行雙向流量：", ("a", "b"))]


def test_they_are_values() -> None:
    one = message("{command}", command=shell("a", "b"))
    assert pickle.loads(pickle.dumps(one)) == one != message("{command}", command=shell("a"))


def test_without_commands() -> None:
    assert str(shell()) == ""
    assert passages(message_sentences(shell(), "Restart it.")) == [("Restart it.", ())]
