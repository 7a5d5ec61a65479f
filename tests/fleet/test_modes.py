"""60 databases of one server in three waves: what runs say, beside the catalogs and the table.

The tests go on from each other's state: they are one story, in this order."""

import collections
import contextlib
import json
import os
import subprocess

import pytest

DATABASES = {wave: sorted(f"{wave}{number}" for number in range(20)) for wave in ("a", "b", "c")}
NAMES = [name for names in DATABASES.values() for name in names]
SERVER = "modes"

# An event trigger that leaves the two plans of a run alone, and meets the change.
GATE = """
CREATE SEQUENCE public.calls;
CREATE FUNCTION public.gate() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('public.calls') > 2 THEN {}; END IF;
END $$;
CREATE EVENT TRIGGER gate ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION', 'ALTER EXTENSION')
    EXECUTE FUNCTION public.gate();
"""
OPEN = "DROP EVENT TRIGGER gate; DROP FUNCTION public.gate; DROP SEQUENCE public.calls;"
FAIL = GATE.format("RAISE EXCEPTION 'the gate is shut'")
FAIL_AT_LENGTH = GATE.format("RAISE EXCEPTION '%', repeat('the gate is shut, ', 100)")
WAIT = GATE.format("PERFORM pg_advisory_xact_lock(7)")


@pytest.fixture(scope="module")
def fleet(stack):
    stack.aws.client("rds").create_db_instance(
        DBInstanceIdentifier=SERVER,
        Engine="postgres",
        DBInstanceClass="db.t3.micro",
        AllocatedStorage=20,
        MasterUsername="postgres",
        MasterUserPassword="not-that-of-the-tests",
        BackupRetentionPeriod=10,
    )
    for wave, names in DATABASES.items():
        stack.add(names, wave, dbInstanceIdentifier=SERVER)
    yield stack
    stack.forget(*NAMES)


def properties(**plugins_map):
    """Of a run. RDS needs no SslMode: the test server's certificate has an authority of its own."""
    return {"SslMode": "require", "PluginsMap": plugins_map}


def outcome(fleet, run):
    """Of each database its status, which the status workflow, the table and the counts agree on."""
    status, items = fleet.status(run), fleet.databases(run)
    found = {one["Database"].removeprefix("fleet/"): one["Status"] for one in status["Databases"]}
    assert found == {name: one["Status"] for name, one in items.items()}
    counts = collections.Counter(found.values())
    assert counts == {name: count for name, count in status["Counts"].items() if count}
    assert {one["Wave"] + "/" + name for name, one in items.items()} == {
        f"{wave}/{name}" for wave, names in DATABASES.items() for name in names if name in items
    }
    return found


def extensions(fleet):
    return fleet.deployment.extensions(*NAMES)


def has(fleet, name, version=None):
    """The databases that have an extension."""
    found = extensions(fleet)
    return {one for one in NAMES if name in found[one] and version in (None, found[one][name])}


@contextlib.contextmanager
def held(fleet, database):
    """Holds the lock that WAIT waits for."""
    server = fleet.deployment.server
    session = subprocess.Popen(
        [os.path.join(server.bin, "psql"), "-XAtq", "-d", database],
        env={"PATH": os.environ["PATH"], **server.libpq()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        session.stdin.write("SELECT pg_advisory_lock(7);\n\\echo held\n")
        session.stdin.flush()
        while session.stdout.readline() != "held\n":
            assert session.poll() is None
        yield
    finally:
        session.communicate()


def is_waiting(fleet, database):
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted"
    return fleet.psql(database, waiting) == "1"


# Input


@pytest.mark.parametrize(
    "given, key",
    [
        ({"Mode": "apply"}, "Mode"),
        ({"Wave": ["a"]}, "Wave"),
        ({"Properties": []}, "Properties"),
        ({"Properties": {"DBSecret": "fleet/a0"}}, "DBSecret"),
        ({"Properties": {"DryRun": False}}, "DryRun"),
        ({"Mode": "Apply"}, "PluginsMap"),
        ({"Waves": "a"}, "Waves"),
        ({"Waves": ["a", 1]}, "Waves"),
        ({"MaxFailures": -1}, "MaxFailures"),
        ({"MaxFailures": "1"}, "MaxFailures"),
        ({"MaxConcurrency": 0}, "MaxConcurrency"),
        ({"MaxConcurrency": 1.5}, "MaxConcurrency"),
        ({"MaxConcurrency": 101}, "MaxConcurrency"),
        ({"Snapshot": "Sometimes"}, "Snapshot"),
        ({"RetentionDays": 0}, "RetentionDays"),
        ({"RetentionDays": None}, "RetentionDays"),
    ],
)
def test_an_invalid_input_is_refused_before_anything_is_written(stack, given, key):
    run, execution = stack.run(**given)
    assert (execution["status"], execution["error"]) == ("FAILED", "InvalidInput")
    assert key in execution["cause"]
    assert stack.table(run) == []


def test_all_mistakes_of_an_input_are_told_at_once(stack):
    _, execution = stack.run(Mode="Fix", Snapshot="No", Wave="a", MaxFailure=1)
    assert execution["cause"] == (
        "unknown key Wave, MaxFailure: there are Mode, Properties, Waves, MaxFailures, "
        "MaxConcurrency, Snapshot, RetentionDays; Mode must be Audit, Plan, Apply or Backup; "
        "Snapshot must be Auto, Always or Never"
    )


def test_an_audit_of_an_empty_fleet_is_no_failure(stack):
    run, execution = stack.run(Waves=[])
    assert execution["status"] == "SUCCEEDED", execution
    assert set(json.loads(execution["output"])["Counts"].values()) == {0}
    status = stack.status(run)
    assert (status["Status"], status["Step"], status["Databases"]) == ("SUCCEEDED", "Done", [])
    assert "no secret has the tag PostgresExtensions" in status["Cause"]


@pytest.mark.parametrize("mode", ["Plan", "Apply", "Backup"])
def test_another_run_over_an_empty_fleet_fails(stack, mode):
    run, execution = stack.run(Mode=mode, Properties=properties(hstore="1.4"), Waves=[])
    assert (execution["status"], execution["error"]) == ("FAILED", "NoDatabases")
    cause = "Waves has no wave: name one, or leave Waves out"
    status = stack.status(run)
    assert (status["Status"], status["Cause"], status["Databases"]) == ("FAILED", cause, [])


def test_a_wave_that_no_database_has_fails_the_run(fleet):
    given = {"Properties": properties(hstore="1.4"), "Waves": ["a", "bb", "C"]}
    run, execution = fleet.run(Mode="Apply", **given)
    assert (execution["status"], execution["error"]) == ("FAILED", "InvalidInput")
    cause = "no secret has the tag PostgresExtensions with the value `bb`, `C`: correct Waves"
    assert execution["cause"] == cause
    status = fleet.status(run)
    assert (status["Status"], status["Step"], status["Cause"]) == ("FAILED", "Choosing", cause)
    assert set(outcome(fleet, run).values()) == {"PENDING"}


# The modes


def test_an_audit_compares_and_changes_nothing(fleet):
    run, execution = fleet.run(Properties=properties(hstore="1.4"))
    assert execution["status"] == "SUCCEEDED", execution
    assert outcome(fleet, run) == dict.fromkeys(NAMES, "DRIFTED")
    status = fleet.status(run)
    assert (status["Mode"], status["Status"]) == ("Audit", "SUCCEEDED")
    assert [one["Database"] for one in status["Databases"]] == [f"fleet/{name}" for name in NAMES]
    assert {one["Action"] for one in status["Databases"]} == {"create"}
    assert {one["Before"].split(": ")[1] for one in status["Databases"]} == {"plpgsql 1.0"}
    assert has(fleet, "hstore") == set()


def test_a_plan_says_what_would_change_and_changes_nothing(fleet):
    run, execution = fleet.run(Mode="Plan", Properties=properties(hstore="1.4"))
    assert execution["status"] == "SUCCEEDED", execution
    assert outcome(fleet, run) == dict.fromkeys(NAMES, "DRIFTED")
    items = fleet.databases(run).values()
    assert {one["Changes"] for one in items} == {"created hstore 1.4"}
    assert {one["After"] for one in items} == {"hstore 1.4, plpgsql 1.0"}
    assert not any("Todo" in one for one in items)
    assert has(fleet, "hstore") == set()


def test_a_plan_that_works_nowhere_changes_nothing_anywhere(fleet):
    run, execution = fleet.run(Mode="Apply", Properties=properties(hstore="1.4", pgvector="any"))
    assert (execution["status"], execution["error"]) == ("FAILED", "DatabasesFailed")
    assert "pgvector" in execution["cause"]
    # After the first failure none is begun: those under way failed too.
    assert set(outcome(fleet, run).values()) <= {"FAILED", "SKIPPED"}
    assert extensions(fleet) == dict.fromkeys(NAMES, {})


def test_a_failure_ends_the_run_and_those_under_way_are_finished(fleet):
    # The third page of wave b is b11, b12, b13, b14.
    fleet.psql("b11", WAIT)
    fleet.psql("b12", FAIL)
    with held(fleet, "b11"):
        run = fleet.start("run-failing", Mode="Apply", Properties=properties(hstore="1.4"))
        fleet.aws.wait_for("b11 changes", lambda: is_waiting(fleet, "b11"))
        fleet.aws.wait_for(
            "b12 fails", lambda: fleet.databases(run)["b12"]["Status"] == "FAILED"
        )
    execution = fleet.wait(run)

    found = outcome(fleet, run)
    begun = [*DATABASES["a"], "b0", "b1", "b10", "b11"]
    assert [found[name] for name in begun] == ["CHANGED"] * len(begun)
    assert found["b12"] == "FAILED"
    assert {found["b13"], found["b14"]} <= {"CHANGED", "SKIPPED"}
    untouched = [*DATABASES["b"][7:], *DATABASES["c"]]
    assert [found[name] for name in untouched] == ["DRIFTED"] * len(untouched)
    assert has(fleet, "hstore", "1.4") == {name for name in NAMES if found[name] == "CHANGED"}
    assert (execution["status"], execution["error"]) == ("FAILED", "DatabasesFailed")
    assert f"CHANGED {list(found.values()).count('CHANGED')}, FAILED 1" in execution["cause"]
    assert "fleet/b12: " in execution["cause"] and "the gate is shut" in execution["cause"]
    status = fleet.status(run)
    assert (status["Status"], status["Cause"]) == ("FAILED", execution["cause"])
    [item] = [one for one in status["Databases"] if one["Database"] == "fleet/b12"]
    assert "the gate is shut" in item["Reason"]
    # A mere CREATE EXTENSION needs no restore point.
    assert not any("Snapshot" in one or "RestoreTo" in one for one in status["Databases"])


def test_pages_have_1_2_4_databases(fleet):
    maps = fleet.states.list_map_runs(executionArn=fleet.execution("run-failing")["executionArn"])
    sizes = [
        fleet.states.describe_map_run(mapRunArn=one["mapRunArn"])["itemCounts"]["total"]
        for one in maps["mapRuns"]
    ]
    assert sorted(sizes) == sorted([60, 1, 2, 4, 8, 5, 1, 2, 4])


def test_another_run_finishes(fleet):
    before = has(fleet, "hstore")
    for name in ("b11", "b12"):
        fleet.psql(name, OPEN)
    run, execution = fleet.run(Mode="Apply", Properties=properties(hstore="1.4"))
    assert execution["status"] == "SUCCEEDED", execution
    assert outcome(fleet, run) == {
        name: "IN_SYNC" if name in before else "CHANGED" for name in NAMES
    }
    assert has(fleet, "hstore", "1.4") == set(NAMES)


def test_an_operator_stops_a_run(fleet):
    fleet.psql("b0", WAIT)
    with held(fleet, "b0"):
        run = fleet.start(Mode="Apply", Properties=properties(hstore="1.8"))
        fleet.aws.wait_for("b0 changes", lambda: is_waiting(fleet, "b0"))
        assert fleet.status(run)["Step"] == "Wave b"
        assert fleet.call("StopStateMachineArn", {"Run": run})["Status"] == "RUNNING"
    execution = fleet.wait(run)
    fleet.psql("b0", OPEN)

    found = outcome(fleet, run)
    changed = [*DATABASES["a"], "b0"]
    assert found == {name: "CHANGED" if name in changed else "DRIFTED" for name in NAMES}
    assert has(fleet, "hstore", "1.8") == set(changed)
    assert (execution["status"], execution["error"]) == ("FAILED", "Stopped")
    assert execution["cause"] == "DRIFTED 39, CHANGED 21"
    assert fleet.status(run)["Status"] == "STOPPED"
    # Automated backups of RDS reach back far enough.
    items = fleet.databases(run)
    assert all("RestoreTo" in items[name] for name in changed)
    assert not any("Snapshot" in one for one in items.values())


def test_two_runs_at_once_change_each_database_once(fleet):
    before = has(fleet, "hstore", "1.8")
    given = {"Mode": "Apply", "Properties": properties(hstore="1.8"), "Snapshot": "Never"}
    runs = [fleet.start(**given), fleet.start(**given)]
    for run in runs:
        assert fleet.wait(run)["status"] == "SUCCEEDED"
    one, other = (outcome(fleet, run) for run in runs)
    assert set(one) == set(other) == set(NAMES)
    for name in NAMES:
        expected = ["IN_SYNC", "IN_SYNC"] if name in before else ["CHANGED", "IN_SYNC"]
        assert sorted([one[name], other[name]]) == expected, name
    assert has(fleet, "hstore", "1.8") == set(NAMES)


def test_waves_go_in_the_given_order_and_failures_up_to_the_maximum_are_endured(fleet):
    fleet.psql("c1", FAIL_AT_LENGTH)
    given = {"Properties": properties(citext="any"), "Waves": ["c", "a"], "MaxFailures": 1}
    run, execution = fleet.run(Mode="Apply", **given)
    fleet.psql("c1", OPEN)
    assert (execution["status"], execution["error"]) == ("FAILED", "DatabasesFailed")
    assert execution["cause"].startswith("CHANGED 39, FAILED 1; fleet/c1: ")
    items = fleet.databases(run)
    assert set(items) == {*DATABASES["a"], *DATABASES["c"]}
    # A text that is cut says so.
    _, reason = execution["cause"].split("; fleet/c1: ")
    whole = items["c1"]["Reason"]
    assert (len(reason), reason[-1], len(whole), whole[-1]) == (600, "…", 1000, "…")
    assert whole.startswith(reason[:-1]) and "the gate is shut" in reason
    ended = {wave: [items[name]["UpdatedAt"] for name in DATABASES[wave]] for wave in "ac"}
    assert max(ended["c"]) < min(ended["a"])
    assert has(fleet, "citext") == set(items) - {"c1"}


def test_a_backup_makes_one_snapshot_of_a_server(fleet, services):
    before = len(services.calls)
    # What is wanted does not matter.
    given = {**properties(hstore="9.9"), "RemovalPolicy": "DropCascade"}
    run, execution = fleet.run(Mode="Backup", Properties=given)
    assert execution["status"] == "SUCCEEDED", execution
    assert outcome(fleet, run) == dict.fromkeys(NAMES, "BACKED_UP")
    # An inspection without a map would end the alarm of an audit that had one.
    invoked = [one.parameters for one in services.calls[before:] if one.action == "Invoke"]
    assert {one["RequestType"] for one in invoked} == {"Create"}
    assert all(one["ResourceProperties"]["DryRun"] is True for one in invoked)
    rds = fleet.aws.client("rds")
    [snapshot] = rds.describe_db_snapshots(DBInstanceIdentifier=SERVER)["DBSnapshots"]
    assert {one["Snapshot"] for one in fleet.databases(run).values()} == {
        snapshot["DBSnapshotIdentifier"]
    }
    tags = {tag["Key"]: tag["Value"] for tag in snapshot["TagList"]}
    assert (tags["Run"], tags["CreatedBy"]) == (run, fleet.stack)


def test_an_audit_tells_what_is_in_sync_and_what_an_update_would_refuse(fleet):
    given = properties(hstore="1.8", citext="any")
    run, execution = fleet.run(Properties=given, Waves=["b", "c"])
    assert execution["status"] == "SUCCEEDED", execution
    found = outcome(fleet, run)
    assert {name for name in found if found[name] == "IN_SYNC"} == has(fleet, "citext") & set(found)
    run, execution = fleet.run(Properties=properties(hstore="9.9"), Waves=["c"])
    assert execution["status"] == "SUCCEEDED", execution
    assert set(outcome(fleet, run).values()) == {"DRIFTED"}
    assert "9.9" in fleet.databases(run)["c1"]["Reason"]


def test_one_database_has_a_history(fleet):
    found = fleet.dynamodb.query(
        TableName=fleet.outputs["TableName"],
        IndexName="database",
        KeyConditionExpression="#database = :database",
        ExpressionAttributeNames={"#database": "Database"},
        ExpressionAttributeValues={":database": {"S": "fleet/b12"}},
    )["Items"]
    statuses = [one["Status"]["S"] for one in found]
    order = [statuses.index(one) for one in ("FAILED", "CHANGED", "BACKED_UP")]
    assert order == sorted(order)
    assert all(int(one["ExpiresAt"]["N"]) > 0 for one in found)


def test_no_password_is_in_a_history_an_item_or_a_log(fleet):
    password = fleet.deployment.server.password
    executions = fleet.executions()
    assert len(executions) > 100
    texts = [json.dumps(fleet.history(one), default=str) for one in executions]
    texts += [json.dumps(fleet.table(), default=str)]
    texts += [fleet.aws.log_text(f"/aws/lambda/{fleet.deployment.function.rsplit(':', 1)[1]}")]
    assert "fleet/b12" in texts[-2] and texts[-1]
    assert not [text for text in texts if password in text]
