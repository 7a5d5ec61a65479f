"""Restore points before a change, backups, and the sweep. RDS is emulated; the databases of its
servers are on the tests' own PostgreSQL."""

import datetime
import json

import faults
import pytest

PREFIX = "postgres-extensions"
# Server to its class of RDS, the days of its automated backups, and its tag `Retention`.
SERVERS = {
    "app": ("instance", 1, "30"),
    "plain": ("instance", 1, None),
    "restorable": ("instance", 14, "10"),
    "aurora": ("cluster", 1, "20"),
    "restorable-aurora": ("cluster", 35, None),
}
# Wave to the server and the databases of its secrets.
WAVES = {
    "app": ("app", ["app_a", "app_b", "app_c"]),
    "plain": ("plain", ["plain_a"]),
    "restorable": ("restorable", ["restorable_a"]),
    # The secret names an instance of the cluster, or the cluster.
    "aurora": ("aurora", ["aurora_a", "aurora_b"]),
    "restorable-aurora": ("restorable-aurora", ["restorable_aurora_a"]),
    "elsewhere": (None, ["elsewhere_a"]),
}


@pytest.fixture(scope="module")
def rds(aws):
    return Rds(aws.client("rds"))


@pytest.fixture(scope="module")
def fleet(stack, rds):
    for name, (kind, days, retention) in SERVERS.items():
        rds.create(name, kind, days, retention)
    for wave, (server, names) in WAVES.items():
        of = {}
        if server and SERVERS[server][0] == "instance":
            of = {"dbInstanceIdentifier": server}
        elif server:
            of = {"dbInstanceIdentifier": f"{server}-1"}
        stack.add(names[:1], wave, **of)
        if server and SERVERS[server][0] == "cluster":
            of = {"dbClusterIdentifier": server}
        stack.add(names[1:], wave, **of)
    yield stack
    stack.forget(*(name for _, names in WAVES.values() for name in names))


@pytest.fixture(autouse=True)
def no_snapshots(rds):
    rds.delete_snapshots()


@pytest.fixture
def apply(fleet):
    """Runs an Apply of hstore 1.8 over waves: databases with hstore 1.4, or without. Returns the
    run's id and its items."""

    def apply(*waves, run=None, hstore="1.4", fails=False, **given):
        for name in (name for wave in waves for name in WAVES[wave][1]):
            fleet.psql(name, "DROP EXTENSION IF EXISTS hstore")
            if hstore:
                fleet.psql(name, f"CREATE EXTENSION hstore VERSION '{hstore}'")
        properties = {"SslMode": "require", "PluginsMap": {"hstore": "1.8"}}
        run, execution = fleet.run(
            run, Mode="Apply", Waves=list(waves), Properties=properties, **given
        )
        assert execution["status"] == ("FAILED" if fails else "SUCCEEDED"), execution
        return run, fleet.databases(run)

    return apply


class Rds:
    """Servers and snapshots of the emulated RDS."""

    def __init__(self, client):
        self.client = client

    def create(self, name, kind, days=1, retention=None):
        tags = [{"Key": "Retention", "Value": retention}] if retention else []
        if kind == "cluster":
            self.client.create_db_cluster(
                DBClusterIdentifier=name,
                Engine="aurora-postgresql",
                BackupRetentionPeriod=days,
                MasterUsername="postgres",
                ManageMasterUserPassword=True,
                Tags=tags,
            )
            self.client.create_db_instance(
                DBInstanceIdentifier=f"{name}-1",
                DBInstanceClass="db.r7g.large",
                DBClusterIdentifier=name,
                Engine="aurora-postgresql",
            )
        else:
            self.client.create_db_instance(
                DBInstanceIdentifier=name,
                DBInstanceClass="db.t4g.micro",
                Engine="postgres",
                AllocatedStorage=20,
                BackupRetentionPeriod=days,
                MasterUsername="postgres",
                ManageMasterUserPassword=True,
                Tags=tags,
            )

    def delete(self, name, kind):
        if kind == "cluster":
            self.client.delete_db_instance(DBInstanceIdentifier=f"{name}-1", SkipFinalSnapshot=True)
            self.client.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
        else:
            self.client.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)

    def snapshot(self, name, server, kind="instance", **tags):
        tags = [{"Key": key, "Value": value} for key, value in tags.items()]
        if kind == "cluster":
            self.client.create_db_cluster_snapshot(
                DBClusterIdentifier=server, DBClusterSnapshotIdentifier=name, Tags=tags
            )
        else:
            self.client.create_db_snapshot(
                DBInstanceIdentifier=server, DBSnapshotIdentifier=name, Tags=tags
            )

    def snapshots(self):
        """Of each snapshot: its kind, its server and its tags, by its name."""
        found = {
            one["DBSnapshotIdentifier"]: ("instance", one["DBInstanceIdentifier"], one["TagList"])
            for one in self.client.describe_db_snapshots()["DBSnapshots"]
        }
        found |= {
            one["DBClusterSnapshotIdentifier"]: (
                "cluster", one["DBClusterIdentifier"], one["TagList"]
            )
            for one in self.client.describe_db_cluster_snapshots()["DBClusterSnapshots"]
        }  # fmt: skip
        return {
            name: (kind, server, {tag["Key"]: tag["Value"] for tag in tags})
            for name, (kind, server, tags) in found.items()
        }

    def delete_snapshots(self):
        for name, (kind, _, _) in self.snapshots().items():
            if kind == "cluster":
                self.client.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
            else:
                self.client.delete_db_snapshot(DBSnapshotIdentifier=name)


def dates(status, days):
    """The dates of a run's beginning and end, so many days later."""
    times = (status["StartedAt"], status["UpdatedAt"])
    found = {datetime.date.fromisoformat(time[:10]) for time in times}
    return {(date + datetime.timedelta(days)).isoformat() for date in found}


def test_each_server_has_one_snapshot_with_name_and_tags(apply, fleet, rds):
    run, items = apply("app", "plain", Snapshot="Always")
    status = fleet.status(run)
    names = {server: f"{PREFIX}-{run}-{server}" for server in ("app", "plain")}
    assert {name: items[name]["Snapshot"] for name in items} == {
        **dict.fromkeys(WAVES["app"][1], names["app"]),
        "plain_a": names["plain"],
    }
    found = rds.snapshots()
    assert set(found) == set(names.values())
    for server, days in (("app", 30), ("plain", 7)):
        kind, of, tags = found[names[server]]
        assert (kind, of) == ("instance", server)
        assert tags.pop("DeleteOn") in dates(status, days)
        assert tags == {"CreatedBy": fleet.stack, "Run": run}
    assert {item["Status"] for item in items.values()} == {"CHANGED"}


def test_an_instance_of_a_cluster_is_snapshotted_as_its_cluster(apply, fleet, rds):
    run, items = apply("aurora", Snapshot="Always")
    [(name, (kind, server, tags))] = rds.snapshots().items()
    assert (name, kind, server) == (f"{PREFIX}-{run}-aurora", "cluster", "aurora")
    assert tags["DeleteOn"] in dates(fleet.status(run), 20)
    assert {item["Snapshot"] for item in items.values()} == {name}


@pytest.mark.parametrize("wave", ["restorable", "restorable-aurora"])
def test_auto_makes_no_snapshot_where_a_point_in_time_serves(apply, fleet, rds, wave):
    run, items = apply(wave, Snapshot="Auto")
    [item] = items.values()
    assert rds.snapshots() == {}
    assert item["Status"] == "CHANGED"
    assert "Snapshot" not in item
    assert fleet.status(run)["StartedAt"] <= item["RestoreTo"] <= item["UpdatedAt"]


def test_auto_makes_a_snapshot_where_backups_reach_back_less_than_the_retention(apply, rds):
    run, items = apply("app", Snapshot="Auto")
    assert set(rds.snapshots()) == {f"{PREFIX}-{run}-app"}
    assert not any("RestoreTo" in item for item in items.values())


def test_the_days_of_the_input_go_before_the_tag_of_the_server(apply, fleet, rds):
    run, _ = apply("restorable", RetentionDays=15)
    [(_, _, tags)] = rds.snapshots().values()
    assert tags["DeleteOn"] in dates(fleet.status(run), 15)
    rds.delete_snapshots()
    apply("app", RetentionDays=1)
    assert rds.snapshots() == {}


def test_never_makes_no_restore_point(apply, rds):
    _, items = apply("app", "elsewhere", Snapshot="Never")
    assert rds.snapshots() == {}
    for item in items.values():
        assert item["Status"] == "CHANGED"
        assert not {"Snapshot", "RestoreTo"} & set(item)


def test_auto_makes_no_restore_point_before_a_mere_create(apply, rds):
    _, items = apply("app", "elsewhere", hstore=None)
    assert rds.snapshots() == {}
    for item in items.values():
        assert (item["Status"], item["Action"]) == ("CHANGED", "create")
        assert not {"Snapshot", "RestoreTo"} & set(item)


def test_always_makes_no_snapshot_where_nothing_is_to_be_changed(apply, rds):
    _, items = apply("app", "elsewhere", hstore="1.8", Snapshot="Always")
    assert rds.snapshots() == {}
    assert {item["Status"] for item in items.values()} == {"IN_SYNC"}


def test_a_server_that_rds_does_not_know_is_not_changed(apply, fleet):
    _, items = apply("elsewhere", fails=True)
    [item] = items.values()
    assert item["Status"] == "FAILED"
    assert "Snapshot: Never" in item["Reason"]
    assert fleet.deployment.extensions("elsewhere_a") == {"elsewhere_a": {"hstore": "1.4"}}


def test_a_snapshot_of_somebody_else_is_no_restore_point(apply, fleet, rds):
    rds.snapshot(f"{PREFIX}-taken-plain", "plain")
    _, items = apply("plain", run="taken", fails=True)
    assert items["plain_a"]["Status"] == "FAILED"
    assert f"`{PREFIX}-taken-plain`" in items["plain_a"]["Reason"]
    assert fleet.deployment.extensions("plain_a") == {"plain_a": {"hstore": "1.4"}}


# A name of a cluster's snapshot has 54 characters before the hash; the last one here is a hyphen.
CUT = "z" * (52 - len(PREFIX)) + "-" + "z" * 20


@pytest.mark.parametrize("wave, run, expected", [
    pytest.param("plain", "Night_2026==7.", f"{PREFIX}-night-2026-7-plain", id="characters"),
    pytest.param("plain", "x" * 80, f"{PREFIX}-{'x' * 80}-plain", id="length, instance"),
    pytest.param("aurora", "y" * 80, f"{PREFIX}-{'y' * 34}-", id="length, cluster"),
    pytest.param("aurora", CUT, f"{PREFIX}-{CUT[:-21]}-", id="hyphen at the cut"),
])  # fmt: skip
def test_the_name_of_a_snapshot_is_one_that_rds_takes(apply, rds, wave, run, expected):
    apply(wave, run=run, Snapshot="Always")
    [(name, (kind, _, _))] = rds.snapshots().items()
    assert name.startswith(expected)
    assert len(name) <= (63 if kind == "cluster" else 255)
    assert "--" not in name


def test_a_backup_snapshots_each_server_once_and_changes_nothing(fleet, rds):
    before = fleet.deployment.extensions(*(name for _, names in WAVES.values() for name in names))
    waves = [wave for wave in WAVES if wave != "elsewhere"]
    run, execution = fleet.run(Mode="Backup", Waves=waves, Properties={"SslMode": "require"})
    assert execution["status"] == "SUCCEEDED", execution
    assert set(rds.snapshots()) == {f"{PREFIX}-{run}-{server}" for server in SERVERS}
    items = fleet.databases(run)
    assert {item["Status"] for item in items.values()} == {"BACKED_UP"}
    assert all(item["Snapshot"].startswith(f"{PREFIX}-{run}-") for item in items.values())
    assert fleet.deployment.extensions(*before) == before


# The sweep

PAST, FUTURE = "2020-02-29", "2999-12-31"
# Of the sweep, whose day is that of UTC.
TODAY = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
OURS = {"CreatedBy": "fleet", "Run": "run"}
# Name of a snapshot: (server, kind, tags, a part of why it is kept; None: it is deleted).
SWEPT = {
    f"{PREFIX}-due-1": ("app", "instance", {**OURS, "DeleteOn": PAST}, None),
    f"{PREFIX}-due-2": ("app", "instance", {**OURS, "DeleteOn": PAST}, None),
    f"{PREFIX}-today": ("plain", "instance", {**OURS, "DeleteOn": TODAY}, None),
    f"{PREFIX}-cluster": ("aurora", "cluster", {**OURS, "DeleteOn": PAST}, None),
    f"{PREFIX}-later": ("app", "instance", {**OURS, "DeleteOn": FUTURE}, FUTURE),
    f"{PREFIX}-foreign": ("app", "instance", {"DeleteOn": PAST}, "CreatedBy"),
    f"{PREFIX}-of-another": (
        "app", "instance", {"CreatedBy": "other", "DeleteOn": PAST}, "CreatedBy"
    ),
    "before-the-migration": ("app", "instance", {**OURS, "DeleteOn": PAST}, "its name"),
    f"{PREFIX}ish": ("app", "instance", {**OURS, "DeleteOn": PAST}, "its name"),
    f"{PREFIX}-for-good": ("app", "instance", OURS, "DeleteOn"),
    f"{PREFIX}-never": ("app", "instance", {**OURS, "DeleteOn": "never"}, "DeleteOn"),
    f"{PREFIX}-last": ("gone", "instance", {**OURS, "DeleteOn": PAST}, "its server is gone"),
    f"{PREFIX}-last-cluster": (
        "gone-aurora", "cluster", {**OURS, "DeleteOn": PAST}, "its server is gone"
    ),
    f"{PREFIX}-namesake": ("again", "instance", {**OURS, "DeleteOn": PAST}, "its server is gone"),
}  # fmt: skip
AUTOMATED = {f"{PREFIX}-automated": ("app", "instance", {**OURS, "DeleteOn": PAST})}
UNRELATED = {"mine": ("app", "instance", {})}
DELETED = {name for name, (*_, why) in SWEPT.items() if why is None}


@pytest.fixture
def swept(fleet, rds):
    """The snapshots of SWEPT, AUTOMATED and UNRELATED."""
    for name, kind in (("gone", "instance"), ("gone-aurora", "cluster"), ("again", "instance")):
        rds.create(name, kind)
    for name, (server, kind, tags, *_) in (SWEPT | AUTOMATED | UNRELATED).items():
        rds.snapshot(name, server, kind, **tags)
    for name, kind in (("gone", "instance"), ("gone-aurora", "cluster"), ("again", "instance")):
        rds.delete(name, kind)
    rds.create("again", "instance")
    yield set(rds.snapshots())
    rds.delete("again", "instance")


@pytest.fixture
def sweep(fleet, services):
    """Runs the sweep, over an RDS that has automated snapshots and pages of so many; returns the
    execution."""

    def sweep(size=100, **given):
        pages = faults.in_pages(size, AUTOMATED)
        with (
            services.faulty("DescribeDBSnapshots", pages),
            services.faulty("DescribeDBClusterSnapshots", pages),
        ):
            return run_sweep(fleet, **given)

    return sweep


def run_sweep(fleet, **given):
    """Runs the sweep and returns the execution."""
    execution = fleet.states.start_execution(
        stateMachineArn=fleet.outputs["SweepStateMachineArn"], input=json.dumps(given)
    )["executionArn"]

    def ended():
        found = fleet.states.describe_execution(executionArn=execution)
        return found["status"] != "RUNNING" and found

    return fleet.aws.wait_for("the sweep ends", ended)


def check(execution):
    """That a sweep said of each snapshot of SWEPT what is to become of it."""
    assert execution["status"] == "SUCCEEDED", execution
    output = json.loads(execution["output"])
    assert sorted(output["Deleted"]) == sorted(DELETED)
    kept = {one["Snapshot"]: one["Why"] for one in output["Kept"]}
    assert set(kept) == set(SWEPT) - DELETED
    for name, why in kept.items():
        assert SWEPT[name][-1] in why, name
    assert output["Counts"] == {"Deleted": len(DELETED), "Kept": len(kept), "Left": 0}


def test_the_sweep_deletes_what_is_ours_and_due(swept, sweep, rds):
    check(sweep())
    assert set(rds.snapshots()) == swept - DELETED


def test_a_dry_run_of_the_sweep_deletes_nothing(swept, sweep, rds):
    check(sweep(DryRun=True))
    assert set(rds.snapshots()) == swept


def test_the_sweep_reads_every_page(swept, sweep, rds, services):
    before = len(services.calls)
    check(sweep(size=3))
    pages = [
        call for call in services.calls[before:] if call.action == "DescribeDBSnapshots"
    ]
    assert len(pages) == 5
    assert set(rds.snapshots()) == swept - DELETED


def test_a_second_sweep_finds_nothing_more(swept, sweep, rds):
    sweep()
    output = json.loads(sweep()["output"])
    assert output["Deleted"] == []
    assert set(rds.snapshots()) == swept - DELETED


@pytest.mark.parametrize("kind, action, code, why", [
    ("instance", "DescribeDBInstances", "Throttling",
     "its server cannot be described: Rds.RdsException: Rate exceeded"),
    ("cluster", "DescribeDBClusters", "Throttling",
     "its server cannot be described: Rds.RdsException: Rate exceeded"),
    ("instance", "DeleteDBSnapshot", "InvalidDBSnapshotState",
     "it cannot be deleted: Rds.InvalidDbSnapshotStateException: The snapshot is not currently in"),
    ("cluster", "DeleteDBClusterSnapshot", "InvalidDBClusterSnapshotStateFault",
     "it cannot be deleted: Rds.InvalidDbClusterSnapshotStateException: The snapshot is not in"),
])  # fmt: skip
def test_the_sweep_fails_with_what_rds_does_not_describe_or_delete(
    swept, sweep, rds, services, kind, action, code, why
):
    with services.faulty(action, faults.fails(code)):
        execution = sweep()
    assert (execution["status"], execution["error"]) == ("FAILED", "SnapshotsNotDeleted")
    left = {name for name in DELETED if SWEPT[name][1] == kind}
    if action.startswith("Describe"):
        # The sweep does not come to know which server is gone.
        gone = {name for name, (*_, why) in SWEPT.items() if why and "is gone" in why}
        left |= {name for name in gone if SWEPT[name][1] == kind}
    counts, reasons = execution["cause"].split(". The first reasons: ")
    deleted = DELETED - left
    assert counts == f"{len(left)} snapshots are due and were not deleted, {len(deleted)} were"
    reasons = dict(reason.split(": ", 1) for reason in reasons.split("; "))
    assert set(reasons) == left
    assert all(reason.startswith(why) for reason in reasons.values()), reasons
    assert set(rds.snapshots()) == swept - deleted


@pytest.mark.parametrize("action, code", [
    ("DeleteDBSnapshot", "DBSnapshotNotFound"),
    ("DeleteDBClusterSnapshot", "DBClusterSnapshotNotFoundFault"),
])  # fmt: skip
def test_a_snapshot_that_is_gone_already_is_no_failure(swept, sweep, services, action, code):
    with services.faulty(action, faults.fails(code)):
        check(sweep())


def test_a_sweep_of_many_snapshots_stays_below_the_quotas_of_a_state(fleet, rds, services):
    """Names are as long as RDS has them."""
    page, due, later = 25, 320, 900
    [server] = rds.client.describe_db_instances(DBInstanceIdentifier="app")["DBInstances"]
    names = [f"{PREFIX}-{number:04}-".ljust(255, "x") for number in range(due + later)]

    def snapshots(call):
        start = int(call.parameters.get("Marker", 0))
        found = "".join(
            f"<DBSnapshot><DBSnapshotIdentifier>{name}</DBSnapshotIdentifier>"
            f"<DBInstanceIdentifier>app</DBInstanceIdentifier><SnapshotType>manual</SnapshotType>"
            f"<DbiResourceId>{server['DbiResourceId']}</DbiResourceId><TagList>"
            f"<Tag><Key>CreatedBy</Key><Value>{fleet.stack}</Value></Tag><Tag><Key>DeleteOn</Key>"
            f"<Value>{PAST if number < due else FUTURE}</Value></Tag></TagList></DBSnapshot>"
            for number, name in enumerate(names[start : start + page], start)
        )
        marker = f"<Marker>{start + page}</Marker>" if start + page < len(names) else ""
        return faults.of_rds(call, f"{marker}<DBSnapshots>{found}</DBSnapshots>")

    deleted = []

    def delete(call):
        deleted.append(call.parameters["DBSnapshotIdentifier"])
        return faults.of_rds(call, "")

    with (
        services.faulty("DescribeDBSnapshots", snapshots),
        services.faulty("DeleteDBSnapshot", delete),
    ):
        execution = run_sweep(fleet)
    assert execution["status"] == "SUCCEEDED", execution
    output = json.loads(execution["output"])
    assert output["Counts"] == {"Deleted": 300, "Kept": later, "Left": due - 300}
    assert sorted(output["Deleted"]) == sorted(deleted) == names[:300]
    assert [one["Snapshot"] for one in output["Kept"]] == names[due : due + 200]
    sizes = {
        f"{what} of {line['state']}": line[what]
        for line in faults.recorded(fleet.aws, "states")
        if line["execution"] == execution["executionArn"]
        for what in {"arguments", "result", "input", "output", "variables"} & set(line)
    }
    assert {name: size for name, size in sizes.items() if size >= 256 << 10} == {}


@pytest.mark.parametrize("given", [{"Dryrun": True}, {"DryRun": "true"}, {"DryRun": 1}])
def test_a_sweep_with_an_invalid_input_deletes_nothing(swept, sweep, rds, given):
    execution = sweep(**given)
    assert (execution["status"], execution["error"]) == ("FAILED", "InvalidInput")
    assert set(rds.snapshots()) == swept
