"""What the kernel did with one packet, as the laboratory saw it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from tests.kernel.frames import Header
from tests.kernel.tracing import Sighting, Step


class Arrival(NamedTuple):
    """A packet that came out at the far end of an interface."""

    interface: str
    header: Header


class Caused(NamedTuple):
    """A packet that the host made because of another.

    Attributes:
        header: as the hooks saw it first.
        left: it passed the last hook out of the host, or into it.

    """

    header: Header
    steps: tuple[Step, ...]
    left: bool = False


class Observation(NamedTuple):
    """What the kernel did with one packet.

    Attributes:
        steps: rules that matched, ends of user chains and policies, in order.
        sightings: the packet at the head and tail of each hook that it reached.
        arrivals: the far ends where it came out.
        answers: packets that the host made because of it, where they came out ("lo": at the host).
        caused: the same packets, and those that did not come out, in the host's own hooks; not with the
            legacy backend, whose trace is only read for the laboratory's own packets.
        error: name of the error that sending gave ("EPERM"), empty for none.
        at: when it was sent.
        cpu: the processor that handled it.
        rejected: the rule that dropped it is a REJECT.
        discovered: on an IPv6 bridge, whether its sender found the receiver by neighbour discovery; None
            where that was not tried.

    """

    steps: tuple[Step, ...]
    sightings: tuple[Sighting, ...]
    arrivals: tuple[Arrival, ...]
    answers: tuple[Arrival, ...]
    caused: tuple[Caused, ...] = ()
    error: str = ""
    rejected: bool = False
    at: datetime | None = None
    cpu: int = 0
    discovered: bool | None = None

    @property
    def delivered(self) -> Header | None:
        """The packet as the host itself got it, None if it did not."""
        for sighting in reversed(self.sightings):
            if (sighting.hook, sighting.place) == ("INPUT", "tail"):
                return sighting.header
        return None

    @property
    def verdict(self) -> str:
        """ACCEPT, DROP or REJECT by a rule or policy, QUEUE, STOLEN, or LOST: the kernel itself let it go.

        A packet that has passed POSTROUTING is accepted, whether or not a neighbour is there to get it.
        """
        last = self.sightings[-1] if self.sightings else None
        sent = (
            last is not None
            and (last.hook, last.place) == ("POSTROUTING", "tail")
            and last.out_interface != "lo"
        )
        if self.delivered or self.arrivals or sent:
            # of the host's own broadcast a copy comes back, which a rule may still reject
            return "ACCEPT"
        if self.rejected:
            return "REJECT"
        ends = [step.verdict for step in self.steps if step.verdict in ("DROP", "QUEUE", "STOLEN")]
        return ends[-1] if ends else "LOST"
