"""What these tests rely on: the emulator behaves like Step Functions, faults look like AWS's, and
the replay notices a difference."""

import contextlib
import json
import os
import subprocess

import botocore.exceptions
import faults
import pytest
from local_aws import LocalAws


@pytest.fixture(scope="module")
def local():
    """A local AWS of its own, with an empty table, and the proxy before it."""
    with faults.local_aws_between() as (aws, services):
        aws.client("dynamodb").create_table(
            TableName="numbers",
            KeySchema=[{"AttributeName": "Key", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "Key", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield aws, services


@pytest.fixture(scope="module")
def run(local):
    """Runs states as a machine whose role may do the actions, or has the statements; returns the
    described execution."""
    aws, _ = local
    iam, states = aws.client("iam"), aws.client("stepfunctions")

    def run(definition, allowed=(), value="{}"):
        name = f"machine-{len(states.list_state_machines()['stateMachines'])}"
        trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}}
        trust = {"Version": "2012-10-17", "Statement": [{**trust, "Action": "sts:AssumeRole"}]}
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        if allowed:
            statements = [
                {
                    "Effect": "Allow",
                    "Resource": "*",
                    **(one if isinstance(one, dict) else {"Action": one}),
                }
                for one in allowed
            ]
            policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy)
        machine = states.create_state_machine(
            name=name, definition=json.dumps(definition), roleArn=role["Arn"]
        )["stateMachineArn"]
        execution = states.start_execution(stateMachineArn=machine, input=value)["executionArn"]

        def ended():
            found = states.describe_execution(executionArn=execution)
            return found if found["status"] != "RUNNING" else None

        return aws.wait_for("the execution ends", ended)

    return run


def machine(**states):
    """A definition in JSONata, of states in this order."""
    names = list(states)
    for name, following in zip(names, [*names[1:], None], strict=True):
        states[name] |= {"Next": following} if following else {"End": True}
    return {"QueryLanguage": "JSONata", "StartAt": names[0], "States": states}


def task(service, action, **arguments):
    resource = f"arn:aws:states:::aws-sdk:{service}:{action}"
    return {"Type": "Task", "Resource": resource, "Arguments": arguments}


GET = task("dynamodb", "getItem", TableName="numbers", Key={"Key": {"S": "x"}})


def test_a_task_may_do_what_the_role_of_the_state_machine_allows(run):
    assert run(machine(Get=dict(GET)), ["dynamodb:GetItem"])["status"] == "SUCCEEDED"
    refused = run(machine(Get=dict(GET)))
    assert refused["status"] == "FAILED"
    assert "is not authorized to perform: dynamodb:GetItem" in refused["cause"]


@pytest.fixture(scope="module")
def snapshots(local):
    """The client of RDS, an instance `app`, and a snapshot of it: `ours-1`, with the tag By=us."""
    rds = local[0].client("rds")
    rds.create_db_instance(
        DBInstanceIdentifier="app",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="postgres",
        ManageMasterUserPassword=True,
    )
    tags = [{"Key": "By", "Value": "us"}]
    rds.create_db_snapshot(DBInstanceIdentifier="app", DBSnapshotIdentifier="ours-1", Tags=tags)
    return rds


OURS = "arn:aws:rds:*:*:snapshot:ours-*"
CREATE = [
    {"Action": "rds:CreateDBSnapshot", "Resource": [OURS, "arn:aws:rds:*:*:db:*"]},
    {
        "Action": "rds:AddTagsToResource",
        "Resource": OURS,
        "Condition": {"StringEquals": {"aws:RequestTag/By": "us"}},
    },
]


@pytest.mark.parametrize("name, by, allowed, refused", [
    pytest.param("ours-2", "us", CREATE, False, id="as the policy says"),
    pytest.param("other", "us", CREATE, True, id="another name"),
    pytest.param("ours-2", "me", CREATE, True, id="another tag"),
    pytest.param("ours-2", "us", CREATE[:1], True, id="no right to tag"),
])  # fmt: skip
def test_to_create_a_snapshot_asks_for_its_name_and_tags(
    run, snapshots, name, by, allowed, refused
):
    tags = [{"Key": "By", "Value": by}]
    names = {"DbInstanceIdentifier": "app", "DbSnapshotIdentifier": name}
    done = run(machine(Create=task("rds", "createDBSnapshot", **names, Tags=tags)), allowed)
    assert ("is not authorized to perform" in done.get("cause", "")) == refused
    assert len(snapshots.describe_db_snapshots()["DBSnapshots"]) == 2 - refused
    if not refused:
        snapshots.delete_db_snapshot(DBSnapshotIdentifier=name)


@pytest.mark.parametrize("by, resource, refused", [
    ("me", OURS, True),
    ("us", "arn:aws:rds:*:*:snapshot:others-*", True),
    ("us", OURS, False),
])  # fmt: skip
def test_to_delete_a_snapshot_asks_for_its_name_and_tags(run, snapshots, by, resource, refused):
    condition = {"StringEquals": {"aws:ResourceTag/By": by}}
    allowed = {"Action": "rds:DeleteDBSnapshot", "Resource": resource, "Condition": condition}
    delete = task("rds", "deleteDBSnapshot", DbSnapshotIdentifier="ours-1")
    done = run(machine(Delete=delete), [allowed])
    assert ("is not authorized to perform" in done.get("cause", "")) == refused
    assert len(snapshots.describe_db_snapshots()["DBSnapshots"]) == refused


INSTANCES, SECRETS = "describeDBInstances", "listSecrets"


@pytest.mark.parametrize(
    "service, action, code, error",
    [
        ("dynamodb", "getItem", "ThrottlingException", "DynamoDb.ThrottlingException"),
        ("dynamodb", "getItem", "InternalServerError", "DynamoDb.InternalServerErrorException"),
        ("rds", INSTANCES, "Throttling", "Rds.RdsException"),
        ("rds", INSTANCES, "InvalidDBInstanceState", "Rds.InvalidDbInstanceStateException"),
        ("rds", INSTANCES, "KMSKeyNotAccessibleFault", "Rds.KmsKeyNotAccessibleException"),
        ("rds", INSTANCES, "AccessDenied", "Rds.RdsException"),
        (
            "secretsmanager",
            SECRETS,
            "ThrottlingException",
            "SecretsManager.SecretsManagerException",
        ),
    ],
)
def test_an_error_has_the_name_of_the_sdk_for_java(run, local, service, action, code, error):
    call = dict(GET) if service == "dynamodb" else task(service, action)
    name = action[0].upper() + action[1:]
    with local[1].faulty(name, faults.fails(code, "db")) as fault:
        failed = run(machine(Call=call), ["*"])
    assert failed["error"] == error
    status = faults.ERRORS[code][1]
    assert f"(Service: {error.split('.')[0]}, Status Code: {status}, " in failed["cause"]
    assert fault.calls == 1


def test_a_retry_gets_over_a_fault_that_passes(run, local):
    retry = [{"ErrorEquals": ["DynamoDb.ThrottlingException"], "MaxAttempts": 2}]
    with local[1].faulty("GetItem", faults.fails("ThrottlingException"), times=2) as fault:
        assert run(machine(Get=GET | {"Retry": retry}), ["*"])["status"] == "SUCCEEDED"
    assert fault.calls == 2


def test_a_child_of_a_distributed_map_knows_nothing_of_its_parent(run):
    seen = {
        "outer": "{% $exists($outer) %}",
        "map": "{% $exists($states.context.Map) %}",
        "id": "{% $states.context.Execution.Id %}",
        "input": "{% $states.context.Execution.Input %}",
    }
    child = machine(See={"Type": "Pass", "QueryLanguage": "JSONata", "Output": seen})
    child["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    outer = {"Type": "Pass", "QueryLanguage": "JSONata", "Assign": {"outer": 1}}
    each = {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": child}
    definition = {**machine(Outer=outer, Each=each), "QueryLanguage": "JSONPath"}
    ended = run(definition, value='{"items": ["a"]}')
    (seen,) = json.loads(ended["output"])
    assert seen.pop("id") != ended["executionArn"]
    assert seen == {"outer": False, "map": False, "input": "a"}


@pytest.mark.parametrize(
    "service, call, code",
    [
        ("rds", "describe_db_instances", "Throttling"),
        ("rds", "describe_db_instances", "InvalidDBInstanceState"),
        ("rds", "describe_db_instances", "InvalidDBClusterStateFault"),
        ("rds", "describe_db_instances", "InvalidDBSnapshotState"),
        ("rds", "describe_db_instances", "InvalidDBClusterSnapshotStateFault"),
        ("rds", "describe_db_instances", "SnapshotQuotaExceeded"),
        ("rds", "describe_db_instances", "AccessDenied"),
        ("rds", "describe_db_instances", "InvalidParameterValue"),
        ("rds", "describe_db_instances", "KMSKeyNotAccessibleFault"),
        ("rds", "describe_db_instances", "InternalFailure"),
        ("dynamodb", "list_tables", "ThrottlingException"),
        ("dynamodb", "list_tables", "ProvisionedThroughputExceededException"),
        ("dynamodb", "list_tables", "TransactionCanceledException"),
        ("dynamodb", "list_tables", "InternalServerError"),
        ("secretsmanager", "list_secrets", "ThrottlingException"),
        ("lambda", "invoke", "TooManyRequestsException"),
    ],
)
def test_a_fault_is_what_the_models_of_the_services_describe(local, service, call, code):
    _, services = local
    client = LocalAws(services.endpoint).client(service)
    arguments = {"FunctionName": "f", "Payload": "{}"} if call == "invoke" else {}
    action = client.meta.method_to_api_mapping[call]
    with (
        services.faulty(action, faults.fails(code, "db")),
        pytest.raises(botocore.exceptions.ClientError) as raised,
    ):
        getattr(client, call)(**arguments)
    assert raised.value.response["Error"]["Code"] == code
    assert raised.value.response["Error"]["Message"]
    with contextlib.suppress(AttributeError):
        # An error of the model has a class of its own.
        assert type(raised.value) is client.exceptions.from_code(code)


EVALUATION = {"expression": "$partition($states.input, 2)", "states": {"input": [1, 2, 3]}}


@pytest.mark.parametrize(
    "outcome, code",
    [({"result": [[1, 2], [3]]}, 0), ({"result": [[1, 2], [4]]}, 1), ({"error": "failed"}, 1)],
)
def test_the_replay_fails_where_a_result_differs(tmp_path, outcome, code):
    file = tmp_path / "evaluations.jsonl"
    file.write_text(json.dumps({**EVALUATION, "variables": {}, **outcome}))
    replay = ["node", os.path.join(faults.HERE, "replay.mjs"), str(file)]
    assert subprocess.run(replay, capture_output=True).returncode == code


def test_what_is_recorded_is_what_was_evaluated(local, run):
    expression, states = "$states.input.a + 1", {"input": {"a": 41}}
    run(machine(Pass={"Type": "Pass", "Output": f"{{% {expression} %}}"}), value='{"a": 41}')
    found = faults.recorded(local[0], "evaluations")
    assert [one for one in found if one["expression"] == expression] == [
        {"expression": expression, "states": states, "variables": {}, "result": 42}
    ]
