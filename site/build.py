"""The documentation as a site: `build.py [ROOT]` makes ROOT/target/site with mdBook and checks its links.

The pages of docs/ link to files beside docs/ by their paths, as the repository's web view wants it. Each such
file becomes a page of the site below files/: Markdown as it is, other text in a block of code. HTML and
pictures are copied. So one link works in both places.
"""

import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.join(os.path.dirname(HERE), ".venv-docs", "bin")
MERMAID = os.path.join(HERE, "node_modules", "@mermaid-js", "tiny", "dist", "mermaid.tiny.js")
LINK = re.compile(r"\]\((?!\w+:|#)([^()\s#]+)(#[^()\s]*)?\)")
LANGUAGES = {".hcl": "hcl", ".json": "json", ".py": "python", ".sh": "sh", ".tf": "hcl", ".yaml": "yaml", ".yml": "yaml"}
COPIED = (".html", ".png", ".svg")


class Broken(Exception):
    """A link to what is not there."""


class Pages:
    """What the site is made of, by the paths in the repository."""

    def __init__(self, root, source):
        self.root = root
        self.source = source
        self.waiting = []  # files beside docs/ that a link leads to
        self.titles = {}  # of the pages made of them, by their paths in the source

    def place(self, path):
        """Where a file of the repository is in mdBook's source."""
        if path == "README.md":
            return "index.md"  # the first page of the repository is that of the site
        if path.startswith("docs/"):
            return path.removeprefix("docs/")
        if path.endswith((".md", *COPIED)):
            return f"files/{path}"
        return f"files/{path.rstrip('/')}.md"

    def write(self, path, text):
        """A page of Markdown, with the links as the site has them."""
        at = os.path.dirname(self.place(path))

        def placed(found):
            linked = os.path.normpath(os.path.join(os.path.dirname(path), found[1]))
            if not os.path.exists(os.path.join(self.root, linked)):
                raise Broken(f"{path} links to {found[1]}, which is not there")
            if not linked.startswith("docs/") and linked != "README.md" and linked not in self.waiting:
                self.waiting.append(linked)
            return f"]({os.path.relpath(self.place(linked), at or '.')}{found[2] or ''})"

        # Not in blocks of code.
        parts = re.split(r"(?ms)(^ *```.*?^ *```$)", text)
        parts[::2] = [LINK.sub(placed, part) for part in parts[::2]]
        place = os.path.join(self.source, self.place(path))
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w") as out:
            out.write("".join(parts))

    def add(self, path):
        """A file beside docs/, or a folder: the list of its files."""
        full = os.path.join(self.root, path)
        if path.endswith(COPIED):
            place = os.path.join(self.source, self.place(path))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copyfile(full, place)
            return
        if os.path.isdir(full):
            folders = os.walk(full)
            files = (os.path.relpath(os.path.join(folder, name), full) for folder, _, names in folders for name in names)
            lines = [f"- [{name}]({os.path.basename(path)}/{name})" for name in sorted(files) if not hidden(name)]
            text = f"# {path}\n\n" + "\n".join(lines)
        else:
            with open(full) as source:
                text = source.read()
            if not path.endswith(".md"):
                fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`{3,}", text) or [""]))
                text = f"# {path}\n\n{fence}{LANGUAGES.get(os.path.splitext(path)[1], 'text')}\n{text}\n{fence}\n"
        title = re.search(r"(?m)^# (.*)", text)
        self.titles[self.place(path)] = title[1] if title else path
        self.write(path, text)


def hidden(path):
    return any(part.startswith(".") for part in path.split("/")) or "tfstate" in path


def read(*path):
    with open(os.path.join(*path)) as source:
        return source.read()


def collect(root, book):
    """mdBook's source: the pages of docs/, and those of the files that they link to."""
    shutil.rmtree(book, ignore_errors=True)
    source = os.path.join(book, "src")
    docs = os.path.join(root, "docs")
    shutil.copytree(docs, source, ignore=shutil.ignore_patterns("*.md"))
    for name in ("book.toml", "site.css", "site.js"):
        shutil.copyfile(os.path.join(HERE, name), os.path.join(book, name))
    shutil.copyfile(MERMAID, os.path.join(source, "mermaid.tiny.js"))
    pages = Pages(root, source)
    listed = read(docs, "SUMMARY.md")
    for name in sorted(os.listdir(docs)):
        if name.endswith(".md"):
            pages.write(f"docs/{name}", read(docs, name))
            if f"({name})" not in listed and name != "SUMMARY.md":
                raise Broken(f"docs/SUMMARY.md does not list {name}")
    # The list grows while pages are added that link to others.
    for path in pages.waiting:
        pages.add(path)
    summary = read(source, "SUMMARY.md")
    others = [f"  - [{title}]({place})\n" for place, title in sorted(pages.titles.items()) if f"({place})" not in summary]
    with open(os.path.join(source, "SUMMARY.md"), "a") as out:
        out.write("".join(["- [Files]()\n", *others]))


def check(root, site):
    """Every link, and what follows its `#`: in the site, and in the repository's own pages."""
    lychee = [os.path.join(BIN, "lychee"), "--offline", "--include-fragments", "--no-progress", "--no-ignore"]
    folders = (root, os.path.join(root, "docs"))
    pages = [os.path.join(folder, name) for folder in folders for name in os.listdir(folder) if name.endswith(".md")]
    # mdBook gives the page for addresses that are not found a base, which a folder does not have.
    for inputs in (["--exclude-path", "404.html", site], sorted(pages)):
        if subprocess.run([*lychee, *inputs]).returncode:
            yield inputs


def main():
    root = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(HERE))
    book, site = os.path.join(root, "target", "book"), os.path.join(root, "target", "site")
    try:
        collect(root, book)
        subprocess.run([os.path.join(BIN, "mdbook"), "build", book, "--dest-dir", site], check=True)
        if list(check(root, site)):
            raise Broken("the links above lead nowhere")
    except Broken as broken:
        sys.exit(f"docs: {broken}")
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.returncode)


if __name__ == "__main__":
    main()
