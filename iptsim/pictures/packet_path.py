"""The path of a packet on the topology: from its source past interfaces and hooks to its destination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from iptsim.explanation import Explanation
from iptsim.explanation.story import End, LegVisit
from iptsim.extensions.context import HOOKS
from iptsim.host.model import Host
from iptsim.netfilter.steps import Step
from iptsim.pictures.captions import change_text
from iptsim.pictures.wiring import Plug, Switch, Wiring

#: The nodes of the host's own programs and of the routing decision.
PROCESSES, ROUTING = "processes", "hook ROUTING"


@dataclass(slots=True)
class PacketPath:
    """One packet's path.

    Attributes:
        visited: the leg; it says whether the packet arrived, was stopped, or depends on an undecided match.
        places: names of the nodes on the path, in order.
        step: the step that stopped the packet, or on which its path depends.
    """

    visited: LegVisit
    places: list[str]
    step: Step | None = None

    @property
    def kind(self) -> Literal["route", "reply"]:
        """The kind of its edges."""
        return "route" if self.visited.drawn == "request" else "reply"

    @property
    def translations(self) -> list[tuple[str, str]]:
        """The address translations on the path: the place of each, and what it changes."""
        steps = self.visited.leg.steps
        return [(f"hook {step.hook}", change) for step in steps if (change := change_text(step))]

    @property
    def end(self) -> End:
        """How it ends."""
        return self.visited.end


def packet_paths(host: Host, wiring: Wiring, explanation: Explanation) -> list[PacketPath]:
    """Return the paths that are drawn: of the packet, of docker-proxy's own connection, and of a lost reply."""
    return [
        _PathFinder(host, wiring, explanation, leg).path()
        for leg in explanation.story.legs
        if leg.drawn is not None
    ]


class _PathFinder:
    """Finds the places of one leg."""

    def __init__(self, host: Host, wiring: Wiring, explanation: Explanation, visited: LegVisit) -> None:
        self.host, self.wiring, self.explanation = host, wiring, explanation
        self.visited, self.leg = visited, visited.leg
        self.hooks = [hook.hook for hook in visited.host.hooks if hook.hook in HOOKS]
        self.start = self._start()

    def path(self) -> PacketPath:
        ends = self.leg.ends
        step = self._hinge() if self.visited.end == "open" else ends[-1] if ends else None
        return PacketPath(self.visited, self._places(step), step)

    def _places(self, step: Step | None) -> list[str]:
        leg = self.leg
        if step is not None and any(step is own for own in leg.own_steps):
            return self.start[:1]
        if leg.inside:
            return self.start[:1]
        places = self._whole()
        if step is None:
            return places
        if any(step is own for own in leg.arrival_steps):
            return places
        stop = self._stop(step, places)
        if stop in places:
            # if the packet passes a hook twice, the last time counts
            last = len(places) - 1 - places[::-1].index(stop)
            return places[: last + 1]
        return [*places[:1], stop] if stop else places

    def _stop(self, step: Step, places: list[str]) -> str:
        """Return the place where a step stops the packet."""
        if step.hook in HOOKS:
            return f"hook {step.hook}"
        if step.code == "no-neighbour" and step.hook == "ROUTING":
            return places[-1] if places else ROUTING
        if step.hook == "ROUTING":
            return ROUTING
        if step.hook == "BRIDGE":
            switches = [place for place in places if self._is_switch(place)]
            return switches[-1] if switches else places[-1]
        if step.hook == "LINK":
            return next((place for place in places if place.startswith("interface ")), places[0])
        return places[-1]

    def _is_switch(self, place: str) -> bool:
        return any(switch.key == place for switch in self.wiring.switches)

    def _hinge(self) -> Step | None:
        """Return the step with the undecided match."""
        hinges = {hinge.step for hinge in self.explanation.trace.hinges}
        chains_of_nftables = {hinge.nftables for hinge in self.explanation.trace.hinges}
        for step in self.leg.steps:
            if step.nftables is not None and step.nftables in chains_of_nftables:
                return step
            if step.rule and (step.table or "", step.chain or "", step.rule.position) in hinges:
                return step
        chains = {hinge[:2] for hinge in hinges}
        near = [step for step in self.leg.steps if (step.table, step.chain) in chains]
        maybe = [step for step in self.leg.steps if step.maybe]
        return next(iter([*near, *maybe]), self.leg.deciding)

    # -- the whole path ----------------------------------------------------------------------------------

    def _whole(self) -> list[str]:
        """Return the places of the path if nothing stopped the packet."""
        leg, start = self.leg, self.start
        if any(step.code == "bypasses-iptables" for step in leg.steps):
            ends = self._end(came_by=start[-1])
            known = start if start != [ROUTING] or not ends else []
            return [*known, *(place for place in ends if place not in known)]
        local = start[0] == PROCESSES
        to_host = "INPUT" in self.hooks or (leg.delivered is not None and leg.delivered.kind == "host")
        if local:
            middle = ["hook OUTPUT", "hook POSTROUTING"]
            if to_host:
                return [*start, *middle, "hook PREROUTING", "hook INPUT", PROCESSES]
            return [*start, *middle, *self._end()]
        if to_host:
            return [*start, "hook PREROUTING", ROUTING, "hook INPUT", PROCESSES]
        came, goes = self._interfaces()
        switched = came is not None and came == goes and self._is_switch(f"bridge {came}")
        middle = ["hook PREROUTING", *([] if switched else [ROUTING]), "hook FORWARD", "hook POSTROUTING"]
        return [*start, *middle, *self._end()]

    def _interfaces(self) -> tuple[str | None, str | None]:
        """Return the input and output interface of the host."""
        steps = [step for step in self.leg.steps if step.hook in HOOKS]
        came = next((step.interfaces[0] for step in steps if step.interfaces[0]), None)
        goes = next((step.interfaces[1] for step in reversed(steps) if step.interfaces[1]), None)
        if goes is None and self.leg.delivered is not None:
            goes = self.leg.delivered.interface
        return came, goes

    def _start(self) -> list[str]:
        leg, wiring = self.leg, self.wiring
        if leg.sender in ("host", "docker-proxy", "localhost"):
            return [PROCESSES]
        if leg.sender in self.host.containers:
            if leg.sender in wiring.resident:
                return [PROCESSES]
            plug = self._plug(leg.sender, leg.packet.src, self._interfaces()[0])
            return self._out_of(plug) if plug is not None else [PROCESSES]
        came = self._interfaces()[0] or self.explanation.question.in_interface
        # if no interface leads outside (a bridge carries the uplink), the path begins at the routing
        return self._from_outside(came) or [ROUTING]

    def _end(self, came_by: str = "") -> list[str]:
        """Return the places from the host's last hook to the receiver."""
        leg = self.leg
        goes = self._interfaces()[1]
        if leg.delivered is not None:
            packet, name = leg.delivered.packet, leg.delivered.name
            if leg.delivered.kind == "container":
                plug = self._plug(name, packet.dst, goes)
                return self._out_of(plug)[::-1] if plug is not None else [PROCESSES]
            return self._from_outside(leg.delivered.interface or goes, came_by)[::-1]
        owner = self.host.owner_of(leg.packet.family, leg.packet.dst)
        if isinstance(owner, tuple):
            plug = self._plug(owner[0].name, leg.packet.dst, goes)
            return self._out_of(plug)[::-1] if plug is not None else []
        return self._from_outside(goes, came_by)[::-1]

    def _plug(self, container: str, address: int, interface: str | None) -> Plug | None:
        """Return the plug by which a container sends or receives."""
        plugs = [
            (switch, plug)
            for switch in self.wiring.switches
            for plug in switch.plugs
            if plug.guest is not None and container in plug.guest.names
        ]
        fitting = [plug for _, plug in plugs if address in plug.addresses]
        fitting += [plug for switch, plug in plugs if switch.name == interface]
        return next(iter([*fitting, *(plug for _, plug in plugs)]), None)

    def _out_of(self, plug: Plug) -> list[str]:
        switch = self._switch_of(plug)
        places = [plug.key, plug.port_key, switch.key if switch is not None and switch.kind != "none" else ""]
        return [place for place in places if place]

    def _switch_of(self, plug: Plug) -> Switch | None:
        return next((switch for switch in self.wiring.switches if plug in switch.plugs), None)

    def _from_outside(self, interface: str | None, came_by: str = "") -> list[str]:
        """Return the places from the outside to the host's routing."""
        by_name = {outer.interface.name: outer for outer in self.wiring.outer}
        outer = by_name.get(interface or "")
        bridge = f"bridge {interface}"
        if outer is None and self._is_switch(bridge):
            behind = [outer for outer in self.wiring.outer if outer.switch == bridge]
            if not behind:
                return [bridge]
            return [*([f"world {behind[0].world}"] if behind[0].world else []), behind[0].key, bridge]
        if outer is None and came_by:
            switch = next((switch for switch in self.wiring.switches if switch.key == came_by), None)
            outer = by_name.get(switch.uplinks[0]) if switch is not None and switch.uplinks else None
            if outer is None:
                return []
        if outer is None:
            outer = next((outer for outer in self.wiring.outer if outer.world == "Internet"), None)
        if outer is None:
            return []
        places = [f"world {outer.world}" if outer.world else "", outer.key]
        if outer.switch and interface != outer.interface.name:
            places.append(outer.switch)
        return [place for place in places if place]
