"""The two functions that are compared: how each is started, and the event that each gets."""

import os
import platform
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
# What `make build` makes: the function as it ships.
ARCHITECTURE = {"aarch64": "arm64"}.get(platform.machine(), "x86_64")
BOOTSTRAP = os.path.join(ROOT, ".aws-sam", ARCHITECTURE, "Function", "bootstrap")

# The part of Lambda's environment that one of the two reads.
LAMBDA = {
    "PATH": os.environ.get("PATH", ""),
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_LAMBDA_FUNCTION_NAME": "bench",
    "AWS_LAMBDA_FUNCTION_VERSION": "1",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_LOG_GROUP_NAME": "bench",
    "AWS_LAMBDA_LOG_STREAM_NAME": "bench",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
}


class Function:
    """A function: its command, and its environment beside Lambda's."""

    def __init__(self, name, command, environment):
        self.name, self.command, self.environment = name, command, environment

    def variables(self, address):
        """The environment, with the address of an emulator of AWS in it."""
        return {
            **LAMBDA,
            "AWS_LAMBDA_RUNTIME_API": address,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": f"http://{address}",
            **self.environment,
        }


def ours(binary, server):
    """This function, with the environment that template.yaml gives it."""
    return Function("this function", [binary], {"PGSSLROOTCERT": server.ca, "SSL_CERT_FILE": "/dev/null"})


def original():
    """The Python original, run by Lambda's own client of the Runtime API."""
    folder = os.path.join(HERE, "original")
    command = [sys.executable, "-m", "awslambdaric", "handler.handler"]
    return Function("the original", command, {"PYTHONPATH": folder, "LAMBDA_TASK_ROOT": folder})


def event(kind, extensions, databases):
    """CloudFormation's event of one kind, `Create` or `Update`; `databases` is a name or a list."""
    properties = {"DBSecret": "bench", "PluginsMap": extensions, "Databases": databases}
    document = {
        "RequestType": kind,
        "ServiceToken": "arn",
        "RequestId": "3e4f5a6b",
        "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/bench/1",
        "LogicalResourceId": "Extensions",
        "ResourceType": "Custom::PostgresExtensions",
        "ResourceProperties": properties,
    }
    if kind == "Update":
        document.update(PhysicalResourceId="bench", OldResourceProperties=properties)
    return document
