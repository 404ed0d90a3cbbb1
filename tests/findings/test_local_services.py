"""Causes that no rule shows: localhost in a container, programs on 127.0.0.1, ports that are not published."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import iptsim

COMPOSE = """\
services:
  app:
    build: .
    ports: ["3000:3000"]
{more}  db:
    image: postgres:16
"""
LOG = "app-1  | Error: connect ECONNREFUSED 127.0.0.1:5432\n"
SOCKETS = """\
# docker run --add-host=host.docker.internal:host-gateway -it nginx curl http://172.17.0.1:{port}
# ss -tln
State   Recv-Q  Send-Q   Local Address:Port   Peer Address:Port
LISTEN  0       128          127.0.0.1:3306        0.0.0.0:*
LISTEN  0       128            0.0.0.0:22          0.0.0.0:*
LISTEN  0       128      127.0.0.53%lo:53          0.0.0.0:*
LISTEN  0       128          127.0.0.1:8080        0.0.0.0:*
LISTEN  0       128       192.168.1.10:8080        0.0.0.0:*
"""
PS = """\
$ docker ps
CONTAINER ID   IMAGE   COMMAND    CREATED   STATUS   PORTS      NAMES
a2dc22068d0a   web     "python"   1 hour    Up 1 h   {ports}   web
$ telnet localhost 8888
Trying 127.0.0.1...
telnet: Unable to connect to remote host: Connection refused
"""


def codes(folder: Path, text: str) -> dict[str, str]:
    path = folder / "paste.txt"
    path.write_text(text, "utf-8")
    return {one.code: str(one.title) for one in iptsim.lint(path)}


@pytest.mark.parametrize(
    ("more", "log"),
    [
        ("", LOG),
        ("", "Error: connect ECONNREFUSED 127.0.0.1:5432\n"),
        ("    environment:\n      DATABASE_URL: postgres://u:p@localhost:5432/x\n", ""),
        ("    environment:\n      - DB_HOST=localhost\n", ""),
    ],
)
def test_localhost_in_a_container_is_the_container(tmp_path: Path, more: str, log: str) -> None:
    """Each container has a loopback interface of its own (Docker's documentation of networks)."""
    found = codes(tmp_path, COMPOSE.format(more=more) + log)
    assert "db" in found["container-loopback"]


@pytest.mark.parametrize(
    ("more", "log"),
    [
        ("", ""),
        ("    network_mode: host\n    environment:\n      - DB_HOST=localhost\n", ""),
        ("    environment:\n      API_URL: http://localhost:3000\n", ""),  # for the browser
        ("    environment:\n      - DB_HOST=db\n", ""),
        ("", "Error: connect ECONNREFUSED 172.18.0.2:5432\n"),
        ("", "Error: connect ECONNREFUSED 127.0.0.1:99999\n"),
    ],
)
def test_no_container_connects_to_localhost(tmp_path: Path, more: str, log: str) -> None:
    assert "container-loopback" not in codes(tmp_path, COMPOSE.format(more=more) + log)


def test_a_program_that_listens_on_loopback_only(tmp_path: Path) -> None:
    """Not port 8080, on which another socket listens, and not the stub of systemd-resolved."""
    assert codes(tmp_path, SOCKETS.format(port=3306))["listens-on-loopback"].endswith(": 3306/tcp.")


@pytest.mark.parametrize(
    ("ports", "found"), [("8888/tcp", True), ("0.0.0.0:8888->8888/tcp", False), ("", False)]
)
def test_a_port_that_is_not_published(tmp_path: Path, ports: str, found: bool) -> None:
    assert ("port-not-published" in codes(tmp_path, PS.format(ports=ports))) is found


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        # of a connection to port 2222, only the first packet is NEW (iptables-extensions(8), conntrack)
        (
            "-P INPUT DROP\n-A INPUT -p tcp --dport 2222 -m state --state ESTABLISHED -j ACCEPT",
            "established-only",
        ),
        ("-P INPUT ACCEPT\n-A OUTPUT -d 127.0.0.1/32 -j REJECT", "output-drops-loopback"),
        ("-P INPUT ACCEPT\n-A INPUT -i eth0:1 -j DROP", "alias-interface"),
        ("-P INPUT ACCEPT\n-A INPUT -i eth0,eth1 -j DROP", "alias-interface"),
    ],
)
def test_rules_that_do_something_else(tmp_path: Path, rules: str, code: str) -> None:
    assert code in codes(tmp_path, f"# iptables -S\n{rules}\n")


@pytest.mark.parametrize(
    "rules",
    [
        "-P INPUT DROP\n-A INPUT -p tcp --dport 22 -m state --state NEW,ESTABLISHED -j ACCEPT",
        "-P INPUT DROP\n-A INPUT -s 192.0.2.7 -p tcp --dport 22 -j ACCEPT\n"
        "-A INPUT -p tcp --dport 22 -m state --state ESTABLISHED -j ACCEPT",
        "-P INPUT DROP\n-A INPUT -p tcp --dport 1024:65535 -m state --state ESTABLISHED -j ACCEPT",
        "-P OUTPUT DROP\n-A OUTPUT -o lo -j ACCEPT",
    ],
)
def test_rules_that_do_what_they_say(tmp_path: Path, rules: str) -> None:
    assert (
        not {"established-only", "output-drops-loopback"}
        & codes(tmp_path, f"# iptables -S\n{rules}\n").keys()
    )


def test_bans_in_input_beside_published_ports(tmp_path: Path) -> None:
    """Packets to a published port are forwarded, so INPUT does not see them (docs.docker.com, iptables)."""
    rules = "\n# iptables -S INPUT\n-P INPUT ACCEPT\n-A INPUT -s 203.0.113.7/32 -j DROP\n"
    published = PS.format(ports="0.0.0.0:8888->80/tcp")
    assert "port 8888/tcp of web" in codes(tmp_path, published + rules)["bans-not-for-containers"]
    assert "bans-not-for-containers" not in codes(tmp_path, PS.format(ports="80/tcp") + rules)


def test_a_script_that_flushes_dockers_rules(tmp_path: Path) -> None:
    script = "my docker containers have no network\niptables -F\niptables -A INPUT -i lo -j ACCEPT\n"
    assert "flushes-docker" in codes(tmp_path, script)
    assert "flushes-docker" not in codes(tmp_path, f"{script}systemctl restart docker\n")


def test_a_rule_after_the_return_by_place(tmp_path: Path) -> None:
    """Rules that were cut out before it are not behind it."""
    text = "*filter\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n...\n-A DOCKER-USER -j RETURN\nCOMMIT\n"
    assert "docker-user-after-return" not in codes(tmp_path, text)


COMPOSE_PS = """\
$ docker-compose ps
   Name               Command         State           Ports
--------------------------------------------------------------------
shop_cli_1   /bin/sh -c /opt/start.sh   Up
shop_db_1    /entrypoint.sh mysqld      {db}   0.0.0.0:3306->3306/tcp
"""
MYSQL = "ERROR 2003 (HY000): Can't connect to MySQL server on '127.0.0.1' ({number})\n"
PSQL = """\
could not connect to server: Connection refused
	Is the server running on host "localhost" (127.0.0.1) and accepting
	TCP/IP connections on port 15432?
"""
TWO = """\
CONTAINER ID   IMAGE         COMMAND    CREATED      STATUS      PORTS                     NAMES

0dcfd05e6225   shop_app      "run"      1 hour ago   Up 1 hour   0.0.0.0:8000->80/tcp      shop_app_1

9077cc959ec8   postgres:16   "docker"   1 hour ago   Up 1 hour   0.0.0.0:15432->5432/tcp   shop_db_1
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # typed in the shell of shop_cli_1; MySQL listens on 3306 unless told otherwise
        (
            f"{COMPOSE_PS.format(db='Up')}root@cli:/var/www# drush sqlc\n{MYSQL.format(number=111)}",
            "shop_cli_1",
        ),
        # macOS and Windows have other numbers for the error, so no container printed it
        (f"{COMPOSE_PS.format(db='Up')}{MYSQL.format(number=61)}", ""),
        # the host finds the published port on localhost, where docker-proxy listens; a container does not
        (f"{PSQL}\n{TWO}", "shop_db_1"),
        (f"$ psql -h localhost -p 15432\n{PSQL}\n{TWO}", ""),
        (f"{COMPOSE.format(more='')}\n{PSQL.replace('15432', '5432')}", "db"),
        (f"{COMPOSE.format(more='')}\n    [[\n{PSQL.replace('15432', '99432')}", ""),
    ],
)
def test_errors_of_clients_in_containers(tmp_path: Path, text: str, found: str) -> None:
    """A message of psql has three lines (libpq, fe-connect.c); that of MySQL has no port."""
    title = codes(tmp_path, text).get("container-loopback", "")
    assert (found in title) if found else not title


@pytest.mark.parametrize(("state", "found"), [("Exit 1", True), ("Up", False)])
def test_a_container_that_does_not_run(tmp_path: Path, state: str, found: bool) -> None:
    text = f"{COMPOSE_PS.format(db=state)}{MYSQL.format(number=61)}"
    assert ("container-stopped" in codes(tmp_path, text)) is found


@pytest.mark.parametrize(
    ("more", "found"),
    [("", True), (" -p 8080:8080", False), (" --network host", False)],
)
def test_a_page_of_a_container_without_ports(tmp_path: Path, more: str, found: bool) -> None:
    text = f"I run\n$ docker run -it --rm{more} tomcat:8.0\nand http://localhost:8080 is refused.\n"
    assert ("port-not-published" in codes(tmp_path, text)) is found


@pytest.mark.parametrize(
    ("ports", "found"), [("9000:9000", True), ("8118:8118", False), ("8100-8200:8100-8200", False)]
)
def test_a_port_that_is_only_exposed_beside_published_ones(tmp_path: Path, ports: str, found: bool) -> None:
    pytest.importorskip("yaml")
    text = f'services:\n  vpn:\n    image: x\n    expose: [8118]\n    ports: ["{ports}"]\n'
    text += "\nThe host's IP is 192.168.1.6.\nI can't reach 192.168.1.6:8118 from my PC.\n"
    assert ("port-not-published" in codes(tmp_path, text)) is found


@pytest.mark.parametrize(("internal", "found"), [(" --internal", True), ("", False)])
def test_ports_on_an_internal_network(tmp_path: Path, internal: str, found: bool) -> None:
    """Docker maps no ports of a container without a gateway endpoint (libnetwork, --internal)."""
    text = f"1. `docker network create net{internal}`\n2. `docker run --net net -dp 127.0.0.1:80:80 nginx`\n"
    assert ("internal-not-published" in codes(tmp_path, text)) is found


@pytest.mark.parametrize(
    ("network", "found"),
    [("--network host", True), ("--network lan", True), ("--network net", False), ("", False)],
)
def test_ports_that_docker_discards(tmp_path: Path, network: str, found: bool) -> None:
    """Docker run: "Published ports are discarded when using host network mode"; macvlan has no port mappings."""
    text = (
        "$ docker network create -d macvlan --subnet 192.168.5.0/24 lan\n$ docker network create net\n"
        f"$ docker run {network} -dp 8080:80 nginx\n"
    )
    assert ("ports-discarded" in codes(tmp_path, text)) is found


def test_ports_of_a_container_in_the_network_of_another(tmp_path: Path) -> None:
    """Docker create: "conflicting options: port publishing and the container type network mode"."""
    text = """\
services:
  vpn:
    image: vpn
  client:
    image: client
    network_mode: service:vpn
    ports: ["8080:8080"]
  db:
    image: db
  admin:
    image: admin
    network_mode: service:db
    ports: ["8081:80"]
"""
    (tmp_path / "compose.yaml").write_text(text)
    found = [one for one in iptsim.lint(tmp_path / "compose.yaml") if one.code == "ports-discarded"]
    for one, (name, owner) in zip(found, [("admin", "db"), ("client", "vpn")], strict=True):
        assert re.search(rf"{name}\S* in the network of \S*{owner}", str(one.title))
    assert [str(one.text) for each in found for one in each.evidence] == ["8081->80/tcp", "8080->8080/tcp"]


@pytest.mark.parametrize(
    ("more", "found"),
    [("", True), ("-A FORWARD -s 10.42.0.0/16 -j ACCEPT\n", False), ("-A FORWARD -j FLANNEL-FWD\n", False)],
)
def test_pods_that_the_forward_policy_cuts_off(tmp_path: Path, more: str, found: bool) -> None:
    """kube-proxy's KUBE-FORWARD accepts marked and established packets only (proxier.go)."""
    text = f"""\
# iptables -S
-P INPUT ACCEPT
-P FORWARD DROP
-N KUBE-FORWARD
-N FLANNEL-FWD
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
{more}-A FLANNEL-FWD -s 10.42.0.0/16 -j ACCEPT
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
"""
    assert ("forward-drop-pods" in codes(tmp_path, text)) is found


def test_rules_of_podman_that_a_reload_removed(tmp_path: Path) -> None:
    """The message is that of iptables for a chain that does not exist (iptables 1.8, nf_tables)."""
    failed = (
        "ERRO[0000] Error deleting network: running [/usr/sbin/iptables -t nat -D POSTROUTING -s 10.88.0.96 -j"
        " CNI-f1d9f8791753 --wait]: exit status 2: iptables v1.8.4 (nf_tables): Chain '{chain}' does not exist\n"
    )
    text = f"$ firewall-cmd --reload\nsuccess\n$ podman rm -f web\n{failed}"
    assert "podman-rules-flushed" in codes(tmp_path, text.format(chain="CNI-f1d9f8791753"))
    assert "podman-rules-flushed" not in codes(tmp_path, text.replace("CNI-f1d9f8791753", "MINE"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("#9 0.329     Error: connect ECONNREFUSED 127.0.0.1:5432\n", True),
        ("/docker-entrypoint.sh: ready\n[error] connect() failed (111: Connection refused), upstream:"
         ' "http://127.0.0.1:3001/"\n', True),
        ("node | ready\nnode | listening\nnode | connect ECONNREFUSED 127.0.0.1:27017\nnode | end\n", True),
        ("$ docker-compose run --rm web rake db:create\nconnect ECONNREFUSED 127.0.0.1:5432\n", True),
        ("Error: connect ECONNREFUSED 127.0.0.1:5432\n# iptables -S INPUT\n-P INPUT ACCEPT\n", False),
    ],
)  # fmt: skip
def test_logs_of_containers_without_settings(tmp_path: Path, text: str, found: bool) -> None:
    """BuildKit numbers the steps of a build; images of Docker Hub name their entrypoint."""
    assert ("container-loopback" in codes(tmp_path, text)) is found


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (
            "Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use.",
            "port-taken",
        ),
        ("driver failed: Bind for 0.0.0.0:8080 failed: port is already allocated", "port-taken"),
        (
            "failed to bind host port for 0.0.0.0:80:172.17.0.2:80/tcp: address already in use",
            "port-taken",
        ),
        ("Error: rootlessport cannot expose privileged port 80, you can add ...", "privileged-port"),
        (
            "could not find an available, non-overlapping IPv4 address pool among the defaults",
            "address-pool-full",
        ),
        ("Error response from daemon: Pool overlaps with other one on this address space", "subnet-taken"),
        # up to Docker 20.10, and since 23.0
        (
            'msg="[resolver] read from DNS server failed, read udp 172.18.0.7:45569->10.2.0.5:53: i/o timeout"',
            "name-server-silent",
        ),
        (
            'level=error msg="[resolver] failed to query external DNS server" client-addr="udp:172.18.0.2:59011"'
            ' dns-server="udp:10.2.0.5:53" error="read udp 172.18.0.2:3756->10.2.0.5:53: read: connection refused"',
            "name-server-refuses",
        ),
    ],
)
def test_errors_of_engines(tmp_path: Path, line: str, code: str) -> None:
    """The messages are those of libnetwork (portallocator, ipamutils, resolver) and of rootlessport."""
    assert code in codes(tmp_path, f"It fails:\n{line}\n")


@pytest.mark.parametrize(("server", "own"), [("127.0.0.1", True), ("127.0.0.53", True), ("10.2.0.5", False)])
@pytest.mark.parametrize("error", ["connection refused", "i/o timeout"])
def test_a_name_server_at_a_loopback_address(server: str, own: bool, error: str, tmp_path: Path) -> None:
    """Docker asks a loopback server of the host's resolv.conf in the host's namespace (libnetwork, HostLoopback)."""
    sender = server if own else "172.18.0.2"
    path = tmp_path / "log"
    path.write_text(
        f'level=error msg="[resolver] failed to query external DNS server" client-addr="udp:{sender}:41999"'
        f' dns-server="udp:{server}:53" error="read udp {sender}:41999->{server}:53: read: {error}"\n'
    )
    found = next(one for one in iptsim.lint(path) if one.code.startswith("name-server-"))
    assert ("by the interface lo" in str(found.consequence)) is own
    assert ("masqueraded" in str(found.consequence)) is not own
    assert ("docker exec CONTAINER nslookup" in str(found.remedy)) is not own


NOT_ALLOWED = "iptables -P INPUT DROP\niptables -A INPUT -p tcp --dport 22 -j ACCEPT\n"


@pytest.mark.parametrize(
    ("text", "code", "found"),
    [
        ("iptables -A DOCKER-USER -p tcp --dport 80 -j DROP\n", "docker-user-appended", True),
        (
            "iptables -F DOCKER-USER\niptables -A DOCKER-USER -p tcp --dport 80 -j DROP\n",
            "docker-user-appended",
            False,
        ),
        ("iptables -I DOCKER-USER -p tcp --dport 80 -j DROP\n", "docker-user-appended", False),
        # the rules of the chain up to its end, not commands
        (
            "-A DOCKER-USER -p tcp --dport 80 -j DROP\n-A DOCKER-USER -j RETURN\n",
            "docker-user-appended",
            False,
        ),
        ("iptables -A INPUT -p tcp --dport 80 -j DROP\n# docker\n", "input-not-for-containers", True),
        ("iptables -A INPUT -p tcp --dport 80 -j DROP\n", "input-not-for-containers", False),
        # the rest, if the text complains that it is allowed
        (f"{NOT_ALLOWED}# docker: the database can still be reached\n", "input-not-for-containers", True),
        (f"{NOT_ALLOWED}# docker: the database can't be reached\n", "input-not-for-containers", False),
        (f"{NOT_ALLOWED}# the database can still be reached\n", "input-not-for-containers", False),
        ("iptables -A INPUT -p tcp --dport 1:99 -j DROP\n# docker\n", "input-not-for-containers", False),
    ],
)
def test_commands_that_do_not_do_what_they_should(tmp_path: Path, text: str, code: str, found: bool) -> None:
    """Docker up to 27 ends DOCKER-USER with RETURN; published ports are forwarded (docs.docker.com, iptables)."""
    assert (code in codes(tmp_path, text)) is found


@pytest.mark.parametrize(
    ("mentioned", "rules", "found"),
    [
        ("podman", "-P INPUT DROP\n", "podman0"),
        ("k3s", "-P INPUT ACCEPT\n-A INPUT -p tcp --dport 22 -j ACCEPT\n-A INPUT -j REJECT\n", "cni0"),
        ("docker", "-P INPUT DROP\n-A INPUT -i docker0 -j ACCEPT\n", ""),
        ("docker", "-P INPUT ACCEPT\n", ""),
        ("nothing", "-P INPUT DROP\n", ""),
    ],
)
def test_an_input_that_blocks_containers_which_a_text_mentions(
    tmp_path: Path, mentioned: str, rules: str, found: str
) -> None:
    """Packets to an address of the host pass INPUT (iptables(8)), also those of containers."""
    title = codes(tmp_path, f"With {mentioned}:\n# iptables -S\n{rules}").get("host-closed-to-containers", "")
    assert (found in title) if found else not title


def test_hairpin_rules_without_the_chain_of_docker(tmp_path: Path) -> None:
    """For each published port, dockerd writes a rule to nat DOCKER and this one (libnetwork, setPerPortNAT)."""
    listed = "-P PREROUTING ACCEPT\n-P INPUT ACCEPT\n-P OUTPUT ACCEPT\n-P POSTROUTING ACCEPT\n"
    rule = "-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE\n"
    assert "docker-rules-flushed" in codes(tmp_path, f"# iptables -t nat -S\n{listed}{rule}")
    assert "docker-rules-flushed" not in codes(tmp_path, f"# iptables -t nat -S\n{listed}")


def test_a_container_has_no_bridge_of_docker(tmp_path: Path) -> None:
    """Its network namespace has interfaces and rules of its own (network_namespaces(7))."""
    listed = "$ docker exec vpn iptables -S\n-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n"
    assert "host-closed-to-containers" not in codes(tmp_path, listed)


@pytest.mark.parametrize(("more", "found"), [("", True), ("-N DOCKER-INGRESS\n", False)])
def test_a_node_of_a_swarm_without_its_ingress(tmp_path: Path, more: str, found: bool) -> None:
    """Docker makes the chain with the first published port (libnetwork, service_linux.go)."""
    text = (
        "$ docker service create -p 80:80 nginx\n# iptables -S\n-P INPUT ACCEPT\n-P FORWARD DROP\n"
        f"-P OUTPUT ACCEPT\n{more}-A FORWARD -i docker_gwbridge ! -o docker_gwbridge -j ACCEPT\n"
    )
    assert ("swarm-ingress-gone" in codes(tmp_path, text)) is found


TWO_NETWORKS = """\
services:
  app: {image: app, networks: [front]}
  cache: {image: redis, networks: [front]}
  db: {image: "postgres:16", networks: [back]}
networks: {front: {}, back: {internal: true}}

"""
RUNS = "docker run -d --name db {options}postgres\ndocker run -d --name app {options}app\n\n"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (
            TWO_NETWORKS + "app-1  | Error: getaddrinfo ENOTFOUND db\n",
            "project-app-1 cannot resolve the name db: ",
        ),
        (
            TWO_NETWORKS + 'could not translate host name "db" to address',
            "project-app-1, project-cache-1 cannot",
        ),
        (TWO_NETWORKS + "app-1  | lookup cache: no such host\n", ""),
        (
            TWO_NETWORKS + "app-1  | lookup database on 127.0.0.11:53: no such host\n",
            "the containers are called app, ",
        ),
        (TWO_NETWORKS + "app-1  | lookup example.org on 127.0.0.11:53: no such host\n", ""),
        (
            RUNS + "$ docker exec app ping db\nping: bad address 'db'\n",
            "on the default bridge only linked containers",
        ),
        (RUNS + "$ ping db\nping: db: Name or service not known\n", "app cannot resolve the name db"),
        (RUNS.replace("{options}app", "--link db app") + "app-1 | Unknown host db\n", ""),
        (
            RUNS.replace("{options}", "--network n ") + "$ docker exec app ping db\nping: bad address 'db'\n",
            "",
        ),
    ],
)
def test_names_are_those_of_containers_on_a_network_of_ones_own(
    tmp_path: Path, text: str, title: str
) -> None:
    """Docker's documentation of bridge networks: names only on user-defined networks, on the default one only links."""
    found = codes(tmp_path, text.replace("{options}", ""))
    assert title in found.get("name-not-resolved", "") if title else "name-not-resolved" not in found


def test_the_bridges_of_docker_are_known_by_their_names(tmp_path: Path) -> None:
    """As ufw drops what containers send to the host, on every bridge."""
    text = (
        "$ ip -br a\neth0  UP  192.0.2.10/24\nlo  UNKNOWN  127.0.0.1/8\nbr-5e1c0aa7b1c2  UP  172.18.0.1/16\n"
        "$ sudo ufw status verbose\nStatus: active\nDefault: deny (incoming), allow (outgoing), deny (routed)\n\n"
        "To                         Action      From\n--                         ------      ----\n"
        "22/tcp                     ALLOW IN    Anywhere\n\n"
        "# docker exec -it web bash\nroot@web:/# nc -vz 172.18.0.1 3306\n"
        "nc: connect to 172.18.0.1 port 3306 (tcp) failed: Connection timed out\n"
    )
    found = codes(tmp_path, text)
    assert found["host-closed-to-containers"].endswith("br-5e1c0aa7b1c2.")
    cause = iptsim.lint(tmp_path / "paste.txt").cause
    assert cause is not None
    assert str(cause.text).startswith("172.18.0.2 → host 172.18.0.1, tcp/3306: DROP.")


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("", True),
        ("iptables -I FORWARD -p tcp --dport 25 -j DROP\n", False),
        ("iptables -A OUTPUT -o lo -j ACCEPT\n", True),
    ],
)
def test_rules_of_output_beside_containers(tmp_path: Path, more: str, found: bool) -> None:
    """OUTPUT is for packets that the host itself makes (iptables(8)); those of containers are forwarded."""
    text = f"{more}iptables -A OUTPUT -p tcp --dport 25 -j DROP\n\nI use docker 24.\n"
    assert ("output-not-for-containers" in codes(tmp_path, text)) is found
    assert "output-not-for-containers" not in codes(tmp_path, text.replace("docker", "nothing"))


@pytest.mark.parametrize(
    ("lan", "metric", "bridge", "found"),
    [
        ("192.168.1.0/24", 100, "br-0b1c2d3e4f50", True),
        ("192.168.0.0/16", 0, "br-0b1c2d3e4f50", True),
        ("192.168.2.0/24", 0, "br-0b1c2d3e4f50", False),
        ("192.168.1.0/26", 0, "br-0b1c2d3e4f50", False),
        ("192.168.1.0/24", 100, "lxcbr0", True),
        ("192.168.1.0/24", 100, "wlan0", False),  # both may lead to the same machines
    ],
)
def test_a_network_of_containers_with_the_addresses_of_the_lan(
    tmp_path: Path, lan: str, metric: int, bridge: str, found: bool
) -> None:
    """The longest prefix decides, then the lowest metric (ip-route(8))."""
    path = tmp_path / "paste.txt"
    path.write_text(
        "# ip route\ndefault via 192.168.1.1 dev eth0 proto dhcp metric 100\n"
        f"192.168.1.0/24 dev {bridge} proto kernel scope link src 192.168.1.1\n"
        f"{lan} dev eth0 proto kernel scope link src 192.168.1.20 metric {metric}\n"
    )
    texts = [str(one.consequence) for one in iptsim.lint(path) if one.code == "subnet-overlaps"]
    assert [text.startswith(f"The route by {bridge} decides.") for text in texts] == [True] * found


@pytest.mark.parametrize(("bridge", "found"), [("br-0b1c2d3e4f50", True), ("virbr0", False)])
def test_a_network_of_docker_with_the_addresses_of_guests(tmp_path: Path, bridge: str, found: bool) -> None:
    path = tmp_path / "paste.txt"
    path.write_text(
        "# ip route\ndefault via 192.0.2.1 dev eth0\n"
        f"192.168.122.0/24 dev {bridge} proto kernel scope link src 192.168.122.1\n"
        "192.168.122.0/24 dev virbr0 proto kernel scope link src 192.168.122.1\n"
    )
    titles = [str(one.title) for one in iptsim.lint(path) if one.code == "subnet-overlaps"]
    assert [title.endswith("the network behind virbr0 (192.168.122.0/24).") for title in titles] == [
        True
    ] * found


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        ("127.0.0.1:8888->8888/tcp", True),
        ("0.0.0.0:8888->8888/tcp", False),
        ("127.0.0.1:8888->8888/tcp, 192.0.2.7:8888->8888/tcp", False),
    ],
)
def test_a_port_that_is_published_for_the_host_alone(tmp_path: Path, ports: str, found: bool) -> None:
    """`-p 127.0.0.1:8888:8888` (docs.docker.com, port publishing)."""
    title = codes(tmp_path, PS.format(ports=ports)).get("published-on-loopback", "")
    assert title.endswith("8888/tcp (web).") is found


def test_a_published_port_of_a_host_is_no_mistake(tmp_path: Path) -> None:
    """It is how to publish a database; only in a text about a problem may it be the cause."""
    (tmp_path / "compose.yaml").write_text('services: {db: {image: x, ports: ["127.0.0.1:5432:5432"]}}\n')
    assert "published-on-loopback" not in {one.code for one in iptsim.lint(tmp_path / "compose.yaml")}


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ('{"dns": ["127.0.0.53"]}\n', True),
        ("Docker daemon command line: `--dns 127.0.0.1 --log-driver=journald`\n", True),
        ('{"dns": ["127.0.0.53", "192.0.2.53"]}\n', False),
        ('{"dns": ["192.0.2.53"]}\n', False),
    ],
)
def test_a_name_server_on_loopback(settings: str, found: bool, tmp_path: Path) -> None:
    """Docker's resolver asks the servers of --dns in the container (moby: libnetwork/resolver.go, extDNSEntry)."""
    assert ("container-loopback" in codes(tmp_path, settings + "\ndocker run -d --name web nginx\n")) is found


@pytest.mark.parametrize(
    ("server", "found"), [("127.0.0.53", True), ("127.0.1.1", True), ("127.0.0.1", False)]
)
def test_the_stub_of_the_host_as_name_server(server: str, found: bool, tmp_path: Path) -> None:
    """A container may have a server of its own on 127.0.0.1."""
    network = {"bridge": {"IPAddress": "172.17.0.2", "IPPrefixLen": 16, "Gateway": "172.17.0.1"}}
    web = {"Id": "1" * 64, "Name": "/web", "State": {"Running": True}, "HostConfig": {"Dns": [server]}}
    text = json.dumps([{**web, "NetworkSettings": {"Networks": network}}], indent=1) + "\n"
    assert ("container-loopback" in codes(tmp_path, text)) is found
