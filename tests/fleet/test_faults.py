"""Runs among faults: the counts add up, statuses agree with the catalogs, and nothing runs on."""

import collections
import contextlib
import glob
import itertools
import json
import os
import re
import signal
import subprocess
import threading

import faults
import pytest
from faults import fails, snapshot_is

SIZE = 8  # databases of a wave: pages of 1, 2, 4 and 1
NUMBERS = itertools.count()
CREATE = {"PluginsMap": {"hstore": "1.8"}}


class Wave:
    """Databases of a test's own, and runs over them."""

    def __init__(self, fleet, name, size):
        self.fleet = fleet
        self.name = name
        self.databases = [f"{name}{number}" for number in range(size)]

    def run(self, mode="Apply", properties=CREATE, **given):
        """Run, and check what must hold however a run ends; returns the id and the execution."""
        given = {"Snapshot": "Never", "Properties": {**properties, "SslMode": "require"}, **given}
        run, ended = self.fleet.run(Mode=mode, Waves=[self.name], **given)
        items = {one["Item"]: one for one in self.fleet.table(run)}
        item = items.pop("run")
        counts = collections.Counter({name: int(count) for name, count in item["Counts"].items()})
        assert +counts == collections.Counter(one["Status"] for one in items.values())
        assert sum(counts.values()) == len(self.databases)
        assert item["Status"] == ended["status"]
        assert self.fleet.status(run)["Status"] == ended["status"]
        assert self.running(ended["executionArn"]) == []
        installed = self.installed()
        for name, one in self.fleet.databases(run).items():
            if one["Status"] in ("CHANGED", "IN_SYNC"):
                assert installed[name], f"{name} is {one['Status']}"
        return run, ended

    def running(self, execution):
        """What is left RUNNING: executions of the stack, children of the run's execution."""
        states = self.fleet.states
        machines = states.list_state_machines()["stateMachines"]
        which = [{"stateMachineArn": one["stateMachineArn"]} for one in machines]
        maps = states.list_map_runs(executionArn=execution)["mapRuns"]
        which += [{"mapRunArn": one["mapRunArn"]} for one in maps]
        found = [states.list_executions(statusFilter="RUNNING", **one) for one in which]
        return [one["executionArn"] for page in found for one in page["executions"]]

    def statuses(self, run):
        return {name: one["Status"] for name, one in self.fleet.databases(run).items()}

    def installed(self):
        """Of each database the version of hstore, or ''."""
        query = "SELECT extversion FROM pg_extension WHERE extname = 'hstore'"
        return {name: self.fleet.psql(name, query) for name in self.databases}

    def install(self, version):
        """hstore in this version in each database."""
        anew = f"DROP EXTENSION IF EXISTS hstore; CREATE EXTENSION hstore VERSION '{version}'"
        for name in self.databases:
            self.fleet.psql(name, f"SET client_min_messages = error; {anew}")


@pytest.fixture
def wave(stack):
    """A wave of databases on the server, none of them with hstore."""
    yield from made(stack, f"fault{next(NUMBERS)}x")


@pytest.fixture(scope="module")
def planned(stack):
    """Another one, of tests that change nothing in its databases."""
    yield from made(stack, "planned")


def made(stack, name, size=SIZE, **secret):
    wave = Wave(stack, name, size)
    stack.add(wave.databases, wave.name, **secret)
    yield wave
    stack.forget(*wave.databases)


def everything_changed(wave, run, ended):
    assert ended["status"] == "SUCCEEDED", ended["cause"]
    assert set(wave.statuses(run).values()) <= {"CHANGED", "IN_SYNC"}
    assert set(wave.installed().values()) == {"1.8"}


def is_change(call):
    """Whether an invocation is to change a database, and not to plan or to inspect."""
    request = call.parameters
    return request["RequestType"] == "Create" and "DryRun" not in request["ResourceProperties"]


def database_of(call):
    """The database of an invocation, whose secret has its name."""
    return re.search(r"fleet/(\w+)", call.parameters["ResourceProperties"]["DBSecret"]).group(1)


@contextlib.contextmanager
def locked(server, database):
    """While it lasts, no extension can be created in the database."""
    session = subprocess.Popen(
        [os.path.join(server.bin, "psql"), "-XAtq", "-d", database],
        env={"PATH": os.environ["PATH"], **server.libpq()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    session.stdin.write("BEGIN; LOCK pg_extension IN EXCLUSIVE MODE; SELECT 'locked';\n")
    session.stdin.flush()
    assert session.stdout.readline() == "locked\n"
    try:
        yield
    finally:
        session.communicate()


def process_connected_from(port):
    """The process that has a TCP connection from this local port."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            rows = [line.split() for line in lines][1:]
        sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}")}
        for link in glob.glob("/proc/[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                if os.readlink(link) in sockets:
                    return int(link.split("/")[2])
    raise LookupError(f"no process has a connection from port {port}")


def test_the_function_is_killed_in_the_middle_of_a_change(wave, services, server):
    killed = []

    def kill(call):
        database = database_of(call)
        query = (
            "SELECT client_port FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND"
            f" datname = '{database}'"
        )
        answers = []
        with locked(server, database):
            invocation = threading.Thread(target=lambda: answers.append(call.forward()))
            invocation.start()
            port = wave.fleet.aws.wait_for(
                "the function waits for the lock", lambda: wave.fleet.psql("postgres", query)
            )
            killed.append(process_connected_from(int(port)))
            os.kill(killed[0], signal.SIGKILL)
            invocation.join()
        return answers[0]

    with services.faulty("Invoke", kill, times=1, when=is_change) as fault:
        run, ended = wave.run()
    assert fault.calls == 1 and len(killed) == 1
    everything_changed(wave, run, ended)


def test_postgresql_is_restarted_during_a_wave(wave, services, server):
    seen = itertools.count()

    def restart(call):
        # Those of the same page are under way.
        server.kill()
        server.restart(port=server.port)
        return call.forward()

    with services.faulty(
        "Invoke", restart, times=1, when=lambda call: is_change(call) and next(seen) == 4
    ) as fault:
        run, ended = wave.run()
    assert fault.calls == 1
    everything_changed(wave, run, ended)


def every(number):
    """A condition that holds for every so manieth call."""
    calls = itertools.count(1)
    return lambda call: next(calls) % number == 0


@pytest.mark.parametrize(
    "action, code",
    [
        ("ListSecrets", "ThrottlingException"),
        ("PutItem", "ThrottlingException"),
        ("UpdateItem", "ProvisionedThroughputExceededException"),
        ("Query", "ProvisionedThroughputExceededException"),
        ("GetItem", "InternalServerError"),
        ("TransactWriteItems", "ThrottlingException"),
        ("Invoke", "TooManyRequestsException"),
    ],
)
def test_a_service_that_throttles_for_a_while_costs_time_alone(planned, services, action, code):
    with services.faulty(action, fails(code), times=3) as fault:
        run, ended = planned.run("Plan")
    assert fault.calls == 3
    assert ended["status"] == "SUCCEEDED", ended["cause"]
    assert set(planned.statuses(run).values()) == {"DRIFTED"}


def test_writes_that_collide_are_counted_once(planned, services):
    conflict = fails("TransactionCanceledException")
    with services.faulty("TransactWriteItems", conflict, when=every(2)) as fault:
        run, ended = planned.run("Plan")
    assert fault.calls >= SIZE
    assert ended["status"] == "SUCCEEDED", ended["cause"]
    assert set(planned.statuses(run).values()) == {"DRIFTED"}


@pytest.mark.parametrize(
    "action, number, times",
    [("PutItem", 1, 1), ("UpdateItem", 1, 1), ("TransactWriteItems", 2, -1)],
)
def test_a_write_whose_response_is_lost_is_made_once(planned, services, action, number, times):
    def lose(call):
        response = call.forward()
        return fails("InternalServerError")(call) if response.status == 200 else response

    with services.faulty(action, lose, times, every(number)) as fault:
        run, ended = planned.run("Plan")
    assert fault.calls
    assert ended["status"] == "SUCCEEDED", ended["cause"]
    assert set(planned.statuses(run).values()) == {"DRIFTED"}


def records(database):
    """The condition that a transaction writes the outcome of this database."""

    def holds(call):
        items = call.parameters["TransactItems"]
        keys = [item["Put"]["Item"]["Item"]["S"] for item in items if "Put" in item]
        outcome = [key for key in keys if key.endswith(f"/{database}")]
        return bool(outcome) and len(items) == 2

    return holds


def test_an_outcome_that_cannot_be_recorded_fails_the_run_and_no_other_database(planned, services):
    lost = planned.databases[3]
    with services.faulty(
        "TransactWriteItems", fails("ThrottlingException"), when=records(lost)
    ) as fault:
        run, ended = planned.run("Plan")
    assert fault.calls
    assert ended["status"] == "FAILED"
    assert "1 without a recorded outcome" in ended["cause"]
    statuses = planned.statuses(run)
    assert statuses.pop(lost) == "PENDING"
    assert set(statuses.values()) == {"DRIFTED"}
    _, ended = planned.run("Plan")
    assert ended["status"] == "SUCCEEDED", ended["cause"]


KILLED = "RequestId: 2d6e Error: Runtime exited with error: signal: killed"
TIMED_OUT = "2d6e Task timed out after 900.00 seconds"


@pytest.mark.parametrize(
    "fault, reason",
    [
        (faults.ends("Runtime.ExitError", KILLED), KILLED),
        (faults.ends("Sandbox.Timedout", TIMED_OUT), TIMED_OUT),
        (faults.ends("Unknown", "{oops}"), "{oops}"),
        (fails("TooManyRequestsException"), "Rate Exceeded."),
        (lambda call: faults.Response(200, {}, b"null"), "Payload"),
    ],
)
def test_a_function_that_never_answers_for_a_database_fails_this_one(
    planned, services, fault, reason
):
    lost = planned.databases[3]
    with services.faulty("Invoke", fault, when=lambda call: database_of(call) == lost):
        run, ended = planned.run("Plan", MaxFailures=1)
    assert ended["status"] == "FAILED" and lost in ended["cause"]
    databases = planned.fleet.databases(run)
    assert reason in databases.pop(lost)["Reason"]
    assert {one["Status"] for one in databases.values()} == {"DRIFTED"}


def results(call, change):
    """The response of an invocation, changed by `change(result)`."""
    response = call.forward()
    result = json.loads(response.body)
    change(result)
    return faults.Response(response.status, response.headers, json.dumps(result).encode())


def test_what_a_long_result_leaves_out_is_no_sign_that_nothing_is_to_do(planned, services):
    def shorten(result):
        result["LeftOut"] = "`Plan`: the result would have more than 200 kB"
        del result["Plan"]

    with services.faulty("Invoke", lambda call: results(call, shorten)):
        run, _ = planned.run("Plan")
    for one in planned.fleet.databases(run).values():
        assert (one["Status"], one["Action"]) == ("DRIFTED", "create, update, move or drop")

    def leave_databases_out(result):
        result["LeftOut"] = "databases"
        result["Databases"] = []
        result["Summary"]["Errors"] = 1

    with services.faulty("Invoke", lambda call: results(call, leave_databases_out)):
        run, ended = planned.run("Audit")
    assert ended["status"] == "FAILED"
    reasons = {(one["Status"], one["Reason"]) for one in planned.fleet.databases(run).values()}
    assert reasons == {("FAILED", "left out: databases")}


def test_a_run_that_cannot_go_on_says_so(planned, services):
    def reads_a_page(call):
        return call.parameters.get("IndexName") == "todo"

    with services.faulty("Query", fails("InternalServerError"), when=reads_a_page):
        run, ended = planned.run("Plan")
    assert ended["status"] == "FAILED"
    assert ended["error"] == "DynamoDb.InternalServerErrorException"
    status = planned.fleet.status(run)
    assert (status["Step"], status["Cause"]) == ("Planning", ended["cause"])
    assert set(planned.statuses(run).values()) == {"PENDING"}


def test_a_run_with_the_name_of_another_in_the_table_changes_nothing_there(planned):
    table = planned.fleet.outputs["TableName"]
    item = {"Run": {"S": "name-of-another"}, "Item": {"S": "run"}, "Execution": {"S": "of another"}}
    planned.fleet.dynamodb.put_item(TableName=table, Item=item)
    _, ended = planned.fleet.run(
        "name-of-another", Mode="Plan", Waves=[planned.name], Properties=CREATE
    )
    assert (ended["status"], ended["error"]) == ("FAILED", "RunExists")
    (left,) = planned.fleet.table("name-of-another")
    assert left["Execution"] == "of another"
    planned.fleet.dynamodb.delete_item(TableName=table, Key={k: item[k] for k in ("Run", "Item")})


def test_the_status_of_a_run_that_could_not_record_its_end_is_that_of_its_execution(
    planned, services
):
    def at_the_end(call):
        return ":cause" in call.parameters["ExpressionAttributeValues"]

    with services.faulty("UpdateItem", fails("InternalServerError"), when=at_the_end) as fault:
        run, ended = planned.fleet.run(Mode="Plan", Waves=[planned.name], Properties=CREATE)
    assert fault.calls and ended["status"] == "FAILED"
    assert planned.fleet.status(run)["Status"] == "FAILED"


# The restore point: no backups are made on their own, so that each run makes a snapshot.

RDS = {"Engine": "postgres", "MasterUsername": "postgres", "MasterUserPassword": "not-used-here"}


@pytest.fixture(scope="module")
def of_instance(stack):
    """A wave of databases of one instance."""
    stack.aws.client("rds").create_db_instance(
        DBInstanceIdentifier="single",
        DBInstanceClass="db.t4g.micro",
        AllocatedStorage=20,
        BackupRetentionPeriod=0,
        **RDS,
    )
    yield from made(stack, "single", 4, dbInstanceIdentifier="single")


@pytest.fixture(scope="module")
def of_cluster(stack):
    """A wave of databases of one cluster."""
    stack.aws.client("rds").create_db_cluster(
        DBClusterIdentifier="shared", **{**RDS, "Engine": "aurora-postgresql"}
    )
    yield from made(stack, "shared", 4, dbClusterIdentifier="shared")


def snapshots(wave, run):
    """The names of a run's snapshots, of instances and of clusters."""
    rds = wave.fleet.aws.client("rds")
    found = [
        (one["DBSnapshotIdentifier"], one["TagList"])
        for one in rds.describe_db_snapshots()["DBSnapshots"]
    ] + [
        (one["DBClusterSnapshotIdentifier"], one["TagList"])
        for one in rds.describe_db_cluster_snapshots()["DBClusterSnapshots"]
    ]
    return [name for name, tags in found if {"Key": "Run", "Value": run} in tags]


@pytest.mark.parametrize(
    "of, action, fault, times",
    [
        ("of_instance", "DescribeDBSnapshots", snapshot_is("creating"), 5),
        ("of_instance", "DescribeDBSnapshots", fails("Throttling"), 3),
        ("of_instance", "DescribeDBInstances", fails("Throttling"), 3),
        ("of_instance", "CreateDBSnapshot", fails("Throttling"), 2),
        ("of_instance", "CreateDBSnapshot", fails("InvalidDBInstanceState", "single"), 3),
        ("of_instance", "CreateDBSnapshot", fails("InternalFailure"), 3),
        # A right that was granted a moment ago.
        ("of_instance", "CreateDBSnapshot", fails("AccessDenied", "x"), 1),
        ("of_cluster", "CreateDBClusterSnapshot", fails("Throttling"), 3),
        ("of_cluster", "DescribeDBClusterSnapshots", snapshot_is("creating"), 5),
        ("of_cluster", "DescribeDBClusters", fails("Throttling"), 3),
        ("of_cluster", "CreateDBClusterSnapshot", fails("InvalidDBClusterStateFault", "shared"), 3),
    ],
)
def test_a_server_that_is_busy_for_a_while_is_snapshotted_once(
    request, services, of, action, fault, times
):
    wave = request.getfixturevalue(of)
    wave.install("1.4")
    with services.faulty(action, fault, times) as happened:
        run, ended = wave.run(Snapshot="Auto")
    assert happened.calls == times
    everything_changed(wave, run, ended)
    (made,) = snapshots(wave, run)
    assert {one["Snapshot"] for one in wave.fleet.databases(run).values()} == {made}


def test_a_run_that_is_stopped_while_a_snapshot_is_made_changes_nothing(of_instance, services):
    of_instance.install("1.4")
    fleet = of_instance.fleet
    with services.faulty("DescribeDBSnapshots", snapshot_is("creating")) as fault:
        properties = {**CREATE, "SslMode": "require"}
        run = fleet.start(Mode="Apply", Waves=[of_instance.name], Properties=properties)
        fleet.aws.wait_for("a snapshot is made", lambda: fault.calls > 1)
        fleet.call("StopStateMachineArn", {"Run": run})
    ended = fleet.wait(run)
    assert (ended["status"], ended["error"]) == ("FAILED", "Stopped")
    found = fleet.databases(run)
    (first,) = [one for one in found.values() if one["Status"] != "DRIFTED"]
    assert (first["Status"], first["Reason"]) == ("SKIPPED", "an operator stopped the run")
    assert first["Snapshot"] == snapshots(of_instance, run)[0]
    assert set(of_instance.installed().values()) == {"1.4"}


@pytest.mark.parametrize(
    "action, fault, reason",
    [
        ("DescribeDBSnapshots", snapshot_is("failed"), "is failed"),
        ("CreateDBSnapshot", fails("InvalidDBInstanceState", "single"), "available state"),
    ],
)
def test_no_database_is_changed_without_its_snapshot(of_instance, services, action, fault, reason):
    of_instance.install("1.4")
    with services.faulty(action, fault):
        run, ended = of_instance.run(Snapshot="Auto")
    assert ended["status"] == "FAILED" and reason in ended["cause"]
    statuses = of_instance.statuses(run)
    # The first page is one database.
    assert collections.Counter(statuses.values()) == {"FAILED": 1, "DRIFTED": 3}
    assert set(of_instance.installed().values()) == {"1.4"}


@pytest.mark.parametrize("of, action", [
    ("of_instance", "CreateDBSnapshot"),
    ("of_cluster", "CreateDBClusterSnapshot"),
])  # fmt: skip
@pytest.mark.parametrize("fault, reason", [
    (fails("SnapshotQuotaExceeded"), "100 manual snapshots"),
    (fails("AccessDenied", "x"), "is not authorized"),
    (fails("InvalidParameterValue"), "not a valid identifier"),
    (fails("KMSKeyNotAccessibleFault", "k"), "is not accessible"),
])  # fmt: skip
def test_a_refusal_that_will_not_pass_is_tried_twice(request, services, of, action, fault, reason):
    wave = request.getfixturevalue(of)
    wave.install("1.4")
    with services.faulty(action, fault) as happened:
        run, ended = wave.run(Snapshot="Auto")
    # The first page is one database.
    assert happened.calls == 2
    assert ended["status"] == "FAILED" and reason in ended["cause"]
    assert set(wave.installed().values()) == {"1.4"}
