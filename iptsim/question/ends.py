"""Both ends of a question's packet on a host: where it comes from, the address family, the destination address."""

from __future__ import annotations

from iptsim.addresses import Family, address_text, is_loopback, parse_address
from iptsim.dump.tool import tool_of
from iptsim.errors import UsageError
from iptsim.host import fib
from iptsim.host.model import Host
from iptsim.languages import Message, message
from iptsim.question.endpoints import Address, Endpoint, Internet, Loopback, Resolver
from iptsim.question.internet import other_address_note, outside_address
from iptsim.question.model import Question, check_family
from iptsim.question.places import (
    InContainer,
    OnHost,
    Place,
    destination_place,
    shared_network_note,
    unresolved_note,
)

LOOPBACK: dict[Family, int] = {4: 0x7F000001, 6: 1}


class Ends:
    """Both ends of a question's packet on a host.

    Attributes:
        source: where the packet comes from.
        family: its address family.
        notes: what was assumed about the endpoints.
    """

    def __init__(self, host: Host, question: Question, endpoint: Endpoint, source: Place) -> None:
        self.host = host
        self.question = question
        self.source = source
        self.notes: list[Message] = [*shared_network_note(host, endpoint, source)]
        self.family = self._family()

    def _family(self) -> Family:
        """Return the address family of the packet.

        Raises:
            UsageError: the source is a dump of the other family.
        """
        host, source = self.host, self.source
        family = self.question.stated_family
        if family is None:
            only_ipv6 = host.inferred and 4 not in host.rulesets and 6 in host.rulesets
            if isinstance(source, InContainer) and source.container.address(4) is None:
                only_ipv6 = only_ipv6 or source.container.address(6) is not None
            family = 6 if only_ipv6 else 4
        if host.inferred and host.rulesets and family not in host.rulesets:
            raise UsageError(
                message(
                    "{source} has only IPv{other} rules, so nothing is known about IPv{family}; "
                    "give the output of {command}, or a capture",
                    source=host.source,
                    other=10 - family,
                    family=family,
                    command=f"{tool_of(family)}-save",
                )
            )
        return family

    def fitting(self, address: Address, name: str) -> int:
        """Return the number of an address of the packet's family.

        Raises:
            UsageError: the address is of the other family.
        """
        check_family(name, address, self.family)
        return address.value

    def destination(self) -> tuple[str, int]:
        """Return the name of the destination in the answer, and its address.

        Raises:
            UsageError: it has no address of the family, or `to` and `dst` are different destinations.
        """
        to, dst = self.question.to, self.question.dst
        if dst is not None:
            if to is not None and not self._is_at(to, dst):
                raise UsageError(
                    message(
                        "to {to} and dst {dst} are two destinations: give one of them",
                        to=str(to),
                        dst=str(dst),
                    )
                )
            return str(dst), dst.value
        assert to is not None  # a question has a destination
        place = destination_place(self.host, to, self.source)
        self.notes += shared_network_note(self.host, to, place)
        name, address = self._destination_address(place)
        if isinstance(place, InContainer) and isinstance(self.source, InContainer):
            sender, text = self.source.container, address_text(self.family, address)
            self.notes += unresolved_note(self.host, to, sender, place.container, text)
        return name, address

    def _destination_address(self, place: Place) -> tuple[str, int]:
        family = self.family
        if isinstance(place, InContainer):
            name = place.container.name
            address = (
                place.address(family) if place.attachment or place.named else self._common_address(place)
            )
            if address is None:
                raise UsageError(
                    message("container {name} has no IPv{family} address", name=name, family=family)
                )
            return name, address
        if isinstance(place, OnHost):
            return "host", self._host_address()
        if isinstance(place, Loopback):
            return str(place), LOOPBACK[family]
        if isinstance(place, Internet):
            return str(place), self.outside_address()
        if isinstance(place, Resolver):
            return self._name_server()
        address = self.fitting(place, "to")
        if family == 6 and self.question.dport is None and self.host.owner_of(6, address) is None:
            self._note_port_in_address(str(place))
        return str(place), address

    def _is_at(self, to: Endpoint, dst: Address) -> bool:
        """Return whether an address belongs to a destination."""
        place = destination_place(self.host, to, self.source)
        owner = self.host.owner_of(dst.family, dst.value)
        if isinstance(place, InContainer):
            return isinstance(owner, tuple) and owner[0] is place.container
        if isinstance(place, OnHost | Loopback):
            return owner == "host" or is_loopback(dst.family, dst.value)
        if isinstance(place, Internet):
            return owner is None
        return isinstance(place, Resolver) or dst == place

    def _common_address(self, place: InContainer) -> int | None:
        """Return the address of a container, if possible the one in a network that it shares with the source."""
        source = self.source
        if isinstance(source, InContainer):
            for network in [source.attachment.network] if source.attachment else source.container.endpoints:
                address = place.container.address(self.family, network)
                if address is not None and network in place.container.endpoints:
                    return address
        return place.container.address(self.family)

    def _host_address(self) -> int:
        """Return the host's address on the side of the default route, else its first one."""
        namespace, family = self.host.namespace, self.family
        outside = outside_address(self.host, family)
        source = fib.source_address(namespace, family, fib.lookup(namespace, family, outside), outside)
        if source is not None:
            return source
        for interface, address in namespace.addresses(family):
            if interface.kind != "loopback" and address.scope == "global":
                return address.address
        raise UsageError(
            message(
                "no IPv{family} address of the host is known; give the address instead of host", family=family
            )
        )

    def outside_address(self) -> int:
        """Return the address that "internet" means, with a note if it is not the usual one."""
        note = other_address_note(self.host, self.family)
        if note is not None:
            self.notes.append(note)
        return outside_address(self.host, self.family)

    def _name_server(self) -> tuple[str, int]:
        namespace = (
            self.source.container.namespace if isinstance(self.source, InContainer) else self.host.namespace
        )
        for text, address in namespace.nameservers_of(self.family):
            return f"dns {text}", address
        raise UsageError(
            message(
                "dns: no IPv{family} name server is known, as the capture has no resolv.conf of the sender that names "
                "one; give its address",
                family=self.family,
            )
        )

    def _note_port_in_address(self, text: str) -> None:
        """Note how to write a port after an IPv6 address, if the last group may be meant as one."""
        head, _, port = text.rpartition(":")
        try:
            parse_address(head)
        except ValueError:
            return
        if port.isdecimal():
            self.notes.append(
                message(
                    "{text} was read as an address; to give a port, write [{head}]:{port}.",
                    text=text,
                    head=head,
                    port=port,
                )
            )
