"""What others learn of a run: the order of its waves, the event of its end, and the page's data."""

import json

import pytest

WAVES = {"10": "reading10", "2": "reading2", "Prod": "reading_prod", "dev": "reading_dev"}
WRONG = "a-password-that-is-wrong"


@pytest.fixture(scope="module")
def fleet(stack):
    for wave, name in WAVES.items():
        stack.add([name], wave)
    yield stack
    stack.forget(*WAVES.values())


@pytest.fixture
def events(aws, fleet):
    """The details of the events of the runs that ended, as a queue has them by a rule."""
    queues, bus = aws.client("sqs"), aws.client("events")
    queue = queues.create_queue(QueueName="ended")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    arn = arn["Attributes"]["QueueArn"]
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {
            "stateMachineArn": [fleet.outputs["StateMachineArn"]],
            "status": ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"],
        },
    }
    bus.put_rule(Name="ended", EventPattern=json.dumps(pattern))
    bus.put_targets(Rule="ended", Targets=[{"Id": "queue", "Arn": arn}])

    def received():
        found = queues.receive_message(QueueUrl=queue, WaitTimeSeconds=1)
        return [json.loads(message["Body"])["detail"] for message in found.get("Messages", ())]

    yield lambda: aws.wait_for("an event of a run's end", received)
    bus.remove_targets(Rule="ended", Ids=["queue"])
    bus.delete_rule(Name="ended")
    queues.delete_queue(QueueUrl=queue)


def test_waves_go_by_character_code(fleet):
    properties = {"SslMode": "require", "PluginsMap": {"citext": "any"}}
    run, execution = fleet.run(Mode="Apply", Properties=properties)
    assert execution["status"] == "SUCCEEDED", execution
    found = sorted(fleet.databases(run).values(), key=lambda one: one["UpdatedAt"])
    assert [one["Wave"] for one in found] == ["10", "2", "Prod", "dev"]


@pytest.mark.parametrize("mode, status, error", [
    ("Audit", "SUCCEEDED", None), ("Aply", "FAILED", "InvalidInput")
])  # fmt: skip
def test_the_end_of_a_run_is_an_event_with_its_status(fleet, events, mode, status, error):
    run = fleet.start(Mode=mode, Properties={"SslMode": "require"})
    [detail] = events()
    assert (detail["name"], detail["status"], detail["error"]) == (run, status, error)
    assert fleet.wait(run)["status"] == status


def test_no_password_is_in_the_data_of_the_page(fleet):
    fleet.add_secret("reading_wrong", "dev", dbname="postgres", password=WRONG)
    properties = {"SslMode": "require", "PluginsMap": {"hstore": "any"}}
    run, _ = fleet.run(Mode="Plan", Properties=properties)
    fleet.forget("reading_wrong")
    report = json.dumps(fleet.status(run))
    statuses = {one["Database"]: one["Status"] for one in json.loads(report)["Databases"]}
    assert statuses.pop("fleet/reading_wrong") == "FAILED"
    assert set(statuses.values()) == {"DRIFTED"}
    assert fleet.deployment.server.password not in report
    assert WRONG not in report
