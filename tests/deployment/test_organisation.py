"""template.yaml with what an organisation may demand of every stack, beside the stack without it."""

import io
import json
import zipfile

import pytest
from stacks import evaluate

STACK = "organisation"
BOUNDARY = "arn:aws:iam::000000000000:policy/boundaries/applications"
PATH = "/service/databases/"
RESOURCES = {"DBSecret": "demo/organisation", "PluginsMap": {"hstore": "any"}}
PROBLEM_WITH_ROOTS = "authority that is not trusted here"


@pytest.fixture(scope="module")
def parameters(aws, deployment):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("root.pem", deployment.root_cert())
    layer = aws.client("lambda").publish_layer_version(
        LayerName="authorities", Content={"ZipFile": archive.getvalue()}
    )
    return {
        "SslRootCertLayerArn": layer["LayerVersionArn"],
        # The local AWS does not unpack layers into /opt: the file is where the server has it.
        "SslRootCertPath": deployment.server.ca,
        "ReservedConcurrency": "3",
        "LogKmsKeyArn": aws.client("kms").create_key()["KeyMetadata"]["Arn"],
        "Tracing": "Active",
        "PermissionsBoundaryArn": BOUNDARY,
        "RolePath": PATH,
    }


@pytest.fixture(scope="module")
def functions(deployment, parameters):
    """The configurations of the two functions of the organisation's stack."""
    outcome = deployment.deploy(["organisation"], name=STACK, **parameters)
    assert outcome.status == "CREATE_COMPLETE", outcome.reasons
    return [deployment.configuration(name) for name in (STACK, f"{STACK}-responder")]


@pytest.fixture(scope="module")
def others(deployment):
    """The configurations of the two functions of the stack that has none of it."""
    function = deployment.function
    return [deployment.configuration(name) for name in (function, f"{function}-responder")]


def test_the_functions_trust_the_authorities_in_the_layer(deployment, functions, invoke):
    event = {"RequestType": "Create", "ResourceProperties": RESOURCES}
    error, result = invoke(functions[0]["FunctionArn"], event)
    assert error is None, result
    assert "hstore" in deployment.extensions("organisation")["organisation"]


def test_the_layer_is_of_the_function_alone(functions, parameters):
    layers = [[one["Arn"] for one in function.get("Layers", [])] for function in functions]
    assert layers == [[parameters["SslRootCertLayerArn"]], []]


def test_without_the_layer_these_authorities_are_not_trusted(others, failure):
    assert "PGSSLROOTCERT" not in others[0]["Environment"]["Variables"]
    assert PROBLEM_WITH_ROOTS in failure(RESOURCES)["Reason"]


def test_a_file_that_the_layer_lacks_is_named(deployment, parameters, invoke):
    more = {**parameters, "SslRootCertPath": "/opt/root.pem"}
    outcome = deployment.deploy(["organisation"], name="no-file", **more)
    assert outcome.status == "CREATE_COMPLETE", outcome.reasons
    event = {"RequestType": "Create", "ResourceProperties": {**RESOURCES, "ServiceTimeout": "3"}}
    error, result = invoke("no-file", event)
    assert error, result
    reason = json.loads(result["errorMessage"])["Reason"]
    assert "/opt/root.pem" in reason and "`SslRootCertPath` of the function's stack" in reason


def test_the_roles_are_at_the_path(functions, others):
    path = f"arn:aws:iam::000000000000:role{PATH}"
    assert all(function["Role"].startswith(path) for function in functions)
    assert all(function["Role"].count("/") == 1 for function in others)


def test_both_functions_are_traced_and_may_be(aws, functions):
    for function in functions:
        assert function["TracingConfig"] == {"Mode": "Active"}
        for action in ("xray:PutTraceSegments", "xray:PutTelemetryRecords"):
            assert aws.simulate(function["Role"], action, "*") == "allowed"
        assert aws.simulate(function["Role"], "xray:GetTraceSummaries", "*") == "implicitDeny"


def test_without_tracing_no_function_may_send_traces(aws, others):
    for function in others:
        assert function["TracingConfig"] == {"Mode": "PassThrough"}
        assert aws.simulate(function["Role"], "xray:PutTraceSegments", "*") == "implicitDeny"


def test_both_logs_are_encrypted_with_the_key(aws, parameters, functions, others):
    groups = aws.client("logs").describe_log_groups()["logGroups"]
    keys = {group["logGroupName"]: group.get("kmsKeyId") for group in groups}
    for function in functions:
        assert keys[function["LoggingConfig"]["LogGroup"]] == parameters["LogKmsKeyArn"]
    for function in others:
        assert keys[function["LoggingConfig"]["LogGroup"]] is None


# The local AWS takes no boundary and no reserved concurrency from a stack: these tests evaluate what
# CloudFormation gets.
@pytest.mark.parametrize("resource, name, value", [
    ("Role", "PermissionsBoundary", BOUNDARY),
    ("ResponderRole", "PermissionsBoundary", BOUNDARY),
    ("Function", "ReservedConcurrentExecutions", "3"),
])  # fmt: skip
def test_the_template_gives(deployment, functions, parameters, resource, name, value):
    client = deployment.stacks.cloudformation
    template = client.get_template(StackName=STACK, TemplateStage="Processed")["TemplateBody"]
    declared = template["Resources"][resource]["Properties"][name]
    assert evaluate(declared, template, parameters) == value
    assert evaluate(declared, template, {}) is None
