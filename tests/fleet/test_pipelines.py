"""Pipelines that start a run: examples/fleet-github-actions.yml, examples/fleet-pipeline.yaml, and the
recipe of docs/pipelines.md that takes the extensions of a development database to production."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import types

import pytest
import yaml
from deployment import ROOT

WAVES = {"1-dev": ["dev1"], "2-staging": ["staging1", "staging2"], "3-prod": ["prod1", "prod2"]}
NAMES = [name for names in WAVES.values() for name in names]


@pytest.fixture(scope="module")
def fleet(stack):
    for wave, names in WAVES.items():
        stack.add(names, wave)
    yield stack
    stack.forget(*NAMES)


class Template(yaml.SafeLoader):
    """Reads a template; of its functions only what they are given."""


def construct(loader, tag, node):
    is_scalar = isinstance(node, yaml.ScalarNode)
    return loader.construct_scalar(node) if is_scalar else loader.construct_sequence(node)


Template.add_multi_constructor("!", construct)


def example(name):
    with open(os.path.join(ROOT, "examples", name)) as source:
        return yaml.load(source, Template)


class Job:
    """The workflow's step with this input, as a runner of GitHub's runs it."""

    numbers = itertools.count(1)

    def __init__(self, fleet, folder, given, mode="", **variables):
        steps = example("fleet-github-actions.yml")["jobs"]["fleet"]["steps"]
        [step] = [step for step in steps if "run" in step]
        (folder / step["env"]["INPUT"]).write_text(json.dumps(given))
        self.run = f"github-{next(self.numbers)}-1"
        summary = folder / "summary"
        shims = os.path.join(os.path.dirname(__file__), "bin")
        done = subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            cwd=folder,
            env={
                "PATH": f"{shims}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
                "HOME": str(folder),
                "GITHUB_STEP_SUMMARY": str(summary),
                **fleet.aws.environment(),
                **step["env"],
                "STATE_MACHINE": fleet.outputs["StateMachineArn"],
                "STATUS_STATE_MACHINE": fleet.outputs["StatusStateMachineArn"],
                "MODE": mode,
                "RUN": self.run,
                "SECONDS_BETWEEN_LOOKS": "0.2",
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.code, self.output = done.returncode, done.stdout
        self.summary = summary.read_text() if summary.exists() else ""
        self.errors = re.findall(r"(?m)^::error title=(\S+?)::(.*)$", self.output)


@pytest.fixture
def job(fleet, tmp_path):
    if not shutil.which("jq"):
        pytest.skip("the workflow's step needs the jq command")
    return lambda given, mode="", **variables: Job(fleet, tmp_path, given, mode, **variables)


def evaluated(text, ref):
    """A text of the workflow with an expression, for an event of this ref."""
    [expression] = re.findall(r"[$]{{ (.*?) }}", text)
    github = types.SimpleNamespace(ref=ref)
    names = {"github": github, "format": str.format}
    return eval(expression.replace("&&", "and").replace("||", "or"), names)


def test_the_main_branch_alone_applies_and_no_plan_takes_its_place_in_the_queue():
    workflow = example("fleet-github-actions.yml")
    [step] = [step for step in workflow["jobs"]["fleet"]["steps"] if "run" in step]
    refs = ["refs/heads/main", "refs/heads/other", "refs/pull/1/merge", "refs/pull/2/merge"]
    modes = [evaluated(step["env"]["MODE"], ref) for ref in refs]
    assert modes == ["", "Plan", "Plan", "Plan"]
    groups = [evaluated(workflow["concurrency"]["group"], ref) for ref in refs]
    assert len(set(groups)) == len(refs), groups
    assert workflow["concurrency"]["cancel-in-progress"] is False


def given(mode, **properties):
    return {"Mode": mode, "Snapshot": "Never", "Properties": {"SslMode": "require", **properties}}


def test_a_pull_request_plans_and_changes_nothing(fleet, job):
    done = job(given("Apply", PluginsMap={"hstore": "1.4"}), mode="Plan")
    assert done.code == 0, done.output
    assert fleet.status(done.run)["Mode"] == "Plan"
    assert "1-dev fleet/dev1: DRIFTED created hstore 1.4" in done.output
    assert done.output.count("DRIFTED") == 5
    assert '"DRIFTED":5' in done.summary
    assert fleet.deployment.extensions(*NAMES) == {name: {} for name in NAMES}


def test_a_workflow_fails_with_the_reason_of_each_database(fleet, job):
    # All of them are begun, however fast the first one fails.
    done = job({**given("Plan", PluginsMap={"pgvector": "any"}), "MaxFailures": len(NAMES)})
    assert done.code == 1, done.output
    assert f"Run `{done.run}`: FAILED" in done.summary
    assert done.errors[0][0] == done.run and "FAILED 5" in done.errors[0][1]
    assert [name for name, _ in done.errors[1:]] == [f"fleet/{name}" for name in NAMES]
    assert all("`pgvector`" in reason for _, reason in done.errors[1:])


def test_a_workflow_fails_where_the_input_is_refused(job):
    done = job({"Mode": "Aply"})
    assert done.code == 1, done.output
    [(name, reason)] = done.errors
    assert name == done.run and "Mode" in reason


def test_a_workflow_gives_the_cause_where_the_status_cannot_be_read(fleet, job):
    missing = fleet.outputs["StatusStateMachineArn"] + "-missing"
    done = job({"Mode": "Aply"}, STATUS_STATE_MACHINE=missing)
    assert done.code == 1, done.output
    [(name, reason)] = done.errors
    assert name == done.run and "Mode" in reason


def test_the_extensions_of_dev_go_to_production_in_the_order_of_waves(fleet, job):
    fleet.psql("dev1", "CREATE EXTENSION hstore VERSION '1.7'; CREATE EXTENSION pg_trgm")
    done = job({**given("Apply", PluginsFrom="fleet/dev1"), "Waves": ["2-staging", "3-prod"]})
    assert done.code == 0, done.output
    found = fleet.deployment.extensions(*NAMES)
    assert found["dev1"]["hstore"] == "1.7"
    assert [name for name in NAMES if found[name] != found["dev1"]] == []
    databases = sorted(fleet.databases(done.run).values(), key=lambda one: one["UpdatedAt"])
    assert [one["Wave"] for one in databases] == ["2-staging", "2-staging", "3-prod", "3-prod"]


def test_the_action_of_codepipeline_starts_a_run(fleet):
    """CodePipeline starts an execution named <prefix>-<id of the action's execution>, with the
    content of the file as its input, and fails where the execution fails."""
    stages = example("fleet-pipeline.yaml")["Resources"]["Pipeline"]["Properties"]["Stages"]
    actions = [action for stage in stages for action in stage["Actions"]]
    actions = [one for one in actions if one["ActionTypeId"]["Provider"] == "StepFunctions"]
    assert [one["Configuration"]["Input"] for one in actions] == ["plan.json", "apply.json"]
    for mode, action in zip(("Plan", "Apply"), actions, strict=True):
        prefix = action["Configuration"]["ExecutionNamePrefix"]
        name = f"{prefix}-1624a1d1-3699-43f0-8e1e-6bafd7fde791"
        plugins_map = {"citext": "any"} if mode == "Apply" else {"pgvector": "any"}
        run, execution = fleet.run(name, **given(mode, PluginsMap=plugins_map))
        wanted = "SUCCEEDED" if mode == "Apply" else "FAILED"
        assert (run, execution["status"]) == (name, wanted), execution
