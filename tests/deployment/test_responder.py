"""The failure destination, deployed: it responds where the function could not.

Events go to the function as CloudFormation sends them, asynchronously, with a ResponseURL that
leads here. Then the function is killed, frozen, refused or cut off.
"""

import contextlib
import json
import os
import signal
import subprocess

import pytest
from deployment import ROOT
from local_aws import free_port
from pytest_httpserver import HTTPServer
from werkzeug import Response

DATABASE = "responder"
LOCK = 7162533686429448308  # the function's advisory lock
STACK_ID = "arn:aws:cloudformation:eu-central-1:000000000000:stack/orphans/51af3dc0"
TOKEN = "token-of-a-response-url"
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>no</Message></Error>"


class ResponseBucket(HTTPServer):
    """Where a ResponseURL leads: answers PUTs with `statuses` in turn, then with the last."""

    def __init__(self, *statuses):
        super().__init__("127.0.0.1", free_port())
        self.url = f"http://127.0.0.1:{self.port}/{TOKEN}?X-Amz-Signature={TOKEN}"
        self.statuses = statuses
        self.puts = []  # (headers, body)
        self.expect_request(f"/{TOKEN}", method="PUT").respond_with_handler(self.put)

    def put(self, request):
        self.puts.append((request.headers, request.data))
        status = self.statuses[min(len(self.puts), len(self.statuses)) - 1]
        return Response(DENIED if status == 403 else b"", status)

    def response(self):
        """The last response that was sent here."""
        return json.loads(self.puts[-1][1])


class Functions:
    """The two deployed functions, and what the scenarios do to them."""

    def __init__(self, deployment):
        self.deployment = deployment
        self.wait_for = deployment.aws.wait_for
        self.client = deployment.aws.client("lambda")
        self.function = deployment.function
        self.responder = f"{deployment.function}-responder"
        self.first = deployment.configuration()
        self.second = deployment.configuration(self.responder)
        self.logs = [one["LoggingConfig"]["LogGroup"] for one in (self.first, self.second)]

    def log(self, number):
        """What the first (0) or the second function (1) logged."""
        return self.deployment.aws.log_text(self.logs[number])

    def invoke_settings(self, function):
        """Of asynchronous invocations: retries, the age of an event, the destination."""
        return self.client.get_function_event_invoke_config(
            FunctionName=function, Qualifier="$LATEST"
        )

    def send(self, request_type, bucket, logical_id, timeout="120", **more):
        """An event, as CloudFormation sends it."""
        event = {
            "RequestType": request_type,
            "ServiceToken": self.function,
            "ResponseURL": bucket.url,
            "StackId": STACK_ID,
            "RequestId": f"request-of-{logical_id}",
            "LogicalResourceId": logical_id,
            "ResourceType": "Custom::PostgresExtensions",
            "ResourceProperties": {
                "ServiceToken": self.function,
                "ServiceTimeout": timeout,
                "DBSecret": f"demo/{DATABASE}",
                "SslRootCert": self.deployment.root_cert(),
                "PluginsMap": {"citext": "latest"},
            },
            **more,
        }
        self.client.invoke(
            FunctionName=self.function, InvocationType="Event", Payload=json.dumps(event)
        )

    @contextlib.contextmanager
    def responder_responds(self, said):
        """Ends when the responder has logged that it responded, so that no PUT is still to come."""
        before = self.log(1).count(said)
        yield
        self.wait_for(f"the responder logs `{said}`", lambda: self.log(1).count(said) > before)

    def wait_for_sessions(self, what, condition, count):
        query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{DATABASE}' {condition}"
        self.wait_for(what, lambda: self.deployment.psql("postgres", "-c", query) == str(count))

    def signal_while_waiting_for_the_lock(self, sign):
        self.wait_for_sessions("the function waits for the lock", "AND wait_event = 'advisory'", 1)
        pid, _ = self.deployment.aws.function_process(self.first["FunctionName"])
        os.kill(pid, sign)

    @contextlib.contextmanager
    def locked(self):
        """Another session holds the function's lock in the database."""
        server = self.deployment.server
        psql = subprocess.Popen(
            [os.path.join(server.bin, "psql"), "-XAtq", "-d", DATABASE],
            env={"PATH": os.environ["PATH"], **server.libpq()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with psql:  # ends psql: it reads the end of its input
            psql.stdin.write(f"SELECT pg_advisory_lock({LOCK});\n\\echo held\n")
            psql.stdin.flush()
            assert "held\n" in iter(psql.stdout.readline, "")
            yield


@pytest.fixture(scope="module")
def functions(deployment):
    return Functions(deployment)


def test_the_record_of_a_failure_goes_to_the_responder(functions):
    settings = functions.invoke_settings(functions.function)
    destination = settings["DestinationConfig"]["OnFailure"]["Destination"]
    assert destination == functions.responder


def test_a_failed_run_is_not_repeated(functions):
    assert functions.invoke_settings(functions.function)["MaximumRetryAttempts"] == 0


def test_both_functions_are_one_program_with_two_handlers(functions):
    assert functions.first["CodeSha256"] == functions.second["CodeSha256"]
    assert functions.first["Handler"] == "bootstrap"
    assert functions.second["Handler"] == "responder"


def test_the_responder_is_in_no_vpc(functions):
    assert not functions.second.get("VpcConfig", {}).get("VpcId")


def test_each_function_has_a_log_group_of_its_own(functions):
    name = functions.first["FunctionName"]
    assert functions.logs == [f"/aws/lambda/{name}", f"/aws/lambda/{name}-responder"]


def test_all_is_over_before_cloudformation_gives_up(functions):
    ages = [
        functions.invoke_settings(function)["MaximumEventAgeInSeconds"]
        for function in (functions.function, functions.responder)
    ]
    assert sum(ages) + functions.first["Timeout"] + functions.second["Timeout"] < 3600


@pytest.mark.parametrize("caller, callee, decision", [
    pytest.param("first", "responder", "allowed", id="the function calls the responder"),
    pytest.param("first", "function", "implicitDeny", id="the function calls itself"),
    pytest.param("second", "function", "implicitDeny", id="the responder calls the function"),
])  # fmt: skip
def test_who_may_call_whom(aws, functions, caller, callee, decision):
    role, resource = getattr(functions, caller)["Role"], getattr(functions, callee)
    assert aws.simulate(role, "lambda:InvokeFunction", resource) == decision


def test_the_responder_may_read_no_secret(aws, deployment, functions):
    action, secret = "secretsmanager:GetSecretValue", deployment.secret_arn(DATABASE)
    assert aws.simulate(functions.second["Role"], action, secret) == "implicitDeny"


FAILED, FORWARDED = "responded FAILED", "delivered its response"  # the responder's log


def interrupted(functions, sign, *event, **more):
    """The bucket after a signal to the function, and the extensions before and after."""
    before = functions.deployment.extensions(DATABASE)
    with ResponseBucket(200) as bucket, functions.responder_responds(FAILED):
        with functions.locked():
            functions.send(event[0], bucket, *event[1:], **more)
            functions.signal_while_waiting_for_the_lock(sign)
            functions.wait_for("a response", lambda: bucket.puts)
    functions.wait_for_sessions("the function's session ends", "", 0)
    return bucket, before, functions.deployment.extensions(DATABASE)


@pytest.fixture(scope="module")
def killed(functions):
    """A Create whose function is killed while it waits for the lock."""
    return interrupted(functions, signal.SIGKILL, "Create", "Killed")


@pytest.fixture(scope="module")
def frozen(functions):
    """An Update whose function is stopped until Lambda's timeout."""
    name, timeout = functions.function, functions.first["Timeout"]
    functions.client.update_function_configuration(FunctionName=name, Timeout=12)
    update = {"PhysicalResourceId": "Frozen-0badcafe"}
    yield interrupted(functions, signal.SIGSTOP, "Update", "Frozen", **update)
    functions.client.update_function_configuration(FunctionName=name, Timeout=timeout)


def test_a_killed_create_fails_with_an_id_for_an_unknown_outcome(killed):
    response = killed[0].response()
    assert {key: response[key] for key in response if key not in ("Reason", "NoEcho", "Data")} == {
        "Status": "FAILED",
        "PhysicalResourceId": "Killed-create-unknown",
        "StackId": STACK_ID,
        "RequestId": "request-of-Killed",
        "LogicalResourceId": "Killed",
    }


def test_the_reason_says_that_the_function_ended(functions, killed):
    reason = killed[0].response()["Reason"]
    assert f"`{functions.first['FunctionName']}` ended without a response" in reason
    assert "Runtime.ExitError" in reason


def test_a_put_has_a_length_and_no_content_type(killed, refused):
    for headers, body in killed[0].puts + refused.puts:
        assert headers.get("Content-Type") is None
        assert headers.get("Content-Length") == str(len(body))


def test_an_update_that_timed_out_fails_and_keeps_its_id(frozen):
    response = frozen[0].response()
    assert response["Status"] == "FAILED"
    assert response["PhysicalResourceId"] == "Frozen-0badcafe"
    assert "Sandbox.Timedout" in response["Reason"]
    assert "12.00 seconds" in response["Reason"]


@pytest.mark.parametrize("scenario", ["killed", "frozen"])
def test_a_function_that_dies_changes_nothing(request, scenario):
    _, before, after = request.getfixturevalue(scenario)
    assert after == before


@pytest.fixture(scope="module")
def refused(functions):
    """A Create whose response is refused (403) when the function sends it."""
    with ResponseBucket(403, 200) as bucket, functions.responder_responds(FORWARDED):
        functions.send("Create", bucket, "Refused")
    return bucket


@pytest.fixture(scope="module")
def unreachable(functions, refused):
    """A Delete whose ResponseURL the function cannot reach."""
    bucket = ResponseBucket(200)
    id = refused.response()["PhysicalResourceId"]
    with functions.responder_responds(FORWARDED):
        functions.send("Delete", bucket, "Unreachable", timeout="3", PhysicalResourceId=id)
        gave_up = "could not be reached in time"
        functions.wait_for("the function gives up", lambda: gave_up in functions.log(0))
        with bucket:
            functions.wait_for("a response", lambda: bucket.puts)
    return bucket


def test_a_refused_response_is_sent_again_unchanged(refused):
    assert refused.puts[0][1] == refused.puts[1][1]


def test_a_refused_response_says_what_was_done(deployment, refused):
    response = refused.response()
    assert response["Status"] == "SUCCESS"
    assert "created citext " in response["Data"]["Changes"]
    assert response["Data"]["citext"] == deployment.extensions(DATABASE)[DATABASE]["citext"]


def test_the_function_logs_why_its_response_was_refused(functions, refused):
    assert "AccessDenied" in functions.log(0)


def test_the_response_is_delivered_where_the_function_had_no_route(refused, unreachable):
    response = unreachable.response()
    assert response["Status"] == "SUCCESS"
    assert response["PhysicalResourceId"] == refused.response()["PhysicalResourceId"]


def record(bucket):
    """A record as AWS documents it, of an event with this ResponseURL."""
    with open(os.path.join(ROOT, "events", "onfailure.json")) as source:
        record = json.load(source)
    record["requestPayload"]["ResponseURL"] = bucket.url
    return record


@pytest.fixture(scope="module")
def recorded(functions, invoke):
    """The bucket and the responder's result after such a record."""
    with ResponseBucket(200) as bucket, functions.responder_responds(FAILED):
        return bucket, invoke(functions.responder, record(bucket))


def test_a_record_as_aws_documents_it_is_responded_to(recorded):
    bucket, result = recorded
    assert result == (None, None)
    assert bucket.response()["PhysicalResourceId"] == "Extensions-create-unknown"
    assert "Sandbox.Timedout" in bucket.response()["Reason"]
    assert "900.00 seconds" in bucket.response()["Reason"]


@pytest.mark.parametrize("payload", [
    pytest.param(lambda record, event: event, id="an event"),
    pytest.param(
        lambda record, event: {
            **record,
            "requestPayload": {key: event[key] for key in ("ResponseURL", "StackId")},
        },
        id="the record of another function",
    ),
    pytest.param(lambda record, event: {"Records": [{"body": json.dumps(record)}]}, id="a message"),
    pytest.param(lambda record, event: {}, id="an empty object"),
])  # fmt: skip
def test_anything_else_is_rejected_and_nothing_is_sent(functions, invoke, payload):
    with ResponseBucket(200) as bucket:
        given = record(bucket)
        error, result = invoke(functions.responder, payload(given, given["requestPayload"]))
    assert (error, result["errorType"]) == ("Unhandled", "NotOurs")
    assert bucket.puts == []


def test_each_response_is_sent_once(killed, frozen, refused, unreachable, recorded):
    buckets = [killed[0], frozen[0], refused, unreachable, recorded[0]]
    assert [len(bucket.puts) for bucket in buckets] == [1, 1, 2, 1, 1]


def test_the_responder_logs_each_response_once(
    functions, killed, frozen, refused, unreachable, recorded
):
    assert functions.log(1).count(FAILED) == 3
    assert functions.log(1).count(FORWARDED) == 2


def test_no_log_holds_a_secret(functions, killed, frozen, refused, unreachable, recorded):
    logs = functions.log(0) + functions.log(1)
    assert functions.deployment.server.password not in logs
    assert TOKEN not in logs
