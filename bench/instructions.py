#!/usr/bin/env python3
"""The instructions of a cold start and its first events, beside those that are recorded.

    python3 bench/instructions.py [--binary FILE] [--record] [--profiles FOLDER]

Callgrind counts the same in every run, to a thousandth, on a busy machine too. Fails where a figure is
more than a tenth above the one in bench/instructions.json; --record writes what was counted there. It
needs valgrind, PostgreSQL with its contrib extensions, and openssl.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
import time

import functions
from emulator import Emulator, Failed

sys.path.insert(0, os.path.join(functions.ROOT, "tools"))
import postgres

RECORDED = os.path.join(functions.HERE, "instructions.json")
EXTENSIONS = ("hstore", "pg_trgm", "citext", "pgcrypto", "uuid-ossp")
FIGURES = {
    "start": "start to ready",
    "create": f"a Create of {len(EXTENSIONS)} extensions, the first event",
    "update": "an Update with nothing to do, the second event",
}
# Above `MOST` of the recorded figure fails; below `LEAST` is worth recording.
MOST, LEAST = 1.1, 0.9
ATTEMPTS = 5


class Subject:
    """A binary and a server. The role's password is hashed in one round: the usual 4096, which are the
    driver's work, would be five times as much as everything else."""

    def __init__(self, binary, server, folder):
        self.server, self.folder = server, folder
        self.log = os.path.join(folder, "output")
        self.function = functions.ours(binary, server)
        self.query(f"CREATE ROLE one_round SUPERUSER LOGIN PASSWORD '{verifier(server.password)}'")

    def query(self, statement):
        """Runs a statement as the superuser, over the server's Unix socket."""
        where = ["-h", self.server.folder, "-p", str(self.server.port), "-U", self.server.user, "-d", "postgres"]
        subprocess.run([os.path.join(self.server.bin, "psql"), "-qX", *where, "-c", statement], check=True)

    async def count(self, profile, kinds):
        """The instructions of one process: from its start, through one event of each of these kinds
        in an empty database, until it is idle. `profile` is the name of callgrind's file."""
        for _ in range(ATTEMPTS):
            count = await self.count_once(os.path.join(self.folder, profile), kinds)
            with open(self.log, errors="replace") as log:
                said = log.read()
            if '"WARN"' not in said:
                return count
            # On a busy machine a connection times out under callgrind, and is retried.
            print("instructions: the function retried something; counting again", file=sys.stderr)
        raise SystemExit(f"instructions: the function retries something each time; its log:\n{said[-2000:]}")

    async def count_once(self, profile, kinds):
        """The same, whether the function retried something or not."""
        database = f"counted_{secrets.token_hex(4)}"
        self.query(f"CREATE DATABASE {database}")
        secret = {
            "engine": "postgres", "host": self.server.host, "port": self.server.port, "dbname": "postgres",
            "username": "one_round", "password": self.server.password,
        }
        wanted = dict.fromkeys(EXTENSIONS, "any")
        events = [functions.event(kind, wanted, [database]) for kind in kinds]
        command = [
            "valgrind", "--tool=callgrind", "--vgdb=no", "--quiet", f"--callgrind-out-file={profile}",
            *self.function.command,
        ]
        async with Emulator(secret) as emulator:
            with open(self.log, "w") as log:
                process = await asyncio.create_subprocess_exec(
                    *command, env=self.function.variables(emulator.address), stdout=log, stderr=log
                )
            work = asyncio.ensure_future(drive(emulator, events, process.pid))
            end = asyncio.ensure_future(process.wait())
            try:
                await asyncio.wait({work, end}, return_when=asyncio.FIRST_COMPLETED)
                if end.done():
                    raise Failed("the function ended by itself")
                await work
            except Failed as failure:
                with open(self.log, errors="replace") as lines:
                    raise SystemExit(f"instructions: {failure}\n{lines.read()[-2000:]}") from failure
            finally:
                work.cancel()
                if not end.done():
                    # Callgrind writes its figures when the process ends, by a signal too.
                    process.terminate()
                    await end
        with open(profile) as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("totals:"))

    async def counted(self):
        """Every figure, in millions: the difference between two processes, one of which does one
        thing more."""
        start = await self.count("start", [])
        create = await self.count("create", ["Create"])
        update = await self.count("update", ["Create", "Update"])
        differences = {"start": start, "create": create - start, "update": update - create}
        return {key: round(count / 1e6, 2) for key, count in differences.items()}


async def drive(emulator, events, pid):
    """Has the function handle the events, and waits until its processor time stands still."""
    await emulator.idle()
    for event in events:
        await emulator.invoke(event)
    # CPUCLOCK_SCHED of a process: what clock_getcpuclockid(3) gives.
    before, now = None, time.clock_gettime((~pid << 3) | 2)
    while now != before:
        await asyncio.sleep(0.3)
        before, now = now, time.clock_gettime((~pid << 3) | 2)


def verifier(password):
    """What PostgreSQL keeps of a password: RFC 5803, as in its documentation of pg_authid."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    key = hmac.digest(salted, b"Client Key", "sha256")
    stored, server = hashlib.sha256(key).digest(), hmac.digest(salted, b"Server Key", "sha256")
    salt, stored, server = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256$1:{salt}${stored}:{server}"


def surroundings(server):
    """What the counts depend on besides the binary, if only a little."""
    valgrind = subprocess.check_output(["valgrind", "--version"], text=True).strip()
    return f"{valgrind}, {' '.join(platform.libc_ver())}, PostgreSQL {postgres.major_of(server.bin)}"


def compare(counted, recorded):
    """Shows the figures side by side; returns what has grown too much, in words."""
    grown = []
    for key, name in FIGURES.items():
        now, then = counted[key], recorded.get(key)
        if then is None:
            print(f"{name:45} {now:8.2f} M, not recorded")
            continue
        print(f"{name:45} {now:8.2f} M, recorded {then:8.2f} M: {now / then - 1:+.1%}")
        if now > then * MOST:
            grown.append(f"{name} takes {now / then - 1:.1%} more than is recorded")
        if now < then * LEAST:
            print("  a tenth less: record it with `make instructions RECORD=1`, so that it stays so")
    return grown


def measured(arguments):
    """The figures, and what they were counted with."""
    # The server's newer releases prefer another key exchange than its older ones.
    settings = {"ssl_ecdh_curve": "prime256v1"}
    with postgres.cluster(settings=settings) as server, tempfile.TemporaryDirectory(prefix="count-") as folder:
        if arguments.profiles:
            folder = os.path.abspath(arguments.profiles)
            os.makedirs(folder, exist_ok=True)
        subject = Subject(os.path.abspath(arguments.binary), server, folder)
        return asyncio.run(subject.counted()), surroundings(server)


def main():
    """Counts, then records or compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--binary", default=functions.BOOTSTRAP, help="a release build; else the bootstrap of `make build`"
    )
    parser.add_argument("--record", action="store_true", help="write the figures to bench/instructions.json")
    parser.add_argument("--profiles", metavar="FOLDER", help="keep callgrind's files, for callgrind_annotate")
    arguments = parser.parse_args()
    if not os.path.exists(arguments.binary):
        sys.exit(f"instructions: there is no {arguments.binary}: run `make build`")
    if not shutil.which("valgrind"):
        sys.exit("instructions: valgrind is missing: install it (`apt-get install valgrind`)")
    try:
        counted, counted_with = measured(arguments)
    except postgres.Failure as failure:
        sys.exit(f"instructions: {failure}")
    with open(RECORDED) as source:
        records = json.load(source)
    # Each kind of processor has its own code in OpenSSL, and its own figures.
    machine = platform.machine()
    recorded = records.get(machine, {"millions": {}, "with": counted_with})
    grown = compare(counted, recorded["millions"])
    if arguments.record:
        records[machine] = {"millions": counted, "with": counted_with}
        with open(RECORDED, "w") as out:
            json.dump(records, out, indent=2)
            out.write("\n")
        print(f"recorded for {machine}")
        return
    if recorded["with"] != counted_with:
        print(f"counted with {counted_with}; recorded with {recorded['with']}: part of a difference may be theirs")
    if grown:
        sys.exit(
            f"instructions: {'; '.join(grown)}: make it cheaper, or, where it is worth that, record it in the"
            " same commit: `make instructions RECORD=1`"
        )


if __name__ == "__main__":
    main()
