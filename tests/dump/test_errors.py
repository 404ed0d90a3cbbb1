"""What the reader says about lines that iptables-restore would not take: the whole text, caret included."""

from __future__ import annotations

from textwrap import dedent

import pytest

from iptsim.dump import loads
from iptsim.errors import DumpErrors, DumpSyntaxError, IptsimError

LINES = [
    (
        "-A INPUT -p tcp --dports 80 -j ACCEPT",
        """\
        x:4:17: unknown option --dports
            -A INPUT -p tcp --dports 80 -j ACCEPT
                            ^~~~~~~~
          it belongs to -m multiport""",
    ),
    (
        "-A INPUT -p tcp --dprot 80 -j ACCEPT",
        """\
        x:4:17: unknown option --dprot
            -A INPUT -p tcp --dprot 80 -j ACCEPT
                            ^~~~~~~
          did you mean --dport?""",
    ),
    (
        "-A INPUT -m conntrack --ctstat NEW",
        """\
        x:4:23: --ctstat is an ambiguous abbreviation
            -A INPUT -m conntrack --ctstat NEW
                                  ^~~~~~~~
          it can mean --ctstate, --ctstatus""",
    ),
    (
        "-A INPUT -p tcp -dport 80",
        """\
        x:4:17: -dport needs two dashes
            -A INPUT -p tcp -dport 80
                            ^~~~~~
          write --dport""",
    ),
    (
        "-A INPUT -p tcp --dport",
        """\
        x:4:17: --dport requires an argument
            -A INPUT -p tcp --dport
                            ^~~~~~~
          expected a port or a range of ports (80, 1024:65535, http)""",
    ),
    (
        "-A INPUT -p tcp --dport 99999",
        """\
        x:4:25: 99999 is not between 0 and 65535
            -A INPUT -p tcp --dport 99999
                                    ^~~~~
          expected a port or a range of ports (80, 1024:65535, http)""",
    ),
    (
        "-A INPUT -p tcp --dport=http0",
        """\
        x:4:25: 'http0' is neither a port number nor a known service
            -A INPUT -p tcp --dport=http0
                                    ^~~~~
          did you mean http?""",
    ),
    (
        "-A INPUT -m conntrack --ctstate NEW,RELATD -j ACCEPT",
        """\
        x:4:37: unknown value 'RELATD'; choose from: INVALID, NEW, RELATED, ESTABLISHED, UNTRACKED, SNAT, DNAT
            -A INPUT -m conntrack --ctstate NEW,RELATD -j ACCEPT
                                                ^~~~~~
          did you mean RELATED?""",
    ),
    (
        "-A INPUT -p tcp --dport 80:htttps",
        """\
        x:4:28: 'htttps' is neither a port number nor a known service
            -A INPUT -p tcp --dport 80:htttps
                                       ^~~~~~
          did you mean https?""",
    ),
    (
        "-A INPUT -p tpc",
        """\
        x:4:13: unknown protocol 'tpc'
            -A INPUT -p tpc
                        ^~~
          did you mean tcp?""",
    ),
    (
        "[12:720] -A INPUT -j c11",
        """\
        x:4:22: table filter has no chain c11
            [12:720] -A INPUT -j c11
                                 ^~~
          did you mean c1?""",
    ),
    (
        "-A INPUT -g other",
        """\
        x:4:13: table filter has no chain other
            -A INPUT -g other
                        ^~~~~
          declare a chain with a line :other - [0:0] before its first use""",
    ),
    (
        "-A POSTROUTING -j c1",
        """\
        x:4:4: table filter has no chain POSTROUTING
            -A POSTROUTING -j c1
               ^~~~~~~~~~~
          POSTROUTING is a chain of table mangle or nat""",
    ),
    (
        "-A INPUT -j OUTPUT",
        """\
        x:4:13: OUTPUT is a built-in chain; rules can't jump to it
            -A INPUT -j OUTPUT
                        ^~~~~~""",
    ),
    (
        '-A INPUT -m comment --comment "open -j ACCEPT',
        """\
        x:4:31: the quote is never closed
            -A INPUT -m comment --comment "open -j ACCEPT
                                          ^~~~~~~~~~~~~~~
          write \\\" for a " inside quotes""",
    ),
    (
        "-A INPUT -m comment --comment 'a b'",
        """\
        x:4:34: "b'" is not an option
            -A INPUT -m comment --comment 'a b'
                                             ^~
          only straight double quotes hold words together: "a b\"""",
    ),
    (
        "-A INPUT -o  -j MARK --or-mark 1",
        """\
        x:4:17: 'MARK' is not an option
            -A INPUT -o  -j MARK --or-mark 1
                            ^~~~
          -o took -j as its argument""",
    ),
    (
        "-A INPUT -o eth0 -j ACCEPT",
        """\
        x:4:10: -o can't be used in INPUT
            -A INPUT -o eth0 -j ACCEPT
                     ^~""",
    ),
    (
        "-A INPUT -m multiport --dports 80 -j c1",
        """\
        x:4:10: -m multiport works only in a rule with -p tcp, udp, dccp, sctp or udplite
            -A INPUT -m multiport --dports 80 -j c1
                     ^~~~~~~~~~~~""",
    ),
    (
        "-A INPUT ! -s 10.0.0.1,10.0.0.2",
        """\
        x:4:12: ! is not allowed before several addresses
            -A INPUT ! -s 10.0.0.1,10.0.0.2
                       ^~
          write one rule for each address""",
    ),
    (
        "-A INPUT -s example.com",
        """\
        x:4:13: 'example.com' is a host name; iptables would look it up once, so write its address instead
            -A INPUT -s example.com
                        ^~~~~~~~~~~
          expected an address, with /length or /mask""",
    ),
    (
        "iptables -A INPUT -j ACCEPT",
        """\
        x:4:1: this is a shell command, not a line of a dump
            iptables -A INPUT -j ACCEPT
            ^~~~~~~~
          a dump has rules without the name of the program; --lenient skips other pasted lines""",
    ),
    (
        "[12] -A INPUT",
        """\
        x:4:1: the counters are not [packets:bytes]
            [12] -A INPUT
            ^~~~
          expected [12:720] -A CHAIN ...""",
    ),
    (
        "-I INPUT 3 -j ACCEPT",
        """\
        x:4:10: rule number 3 is too big
            -I INPUT 3 -j ACCEPT
                     ^
          the highest is 1""",
    ),
    (
        "-A INPUT -j c1 --set-mark 1",
        """\
        x:4:16: unknown option --set-mark
            -A INPUT -j c1 --set-mark 1
                           ^~~~~~~~~~
          it belongs to -j CONNMARK or -j MARK""",
    ),
    (
        "-A INPUT -j \x1b[31mred",
        """\
        x:4:13: table filter has no chain \\x1b[31mred
            -A INPUT -j \\x1b[31mred
                        ^~~~~~~~~~~
          declare a chain with a line :\\x1b[31mred - [0:0] before its first use""",
    ),
]


@pytest.mark.parametrize(("line", "text"), LINES)
def test_line(line: str, text: str) -> None:
    with pytest.raises(DumpSyntaxError) as caught:
        loads(f"*filter\n:INPUT ACCEPT [0:0]\n:c1 - [0:0]\n{line}\nCOMMIT\n", source="x")

    assert str(caught.value) == dedent(text)


#: Refused by both iptables-legacy-restore and iptables-nft-restore 1.8.9.
REFUSED = [
    "-A INPUT -- -j ACCEPT",
    "-A INPUT -d 1.2.3.4 -d 1.2.3.5",
    "-A INPUT ! -j ACCEPT",
    "-A INPUT ! -m tcp",
    "-A INPUT !",
    "-A INPUT ! ! -i eth0",
    "-A INPUT -g DROP",
    "-A INPUT -j nope",
    "-A INPUT -j c2\n-N c2",
    "-A c3 -j ACCEPT",
    "-A INPUT -j INPUT",
    "-A INPUT -j ACCEPT -j DROP",
    "-A INPUT -j c1 --foo",
    "-A INPUT -w -j ACCEPT",
    "-A INPUT -n -j ACCEPT",
    "-A INPUT -t filter -j ACCEPT",
    "-A INPUT ! -p all",
    "-A INPUT -N c2",
    "-P c1 ACCEPT",
    "-P INPUT REJECT",
    "-P INPUT",
    "-N LOG",
    "-N c1",
    "-N abcdefghijklmnopqrstuvwxyz012",
    '-N "a b"',
    "-N -x",
    ":abcdefghijklmnopqrstuvwxyz012 - [0:0]",
    ":ACCEPT - [0:0]",
    ":RETURN - [0:0]",
    "-E c1 INPUT",
    "-E c2 c3",
    "-A c1 -j ACCEPT\n-X c1",
    "-A INPUT -j c1\n-X c1",
    "-A c1 -j ACCEPT\n-X",
    "-F c2",
    "-C INPUT -j c1",
    "-D INPUT 1",
    "-D INPUT -j c1",
    "-I INPUT 0",
    "-I INPUT 1x",
    "-R INPUT 1",
    "-R INPUT",
    "-A INPUT -p tcp --tcp-flags SYN -j ACCEPT",
    "-A INPUT -p tcp --syn=1",
    "-A INPUT -c 1 -j ACCEPT",
    "-A INPUT -c a b -j ACCEPT",
    "-A INPUT -m",
    "-A INPUT extra",
    "-A",
    "-i eth0 -j ACCEPT",
    "X-A INPUT",
    " COMMIT",
    "  # remark",
    "*nat",
    "-A INPUT -m comment --comment " + "x" * 1024,
]


@pytest.mark.parametrize("line", REFUSED)
def test_refused(line: str) -> None:
    with pytest.raises(IptsimError):
        loads(f"*filter\n:INPUT ACCEPT [0:0]\n:c1 - [0:0]\n{line}\nCOMMIT\n")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("*filter\n:INPUT ACCEPT [0:0]", "x:2:1: table filter has no COMMIT"),
        ("*filter\n*nat\nCOMMIT\n", "x:2:1: table filter has no COMMIT"),
        ("*filte\nCOMMIT\n", "x:1:2: unknown table filte"),
        ("*\n", "x:1:2: the line ends too early"),
        ("*filter\n:INPUT\nCOMMIT\n", "x:2:7: the line ends too early"),
        ("*filter\n:INPUT MAYBE\nCOMMIT\n", "x:2:8: MAYBE is not a policy"),
        ("COMMIT\n", "x:1:1: COMMIT without a table"),
        (":INPUT ACCEPT [0:0]\n", "x:1:1: a chain outside a table"),
        ("*filter\nCOMMIT\n-A INPUT\n", "x:3:1: a rule outside a table"),
        ("*filter\r\nCOMMIT\r\n", "x:1:8: the line ends with a carriage return, as written by Windows tools"),
        ("\ufeff*filter\nCOMMIT\n", "x:1:1: the text begins with a byte order mark"),
        ("*filter\n\0\nCOMMIT\n", "x:2:1: a NUL character: this is not text"),
        ("*filter\n" + "x" * 11000 + "\nCOMMIT\n", "x:2:10240: the line is longer than the 10239 characters"),
        ("*filter\n-A INPUT" + " -4" * 300 + "\nCOMMIT\n", "x:2:754: the line has more than 250 words"),
        ("hello\n", "x:1:1: unexpected 'hello'"),
        ("\nChain INPUT (policy ACCEPT)\ntarget prot opt\n", "x:2:1: this is the output of iptables -L"),
        ("*nat\nCOMMIT\n-P INPUT ACCEPT\n", "x:3:1: a rule outside a table"),
        ("-P INPUT ACCEPT\n-N a\n*nat\nCOMMIT\n-P INPUT DROP\n", "x:5:1: a rule outside a table"),
    ],
)
def test_text(text: str, error: str) -> None:
    with pytest.raises(DumpSyntaxError) as caught:
        loads(text, source="x")

    assert str(caught.value).startswith(error)


@pytest.mark.parametrize("text", ["hello\n", "$ iptables -L\nChain INPUT (policy ACCEPT)\ntarget prot opt\n"])
def test_nothing_to_read_is_an_error_even_where_lines_are_skipped(text: str) -> None:
    with pytest.raises(DumpSyntaxError, match="no line belongs to a dump"):
        loads(text, lenient=True)


#: Table, line, and why the kernel refuses it. `iptables-restore --test` of both backends takes them all.
KERNEL_REFUSES = [
    ("filter", "-A INPUT -m tcp", "-m tcp works only in a rule with -p tcp"),
    ("filter", "-A INPUT -p udp -m tcp", "-m tcp works only in a rule with -p tcp"),
    ("filter", "-A INPUT ! -p tcp -m tcp", "-m tcp works only in a rule with -p tcp"),
    ("filter", "-A INPUT -m owner --uid-owner 0", "-m owner works only in OUTPUT or POSTROUTING"),
    (
        "filter",
        "-A INPUT -j REJECT --reject-with tcp-reset",
        "-j REJECT with these options works only in a rule with -p tcp",
    ),
    (
        "filter",
        "-A INPUT -j CLASSIFY --set-class 1:1",
        "-j CLASSIFY works only in FORWARD, OUTPUT or POSTROUTING",
    ),
    ("filter", "-A INPUT -j DNAT --to-destination 10.0.0.1", "-j DNAT works only in table nat"),
    ("filter", "-A INPUT -j TTL --ttl-set 1", "-j TTL works only in table mangle"),
    ("nat", "-A INPUT -j MASQUERADE", "-j MASQUERADE works only in POSTROUTING"),
    ("nat", "-A PREROUTING -j MASQUERADE", "-j MASQUERADE works only in POSTROUTING"),
    (
        "nat",
        "-A OUTPUT -j c1\n-A c1 -g c2\n-A c2 -j MASQUERADE",
        "-j MASQUERADE works only in POSTROUTING; chain c2 is reached from OUTPUT",
    ),
    (
        "raw",
        "-A PREROUTING -j CT --helper ftp",
        "-j CT with these options works only in a rule with -p PROTOCOL",
    ),
]


@pytest.mark.parametrize(("table", "lines", "reason"), KERNEL_REFUSES)
def test_what_only_the_kernel_refuses_is_read_with_a_warning(table: str, lines: str, reason: str) -> None:
    read = loads(f"*{table}\n:c1 - [0:0]\n:c2 - [0:0]\n{lines}\nCOMMIT\n")

    (rule,) = [rule for rule in read.rules() if rule.refused]
    assert str(rule.refused) == reason
    assert list(map(str, read.warnings)) == [
        f"line {rule.line}: {reason}; the kernel would reject this rule and iptables-restore "
        "would fail; here the rule is ignored"
    ]


@pytest.mark.parametrize(
    ("added", "refused"),
    [
        # two reasons: the protocol and the chain
        ("-A POSTROUTING -p udp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.3", [("POSTROUTING", 1)]),
        # rules that were there before, and have moved
        ("-I c1 -j RETURN\n-A POSTROUTING -j c1", [("c1", 2), ("c1", 3)]),
    ],
)
def test_rules_that_the_kernel_refuses_may_be_shared_with_existing_ones(
    added: str, refused: list[tuple[str, int]]
) -> None:
    rules = "".join(f"-A c1 -p tcp -j DNAT --to-destination 10.0.0.{n}\n" for n in (1, 2))
    before = loads(f"*nat\n:POSTROUTING ACCEPT [0:0]\n:c1 - [0:0]\n{rules}COMMIT\n")
    after = loads(f"*nat\n{added}\nCOMMIT\n", onto=before)

    assert [(rule.chain, rule.position) for rule in after.rules() if rule.refused] == refused
    assert len(after.warnings) == len(refused)
    assert not any(rule.refused for rule in before.rules())


def test_not_every_rule_that_the_kernel_refuses_is_named() -> None:
    read = loads("*filter\n:INPUT ACCEPT [0:0]\n" + "-A INPUT -m tcp\n" * 100 + "COMMIT\n")

    assert len(read.warnings) == 11
    assert str(read.warnings[-1]) == "... and 90 more rules that the kernel would reject"
    assert all(rule.refused for rule in read.rules())


def test_errors_come_in_the_order_of_the_lines() -> None:
    with pytest.raises(DumpErrors) as caught:
        loads("*filter\n-A INPUT -m multiport --dports 1\n-A INPUT -j nope\nCOMMIT\n", source="x")

    lines = [error.span.line for error in caught.value.errors if isinstance(error, DumpSyntaxError)]
    assert lines == [2, 3]


def test_a_rule_that_is_taken_back_may_be_wrong() -> None:
    loads("*filter\n:INPUT ACCEPT [0:0]\n:c1 - [0:0]\n-A c1 -j MASQUERADE\n-F c1\nCOMMIT\n")
