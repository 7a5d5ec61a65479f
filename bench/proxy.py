"""A proxy before the database: adds a round trip's time, and counts the client's round trips."""

import asyncio
import collections


class Proxy:
    """A proxy on localhost to a port there.

    `round_trips` has one number for each connection: the TCP handshake, and each time that the client
    waits for the server. Every byte travels for half of `round_trip` seconds; the TCP handshake, which
    the proxy's own kernel answers, delays the first byte by a whole one.
    """

    def __init__(self, port, round_trip):
        self.upstream, self.round_trip = port, round_trip
        self.port = None
        self.round_trips = []
        self._servers = []

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self._servers = [await loop.create_server(lambda: Client(self), "127.0.0.1", 0)]
        self.port = self._servers[0].sockets[0].getsockname()[1]
        try:
            self._servers.append(await loop.create_server(lambda: Client(self), "::1", self.port))
        except OSError:
            pass  # a machine without IPv6: its localhost has one address
        return self

    async def __aexit__(self, *_):
        for server in self._servers:
            server.close()


class Direction:
    """One direction of a connection: passes bytes on after a delay, in order. Calls `arrived` when
    some reach the other end."""

    def __init__(self, delay, arrived):
        self.delay, self.arrived = delay, arrived
        self.transport = None
        self.waiting = collections.deque()
        self.loop = asyncio.get_running_loop()
        self.latest = 0.0

    def send(self, data, extra=0.0):
        """Passes bytes on; None is their end."""
        self.waiting.append(data)
        if self.delay:
            self.latest = max(self.latest, self.loop.time() + self.delay + extra)
            self.loop.call_at(self.latest, self.deliver)
        else:
            self.deliver()

    def deliver(self):
        """Writes the oldest bytes that wait."""
        data = self.waiting.popleft()
        if data is None:
            self.transport.close()
        else:
            self.arrived()
            self.transport.write(data)


class Client(asyncio.Protocol):
    """The function's end of a connection."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.number = len(proxy.round_trips)
        self.to_server = Direction(proxy.round_trip / 2, lambda: None)
        self.to_client = Direction(proxy.round_trip / 2, self.reply_arrived)
        self.waits = False
        self.first = True
        self.opening = None
        proxy.round_trips.append(1)

    def connection_made(self, transport):
        self.to_client.transport = transport
        # Nothing is read before the server's end is open.
        transport.pause_reading()
        loop = asyncio.get_running_loop()
        self.opening = loop.create_task(self.connect(loop, transport))

    async def connect(self, loop, transport):
        """Opens the server's end."""
        server, _ = await loop.create_connection(lambda: Server(self), "127.0.0.1", self.proxy.upstream)
        self.to_server.transport = server
        transport.resume_reading()

    def data_received(self, data):
        self.waits = True
        self.to_server.send(data, self.proxy.round_trip if self.first else 0.0)
        self.first = False

    def reply_arrived(self):
        """Counts a round trip where the client waited for this."""
        if self.waits:
            self.proxy.round_trips[self.number] += 1
            self.waits = False

    def connection_lost(self, _):
        if self.to_server.transport:
            self.to_server.send(None)


class Server(asyncio.Protocol):
    """The server's end of a connection."""

    def __init__(self, client):
        self.client = client

    def data_received(self, data):
        self.client.to_client.send(data)

    def connection_lost(self, _):
        self.client.to_client.send(None)
