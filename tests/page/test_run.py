"""What the page shows of a run: the results of the status workflow."""

import json

import results
from page import load


def table(page):
    """The rows of the table, the head first: the texts of their cells."""
    rows = page.locator("#runs tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


def names(page):
    return page.locator("#runs tbody th").all_inner_texts()


def test_a_run_is_a_table_with_what_failed_first(page):
    load(page, results.status())
    assert not page.locator("#matrix").is_visible()
    changed, path = "updated hstore 1.4 to 1.8", "nothing was changed: no update path"
    before, after = "hstore 1.4, plpgsql 1.0", "hstore 1.8, plpgsql 1.0"
    snapshot = "extensions-upgrade-2026-11-20-orders"
    staging, production, time = "1-staging", "2-production", "2026-11-20T02:14:09Z"
    assert table(page) == [
        "Database Wave Status Action Reason Changes Before After ServerVersion Snapshot RestoreTo "
        "UpdatedAt".split(),
        ["stores", staging, "✕FAILED", "update", path, "", "", "", "15.8", "", "2026-11-20T02:13:40Z", time],
        ["orders", staging, "✓CHANGED", "update", "", changed, before, after, "15.8", snapshot, "", time],
        ["search", staging, "✓IN_SYNC", "", "", "none", "", "", "15.8", "", "", time],
        ["routing", production, "≠DRIFTED", "create", *[""] * 7, "2026-11-20T02:13:02Z"],
    ]  # fmt: skip


def test_the_run_is_told_with_its_counts(page):
    load(page, {**results.status(), "Cause": "1 of 4 databases failed"})
    assert page.locator("#runs .facts span").all_inner_texts() == [
        "Apply",
        "✕FAILED",
        "Wave 1-staging",
        "✓1 IN_SYNC",
        "≠1 DRIFTED",
        "✓1 CHANGED",
        "✕1 FAILED",
        "started 2026-11-20T02:12:51Z",
        "updated 2026-11-20T02:14:10Z",
    ]
    assert "1 of 4 databases failed" in page.locator("#runs").inner_text()
    assert page.locator("#summary").inner_text() == "1 run"
    counts = page.locator("#states label").all_inner_texts()
    assert [text.split()[-1] for text in counts] == ["2", "0", "1", "0", "1"]


def test_a_run_is_filtered_by_state_database_and_extension(page):
    load(page, results.status())
    page.get_by_label("failed").check()
    assert names(page) == ["stores"]
    page.get_by_label("failed").uncheck()
    page.locator("#extension").fill("HSTORE")
    assert names(page) == ["orders"]
    page.locator("#extension").fill("")
    page.locator("#database").fill("rout")
    assert names(page) == ["routing"]


def test_the_name_of_a_database_opens_all_of_it(page):
    reason = "no update path " * 60
    run = results.status()
    run["Databases"][2]["Reason"] = reason + "end"
    load(page, run)
    button = page.get_by_role("button", name="stores")
    assert page.locator("#runs tbody tr").first.bounding_box()["height"] < 120
    button.focus()
    page.keyboard.press("Enter")
    assert page.locator("#details-title").inner_text() == "stores"
    assert reason + "end" in page.locator("#details").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("#details").is_visible()


def test_the_pages_of_a_run_become_one_table(page):
    first, second, third = results.long_run(250, 100)
    load(page, first, third)
    assert len(names(page)) == 150
    assert "Here are 150 of 250 databases" in page.locator("#runs").inner_text()
    load(page, second)
    assert page.locator("#runs .run").count() == 1
    assert names(page) == [f"database-{number}" for number in range(250)]
    assert "Here are" not in page.locator("#runs").inner_text()


def test_a_run_that_is_read_again_shows_its_latest_state(page):
    earlier, later = results.status(), results.status()
    earlier.update(Status="RUNNING", UpdatedAt="2026-11-20T02:13:30Z")
    earlier["Databases"][0].update(Status="DRIFTED", UpdatedAt="2026-11-20T02:13:05Z")
    for order in ([earlier, later], [later, earlier]):
        load(page, *order)
        assert "✕FAILED" in page.locator("#runs .facts").inner_text()
        assert [row[2] for row in table(page)[1:]] == "✕FAILED ✓CHANGED ✓IN_SYNC ≠DRIFTED".split()
        page.get_by_role("button", name="Clear").click()


def test_the_same_name_in_two_waves_is_two_databases(page):
    databases = [{"Database": "app", "Wave": wave, "Status": "IN_SYNC"} for wave in ("1", "2")]
    load(page, {**results.status(), "Databases": databases})
    assert names(page) == ["app", "app"]


def test_the_response_of_start_sync_execution_is_read_too(page):
    answer = {"status": "SUCCEEDED", "output": json.dumps(results.status())}
    unknown = {"status": "FAILED", "error": "RunNotFound", "cause": "there is no run `x`"}
    load(page, answer, unknown)
    assert names(page) == ["stores", "orders", "search", "routing"]
    notes = page.locator("#notes li").all_inner_texts()
    assert notes == ["2.json: RunNotFound: there is no run `x`"]


def test_ten_thousand_databases_are_counted_and_a_thousand_are_in_the_table(page):
    load(page, *results.long_run(10_000, 500))
    assert len(names(page)) == 1000
    assert "has the first 1000 of 10000: filter for the others" in page.locator("#runs").inner_text()
    page.locator("#database").fill("database-9999")
    assert names(page) == ["database-9999"]


def test_a_run_with_missing_keys_is_no_error(page):
    load(page, {"Run": "r"}, {"Run": "s", "Databases": [{}, None, {"Status": "FAILED"}], "Counts": 1})
    assert page.locator("#runs h2").all_inner_texts() == ["Run r", "Run s"]
    assert page.locator("#runs").get_by_text("FAILED").count() == 1
