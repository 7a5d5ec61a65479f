"""A local AWS, a PostgreSQL server, and a project with the library's package and the CDK's CLI."""

import contextlib
import glob
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import local_aws
import postgres
import prerequisites
import pytest
from deployment import ROOT, Deployment

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = os.path.join(ROOT, "cdk", "dist", "js", "*.tgz")
# `make cdk` has had most of it from the registry.
OPTIONS = ("--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund")


@pytest.fixture(scope="session")
def aws():
    program = (os.path.join(HERE, "emulator.py"),)
    with local_aws.started(program=program) as aws:
        yield aws


@pytest.fixture(scope="session")
def deployment(aws):
    with postgres.cluster(bin=prerequisites.server()) as server:
        yield Deployment(aws, server)


class Project:
    """A folder with an app; `cdk(...)` runs the CLI there."""

    def __init__(self, folder, environment):
        self.folder = folder
        self.environment = {
            **os.environ,
            **environment,
            "AWS_EC2_METADATA_DISABLED": "true",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_HOME": str(folder),  # of the CLI's cache
            "CI": "true",  # a line for each event, and no bar
            "NODE_NO_WARNINGS": "1",  # the AWS SDK's, that support of Node.js 20 ends
        }

    def run(self, *command, **environment):
        """How it ended; what it printed is in `stdout`."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=local_aws.LIMIT,
        )

    def succeeds(self, *command, **environment):
        """What it printed."""
        done = self.run(*command, **environment)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
        return done.stdout

    def cdk(self, *arguments):
        return self.run("node", "node_modules/.bin/cdk", *arguments)  # memory may be noexec

    def install(self):
        """Only what package-lock.json says, and the library's npm package."""
        packages = glob.glob(PACKAGES)
        assert len(packages) == 1, f"`make cdk` makes one package, and there are: {packages}"
        self.succeeds("npm", "ci", *OPTIONS)
        self.succeeds("npm", "install", *OPTIONS, packages[0])

    def synthesize(self, folder, **environment):
        """Run the app without the CLI, into a folder; returns the resources of the stack `App`."""
        self.succeeds("node", "app.js", CDK_OUTDIR=str(folder), **environment)
        return json.loads((folder / "App.template.json").read_text())["Resources"]


@contextlib.contextmanager
def copied(name, aws):
    """A copy of a folder: in memory where there is enough, since npm writes 8,000 files there. Not in
    pytest's own folder, which would keep 300 MB after each run."""
    memory = postgres.MEMORY if postgres.free_memory() >= postgres.MEMORY_NEEDED else None
    with tempfile.TemporaryDirectory(prefix="cdk-project-", dir=memory) as folder:
        shutil.copytree(os.path.join(HERE, name), folder, dirs_exist_ok=True)
        yield Project(pathlib.Path(folder), aws.environment())


@pytest.fixture(scope="session")
def project(aws):
    """The user's: project/, installed and compiled."""
    with copied("project", aws) as project:
        project.install()
        project.succeeds("node", "node_modules/.bin/tsc")
        yield project


@pytest.fixture(scope="session")
def oldest(aws):
    """A project with the oldest CDK that the library is for, and without an app."""
    with copied("oldest", aws) as project:
        project.install()
        yield project
