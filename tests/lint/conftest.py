"""What runs the checks of templates, as `make lint` does."""

import os
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture(scope="session")
def run():
    """Runs a command in the project's folder: (exit code, standard output, both outputs)."""

    def run(*command):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stdout + done.stderr

    return run
