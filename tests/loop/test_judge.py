"""What becomes of whatever a computation returns or raises."""

from __future__ import annotations

import pytest

from runner.contract import Result, Row
from runner.errors import NothingFound, Permanent, Retry, RowOutcome, Skip
from runner.loop.compute import judge
from runner.loop.model import Job

JOB = Job(id=1, key="1", attempt=1, revision=None, input={"key": "1"}, runner=1)


@pytest.mark.parametrize(
    "ending, kind",
    [
        (Skip("no subject"), "skipped"),
        (NothingFound("no face"), "nothing_found"),
        (Permanent("gone", code="http_404"), "failed"),
        (Retry("busy", code="http_503"), "retry"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_money_spent_is_told_however_a_row_ends(ending: RowOutcome, kind: str) -> None:
    """A call that was paid for counts even where the row ends without a result."""
    ending.spend_usd = 0.001

    def compute(_row: Row) -> Result:
        raise ending

    verdict = judge(compute, JOB)
    assert (verdict.kind, verdict.spend_usd, verdict.message) == (kind, 0.001, str(ending))


def test_money_spent_on_a_result_is_told() -> None:
    """A result carries its cost."""
    verdict = judge(lambda _row: Result({"a": 1}, 0.002), JOB)
    assert (verdict.kind, verdict.spend_usd) == ("ok", 0.002)


def test_a_step_is_told_from_an_end() -> None:
    """A result with more to do is not the end of its row."""
    verdict = judge(lambda _row: Result({"a": 1}, more=True, after=5), JOB)
    assert (verdict.kind, verdict.after) == ("more", 5)
    assert judge(lambda _row: Result([1], more=True), JOB).kind == "failed"  # type: ignore[arg-type]
    assert judge(lambda _row: Result({"a": 1}), JOB).kind == "ok"


def test_an_error_s_address_loses_its_query() -> None:
    """Libraries put the address that they called into their errors, signature and all."""

    def compute(_row: Row) -> Result:
        raise RuntimeError("404 for url: https://me:hush@host.test/a.jpg?sig=hush")

    said = judge(compute, JOB).message
    assert said == "RuntimeError: 404 for url: https://***@host.test/a.jpg?***"
