"""What the roles of fleet/template.yaml may do, and what they may not. The local AWS simulates and
enforces their policies (policies.py says what of RDS); what AWS's own reference says of actions,
resources and condition keys stands here, since the local AWS takes any."""

import fnmatch
import json

import boto3
import pytest
from botocore.exceptions import ClientError
from fleet import Fleet
from local_aws import ACCOUNT, REGION
from ministack.core import iam_evaluator

STACK = "rights"
PREFIX = "postgres-extensions"
NEVER = "rate(3650 days)"


@pytest.fixture(scope="module")
def rights(deployment):
    """A stack with every role."""
    fleet = Fleet(deployment, STACK)
    schedules = dict.fromkeys(("AuditSchedule", "BackupSchedule", "SweepSchedule"), NEVER)
    outcome = fleet.deploy(Api="true", **schedules)
    assert outcome.status == "CREATE_COMPLETE", outcome.reasons
    yield fleet
    deployment.stacks.delete(STACK)


@pytest.fixture(scope="module")
def roles(rights):
    """Of each role of the stack, by its logical id: what IAM has."""
    iam = rights.aws.client("iam")
    resources = rights.aws.client("cloudformation").describe_stack_resources(StackName=STACK)
    return {
        one["LogicalResourceId"]: Role(rights.aws, iam, one["PhysicalResourceId"])
        for one in resources["StackResources"]
        if one["ResourceType"] == "AWS::IAM::Role"
    }


class Role:
    def __init__(self, aws, iam, name):
        self.aws, self.iam, self.name = aws, iam, name
        role = iam.get_role(RoleName=name)["Role"]
        self.arn = role["Arn"]
        self.trust = role["AssumeRolePolicyDocument"]
        self.attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        self.documents = [
            iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
        ]

    def may(self, action, resource, context):
        """Whether its policies allow it; `context` has the request's condition keys."""
        simulated = self.iam.simulate_principal_policy(
            PolicySourceArn=self.arn, ActionNames=[action], ResourceArns=[resource]
        )["EvaluationResults"][0]["EvalDecision"]
        # The local AWS's simulator takes no context: what it is made of does.
        asked = iam_evaluator.EvalContext(
            principal_arn=self.arn,
            principal_type="AssumedRole",
            principal_account=ACCOUNT,
            action=action,
            resource_arn=resource,
            region=REGION,
            service_context={key.lower(): value for key, value in context.items()},
        )
        policies = [iam_evaluator.parse_policy_document(one) for one in self.documents]
        allowed = iam_evaluator.evaluate(asked, policies).decision == "Allow"
        assert context or allowed == (simulated == "allowed")
        return allowed

    def client(self, service):
        """A client with the role's credentials. Anybody may assume the role from then on."""
        anybody = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [anybody]})
        self.iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=document)
        assumed = self.aws.client("sts").assume_role(RoleArn=self.arn, RoleSessionName="test")
        return boto3.client(
            service,
            endpoint_url=self.aws.endpoint,
            region_name=REGION,
            aws_access_key_id=assumed["Credentials"]["AccessKeyId"],
            aws_secret_access_key=assumed["Credentials"]["SecretAccessKey"],
            aws_session_token=assumed["Credentials"]["SessionToken"],
        )


def arn(service, resource):
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


TABLE = "<table>"  # its name is CloudFormation's
RUNS = arn("states", f"stateMachine:{STACK}")
DATABASE = f"{RUNS}-database"
STATUS = f"{RUNS}-status"
STOP = f"{RUNS}-stop"
SWEEP = f"{RUNS}-sweep"
RUN = arn("states", f"execution:{STACK}:run-1")
FUNCTION = arn("lambda", "function:postgres-extensions")
SECRET = arn("secretsmanager", "secret:fleet/a-AbCdEf")
INSTANCE, CLUSTER = arn("rds", "db:app"), arn("rds", "cluster:aurora")
SNAPSHOT = arn("rds", f"snapshot:{PREFIX}-run-1-app")
CLUSTER_SNAPSHOT = arn("rds", f"cluster-snapshot:{PREFIX}-run-1-aurora")
OTHER_SNAPSHOT = arn("rds", "snapshot:before-the-migration")
OTHER_CLUSTER_SNAPSHOT = arn("rds", "cluster-snapshot:before-the-migration")
RULE = "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
TAGS = {"aws:TagKeys": ["CreatedBy", "Run", "DeleteOn"], "aws:RequestTag/CreatedBy": STACK}
OURS = {"aws:ResourceTag/CreatedBy": STACK}

ALLOWED = [
    ("Role", "secretsmanager:ListSecrets", "*", {}),
    ("Role", "dynamodb:PutItem", TABLE, {}),
    ("Role", "dynamodb:UpdateItem", TABLE, {}),
    ("Role", "dynamodb:GetItem", TABLE, {}),
    ("Role", "dynamodb:Query", f"{TABLE}/index/todo", {}),
    ("Role", "states:StartExecution", RUNS, {}),
    ("Role", "states:StartExecution", DATABASE, {}),
    ("Role", "states:DescribeExecution", arn("states", f"execution:{STACK}-database:x"), {}),
    ("Role", "states:StopExecution", arn("states", f"execution:{STACK}/database:x"), {}),
    ("Role", "states:DescribeExecution", RUN, {}),
    ("Role", "events:PutRule", arn("events", RULE), {}),
    ("DatabaseRole", "lambda:InvokeFunction", FUNCTION, {}),
    ("DatabaseRole", "dynamodb:GetItem", TABLE, {}),
    ("DatabaseRole", "dynamodb:PutItem", TABLE, {}),
    ("DatabaseRole", "dynamodb:UpdateItem", TABLE, {}),
    ("DatabaseRole", "rds:DescribeDBInstances", INSTANCE, {}),
    ("DatabaseRole", "rds:DescribeDBClusters", CLUSTER, {}),
    ("DatabaseRole", "rds:DescribeDBSnapshots", SNAPSHOT, {}),
    ("DatabaseRole", "rds:DescribeDBClusterSnapshots", CLUSTER_SNAPSHOT, {}),
    ("DatabaseRole", "rds:CreateDBSnapshot", INSTANCE, TAGS),
    ("DatabaseRole", "rds:CreateDBSnapshot", SNAPSHOT, TAGS),
    ("DatabaseRole", "rds:CreateDBClusterSnapshot", CLUSTER, TAGS),
    ("DatabaseRole", "rds:CreateDBClusterSnapshot", CLUSTER_SNAPSHOT, TAGS),
    ("DatabaseRole", "rds:AddTagsToResource", SNAPSHOT, TAGS),
    ("DatabaseRole", "rds:AddTagsToResource", CLUSTER_SNAPSHOT, TAGS),
    ("StatusRole", "dynamodb:GetItem", TABLE, {}),
    ("StatusRole", "dynamodb:Query", TABLE, {}),
    ("StatusRole", "states:DescribeExecution", RUN, {}),
    ("StopRole", "dynamodb:UpdateItem", TABLE, {"dynamodb:Attributes": ["Run", "Item", "Stop"]}),
    ("SweepRole", "rds:DescribeDBSnapshots", "*", {}),
    ("SweepRole", "rds:DescribeDBClusterSnapshots", "*", {}),
    ("SweepRole", "rds:DescribeDBInstances", INSTANCE, {}),
    ("SweepRole", "rds:DescribeDBClusters", CLUSTER, {}),
    ("SweepRole", "rds:DeleteDBSnapshot", SNAPSHOT, OURS),
    ("SweepRole", "rds:DeleteDBClusterSnapshot", CLUSTER_SNAPSHOT, OURS),
    ("ScheduleRole", "states:StartExecution", RUNS, {}),
    ("ScheduleRole", "states:StartExecution", SWEEP, {}),
    ("HttpApiRole", "states:StartExecution", RUNS, {}),
    ("HttpApiRole", "states:StartSyncExecution", STATUS, {}),
    ("HttpApiRole", "states:StartSyncExecution", STOP, {}),
]
REFUSED = [
    # A run chooses databases by their tags: it reads no secret, and reaches no server of RDS.
    ("Role", "secretsmanager:GetSecretValue", SECRET, {}),
    ("Role", "secretsmanager:BatchGetSecretValue", "*", {}),
    ("Role", "secretsmanager:DescribeSecret", SECRET, {}),
    ("Role", "secretsmanager:TagResource", SECRET, {}),
    ("Role", "lambda:InvokeFunction", FUNCTION, {}),
    ("Role", "rds:DescribeDBInstances", INSTANCE, {}),
    ("Role", "rds:CreateDBSnapshot", SNAPSHOT, TAGS),
    ("Role", "rds:DeleteDBSnapshot", SNAPSHOT, OURS),
    ("Role", "dynamodb:DeleteItem", TABLE, {}),
    ("Role", "dynamodb:DeleteTable", TABLE, {}),
    ("Role", "dynamodb:PutItem", arn("dynamodb", "table/other"), {}),
    ("Role", "states:StartExecution", SWEEP, {}),
    ("Role", "states:StopExecution", RUN, {}),
    ("Role", "states:UpdateStateMachine", RUNS, {}),
    ("Role", "events:PutRule", arn("events", "rule/other"), {}),
    ("Role", "events:DeleteRule", arn("events", RULE), {}),
    ("Role", "iam:PassRole", "<role>", {}),
    ("Role", "sts:AssumeRole", "<role>", {}),
    # Nothing that a run does deletes, restores, shares or changes anything of RDS.
    ("DatabaseRole", "secretsmanager:GetSecretValue", SECRET, {}),
    ("DatabaseRole", "secretsmanager:ListSecrets", "*", {}),
    ("DatabaseRole", "lambda:InvokeFunction", f"{FUNCTION}-responder", {}),
    ("DatabaseRole", "lambda:InvokeFunction", arn("lambda", "function:other"), {}),
    ("DatabaseRole", "lambda:UpdateFunctionCode", FUNCTION, {}),
    ("DatabaseRole", "lambda:UpdateFunctionConfiguration", FUNCTION, {}),
    ("DatabaseRole", "rds:DeleteDBSnapshot", SNAPSHOT, OURS),
    ("DatabaseRole", "rds:DeleteDBClusterSnapshot", CLUSTER_SNAPSHOT, OURS),
    ("DatabaseRole", "rds:DeleteDBInstance", INSTANCE, {}),
    ("DatabaseRole", "rds:DeleteDBCluster", CLUSTER, {}),
    ("DatabaseRole", "rds:ModifyDBInstance", INSTANCE, {}),
    ("DatabaseRole", "rds:RebootDBInstance", INSTANCE, {}),
    ("DatabaseRole", "rds:RestoreDBInstanceFromDBSnapshot", SNAPSHOT, {}),
    ("DatabaseRole", "rds:RestoreDBInstanceToPointInTime", INSTANCE, {}),
    ("DatabaseRole", "rds:ModifyDBSnapshotAttribute", SNAPSHOT, OURS),
    ("DatabaseRole", "rds:CopyDBSnapshot", SNAPSHOT, {}),
    ("DatabaseRole", "rds:StartExportTask", "*", {}),
    ("DatabaseRole", "rds:CreateDBSnapshot", OTHER_SNAPSHOT, TAGS),
    ("DatabaseRole", "rds:CreateDBSnapshot", SNAPSHOT, {}),
    ("DatabaseRole", "rds:CreateDBSnapshot", SNAPSHOT, {**TAGS, "aws:RequestTag/CreatedBy": "x"}),
    ("DatabaseRole", "rds:CreateDBClusterSnapshot", OTHER_CLUSTER_SNAPSHOT, TAGS),
    ("DatabaseRole", "rds:CreateDBClusterSnapshot", CLUSTER_SNAPSHOT, {}),
    ("DatabaseRole", "rds:AddTagsToResource", INSTANCE, TAGS),
    ("DatabaseRole", "rds:AddTagsToResource", CLUSTER, TAGS),
    ("DatabaseRole", "rds:AddTagsToResource", OTHER_SNAPSHOT, TAGS),
    ("DatabaseRole", "rds:AddTagsToResource", SNAPSHOT, {**TAGS, "aws:TagKeys": ["Run", "x"]}),
    ("DatabaseRole", "rds:RemoveTagsFromResource", SNAPSHOT, OURS),
    ("DatabaseRole", "rds-db:connect", arn("rds-db", "dbuser:*/postgres"), {}),
    ("DatabaseRole", "dynamodb:DeleteItem", TABLE, {}),
    ("DatabaseRole", "dynamodb:UpdateItem", arn("dynamodb", "table/other"), {}),
    ("DatabaseRole", "states:StartExecution", RUNS, {}),
    # The status changes nothing.
    ("StatusRole", "dynamodb:PutItem", TABLE, {}),
    ("StatusRole", "dynamodb:UpdateItem", TABLE, {}),
    ("StatusRole", "dynamodb:DeleteItem", TABLE, {}),
    ("StatusRole", "states:StartExecution", RUNS, {}),
    ("StatusRole", "states:StopExecution", RUN, {}),
    ("StatusRole", "states:DescribeExecution", arn("states", "execution:other:x"), {}),
    ("StatusRole", "secretsmanager:ListSecrets", "*", {}),
    ("StatusRole", "lambda:InvokeFunction", FUNCTION, {}),
    # A stop aborts nothing: it leaves a word for the run.
    ("StopRole", "dynamodb:UpdateItem", TABLE, {"dynamodb:Attributes": ["Run", "Item", "Status"]}),
    ("StopRole", "dynamodb:UpdateItem", TABLE, {"dynamodb:Attributes": ["Run", "Item", "Counts"]}),
    ("StopRole", "dynamodb:PutItem", TABLE, {"dynamodb:Attributes": ["Run", "Item", "Stop"]}),
    ("StopRole", "dynamodb:DeleteItem", TABLE, {}),
    ("StopRole", "dynamodb:Query", TABLE, {}),
    ("StopRole", "states:StopExecution", RUN, {}),
    # The sweep deletes what has the name and the tag.
    ("SweepRole", "rds:DeleteDBSnapshot", OTHER_SNAPSHOT, OURS),
    ("SweepRole", "rds:DeleteDBSnapshot", SNAPSHOT, {}),
    ("SweepRole", "rds:DeleteDBSnapshot", SNAPSHOT, {"aws:ResourceTag/CreatedBy": "other"}),
    ("SweepRole", "rds:DeleteDBSnapshot", arn("rds", f"snapshot:{PREFIX}ish"), OURS),
    ("SweepRole", "rds:DeleteDBSnapshot", arn("rds", f"snapshot:rds:{PREFIX}-x"), OURS),
    ("SweepRole", "rds:DeleteDBClusterSnapshot", OTHER_CLUSTER_SNAPSHOT, OURS),
    ("SweepRole", "rds:DeleteDBClusterSnapshot", CLUSTER_SNAPSHOT, {}),
    ("SweepRole", "rds:DeleteDBInstance", INSTANCE, OURS),
    ("SweepRole", "rds:DeleteDBCluster", CLUSTER, OURS),
    ("SweepRole", "rds:DeleteDBInstanceAutomatedBackup", "*", {}),
    ("SweepRole", "rds:AddTagsToResource", SNAPSHOT, TAGS),
    ("SweepRole", "rds:CreateDBSnapshot", SNAPSHOT, TAGS),
    ("SweepRole", "rds:ModifyDBSnapshotAttribute", SNAPSHOT, OURS),
    ("SweepRole", "dynamodb:GetItem", TABLE, {}),
    ("SweepRole", "lambda:InvokeFunction", FUNCTION, {}),
    ("SweepRole", "secretsmanager:ListSecrets", "*", {}),
    ("ScheduleRole", "states:StartExecution", DATABASE, {}),
    ("ScheduleRole", "states:StopExecution", RUN, {}),
    ("HttpApiRole", "states:StartExecution", SWEEP, {}),
    ("HttpApiRole", "states:StartExecution", DATABASE, {}),
    ("HttpApiRole", "states:StartSyncExecution", RUNS, {}),
    ("HttpApiRole", "states:StopExecution", RUN, {}),
    ("HttpApiRole", "states:DescribeExecution", RUN, {}),
    ("HttpApiRole", "dynamodb:GetItem", TABLE, {}),
]


def words(case):
    role, action, resource, context = case
    return "-".join((role, action, resource.rsplit(":", 1)[-1], *map(str, context.values())))


@pytest.mark.parametrize(
    "case, expected",
    [(case, True) for case in ALLOWED] + [(case, False) for case in REFUSED],
    ids=[words(case) for case in ALLOWED + REFUSED],
)
def test_a_role_may(rights, roles, case, expected):
    role, action, resource, context = case
    table = arn("dynamodb", f"table/{rights.outputs['TableName']}")
    resource = resource.replace(TABLE, table).replace("<role>", roles["SweepRole"].arn)
    assert roles[role].may(action, resource, context) == expected


def test_forty_things_are_refused_and_every_role_has_both(roles):
    assert len(REFUSED) >= 40
    for cases in (ALLOWED, REFUSED):
        assert {case[0] for case in cases} == set(roles)


# The calls themselves


def refused(call, **arguments):
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return raised.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")


@pytest.fixture(scope="module")
def snapshots(rights):
    """RDS's client; the instance `rights`, and snapshots of it: (name, value of CreatedBy)."""
    rds = rights.aws.client("rds")
    rds.create_db_instance(
        DBInstanceIdentifier=STACK,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="postgres",
        ManageMasterUserPassword=True,
    )
    for name, owner in ((f"{PREFIX}-a", STACK), (f"{PREFIX}-b", "other"), ("c", STACK)):
        tags = [{"Key": "CreatedBy", "Value": owner}]
        rds.create_db_snapshot(DBInstanceIdentifier=STACK, DBSnapshotIdentifier=name, Tags=tags)
    yield rds
    rds.delete_db_instance(DBInstanceIdentifier=STACK, SkipFinalSnapshot=True)
    for one in rds.describe_db_snapshots(DBInstanceIdentifier=STACK)["DBSnapshots"]:
        rds.delete_db_snapshot(DBSnapshotIdentifier=one["DBSnapshotIdentifier"])


def test_a_sweep_is_let_to_what_is_its_own_alone(roles, snapshots):
    sweep = roles["SweepRole"].client("rds")
    for name in (f"{PREFIX}-b", "c"):
        assert refused(sweep.delete_db_snapshot, DBSnapshotIdentifier=name)
    sweep.delete_db_snapshot(DBSnapshotIdentifier=f"{PREFIX}-a")
    assert refused(sweep.delete_db_instance, DBInstanceIdentifier=STACK, SkipFinalSnapshot=True)


def test_a_run_is_not_let_to_delete_nor_to_other_names_and_tags(roles, snapshots):
    run = roles["DatabaseRole"].client("rds")
    for name in (f"{PREFIX}-b", "c"):
        assert refused(run.delete_db_snapshot, DBSnapshotIdentifier=name)
    ours = [{"Key": "CreatedBy", "Value": STACK}]
    for name, tags in (("d", ours), (f"{PREFIX}-d", []), (f"{PREFIX}-d", [*ours, {"Key": "x"}])):
        new = {"DBInstanceIdentifier": STACK, "DBSnapshotIdentifier": name, "Tags": tags}
        assert refused(run.create_db_snapshot, **new), new
    run.create_db_snapshot(**{**new, "Tags": ours})


def test_no_role_is_let_to_a_secret(rights, roles):
    rights.add_secret("rights", "rights")
    for role in roles.values():
        client = role.client("secretsmanager")
        assert refused(client.get_secret_value, SecretId="fleet/rights")
    rights.forget("rights")


def test_a_status_is_not_let_to_write_and_a_stop_to_nothing_but_stop(rights, roles):
    given = {
        "TableName": rights.outputs["TableName"],
        "Key": {"Run": {"S": "run"}, "Item": {"S": "run"}},
        "ExpressionAttributeNames": {"#a": "Stop"},
        "ExpressionAttributeValues": {":a": {"BOOL": True}},
        "UpdateExpression": "SET #a = :a",
    }
    assert refused(roles["StatusRole"].client("dynamodb").update_item, **given)
    stop = roles["StopRole"].client("dynamodb")
    stop.update_item(**given)
    assert refused(stop.update_item, **{**given, "ExpressionAttributeNames": {"#a": "Status"}})
    assert refused(stop.get_item, TableName=given["TableName"], Key=given["Key"])


# What AWS's service authorization reference says. Action: the resources that it takes, and the
# condition keys of it and of these resources. https://docs.aws.amazon.com/service-authorization/

TAGGED = ["aws:RequestTag/*", "aws:TagKeys", "rds:req-tag/*"]
DB, DB_CLUSTER = "arn:aws:rds:*:*:db:*", "arn:aws:rds:*:*:cluster:*"
DB_SNAPSHOT = "arn:aws:rds:*:*:snapshot:*"
DB_CLUSTER_SNAPSHOT = "arn:aws:rds:*:*:cluster-snapshot:*"
DYNAMODB_TABLE, INDEX = "arn:aws:dynamodb:*:*:table/*", "arn:aws:dynamodb:*:*:table/*/index/*"
DYNAMODB_KEYS = ["dynamodb:Attributes", "dynamodb:LeadingKeys", "dynamodb:ReturnValues"]
MACHINE = "arn:aws:states:*:*:stateMachine:*"
# The second form is that of a Distributed Map's children: IAM policies for using Distributed Map
# states, in the developer guide of Step Functions.
EXECUTION = ["arn:aws:states:*:*:execution:*:*", "arn:aws:states:*:*:execution:*/*"]
RULES = ["arn:aws:events:*:*:rule/*"]
REFERENCE = {
    "dynamodb:GetItem": ([DYNAMODB_TABLE], ["dynamodb:Attributes", "dynamodb:LeadingKeys"]),
    "dynamodb:PutItem": ([DYNAMODB_TABLE], DYNAMODB_KEYS),
    "dynamodb:Query": ([DYNAMODB_TABLE, INDEX], DYNAMODB_KEYS),
    "dynamodb:UpdateItem": ([DYNAMODB_TABLE], DYNAMODB_KEYS),
    "events:DescribeRule": (RULES, []),
    "events:PutRule": (RULES, ["events:source", "events:detail-type"]),
    "events:PutTargets": (RULES, ["events:TargetArn"]),
    "lambda:InvokeFunction": (["arn:aws:lambda:*:*:function:*"], []),
    "rds:AddTagsToResource": ([DB, DB_CLUSTER, DB_SNAPSHOT, DB_CLUSTER_SNAPSHOT], TAGGED),
    "rds:CreateDBClusterSnapshot": ([DB_CLUSTER, DB_CLUSTER_SNAPSHOT], TAGGED),
    "rds:CreateDBSnapshot": ([DB, DB_SNAPSHOT], TAGGED),
    "rds:DeleteDBClusterSnapshot": (
        [DB_CLUSTER_SNAPSHOT], ["aws:ResourceTag/*", "rds:cluster-snapshot-tag/*"]
    ),
    "rds:DeleteDBSnapshot": ([DB_SNAPSHOT], ["aws:ResourceTag/*", "rds:snapshot-tag/*"]),
    "rds:DescribeDBClusterSnapshots": ([DB_CLUSTER, DB_CLUSTER_SNAPSHOT], []),
    "rds:DescribeDBClusters": ([DB_CLUSTER], []),
    "rds:DescribeDBInstances": ([DB], []),
    "rds:DescribeDBSnapshots": ([DB, DB_SNAPSHOT], []),
    "secretsmanager:ListSecrets": (["*"], []),
    "states:DescribeExecution": (EXECUTION, []),
    "states:StartExecution": ([MACHINE], ["states:StateMachineQualifier"]),
    "states:StartSyncExecution": ([MACHINE], ["states:StateMachineQualifier"]),
    "states:StopExecution": (EXECUTION, []),
}  # fmt: skip


def listed(value):
    return value if isinstance(value, list) else [value]


def test_policies_are_such_as_aws_takes(roles):
    for name, role in roles.items():
        statements = [one for document in role.documents for one in document["Statement"]]
        for statement in statements:
            assert set(statement) <= {"Effect", "Action", "Resource", "Condition"}, name
            actions = listed(statement["Action"])
            taken = [pattern for action in actions for pattern in REFERENCE[action][0]]
            for resource in listed(statement["Resource"]):
                # A list or a description of all there is.
                of_all = resource == "*" and all(
                    action.split(":")[1].startswith(("Describe", "List")) for action in actions
                )
                assert of_all or any(fnmatch.fnmatchcase(resource, one) for one in taken), resource
            for action in actions:
                # A resource of each kind that the action asks for.
                if action.startswith("rds:Create"):
                    for pattern in REFERENCE[action][0]:
                        assert fnmatch.filter(listed(statement["Resource"]), pattern), action
                for keys in statement.get("Condition", {}).values():
                    for key in keys:
                        known = REFERENCE[action][1]
                        assert any(fnmatch.fnmatchcase(key, one) for one in known), (action, key)


SERVICES = {"ScheduleRole": "scheduler.amazonaws.com", "HttpApiRole": "apigateway.amazonaws.com"}


def test_a_role_is_for_its_service_of_this_account_alone(roles):
    for name, role in roles.items():
        [statement] = role.trust["Statement"]
        assert statement["Effect"] == "Allow"
        assert statement["Action"] == "sts:AssumeRole"
        assert statement["Principal"] == {"Service": SERVICES.get(name, "states.amazonaws.com")}
        # API Gateway does not say that it tells whose API it is.
        if name != "HttpApiRole":
            assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
        assert role.attached == []
