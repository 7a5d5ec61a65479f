"""`make demo`: template.yaml in a local AWS (ministack), and a user's stack with three databases on
a PostgreSQL server: an install, an update, a mistake, a removal.

    demo/demo.py              watch it
    demo/demo.py --keep       stop before the removal, and leave it running (`make demo KEEP=1`)
    demo/demo.py apply FILE   while it is left running: create or update the user's stack

Everything is in temporary folders and on free ports, and is removed at the end, after Ctrl-C and a
failure too. The exit code is 1 where something did not go as it says here.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import sys
import time
from types import SimpleNamespace

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import postgres  # noqa: E402
import prerequisites  # noqa: E402

try:
    import local_aws
    from deployment import STACK, USER_DATABASES, Deployment, UserStack
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text
    from screen import Screen, console, environment, expect
except ImportError as error:
    sys.exit(f"demo: {error.name} is missing in this Python: run `make demo`")


class Demo(Screen):
    """What is shown, and what is expected of it."""

    def __init__(self, aws, server, **attached):
        super().__init__("Waiting for CloudFormation")
        observers = {"on_event": self.show_event, "on_record": self.show_record}
        self.deployment = Deployment(aws, server, **attached, **observers)
        self.before = {}  # the extensions when they were last shown

    def show_event(self, event):
        """A stack event, as the CloudFormation console shows it."""
        status = event["ResourceStatus"]
        if event["ResourceType"].startswith("AWS::") and status.endswith("_IN_PROGRESS"):
            if status != "UPDATE_ROLLBACK_IN_PROGRESS":
                return
        failed = "FAILED" in status or "ROLLBACK" in status
        style = "red" if failed else "green" if status.endswith("_COMPLETE") else "yellow"
        line = Text.assemble(
            (f"  {event['Timestamp']:%H:%M:%S}  ", "dim"),
            (f"{status:<28}  ", style),
            f"{event['LogicalResourceId']:<28}",
            (event["ResourceType"], "dim"),
        )
        console.print(line, soft_wrap=True)
        reason = event.get("ResourceStatusReason")
        if reason and status.endswith("_FAILED"):
            panel = Padding(Panel(Text(reason), border_style="red"), (0, 0, 0, 4))
            plain = not console.is_terminal
            console.print(Text(f"    {reason}") if plain else panel, soft_wrap=plain)

    def show_record(self, record):
        """A line that the function logged about a database."""
        if "database" in record:
            line = Text(f"{'':12}{record['database']}: {record['message']}", "cyan")
            console.print(line, soft_wrap=True)

    def show_extensions(self):
        """The extensions of each database, and what changed since they were last shown."""
        found = self.deployment.extensions()
        table = Table("Database", "Extension", "Version", "Change", box=None, padding=(0, 3, 0, 0))
        for database, extensions in found.items():
            before = self.before.get(database, {})
            for name in sorted({*extensions, *before}):
                old, new = before.get(name), extensions.get(name)
                change = Text("removed", "red") if not new else Text(f"was {old}", "yellow")
                if old in (None, new):
                    change = Text("" if old else "installed", "green")
                table.add_row(database, name, new or "-", change)
                database = ""
        console.print(Padding(table, (1, 0, 0, 2), expand=False))
        self.before = found
        return found

    def prepare(self):
        self.explain(
            "The function",
            "template.yaml is deployed once for each account and region: here as the stack "
            f"{STACK}, with the function that was built from this checkout.",
        )
        self.deployment.create_databases(*USER_DATABASES)
        expect(self.deployment.deploy(USER_DATABASES).status, "CREATE_COMPLETE")
        self.stack = UserStack(self.deployment)

    def install(self):
        template = self.stack.created
        self.explain(
            "1. Install",
            "The stack of a user, demo/user-stack.yaml, lists the extensions of three databases. "
            "This is the first:\n",
            re.search(r"(?m)^  Demo1:\n(?: {4}.*\n)+", template).group(),
        )
        expect(self.stack.deploy(template).status, "CREATE_COMPLETE")
        found = self.show_extensions()
        expect(found["demo1"], {"pgcrypto": "1.3", "postgis": self.stack.postgis})
        expect(found["demo2"], {"hstore": "1.4"})
        expect(list(found["demo3"]), ["cube", "earthdistance"])

    def update(self):
        template = self.stack.updated
        self.explain(
            "2. Update",
            "The user adds an extension to Demo1, and names a newer version of hstore in Demo2:\n",
            self.stack.created,
            template,
        )
        expect(self.stack.deploy(template).status, "UPDATE_COMPLETE")
        found = self.show_extensions()
        expect(list(found["demo1"]), ["pg_trgm", "pgcrypto", "postgis"])
        expect(found["demo2"], {"hstore": "1.7"})

    def mistake(self):
        template, before = self.stack.mistaken, self.before
        self.explain(
            "3. A mistake",
            "The user adds to Demo3 what the server does not have. The update fails with a reason "
            "that names both problems, the stack is rolled back, and no database changes:\n",
            self.stack.updated,
            template,
        )
        outcome = self.stack.deploy(template)
        expect(outcome.status, "UPDATE_ROLLBACK_COMPLETE")
        reason = " ".join(outcome.reasons)
        expect([part for part in ("pgvector", "9.9") if part not in reason], [])
        expect(self.show_extensions(), before)

    def remove(self):
        before = self.before
        self.explain(
            "4. Removal",
            "The user deletes the stack. Demo3 has `RemovalPolicy: Drop`: the extensions that it "
            "created are dropped. Demo1 and Demo2 have the default, Retain: theirs stay.",
        )
        expect(self.stack.delete().status, "DELETE_COMPLETE")
        expect(self.show_extensions(), {**before, "demo3": {}})
        self.explain("The function is removed", f"The stack {STACK} is deleted.")
        expect(self.deployment.stacks.delete(STACK).status, "DELETE_COMPLETE")

    def leave_running(self):
        """Say how to play with it, and how to stop it."""
        aws, server = self.deployment.aws, self.deployment.server
        variables = {
            **aws.environment(),
            **server.libpq(),
            "DEMO_FOLDER": aws.folder,
            "DEMO_BIN": server.bin,
            "DEMO_LOG": self.deployment.stacks.log_group,
            "DEMO_PARAMETERS": json.dumps(self.stack.parameters),
        }
        for name, text in (
            ("env", environment(variables)),
            ("stack.yaml", self.stack.updated),
            ("stop", f"cd /\n{server.keep()}\n{aws.keep()}\n"),
        ):
            with open(os.path.join(aws.folder, name), "w") as out:
                out.write(text)
        self.explain(
            "It is left running",
            "In a shell that has read `env`, aws, sam and every SDK speak to the local AWS.",
        )
        self.commands([
            ("point a shell at it", f". {aws.folder}/env"),
            ("look into a database", "psql demo1 -c '\\dx'"),
            ("edit the user's stack", f"${{EDITOR:-vi}} {aws.folder}/stack.yaml"),
            ("deploy it", f"{sys.executable} {__file__} apply {aws.folder}/stack.yaml"),
            ("stop it and remove it all", f"sh {aws.folder}/stop"),
        ])  # fmt: skip


def run(keep):
    """The whole demo."""
    started = time.monotonic()
    binaries = prerequisites.server()
    with contextlib.ExitStack() as stack:
        with console.status("Starting PostgreSQL and a local AWS"):
            server = stack.enter_context(postgres.cluster(bin=binaries))
            aws = stack.enter_context(local_aws.started())
        demo = Demo(aws, server)
        stack.callback(demo.status.stop)
        for step in (demo.prepare, demo.install, demo.update, demo.mistake):
            step()
        if keep:
            demo.leave_running()
            return
        demo.remove()
    expect(local_aws.remains(aws, server), [])
    seconds = time.monotonic() - started
    console.print(f"\n[bold green]It worked, and nothing of it is left here[/] ({seconds:.0f} s).")


def apply(path):
    """Create or update the user's stack of a demo that was left running."""
    if "DEMO_FOLDER" not in os.environ:
        raise local_aws.Failure("this shell knows no demo: read the `env` that the demo named")
    aws = local_aws.LocalAws(os.environ["AWS_ENDPOINT_URL"], os.environ["DEMO_FOLDER"])
    libpq = {key: value for key, value in os.environ.items() if key.startswith("PG")}
    server = SimpleNamespace(bin=os.environ["DEMO_BIN"], libpq=lambda: libpq)
    demo = Demo(aws, server, log_group=os.environ["DEMO_LOG"])
    demo.before = demo.deployment.extensions()
    with open(path) as source:
        template = source.read()
    known = json.loads(os.environ["DEMO_PARAMETERS"])
    parameters = {key: known[key] for key in known if re.search(rf"(?m)^  {key}:", template)}
    outcome = demo.deployment.stacks.deploy(UserStack.NAME, template, parameters)
    demo.show_extensions()
    if "ROLLBACK" in outcome.status:
        raise local_aws.Failure(f"the stack is in {outcome.status}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", action="store_true", help="leave it running before the removal")
    parser.add_argument("action", nargs="?", choices=["apply"])
    parser.add_argument("file", nargs="?", help="the template to apply")
    arguments = parser.parse_args()
    if bool(arguments.action) != bool(arguments.file):
        parser.error("`apply` needs a template's file")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        if arguments.action:
            apply(arguments.file)
        else:
            run(arguments.keep)
    except (local_aws.Failure, postgres.Failure, prerequisites.Missing) as failure:
        console.print(Text(f"\ndemo: {failure}", "red"), soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("\n[yellow]demo: stopped; nothing of it is left here")
        sys.exit(130)


if __name__ == "__main__":
    main()
