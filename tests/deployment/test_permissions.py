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


CONNECT = "rds-db:connect"
READ = "secretsmanager:GetSecretValue"


@pytest.mark.parametrize("action, change, decision", [
    pytest.param(CONNECT, None, "allowed", id="connect as a listed database role"),
    pytest.param(CONNECT, ("/deployer", "/other"), "implicitDeny", id="connect as another role"),
    pytest.param(CONNECT, ("db-EXAMPLE", "db-OTHER"), "implicitDeny", id="connect elsewhere"),
])  # fmt: skip
def test_database_roles(aws, role, action, change, decision):
    resource = IAM_USER_ARN.replace(*change) if change else IAM_USER_ARN
    assert aws.simulate(role, action, resource) == decision


@pytest.mark.parametrize("action, change, decision", [
    pytest.param(READ, None, "allowed", id="read a listed secret"),
    pytest.param(READ, ("permissions", "unlisted"), "implicitDeny", id="read another secret"),
    pytest.param("secretsmanager:PutSecretValue", None, "implicitDeny", id="change a secret"),
])  # fmt: skip
def test_secrets(aws, deployment, role, action, change, decision):
    resource = deployment.secret_arn("permissions")
    resource = resource.replace(*change) if change else resource
    assert aws.simulate(role, action, resource) == decision


def test_the_role_may_assume_no_role(aws, role):
    assert aws.simulate(role, "sts:AssumeRole", role) == "implicitDeny"


def test_a_secret_that_exists_and_is_not_listed_cannot_be_read(aws, failure):
    aws.client("secretsmanager").create_secret(Name="other/database", SecretString="{}")
    reason = failure({"DBSecret": "other/database"})["Reason"]
    assert "AccessDenied" in reason
    assert "SecretArns" in reason
