"""What .github/workflows/release.yml does with a tag, such as v0.1.0.

    release.py check TAG           the tag, Cargo.toml, template.yaml and CHANGELOG.md agree
    release.py notes TAG           what CHANGELOG.md says about it
    release.py zip BOOTSTRAP ZIP   the code of the functions; the same bootstrap gives the same bytes
    release.py template TAG URL ARCHITECTURE FOLDER
                                   template.yaml for the Serverless Application Repository: with URLs
                                   of the public repository, for the processor that FOLDER was built for
"""

import os
import re
import sys
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VERSION = re.compile(r"v([0-9]+\.[0-9]+\.[0-9]+)")


class Failure(Exception):
    """What is not as a release needs it, and what to do."""


def read(name):
    with open(os.path.join(ROOT, name)) as source:
        return source.read()


def version_of(tag):
    match = VERSION.fullmatch(tag)
    if not match:
        raise Failure(f"`{tag}` is no tag of a release: it must be as v1.2.3")
    return match[1]


def check(tag):
    version = version_of(tag)
    places = {
        "Cargo.toml": r'^version = "(.*)"$',
        "template.yaml": r"^ +SemanticVersion: (.*)$",
    }
    for name, pattern in places.items():
        found = re.search(pattern, read(name), re.MULTILINE)[1]
        if found != version:
            raise Failure(f"{name} says {found} and the tag {tag}: change {name}, then tag again")
    if not re.search(rf"^## {re.escape(version)} - [0-9-]+$", read("CHANGELOG.md"), re.MULTILINE):
        raise Failure(f"CHANGELOG.md has no heading `## {version} - DATE`: add it, then tag again")


def notes(tag):
    """The section of CHANGELOG.md."""
    heading = rf"^## {re.escape(version_of(tag))} - .*\n"
    found = re.search(rf"{heading}((?:(?!## ).*\n?)*)", read("CHANGELOG.md"), re.MULTILINE)
    if not found:
        raise Failure(f"CHANGELOG.md says nothing about {tag}")
    print(found[1].strip())


def zipped(bootstrap, archive):
    with open(bootstrap, "rb") as source, zipfile.ZipFile(archive, "w") as out:
        entry = zipfile.ZipInfo("bootstrap")  # of 1980, whenever it is made
        entry.create_system = 3  # Unix, so that the next line counts
        entry.external_attr = 0o100755 << 16
        out.writestr(entry, source.read(), zipfile.ZIP_DEFLATED, compresslevel=9)


def template(tag, url, architecture, folder):
    text = read("template.yaml")
    replacements = [
        (
            r"^( +)SemanticVersion: .*$",
            rf"\g<0>\n\1HomePageUrl: {url}\n\1SourceCodeUrl: {url}/tree/{tag}",
        ),
        # The repository has one package for all: the other processor could not run it.
        (r"^( +)Default: arm64\n +AllowedValues: \[arm64, x86_64\]$",
         rf"\1Default: {architecture}\n\1AllowedValues: [{architecture}]"),
        (r"^( +)CodeUri: \.$", rf"\1CodeUri: {folder}"),
    ]  # fmt: skip
    for pattern, replacement in replacements:
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        if not count:
            raise Failure(f"template.yaml has nothing that matches `{pattern}`")
    print(text, end="")


def main(arguments):
    commands = {"check": (check, 1), "notes": (notes, 1), "zip": (zipped, 2), "template": (template, 4)}
    name, given = arguments[:1], arguments[1:]
    if not name or name[0] not in commands or len(given) != commands[name[0]][1]:
        sys.exit(__doc__)
    try:
        commands[name[0]][0](*given)
    except Failure as failure:
        sys.exit(f"release.py: {failure}")


if __name__ == "__main__":
    main(sys.argv[1:])
