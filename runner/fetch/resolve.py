"""Names to addresses, in bounded time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address

import httpcore

from runner.fetch.ranges import Address

Resolve = Callable[[str, int], Sequence[str]]
"""All addresses of a host for a port, best first; raises `OSError` where there are none."""


class Unresolvable(httpcore.ConnectError):
    """The host's name has no address, or the name service gave no answer."""


def system_addresses(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Resolver:
    """Asks `resolve` in threads of their own, since the system's resolver takes no timeout.

    A lookup that outlasts its caller ends when the name service gives up. At most `lookups` are
    under way, so that names which are slow on purpose can't pile up threads.
    """

    def __init__(self, resolve: Resolve, lookups: int) -> None:
        self._resolve = resolve
        self._slots = threading.BoundedSemaphore(lookups)

    def addresses(self, host: str, port: int, timeout: float) -> list[Address]:
        """Each address once; an IP address is its own. Raises `Unresolvable`."""
        try:
            return [ip_address(host)]
        except ValueError:
            texts = self._looked_up(host, port, timeout)
        return list(dict.fromkeys(ip_address(text) for text in texts))

    def _looked_up(self, host: str, port: int, timeout: float) -> Sequence[str]:
        found: list[Sequence[str]] = []
        failures: list[Exception] = []
        done = threading.Event()

        def look_up() -> None:
            try:
                found.append(self._resolve(host, port))
            except (OSError, UnicodeError) as error:
                failures.append(error)
            finally:
                self._slots.release()
                done.set()

        if not self._slots.acquire(timeout=timeout):
            raise Unresolvable(host)
        threading.Thread(target=look_up, name=f"lookup of {host}", daemon=True).start()
        if not done.wait(timeout) or not found or not found[0]:
            raise Unresolvable(host) from (failures[0] if failures else None)
        return found[0]
