"""The documentation as a site: `build.py [ROOT]` makes ROOT/target/site with mdBook, and checks
its links.

The pages of docs/ link to files beside docs/ by their paths, as the repository's web view wants it.
Each such file becomes a page of the site below files/: Markdown as it is, other text in a block of
code. HTML and pictures are copied. So one link works in both places.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = HERE.parent / ".venv-docs" / "bin"
MERMAID = HERE / "node_modules" / "@mermaid-js" / "tiny" / "dist" / "mermaid.tiny.js"
LINK = re.compile(r"\]\((?!\w+:|#)([^()\s#]+)(#[^()\s]*)?\)")
CODE = re.compile(r"(?ms)(^ *```.*?^ *```$)")
# The extensions that highlight.js does not know as languages.
LANGUAGES = {"": "text", "py": "python", "tf": "hcl", "yml": "yaml"}
COPIED = {".html", ".png", ".svg"}
# What tools leave in a folder.
LEFT = re.compile(r"(^|/)(\.|node_modules/|__pycache__/|cdk\.out/)|\.tfstate")


class Broken(Exception):
    """A link to what is not there."""


class Pages:
    """What the site is made of, by the paths in the repository."""

    def __init__(self, root, source):
        self.root = root
        self.source = source
        self.linked = []  # files and folders beside docs/ that a link leads to
        self.titles = {}  # of the pages made of them, by their places

    def place(self, path):
        """Where a file of the repository is in mdBook's source."""
        if path == "README.md":
            return "index.md"  # the first page of the repository is that of the site
        if path.startswith("docs/"):
            return path.removeprefix("docs/")
        suffix = "" if Path(path).suffix in {".md", *COPIED} else ".md"
        return f"files/{path}{suffix}"

    def file(self, path):
        """The file in mdBook's source, whose folder is there."""
        file = self.source / self.place(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def write(self, path, text):
        """A page of Markdown, with the links as the site has them."""

        def placed(link):
            target = os.path.normpath(os.path.join(os.path.dirname(path), link[1]))
            if not (self.root / target).exists():
                raise Broken(f"{path} links to {link[1]}, which is not there")
            if self.place(target).startswith("files/") and target not in self.linked:
                self.linked.append(target)
            start = os.path.dirname(self.place(path)) or "."
            return f"]({os.path.relpath(self.place(target), start)}{link[2] or ''})"

        parts = CODE.split(text)
        parts[::2] = [LINK.sub(placed, part) for part in parts[::2]]
        self.file(path).write_text("".join(parts))

    def add(self, path):
        """What a link leads to: a file, or the list of a folder's files."""
        full = self.root / path
        if full.suffix in COPIED:
            shutil.copyfile(full, self.file(path))
            return
        if full.is_dir():
            files = (
                file.relative_to(full).as_posix() for file in full.rglob("*") if file.is_file()
            )
            lines = [f"- [{file}]({full.name}/{file})" for file in files if not LEFT.search(file)]
            text = f"# {path}\n\n" + "\n".join(sorted(lines))
        elif full.suffix == ".md":
            text = full.read_text()
        else:
            text = f"# {path}\n\n{block(full.read_text(), full.suffix[1:])}"
        title = re.search(r"(?m)^# (.*)", text)
        self.titles[self.place(path)] = title[1] if title else path
        self.write(path, text)


def block(text, extension):
    """A block of code, whose fence is longer than any in the text."""
    fence = "`" * (max([2, *map(len, re.findall(r"`{3,}", text))]) + 1)
    return f"{fence}{LANGUAGES.get(extension, extension)}\n{text}\n{fence}\n"


def collect(root, book):
    """mdBook's source: the pages of docs/, and those of the files that they link to."""
    shutil.rmtree(book, ignore_errors=True)
    source = book / "src"
    shutil.copytree(root / "docs", source, ignore=shutil.ignore_patterns("*.md"))
    for name in ("book.toml", "site.css", "site.js"):
        shutil.copyfile(HERE / name, book / name)
    shutil.copyfile(MERMAID, source / MERMAID.name)
    pages = Pages(root, source)
    for page in sorted((root / "docs").rglob("*.md")):
        pages.write(page.relative_to(root).as_posix(), page.read_text())
    # The list grows while pages are added that link to others.
    for path in pages.linked:
        pages.add(path)
    summary = (source / "SUMMARY.md").read_text()
    for page in sorted((root / "docs").rglob("*.md")):
        name = page.relative_to(root / "docs").as_posix()
        if f"({name})" not in summary and name != "SUMMARY.md":
            raise Broken(f"docs/SUMMARY.md does not list {name}")
    others = [it for it in sorted(pages.titles.items()) if f"({it[0]})" not in summary]
    listed = "".join(f"  - [{title}]({place})\n" for place, title in others)
    (source / "SUMMARY.md").write_text(f"{summary}- [Files]()\n{listed}")


def check(root, site):
    """Whether every link, and what follows its `#`, leads somewhere: in the site, and in the
    repository's own pages."""
    lychee = [BIN / "lychee", "--offline", "--include-fragments", "--no-progress", "--no-ignore"]
    # mdBook gives the page for addresses that are not found a base, which a folder does not have.
    pages = ["--exclude-path", "404.html", site]
    sources = sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")])
    return not any([subprocess.run([*lychee, *inputs]).returncode for inputs in (pages, sources)])


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent).resolve()
    book, site = root / "target" / "book", root / "target" / "site"
    try:
        collect(root, book)
        subprocess.run([BIN / "mdbook", "build", book, "--dest-dir", site], check=True)
        if not check(root, site):
            raise Broken("the links above lead nowhere")
    except Broken as broken:
        sys.exit(f"docs: {broken}")
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.returncode)


if __name__ == "__main__":
    main()
