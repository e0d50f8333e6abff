"""Times that PostgreSQL has and Python has not: `infinity`, and years before 1 and after 9999."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.datetime import TimestamptzLoader

EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)


class NearestTime(Loader):
    """Reads such a time as the first or the last that Python has: a token that is valid for ever
    is one row of a list, and no reason to show none of them.
    """

    def __init__(self, oid: int, context: psycopg.abc.AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._exact = TimestamptzLoader(oid, context)

    def load(self, data: Buffer) -> datetime:
        """The time, or the one that is nearest to it."""
        try:
            return self._exact.load(data)
        except psycopg.DataError:
            text = bytes(data)
            return EARLIEST if text.startswith(b"-") or text.endswith(b"BC") else LATEST


def read_all(connection: psycopg.Connection[dict[str, object]]) -> None:
    """Let this connection read every time that the database may hold."""
    connection.adapters.register_loader("timestamptz", NearestTime)
