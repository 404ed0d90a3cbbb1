"""Commands in scripts and sessions are carried out in order, without a shell."""

from __future__ import annotations

import pytest

from iptsim import explain, lint
from iptsim.errors import CaptureError
from iptsim.host.files import Source
from iptsim.paste.assembly import host_of_source
from iptsim.sources import loads_host


def rules(text: str, table: str = "filter") -> list[str]:
    host = host_of_source(Source("paste", {}, text.encode()))
    return [rule.text for rule in host.rulesets[4].tables[table].rules()]


def test_a_script_with_variables_and_continued_lines() -> None:
    text = (
        '#!/bin/sh\nIPT="/sbin/iptables"\nLAN=192.168.1.0/24\n# $IPT -A INPUT -j DROP\n$IPT -P INPUT DROP\n'
        "$IPT -A INPUT -s $LAN \\\n   -p tcp --dport 22 -j ACCEPT\n$IPT -I INPUT 1 -i lo -j ACCEPT\n"
    )
    assert rules(text) == [
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -s 192.168.1.0/24 -p tcp -m tcp --dport 22 -j ACCEPT",
    ]


def test_post_up_lines_without_those_that_go_down() -> None:
    text = (
        "[Interface]\nPostUp = iptables -A FORWARD -i %i -j ACCEPT; "
        "iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE\n"
        "PostDown = iptables -D FORWARD -i %i -j ACCEPT\n"
    )
    # the usual name, as the text has none
    assert rules(text) == ["-A FORWARD -i wg0 -j ACCEPT"]
    assert rules(text, "nat") == ["-A POSTROUTING -o eth0 -j MASQUERADE"]


def test_whether_a_loop_runs_is_not_known() -> None:
    text = "for p in 80 443; do\n  iptables -A INPUT -p tcp --dport $p -j ACCEPT\ndone\niptables -A INPUT -j DROP\n"
    assert rules(text) == ["-A INPUT -p tcp (if line 2 runs) --dport $p -j ACCEPT", "-A INPUT -j DROP"]


def test_commands_change_the_dump_before_them() -> None:
    text = (
        "# iptables-save\n*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n"
        "# iptables -C INPUT -j DROP || iptables -A INPUT -j DROP\n# sudo iptables -D INPUT -i lo -j ACCEPT\n"
    )
    assert rules(text) == ["-A INPUT -j DROP"]


def test_post_up_in_quotes_and_in_variables() -> None:
    """As in add-ons for WireGuard, and in the Compose files of wg-easy."""
    up = "iptables -A FORWARD -i wg0 -j ACCEPT; iptables -A FORWARD -o wg0 -j ACCEPT"
    down = up.replace("-A", "-D")
    wanted = ["-A FORWARD -i wg0 -j ACCEPT", "-A FORWARD -o wg0 -j ACCEPT"]
    assert rules(f'```post_up="{up}"\npost_down="{down}"```\n') == wanted
    assert rules(f"      - WG_POST_UP={up}\n      - WG_POST_DOWN={down}\n") == wanted


@pytest.mark.parametrize(
    "line",
    [
        '"iptables -A INPUT -m comment --comment \\"the web\\" -j DROP"',
        "  - '/sbin/iptables -A INPUT -m comment --comment \"the web\" -j DROP'",
        '    "sudo iptables -A INPUT -m comment --comment \\"the web\\" -j DROP",',
        "“-A INPUT -m comment --comment 'the web' -j DROP”",
    ],
)
def test_a_rule_as_a_string(line: str) -> None:
    """As in lists of YAML and of programs, and in sentences."""
    assert '-A INPUT -m comment --comment "the web" -j DROP' in rules(f"{line}\n")


def test_commands_that_a_program_shows_before_it_runs_them() -> None:
    """wg-quick writes [#] before each command, sh -x a plus."""
    assert rules("[#] ip link add wg0 type wireguard\n[#] iptables -A FORWARD -i wg0 -j ACCEPT; true\n") == [
        "-A FORWARD -i wg0 -j ACCEPT"
    ]
    assert rules("+ set -e\n++ hostname\n+ iptables -A INPUT -j DROP\nok\n") == ["-A INPUT -j DROP"]


def test_a_text_of_added_lines() -> None:
    assert rules("+```\n+$ sudo iptables -S\n+-P FORWARD DROP\n+-A FORWARD -i lo -j ACCEPT\n") == [
        "-A FORWARD -i lo -j ACCEPT",
        "-A INPUT ...",
        "-A OUTPUT ...",
    ]


def test_a_root_command_whose_output_follows_is_no_comment() -> None:
    """The heading in bold, and further down a command without a prompt, as of a script."""
    text = (
        "**# iptables -L -n --line-numbers**\n```\nChain INPUT (policy ACCEPT)\n"
        "num  target     prot opt source               destination\n"
        "1    ACCEPT     icmp --  0.0.0.0/0            0.0.0.0/0\n"
        "2    REJECT     all  --  0.0.0.0/0            0.0.0.0/0            reject-with icmp-port-unreachable\n"
        "```\nThen I removed it:\n**iptables -D INPUT 2**\n"
    )
    assert rules(text)[0] == "-A INPUT -p icmp -i ? -o ? -j ACCEPT"
    assert not any("REJECT" in rule for rule in rules(text))


@pytest.mark.parametrize(
    ("sentence", "rule"),
    [
        (
            "I tried this: iptables -A DOCKER-USER -p tcp --dport 4150 -j DROP does not close it.",
            "-A DOCKER-USER -p tcp -m tcp --dport 4150 -j DROP",
        ),
        (
            "So I ran sudo iptables -I INPUT 1 ! -i lo -j REJECT --reject-with tcp-reset, without success.",
            "-A INPUT ! -i lo -j REJECT --reject-with tcp-reset",
        ),
    ],
)
def test_a_command_within_a_sentence_ends_with_its_target(sentence: str, rule: str) -> None:
    assert rule in rules(sentence)


def test_a_sentence_about_a_command_is_no_command() -> None:
    with pytest.raises(CaptureError):
        rules("What iptables -A INPUT does, I know, but not what -j DROP means.")


UP = "iptables -A INPUT -p tcp --dport 80 -j ACCEPT"
DOWN = UP.replace("-A", "-D")


@pytest.mark.parametrize(
    "text",
    [
        f"{UP}\n\nTo remove it again:\n\n{DOWN}\n",
        f"{UP}\nIf that does not help,\n{DOWN}\n",
        f"postStart:\n  - {UP}\npreStop:\n  - {DOWN}\n",
        f"{UP}\nstop_fw() {{\n  {DOWN}\n  iptables -P INPUT DROP\n  iptables -F\n}}\n",
        f'case "$1" in\nstart)\n  {UP}\n  ;;\nstop)\n  {DOWN}\n  iptables -F\n  ;;\nesac\n',
    ],
)
def test_commands_that_would_undo_others_have_not_run(text: str) -> None:
    assert rules(text) == ["-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT"]


@pytest.mark.parametrize(
    "text",
    [
        f"$ {UP}\nI tried it, and then:\n$ {DOWN}\n",  # typed, one after the other
        f"{UP}\n{DOWN}\n",
        f"{UP}\niptables -A INPUT -j DROP\ncleanup() {{\n  iptables -F\n}}\ncleanup\n",  # the script calls it
    ],
)
def test_commands_that_have_undone_others(text: str) -> None:
    assert rules(text + "iptables -N mine\n") == []


def test_whether_a_command_below_a_remark_has_undone_another_is_not_known() -> None:
    text = f"{UP}\nso then my boss came by\n{DOWN}\n"
    assert rules(text) == ["-A INPUT -p tcp -m tcp --dport 80 (unless line 3 runs) -j ACCEPT"]


def test_what_a_condition_may_flush_and_set_is_not_known() -> None:
    text = f'{UP}\nif [ "$x" ]; then\n  iptables -P INPUT DROP\n  iptables -F INPUT\nfi\n'
    unsure = ["-A INPUT -p tcp -m tcp --dport 80 (unless line 4 runs) -j ACCEPT", "-A INPUT ..."]
    assert rules(text) == unsure


@pytest.mark.parametrize(
    "mark", ["- {}", "* {}", "• {}", "2) {}", "(2) {}", "a) {}", "Step 2: {}", "2. `{}`", "* **{}**"]
)
def test_a_command_as_an_item_of_a_list(mark: str) -> None:
    """Alone between other lines, beside another command."""
    text = f"iptables -N mine\n{mark.format('sudo ' + UP)}\n"
    assert rules(text) == ["-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT"]


def test_the_output_of_a_command_in_a_command_is_not_known() -> None:
    text = (
        "iptables -A INPUT -s $(curl -s ifconfig.me | head -1; true) -j DROP && iptables -A INPUT -p udp -j DROP\n"
        "iptables -A INPUT -m mark --mark $(cat /etc/mark) -j DROP\n"
    )
    assert rules(text) == [
        "-A INPUT -s $(curl -s ifconfig.me | head -1; true) -j DROP",
        "-A INPUT -p udp -j DROP",
        "-A INPUT --mark $(cat /etc/mark) -j DROP",
    ]


def test_the_kill_switch_of_wg_quick() -> None:
    # wg-quick(8), and the mark that it sets for its own packets if no other table has the number
    text = "PostUp = iptables -I OUTPUT ! -o %i -m mark ! --mark $(wg show %i fwmark) -j REJECT\n"
    assert rules(text) == [
        "-A OUTPUT ! -o wg0 -m mark ! --mark 0xca6c -j REJECT --reject-with icmp-port-unreachable"
    ]


def test_commands_folded_in_yaml() -> None:
    text = (
        "post_up: >-\n  iptables -t nat -A POSTROUTING -o wg0 -j MASQUERADE; iptables -A FORWARD -p\n"
        "  tcp --dport 80 -j ACCEPT\n"
    )
    assert rules(text) == ["-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT"]


def test_a_function_that_runs_both_programs() -> None:
    """NixOS's firewall script defines ip46tables, which runs iptables and ip6tables with the same arguments."""
    text = "ip46tables -N fw\nip46tables -A fw -p tcp --dport 22 -j ACCEPT\nip46tables -A INPUT -j fw\n"
    found = host_of_source(Source("paste", {}, text.encode()))
    chains = found.rulesets[4].tables["filter"].chains
    assert [rule.target_name for rule in chains["fw"].rules if rule.position] == ["ACCEPT"]
    assert [rule.target_name for rule in chains["INPUT"].rules if rule.position] == ["fw"]


def test_a_command_of_a_session_that_iptables_refused() -> None:
    """Its rule does not exist; in a script, no error shows which command it is about."""
    text = (
        "# NET=10.1.0.0/16\n# iptables -A OUTPUT -d $NET -j ACCEPT\n# iptables -A OUTPUT -m mark --mark 1 -j REJECT\n"
        "iptables v1.8.7 (legacy): Couldn't load match `mark':No such file or directory\n"
        "# iptables -A OUTPUT -j DROP\n# iptables -A OUTPUT -m mark --mark 1 -j REJECT\n"
    )
    assert rules(text) == ["-A OUTPUT -d 10.1.0.0/16 -j ACCEPT", "-A OUTPUT -j DROP"]


def test_a_refused_command_that_is_typed_again() -> None:
    """The chain exists the second time. An error below another program is not about a command above it."""
    text = (
        "# iptables -A INPUT -p tcp --dport 22 -j SSH\niptables: No chain/target/match by that name.\n"
        "# iptables -N SSH\n# iptables -A INPUT -p tcp --dport 22 -j SSH\n"
        "# iptables -A INPUT -j DROP\n# ./more.sh\niptables: No chain/target/match by that name.\n"
    )
    assert rules(text) == ["-A INPUT -p tcp -m tcp --dport 22 -j SSH", "-A INPUT -j DROP"]


def test_commands_folded_over_lines_of_yaml() -> None:
    text = (
        "environment:\n  - WG_POST_UP=iptables -A FORWARD -i wg0 -j ACCEPT; iptables -A FORWARD -o\n"
        "    wg0 -j ACCEPT; iptables -t nat -A POSTROUTING ! -d {the subnet} -o eth+\n    -j MASQUERADE\n"
        "  - WG_POST_DOWN=iptables -D FORWARD -i wg0 -j ACCEPT; iptables -D FORWARD -o\n    wg0 -j ACCEPT\n"
    )
    assert rules(text) == ["-A FORWARD -i wg0 -j ACCEPT", "-A FORWARD -o wg0 -j ACCEPT"]
    assert rules(text, "nat") == ["-A POSTROUTING -o eth+ ! -d {the subnet} -j MASQUERADE"]


def test_a_function_whose_argument_is_the_action() -> None:
    text = "rules() {\n    iptables -t nat -${1} OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports 12345\n}\nrules A\n"
    assert rules(text, "nat") == ["-A OUTPUT -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 12345"]


def test_a_patch_that_only_adds_rules() -> None:
    text = " -A FORWARD -i eth0 -j ACCEPT\n+-A FORWARD -i wg0 -j DROP\n+-A FORWARD -o wg0 -j DROP\n"
    added = [rule for rule in rules(text) if "wg0" in rule]
    assert added == ["-A FORWARD -i wg0 -j DROP", "-A FORWARD -o wg0 -j DROP"]


def test_lists_of_xargs_have_lines_of_their_own() -> None:
    """What one list accepts may be in no other one: a list of machines to block is not in vain."""
    text = (
        "iptables -P INPUT ACCEPT\n"
        "cat neighbours | xargs -I{} iptables -A INPUT -s {} -j ACCEPT\n"
        "cat intruders | xargs -n1 iptables -A INPUT -j DROP -s\n"
    )
    host = host_of_source(Source("paste", {}, text.encode()))
    assert "never-matches" not in {one.code for one in lint(host)}
    assert explain(host, "internet", "host", proto="tcp", dport=80).verdict == "DEPENDS"


def test_a_variable_that_gets_another_unknown_value() -> None:
    """What a command prints is not known: the second value may differ from the first, so it needs a rule of its own."""
    text = (
        "iptables -P INPUT ACCEPT\n"
        "PEER=$(dig +short one.example)\niptables -A INPUT -s $PEER -j ACCEPT\n"
        "PEER=$(dig +short two.example)\niptables -A INPUT -s $PEER -j DROP\n"
    )
    host = host_of_source(Source("paste", {}, text.encode()))
    assert "never-matches" not in {one.code for one in lint(host)}
    assert explain(host, "internet", "host", proto="tcp", dport=80).verdict == "DEPENDS"


def test_a_variable_for_the_program_that_is_looked_up_twice() -> None:
    text = (
        "IPT=$(command -v iptables)\n${IPT} -P INPUT DROP\n"
        "IPT=$(command -v iptables)\n${IPT} -A INPUT -i lo -j ACCEPT\n"
    )
    assert rules(text) == ["-A INPUT -i lo -j ACCEPT"]


def test_commands_that_eval_runs_after_a_condition() -> None:
    """What a command in a condition prints is not the list of rules."""
    text = (
        '#!/bin/bash\nlocal tool="/sbin/iptables"\nuntil iptables -L DOCKER > /dev/null; do sleep 2; done\n'
        'eval "${tool} -P FORWARD DROP"\neval "$tool -A FORWARD ! -o br7 -j LOG --log-prefix \'out: \'"\n'
        "eval '$tool -t nat -A POSTROUTING -s 10.7.0.0/24 -j MASQUERADE'\n"
    )
    assert rules(text) == ['-A FORWARD ! -o br7 -j LOG --log-prefix "out: "']
    assert rules(text, "nat") == ["-A POSTROUTING -s 10.7.0.0/24 -j MASQUERADE"]


def test_commands_that_xargs_runs() -> None:
    """Each of them may run any number of times, also not at all, with unknown values (xargs(1))."""
    text = (
        "iptables -P INPUT DROP\n"
        "grep -v '#' allowed.txt | sort -u | /usr/bin/xargs -I @ /sbin/iptables -A INPUT -s @ -j ACCEPT\n"
        "cat banned.txt | xargs -n 1 sudo iptables -A INPUT -j DROP -s\n"
    )
    assert rules(text) == ["-A INPUT -s $XARGS1 -j ACCEPT", "-A INPUT -s $XARGS2 -j DROP"]


@pytest.mark.parametrize(
    ("text", "unlisted", "policy"),
    [
        ("iptables -A INPUT -p tcp --dport 22 -j ACCEPT\n", True, True),
        ("iptables -P INPUT DROP\niptables -A INPUT -p tcp --dport 22 -j ACCEPT\n", True, False),
        ("iptables -F\niptables -A INPUT -p tcp --dport 22 -j ACCEPT\n", False, True),
        (
            "# iptables -S\n-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n# iptables -F INPUT\n",
            False,
            False,
        ),
    ],
)
def test_what_commands_alone_leave_open(text: str, unlisted: bool, policy: bool) -> None:
    """Neither the rules from before nor the policies are shown, unless a command sets them."""
    host = host_of_source(Source("paste", {}, text.encode()))
    assumptions = " ".join(map(str, explain(host, "internet", "host", proto="tcp", dport=80).assumptions))
    assert ("no other rules in filter" in assumptions) is unlisted
    assert ("the policy of filter INPUT" in assumptions) is policy


def test_commands_of_one_family_beside_a_network_of_both() -> None:
    """Iptables changes no rule of IPv6 (iptables(8))."""
    text = (
        "docker network create --ipv6 --subnet fd00:5::/64 --subnet 172.25.0.0/16 app\n"
        "docker run -d --name web --network app -p 8080:80 nginx\n{} -I DOCKER-USER -i eth0 -j DROP\n"
    )
    hosts = [
        host_of_source(Source("paste", {}, text.format(program).encode()))
        for program in ("iptables", "ip6tables")
    ]
    said = [
        [str(one) for one in host.assumptions if "no rules besides those of Docker" in str(one)]
        for host in hosts
    ]
    assert [[one[4:8] for one in found] for found in said] == [["IPv6"], ["IPv4"]]


def test_a_sentence_between_commands_is_left_out_and_not_also_read() -> None:
    host = loads_host(
        "I set up:\niptables -P INPUT DROP\nThen I wondered about the replies, so there is also\n\n"
        "iptables -A INPUT -m state --state ESTABLISHED -j ACCEPT\nThat is all.\n"
    )
    assert host.pasted is not None
    assert host.pasted.summary() == "read: lines 2, 5 iptables commands (filter); left out: 1, 3, 6"
    assert [one["lines"] for one in host.pasted.as_json()["segments"]] == [[2, 2], [5, 5]]


def test_a_program_in_a_variable_whose_name_begins_as_usual_ones_do() -> None:
    text = "IPTAB=/sbin/iptables\n$IPTAB -A INPUT -p tcp --dport 8022 -j DROP\n"
    rules = host_of_source(Source("pasted", {}, text.encode())).rulesets[4].tables["filter"].rules()
    assert [rule.text for rule in rules] == ["-A INPUT -p tcp -m tcp --dport 8022 -j DROP"]


@pytest.mark.parametrize(
    ("remarks", "left"),
    [
        (11, ", 17, 19, 21"),
        (12, ", 17, 19 and 2 more places"),
    ],
)
def test_the_summary_names_each_place_that_is_left_out_or_counts_it(remarks: int, left: str) -> None:
    host = loads_host("Then I ran this:\niptables -A INPUT -p icmp -j ACCEPT\n" * remarks)
    assert host.pasted is not None
    assert host.pasted.summary().endswith(left)
