"""A name server on loopback that speaks DNS, and a resolver that asks it.

The system's resolver can't be pointed to a port of a test's own, so this one stands where the
program has the system's: at `Client(resolve=...)`. What it is asked, how often and when is up to
the program, and that is what tests are about.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHHIH")
_A, _AAAA, _IN = 1, 28, 1
_POINTER_TO_QUESTION = 0xC00C


class NameServer:
    """Answers each lookup of a name with the next of its answers, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Sequence[str]]] = {}
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._address = self._socket.getsockname()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve from a thread of its own until the block ends."""
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", self._address)
            thread.join()
            self._socket.close()

    def resolve(self, host: str, port: int) -> Sequence[str]:
        """All addresses of a name by one question each for IPv4 and IPv6."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(5)
            found: list[str] = []
            for kind in (_A, _AAAA):
                asking.sendto(_question(host, kind), self._address)
                found += _addresses(asking.recv(4096))
        if not found:
            raise OSError(f"no address of {host}")
        return found

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(4096)
            if not question:
                return
            self._socket.sendto(self._reply(question), client)

    def _reply(self, question: bytes) -> bytes:
        name, kind, rest = _read_question(question)
        answers = self.answers.get(name, [()])
        if kind == _A:
            self.asked.append(name)
        elif len(answers) > 1:  # the second half of a lookup: the next one gets the next answer
            answers = [answers.pop(0)]
        size = {_A: 4, _AAAA: 16}[kind]
        found = [data for text in answers[0] if len(data := ip_address(text).packed) == size]
        records = b"".join(
            _RECORD.pack(_POINTER_TO_QUESTION, kind, _IN, 0, size) + data for data in found
        )
        number = _HEADER.unpack_from(question)[0]
        return _HEADER.pack(number, 0x8180, 1, len(found), 0, 0) + rest + records


def _question(host: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode("ascii") for part in host.split("."))
    return _HEADER.pack(1, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, _IN)


def _read_question(packet: bytes) -> tuple[str, int, bytes]:
    parts, at = [], _HEADER.size
    while packet[at]:
        parts.append(packet[at + 1 : at + 1 + packet[at]].decode("ascii"))
        at += 1 + packet[at]
    (kind,) = struct.unpack_from("!H", packet, at + 1)
    return ".".join(parts), kind, packet[_HEADER.size : at + 5]


def _addresses(reply: bytes) -> Iterator[str]:
    count = _HEADER.unpack_from(reply)[3]
    _, _, question = _read_question(reply)
    at = _HEADER.size + len(question)
    for _ in range(count):
        size = _RECORD.unpack_from(reply, at)[4]
        at += _RECORD.size
        yield str(ip_address(reply[at : at + size]))
        at += size
