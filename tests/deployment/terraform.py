"""The real Terraform, for tests. Where it or its AWS provider is missing, they are skipped.

The provider is taken from the folder that TF_PLUGIN_DIR names, from one that a package put below /opt
or /usr, or from Terraform's registry.
"""

import glob
import json
import os
import shutil
import subprocess

import pytest


def plugins():
    """`-plugin-dir=...`, where a folder of providers is on the machine."""
    roots = ("/opt", "/usr/share", "/usr/local/share")
    paths = [path for root in roots for path in sorted(glob.glob(f"{root}/*/registry.terraform.io"))]
    found = [os.path.dirname(path) for path in paths]
    folder = os.environ.get("TF_PLUGIN_DIR") or next(iter(found), None)
    return [f"-plugin-dir={folder}"] if folder else []


class Terraform:
    """Terraform in a folder, with these variables of the environment and of the configuration."""

    def __init__(self, folder, environment=None, **variables):
        if not shutil.which("terraform"):
            pytest.skip("Terraform is not on this machine")
        self.folder = folder
        self.environment = {
            **os.environ,
            **(environment or {}),
            "TF_CLI_CONFIG_FILE": os.devnull,
            "TF_IN_AUTOMATION": "1",
        }
        self.set(**variables)

    def set(self, **variables):
        """Strings as they are, other values as JSON."""
        for name, value in variables.items():
            text = value if isinstance(value, str) else json.dumps(value)
            self.environment[f"TF_VAR_{name}"] = text

    def run(self, *arguments):
        """How it ended; what it printed is in `stdout`."""
        return subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def init(self):
        done = self.run("init", *plugins())
        if done.returncode:
            pytest.skip(f"Terraform's AWS provider cannot be had: {done.stdout}")

    def apply(self, **variables):
        self.set(**variables)
        return self.run("apply", "-auto-approve")

    def destroy(self):
        return self.run("destroy", "-auto-approve")

    def proposes(self):
        """Whether a plan has changes, and its text."""
        done = self.run("plan", "-detailed-exitcode")
        assert done.returncode in (0, 2), done.stdout
        return done.returncode == 2, done.stdout

    def output(self, name):
        done = self.run("output", "-json", name)
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout)


def succeeded(done):
    assert done.returncode == 0, done.stdout
