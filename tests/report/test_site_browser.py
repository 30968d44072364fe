"""The static leaderboard in Chromium, opened from disk; skipped where there is none."""

import csv
import io
import json
import os
import re
import shutil
import time

import pytest

from neurofit.report.site import write_site

from site_boards import HOSTILE, NEUROID, hostile_leaderboard  # isort: skip

playwright_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, an extra of development")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FOUND = "document.getElementById('found').textContent"
SORTED = "document.querySelector('thead th.score').getAttribute('aria-sort')"
PATIENCE_S = 40
PHONE = {"width": 390, "height": 844}
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome, which is not on the path")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "out"
    write_site(hostile_leaderboard(), out)
    return out


@pytest.fixture(scope="module")
def browser():
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with playwright_api.sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if root else [])
        except playwright_api.Error as error:
            pytest.skip(f"Chromium does not start here: {error.message.splitlines()[0]}")
        yield started
        started.close()


@pytest.fixture(scope="module")
def desktop(browser):
    """One window for all tests that ask for nothing else: what it has compiled it need not compile again."""
    return browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")


@pytest.fixture
def visit(browser, desktop, site):
    """Return a function that opens a page of the site; afterwards nothing may have been complained of or asked for."""
    pages, complaints, requests = [], [], []

    def open_page(name, fragment="", **options):
        page = browser.new_page(**options) if options else desktop.new_page()
        pages.append(page)
        page.set_default_timeout(1000 * PATIENCE_S)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((site / name).as_uri() + fragment)
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready]" if name == "index.html" else "html[data-drawn]", state="attached")
        return page

    yield open_page
    for page in pages:
        assert page.evaluate("window.pwned === undefined")
        page.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith((site.as_uri(), "data:", "blob:"))] == []


def until(page, expression):
    """Wait until an expression is true; Playwright's own waiting evaluates text, which the pages forbid."""
    end = time.monotonic() + PATIENCE_S
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        time.sleep(0.02)


def first_table(page):
    return page.locator("table.runs").first


def names(table):
    return table.locator("tbody tr th a").all_inner_texts()


def curves(page, chart="course"):
    """Return the names of what a chart draws with marks."""
    return page.evaluate(
        """(id) => document.querySelector(`#${id} .plot`).data
          .filter((trace) => trace.mode.includes("markers")).map((trace) => trace.name)""",
        chart,
    )


def redrawn(page, action):
    """Do something and wait until the charts have been drawn again."""
    before = page.evaluate("document.documentElement.dataset.drawn")
    action()
    until(page, f"document.documentElement.dataset.drawn !== '{before}'")


def test_the_table_sorts_by_mouse_and_by_keyboard(visit):
    page = visit("index.html")
    table = first_table(page)
    assert table.locator("tbody tr").count() == 25
    best = names(table)[0]
    head = table.locator("thead th.score")
    head.click()
    until(page, f"{SORTED} === 'descending'")
    assert names(table)[0] == best
    head.locator("[role=button]").focus()
    page.keyboard.press("Enter")
    until(page, f"{SORTED} === 'ascending'")
    values = [float(v) for v in table.locator("tbody td.score b").all_inner_texts()]
    assert values == sorted(values)
    assert names(table)[0] != best


def test_pages_of_a_table(visit):
    page = visit("index.html")
    runs = len(HOSTILE) + 12
    section = page.locator("section.board").first
    assert f"1 to 25 of {runs} runs" in section.inner_text()
    section.locator(".dt-paging-button.next").click()
    until(page, f"document.querySelectorAll('table.runs')[0].tBodies[0].rows.length === {runs - 25}")


def test_filters(visit):
    page = visit("index.html")
    page.fill("#f-text", "MODEL-0 conv5")
    until(page, f"{FOUND} === '10 runs on 1 board'")
    assert all(name.startswith("model-0") for name in names(first_table(page)))
    assert page.locator("section.board:visible").count() == 1
    page.fill("#f-text", "no such name")
    page.wait_for_selector("#nothing:visible")
    page.click("#clear")
    page.wait_for_selector("#nothing", state="hidden")
    assert page.locator("section.board:visible").count() == 4
    page.select_option("#f-kind", "simulated")
    until(page, f"{FOUND} === '1 run on 1 board'")
    page.select_option("#f-kind", "")
    page.select_option("#f-layer", "<b>conv</b>")
    until(page, f"{FOUND} === '1 run on 1 board'")
    page.select_option("#f-layer", "")
    page.fill("#f-images", "240")
    until(page, f"{FOUND} === '6 runs on 3 boards'")


def test_columns_can_be_hidden_and_are_still_filtered(visit):
    page = visit("index.html")
    section = page.locator("section.board").first
    section.locator("summary", has_text="Columns").click()
    section.get_by_label("Layer", exact=True).uncheck()
    assert "Layer" not in first_table(page).locator("thead").inner_text()
    page.keyboard.press("Escape")
    assert not section.locator(".menu").is_visible()
    page.fill("#f-text", "rgc conv5")
    until(page, f"{FOUND} === '3 runs on 3 boards'")
    assert names(first_table(page)) == ["RGC"]


def test_names_are_shown_and_not_obeyed(visit):
    page = visit("index.html")
    page.locator("section.board .dt-length select").first.select_option("-1")
    found = set(names(first_table(page)))
    assert {
        "<script>window.pwned=1</script>",
        '"><img src=x onerror="window.pwned=2">',
        "{{ 7 * 7 }}",
        "RGC",
        "rgc",
    } <= found
    assert page.locator("section.board img, section.board script").count() == 0
    page.locator("a", has_text="<script>window").first.click()
    page.wait_for_selector("html[data-drawn]", state="attached")
    assert page.inner_text("h1") == "<script>window.pwned=1</script>"


def test_hostile_names_in_charts(visit, site):
    page = visit("boards/session-00.html")
    page.evaluate("document.querySelectorAll('table.runs input:not(:checked)').forEach((box) => box.click())")
    until(page, "document.querySelectorAll('#course .scatterlayer .trace .points').length >= 25")
    page.locator("#course .plot").hover(position={"x": 400, "y": 150})
    page.locator(".values summary").click()
    page.wait_for_selector(".values table")
    assert page.locator("img").count() == 0
    assert any(name.startswith("&lt;script&gt;window.pwned=1") for name in curves(page))
    assert "half\ufffd" not in page.inner_text("#models")  # shown by its number
    assert "half⟨U+D800⟩" in page.inner_text("main")


def test_two_runs_are_compared(visit):
    page = visit("index.html")
    table = first_table(page)
    compare = page.locator("section.board").first.get_by_text("Compare two")
    assert compare.get_attribute("aria-disabled") == "true"
    chosen = [table.locator("tbody tr").nth(i) for i in (3, 1)]
    for row in chosen:
        row.locator("input").check()
    ids = [row.get_attribute("data-run") for row in reversed(chosen)]
    compare.click()
    page.wait_for_selector("html[data-drawn]", state="attached")
    assert [page.input_value("#a"), page.input_value("#b")] == ids
    assert f"a={ids[0]}&b={ids[1]}" in page.url
    assert len(curves(page)) == 2
    assert "A predicts" in page.inner_text("#neuroids .summary")
    redrawn(page, lambda: page.click("#swap"))
    assert f"a={ids[1]}&b={ids[0]}" in page.url
    redrawn(page, lambda: page.check("input[value=raw]"))
    title = "document.querySelector('#course .plot').layout.yaxis.title.text"
    assert page.evaluate(title) == "raw r"
    assert "does not test" in re.sub(r"\s+", " ", page.inner_text(".lead"))


def test_an_address_that_names_nothing_is_no_error(visit):
    page = visit("compare.html", "#board=../x&a=<img src=x>&b=..%2F..%2Fpasswd")
    assert len(curves(page)) == 2


def test_a_board_with_one_run_cannot_be_compared(visit):
    page = visit("compare.html")
    page.select_option("#board", "sim-02")
    page.wait_for_selector("#one:visible")
    assert page.locator("#simulated").is_visible()
    assert not page.locator("#charts").is_visible()


def test_models_of_a_board_are_toggled(visit):
    page = visit("boards/session-00.html")
    assert len(curves(page)) == 4
    redrawn(page, page.locator("#models input").first.uncheck)
    assert len(curves(page)) == 3
    redrawn(page, lambda: page.locator("table.runs tbody tr").nth(20).locator("input").check())
    assert len(curves(page)) == 4
    traces = "document.querySelector('#course .plot').data.length"
    before = page.evaluate(traces)
    redrawn(page, lambda: page.uncheck("#bands"))
    redrawn(page, lambda: page.uncheck("#ceiling"))
    assert page.evaluate(traces) == 4 < before


def test_a_board_of_one_bin_has_a_row_for_each_run(visit):
    page = visit("boards/session-01.html")
    assert page.evaluate("document.querySelector('#course .plot').layout.yaxis.ticktext.length") == 3
    assert len(curves(page)) == 3


def test_neuroids_are_drawn_with_their_names(visit, site):
    page = visit(f"models/{next(p.name for p in (site / 'models').glob('ff-*.html'))}")
    texts = "document.querySelector('#neuroids .plot').data.find((t) => t.mode === 'markers').text"
    assert page.evaluate(texts)[0].startswith("session-01-")
    page.select_option("#board", "session-04")
    until(page, "document.querySelector('#neuroids .summary').textContent.includes('whole populations')")
    assert not page.locator("#neuroids .plot").is_visible()


def test_a_neuroid_with_markup_for_a_name(visit):
    page = visit("compare.html", "#board=session-00")
    shown = page.evaluate("document.querySelector('#neuroids .plot').data.find((t) => t.mode === 'markers').text")
    assert NEUROID.replace("<", "&lt;").replace(">", "&gt;") in shown


def test_dark_is_chosen_and_remembered(visit, site):
    page = visit("boards/session-01.html", color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light, chart = page.evaluate(ground), page.evaluate("document.querySelector('#course .plot').layout.paper_bgcolor")
    page.click("#theme")
    assert page.evaluate(ground) != light
    assert page.get_attribute("#theme", "aria-pressed") == "true"
    until(page, f"document.querySelector('#course .plot').layout.paper_bgcolor !== '{chart}'")
    page.goto((site / "compare.html").as_uri())
    assert page.get_attribute("html", "data-theme") == "dark"


def test_the_system_may_ask_for_dark(visit):
    assert visit("index.html", color_scheme="dark").get_attribute("#theme", "aria-pressed") == "true"


def test_a_phone_scrolls_no_page_sideways(visit, site):
    models = sorted((site / "models").iterdir(), key=lambda path: path.stat().st_size)
    for name in ("index.html", "compare.html", "boards/session-00.html", f"models/{models[-1].name}"):
        page = visit(name, viewport=PHONE, is_mobile=True, has_touch=True)
        wide = "document.documentElement.scrollWidth"
        assert page.evaluate(wide) <= PHONE["width"], name


def test_downloads(visit, site):
    def downloaded(page, button):
        with page.expect_download() as waiting:
            page.locator(button).first.click()
        return waiting.value.suggested_filename, waiting.value.path().read_text()

    page = visit("boards/session-01.html")
    name, text = downloaded(page, "a[download]")
    assert name == "session-01.csv"
    assert {row["model"] for row in csv.DictReader(io.StringIO(text))} == {"rgc", "ff", "gru"}
    name, text = downloaded(page, "[data-save]")
    assert (name, text[:6]) == ("session-01.bib", "@misc{")
    name, text = downloaded(page, "[data-picture]")
    assert (name, text[:4]) == ("course.svg", "<svg")
    page = visit(f"models/{next(p.name for p in (site / 'models').glob('gru-*.html'))}")
    name, text = downloaded(page, "[data-record]")
    assert json.loads(text)["subject"]["name"] == "gru"
    assert name.endswith(".json")


def test_tables_are_read_without_scripts(visit):
    page = visit("index.html", java_script_enabled=False)
    assert first_table(page).locator("tbody tr").count() == len(HOSTILE) + 12
    assert not page.locator("#filters").is_visible()
    assert not page.locator(".pick input").first.is_visible()
    assert page.get_by_role("link", name="rgc", exact=True).first.is_visible()


def test_scripts_and_requests_of_others_are_refused(browser, site):
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    refused = page.evaluate(
        """async () => {
          const found = [];
          document.addEventListener("securitypolicyviolation", (event) => found.push(event.effectiveDirective));
          const script = document.createElement("script");
          script.textContent = "window.pwned = 1";
          const image = document.createElement("img");
          image.src = "http://127.0.0.1:9/x.png";
          const link = document.createElement("a");
          link.setAttribute("onclick", "window.pwned = 2");
          document.body.append(script, image, link);
          link.click();
          await fetch("http://127.0.0.1:9/").catch(() => {});
          await new Promise((done) => setTimeout(done, 100));
          return found.sort();
        }"""
    )
    assert refused == ["connect-src", "img-src", "script-src-attr", "script-src-elem"]
    assert page.evaluate("window.pwned === undefined")
    page.close()


def test_the_page_is_built_for_screen_readers_and_keyboards(visit):
    page = visit("boards/session-00.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, select, button, a, summary, [role=button], [role=img]")]
          .filter((e) => e.checkVisibility() && !(e.ariaLabel || e.textContent.trim() || (e.labels && e.labels.length)))
          .map((e) => e.outerHTML)"""
    )
    assert unnamed == []
    assert page.get_attribute("#course .plot", "aria-label") == page.inner_text("#course .summary")
    box = page.locator("#models input").first
    box.focus()
    redrawn(page, lambda: page.keyboard.press("Space"))
    assert len(curves(page)) == 3
    page.locator("#course .values summary").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#course .values table")
    assert page.locator("#course .values tbody tr").count() == 20
