"""The alarms and the dashboard of the fleet name metrics and members of lines that exist: those that
the function emits, docs/metrics.md describes and AWS publishes."""

import json
import os
import re

import pytest
from deployment import ROOT
from fleet import Fleet
from local_aws import ACCOUNT, REGION

TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:operators"
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
OF_AWS = {
    "AWS/Lambda": {"Invocations", "Errors", "Throttles", "Duration"},
    "AWS/States": {f"Executions{end}" for end in ("Succeeded", "Failed", "Aborted", "TimedOut")},
}


class Monitoring:
    """What a stack has of it."""

    def __init__(self, fleet):
        self.stack = fleet.stack
        cloudwatch = fleet.aws.client("cloudwatch")
        found = cloudwatch.describe_alarms()["MetricAlarms"]
        self.alarms = [one for one in found if one["AlarmName"].startswith(f"{fleet.stack}-")]
        names = [one["DashboardName"] for one in cloudwatch.list_dashboards()["DashboardEntries"]]
        self.widgets = []
        if fleet.stack in names:
            body = cloudwatch.get_dashboard(DashboardName=fleet.stack)["DashboardBody"]
            self.widgets = json.loads(body)["widgets"]

    def metrics(self):
        """What it names: (namespace, metric, dimension, value)."""
        for alarm in self.alarms:
            [dimension] = alarm["Dimensions"]
            yield alarm["Namespace"], alarm["MetricName"], dimension["Name"], dimension["Value"]
        for widget in self.widgets:
            yield from map(tuple, widget["properties"].get("metrics", []))

    def query(self, title):
        [found] = [it for it in self.widgets if it["properties"]["title"] == title]
        return found["properties"]["query"]


@pytest.fixture(scope="module")
def fleet(deployment):
    fleet = Fleet(deployment, "monitored")
    outcome = fleet.deploy(Alarms="true", AlarmTopicArn=TOPIC)
    assert outcome.status == "CREATE_COMPLETE", outcome.reasons
    yield fleet
    outcome = deployment.stacks.delete(fleet.stack)
    assert outcome.status == "DELETE_COMPLETE", outcome.reasons


@pytest.fixture(scope="module")
def monitoring(fleet):
    return Monitoring(fleet)


@pytest.fixture(scope="module")
def lines(fleet):
    """The lines that the function logs of an Inspect, and of a failure."""
    deployment, names = fleet.deployment, ["monitored1", "monitored2"]
    fleet.add(names, "1")
    function = fleet.aws.client("lambda")
    for name, wrong in zip(names, ({}, {"Nonsense": "true"}), strict=True):
        properties = {"DBSecret": f"fleet/{name}", "SslMode": "require", **wrong}
        request = {"RequestType": "Inspect", "ResourceProperties": properties}
        done = function.invoke(FunctionName=deployment.function, Payload=json.dumps(request))
        assert ("FunctionError" in done) == bool(wrong), done["Payload"].read()
    fleet.forget(*names)
    text = fleet.aws.log_text(deployment.stacks.log_group)
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def emitted(lines):
    """The metrics in the lines: {namespace: names}."""
    found = {}
    for line in lines:
        for metrics in line.get("_aws", {}).get("CloudWatchMetrics", []):
            assert metrics["Dimensions"] == [["FunctionName"]]
            names = {metric["Name"] for metric in metrics["Metrics"]}
            found.setdefault(metrics["Namespace"], set()).update(names)
    return found


def unknown(metrics, known):
    return {(space, name) for space, name, *_ in metrics if name not in known.get(space, ())}


def test_every_metric_is_emitted(monitoring, emitted):
    assert unknown(monitoring.metrics(), {**emitted, **OF_AWS}) == set()


def test_every_metric_of_the_function_is_documented(monitoring):
    with open(os.path.join(ROOT, "docs", "metrics.md")) as source:
        table = source.read().split("## Metrics")[1]
    documented = {"PostgresExtensions": set(re.findall(r"(?m)^\| `(\w+)` \|", table))}
    assert unknown(monitoring.metrics(), {**documented, **OF_AWS}) == set()


def test_a_metric_that_does_not_exist_would_be_found(monitoring, emitted):
    known = {**emitted, **OF_AWS}
    for space, name, *rest in monitoring.metrics():
        assert unknown([(space, name + "s", *rest)], known) == {(space, name + "s")}
        assert unknown([("PostgresExtension", name, *rest)], known)


def test_every_dimension_is_of_something_that_exists(fleet, monitoring):
    functions = fleet.aws.client("lambda").list_functions()["Functions"]
    machines = fleet.states.list_state_machines()["stateMachines"]
    existing = {("FunctionName", one["FunctionName"]) for one in functions}
    existing |= {("StateMachineArn", one["stateMachineArn"]) for one in machines}
    assert {(name, value) for _, _, name, value in monitoring.metrics()} <= existing


def test_every_end_of_a_run_or_a_sweep_but_success_has_an_alarm(fleet, monitoring):
    # They have no time limit, so that none times out.
    ends = {"ExecutionsFailed", "ExecutionsAborted"}
    for output in ("StateMachineArn", "SweepStateMachineArn"):
        machine = fleet.outputs[output]
        found = [one for one in monitoring.alarms if one["Dimensions"][0]["Value"] == machine]
        assert {one["MetricName"] for one in found} == ends


def test_every_alarm_notifies_the_topic_and_is_on_the_dashboard(monitoring):
    assert {(one["AlarmActions"][0], len(one["AlarmActions"])) for one in monitoring.alarms} == {
        (TOPIC, 1)
    }
    [widget] = [it for it in monitoring.widgets if it["type"] == "alarm"]
    shown = widget["properties"]["alarms"]
    assert sorted(shown) == sorted(one["AlarmArn"] for one in monitoring.alarms)


def test_the_table_of_the_newest_audit_asks_for_members_of_the_lines(fleet, monitoring, lines):
    query = monitoring.query("The newest audit")
    assert query.startswith(f"SOURCE '{fleet.deployment.stacks.log_group}' | filter message like /")
    pattern = re.search(r"like /(.*?)/", query)[1]
    of_databases = [line for line in lines if re.search(pattern, line["message"])]
    # Another test may have inspected others without a map.
    [line] = [line for line in of_databases if line["database"] == "monitored1"]
    groups = re.search(r" by ([\w, ]+?) \|", query)[1].split(", ")
    asked = re.findall(r"latest\((\w+)\)", query) + groups
    assert len(asked) > 5
    made = re.search(r"parse message '([^*]*)\*' as (\w+)", query)
    assert all(line["message"].startswith(made[1]) for line in of_databases)
    assert set(asked) - {made[2]} <= set(line)


def test_the_table_of_failures_asks_for_members_of_the_lines(monitoring, lines):
    query = monitoring.query("Failures")
    level = re.search(r"filter level = '(\w+)'", query)[1]
    failures = [line for line in lines if line["level"] == level]
    [line] = [line for line in failures if "`Nonsense`" in line["message"]]
    asked = re.search(r"fields ([\w, ]+?) \|", query)[1].split(", ")
    # A direct invocation has no stack.
    assert set(asked) - {"stackId", "logicalResourceId"} <= set(line)


def test_without_the_parameter_there_is_none_of_it(stack):
    monitoring = Monitoring(stack)
    assert (monitoring.alarms, monitoring.widgets) == ([], [])
