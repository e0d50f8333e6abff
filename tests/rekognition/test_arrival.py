"""Requests are stamped when they come, not when the service gets round to them."""

from __future__ import annotations

import io
import select
import socket
import sys
import time

import pytest

from tests.rekognition.arrival import StampedStream


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when bytes came")
def test_arrival_is_that_of_the_first_bytes() -> None:
    """However late they are read, and whatever comes after them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        connection, _ = server.accept()
    with client, connection:
        stream = StampedStream(connection)
        reader = io.BufferedReader(stream)
        for _ in range(3):
            sent = time.monotonic()
            client.sendall(b"first\n")
            select.select([connection], [], [])
            came = time.monotonic()
            time.sleep(0.1)  # the delay that must not show
            assert reader.readline() == b"first\n"
            client.sendall(b"second\n")
            assert reader.readline() == b"second\n"
            assert stream.arrived is not None
            # two clocks are compared, which are read one after the other, on a busy machine
            assert sent - 0.05 <= stream.arrived <= came + 0.05
            stream.next_request()
