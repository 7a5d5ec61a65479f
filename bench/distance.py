"""The way to the database: a proxy that adds a round trip's time and counts the client's flights."""

import asyncio
import collections


class Distance:
    """A proxy on localhost to a port there.

    `flights` has one number for each connection: how often the client began to speak, the first time
    or after it heard the server. Every byte travels for half of `round_trip` seconds; the TCP
    handshake, which the proxy's own kernel answers, costs the first byte one more, and is no flight.
    """

    def __init__(self, port, round_trip):
        self.upstream, self.round_trip = port, round_trip
        self.port = None
        self.flights = []
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


class Lane:
    """One direction: what comes in goes out a while later, in order."""

    def __init__(self, delay):
        self.delay = delay
        self.transport = None
        self.waiting = collections.deque()
        self.loop = asyncio.get_running_loop()
        self.latest = 0.0

    def send(self, data, extra=0.0):
        """Passes bytes on; None is the end of them."""
        self.waiting.append(data)
        if self.delay:
            self.latest = max(self.latest, self.loop.time() + self.delay + extra)
            self.loop.call_at(self.latest, self.deliver)
        else:
            self.deliver()

    def deliver(self):
        """One piece has arrived."""
        data = self.waiting.popleft()
        if data is None:
            self.transport.close()
        else:
            self.transport.write(data)


class Client(asyncio.Protocol):
    """The function's end of a connection."""

    def __init__(self, distance):
        self.distance = distance
        self.number = len(distance.flights)
        self.to_server = Lane(distance.round_trip / 2)
        self.to_client = Lane(distance.round_trip / 2)
        self.server_spoke = True
        self.first = True
        self.opening = None
        distance.flights.append(0)

    def connection_made(self, transport):
        self.to_client.transport = transport
        # Nothing is read before the server's end is open.
        transport.pause_reading()
        loop = asyncio.get_running_loop()
        self.opening = loop.create_task(self.connect(loop, transport))

    async def connect(self, loop, transport):
        """Opens the server's end."""
        server, _ = await loop.create_connection(lambda: Server(self), "127.0.0.1", self.distance.upstream)
        self.to_server.transport = server
        transport.resume_reading()

    def data_received(self, data):
        if self.server_spoke:
            self.distance.flights[self.number] += 1
            self.server_spoke = False
        self.to_server.send(data, self.distance.round_trip if self.first else 0.0)
        self.first = False

    def connection_lost(self, _):
        if self.to_server.transport:
            self.to_server.send(None)


class Server(asyncio.Protocol):
    """The server's end of a connection."""

    def __init__(self, client):
        self.client = client

    def data_received(self, data):
        self.client.to_client.send(data)
        # Counts as heard when it has arrived.
        loop, delay = asyncio.get_running_loop(), self.client.to_client.delay
        loop.call_later(delay, self.heard)

    def heard(self):
        """The client has the server's words."""
        self.client.server_spoke = True

    def connection_lost(self, _):
        self.client.to_client.send(None)
