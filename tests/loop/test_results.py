"""Whatever a computation does is the fate of its row alone."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, cast

from runner.contract import Result, Row
from runner.errors import NothingFound, Permanent, Retry, Skip
from runner.loop.model import RESULT_LIMIT
from tests.plugins.processes import SampleDatabase, result_of


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("not even that")


class _Cyclic(dict[str, Any]):
    def __init__(self) -> None:
        self["self"] = self


def _raise(error: BaseException) -> Any:
    raise error


def _nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"in": value}
    return value


MISDEEDS: dict[str, tuple[Callable[[], Any], str, str, str]] = {
    "NUL in a text": (
        lambda: {"text": "a\x00b"}, "failed", "apply_22P05",
        r"could not be written: unsupported Unicode escape sequence \(\\u0000 cannot",
    ),
    "lone surrogate": (lambda: {"text": "\ud800"}, "failed", "apply_22P02", "could not be written"),
    "wrong type": (lambda: {"version": "x"}, "failed", "apply_22P02", "invalid input syntax"),
    "out of range": (lambda: {"version": 2**40}, "failed", "apply_22003", "out of range"),
    "constraint": (lambda: {"version": -1}, "failed", "apply_23514", "version_is_positive"),
    "not a mapping": (lambda: 42, "failed", "bad_result", "returned int; it should"),
    "nothing": (lambda: None, "failed", "bad_result", "returned NoneType"),
    "a list": (lambda: Result(cast("Any", [1])), "failed", "bad_result", "returned list"),
    "no JSON": (lambda: {"text": object()}, "failed", "bad_result", "not JSON serializable"),
    "not a number": (lambda: {"text": float("nan")}, "failed", "bad_result", "not JSON compliant"),
    "cyclic": (_Cyclic, "failed", "bad_result", "[Cc]ircular"),
    "too deep": (lambda: _nested(100_000), "failed", "bad_result", "can't be written as JSON"),
    "too long": (lambda: {"text": "x" * RESULT_LIMIT}, "failed", "bad_result", "64 MiB of JSON"),
    "absurd price": (lambda: Result({}, 1e30), "failed", "apply_22003", "could not be written"),
    "raises": (lambda: 1 // 0, "failed", "ZeroDivisionError", "ZeroDivisionError: .*by zero"),
    "exits": (lambda: sys.exit("bye"), "failed", "SystemExit", "SystemExit: bye"),
    "interrupts": (lambda: _raise(KeyboardInterrupt()), "failed", "KeyboardInterrupt", ""),
    "generator exit": (lambda: _raise(GeneratorExit()), "failed", "GeneratorExit", ""),
    "unprintable": (lambda: _raise(_Unprintable()), "failed", "unprintable", "ValueError"),
    "NUL in an error": (lambda: _raise(ValueError("a\x00b")), "failed", "ValueError", ": ab$"),
    "long error": (lambda: _raise(ValueError("x" * 10_000)), "failed", "ValueError", "x{400,}…$"),
    "silent permanent": (lambda: _raise(Permanent("", code="")), "failed", "unknown", "no message"),
    "wait for ever": (
        lambda: _raise(Retry("later", code="slow", after=float("inf"))), "ready", "slow", "later",
    ),
    "wait less than nothing": (
        lambda: _raise(Retry("now", code="odd", after=-5)), "failed", "odd", "now",
    ),
    "skip with NUL": (lambda: _raise(Skip("not\x00me")), "skipped", "skipped", "notme"),
    "nothing found": (
        lambda: _raise(NothingFound("none", {"text": "none"})), "nothing_found", "nothing_found",
        "none",
    ),
}  # fmt: skip
"""By name: what the computation does, and the job's state, error class and message after it."""


def test_misdeeds_cost_their_row_alone(sampled: SampleDatabase) -> None:
    """Odd results and exceptions end their rows with a reason, and 500 neighbours are fine."""
    names = dict(enumerate(MISDEEDS, start=1))
    sampled.items(ok=len(names) + 500)
    sampled.do("alter table item add constraint version_is_positive check (result_version > 0)")
    sampled.do("update backfill.task set batch_size = 500, retry_wait = '1 second'")
    run = sampled.start()

    def compute(row: Row) -> Any:
        name = names.get(int(row["key"]))
        return MISDEEDS[name][0]() if name else result_of(row)

    assert sampled.process(run, compute).work() == "done"
    found = {
        names[row["key"]]: row
        for row in sampled.all(
            "select key::int as key, state, error_class, error_message from backfill.job"
            " where key::int <= %s",
            len(names),
        )
    }
    for name, (_, state, error_class, message) in MISDEEDS.items():
        row = found[name]
        assert (name, row["state"], row["error_class"]) == (name, state, error_class), row
        assert re.search(message, row["error_message"]), row
    assert sampled.one("select count(*) from item where id > %s and writes = 1", len(names)) == 500


def test_a_broken_constraint_tells_no_secrets(sampled: SampleDatabase) -> None:
    """Neither the row nor an address's query is repeated in what is stored of a refusal."""
    sampled.items(ok=2)
    sampled.connection.execute("alter table item add constraint one_text unique (result)")

    def compute(row: Row) -> dict[str, Any]:
        return result_of(row) | {"text": "https://a.test/x.jpg?sig=SECRET"}

    sampled.process(sampled.start(), compute).work()
    assert sampled.states() == {"ok": 1, "failed": 1}
    message = sampled.one("select error_message from backfill.job where state = 'failed'")
    assert "one_text" in message
    assert "SECRET" not in message


def test_money_is_told_although_the_result_is_refused(sampled: SampleDatabase) -> None:
    """What a row's computation cost is counted, whatever the database thinks of its result."""
    sampled.items(ok=3)

    def compute(row: Row) -> Result:
        results: dict[str, dict[str, Any]] = {
            "1": result_of(row), "2": {"text": "a\x00b"}, "3": {"text": object()},
        }  # fmt: skip
        return Result(results[row["key"]], 0.25)

    assert sampled.process(sampled.start(), compute).work() == "done"
    assert sampled.states() == {"ok": 1, "failed": 2}
    assert float(sampled.one("select spend_usd from backfill.runs")) == 0.75
