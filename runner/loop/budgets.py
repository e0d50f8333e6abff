"""Budgets of a run: what a process is about to use of them is reserved in the database."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg

from runner.contract import Spending
from runner.database import failures
from runner.database.session import Session
from runner.errors import DatabaseUnreachable, Retry

ASK_AGAIN_S = 0.25
"""Between two questions while others hold what is left."""


class Budgets:
    """One process's reservations. Thread-safe; it connects at its first use.

    Without a `runner` nothing is limited: there is no run that has a budget.
    """

    def __init__(self, conninfo: str, *, name: str, patience: float) -> None:
        self.runner: int | None = None
        self.fatal: Exception | None = None
        """Why nothing can be reserved any more, for the process to raise."""
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._lock = threading.Lock()
        self._session = Session(
            conninfo, name=name, patience=patience, stop=self._stop, persistent=True
        )

    @contextmanager
    def spend(self, meter: str, amount: float, at_least: float | None = None) -> Iterator[Spending]:
        """Reserve an amount for the block, which says in `used` what it used.

        Waits while others hold what is left. Raises `Retry`, not counted, where the budget is used
        up or the process stops, and `ValueError` for an amount that is none.
        """
        if not 0 < (amount if at_least is None else at_least) <= amount < math.inf:
            raise ValueError(f"{amount} of {meter}, at least {at_least}, can't be reserved")
        if self.runner is None:
            yield Spending(amount)
            return
        reservation = uuid4()
        spending = Spending(self._reserve(reservation, meter, amount, at_least))
        try:
            yield spending
        finally:
            self._call("settle", id=reservation, used=spending.used)

    def hurry(self) -> None:
        """From now on nobody waits for what others hold: the process stops."""
        self._hurry.set()

    def close(self) -> None:
        """Turn away who waits. Reservations that are left end with the process's runner."""
        self._hurry.set()
        self._stop.set()
        with self._lock:
            self._session.close()

    def _reserve(
        self, reservation: UUID, meter: str, amount: float, at_least: float | None
    ) -> float:
        while True:
            row = self._call(
                "reserve",
                id=reservation,
                runner=self.runner,
                meter=meter,
                amount=amount,
                at_least=at_least,
            )
            if row["reserved"] is not None:
                return float(row["reserved"])
            if row["spent_out"]:
                raise Retry(f"the run's budget of {meter} is used up", code="budget", counts=False)
            if self._hurry.wait(ASK_AGAIN_S):
                raise Retry("the process stops", code="budget", counts=False)

    def _call(self, statement: str, **parameters: object) -> dict[str, Any]:
        try:
            with self._lock:
                return self._session.one(statement, **parameters)
        except (psycopg.Error, DatabaseUnreachable) as error:
            self.fatal = failures.explain(error) if isinstance(error, psycopg.Error) else error
            raise Retry(str(self.fatal), code="budget", counts=False) from error
