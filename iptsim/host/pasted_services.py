"""What a pasted text says of services: the ports that containers publish, and those that nothing can reach."""

from __future__ import annotations

from typing import NamedTuple


class OwnLoopback(NamedTuple):
    """A container that connects to localhost, according to a pasted text: to itself.

    Attributes:
        line: the number of the line that shows it; 0 if unknown.
        text: that line, or the setting.
        container: its name; "" if unknown.
        service: the other container that has a service on this port; "" if unknown.
        sure: a container makes the connection; otherwise it probably does.
        inside: the port on which that service listens in its own container.
    """

    line: int
    text: str
    container: str
    port: int
    service: str = ""
    sure: bool = True
    inside: int = 0


class UnresolvedName(NamedTuple):
    """A host name that could not be resolved, according to a pasted text.

    Attributes:
        line: the number of the line that shows it.
        text: that line.
        asker: the name or ID of the container that asked; "" if unknown.
    """

    line: int
    text: str
    name: str
    asker: str


class ConfiguredPort(NamedTuple):
    """A TCP port on which a server listens, according to its settings in a pasted text.

    Attributes:
        line: the number of the line that sets it.
        text: that line.
    """

    line: int
    text: str
    port: int


class LoopbackListener(NamedTuple):
    """A port on which a program listens on 127.0.0.1 only, according to a pasted text.

    Attributes:
        line: the number of the line that shows it.
        text: that line.
        program: its name; "" if unknown.
        said: the program itself prints it, or its settings or arguments say so.
    """

    line: int
    text: str
    proto: str
    port: int
    program: str = ""
    said: bool = False


class ListedPort(NamedTuple):
    """A port of the host that a container in a list or a command publishes, except on its loopback.

    Attributes:
        name: the container.
        port: the port of the host.
        proto: "tcp" or "udp".
        inside: the port of the container.
    """

    name: str
    port: int
    proto: str
    inside: int


class UnpublishedPort(NamedTuple):
    """A port to which a connection to the host failed: a container has it, but none publishes it.

    Attributes:
        line: the number of the line that shows the failure.
        name: the container.
    """

    line: int
    name: str
    port: int
    proto: str


class StoppedContainer(NamedTuple):
    """A container that does not run, and to whose port a connection failed, according to a pasted text.

    Attributes:
        line: the number of the line that shows the failure.
        status: as listed: "Exit 1", "Exited (137) 2 hours ago".
    """

    line: int
    name: str
    status: str
    port: int


class NarrowLink(NamedTuple):
    """A link that carries less than the packets of Docker's networks, according to a pasted text.

    Attributes:
        line: the number of the line that says so.
        text: that line.
        name: the interface, or the kind of link: "VPN".
        size: its MTU in bytes.
        docker: the MTU of Docker's networks, in bytes.
    """

    line: int
    text: str
    name: str
    size: int
    docker: int
