"""Effects: calls that cost money or leave something behind, written down before they are made.

The intent of a call is committed before the call; it is the reservation of its price as well. What
became of it goes to the database with the next intent, or with the row's result, so that a call
costs one round trip. Calls that several threads are about to make are written in one statement.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg

from runner.contract import Call, Effect
from runner.database import failures
from runner.database.session import Session
from runner.errors import BackfillError, DatabaseUnreachable, Halt, Retry
from runner.loop.budgets import ASK_AGAIN_S
from runner.loop.model import MESSAGE_LIMIT, EffectSaid, computed, plain

LOT = 100
"""Most intents in a statement: each is looked at under the locks of the budgets."""


@dataclass(eq=False, slots=True)
class _Intent:
    """A call that a thread waits to make."""

    key: str
    call: Call
    attempt: int | None
    id: UUID = field(default_factory=uuid4)
    verdict: str | None = None
    usd: Decimal = Decimal(0)
    reason: str | None = None
    error: Exception | None = None

    def as_json(self) -> dict[str, Any]:
        """The element that `backfill.intend` takes."""
        texts = {name: getattr(self.call, name) for name in Call.TEXTS}
        intent = {"id": str(self.id), "key": self.key, "attempt": self.attempt}
        return {**texts, **intent, "usd": _exact(self.call.usd)}


class Effects:
    """One process's calls. Thread-safe; it connects at its first use.

    Without a `runner` nothing is written: there is no run that it belongs to.
    """

    def __init__(self, conninfo: str, *, name: str, patience: float) -> None:
        self.runner: int | None = None
        self.fatal: Exception | None = None
        """Why no call can be written any more, for the process to raise."""
        self.wait_reason: str | None = None
        """Why the call that was asked for last is not made, in words; None: it is."""
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._sending = threading.Lock()
        self._changed = threading.Lock()
        self._waiting: list[_Intent] = []
        self._said: defaultdict[str, list[EffectSaid]] = defaultdict(list)
        self._telling: frozenset[str] = frozenset()
        """Rows of which the statement under way says something."""
        self._session = Session(
            conninfo, name=name, patience=patience, stop=self._stop, persistent=True
        )

    @contextmanager
    def call(self, key: str, call: Call) -> Iterator[Effect]:
        """Write the intent of a call for this row; made in the block, it counts as charged.

        Left by an exception, nobody knows whether it was charged, unless the block has said that it
        was `refused`: then the row's next attempt is told of it.

        Waits while others hold what is left of a budget. Raises `Retry`, not counted, where a
        budget is used up, the row is not this process's any more or the process stops, and `Halt`
        where the call has no price.
        """
        if self.runner is None:
            yield Effect(usd=call.usd or Decimal(0))
            return
        intent = self._intend(key, call)
        effect = Effect(id=intent.id, usd=intent.usd)
        try:
            yield effect
        except BaseException as error:
            if effect.state == "answered":
                effect.state, effect.note = "unknown", f"{type(error).__name__}: {error}"
            raise
        finally:
            self._say(key, effect.id, effect.state, _cost(effect.usd), effect.note)

    def found(self, key: str, effect: UUID | str, charged: bool, note: str | None = None) -> None:
        """Say what became of a call of an earlier attempt at this row, at the price expected."""
        self._say(key, effect, "answered" if charged else "void", None, note)

    def said(self, key: str) -> list[EffectSaid]:
        """What the database does not know yet of this row's calls, to go with its result."""
        with self._changed:
            under_way = key in self._telling
        if under_way:
            # The result that this goes with must not overtake what is being said of the same row:
            # it would settle the call as if nobody had said a word.
            with self._sending:
                pass
        with self._changed:
            return self._said.pop(key, [])

    def hurry(self) -> None:
        """From now on nobody waits for what others hold: the process stops."""
        self._hurry.set()

    def close(self) -> None:
        """Turn away who waits, and say what was not said yet."""
        self._hurry.set()
        self._stop.set()
        with self._sending:
            try:
                if self._said and self.runner is not None and self.fatal is None:
                    self._send([])
            except (psycopg.Error, BackfillError):
                # it stays intended, which counts as charged until somebody finds out
                return
            finally:
                self._session.close()

    def _say(
        self, key: str, effect: UUID | str, state: str, usd: Decimal | None, note: str | None
    ) -> None:
        said = EffectSaid(str(effect), state, _exact(usd), plain(note, MESSAGE_LIMIT))
        with self._changed:
            self._said[key].append(said)

    def _intend(self, key: str, call: Call) -> _Intent:
        job = computed.get()
        attempt = job.attempt if job is not None and job.key == key else None
        while True:
            intent = _Intent(key, call, attempt)
            self._ask(intent)
            self.wait_reason = intent.reason if intent.verdict == "wait" else None
            if intent.verdict == "go":
                return intent
            if intent.verdict == "spent":
                raise Retry(str(intent.reason), code="budget", counts=False)
            if intent.verdict == "unpriced":
                raise Halt(str(intent.reason))
            if intent.verdict == "lost":
                raise Retry(str(intent.reason), code="lost", counts=False)
            if self._hurry.wait(ASK_AGAIN_S):
                raise Retry("the process stops", code="budget", counts=False)

    def _ask(self, intent: _Intent) -> None:
        """Have it answered: by the statement of whoever sends next, or by our own."""
        with self._changed:
            self._waiting.append(intent)
        with self._sending:
            if intent.verdict is None and intent.error is None:
                with self._changed:
                    self._waiting.remove(intent)
                    lot, self._waiting = self._waiting[: LOT - 1], self._waiting[LOT - 1 :]
                self._send_lot([*lot, intent])
        if intent.error is not None:
            raise Retry(str(intent.error), code="budget", counts=False) from intent.error

    def _send_lot(self, lot: list[_Intent]) -> None:
        try:
            if self._stop.is_set():
                raise BackfillError("the process stops")
            answers = self._send([intent.as_json() for intent in lot])
        except (psycopg.Error, DatabaseUnreachable) as error:
            self.fatal = failures.explain(error) if isinstance(error, psycopg.Error) else error
            for intent in lot:
                intent.error = self.fatal
            return
        except BackfillError as error:
            for intent in lot:
                intent.error = error
            return
        for intent in lot:
            answer = answers[intent.id]
            intent.usd, intent.reason = answer["usd"], answer["reason"]
            intent.verdict = answer["verdict"]

    def _send(self, intents: list[dict[str, Any]]) -> dict[UUID, dict[str, Any]]:
        """Write intents and what is known of earlier calls; the answers by id."""
        with self._changed:
            said, self._said = self._said, defaultdict(list)
            self._telling = frozenset(said)
        try:
            rows = self._session.call(
                "effect_intend",
                runner=self.runner,
                intents=json.dumps(intents),
                said=json.dumps([one._asdict() for several in said.values() for one in several]),
            )
        except BaseException:
            with self._changed:
                for key, several in said.items():
                    self._said[key] = several + self._said[key]
            raise
        finally:
            self._telling = frozenset()
        return {row["id"]: row for row in rows}


def _cost(usd: object) -> Decimal | None:
    """What a computation says it cost; None, which is the price expected, for what is no cost."""
    cost = Decimal(str(usd)) if isinstance(usd, (int, float, Decimal)) else None
    return cost if cost is not None and cost.is_finite() and cost >= 0 else None


def _exact(usd: Decimal | None) -> str | None:
    """An amount for JSON, which has binary fractions only."""
    return None if usd is None else str(usd)
