"""fleet/report.html in headless Chromium; as a program it records the hashes of the page's
Content-Security-Policy and its screenshot: `make test-page RECORD=1`."""

import base64
import contextlib
import hashlib
import json
import pathlib
import re
import shutil

import results
from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "fleet" / "report.html"
SCREENSHOT = ROOT / "docs" / "report.png"


@contextlib.contextmanager
def chromium():
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if not program:
        raise FileNotFoundError("Chromium is not on this machine: `apt-get install chromium`")
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not work for root, as whom containers run.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def file(name, value):
    """A JSON file as `set_input_files` takes it."""
    content = value if isinstance(value, str) else json.dumps(value)
    return {"name": name, "mimeType": "application/json", "buffer": content.encode()}


def load(page, *values):
    """Give the page one file for each value."""
    files = [file(f"{number}.json", value) for number, value in enumerate(values, 1)]
    page.set_input_files("#files", files)
    page.locator("body:not([aria-busy])").wait_for()


def hashed(html):
    """The page with the hashes that its policy has to have."""
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        content = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        html = re.sub(f"{directive} '[^']*'", f"{directive} 'sha256-{digest}'", html, count=1)
    return html


def record():
    PAGE.write_text(hashed(PAGE.read_text()))
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 840})
        page.goto(PAGE.as_uri())
        load(page, *results.sample())
        size = len(page.screenshot(path=SCREENSHOT))
        if size > 150_000:
            raise ValueError(f"{SCREENSHOT} has {size} bytes: take a smaller part of the page")


if __name__ == "__main__":
    record()
