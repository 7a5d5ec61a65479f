#!/usr/bin/env python3
"""This function beside the Python original in one run, held to targets.

    python3 bench/bench.py [--binary FILE] [--repetitions N] [--record]

Starts a throwaway PostgreSQL (TLS, SCRAM) and runs both functions as Lambda would. Prints each target
with what was measured, and fails where one does not hold; --record writes the table to
docs/benchmarks.md. `make bench` installs what it needs.
"""

import argparse
import asyncio
import os
import platform
import selectors
import sys
import tempfile
import time
import zipfile
from statistics import median

import functions
from process import running
from server import Admin

sys.path.insert(0, os.path.join(functions.ROOT, "tools"))
import postgres

DOCUMENT = os.path.join(functions.ROOT, "docs", "benchmarks.md")
# What is between these two lines of the document is written by --record.
BEGIN, END = "<!-- written by `make bench RECORD=1` -->\n", "<!-- end -->\n"
FEW, MANY = 5, 40
DATABASES = 200


class Bench:
    """The functions, the server, and the figures so far."""

    def __init__(self, binary, server, log, repetitions):
        self.server, self.admin, self.log, self.repetitions = server, Admin(server), log, repetitions
        self.ours, self.original = functions.ours(binary, server), functions.original()
        self.figures = {}

    def running(self, function, round_trip=0):
        """A new process of a function, `round_trip` milliseconds away from the server."""
        return running(function, self.server, round_trip, self.log)

    def add(self, figure, function, value):
        """Keeps one measurement."""
        self.figures.setdefault((figure, function.name), []).append(value)

    def expect(self, database, extensions):
        """Ends the run where a function did not do what it was measured for."""
        if self.admin.installed(database) != extensions:
            raise SystemExit(f"bench: {database} does not have the extensions that it should have")

    async def measure(self):
        """Every figure. The two functions take turns, so that a busy moment of the machine is both's."""
        for repetition in range(self.repetitions):
            progress(f"repetition {repetition + 1} of {self.repetitions}")
            for function in (self.ours, self.original):
                await self.cold(function)
                await self.warm(function)
            for count in (1, MANY):
                await self.round_trips(count)
        extensions = self.admin.first(1)
        names = [f"bench_{number:03}" for number in range(DATABASES)]
        with self.admin.databases(["bench_template"]):
            self.admin.install("bench_template", extensions)
            with self.admin.databases(names, template="bench_template"):
                for repetition in range(3):
                    progress(f"{DATABASES} databases, {repetition + 1} of 3")
                    await self.many_databases(self.ours, extensions, [names])
                    await self.many_databases(self.original, extensions, names)

    async def cold(self, function):
        """A cold start and one install."""
        extensions = self.admin.first(FEW)
        with self.admin.databases(["bench"]):
            async with self.running(function) as (process, emulator, _):
                self.add("start", function, (await emulator.idle() - process.begun) * 1000)
                await emulator.invoke(functions.event("Create", extensions, "bench"))
            self.expect("bench", extensions)
        self.add("processor", function, process.processor)
        self.add("memory", function, process.memory)

    async def warm(self, function):
        """An install, and an event with nothing to do, in a process that has handled an event."""
        extensions = self.admin.first(FEW)
        with self.admin.databases(["bench_first", "bench"]):
            async with self.running(function) as (_, emulator, _):
                await emulator.invoke(functions.event("Create", extensions, "bench_first"))
                self.add("install", function, await emulator.invoke(functions.event("Create", extensions, "bench")))
                self.add("nothing", function, await emulator.invoke(functions.event("Update", extensions, "bench")))
            self.expect("bench", extensions)

    async def round_trips(self, count):
        """The round trips of this function's install of so many extensions. With a distance: what is
        sent before the server has replied is then no round trip of its own."""
        extensions = self.admin.first(count)
        with self.admin.databases(["bench"]):
            async with self.running(self.ours, 20) as (_, emulator, proxy):
                await emulator.invoke(functions.event("Create", extensions, "bench"))
                self.add(f"round trips {count}", self.ours, max(proxy.round_trips))
            self.expect("bench", extensions)

    async def many_databases(self, function, extensions, batches):
        """One event for each batch of databases, at a distance, with nothing to do in them."""
        async with self.running(function, 2) as (_, emulator, _):
            total = sum([
                await emulator.invoke(functions.event("Update", extensions, batch)) for batch in batches
            ])
        self.add("many", function, total)


class Report:
    """The targets, and whether they hold."""

    def __init__(self, figures):
        self.figures = figures
        self.rows = []
        self.all_hold = True

    def row(self, figure, ours, original, measured, target, holds):
        """One line of the table."""
        self.all_hold = self.all_hold and holds is not False
        verdict = {True: "holds", False: "**does not hold**", None: ""}[holds]
        self.rows.append([figure, ours, original, measured, target, verdict])

    def ratio(self, figure, key, unit, most=None):
        """A figure of both functions; at most 1/`most` of the original's, where there is a target."""
        ours, original = (median(self.figures[key, name]) for name in ("this function", "the original"))
        share = ours / original
        self.row(
            figure, f"{number(ours)} {unit}", f"{number(original)} {unit}",
            f"1/{1 / share:.3g}" if share < 1 else f"{share:.3g}",
            f"at most 1/{most}" if most else "", share <= 1 / most if most else None,
        )

    def table(self):
        """The table in Markdown."""
        lines = [
            ["", "this function", "the original", "ratio", "target", ""], ["---", *["---:"] * 4, "---"], *self.rows
        ]
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def report(figures, binary):
    """The targets of a run's figures."""
    result = Report(figures)
    result.ratio("start to ready", "start", "ms", 25)
    result.ratio(f"processor time, cold start and one install of {FEW}", "processor", "ms", 10)
    result.ratio("peak memory of the same", "memory", "MB", 5)
    few, many = (int(median(figures[f"round trips {count}", "this function"])) for count in (1, MANY))
    result.row(f"round trips, connect to close, 1 and {MANY} extensions", f"{few} and {many}", "", "",
               "at most 11, the same", few == many <= 11)
    result.ratio(f"{DATABASES} databases with nothing to do, 2 ms away", "many", "ms", 2)
    zipped = zipped_size(binary) / 1e6
    result.row("zipped", f"{zipped:.2f} MB", "", "", "at most 4.5 MB", zipped <= 4.5)
    result.ratio(f"warm, nothing to do, {FEW} extensions, no distance", "nothing", "ms")
    result.ratio(f"warm, first install of {FEW}, no distance", "install", "ms")
    return result


def number(value):
    """One digit after the point, or none from 100 on."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def zipped_size(binary):
    """The bytes of the binary, zipped as Lambda gets it."""
    with tempfile.TemporaryFile() as out:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.write(binary, "bootstrap")
        return out.tell()


def machine(server, repetitions, load):
    """Where and when this was measured."""
    with open("/proc/cpuinfo") as lines:
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {os.cpu_count()} processors"
        f" ({models[0] if models else platform.machine()}), PostgreSQL {postgres.major_of(server.bin)},"
        f" Python {platform.python_version()}. Medians of {repetitions}; of 3 for {DATABASES} databases."
        f" Load at the start {load:.1f}, at the end {os.getloadavg()[0]:.1f}.\n"
    )


def record(text):
    """Writes the figures into the document."""
    with open(DOCUMENT) as source:
        before, _, rest = source.read().partition(BEGIN)
    with open(DOCUMENT, "w") as out:
        out.write(before + BEGIN + text + END + rest.partition(END)[2])


def progress(text):
    """A line for the person who waits."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main():
    """Measures, prints, and fails where a target does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=functions.BOOTSTRAP, help="else the bootstrap of `make build`")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--record", action="store_true", help="write the table to docs/benchmarks.md")
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    if not os.path.exists(binary):
        sys.exit(f"bench: there is no {binary}: run `make build`")
    load = os.getloadavg()[0]
    if load > 0.5:
        progress(f"this machine is not quiet: its load is {load:.1f}")
    # Timers of epoll are whole milliseconds: too coarse for a round trip of two.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    with postgres.cluster() as server, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(binary, server, os.path.join(folder, "output"), arguments.repetitions)
        loop.run_until_complete(bench.measure())
        result = report(bench.figures, binary)
        text = f"{result.table()}\n{machine(server, arguments.repetitions, load)}"
    print(text)
    if arguments.record:
        record(text)
    if not result.all_hold:
        sys.exit("bench: not every target holds")


if __name__ == "__main__":
    main()
