"""The HTTP API: http_api.py plays API Gateway in front of the deployed integrations."""

import json
import os

import pytest
import state_machines
from deployment import ROOT
from http_api import HttpApi


@pytest.fixture(scope="module")
def api(stack):
    return HttpApi(stack.aws, stack.stack)


@pytest.fixture(scope="module")
def run(api, stack):
    """The id of a run that came by the API, and has ended."""
    stack.add(["api1", "api2"], "api")
    response = api.request("POST", "/runs", json.dumps({"Mode": "Audit", "Waves": ["api"]}))
    assert response.status == 200, response.body
    run = response.headers["Run-Id"]
    assert response.json()["executionArn"].rsplit(":", 1)[1] == run
    stack.wait(run)
    yield run
    stack.forget("api1", "api2")


def outcome(response):
    """What a workflow gave that was called by a route: its output, or its error."""
    assert response.status == 200, response.body
    done = response.json()
    return json.loads(done["output"]) if done["status"] == "SUCCEEDED" else done["error"]


def test_every_route_asks_for_the_rights_of_its_caller(api):
    assert {route["RouteKey"]: route["AuthorizationType"] for route in api.routes} == {
        "POST /runs": "AWS_IAM",
        "GET /runs/{id}": "AWS_IAM",
        "POST /runs/{id}": "AWS_IAM",
        "DELETE /runs/{id}": "AWS_IAM",
    }


def test_a_run_can_be_read_by_its_id(api, run, stack):
    found = outcome(api.request("GET", f"/runs/{run}"))
    assert found == stack.status(run)
    assert found["Run"] == run
    assert {one["Database"] for one in found["Databases"]} == {"fleet/api1", "fleet/api2"}


def test_a_large_run_is_read_in_pages(api, stack):
    names = [f"page{number}" for number in range(45)]
    stack.add(names[:1], "page")
    for name in names[1:]:
        stack.add_secret(name, "page", dbname=names[0])
    run = api.request("POST", "/runs", '{"Waves": ["page"]}').headers["Run-Id"]
    stack.wait(run)
    first = outcome(api.request("GET", f"/runs/{run}"))
    body = json.dumps({"Next": first["Next"]})
    second = outcome(api.request("POST", f"/runs/{run}", body))
    assert "Next" not in second
    found = [one["Database"] for one in first["Databases"] + second["Databases"]]
    assert found == sorted(f"fleet/{name}" for name in names)
    stack.forget(*names)


def test_a_run_can_be_read_as_soon_as_its_id_is_known(api, stack):
    response = api.request("POST", "/runs", json.dumps({"Waves": ["nobody"]}))
    run = response.headers["Run-Id"]
    assert outcome(api.request("GET", f"/runs/{run}"))["Run"] == run
    stack.wait(run)


def test_the_defaults_are_those_of_the_run(api, stack):
    run = api.request("POST", "/runs", '{"Waves": ["nobody"]}').headers["Run-Id"]
    stack.wait(run)
    assert outcome(api.request("GET", f"/runs/{run}"))["Mode"] == "Audit"


def test_a_run_can_be_stopped(api, run, stack):
    assert outcome(api.request("DELETE", f"/runs/{run}"))["Run"] == run
    [item] = [item for item in stack.table(run) if item["Item"] == "run"]
    assert item["Stop"] is True


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_id_is_an_error(api, stack, method):
    before = stack.table()
    assert outcome(api.request(method, "/runs/unknown")) == "RunNotFound"
    assert stack.table() == before


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("id", [
    "%22", "x%22%2C%22Run%22%3A%22unknown", "a%20b", "%24%7Brequest.body%7D", "a%0Ab", "x" * 81,
])  # fmt: skip
def test_an_id_that_no_run_can_have_is_refused(api, stack, method, id):
    before = stack.table()
    response = api.request(method, f"/runs/{id}", "{}")
    assert (response.status, response.json()["__type"]) == (400, "InvalidName")
    assert stack.table() == before


@pytest.mark.parametrize("body", ["", "Mode: Audit", "{'Mode': 'Audit'}", '{"Mode":'])
def test_a_body_that_is_no_json_starts_nothing(api, stack, body):
    before = stack.executions()
    response = api.request("POST", "/runs", body)
    assert (response.status, response.json()["__type"]) == (400, "InvalidExecutionInput")
    assert "Run-Id" not in response.headers
    assert stack.executions() == before


def test_a_request_without_a_body_starts_nothing(api, stack):
    before = stack.executions()
    assert api.request("POST", "/runs").status == 400
    assert stack.executions() == before


def test_an_invalid_input_is_a_run_that_failed(api, stack):
    response = api.request("POST", "/runs", '{"Mode": "Everything"}')
    run = response.headers["Run-Id"]
    assert stack.wait(run)["error"] == "InvalidInput"
    found = outcome(api.request("GET", f"/runs/{run}"))
    assert found["Status"] == "FAILED"
    assert "Mode must be" in found["Cause"]


@pytest.mark.parametrize("method, path", [
    ("GET", "/runs"), ("PUT", "/runs/x"), ("GET", "/runs/a/b"), ("GET", "/"),
])  # fmt: skip
def test_there_are_no_other_routes(api, method, path):
    assert api.request(method, path, "{}").status == 404


def test_without_the_parameter_there_is_none_of_it():
    template = state_machines.read(os.path.join(ROOT, "fleet", "template.yaml"))
    assert template["Parameters"]["Api"]["Default"] == "false"
    of_api = [
        resource
        for name, resource in template["Resources"].items()
        if "ApiGateway" in resource["Type"] or name.startswith("HttpApi")
    ]
    assert len(of_api) == 12
    assert {one.get("Condition") for one in [*of_api, template["Outputs"]["ApiUrl"]]} == {"WithApi"}
