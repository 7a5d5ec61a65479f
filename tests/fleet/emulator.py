"""ministack with Step Functions as AWS documents it, where ministack differs, and observed.

Run in place of `python -m ministack`. It replaces functions of ministack's Step Functions:

- A child of a Distributed Map has a context object of its own and sees no variable from outside,
  a Map honours MaxConcurrencyPath, and its output has the results of children that succeeded.
- What a branch assigns stays in the branch.
- The error of an aws-sdk task is named as the AWS SDK for Java 2 names its exception, with the
  errors of botocore's service models: `Rds.InvalidDbInstanceStateException`. Its message ends with
  the service and the status of the response, as that SDK's do.
- An expression is parsed once, and has no time limit: AWS's is a second, but here many threads
  share a processor with all else that runs on the machine.
- With FLEET_ENDPOINT, every aws-sdk task and every `lambda:invoke` is a request to that address,
  signed as the state machine's role, or only those to FLEET_SERVICES (separated by commas).
  ministack would call its own code, and ask no policy.
- Policies are asked for what AWS asks them: see policies.py.

In the folder FLEET_RECORD it writes JSON lines: `evaluations-<pid>.jsonl`, which replay.mjs
reads, and `states-<pid>.jsonl`: of each state that was left its execution, sizes of input and
output in bytes, and attempts; of each call of a service the sizes of its arguments and its result.
FLEET_RECORD_LIMIT bounds the evaluations that are recorded of one expression.
"""

import collections
import contextvars
import copy
import functools
import hashlib
import json
import os
import re
import threading
import urllib.parse

import botocore.session
import jsonata
import policies  # noqa: F401
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from ministack import app
from ministack.core.responses import get_region
from ministack.services import stepfunctions, sts

# Who makes a call: (ARN of the state machine, ARN of the execution, name of the state).
CALLER = contextvars.ContextVar("caller")


def replace(name):
    """Decorator: the function takes the place of ministack's, and gets it as first argument."""

    def decorate(function):
        original = getattr(stepfunctions, name)
        setattr(stepfunctions, name, functools.partial(function, original))
        return function

    return decorate


# Expressions

PARSED = collections.defaultdict(collections.deque)


class Expression:
    """A parsed expression that nobody else evaluates at the moment."""

    def __init__(self, text):
        self.pool = PARSED[text]
        try:
            self.parsed = self.pool.pop()
        except IndexError:
            self.parsed = jsonata.Jsonata(text)

    def register_lambda(self, name, function):
        self.parsed.register_lambda(name, function)

    def evaluate(self, value, bindings):
        # The interpreter of this thread, which parsing would have set.
        jsonata.Jsonata.CURRENT.jsonata = self.parsed
        try:
            return self.parsed.evaluate(value, bindings)
        finally:
            self.pool.append(self.parsed)


jsonata.Jsonata.jsonata = lambda text, timeout=None: Expression(text)


# Scopes


@replace("_run_distributed_map")
def run_distributed_map(original, state, raw_input, effective, iterator, execution, ctx):
    if path := state.get("MaxConcurrencyPath"):
        limit = stepfunctions._resolve_path_or_ctx(path, effective, ctx)
        state = {**state, "MaxConcurrency": limit}
    output, following = original(state, raw_input, effective, iterator, execution, ctx)
    # A child that failed, within what is tolerated, has no result on AWS; here it has null.
    return [result for result in output if result is not None], following


@replace("_run_sub_machine")
def run_sub_machine(original, states, start, value, execution, ctx):
    variables = copy.deepcopy(ctx.get("variables", {}))
    if "mapRunArn" in execution and ctx["Execution"]["Id"] != execution["executionArn"]:
        own = {"Id": execution["executionArn"], "Name": execution["name"], "Input": value}
        ctx = {**ctx, "Execution": {**own, "StartTime": execution["startDate"]}}
        ctx.pop("Map", None)
        variables = {}
    return original(states, start, value, execution, {**ctx, "variables": variables})


# Names of errors


@functools.lru_cache
def errors(service):
    """Of a service: the code of each error on the wire to the name of its exception."""
    client = {"sfn": "stepfunctions", "eventbridge": "events"}.get(service, service)
    found = {}
    for shape in botocore.session.get_session().get_service_model(client).error_shapes:
        words = re.sub("[A-Z]+(?=[A-Z][a-z])", lambda word: word[0].capitalize(), shape.name)
        name = re.sub("(Fault|Exception)$", "", words)
        found[shape.name] = found[shape.error_code] = f"{name}Exception"
    return found


@replace("_prefix_sdk_error")
def prefix_sdk_error(original, service, code):
    if code.startswith("States."):
        return code
    prefix = stepfunctions._AWS_SDK_ERROR_PREFIX.get(service, service.capitalize())
    # What the service's model does not know is the service's general exception.
    name = errors(service).get(code.rsplit("#", 1)[-1], f"{prefix}Exception")
    return f"{prefix}.{name}"


# Of the last response that a service sent, or None.
STATUS = contextvars.ContextVar("status", default=None)


@replace("_invoke_aws_sdk_integration")
def invoke_aws_sdk_integration(original, resource, arguments):
    try:
        return original(resource, arguments)
    except stepfunctions._ExecutionError as error:
        service = error.error.split(".")[0]
        if service != "States" and STATUS.get():
            error.cause += f" (Service: {service}, Status Code: {STATUS.get()}, Request ID: 0)"
        raise


# The wire


ENDPOINT = os.environ.get("FLEET_ENDPOINT")
SERVICES = list(filter(None, os.environ.get("FLEET_SERVICES", "").split(",")))
POOL = urllib3.PoolManager(maxsize=64, retries=False, timeout=urllib3.Timeout(total=None))


@functools.lru_cache
def credentials(role, session):
    """Of a session of the state machine's role."""
    digest = hashlib.sha256(f"{role} {session}".encode()).hexdigest()
    key = f"ASIA{digest[:16].upper()}"
    account, name = role.split(":")[4], role.rsplit("/", 1)[-1]
    made = {"SecretAccessKey": digest, "SessionToken": digest[::-1]}
    arn = f"arn:aws:sts::{account}:assumed-role/{name}/{session}"
    sts.register_session(key, {"Arn": arn, "UserId": f"{name}:{session}", **made})
    return Credentials(key, made["SecretAccessKey"], made["SessionToken"])


def send(service, method, path, headers, body):
    """A request as the state machine's role; returns status, headers and body."""
    machine = stepfunctions._state_machines[CALLER.get()[0]]
    request = AWSRequest(method, ENDPOINT + path, data=body, headers=headers)
    signer = credentials(machine["roleArn"], machine["name"][:64])
    SigV4Auth(signer, service, get_region()).add_auth(request)
    response = POOL.request(
        method, request.url, body=request.body, headers=dict(request.headers.items())
    )
    STATUS.set(response.status)
    return response.status, response.headers, response.data


if ENDPOINT:
    direct = app.call_service_handler_sync

    def call_service(handler, method, path, headers, body, query_params, timeout=None):
        service = headers["host"].split(".")[0]
        if CALLER.get(None) is None or SERVICES and service not in SERVICES:
            return direct(handler, method, path, headers, body, query_params, timeout)
        sent = ("x-amz-target", "content-type")
        headers = {name: headers[name] for name in sent if name in headers}
        return send(service, method, path, headers, body)

    app.call_service_handler_sync = call_service

    @replace("_call_lambda")
    def call_lambda(_original, function, event):
        path = f"/2015-03-31/functions/{urllib.parse.quote(function, safe=':')}/invocations"
        headers = {"content-type": "application/json"}
        status, headers, body = send("lambda", "POST", path, headers, json.dumps(event).encode())
        result = json.loads(body)
        if status >= 400:
            code = headers.get("x-amzn-errortype") or result.get("__type", "ServiceException")
            raise stepfunctions._ExecutionError(
                stepfunctions._prefix_sdk_error("lambda", code.split(":")[0]),
                result.get("message") or result.get("Message") or body.decode(),
            )
        if "X-Amz-Function-Error" in headers:
            kind = isinstance(result, dict) and result.get("errorType") or "Lambda.Unknown"
            raise stepfunctions._ExecutionError(kind, json.dumps(result))
        return result


# Records


FOLDER = os.environ.get("FLEET_RECORD")
LIMIT = int(os.environ.get("FLEET_RECORD_LIMIT", "0"))
# What AWS's context object has; ministack keeps more in its own.
CONTEXT = ("Execution", "Map", "State", "StateMachine", "Task")


class Record:
    """A file of JSON lines."""

    def __init__(self, name):
        self.lock = threading.Lock()
        self.file = open(os.path.join(FOLDER, f"{name}-{os.getpid()}.jsonl"), "w")

    def write(self, line):
        with self.lock:
            self.file.write(line + "\n")
            self.file.flush()


def size(value):
    """Bytes of a value as JSON, which Step Functions passes on as UTF-8."""
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


if FOLDER:
    evaluations, states = Record("evaluations"), Record("states")
    written, counts = set(), {}

    def record_evaluation(expression, states_value, variables, outcome):
        """Once each, without the parts that the expression does not name."""
        # Anything but `$states.<key>` may need all of it.
        whole = re.search(r"\$states\b(?!\s*\.\s*\w)|\$lookup|\$each|\$keys", expression)
        bound = {
            key: value
            for key, value in states_value.items()
            if value is not None and (whole or key in expression)
        }
        used = {name: value for name, value in variables.items() if f"${name}" in expression}
        line = json.dumps(
            {"expression": expression, "states": bound, "variables": used, **outcome}, default=str
        )
        digest = hashlib.sha256(line.encode()).digest()
        with evaluations.lock:
            seen = counts[expression] = counts.get(expression, 0) + (digest not in written)
            if digest in written or 0 < LIMIT < seen:
                return
            written.add(digest)
        evaluations.write(line)

    @replace("_evaluate_jsonata")
    def evaluate_jsonata(original, expression, raw_input, ctx=None, result=None, error_output=None):
        ctx = ctx or {}
        value = {
            "input": raw_input,
            "result": result,
            "errorOutput": error_output,
            "context": {key: ctx[key] for key in CONTEXT if key in ctx},
        }
        variables = ctx.get("variables", {})
        try:
            evaluated = original(expression, raw_input, ctx, result, error_output)
        except stepfunctions._ExecutionError as error:
            record_evaluation(expression, value, variables, {"error": error.cause})
            raise
        record_evaluation(expression, value, variables, {"result": evaluated})
        return evaluated

    @replace("_invoke_resource")
    def invoke_resource(original, resource, arguments):
        result = None
        try:
            result = original(resource, arguments)
            return result
        finally:
            _machine, execution, state = CALLER.get()
            line = {"execution": execution, "state": state, "resource": resource}
            states.write(json.dumps({**line, "arguments": size(arguments), "result": size(result)}))

    def record_state(kind, state, raw_input, output, ctx):
        line = {
            "execution": ctx["Execution"]["Id"],
            "machine": ctx["StateMachine"]["Name"],
            "state": ctx["State"]["Name"],
            "type": kind,
            "input": size(raw_input),
            "output": size(output),
            "variables": size(ctx.get("variables", {})),
            "attempts": ctx["State"]["RetryCount"] + 1,
        }
        if kind == "Map":
            iterator = state.get("ItemProcessor") or state.get("Iterator") or {}
            line["mode"] = (iterator.get("ProcessorConfig") or {}).get("Mode", "INLINE")
        states.write(json.dumps(line))

    for name in ("Pass", "Choice", "Wait", "Map", "Parallel"):

        @replace(f"_execute_{name.lower()}")
        def execute(original, state, raw_input, *scope, kind=name):
            ctx = scope[-1]
            # A Map's children leave their own state in a context that they share.
            entered = dict(ctx["State"])
            output, following = original(state, raw_input, *scope)
            record_state(kind, state, raw_input, output, {**ctx, "State": entered})
            return output, following


@replace("_execute_task")
def execute_task(original, state, raw_input, execution, ctx):
    machine = ctx["StateMachine"]["Id"]
    caller = CALLER.set((machine, ctx["Execution"]["Id"], ctx["State"]["Name"]))
    output = None
    try:
        output, following = original(state, raw_input, execution, ctx)
        return output, following
    finally:
        CALLER.reset(caller)
        if FOLDER:
            record_state("Task", state, raw_input, output, ctx)


if __name__ == "__main__":
    app.main()
