"""What the function's role allows. The local AWS enforces the role's policies, and evaluates them.
What that cannot show is in docs/databases.md."""

import pytest
from deployment import IAM_USER_ARN


@pytest.fixture(scope="module")
def role(deployment):
    return deployment.configuration()["Role"]


def test_the_role_has_these_policies_and_no_others(aws, role):
    iam, name = aws.client("iam"), role.rsplit("/", 1)[1]
    # Without subnets AWS leaves `network` out. The local AWS reads no Fn::Join in a condition, and
    # takes every such condition for true.
    inline = set(iam.list_role_policies(RoleName=name)["PolicyNames"]) - {"network"}
    assert inline == {"iam-authentication", "log", "responder", "secrets"}
    assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == []


def test_the_role_of_the_failure_destination_may_write_its_log_and_no_more(aws, deployment):
    role = deployment.configuration(f"{deployment.function}-responder")["Role"]
    iam, name = aws.client("iam"), role.rsplit("/", 1)[1]
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["log"]
    assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == []


CONNECT, READ, NO = "rds-db:connect", "secretsmanager:GetSecretValue", "implicitDeny"


@pytest.mark.parametrize("action, resource, change, decision", [
    pytest.param(CONNECT, "user", None, "allowed", id="connect as a listed role"),
    pytest.param(CONNECT, "user", ("/deployer", "/x"), NO, id="connect as another role"),
    pytest.param(CONNECT, "user", ("db-EXAMPLE", "db-X"), NO, id="connect elsewhere"),
    pytest.param(READ, "secret", None, "allowed", id="read a listed secret"),
    pytest.param(READ, "secret", ("permissions", "x"), NO, id="read another secret"),
    pytest.param("secretsmanager:PutSecretValue", "secret", None, NO, id="write a secret"),
    pytest.param("sts:AssumeRole", "role", None, NO, id="assume a role"),
    pytest.param("xray:PutTraceSegments", "role", None, NO, id="send traces"),
])  # fmt: skip
def test_the_role_allows(aws, deployment, role, action, resource, change, decision):
    secret = deployment.secret_arn("permissions")
    arn = {"user": IAM_USER_ARN, "secret": secret, "role": role}[resource]
    assert aws.simulate(role, action, arn.replace(*change) if change else arn) == decision


def test_a_secret_that_exists_and_is_not_listed_cannot_be_read(aws, failure):
    aws.client("secretsmanager").create_secret(Name="other/database", SecretString="{}")
    reason = failure({"DBSecret": "other/database"})["Reason"]
    assert "AccessDenied" in reason
    assert "SecretArns" in reason
