"""fleet/template.yaml with what an organisation may demand of every stack, and without it."""

import pytest
from fleet import Fleet
from local_aws import REGION
from stacks import evaluate

STACK = "organised"
BOUNDARY = "arn:aws:iam::000000000000:policy/boundaries/applications"
PATH = "/service/databases/"
NEVER = "rate(3650 days)"
MACHINES = {"Role", "DatabaseRole", "StatusRole", "StopRole", "SweepRole"}
READERS = MACHINES - {"SweepRole"}  # of the table
LOGS = {f"/aws/vendedlogs/states/{STACK}", f"/aws/apigateway/{STACK}"}


@pytest.fixture(scope="module")
def parameters(aws):
    def key():
        return aws.client("kms").create_key()["KeyMetadata"]["Arn"]

    return {
        "TableKmsKeyArn": key(),
        "LogLevel": "ALL",
        "LogRetentionInDays": "365",
        "LogKmsKeyArn": key(),
        "Tracing": "Active",
        "PermissionsBoundaryArn": BOUNDARY,
        "RolePath": PATH,
    }


@pytest.fixture(scope="module")
def organised(deployment, parameters):
    fleet = Fleet(deployment, STACK)
    schedules = dict.fromkeys(("AuditSchedule", "BackupSchedule", "SweepSchedule"), NEVER)
    outcome = fleet.deploy(Api="true", **schedules, **parameters)
    assert outcome.status == "CREATE_COMPLETE", outcome.reasons
    yield fleet
    assert deployment.stacks.delete(STACK).status == "DELETE_COMPLETE"


@pytest.fixture(scope="module")
def declared(organised):
    """The template as CloudFormation gets it."""
    client = organised.deployment.stacks.cloudformation
    return client.get_template(StackName=STACK, TemplateStage="Processed")["TemplateBody"]


def of_type(declared, kind):
    return {name: one for name, one in declared["Resources"].items() if one["Type"] == kind}


def roles(fleet):
    """The roles of a stack, as IAM has them, by their logical ids."""
    iam = fleet.aws.client("iam")
    return {
        name: iam.get_role(RoleName=physical)["Role"]
        for name, physical in fleet.deployment.stacks.physical_ids(fleet.stack).items()
        if name.endswith("Role")
    }


def test_every_role_and_policy_has_the_path(organised):
    found = roles(organised)
    assert set(found) == MACHINES | {"ScheduleRole", "HttpApiRole"}
    assert {role["Path"] for role in found.values()} == {PATH}
    policies = organised.aws.client("iam").list_policies(Scope="Local", PathPrefix=PATH)["Policies"]
    assert len(policies) == 3


# The local AWS takes no boundary from a stack: this evaluates what CloudFormation gets.
def test_every_role_has_the_boundary(declared, parameters):
    found = of_type(declared, "AWS::IAM::Role")
    assert len(found) == 7
    for name, role in found.items():
        boundary = role["Properties"]["PermissionsBoundary"]
        assert evaluate(boundary, declared, parameters) == BOUNDARY, name
        assert evaluate(boundary, declared, {}) is None, name


# Nor do its state machines have all of what a stack says of logs, or anything of traces.
def test_every_state_machine_logs_without_inputs_and_is_traced(declared, parameters):
    found = of_type(declared, "AWS::StepFunctions::StateMachine")
    assert len(found) == 5
    for machine in found.values():
        logging = machine["Properties"]["LoggingConfiguration"]
        assert set(logging) == {"Level", "Destinations"}
        assert evaluate(logging["Level"], declared, parameters) == "ALL"
        [destination] = evaluate(logging["Destinations"], declared, parameters)
        group = destination["CloudWatchLogsLogGroup"]["LogGroupArn"]
        assert group == {"Fn::GetAtt": ["LogGroup", "Arn"]}
        assert evaluate(logging["Level"], declared, {}) == "OFF"
        assert evaluate(logging["Destinations"], declared, {}) is None
        traced = machine["Properties"]["TracingConfiguration"]["Enabled"]
        assert evaluate(traced, declared, parameters) is True
        assert evaluate(traced, declared, {}) is False


def test_the_logs_have_the_key_and_the_days(organised, parameters):
    groups = organised.aws.client("logs").describe_log_groups()["logGroups"]
    ours = {one["logGroupName"]: one for one in groups if one["logGroupName"] in LOGS}
    assert set(ours) == LOGS
    for group in ours.values():
        assert group["kmsKeyId"] == parameters["LogKmsKeyArn"]
        assert group["retentionInDays"] == 365


# Nor does its table.
def test_the_table_has_the_key_and_can_be_restored(declared, parameters):
    table = declared["Resources"]["Table"]["Properties"]
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    encryption = evaluate(table["SSESpecification"], declared, parameters)
    assert encryption.pop("KMSMasterKeyId") == {"Ref": "TableKmsKeyArn"}
    assert encryption == {"SSEEnabled": True, "SSEType": "KMS"}
    assert evaluate(table["SSESpecification"], declared, {}) is None


@pytest.mark.parametrize("action, may", [
    ("logs:CreateLogDelivery", MACHINES),
    ("xray:PutTraceSegments", MACHINES),
    ("xray:GetTraceSummaries", set()),
    ("logs:GetLogEvents", set()),
])  # fmt: skip
def test_roles_may_log_and_trace_where_that_is_asked_for(organised, stack, action, may):
    aws = organised.aws
    for fleet, expected in ((organised, may), (stack, set())):
        found = roles(fleet)
        allowed = {
            name for name, role in found.items() if aws.simulate(role["Arn"], action, "*") == "allowed"
        }
        assert allowed == expected


def test_who_uses_the_table_may_use_its_key_through_dynamodb_alone(organised, stack, parameters):
    iam = organised.aws.client("iam")
    found = {
        name: iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]
        for name, role in roles(organised).items()
    }
    holders = {
        name: one["PolicyArn"]
        for name, attached in found.items()
        for one in attached
        if "TableKeyPolicy" in one["PolicyName"]
    }
    assert set(holders) == READERS
    [arn] = set(holders.values())
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    policy = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
    [statement] = policy["Document"]["Statement"]
    assert statement["Resource"] == parameters["TableKmsKeyArn"]
    service = {"kms:ViaService": f"dynamodb.{REGION}.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": service}
    for role in roles(stack).values():
        attached = iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]
        assert attached == []


def test_a_run_goes_on_with_all_of_it(organised):
    organised.add(["organised"], "1")
    trust = {"SslRootCert": organised.deployment.root_cert()}
    run, execution = organised.run(Mode="Audit", Properties=trust)
    assert execution["status"] == "SUCCEEDED", execution["cause"]
    assert organised.status(run)["Counts"]["IN_SYNC"] == 1
    organised.forget("organised")
