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


#: Texts above and below a command that has run, whatever words they have in common with those about others.
RUN = [
    ("Don't forget to run this afterwards, otherwise the web server is not reachable:", ""),
    ("Do not forget to run:", ""),
    ("If you do not run this, port 80 stays closed:", ""),
    ("Docker does not add these rules by itself, so I added:", ""),
    ("The installer did not add the following, so by hand:", ""),
    ("The container does not use these ports directly, so open:", ""),
    ("Why not use this:", ""),
    ("I could not apply these rules because of SELinux; after setenforce 0 I ran them:", ""),
    ("Never run this without a second session:", ""),
    ("Do not run this twice:", ""),
    ("Please don't use this before ssh is allowed:", ""),
    ("The service will not start if you\ndo not run this:", ""),
    ("ufw did not help me, do not use it:", ""),
    ("I do not use these often:", ""),
    ("Don't use ufw for this, use:", ""),
    ("# avoid timeouts of the web server", ""),
    ("My provider won't add these rules, hence:", ""),
    ("That is wrong. The right way:", ""),
    ("ufw is not a bad idea:", ""),
    ("Unless you are root, do not run this:", ""),
    ("I tried this, and now it works:", "It did not work with -A."),
    ("I tried many things, this solved it:", "Without it nothing works."),
    ("After trying for hours I ran", "Before, the same problem for weeks; now solved."),
    ("I tried -A first, then:", "which works. -A does not work because of the REJECT."),
    ("I tried ufw, which did not work, so I ran", ""),
    ("I tried ufw without success. Now I use", ""),
    ("I am trying to open the port with", "but it does not work."),
    ("I tried this:", "Nothing else helped."),
    ("I tried this:", "That did the trick; ufw did not help."),
    ("I tried this:", "Now I can connect. Restarting nginx did not change that."),
    ("I tried this:", "It did not work at first,\nbecause nginx was stopped. Now it works."),
    ("I tried this:", "Mail to my provider does not work any more."),
    ("I tried this:", "My friend has the same problem."),
    ("The first attempt did not help, the second was therefore", ""),
]
NOT_RUN = [
    ("Please do not run these commands:", ""),
    ("Somebody wrote this. Don't use it? Right, never use this:", ""),
    ("Do not run this, it locks you out:", ""),
    ("You should not run this:", ""),
    ("You must never do this:", ""),
    ("Found on a blog, don't do this:", ""),
    ("Don’t use any of these:", ""),
    ("Never ever add rules like these:", ""),
    ("Avoid commands like this:", ""),
    ("Wrong:", ""),
    ("A bad idea:", ""),
    ("I tried this:", "It did not work."),
    ("I tried this:", "Still doesn't work."),
    ("I tried this:", "but nothing changed."),
    ("I tried this:", "Same result."),
    ("I tried this:", "But this had no effect."),
    ("I also tried", "to no avail, it is still closed."),
    ("I tried to open the port with", "which did not help."),
    ("I tried this without luck:", ""),
    ("My attempts, all in vain:", ""),
    ("I tried this, but it still does not work:", "None of it worked."),
]


@pytest.mark.parametrize(("above", "below"), RUN)
def test_sentences_about_commands_that_have_run(above: str, below: str) -> None:
    text = f"{LISTED}{above}\n\n{OPENS}\n\n{below}\n"
    assert verdict(text) == "ACCEPT"
    assert not warned(text)


@pytest.mark.parametrize(("above", "below"), NOT_RUN)
def test_sentences_about_commands_that_have_not_run(above: str, below: str) -> None:
    text = f"{LISTED}{above}\n\n{OPENS}\n\n{below}\n"
    assert verdict(text) == "DROP"
    assert warned(text)


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ("A friend suggested this:\n\n    iptables -I INPUT -p tcp --dport 8080 -j ACCEPT\n", "DEPENDS"),
        ("I was told to use\n\n-A INPUT -p tcp --dport 8080 -j ACCEPT\n\nsomewhere.\n", "DEPENDS"),
        ("Should I add this line?\niptables -A INPUT -p tcp --dport 8080 -j ACCEPT\n", "DROP"),
        ("As somebody suggested, I added\n\niptables -A INPUT -p tcp --dport 8080 -j ACCEPT\n", "ACCEPT"),
        ("and, as the guide recommends, I have\n-A INPUT -p tcp --dport 8080 -j ACCEPT\n", "ACCEPT"),
        ("I could also run\n\niptables -A INPUT -p tcp --dport 8080 -j ACCEPT\n\nbut how?\n", "DEPENDS"),
        ("> What if you add one?\n> iptables -A INPUT -p tcp --dport 8080 -j ACCEPT\n", "DEPENDS"),
        ("When I run\n\niptables -A INPUT -p tcp --dport 8080 -j ACCEPT\n\nit works.\n", "DEPENDS"),
        ("I could connect after\n\niptables -A INPUT -p tcp --dport 8080 -j ACCEPT\n", "ACCEPT"),
        ("A friend suggested this:\n\nroot@h:~# iptables -I INPUT -p tcp --dport 8080 -j ACCEPT\n", "ACCEPT"),
    ],
)
def test_proposals_need_not_have_run(between: str, expected: str) -> None:
    text = "# iptables -S\n-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-A INPUT -i lo -j ACCEPT\n\n"
    fields = {"from": "203.0.113.9", "to": "host", "proto": "tcp", "dport": 8080}
    assert walk(loads_host(text + between), Question(**fields)).verdict == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Before:", "After my change:", "ACCEPT"),
        ("old rules (2019)", "and now", "ACCEPT"),
        ("Web:", "Mail:", "DROP"),
        ("Before docker starts:", "After docker:", "DROP"),
    ],
)
def test_rules_that_are_no_longer_loaded(old: str, new: str, expected: str) -> None:
    """Parts of a dump are joined, unless the lines above them say that one took the place of the other."""
    text = f"{old}\n-A INPUT -p tcp -m tcp --dport 80 -j DROP\n{new}\n-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT\n"
    assert verdict(text) == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (f"Then I ran `{OPENS}` and it is still closed.", "ACCEPT"),
        (f"After running `{OPENS}`, nothing has changed.", "ACCEPT"),
        (f"We have also executed `iptables -P FORWARD ACCEPT` and `sudo {OPENS}`.", "ACCEPT"),
        ("I then did `iptables -P INPUT ACCEPT`.", "ACCEPT"),
        ("Then I ran `iptables -F` and `iptables -P INPUT ACCEPT`.", "ACCEPT"),
        (f"I read about `{OPENS}` somewhere.", "DROP"),
        (f"I tried `{OPENS}`, no luck.", "DROP"),
        (f"It works when I ran `{OPENS}` before.", "DROP"),
        (f"Instead of what I ran, should I use `{OPENS}`?", "DROP"),
        ("I had run `iptables -D INPUT 1`, or was it `iptables -P INPUT ACCEPT`?", "DROP"),
    ],
)
def test_commands_within_sentences(sentence: str, expected: str) -> None:
    """Those that have run change the rules above; others are told as left out."""
    text = f"{LISTED}{sentence}\n"
    assert verdict(text) == expected
    assert warned(text) is (expected == "DROP")


def test_all_commands_of_a_sentence_are_read_if_there_is_nothing_else() -> None:
    text = "My script: `iptables -P INPUT DROP`, then `iptables -A INPUT -p tcp --dport 80 -j ACCEPT`.\n"
    assert verdict(text) == "ACCEPT"
    assert walk(loads_host(text), Question(sender="203.0.113.9", to="host", dport=81)).verdict == "DROP"


@pytest.mark.parametrize("command", ["# iptables -S INPUT", "Here they are:", "# iptables -S"])
def test_a_list_of_a_chain_shows_what_commands_above_it_made(command: str) -> None:
    rest = "-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n" if command == "# iptables -S" else ""
    text = f"If I run\n\n{OPENS.replace('ACCEPT', 'DROP')}\n\nit is blocked.\n\n{command}\n-P INPUT ACCEPT\n{rest}"
    assert verdict(f"{text}-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n") == "ACCEPT"
    assert verdict(f"{text}-A INPUT -p tcp -m tcp --dport 80 -j DROP\n") == "DROP"


@pytest.mark.parametrize("shown", [LISTED, "$ docker run -d --name web -p 80:80 nginx\n\n"])
def test_a_command_that_a_sentence_supposes(shown: str) -> None:
    """Beside rules, and beside nothing but the settings of a host."""
    text = f"{shown}If I now create the rule `iptables -A INPUT -p tcp --dport 80 -j REJECT`, who gets in?\n"
    assert verdict(text) == verdict(shown)
    assert (warned(text), warned(shown)) == (True, False)
