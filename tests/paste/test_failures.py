"""Messages of clients about failed connections become the packet in question, if it is known who sent it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import iptsim
from iptsim.errors import CaptureError
from iptsim.host.files import Source
from iptsim.netfilter.excerpts import unseen_places
from iptsim.paste.assembly import host_of_source
from iptsim.paste.packet_from_line import fields_of_line

RULES = """\
root@gw:~# iptables -S
-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-A OUTPUT -d 10.0.0.5/32 -p tcp -m tcp --dport 5432 -j DROP
"""


def asked(text: str) -> tuple[dict[str, Any], ...]:
    host = host_of_source(Source("paste", {}, text.encode()))
    assert host.pasted is not None
    return tuple(host.pasted.asked)


def tcp(to: str, port: int) -> dict[str, Any]:
    return {"from": "host", "to": to, "proto": "tcp", "dport": port}


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        # lib/connect.c of curl, and its older versions
        ("curl: (7) Failed to connect to 10.0.0.5 port 80 after 3 ms: Couldn't connect to server", tcp("10.0.0.5", 80)),
        ("curl: (28) Failed to connect to 10.0.0.5 port 80: Connection timed out", tcp("10.0.0.5", 80)),
        ("curl: (7) Failed connect to 10.0.0.5:8080; No route to host", tcp("10.0.0.5", 8080)),
        ("* connect to 127.0.0.1 port 80 failed: Connection refused", tcp("127.0.0.1", 80)),
        ("ssh: connect to host 10.0.0.5 port 22: Connection timed out", tcp("10.0.0.5", 22)),
        ("nc: connect to 10.0.0.5 port 5432 (tcp) failed: Connection refused", tcp("10.0.0.5", 5432)),
        ("Connecting to 10.0.0.5:80... failed: Connection refused.", tcp("10.0.0.5", 80)),
        (
            'psql: error: connection to server at "10.0.0.5", port 5432 failed: No route to host',
            tcp("10.0.0.5", 5432),
        ),
        ("Error: dial tcp 10.0.0.5:443: connect: no route to host", tcp("10.0.0.5", 443)),
        ("Error: connect EHOSTUNREACH 10.0.0.5:3306", tcp("10.0.0.5", 3306)),
        (
            ";; communications error to 10.0.0.5#53: timed out",
            {"from": "host", "to": "10.0.0.5", "proto": "udp", "dport": 53},
        ),
        (
            "PING 10.0.0.5 (10.0.0.5) 56(84) bytes of data.\n\n--- 10.0.0.5 ping statistics ---\n"
            "3 packets transmitted, 0 received, 100% packet loss, time 2001ms",
            {"from": "host", "to": "10.0.0.5", "proto": "icmp"},
        ),
        *(
            (
                f"PING {shown} 56 data bytes\n3 packets transmitted, 0 received, 100% packet loss",
                {"from": "host", "to": "2001:db8::5", "proto": "icmpv6"},
            )
            for shown in (
                "2001:db8::5(2001:db8::5)",
                "2001:db8::5 (2001:db8::5)",
                "peer(peer.example (2001:db8::5))",
                "2001:db8::5 (2001:db8::5):",
            )
        ),
    ],
)  # fmt: skip
def test_a_command_typed_where_the_rules_were_listed(message: str, fields: dict[str, Any]) -> None:
    """The host is the sender."""
    assert asked(f"{RULES}root@gw:~# try it\n{message}\n") == (fields,)


def test_telnet_names_the_port_in_its_command() -> None:
    """Its messages name the address alone."""
    typed = "root@gw:~# telnet 10.0.0.5 5432\nTrying 10.0.0.5...\n"
    assert asked(f"{RULES}{typed}telnet: Unable to connect to remote host: Connection refused\n") == (
        tcp("10.0.0.5", 5432),
    )


@pytest.mark.parametrize(
    "text",
    [
        # in a container, on another machine, or nobody knows where
        "root@3f2a51b0c8d1:/# curl 10.0.0.5\ncurl: (7) Failed to connect to 10.0.0.5 port 80: Connection refused\n",
        "me@laptop:~$ curl 10.0.0.5\ncurl: (7) Failed to connect to 10.0.0.5 port 80: Connection refused\n",
        "\ncurl: (7) Failed to connect to 10.0.0.5 port 80: Connection refused\n".replace("\n", "\n" * 14, 1),
        # a name that nothing here resolves, and what did not fail
        "root@gw:~# curl db\ncurl: (7) Failed to connect to db port 80: Connection refused\n",
        "root@gw:~# ping 10.0.0.5\nPING 10.0.0.5 (10.0.0.5) 56(84) bytes of data.\n2 received, 0% packet loss\n",
        "root@gw:~# wget x\nConnecting to 10.0.0.5:443... connected.\n",
    ],
)
def test_no_question_where_an_end_is_not_known_or_nothing_failed(text: str) -> None:
    """A guess would be worse."""
    assert asked(RULES + text) == ()


DOCKER = """\
root@gw:~# iptables -S
-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
root@gw:~# iptables -t nat -S
-P PREROUTING ACCEPT
-P OUTPUT ACCEPT
-P POSTROUTING ACCEPT
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
"""
REFUSED = "curl: (7) Failed to connect to 10.0.0.5 port 80: Connection refused\n"


@pytest.mark.parametrize(
    "typed",
    [
        "root@3f2a51b0c8d1:/# curl 10.0.0.5\n",
        "root@gw:~# docker exec -it web sh\n/ # curl 10.0.0.5\n",
        "root@gw:~# docker exec -u root web curl 10.0.0.5\n",
        "root@gw:~# docker run --rm curlimages/curl 10.0.0.5\n",
    ],
)
def test_a_command_typed_in_a_container(typed: str) -> None:
    """The container is the sender; here it can only be on the one network that the rules mention."""
    assert asked(DOCKER + typed + REFUSED) == ({**tcp("10.0.0.5", 80), "from": "172.17.0.2"},)


@pytest.mark.parametrize(
    ("rules", "typed"),
    [
        # another network, the container itself, and a rule for a single container
        ("", "root@gw:~# docker run --net=backend curlimages/curl 10.0.0.5\n"),
        ("-A POSTROUTING -s 172.18.0.0/16 ! -o br-0a1b2c3d4e5f -j MASQUERADE\n", "/ # curl 10.0.0.5\n"),
        ("-A POSTROUTING -s 172.17.0.3/32 -j RETURN\n", "root@3f2a51b0c8d1:/# curl 10.0.0.5\n"),
    ],
)  # fmt: skip
def test_no_question_where_the_container_is_not_known(rules: str, typed: str) -> None:
    """Its network, or its address, could decide."""
    assert asked(DOCKER + rules + typed + REFUSED) == ()


def test_a_container_that_is_listed_by_its_id() -> None:
    """Docker makes the start of the ID the container's host name."""
    inspected = (
        'root@gw:~# docker inspect web\n[{"Id": "3f2a51b0c8d1aa", "Name": "/web", "State": {"Running": true}, '
        '"NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.7", "IPPrefixLen": 16}}}}]\n'
    )
    typed = "root@3f2a51b0c8d1:/# curl 10.0.0.5\n"
    assert asked(DOCKER + inspected + typed + REFUSED) == ({**tcp("10.0.0.5", 80), "from": "web"},)


def test_a_message_that_names_both_ends() -> None:
    """Go's net package prints the local address of a socket that is connected."""
    line = "read udp 172.17.0.2:40000->10.0.0.5:53: i/o timeout"
    both = {"from": "172.17.0.2", "sport": 40000, "to": "10.0.0.5", "proto": "udp", "dport": 53}
    assert asked(f"{RULES}\n{line}\n") == (both,)
    assert fields_of_line(line) == both


def test_the_likeliest_cause_is_that_of_the_failed_connection(tmp_path: Path) -> None:
    """Of several, the first one that the rules block."""
    path = tmp_path / "paste"
    path.write_text(
        f"{RULES}root@gw:~# curl 10.0.0.6\ncurl: (7) Failed to connect to 10.0.0.6 port 80: Connection refused\n"
        "root@gw:~# psql\ncurl: (28) Failed to connect to 10.0.0.5 port 5432: Connection timed out\n"
    )
    cause = iptsim.lint(path).cause
    assert cause is not None
    assert "OUTPUT rule 1 drops" in str(cause.text)


def test_a_likely_cause_may_be_what_the_text_does_not_show(tmp_path: Path) -> None:
    """A published port is reached on localhost by docker-proxy, of which only table nat would tell."""
    path = tmp_path / "paste"
    path.write_text(
        "$ sudo iptables -nvL\n"
        "Chain INPUT (policy ACCEPT 0 packets, 0 bytes)\n"
        " pkts bytes target     prot opt in     out     source               destination\n\n"
        "Chain FORWARD (policy DROP 0 packets, 0 bytes)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "    0     0 DOCKER     all  --  *      docker0  0.0.0.0/0            0.0.0.0/0\n\n"
        "Chain OUTPUT (policy DROP 6 packets, 360 bytes)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "3017K  529M ACCEPT     all  --  *      lo      0.0.0.0/0            0.0.0.0/0\n\n"
        "Chain DOCKER (1 references)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "    0     0 ACCEPT     tcp  --  !docker0 docker0  0.0.0.0/0            172.17.0.2           tcp dpt:9200\n\n"
        "$ curl http://127.0.0.1:9200\n"
        "curl: (28) Failed to connect to 127.0.0.1 port 9200: Connection timed out\n"
    )
    cause = iptsim.lint(path).cause
    assert cause is not None
    assert "the policy of filter OUTPUT" in str(cause.text)
    assert "passes tcp/9200 of the host on to 172.17.0.2:9200" in str(cause.text)


def test_messages_alone_are_no_rules() -> None:
    """Nothing could be said of them."""
    with pytest.raises(CaptureError, match="no rules"):
        asked("read udp 172.17.0.2:40000->10.0.0.5:53: i/o timeout\n")


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("-A OUTPUT -j ACCEPT", "The rules that are shown allow the connection that failed."),
        ("-A OUTPUT -m limit --limit 5/min -j DROP", "It depends on whether the rate limit"),
    ],
)
def test_of_a_failed_connection_that_no_rule_certainly_blocks(rule: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text(
        f"root@gw:~# iptables -S\n-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n{rule}\n"
        "root@gw:~# curl 10.0.0.6\ncurl: (28) Failed to connect to 10.0.0.6 port 80: Connection timed out\n"
    )
    cause = iptsim.lint(path).cause
    assert cause is not None
    assert str(cause.text).startswith("host 192.0.2.10 → 10.0.0.6, tcp/80: ")
    assert says in str(cause.text)


LOGGED = (
    "kernel: dropped: IN=eth0 OUT= MAC= SRC=203.0.113.7 DST=192.0.2.10 LEN=44 TOS=0x00 PREC=0x00 TTL=60 ID=1 DF"
    " PROTO=TCP SPT=443 DPT=40100 WINDOW=8192 RES=0x00 {flags} URGP=0\n"
)


@pytest.mark.parametrize(("flags", "reply"), [("SYN", False), ("ACK SYN", True)])
def test_of_a_logged_packet_that_the_rules_accept(flags: str, reply: bool, tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text("iptables -A INPUT -p tcp -j ACCEPT\n\n" + LOGGED.format(flags=flags))
    cause = iptsim.lint(path).cause
    assert cause is not None
    assert "accept the packet of line 3" in str(cause.text)
    assert ("is a reply" in str(cause.text)) is reply


def test_without_rules_a_logged_packet_has_no_cause(tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text(LOGGED.format(flags="SYN"))
    cause = iptsim.lint(path).cause
    assert cause is None or "are shown" not in str(cause.text)


def test_a_command_in_a_container_without_a_prompt() -> None:
    text = "docker run -d --name api nginx\n\ndocker exec api nc -vz 172.19.0.2 5432\n"
    failed = "nc: connect to 172.19.0.2 port 5432 (tcp) failed: Connection timed out\n"
    host = host_of_source(Source("paste", {}, (text + failed).encode()))
    assert host.pasted is not None
    assert [(one["from"], one["to"], one["dport"]) for one in host.pasted.asked] == [
        ("api", "172.19.0.2", 5432)
    ]
    host = host_of_source(Source("paste", {}, (text.replace("exec api", "inspect") + failed).encode()))
    assert host.pasted is not None
    assert host.pasted.asked == ()


@pytest.mark.parametrize(
    ("typed", "to", "port"),
    [
        ("curl -v -m 5 https://10.1.2.3/health\n* Trying 10.1.2.3:443...", "10.1.2.3", 443),
        ("curl --max-time 3 10.1.2.3:8080 -s", "10.1.2.3", 8080),
        ("wget -T 3 -qO- http://10.1.2.3 -t 1", "10.1.2.3", 80),
        ("wget -qO- 'http://10.1.2.3/a?b=c'", "10.1.2.3", 80),
    ],
)
@pytest.mark.parametrize(
    "message",
    [
        "curl: (28) Connection timed out after 5001 milliseconds",  # curl, lib/connect.c
        "curl: (28) Operation timed out after 3000 milliseconds with 0 bytes received",
        "wget: download timed out",  # busybox, networking/wget.c
    ],
)
def test_messages_without_an_address(typed: str, to: str, port: int, message: str, tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text(
        f"root@gw:~# iptables -S\n-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\nroot@gw:~# {typed}\n{message}\n"
    )
    pasted = iptsim.load_host(path).pasted
    assert pasted is not None
    assert [(one["from"], one["to"], one["dport"]) for one in pasted.asked] == [("host", to, port)]


def test_a_message_without_its_command_is_no_question(tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text(
        "root@gw:~# iptables -S\n-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\nroot@gw:~# ./check.sh\n"
        "curl: (28) Connection timed out after 5001 milliseconds\n"
    )
    pasted = iptsim.load_host(path).pasted
    assert pasted is not None
    assert not pasted.asked


def test_a_container_of_docker_in_a_text_that_shows_no_network() -> None:
    """It is on the default bridge if it asks for that bridge's gateway (docs.docker.com: bip, 172.17.0.1/16)."""
    rules = "root@gw:~# iptables -S INPUT\n-P INPUT DROP\n"
    typed = "root@gw:~# docker exec app nc -vz {0} 5432\n"
    typed += "nc: connect to {0} port 5432 (tcp) failed: Connection timed out\n"
    expected = {**tcp("172.17.0.1", 5432), "from": "172.17.0.2", "in": "docker0"}
    assert asked(rules + typed.format("172.17.0.1")) == (expected,)
    unnamed = {**tcp("172.18.0.1", 5432), "from": "172.18.0.2"}
    assert asked(rules + typed.format("172.18.0.1")) == (unnamed,)
    assert asked(rules + typed.format("172.18.0.7")) == ()


LOOKUP = """\
root@gw:~# docker exec app curl https://example.com
curl: (6) Could not resolve host: example.com
root@gw:~# iptables -S FORWARD
-P FORWARD ACCEPT
-A FORWARD -i docker0 -d 192.168.0.0/16 -j DROP
root@gw:~# iptables -t nat -S
-P PREROUTING ACCEPT
-P POSTROUTING ACCEPT
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
"""


@pytest.mark.parametrize(
    ("printed", "to"),
    [
        ("docker exec app cat /etc/resolv.conf\nnameserver 192.168.1.1", "192.168.1.1"),
        ("cat /etc/resolv.conf\nnameserver 127.0.0.53\nnameserver 192.168.1.2", "192.168.1.2"),
        ("ls", "internet"),
    ],
)
def test_a_container_that_resolves_no_name_asks_its_resolver(printed: str, to: str, tmp_path: Path) -> None:
    """Docker copies the resolvers of the host, without those on its loopback (docs.docker.com, DNS services)."""
    text = f"{LOOKUP}root@gw:~# {printed}\n"
    assert asked(text) == ({"from": "172.17.0.2", "to": to, "proto": "udp", "dport": 53},)
    (tmp_path / "paste").write_text(text)
    cause = iptsim.lint(tmp_path / "paste").cause
    assert cause is not None
    assert ("udp/53: DROP" in str(cause.text)) is (to != "internet")


def test_a_name_without_a_dot_is_that_of_a_container() -> None:
    assert asked(LOOKUP.replace("example.com", "db")) == ()


def test_the_likeliest_cause_is_what_is_wrong_with_the_sender(tmp_path: Path) -> None:
    """The rules allow the connection, but nothing masquerades what that container sends to the outside."""
    rules = (
        "-P PREROUTING ACCEPT\n-P POSTROUTING ACCEPT\n-N DOCKER\n"
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n-A DOCKER -i docker0 -j RETURN\n"
    )
    ping = (
        "PING 192.0.2.200 (192.0.2.200): 56 data bytes\n1 packets transmitted, 0 received, 100% packet loss\n"
    )
    path = tmp_path / "paste"
    path.write_text(
        f"root@gw:~# docker run busybox ping 192.0.2.200\n{ping}root@gw:~# iptables -t nat -S\n{rules}"
    )
    found = iptsim.lint(path)
    assert "not-masqueraded" in {one.code for one in found}
    assert found.cause is not None
    assert "no rule masquerades them" in str(found.cause.text)


@pytest.mark.parametrize(
    ("own", "typed", "sender"),
    [
        ("192.168.1.20/24", "me@laptop:~$", "192.168.1.21"),
        ("192.168.1.254/24", "[me@laptop ~]$", "192.168.1.253"),
        ("192.0.2.10/24", "C:\\Users\\me>", "internet"),
        ("10.1.2.3/32", "me@laptop:~$", "internet"),
        ("192.168.1.20/24", "root@3f2a51b0c8d1:/#", None),  # a container that is not known
        ("192.168.1.20/24", "root@app:/#", None),  # perhaps a container
        ("192.168.1.20/24", "$", None),
    ],
)
def test_a_command_typed_on_another_machine(own: str, typed: str, sender: str | None) -> None:
    """It connects to an address of the host; a prompt in a home directory is that of a person's machine."""
    address = own.partition("/")[0]
    interfaces = (
        f"root@gw:~# ip -4 addr\n2: eth0: <UP> mtu 1500 qdisc mq state UP\n    inet {own} scope global eth0\n"
    )
    failed = f"{typed} curl {address}:8080\ncurl: (7) Failed to connect to {address} port 8080: timed out\n"
    expected = {**tcp(address, 8080), "from": sender}
    assert asked(RULES + interfaces + failed) == ((expected,) if sender else ())


@pytest.mark.parametrize(
    ("named", "sender"),
    [
        ("192.168.1.21", "192.168.1.22"),
        ("192.168.1.0/25", "192.168.1.128"),
        ("192.168.1.0/24", "192.168.1.21"),  # all of them
        ("192.168.1.0/25 192.168.1.128/25", None),
    ],
)
def test_a_machine_that_no_rule_names(named: str, sender: str | None) -> None:
    """Which of the network's machines it is, is unknown: rules for some of them must not decide."""
    rules = "".join(f"-A INPUT -s {one} -p tcp -m tcp --dport 8080 -j REJECT\n" for one in named.split())
    interfaces = (
        "root@gw:~# ip -4 addr\n2: eth0: <UP> mtu 1500 qdisc mq state UP\n"
        "    inet 192.168.1.20/24 scope global eth0\n"
    )
    failed = "me@laptop:~$ curl 192.168.1.20:8080\ncurl: (7) Failed to connect to 192.168.1.20 port 8080: timed out\n"
    expected = {**tcp("192.168.1.20", 8080), "from": sender}
    assert asked(f"{interfaces}root@gw:~# iptables -S\n-P INPUT ACCEPT\n{rules}{failed}") == (
        (expected,) if sender else ()
    )


UNNAMED = """\
$ docker exec web curl http://172.{net}.0.{last}:9000/
curl: (28) Failed to connect to 172.{net}.0.{last} port 9000 after 130042 ms: Connection timed out

$ sudo iptables -S
-P INPUT DROP
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-A INPUT -i lo -j ACCEPT
{more}-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
"""


@pytest.mark.parametrize(
    ("net", "last", "more", "bridge"),
    [
        (18, 1, "", "br-172-18-0-0"),
        (25, 1, "", "br-172-25-0-0"),
        (18, 1, "-A INPUT -i br-0123456789ab -p tcp -m tcp --dport 53 -j ACCEPT\n", "br-0123456789ab"),
        # no gateway of dockerd's pools; the default bridge has its name
        (18, 7, "", ""),
        (17, 1, "", "docker0"),
    ],
)
def test_the_gateway_of_a_network_that_nothing_else_shows(
    net: int, last: int, more: str, bridge: str
) -> None:
    """Networks of dockerd have the first address of a subnet in its pools as their gateway (moby, ipamutils)."""
    host = iptsim.loads_host(UNNAMED.format(net=net, last=last, more=more))
    cause = iptsim.lint(host).cause
    if not bridge:
        assert cause is None or cause.shown is None
        return
    assert cause is not None
    assert cause.shown is not None
    assert cause.shown.verdict == "DROP"
    step = cause.shown.trace.legs[0].deciding
    assert step is not None
    assert (step.hook, step.interfaces[0]) == ("INPUT", bridge)


IN_CONTAINER = """\
root@gw:~# iptables -S
-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
root@gw:~# docker exec -it 172.17.0.2 sh
# now in the container
$ curl http://192.168.7.3:80
curl: (28) Failed to connect to 192.168.7.3 port 80: Connection timed out
"""


def test_a_comment_among_the_commands_of_a_session() -> None:
    rules = IN_CONTAINER.replace("-P OUTPUT", "-A FORWARD -i docker0 -d 10.0.0.0/8 -j ACCEPT\n-P OUTPUT")
    (found,) = asked(rules)
    assert (found["from"], found["to"]) == ("172.17.0.2", "192.168.7.3")


@pytest.mark.parametrize("options", ["-d", "-itd", "--rm --detach"])
def test_a_container_in_the_background_leaves_the_shell_on_the_host(options: str) -> None:
    """The host's localhost is not that of a container that only was started there."""
    text = (
        f"$ docker run {options} --name web -p 8080:80 nginx\n# from the host\n$ curl http://localhost:8080\n"
        "curl: (7) Failed to connect to localhost port 8080: Connection refused\n"
    )
    assert asked(text) == (tcp("localhost", 8080),)
    assert not iptsim.lint(iptsim.loads_host(text)).cause or "container is the container itself" not in str(
        iptsim.lint(iptsim.loads_host(text)).cause
    )


@pytest.mark.parametrize(
    "rules",
    [
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A FORWARD -i lo -j ACCEPT\nCOMMIT\n",
        "-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-A FORWARD -i lo -j ACCEPT\n",
    ],
)
def test_the_message_of_a_program_is_no_part_of_the_rules_above_it(rules: str) -> None:
    message = "curl: (7) Failed to connect to 172.17.0.2 port 80: Connection refused\n"
    host = iptsim.loads_host(f"{rules}{message}iptables -I FORWARD -o docker0 -j ACCEPT\n")
    assert unseen_places(host.rulesets.values()) == ("raw", "mangle", "nat")


@pytest.mark.parametrize(
    ("mapped", "found"), [("--add-host=host.docker.internal:host-gateway ", True), ("", False)]
)
def test_the_name_of_the_host_in_containers(mapped: str, found: bool) -> None:
    """host-gateway is the address of the default bridge (docs.docker.com, docker run --add-host)."""
    text = (
        f"docker run -it {mapped}alpine sh\n\nIn it:\n\ncurl http://host.docker.internal:3000/\n\nIt says:\n"
        "curl: (28) Failed to connect to host.docker.internal port 3000 after 133990 ms: Couldn't connect to server\n"
    )
    host = iptsim.loads_host(text)
    assert host.pasted is not None
    assert [(one["from"], one["to"], one["dport"]) for one in host.pasted.asked] == (
        [("172.17.0.2", "172.17.0.1", 3000)] if found else []
    )
    if found:
        cause = iptsim.lint(host).cause
        assert "ufw drops what no rule allows" in str(cause and cause.text)


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        (
            "$ sudo ufw status verbose\nStatus: active\nDefault: deny (incoming), allow (outgoing), deny (routed)\n\n"
            "To                         Action      From\n--                         ------      ----\n"
            "4000                       ALLOW IN    172.17.0.0/16\n",
            ["DROP"],
        ),
        ("$ sudo iptables -S INPUT\n-P INPUT DROP\n-A INPUT -s 172.17.0.0/16 -j ACCEPT\n", []),
        ("$ sudo iptables -S INPUT\n-P INPUT DROP\n-A INPUT -i docker0 -j ACCEPT\n", []),
    ],
)
def test_a_service_uses_the_name_of_the_host_from_its_own_network(rules: str, verdict: list[str]) -> None:
    """The address is that of docker0, but Compose puts services on the project's network (docs.docker.com)."""
    text = (
        "services:\n  shop:\n    image: example/shop\n    extra_hosts:\n"
        '      - "host.docker.internal:host-gateway"\n\n'
        "$ docker compose exec shop curl -m 9 http://host.docker.internal:4000\n"
        "curl: (28) Connection timed out after 9001 milliseconds\n\n"
    )
    host = iptsim.loads_host(text + rules)
    assert host.pasted is not None
    asked = [(one["from"], one["to"], one["proto"], one["dport"]) for one in host.pasted.asked]
    answers = [iptsim.explain(host, src, dst, proto=proto, dport=port) for src, dst, proto, port in asked]
    assert [one.verdict for one in answers] == verdict


@pytest.mark.parametrize(
    ("command", "sender"),
    [
        ("docker exec web", {"172.17.0.2"}),
        # Compose puts services on a network of their project, which rules show, or nothing does
        ("docker compose exec web", set()),
        ("docker-compose exec -T web", set()),
    ],
)
def test_services_of_compose_are_not_on_the_default_bridge(command: str, sender: set[str]) -> None:
    text = (
        f"root@h:~# {command} curl http://172.17.0.1:8080\n"
        "curl: (7) Failed to connect to 172.17.0.1 port 8080: Connection timed out\n"
        "root@h:~# iptables -S\n-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n{}"
    )

    def senders(more: str) -> set[str]:
        pasted = iptsim.loads_host(text.format(more)).pasted
        assert pasted is not None
        return {fields["from"] for fields in pasted.asked}

    assert senders("") == sender
    bridges = "".join(f"-A FORWARD -i {one} ! -o {one} -j ACCEPT\n" for one in ("docker0", "br-0123456789ab"))
    nat = (
        "root@h:~# iptables -t nat -S\n-P PREROUTING ACCEPT\n-P INPUT ACCEPT\n-P OUTPUT ACCEPT\n-P POSTROUTING ACCEPT\n"
        "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n"
        "-A POSTROUTING -s 172.20.0.0/16 ! -o br-0123456789ab -j MASQUERADE\n"
    )
    assert senders(bridges + nat) == (sender or {"172.20.0.2"})


@pytest.mark.parametrize(
    ("heading", "senders"),
    [("Ping from my laptop:", []), ("Ping from the server:", ["host"]), ("It says:", ["host"])],
)
def test_a_heading_names_the_client_where_a_command_was_typed(heading: str, senders: list[str]) -> None:
    """A prompt without a name is the same on any machine."""
    lost = "3 packets transmitted, 0 received, 100% packet loss"
    ping = f"$ ping 10.0.0.5\nPING 10.0.0.5 (10.0.0.5) 56(84) bytes of data.\n{lost}\n"
    rules = "On the server:\n$ iptables -S\n-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n"
    assert [fields["from"] for fields in asked(f"{heading}\n{ping}\n{rules}")] == senders
