"""A local AWS, a PostgreSQL server, and a project with the library's package and the CDK's CLI."""

import glob
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
        return self.run("node_modules/.bin/cdk", *arguments)


@pytest.fixture(scope="session")
def project(aws):
    """Nothing is installed there but what package-lock.json says and the library's npm package."""
    packages = glob.glob(PACKAGES)
    assert len(packages) == 1, f"`make cdk` makes one package, and there are: {packages}"
    # Not pytest's own folder, which stays behind: it is of 300 MB.
    with tempfile.TemporaryDirectory(prefix="cdk-project-") as folder:
        shutil.copytree(os.path.join(HERE, "project"), folder, dirs_exist_ok=True)
        project = Project(pathlib.Path(folder), aws.environment())
        # `make cdk` has had most of it from the registry.
        options = ("--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund")
        project.succeeds("npm", "ci", *options)
        project.succeeds("npm", "install", *options, packages[0])
        project.succeeds("node_modules/.bin/tsc")
        yield project
