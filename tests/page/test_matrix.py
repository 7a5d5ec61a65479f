"""What the page shows of results of Inspect, and how one moves in it."""

import functools
import http.server
import json
import shutil
import threading

import results
from page import PAGE, file, load
from results import database, extension, inspect, statement

UPDATE = """ALTER EXTENSION "hstore" UPDATE TO '1.8'"""
CREATE = 'CREATE EXTENSION "pg_trgm"'


def states():
    """One database with an extension in each state, and one that could not be read."""
    return inspect(
        "server-a",
        database(
            "app",
            [
                extension("citext", "1.6", State="as wanted"),
                extension("cube", "1.4", "1.5", State="not listed"),
                extension("hstore", "1.7", "1.8", Wanted="1.8", State="other version"),
                extension("pg_trgm", None, "1.6", Wanted="latest", State="missing"),
                extension("xml2", "1.1", Wanted="absent", State="unwanted"),
            ],
            [
                statement(UPDATE, "update", "hstore", "1.7", "1.8"),
                statement(CREATE, "create", "pg_trgm", None, "1.6"),
            ],
        ),
        {"Database": "locked", "Error": "permission denied"},
    )


def names(page):
    return page.locator("#matrix thead th").all_inner_texts()[1:]


def rows(page):
    """Each row: its database, then its cells."""
    found = page.locator("#matrix tbody tr")
    texts = [row.locator("th, td").all_inner_texts() for row in found.all()]
    return {texts[0].split("\n")[0][1:]: texts[1:] for texts in texts}


def cell(page, database, name):
    row = page.locator("#matrix tbody tr", has=page.get_by_role("rowheader", name=database))
    return row.locator("td").nth(names(page).index(name))


def details(page):
    return page.locator("#details").inner_text()


def test_each_state_has_a_sign_of_its_own_beside_the_version(page):
    load(page, states())
    assert names(page) == ["citext", "cube", "hstore", "pg_trgm", "xml2"]
    assert rows(page) == {
        "app": ["✓ 1.6", "↑ 1.4", "≠ 1.7", "+ missing", "≠ 1.1"],
        "locked": ["✕permission denied"],
    }
    assert cell(page, "app", "hstore").get_attribute("title") == (
        "hstore: differs from wanted, other version, wanted 1.8, default 1.8"
    )


def test_the_summary_counts_servers_databases_and_states(page):
    load(page, states(), inspect("server-b", database("app", [extension("citext", "1.6")])))
    assert page.locator("#summary").inner_text() == (
        "2 servers, 3 databases, 1 with drift, 1 update available, 1 failed"
    )
    counts = page.locator("#states label").all_inner_texts()
    assert [text.split()[-1] for text in counts] == ["2", "1", "2", "1", "1"]


def test_a_failed_invocation_counts_as_failed_and_not_as_a_server(page):
    load(page, states(), {"errorType": "Failed", "errorMessage": "the secret cannot be read"})
    assert page.locator("#matrix thead th").first.inner_text() == "2 databases"
    assert page.locator("#summary").inner_text() == (
        "1 server, 2 databases, 1 with drift, 1 update available, 2 failed"
    )


def test_a_click_shows_the_statements_of_the_extension_and_of_the_database(page):
    load(page, states(), inspect("server-b", database("other", [])))
    cell(page, "other", "hstore").click()
    assert "not installed" in details(page)
    page.keyboard.press("Escape")
    cell(page, "app", "hstore").click()
    assert UPDATE in details(page)
    assert CREATE not in details(page)
    page.locator("#details summary").click()
    assert CREATE in details(page)
    page.get_by_role("button", name="Close").click()
    page.get_by_role("rowheader", name="app").click()
    assert page.locator("#details li").all_inner_texts() == [UPDATE, CREATE]


def test_a_statement_that_drops_several_extensions_is_shown_for_each(page):
    drop = 'DROP EXTENSION "cube", "earthdistance" RESTRICT'
    names = ["cube", "earthdistance", "hstore"]
    extensions = [extension(name, "1.1", State="unwanted") for name in names]
    plan = [statement(drop, "drop", "cube, earthdistance", "1.1, 1.1")]
    load(page, inspect("server-a", database("app", extensions, plan)))
    for name, found in zip(names, ([drop], [drop], []), strict=True):
        cell(page, "app", name).click()
        assert page.locator("#details > ol li").all_inner_texts() == found
        page.keyboard.press("Escape")


def test_the_details_of_an_extension_list_its_versions(page):
    load(page, *results.sample())
    page.get_by_role("columnheader", name="postgis", exact=True).click()
    assert page.locator("#details li").all_inner_texts() == [
        "3.4.3 in 1 database: stores (geo-prod)",
        "3.3.2 in 2 databases: delivery (geo-prod), routing (geo-prod)",
    ]


def test_problems_are_shown_with_the_database(page):
    load(page, *results.sample())
    page.get_by_role("rowheader", name="warehouse").click()
    assert "view `report.remote_stock` depends on it" in details(page)


def test_filters_by_database_extension_and_state(page):
    load(page, *results.sample())
    page.locator("#extension").fill("POSTGIS")
    assert names(page) == ["postgis", "postgis_raster", "postgis_topology"]
    # What `finance` holds is not known.
    assert set(rows(page)) == {"delivery", "stores", "routing", "finance"}
    page.get_by_label("update available").check()
    assert names(page) == ["postgis", "postgis_raster"]
    assert set(rows(page)) == {"delivery", "routing"}
    page.locator("#extension").fill("")
    page.locator("#database").fill("catalog-prod")
    assert rows(page) == {"catalog": ["↑ 0.7.0"], "search": ["↑ 0.7.0"]}
    page.locator("#database").fill("")
    page.get_by_label("update available").uncheck()
    page.get_by_label("failed").check()
    assert set(rows(page)) == {"warehouse", "finance"}


def test_a_filter_that_nothing_passes_leaves_an_empty_table(page):
    load(page, states())
    page.locator("#extension").fill("no such extension")
    assert names(page) == []
    assert rows(page) == {"locked": ["✕permission denied"]}
    page.locator("#database").fill("no such database")
    assert rows(page) == {}


def test_the_keyboard_moves_opens_and_closes(page):
    load(page, states())
    assert page.locator("#matrix [tabindex='0']").count() == 1
    page.locator("#states input").last.focus()
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    assert focused.inner_text() == "✓ 1.6"
    for key, text in (
        ("ArrowRight", "↑ 1.4"),
        ("ArrowRight", "≠ 1.7"),
        ("ArrowDown", "✕permission denied"),
        ("ArrowUp", "≠ 1.7"),
        ("ArrowUp", "hstore"),
        ("End", "xml2"),
        ("Control+Home", "2 databases"),
        ("Control+End", "✕permission denied"),
        ("ArrowUp", "≠ 1.1"),
    ):
        page.keyboard.press(key)
        assert focused.inner_text() == text, key
    page.keyboard.press("Enter")
    assert page.locator("#details-title").inner_text() == "xml2 in app"
    page.keyboard.press("Escape")
    assert not page.locator("#details").is_visible()
    assert focused.inner_text() == "≠ 1.1"


def test_the_focused_cell_is_not_under_the_fixed_row_and_column(page):
    load(page, *results.large(40, 30))
    page.set_viewport_size({"width": 700, "height": 500})
    page.locator("#matrix td").first.focus()
    for key in ("Control+End", *["PageUp"] * 5, *["ArrowLeft"] * 30, "ArrowRight"):
        page.keyboard.press(key)
        covered = page.evaluate(
            """() => {
              const box = document.activeElement.getBoundingClientRect();
              const top = document.elementFromPoint(box.left + 3, box.top + 3);
              return !document.activeElement.contains(top);
            }"""
        )
        assert not covered, key


def test_files_are_added_and_a_database_that_is_read_again_is_replaced(page):
    load(page, inspect("server-a", database("app", [extension("citext", "1.5")])))
    load(page, inspect("server-b", database("app", [extension("citext", "1.6")])))
    assert page.locator("#matrix tbody tr").count() == 2
    load(page, inspect("server-a", database("app", [extension("citext", "1.7")])))
    assert page.locator("#matrix td").all_inner_texts() == ["✓ 1.7", "✓ 1.6"]
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#empty").is_visible()
    assert not page.locator("#matrix").is_visible()


def test_files_can_be_dropped(page):
    dropped = page.evaluate_handle(
        """(content) => {
          const data = new DataTransfer();
          data.items.add(new File([content], 'a.json'));
          return data;
        }""",
        json.dumps(states()),
    )
    page.dispatch_event("#empty", "drop", {"dataTransfer": dropped})
    page.locator("#matrix tbody tr").first.wait_for()
    assert set(rows(page)) == {"app", "locked"}
    assert not page.locator("#empty").is_visible()


def test_a_file_may_hold_a_list_or_a_result_on_each_line(page):
    one, other = states(), inspect("server-b", database("other", []))
    load(page, [one, other])
    assert set(rows(page)) == {"app", "locked", "other"}
    page.get_by_role("button", name="Clear").click()
    load(page, json.dumps(one) + "\n" + json.dumps(other) + "\n")
    assert set(rows(page)) == {"app", "locked", "other"}


def test_a_failed_invocation_is_a_row_with_its_reason(page):
    response = {"Status": "FAILED", "Reason": "gave up waiting for a connection"}
    load(page, {"errorType": "Transient", "errorMessage": json.dumps(response)})
    assert rows(page) == {"(all databases)": ["✕gave up waiting for a connection"]}
    load(page, {"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out"})
    assert rows(page) == {"(all databases)": ["✕Task timed out"]}


def test_missing_keys_are_no_error(page):
    load(
        page,
        {"Databases": [{}, None, {"Database": "a", "Extensions": [{}, 1, {"Name": "hstore"}]}]},
        {"Databases": [{"Database": "b", "Extensions": None, "Plan": ["SELECT 1"]}], "Server": 1},
    )
    assert set(rows(page)) == {"(all databases)", "a", "b"}
    assert rows(page)["a"] == ["✓ absent", "✓ absent"]
    assert rows(page)["b"] == ["✕the result has no extensions of this database"]
    page.get_by_role("rowheader", name="b 2.json").click()
    assert page.locator("#details li").all_inner_texts() == ["SELECT 1"]


def test_what_is_left_out_and_what_cannot_be_read_is_said(page):
    left_out = inspect("server-a", database("app", []), LeftOut="12 databases")
    load(page, left_out, "{", {"x": 1}, 5, "[]")
    notes = page.locator("#notes li").all_inner_texts()
    assert notes[0] == "server-a: left out: 12 databases"
    assert notes[1].startswith("2.json: not JSON: ")
    assert notes[2:] == [
        "3.json: neither a result of Inspect nor of the status workflow",
        "4.json: not an object",
    ]


def test_report_json_beside_the_page_is_shown_at_once(browser, tmp_path):
    shutil.copy(PAGE, tmp_path)
    (tmp_path / "report.json").write_text(json.dumps(results.sample()))
    files = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/report.html")
        page.locator("#matrix tbody tr").first.wait_for()
        assert len(rows(page)) == 12
        (tmp_path / "report.json").unlink()
        page.reload()
        assert page.locator("#empty").is_visible()
        page.close()
        server.shutdown()


def test_without_files_the_page_says_where_to_drop_them(page):
    assert "Drop results" in page.locator("#empty").inner_text()
    assert not page.locator("#filters").is_visible()
    page.set_input_files("#files", [file("broken.json", "<html>")])
    assert page.locator("#empty").is_visible()
    assert "broken.json: not JSON" in page.locator("#notes").inner_text()
