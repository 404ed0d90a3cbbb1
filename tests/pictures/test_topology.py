"""The topology picture: it shows everything in a capture, and the packet's path is the trace's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import iptsim
from iptsim.errors import UsageError
from iptsim.host.model import Host
from iptsim.pictures import topology_picture
from iptsim.pictures.drawing import Rect
from iptsim.pictures.wiring import MOST_PLUGS
from tests.netfilter.hosts import container, dump, interface, router
from tests.pictures.looks import SVG, nodes, read, texts
from tests.test_other_networks import host as other_networks  # noqa: F401
from tests.thoroughness import every_nth

FIXTURES = Path(__file__).parents[2] / "fixtures"
CAPTURES = FIXTURES / "captures"
EVERY = every_nth(sorted({path.parent for path in FIXTURES.glob("*/**/iptables-save.txt")}), 3)


def way(source: str, *question: str, **fields: object) -> list[str]:
    """Return the places that a packet's path passes, with its end's mark."""
    host = iptsim.load_host(CAPTURES / source)
    picture = topology_picture(host, iptsim.explain(host, *question, **fields))  # type: ignore[arg-type]
    lines = [line for line in picture.text().splitlines() if line.startswith(("path ", "reply "))]
    return [line.split("   ")[1] for line in lines]


# -- what is on it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_interface_and_container_is_on_it(path: Path) -> None:
    host = iptsim.load_host(path)
    picture = topology_picture(host)
    shown = texts(picture.svg())
    for one in host.namespace.interfaces.values():
        if one.kind != "loopback":
            assert one.name in shown, one
            for address in one.addresses:
                if address.family == 4 and one.kind != "veth":
                    assert any(iptsim_text(address.address) in text for text in shown)
    for guest in host.containers.values():
        if not guest.running:
            assert any(text.startswith("Not running: ") and guest.name in text for text in shown)
            continue
        own = f"{guest.name} (--network host)" if guest.network_mode == "host" else guest.name
        # those that share a namespace share a box; the end of a name that is wider than the box is left out
        assert any(
            own in text.split(", ") or (len(text) > 20 and own.startswith(text.removesuffix("…")))
            for text in shown
        )
        for endpoint in guest.endpoints.values():
            if 4 in endpoint.addresses:
                assert any(iptsim_text(endpoint.addresses[4]) in text for text in shown)
    tree = picture.text()
    assert all(name in tree for name in (*host.namespace.interfaces, *host.containers) if name != "lo")


def iptsim_text(address: int) -> str:
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))


@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_boxes_do_not_overlap(path: Path) -> None:
    placement = topology_picture(iptsim.load_host(path)).placement
    boxes = list(placement.nodes.items())
    for number, (name, box) in enumerate(boxes):
        assert box.x >= 0
        assert box.right <= placement.width
        assert box.bottom <= placement.height
        for other, second in boxes[number + 1 :]:
            assert not overlap(box, second), (name, other)


def overlap(one: Rect, other: Rect) -> bool:
    return one.x < other.right and other.x < one.right and one.y < other.bottom and other.y < one.bottom


def test_published_ports_and_masquerading_stand_at_their_hooks() -> None:
    drawing = topology_picture(iptsim.load_host(CAPTURES / "docker-28.5/published")).drawing
    assert drawing.nodes["hook PREROUTING"].details == [
        "5353/udp → web 172.17.0.2:53",
        "8080/tcp → web 172.17.0.2:80",
        "127.0.0.1:8081/tcp → web 172.17.0.2:81",
    ]
    assert drawing.nodes["hook POSTROUTING"].details == ["MASQUERADE for -s 172.17.0.0/16 ! -o docker0"]


def test_a_container_on_neighbouring_bridges_has_one_frame_over_both() -> None:
    picture = topology_picture(iptsim.load_host(CAPTURES / "docker-28.5/two-networks"))
    (frame,) = picture.placement.groups["guest app"]
    for plug in ("plug app eth0", "plug app eth1"):
        box = picture.placement.nodes[plug]
        assert frame.y <= box.y
        assert box.bottom <= frame.bottom


def test_containers_without_a_bridge(other_networks: Host) -> None:  # noqa: F811
    picture = topology_picture(other_networks)
    drawing = picture.drawing
    assert drawing.nodes["processes"].details == ["hosty (--network host)"]
    assert drawing.groups["guest side"].lines[0] == "side, web"
    bypassing = {edge.target for edge in drawing.edges if edge.source == "macvlan eth0"}
    assert bypassing == {"plug mac1 eth0", "plug mac2 eth0"}
    assert ("interface eth0", "macvlan eth0") in {(edge.source, edge.target) for edge in drawing.edges}
    assert drawing.captions[-1].text == "Not running: off"
    wall = picture.placement.groups["netfilter"][0]
    assert picture.placement.nodes["macvlan eth0"].y > wall.bottom


def test_a_guessed_host_says_so() -> None:
    picture = topology_picture(iptsim.load_host(CAPTURES / "docker-28.5/icc-off/iptables-save.txt"))
    assert "are inferred from them" in picture.text()
    assert "guessed" in nodes(picture.svg())["eth0"]


# -- the packet's path ------------------------------------------------------------------------------


def test_a_packet_stops_where_its_rule_stands() -> None:
    assert way("docker-28.5/icc-off", "client", "web:80") == [
        "client eth0 → veth5fffa19 → docker0 → PREROUTING → FORWARD ✗"
    ]
    host = iptsim.load_host(CAPTURES / "docker-28.5/icc-off")
    picture = topology_picture(host, iptsim.explain(host, "client", "web:80"))
    found = nodes(picture.svg())
    assert "stop" in found["FORWARD"]
    assert "walked" not in found["vethd55be57"] | found["POSTROUTING"]
    assert "✗ filter DOCKER-FORWARD rule 4: DROP" in texts(picture.svg())


WAYS = {
    "published": (
        ("docker-28.5/published", "internet", "host:8080"),
        [
            "Internet → eth0 → PREROUTING → routing → FORWARD → POSTROUTING → docker0 → vethef1a8ce → web eth0 ✓"
        ],
    ),
    "to the outside": (
        ("docker-28.5/two-networks", "app", "internet:80"),
        [
            "app eth1 → vethf496e4f → br-back → PREROUTING → routing → FORWARD → POSTROUTING → eth0 → Internet ✓"
        ],
    ),
    "by docker-proxy": (
        ("docker-28.5/published", "client", "host:8080"),
        [
            "client eth0 → vethfaea608 → docker0 → PREROUTING → routing → INPUT → programs on the host"
            " → OUTPUT → POSTROUTING → docker0 → vethef1a8ce → web eth0 ✓"
        ],
    ),
    "to oneself": (
        ("docker-28.5/published", "host", "host:22"),
        ["programs on the host → OUTPUT → POSTROUTING → PREROUTING → INPUT → programs on the host ✓"],
    ),
    "not forwarded": (
        ("docker-28.5/forward-off", "internet", "host:8080"),
        ["Internet → eth0 → PREROUTING → routing ✗"],
    ),
    "switched past the rules": (
        ("docker-28.5/bridge-nf-off", "client", "web:80"),
        ["client eth0 → veth81a8b98 → docker0 → veth2b1b3b9 → web eth0 ✓"],
    ),
    "inside": (("docker-28.5/published", "client", "localhost:80"), []),
}


@pytest.mark.parametrize(("question", "expected"), WAYS.values(), ids=WAYS)
def test_ways(question: tuple[str, ...], expected: list[str]) -> None:
    assert way(*question) == expected


def test_a_lost_answer_is_drawn_too() -> None:
    """The request arrives; packets arriving on eth1 are dropped, so the answer is."""
    host = router(dump(filter=":INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A FORWARD -i eth1 -j DROP\n"))
    picture = topology_picture(host, iptsim.explain(host, "10.1.0.9", "10.2.0.9", dport=80))
    assert [line for line in picture.text().splitlines() if line.startswith(("path", "reply"))] == [
        "path   Internet → eth0 → PREROUTING → routing → FORWARD → POSTROUTING → eth1 → 10.2.0.0/24 ✓",
        "reply   10.2.0.0/24 → eth1 → PREROUTING → routing → FORWARD ✗",
    ]
    assert {edge.kind for edge in picture.drawing.edges if "walked" in edge.classes} == {"route", "reply"}


def test_what_nobody_knows_is_marked_where_it_stands() -> None:
    rule = "-A FORWARD -m limit --limit 1/s -j ACCEPT"
    host = router(dump(filter=f":INPUT ACCEPT\n:FORWARD DROP\n:OUTPUT ACCEPT\n{rule}\n"))
    picture = topology_picture(host, iptsim.explain(host, "a", "10.2.0.9", dport=80))
    assert "path   a eth0 → veth-a → br0 → PREROUTING → routing → FORWARD ?" in picture.text()
    assert picture.drawing.nodes["hook FORWARD"].texts[-1] == "? filter FORWARD rule 1"


def test_hundreds_of_containers_are_counted_and_those_asked_about_are_shown() -> None:
    host = router("")
    for number in range(600):
        name = f"c{number}"
        address, port = f"10.9.{number // 200 + 1}.{number % 200}", f"veth-{name}"
        host.containers[name] = container(name, address, port)
        host.namespace.interfaces[port] = interface(port, 100 + number, kind="veth", master="br0")
    picture = topology_picture(host, iptsim.explain(host, "c599", "a", dport=80))
    assert sum(node.kind == "plug" for node in picture.drawing.nodes.values()) <= MOST_PLUGS + 2
    assert any("more" in text for text in texts(picture.svg()))
    assert "c599" in texts(picture.svg())
    assert len(picture.svg()) < 300_000


def test_macvlan_passes_the_rules_by(other_networks: Host) -> None:  # noqa: F811
    picture = topology_picture(other_networks, iptsim.explain(other_networks, "mac1", "internet:80"))
    assert "mac1 eth0 → macvlan on eth0 → eth0 → Internet ✓" in picture.text()


@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_way_passes_the_hooks_of_its_trace(path: Path) -> None:
    """For all endpoints, the hooks are those of the steps, in their order, and nothing else fails."""
    host = iptsim.load_host(path)
    people = [*list(host.containers)[:4], "host", "internet"]
    for sender in people:
        for receiver in people:
            try:
                explanation = iptsim.explain(host, sender, f"{receiver}:80")
            except UsageError:
                continue  # no machine has such an address
            drawing = topology_picture(host, explanation).drawing
            leg = explanation.trace.legs[0]
            walked = [edge.target for edge in drawing.edges if edge.kind == "route"]
            hooks = [place.removeprefix("hook ") for place in walked if place.startswith("hook ")]
            # behind what is undecided, a way is not drawn
            seen = [step.hook for step in leg.steps if step.table is not None and not step.maybe]
            first_leg = [hook for hook in hooks if hook != "ROUTING"]
            assert is_part(list(dict.fromkeys(seen)), first_leg), (sender, receiver, hooks, seen)


def is_part(some: list[str], whole: list[str]) -> bool:
    left = iter(whole)
    return all(one in left for one in some)


# -- the SVG ---------------------------------------------------------------------------------------


def test_the_svg_is_the_same_each_time_and_tells_what_it_shows() -> None:
    host = iptsim.load_host(CAPTURES / "docker-28.5/icc-off")
    svg = topology_picture(host, iptsim.explain(host, "client", "web:80")).svg()
    again = iptsim.load_host(CAPTURES / "docker-28.5/icc-off")
    assert topology_picture(again, iptsim.explain(again, "client", "web:80")).svg() == svg
    root = read(svg)
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert title.text == "DROP: client 172.17.0.3 → web 172.17.0.2, tcp/80"
    assert description is not None
    assert "icc is off" in (description.text or "")
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert "prefers-color-scheme: dark" in svg


def test_names_from_a_capture_are_inert(other_networks: Host) -> None:  # noqa: F811
    evil = '"><script>alert(1)</script>\x1b[31m&'
    container = other_networks.containers["client"]
    try:
        container.name = evil
        picture = topology_picture(other_networks)
        for made in (picture.svg(), picture.html()):
            assert "<script" not in made
            assert "\x1b" not in made
        assert any(text.startswith('"><script>') for text in texts(picture.svg()))
        assert "\x1b" not in picture.text() + picture.mermaid() + picture.dot()
        # every quotation mark of the name is escaped, so each line has its own ones in pairs
        assert all(line.replace('\\"', "").count('"') % 2 == 0 for line in picture.dot().splitlines())
    finally:
        container.name = "client"


# -- languages -------------------------------------------------------------------------------------


def test_labels_are_in_the_language_in_force() -> None:
    with iptsim.language("zh-TW"):
        host = iptsim.load_host(CAPTURES / "docker-28.5/icc-off")
        picture = topology_picture(host, iptsim.explain(host, "client", "web:80"))
        shown = texts(picture.svg())
        assert '<html lang="zh-Hant-TW">' in picture.html()
    assert {"網路命名空間", "橋接器：虛擬交換器", "容器", "封包路徑"} <= set(shown)
    # names of the field stay as they are
    assert {"PREROUTING", "docker0", "iptables"} <= set(shown)


def test_macvlan_on_a_bridge(other_networks: Host) -> None:  # noqa: F811
    """Where the only interface that leads outside is a bridge, a packet from there has no known beginning."""
    interfaces = other_networks.namespace.interfaces
    carrier = replace(interfaces["eth0"], kind="bridge")
    bridged = replace(
        other_networks,
        namespace=replace(other_networks.namespace, interfaces={**interfaces, "eth0": carrier}, cache={}),
    )
    picture = topology_picture(bridged, iptsim.explain(bridged, "internet", "mac1:80"))
    assert "mac1 eth0 ✓" in picture.text()
