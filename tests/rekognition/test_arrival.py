"""Requests are stamped when they come, not when the service gets round to them."""

from __future__ import annotations

import io
import select
import socket
import sys
import time

import pytest

from tests.plugins.waiting import wait_until
from tests.rekognition.arrival import StampedStream, ask_for_stamps

READ_LATE_S = 0.1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when bytes came")
def test_arrival_is_that_of_the_first_bytes() -> None:
    """However late they are read, and whatever comes after them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ask_for_stamps(server)
        # switched on in the background, by the first who asks
        wait_until(lambda: _shift(server) < READ_LATE_S / 2)
        for _ in range(3):
            assert _shift(server) < READ_LATE_S


def _shift(server: socket.socket) -> float:
    """How far outside of the time in which it came a request is stamped at worst: seconds."""
    client = socket.create_connection(server.getsockname())
    connection, _ = server.accept()
    worst = 0.0
    with client, connection:
        stream = StampedStream(connection)
        reader = io.BufferedReader(stream)
        for _ in range(2):
            sent = time.monotonic()
            client.sendall(b"first\n")
            select.select([connection], [], [])
            came = time.monotonic()
            time.sleep(READ_LATE_S)
            assert reader.readline() == b"first\n"
            client.sendall(b"second\n")
            assert reader.readline() == b"second\n"
            assert stream.arrived is not None
            worst = max(worst, sent - stream.arrived, stream.arrived - came)
            stream.next_request()
    return worst
