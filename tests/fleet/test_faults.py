"""Runs among faults: the counts add up, statuses agree with the catalogs, and nothing runs on."""

import collections
import itertools

import pytest
from faults import fails

SIZE = 8  # databases of a wave: pages of 1, 2, 4 and 1
CREATE = {"PluginsMap": {"hstore": "1.8"}}


class Wave:
    """Databases of a test's own, and runs over them."""

    def __init__(self, fleet, name):
        self.fleet = fleet
        self.name = name
        self.databases = [f"{name}{number}" for number in range(SIZE)]

    def run(self, mode="Apply", properties=CREATE, **given):
        """Run, and check what must hold however a run ends; returns the id and the execution."""
        given = {"Snapshot": "Never", "Properties": {**properties, "SslMode": "require"}, **given}
        run, ended = self.fleet.run(Mode=mode, Waves=[self.name], **given)
        items = {one["Item"]: one for one in self.fleet.table(run)}
        item = items.pop("run")
        counts = collections.Counter({name: int(count) for name, count in item["Counts"].items()})
        assert +counts == collections.Counter(one["Status"] for one in items.values())
        assert sum(counts.values()) == SIZE
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
        for name in self.databases:
            self.fleet.psql(name, f"CREATE EXTENSION hstore VERSION '{version}'")


@pytest.fixture(scope="module")
def planned(stack):
    """A wave of databases of tests that change nothing in them."""
    yield from made(stack, "planned")


def made(stack, name):
    wave = Wave(stack, name)
    stack.add(wave.databases, wave.name)
    yield wave
    stack.forget(*wave.databases)


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
