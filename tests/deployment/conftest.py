"""A local AWS, a PostgreSQL server, and template.yaml deployed with the built function."""

import json

import local_aws
import postgres
import prerequisites
import pytest
from deployment import USER_DATABASES, Deployment

# Each module has databases of its own.
DATABASES = (
    *USER_DATABASES,
    *("organisation", "permissions", "pipeline", "responder"),
    *("terraform", "terraform_module", "terraform_one", "terraform_two"),
)


@pytest.fixture(scope="session")
def aws():
    with local_aws.started() as aws:
        yield aws


@pytest.fixture(scope="session")
def server():
    with postgres.cluster(bin=prerequisites.server()) as server:
        yield server


@pytest.fixture(scope="session")
def deployment(aws, server):
    deployment = Deployment(aws, server)
    deployment.create_databases(*DATABASES)
    outcome = deployment.deploy(DATABASES)
    assert outcome.status == "CREATE_COMPLETE", outcome.reasons
    return deployment


@pytest.fixture(scope="session")
def invoke(deployment):
    """Invokes a function and waits: (function error or None, result)."""
    client = deployment.aws.client("lambda")

    def invoke(function, payload):
        answer = client.invoke(FunctionName=function, Payload=json.dumps(payload))
        return answer.get("FunctionError"), json.load(answer["Payload"])

    return invoke


@pytest.fixture(scope="session")
def failure(deployment, invoke):
    """Sends a direct request that must fail; returns the response."""

    def failure(properties):
        properties = {"PluginsMap": {"hstore": "any"}, "ServiceTimeout": "3", **properties}
        event = {"RequestType": "Create", "ResourceProperties": properties}
        error, result = invoke(deployment.function, event)
        assert error, result
        return json.loads(result["errorMessage"])

    return failure
