"""How long the static leaderboard of many records takes to build, what it weighs, and how fast its pages are.

python benchmarks/speed/leaderboard_site.py --records 2000 --out /tmp/measured [--browser]
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from site_records import write_records

TIMES = """() => {
  const t = performance.timing;
  return [t.domInteractive, t.domContentLoadedEventEnd].map((moment) => moment - t.navigationStart);
}"""
# each waits until what it did has been drawn
DRAWN = "await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));"
SORT = """async () => {
  const start = performance.now();
  document.querySelector("thead th.score .dt-column-order").click();
  %s
  return performance.now() - start;
}"""
FILTER = """async () => {
  const found = document.getElementById("found");
  document.getElementById("f-text").value = "lstm conv4";
  const start = performance.now();
  document.getElementById("filters").dispatchEvent(new Event("input"));
  while (!found.textContent) await new Promise((done) => setTimeout(done, 1));
  %s
  return performance.now() - start;
}"""


def measure_browser(site: Path, board: Path) -> dict[str, float]:
    """Return milliseconds of the first page and of a board's, in Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = next(path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path)
    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto((site / "index.html").as_uri())
        page.wait_for_selector("html[data-ready]")
        found["first page parsed"], found["first page interactive"] = page.evaluate(TIMES)
        found["a board sorted"] = page.evaluate(SORT % DRAWN)
        found["all boards filtered (120 of it wait for more letters)"] = page.evaluate(FILTER % DRAWN)
        start = time.perf_counter()
        page.goto(board.as_uri())
        page.wait_for_selector("html[data-drawn]")
        found["a board's page, until its chart is drawn"] = 1000 * (time.perf_counter() - start)
        browser.close()
    return found


def main() -> None:
    """Write records, build their site, and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--boards", type=int, default=12)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--browser", action="store_true")
    options = parser.parse_args()
    from neurofit.report.leaderboard import leaderboard
    from neurofit.report.site import write_site

    write_records(options.out / "records", options.records, options.boards)
    start, cpu = time.perf_counter(), time.process_time()
    board = leaderboard(options.out / "records")
    print(f"read and ranked: {time.perf_counter() - start:.2f} s, {time.process_time() - cpu:.2f} s of CPU")
    start, cpu = time.perf_counter(), time.process_time()
    summary = write_site(board, options.out / "site")
    print(f"written: {time.perf_counter() - start:.2f} s, {time.process_time() - cpu:.2f} s of CPU")
    print(f"{summary.files} files, {summary.bytes / 1e6:.1f} MB, {summary.runs} runs on {summary.boards} boards")
    pages = sorted((options.out / "site/boards").glob("*.html"), key=lambda path: -path.stat().st_size)
    for path in (options.out / "site/index.html", pages[0], options.out / "site/assets/boards.js"):
        print(f"{path.relative_to(options.out)}: {path.stat().st_size / 1e3:,.0f} kB")
    if options.browser:
        for name, value in measure_browser(options.out / "site", pages[0]).items():
            print(f"{name}: {value:,.0f} ms")


if __name__ == "__main__":
    main()
