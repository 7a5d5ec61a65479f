"""What a release consists of: `make dist` makes the folder dist/, .github/workflows/release.yml publishes it.

    release.py check TAG            the tag, the versions, CHANGELOG.md and the commands in docs/ agree, and the
                                    address is known
    release.py notes TAG            what CHANGELOG.md says about it
    release.py zip BOOTSTRAP ZIP    the code of the functions
    release.py dist FOLDER ARM64 X86_64 SBOM
                                    the folder anew, with the bootstraps for both processors and what
                                    `cargo cyclonedx` wrote: the same input gives the same bytes
    release.py checksums FOLDER     SHA256SUMS anew, of all files in the folder
    release.py application TAG URL  template.yaml for the Serverless Application Repository: with URLs
                                    of the public repository, and the zip for arm64 in dist/
"""

import glob
import hashlib
import json
import os
import re
import shutil
import sys
import textwrap
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAME = "cfn-postgres-extensions"
VERSION = re.compile(r"v([0-9]+\.[0-9]+\.[0-9]+)")
# What stands for the repository's address before the first release; in two parts, so as not to be found here.
PLACEHOLDER = b"/".join((b"OWNER", NAME.encode()))


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
        "cdk/package.json": r'^  "version": "(.*)",$',
    }
    for name, pattern in places.items():
        found = re.search(pattern, read(name), re.MULTILINE)[1]
        if found != version:
            raise Failure(f"{name} says {found} and the tag {tag}: change {name}, then tag again")
    if not re.search(rf"^## {re.escape(version)} - [0-9-]+$", read("CHANGELOG.md"), re.MULTILINE):
        raise Failure(f"CHANGELOG.md has no heading `## {version} - DATE`: add it, then tag again")
    for name in glob.glob("docs/**/*.md", root_dir=ROOT, recursive=True):
        for found in re.findall(r"(?:\?ref=|gh release download )(v[0-9.]+[0-9])", read(name)):
            if found != tag:
                raise Failure(f"{name} names {found} and not {tag}: change {name}, then tag again")
    for name in with_placeholder():
        raise Failure(f"{name} has {PLACEHOLDER.decode()}: put the address in (CONTRIBUTING.md), then tag again")


def with_placeholder():
    """Files in which nobody has put the repository's address yet, without what is made of others."""
    made = re.compile(r"target|node_modules|dist|\.git|\.venv.*|\.aws-sam")
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(one for one in folders if not made.fullmatch(one))
        for name in sorted(names):
            with open(os.path.join(folder, name), "rb") as source:
                if PLACEHOLDER in source.read():
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


def notes(tag):
    """The section of CHANGELOG.md."""
    heading = rf"^## {re.escape(version_of(tag))} - .*\n"
    found = re.search(rf"{heading}((?:(?!## ).*\n?)*)", read("CHANGELOG.md"), re.MULTILINE)
    if not found:
        raise Failure(f"CHANGELOG.md says nothing about {tag}")
    print(found[1].strip())


def dist(folder, arm64, x86_64, sbom):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    files = {
        "template.yaml": packaged("arm64").encode(),
        "template-x86_64.yaml": packaged("x86_64").encode(),
        "fleet-template.yaml": fleet().encode(),
        "report.html": read("fleet/report.html").encode(),
        "cfn_lint_postgres_extensions.py": read("lint/rules/postgres_extensions.py").encode(),
        f"{NAME}.cdx.json": bill_of_materials(sbom).encode(),
    }
    for name, content in files.items():
        with open(os.path.join(folder, name), "wb") as out:
            out.write(content)
    zipped(arm64, os.path.join(folder, archive("arm64")))
    zipped(x86_64, os.path.join(folder, archive("x86_64")))
    checksums(folder)


def archive(architecture):
    return f"{NAME}-{architecture}.zip"


def zipped(bootstrap, path):
    with open(bootstrap, "rb") as source, zipfile.ZipFile(path, "w") as out:
        entry = zipfile.ZipInfo("bootstrap")  # of 1980, whenever it is made
        entry.create_system = 3  # Unix, so that the next line counts
        entry.external_attr = 0o100755 << 16
        out.writestr(entry, source.read(), zipfile.ZIP_DEFLATED, compresslevel=9)


def packaged(architecture):
    """template.yaml with the code in the zip beside it: there is nothing to build any more."""
    return replaced(
        "template.yaml",
        # `sam deploy` would upload these files, and they are not in dist.
        (r"^ +(LicenseUrl|ReadmeUrl): .*\n", ""),
        (r"^ +# HomePageUrl .*\n( +# .*\n)*", ""),
        *of_one_processor(architecture, "./"),
    )


def application(tag, url):
    version_of(tag)
    print(
        replaced(
            "template.yaml",
            (
                r"^( +)(SemanticVersion: .*\n)( +# .*\n)*",
                rf"\1\2\1HomePageUrl: {url}\n\1SourceCodeUrl: {url}/tree/{tag}\n",
            ),
            *of_one_processor("arm64", "dist/"),
        ),
        end="",
    )


def of_one_processor(architecture, folder):
    """Replacements in template.yaml: the zip in a folder, which needs no build, for one processor."""
    return (
        (r"^ +# What checkov is told to skip .*\n( +# .*\n)*", ""),
        (r"^    Metadata:\n      BuildMethod: .*\n      BuildProperties:\n        .*\n", ""),
        (r"^( +CodeUri:) \.$", rf"\1 {folder}{archive(architecture)}"),
        (
            r"^( +)Default: arm64\n +AllowedValues: \[arm64, x86_64\]\n +Description: >-\n.*\n.*\n",
            rf"\1Default: {architecture}\n\1AllowedValues: [{architecture}]\n"
            rf"\1Description: Processor the functions run on, which their code was built for\n",
        ),
    )


def fleet():
    """fleet/template.yaml with its state machines inside."""

    def definition(found):
        inner = textwrap.indent(read(f"fleet/{found[2]}"), f"{found[1]}  ")
        return f"{found[1]}Definition:\n{inner.rstrip()}"

    return replaced("fleet/template.yaml", (r"^( +)DefinitionUri: (\S+)$", definition))


def replaced(name, *replacements):
    """The text of a file, where each of these patterns must match."""
    text = read(name)
    for pattern, replacement in replacements:
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        if not count:
            raise Failure(f"{name} has nothing that matches `{pattern}`: change tools/release.py")
    return text


def bill_of_materials(path):
    """What `cargo cyclonedx` wrote, without the hour, the random number, the folder and the processor."""
    with open(path) as source:
        bill = json.load(source)
    bill.pop("serialNumber", None)
    for name in ("timestamp", "properties"):
        bill["metadata"].pop(name, None)
    text = json.dumps(bill, indent=2, ensure_ascii=False) + "\n"
    # Cargo leaves the crate's name out where the folder has the same.
    return re.sub(rf"path\+file://{re.escape(ROOT)}#({NAME}@)?", f"{NAME}@", text)


def checksums(folder):
    """SHA256SUMS, of every other file in the folder; `sha256sum --check` reads it."""
    lines = []
    for name in sorted(os.listdir(folder)):
        if name != "SHA256SUMS":
            with open(os.path.join(folder, name), "rb") as source:
                lines.append(f"{hashlib.sha256(source.read()).hexdigest()}  {name}\n")
    with open(os.path.join(folder, "SHA256SUMS"), "w") as out:
        out.writelines(lines)


def main(arguments):
    commands = {
        "check": (check, 1),
        "notes": (notes, 1),
        "zip": (zipped, 2),
        "dist": (dist, 4),
        "application": (application, 2),
        "checksums": (checksums, 1),
    }
    name, given = arguments[:1], arguments[1:]
    if not name or name[0] not in commands or len(given) != commands[name[0]][1]:
        sys.exit(__doc__)
    try:
        commands[name[0]][0](*given)
    except Failure as failure:
        sys.exit(f"release.py: {failure}")


if __name__ == "__main__":
    main(sys.argv[1:])
