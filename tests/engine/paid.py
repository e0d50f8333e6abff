"""Paid calls in tests of the engine: runs with money, intents, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from tests.plugins.engine import Connection, Engine, Row, outcome

PRICE = Decimal("0.001")
"""Of one call, as the engine is installed."""


def paid_run(engine: Engine, items: int = 0, **options: Any) -> tuple[int, int]:
    """A run with these options and a runner of it, with so many items enqueued."""
    if items:
        first = engine.value("select coalesce(max(id), 0) + 1 from item")
        engine.add(first, first + items - 1)
    start = "select backfill.start('sample', %s, p_source => 'cli')"
    run = int(engine.value(start, Jsonb(options)))
    runner = engine.join(run)
    if items:
        engine.sweep(run)
    return run, runner


def intent(key: object, name: UUID | None = None, **more: Any) -> Row:
    """An element for `intend`."""
    return {
        "id": str(name or uuid4()), "key": str(key), "provider": "rekognition",
        "operation": "IndexFaces", "region": "*", "subject": "people", "reference": str(key),
        "payer": "", "usd": None, **more,
    }  # fmt: skip


def intend(
    engine: Engine,
    runner: int,
    *intents: Row,
    said: Iterable[Row] = (),
    on: Connection | None = None,
) -> list[Row]:
    """What the engine says to these intents."""
    query = "select * from backfill.intend(%s, %s, %s)"
    return engine.rows(query, runner, Jsonb(list(intents)), Jsonb(list(said)), on=on)


def written(engine: Engine, runner: int, key: object, **more: Any) -> UUID:
    """Write an intent that is let go; its name."""
    (row,) = intend(engine, runner, intent(key, **more))
    assert row["verdict"] == "go"
    name: UUID = row["id"]
    return name


def said(name: UUID, state: str = "answered", **more: Any) -> Row:
    """What became of a call."""
    return {"id": str(name), "state": state, "usd": None, "note": None, **more}


def say(engine: Engine, runner: int, *what: Row) -> None:
    """Tell the engine without another intent."""
    intend(engine, runner, said=what)


def effect(engine: Engine, name: UUID) -> Row:
    """The effect's row."""
    return engine.one("select * from backfill.effect where id = %s", name)


def reason(engine: Engine, name: UUID) -> str:
    """Why it is unsettled, in the view's words."""
    return str(engine.value("select reason from backfill.effects where id = %s", name))


def spent(engine: Engine, run: int) -> Decimal:
    """US dollars of a run, as its view has it."""
    found: Decimal = engine.value("select spend_usd from backfill.runs where run = %s", run)
    return found


def gone(engine: Engine, runner: int) -> None:
    """Let this process be dead, and found so."""
    engine.silent(runner, 100)
    engine.rescue()


def finished(engine: Engine, runner: int, job: Row, kind: str = "ok", **more: Any) -> None:
    """Finish one job."""
    assert engine.finish(runner, [outcome(job, kind, **more)])["accepted"] == 1
