"""Where a limit that is shared by processes is put before requests to a host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Gate(Protocol):
    """Entered around each exchange with a host, before any connection.

    Each redirect is an exchange, and so is a request that is sent again since a kept connection
    broke; the first one has then left the gate as `Retry` with the code `connection`. Used by
    several threads at once.
    """

    def __call__(self, host: str) -> AbstractContextManager[None]:
        """A block to be entered once for one exchange with `host`, in canonical form.

        Entering may wait, which doesn't count towards the download's deadline, or refuse by
        raising `Retry` with `counts=False`. It is left when the body has arrived; what ended the
        exchange otherwise (`Permanent`, `Retry`) passes through it.
        """
        ...

    def throttled(self, host: str, after_s: float | None) -> None:
        """Told, within the block, that the host wants no request for so many seconds.

        That is what status 429 means, and 503 with a Retry-After. None: it didn't say how long.
        """
        ...


class OpenGate:
    """The gate that lets everything pass at once."""

    @contextmanager
    def __call__(self, host: str) -> Iterator[None]:
        """Nothing to wait for."""
        yield

    def throttled(self, host: str, after_s: float | None) -> None:
        """Nobody to be told; the `Retry` says it."""
