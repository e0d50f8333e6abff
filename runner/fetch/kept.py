"""Connections that are kept for the next request to the same host."""

from __future__ import annotations

import threading

import httpcore


class Kept:
    """At most so many idle connections, over all hosts; a connection in use is its user's alone.

    In place of httpcore's pool, which looks at all of its connections once for each of them,
    twice a request, and may close one that another thread was just given: that request hangs
    until its timeout (encode/httpcore, issue 1110).
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._idle: list[httpcore.HTTPConnection] = []  # the one that is idle for longest is first

    def take(self, origin: httpcore.Origin) -> httpcore.HTTPConnection | None:
        """The connection last used, of those that are not seen to be closed; None: there is none.

        A host can still close it before the request arrives.
        """
        while True:
            with self._lock:
                fitting = (c for c in reversed(self._idle) if c.can_handle_request(origin))
                found = next(fitting, None)
                if found is None:
                    return None
                self._idle.remove(found)
            if not found.has_expired():
                return found
            found.close()

    def give(self, connection: httpcore.HTTPConnection) -> None:
        """Keep it for the next request if it can carry one, else close it."""
        if not connection.is_available():
            connection.close()
            return
        with self._lock:
            self._idle.append(connection)
            while self._idle and (len(self._idle) > self._most or self._idle[0].has_expired()):
                self._idle.pop(0).close()

    def close(self) -> None:
        """Close all, and keep none from now on."""
        with self._lock:
            self._most = 0
            for connection in self._idle:
                connection.close()
            self._idle.clear()
