"""Commands that a text says not to run, that were tried in vain, or that did not start are left out, with a warning."""

from __future__ import annotations

import pytest

from iptsim.netfilter.walk import walk
from iptsim.question.model import Question
from iptsim.sources import loads_host

LISTED = """\
My web server cannot be reached.
# iptables -S
-P INPUT DROP
-P FORWARD DROP
-P OUTPUT ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT

"""
OPENS = "iptables -I INPUT -p tcp --dport 80 -j ACCEPT"
HTTP = Question(sender="203.0.113.9", to="host", proto="tcp", dport=80)


def verdict(text: str) -> str:
    return walk(loads_host(text), HTTP).verdict


def warned(text: str) -> bool:
    return any("left out" in str(one) for one in loads_host(text).rulesets[4].warnings)


@pytest.mark.parametrize(
    "text",
    [
        f"do NOT run this:\n{OPENS}\n",
        f"Never do:\n\n    {OPENS}\n",
        f"# do not use these:\n{OPENS}\n{OPENS.replace('80', '81')}\n",
        f"Avoid rules like\n{OPENS}\n",
        f"This is wrong:\n```\n{OPENS}\n```\n",
        f"{OPENS}  # do not use\n",
    ],
)
def test_commands_that_must_not_be_run(text: str) -> None:
    assert verdict(LISTED + text) == "DROP"
    assert warned(LISTED + text)


@pytest.mark.parametrize(
    "text",
    [
        f"I tried\n{OPENS}\nbut this did not work.\n",
        f"What I have tried without success:\n\n{OPENS}\n",
        f"I tried this:\n{OPENS}\n\nNothing changed.\n",
    ],
)
def test_attempts_in_vain_are_left_out_if_the_rules_are_shown(text: str) -> None:
    assert verdict(LISTED + text) == "DROP"
    assert warned(LISTED + text)
    # without a list, they are all that is known of the rules
    assert verdict(f"iptables -P INPUT DROP\n{text}") == "ACCEPT"


@pytest.mark.parametrize(
    "said",
    [
        "-bash: iptables: command not found",
        "sudo: iptables: command not found",
        "bash: /sbin/iptables: Permission denied",
    ],
)
def test_commands_that_the_shell_did_not_start(said: str) -> None:
    assert verdict(f"{LISTED}$ {OPENS}\n{said}\n") == "DROP"


@pytest.mark.parametrize(
    "text",
    [
        f"It works since I ran\n{OPENS}\n",
        f"It did not work until I ran\n{OPENS}\n",
        f"I ran this, but the port is still closed:\n{OPENS}\n",
        f"I do not use ufw, so I ran\n{OPENS}\n",
        f"Not sure what else to add:\n{OPENS}\n",
        f"This is wrong: it drops web requests. I ran\n{OPENS}\n",
    ],
)
def test_other_commands_have_run(text: str) -> None:
    assert verdict(LISTED + text) == "ACCEPT"
    assert not warned(LISTED + text)
