"""Failed connections that the rules allow, and a list of sockets that shows no program for them.

The kernel answers a SYN without a listening socket with a RST, "connection refused" (tcp(7), tcp_v4_rcv).
"""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim

RULES = """\
$ sudo iptables -S
-P INPUT DROP
-P OUTPUT ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -m state --state ESTABLISHED -j ACCEPT
-A INPUT -p tcp --dport 22 -j ACCEPT
-A INPUT -p tcp --dport 8080 -j ACCEPT

"""
HEADING = "State   Recv-Q  Send-Q   Local Address:Port   Peer Address:Port\n"
SSH = "LISTEN  0       128            0.0.0.0:22          0.0.0.0:*\nLISTEN 0 128 [::]:23 [::]:*\n"
APP = "LISTEN  0       128         {address}:8080        0.0.0.0:*\n"
ASKED = "\nI cannot reach my app on port 8080 from outside.\n"
REFUSED = "\n$ curl http://192.0.2.10:8080\ncurl: (7) Failed to connect to 192.0.2.10 port 8080: {error}\n"
SS = "$ ss -tln\n" + HEADING + SSH


def lint(tmp_path: Path, text: str) -> tuple[dict[str, str], str]:
    """Return the remedies of the findings by their codes, and the likeliest cause."""
    path = tmp_path / "ticket.txt"
    path.write_text(text)
    found = iptsim.lint(path)
    return {one.code: str(one.remedy) for one in found}, str(found.cause.text) if found.cause else ""


@pytest.mark.parametrize("asked", [ASKED, REFUSED.format(error="Connection refused")])
def test_an_open_port_without_a_program(tmp_path: Path, asked: str) -> None:
    found, cause = lint(tmp_path, RULES + SS + asked)
    assert "No rule blocks it, but nothing listens on 8080: connection refused." in cause
    assert cause.endswith("ss -tlnp.")
    assert "nothing-listens" in found
    assert "refused-elsewhere" not in found


def test_a_program_on_another_address(tmp_path: Path) -> None:
    found, cause = lint(tmp_path, RULES + SS + APP.format(address="10.0.0.1") + ASKED)
    assert "Port 8080 is bound to other addresses only: 10.0.0.1." in cause
    assert found["nothing-listens"].startswith(
        "Let the program listen on 0.0.0.0, which means all addresses, or on "
    )


@pytest.mark.parametrize(
    "text",
    [
        RULES + SS + APP.format(address="0.0.0.0") + ASKED,
        RULES + "$ ss -tln | grep 22\n" + HEADING + SSH + ASKED,
        RULES + "$ ss -uln\n" + HEADING + SSH.replace("LISTEN", "UNCONN") + ASKED,
        RULES + SS + REFUSED.format(error="Connection timed out"),  # the kernel would have answered
        RULES.replace("8080", "8081") + SS + ASKED,  # INPUT blocks it
        RULES + SS + "\nEverything works.\n",
        # Docker may forward the port by rules in nat, which -S without -t does not show
        RULES + SS + ASKED + "\nThe app runs in docker.\n",
    ],
)
def test_other_causes(tmp_path: Path, text: str) -> None:
    found, cause = lint(tmp_path, text)
    assert "nothing-listens" not in found
    assert "ss -tlnp" not in cause


def test_a_program_that_listens_on_localhost_in_its_container(tmp_path: Path) -> None:
    """docs.docker.com, published ports: they lead to the container's own address."""
    sockets = "$ docker exec web ss -tln\n" + HEADING + APP.format(address="127.0.0.1") + SSH
    text = f"$ docker run -d --name web -p 8080:8080 app\n{sockets}{ASKED}"
    found, cause = lint(tmp_path, text)
    assert "Port 8080 is bound to other addresses only: 127.0.0.1." in cause
    assert "docker exec web ss -tlnp" in found["nothing-listens"]
