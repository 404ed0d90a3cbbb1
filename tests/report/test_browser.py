"""The report in a real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from iptsim.host import load_host
from iptsim.report import page as page_of
from iptsim.report import report
from tests.report.hosts import PAYLOADS, hostile
from tests.test_captures import FIXTURES

playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need Playwright")
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"the browser tests need {CHROMIUM}"),
]

ICC_OFF, MANY = "docker-28.5/icc-off", "hosts/docker-many"
HOSTS = [
    ICC_OFF,
    MANY,
    "hosts/kube",
    "hosts/ufw",
    "docker-28.5/icc-off/iptables-save.txt",
    "docker-28.5/forward-off",
]
#: Runs before the page's own script, and in spite of its policy.
WATCH = "window.violations = []; addEventListener('securitypolicyviolation', (one) => violations.push(one.blockedURI))"


@dataclass
class Visit:
    """An opened page, and what went wrong in it."""

    page: Page
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Hold the page to what must never happen."""
        assert self.problems == []
        assert self.page.evaluate("violations") == []
        assert self.page.evaluate("window.broken") is None
        assert len(self.requests) == 1, "a page asks for nothing but itself"

    def has_focus(self, selector: str) -> bool:
        return bool(self.page.locator(selector).evaluate("(one) => one === document.activeElement"))

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).inner_text())


Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture
def visit(chromium: Browser, folder: Path) -> Iterator[Open]:
    """Return the function that opens a host's report; afterwards all opened pages must have been quiet."""
    opened: list[Visit] = []
    contexts: list[Any] = []

    def open_page(source: str | Path, hash_: str = "", *, width: int = 1280, **options: Any) -> Visit:
        file = folder / f"{str(source).replace('/', '_')}.html"
        if not file.exists():
            file.write_text(page_of(report(load_host(FIXTURES / source))), "utf-8")
        options = {"color_scheme": "light", "reduced_motion": "reduce", **options}
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        context.add_init_script(WATCH)
        found = Visit(context.new_page())
        found.page.on("console", lambda one: found.problems.append(f"{one.type}: {one.text}"))
        found.page.on("pageerror", lambda error: found.problems.append(str(error)))
        found.page.on("request", lambda one: found.requests.append(one.url))
        found.page.goto(f"{file.as_uri()}{hash_}")
        opened.append(found)
        contexts.append(context)
        return found

    yield open_page
    for one in opened:
        if one.page.evaluate("typeof violations") != "undefined":
            one.check()
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def hostile_host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile(tmp_path_factory.mktemp("hostile"))


# -- it loads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("source", HOSTS)
def test_pages_fit_their_window(visit: Open, source: str, width: int) -> None:
    page = visit(source, width=width).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("main h2").count() == 8
    page.get_by_role("button", name="Open all chains").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#reach .grid td a").first.click()
    page.locator("#step-list").wait_for()
    assert page.locator("#step-list a").count() > 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("source", [ICC_OFF, MANY, "hosts/firewalld"])
def test_without_scripts_all_but_the_packet_path_is_there(visit: Open, source: str, width: int) -> None:
    seen = visit(source, java_script_enabled=False, width=width)
    page = seen.page
    assert "Without scripts" in seen.text(".noscript")
    for section in ("open", "findings", "policies", "reach", "host", "rules"):
        assert page.locator(f"#{section}").is_visible()
    assert page.locator("#trace, #search, #theme, #zoom").evaluate_all(
        "(all) => all.every((one) => !one.checkVisibility())"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # an entry leads to the rule or chain that decides, also if its chain is folded
    page.locator("#reach .grid a[href*='rule/']").first.click()
    assert page.locator("#rules tr:target").is_visible()


# -- from a cell to the rule -----------------------------------------------------------------------


def test_a_cell_leads_to_its_trace_and_on_to_the_rule(visit: Open) -> None:
    seen = visit(ICC_OFF)
    page = seen.page
    page.get_by_text("Each container separately").first.click()
    cell = page.locator("#grid-all-4 tr", has=page.locator("th", has_text="client")).locator("td").last
    cell.get_by_role("link", name="dropped all ports icc is off").click()
    page.locator("#step-list").wait_for()
    assert page.url.endswith("#trace/4/client/web/1")
    assert page.locator("#trace-from option:checked").inner_text() == "client"
    assert "icc is off, and client has no link to web" in seen.text(".answer")
    # kernel trace of this packet in probes.json: policies of raw and nat, then down to DOCKER-FORWARD rule 4
    page.get_by_role("button", name="Deciding step").click()
    assert "filter DOCKER-FORWARD 4" in seen.text("#step-list [aria-current]")
    detail = seen.text("#step-detail")
    assert "-i docker0 -o docker0 -j DROP" in detail
    assert "containers on docker0 may not connect to each other" in detail
    assert page.url.endswith("/9")
    page.locator("#step-detail h4 a").click()
    row = page.locator("#rules tr:focus")
    row.wait_for()
    assert row.locator("th").inner_text() == "4"
    assert row.is_visible()
    assert page.url.endswith("#rule/4/filter/DOCKER-FORWARD/4")
    page.go_back()
    assert "#trace/4/client/web/1" in page.url


@pytest.mark.parametrize(
    ("source", "hash_", "way", "marked", "changes"),
    [
        # what enters a bridge with br_netfilter is dropped in FORWARD by the rule of icc
        (
            ICC_OFF,
            "#trace/4/client/web/1",
            "client: eth0 172.17.0.3/16 → veth5fffa19 → docker0 → PREROUTING → FORWARD ✕",
            {"hook FORWARD": "stop"},
            [],
        ),
        # docker-proxy accepts the connection, and opens one to the container
        (
            "docker-28.5/published",
            "#trace/4/client/web/1",
            "client: eth0 172.17.0.3/16 → vethfaea608 → docker0 → PREROUTING → routing → INPUT → programs on the host; "
            "programs on the host → OUTPUT → POSTROUTING → docker0 → vethef1a8ce → web: eth0 172.17.0.2/16 ✓",
            {"plug web eth0": "arrived"},
            [],
        ),
        # the DNAT rule of the published port
        (
            "docker-28.5/published",
            "#trace/4/internet/web/1",
            "Internet → eth0 → PREROUTING → routing → FORWARD → POSTROUTING → docker0 → vethef1a8ce → "
            "web: eth0 172.17.0.2/16 ✓",
            {"plug web eth0": "arrived"},
            ["⇄ 192.0.2.10:8080 → 172.17.0.2:80"],
        ),
    ],
)
def test_the_way_is_marked_on_the_map(
    visit: Open, source: str, hash_: str, way: str, marked: dict[str, str], changes: list[str]
) -> None:
    opened = visit(source, hash_)
    assert way in opened.text(".answer .pairs")
    page = opened.page
    ends = page.locator("#map .node.stop, #map .node.arrived, #map .node.open")
    found = ends.evaluate_all(
        "(all) => all.map((one) => [one.dataset.node, one.querySelector('.drawn-end .badge').classList[1]])"
    )
    assert dict(found) == marked
    told = page.locator("#map .drawn-change text").all_text_contents()
    assert told == changes
    assert page.locator("#map path.walked").count() >= 3

    page.get_by_role("link", name="See it on the map").click()
    assert page.evaluate("location.hash") == "#map"
    page.locator("#map-way a").click()
    assert page.evaluate("location.hash").startswith(hash_)
    # another question, another way: nothing of the first one stays
    page.locator("#trace-from").select_option("host")
    assert page.locator("#map [data-node='plug client eth0'].walked").count() == 0


def test_a_map_of_the_other_family_says_so(visit: Open) -> None:
    opened = visit("docker-28.5/ipv6", "#trace/6/client/web/1")
    assert "The map shows the other address family." in opened.text("#map-way")
    assert opened.page.locator("#map .drawn").count() == 0


def test_steps_tell_of_replies_and_of_the_second_connection(visit: Open) -> None:
    page = visit("docker-28.5/published", "#trace/4/client/web/1").page
    titles = page.locator("#step-list h4").all_inner_texts()
    assert titles[0].startswith("1 request")
    assert any("docker-proxy → container" in title for title in titles)
    assert any("reply" in title for title in titles)


def test_the_packet_changes_with_its_steps(visit: Open) -> None:
    page = visit("docker-28.5/published", "#trace/4/internet/web/1").page
    assert "192.0.2.10" in page.locator("#step-detail").inner_text()
    page.locator("#step-list a", has_text="DNAT").first.click()
    page.locator("#step-detail .changed").first.wait_for()
    detail = page.locator("#step-detail").inner_text()
    assert "dst 192.0.2.10 → 172.17.0.2" in detail
    assert page.locator("#step-detail .changed", has_text="172.17.0.2").count() >= 2


def test_ways_of_an_undecided_answer(visit: Open) -> None:
    page = visit("hosts/ufw/iptables-save.txt", "#trace/4/internet/host/4").page
    assert "DEPENDS" in page.locator(".answer").inner_text()
    ways = page.locator(".ways button")
    assert ways.count() >= 2
    verdicts = {text.split("\n")[0].split()[0] for text in ways.all_inner_texts()}
    assert len(verdicts) > 1
    ways.last.click()
    assert page.locator(".ways button[aria-pressed=true]").count() == 1
    assert page.locator("#step-list .decides").count() >= 1


def test_choosing_who_and_whom(visit: Open) -> None:
    page = visit(MANY).page
    page.get_by_label("From", exact=True).select_option("internet")
    page.get_by_label("To", exact=True).select_option("c01")
    assert page.get_by_label("To", exact=True).evaluate("(one) => one === document.activeElement")
    # the packet is one from the internet, to the host's port that leads to the container
    assert "→ host 192.0.2.10" in page.locator(".answer .head").inner_text()
    assert "c01" in page.locator(".answer").inner_text()
    assert "#trace/4/internet/c01/" in page.url


def test_a_path_between_containers_that_are_treated_alike_says_whose_it_is(visit: Open) -> None:
    seen = visit(MANY, "#trace/4/c24/c29/1")
    assert seen.page.locator("#trace-from option:checked").inner_text() == "c24"
    said = "Shown: c04 → c24. c24 → c29 is treated alike; only names and addresses differ."
    assert said in seen.text(".answer")
    seen.page.locator("#trace-from").select_option("c04")
    seen.page.locator("#trace-to").select_option("c24")
    assert "c04 172.24.0.2 → c24 172.24.0.6" in seen.text(".answer .head")
    assert "treated alike" not in seen.text(".answer")


def test_findings_lead_to_their_rules_and_packets(visit: Open) -> None:
    page = visit("docker-28.5/forward-off").page
    finding = page.locator(".finding").first
    assert "ip-forward-off" in finding.inner_text()
    finding.get_by_role("link", name="Show the packet path").click()
    page.locator("#step-list").wait_for()
    assert page.url.endswith("#trace/finding/0")
    assert page.locator("#step-list a").count() > 1


# -- keyboard --------------------------------------------------------------------------------------


def test_everything_by_keyboard(visit: Open) -> None:
    seen = visit(ICC_OFF)
    page = seen.page
    page.keyboard.press("Tab")
    assert page.locator(".skip").is_visible()
    page.keyboard.press("Enter")
    assert seen.has_focus("#main")
    page.locator("#grid-4").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText").startswith("allowed all ports")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('#grid-4') !== null")
    assert page.locator("#grid-4 a[tabindex='0']").count() == 1
    page.keyboard.press("Enter")
    page.locator("#step-list").wait_for()
    assert seen.has_focus("#step-next")
    total = page.locator("#step-list a").count()
    page.keyboard.press("ArrowRight")
    assert seen.text("#step-place") == f"Step 2 of {total}"
    assert seen.page.locator("#trace-live").text_content().startswith(f"Step 2 of {total}: ")  # type: ignore[union-attr]
    page.keyboard.press("End")
    assert seen.text("#step-place") == f"Step {total} of {total}"
    assert page.locator("#step-next").get_attribute("aria-disabled") == "true"
    page.keyboard.press("ArrowLeft")
    assert seen.text("#step-place") == f"Step {total - 1} of {total}"
    page.keyboard.press("Home")
    assert seen.text("#step-place") == f"Step 1 of {total}"


@pytest.mark.parametrize("scripts", [True, False])
def test_the_rules_are_reached_by_keyboard(visit: Open, scripts: bool) -> None:
    page = visit(MANY, java_script_enabled=scripts).page
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.locator("nav a[href='#rules']:focus").count():
            break
    page.keyboard.press("Enter")
    page.locator("#rules:focus").wait_for()
    page.keyboard.press("Tab")
    inside = page.locator("#rules :focus")
    for _ in range(8):
        if inside.evaluate("(one) => one.localName") == "summary":
            break
        page.keyboard.press("Tab")
    chain = page.locator("#rules details", has=page.locator("summary:focus"))
    before = chain.get_attribute("open")
    page.keyboard.press("Enter")
    assert (chain.get_attribute("open") is None) != (before is None)


# -- the map on a phone ----------------------------------------------------------------------------


def test_the_map_is_moved_and_zoomed_with_fingers(visit: Open) -> None:
    page = visit(MANY, width=390, has_touch=True, is_mobile=True).page
    frame = page.locator("#map .picture")
    frame.scroll_into_view_if_needed()
    width = "document.querySelector('#map svg').getBoundingClientRect().width"
    before = page.evaluate(width)
    box = frame.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + min(box["height"], 300) / 2
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        fingers = [{"x": x + dx, "y": y + dy, "id": number} for number, (dx, dy) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    touch("touchStart", (-20, 0), (20, 0))
    for apart in range(25, 65, 5):
        touch("touchMove", (-apart, 0), (apart, 0))
    touch("touchEnd")
    page.wait_for_function(f"{width} > {1.5 * before}")
    left = frame.evaluate("(one) => one.scrollLeft")
    touch("touchStart", (60, 0))
    for moved in range(50, -60, -10):
        touch("touchMove", (moved, 0))
    touch("touchEnd")
    page.wait_for_function(f"document.querySelector('#map .picture').scrollLeft > {left + 40}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_map_is_zoomed_by_buttons_and_keys(visit: Open) -> None:
    page = visit(MANY).page
    width = "document.querySelector('#map svg').getBoundingClientRect().width"
    fits = page.evaluate(width)
    page.get_by_role("button", name="Zoom in").click()
    nearer = page.evaluate(width)
    assert nearer > 1.3 * fits
    page.locator("#map .picture").focus()
    page.keyboard.press("+")
    assert page.evaluate(width) > 1.3 * nearer
    page.keyboard.press("-")
    assert abs(page.evaluate(width) - nearer) < 2
    page.keyboard.press("0")
    assert abs(page.evaluate(width) - fits) < 2
    assert page.get_by_role("button", name="Zoom out").get_attribute("aria-disabled") == "true"


def test_search_by_keyboard(visit: Open) -> None:
    seen = visit(ICC_OFF)
    page = seen.page
    page.get_by_role("searchbox").fill("docker0 drop")
    found = page.locator("#found-list a")
    assert seen.text("#found-count") == f"{found.count()} found"
    assert all("docker0" in text and "drop" in text.lower() for text in found.all_inner_texts())
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("#rules tr:focus").wait_for()
    assert page.locator("#found").is_hidden()
    page.get_by_role("searchbox").fill("no such thing")
    assert seen.text("#found-count") == "Nothing found"
    page.keyboard.press("Escape")
    assert page.locator("#found").is_hidden()
    assert page.get_by_role("searchbox").input_value() == ""


@pytest.mark.parametrize(
    ("words", "kind"), [("client", "container"), ("DOCKER-USER made", "rule"), ("icc", "rule")]
)
def test_search_finds_more_than_rules(visit: Open, words: str, kind: str) -> None:
    page = visit(ICC_OFF).page
    page.get_by_role("searchbox").fill(words)
    kinds = page.locator("#found-list .kind").all_inner_texts()
    assert kind in kinds or kinds == []


# -- links into the page ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hash_", "focused", "text"),
    [
        ("#rule/4/nat/POSTROUTING/1", "#rules tr:focus", "MASQUERADE"),
        ("#rule/6/filter/FORWARD/1", "#rules tr:focus", "DOCKER-USER"),
        ("#chain/4/filter/DOCKER-FORWARD", "#rules summary:focus", "DOCKER-FORWARD"),
        ("#container/web", "#host tr:focus", "172.17.0.2"),
        ("#trace/4/client/web/1/0/9", "#step-list a:focus", "DOCKER-FORWARD 4"),
    ],
)
def test_deep_links(visit: Open, hash_: str, focused: str, text: str) -> None:
    page = visit(ICC_OFF, hash_).page
    place = page.locator(focused)
    assert text in place.inner_text()
    box = place.bounding_box()
    assert box is not None
    assert 0 <= box["y"] <= 900


@pytest.mark.parametrize(
    "hash_",
    ["#rule/4/nat/NOWHERE/1", "#rule/4/nat/POSTROUTING/99", "#trace/4/client/nobody/1", "#trace/9/a/b/c/d/e",
     "#%E0%A4%A", "#trace/finding/77", "#trace/4/client/web/1/7/999", "#container/nobody", "#rule",
     "#__proto__/constructor"],
)  # fmt: skip
def test_links_that_lead_nowhere_do_nothing(visit: Open, hash_: str) -> None:
    assert visit(ICC_OFF, hash_).page.locator("main h2").count() == 8


# -- hostile text ----------------------------------------------------------------------------------


def test_hostile_text_does_nothing(visit: Open, hostile_host: Path) -> None:
    seen = visit(hostile_host)
    page = seen.page
    page.get_by_role("button", name="Open all chains").click()
    rules = seen.text("#rules-body").replace("\\'", "'")
    assert [text for text in PAYLOADS[:7] if text not in rules] == []
    assert "\u202e" not in page.locator("body").inner_text()
    page.get_by_role("searchbox").fill("<img src=x")
    assert page.locator("#found-list a").count() >= 2
    page.locator("#found-list a").first.click()
    page.get_by_text("Each container separately").first.click()
    page.locator("#grid-all-4 td a", has_text="icc is off").first.click()
    page.locator("#step-list").wait_for()
    assert PAYLOADS[1] in seen.text(".answer")
    for _ in range(page.locator("#step-list a").count()):
        page.keyboard.press("ArrowRight")
    page.get_by_role("searchbox").fill("<b>x</b>")
    page.locator("#found-list a", has=page.locator(".kind", has_text="chain")).first.click()
    assert "<b>x</b>" in seen.text("#rules summary:focus")
    assert page.locator("main img, main b img, main script, h5 b").count() == 0
    seen.check()


def test_the_policy_is_in_force(visit: Open) -> None:
    """What a hole in the page's own script would let in is stopped all the same."""
    seen = visit(ICC_OFF)
    stopped = seen.page.evaluate("""() => {
        try { document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.broken=1">'); }
        catch (error) { return error.name; }
        return 'taken';
    }""")
    assert stopped == "TypeError"
    assert seen.page.evaluate("violations.splice(0)") == ["trusted-types-sink"]
    assert "TrustedHTML" in seen.problems.pop()


# -- how it looks ----------------------------------------------------------------------------------

#: Texts with less contrast than WCAG 2 asks for (1.4.3): 4.5, or 3 for large text.
FAINT = """() => {
    const parse = (text) => {
        const numbers = text.match(/[\\d.]+/g).map(Number);
        return text.startsWith('color(srgb') ? [...numbers.slice(0, 3).map((one) => one * 255), numbers[3] ?? 1]
            : [...numbers.slice(0, 3), numbers[3] ?? 1];
    };
    const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
        .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
        .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
    const back = (element) => {
        for (let one = element; one; one = one.parentElement) {
            const colour = parse(getComputedStyle(one).backgroundColor);
            if (colour[3] === 1) return colour;
            if (colour[3] !== 0) return null;
        }
        return [255, 255, 255, 1];
    };
    const faint = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        const unseen = 'svg, script, style, noscript, .hidden, .skip, [hidden], [disabled], [aria-disabled=true]';
        if (!walker.currentNode.data.trim() || element.closest(unseen) || !element.checkVisibility()) continue;
        const style = getComputedStyle(element);
        const [one, other] = [light(parse(style.color)), light(back(element))].sort((a, b) => b - a);
        const size = parseFloat(style.fontSize);
        const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
        const ratio = (one + 0.05) / (other + 0.05);
        const what = `${element.className} ${walker.currentNode.data.slice(0, 40)}`;
        if (ratio < needed) faint.push(`${ratio.toFixed(2)} ${what}`);
    }
    return faint;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("source", [MANY, "docker-28.5/forward-off"])
def test_text_stands_out_from_its_ground(visit: Open, source: str, scheme: str) -> None:
    page = visit(source, color_scheme=scheme).page
    page.locator("#reach .grid td a").first.click()
    page.locator("#step-list").wait_for()
    page.get_by_role("searchbox").fill("docker")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 21, 28)"
    assert dark == (scheme == "dark")
    assert page.evaluate(FAINT) == []


def test_dark_and_light_can_be_chosen(visit: Open) -> None:
    page = visit(ICC_OFF).page
    ground = "getComputedStyle(document.querySelector('main > section')).backgroundColor"
    before = page.evaluate(ground)
    page.get_by_role("button", name="Dark or light").click()
    assert page.evaluate(ground) != before
    picture = "getComputedStyle(document.querySelector('.iptsim-picture .paper')).fill"
    assert page.evaluate(picture) == "rgb(13, 17, 23)"
    page.get_by_role("button", name="Dark or light").click()
    assert page.evaluate(ground) == before
    assert page.evaluate(picture) == "rgb(255, 255, 255)"


def test_printing_shows_all_rules_and_no_controls(visit: Open, tmp_path: Path) -> None:
    page = visit(MANY, "#trace/4/internet/host/1", color_scheme="dark").page
    page.get_by_role("button", name="Close all chains").click()
    assert page.locator("details.chain[open]").count() == 0
    printed = tmp_path / "report.pdf"
    page.pdf(path=printed)
    assert printed.read_bytes().startswith(b"%PDF")
    assert page.locator("details.chain:not([open])").count() == 0
    page.emulate_media(media="print")
    assert page.locator(".top").is_hidden()
    assert page.locator(".controls").is_hidden()
    assert page.locator("#step-list").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('#reach .grid')).overflow") == "visible"


# -- for screen readers ----------------------------------------------------------------------------

#: What a reader that can't see the page would stumble over.
STUMBLES = """() => {
    const found = [];
    const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
    ids.filter((one, at) => ids.indexOf(one) !== at).forEach((one) => found.push(`id ${one} twice`));
    for (const one of document.querySelectorAll('[aria-labelledby], [aria-describedby], [aria-controls]')) {
        for (const name of ['aria-labelledby', 'aria-describedby', 'aria-controls']) {
            for (const id of (one.getAttribute(name) || '').split(' ').filter(Boolean)) {
                if (!document.getElementById(id)) found.push(`${name} ${id}`);
            }
        }
    }
    for (const one of document.querySelectorAll('a[href], button, select, input')) {
        const labels = [...(one.labels || [])].map((label) => label.textContent).join('');
        const name = one.getAttribute('aria-label') || labels || one.innerText;
        if (!name.trim() && one.checkVisibility()) found.push(`no name: ${one.outerHTML.slice(0, 80)}`);
    }
    let level = 0;
    for (const one of document.querySelectorAll('h1, h2, h3, h4, h5, h6')) {
        const now = Number(one.tagName[1]);
        if (now > level + 1) found.push(`${one.tagName} after h${level}: ${one.textContent}`);
        level = now;
    }
    document.querySelectorAll('th:not([scope])').forEach((one) => found.push(`th without scope: ${one.textContent}`));
    document.querySelectorAll('main > section:not([aria-labelledby])').forEach((one) => found.push(one.id));
    for (const one of document.querySelectorAll('*')) {
        const scrolls = one.scrollWidth > one.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(one).overflowX);
        const reached = one.tabIndex >= 0 || one.querySelector('a, button, input, [tabindex]');
        if (scrolls && !reached) found.push(`scrolls, but not by keyboard: ${one.className}`);
    }
    for (const one of ['body > header', 'main', 'nav', 'body > footer', 'h1', '[role=search]']) {
        if (document.querySelectorAll(one).length !== 1) found.push(`not one ${one}`);
    }
    if (!document.documentElement.lang) found.push('no language');
    return found;
}"""


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("source", [ICC_OFF, MANY, "hosts/ufw", "docker-28.5/forward-off"])
def test_nobody_stumbles(visit: Open, source: str, width: int) -> None:
    page = visit(source, width=width).page
    page.locator("#reach .grid td a").first.click()
    page.locator("#step-list").wait_for()
    page.get_by_role("searchbox").fill("docker")
    assert page.evaluate(STUMBLES) == []


def test_focus_can_be_seen(visit: Open) -> None:
    page = visit(ICC_OFF).page
    for _ in range(12):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", page.evaluate("document.activeElement.outerHTML.slice(0, 80)")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("source", [ICC_OFF, MANY, "hosts/firewalld", "hosts/kube", "hosts/ufw-docker-28.5"])
def test_axe_finds_no_violation(visit: Open, source: str, width: int, scheme: str, scripts: bool) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="this test needs axe-core")
    # axe changes the page, so it is not held to its policy here
    page = visit(source, width=width, color_scheme=scheme, bypass_csp=True).page
    if scripts:
        page.locator("#reach .grid td a").first.click()
        page.locator("#step-list").wait_for()
        page.get_by_role("searchbox").fill("docker")
    else:
        page.evaluate("document.documentElement.classList.remove('scripts')")
    found = axe.Axe().run(page).response["violations"]
    shown = [(one["id"], node["html"][:120], node["any"][:1]) for one in found for node in one["nodes"][:3]]
    assert shown == []
