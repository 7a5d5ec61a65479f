"""What a function needs of AWS: the Runtime API, Secrets Manager and the `ResponseURL`, over plain HTTP."""

import asyncio
import itertools
import json
import time

NEXT = "/2018-06-01/runtime/invocation/next"
INVOCATION = "/2018-06-01/runtime/invocation/"
RESPONSE_URL = "/response?Signature=a%3Ab%7Cc"
DEADLINE = 900
# How long a function may take for one event, in seconds.
TIMEOUT = 300


class Failed(Exception):
    """A function did not do what the event asked for."""


class Emulator:
    """AWS as one process of a function sees it; `secret` is a dict."""

    def __init__(self, secret):
        self.secret = json.dumps(secret)
        self.address = None
        self._server = None
        self._numbers = itertools.count(1)
        self._idle = asyncio.get_running_loop().create_future()
        self._response = None

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", 0)
        self.address = "127.0.0.1:{}".format(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def idle(self):
        """Waits until the function asks for an event; returns when it did."""
        try:
            _, when = await asyncio.wait_for(asyncio.shield(self._idle), TIMEOUT)
        except asyncio.TimeoutError as error:
            raise Failed(f"the function asked for no event within {TIMEOUT} s") from error
        return when

    async def invoke(self, event):
        """Hands an event to the function; returns the milliseconds until its response, once the
        function asks for another event."""
        connection, _ = await self._idle
        loop = asyncio.get_running_loop()
        self._idle, self._response = loop.create_future(), loop.create_future()
        event = dict(event, ResponseURL=f"http://{self.address}{RESPONSE_URL}")
        headers = {
            "Lambda-Runtime-Aws-Request-Id": f"request-{next(self._numbers)}",
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + DEADLINE) * 1000)),
            "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
            "Content-Type": "application/json",
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:bench",
        }
        body = json.dumps(event).encode()
        begun = time.perf_counter()
        connection.reply(200, body, headers)
        try:
            ended, document = await asyncio.wait_for(self._response, TIMEOUT)
        except asyncio.TimeoutError as error:
            raise Failed(f"the function sent no response within {TIMEOUT} s") from error
        if document.get("Status") == "FAILED" or "errorMessage" in document:
            raise Failed(f"the function failed: {document.get('Reason') or document}")
        await self.idle()
        return (ended - begun) * 1000

    def _responded(self, body):
        if self._response and not self._response.done():
            self._response.set_result((time.perf_counter(), json.loads(body or b"null") or {}))

    def handle(self, connection, method, path, body):
        """Replies to one request; one for an event waits until there is one."""
        if path == NEXT:
            self._idle.set_result((connection, time.perf_counter()))
        elif path.startswith(INVOCATION):
            if path.endswith("/error"):
                self._responded(body)
            connection.reply(202, b"{}")
        elif method == "PUT":
            self._responded(body)
            connection.reply(200, b"")
        elif method == "POST" and path == "/":
            value = {"ARN": "arn", "Name": "bench", "SecretString": self.secret, "VersionStages": ["AWSCURRENT"]}
            connection.reply(200, json.dumps(value).encode(), {"Content-Type": "application/x-amz-json-1.1"})
        else:
            # `init/error`, or what does not exist here.
            self._responded(body or b'{"errorMessage": "an unknown request"}')
            connection.reply(404, b"{}")


class Connection(asyncio.Protocol):
    """As much of HTTP/1.1 as the functions' clients need: one request after the other."""

    def __init__(self, emulator):
        self.emulator = emulator
        self.buffer = bytearray()
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body, length = bytes(self.buffer[end + 4:]), int(headers.get("content-length", 0))
        if len(body) < length:
            return
        self.buffer.clear()
        method, path, _ = first.split(" ", 2)
        self.emulator.handle(self, method, path, body)

    def reply(self, status, body, headers=None):
        """Sends a reply; the connection stays open."""
        head = [f"HTTP/1.1 {status} OK", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)
