"""A release as its users have it: the files of dist/ alone, in another folder, and no compiler.

`make dist` makes them. The SAM CLI deploys them to the local AWS as it would to AWS.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile

import local_aws
import pytest
from deployment import ROOT, Deployment
from fleet import SETTINGS, Fleet
from local_aws import ACCOUNT, REGION
from terraform import Terraform, succeeded

DIST = os.path.join(ROOT, "dist")
SAM = os.path.join(ROOT, ".venv-tools", "bin", "sam")
CFN_LINT = os.path.join(ROOT, ".venv-tools", "bin", "cfn-lint")
NAME = "cfn-postgres-extensions"
ZIPS = {"arm64": 183, "x86_64": 62}  # ELF's number of the processor
TEMPLATES = {"arm64": "template.yaml", "x86_64": "template-x86_64.yaml"}
FILES = {
    *(f"{NAME}-{architecture}.zip" for architecture in ZIPS),
    *TEMPLATES.values(),
    *("fleet-template.yaml", "report.html", f"{NAME}.cdx.json", "SHA256SUMS"),
    "cfn_lint_postgres_extensions.py",
}
ARCHITECTURE = {"aarch64": "arm64"}.get(platform.machine(), "x86_64")
# This machine's template, and what it may be called with: only a folder of links to these is in PATH.
PROGRAMS = ("sh", "sha256sum")
NOT_NEEDED = ("cargo", "cargo-lambda", "rustc", "zig", "cc", "gcc", "make", "perl", "docker", "node")
SECRETS = ",".join(
    f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}" for name in ("demo/*", "fleet/*")
)
USER_STACK = """
Parameters:
  RootCert: {Type: String}
Resources:
  Extensions:
    Type: Custom::PostgresExtensions
    Properties:
      ServiceToken: !ImportValue postgres-extensions-ServiceToken
      ServiceTimeout: 120
      DBSecret: demo/released
      SslRootCert: !Ref RootCert
      PluginsMap: {PostGIS: any}
Outputs:
  PostGIS: {Value: !GetAtt Extensions.postgis}
"""
TERRAFORM = """
variable "zip" {}
variable "template" {}

provider "aws" {
  s3_use_path_style = true
}

module "provider" {
  source   = "./modules/provider"
  name     = "by-terraform"
  bucket   = "artifacts"
  zip      = var.zip
  template = var.template
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of dist/, with nothing of the project beside it."""
    return shutil.copytree(DIST, tmp_path_factory.mktemp("download") / "release")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A PATH with no compiler."""
    path = tmp_path_factory.mktemp("bin")
    for program in PROGRAMS:
        (path / program).symlink_to(shutil.which(program))
    found = [program for program in NOT_NEEDED if shutil.which(program, path=path)]
    assert not found
    return path


@pytest.fixture(scope="module")
def aws():
    # As its users start it: without the changes of tests/fleet/emulator.py.
    with local_aws.started(settings=SETTINGS) as aws:
        yield aws


@pytest.fixture(scope="module")
def run(aws, folder, path, tmp_path_factory):
    """Runs a command in the folder, and fails where it fails."""
    home = tmp_path_factory.mktemp("home")
    environment = {**aws.environment(), "PATH": str(path), "HOME": str(home)}

    def run(*command):
        done = subprocess.run(
            command,
            cwd=folder,
            env={**environment, "SAM_CLI_TELEMETRY": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


@pytest.fixture(scope="module")
def deployment(aws, server, run):
    """The function, deployed by the SAM CLI; it may read the secrets of the databases here."""
    deployment = Deployment(aws, server)
    deployment.create_databases("released")
    run(
        *(SAM, "deploy", "--template-file", TEMPLATES[ARCHITECTURE], "--resolve-s3"),
        *("--stack-name", "postgres-extensions", "--capabilities", "CAPABILITY_IAM"),
        *("--parameter-overrides", f'SecretArns="{SECRETS}"'),
    )
    deployment.function = deployment.stacks.outputs("postgres-extensions")["ServiceToken"]
    return deployment


def test_the_files_are_those_of_a_release(folder):
    assert set(os.listdir(folder)) >= FILES


def test_the_checksums_are_right_and_a_flipped_bit_is_noticed(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")

    def check():
        return subprocess.run(
            ["sha256sum", "--check", "--strict", "SHA256SUMS"],
            cwd=copy, capture_output=True, text=True,
        )  # fmt: skip

    done = check()
    assert done.returncode == 0, done.stdout + done.stderr
    checked = {line.split(": ")[0] for line in done.stdout.splitlines()}
    assert checked == set(os.listdir(folder)) - {"SHA256SUMS"}
    for name in checked:
        content = (copy / name).read_bytes()
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        (copy / name).write_bytes(flipped)
        done = check()
        assert done.returncode == 1
        assert f"{name}: FAILED" in done.stdout
        (copy / name).write_bytes(content)


@pytest.mark.parametrize("architecture", ZIPS)
def test_a_zip_is_one_program_for_its_processor(folder, tmp_path, architecture):
    with zipfile.ZipFile(folder / f"{NAME}-{architecture}.zip") as archive:
        (entry,) = archive.infolist()
        program = archive.read(entry)
    assert (entry.filename, entry.external_attr >> 16) == ("bootstrap", 0o100755)
    assert entry.date_time == (1980, 1, 1, 0, 0, 0)
    assert program[:4] == b"\x7fELF"
    assert int.from_bytes(program[18:20], "little") == ZIPS[architecture]
    bootstrap = tmp_path / "bootstrap"
    bootstrap.write_bytes(program)
    script = os.path.join(ROOT, "tools", "check_bootstrap.sh")
    subprocess.run([script, str(bootstrap)], check=True)


@pytest.mark.parametrize("architecture", ZIPS)
def test_a_program_has_no_folder_of_the_machine_that_built_it(folder, architecture):
    with zipfile.ZipFile(folder / f"{NAME}-{architecture}.zip") as archive:
        program = archive.read("bootstrap")
    for place in (ROOT, os.path.expanduser("~"), os.environ.get("CARGO_HOME")):
        if place:
            found = re.search(re.escape(os.path.join(place, "").encode()) + rb"[\x20-\x7e]*", program)
            assert not found, found


@pytest.mark.parametrize("name", [*TEMPLATES.values(), "fleet-template.yaml"])
def test_a_template_is_valid_where_it_stands(run, name):
    run(CFN_LINT, "--regions", REGION, "--", name)


def test_the_bill_of_materials_has_what_is_in_the_program(folder):
    bill = json.loads((folder / f"{NAME}.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert "serialNumber" not in bill and "timestamp" not in bill["metadata"]
    with open(os.path.join(ROOT, "Cargo.toml")) as source:
        manifest = source.read()
    version = re.search(r'(?m)^version = "(.*)"$', manifest)[1]
    root = bill["metadata"]["component"]
    assert (root["name"], root["version"]) == (NAME, version)
    with open(os.path.join(ROOT, "Cargo.lock")) as source:
        locked = set(re.findall(r'(?m)^name = "(.*)"\nversion = "(.*)"$', source.read()))
    found = {(one["name"], one["version"]) for one in bill["components"]}
    assert found < locked
    names = {name for name, _ in found}
    normal = re.search(r"(?ms)^\[dependencies\]$(.*?)^\[", manifest)[1]
    assert names >= {*re.findall(r"(?m)^([\w-]+) = ", normal), "openssl-src"}
    # What the tests alone use.
    assert not names & {"insta", "proptest"}
    assert ROOT not in json.dumps(bill)


def test_sam_deploys_it_and_postgis_is_installed(deployment):
    configuration = deployment.configuration()
    assert configuration["Architectures"] == [ARCHITECTURE]
    parameters = {"RootCert": deployment.root_cert()}
    outcome = deployment.stacks.deploy("user", USER_STACK, parameters)
    assert outcome.status == "CREATE_COMPLETE", outcome.reasons
    installed = deployment.extensions("released")["released"]
    assert "postgis" in installed
    assert deployment.stacks.outputs("user")["PostGIS"] == installed["postgis"]
    assert deployment.psql("released", "-c", "SELECT ST_AsText(ST_Point(1, 2))") == "POINT(1 2)"


def test_sam_packages_the_application_for_the_repository(aws, run, folder):
    """What the release's workflow does before `sam publish`."""
    aws.client("s3").create_bucket(
        Bucket="applications", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    for name in ("LICENSE", "README.md"):
        shutil.copy(os.path.join(ROOT, name), folder.parent)
    release = os.path.join(ROOT, "tools", "release.py")
    template = run(sys.executable, release, "application", "v0.1.0", "https://example.com/owner/project")
    (folder.parent / "application.yaml").write_text(template.replace("dist/", f"{folder.name}/"))
    packaged = run(
        *(SAM, "package", "--template-file", str(folder.parent / "application.yaml")),
        *("--s3-bucket", "applications"),
    )
    uris = re.findall(r"(?m)^ +(\w+): s3://applications/\w+$", packaged)
    assert sorted(uris) == ["CodeUri", "CodeUri", "LicenseUrl", "ReadmeUrl"], packaged


def test_terraform_deploys_it(deployment, folder, tmp_path):
    shutil.copytree(os.path.join(ROOT, "terraform", "modules"), tmp_path / "modules")
    (tmp_path / "main.tf").write_text(TERRAFORM)
    terraform = Terraform(
        tmp_path,
        deployment.aws.environment(),
        zip=str(folder / f"{NAME}-{ARCHITECTURE}.zip"),
        template=str(folder / TEMPLATES[ARCHITECTURE]),
    )
    terraform.init()
    deployment.aws.client("s3").create_bucket(
        Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    succeeded(terraform.apply())
    found = deployment.configuration("by-terraform")
    assert found["Architectures"] == [ARCHITECTURE]
    assert found["CodeSha256"] == deployment.configuration()["CodeSha256"]


def test_the_fleet_is_audited_planned_and_changed(deployment, run):
    fleet = Fleet(deployment)
    run(
        *(SAM, "deploy", "--template-file", "fleet-template.yaml", "--resolve-s3"),
        *("--stack-name", fleet.stack, "--capabilities", "CAPABILITY_IAM"),
    )
    fleet.outputs = deployment.stacks.outputs(fleet.stack)
    for wave in ("1", "2"):
        fleet.add([f"first{wave}", f"second{wave}"], wave)
    # RDS needs no SslMode: the test server's certificate has an authority of its own.
    properties = {"SslMode": "require"}

    def databases(mode):
        run_id, execution = fleet.run(Mode=mode, Properties=properties)
        assert execution["status"] == "SUCCEEDED", execution
        status = fleet.status(run_id)
        assert (status["Status"], status["Step"]) == ("SUCCEEDED", "Done")
        return {one["Database"].removeprefix("fleet/"): one for one in status["Databases"]}

    audited = databases("Audit")
    assert sorted(audited) == ["first1", "first2", "second1", "second2"]
    assert {one["Status"] for one in audited.values()} == {"IN_SYNC"}
    assert all(one["Before"].startswith(f"{name}: plpgsql ") for name, one in audited.items())
    properties["PluginsMap"] = {"hstore": "any"}
    for mode, expected in (("Plan", "DRIFTED"), ("Apply", "CHANGED"), ("Audit", "IN_SYNC")):
        assert {one["Status"] for one in databases(mode).values()} == {expected}, mode
    assert all("hstore" in deployment.extensions(name)[name] for name in audited)
