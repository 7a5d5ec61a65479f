"""How the page looks: light and dark, on a phone, and how fast it is there."""

import json

import pytest
import results
from page import load

# The contrast of each text with what is behind it, as WCAG 2 computes it: {text: ratio}.
CONTRASTS = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return channels(colour)[3] === 0 ? background(element.parentElement) : colour;
  };
  const found = {};
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest('noscript, script')) continue;
    const [light, dark] = [getComputedStyle(element).color, background(element)]
      .map(luminance).sort((a, b) => b - a);
    found[element.tagName + ' ' + element.textContent] = (light + 0.05) / (dark + 0.05);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(page, scheme):
    page.emulate_media(color_scheme=scheme)
    load(page, *results.sample(), results.status())
    for checked in (None, "update available"):
        if checked:
            page.get_by_label(checked).check()
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 30
        assert {text: ratio for text, ratio in contrasts.items() if ratio < 4.5} == {}
    page.locator("#matrix td.update").first.click()
    contrasts = page.evaluate(CONTRASTS)
    assert {text: ratio for text, ratio in contrasts.items() if ratio < 4.5} == {}


def test_light_and_dark_differ(page):
    backgrounds = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(backgrounds) == 2


def test_on_a_phone_the_table_scrolls_and_the_page_does_not(page):
    page.set_viewport_size({"width": 360, "height": 640})
    load(page, *results.large(40, 30), results.status())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    head, cell = (page.locator(f"#matrix tbody {tag}").first.bounding_box() for tag in ("th", "td"))
    assert cell["x"] == pytest.approx(head["width"]) and head["width"] < 180
    page.locator("#matrix td.differs").first.click()
    box = page.locator("#details").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 360


# Drops a file on the page; resolves to the milliseconds until it has been painted, by the page's
# own clock: the second frame after the last row begins when the first has been painted.
TIME_TO_RENDER = """(content) => new Promise((resolve) => {
  const frame = () => new Promise(requestAnimationFrame);
  const files = new DataTransfer();
  files.items.add(new File([content], 'large.json'));
  new MutationObserver(async () => {
    await frame();
    await frame();
    resolve(performance.now() - start);
  }).observe(document.querySelector('#matrix tbody'), { childList: true });
  const start = performance.now();
  dispatchEvent(new DragEvent('drop', { dataTransfer: files }));
})"""


def test_300_databases_and_60_extensions_render_within_2_seconds(page):
    """The page needs 0.6 s of processor time: the limit is three times that. On a busy machine one
    of three attempts has to keep it."""
    content = json.dumps(results.large(300, 60))
    attempts = []
    while len(attempts) < 3 and not any(time < 2000 for time in attempts):
        page.reload()
        attempts.append(page.evaluate(TIME_TO_RENDER, content))
        assert page.locator("#matrix td").count() == 300 * 60
    assert min(attempts) < 2000
