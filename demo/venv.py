"""The Python tools, in a virtual environment: demo/venv.py FOLDER REQUIREMENTS

Makes it, or brings it up to date; does nothing where it is so already.
"""

import os
import shutil
import subprocess
import sys

from machine import Trouble, install, run_slowly
from screen import Screen


def prepare(screen, folder, requirements):
    with open(requirements) as source:
        wanted = source.read()
    stamp = os.path.join(folder, "requirements.txt")
    if os.path.exists(stamp):
        with open(stamp) as source:
            if source.read() == wanted:
                return
    if sys.version_info < (3, 10):
        raise Trouble(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}")
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        # Debian keeps it in a package of its own.
        install(screen, ("python3-venv",), "Python's venv is not on this machine")
    shutil.rmtree(folder, ignore_errors=True)
    pip = [os.path.join(folder, "bin", "python"), "-m", "pip", "--disable-pip-version-check"]
    for what, command in (
        (f"making {folder}", [sys.executable, "-m", "venv", folder]),
        (
            f"installing {requirements} into it",
            [*pip, "install", "--progress-bar", "off", "--no-compile", "-r", requirements],
        ),
    ):
        run_slowly(screen, what, command)
    with open(stamp, "w") as out:
        out.write(wanted)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: " + __doc__.split("\n", 1)[0].split(": ", 1)[1])
    try:
        prepare(Screen(), *sys.argv[1:])
    except Trouble as trouble:
        sys.exit(f"demo: {trouble}")
    except KeyboardInterrupt:
        sys.exit(130)
