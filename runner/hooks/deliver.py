"""Messages to webhooks: taken from the database when they are due, sent, and taken down."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg

from runner.database import failures
from runner.database.session import Session
from runner.errors import BackfillError

if TYPE_CHECKING:
    from runner.hooks.send import Attempt

log = logging.getLogger(__name__)

TOTAL_S = 15.0
"""How long one attempt may take."""

AT_ONCE = 4
"""Messages that a process sends at once."""

LOOK_S = 1.0
"""How often a process looks for messages that are due."""

TAKEN_S = TOTAL_S + 30.0
"""How long a message is a process's own; one that died with it is then sent by another."""

LAST_S = 10.0
"""How long a process that ends goes on sending."""

PRUNE_S = 3600.0

Row = dict[str, Any]


class Deliverer:
    """Sends what is due. `allow` are networks beside the public internet, as `Policy.parse` reads
    them, by default those in BACKFILL_HOOK_ALLOW. Raises `UsageError` where they can't be read.
    """

    def __init__(self, conninfo: str, allow: str | None = None) -> None:
        self._conninfo = conninfo
        # only where there is a webhook: what HTTP needs takes longer to import than all the rest
        from runner.hooks.send import Message, Sender

        self._sender, self._message = Sender(allow), Message
        self._told: dict[str, str] = {}

    def __enter__(self) -> Deliverer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections to servers."""
        self._sender.close()

    def work(self, stop: threading.Event) -> None:
        """Send until `stop` is set, and then what is due at that time.

        It outlives the server's restarts. What it can't go on with is logged, not raised: it is
        tried again a minute later.
        """
        while not stop.is_set():
            try:
                with self._session(stop) as session:
                    self._serve(session, stop)
            except (psycopg.Error, BackfillError) as error:
                if not stop.is_set():
                    log.warning("webhooks are not told: %s", failures.first_line(error))
                    stop.wait(60.0)
        self.close()

    def flush(self, session: Session, seconds: float, only: UUID | None = None) -> list[Attempt]:
        """Send what is due now, or one message, within this time; what came of each.

        Failures are logged, but for that of one message, which is the caller's to tell.
        """
        end = time.monotonic() + seconds
        made: list[Attempt] = []
        with ThreadPoolExecutor(AT_ONCE, "webhook") as pool:
            sending: dict[Future[Attempt], Row] = {}
            while True:
                left = end - time.monotonic()
                taken = self._take(session, AT_ONCE - len(sending), only) if left > 0 else []
                sending |= self._submit(pool, taken, min(TOTAL_S, left))
                if not sending:
                    return made
                made += self._note(session, sending, None, tell=only is None)

    def _session(self, stop: threading.Event) -> Session:
        return Session(
            self._conninfo,
            name="backfill webhooks",
            patience=math.inf,
            stop=stop,
            persistent=True,
        )

    def _serve(self, session: Session, stop: threading.Event) -> None:
        next_prune = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE, "webhook") as pool:
            sending: dict[Future[Attempt], Row] = {}
            while not stop.is_set():
                if time.monotonic() >= next_prune:
                    session.call("prune_deliveries")
                    next_prune = time.monotonic() + PRUNE_S
                taken = self._take(session, AT_ONCE - len(sending), None)
                sending |= self._submit(pool, taken, TOTAL_S)
                if sending:
                    self._note(session, sending, LOOK_S)
                else:
                    stop.wait(LOOK_S)
            while sending:
                self._note(session, sending, None)
        self.flush(session, LAST_S)

    def _take(self, session: Session, most: int, only: UUID | None) -> list[Row]:
        if most == 0:
            return []
        return session.call("take_deliveries", most=most, seconds=TAKEN_S, only=only)

    def _submit(
        self, pool: ThreadPoolExecutor, taken: list[Row], seconds: float
    ) -> dict[Future[Attempt], Row]:
        sending = {}
        for row in taken:
            message = self._message(
                row["url"], row["message_id"], row["sent_at"], row["signature"], row["body"]
            )
            sending[pool.submit(self._sender.send, message, seconds)] = row
        return sending

    def _note(
        self,
        session: Session,
        sending: dict[Future[Attempt], Row],
        seconds: float | None,
        *,
        tell: bool = True,
    ) -> list[Attempt]:
        """Wait for one of them, and take down and remove those that are done."""
        done, _ = wait(sending, seconds, FIRST_COMPLETED)
        made = []
        for future in done:
            row, attempt = sending.pop(future), future.result()
            made.append(attempt)
            (found,) = session.call(
                "note_delivery", id=row["id"], attempt=row["attempt"], status=attempt.status,
                error=attempt.error, ms=attempt.milliseconds, after=attempt.after,
            )  # fmt: skip
            if tell:
                self._tell(row["webhook"], attempt, found["state"])
        return made

    def _tell(self, webhook: str, attempt: Attempt, state: str | None) -> None:
        """Warn of a failure, of one that goes on once."""
        if attempt.error is None:
            if self._told.pop(webhook, None) is not None:
                log.info("webhook %s: its server takes messages again", webhook)
            return
        if state == "failed":
            log.warning("webhook %s: a message is given up: %s", webhook, attempt.error)
        elif self._told.get(webhook) != attempt.error:
            log.warning("webhook %s: %s; it is tried again later", webhook, attempt.error)
        self._told[webhook] = attempt.error


@contextmanager
def delivering(session: Session, conninfo: str) -> Iterator[None]:
    """Tell webhooks in the block, on a thread of its own, and at its end what is left.

    Where there is no webhook this is a query and no thread. What could not be sent when the block
    ended is sent by whoever delivers next.
    """
    if not session.one("webhooks_on")["some"]:
        yield
        return
    deliverer, stop = Deliverer(conninfo), threading.Event()
    thread = threading.Thread(target=deliverer.work, args=[stop], name="webhooks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def deliver_rest(session: Session, conninfo: str, seconds: float = LAST_S) -> None:
    """Tell webhooks what they are still to be told, within this time; failures are warned of."""
    try:
        if session.one("webhooks_on")["some"]:
            with Deliverer(conninfo) as deliverer:
                deliverer.flush(session, seconds)
    except (psycopg.Error, BackfillError) as error:
        log.warning("webhooks are not told yet: %s", failures.first_line(error))
