#!/usr/bin/env python3
"""What an event would do to a database of yours: prints the plan as SQL, rehearsed and rolled back.

    python3 tools/plan.py EVENT.json [--binary FILE]

The function itself does it, as a process of this machine, with `DryRun` set to `true` and nobody to
answer. Credentials come from libpq's variables where PGHOST is set (PGHOST, PGPORT, PGUSER,
PGPASSWORD, PGDATABASE, PGSSLMODE, PGSSLROOTCERT): then no AWS is called. Otherwise the event's own
`DBSecret` is read with the AWS credentials of the environment (AWS_REGION, AWS_ACCESS_KEY_ID, ...).

Exit code: 0 for a plan, 1 where the event would fail, 2 where it could not be asked.
"""

import argparse
import http.server
import json
import os
import subprocess
import sys
import threading
import time

RUNTIME = "/2018-06-01/runtime/"
REHEARSING = "Rehearsing: "
# What the plan may take: a rehearsal does all of the work.
SECONDS = 300


def secret_of(environment):
    """The secret that libpq's variables would be, or None where PGHOST is not set."""
    if not environment.get("PGHOST"):
        return None
    return {
        "host": environment["PGHOST"],
        "port": environment.get("PGPORT", "5432"),
        "username": environment.get("PGUSER", "postgres"),
        "password": environment.get("PGPASSWORD", ""),
        "dbname": environment.get("PGDATABASE", environment.get("PGUSER", "postgres")),
    }


def rehearsal(event, environment):
    """The same event as a rehearsal that nobody waits for."""
    event = {key: value for key, value in event.items() if key != "ResponseURL"}
    properties = dict(event.get("ResourceProperties") or {}, DryRun="true")
    if environment.get("PGHOST"):
        for name in ("Host", "Port", "Username", "Authentication", "SslRootCert"):
            properties.pop(name, None)
        properties["DBSecret"] = "libpq"
        properties["SslMode"] = environment.get("PGSSLMODE") or properties.get("SslMode", "verify-full")
    event["ResourceProperties"] = properties
    return event


class Lambda(http.server.ThreadingHTTPServer):
    """The Runtime API with one event to give, and Secrets Manager with one secret."""

    def __init__(self, event, secret):
        super().__init__(("127.0.0.1", 0), Call)
        self.event, self.secret = event, secret
        self.given = False
        self.document = None
        self.done = threading.Event()

    def handle_error(self, *_):
        """The function is ended while it waits for another event."""

    @property
    def address(self):
        """Where it listens: `127.0.0.1:1234`."""
        return f"127.0.0.1:{self.server_port}"


class Call(http.server.BaseHTTPRequestHandler):
    """One request to either of them."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """The next event; there is one only."""
        if self.server.given:
            self.server.done.wait()
            self.answer({}, 410)
            return
        self.server.given = True
        deadline = str(int((time.time() + SECONDS) * 1000))
        self.answer(self.server.event, 200, {
            "Lambda-Runtime-Aws-Request-Id": "plan",
            "Lambda-Runtime-Deadline-Ms": deadline,
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:local:0:function:plan",
        })

    def do_POST(self):
        """The function's answer, or a secret that it asks for."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.path.startswith(RUNTIME):
            text = json.dumps(self.server.secret)
            self.answer({"Name": "libpq", "SecretString": text, "VersionStages": ["AWSCURRENT"]}, 200)
            return
        document = json.loads(body or b"null")
        if self.path.endswith("/error"):
            # A direct invocation that failed: the document is the error's message.
            try:
                document = json.loads(document.get("errorMessage", ""))
            except ValueError:
                pass
        self.server.document = document
        self.answer({}, 202)
        self.server.done.set()

    def answer(self, document, status, headers=None):
        """Sends JSON."""
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing: the plan is what is printed."""


def ask(binary, event, environment):
    """Runs the function for one event; returns its document and its log's lines."""
    server = Lambda(rehearsal(event, environment), secret_of(environment))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    variables = {
        "AWS_REGION": "us-east-1",
        **environment,
        "AWS_LAMBDA_RUNTIME_API": server.address,
        "AWS_LAMBDA_FUNCTION_NAME": "plan",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_STREAM_NAME": "this terminal",
        "AWS_LAMBDA_LOG_GROUP_NAME": "plan",
        "_HANDLER": "bootstrap",
    }
    if server.secret:
        variables["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = f"http://{server.address}"
        variables.update(AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local")
        variables.pop("AWS_SESSION_TOKEN", None)
    root = environment.get("PGSSLROOTCERT", "")
    if root and root != "system":
        variables["PGSSLROOTCERT"] = os.path.expanduser(root)
    process = subprocess.Popen([binary], env=variables, stdout=subprocess.PIPE, text=True)
    # It would wait for another event.
    ender = threading.Thread(target=lambda: (server.done.wait(SECONDS), process.kill()), daemon=True)
    ender.start()
    lines = [json.loads(line) for line in process.stdout if line.startswith("{")]
    process.wait()
    return server.document, lines


def main():
    """Prints the plan of the event that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("event", help="a file with an event, as those in events/")
    parser.add_argument("--binary", default="target/debug/cfn-postgres-extensions", help="the function")
    arguments = parser.parse_args()
    try:
        with open(arguments.event) as file:
            event = json.load(file)
        document, lines = ask(os.path.abspath(arguments.binary), event, dict(os.environ))
    except (OSError, ValueError) as error:
        print(f"the plan could not be asked for: {error}", file=sys.stderr)
        return 2
    if not isinstance(document, dict) or "Status" not in document:
        print(f"the function gave no answer: {document}", file=sys.stderr)
        return 2
    database = None
    for line in lines:
        message = line.get("message", "")
        if message.startswith(REHEARSING):
            if line.get("database") != database:
                database = line.get("database")
                print(f"-- database {database}")
            print(message.removeprefix(REHEARSING))
        elif line.get("level") == "WARN":
            print(f"-- {message}", file=sys.stderr)
    print(f"-- {document['Status']}: {document['Reason']}")
    return 0 if document["Status"] == "SUCCESS" else 1


if __name__ == "__main__":
    sys.exit(main())
