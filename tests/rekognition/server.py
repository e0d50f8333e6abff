"""The way in: HTTP/1.1 with connections kept alive, for clients and for `control`."""

from __future__ import annotations

import io
import time

from tests.plugins.loopback import LOOPBACK, Exchange, LoopbackServer
from tests.rekognition.arrival import StampedStream, ask_for_stamps
from tests.rekognition.control import PREFIX, Control
from tests.rekognition.service import Call, Reply
from tests.rekognition.settings import Settings


class RekognitionExchange(Exchange):
    """One request, stamped when it came."""

    server: RekognitionServer
    # One packet an answer: a second one could wait until the first is acknowledged.
    wbufsize = -1

    def setup(self) -> None:
        """See the base class."""
        super().setup()
        self.rfile.close()
        self._received = StampedStream(self.connection)
        self.rfile = io.BufferedReader(self._received)

    def _handle(self) -> None:
        arrived = self._received.arrived or time.monotonic()
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self._received.next_request()
        # A client that went away before it had said everything has called nothing.
        reply = self._reply(body, arrived) if len(body) == length else None
        if reply is None:
            self.hang_up()
        else:
            self.stopping.wait(reply.after_s)
            self.answer(reply.status, reply.body, reply.headers)

    do_GET = do_POST = _handle

    def _reply(self, body: bytes, arrived: float) -> Reply | None:
        if self.path.startswith(PREFIX):
            return self.server.control.answer(self.command, self.path, body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        return self.server.control.service.answer(Call(headers, body, arrived))


class RekognitionServer(LoopbackServer):
    """Rekognition and its control on one port; 0: any."""

    request_queue_size = 256

    def __init__(self, settings: Settings, port: int = 0) -> None:
        self._port = port
        self.control = Control(settings)
        super().__init__()
        self.RequestHandlerClass = RekognitionExchange

    def server_bind(self) -> None:
        """Bind to the port that is asked for."""
        self.server_address = (LOOPBACK, self._port)
        ask_for_stamps(self.socket)
        super().server_bind()
