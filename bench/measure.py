"""One process of one contender, from its start to its end, and what it took."""

import contextlib
import os
import signal
import time

from distance import Distance
from emulator import Emulator, Failed

# How often the event with nothing to do is sent.
WARM = 3


class Process:
    """A running function."""

    def __init__(self, contender, address, log):
        self.log = log
        actions = [
            (os.POSIX_SPAWN_OPEN, fd, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for fd in (1, 2)
        ]
        command = contender.command
        self.begun = time.perf_counter()
        self.pid = os.posix_spawn(command[0], command, contender.variables(address), file_actions=actions)

    def cpu(self):
        """Milliseconds of processor time of all its threads so far, those that ended too."""
        # CPUCLOCK_SCHED of a process: what clock_getcpuclockid(3) gives.
        return time.clock_gettime((~self.pid << 3) | 2) * 1000

    def peak_memory(self):
        """The most memory that was resident, in MB."""
        with open(f"/proc/{self.pid}/status") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024

    def end(self):
        """Ends it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@contextlib.asynccontextmanager
async def running(contender, server, round_trip, log):
    """A function at a distance from the server: (process, emulator, distance)."""
    async with Distance(server.port, round_trip / 1000) as distance:
        secret = {
            "engine": "postgres", "host": server.host, "port": distance.port, "dbname": "postgres",
            "username": server.user, "password": server.password,
        }
        async with Emulator(secret, contender.answers_itself) as emulator:
            process = Process(contender, emulator.address, log)
            try:
                yield process, emulator, distance
            except (Failed, OSError) as error:
                with open(log, errors="replace") as lines:
                    raise SystemExit(f"bench: {contender.name}: {error}\n{lines.read()[-2000:]}") from error
            finally:
                process.end()


async def one_database(contender, admin, extensions, round_trip, database, log):
    """Cold start, a Create that installs, and Updates with nothing to do, in an empty database."""
    async with running(contender, admin.server, round_trip, log) as (process, emulator, distance):
        start = (await emulator.idle() - process.begun) * 1000
        create = await emulator.invoke(contender.event("Create", extensions, [database]))
        found = {
            "start": start,
            "create": create,
            "cpu": process.cpu(),
            "memory": process.peak_memory(),
            "create_flights": sum(distance.flights),
        }
        if admin.installed(database) != extensions:
            raise SystemExit(f"bench: {contender.name} did not install what it should")
        before = process.cpu()
        update = contender.event("Update", extensions, [database])
        warm = [await emulator.invoke(update) for _ in range(WARM)]
        found["warm"] = sorted(warm)[len(warm) // 2]
        found["warm_cpu"] = (process.cpu() - before) / WARM
        found["warm_flights"] = distance.flights[-1]
        return found


async def many_databases(contender, admin, extensions, round_trip, databases, log):
    """The same in many databases: one event where a contender knows how, else one after the other."""
    batches = [databases] if contender.several else [[name] for name in databases]
    async with running(contender, admin.server, round_trip, log) as (process, emulator, distance):
        await emulator.idle()
        found = {"databases": len(databases)}
        for kind, name in (("Create", "create"), ("Update", "warm")):
            times = [await emulator.invoke(contender.event(kind, extensions, batch)) for batch in batches]
            found[name] = sum(times)
        found["cpu"], found["memory"] = process.cpu(), process.peak_memory()
        found["connections"] = len(distance.flights)
        for database in databases:
            if admin.installed(database) != extensions:
                raise SystemExit(f"bench: {contender.name} did not install what it should in {database}")
        return found


async def update_path(contender, admin, database, log):
    """The flights of an Update for which the server looks up a path: hstore, from its oldest."""
    with admin.session(database) as cursor:
        cursor.execute("CREATE EXTENSION hstore VERSION '1.4'")
    wanted = admin.first(1)
    async with running(contender, admin.server, 2, log) as (_, emulator, distance):
        await emulator.invoke(contender.event("Update", wanted, [database]))
        if admin.installed(database) != wanted:
            raise SystemExit(f"bench: {contender.name} did not update hstore")
        return sum(distance.flights)
