"""A private cluster that can be killed and started again: commands on standard input, one a line.

    kill   SIGKILL to the server and all its backends at once
    stop   let nobody in any more, and end when the last session has (a smart shutdown)
    start  start it, on another port; it recovers, and is ready
    begin  the same, but it may still be recovering

Each is answered with one line of JSON on standard output: where the server is now.
"""

import contextlib
import json
import os
import select
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tools"))

from postgres import cluster, server_account, start  # noqa: E402


def children(parent):
    """The processes that this one started."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as stat:
            if int(stat.read().rsplit(")", 1)[1].split()[1]) == parent:
                found.append(int(name))
    return found


def kill(process):
    """Stopped first, so that it starts nothing while its backends are counted."""
    os.kill(process.pid, signal.SIGSTOP)
    dying = []
    for pid in [*children(process.pid), process.pid]:
        with contextlib.suppress(OSError):
            dying.append(os.pidfd_open(pid))
            os.kill(pid, signal.SIGKILL)
    # While one of them still holds the shared memory no server starts again; a busy machine takes
    # its time to end them.
    for pid in dying:
        select.select([pid], [], [])
        os.close(pid)
    process.wait()


def tell(server):
    place = {"port": server.port, "user": server.user, "password": server.password, "ca": server.ca}
    print(json.dumps(place), flush=True)


def main():
    settings = dict(pair.split("=", 1) for pair in sys.argv[1:])
    # What was committed must outlive the server's death.
    settings = {"synchronous_commit": "on", **settings}
    with cluster(bin=os.environ.get("TEST_PG_BIN"), settings=settings) as server:
        tell(server)
        for line in sys.stdin:
            command = line.strip()
            if command == "kill":
                kill(server.process)
            elif command == "stop":
                server.process.send_signal(signal.SIGTERM)
            elif command in ("start", "begin"):
                server.process.wait()
                server._janitor.communicate(b"keep")
                until = ("ready",) if command == "start" else ("starting", "ready")
                start(server, server_account(), until)
            tell(server)


main()
