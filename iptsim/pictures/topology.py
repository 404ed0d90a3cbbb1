"""The topology picture: a host's network namespaces, veth pairs, bridges, and iptables with its NAT.

It shows what is connected to what, and the path of a packet with the place where it stops.
"""

from __future__ import annotations

from itertools import pairwise

from iptsim.addresses import Family
from iptsim.dump.ruleset import Ruleset
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.explanation.places import decision_of
from iptsim.host.model import Host
from iptsim.languages import joined, message, say, say_many
from iptsim.pictures.address_translation import translations
from iptsim.pictures.captions import answer_captions, rules_text
from iptsim.pictures.drawing import Caption, Drawing, Edge, Ending, Group, Node, Sample
from iptsim.pictures.packet_path import PROCESSES, ROUTING, PacketPath, packet_paths
from iptsim.pictures.picture import Picture
from iptsim.pictures.topology_layout import place
from iptsim.pictures.topology_tree import tree
from iptsim.pictures.wiring import Outer, Plug, Switch, Wiring, wiring_of

#: The host's hooks in the order in which they are drawn, and which follows which.
STATIONS = (
    "hook PREROUTING",
    ROUTING,
    "hook INPUT",
    PROCESSES,
    "hook OUTPUT",
    "hook FORWARD",
    "hook POSTROUTING",
)
_FLOW = (
    ("hook PREROUTING", ROUTING),
    (ROUTING, "hook INPUT"),
    ("hook INPUT", PROCESSES),
    (PROCESSES, "hook OUTPUT"),
    (ROUTING, "hook FORWARD"),
    ("hook FORWARD", "hook POSTROUTING"),
    ("hook OUTPUT", "hook POSTROUTING"),
)
#: How many lines of NAT are always shown; more if the picture is high anyway.
_NAT_LINES = 8
#: How many published ports are shown at a container.
_PUBLISHED_LINES = 3


def topology_picture(
    host: Host, explanation: Explanation | None = None, *, family: Family | None = None
) -> Picture:
    """Draw a host's network.

    Args:
        host: what is drawn.
        explanation: an answer whose packet path is drawn over it.
        family: whose addresses and rules are shown: that of the explanation's packet, else 4.
    """
    if family is None:
        family = explanation.trace.legs[0].packet.family if explanation else 4
    keep = _mentioned(explanation) if explanation else set()
    wiring = wiring_of(host, family, keep)
    paths = packet_paths(host, wiring, explanation) if explanation else []
    drawing = _draw(host, wiring)
    _draw_paths(drawing, paths)
    _describe(drawing, host, wiring, explanation)
    return Picture(lambda: drawing, lambda: place(drawing, wiring), lambda: tree(drawing, wiring))


def _mentioned(explanation: Explanation) -> set[str]:
    legs = explanation.trace.legs
    return {leg.sender for leg in legs} | {leg.delivered.name for leg in legs if leg.delivered}


# -- the host --------------------------------------------------------------------------------------


def _draw(host: Host, wiring: Wiring) -> Drawing:
    drawing = Drawing(say("Topology"))
    drawing.add_group(Group("host", "host", ["host", say("network namespace")]))
    for outer in wiring.outer:
        _draw_outer(drawing, outer)
    _draw_netfilter(drawing, host, wiring)
    for switch in wiring.switches:
        _draw_switch(drawing, switch)
    for guest in wiring.guests:
        if not any(plug.key in drawing.nodes for plug in guest.plugs):
            continue
        lines = [", ".join(guest.names)]
        if guest.published:
            lines += _few(guest.published, _PUBLISHED_LINES)
        tip = say("network namespace of {names}", names=", ".join(guest.names))
        if guest.published:
            tip = say("{names}; published {ports}", names=tip, ports=", ".join(guest.published))
        drawing.add_group(Group(f"guest {guest.name}", "guest", lines, tip=tip))
    if host.inferred:
        for node in drawing.nodes.values():
            if node.kind in ("port", "plug", "interface"):
                node.classes.add("guessed")
    return drawing


def _draw_outer(drawing: Drawing, outer: Outer) -> None:
    drawing.add(Node(outer.key, "interface", outer.lines, "host", tip=say("host interface")))
    if outer.world:
        world = f"world {outer.world}"
        if world not in drawing.nodes:
            lines = [
                outer.world,
                *([say("gateway {address}", address=outer.gateway)] if outer.gateway else []),
            ]
            drawing.add(Node(world, "world", lines))
        drawing.edges.append(Edge(world, outer.key, "link"))
    if not outer.switch and not outer.more:
        drawing.edges.append(Edge(outer.key, ROUTING, "link"))


def _draw_netfilter(drawing: Drawing, host: Host, wiring: Wiring) -> None:
    family = wiring.family
    ruleset = host.rulesets.get(family)
    drawing.add_group(Group("netfilter", "netfilter", [tool_of(family)], "host"))
    before, after = translations(host, ruleset) if ruleset is not None else ([], [])
    rows = sum(len(switch.plugs) for switch in wiring.switches)
    room = max(_NAT_LINES, rows)
    shares = {"PREROUTING": _few(before, room), "POSTROUTING": _few(after, max(4, room // 4))}
    for station in STATIONS:
        if station == PROCESSES:
            resident = _few([f"{one} (--network host)" for one in wiring.resident], _NAT_LINES)
            drawing.add(Node(PROCESSES, "process", [say("programs on the host")], "netfilter", resident))
        elif station == ROUTING:
            drawing.add(Node(ROUTING, "routing", [say("routing"), *_forwarding(host, family)], "netfilter"))
        else:
            hook = station.removeprefix("hook ")
            lines = [hook, *(_tables(ruleset, hook) if ruleset else [])]
            tip = "" if ruleset else say("no {name} rules", name=tool_of(family))
            drawing.add(Node(station, "hook", lines, "netfilter", shares.get(hook, []), tip=tip))
    drawing.edges.extend(Edge(source, target, "flow") for source, target in _FLOW)


def _few(lines: list[str], most: int) -> list[str]:
    if len(lines) <= most:
        return lines
    return [*lines[: most - 1], say("and {count} more", count=len(lines) - most + 1)]


def _forwarding(host: Host, family: Family) -> list[str]:
    name = "net.ipv4.ip_forward" if family == 4 else "net.ipv6.conf.all.forwarding"
    value = host.namespace.sysctl(name)
    short = name.partition(".")[2].removeprefix("ipv4.").removeprefix("ipv6.")
    return [say("{name} is {value}", name=short, value=value)] if value else []


def _tables(ruleset: Ruleset, hook: str) -> list[str]:
    """Return one line on the tables that do something at a hook: "filter: 9 rules, policy DROP"."""
    texts = []
    for table in ruleset.tables.values():
        chain = table.chains.get(hook)
        if chain is None or (
            not chain.rules and (chain.policy or "ACCEPT") == "ACCEPT" and table.name != "filter"
        ):
            continue
        text = f"{table.name} {rules_text(len(chain.rules))}"
        if table.name == "filter" or chain.policy not in (None, "ACCEPT"):
            text = joined(", ", [text, message("policy {policy}", policy=chain.policy or "ACCEPT")])
        texts.append(text)
    return texts


def _draw_switch(drawing: Drawing, switch: Switch) -> None:
    if switch.kind != "none":
        kind = {"bridge": "bridge", "routed": "routed"}.get(switch.kind, "bypass")
        drawing.add(Node(switch.key, kind, switch.lines, "host" if kind != "bypass" or switch.name else ""))
        drawing.edges.extend(
            Edge(f"interface {name}", switch.key, "link")
            for name in switch.uplinks
            if f"interface {name}" in drawing.nodes
        )
        if kind != "bypass":
            drawing.edges.append(Edge(ROUTING, switch.key, "link"))
    for plug in switch.plugs:
        _draw_plug(drawing, switch, plug)


def _draw_plug(drawing: Drawing, switch: Switch, plug: Plug) -> None:
    port = plug.port
    hangs_on = switch.key if switch.kind != "none" else ""
    if port is not None:
        flags = [flag for flag, on in (("isolated", port.isolated), ("hairpin", port.hairpin)) if on]
        drawing.add(
            Node(plug.port_key, "port", [port.name, *flags], "host", tip=say("the host's end of a veth pair"))
        )
        if hangs_on:
            drawing.edges.append(Edge(hangs_on, plug.port_key, "plugged"))
        hangs_on = plug.port_key
    if plug.guest is None and not plug.more:
        return
    if plug.guest is None:
        drawing.add(Node(plug.key, "more", [plug.interface]))
        return
    lines = [" ".join([plug.interface or say("no interface"), *list(plug.addresses.values())[:1]])]
    lines += list(plug.addresses.values())[1:3]
    drawing.add(
        Node(plug.key, "plug", lines, f"guest {plug.guest.name}", tip=f"{plug.guest.name}: {lines[0]}")
    )
    if hangs_on:
        drawing.edges.append(Edge(hangs_on, plug.key, "veth" if port is not None else "link"))


# -- the packet ------------------------------------------------------------------------------------


def _draw_paths(drawing: Drawing, paths: list[PacketPath]) -> None:
    for path in paths:
        places = [name for name in path.places if name in drawing.nodes]
        for name in places:
            drawing.nodes[name].classes.add("walked" if path.kind == "route" else "answered")
        for station, change in path.translations:
            if station in places and change not in drawing.nodes[station].changes:
                drawing.nodes[station].changes.append(change)
        if path.visited.leg.proxy and places[:1] == [PROCESSES]:
            drawing.nodes[PROCESSES].details.append(say("docker-proxy: a second connection"))
        drawing.edges.extend(
            Edge(source, target, path.kind, classes={"walked"}) for source, target in pairwise(places)
        )
        if places and not (
            path.end == "arrived" and path.visited.leg.delivered is not None and _goes_on(path, paths)
        ):
            last = drawing.nodes[places[-1]]
            last.classes.add(path.end)
            if path.step is not None and path.end != "arrived":
                last.ending = Ending(path.end, _brief(path))
    if paths:
        drawing.legend = [Sample("route", ("walked",), say("packet path"), True)]
        if any(path.kind == "reply" for path in paths):
            drawing.legend.append(Sample("reply", ("walked",), say("path of the reply"), True))
        ends = {
            "arrived": say("arrives here"),
            "stop": say("stopped here"),
            "open": say("depends on something unknown"),
        }
        seen = {path.end for path in paths}
        drawing.legend += [Sample("end", (end,), text) for end, text in ends.items() if end in seen]


def _goes_on(path: PacketPath, paths: list[PacketPath]) -> bool:
    """Return whether docker-proxy continues the connection where this path ends."""
    return (
        path is not paths[-1]
        and paths[paths.index(path) + 1].visited.leg.proxy
        and path.places[-1:] == [PROCESSES]
    )


def _brief(path: PacketPath) -> str:
    """Return in few words what stopped a packet, or what it depends on."""
    step = path.step
    if step is None:
        return ""
    if step.table is None:
        return str(step.note) or step.verdict
    verdict = f": {step.verdict}" if step.rule is not None and path.end == "stop" else ""
    return f"{decision_of(step)}{verdict}"


# -- words -----------------------------------------------------------------------------------------


def _describe(drawing: Drawing, host: Host, wiring: Wiring, explanation: Explanation | None) -> None:
    bridges = [switch.name for switch in wiring.switches if switch.kind == "bridge"]
    sentences = []
    if explanation is not None:
        drawing.captions = answer_captions(explanation)
        drawing.title = drawing.captions[0].text
        sentences = [caption.text for caption in drawing.captions[1:]]
    count = len(wiring.guests)
    sentences.append(
        say_many(
            "A host with {count} network namespace of containers.",
            "A host with {count} network namespaces of containers.",
            count,
        )
    )
    if bridges:
        sentences.append(say("Its bridges: {names}.", names=", ".join(bridges[:20])))
    if wiring.stopped:
        names = ", ".join(wiring.stopped[:6]) + (" ..." if len(wiring.stopped) > 6 else "")
        drawing.captions.append(Caption("note", say("Not running: {names}", names=names)))
    if host.inferred:
        drawing.captions.append(
            Caption(
                "note",
                say("Only the rules are known: interfaces, containers and addresses are inferred from them."),
            )
        )
    drawing.description = " ".join(sentences)
