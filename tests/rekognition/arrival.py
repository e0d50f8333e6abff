"""When a request came: told by the kernel, so that a busy machine doesn't shift the arrivals."""

from __future__ import annotations

import io
import socket
import struct
import sys
import time
from typing import Any

# Linux's SO_TIMESTAMPNS, socket(7), which Python has no name for: asked for as an option, and
# delivered with what is received as seconds and nanoseconds of the wall clock.
_STAMPS = 35
_TIMESPEC = struct.Struct("@ll")


def ask_for_stamps(own: socket.socket) -> None:
    """Have the kernel stamp what this socket receives, where it can: on Linux.

    The first socket of a machine that asks switches it on a moment later, in the background; what
    comes meanwhile is stamped when it is read. A server's listening socket asks in time.
    """
    if sys.platform == "linux":
        own.setsockopt(socket.SOL_SOCKET, _STAMPS, 1)


class StampedStream(io.RawIOBase):
    """What a connection receives. `arrived` is when its latest first bytes did.

    In monotonic seconds. Elsewhere than on Linux it is the moment at which they were read.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._room = socket.CMSG_SPACE(_TIMESPEC.size)
        self.arrived: float | None = None
        ask_for_stamps(connection)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See the base class."""
        size, notes, _, _ = self._connection.recvmsg_into([buffer], self._room)
        if self.arrived is None:
            self.arrived = _stamp(notes)
        return size

    def next_request(self) -> None:
        """What is received from now on are the first bytes of another request."""
        self.arrived = None


def _stamp(notes: list[tuple[int, int, bytes]]) -> float:
    for level, kind, told in notes:
        if (level, kind) == (socket.SOL_SOCKET, _STAMPS):
            seconds, nanoseconds = _TIMESPEC.unpack(told)
            return float(seconds + nanoseconds / 1e9 - time.time() + time.monotonic())
    return time.monotonic()
