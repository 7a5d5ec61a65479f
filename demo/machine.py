"""What the demo needs of this machine: a PostgreSQL server with PostGIS, and the built function."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import postgres  # noqa: E402

PACKAGES = ("postgresql", "postgresql-postgis", "openssl")


class Trouble(Exception):
    """What failed, why, and what to do about it."""


def in_order(requirements):
    """Whether this Python has the emulator and its helpers in the pinned versions."""
    with open(requirements) as source:
        pins = dict(row.strip().split("==") for row in source if "==" in row)
    try:
        return all(
            version(name) == pins[name] for name in ("ministack", "aws-sam-translator", "boto3")
        )
    except PackageNotFoundError:
        return False


def find_server():
    """The folder of the newest installed server that has PostGIS, or None."""
    folders = []
    with contextlib.suppress(OSError):
        for name in os.listdir("/usr/lib/postgresql"):
            folders.append(os.path.join("/usr/lib/postgresql", name, "bin"))
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        folders.append(ask("pg_config", "--bindir"))
    found = []
    for folder in folders:
        major = postgres.major_of(folder)
        shares = [f"/usr/share/postgresql/{major}"]
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            config = os.path.join(folder, "pg_config")
            shares.append(ask(config, "--sharedir"))
        controls = [os.path.join(share, "extension", "postgis.control") for share in shares]
        if major and any(os.path.exists(control) for control in controls):
            found.append((major, folder))
    return max(found)[1] if found else None


def ask(*command):
    """What a program prints."""
    quiet = subprocess.DEVNULL
    return subprocess.check_output(command, stderr=quiet, text=True).strip()


def install_server(screen):
    """Install PostgreSQL with PostGIS where that is possible; returns the server's folder."""
    install(screen, PACKAGES, "PostgreSQL with PostGIS is not on this machine")
    found = find_server()
    if found is None:
        raise Trouble("apt installed PostgreSQL, but no server with PostGIS is to be found")
    return found


def install(screen, packages, why):
    """Install Debian packages, as root or by a sudo that asks no password."""
    command = f"apt-get install {' '.join(packages)}"
    if not shutil.which("apt-get"):
        raise Trouble(f"{why}: install it (on Debian and Ubuntu: `{command}`)")
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and not (shutil.which("sudo") and succeeds([*sudo, "true"])):
        raise Trouble(f"{why}: install it (`sudo {command}`)")
    # The package of a PostgreSQL server would start one of its own: none is wanted.
    quiet = "/etc/postgresql-common/createcluster.d/no-main-cluster.conf"
    script = (
        f"test -e {quiet} || {{ mkdir -p {os.path.dirname(quiet)}; "
        f"echo 'create_main_cluster = false' > {quiet}; trap 'rm -f {quiet}' EXIT; }}\n"
        "export DEBIAN_FRONTEND=noninteractive\n"
        "apt-get update && apt-get install -y --no-install-recommends " + " ".join(packages)
    )
    run_slowly(screen, f"{command} (once)", [*sudo, "sh", "-c", script], shown=command)


def succeeds(command):
    """Whether a command exits with 0; its output does not matter."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run(command, **quiet).returncode == 0


def run_slowly(screen, what, command, shown=None, **options):
    """Run a command behind a progress line; returns its output."""
    rows = []
    with screen.slow(what) as tell:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
        )
        try:
            for row in child.stdout:
                rows.append(row)
                if not row.startswith("{"):  # cargo's JSON
                    tell(row)
            code = child.wait()
        except BaseException:
            child.terminate()
            child.wait()
            raise
        if code:
            last = "".join([row for row in rows if not row.startswith("{")][-60:])
            raise Trouble(f"`{shown or ' '.join(command)}` failed:\n{last}")
    return "".join(rows)


def build(screen):
    """Build the function the fast way: not optimized, against the system's OpenSSL; its file."""
    if not shutil.which("cargo"):
        raise Trouble("cargo is missing: install Rust (https://rustup.rs)")
    command = ["cargo", "build", "--bin", "cfn-postgres-extensions", "--locked"]
    system_openssl = shutil.which("pkg-config") and succeeds(["pkg-config", "--exists", "openssl"])
    if system_openssl:
        command.append("--no-default-features")
    output = run_slowly(
        screen,
        "building the function" + ("" if system_openssl else ", and OpenSSL (no libssl-dev here)"),
        [*command, "--message-format=json-render-diagnostics"],
        cwd=ROOT,
        env={**os.environ, "CARGO_TERM_COLOR": "never"},
    )
    return json.loads(re.findall(r'"executable":("[^"]+")', output)[-1])
