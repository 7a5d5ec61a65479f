"""A stand-in for API Gateway in front of Step Functions, which the local AWS lacks: it reads the
routes and integrations that a stack deployed, and does what API Gateway documents for them
(developer guide: "Create AWS service integrations for HTTP APIs", "Transform API requests and
responses for HTTP APIs"). It takes no expression that is not documented there."""

import functools
import json
import re
import secrets
import urllib.parse

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from local_aws import REGION

# Of each subtype: the method of boto3, and its parameters, by their names in the integration.
SUBTYPES = {
    "StepFunctions-StartExecution": (
        "start_execution",
        {"StateMachineArn": "stateMachineArn", "Name": "name", "Input": "input"},
    ),
    "StepFunctions-StartSyncExecution": (
        "start_sync_execution",
        {"StateMachineArn": "stateMachineArn", "Name": "name", "Input": "input"},
    ),
}
# Step Functions refuses them in the name of an execution.
REFUSED_IN_NAMES = re.compile(r"""[\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]""")


class Response:
    """What the caller gets."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)


class HttpApi:
    """The HTTP API of a stack; `request()` calls it as somebody whom IAM has let through."""

    def __init__(self, aws, stack):
        self.aws = aws
        cloudformation = aws.client("cloudformation")
        found = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
        physical = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}
        [api] = [
            one["PhysicalResourceId"]
            for one in found
            if one["ResourceType"] == "AWS::ApiGatewayV2::Api"
        ]
        gateway = aws.client("apigatewayv2")
        self.routes = gateway.get_routes(ApiId=api)["Items"]
        self.integrations = {
            one["IntegrationId"]: one for one in gateway.get_integrations(ApiId=api)["Items"]
        }
        # The local AWS forgets these two.
        template = cloudformation.get_template(StackName=stack, TemplateStage="Processed")
        for name, resource in template["TemplateBody"]["Resources"].items():
            if resource["Type"] == "AWS::ApiGatewayV2::Integration":
                integration = self.integrations[physical[name]]
                integration["IntegrationSubtype"] = resource["Properties"]["IntegrationSubtype"]
                role, attribute = resource["Properties"]["CredentialsArn"]["Fn::GetAtt"]
                assert attribute == "Arn"
                integration["CredentialsRole"] = physical[role]

    def request(self, method, path, body=None):
        """Call it; returns the Response."""
        # Of the form that API Gateway's documentation shows: JKJaXmPLvHcESHA=
        context = {"requestId": secrets.token_urlsafe(11) + "="}
        for route in self.routes:
            if (parameters := matched(route["RouteKey"], method, path)) is not None:
                break
        else:
            return Response(404, {}, json.dumps({"message": "Not Found"}))
        integration = self.integrations[route["Target"].removeprefix("integrations/")]
        operation, names = SUBTYPES[integration["IntegrationSubtype"]]
        arguments = {}
        for name, source in integration["RequestParameters"].items():
            value = evaluated(source, {"body": body, "path": parameters}, context)
            if value is None:
                # API Gateway documents nothing for a value that is not there.
                message = f"the request has no {source} for {name}"
                return Response(400, {}, json.dumps({"message": message}))
            arguments[names[name]] = value
        status, result = self._call(integration["CredentialsRole"], operation, arguments)
        headers = {}
        # In CloudFormation's form, which the local AWS keeps.
        mappings = integration["ResponseParameters"].get(str(status), {})
        for mapping in mappings.get("ResponseParameters", ()):
            action, header = mapping["Destination"].split(":header.")
            assert action == "append"
            headers[header] = evaluated(mapping["Source"], {}, context)
        return Response(status, headers, json.dumps(result, default=str))

    def _call(self, role, operation, arguments):
        """Call Step Functions with the integration's role: (status, what it answers)."""
        if error := refusal(arguments):
            return 400, {"__type": error}
        try:
            result = getattr(self._client(role), operation)(**arguments)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            said = error.response["Error"]
            return status, {"__type": said["Code"], "message": said["Message"]}
        return result.pop("ResponseMetadata")["HTTPStatusCode"], result

    @functools.cache
    def _client(self, role):
        """Step Functions with the role's credentials."""
        arn = self.aws.client("iam").get_role(RoleName=role)["Role"]["Arn"]
        assumed = self.aws.client("sts").assume_role(RoleArn=arn, RoleSessionName="apigateway")
        return boto3.client(
            "stepfunctions",
            endpoint_url=self.aws.endpoint,
            region_name=REGION,
            aws_access_key_id=assumed["Credentials"]["AccessKeyId"],
            aws_secret_access_key=assumed["Credentials"]["SecretAccessKey"],
            aws_session_token=assumed["Credentials"]["SessionToken"],
            config=Config(inject_host_prefix=False, retries={"total_max_attempts": 1}),
        )


def refusal(arguments):
    """The error of Step Functions for arguments that the local AWS takes."""
    if not 1 <= len(arguments["name"]) <= 80 or REFUSED_IN_NAMES.search(arguments["name"]):
        return "InvalidName"
    try:
        json.loads(arguments["input"])
    except ValueError:
        return "InvalidExecutionInput"
    return None


def matched(route_key, method, path):
    """The path's parameters where a route is meant, else None."""
    wanted, pattern = route_key.split(" ")
    expression = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(pattern))
    found = re.fullmatch(expression, path)
    if method != wanted or not found:
        return None
    return {name: urllib.parse.unquote(value) for name, value in found.groupdict().items()}


def evaluated(source, request, context):
    """The value of a documented expression; None where the request lacks it."""
    if source == "$request.body":
        return request["body"]
    if found := re.fullmatch(r"\$request\.path\.(\w+)", source):
        return request["path"].get(found[1])
    if found := re.fullmatch(r"\$context\.(\w+)", source):
        return context[found[1]]
    if "$" in source:
        raise ValueError(f"API Gateway documents no expression `{source}`")
    return source
