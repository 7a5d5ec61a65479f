"""What the demo and the tests need of this machine: a PostgreSQL server with PostGIS, and a virtual
environment, which `prerequisites.py FOLDER REQUIREMENTS` makes or brings up to date."""

import contextlib
import glob
import os
import shutil
import subprocess
import sys


class Missing(Exception):
    """What is missing, and how to install it."""


def server():
    """The folder of the newest server that has PostGIS; installed first where there is none."""
    found = find_server()
    if not found:
        packages = ("postgresql", "postgresql-postgis", "openssl")
        apt_install("PostgreSQL with PostGIS is not on this machine", *packages)
        found = find_server()
    if not found:
        raise Missing("apt installed PostgreSQL, but there is no server with PostGIS")
    return found


def find_server():
    control = "extension/postgis.control"
    majors = [path.split("/")[4] for path in glob.glob(f"/usr/share/postgresql/*/{control}")]
    for major in sorted(filter(str.isdigit, majors), key=int, reverse=True):
        if os.path.exists(f"/usr/lib/postgresql/{major}/bin/postgres"):
            return f"/usr/lib/postgresql/{major}/bin"
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        asked = ["pg_config", "--bindir", "--sharedir"]
        found = subprocess.check_output(asked, stderr=subprocess.DEVNULL, text=True).splitlines()
        if os.path.exists(f"{found[0]}/postgres") and os.path.exists(f"{found[1]}/{control}"):
            return found[0]
    return None


def apt_install(why, *packages):
    """Install Debian packages, as root or by a sudo that asks for no password."""
    command = f"apt-get install {' '.join(packages)}"
    if not shutil.which("apt-get"):
        raise Missing(f"{why}: install it (on Debian and Ubuntu: `{command}`)")
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and not (shutil.which("sudo") and subprocess.run([*sudo, "true"]).returncode == 0):
        raise Missing(f"{why}: install it (`sudo {command}`)")
    print(f"{why}: {command}", flush=True)
    # The package of a PostgreSQL server would create and start a cluster: none is wanted.
    conf = "/etc/postgresql-common/createcluster.d/no-main-cluster.conf"
    script = (
        f"test -e {conf} || {{ mkdir -p {os.path.dirname(conf)}; "
        f"echo 'create_main_cluster = false' > {conf}; trap 'rm -f {conf}' EXIT; }}\n"
        "export DEBIAN_FRONTEND=noninteractive\n"
        "apt-get update -qq && apt-get install -qq --no-install-recommends " + " ".join(packages)
    )
    run([*sudo, "sh", "-c", script], command)


def run(command, shown):
    """Run a command, which prints for itself."""
    code = subprocess.run(command).returncode
    if code:
        raise Missing(f"`{shown}` failed with exit code {code}; its output stands above")


def virtual_environment(folder, requirements):
    """Make it, or bring it up to date; does nothing where it is."""
    with open(requirements) as source:
        wanted = source.read()
    stamp = os.path.join(folder, "requirements.txt")
    with contextlib.suppress(FileNotFoundError), open(stamp) as source:
        if source.read() == wanted:
            return
    if sys.version_info < (3, 10):
        raise Missing(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}")
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        # Debian keeps it in a package of its own.
        apt_install("Python's venv is not on this machine", "python3-venv")
    print(f"making {folder} with what {requirements} lists", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    run([sys.executable, "-m", "venv", folder], f"python3 -m venv {folder}")
    pip = [os.path.join(folder, "bin", "python"), "-m", "pip", "--disable-pip-version-check"]
    install = ["install", "--quiet", "--no-compile", "-r", requirements]
    run([*pip, *install], f"pip install -r {requirements}")
    with open(stamp, "w") as out:
        out.write(wanted)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: prerequisites.py FOLDER REQUIREMENTS")
    try:
        virtual_environment(*sys.argv[1:])
    except Missing as missing:
        sys.exit(f"prerequisites.py: {missing}")
    except KeyboardInterrupt:
        sys.exit(130)
