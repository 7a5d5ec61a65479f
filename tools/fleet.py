"""What the demo and the tests share of the fleet: fleet/template.yaml in a local AWS, the databases
that it finds, and its runs."""

import itertools
import json
import os
import re
import subprocess

import yaml
from boto3.dynamodb.types import TypeDeserializer
from deployment import ROOT
from local_aws import ACCOUNT, REGION, Failure

STACK = "fleet"  # of fleet/template.yaml
TAG = "PostgresExtensions"
# The function of the tests may read every secret of the fleet, and no other.
SECRETS = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:fleet/*"
# An emulator's wait of 30 s takes 0.3 s.
SETTINGS = {"SFN_WAIT_SCALE": "0.01"}


class Fleet:
    """The fleet of a Deployment. `deploy()` brings the stack there, `add()` databases."""

    def __init__(self, deployment, stack=STACK):
        self.deployment = deployment
        self.aws = deployment.aws
        self.stack = stack
        self.outputs = {}
        self.numbers = itertools.count(1)
        self.states = self.aws.client("stepfunctions")
        self.secrets = self.aws.client("secretsmanager")
        self.dynamodb = self.aws.client("dynamodb")

    def deploy(self, **parameters):
        """Deploy fleet/template.yaml, with the template's parameters; returns the Outcome."""
        parameters = {"FunctionName": self.deployment.function.rsplit(":", 1)[1], **parameters}
        outcome = self.deployment.stacks.deploy(self.stack, self.packaged_template(), parameters)
        if outcome.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            self.outputs = self.deployment.stacks.outputs(self.stack)
        return outcome

    def packaged_template(self):
        """What `sam package` does: the definitions go to S3, their URIs into the template. AWS
        reads YAML there too, the emulator JSON alone."""
        s3 = self.aws.client("s3")

        def upload(found):
            with open(os.path.join(ROOT, "fleet", found.group(2))) as source:
                definition = json.dumps(yaml.safe_load(source))
            key = f"{self.stack}/{found.group(2)}.json"
            s3.put_object(Bucket="code", Key=key, Body=definition.encode())
            return f"{found.group(1)} s3://code/{key}"

        with open(os.path.join(ROOT, "fleet", "template.yaml")) as source:
            return re.sub(r"(?m)^( +DefinitionUri:) (\S+)$", upload, source.read())

    # The databases

    def add(self, names, wave, **secret):
        """Databases on the deployment's server, and for each the secret `fleet/<name>` with the
        tag; `secret` adds to its JSON, as in `dbInstanceIdentifier="app"`."""
        sql = "".join(f"CREATE DATABASE {name};\n" for name in names)
        self.psql("postgres", sql)
        for name in names:
            self.add_secret(name, wave, dbname=name, **secret)

    def add_secret(self, name, wave, **secret):
        """The secret `fleet/<name>`, of the deployment's server but for what `secret` says."""
        server = self.deployment.server
        text = {
            "engine": "postgres",
            "host": server.host,
            "port": server.port,
            "username": server.user,
            "password": server.password,
            **secret,
        }
        self.secrets.create_secret(
            Name=f"fleet/{name}",
            SecretString=json.dumps(text),
            Tags=[{"Key": TAG, "Value": wave}],
        )

    def forget(self, *names):
        """Delete the secrets: runs do not find these databases any more."""
        for name in names:
            self.secrets.delete_secret(SecretId=f"fleet/{name}", ForceDeleteWithoutRecovery=True)

    def psql(self, database, sql):
        """What psql prints for statements of any number."""
        server = self.deployment.server
        done = subprocess.run(
            [os.path.join(server.bin, "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **server.libpq()},
            input=sql,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise Failure(f"psql failed on {database}: {done.stdout.strip()}")
        return done.stdout.strip()

    # The runs

    def start(self, run=None, **given):
        """Start an execution with this input; returns the run's id."""
        run = run or f"run-{next(self.numbers)}"
        self.states.start_execution(
            stateMachineArn=self.outputs["StateMachineArn"], name=run, input=json.dumps(given)
        )
        return run

    def execution(self, run):
        """The description of a run's execution: `status`, `output`, `error`, `cause`, ..."""
        arn = self.outputs["StateMachineArn"].replace(":stateMachine:", ":execution:") + f":{run}"
        return self.states.describe_execution(executionArn=arn)

    def wait(self, run):
        """Wait for the end of a run's execution; returns its description."""

        def ended():
            found = self.execution(run)
            return found["status"] != "RUNNING" and found

        return self.aws.wait_for(f"the run {run} ends", ended)

    def run(self, run=None, **given):
        """Start a run and wait for its end; returns its id and the execution's description."""
        run = self.start(run, **given)
        return run, self.wait(run)

    def call(self, output, given):
        """Execute an EXPRESS state machine, by its output of the stack; returns its own output."""
        done = self.states.start_sync_execution(
            stateMachineArn=self.outputs[output], input=json.dumps(given)
        )
        if done["status"] != "SUCCEEDED":
            raise Failure(f"{output}: {done.get('error')}: {done.get('cause')}")
        return json.loads(done["output"])

    def status(self, run):
        """What the status workflow gives, all its pages in one."""
        found = self.call("StatusStateMachineArn", {"Run": run})
        while after := found.pop("Next", None):
            page = self.call("StatusStateMachineArn", {"Run": run, "Next": after})
            found["Databases"] += page["Databases"]
            found["Next"] = page.get("Next")
        return found

    def table(self, run=None):
        """The items of the table, as plain values; of one run or of all."""
        given = {"TableName": self.outputs["TableName"], "ConsistentRead": True}
        if run:
            given["KeyConditionExpression"] = "Run = :run"
            given["ExpressionAttributeValues"] = {":run": {"S": run}}
        pages = self.dynamodb.get_paginator("query" if run else "scan").paginate(**given)
        value = TypeDeserializer().deserialize
        return [
            {key: value(found) for key, found in item.items()}
            for page in pages
            for item in page["Items"]
        ]

    def databases(self, run):
        """The items of a run's databases, by the name of the secret without `fleet/`."""
        items = [one for one in self.table(run) if one["Item"] != "run"]
        return {one["Database"].removeprefix("fleet/"): one for one in items}

    def executions(self):
        """The ARNs of all executions of the stack's state machines, and of map runs' children."""
        found = []
        for machine in self.states.list_state_machines()["stateMachines"]:
            if machine["name"].split("-")[0] == self.stack:
                found += self._executions(stateMachineArn=machine["stateMachineArn"])
        for arn in list(found):
            for one in self.states.list_map_runs(executionArn=arn)["mapRuns"]:
                found += self._executions(mapRunArn=one["mapRunArn"])
        return found

    def _executions(self, **which):
        pages = self.states.get_paginator("list_executions").paginate(**which)
        return [one["executionArn"] for page in pages for one in page["executions"]]

    def history(self, execution):
        """The events of an execution, by its ARN."""
        pages = self.states.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]
