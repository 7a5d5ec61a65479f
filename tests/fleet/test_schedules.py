"""The schedules of fleet/template.yaml: audits, backups and sweeps that nobody starts."""

import datetime
import json
import os
import re

import pytest
from deployment import ROOT
from fleet import Fleet

AUDIT = {"Properties": {"PluginsMap": {"hstore": "any"}}}


@pytest.fixture(scope="module")
def nightly(stack):
    """A fleet of its own whose schedules are due at once."""
    nightly = Fleet(stack.deployment, "nightly")
    due = f"at({datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%S})"
    outcome = nightly.deploy(
        AuditSchedule=due,
        AuditInput=json.dumps(AUDIT),
        BackupSchedule=due,
        SweepSchedule=due,
        TagKey="NobodyHasThisTag",
    )
    assert outcome.status == "CREATE_COMPLETE", outcome.reasons
    yield nightly
    assert nightly.deployment.stacks.delete("nightly").status == "DELETE_COMPLETE"


def ended(fleet, output, count):
    """The executions of a state machine, once there are so many, and all have ended."""

    def all_ended():
        found = fleet.states.list_executions(stateMachineArn=fleet.outputs[output])["executions"]
        found = [one["executionArn"] for one in found if one["status"] != "RUNNING"]
        return len(found) == count and found

    found = fleet.aws.wait_for(f"{count} executions of {output}", all_ended)
    return [fleet.states.describe_execution(executionArn=one) for one in found]


def test_without_a_schedule_nothing_starts(stack):
    resources = stack.deployment.stacks.physical_ids(stack.stack)
    assert "StateMachine" in resources
    assert not [name for name in resources if "Timer" in name or "Schedule" in name]


def test_the_default_input_of_an_audit_is_the_documented_one():
    texts = []
    for name in ("fleet/template.yaml", "docs/fleet.md"):
        with open(os.path.join(ROOT, name)) as source:
            texts.append(source.read())
    template, page = texts
    default = re.search(r"(?m)^  AuditInput:\n    Type: String\n    Default: '(.*)'$", template)[1]
    assert re.search(r"`AuditInput` \| empty: off; `(.*?)` \|", page)[1] == default
    assert json.loads(default) == {"Mode": "Audit"}


def test_audits_and_backups_start_with_their_input(nightly):
    runs = ended(nightly, "StateMachineArn", 2)
    backup, audit = sorted(runs, key=lambda one: one["input"])
    assert json.loads(backup["input"]) == {"Mode": "Backup"}
    assert json.loads(audit["input"]) == AUDIT
    assert audit["status"] == "SUCCEEDED"
    # A key that is misspelt is no fleet that is backed up.
    assert (backup["status"], backup["error"]) == ("FAILED", "NoDatabases")
    assert backup["cause"].startswith("no secret has the tag NobodyHasThisTag: ")


def test_sweeps_start(nightly):
    [sweep] = ended(nightly, "SweepStateMachineArn", 1)
    assert (sweep["input"], sweep["status"]) == ("{}", "SUCCEEDED")


@pytest.mark.parametrize(
    "output, decision",
    [
        ("StateMachineArn", "allowed"),
        ("SweepStateMachineArn", "allowed"),
        ("StopStateMachineArn", "implicitDeny"),
        ("StatusStateMachineArn", "implicitDeny"),
    ],
)
def test_schedules_may_start_what_they_start_and_nothing_else(nightly, output, decision):
    role = nightly.deployment.stacks.physical_ids("nightly")["ScheduleRole"]
    role = nightly.aws.client("iam").get_role(RoleName=role)["Role"]["Arn"]
    machine = nightly.outputs[output]
    assert nightly.aws.simulate(role, "states:StartExecution", machine) == decision
