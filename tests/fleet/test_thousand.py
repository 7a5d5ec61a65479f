"""1,000 databases with a stand-in for the function: what a run costs in events, bytes and calls.

The function is behind the proxy, in this process: the state machines get results of the real shape.
The figures are those that docs/fleet.md reckons from: `pytest tests/fleet/test_thousand.py -s`."""

import collections
import concurrent.futures
import json
import re
import threading

import faults
import pytest
from deployment import Deployment
from fleet import SETTINGS, TAG, Fleet
from local_aws import ACCOUNT, REGION

COUNT = 1000
WAVES = ("1 canary", "2 most", "3 rest")
FAILING = 250  # a database in the second wave
NAME = "db{:04}".format
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:postgres-extensions"
MAX_EVENTS = 2500  # of 25,000 in the history of an execution
MAX_STATE = 64 << 10  # bytes of the 256 KiB that a state's input or output may have


class Function:
    """The stand-in: `hstore` is at 1.4 in every database until it is changed. It refuses to change
    the databases in `refused`."""

    def __init__(self):
        self.updated = collections.Counter()  # how often each database was changed
        self.refused = set()
        self.lock = threading.Lock()

    def respond(self, call):
        request = call.parameters
        properties = request["ResourceProperties"]
        name = re.search(r"fleet/(\w+)", properties["DBSecret"]).group(1)
        with self.lock:
            version = "1.8" if self.updated[name] else "1.4"
            changing = request["RequestType"] == "Create" and "DryRun" not in properties
            if changing and name in self.refused:
                return self._failed(name)
            if changing:
                self.updated[name] += version == "1.4"
        server = {"Host": "db.example.com", "Port": 5432, "DBInstanceIdentifier": "app"}
        if request["RequestType"] == "Inspect":
            return self._result({"Server": server, **self._inspected(name, version)})
        return self._result(self._response(name, version, server, properties))

    def _inspected(self, name, version):
        extension = {
            "Name": "hstore", "Installed": version, "Default": "1.8", "Schema": "public",
            "UpdateAvailable": version != "1.8", "Reachable": ["1.8", "1.7", "1.6", "1.5"],
            "Owner": "postgres", "CreatedBy": None, "Wanted": "1.8",
            "State": "as wanted" if version == "1.8" else "other version",
        }  # fmt: skip
        plan = self._plan(version)
        database = {"Database": name, "Drift": bool(plan), "Extensions": [extension]}
        summary = {"Databases": 1, "Errors": 0, "Extensions": 1, "Drift": len(plan)}
        summary["UpdatesAvailable"] = len(plan)
        return {"Databases": [{**database, "Plan": plan, "Problems": []}], "Summary": summary}

    def _plan(self, version):
        if version == "1.8":
            return []
        statement = "ALTER EXTENSION \"hstore\" UPDATE TO '1.8'"
        change = {"Action": "update", "Extension": "hstore", "From": version, "To": "1.8"}
        return [{"Statement": statement, **change}]

    def _response(self, name, version, server, properties):
        changes = "none" if version == "1.8" else "updated hstore 1.4 to 1.8"
        data = {
            "hstore": "1.8", "Changed": str(changes != "none").lower(), "Changes": changes,
            "Before": f"hstore {version}, plpgsql 1.0", "After": "hstore 1.8, plpgsql 1.0",
            "ServerVersion": "15.8",
        }  # fmt: skip
        response = {
            "Status": "SUCCESS", "Reason": f"{changes} (log stream x)", "NoEcho": False,
            "PhysicalResourceId": "direct-0123abcd", "StackId": "", "RequestId": "",
            "LogicalResourceId": "", "Data": data, "Server": server,
        }  # fmt: skip
        if "DryRun" in properties:
            response["Plan"] = {name: self._plan(version)}
        return response

    def _failed(self, name):
        reason = f"database `{name}`: role `app` may not update `hstore`: it is not its owner"
        document = json.dumps({"Status": "FAILED", "Reason": reason})
        error = {"errorType": "Failed", "errorMessage": document}
        return self._result(error, {"X-Amz-Function-Error": "Unhandled"})

    def _result(self, value, headers=None):
        headers = {"Content-Type": "application/json", **(headers or {})}
        return faults.Response(200, headers, json.dumps(value).encode())


@pytest.fixture(scope="module")
def function():
    return Function()


@pytest.fixture(scope="module")
def fleet(function):
    # The other services are called in the emulator's process, for speed.
    settings = {**SETTINGS, "FLEET_SERVICES": "lambda", "FLEET_RECORD_LIMIT": "20"}
    with faults.local_aws_between(**settings) as (aws, services):
        aws.client("s3").create_bucket(
            Bucket="code", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        # It can be restored to any time of a week: no run makes a snapshot.
        aws.client("rds").create_db_instance(
            DBInstanceIdentifier="app",
            DBInstanceClass="db.t4g.micro",
            Engine="postgres",
            AllocatedStorage=20,
            MasterUsername="postgres",
            MasterUserPassword="not-used-here",
            BackupRetentionPeriod=7,
        )
        fleet = Fleet(Deployment(aws, None, FUNCTION))
        outcome = fleet.deploy()
        assert outcome.status == "CREATE_COMPLETE", outcome.reasons

        def create(number):
            wave = WAVES[0 if number < 20 else 1 if number < 500 else 2]
            tags = [{"Key": TAG, "Value": wave}]
            fleet.secrets.create_secret(Name=f"fleet/{NAME(number)}", SecretString="{}", Tags=tags)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(create, range(COUNT)))
        with services.faulty("Invoke", function.respond):
            yield fleet


class Figures:
    """What the states that were left since the last time tell of a run: `events` of its history as
    AWS counts them, `transitions` of all its executions, `calls` of services, `bytes` of states."""

    def __init__(self, fleet, run, lines):
        execution = fleet.execution(run)["executionArn"]
        self.events = 4  # it is started, its last state is entered and left, it ends
        self.transitions = 1
        self.executions = {execution}
        self.calls = collections.Counter()
        self.bytes = collections.Counter()
        for line in lines:
            for what in {"arguments", "result", "input", "output", "variables"} & set(line):
                name = f"{what} of {line['state']}"
                self.bytes[name] = max(self.bytes[name], line[what])
            if "resource" in line:
                self.calls[line["resource"].split(":::")[1].removeprefix("aws-sdk:")] += 1
                continue
            self.transitions += line["attempts"]
            self.executions.add(line["execution"])
            if line["execution"] == execution:
                # Entered and exited; an attempt of a task is scheduled, started and ended, a map
                # started and succeeded, and its run, too.
                self.events += 2 + {"Task": 3 * line["attempts"], "Map": 4}.get(line["type"], 0)

    def __str__(self):
        calls = ", ".join(f"{count} {name}" for name, count in sorted(self.calls.items()))
        sizes = ", ".join(f"{size} {name}" for name, size in self.bytes.most_common(4))
        return (
            f"{self.events} events in the run's history; {len(self.executions)} executions with"
            f" {self.transitions} state transitions; calls: {calls}; largest bytes: {sizes}"
        )


@pytest.fixture(scope="module")
def run(fleet):
    """Runs a mode; returns its id, the execution and its figures."""
    read = 0

    def run(mode, **given):
        nonlocal read
        name, ended = fleet.run(Mode=mode, Properties={"PluginsMap": {"hstore": "latest"}}, **given)
        lines = faults.recorded(fleet.aws, "states")
        own = [line for line in lines[read:] if ":fleet-status:" not in line["execution"]]
        figures = Figures(fleet, name, own)
        read = len(lines)
        print(f"\n{mode}: {figures}")
        return name, ended, figures

    return run


def counts(fleet, run):
    """The run's counts other than 0, and the databases' statuses counted; they must agree."""
    found = {name: int(count) for name, count in fleet.status(run)["Counts"].items() if count}
    assert found == collections.Counter(one["Status"] for one in fleet.databases(run).values())
    return found


def bounded(figures):
    assert figures.events < MAX_EVENTS
    assert figures.bytes
    assert {name: size for name, size in figures.bytes.items() if size >= MAX_STATE} == {}


def test_an_audit(fleet, run):
    name, ended, figures = run("Audit")
    assert ended["status"] == "SUCCEEDED", ended["cause"]
    assert counts(fleet, name) == {"DRIFTED": COUNT}
    bounded(figures)


def test_one_failure_stops_a_wave_and_a_second_run_finishes(fleet, run, function):
    function.refused = {NAME(FAILING)}
    name, ended, figures = run("Apply")
    assert (ended["status"], ended["error"]) == ("FAILED", "DatabasesFailed")
    assert NAME(FAILING) in ended["cause"] and "not its owner" in ended["cause"]
    found = counts(fleet, name)
    print(f"stopped: {found}")
    changed = found["CHANGED"]
    # The first wave is through, the second was stopped at the failure, the third never began.
    assert 20 < changed < 500 and found["FAILED"] == 1
    databases = fleet.databases(name)
    assert {databases[NAME(number)]["Status"] for number in range(500, COUNT)} == {"DRIFTED"}
    updated = {name for name, item in databases.items() if item["Status"] == "CHANGED"}
    assert set(+function.updated) == updated
    bounded(figures)

    function.refused = set()
    name, ended, figures = run("Apply")
    assert ended["status"] == "SUCCEEDED", ended["cause"]
    assert counts(fleet, name) == {"IN_SYNC": changed, "CHANGED": COUNT - changed}
    assert set(function.updated.values()) == {1}
    bounded(figures)
