"""The function without CloudFormation: the buildspec of docs/pipelines.md, the step of
examples/github-actions.yml, and the state machine of examples/step-functions.yaml."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap

import pytest
import yaml
from deployment import ROOT

DATABASE = "pipeline"


def example(name):
    with open(os.path.join(ROOT, "examples", name)) as source:
        return source.read()


def step():
    """The commands of the workflow, and their variables."""
    steps = yaml.safe_load(example("github-actions.yml"))["jobs"]["extensions"]["steps"]
    [step] = [step for step in steps if "run" in step]
    return step["run"], step["env"]


def buildspec():
    """The same of the buildspec."""
    with open(os.path.join(ROOT, "docs", "pipelines.md")) as source:
        [block] = re.findall(r"(?ms)^ *```yaml\n( *version: 0\.2$.*?)^ *```$", source.read())
    spec = yaml.safe_load(textwrap.dedent(block))
    [commands] = spec["phases"]["build"]["commands"]
    return commands, spec["env"]["variables"]


class Run:
    """Commands for a request, as a runner of GitHub's or CodeBuild runs them."""

    def __init__(self, deployment, folder, plugins_map, commands, variables, function="", **more):
        properties = {
            "DBSecret": f"demo/{DATABASE}",
            "SslRootCert": deployment.root_cert(),
            "PluginsMap": plugins_map,
            **more,
        }
        request = {"RequestType": "Create", "ResourceProperties": properties}
        (folder / variables["REQUEST"]).write_text(json.dumps(request))
        summary = folder / "summary"
        shims = os.path.join(os.path.dirname(__file__), "bin")
        done = subprocess.run(
            ["bash", "-e", "-c", commands],
            cwd=folder,
            env={
                "PATH": f"{shims}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
                "HOME": str(folder),
                "TMPDIR": str(folder),
                "GITHUB_STEP_SUMMARY": str(summary),
                **deployment.aws.environment(),
                **variables,
                "FUNCTION": function or deployment.function,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.code, self.output = done.returncode, done.stdout
        self.summary = summary.read_text() if summary.exists() else ""


def test_requests_of_two_environments_do_not_wait_for_each_other():
    workflow = yaml.safe_load(example("github-actions.yml"))
    environment = workflow["jobs"]["extensions"]["environment"]
    assert "inputs.environment" in environment
    group = {"group": f"extensions-{environment}", "cancel-in-progress": False}
    assert workflow["concurrency"] == group


@pytest.fixture
def pipeline(deployment, tmp_path):
    if not shutil.which("jq"):
        pytest.skip("the commands need jq")
    return lambda plugins_map, of=step, **more: Run(
        deployment, tmp_path, plugins_map, *of(), **more
    )


def test_a_workflow_shows_what_changed(pipeline):
    run = pipeline({"unaccent": "any", "hstore": "1.7"})
    assert run.code == 0, run.output
    assert "created unaccent " in run.output
    assert "after: hstore 1.7" in run.output
    assert "created unaccent " in run.summary
    assert "dry run" not in run.summary


@pytest.mark.parametrize("of", [step, buildspec])
def test_a_plan_is_shown_as_sql_and_changes_nothing(deployment, pipeline, of):
    before = deployment.extensions(DATABASE)
    run = pipeline({"tablefunc": "any"}, of=of, DryRun=True)
    assert run.code == 0, run.output
    assert 'CREATE EXTENSION "tablefunc"' in run.output
    assert "dry run" in (run.summary if of is step else run.output)
    assert deployment.extensions(DATABASE) == before


def test_a_workflow_fails_with_the_reason(deployment, pipeline):
    before = deployment.extensions(DATABASE)
    run = pipeline({"pgvector": "any"})
    assert run.code == 1, run.output
    assert "::error " in run.output
    assert "pgvector" in run.output
    assert "nothing was changed" in run.output
    assert deployment.extensions(DATABASE) == before


def test_a_buildspec_shows_what_changed(pipeline):
    run = pipeline({"fuzzystrmatch": "any"}, of=buildspec)
    assert run.code == 0, run.output
    assert "created fuzzystrmatch " in run.output


def test_a_buildspec_fails_with_the_reason(deployment, pipeline):
    before = deployment.extensions(DATABASE)
    run = pipeline({"pgvector": "any"}, of=buildspec)
    assert run.code == 1, run.output
    assert "nothing was changed" in run.output
    assert "{" not in run.output
    assert deployment.extensions(DATABASE) == before


def test_a_buildspec_that_cannot_invoke_does_not_show_an_older_response(pipeline):
    pipeline({"fuzzystrmatch": "any"}, of=buildspec)
    run = pipeline({"fuzzystrmatch": "any"}, of=buildspec, function="no-such-function")
    assert run.code != 0, run.output
    assert "fuzzystrmatch" not in run.output


@pytest.fixture
def execute(deployment):
    """Deploys the state machine, and executes it once with this input."""
    client, stacks = deployment.aws.client("stepfunctions"), deployment.stacks

    def execute(given):
        template = example("step-functions.yaml")
        # RDS needs no SslMode: the test server's certificate has an authority of its own.
        secret = "                  DBSecret: ${DBSecret}\n"
        template = template.replace(secret, secret + "                  SslMode: require\n")
        outcome = stacks.deploy("pipeline", template, {"DBSecret": f"demo/{DATABASE}"})
        assert outcome.status == "CREATE_COMPLETE", outcome.reasons
        machine = stacks.outputs("pipeline")["StateMachineArn"]
        execution = client.start_execution(stateMachineArn=machine, input=json.dumps(given))
        execution = execution["executionArn"]

        def ended():
            found = client.describe_execution(executionArn=execution)
            return found["status"] != "RUNNING" and found

        return deployment.aws.wait_for("the execution ends", ended)

    yield execute
    outcome = stacks.delete("pipeline")
    assert outcome.status == "DELETE_COMPLETE", outcome.reasons


def test_a_state_machine_outputs_what_changed(execute):
    found = execute({"PluginsMap": {"hstore": "1.7", "pgcrypto": "any"}})
    assert found["status"] == "SUCCEEDED", found
    assert "created pgcrypto " in json.loads(found["output"])["Changes"]


def test_a_state_machine_plans(deployment, execute):
    before = deployment.extensions(DATABASE)
    found = execute({"PluginsMap": {"tablefunc": "any"}, "DryRun": True})
    assert found["status"] == "SUCCEEDED", found
    assert "created tablefunc " in json.loads(found["output"])["Changes"]
    assert deployment.extensions(DATABASE) == before


def test_a_state_machine_needs_a_map(deployment, execute):
    before = deployment.extensions(DATABASE)
    assert execute({})["status"] == "FAILED"
    assert deployment.extensions(DATABASE) == before


def test_a_state_machine_fails_with_the_reason(execute):
    found = execute({"PluginsMap": {"hstore": "9.9"}})
    assert (found["status"], found["error"]) == ("FAILED", "Failed"), found
    assert "9.9" in found["cause"]
    assert "nothing was changed" in found["cause"]


def test_the_retries_that_inspect_md_gives_are_those_of_the_state_machine():
    with open(os.path.join(ROOT, "docs", "inspect.md")) as source:
        [block] = re.findall(r"(?ms)^```yaml\n(Retry:.*?)^```$", source.read())
    assert textwrap.indent(block, " " * 12) in example("step-functions.yaml")
