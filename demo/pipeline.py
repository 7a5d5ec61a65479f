"""The ways in without CloudFormation (`demo.py --check`): the step of examples/github-actions.yml,
and the state machine of examples/step-functions.yaml, against the deployed function."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import yaml
from machine import ROOT, Trouble

STACK = "pipeline"
SECRET = "demo/demo2"
PATIENCE = 60  # seconds

# `aws lambda invoke` as the workflow writes it; the real command is no part of the demo.
AWS = """\
#!{python}
import argparse, json, sys
import boto3
parser = argparse.ArgumentParser()
for name in ("service", "action", "outfile"):
    parser.add_argument(name)
for name in ("function-name", "cli-read-timeout", "cli-binary-format", "payload", "query", "output"):
    parser.add_argument("--" + name, required=True)
given = parser.parse_args()
assert (given.service, given.action) == ("lambda", "invoke"), given
assert (given.query, given.output) == ("FunctionError", "text"), given
assert given.cli_binary_format == "raw-in-base64-out" and int(given.cli_read_timeout) > 900, given
payload = open(given.payload.removeprefix("file://"), "rb").read()
answer = boto3.client("lambda").invoke(FunctionName=given.function_name, Payload=payload)
open(given.outfile, "wb").write(answer["Payload"].read())
print(answer.get("FunctionError"))
"""


def example(name):
    with open(os.path.join(ROOT, "examples", name)) as source:
        return source.read()


class Workflow:
    """The step of the workflow that runs a shell, as a runner of GitHub's would run it."""

    def __init__(self, demo, function, folder):
        steps = yaml.safe_load(example("github-actions.yml"))["jobs"]["extensions"]["steps"]
        [self.step] = [step for step in steps if "run" in step]
        self.folder = folder
        self.summary = os.path.join(folder, "summary")
        shim = os.path.join(folder, "aws")
        with open(shim, "w") as out:
            out.write(AWS.format(python=sys.executable))
        os.chmod(shim, 0o755)
        self.environment = {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "HOME": folder,
            "TMPDIR": folder,
            "GITHUB_STEP_SUMMARY": self.summary,
            **demo.aws.environment(),
            **self.step["env"],
            "FUNCTION": function,
        }

    def run(self, properties):
        """Exit code and output of the step for a request."""
        with open(os.path.join(self.folder, self.step["env"]["REQUEST"]), "w") as out:
            json.dump({"RequestType": "Create", "ResourceProperties": properties}, out)
        done = subprocess.run(
            ["bash", "-e", "-c", self.step["run"]],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout


def workflow(demo, function, root_cert):
    demo.screen.line("  The step of examples/github-actions.yml")
    if not shutil.which("jq"):
        demo.screen.note("skipped: it needs the jq command")
        return
    with tempfile.TemporaryDirectory(prefix="cfn-demo-") as folder:
        step = Workflow(demo, function, folder)
        usual = {"DBSecret": SECRET, "SslRootCert": root_cert}
        code, output = step.run({**usual, "PluginsMap": {"unaccent": "any"}})
        demo.expect_in("it prints what changed", output, "created unaccent ", "after: hstore 1.7")
        demo.expect("its exit code", code, 0)
        with open(step.summary) as summary:
            demo.expect_in("the summary of the run", summary.read(), "`created unaccent ")
        before = demo.extensions()
        code, output = step.run({**usual, "PluginsMap": {"pgvector": "any"}})
        demo.expect("its exit code for a request that fails", code, 1)
        demo.expect_in("the error that it shows", output, "::error ", "pgvector", "nothing was changed")
        demo.expect("the extensions of all databases", demo.extensions(), before)


def execute(demo, arn):
    """One execution, from its start to its end."""
    client = demo.aws.client("stepfunctions")
    execution = client.start_execution(stateMachineArn=arn)["executionArn"]
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = client.describe_execution(executionArn=execution)
        if found["status"] != "RUNNING":
            return found
        time.sleep(0.1)
    raise Trouble("the execution of the state machine never ended")


def state_machine(demo):
    demo.screen.line("  The state machine of examples/step-functions.yaml")
    # The one line that RDS needs not: the throwaway server has an authority of its own.
    secret = "                  DBSecret: ${DBSecret}\n"
    template = example("step-functions.yaml")
    if template.count(secret) != 1:
        raise Trouble(f"step-functions.yaml does not hold {secret!r} exactly once")
    template = template.replace(secret, secret + "                  SslMode: require\n")
    for text, status in ((template, "SUCCEEDED"), (template.replace("'1.7'", "'9.9'"), "FAILED")):
        outcome = demo.stacks.deploy(STACK, text, {"DBSecret": SECRET})
        demo.expect("the stack", outcome.status.split("_")[1], "COMPLETE")
        found = execute(demo, demo.stacks.outputs(STACK)["StateMachineArn"])
        demo.expect("the execution", found["status"], status)
        if status == "SUCCEEDED":
            changes = json.loads(found["output"])["Changes"]
            demo.expect_in("its output", changes, "created pgcrypto ")
        else:
            demo.expect("its error", found["error"], "Failed")
            demo.expect_in("its cause", found["cause"], "9.9", "nothing was changed")
    demo.expect_end(demo.stacks.delete(STACK), "DELETE_COMPLETE")


def check(demo, function, root_cert):
    """All of it; `function` is the ARN of the function that demo.py deployed."""
    demo.screen.title("From a pipeline, without CloudFormation")
    workflow(demo, function, root_cert)
    state_machine(demo)
