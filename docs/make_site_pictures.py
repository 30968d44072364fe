"""Pictures of the static leaderboard: `python docs/make_site_pictures.py --records neurofit-out`.

Those of the documentation are of records that were measured; without `--records` drawn ones are taken, called INVENTED,
to look at the pages (`--every DIR`). Needs playwright and Chromium or Chrome.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "benchmarks" / "speed"))
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 880}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
RECORDS, BOARDS = 54, 6


def build(folder: Path, records: Path | None) -> Path:
    """Write the site of some records, or of drawn ones; return its folder."""
    from site_records import write_records

    from neurofit.report.leaderboard import leaderboard
    from neurofit.report.site import write_site

    if records is None:
        records = folder / "records"
        write_records(records, RECORDS, BOARDS)
    write_site(leaderboard(records), folder / "site")
    return folder / "site"


def pages(site: Path) -> dict[str, str]:
    """Return addresses of a page of each kind, by its name."""
    board = max((site / "boards").glob("*.html"), key=lambda path: (path.stat().st_size, path.name))
    model = min((site / "models").glob("rgc-*.html"))
    names = {"index": site / "index.html", "board": board, "model": model, "compare": site / "compare.html"}
    return {name: path.as_uri() for name, path in names.items()}


def take(site: Path, out: Path, every: bool) -> None:
    """Take the pictures of the documentation, or those of every page in every form."""
    from playwright.sync_api import sync_playwright

    chromium = next(path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path)
    addresses = pages(site)
    forms = {
        "leaderboard": ("index", DESKTOP, False),
        "leaderboard-phone": ("board", PHONE, False),
        "leaderboard-dark": ("board", DESKTOP | {"color_scheme": "dark"}, False),
    }
    if every:
        forms = {
            f"{name}-{form}": (name, options, True)
            for name in addresses
            for form, options in (
                ("desktop", DESKTOP),
                ("phone", PHONE),
                ("dark", DESKTOP | {"color_scheme": "dark"}),
                ("dark-phone", PHONE | {"color_scheme": "dark"}),
            )
        }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (page_name, options, whole) in forms.items():
            page = browser.new_page(**({"color_scheme": "light"} | options))
            page.goto(addresses[page_name])
            page.wait_for_selector("html[data-ready]" if page_name == "index" else "html[data-drawn]", state="attached")
            if not whole and page_name == "board":
                page.locator("#courses").evaluate("(title) => title.scrollIntoView()")
            page.wait_for_timeout(300)
            page.screenshot(path=out / f"{name}.png", full_page=whole)
            page.close()
        browser.close()


def main() -> None:
    """Build a site in a temporary folder and take its pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=Path, help="a folder for pictures of every page in every form")
    parser.add_argument("--records", type=Path, help="records that `neurofit score` wrote")
    options = parser.parse_args()
    if not options.every and options.records is None:
        parser.error("the documentation shows measured records: --records FOLDER (or --every DIR)")
    if options.every:
        options.every.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        take(build(Path(folder), options.records), options.every or DOCS, bool(options.every))


if __name__ == "__main__":
    main()
