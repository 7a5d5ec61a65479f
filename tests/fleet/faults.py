"""Faults on the wire: a proxy between the state machines and the services that they call.

`emulator.py` sends every aws-sdk task and every `lambda:invoke` to it. It passes a request on, or
does what a test asked for:

    with services.faulty("CreateDBSnapshot", fails("Throttling"), times=2) as fault:
        ...
    assert fault.calls == 2

Errors have the status, the code and the document that AWS sends (botocore's models of the services;
test_stand_ins.py reads each with boto3).
"""

import contextlib
import http.server
import json
import os
import re
import threading
import urllib.parse
import uuid

import local_aws
import urllib3

HERE = os.path.dirname(os.path.abspath(__file__))
# `make test-fleet` replays what is in this folder.
RECORD = os.path.join(os.path.dirname(os.path.dirname(HERE)), "target", "fleet")
# Headers that the proxy does not pass on; the checksum is of a body that a fault may change.
OWN = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}
OWN.add("x-amz-crc32")
JSON = "application/x-amz-json-1.0"

# Error code to message and status; the namespace of DynamoDB's.
DYNAMODB = "com.amazonaws.dynamodb.v20120810#"
ERRORS = {
    "Throttling": ("Rate exceeded", 400),
    "ThrottlingException": ("Rate exceeded", 400),
    "ProvisionedThroughputExceededException": (
        "The level of configured provisioned throughput for the table was exceeded. Consider "
        "increasing your provisioning level with the UpdateTable API.",
        400,
    ),
    "TransactionCanceledException": (
        "Transaction cancelled, please refer cancellation reasons for specific reasons "
        "[None, TransactionConflict]",
        400,
    ),
    "InternalServerError": ("Internal server error", 500),
    "InvalidDBInstanceState": ("Instance {} is not currently in the available state.", 400),
    "InvalidDBClusterStateFault": ("Cluster {} is not in available state.", 400),
    "InvalidDBSnapshotState": ("The snapshot is not currently in the available state.", 400),
    "InvalidDBClusterSnapshotStateFault": ("The snapshot is not in the available state.", 400),
    "DBSnapshotNotFound": ("DBSnapshot not found.", 404),
    "DBClusterSnapshotNotFoundFault": ("DBClusterSnapshot not found.", 404),
    "SnapshotQuotaExceeded": ("Cannot create more than 100 manual snapshots", 400),
    "AccessDenied": ("User: {} is not authorized to perform: rds:CreateDBSnapshot", 403),
    "InvalidParameterValue": ("The parameter DBSnapshotIdentifier is not a valid identifier.", 400),
    "KMSKeyNotAccessibleFault": ("The KMS key {} is not accessible.", 400),
    "InternalFailure": ("An internal error has occurred. Please try your query again.", 500),
    "TooManyRequestsException": ("Rate Exceeded.", 429),
}
REASONS = [
    {"Code": "None"},
    {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"},
]


class Response:
    """Status, headers and body of an HTTP response."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body


class Call:
    """A request for an action of a service: `parameters` by their names on the wire."""

    def __init__(self, method, path, headers, body, target):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self._target = target
        scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", headers["Authorization"])
        self.service = scope.group(1)
        if self.service == "lambda":
            self.action, self.parameters = "Invoke", json.loads(body)
        elif "X-Amz-Target" in headers:
            self.action = headers["X-Amz-Target"].rsplit(".", 1)[1]
            self.parameters = json.loads(body)
        else:
            self.parameters = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
            self.action = self.parameters.pop("Action")

    def forward(self):
        """The response of the emulator."""
        headers = dict(self.headers.items())
        response = self._target.request(self.method, self.path, body=self.body, headers=headers)
        return Response(response.status, response.headers, response.data)


def fails(code, *names):
    """A fault: the service answers with this error; its message names `names`."""
    message, status = ERRORS[code]
    message = message.format(*names)

    def respond(call):
        request_id = str(uuid.uuid4())
        if call.service == "rds":
            text = (
                '<ErrorResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><Error>'
                f"<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
                f"<RequestId>{request_id}</RequestId></ErrorResponse>"
            )
            return Response(status, {"Content-Type": "text/xml"}, text.encode())
        headers = {"Content-Type": JSON, "x-amzn-RequestId": request_id}
        document = {"__type": code, "message": message}
        if call.service == "lambda":
            headers |= {"Content-Type": "application/json", "x-amzn-ErrorType": code}
            reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
            document = {"Reason": reason, "Type": "User", "message": message}
        elif call.service == "dynamodb":
            document["__type"] = DYNAMODB + code
            if code == "TransactionCanceledException":
                document = {"__type": DYNAMODB + code, "Message": message}
                document["CancellationReasons"] = REASONS
        return Response(status, headers, json.dumps(document).encode())

    return respond


def snapshot_is(status):
    """A fault: a described snapshot, of an instance or of a cluster, has this status."""

    def respond(call):
        response = call.forward()
        element = f"<Status>{status}</Status>".encode()
        text = re.sub(rb"<Status>\w+</Status>", element, response.body)
        return Response(response.status, response.headers, text)

    return respond


def of_rds(call, result):
    """The response of RDS whose result is this XML."""
    text = (
        f'<{call.action}Response xmlns="http://rds.amazonaws.com/doc/2014-10-31/">'
        f"<{call.action}Result>{result}</{call.action}Result></{call.action}Response>"
    )
    return Response(200, {"Content-Type": "text/xml"}, text.encode())


def in_pages(size, automated=()):
    """A fault: snapshots come in pages of this size, which the emulator's do not, and those named
    in `automated` are RDS's own."""

    def respond(call):
        response = call.forward()
        element = call.action.removeprefix("Describe").removesuffix("s")
        snapshots = []
        for text in re.findall(f"<{element}>.*?</{element}>", response.body.decode(), re.S):
            name = re.search(f"<{element}Identifier>(.*?)<", text).group(1)
            kind = "automated" if name in automated else "manual"
            if call.parameters.get("SnapshotType", kind) == kind:
                type_ = f"<SnapshotType>{kind}</SnapshotType>"
                snapshots.append(re.sub("<SnapshotType>.*?</SnapshotType>", type_, text))
        start = int(call.parameters.get("Marker", 0))
        page = "".join(snapshots[start : start + size])
        last = start + size >= len(snapshots)
        marker = "" if last else f"<Marker>{start + size}</Marker>"
        return of_rds(call, f"{marker}<{element}s>{page}</{element}s>")

    return respond


def ends(kind, message):
    """A fault: the function is not invoked, and Lambda tells this error of it."""
    document = json.dumps({"errorType": kind, "errorMessage": message}).encode()
    headers = {"Content-Type": "application/json", "X-Amz-Function-Error": "Unhandled"}
    return lambda call: Response(200, headers, document)


class Fault:
    """What a test asked for, and how often it happened."""

    def __init__(self, action, respond, times, when):
        self.action = action
        self.respond = respond
        self.left = times
        self.when = when
        self.calls = 0


class Services:
    """The proxy; `endpoint` is its address, `calls` what came, in order."""

    def __init__(self, target):
        self.calls = []
        self._faults = []
        self._lock = threading.Lock()
        self._target = urllib3.connection_from_url(target, maxsize=64, retries=False, timeout=None)
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet for each response
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                call = Call(self.command, self.path, self.headers, body, proxy._target)
                response = proxy._respond(call)
                self.send_response(response.status)
                for name, value in response.headers.items():
                    if name.lower() not in OWN:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(response.body)))
                self.end_headers()
                self.wfile.write(response.body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _respond(self, call):
        with self._lock:
            self.calls.append(call)
            for fault in self._faults:
                if fault.action == call.action and fault.left and fault.when(call):
                    fault.left -= 1
                    fault.calls += 1
                    break
            else:
                fault = None
        return fault.respond(call) if fault else call.forward()

    @contextlib.contextmanager
    def faulty(self, action, respond, times=-1, when=lambda call: True):
        """While it lasts, a call of the action for which `when` holds gets the response of
        `respond(call)`, at most `times` times (-1: always)."""
        fault = Fault(action, respond, times, when)
        with self._lock:
            self._faults.append(fault)
        try:
            yield fault
        finally:
            with self._lock:
                self._faults.remove(fault)

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def local_aws_between(**settings):
    """A local AWS run by emulator.py that records in RECORD, and the proxy before it, which its
    state machines call. `settings` are environment variables."""
    os.makedirs(RECORD, exist_ok=True)
    port = local_aws.free_port()
    services = Services(f"http://127.0.0.1:{port}")
    settings["FLEET_RECORD"] = RECORD
    settings["FLEET_ENDPOINT"] = services.endpoint
    program = (os.path.join(HERE, "emulator.py"),)
    try:
        with local_aws.started(port, program=program, settings=settings) as aws:
            yield aws, services
    finally:
        services.stop()


def recorded(aws, name):
    """What that local AWS recorded so far: `evaluations` or `states`."""
    with open(os.path.join(RECORD, f"{name}-{aws.process.pid}.jsonl")) as lines:
        return [json.loads(line) for line in lines]
