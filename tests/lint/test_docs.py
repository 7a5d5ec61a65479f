"""The site of the documentation: a link that leads nowhere fails, wherever it stands."""

import os
import re
import shutil
import sys

import pytest
from conftest import ROOT

# What the site is made of, but for what an environment or a build leaves there.
LEFT = shutil.ignore_patterns(
    ".git", ".venv*", ".aws-sam", "dist", "target", "node_modules", "__pycache__"
)


@pytest.fixture
def build(run, tmp_path):
    """Runs site/build.py on a copy in which pages end with a text: (exit code, output)."""
    root = tmp_path / "copy"
    shutil.copytree(ROOT, root, ignore=LEFT)

    def build(*planted):
        for page, text in planted:
            with open(root / page, "a") as out:
                out.write(f"\n{text}\n")
        code, _, both = run(sys.executable, "site/build.py", str(root))
        return code, both

    build.site = root / "target" / "site"
    return build


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("docs/faq.md", "no-such-page.md"),
        ("docs/faq.md", "../examples/none.yaml"),
        ("CHANGELOG.md", "docs/none.md"),
    ],
)
def test_a_link_to_no_file_fails(build, page, link):
    code, both = build((page, f"[x]({link})"))
    assert code != 0, both
    assert f"{page} links to {link}, which is not there" in both


def test_a_link_to_no_part_of_a_page_fails(build):
    # The first page of the repository is no page of the site.
    code, both = build(
        ("docs/faq.md", '[x](removal.md#none-1)\n[x](#none-2)\n<a href="none-3.html">x</a>'),
        ("SECURITY.md", "[x](docs/removal.md#none-4)"),
        ("README.md", "[x](docs/none-5.md)\n[x](docs/removal.md#none-6)"),
    )
    assert code != 0, both
    site = ["removal.html#none-1", "faq.html#none-2", "none-3.html", "removal.html#none-4"]
    assert [link for link in [*site, "none-5.md", "removal.md#none-6"] if link not in both] == []


def test_a_page_that_the_summary_does_not_list_fails(build):
    code, both = build(("docs/pictures/forgotten.md", "# Forgotten"))
    assert code != 0, both
    assert "docs/SUMMARY.md does not list pictures/forgotten.md" in both


def test_the_site_asks_nothing_of_the_network(build):
    """No page loads a script, a style, a font or a picture from another host."""
    code, both = build()
    assert code == 0, both
    loads = re.compile(
        r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["'](?:https?:)?//"""
        r"""|<link\b[^>]*href=["'](?:https?:)?//"""
    )
    styles = re.compile(r"""(?:url\(|@import )\s*["']?(?:https?:)?//""")
    read = 0
    for folder, _, names in os.walk(build.site):
        for name in names:
            pattern = {".html": loads, ".css": styles, ".svg": styles}.get(
                os.path.splitext(name)[1]
            )
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
