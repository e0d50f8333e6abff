"""Nobody's money is spent unasked."""

from __future__ import annotations

import pytest

from runner.errors import ExitCode
from tests.cli.conftest import Backfill
from tests.plugins.processes import SampleDatabase


@pytest.fixture
def paid(sampled: SampleDatabase, backfill: Backfill, monkeypatch: pytest.MonkeyPatch) -> Backfill:
    """`backfill` on a database with four rows of a task that costs $0.25 a row."""
    monkeypatch.setenv("DATABASE_URL", sampled.url)
    monkeypatch.setenv("BACKFILL_TASKS", "tests.sample:paid")
    sampled.items(ok=4)
    return backfill


def test_question_tells_count_and_cost(paid: Backfill, sampled: SampleDatabase) -> None:
    """Before paid work the user is asked, and a no leaves everything as it was."""
    ended = paid("run", "sample", answer="n\n")
    assert ended.code == ExitCode.CANCELLED
    assert "sample: 4 rows to do, at most $1.00; go ahead?" in ended.err
    assert sampled.one("select count(*) from backfill.run") == 0


def test_yes_goes_ahead(paid: Backfill, sampled: SampleDatabase) -> None:
    """A yes runs the task."""
    assert paid("run", "sample", answer="y\n").code == ExitCode.DONE
    assert sampled.states() == {"ok": 4}


@pytest.mark.parametrize("flag", ["--yes", "--skip-prompt"])
def test_flag_answers_beforehand(paid: Backfill, sampled: SampleDatabase, flag: str) -> None:
    """With the flag nothing is asked."""
    ended = paid("run", "sample", flag)
    assert (ended.code, "go ahead" in ended.err) == (ExitCode.DONE, False)
    assert sampled.states() == {"ok": 4}


def test_nobody_to_ask(paid: Backfill, sampled: SampleDatabase) -> None:
    """Without a terminal and without the flag nothing is spent, and the error says what to do."""
    ended = paid("run", "sample")
    assert ended.code == ExitCode.USAGE
    assert "pass --yes" in ended.err
    assert sampled.states() == {}


def test_limit_lowers_the_cost(paid: Backfill, sampled: SampleDatabase) -> None:
    """A dry run tells the cost of what the run would take."""
    assert "expected cost: at most $0.50" in paid("run", "sample", "--dry-run", "--limit", "2").out
