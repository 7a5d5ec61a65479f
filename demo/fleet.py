"""`make fleet`: fleet/template.yaml in a local AWS (ministack), and 40 databases in three waves on
two PostgreSQL servers: an audit, a plan that finds what cannot work, an update that one database
stops, the update resumed, and the sweep of expired snapshots.

    demo/fleet.py           watch it
    demo/fleet.py --keep    leave it running at the end (`make fleet KEEP=1`)

Everything is in temporary folders and on free ports, and is removed at the end, after Ctrl-C and a
failure too; but for a page that shows the runs, in target/fleet-demo. The exit code is 1 where
something did not go as it says here.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import postgres  # noqa: E402
import prerequisites  # noqa: E402

try:
    import fleet
    import local_aws
    from deployment import Deployment
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text
    from screen import Screen, console, environment, expect
except ImportError as error:
    sys.exit(f"demo: {error.name} is missing in this Python: run `make fleet`")

# ministack, with Step Functions as AWS documents it.
EMULATOR = os.path.join(ROOT, "tests", "fleet", "emulator.py")
REPORT = os.path.join(ROOT, "target", "fleet-demo")
DEV, STAGING, PRODUCTION = WAVES = ("1-dev", "2-staging", "3-production")
# What is in RDS: (identifier, whether it is a cluster, wave, databases, days of automated backups).
# The first three are on one PostgreSQL server, the others on a second one.
SERVERS = (
    ("dev", False, DEV, 8, 1),
    ("staging-a", False, STAGING, 6, 7),
    ("staging-b", False, STAGING, 6, 7),
    ("orders", True, PRODUCTION, 10, 1),
    ("stock", False, PRODUCTION, 10, 14),
)
WANTED = {"hstore": "1.7", "pg_trgm": "any"}
# The owner of this database has frozen it: a COMMIT after a change of its extensions fails. A dry run
# never comes that far.
FROZEN = "staging_a_4"
FREEZE = f"""
CREATE TABLE attempt (at timestamptz);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN RAISE '{FROZEN} is frozen until Monday: ask its owners'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON attempt DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE FUNCTION notice() RETURNS event_trigger LANGUAGE plpgsql AS $$
  BEGIN INSERT INTO public.attempt VALUES (now()); END $$;
CREATE EVENT TRIGGER notice ON ddl_command_end WHEN TAG IN ('ALTER EXTENSION')
  EXECUTE FUNCTION notice();
"""
# Here somebody has installed a version from which no path leads to the one that is wanted.
TOO_NEW = "stock_7"
STYLES = {
    "IN_SYNC": "green", "CHANGED": "green", "BACKED_UP": "green", "DRIFTED": "yellow",
    "FAILED": "red", "SKIPPED": "magenta",
}  # fmt: skip


class Demo(Screen):
    """What is shown, and what is expected of it."""

    def __init__(self, aws, servers):
        super().__init__("Waiting")
        self.aws = aws
        self.rds = aws.client("rds")
        # One of them has the stacks; databases are added through both.
        self.fleets = [fleet.Fleet(Deployment(aws, server)) for server in servers]
        self.fleet = self.fleets[0]
        self.statuses = []
        self.properties = {
            "PluginsMap": WANTED,
            "SslRootCert": "".join(one.deployment.root_cert() for one in self.fleets),
        }

    def prepare(self):
        self.explain(
            "The fleet",
            "40 databases in three waves, on two PostgreSQL servers. In the emulated RDS these are "
            "four instances and a cluster. The tag PostgresExtensions of a database's secret names "
            "its wave.",
        )
        self.status.update("Creating databases, and deploying template.yaml and fleet/template.yaml")
        for number, (server, is_cluster, wave, databases, days) in enumerate(SERVERS):
            prefix = server.replace("-", "_")
            names = [f"{prefix}_{index}" for index in range(1, databases + 1)]
            key = "dbClusterIdentifier" if is_cluster else "dbInstanceIdentifier"
            self.create_server(server, is_cluster, days)
            self.fleets[number > 2].add(names, wave, **{key: server})
            sql = "".join(f"\\c {name}\nCREATE EXTENSION hstore VERSION '1.4';\n" for name in names)
            self.fleets[number > 2].psql("postgres", sql)
        done = "ALTER EXTENSION hstore UPDATE TO '1.7'; CREATE EXTENSION pg_trgm"
        self.fleets[0].psql("dev_1", done)
        self.fleets[0].psql(FROZEN, FREEZE)
        self.fleets[1].psql(TOO_NEW, "ALTER EXTENSION hstore UPDATE TO '1.8'")
        deployment = self.fleet.deployment
        expect(deployment.deploy([], SecretArns=fleet.SECRETS).status, "CREATE_COMPLETE")
        expect(self.fleet.deploy().status, "CREATE_COMPLETE")
        table = Table("Wave", "Server", "In RDS", "Databases", "Days of backups", box=None)
        for server, is_cluster, wave, databases, days in SERVERS:
            kind = "cluster" if is_cluster else "instance"
            table.add_row(wave, server, kind, str(databases), str(days))
        self.show(table)

    def create_server(self, name, is_cluster, days):
        given = {
            "Engine": "postgres",
            "BackupRetentionPeriod": days,
            "MasterUsername": "postgres",
            "MasterUserPassword": "of-the-emulated-one",
        }
        if is_cluster:
            given["Engine"] = "aurora-postgresql"
            self.rds.create_db_cluster(DBClusterIdentifier=name, **given)
        else:
            given |= {"DBInstanceClass": "db.t4g.medium", "AllocatedStorage": 20}
            self.rds.create_db_instance(DBInstanceIdentifier=name, **given)

    def audit(self):
        self.explain(
            "1. Audit",
            f"A run reads every database and compares it with {json.dumps(WANTED)}. "
            "It changes nothing.",
        )
        status = self.run("audit", "SUCCEEDED", Mode="Audit")
        expect(status["Counts"]["IN_SYNC"], 1)
        expect(status["Counts"]["DRIFTED"], 39)

    def plan(self):
        self.explain(
            "2. Plan",
            "A run asks each database for its plan: the function runs the statements and rolls them "
            f"back. In {TOO_NEW} that cannot work, and the run fails before anything was changed:",
        )
        status = self.run("plan", "FAILED", Mode="Plan", MaxFailures=40)
        expect(status["Counts"]["FAILED"], 1)
        expect(self.versions()["1.7"], 1)
        self.explain(
            "The owners correct it",
            f"They drop hstore in {TOO_NEW}, where nobody used it. The next run will create it.",
        )
        self.fleets[1].psql(TOO_NEW, "DROP EXTENSION hstore")

    def apply(self):
        self.explain(
            "3. Apply, and stop at a failure",
            "A run plans everything again, then changes wave after wave, 1, 2, 4 ... databases at a "
            "time. Before an update it sees to a restore point: the time, where automated backups "
            "reach back 7 days, else one snapshot of the server. The owners of "
            f"{FROZEN} have frozen it, so that its COMMIT fails: those under way are finished, and "
            "no other is begun.",
        )
        status = self.run("apply", "FAILED", Mode="Apply")
        expect(status["Counts"]["FAILED"], 1)
        waves = Counter((one["Wave"], one["Status"]) for one in status["Databases"])
        expect(waves[PRODUCTION, "DRIFTED"], 20)
        expect(waves[DEV, "CHANGED"], 7)

    def resume(self):
        self.explain(
            "4. Resume",
            f"The owners end the freeze of {FROZEN}. The same run is started again under another "
            "id: what is done is up to date.",
        )
        self.fleets[0].psql(FROZEN, "DROP EVENT TRIGGER notice")
        status = self.run("apply-again", "SUCCEEDED", Mode="Apply")
        expect(status["Counts"]["CHANGED"] + status["Counts"]["IN_SYNC"], 40)
        expect(self.versions(), {"1.7": 40})

    def sweep(self):
        self.explain(
            "5. Sweep",
            "Each night the sweep deletes the snapshots of runs whose tag DeleteOn is reached, and "
            "no others. Here eight days pass for the snapshot of `dev`; beside it is one that "
            "somebody made by hand.",
        )
        [ours] = self.rds.describe_db_snapshots(DBInstanceIdentifier="dev")["DBSnapshots"]
        self.rds.add_tags_to_resource(
            ResourceName=ours["DBSnapshotArn"], Tags=[{"Key": "DeleteOn", "Value": "2020-01-01"}]
        )
        self.rds.create_db_snapshot(
            DBInstanceIdentifier="dev", DBSnapshotIdentifier="before-the-migration"
        )
        before = self.snapshots()
        machine = self.fleet.outputs["SweepStateMachineArn"]
        found = self.fleet.states.start_execution(stateMachineArn=machine, input="{}")
        arn = found["executionArn"]

        def ended():
            found = self.fleet.states.describe_execution(executionArn=arn)
            return found["status"] != "RUNNING" and found

        found = self.aws.wait_for("the sweep ends", ended)
        expect(found["status"], "SUCCEEDED")
        table = Table("Snapshot", "", box=None, padding=(0, 3, 0, 0))
        after = self.snapshots()
        for name in sorted(before):
            table.add_row(name, Text("kept") if name in after else Text("deleted", "red"))
        self.show(table)
        expect(before - after, {ours["DBSnapshotIdentifier"]})

    def snapshots(self):
        """The names of all manual snapshots."""
        instances = self.rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
        clusters = self.rds.describe_db_cluster_snapshots(SnapshotType="manual")
        return {one["DBSnapshotIdentifier"] for one in instances} | {
            one["DBClusterSnapshotIdentifier"] for one in clusters["DBClusterSnapshots"]
        }

    def versions(self):
        """How many databases have each version of hstore."""
        found = Counter()
        for one in self.fleets:
            names = one.psql("postgres", "SELECT datname FROM pg_database WHERE datname ~ '_[0-9]+$'")
            query = "SELECT extversion FROM pg_extension WHERE extname = 'hstore';\n"
            sql = "".join(f"\\c {name}\n{query}" for name in names.split())
            found.update(one.psql("postgres", sql).split())
        return found

    def page(self):
        self.report()
        self.explain(
            "The page",
            "fleet/report.html shows the runs, and nothing is sent anywhere. A browser reads "
            "report.json beside it where a web server serves both; from disk, drop it on the page.",
        )
        self.commands(
            [
                ("the page", os.path.join(REPORT, "report.html")),
                ("its runs", os.path.join(REPORT, "report.json")),
                ("serve both", f"python3 -m http.server --bind 127.0.0.1 --directory {REPORT}"),
            ]
        )

    def report(self):
        os.makedirs(REPORT, exist_ok=True)
        shutil.copy(os.path.join(ROOT, "fleet", "report.html"), REPORT)
        with open(os.path.join(REPORT, "report.json"), "w") as out:
            json.dump(self.statuses, out, indent=1)

    def run(self, name, ends, **given):
        """Start a run, show its counts until its end, and what became of the databases."""
        given = {**given, "Properties": self.properties}
        self.fleet.start(name, **given)
        self.aws.wait_for(f"the run {name} ends", lambda: self.has_ended(name))
        execution = self.fleet.execution(name)
        status = self.fleet.status(name)
        self.statuses.append(status)
        self.show_status(status)
        if execution["status"] == "FAILED":
            self.show_failure(execution)
        expect((execution["status"], status["Status"]), (ends, ends))
        return status

    def has_ended(self, name):
        key = {"Run": {"S": name}, "Item": {"S": "run"}}
        table = self.fleet.outputs["TableName"]
        item = self.fleet.dynamodb.get_item(TableName=table, Key=key).get("Item")
        if item:
            counts = {status: one["N"] for status, one in item["Counts"]["M"].items()}
            shown = ", ".join(f"{count} {status}" for status, count in counts.items() if count != "0")
            self.status.update(f"{item['Step']['S']}: {shown}")
        return self.fleet.execution(name)["status"] != "RUNNING"

    def show_status(self, status):
        """The databases of a run by wave and status, and the restore points."""
        table = Table("Wave", "Databases", box=None, padding=(0, 3, 0, 0))
        table.add_column("Restore points", overflow="fold")
        for wave in WAVES:
            databases = [one for one in status["Databases"] if one["Wave"] == wave]
            counts = Counter(one["Status"] for one in databases)
            shown = Text(", ").join(
                Text(f"{count} {name}", STYLES.get(name, "")) for name, count in counts.items()
            )
            snapshots = {one["Snapshot"] for one in databases if one.get("Snapshot")}
            times = sum(1 for one in databases if one.get("RestoreTo"))
            points = [f"snapshot {name}" for name in sorted(snapshots)]
            points += [f"a point in time for {times}"] if times else []
            table.add_row(wave, shown, "\n".join(points))
        self.show(table)

    def show_failure(self, execution):
        text = f"{execution['error']}: {execution['cause']}"
        plain = not console.is_terminal
        panel = Padding(Panel(Text(text), border_style="red"), (1, 0, 0, 2))
        console.print(Text(f"  {text}") if plain else panel, soft_wrap=plain)

    def show(self, table):
        console.print(Padding(table, (0, 0, 0, 2), expand=False))

    def leave_running(self, servers):
        """Say how to play with it, and how to stop it."""
        outputs = self.fleet.outputs
        variables = {
            **self.aws.environment(),
            **servers[0].libpq(),
            "STATE_MACHINE": outputs["StateMachineArn"],
            "STATUS_STATE_MACHINE": outputs["StatusStateMachineArn"],
            "SWEEP_STATE_MACHINE": outputs["SweepStateMachineArn"],
            "TABLE": outputs["TableName"],
        }
        folder = self.aws.folder
        audit = json.dumps({"Properties": self.properties})
        stop = [server.keep() for server in servers] + [self.aws.keep()]
        for name, text in (
            ("env", environment(variables)),
            ("audit.json", audit),
            ("stop", "\n".join(["cd /", *stop, ""])),
        ):
            with open(os.path.join(folder, name), "w") as out:
                out.write(text)
        self.explain(
            "It is left running",
            "In a shell that has read `env`, aws and every SDK speak to the local AWS; docs/fleet.md "
            "has more commands for it.",
        )
        start = "aws stepfunctions start-execution --state-machine-arn $STATE_MACHINE"
        self.commands(
            [
                ("point a shell at it", f". {folder}/env"),
                ("look into a database", "psql dev_1 -c '\\dx'"),
                ("start an audit", f"{start} --name mine --input file://{folder}/audit.json"),
                ("see what runs did", "aws dynamodb scan --table-name $TABLE"),
                ("stop it and remove it all", f"sh {folder}/stop"),
            ]
        )


def run(keep):
    """The whole demo."""
    started = time.monotonic()
    binaries = prerequisites.server()
    with contextlib.ExitStack() as stack:
        with console.status("Starting two PostgreSQL servers and a local AWS"):
            servers = [stack.enter_context(postgres.cluster(bin=binaries)) for _ in range(2)]
            local = local_aws.started(program=(EMULATOR,), settings=fleet.SETTINGS)
            aws = stack.enter_context(local)
        demo = Demo(aws, servers)
        stack.callback(demo.status.stop)
        for step in (demo.prepare, demo.audit, demo.plan, demo.apply, demo.resume, demo.sweep):
            step()
        demo.page()
        if keep:
            demo.leave_running(servers)
            return
    expect(local_aws.remains(aws, *servers), [])
    seconds = time.monotonic() - started
    console.print(
        f"\n[bold green]It worked, and nothing of it is left here but the page[/] ({seconds:.0f} s)."
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", action="store_true", help="leave it running at the end")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        run(arguments.keep)
    except (local_aws.Failure, postgres.Failure, prerequisites.Missing) as failure:
        console.print(Text(f"\nfleet: {failure}", "red"), soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("\n[yellow]fleet: stopped; nothing of it is left here")
        sys.exit(130)


if __name__ == "__main__":
    main()
