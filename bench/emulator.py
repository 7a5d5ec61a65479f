"""What Lambda and AWS are to a function: the Runtime API, Secrets Manager and the `ResponseURL`.

One protocol on one event loop, without threads, so that next to nothing of what is measured is its
own: between a request's last byte and the answer's first lie about 0.1 ms.
"""

import asyncio
import itertools
import json
import time

NEXT = "/2018-06-01/runtime/invocation/next"
INVOCATION = "/2018-06-01/runtime/invocation/"
RESPONSE_URL = "/response?Signature=a%3Ab%7Cc"
DEADLINE = 900
# How long a function may be silent before it counts as lost.
PATIENCE = 300


class Failed(Exception):
    """A function that did not do what it was asked, in words for the person at the terminal."""


class Emulator:
    """One function's surroundings; a run makes a new one."""

    def __init__(self, secret, answers_itself):
        """`secret` is a dict; `answers_itself` says whether the function sends the PUT, or leaves
        that to a framework and only returns (then its result counts as its answer)."""
        self.secret = json.dumps(secret)
        self.answers_itself = answers_itself
        self.address = None
        self._server = None
        self._numbers = itertools.count(1)
        self._idle = asyncio.get_running_loop().create_future()
        self._answer = None

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Wire(self), "127.0.0.1", 0)
        self.address = "127.0.0.1:{}".format(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def idle(self):
        """Waits until the function asks for an event; returns when it did."""
        try:
            _, when = await asyncio.wait_for(asyncio.shield(self._idle), PATIENCE)
        except asyncio.TimeoutError as error:
            raise Failed(f"the function asked for no event within {PATIENCE} s") from error
        return when

    async def invoke(self, event):
        """Hands an event to the function; returns the milliseconds until its answer, once the
        function asks for another event."""
        wire, _ = await self._idle
        loop = asyncio.get_running_loop()
        self._idle, self._answer = loop.create_future(), loop.create_future()
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
        wire.reply(200, body, headers)
        try:
            ended, document = await asyncio.wait_for(self._answer, PATIENCE)
        except asyncio.TimeoutError as error:
            raise Failed(f"the function gave no answer within {PATIENCE} s") from error
        if document.get("Status") == "FAILED" or "errorMessage" in document:
            raise Failed(f"the function failed: {document.get('Reason') or document}")
        await self.idle()
        return (ended - begun) * 1000

    def _answered(self, body):
        if self._answer and not self._answer.done():
            self._answer.set_result((time.perf_counter(), json.loads(body or b"null") or {}))

    def handle(self, wire, method, path, body):
        """Answers one request, or keeps it until there is an event."""
        if path == NEXT:
            self._idle.set_result((wire, time.perf_counter()))
        elif path.startswith(INVOCATION):
            if not self.answers_itself or path.endswith("/error"):
                self._answered(body)
            wire.reply(202, b"{}")
        elif method == "PUT":
            self._answered(body)
            wire.reply(200, b"")
        elif method == "POST" and path == "/":
            answer = {"ARN": "arn", "Name": "bench", "SecretString": self.secret, "VersionStages": ["AWSCURRENT"]}
            wire.reply(200, json.dumps(answer).encode(), {"Content-Type": "application/x-amz-json-1.1"})
        else:
            # The function could not start, or asks for what does not exist.
            self._answered(body or b'{"errorMessage": "an unknown request"}')
            wire.reply(404, b"{}")


class Wire(asyncio.Protocol):
    """As much of HTTP/1.1 as a function's clients speak: one request after the other."""

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
        if headers.get("transfer-encoding") == "chunked":
            body = unchunked(body)
            if body is None:
                return
        elif len(body) < length:
            return
        self.buffer.clear()
        method, path, _ = first.split(" ", 2)
        self.emulator.handle(self, method, path, body)

    def reply(self, status, body, headers=None):
        """Sends an answer; the connection stays open."""
        head = [f"HTTP/1.1 {status} OK", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)


def unchunked(body):
    """A chunked body as it was meant, or None where the last chunk has not come yet."""
    whole = b""
    while True:
        size, line_end, rest = body.partition(b"\r\n")
        if not line_end or len(rest) < int(size, 16) + 2:
            return None
        if int(size, 16) == 0:
            return whole
        whole, body = whole + rest[:int(size, 16)], rest[int(size, 16) + 2:]
