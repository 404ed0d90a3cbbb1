"""Commands of iptables that failed, as the logs of dockerd, firewalld and fail2ban show them: they change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim

#: daemon/libnetwork/iptables of moby wraps iptables' own message so
DOCKERD = (
    "docker: Error response from daemon: driver failed programming external connectivity on endpoint web (0bb5fa80):"
    "  (iptables failed: iptables --wait -t nat -A DOCKER -p tcp -d 0/0 --dport 80 -j DNAT --to-destination"
    " 172.17.0.2:80 ! -i docker0: iptables: No chain/target/match by that name.\n (exit status 1)).\n"
)
FIREWALLD = (
    "ERROR: COMMAND_FAILED: '/sbin/iptables -w -t nat {action} PREROUTING -m addrtype --dst-type LOCAL -j {to}'"
    " failed: iptables v1.4.21: Couldn't load target `{to}':No such file or directory"
    " Try `iptables -h' or 'iptables --help' for more information.\n"
)
MISSING = (
    "WARNING: COMMAND_FAILED: '/usr/sbin/iptables -w2 -t filter -C FORWARD -i br0 -o br0 -j ACCEPT' failed:"
    " iptables: Bad rule (does a matching rule exist in that chain?).\n"
)


def lint(folder: Path, text: str) -> list[str]:
    path = folder / "log.txt"
    path.write_text(text)
    return [f"{one.code}: {one.title}" for one in iptsim.lint(path)]


@pytest.mark.parametrize(
    "log",
    [
        DOCKERD,
        DOCKERD.replace(": No chain/", ": No\nchain/"),  # as a mail program breaks it
        DOCKERD.replace(" 0/0 ", "\n0/0 ").replace("docker0: ", "docker0:\n"),
        FIREWALLD.format(action="-A", to="DOCKER"),
    ],
)
def test_a_chain_of_docker_that_does_not_exist(tmp_path: Path, log: str) -> None:
    """The kernel reports ENOENT for a missing chain, iptables its own words."""
    assert lint(tmp_path, log) == [
        "docker-rules-flushed: Docker could not write a rule, because its chain nat DOCKER does not exist."
    ]


def test_dockerd_without_chains(tmp_path: Path) -> None:
    """With iptables=false, Docker up to 1.6 added the rules of links nevertheless."""
    path = tmp_path / "log.txt"
    path.write_text(DOCKERD + '\nDOCKER_OPTS="--iptables=false"\n')
    (found,) = [one for one in iptsim.lint(path) if one.code == "docker-rules-flushed"]
    assert "iptables=false" in str(found.consequence)


@pytest.mark.parametrize(
    "log",
    [
        MISSING,  # dockerd looks whether its rule is there
        FIREWALLD.format(action="-C", to="DOCKER"),
        FIREWALLD.format(action="-A", to="MINE"),
    ],
)
def test_failures_that_are_no_fault_of_docker(tmp_path: Path, log: str) -> None:
    """They are read, and nothing is found."""
    assert lint(tmp_path, log) == []


def test_a_failed_command_is_not_applied(tmp_path: Path) -> None:
    """Beside rules, it is no rule."""
    path = tmp_path / "paste.txt"
    path.write_text(f"*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\nCOMMIT\n\n{DOCKERD}")
    host = iptsim.load_host(path)
    assert not list(host.rulesets[4].rules())
    assert host.pasted is not None
    assert [form.form for form in host.pasted.segments][-1] == "failed iptables commands"


#: fail2ban.utils logs the commands of an action, then what they printed
FAIL2BAN = """\
2024-05-05 18:11:31,101 fail2ban.utils          [1]: ERROR   7f8ea4dd1ed0 -- exec: iptables -w -N f2b-web
iptables -w -A f2b-web -j RETURN
iptables -w -I {chain} -p tcp -m multiport --dports http,https -j f2b-web
2024-05-05 18:11:31,101 fail2ban.utils          [1]: ERROR   7f8ea4dd1ed0 -- stderr: 'iptables: Chain already exists.'
2024-05-05 18:11:31,101 fail2ban.utils          [1]: ERROR   7f8ea4dd1ed0 -- stderr: 'iptables: {why}'
2024-05-05 18:11:31,101 fail2ban.utils          [1]: ERROR   7f8ea4dd1ed0 -- returned 1
"""


@pytest.mark.parametrize(
    ("chain", "why", "found"),
    [
        ("DOCKER-USER", "No chain/target/match by that name.", True),
        ("INPUT", "No chain/target/match by that name.", False),
        ("DOCKER-USER", "Permission denied (you must be root).", False),
    ],
)
def test_fail2ban_without_dockers_chain(tmp_path: Path, chain: str, why: str, found: bool) -> None:
    path = tmp_path / "log.txt"
    path.write_text(FAIL2BAN.format(chain=chain, why=why))
    titles = [str(one.title) for one in iptsim.lint(path) if one.code == "docker-rules-flushed"]
    assert titles == found * [
        "fail2ban could not add its rule, because Docker's chain filter DOCKER-USER does not exist where it looks."
    ]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        # fail2ban 0.8 (server/action.py): the status of os.system in hexadecimal
        (
            "2016-07-26 20:55:24,273 fail2ban.actions.action[532]: ERROR   iptables -N fail2ban-ssh\n"
            "iptables -A fail2ban-ssh -j RETURN\n"
            "iptables -I INPUT -p tcp -m multiport --dports 443 -j fail2ban-ssh returned 100\n",
            "iptables rejects the command of line 3: returned 100.",
        ),
        (
            '# wg-quick up wg0\niptables v1.6.2: unknown protocol "10.0.0.2" specified\n[#] ip link delete dev wg0\n',
            'iptables rejects the command of line 2: unknown protocol "10.0.0.2" specified.',
        ),
        (
            "router: running [/usr/sbin/iptables -t mangle -I PREROUTING 1 -j CONNMARK --restore-mark --nfmask 0xff"
            " --wait]: exit status 2: Warning: Extension CONNMARK revision 0 not supported, missing kernel module?\n"
            'iptables v1.8.11 (nf_tables): unknown option "--nfmask"\n',
            'iptables rejects the command of line 1: unknown option "--nfmask".',
        ),
        (
            "It prints:\niptables: No chain/target/match by that name.\n",
            "iptables reports an error: No chain/target/match by that name. The command is not shown.",
        ),
    ],
)
def test_errors_without_rules(tmp_path: Path, text: str, title: str) -> None:
    path = tmp_path / "log.txt"
    path.write_text(text)
    assert [str(one.title) for one in iptsim.lint(path)] == [title]


def test_a_failed_command_is_shown_as_it_was_printed(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text(DOCKERD)
    (finding,) = iptsim.lint(path)
    assert str(finding.evidence[0].text) == (
        "iptables --wait -t nat -A DOCKER -p tcp -d 0/0 --dport 80 -j DNAT --to-destination 172.17.0.2:80 ! -i docker0:"
        " iptables: No chain/target/match by that name."
    )


def test_an_error_of_iptables_without_its_name(tmp_path: Path) -> None:
    """Unknown words are printed like that (xtables.c of iptables)."""
    log = (
        "# iptables -A INPUT --dport 80 DROP\nBad argument `DROP'\nTry `iptables -h' for more information.\n"
    )
    (found,) = lint(tmp_path, log)
    assert "Bad argument `DROP'" in found
