"""Names and messages come from databases: whatever they are, the page shows them as text."""

import copy

import pytest
import results
from page import PAGE, hashed, load

HTML = (
    "<img src=x onerror=\"ran='img'\"><script>ran='script'</script>"
    "<svg onload=\"ran='svg'\"></svg><a href=\"javascript:ran='link'\">a</a>\"'><b title='"
)


def everywhere(value, text, keep=("State", "Status", "Mode")):
    """The value with this text in place of, or before, each of its strings."""
    if isinstance(value, dict):
        return {key: value[key] if key in keep else everywhere(value[key], text) for key in value}
    if isinstance(value, list):
        return [everywhere(one, text) for one in value]
    return text + value if isinstance(value, str) else value


# Opens the details of every cell and run; returns the tags of what they are made of.
OPEN_EVERYTHING = """() => {
  const tags = new Set();
  const details = document.querySelector('#details');
  for (const cell of document.querySelectorAll('#matrix th, #matrix td, .run button')) {
    cell.click();
    for (const element of details.querySelectorAll('*')) tags.add(element.localName);
    details.close();
  }
  return [...tags].sort();
}"""


@pytest.mark.parametrize("keep", [("State", "Status", "Mode"), ()])
def test_html_and_script_are_shown_and_do_not_run(page, keep):
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("dialog", lambda dialog: requests.append(dialog.message))
    values = [*results.sample(), results.status()]
    load(page, *(everywhere(copy.deepcopy(value), HTML, keep) for value in values), HTML)
    assert HTML + "orders" in page.locator("#matrix tbody").inner_text()
    assert HTML + "hstore" in page.locator("#matrix thead").text_content()
    assert HTML + "permission denied" in page.locator("#matrix").text_content()
    assert "<img" in page.locator("#notes").inner_text()
    assert HTML + "nothing was changed" in page.locator("#runs tbody").inner_text()
    assert HTML + "upgrade-2026" in page.locator("#runs h2").inner_text()
    page.get_by_role("rowheader", name="suppliers").click()
    assert HTML + "DROP EXTENSION" in page.locator("#details").inner_text()
    page.keyboard.press("Escape")
    tags = "b button code dd details dl dt h2 h3 li ol p summary ul"
    assert page.evaluate(OPEN_EVERYTHING) == tags.split()
    assert page.locator("img, svg, a, b[title]").count() == 0
    assert page.evaluate("typeof ran") == "undefined"
    assert page.locator("script").count() == 1
    assert requests == []


def test_names_of_object_properties_are_names(page):
    names = ["__proto__", "constructor", "toString", "hasOwnProperty"]
    extensions = [results.extension(name, "1.0", State=name) for name in names]
    load(
        page,
        results.inspect("__proto__", results.database("__proto__", extensions)),
        {"Run": "__proto__", "Databases": [{"Database": name, "Status": name} for name in names]},
    )
    assert page.locator("#matrix td").all_inner_texts() == ["≠ 1.0"] * 4
    assert page.locator("#runs tbody th").all_inner_texts() == sorted(names)


def test_characters_that_reorder_text_are_escaped(page):
    hidden = "a\u202eb\u2066c\u200bd\x00e"
    run = {"Run": hidden, "Databases": [{"Database": hidden, "Status": "FAILED", "Reason": hidden}]}
    load(
        page, results.inspect("s", results.database(hidden, [results.extension(hidden, "1")])), run
    )
    shown = "a\\u202eb\\u2066c\\u200bd\\u0000e"
    assert shown in page.locator("#matrix tbody th").inner_text()
    assert page.locator("#matrix thead th").last.inner_text() == shown
    assert page.locator("#runs h2").inner_text() == "Run " + shown
    assert page.locator("#runs tbody tr").inner_text().count(shown) == 2


def test_long_names_and_messages_do_not_stretch_the_page(page):
    page.set_viewport_size({"width": 800, "height": 600})
    long = "x" * 10_000
    load(
        page,
        results.inspect(long, results.database(long, [results.extension(long, long)])),
        results.inspect("s", {"Database": "d", "Error": long}),
        {"Run": long, "Databases": [{"Database": long, "Status": long, "Reason": long}]},
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 800
    assert page.locator("#matrix thead").bounding_box()["height"] < 250
    assert page.locator("#matrix td").last.bounding_box()["height"] < 100
    assert page.locator("#runs tbody tr").bounding_box()["height"] < 150


def test_the_policy_lets_the_page_itself_run_and_nothing_else(browser):
    page = browser.new_page()
    page.goto(PAGE.as_uri())
    assert page.locator("#states label").count() == 5
    refused = page.evaluate(
        """async () => {
          const script = document.createElement('script');
          document.body.append(script);
          const refused = [];
          for (const attempt of [
            () => { document.body.setAttribute('onclick', "ran = 'attribute'"); },
            () => { document.body.innerHTML = '<b>'; },
            () => { script.text = "ran = 'script'"; },
            () => { document.write('<b>'); },
            () => fetch('https://example.com/'),
          ]) {
            try { await attempt(); } catch (problem) { refused.push(problem.name); }
          }
          return [...refused, typeof ran];
        }"""
    )
    assert refused == ["TypeError"] * 5 + ["undefined"]
    page.close()


def test_the_policy_names_this_script_and_this_style():
    html = PAGE.read_text()
    assert hashed(html) == html, "`make test-page RECORD=1` records the hashes"
