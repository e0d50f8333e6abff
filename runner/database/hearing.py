"""What is notified on a connection, and whether anything can be heard there at all."""

from __future__ import annotations

import time
from uuid import uuid4

from psycopg.sql import Composed

from runner.database.files import statement
from runner.database.session import Connection, is_direct

PROOF_S = 2.0
"""How long a NOTIFY to oneself may take before the connection is held to be deaf."""

PROOF = "proof "
"""What a NOTIFY to oneself begins with; others who listen pass over it."""


def listens(connection: Connection, channel: str, listen: str | Composed) -> bool:
    """Execute `listen`, a statement; whether what is notified on `channel` is heard from then on.

    A transaction pooler swallows it without an error: LISTEN through it would be some other
    client's from the next transaction on, so it is not even tried there.
    """
    if not is_direct(connection):
        return False
    word = PROOF + uuid4().hex
    connection.execute(listen.encode() if isinstance(listen, str) else listen)
    connection.execute(statement("notify_channel"), {"channel": channel, "payload": word})
    return heard(connection, word, PROOF_S)


def heard(connection: Connection, word: str, seconds: float) -> bool:
    """Whether this is notified within so many seconds."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if any(said.payload == word for said in connection.notifies(timeout=left, stop_after=1)):
            return True
    return False
