"""What a pasted text shows of services that only their own machine or container can reach.

A container that connects to localhost, programs that listen on 127.0.0.1 only, ports that no container publishes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from iptsim.host.pasted_services import LoopbackListener, OwnLoopback, StoppedContainer, UnpublishedPort
from iptsim.paste.addresses import is_localhost
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Ask, Listed
from iptsim.paste.prefixes import COMPOSED
from iptsim.paste.prompts import prompt_of
from iptsim.paste.where_typed import ELSEWHERE

#: Ports of services that only programs connect to, no browsers, and words in the names of their images.
_SERVICES: dict[int, tuple[str, ...]] = {
    5432: ("postgres", "postgis", "timescale"), 3306: ("mysql", "mariadb", "percona"), 6379: ("redis", "valkey"),
    27017: ("mongo",), 5672: ("rabbitmq",), 9092: ("kafka",), 9200: ("elasticsearch", "opensearch"),
    11211: ("memcached",), 1433: ("mssql",), 4222: ("nats",), 2379: ("etcd",), 8086: ("influxdb",),
    1883: ("mosquitto",),
}  # fmt: skip
_LOOPBACK = r"(?:localhost|127\.0\.0\.1|\[?::1\]?)"
#: An error about a connection to localhost, with its port.
_FAILED = re.compile(
    r"(?=.*(?:refused|connect|unreachable|reach)).*?"
    rf"(?:\b(?:ECONNREFUSED|to|at|on|host|server|upstream|dial tcp)\W+(?:https?://)?{_LOOPBACK}"
    r"(?:[\"'\])`]*:`?|.{0,60}?\bport[:= ]+\"?)"
    rf"|\"address\":\"{_LOOPBACK}\",\"port\":|\(localhost/127\.0\.0\.1:)(?P<port>\d{{2,5}})\b",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"refused|can(?:'t|not) (?:connect|reach)|could not (?:connect|be established)|unable to connect|failed",
    re.IGNORECASE,
)
#: The error of MySQL's clients, which name no port if it is the default one.
_WITHOUT_PORT = re.compile(rf"MySQL server on '(?:{_LOOPBACK})'", re.IGNORECASE)
#: The first of the lines over which psql and its libraries tell a refused connection.
_RUNNING = re.compile(rf"\bserver running on host \"?{_LOOPBACK}", re.IGNORECASE)
#: Nothing listens on the port: not what a firewall that drops looks like.
_NO_LISTENER = re.compile(r"refused|\(?\b111\b", re.IGNORECASE)
#: The same error on macOS and on Windows, which containers do not run.
_NOT_LINUX = re.compile(r"\((?:61|10061)\b")
#: A setting that says where a service is: DB_HOST=localhost, redis://127.0.0.1:6379/0.
_SETTING = re.compile(rf"(?:^|//|@){_LOOPBACK}(?::(?P<port>\d{{2,5}}))?(?:[/?]|$)", re.IGNORECASE)
_KEYS = re.compile(r"host|ur[li]|addr|server|dsn|endpoint|broker|connection", re.IGNORECASE)
#: Sockets in the lists of ss and netstat.
_SOCKET = re.compile(
    r"\s*(?:(?P<kind>tcp|udp)6?\s+)?(?:(?:LISTEN|UNCONN)\s+)?\d+\s+\d+\s+(?P<address>\S+):(?P<port>\d+)\s+\S+:\S+"
    r"(?P<rest>.*)"
)
_PROGRAM = re.compile(r"users:\(\(\"(?P<ss>[^\"]+)\"|\b\d+/(?P<netstat>[^\s:]+)")
#: Programs that print where they listen, and only there: Flask, Django, Uvicorn, http.server.
_SAYS = re.compile(
    r"(?:\b[Rr]unning on|development server at|Listening (?:on|at):?|Serving HTTP on)\s+(?:https?://)?"
    r"127\.0\.0\.1(?::| port )(?P<port>\d{2,5})\b"
)
#: Options of servers in a command, with the port before or after.
_BOUND = re.compile(
    r"http\.server\s+(?P<first>\d+)\s.*?(?:-b|--bind)[ =]127\.0\.0\.1"
    r"|(?:--host|--bind|--address)[ =](?:127\.0\.0\.1|localhost)\s.*?--port[ =](?P<second>\d+)"
)
_CONFIGURED = (
    (re.compile(r"\s*bind[-_]address\s*=\s*127\.0\.0\.1"), 3306),
    (re.compile(r"\s*listen_addresses\s*=\s*'(?:localhost|127\.0\.0\.1)'"), 5432),
    (re.compile(r"\s*bind 127\.0\.0\.1(?: -?::1)?\s*$"), 6379),
)
_NGINX = re.compile(r"\s*listen\s+127\.0\.0\.1:(?P<port>\d+)\b.*;")
#: Programs whose sockets on 127.0.0.1 are meant so, and ports of such.
_MEANT = re.compile(
    r"docker-proxy|systemd-resolve|cupsd|containerd|sshd|chronyd|named|master|dnsmasq|kubelet"
)
_MEANT_PORTS = frozenset({25, 53, 323, 631, 953, *range(6010, 6020)})
#: At most this many of each kind are kept.
_MOST = 5


def own_loopbacks(
    asks: Iterable[Ask], lines: Sequence[Line], services: Mapping[str, Any], listed: Iterable[Listed] = ()
) -> Iterator[OwnLoopback]:
    """Yield the connections of containers to localhost, as far as a text shows that a container makes them."""
    found: dict[tuple[str, int], OwnLoopback] = {}
    known = {**{one.name: _as_service(one) for one in listed if not one.stopped}, **services}
    for ask in asks:
        port = ask.fields.get("dport")
        to = str(ask.fields["to"])
        if ask.container is not None and isinstance(port, int) and is_localhost(to):
            name = ask.container if ask.container in known else ""
            text = next((line.text.strip() for line in lines if line.number == ask.line), "")
            service, inside = _service_on(port, known, name)
            _keep(found, OwnLoopback(ask.line, text, name, port, service, inside=inside))
    for one in (*_configured(lines, services), *_logged(lines, known)):
        _keep(found, one)
    yield from list(found.values())[:_MOST]


def _as_service(one: Listed) -> dict[str, Any]:
    """Return a container of a list like a service of a Compose file."""
    ports = [f"{port}:{inside}" for _, port, inside, proto in one.ports if proto == "tcp"]
    return {"image": one.image or one.name, "ports": ports, "expose": [port for port, _ in one.exposed]}


def _keep(found: dict[tuple[str, int], OwnLoopback], one: OwnLoopback) -> None:
    found.setdefault((one.container, one.port), one)


def _logged(lines: Sequence[Line], services: Mapping[str, Any]) -> Iterator[OwnLoopback]:
    """Yield the errors in logs of Compose, and those beside a Compose file that are about one of its services."""
    composed = any(COMPOSED.match(line.text) for line in lines)
    for at, line in enumerate(lines):
        text = line.text[:1000]
        row = COMPOSED.match(text)
        port = _refused_port(row["text"] if row else text, lines, at)
        if port is None or prompt_of(text) is not None or _NOT_LINUX.search(text):
            continue
        following = COMPOSED.match(lines[at + 1].text[:1000]) if row is None and at + 1 < len(lines) else None
        told = row or following  # an error may begin on the line before those of its service
        name = told["name"] if told else _typed_in(lines, at, services)
        sure = told is not None or bool(name) or _runs_inside(lines, at)
        service, inside = _service_on(port, services, name)
        if not sure and not (service and (composed or _is_inside(service, port, services, lines, at))):
            continue
        name = name or _only_client(service, services)
        if name and _shares_host(services.get(name)):
            continue
        yield OwnLoopback(line.number, text.strip()[:200], name, port, service, sure=sure, inside=inside)


def _clients(name: str, services: Mapping[str, Any]) -> list[str]:
    """Return the services that probably connect to another one: they are built here, or depend on it."""
    return [
        str(key)
        for key, one in services.items()
        if key != name and isinstance(one, dict) and ("build" in one or name in (one.get("depends_on") or ()))
    ]


def _only_client(name: str, services: Mapping[str, Any]) -> str:
    clients = _clients(name, services) if name else []
    return clients[0] if len(clients) == 1 else ""


def _refused_port(text: str, lines: Sequence[Line], at: int) -> int | None:
    """Return the port of localhost to which a connection failed, according to a line; None for other lines."""
    lower = text.lower()
    if not any(word in lower for word in ("localhost", "127.0.0.1", "::1")):
        return None
    told = text
    if _RUNNING.search(text):  # over three lines: what failed, the host, the port
        before, after = (lines[one].text[:300] if 0 <= one < len(lines) else "" for one in (at - 1, at + 1))
        text = f"{text} {after[found.start(2) :] if (found := COMPOSED.match(after)) else after.strip()}"
        told = f"{before} {text}"
    if not _REFUSED.search(told):
        return None
    error = _FAILED.search(f"{text} connect") if told is not text else _FAILED.search(text)
    if error is not None:
        port = int(error["port"])
        return port if 0 < port < 65536 else None
    return 3306 if _WITHOUT_PORT.search(text) else None


#: At most this many lines lie between a command that was typed in a container and its error.
_NEAR = 6
_HOSTNAME = re.compile(r"[\w.-]+@(?P<name>[\w.-]+)")


def _typed_in(lines: Sequence[Line], at: int, services: Mapping[str, Any]) -> str:
    """Return the container or service in whose shell the command before a line was typed; "" for any other."""
    prompt = next(
        (
            found
            for one in reversed(lines[max(at - _NEAR, 0) : at])
            if (found := prompt_of(one.text)) is not None
        ),
        "",
    )
    host = _HOSTNAME.fullmatch(prompt)
    if host is None:
        return ""
    names = [str(one) for one in services if host["name"] in (one, *re.split(r"[-_.]", str(one)))]
    return names[0] if len(names) == 1 else ""


#: What a line, or one before it, shows of a program that runs in a container: BuildKit's log, that of an entrypoint.
_BUILDS = re.compile(r"\s*#\d+ \d+\.\d+ ")
_ENTRYPOINT = re.compile(r"/docker-entrypoint(?:\.sh|\.d/)")
_IN_SERVICE = re.compile(r"(?:^|[$#>`]\s*|\bsudo\s+)docker(?:-compose|\s+compose)?\s+(?:run|exec)\s+\S")
#: Where the command leaves the host's shell as it was, or the program has the host's network.
_NOT_INSIDE = re.compile(r"\s(?:-[a-z]*d[a-z]*|--detach|--net(?:work)?[ =]host)\b")
#: At most this many lines of an entrypoint's log lie between.
_LOGGED = 20


def _runs_inside(lines: Sequence[Line], at: int) -> bool:
    """Return whether a line is of the log of a build or of an entrypoint, or of a command run in a container."""
    if _BUILDS.match(lines[at].text):
        return True
    if any(_ENTRYPOINT.match(one.text.lstrip()) for one in lines[max(at - _LOGGED, 0) : at]):
        return True
    before = next(
        (one.text for one in reversed(lines[max(at - _NEAR, 0) : at]) if _IN_SERVICE.search(one.text)), ""
    )
    return bool(before) and _NOT_INSIDE.search(before) is None


def _is_inside(name: str, port: int, services: Mapping[str, Any], lines: Sequence[Line], at: int) -> bool:
    """Return whether a container, rather than the host, probably failed to connect to a port of localhost.

    The host finds a published port on localhost: docker-proxy listens there.
    """
    if not _publishes(services[name], port):
        return True
    typed = any(prompt_of(one.text) is not None for one in lines[max(at - _NEAR, 0) : at])
    nearby = " ".join(one.text for one in lines[max(at - 1, 0) : at + 2])
    if typed or not _NO_LISTENER.search(nearby):
        return False
    others = [one for one in services.values() if isinstance(one, dict) and one is not services[name]]
    listed = not any("build" in one or "depends_on" in one for one in others)
    return bool(_clients(name, services) or (listed and others))


def _configured(lines: Sequence[Line], services: Mapping[str, Any]) -> Iterator[OwnLoopback]:
    """Yield the settings of services in a Compose file by which they look for another one on localhost."""
    for name, service in services.items():
        if not isinstance(service, dict) or _shares_host(service):
            continue
        for key, value in _environment(service):
            place = _SETTING.search(value) if _KEYS.search(key) else None
            if place is None:
                continue
            ports = (
                [int(place["port"])]
                if place["port"]
                else [port for port in _SERVICES if _is_about(key, port)]
            )
            for port in ports if len(ports) == 1 or not place["port"] else ():
                other, inside = _service_on(port, services, name)
                if port in _SERVICES and other:
                    at = next((one.number for one in lines if key in one.text and value in one.text), 0)
                    yield OwnLoopback(at, f"{key}={value}"[:200], name, port, other, inside=inside)


def _is_about(key: str, port: int) -> bool:
    """Return whether the name of a setting is about a kind of service: REDIS_HOST, DB_HOST."""
    databases = port in (5432, 3306, 27017, 1433)
    if databases and re.match(r"db|database", key, re.IGNORECASE):
        return True
    return any(word in key.lower() for word in _SERVICES[port])


def _environment(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    given = service.get("environment")
    if isinstance(given, dict):
        yield from ((str(key), str(value)) for key, value in given.items())
    for one in given if isinstance(given, list) else ():
        key, _, value = str(one).partition("=")
        yield key, value


def _shares_host(service: Any) -> bool:
    """Return whether a service has no network of its own."""
    mode = str(service.get("network_mode", "")) if isinstance(service, dict) else ""
    return mode == "host" or mode.startswith(("service:", "container:"))


def _service_on(port: int, services: Mapping[str, Any], own: str) -> tuple[str, int]:
    """Return the other service that has a port, by its image or its ports, and its own port; "" if there is none."""
    for name, service in services.items():
        if name == own or not isinstance(service, dict) or _shares_host(service):
            continue
        image = str(service.get("image", "")).lower()
        if any(word in image for word in _SERVICES.get(port, ())):
            return str(name), port
        pairs = [str(one).partition("/")[0].rpartition(":") for one in _list(service, "ports")]
        inside = [after for _, _, after in pairs]
        if str(port) in inside or str(port) in [
            str(one).partition("/")[0] for one in _list(service, "expose")
        ]:
            return (str(name) if port in _SERVICES or own else ""), port
        mapped = next((after for before, _, after in pairs if before.rpartition(":")[2] == str(port)), "")
        if mapped.isdecimal() and int(mapped) in _SERVICES:
            return str(name), int(mapped)
    return "", port


def _list(service: Mapping[str, Any], key: str) -> list[Any]:
    given = service.get(key)
    return given if isinstance(given, list) else []


def _publishes(service: Mapping[str, Any], port: int) -> bool:
    """Return whether a service publishes a port, so that the host itself finds it on localhost."""
    return any(
        re.search(rf"(?:^|:){port}(?:-\d+)?(?:[:/]|$)", str(one)) for one in _list(service, "ports")
    ) or any(isinstance(one, dict) for one in _list(service, "ports"))


def loopback_listeners(lines: Sequence[Line]) -> Iterator[LoopbackListener]:
    """Yield the ports on which, as far as a text shows, a program listens on 127.0.0.1 only."""
    found: dict[tuple[str, int], LoopbackListener] = {}
    wide: set[tuple[str, int]] = set()
    everywhere = False
    for line in lines:
        text = line.text[:1000]
        everywhere |= "all addresses" in text
        socket = _SOCKET.match(text)
        if socket is not None and ("LISTEN" in text or "UNCONN" in text or socket["kind"] == "udp"):
            port, proto = int(socket["port"]), socket["kind"] or "tcp"
            program = _PROGRAM.search(socket["rest"])
            name = next((one for one in program.groups() if one), "") if program is not None else ""
            local = socket["address"].strip("[]").partition("%")[0]
            if local in ("::1", "::ffff:127.0.0.1") or re.fullmatch(r"127\.0\.0\.1", local):
                if port and port < 65536 and port not in _MEANT_PORTS and not _MEANT.search(name):
                    found.setdefault(
                        (proto, port), LoopbackListener(line.number, text.strip(), proto, port, name)
                    )
            else:
                wide.add((proto, port))
            continue
        for number in re.findall(r"(?:0\.0\.0\.0|\[::\]|\*):(\d{1,5})\b", text):
            wide.add(("tcp", int(number)))
        said = _SAYS.search(text) or _NGINX.match(text)
        bound = _BOUND.search(text)
        port = int(said["port"]) if said else int(bound["first"] or bound["second"]) if bound else 0
        port = port or next((own for words, own in _CONFIGURED if words.match(text)), 0)
        if 0 < port < 65536:
            found.setdefault(
                ("tcp", port), LoopbackListener(line.number, text.strip()[:200], "tcp", port, said=True)
            )
    kept = [one for key, one in found.items() if key not in wide and not (one.said and everywhere)]
    yield from kept[:_MOST]


def unpublished_ports(
    asked: Iterable[Ask], listed: Iterable[Listed], services: Mapping[str, Any], own: Iterable[str]
) -> Iterator[UnpublishedPort]:
    """Yield the ports to which a connection to the host failed, and that a container has, but does not publish."""
    here = {"localhost", "host", "127.0.0.1", "::1", *own}
    known = list(listed)
    published = {(port, proto) for one in known for _, port, _, proto in one.ports}
    for ask in asked:
        port, proto = ask.fields.get("dport"), str(ask.fields.get("proto", "tcp"))
        outside = ask.container in (None, ELSEWHERE)
        if not outside or not isinstance(port, int) or ask.fields["to"] not in here:
            continue
        if (port, proto) in published:
            continue
        names = [one.name for one in known if (port, proto) in one.exposed]
        names += [str(name) for name, one in services.items() if _exposes(one, port)]
        names = names or _only_hidden(services)
        if names:
            yield UnpublishedPort(ask.line, names[0], port, proto)


def _exposes(service: Any, port: int) -> bool:
    """Return whether a service of Compose has a port that it does not publish."""
    if not isinstance(service, dict) or _shares_host(service) or _publishes(service, port):
        return False
    if any("-" in str(one) for one in _list(service, "ports")):
        return False  # a range may have it
    return str(port) in [str(one).partition("/")[0] for one in _list(service, "expose")]


def _only_hidden(services: Mapping[str, Any]) -> list[str]:
    """Return the only container that a text starts, if it publishes no port."""
    names = [str(name) for name in services]
    only = services[names[0]] if len(names) == 1 else None
    if not isinstance(only, dict) or _shares_host(only) or _list(only, "ports") or "build" in only:
        return []
    return names


def stopped_containers(
    asked: Iterable[Ask], lines: Sequence[Line], listed: Iterable[Listed]
) -> Iterator[StoppedContainer]:
    """Yield the containers in a list that do not run, and to whose ports a connection failed."""
    known = list(listed)
    stopped = [one for one in known if one.stopped]
    if not stopped:
        return
    running = {port for one in known for _, port, _, _ in one.ports}
    tried = [(ask.line, str(ask.fields["to"]), ask.fields.get("dport")) for ask in asked]
    tried += [
        (line.number, "localhost", port)
        for at, line in enumerate(lines)
        if (port := _refused_port(line.text[:1000], lines, at)) is not None
    ]
    found: dict[str, StoppedContainer] = {}
    for number, to, port in tried:
        for one in stopped:
            by_name = to == one.name
            by_port = port in [own for own, _ in one.exposed] and port not in running
            if isinstance(port, int) and (by_name or by_port):
                found.setdefault(one.name, StoppedContainer(number, one.name, one.stopped, port))
    yield from list(found.values())[:_MOST]
