"""The site of the documentation: a link that leads nowhere fails, wherever it stands."""

import os
import re
import shutil
import sys

import pytest
from conftest import ROOT

# What the site is made of, but for what an environment or a build leaves there.
LEFT = shutil.ignore_patterns(".*", "target", "node_modules", "__pycache__")


@pytest.fixture
def build(run, tmp_path):
    """site/build.py on a copy of the repository, in which a page ends with a text."""
    root = tmp_path / "copy"
    shutil.copytree(ROOT, root, ignore=LEFT)

    def build(page="", text=""):
        if page:
            with open(root / page, "a") as out:
                out.write(f"\n{text}\n")
        code, _, both = run(sys.executable, "site/build.py", str(root))
        return code, both

    build.site = root / "target" / "site"
    return build


@pytest.mark.parametrize(
    ("page", "link", "why"),
    [
        ("docs/faq.md", "[x](no-such-page.md)", "docs/faq.md links to no-such-page.md"),
        ("docs/faq.md", "[x](../examples/none.yaml)", "docs/faq.md links to ../examples/none.yaml"),
        ("CHANGELOG.md", "[x](docs/none.md)", "CHANGELOG.md links to docs/none.md"),
        ("docs/faq.md", "[x](removal.md#no-such-part)", "removal.html#no-such-part"),
        ("docs/faq.md", "[x](#no-such-part)", "faq.html#no-such-part"),
        ("docs/faq.md", '<a href="none.html">x</a>', "none.html"),
        ("SECURITY.md", "[x](docs/removal.md#no-such-part)", "removal.html#no-such-part"),
        # The first page of the repository is no page of the site.
        ("README.md", "[x](docs/none.md)", "docs/none.md"),
        ("README.md", "[x](docs/removal.md#no-such-part)", "removal.md#no-such-part"),
    ],
)
def test_a_broken_link_fails(build, page, link, why):
    code, both = build(page, link)
    assert code != 0, both
    assert why in both


def test_a_page_that_the_summary_does_not_list_fails(build):
    code, both = build("docs/forgotten.md", "# Forgotten")
    assert code != 0, both
    assert "docs/SUMMARY.md does not list forgotten.md" in both


def test_the_site_asks_nothing_of_the_network(build):
    """No page loads a script, a style, a font or a picture from another host."""
    code, both = build()
    assert code == 0, both
    loads = re.compile(r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["'](?:https?:)?//|<link\b[^>]*href=["'](?:https?:)?//""")
    styles = re.compile(r"""(?:url\(|@import )\s*["']?(?:https?:)?//""")
    read = 0
    for folder, _, names in os.walk(build.site):
        for name in names:
            pattern = {".html": loads, ".css": styles, ".svg": styles}.get(os.path.splitext(name)[1])
            if pattern:
                with open(os.path.join(folder, name)) as source:
                    assert not pattern.search(source.read()), name
                read += 1
    assert read > 40


def test_what_a_page_repeats_of_an_example_is_the_example():
    repeated = re.compile(r"(?s)<!-- from (\S+) -->\n+```\w+\n(.*?)```")
    found = 0
    for name in os.listdir(os.path.join(ROOT, "docs")):
        if name.endswith(".md"):
            with open(os.path.join(ROOT, "docs", name)) as source:
                for path, text in repeated.findall(source.read()):
                    with open(os.path.join(ROOT, path)) as example:
                        assert text == example.read(), f"{name}: {path}"
                    found += 1
    assert found
