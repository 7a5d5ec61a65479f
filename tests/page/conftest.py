import pytest
from page import PAGE, chromium


@pytest.fixture(scope="session")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser):
    """The page, opened from file://; no error may reach its console."""
    page = browser.new_page()
    page.set_default_timeout(15_000)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: line.type == "error" and errors.append(line.text))
    page.goto(PAGE.as_uri())
    yield page
    page.close()
    assert not errors
