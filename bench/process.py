"""One process of a function, in an emulated AWS and at a distance from the server."""

import contextlib
import os
import signal
import time

from emulator import Emulator, Failed
from proxy import Proxy


class Process:
    """A running function."""

    def __init__(self, function, address, log):
        actions = [
            (os.POSIX_SPAWN_OPEN, fd, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for fd in (1, 2)
        ]
        command = function.command
        self.begun = time.perf_counter()
        self.pid = os.posix_spawn(command[0], command, function.variables(address), file_actions=actions)
        self.memory = self.processor = None

    def end(self):
        """Ends it; then `memory` is the most that was resident, in MB, and `processor` the processor
        time of its whole life, in milliseconds."""
        # Not `ru_maxrss`: that counts what this process had when it started the other one.
        with open(f"/proc/{self.pid}/status") as status:
            peak = next((line for line in status if line.startswith("VmHWM:")), "VmHWM: 0 kB")
        self.memory = int(peak.split()[1]) / 1024
        os.kill(self.pid, signal.SIGKILL)
        _, _, usage = os.wait4(self.pid, 0)
        self.processor = (usage.ru_utime + usage.ru_stime) * 1000


@contextlib.asynccontextmanager
async def running(function, server, round_trip, log):
    """A function with `round_trip` milliseconds to the server: (process, emulator, proxy)."""
    async with Proxy(server.port, round_trip / 1000) as proxy:
        secret = {
            "engine": "postgres", "host": server.host, "port": proxy.port, "dbname": "postgres",
            "username": server.user, "password": server.password,
        }
        async with Emulator(secret) as emulator:
            process = Process(function, emulator.address, log)
            try:
                yield process, emulator, proxy
            except (Failed, OSError) as error:
                with open(log, errors="replace") as lines:
                    raise SystemExit(f"bench: {function.name}: {error}\n{lines.read()[-2000:]}") from error
            finally:
                process.end()
