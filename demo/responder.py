"""The second function, deployed (`demo.py --check`): it answers where the first one could not.

Events go to the first function as CloudFormation sends them, asynchronously, and their ResponseURL
leads here. Then it is killed, frozen, refused or cut off. What Lambda's record of that brings about
must be one answer.
"""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from local_aws import free_port
from machine import ROOT, Trouble

PATIENCE = 60  # seconds
DATABASE = "demo3"
LOCK = 7162533686429448308  # of src/begin.sql
STACK = "arn:aws:cloudformation:eu-central-1:000000000000:stack/orphans/51af3dc0"
TOKEN = "token-of-a-response-url"
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>no</Message></Error>"


class Sink:
    """Where a ResponseURL leads; says `statuses` in turn, the last one for good."""

    def __init__(self, *statuses):
        self.statuses = list(statuses) or [200]
        self.puts = []  # (headers, body)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/{TOKEN}?X-Amz-Signature={TOKEN}"
        self._server = None

    def open(self):
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                sink.puts.append((self.headers, body))
                left = sink.statuses
                status = left.pop(0) if len(left) > 1 else left[0]
                text = DENIED if status == 403 else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def close(self):
        if self._server:
            self._server.shutdown()
            self._server.server_close()


class Check:
    """One run of all of it."""

    def __init__(self, demo, function, root_cert, cleanup):
        self.demo = demo
        self.function = function  # the ARN of the first
        self.name = function.rsplit(":", 1)[1]
        self.responder = f"{function}-responder"
        self.root_cert = root_cert
        self.cleanup = cleanup
        self.aws_lambda = demo.aws.client("lambda")
        self.logs = demo.aws.client("logs")
        self.log_groups = [f"/aws/lambda/{self.name}{suffix}" for suffix in ("", "-responder")]
        self.sinks = []  # (what, sink, how many PUTs it should have seen in the end)

    # --- tools ------------------------------------------------------------------------------------

    def sink(self, what, *statuses, is_open=True):
        """A place for answers, of which there must be as many as there are statuses."""
        sink = Sink(*statuses)
        self.cleanup.callback(sink.close)
        self.sinks.append((what, sink, len(statuses)))
        return sink.open() if is_open else sink

    def send(self, request_type, sink, logical_id, **more):
        """An event, as CloudFormation would send it."""
        properties = {
            "ServiceToken": self.function,
            "ServiceTimeout": "120",
            "DBSecret": f"demo/{DATABASE}",
            "SslRootCert": self.root_cert,
            "PluginsMap": {"citext": "latest"},
            **more.pop("properties", {}),
        }
        event = {
            "RequestType": request_type,
            "ServiceToken": self.function,
            "ResponseURL": sink.url,
            "StackId": STACK,
            "RequestId": f"request-of-{logical_id}",
            "LogicalResourceId": logical_id,
            "ResourceType": "Custom::PostgresExtensions",
            "ResourceProperties": properties,
            **more,
        }
        status = self.aws_lambda.invoke(
            FunctionName=self.function, InvocationType="Event", Payload=json.dumps(event)
        )["StatusCode"]
        if status != 202:
            raise Trouble(f"an asynchronous invocation was answered with {status}")

    def ask_responder(self, record):
        """Its result for a record that is put before it: (function error or None, result)."""
        answer = self.aws_lambda.invoke(FunctionName=self.responder, Payload=json.dumps(record))
        return answer.get("FunctionError"), json.load(answer["Payload"])

    def until(self, what, condition):
        """Wait for a condition, and return it when it is true."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            time.sleep(0.05)
        said = self.demo.aws.tail()
        raise Trouble(f"{what}: not within {PATIENCE} s; the local AWS says:\n{said}")

    def log(self, group):
        """All that a function logged."""
        with contextlib.suppress(self.logs.exceptions.ResourceNotFoundException):
            pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            return "\n".join(event["message"] for page in pages for event in page["events"])
        return ""

    def answer(self, sink, number=1):
        """The first answer, or the one of that number."""
        self.until("an answer", lambda: len(sink.puts) >= number)
        return json.loads(sink.puts[number - 1][1])

    def process(self):
        """The running first function: one of the local AWS's processes."""
        return self.demo.aws.function_process(self.name)

    def count(self, query):
        return int(self.demo.psql("postgres", "-Atc", f"SELECT count(*) FROM {query}"))

    @contextlib.contextmanager
    def locked(self):
        """Another request is at work in the database, as far as the function can tell."""
        psql = subprocess.Popen(
            [os.path.join(self.demo.server.bin, "psql"), "-XAtq", "-d", DATABASE],
            env={"PATH": os.environ["PATH"], **self.demo.server.libpq()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            psql.stdin.write(f"SELECT pg_advisory_lock({LOCK});\n\\echo held\n")
            psql.stdin.flush()
            while psql.stdout.readline().strip() != "held":
                if psql.poll() is not None:
                    raise Trouble("psql ended instead of holding a lock")
            yield
        finally:
            psql.stdin.close()
            psql.wait()
            psql.stdout.close()

    def stop_in_the_middle(self, sign):
        """Send the first function a signal while it waits for the lock."""
        waiting = "pg_locks WHERE locktype = 'advisory' AND NOT granted"
        self.until("the function waits for the lock", lambda: self.count(waiting))
        os.kill(self.process(), sign)

    def expect_nothing_done(self, before):
        there = f"pg_stat_activity WHERE datname = '{DATABASE}'"
        self.until("the dead function's session ends", lambda: not self.count(there))
        self.demo.expect("its session is gone, its work undone", self.demo.extensions(), before)

    # --- what is checked --------------------------------------------------------------------------

    def as_deployed(self):
        expect = self.demo.expect
        config = self.aws_lambda.get_function_event_invoke_config(
            FunctionName=self.function, Qualifier="$LATEST"
        )
        target = config["DestinationConfig"].get("OnFailure", {}).get("Destination")
        expect("the record of a failure goes to the responder", target, self.responder)
        expect("one run, no other", config["MaximumRetryAttempts"], 0)
        first = self.aws_lambda.get_function_configuration(FunctionName=self.function)
        second = self.aws_lambda.get_function_configuration(FunctionName=self.responder)
        handlers = [first["Handler"], second["Handler"]]
        expect("their handlers", handlers, ["bootstrap", "responder"])
        expect("their program", second["CodeSha256"], first["CodeSha256"])
        vpc = second.get("VpcConfig", {}).get("VpcId")
        expect("the responder is in no VPC", bool(vpc), False)
        expect("its log", second["LoggingConfig"]["LogGroup"], self.log_groups[1])
        age = self.aws_lambda.get_function_event_invoke_config(
            FunctionName=self.responder, Qualifier="$LATEST"
        )["MaximumEventAgeInSeconds"]
        longest = config["MaximumEventAgeInSeconds"] + first["Timeout"] + age + second["Timeout"]
        expect("all is over within CloudFormation's hour", longest < 3600, True)
        secret = self.demo.aws.client("secretsmanager").describe_secret(SecretId=f"demo/{DATABASE}")
        iam = self.demo.aws.client("iam")
        invoke, read = "lambda:InvokeFunction", "secretsmanager:GetSecretValue"
        for what, role, action, resource, wanted in (
            ("the first may call the responder", first, invoke, self.responder, "allowed"),
            ("the first may not call itself", first, invoke, self.function, "implicitDeny"),
            ("the responder may call nobody", second, invoke, self.function, "implicitDeny"),
            ("the responder may read no secret", second, read, secret["ARN"], "implicitDeny"),
        ):
            found = iam.simulate_principal_policy(
                PolicySourceArn=role["Role"], ActionNames=[action], ResourceArns=[resource]
            )["EvaluationResults"][0]["EvalDecision"]
            expect(what, found, wanted)

    def crashed(self):
        self.demo.screen.line("  A Create whose function is killed while it waits for a lock")
        sink = self.sink("killed", 200)
        before = self.demo.extensions()
        with self.locked():
            self.send("Create", sink, "Killed")
            self.stop_in_the_middle(signal.SIGKILL)
            answer = self.answer(sink)
        self.demo.expect(
            "FAILED, with an id that says that nobody knows",
            {key: answer[key] for key in answer if key not in ("Reason", "NoEcho", "Data")},
            {
                "Status": "FAILED",
                "PhysicalResourceId": "Killed-create-unknown",
                "StackId": STACK,
                "RequestId": "request-of-Killed",
                "LogicalResourceId": "Killed",
            },
        )
        self.demo.expect_in(
            "the reason",
            answer["Reason"],
            f"`{self.name}` ended without an answer",
            "Runtime.ExitError",
        )
        headers, body = sink.puts[0]
        self.demo.expect("no Content-Type", headers.get("Content-Type"), None)
        self.demo.expect("the length", headers.get("Content-Length"), str(len(body)))
        self.expect_nothing_done(before)

    def timed_out(self):
        self.demo.screen.line("  An Update whose function freezes until Lambda ends it")
        sink = self.sink("frozen", 200)
        before = self.demo.extensions()
        timeout = self.aws_lambda.get_function_configuration(FunctionName=self.function)["Timeout"]
        self.aws_lambda.update_function_configuration(FunctionName=self.function, Timeout=8)
        with self.locked():
            self.send("Update", sink, "Frozen", PhysicalResourceId="Frozen-0badcafe")
            self.stop_in_the_middle(signal.SIGSTOP)
            answer = self.answer(sink)
        self.aws_lambda.update_function_configuration(FunctionName=self.function, Timeout=timeout)
        self.demo.expect("the status", answer["Status"], "FAILED")
        self.demo.expect("the id", answer["PhysicalResourceId"], "Frozen-0badcafe")
        self.demo.expect_in("the reason", answer["Reason"], "Sandbox.Timedout", "8.00 seconds")
        self.expect_nothing_done(before)

    def refused(self):
        """Returns the id of the resource."""
        self.demo.screen.line("  A Create whose answer is refused (403) to the first function")
        sink = self.sink("refused", 403, 200)
        self.send("Create", sink, "Refused")
        answer = self.answer(sink, 2)
        bodies = [body for _, body in sink.puts]
        self.demo.expect("the very same document comes again", bodies[0], bodies[1])
        self.demo.expect("the status", answer["Status"], "SUCCESS")
        self.demo.expect_in("what was done", answer["Data"]["Changes"], "created citext ")
        installed = self.demo.extensions()[DATABASE]["citext"]
        self.demo.expect("the version", answer["Data"]["citext"], installed)
        self.demo.expect_in("the first one's log", self.log(self.log_groups[0]), "AccessDenied")
        return answer["PhysicalResourceId"]

    def no_route(self, physical_id):
        self.demo.screen.line("  A Delete whose ResponseURL the first function cannot reach")
        sink = self.sink("unreachable", 200, is_open=False)
        self.send(
            "Delete",
            sink,
            "Unreachable",
            PhysicalResourceId=physical_id,
            properties={"ServiceTimeout": "3"},
        )
        gave_up = "could not be reached in time"
        self.until("it gives up", lambda: gave_up in self.log(self.log_groups[0]))
        sink.open()
        answer = self.answer(sink)
        self.demo.expect("the status", answer["Status"], "SUCCESS")
        self.demo.expect("the id", answer["PhysicalResourceId"], physical_id)

    def as_lambda_sends_it(self):
        self.demo.screen.line("  events/onfailure.json, a record as AWS documents it")
        with open(os.path.join(ROOT, "events", "onfailure.json")) as source:
            record = json.load(source)
        sink = self.sink("recorded", 200)
        record["requestPayload"]["ResponseURL"] = sink.url
        self.demo.expect("the responder's result", self.ask_responder(record), (None, None))
        answer = self.answer(sink)
        self.demo.expect("the id", answer["PhysicalResourceId"], "Extensions-create-unknown")
        self.demo.expect_in("the reason", answer["Reason"], "Sandbox.Timedout", "900.00 seconds")
        return record

    def not_ours(self, record):
        self.demo.screen.line("  What is no record of an event of ours")
        sink = self.sink("not ours")
        event = {**record["requestPayload"], "ResponseURL": sink.url}
        other = {key: event[key] for key in ("ResponseURL", "StackId")}
        for what, payload in (
            ("an event itself", event),
            ("a record of another function's event", {**record, "requestPayload": other}),
            ("a queue's message", {"Records": [{"body": json.dumps(record)}]}),
            ("nothing", {}),
        ):
            error, result = self.ask_responder(payload)
            found = (error, result["errorType"])
            self.demo.expect(f"{what} is refused", found, ("Unhandled", "NotOurs"))

    def in_the_end(self):
        expect = self.demo.expect
        for what, sink, wanted in self.sinks:
            expect(f"PUTs to {what!r}", len(sink.puts), wanted)
        for said, times in (("answered FAILED", 3), ("delivered its document", 2)):
            count = self.until(said, lambda said=said: self.log(self.log_groups[1]).count(said))
            expect(f"how often the responder says {said!r}", count, times)
        text = "".join(self.log(group) for group in self.log_groups)
        for what, secret in (("password", self.demo.server.password), ("ResponseURL", TOKEN)):
            expect(f"no {what} in either log", secret in text, False)


def check(demo, function, root_cert):
    """All of it, on the stack that demo.py deployed; `function` is the first one's ARN."""
    demo.screen.title("The second function: it answers where the first one could not")
    with contextlib.ExitStack() as cleanup:
        run = Check(demo, function, root_cert, cleanup)
        run.as_deployed()
        run.crashed()
        run.timed_out()
        run.no_route(run.refused())
        run.not_ours(run.as_lambda_sends_it())
        run.in_the_end()
